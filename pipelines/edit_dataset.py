"""Every edit of every video of a manifest, made and scored: `tav run` as a pipeline."""

from kfp import dsl

from pipelines import steps
from pipelines.order import Pods, edit_and_score, placed


@dsl.pipeline(name="edit-dataset", description="Make every edit of every video, and score each.")
def edit_dataset(
    config: str,
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
    """Run ingest, caption, control, tune, sample and score, then publish scores and gallery.

    Args:
        config: The run's configuration as JSON; see ``pipelines.carried`` for texts with braces.
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
    run = {"config": config, "evaluation": ""}
    done = steps.record_outcome(**run, execution=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    with dsl.ExitHandler(placed(done, pods), name="edit-dataset-steps"):
        edit_and_score(run, {"where": where, "retry_failed": retry_failed}, pods)
