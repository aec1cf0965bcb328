"""Keys of stages and edits: what is equal is shared, and nothing else is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from components.config import RunConfig
from components.errors import UserError
from components.run.stages import EditKeys, StageKeys
from methods.edit_friendly import EditFriendly, EditFriendlyConfig
from methods.fatezero import FateZero
from methods.frame_by_frame import FrameByFrame
from methods.method import Edit, Frames, Method, Prepared, Settings, Source, Stage
from methods.registry import UnknownMethodError
from methods.text2live import Text2Live
from methods.text2live_config import AtlasConfig, Text2LiveConfig
from methods.tune_a_video import TuneAVideo
from methods.wan_vace import WanVACE
from tav_model.config import AdapterConfig, InvertConfig, ModelConfig, SampleConfig, TuneConfig


@dataclass(frozen=True)
class Own:
    strength: float = 0.5


class Two(Method):
    """Prepares two things, one after the other."""

    Config = Own
    first: dict[str, Any] = {}  # noqa: RUF012
    kinds: tuple[str, ...] = ("a", "b")

    @override
    def stages(self) -> Sequence[Stage]:
        rest = [Stage(kind=kind, parts={"x": 1}) for kind in self.kinds[1:]]
        return [Stage(kind=self.kinds[0], parts=self.first), *rest]

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        raise NotImplementedError


def changed(**attributes: Any) -> type[Method]:
    return type("Changed", (Two,), attributes)


class Keys:
    """The keys of one video under a method."""

    def __init__(
        self,
        kind: type[Method] = Two,
        name: str = "two",
        *,
        base: str = "base",
        clip: str = "clip",
        prompt: str = "a fish",
        mask: str | None = None,
        models: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        own = changes.pop("own", kind.Config())
        model = ModelConfig(base="x")
        config = RunConfig(run="r", manifest="m", model=model, method=name, **changes)
        sections = {one: getattr(config, one) for one in ("tune", "adapter", "invert", "sample")}
        settings = Settings(own=own, model=model, revisions=models or {}, **sections)
        method = kind(settings)
        self._keys = StageKeys(method, config, base, "")
        self.stages = self._keys(clip, prompt, mask)
        edits = EditKeys(method, config, base, self._keys.inversion)
        self.edit = edits(self.stages, clip, prompt, "a red fish", mask)
        self.all = {key.work_key for key in self.stages} | {self.edit}


def test_equal_parts_have_equal_keys() -> None:
    assert Keys().all == Keys().all
    assert len(Keys().all) == 3
    assert Keys(own=Own(strength=0.7)).stages == Keys().stages, "no stage depends on it"
    assert Keys(own=Own(strength=0.7)).edit != Keys().edit


@pytest.mark.parametrize(
    "other",
    [
        {"kind": changed(version=2)},
        {"name": "another"},
        {"base": "another"},
        {"clip": "another"},
        {"prompt": "another"},
        {"seed": 7},
        {"kind": changed(first={"y": 1})},
        {"kind": changed(first={"y": InvertConfig(steps=7)})},
        {"kind": changed(kinds=("c", "d"))},
        {"kind": changed(uses_base=False)},
    ],
    ids=str,
)
def test_whatever_the_first_stage_depends_on_is_in_all_keys(other: dict[str, Any]) -> None:
    assert Keys().all.isdisjoint(Keys(**other).all)


def test_a_method_without_a_base_does_not_ask_which_it_is() -> None:
    kind = changed(uses_base=False)
    assert Keys(kind, base="a").all == Keys(kind, base="b").all


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Two, "two"), (TuneAVideo, "tune_a_video"), (TuneAVideo, "fork"), (FateZero, "fatezero")],
)
def test_a_mask_is_in_no_key_of_a_method_that_does_not_use_it(
    kind: type[Method], name: str
) -> None:
    assert Keys(kind, name, mask="0a").all == Keys(kind, name).all


def test_edits_of_a_masking_method_without_a_mask_keep_the_keys_of_former_releases() -> None:
    assert Keys(WanVACE, "wan_vace").edit == "836318b68fa5a3258ac9406d2fdf3f3f"


def test_a_mask_is_in_all_keys_of_a_method_that_uses_it_and_only_where_there_is_one() -> None:
    kind = changed(uses_mask=True)
    assert Keys(kind).all == Keys(Two).all
    one, other = Keys(kind, mask="0a").all, Keys(kind, mask="0b").all
    assert one.isdisjoint(Keys(kind).all)
    assert one.isdisjoint(other)


def test_a_stage_of_a_method_without_masks_is_shared_and_the_edit_is_not() -> None:
    class Masked(Two):
        uses_mask = True

        @override
        def stages(self) -> Sequence[Stage]:
            return [Stage(kind="adapter", parts={}, of="tune_a_video"), Stage(kind="own", parts={})]

    one, other = Keys(Masked, mask="0a"), Keys(Masked, mask="0b")
    assert one.stages[0] == other.stages[0]
    assert one.stages[1] != other.stages[1]
    assert one.edit != other.edit


@pytest.mark.parametrize("kind", [TuneAVideo, FrameByFrame, Two])
def test_two_methods_never_share_a_key(kind: type[Method]) -> None:
    """Of one and the same class under two names, too: only one of them may be what it was."""
    assert Keys(kind, "tune_a_video").all.isdisjoint(Keys(kind, "a_fork").all)
    assert Keys(kind, "a_fork").all.isdisjoint(Keys(kind, "another_fork").all)
    assert Keys(kind, "a_fork").all == Keys(kind, "a_fork").all


def test_a_fork_of_tune_a_video_has_its_own_version_and_inversions() -> None:
    fork = type("Fork", (TuneAVideo,), {"version": 2})
    assert Keys(TuneAVideo, "fork").all.isdisjoint(Keys(fork, "fork").all)
    one, other = (Keys(fork, "fork", invert=InvertConfig(steps=steps)) for steps in (5, 6))
    assert one.stages[0] == other.stages[0]
    assert one.stages[1] != other.stages[1]
    assert one.edit != other.edit


ON_A_TUNED_MODEL = pytest.mark.parametrize(
    ("kind", "name"), [(FateZero, "fatezero"), (EditFriendly, "edit_friendly")]
)


@ON_A_TUNED_MODEL
@pytest.mark.parametrize("tune", [TuneConfig(), TuneConfig(steps=7), TuneConfig(steps=0)])
def test_methods_on_a_tuned_model_share_its_adapter_and_nothing_else(
    kind: type[Method], name: str, tune: TuneConfig
) -> None:
    first = Keys(TuneAVideo, "tune_a_video", tune=tune)
    other = Keys(kind, name, tune=tune, invert=InvertConfig(steps=9))
    assert other.stages[0] == first.stages[0]
    assert first.all & other.all == {first.stages[0].work_key}


@ON_A_TUNED_MODEL
def test_an_adapter_of_other_settings_is_another(kind: type[Method], name: str) -> None:
    usual = Keys(kind, name).all
    changes: list[dict[str, Any]] = [
        {"tune": TuneConfig(steps=7)},
        {"prompt": "another"},
        {"clip": "another"},
        {"base": "another"},
        {"seed": 7},
    ]
    assert all(usual.isdisjoint(Keys(kind, name, **change).all) for change in changes)


@ON_A_TUNED_MODEL
def test_an_encoding_is_in_all_keys_and_in_no_seed(kind: type[Method], name: str) -> None:
    for method, its_name in ((kind, name), (TuneAVideo, "tune_a_video")):
        exact = Keys(method, its_name)
        assert exact.stages[0].seed_key == exact.stages[0].key
        encoded = [
            Keys(method, its_name, adapter=AdapterConfig(**form))
            for form in (
                {"encoding": "sign"},
                {"encoding": "low_rank"},
                {"encoding": "low_rank", "rank": 8},
            )
        ]
        for one in encoded:
            assert one.all.isdisjoint(exact.all)
            assert one.stages[0].seed_key == exact.stages[0].key
        assert (
            len({one.stages[0].key for one in encoded}) == len({one.edit for one in encoded}) == 3
        )


def test_what_is_not_tuned_has_no_encoding() -> None:
    none = TuneConfig(steps=0)
    sign = AdapterConfig(encoding="sign")
    plain = Keys(TuneAVideo, "tune_a_video", tune=none)
    assert Keys(TuneAVideo, "tune_a_video", tune=none, adapter=sign).all == plain.all


def test_on_the_image_model_tuning_does_not_matter() -> None:
    own = EditFriendlyConfig(model="image")
    one, other = (
        Keys(EditFriendly, "edit_friendly", own=own, tune=TuneConfig(steps=steps))
        for steps in (5, 6)
    )
    assert one.all == other.all


def test_a_stage_of_another_method_has_its_key() -> None:
    class Borrower(FrameByFrame):
        @override
        def stages(self) -> Sequence[Stage]:
            return [dataclasses.replace(one, of="frame_by_frame") for one in super().stages()]

    owner = Keys(FrameByFrame, "frame_by_frame")
    borrower = Keys(Borrower, "borrower")
    assert borrower.stages == owner.stages
    assert borrower.edit != owner.edit


def test_a_stage_of_a_method_that_is_not_there_is_refused() -> None:
    class Borrower(FrameByFrame):
        @override
        def stages(self) -> Sequence[Stage]:
            return [dataclasses.replace(one, of="frame_by_fame") for one in super().stages()]

    with pytest.raises(UnknownMethodError, match="did you mean 'frame_by_frame'"):
        Keys(Borrower, "borrower")


def test_a_stage_after_latents_depends_on_the_inversion() -> None:
    class Third(TuneAVideo):
        @override
        def stages(self) -> Sequence[Stage]:
            return [*super().stages(), Stage(kind="third", parts={})]

    one, other = (Keys(Third, "third", invert=InvertConfig(steps=steps)) for steps in (5, 6))
    assert one.stages[2] != other.stages[2]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 5]),
            st.sampled_from([5, 6]),
            st.sampled_from(["inversion", "noise"]),
        ),
        min_size=2,
        max_size=2,
    )
)
def test_tune_a_videos_stages_are_shared_exactly_where_their_settings_are(
    settings: list[tuple[int, int, Any]],
) -> None:
    one, other = (
        Keys(
            TuneAVideo,
            "tune_a_video",
            tune=TuneConfig(steps=tuned),
            invert=InvertConfig(steps=inverted),
            sample=SampleConfig(start=start),
        )
        for tuned, inverted, start in settings
    )
    same = [a == b for a, b in zip(*settings, strict=True)]
    assert (one.stages[0] == other.stages[0]) == same[0]
    assert (one.stages[1] == other.stages[1]) == (same[0] and same[1])
    assert (one.edit == other.edit) == all(same)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("a b",), "kind 'a b': name it with 1 to 64"),
        (("",), "kind ''"),
        (("a", "a"), "two stages of kind 'a': rename one"),
        (("latents",), "latents, but not right after an adapter"),
        (("adapter", "b", "latents"), "latents, but not right after an adapter"),
    ],
)
def test_stages_that_cannot_be_kept_are_refused(kinds: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Keys(changed(kinds=kinds))


def test_a_stage_may_depend_on_neither_prompt_nor_models() -> None:
    """An atlas takes hours, and neither another CLIP nor another caption makes it another."""

    def keys(*, model: str = "a", **changes: Any) -> Keys:
        own = Text2LiveConfig(clip=model, **changes.pop("own", {}))
        return Keys(Text2Live, "text2live", own=own, models={"clip": model}, **changes)

    usual = keys()
    of_edits: list[dict[str, Any]] = [{"model": "b"}, {"prompt": "a"}, {"own": {"steps": 7}}]
    for change in of_edits:
        other = keys(**change)
        assert other.stages == usual.stages, change
        assert other.edit != usual.edit, change
    own = {"atlas": AtlasConfig(steps=7)}
    of_all: list[dict[str, Any]] = [{"own": own}, {"seed": 7}, {"clip": "another"}]
    for change in of_all:
        assert keys(**change).all.isdisjoint(usual.all), change
    same = {"atlas": AtlasConfig(checkpoint_every=7)}
    assert keys(own=same).all == usual.all
