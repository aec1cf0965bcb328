"""Text2LIVE on a drawn clip, whose masks are known, under tinyworld's CLIP."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eval.clip_encoder import ClipEncoder
from methods.atlas import render
from methods.atlas_training import TrainedAtlas
from methods.method import ClipSize, Desk, Edit, Frames, Masks, Method, Source
from methods.text2live import ATLAS, Text2Live, layer_prompt
from methods.text2live_config import AtlasConfig, Text2LiveConfig
from tav_model.errors import MaskError, PromptError, TavModelError
from tav_model.frames import to_uint8
from tests import tiny_atlas as tiny
from tests.editing import desk, made
from tests.tiny_atlas import SCENE, SIZE, drawn, masks
from tinyworld.clips import CLIPS
from tinyworld.scenes import COLORS
from tinyworld.shipped import shipped_model

PROMPT = CLIPS[SCENE].caption()
BLUE = PROMPT.replace("red", "blue")
SMALL: dict[str, Any] = {
    "atlas": tiny.ATLAS,
    "channels": 8,
    "scales": 3,
    "resolution": 160,
    "views": 1,
    "border": 8,
    "templates": ("{}",),
    "screen_templates": ("{}",),
    "steps": 2,
}
FEW = AtlasConfig(steps=4, samples=64, width=8, pretrain_steps=1, checkpoint_every=3)


@pytest.fixture(scope="module")
def loaded() -> Text2Live:
    method = made(Text2Live, Path("-"), clip=str(shipped_model("clip")), **SMALL)
    method.check_own_models()
    method.load()
    return method


@pytest.fixture(scope="module")
def prepared(tiny_atlas: TrainedAtlas, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    path = tmp_path_factory.mktemp("atlas") / "atlas.safetensors"
    save_file(tiny_atlas.atlas.state_dict(), path)
    return {ATLAS: path}


def settled(method: Text2Live, **own: Any) -> Text2Live:
    """The same CLIP with other settings, which the engine would load anew."""
    changed = dataclasses.replace(method.settings.own, **own)
    other = Text2Live(dataclasses.replace(method.settings, own=changed))
    other._clip, other._device = method._clip, method._device
    return other


def source(mask: Masks | None = None, *, frames: Frames | None = None) -> Source:
    clip = drawn()
    return Source(
        video_id="clip",
        prompt=PROMPT,
        seed=7,
        load=lambda: clip.frames if frames is None else frames,
        load_mask=lambda: mask,
    )


def edited(method: Method, prepared: dict[str, Path], *prompts: str) -> list[Frames]:
    edits = [Edit(name=f"edit{i}", prompt=prompt) for i, prompt in enumerate(prompts)]
    return list(method.edit(source(), edits, prepared))


def psnr(one: Frames, other: Frames, where: Masks) -> float:
    difference = (one.astype(float) - other)[where]
    return float(10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)))


# --- edits -------------------------------------------------------------------------------------


def check_edit(method: Text2Live, prepared: dict[str, Path]) -> Frames:
    """CLIP sees the edit, and what is around the object is the clip's."""
    clip = drawn()
    (out,) = edited(method, prepared, BLUE)
    assert out.shape == clip.frames.shape
    assert psnr(out, clip.frames, ~masks(clip)) >= 30
    assert psnr(out, clip.frames, masks(clip)) < 15
    judge = ClipEncoder(str(shipped_model("clip")))
    target, source_text = (judge.encode_text(text) for text in (BLUE, PROMPT))
    before, after = (judge.encode_frames(x).mean(0) for x in (clip.frames, out))
    assert after @ (target - source_text) > before @ (target - source_text) + 0.3
    return out


def test_an_edit_changes_the_object_and_nothing_else(
    loaded: Text2Live, prepared: dict[str, Path]
) -> None:
    method = settled(loaded, steps=30, border=30, channels=16, whole_atlas_every=15)
    check_edit(method, prepared)


@pytest.mark.soak
def test_a_blue_fish_becomes_blue(loaded: Text2Live, prepared: dict[str, Path]) -> None:
    clip = drawn()
    method = settled(loaded, steps=120, border=30, channels=16, scales=4, views=2)
    out = check_edit(method, prepared)
    blue = np.array(COLORS["blue"])
    was, now = (np.linalg.norm(x[masks(clip)].mean(0) - blue) for x in (clip.frames, out))
    assert now < was / 2


def test_an_edit_may_be_laid_upon_the_reconstruction(
    loaded: Text2Live, prepared: dict[str, Path], tiny_atlas: TrainedAtlas
) -> None:
    clip = drawn()
    whole = to_uint8(render(tiny_atlas.atlas, "foreground", torch.device("cpu")).whole)
    (out,) = edited(settled(loaded, onto="reconstruction"), prepared, BLUE)
    outside = ~masks(clip)
    assert psnr(out, whole, outside) >= 30
    assert psnr(out, clip.frames, outside) == pytest.approx(
        psnr(whole, clip.frames, outside), abs=1
    )
    assert psnr(out, whole, masks(clip)) < 20


