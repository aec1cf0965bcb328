"""How the queries of a clip find their keys: along space and time, to the text, and along time.

Shape suffixes: B clips, F frames, N = B*F images, S tokens of one frame, L text tokens, C channels,
A attention heads, D channels of one head. diffusers' backends take (batch, tokens, A, D).
"""

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional

from tav_model.config import AttentionMode
from tav_model.layers import Clip

VECTOR = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 0
"""float32 numbers in a register of this CPU, for which torch has a kernel; 0 where no padding pays.
"""


def backend_named(name: str) -> AttentionBackendName:
    """Look a diffusers attention backend up.

    Args:
        name: one of diffusers' backend names, such as `native`, `flash` or `xformers`.

    Raises:
        ValueError: there is no backend of that name.
    """
    try:
        return AttentionBackendName(name)
    except ValueError as err:
        names = ", ".join(sorted(b.value for b in AttentionBackendName if b.value[0] != "_"))
        msg = f"attention_backend={name!r} is unknown; diffusers has: {names}."
        raise ValueError(msg) from err


def former_frames(x_BFSAD: Tensor) -> Tensor:
    """Keys or values of the frame before each frame from the third on (section 4.1).

    Args:
        x_BFSAD: keys or values of all frames, F >= 3.

    Returns:
        (B, F - 2, S, A, D), a view: frame i sees frame i - 1.
    """
    return x_BFSAD[:, 1:-1]


