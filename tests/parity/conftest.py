"""The options `--golden DIR` and `--pnp-golden DIR`, and what is made from these folders.

`--golden` takes a folder of tensors, one of metrics' values (either layout), or one that holds
these.
"""

import json
from pathlib import Path

import pytest

from tests.parity.golden import Golden
from tests.parity.measures import GoldenLoveu, GoldenMeasures
from tests.parity.pnp import PnPGolden

_OF_METRICS = ("expected.json", "metrics", "metrics_more")
_DEFAULTS = Path(__file__).parents[3] / "shared" / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", metavar="DIR", help="folder of golden tensors (default: open)")
    parser.addoption("--pnp-golden", metavar="DIR", help="the same of Plug-and-Play (default: pnp)")


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    folder = _folder(request, "--golden", "open")
    return Golden(folder, tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def pnp_golden(request: pytest.FixtureRequest) -> PnPGolden:
    return PnPGolden(_folder(request, "--pnp-golden", "pnp"))


@pytest.fixture(scope="session")
def loveu_golden(request: pytest.FixtureRequest) -> GoldenLoveu:
    return GoldenLoveu(_values(request, "metrics", "values"))


@pytest.fixture(scope="session")
def measures_golden(request: pytest.FixtureRequest) -> GoldenMeasures:
    return GoldenMeasures(_values(request, "metrics_more", "v2vbench"))


def _values(request: pytest.FixtureRequest, name: str, key: str) -> Path:
    """The folder whose expected.json has that key."""
    given = request.config.getoption("--golden", default=None)
    root = Path(given) if given else _DEFAULTS
    for folder in (root, root / name):
        file = folder / "expected.json"
        if file.is_file() and key in json.loads(file.read_text(encoding="utf-8")):
            return folder
    pytest.skip(f"no golden values of {name} here; give their folder with --golden DIR")


def _folder(request: pytest.FixtureRequest, option: str, default: str) -> Path:
    # The option is unknown where this conftest is not an initial one: plain `pytest`.
    given = request.config.getoption(option, default=None)
    folder = Path(given) if given else _DEFAULTS / default
    if given and (folder / default / "meta.json").is_file():
        folder /= default
    if not (folder / "meta.json").is_file():
        if given and any((folder / name).exists() for name in _OF_METRICS):
            pytest.skip(f"{folder} holds values of metrics and no tensors")
        if given:
            pytest.fail(f"{option} {folder}: there is no meta.json")
        pytest.skip(f"no golden tensors here; give their folder with {option} DIR")
    return folder
