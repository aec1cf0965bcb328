"""Maps of clips: of the right shape, where they should be bright, and the same twice."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components.config import ControlsConfig, VideoConfig
from components.config.control import CannyConfig, DepthConfig, MaskConfig, PoseConfig
from components.controls.depth import Depth, scaled
from components.controls.keeping import read_maps_file, write_maps
from components.controls.maker import make_maker, maker_key
from components.errors import TransientError, UserError
from components.video.io import decode_clip
from tests.random_controls import build_sam2
from tests.random_models import seeded

CLIPS = next(
    (one / "shared/videos" for one in Path(__file__).parents if (one / "shared/videos").is_dir()),
    None,
)
Frames = NDArray[np.uint8]


def box(frames: int = 3, size: int = 64) -> Frames:
    """A bright box on dark ground that moves to the right."""
    clip = np.full((frames, size, size, 3), 30, np.uint8)
    for f in range(frames):
        clip[f, 16:48, 16 + 4 * f : 40 + 4 * f] = 220
    return clip


@pytest.mark.parametrize("kind", ["canny", "softedge"])
def test_edges_are_where_the_box_ends(kind: str) -> None:
    maps = make_maker(ControlsConfig(), kind, {})(box())
    assert maps.shape == (3, 64, 64, 3)
    assert maps.dtype == "uint8"
    for f in range(3):
        assert maps[f, 32, 14 + 4 * f : 18 + 4 * f].max() == 255
        assert maps[f, 32, 26 + 4 * f].max() == 0
        assert maps[f, 4].max() == 0
    assert not make_maker(ControlsConfig(), kind, {})(np.full_like(box(), 7)).any()


def test_thresholds_choose_edges() -> None:
    faint = np.full((1, 64, 64, 3), 100, np.uint8)
    faint[:, :, 32:] = 110
    assert not make_maker(ControlsConfig(), "canny", {})(faint).any()
    assert make_maker(ControlsConfig(canny=CannyConfig(low=5, high=10)), "canny", {})(faint).any()


def test_soft_edges_have_one_scale_for_a_clip() -> None:
    """Else a frame in which little happens would be as bright as the others."""
    clip = box(2)
    clip[1] = clip[1] // 4
    maps = make_maker(ControlsConfig(), "softedge", {})(clip)
    assert maps[1].max() < maps[0].max() / 2


@pytest.mark.skipif(CLIPS is None, reason="the real clips are not here")
def test_edges_of_real_clips() -> None:
    video = VideoConfig(num_frames=2, width=128, height=72)
    found = 0
    assert CLIPS is not None
    for path in sorted(CLIPS.iterdir())[:4]:
        if path.suffix not in (".mp4", ".avi", ".webm", ".mov"):
            continue
        frames = decode_clip(path, video).frames
        shares = [
            (make_maker(ControlsConfig(), kind, {})(frames) > 127).mean()
            for kind in ("canny", "softedge")
        ]
        assert all(0.001 < share < 0.5 for share in shares), (path.name, shares)
        found += 1
    assert found


def depth_model(folder: Path, kind: str) -> Path:
    """A tiny depth estimator of transformers' own classes with random weights."""
    import transformers

    with seeded(4):
        if kind == "relative":
            config = transformers.DPTConfig(
                hidden_size=16,
                num_hidden_layers=4,
                num_attention_heads=2,
                intermediate_size=16,
                image_size=32,
                patch_size=8,
                backbone_out_indices=[0, 1, 2, 3],
                neck_hidden_sizes=[8, 8, 8, 8],
                fusion_hidden_size=8,
                is_hybrid=False,
            )
            model = transformers.DPTForDepthEstimation(config)
            processor = transformers.DPTImageProcessor(size={"height": 32, "width": 32})
        else:
            config = transformers.GLPNConfig(
                hidden_sizes=[8, 8, 16, 16],
                depths=[1, 1, 1, 1],
                num_attention_heads=[1, 1, 2, 2],
                decoder_hidden_size=8,
            )
            model = transformers.GLPNForDepthEstimation(config)
            processor = transformers.GLPNImageProcessor()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_depth_is_bright_where_it_is_near(kind: str, tmp_path: Path) -> None:
    import torch

    folder = depth_model(tmp_path / "depth", kind)
    config = ControlsConfig(depth=DepthConfig(model=str(folder)))
    clip = box(5)
    maps = make_maker(config, "depth", {})(clip)
    assert maps.shape == clip.shape
    assert maps.dtype == "uint8"
    assert (maps.min(), maps.max()) == (0, 255)
    assert np.array_equal(maps, make_maker(config, "depth", {})(clip))
    # By the model itself: what it calls far (metres), or not near, is dark.
    depth = Depth(str(folder), None, "cpu")
    inputs = depth._processor(images=list(clip), return_tensors="pt")
    with torch.no_grad():
        found = depth._model(**inputs)
    sizes = [(64, 64)] * 5
    own = depth._processor.post_process_depth_estimation(found, target_sizes=sizes)
    values = np.stack([one["predicted_depth"].numpy() for one in own])
    bright, dark = maps[..., 0] > 200, maps[..., 0] < 50
    sign = -1 if kind == "metric" else 1
    assert sign * values[bright].mean() > sign * values[dark].mean()


def test_depth_does_not_flicker() -> None:
    """A clip that comes nearer gets brighter; with a scale for each frame it would not."""
    near = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8).repeat(4, 0)
    near += np.arange(4, dtype=np.float32)[:, None, None]
    maps = scaled(near)
    means = maps.reshape(4, -1).mean(axis=1)
    assert (np.diff(means) > 50).all()
    assert (maps.min(), maps.max()) == (0, 255)
    still = scaled(np.stack([near[0]] * 3 + [near[0] + 5]))
    assert np.array_equal(still[0], still[2])
    assert not scaled(np.ones((2, 4, 4), np.float32)).any()


