"""Finished edits from anywhere: nothing is made, so that anybody's results can be scored."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import override

from methods.method import Cost, Edit, Frames, Method, Passes, Prepared, Source

_NAMES = ("video", "edit")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecomputedConfig:
    """Where the edits are.

    Raises:
        ValueError: the pattern cannot be filled in; the message names the remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    videos: str = field(metadata={"address": True})
    """Path, ``file://`` or ``s3://`` address of each edit, a video or a folder of frames, in which
    ``{video}`` and ``{edit}`` stand for the manifest's ids; ``{{`` and ``}}`` are braces."""

    def __post_init__(self) -> None:
        """Check the pattern. Messages do not repeat it, for it may hold somebody's credentials."""
        example = "such as s3://bucket/edits/{video}/{edit}.mp4"
        try:
            found = [
                part[1:] for part in string.Formatter().parse(self.videos) if part[1] is not None
            ]
        except ValueError as error:
            raise ValueError(
                f"videos is no pattern ({error}): write {{video}} and {{edit}}, and {{{{ or }}}} "
                "for a brace"
            ) from error
        for name, form, conversion in found:
            if name not in _NAMES or form or conversion:
                written = f"{name}{'!' if conversion else ''}{conversion or ''}"
                written += f":{form}" if form else ""
                raise ValueError(
                    f"videos holds {{{written}}}, but only {{video}} and {{edit}} can be filled "
                    f"in: write {{{{ and }}}} for braces, or a pattern {example}"
                )
        if "edit" not in [name for name, *_ in found]:
            raise ValueError(
                f"videos holds no {{edit}}, but each edit is a file: give a pattern {example}"
            )


class Precomputed(Method):
    """Gives the videos that it is pointed to, at the clip's size."""

    Config = PrecomputedConfig
    uses_base = False

    @override
    def cost(self) -> Cost:
        return Cost(stages={}, edit=Passes())

    @override
    def address(self, video_id: str, edit: str) -> str:
        videos: str = self.settings.own.videos
        return videos.format(video=video_id, edit=edit)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        for edit in edits:
            assert edit.given is not None  # as there is an address
            yield edit.given()
