"""The log of a RayJob: what its submitter pod prints, which is what the Ray job prints."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

logger = logging.getLogger(__name__)

_FINISH_S = 10.0


class SubmitterLog:
    """Follows the submitter's pod in a thread, from when it runs."""

    def __init__(self, pods: Any, namespace: str, job_name: str) -> None:
        self._pods = pods
        self._namespace = namespace
        self._job_name = job_name
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Begin once the pod has begun; a log that cannot be had is a warning, once."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        if self._thread is not None:
            return
        try:
            found = self._pods.list_namespaced_pod(
                self._namespace,
                label_selector=f"batch.kubernetes.io/job-name={self._job_name}",
                _request_timeout=(5.0, 30.0),
            ).items
        except (ApiException, HTTPError) as error:
            self._warn(error)
            found = []
            self._thread = threading.Thread()  # never again
        started = [pod for pod in found if pod.status.phase not in {None, "Pending", "Unknown"}]
        if started:
            name = started[0].metadata.name
            self._thread = threading.Thread(target=self._print, args=(name,), daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Let what the pod printed last arrive."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(_FINISH_S)

    def _print(self, pod: str) -> None:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = self._pods.read_namespaced_pod_log(
                pod, self._namespace, follow=True, _preload_content=False
            )
            for line in answer:
                sys.stderr.write(line.decode("utf-8", errors="replace"))
                sys.stderr.flush()
        except (ApiException, HTTPError) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        logger.warning(
            "the log of %s cannot be followed, `kubectl logs job/%s` may show it: %s",
            *(self._job_name, self._job_name, error),
        )
