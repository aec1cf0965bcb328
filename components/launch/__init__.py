"""Where a step runs: in this process, as a job of a Ray cluster, or as a RayJob of Kubernetes.

    where     the switch and its settings        ray_jobs  Ray's Jobs API
    job       what is sent, and what it does     kuberay   RayJob objects of the KubeRay operator
    step      launch_step: adopt, submit, follow, retry, stop

Whatever ran it, the tables say what a step came to.
"""

from __future__ import annotations

from components.launch.step import Outcome, StepFailed, launch_step
from components.launch.where import Where

__all__ = ["Outcome", "StepFailed", "Where", "launch_step"]
