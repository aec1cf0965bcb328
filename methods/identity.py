"""The source itself: what a metric gives where nothing was edited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from methods.method import Cost, Edit, Frames, Method, Passes, Prepared, Source


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityConfig:
    """Nothing to set."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


class Identity(Method):
    """Gives the clip back."""

    Config = IdentityConfig
    uses_base = False

    @override
    def cost(self) -> Cost:
        return Cost(stages={}, edit=Passes())

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        for _ in edits:
            yield source.frames
