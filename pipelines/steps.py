"""The tasks as KFP components on the project's image: nothing is installed when one starts.

KFP puts the source of a component alone into the pipeline, so each imports what it calls, and its
annotations must be objects (no postponed evaluation here).
"""

from kfp import dsl

IMAGE = "tune-a-video-at-scale:0.1.0"
"""Used where a pipeline's parameter ``image`` names no other."""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check(config: str, where: str, cpus: str, memory: str, gpus: str, accelerator: str) -> None:
    """Refuse what would else fail hours later."""
    from pipelines import tasks

    tasks.check(config, where, {"cpus": cpus, "memory": memory, "gpus": gpus}, accelerator)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_pins(config: str, pipeline_version: str) -> None:
    """Refuse an evaluation that is not pinned to a model and a version."""
    from pipelines import tasks

    tasks.check_pins(config, pipeline_version)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    config: str, evaluation: str, where: str, retry_failed: bool, counts: dsl.Output[dsl.Metrics]
) -> None:
    """Read, check and hash the videos."""
    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    for name, count in tasks.run_step("ingest", run, where, retry_failed=retry_failed).items():
        counts.log_metric(name, count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def caption(
    config: str, evaluation: str, where: str, retry_failed: bool, counts: dsl.Output[dsl.Metrics]
) -> None:
    """Describe videos that have no prompt."""
    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    for name, count in tasks.run_step("caption", run, where, retry_failed=retry_failed).items():
        counts.log_metric(name, count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def control(
    config: str, evaluation: str, where: str, retry_failed: bool, counts: dsl.Output[dsl.Metrics]
) -> None:
    """Make the maps that steer edits, where any do."""
    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    for name, count in tasks.run_step("control", run, where, retry_failed=retry_failed).items():
        counts.log_metric(name, count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tune(
    config: str, evaluation: str, where: str, retry_failed: bool, counts: dsl.Output[dsl.Metrics]
) -> None:
    """Tune an adapter for each video and invert its latents."""
    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    for name, count in tasks.run_step("tune", run, where, retry_failed=retry_failed).items():
        counts.log_metric(name, count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sample(
    config: str, evaluation: str, where: str, retry_failed: bool, counts: dsl.Output[dsl.Metrics]
) -> None:
    """Sample every edited prompt."""
    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    for name, count in tasks.run_step("sample", run, where, retry_failed=retry_failed).items():
        counts.log_metric(name, count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def score(
    config: str, evaluation: str, where: str, retry_failed: bool, counts: dsl.Output[dsl.Metrics]
) -> None:
    """Score every edit."""
    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    for name, count in tasks.run_step("score", run, where, retry_failed=retry_failed).items():
        counts.log_metric(name, count)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(
    config: str,
    evaluation: str,
    scores: dsl.Output[dsl.Dataset],
    means: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Publish the table of scored edits and its means."""
    from pathlib import Path

    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    found = tasks.publish_scores(run, Path(scores.path), Path(summary.path))
    for name, mean in found.items():
        means.log_metric(name, mean)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    config: str, evaluation: str, where: str, retry_failed: bool, gallery: dsl.Output[dsl.HTML]
) -> None:
    """Write the run's gallery into the run, and a smaller one for Kubeflow's page."""
    from pathlib import Path

    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    tasks.run_step("report", run, where, retry_failed=retry_failed)
    tasks.write_gallery(run, Path(gallery.path))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare(
    config: str,
    evaluation: str,
    baseline: str,
    bounds: str,
    changes: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Compare the scores with a baseline run's; fail when a measure fell beyond its bound."""
    from pathlib import Path

    from pipelines import tasks

    run = tasks.run_config(config, evaluation)
    found = tasks.compare_runs(run, baseline, bounds, Path(summary.path))
    for name, change in found.changes.items():
        changes.log_metric(f"{name}.worse_by", change.worse_by)
    if found.regressions:
        raise RuntimeError("; ".join(found.regressions))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def record_outcome(
    config: str, evaluation: str, execution: str, status: dsl.PipelineTaskFinalStatus
) -> str:
    """Write how the execution ended beside the run's tables, whether it went well or not."""
    from pipelines import tasks

    outcome = {
        "state": status.state,
        "error_code": status.error_code,
        "error_message": status.error_message,
    }
    return tasks.record_outcome(tasks.run_config(config, evaluation), execution, outcome)
