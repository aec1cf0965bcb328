"""The content keys of what a method prepares and makes, for one variant of a run.

Tune-A-Video's keys are those of releases in which it was the only method, so that their rows count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.config import RunConfig
from components.errors import UserError
from components.records.keys import NUMERICS_VERSION, KeyMaker, content_key
from components.storage.tables import Row
from methods.method import ADAPTER, LATENTS, Method, Stage
from methods.registry import find_method

FIRST_METHOD = "tune_a_video"
"""The method whose keys came before there were others."""
_MODELS = "models"
"""What of a key names the models of the method's own section."""
Controls = Sequence[Mapping[str, Any]]
_KIND = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class StageKey:
    """One stage of one video."""

    kind: str
    key: str
    name: str = ""
    """Of latents the inversion, whose key is the adapter's."""
    before: str | None = None
    """Key of the stage that it stands on; none of the first."""
    exact: str = ""
    """The key without ``Stage.form``, where it has one: of its seed, and of what it can be made
    of."""

    @property
    def work_key(self) -> str:
        """What the work is known by in ``failures``: two inversions of one adapter are two."""
        return content_key(adapter=self.key, inversion=self.name) if self.name else self.key

    @property
    def seed_key(self) -> str:
        """What draws are seeded with, where it is the first stage."""
        return self.exact or self.key

    def row(self) -> Row:
        """The same as JSON values."""
        names = {"kind": self.kind, "key": self.key, "name": self.name, "before": self.before}
        return {**names, "work_key": self.work_key}


