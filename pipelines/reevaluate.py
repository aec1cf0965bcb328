"""A benchmark, computed anew with pinned versions and compared with a baseline run."""

from kfp import dsl

from pipelines import steps
from pipelines.order import Pods, edit_and_score, placed


@dsl.pipeline(name="reevaluate", description="Compute a benchmark anew; fail if it fell behind.")
def reevaluate(
    config: str,
    baseline: str,
    bounds: str,
    pipeline_version: str = "",
    evaluation: str = dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    where: str = '{"mode": "local"}',
    retry_failed: bool = False,
    image: str = steps.IMAGE,
    secret: str = "tav-store",  # noqa: S107 - a Kubernetes secret's name
    cpus: str = "8",
    memory: str = "32G",
    gpus: str = "0",
    accelerator: str = "nvidia.com/gpu",
    node_selector: dict = {},  # type: ignore[type-arg] # noqa: B006 - KFP reads it as a default
    tolerations: list = [],  # type: ignore[type-arg] # noqa: B006
) -> None:
    """Run every step into a fresh run and compare its scores with a baseline's.

    Args:
        config: The benchmark's configuration as JSON; each evaluation is a folder below its
            ``run``. See ``pipelines.carried`` for texts with braces.
        baseline: Address of the run to compare with, plain or as a JSON string.
        bounds: JSON: by ``protocol.measure``, how much worse the mean may be.
        pipeline_version: Version of the project that the image must hold; empty for any.
        evaluation: Name of the folder.
        where: Where each step runs: a ``components.launch.Where`` as JSON.
        retry_failed: Also try what failed for good.
        image: The project's image.
        secret: Kubernetes secret with the store's credentials (keys: ``order.SECRET_KEYS``).
        cpus: CPU limit of a step.
        memory: Memory limit of a step.
        gpus: GPUs of a step, ingest apart; 0 where the work runs elsewhere.
        accelerator: Kubernetes' resource name of a GPU.
        node_selector: Labels of the nodes for the steps.
        tolerations: Kubernetes tolerations of every pod.
    """
    pods = Pods(
        image=image,
        secret=secret,
        cpus=cpus,
        memory=memory,
        gpus=gpus,
        accelerator=accelerator,
        node_selector=node_selector,
        tolerations=tolerations,
    )
    run = {"config": config, "evaluation": evaluation}
    done = steps.record_outcome(**run, execution=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    with dsl.ExitHandler(placed(done, pods), name="reevaluate-steps"):
        checked = placed(steps.check_pins(config=config, pipeline_version=pipeline_version), pods)
        scored = edit_and_score(run, {"where": where, "retry_failed": retry_failed}, pods, checked)
        compared = steps.compare(**run, baseline=baseline, bounds=bounds)
        placed(compared, pods).after(scored)
