import dataclasses

import pytest

from methods.registry import UnknownMethodError, find_method, method_names

OURS = (
    *("cogvideo", "edit_friendly", "fatezero", "frame_by_frame", "identity", "plug_and_play"),
    *("sdedit", "text2live", "tune_a_video"),
)


def test_all_methods_are_there_with_settings_that_have_defaults() -> None:
    assert set(OURS) <= set(method_names())
    for name in OURS:
        config = find_method(name).Config
        assert dataclasses.is_dataclass(config)
        assert config() == config()
        assert config.__pydantic_config__ == {"extra": "forbid"}  # type: ignore[attr-defined]


def test_an_unknown_method_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownMethodError, match=r"'plug_n_play': did you mean 'plug_and_play'\?"):
        find_method("plug_n_play")
