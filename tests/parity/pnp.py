"""A folder recorded from the official Plug-and-Play code, and what must agree with it."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import override

from methods.method import Edit, Settings, Source
from methods.plug_and_play import PlugAndPlay, PlugAndPlayConfig, layers
from tav_model.config import ModelConfig, SampleConfig
from tav_model.sample import denoise
from tav_model.solvers import sampling_timesteps
from tav_model.text import encode_prompts
from tav_model.vae import decode_video
from tests.editing import desk

_SLACK = 10
"""Times the reference's own fp32 rounding noise that another fp32 implementation may be off."""
_ABBREVIATED = re.compile(r"(attentions\.\d+)\.attn")


class Group(NamedTuple):
    """Runs that differ in their inversion alone: their frames go through the UNet together."""

    steps: int
    features: float
    attention: float
    runs: tuple[str, ...]


class PnPGolden:
    """One folder: its tensors, its numbers, and methods made of its checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        self.prompts: dict[str, str] = self.meta["prompts"]

    @cached_property
    def tensors(self) -> dict[str, tuple[str, Tensor]]:
        """By name: file and tensor."""
        files = sorted(self.folder.glob("*.safetensors"))
        return {k: (f.stem, t) for f in files for k, t in load_file(f).items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name][1]

    def check(self, name: str, actual: Tensor, *, single: bool = False, extra: float = 0) -> None:
        """Compare with a golden tensor, within the slack; integers must be equal."""
        self.check_part(name, actual, self[name], single=single, extra=extra)

    def check_part(
        self, name: str, actual: Tensor, expected: Tensor, *, single: bool = False, extra: float = 0
    ) -> None:
        """Compare with a part of a golden tensor; of rounded values ``extra`` may be lost."""
        assert actual.shape == expected.shape, f"{name}: {actual.shape} for {expected.shape}"
        if not expected.is_floating_point():
            assert torch.equal(actual, expected), name
            return
        key = f"{self.tensors[name][0]}/{name}"
        noise = self.meta["fp64_single_step_abs" if single else "fp64_abs"][key]
        most = self[name].abs().max().item()
        limit = _SLACK * noise if noise > 1e-7 * most else 1e-6 * most
        error = (actual - expected).abs().max().item()
        assert error <= limit + extra, f"{name}: off by {error:.2e}, allowed {limit + extra:.2e}"

    def groups(self) -> list[Group]:
        """All runs."""
        found: dict[tuple[int, float, float], list[str]] = {}
        for run, settings in self.meta["runs"].items():
            key = (self.steps(run), settings["pnp_f_t"], settings["pnp_attn_t"])
            found.setdefault(key, []).append(run)
        return [Group(*key, tuple(runs)) for key, runs in found.items()]

    def steps(self, run: str) -> int:
        """Sampling steps of a run."""
        return len(self[f"{self.sampling(run)}.timesteps"])

    @staticmethod
    def sampling(run: str) -> str:
        """Name of a run's timesteps, such as ``sample10``."""
        return run.split(".")[1]

    def inverted(self, run: str) -> Tensor:
        """A run's source latents (T, C, F, H, W), in the order in which sampling reads them."""
        inversion, sampling, _ = run.split(".")
        places = self[f"{inversion}.timesteps"].tolist()
        wanted = [places.index(t) for t in self[f"{sampling}.timesteps"].tolist()]
        return self[f"{inversion}.latents"][:, wanted].permute(1, 2, 0, 3, 4)

    def source(self) -> Source:
        """The frames as a clip."""
        return Source(video_id="golden", prompt="unused", seed=0, load=self["frames"].numpy)

    def settings(self, **own: Any) -> Settings:
        """Settings of the method on the golden checkpoint, the rest of ``own`` the official."""
        given = {
            "guidance_scale": self.meta["guidance_scale"],
            "negative_prompt": self.prompts["negative"],
            "frames_per_batch": 1000,
            **own,
        }
        return Settings(
            own=PlugAndPlayConfig(**given),
            model=ModelConfig(base=str((self.folder / self.meta["checkpoint"]).resolve())),
        )

    def loaded(self, **own: Any) -> PlugAndPlay:
        """The method, ready for use."""
        method = PlugAndPlay(self.settings(**own))
        method.load()
        return method


class Both(PlugAndPlay):
    """Makes each step twice: in its run, and from the golden latents of the step before."""

    whole: list[Tensor]
    single: list[Tensor]
    given: list[Tensor]

    @override
    def step(self, i: int, x_CFHW: Tensor, source_CFHW: Tensor, text_3LC: Tensor) -> Tensor:
        x = torch.cat([x_CFHW, self.given[i]], dim=1)
        source = torch.cat([source_CFHW, source_CFHW], dim=1)
        whole, single = super().step(i, x, source, text_3LC).chunk(2, dim=1)
        self.whole.append(whole)
        self.single.append(single)
        return whole


def check_inputs(golden: PnPGolden) -> None:
    """Noise schedule, timesteps, token ids and embeddings, layers, and the frames' latents."""
    method = golden.loaded()
    base = method._base
    assert torch.equal(base.scheduler.alphas_cumprod, golden["alphas_cumprod"])
    assert torch.equal(base.scheduler.final_alpha_cumprod[None], golden["final_alpha_cumprod"])
    for name in {golden.sampling(run) for run in golden.meta["runs"]}:
        expected = golden[f"{name}.timesteps"].tolist()
        assert sampling_timesteps(base, len(expected)) == expected
    for name, prompt in golden.prompts.items():
        length = base.tokenizer.model_max_length
        ids = base.tokenizer(prompt, padding="max_length", max_length=length, return_tensors="pt")
        golden.check(f"text.{name}.input_ids", ids.input_ids)
        golden.check(f"text.{name}.embedding", encode_prompts(base, [prompt]))
    chosen = layers(base.unet)
    assert chosen.features == golden.meta["conv_layer"]
    assert list(chosen.attention) == golden.meta["attention_layers"]
    golden.check("latents", method.encode(golden.source()).transpose(0, 1))


