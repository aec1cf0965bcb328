"""Whether each variant's method takes clips of the sizes that are asked for."""

from __future__ import annotations

from components.config import VideoConfig
from components.errors import UserError
from components.run.current import State
from components.run.view import View
from components.steps.methods import answering
from methods.method import ClipSize


def check_sizes(state: State) -> None:
    """Refuse frame counts and sizes that a method cannot take.

    Raises:
        UserError: names each, with the nearest that fits; nothing is padded or dropped.
    """
    videos: dict[VideoConfig, str] = {}
    for entry in state.manifest.videos:
        videos.setdefault(state.clips.video_config(entry), entry.video_id)
    problems = [
        f"  variant {name!r} ({view.config.method}) cannot take {_words(size)} (video {video_id!r} "
        f"first): the nearest that fits is {_words(fits)}"
        for name, view in state.views.items()
        for video, video_id in videos.items()
        if (fits := _nearest(view, size := _size(video))) != size
    ]
    if problems:
        raise UserError(
            "\n".join(
                ["clips that a method cannot take; set video, or frames of the video:", *problems]
            )
        )


def _nearest(view: View, size: ClipSize) -> ClipSize:
    with answering(view.config.method):
        return view.method.nearest(size)


def _size(video: VideoConfig) -> ClipSize:
    return ClipSize(num_frames=video.num_frames, width=video.width, height=video.height)


def _words(size: ClipSize) -> str:
    return f"{size.num_frames} frames of {size.width}x{size.height}"
