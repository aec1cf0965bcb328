"""A clip of the user's own to try, in place of a drawn one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from components.config import RunConfig, VideoConfig
from components.doctor.trial import TrialClip
from components.errors import UserError
from components.manifest.load import Manifest
from components.storage.scratch import scratch_folder
from components.video.isolated import decoder
from components.video.sources import fetch_source


@dataclass(frozen=True, slots=True)
class TrialSource:
    """What the user asked for."""

    name: str
    """Of a video in the manifest its id, else a path or address."""
    prompt: str | None = None
    """What it shows; none where the manifest says it."""


def chosen_clip(source: TrialSource, config: RunConfig, manifest: Manifest | None) -> TrialClip:
    """Read a clip as the run would.

    Args:
        source: Which.
        config: Of the variant.
        manifest: What the run edits; none where it cannot be read.

    Raises:
        SourceError: it cannot be read.
        UserError: nobody says what it shows.
    """
    uri, prompt, video = source.name, source.prompt, config.video
    for entry in manifest.videos if manifest is not None else ():
        if entry.video_id == source.name:
            uri, prompt = entry.uri, prompt or entry.prompt
            video = _with(video, entry.video)
    if not prompt:
        raise UserError(
            f"nobody says what clip {source.name!r} shows: give --prompt, such as "
            '--prompt "a man is skiing"'
        )
    with scratch_folder("tav-doctor-") as folder:
        clip = decoder().clip(fetch_source(uri, folder, video.limits), video)
    return TrialClip(name=f"clip {source.name}", frames=clip.frames, prompt=prompt)


def _with(video: VideoConfig, changes: dict[str, object] | None) -> VideoConfig:
    return replace(video, **changes) if changes else video  # type: ignore[arg-type]
