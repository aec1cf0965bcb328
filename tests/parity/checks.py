"""What must agree with the official code. Each check raises AssertionError where it does not."""

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from tav_model.config import InvertConfig, SampleConfig, TuneConfig
from tav_model.invert import invert
from tav_model.load import BaseModel
from tav_model.sample import denoise
from tav_model.text import encode_prompts
from tav_model.trainer import Trainer
from tav_model.unet import ClipUNet, tuned_parameters
from tav_model.vae import decode_video, encode_moments
from tests.parity.golden import Golden


def forward_cases(golden: Golden) -> list[tuple[str, str]]:
    """List (case, start) such as ("b1.t0", "init") of every recorded UNet output."""
    names = [n.split(".") for n in golden.tensors if n.startswith("forward.") and ".out." in n]
    return [(f"{b}.{t}", s) for _, b, t, _, s in names if s in ("init", "perturbed")]


@torch.no_grad()
def check_forward(golden: Golden, case: str, start: str) -> None:
    """UNet output of one case, and its recorded activations."""
    batch = case.partition(".")[0]
    one = batch if f"forward.{batch}.sample" in golden.tensors else "b1"
    x = golden[f"forward.{one}.sample"]
    out = golden[f"forward.{case}.out.{start}"]
    t = golden.tensors.get(f"forward.{case}", golden[f"forward.{one}.t0"])
    unet = golden.base(start).unet
    prefix = f"forward.{case}.act.{start}."
    wanted = [n.removeprefix(prefix) for n in golden.tensors if n.startswith(prefix)]
    seen: dict[str, Tensor] = {}
    handles = [_record(unet, name, seen) for name in wanted]
    actual = unet(x[:, :, : out.shape[2]], t, golden[f"forward.{one}.encoder_hidden_states"])
    for handle in handles:
        handle.remove()
    for name in wanted:
        golden.check(prefix + name, _unfold(seen[name], name, golden[prefix + name], out.shape[2]))
    golden.check(f"forward.{case}.out.{start}", actual)


def _record(unet: ClipUNet, name: str, seen: dict[str, Tensor]) -> RemovableHandle:
    def hook(_module: object, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen[name] = output if isinstance(output, Tensor) else output[0]

    module: torch.nn.Module = unet.get_submodule(name)
    return module.register_forward_hook(hook)


def _unfold(x: Tensor, name: str, expected: Tensor, frames: int) -> Tensor:
    """Bring an activation of frames folded into the batch to the official layout."""
    if name == "time_embedding":
        return x[::frames]  # one per clip there
    if name.endswith("attn_temp"):  # (b s) f c there
        n, s, c = x.shape
        return x.view(n // frames, frames, s, c).transpose(1, 2).flatten(0, 1)
    if expected.ndim == 5:
        return x.view(-1, frames, *x.shape[1:]).transpose(1, 2)
    return x


def check_training(golden: Golden, start: str, *, checkpointing: bool) -> None:
    """Three optimiser steps: gradients, norms, losses, and where the weights went."""
    run = f"{start}.nockpt"
    base = golden.base(start)
    if checkpointing:
        base.unet.enable_gradient_checkpointing()
    given = golden.meta["optimizer"]
    config = TuneConfig(
        learning_rate=given["lr"],
        beta1=given["betas"][0],
        beta2=given["betas"][1],
        weight_decay=given["weight_decay"],
        epsilon=given["eps"],
        max_grad_norm=golden.meta["max_grad_norm"],
    )
    tuned = tuned_parameters(base.unet)
    assert sorted(tuned) == sorted(golden.meta["trainable_names"])
    trainer = Trainer(base.unet, base.scheduler, config)
    steps = len(golden[f"train.{run}.loss"])
    draws = [(golden[f"train.noise{i}"], golden[f"train.t{i}"]) for i in range(steps)]
    text = golden["text.train.embedding"]
    latents = golden["train.latents"]
    trainer.loss(latents, *draws[0], text).backward()  # type: ignore[no-untyped-call]
    golden.check_grads(run, {n: p.grad for n, p in tuned.items() if p.grad is not None})
    assert all(p.grad is not None for p in tuned.values())
    trainer.optimizer.zero_grad()
    history = [trainer.step(latents, *draw, text) for draw in draws]
    golden.check(f"train.{run}.loss", torch.stack([loss for loss, _ in history]))
    golden.check(f"train.{run}.grad_norm", torch.stack([norm for _, norm in history]))
    golden.check_update(run, {n: p.detach() for n, p in tuned.items()}, base.initial)


def check_inversion(golden: Golden) -> None:
    """Latents after every inversion step."""
    name = golden.fixed("invert.all_latents")
    base = golden.base("perturbed")
    config = InvertConfig(steps=len(golden[name]) - 1)
    actual = invert(base, golden["invert.latents0"][0], config, all_steps=True)
    golden.check(name, actual[:, None])


@torch.no_grad()
def check_sampling(golden: Golden) -> None:
    """Latents after every guided step."""
    expected = golden["sample.all_latents"]
    config = SampleConfig(steps=len(expected), guidance_scale=golden.meta["guidance_scale"])
    steps: list[Tensor] = []
    _denoise(golden, golden.base("perturbed"), config, steps)
    golden.check("sample.all_latents", torch.stack(steps))


@torch.no_grad()
def check_unguided_sampling(golden: Golden) -> None:
    """Latents after four steps without guidance."""
    steps: list[Tensor] = []
    config = SampleConfig(steps=4, guidance_scale=1.0)
    _denoise(golden, golden.base("perturbed"), config, steps)
    golden.check("sample_nocfg.final_latents", steps[-1])


def _denoise(golden: Golden, base: BaseModel, config: SampleConfig, steps: list[Tensor]) -> None:
    text = encode_prompts(base, ["", golden.meta["prompts"]["edit"]])
    start = golden["sample.start"]
    denoise(base, start, text, config, on_latents=steps.append)


def check_vae(golden: Golden) -> None:
    """Posterior moments, the latents drawn from them, and decoded frames."""
    base = golden.base("init")
    moments = encode_moments(base, golden["encode.pixel_values"], chunk=1)
    golden.check("encode.mean", moments.mean_FCHW)
    golden.check("encode.logvar", 2 * moments.std_FCHW.log())
    drawn = moments.mean_FCHW + moments.std_FCHW * golden["encode.eps"]
    golden.check("encode.latents", drawn * moments.scaling_factor)
    for name, latents in (
        ("decode.video", golden["sample.all_latents"][-1]),
        ("decode_unit.video", golden["decode_unit.latents"]),
    ):
        golden.check(name, decode_video(base, latents[0], chunk=3).transpose(0, 1)[None])


def check_text(golden: Golden) -> None:
    """Token ids and embeddings of every prompt."""
    base = golden.base("init")
    for name, prompt in golden.meta["prompts"].items():
        length = base.tokenizer.model_max_length
        ids = base.tokenizer(prompt, padding="max_length", max_length=length, return_tensors="pt")
        golden.check(f"text.{name}.input_ids", ids.input_ids)
        golden.check(f"text.{name}.embedding", encode_prompts(base, [prompt]))


def check_schedule(golden: Golden) -> None:
    """Noise schedule and the timesteps of sampling."""
    scheduler = golden.base("init").scheduler
    assert torch.equal(scheduler.alphas_cumprod, golden["sched.alphas_cumprod"])
    assert torch.equal(scheduler.final_alpha_cumprod[None], golden["sched.final_alpha_cumprod"])
    scheduler.set_timesteps(len(golden["sample.timesteps"]))
    assert torch.equal(scheduler.timesteps, golden["sample.timesteps"])
