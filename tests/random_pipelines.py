"""Tiny video models of real classes with random weights, built offline in seconds.

Their sizes are those of diffusers' own tests; the tokenizer reads words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.random_models import seeded
from tinyworld.vocabulary import WORDS

TEXT_WIDTH = 32
MAX_TOKENS = 24
"""That a tiny CogVideoX reads."""


def build_cogvideox(folder: Path, *, seed: int = 0, **transformer: Any) -> Path:
    """Build a CogVideoX of 4 latent channels.

    Args:
        folder: Where it is written; created if absent.
        seed: Of the weights.
        **transformer: Keys of the transformer's config that replace the defaults here.
    """
    import diffusers
    import transformers

    blocks = 4
    with seeded(seed):
        pipeline = diffusers.CogVideoXPipeline(
            tokenizer=_t5_tokenizer(),
            text_encoder=transformers.T5EncoderModel(transformers.T5Config(**_t5())).eval(),
            vae=diffusers.AutoencoderKLCogVideoX(
                down_block_types=("CogVideoXDownBlock3D",) * blocks,
                up_block_types=("CogVideoXUpBlock3D",) * blocks,
                block_out_channels=(8,) * blocks,
                latent_channels=4,
                layers_per_block=1,
                norm_num_groups=2,
            ),
            transformer=diffusers.CogVideoXTransformer3DModel(
                **{
                    "num_attention_heads": 4,
                    "attention_head_dim": 8,
                    "in_channels": 4,
                    "out_channels": 4,
                    "time_embed_dim": 2,
                    "text_embed_dim": TEXT_WIDTH,
                    "num_layers": 1,
                    "sample_width": 8,
                    "sample_height": 8,
                    "sample_frames": 9,
                    "max_text_seq_length": MAX_TOKENS,
                    **transformer,
                }
            ),
            scheduler=diffusers.CogVideoXDDIMScheduler(),
        )
    pipeline.save_pretrained(folder)
    return folder


def build_wan(
    folder: Path, *, seed: int = 0, pipeline: str = "WanPipeline", **transformer: Any
) -> Path:
    """Build a Wan 2.1 of 16 latent channels; see ``build_cogvideox``."""
    import diffusers
    import transformers

    vace = pipeline == "WanVACEPipeline"
    kind = diffusers.WanVACETransformer3DModel if vace else diffusers.WanTransformer3DModel
    extra: Mapping[str, Any] = {"vace_layers": [0, 1], "vace_in_channels": 96} if vace else {}
    with seeded(seed):
        made = getattr(diffusers, pipeline)(
            tokenizer=_t5_tokenizer(),
            text_encoder=transformers.UMT5EncoderModel(transformers.UMT5Config(**_t5())).eval(),
            vae=diffusers.AutoencoderKLWan(
                base_dim=3,
                z_dim=16,
                dim_mult=[1, 1, 1, 1],
                num_res_blocks=1,
                temperal_downsample=[False, True, True],
            ),
            transformer=kind(
                **{
                    "patch_size": (1, 2, 2),
                    "num_attention_heads": 2,
                    "attention_head_dim": 12,
                    "text_dim": TEXT_WIDTH,
                    "freq_dim": 32,
                    "ffn_dim": 32,
                    "num_layers": 2,
                    "rope_max_seq_len": 32,
                    **extra,
                    **transformer,
                }
            ),
            scheduler=diffusers.UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        )
    made.save_pretrained(folder)
    return folder


def build_vace(folder: Path, **transformer: Any) -> Path:
    """Build a Wan 2.1 VACE."""
    return build_wan(folder, pipeline="WanVACEPipeline", **transformer)


def build_lucy(folder: Path, **transformer: Any) -> Path:
    """Build a Lucy Edit: its transformer is given the clip's latents beside the noise."""
    return build_wan(folder, pipeline="LucyEditPipeline", in_channels=32, **transformer)


def build_motion_adapter(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """Build a motion adapter of 16 frames for ``random_models.build_base_model``."""
    from diffusers import MotionAdapter

    with seeded(seed):
        adapter = MotionAdapter(
            **{
                "block_out_channels": (16, 32, 32, 32),
                "motion_layers_per_block": 1,
                "motion_norm_num_groups": 8,
                "motion_num_attention_heads": 4,
                "motion_max_seq_length": 16,
                "use_motion_mid_block": False,
                **config,
            }
        )
    adapter.save_pretrained(folder)
    return folder


BUILDERS: Mapping[str, tuple[str, Callable[[Path], Path]]] = {
    "cogvideo": ("base", build_cogvideox),
    "cogvideox_v2v": ("base", build_cogvideox),
    "wan_v2v": ("base", build_wan),
    "wan_vace": ("base", build_vace),
    "lucy_edit": ("base", build_lucy),
    "animatediff_v2v": ("adapter", build_motion_adapter),
}
"""By method: the field that names its model, and what builds one."""


def build_video_models(folder: Path) -> dict[str, Path]:
    """Build a model of each kind, and return the folder of each method's."""
    built: dict[Any, Path] = {}
    for _, build in BUILDERS.values():
        if build not in built:
            built[build] = build(folder / build.__name__.removeprefix("build_"))
    return {method: built[build] for method, (_, build) in BUILDERS.items()}


def _t5() -> dict[str, Any]:
    return {
        "vocab_size": len(_t5_tokenizer()),
        "d_model": TEXT_WIDTH,
        "d_kv": 8,
        "d_ff": 37,
        "num_layers": 1,
        "num_heads": 4,
    }


def _t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    words = [f"▁{word}" for word in WORDS]
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz,.") - set(WORDS))
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [(word, -3.0) for word in words] + [(letter, -8.0) for letter in letters]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0)
