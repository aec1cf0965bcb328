"""The order of the tasks, which both pipelines share, and what each task may take."""

from dataclasses import dataclass
from typing import Any

from kfp import dsl, kubernetes

from pipelines import steps

SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL_S3",
    "HF_TOKEN",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
)
"""Keys that the Kubernetes secret may have, each given to every task under its own name."""

LAUNCHER = ("tune-a-video.dev/pod", "launcher")
"""Label of pods that may reach Ray's dashboard (manifests/kubernetes/base/network.yaml)."""

_HOUR = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a task may take. A retry computes only what is missing."""

    hours: int
    """After which Kubernetes ends the task's pod."""
    retries: int
    computes: bool
    """Whether it takes the pipeline's ``cpus`` and ``memory``; else a little."""
    on_gpu: bool = False
    """Whether it takes the pipeline's ``gpus`` too."""


LIMITS = {
    "check": Limits(hours=1, retries=0, computes=False),
    "check-pins": Limits(hours=1, retries=0, computes=False),
    "ingest": Limits(hours=24, retries=3, computes=True),
    "caption": Limits(hours=24, retries=3, computes=True, on_gpu=True),
    "control": Limits(hours=24, retries=3, computes=True, on_gpu=True),
    "tune": Limits(hours=24 * 14, retries=5, computes=True, on_gpu=True),
    "sample": Limits(hours=24 * 7, retries=5, computes=True, on_gpu=True),
    "score": Limits(hours=24, retries=3, computes=True, on_gpu=True),
    "publish": Limits(hours=1, retries=2, computes=False),
    "report": Limits(hours=6, retries=2, computes=False),
    "compare": Limits(hours=1, retries=0, computes=False),
    "record-outcome": Limits(hours=1, retries=3, computes=False),
}
"""By component."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pods:
    """A pipeline's parameters about its pods, handed to every task."""

    image: Any
    secret: Any
    cpus: Any
    memory: Any
    gpus: Any
    accelerator: Any
    node_selector: Any
    tolerations: Any


def placed(task: dsl.PipelineTask, pods: Pods) -> dsl.PipelineTask:
    """Give a task its image, limits, retries, time and place."""
    limits = LIMITS[task.component_spec.name]
    # A task's input does not name what lies behind an address, so an earlier output proves nothing.
    task.set_caching_options(enable_caching=False)
    task.set_container_image(pods.image)
    if limits.retries:
        task.set_retry(limits.retries, backoff_duration="10s", backoff_factor=2)
    kubernetes.set_timeout(task, limits.hours * _HOUR)
    for key in SECRET_KEYS:
        kubernetes.use_secret_as_env(task, pods.secret, {key: key}, optional=True)
    kubernetes.add_toleration_json(task, pods.tolerations)
    if limits.computes:
        task.set_cpu_limit(pods.cpus).set_memory_limit(pods.memory)
        if limits.on_gpu:
            task.set_accelerator_type(pods.accelerator).set_accelerator_limit(pods.gpus)
        kubernetes.add_node_selector_json(task, pods.node_selector)
    else:
        task.set_cpu_limit("2").set_memory_limit("8G")
    return task


def edit_and_score(
    run: dict[str, Any],
    place: dict[str, Any],
    pods: Pods,
    before: dsl.PipelineTask | None = None,
) -> dsl.PipelineTask:
    """Add every step in order, then the gallery and the scores; return the task of the latter.

    Args:
        run: The arguments ``config`` and ``evaluation`` of every task.
        place: The arguments ``where`` and ``retry_failed`` of every step.
        pods: The pipeline's parameters about its pods.
        before: The task that goes first.
    """
    # KFP hands a parameter into an exit handler's tasks only if one of them takes it as an input;
    # limits alone do not count.
    check = steps.check(
        config=run["config"],
        where=place["where"],
        cpus=pods.cpus,
        memory=pods.memory,
        gpus=pods.gpus,
        accelerator=pods.accelerator,
    )
    if before is not None:
        check.after(before)
    before = placed(check, pods)
    every = (steps.ingest, steps.caption, steps.control, steps.tune, steps.sample, steps.score)
    for step in every:
        before = _launching(placed(step(**run, **place), pods)).after(before)
    _launching(placed(steps.report(**run, **place), pods)).after(before)
    return placed(steps.publish(**run), pods).after(before)


def _launching(task: dsl.PipelineTask) -> dsl.PipelineTask:
    return kubernetes.add_pod_label(task, *LAUNCHER)
