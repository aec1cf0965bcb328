"""Errors that one item (clip, prompt, checkpoint) can cause; wrong program use is ValueError."""


class BaseModelError(ValueError):
    """A base model cannot be used: its files are missing, damaged or of another kind.

    No item is to blame, and no item can be computed.
    """


class TavModelError(Exception):
    """Base of every error that one item can cause and that must not stop the other items."""


class PromptError(TavModelError):
    """A prompt is empty, or longer than the text encoder can read."""


class MaskError(TavModelError):
    """A clip has no mask of its object, or one that parts it from nothing."""


class NonFiniteError(TavModelError):
    """A result that must be finite (latents, decoded frames) holds NaN or infinity."""


class NonFiniteLossError(NonFiniteError):
    """The training loss became NaN or infinite."""


class CheckpointError(TavModelError):
    """A checkpoint file is missing, truncated, of another format, or of another run."""


class AdapterMismatchError(CheckpointError):
    """An adapter belongs to another base model, or its tensors do not fit this one."""