def test_a_background_s_edit_leaves_the_object_alone(
    loaded: Text2Live, prepared: dict[str, Path]
) -> None:
    clip = drawn()
    method = settled(loaded, layer="background", steps=12)
    (out,) = edited(method, prepared, PROMPT.replace("sea", "snow"))
    middle = np.stack([m & np.roll(m, 2, 0) & np.roll(m, -2, 0) for m in masks(clip)])
    assert psnr(out, clip.frames, middle) >= 30
    assert psnr(out, clip.frames, ~masks(clip)) < 25


def test_equal_edits_are_equal_and_others_are_not(
    loaded: Text2Live, prepared: dict[str, Path]
) -> None:
    quick = settled(loaded, steps=1)
    one, other, again = edited(quick, prepared, BLUE, PROMPT, BLUE)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    for name in ("structure_weight", "sparsity_weight", "screen_weight", "composition_weight"):
        (changed,) = edited(settled(quick, **{name: 0}), prepared, BLUE)
        assert not np.array_equal(changed, one), name
    (changed,) = edited(settled(quick, layer_prompt="{words}"), prepared, BLUE)
    assert not np.array_equal(changed, one)


def test_an_atlas_without_a_foreground_is_told(
    loaded: Text2Live, prepared: dict[str, Path], tmp_path: Path
) -> None:
    weights = load_file(prepared[ATLAS])
    last = max(name for name in weights if name.startswith("alpha") and name.endswith("bias"))
    weights[last] -= 100
    save_file(weights, tmp_path / "atlas.safetensors")
    with pytest.raises(TavModelError, match=r"shows no foreground.*mask.*atlas\.steps"):
        edited(loaded, {ATLAS: tmp_path / "atlas.safetensors"}, BLUE)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_and_odd_sizes_are_edited_too(
    frames: int, loaded: Text2Live, prepared: dict[str, Path], tmp_path: Path
) -> None:
    clip = drawn()
    few, mask = clip.frames[:frames, :40, :24], masks(clip)[:frames, :40, :24]
    method, clipped = settled(loaded, atlas=FEW), source(mask, frames=few)
    (atlas,) = method.prepare(clipped, {}, [ATLAS], desk_of(tmp_path))
    assert (atlas.facts["psnr"] or 0) > 0
    # Its four steps know no foreground yet; the trained networks take any size.
    edits = [Edit(name="edit", prompt=BLUE)]
    (out,) = loaded.edit(clipped, edits, prepared)
    assert out.shape == few.shape
    assert not np.array_equal(out, few)


# --- the atlas ---------------------------------------------------------------------------------


class KilledError(Exception):
    pass


class Kept:
    """A checkpoint that outlives its worker, which dies after some writes."""

    def __init__(self, path: Path, dies: int = 0) -> None:
        self.path, self.dies = path, dies

    def read(self, path: Path) -> bool:
        if self.path.exists():
            path.write_bytes(self.path.read_bytes())
        return self.path.exists()

    def write(self, path: Path) -> None:
        self.path.write_bytes(path.read_bytes())
        self.dies -= 1
        if self.dies == 0:
            raise KilledError

    def due(self) -> bool:
        return False


def desk_of(folder: Path, checkpoint: Kept | None = None, told: list[int] | None = None) -> Desk:
    folder.mkdir(exist_ok=True)
    plain = desk(folder)
    steps = [] if told is None else told
    kept = checkpoint or Kept(folder / "kept")
    return dataclasses.replace(plain, checkpoint=kept, progress=lambda step, *_: steps.append(step))


def test_a_killed_training_goes_on_in_another_worker(loaded: Text2Live, tmp_path: Path) -> None:
    method, clip = settled(loaded, atlas=FEW), source(masks(drawn()))

    def run(name: str, checkpoint: Kept, told: list[int]) -> bytes:
        work = desk_of(tmp_path / name, checkpoint, told)
        (artefact,) = method.prepare(clip, {}, [ATLAS], work)
        assert artefact.kind == ATLAS
        assert artefact.path is not None
        facts = dict(artefact.facts)
        assert facts["steps"] == 4
        assert all((facts[name] or 0) > 0 for name in ("final_loss", "psnr"))
        return artefact.path.read_bytes()

    told: list[int] = []
    kept = Kept(tmp_path / "kept", dies=3)
    with pytest.raises(KilledError):
        run("killed", kept, told)
    assert told == list(range(1, 10))
    told.clear()
    resumed = run("resumed", kept, told)
    assert told == list(range(10, 13))
    assert resumed == run("whole", Kept(tmp_path / "other"), [])