class SpatioTemporalProcessor:
    """Self-attention of a frame's tokens to other frames' (attn1; section 4.1 of the paper).

    `sparse_causal` sees the first and the former frame, and must agree with the official code.
    `full` sees all frames, `causal` all up to this one; the paper names both as the costly options.
    `per_frame` sees this frame alone, as the image model does: what the paper's ablation compares.
    """

    def __init__(self, mode: AttentionMode, backend: AttentionBackendName, clip: Clip) -> None:
        """Choose mode and backend.

        Args:
            mode: which frames are seen.
            backend: kernel that computes the attention.
            clip: holds the number of frames of the running forward.
        """
        self.mode = mode
        self.backend = backend
        self.clip = clip

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: object) -> Tensor:
        """Attend.

        Args:
            attn: the layer whose projections are used.
            hidden_states: (N, S, C).

        Returns:
            (N, S, C).
        """
        n, s, _c = hidden_states.shape
        shape_BFSAD = (n // self.clip.frames, self.clip.frames, s, attn.heads, -1)
        q = attn.to_q(hidden_states).view(shape_BFSAD)
        k = attn.to_k(hidden_states).view(shape_BFSAD)
        v = attn.to_v(hidden_states).view(shape_BFSAD)
        return attn.to_out[0](self.attend(q, k, v).reshape(n, s, -1))  # type: ignore[no-any-return]

    def attend(self, q_BFSAD: Tensor, k_BFSAD: Tensor, v_BFSAD: Tensor) -> Tensor:
        """Attend from each frame's queries to the keys that it sees.

        Args:
            q_BFSAD: queries of B clips.
            k_BFSAD: their keys.
            v_BFSAD: their values.

        Returns:
            As many numbers as queries, in their order; clips may be split from frames or not.
        """
        q, k, v = q_BFSAD, k_BFSAD, v_BFSAD
        if self.mode == "full":
            return self._attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2))
        if self.mode == "causal":
            out = [
                self._attend(q[:, i], k[:, : i + 1].flatten(1, 2), v[:, : i + 1].flatten(1, 2))
                for i in range(self.clip.frames)
            ]
            return torch.cat(out, dim=1)
        if self.mode == "per_frame":
            return self._attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
        return self._sparse_causal(q, k, v)

    def _sparse_causal(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from (B, F, S, A, D) to the first and the former frames; returns q's shape."""
        # The first two frames have the first frame as first and as former frame. Softmax weights of
        # equal keys add up, so seeing it once gives the same values for half the work.
        b, frames = q.shape[:2]
        head = self._attend(q[:, :2].flatten(1, 2), k[:, 0], v[:, 0]).view(b, -1, *q.shape[2:])
        if frames <= 2:  # noqa: PLR2004 (the two frames above)
            return head
        k_rest, v_rest = (
            torch.cat([x[:, :1].expand(-1, frames - 2, -1, -1, -1), former_frames(x)], dim=2)
            for x in (k, v)
        )
        rest = self._attend(q[:, 2:].flatten(0, 1), k_rest.flatten(0, 1), v_rest.flatten(0, 1))
        return torch.cat([head, rest.view(b, -1, *q.shape[2:])], dim=1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        d = q.shape[-1]
        if q.device.type != "cpu" or q.dtype != torch.float32 or d >= VECTOR:
            return dispatch_attention_fn(q, k, v, backend=self.backend)  # type: ignore[no-any-return]
        # Heads that fill a register take a third less time, and zeros add nothing to a product.
        q, k, v = (functional.pad(x, (0, VECTOR - d)) for x in (q, k, v))
        out = dispatch_attention_fn(q, k, v, scale=d**-0.5, backend=self.backend)
        return out[..., :d]  # type: ignore[no-any-return]


class TextProcessor:
    """Cross-attention of all tokens of a clip to its one text (attn2).

    The text is projected once per clip; the official code repeats it for every frame.
    """

    def __init__(self, backend: AttentionBackendName, clip: Clip) -> None:
        """Choose the backend.

        Args:
            backend: kernel that computes the attention.
            clip: holds the number of frames of the running forward.
        """
        self.backend = backend
        self.clip = clip

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object
    ) -> Tensor:
        """Attend.

        Args:
            attn: the layer whose projections are used.
            hidden_states: (N, S, C).
            encoder_hidden_states: (B, L, text channels).

        Returns:
            (N, S, C).
        """
        n, s, _c = hidden_states.shape
        b = n // self.clip.frames
        q = attn.to_q(hidden_states).view(b, self.clip.frames * s, attn.heads, -1)
        k = attn.to_k(encoder_hidden_states).view(b, -1, attn.heads, q.shape[-1])
        v = attn.to_v(encoder_hidden_states).view(b, -1, attn.heads, q.shape[-1])
        return attn.to_out[0](self.attend(q, k, v).reshape(n, s, -1))  # type: ignore[no-any-return]

    def attend(self, q_BTAD: Tensor, k_BLAD: Tensor, v_BLAD: Tensor) -> Tensor:
        """Attend from the T = F * S tokens of each clip to its text.

        Args:
            q_BTAD: queries of B clips.
            k_BLAD: keys of their texts.
            v_BLAD: values of their texts.

        Returns:
            (B, T, A, D).
        """
        return dispatch_attention_fn(q_BTAD, k_BLAD, v_BLAD, backend=self.backend)  # type: ignore[no-any-return]


class TemporalProcessor:
    """Self-attention of each pixel along the frames (attn_temp), without positions or mask."""

    def __init__(self, backend: AttentionBackendName, clip: Clip) -> None:
        """Choose the backend.

        Args:
            backend: kernel that computes the attention.
            clip: holds the number of frames of the running forward.
        """
        self.backend = backend
        self.clip = clip

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: object) -> Tensor:
        """Attend.

        Args:
            attn: the layer whose projections are used.
            hidden_states: (N, S, C).

        Returns:
            (N, S, C).
        """
        n, s, _c = hidden_states.shape
        shape_BFSAD = (n // self.clip.frames, self.clip.frames, s, attn.heads, -1)
        q, k, v = (
            project(hidden_states).view(shape_BFSAD)
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        # Pixels are the batch here. One clip at a time, swapping two axes is a view; for all clips
        # at once the pixels could only be gathered into one axis by a copy.
        clips = [
            dispatch_attention_fn(
                q_b.transpose(0, 1), k_b.transpose(0, 1), v_b.transpose(0, 1), backend=self.backend
            ).transpose(0, 1)
            for q_b, k_b, v_b in zip(q.unbind(), k.unbind(), v.unbind(), strict=True)
        ]
        out = clips[0] if len(clips) == 1 else torch.stack(clips)
        return attn.to_out[0](out.reshape(n, s, -1))  # type: ignore[no-any-return]
