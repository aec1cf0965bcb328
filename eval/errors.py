"""Errors of the evaluation."""

from __future__ import annotations


class EvalError(ValueError):
    """One clip or prompt cannot be scored; the message names value, limit and remedy."""


class UndefinedError(EvalError):
    """A measure has no meaning of this edit; the message says why. No fault, and no failure."""


class EncoderError(Exception):
    """An encoder cannot be loaded as asked: nothing can be scored with it."""


class UnknownProtocolError(ValueError):
    """No protocol of that name is registered."""