def test_a_damaged_checkpoint_costs_time_alone(loaded: Text2Live, tmp_path: Path) -> None:
    method, clip = settled(loaded, atlas=FEW), source(masks(drawn()))
    (tmp_path / "kept").write_bytes(b"\0" * 64)
    told: list[int] = []
    work = desk_of(tmp_path / "desk", Kept(tmp_path / "kept"), told)
    assert list(method.prepare(clip, {}, [ATLAS], work))
    assert told == list(range(1, 13))


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (None, r"has no mask: give the manifest's `mask`"),
        (np.zeros((8, 64, 64), bool), "the object nowhere in all 8 frames"),
        (np.ones((8, 64, 64), bool), "the object everywhere in all 8 frames"),
    ],
    ids=["none", "nowhere", "everywhere"],
)
def test_a_clip_without_two_layers_is_refused(
    mask: Masks | None, problem: str, loaded: Text2Live, tmp_path: Path
) -> None:
    with pytest.raises(MaskError, match=problem):
        list(loaded.prepare(source(mask), {}, [ATLAS], desk_of(tmp_path)))


# --- settings and prompts ----------------------------------------------------------------------


def test_it_asks_for_a_mask_and_no_base_and_prepares_one_atlas() -> None:
    method = made(Text2Live, Path("-"))
    assert (method.uses_mask, method.uses_base) == (True, False)
    (stage,) = method.stages()
    assert (stage.kind, stage.long, stage.kept) == (ATLAS, True, True)
    assert stage.parts == {"atlas": AtlasConfig()}
    assert method.weights() == {"clip": {"": "open_clip_model"}}
    assert method.least_bytes({"clip/": 100}) == 400


def test_what_the_driver_asks_loads_no_torch() -> None:
    asked = (
        "import sys; from methods.text2live import Text2Live; "
        "from methods.method import ClipSize, Settings; from tav_model.config import ModelConfig; "
        f"own = Text2Live.Config(clip={str(shipped_model('clip'))!r}); "
        "method = Text2Live(Settings(own=own, model=ModelConfig(base='-'))); "
        "method.check_own_models(); method.weights(); method.stages(); method.key_parts(); "
        "method.nearest(ClipSize(num_frames=1, width=8, height=8)); "
        "sys.exit(str({'torch', 'cv2', 'open_clip'} & sys.modules.keys() or '') or None)"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)


def test_clips_too_small_for_the_flow_are_told_the_nearest_size() -> None:
    method = made(Text2Live, Path("-"))
    assert method.nearest(SIZE) == SIZE
    tiny = ClipSize(num_frames=1, width=8, height=64)
    assert method.nearest(tiny) == ClipSize(num_frames=1, width=16, height=64)


def test_a_prompt_has_to_fit_into_every_sentence(loaded: Text2Live) -> None:
    loaded.check_prompt(" ".join(["fish"] * 30))
    for own in ({"templates": ("{}", "a {}")}, {"layer_prompt": "a {prompt}"}):
        with pytest.raises(PromptError, match="CLIP reads 32"):
            settled(loaded, **own).check_prompt(" ".join(["fish"] * 30))
    for prompt in ("", " "):
        with pytest.raises(PromptError, match="empty"):
            loaded.check_prompt(prompt)


@pytest.mark.parametrize(
    ("template", "prompt", "expected"),
    [
        ("{prompt}", "a blue fish", "a blue fish"),
        ("{words}", "a blue fish", "blue"),
        ("{words} thing", "a big blue boat", "big blue boat thing"),
        (
            "{words}, of {prompt}",
            "a red fish, cartoon style",
            "fish, cartoon style, of a red fish, cartoon style",
        ),
    ],
)
def test_the_layer_s_prompt_is_the_edit_s_or_its_new_words(
    template: str, prompt: str, expected: str
) -> None:
    assert layer_prompt(template, "a red fish", prompt) == expected


def test_without_new_words_there_is_no_prompt_of_them() -> None:
    with pytest.raises(PromptError, match=r"'a fish' has no word.*use \{prompt\}"):
        layer_prompt("{words}", "a red fish", "a fish")


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"clip": ""}, "clip=''"),
        ({"layer": "both"}, "layer='both'"),
        ({"onto": "video"}, "onto='video'"),
        ({"steps": 0}, "steps=0"),
        ({"scales": 11}, r"resolution=2000.*>= 2 \*\* scales \+ 1 = 2049"),
        ({"crops_min_cover": 0}, "crops_min_cover=0"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"layer_prompt": "gold"}, r"layer_prompt='gold'.*\{prompt\} or \{words\}"),
        ({"templates": ()}, "templates="),
        ({"screen_templates": ("{} and {}",)}, "screen_templates="),
        ({"structure_weight": -1}, r"structure_weight=-1.*official code's is 3"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(own: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Text2LiveConfig(**own)


@pytest.mark.parametrize(
    "own",
    [{"steps": 0}, {"alpha_layers": 1}, {"learning_rate": 2}, {"checkpoint_every": -1}],
    ids=str,
)
def test_the_atlas_s_too(own: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(own))):
        AtlasConfig(**own)
