"""Frames of two fields, each with the rows of another moment, to frames of one moment."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from components.video.display import SourceFrame

if TYPE_CHECKING:
    import av

_FIELD_ORDERS: dict[int, Literal["tff", "bff"]] = {2: "tff", 3: "bff", 4: "bff", 5: "tff"}
"""FFmpeg's AVFieldOrder → which field shows first: tt, bb, tb and bt, displayed last."""
_SAY_THEMSELVES = {
    *("cavs", "dnxhd", "dvvideo", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "prores"),
    *("vc1", "vvc", "wmv3"),
}
"""Codecs that mark each interlaced frame, so that the container's word is not needed."""


def declared_fields(context: Any) -> Literal["", "tff", "bff"]:
    """The order of fields that a container declares for a codec that cannot; "" without one."""
    if context.codec.canonical_name in _SAY_THEMSELVES:
        return ""
    return _FIELD_ORDERS.get(context.field_order, "")


def deinterlaced(
    frames: Iterable[SourceFrame], wanted: Container[int]
) -> Iterator[tuple[int, SourceFrame]]:
    """Yield the wanted frames with their indices, the interlaced ones as of their first field.

    Each depends on its two neighbours and on nothing else, so that it is the same whatever else is
    wanted. Others pass through untouched.
    """
    before: SourceFrame | None = None
    waiting: tuple[int, SourceFrame, SourceFrame | None] | None = None
    for index, frame in enumerate(frames):
        if waiting:
            yield waiting[0], _filtered(waiting[2], waiting[1], frame)
            waiting = None
        if index in wanted:
            if frame.interlaced:
                waiting = (index, frame, before)
            else:
                yield index, frame
        before = frame
    if waiting:
        yield waiting[0], _filtered(waiting[2], waiting[1], None)


def _filtered(before: SourceFrame | None, frame: SourceFrame, after: SourceFrame | None) -> Any:
    """FFmpeg's bwdif, one frame for one frame."""
    import av
    from av.filter import Graph

    image = frame.image
    graph = Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        f"video_size={image.width}x{image.height}:pix_fmt={image.format.name}:time_base=1/1:"
        f"pixel_aspect=1/1:colorspace={image.colorspace}:range={image.color_range}",
    )
    # One that a container calls interlaced is not marked as such: all that is asked for counts.
    order = graph.add("setfield", frame.fields or "auto")
    graph.link_nodes(
        source, order, graph.add("bwdif", "mode=send_frame:deint=all"), graph.add("buffersink")
    ).configure()
    shape = (image.width, image.height, image.format.name)
    pushed = [near for near in (before, frame, after) if near is not None and _shape(near) == shape]
    place = [near is frame for near in pushed].index(True)
    made: list[av.VideoFrame] = []
    for near in [*pushed, None]:
        graph.push(near.image if near else None)
        while len(made) <= place:
            try:
                made.append(graph.vpull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    made[place].pts, made[place].time_base = image.pts, image.time_base
    return replace(frame, image=made[place])


def _shape(frame: SourceFrame) -> tuple[int, int, str]:
    return frame.image.width, frame.image.height, frame.image.format.name
