"""Trains the edit layer of one prompt under CLIP's eyes (Text2LIVE, arXiv 2204.02491).

Must agree with omerbt/Text2LIVE in the losses and their weights. A prompt here describes a whole
frame and not its object alone, so CLIP is shown the layer in its frame, where the official code
shows the foreground before black.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from timm.optim.madgrad import MADGRAD
from torch import Tensor, nn

from methods.atlas import Atlas, picture, render
from methods.clip import Clip
from methods.edit_layer import (
    GREEN,
    Box,
    Generator,
    box_of_mask,
    box_of_places,
    compose,
    sample,
)
from methods.text2live_config import Text2LiveConfig
from tav_model.errors import NonFiniteLossError, TavModelError

_DECAY, _LEAST_RATE = 0.999, 1e-5
_MOMENTUM, _WEIGHT_DECAY = 0.9, 0.01
_FLIPPED = 0.5
"""Share of the steps that see all mirrored."""
_SURE = 0.95
"""Alpha from which on a pixel is taken for foreground."""
_L0, _L1 = 0.005, 0.01
"""What of sparsity counts whether a pixel is covered at all, and how much."""
_SHARPNESS = 5.0
_LOG_EVERY = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What an edit is held to: texts embedded in every template, (T, D)."""

    source: Tensor
    composed: Tensor
    layer: Tensor


class Canvas:
    """A clip's layer as an edit needs it: its atlas, where it is seen, and what lies around it."""

    def __init__(self, atlas: Atlas, frames_FCHW: Tensor, own: Text2LiveConfig) -> None:
        """Render the atlas.

        Args:
            atlas: Of the clip.
            frames_FCHW: The clip in 0 to 1, on the device.
            own: Which layer, in what size, onto what.

        Raises:
            TavModelError: the atlas shows no foreground.
        """
        device, layer = frames_FCHW.device, own.layer
        rendered = render(atlas, layer, device)
        self.resolution = own.resolution
        self.places = rendered.places
        front = layer == "foreground"
        self.weight = rendered.alpha if front else 1 - rendered.alpha
        """(F, 1, H, W): how much of a pixel is of the layer."""
        self.reconstruction = rendered.whole
        self.ground = frames_FCHW if own.onto == "source" else self.reconstruction
        """(F, 3, H, W): what the edit is laid upon."""
        self.own_pixels = frames_FCHW * self.weight if front else rendered.background
        """(F, 3, H, W): the layer alone."""
        self.boxes = self._boxes(own.border if front else None)
        """Where a frame may be edited; frames that do not show the layer have none."""
        seen = [box.of(self.places[t].permute(2, 0, 1)) for t, box in self.boxes.items()]
        self.box = box_of_places(torch.cat([s.flatten(1) for s in seen], 1).T, own.resolution)
        self.atlas = picture(atlas, layer, own.resolution, device)
        """(3, R, R)."""

    def _boxes(self, border: int | None) -> dict[int, Box]:
        count, _, height, width = self.weight.shape
        if border is None:
            return {t: Box(top=0, left=0, height=height, width=width) for t in range(count)}
        sure = self.weight[:, 0] >= _SURE
        found = {t: box_of_mask(m, border) for t, m in enumerate(sure) if bool(m.any())}
        if not found:
            raise TavModelError(
                f"the atlas shows no foreground: no pixel's alpha is {_SURE} or more. Check the "
                "manifest's mask, or raise text2live.atlas.steps."
            )
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """A picture of a step."""

    edit: Tensor
    """(4, h, w): colours and coverage."""
    weight: Tensor
    """(1, h, w)."""
    ground: Tensor
    """(3, h, w)."""

    @property
    def composed(self) -> Tensor:
        return compose(self.edit, self.weight, self.ground)

    @property
    def before_green(self) -> Tensor:
        green = self.edit.new_tensor(GREEN)[:, None, None].expand_as(self.ground)
        return compose(self.edit, self.weight, green)

    @property
    def coverage(self) -> Tensor:
        return self.edit[3:] * self.weight