class StageKeys:
    """Makes the keys of a video's stages."""

    def __init__(
        self, method: Method, config: RunConfig, base_revision: str, schedule: str
    ) -> None:
        """Encode what all videos share.

        Args:
            method: Of the variant.
            config: Of the variant.
            base_revision: What the base is exactly; empty where the method uses none.
            schedule: See ``Revisions.schedule``.
        """
        self.stages = tuple(method.stages())
        _check_kinds(config.method, [stage.kind for stage in self.stages])
        _check_masks(config.method, method, self.stages)
        self._shared = _shared(method, config, base_revision)
        self._tuned_so = method.uses_control and config.control.tune and config.tune.steps > 0
        self._makers = [self._maker(stage, config, method) for stage in self.stages]
        self.inversion = ""
        """Names the inversion of this configuration, as in ``latents.inversion``."""
        for stage in self.stages:
            if stage.kind == LATENTS:
                self.inversion = _inversion(stage.parts, schedule)

    def __call__(
        self,
        video_key: str,
        source_prompt: str,
        mask: str | None = None,
        controls: Controls = (),
        group: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[StageKey, ...]:
        """The stages of a video, in order, with those that are not kept.

        Args:
            video_key: Of its clip.
            source_prompt: What its clip shows.
            mask: SHA-256 of its mask, or the key of SAM 2's; it counts in the stages of methods
                that use masks.
            controls: What steers its edits (see ``Controlled.parts``); it counts in the adapter
                where it steers tuning.
            group: What ``member`` gives of each video that is tuned with it, itself included; the
                adapter's key then holds these alone.
        """
        steered = self._steered(controls)
        found: list[StageKey] = []
        for stage, make in zip(self.stages, self._makers, strict=True):
            before = found[-1].work_key if found else ""
            name = ""
            if stage.kind == LATENTS:
                key, name = before, self.inversion
            elif stage.kind == ADAPTER and group:
                key = make("", "", before, None, {"group": list(group)})
            else:
                more = steered if stage.kind == ADAPTER else {}
                key = make(video_key, source_prompt, before, mask, more)
            exact = key if stage.form else ""
            if exact:
                key = content_key(exact=exact, **stage.form)
            before_key = found[-1].key if found else None
            found.append(StageKey(stage.kind, key, name, before_key, exact))
        return tuple(found)

    @property
    def groups(self) -> bool:
        """Whether videos can be tuned together: an adapter is tuned."""
        return any(stage.kind == ADAPTER and stage.kept for stage in self.stages)

    def member(self, video_key: str, source_prompt: str, controls: Controls = ()) -> dict[str, Any]:
        """What the key of a group's adapter holds of one of its videos."""
        told = {"video_key": video_key, "source_prompt": source_prompt}
        return told | self._steered(controls)

    def _steered(self, controls: Controls) -> dict[str, Any]:
        # Tuning knows no beginning and end of sampling. Of no part where nothing steers it.
        if not (controls and self._tuned_so):
            return {}
        gone = ("start", "end")
        return {"controls": [{k: v for k, v in c.items() if k not in gone} for c in controls]}

    def signature(self, controls: Controls = (), mask: str | None = None) -> frozenset[StageKey]:
        """What is kept, whatever the video: of two variants with one of these, one may serve."""
        keys = self("", "", mask, controls)
        return frozenset(key for key, stage in zip(keys, self.stages, strict=True) if stage.kept)

    def _maker(
        self, stage: Stage, config: RunConfig, method: Method
    ) -> Callable[[str, str, str, str | None, Mapping[str, Any]], str]:
        if stage.kind == LATENTS:
            return lambda _clip, _prompt, before, _mask, _more: before
        owner = stage.of or config.method
        if stage.kind == ADAPTER and owner == FIRST_METHOD:
            tuned = KeyMaker(kind=ADAPTER, **self._shared, **stage.parts)
            return lambda clip, prompt, _, _mask, more: tuned(
                video_key=clip, source_prompt=prompt, **more
            )
        kind = find_method(stage.of) if stage.of else method
        made = KeyMaker(
            kind=stage.kind,
            method=owner,
            version=kind.version,
            parts=dict(stage.parts),
            **{k: v for k, v in self._shared.items() if stage.uses_models or k != _MODELS},
        )
        return lambda clip, prompt, before, mask, more: made(
            video_key=clip,
            source_prompt=prompt if stage.uses_prompt else "",
            before=before,
            **_masked(mask if kind.uses_mask else None),
            **more,
        )


class EditKeys:
    """Makes the keys of edits."""

    def __init__(
        self, method: Method, config: RunConfig, base_revision: str, inversion: str
    ) -> None:
        """Encode what all edits share; see ``StageKeys``."""
        common = {"kind": "edit", "output": config.output, "seed": config.seed}
        self._method = method
        self._by_adapter = config.method == FIRST_METHOD
        if self._by_adapter:
            self._key = KeyMaker(**common, inversion=inversion, **method.key_parts())
        else:
            self._key = KeyMaker(
                **_shared(method, config, base_revision) | common,
                method=config.method,
                version=method.version,
                parts=dict(method.key_parts()),
            )

    def __call__(
        self,
        stages: tuple[StageKey, ...],
        video_key: str,
        source_prompt: str,
        prompt: str,
        mask: str | None = None,
        controls: Controls = (),
        *,
        grouped: bool = False,
    ) -> str:
        """The key of an edit.

        Args:
            stages: Of its video.
            video_key: Of its clip.
            source_prompt: What its clip shows.
            prompt: What it shall show.
            mask: SHA-256 of its video's mask, or the key of SAM 2's; it counts where the method
                uses masks.
            controls: What steers it (see ``Controlled.parts``).
            grouped: Whether other videos have its adapter, too, which then names no clip.
        """
        masked = _masked(mask if self._method.edits_use_mask else None)
        # Of no part without any, so that edits that nothing steers keep their keys.
        steered = {"controls": list(controls)} if controls else {}
        if self._by_adapter:
            clip = {"video_key": video_key, "source_prompt": source_prompt} if grouped else {}
            return self._key(adapter_key=stages[0].key, prompt=prompt, **clip, **masked, **steered)
        return self._key(
            video_key=video_key,
            source_prompt=source_prompt,
            before=stages[-1].work_key if stages else "",
            prompt=prompt,
            **masked,
            **steered,
        )


def _masked(mask: str | None) -> dict[str, str]:
    # Of no part without one, so that edits without masks keep their keys.
    return {} if mask is None else {"mask": mask}


def _check_kinds(method: str, kinds: Sequence[str]) -> None:
    if wrong := [kind for kind in kinds if not _KIND.fullmatch(kind)]:
        raise UserError(
            f"method {method!r} has a stage of kind {wrong[0]!r}: name it with 1 to 64 of "
            "A-Z a-z 0-9 _"
        )
    if twice := [kind for number, kind in enumerate(kinds) if kind in kinds[:number]]:
        raise UserError(f"method {method!r} has two stages of kind {twice[0]!r}: rename one")
    if LATENTS in kinds and kinds[:2] != [ADAPTER, LATENTS]:
        raise UserError(
            f"method {method!r} keeps latents, but not right after an adapter, which comes first: "
            "give the stage a kind of its own"
        )


def _check_masks(name: str, method: Method, stages: Sequence[Stage]) -> None:
    """Refuse inverted latents that may depend on a mask: their key is that of their adapter."""
    kinds = [stage.kind for stage in stages]
    if not method.uses_mask or LATENTS not in kinds:
        return
    if (owner := stages[0].of) and not find_method(owner).uses_mask:
        raise UserError(
            f"method {name!r} uses masks and keeps latents of an adapter of {owner!r}, whose key "
            "holds no mask: give the stage a kind of its own"
        )


def _shared(method: Method, config: RunConfig, base_revision: str) -> dict[str, Any]:
    of_base = {"base_revision": base_revision, "numerics": NUMERICS_VERSION}
    own = dict(method.settings.revisions)
    of_own = {_MODELS: own} if own else {}
    return {"seed": config.seed, **(of_base if method.uses_base else {}), **of_own}


def _inversion(parts: Mapping[str, Any], schedule: str) -> str:
    key = content_key(**parts, **({"schedule": schedule} if schedule else {}))
    steps = getattr(parts.get("invert"), "steps", None)
    return f"ddim-{steps}-{key[:8]}" if steps else f"own-{key[:8]}"
