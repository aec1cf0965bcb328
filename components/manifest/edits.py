"""What a manifest asks for: videos, and edits whose prompts may be templates over the caption."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from components.errors import ItemError
from components.manifest.words import holds, replace_words
from tav_model.config import ControlConfig

Category = Literal["object", "background", "style", "other"]
CATEGORIES: tuple[str, ...] = get_args(Category)

CAPTION = "{caption}"
"""The only placeholder of a prompt."""
MAX_PROMPT_CHARS = 2000
"""Characters of a prompt. (The text encoder's own limit, 77 tokens for CLIP, is checked when it is
loaded; this bound only keeps hostile manifests small.)"""

_SLUG_CHARS = 40
_HASH_CHARS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class EditEntry:
    """One edit of a video. Exactly one of ``prompt`` and ``replace`` is given."""

    name: str
    """Unique within its video; the manifest's ``id``, or made from the content."""
    category: Category = "other"
    """Which aggregate of the report it counts in."""
    prompt: str | None = None
    """The edited prompt; ``{caption}`` in it stands for the source's prompt or caption."""
    replace: dict[str, str] | None = None
    """Words of the source prompt and what takes their place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoEntry:
    """One source video with its edits."""

    video_id: str
    uri: str
    """Absolute path, ``file://`` or ``s3://`` address of a video or a folder of frames."""
    mask: str | None = None
    """Likewise of a mask of the video's object, a picture a frame; none where there is none."""
    maps: str | None = None
    """Likewise of control maps, a picture a frame, for nets whose map is ``files``."""
    control: tuple[ControlConfig, ...] | None = None
    """What steers this video's edits in place of the run's nets; an empty one is none."""
    group: str | None = None
    """Names videos of one subject, which are tuned together into one adapter."""
    prompt: str | None = None
    """Describes the source; none lets BLIP-2 caption it."""
    video: dict[str, Any] | None = None
    """Fields of ``VideoConfig`` that replace the run's for this video."""
    edits: tuple[EditEntry, ...] = ()
    """May be empty: the video is then tuned and not edited."""
    line: int | None = field(default=None, compare=False)
    """Where the manifest names it, counted from 1; none for a folder of videos."""


def expand_edit(edit: EditEntry, caption: str) -> str:
    """Fill in an edit's template.

    ``{caption}`` is replaced as text, never evaluated. ``replace`` matches whole words in any case
    (CLIP's tokenizer knows none), all at once; see ``words.replace_words``.

    Args:
        edit: A linted edit.
        caption: The source's prompt or caption.

    Raises:
        ItemError: the caption is empty or lacks a word to replace, or the prompt grows too long.
    """
    caption = caption.strip()
    if edit.replace is not None:
        prompt = _replace_words(edit, caption)
    else:
        prompt = edit.prompt or ""
        if CAPTION in prompt and not caption:
            raise ItemError(f"edit {edit.name!r} uses {CAPTION}, but the caption is empty: set one")
        prompt = prompt.replace(CAPTION, caption).strip()
    if not 0 < len(prompt) <= MAX_PROMPT_CHARS:
        raise ItemError(
            f"edit {edit.name!r} gives a prompt of {len(prompt)} characters, but 1 to "
            f"{MAX_PROMPT_CHARS} are allowed: change the edit or the source's prompt"
        )
    return prompt


def _replace_words(edit: EditEntry, caption: str) -> str:
    targets = edit.replace or {}
    for word in targets:
        if not holds(caption, word):
            part = holds(caption, word, whole=False)
            remedy = ", but a part of one: name the whole" if part else ": name a word that is"
            raise ItemError(
                f"edit {edit.name!r} replaces {word!r}, which is not a word of the caption "
                f"{caption!r}{remedy}, or give the whole edited prompt"
            )
    return replace_words(caption, targets)


def default_name(prompt: str | None, replace: dict[str, str] | None) -> str:
    """Name an edit by its content, so that neither order nor neighbours change the name."""
    text = prompt if prompt is not None else " ".join((replace or {}).values())
    slug = re.sub(r"[^a-z0-9]+", "-", text.replace(CAPTION, "").lower())[:_SLUG_CHARS].strip("-")
    content = json.dumps([prompt, replace], sort_keys=True)  # ASCII, whatever the text holds
    digest = hashlib.sha256(content.encode()).hexdigest()[:_HASH_CHARS]
    return f"{slug or 'edit'}-{digest}"