class EditTraining:
    """One edit's generator, and how it learns."""

    def __init__(self, canvas: Canvas, clip: Clip, target: Target, own: Text2LiveConfig) -> None:
        """Make an untrained generator, drawn from torch's generator as all else here."""
        self.canvas, self.clip, self.target, self.own = canvas, clip, target, own
        generator = Generator(own.channels, own.skip_channels, own.scales)
        self.generator = generator.to(canvas.atlas.device)
        self.optimizer = MADGRAD(
            self.generator.parameters(),
            lr=own.learning_rate,
            momentum=_MOMENTUM,
            weight_decay=_WEIGHT_DECAY,
        )

    def run(self) -> Iterator[tuple[int, float]]:
        """Train; gives steps done and the loss from time to time.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite.
        """
        group = self.optimizer.param_groups[0]
        for step in range(1, self.own.steps + 1):
            loss = self._loss(list(self._pictures(step)))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            group["lr"] = max(_LEAST_RATE, _DECAY * group["lr"])
            if step % _LOG_EVERY == 0 or step == self.own.steps:
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise NonFiniteLossError(
                        f"the edit's loss became {value} at step {step}: lower "
                        "text2live.learning_rate"
                    )
                yield step, value

    @torch.no_grad()
    def frames(self) -> Tensor:
        """The edited clip, (F, 3, H, W) in 0 to 1."""
        canvas = self.canvas
        edit = self.generator(canvas.box.of(canvas.atlas)[None])
        made = [sample(edit, canvas.box, place, canvas.resolution) for place in canvas.places]
        return compose(torch.stack(made), canvas.weight, canvas.ground)

    def _pictures(self, step: int) -> Iterator[_Shown]:
        """Three frames through the atlas, one of them by itself, and at times the whole atlas."""
        canvas, flip = self.canvas, bool(torch.rand(1) < _FLIPPED)
        times = self._times()
        boxes = {t: self._crop(canvas.boxes[t]) for t in times}
        places = {t: box.of(canvas.places[t].permute(2, 0, 1)) for t, box in boxes.items()}
        every = torch.cat([place.flatten(1) for place in places.values()], dim=1).T
        part = box_of_places(every, canvas.resolution)
        edit = self._generate(part.of(canvas.atlas), flip=flip)
        for t in times:
            looked = sample(edit, part, places[t].permute(1, 2, 0), canvas.resolution)
            yield self._shown(looked, t, boxes[t], flip=flip)
        t = times[int(torch.randint(len(times), ()))]
        alone = self._generate(boxes[t].of(canvas.own_pixels[t]), flip=flip)
        yield self._shown(alone[0], t, boxes[t], flip=flip)
        if self.own.whole_atlas_every and step % self.own.whole_atlas_every == 0:
            atlas = canvas.box.of(canvas.atlas)
            edit = self.generator(atlas[None])[0]
            yield _Shown(edit=edit, weight=torch.ones_like(edit[:1]), ground=atlas)

    def _generate(self, picture_3HW: Tensor, *, flip: bool) -> Tensor:
        """The edit of a picture, (1, 4, h, w), seen mirrored or not, and turned back."""
        given = picture_3HW[None]
        made: Tensor = self.generator(given.flip(-1)).flip(-1) if flip else self.generator(given)
        return made

    def _shown(self, edit: Tensor, t: int, box: Box, *, flip: bool) -> _Shown:
        canvas = self.canvas
        parts = edit, box.of(canvas.weight[t]), box.of(canvas.ground[t])
        edit, weight, ground = (part.flip(-1) if flip else part for part in parts)
        return _Shown(edit=edit, weight=weight, ground=ground)

    def _times(self) -> list[int]:
        """Three frames that show the layer, as far apart as the settings say and the clip has."""
        shown = list(self.canvas.boxes)
        distance = min(self.own.frame_distance, (len(shown) - 1) // 2)
        middle = distance + int(torch.randint(len(shown) - 2 * distance, ()))
        return sorted({shown[middle + i * distance] for i in (-1, 0, 1)})

    def _crop(self, box: Box) -> Box:
        """A random part of where a frame may be edited."""
        sides = []
        for side in (box.height, box.width):
            least = max(1, round(self.own.crops_min_cover * side))
            sides.append(int(torch.randint(least, side + 1, ())))
        top = box.top + int(torch.randint(box.height - sides[0] + 1, ()))
        left = box.left + int(torch.randint(box.width - sides[1] + 1, ()))
        return Box(top=top, left=left, height=sides[0], width=sides[1])

    def _loss(self, shown: Sequence[_Shown]) -> Tensor:
        """All losses, means over the pictures."""
        own, clip, target = self.own, self.clip, self.target
        composed, ground = [one.composed for one in shown], [one.ground for one in shown]
        covered = torch.stack([_sparsity(one.coverage) for one in shown]).mean()
        loss = own.sparsity_weight * covered
        if own.composition_weight:
            seen = clip.views(composed, own.views)
            nearness = spherical_distance(seen, _drawn(target.composed))
            with torch.no_grad():
                before = clip.views(ground, own.views)
            moved = clip.views(composed, own.views) - before
            direction = _turned_away(moved, _drawn(target.composed - target.source))
            loss = loss + own.composition_weight * (nearness + direction)
        if own.screen_weight:
            seen = clip.views([one.before_green for one in shown], own.views)
            loss = loss + own.screen_weight * spherical_distance(seen, _drawn(target.layer))
        if own.structure_weight:
            with torch.no_grad():
                like = clip.self_similarity(ground)
            difference = (clip.self_similarity(composed) - like).square().mean()
            loss = loss + own.structure_weight * difference
        return loss


def spherical_distance(views_D: Tensor, texts_TD: Tensor) -> Tensor:
    """Twice the squared half angles between views (…, D) and texts, their mean."""
    views, texts = (nn.functional.normalize(x, dim=-1) for x in (views_D, texts_TD))
    chords = (views[..., None, :] - texts).norm(dim=-1)
    distance: Tensor = 2 * (chords / 2).arcsin().square().mean()
    return distance


def _turned_away(moved_D: Tensor, away_TD: Tensor) -> Tensor:
    """One minus the cosines between the ways that views (…, D) and texts went, their mean."""
    return 1 - nn.functional.cosine_similarity(moved_D[..., None, :], away_TD, dim=-1).mean()


def _drawn(texts_TD: Tensor) -> Tensor:
    """A random number of the texts, drawn with repetition."""
    count = int(torch.randint(1, len(texts_TD) + 1, ()))
    return texts_TD[torch.randint(len(texts_TD), (count,)).to(texts_TD.device)]


def _sparsity(coverage: Tensor) -> Tensor:
    """How much is covered, and, softly, how many pixels are."""
    return _L1 * coverage.mean() + _L0 * 2 * ((_SHARPNESS * coverage).sigmoid() - 0.5).mean()
