"""A configuration narrowed to some of its variants."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig, load_run_config, narrowed, parse_run, run_config
from components.errors import UserError

VARIANTS = {"full": {}, "plain": {"tune": {"steps": 0}}, "same": {"method": "identity"}}


def document(**changes: Any) -> dict[str, Any]:
    return {"run": "r", "manifest": "m", "model": {"base": "x"}, "variants": VARIANTS} | changes


def config(**changes: Any) -> RunConfig:
    return parse_run(document(**changes), "test")


def test_names_stand_in_the_configurations_order_each_once() -> None:
    assert narrowed(config(), ("same", "full", "same")).only == ("full", "same")
    assert narrowed(config(), ()).only == ()
    assert narrowed(config(), ("same", "plain", "full")).only == ()  # as if none were named


def test_a_run_without_variants_has_one_that_is_named_as_its_method() -> None:
    plain = config(variants={}, method="identity")
    assert narrowed(plain, ("identity",)) == plain
    with pytest.raises(UserError, match=r"no variant 'full': .* its only one is its method, 'iden"):
        narrowed(plain, ("full",))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fulll", "did you mean 'full'"), ("", "it has full, plain, same"), ("x", "it has full")],
)
def test_an_unknown_variant_is_refused_wherever_it_is_named(
    tmp_path: Path, name: str, hint: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document()))
    override = f"only={json.dumps([name])}"
    ways: list[Callable[[], RunConfig]] = [
        lambda: narrowed(config(), (name,)),
        lambda: load_run_config(path, variants=(name,)),
        lambda: load_run_config(path, (override,)),
        lambda: run_config(document(only=[name]), "a job"),
    ]
    for refused in ways:
        with pytest.raises(UserError, match=f"the run has no variant {name!r}: {hint}"):
            refused()


def test_what_a_command_names_goes_before_what_its_file_names(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document(only=["same", "full"])))
    assert load_run_config(path).only == ("full", "same")
    assert load_run_config(path, variants=("plain",)).only == ("plain",)
    assert load_run_config(path, ("only=[]",)).only == ()