def check_inversion(golden: PnPGolden, name: str, scratch: Path) -> None:
    """What is kept of the inversion of every frame, at each timestep that any run samples."""
    given = golden.meta["inversions"][name]
    runs = [run for run in golden.meta["runs"] if run.startswith(f"{name}.")]
    run = max(runs, key=golden.steps)
    method = golden.loaded(
        inversion_steps=given["steps"], inversion_prompt=given["prompt"], steps=golden.steps(run)
    )
    (artefact,) = method.prepare(golden.source(), {}, ["inversion"], desk(scratch))
    assert artefact.path is not None
    kept = load_file(artefact.path)["latents"]
    golden.check_part(f"{name}.latents", kept, golden.inverted(run))


def check_group(golden: PnPGolden, group: Group, scratch: Path) -> None:
    """All steps of all runs of a group, each alone and in their run; and the frames."""
    method = Both(
        golden.settings(
            inversion_steps=999,  # contains all others; the latents are the golden ones
            steps=group.steps,
            feature_injection=group.features,
            attention_injection=group.attention,
        )
    )
    method.load()
    inverted = torch.cat([golden.inverted(run) for run in group.runs], dim=2)
    expected = torch.cat([golden[f"{run}.latents"] for run in group.runs])  # (F, S, C, H, W)
    after = expected.permute(1, 2, 0, 3, 4)
    method.whole, method.single, method.given = [], [], [inverted[0], *after[:-1]]
    path = scratch / "inversion.safetensors"
    save_file({"latents": inverted.contiguous()}, path)
    edit = Edit(name="target", prompt=golden.prompts["target"])
    (frames,) = method.edit(golden.source(), [edit], {"inversion": path})
    video = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    for n, run in enumerate(group.runs):
        count = len(golden["frames"])
        own = slice(n * count, (n + 1) * count)
        for latents, single in ((method.single, True), (method.whole, False)):
            actual = torch.stack(latents).permute(2, 0, 1, 3, 4)[own]
            golden.check(f"{run}.latents", actual, single=single)
        if f"{run}.image" in golden.tensors:
            golden.check(f"{run}.image", video[own], extra=0.5 / 255)


def check_probes(golden: PnPGolden) -> None:
    """Layers of the probed run, its steps made from the golden latents of the step before."""
    probe = golden.meta["probe"]
    run, steps = probe["run"], golden.steps(probe["run"])
    settings = golden.meta["runs"][run]
    method = golden.loaded(
        steps=steps,
        feature_injection=settings["pnp_f_t"],
        attention_injection=settings["pnp_attn_t"],
    )
    names = [golden.prompts[name] for name in ("empty", "negative", "target")]
    text = encode_prompts(method._base, names)
    inverted = golden.inverted(run)
    for i in probe["steps"]:
        x = golden[f"{run}.latents"][:, i - 1].transpose(0, 1)
        prefix = f"step{i}."
        wanted = [n.removeprefix(prefix) for n in golden.tensors if n.startswith(prefix)]
        assert wanted
        with _recorded(method, wanted, x.shape[1]) as seen:
            method.step(i, x, inverted[i], text)
        for name in wanted:
            # A step that injects nothing needs no source beside it.
            expected = golden[prefix + name][:, -seen[name].shape[1] :]
            golden.check_part(prefix + name, seen[name], expected, single=True)


def check_reconstruction(golden: PnPGolden, name: str) -> None:
    """The inverted frames sampled back without guidance over the inversion's own timesteps."""
    given = golden.meta["inversions"][name]
    base = golden.loaded()._base
    text = encode_prompts(base, [given["prompt"]])
    start = golden[f"{name}.latents"][:, -1].transpose(0, 1)[None]
    config = SampleConfig(steps=given["steps"], guidance_scale=1)
    with torch.no_grad():
        (latents,) = denoise(base, start, torch.cat([text, text]), config)
    golden.check(f"{name}.recon_latents", latents.transpose(0, 1))
    golden.check(f"{name}.recon_image", decode_video(base, latents))


@contextmanager
def _recorded(method: PlugAndPlay, names: Sequence[str], count: int) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers, of ``count`` frames, as (frame, row, ...)."""
    seen: dict[str, Tensor] = {}

    def record(name: str, out: Tensor) -> None:
        rows = len(out) // count
        seen[name] = out.reshape(rows, count, *out.shape[1:]).transpose(0, 1)

    def record_prediction(_module: object, _args: object, out: Tensor) -> None:
        seen["noise_pred"] = out.permute(2, 0, 1, 3, 4)

    unet = method._base.unet
    handles = [unet.register_forward_hook(record_prediction)]
    for name in set(names) - {"noise_pred"}:
        module = _ABBREVIATED.sub(
            r"\1.transformer_blocks.0.attn", name.removesuffix(".before").removesuffix(".after")
        )
        handles.append(
            unet.get_submodule(module).register_forward_hook(
                lambda _module, _args, out, name=name: record(name, out),
                prepend=name.endswith(".before"),
            )
        )
    yield seen
    for handle in handles:
        handle.remove()
