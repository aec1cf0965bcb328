"""The pipelines by name, and the YAML that each is compiled to, which lies beside it."""

from __future__ import annotations

from pathlib import Path

PIPELINES = ("edit_dataset", "reevaluate")


def package(name: str) -> Path:
    """The compiled pipeline's file."""
    return Path(__file__).with_name(f"{name}.yaml")


def compile_all(folder: Path) -> list[Path]:
    """Compile every pipeline into ``<folder>/<name>.yaml`` and return the files."""
    from importlib import import_module

    from kfp import compiler

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PIPELINES:
        pipeline = getattr(import_module(f"pipelines.{name}"), name)
        written.append(folder / f"{name}.yaml")
        compiler.Compiler().compile(pipeline, str(written[-1]))
    return written


def parameter_types(name: str) -> dict[str, str]:
    """The parameters that a pipeline declares, and KFP's name of each one's type."""
    import yaml

    document = next(yaml.safe_load_all(package(name).read_text("utf-8")))
    declared = document["root"]["inputDefinitions"]["parameters"]
    return {parameter: one["parameterType"] for parameter, one in declared.items()}
