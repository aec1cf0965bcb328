from pathlib import Path

import numpy as np

from methods.identity import Identity
from methods.method import Frames, Passes
from tests.editing import clip, edited, loaded, prepare


def test_every_edit_is_the_source(frames: Frames, tmp_path: Path) -> None:
    method = loaded(Identity, Path("/no base is read"))
    assert not method.uses_base
    assert prepare(method, clip(frames), tmp_path) == {}
    method.check_prompt("anything at all " * 100)
    assert np.array_equal(edited(method, clip(frames), "a blue car", {}), frames)
    assert method.cost().edit == Passes()