def test_a_depth_model_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    folder = depth_model(tmp_path / "depth", "relative")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    config = ControlsConfig(depth=DepthConfig(model=str(folder)))
    with pytest.raises(UserError, match=r"control\.depth\.model .* cannot be used: .*pickle"):
        make_maker(config, "depth", {})
    with pytest.raises(UserError, match=r"control\.depth\.model"):
        make_maker(ControlsConfig(depth=DepthConfig(model=str(tmp_path / "no"))), "depth", {})


def test_a_library_that_is_missing_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)  # as where nobody has installed it
    with pytest.raises(UserError, match=r"need rtmlib, .*: pip install '\.\[pose\]'"):
        make_maker(ControlsConfig(), "pose", {})


def onnx_models(folder: Path) -> PoseConfig:
    """A detector that sees one person in the middle, and an estimator with random weights."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the models of this test")
    pytest.importorskip("rtmlib", reason="rtmlib is not installed: pip install '.[pose]'")
    from onnx import TensorProto, helper, numpy_helper

    def save(name: str, size: tuple[int, int], outputs: dict[str, NDArray[Any]]) -> Path:
        """Outputs of random weights times the picture's mean, and what they are at rest."""
        values = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in outputs.items()
        ]
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, *size))
        nodes = [helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0)]
        tensors = []
        for n, array in outputs.items():
            tensors.append(numpy_helper.from_array(array.astype(np.float32), f"{n}_rest"))
            tensors.append(numpy_helper.from_array(np.float32(1e-6), f"{n}_by"))
            nodes.append(helper.make_node("Mul", ["mean", f"{n}_by"], [f"{n}_mean"]))
            nodes.append(helper.make_node("Add", [f"{n}_rest", f"{n}_mean"], [n]))
        graph = helper.make_graph(nodes, name, [given], values, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / f"{name}.onnx")
        return folder / f"{name}.onnx"

    rng = np.random.default_rng(3)
    boxes = np.array([[[8, 4, 56, 60, 0.9]]])
    detector = save("detector", (64, 64), {"dets": boxes})
    joints = {
        "simcc_x": rng.random((1, 17, 2 * 48)),
        "simcc_y": rng.random((1, 17, 2 * 64)),
    }
    estimator = save("estimator", (64, 48), joints)
    return PoseConfig(
        detector=str(detector),
        detector_size=(64, 64),
        estimator=str(estimator),
        estimator_size=(48, 64),
    )


def test_poses_are_drawn_on_black(tmp_path: Path) -> None:
    config = ControlsConfig(pose=onnx_models(tmp_path))
    maps = make_maker(config, "pose", {})(box())
    assert maps.shape == box().shape
    assert maps.dtype == "uint8"
    drawn = maps.max(axis=-1) > 0
    assert 0.02 < drawn.mean() < 0.9
    assert len(np.unique(maps[0].reshape(-1, 3), axis=0)) > 5, "each limb has its colour"


def test_poses_want_files_and_fetch_nothing(tmp_path: Path) -> None:
    from components.controls.pose import check_file

    for path in ("", "https://example.org/a.onnx", str(tmp_path), str(tmp_path / "no.onnx")):
        with pytest.raises(UserError, match=r"control\.pose\.detector is .* no \.onnx file here"):
            check_file("control.pose.detector", path)


def test_masks_are_black_and_white(tmp_path: Path) -> None:
    config = ControlsConfig(mask=MaskConfig(model=str(build_sam2(tmp_path / "sam"))))
    make = make_maker(config, "mask", {})
    maps = make(box())
    assert maps.shape == box().shape
    assert maps.dtype == "uint8"
    assert set(np.unique(maps)) <= {0, 255}
    assert np.array_equal(maps, make(box()))


@pytest.mark.parametrize("grey", [True, False])
def test_a_file_of_maps_is_exact_and_the_same_twice(*, grey: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (3, 40, 72, 1 if grey else 3), dtype=np.uint8)
    maps = maps.repeat(3, axis=-1) if grey else maps
    for name in ("a.mkv", "b.mkv"):
        write_maps(tmp_path / name, maps)
    assert np.array_equal(read_maps_file(tmp_path / "a.mkv", 3), maps)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    with pytest.raises(TransientError, match="holds 3 frames, but 4"):
        read_maps_file(tmp_path / "a.mkv", 4)
    (tmp_path / "a.mkv").write_bytes(b"no video")
    with pytest.raises(TransientError, match=r"a\.mkv cannot be read"):
        read_maps_file(tmp_path / "a.mkv", 3)


def test_a_makers_key_holds_what_maps_depend_on_and_no_place() -> None:
    usual = ControlsConfig()
    key = maker_key(usual, "canny", {})
    assert key == maker_key(dataclasses.replace(usual, device="cuda", tune=True), "canny", {})
    assert key != maker_key(dataclasses.replace(usual, canny=CannyConfig(low=1)), "canny", {})
    assert key != maker_key(usual, "softedge", {})
    here = dataclasses.replace(usual, depth=DepthConfig(model="/a"))
    there = dataclasses.replace(usual, depth=DepthConfig(model="/b"))
    assert maker_key(here, "depth", {"/a": "x"}) == maker_key(there, "depth", {"/b": "x"})
    assert maker_key(here, "depth", {"/a": "x"}) != maker_key(here, "depth", {"/a": "y"})
