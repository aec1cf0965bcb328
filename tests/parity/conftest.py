"""The `--golden DIR` option and what is made from that folder."""

from pathlib import Path

import pytest

from tests.parity.golden import Golden

_DEFAULT = Path(__file__).parents[3] / "shared" / "golden" / "open"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", metavar="DIR", help="folder of golden tensors (default: open)")


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    # The option is unknown where this conftest is not an initial one: plain `pytest`.
    given = request.config.getoption("--golden", default=None)
    folder = Path(given) if given else _DEFAULT
    if not (folder / "meta.json").is_file():
        if given:
            pytest.fail(f"--golden {folder}: there is no meta.json")
        pytest.skip("no golden tensors here; give their folder with --golden DIR")
    return Golden(folder, tmp_path_factory.mktemp("golden"))
