"""The options `--golden DIR` and `--pnp-golden DIR`, and what is made from these folders."""

from pathlib import Path

import pytest

from tests.parity.golden import Golden
from tests.parity.pnp import PnPGolden

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


def _folder(request: pytest.FixtureRequest, option: str, default: str) -> Path:
    # The option is unknown where this conftest is not an initial one: plain `pytest`.
    given = request.config.getoption(option, default=None)
    folder = Path(given) if given else _DEFAULTS / default
    if not (folder / "meta.json").is_file():
        if given:
            pytest.fail(f"{option} {folder}: there is no meta.json")
        pytest.skip(f"no golden tensors here; give their folder with {option} DIR")
    return folder
