"""Settings of Text2LIVE and its layered atlas; the defaults are the official codes'."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tav_model.config import require

_LAYERS = ("foreground", "background")
_ONTO = ("source", "reconstruction")
_PLACE = "{}"
_TEMPLATES = (
    "photo of {}.",
    "high quality photo of {}.",
    "a photo of {}.",
    "the photo of {}.",
    "image of {}.",
    "an image of {}.",
    "high quality image of {}.",
    "a high quality image of {}.",
    "the {}.",
    "a {}.",
    "{}.",
    "{}",
    "{}!",
    "{}...",
)
_SCREEN_TEMPLATES = ("{} over a green screen.", "{} in front of a green screen.")


def _check_least(settings: Any, **least: float) -> None:
    for name, low in least.items():
        value = getattr(settings, name)
        default = type(settings).__dataclass_fields__[name].default
        require(value >= low, name, value, f">= {low}", f"The official code's is {default}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AtlasConfig:
    """Networks and training of the layered neural atlas.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: int = 400_000
    """Training steps after the mappings' own."""
    samples: int = 10_000
    """Pixels of each step, drawn from the whole clip."""
    learning_rate: float = 1e-4
    """Adam's."""
    width: int = 256
    """Channels of every hidden layer."""
    foreground_layers: int = 6
    """Layers of the network that maps pixels to the foreground's atlas, with the last one."""
    background_layers: int = 4
    """Likewise the background's."""
    alpha_layers: int = 8
    """Likewise of the network that says how much of a pixel is foreground."""
    atlas_layers: int = 8
    """Likewise of the network that knows the colours of both atlases."""
    alpha_frequencies: int = 5
    """Octaves of the positional encoding of a pixel's place and time."""
    atlas_frequencies: int = 10
    """Likewise of a place in an atlas. Of small clips fewer do: more than one period in two pixels
    is noise between them."""
    pretrain_steps: int = 100
    """Steps on each frame in which the mappings alone learn to leave pixels where they are."""
    bootstrap_steps: int = 10_000
    """Steps in which alpha is held to the mask."""
    global_rigidity_steps: int = 5_000
    """Steps in which the mappings are kept rigid over a distance too."""
    global_rigidity_distance: int = 100
    """That distance in pixels; the official code's clips are 768 wide."""
    checkpoint_every: int = field(default=10_000, metadata={"key": False})
    """Steps between checkpoints; 0 is none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_least(
            self,
            steps=1,
            samples=1,
            width=1,
            foreground_layers=2,
            background_layers=2,
            alpha_layers=2,
            atlas_layers=2,
            alpha_frequencies=1,
            atlas_frequencies=1,
            pretrain_steps=0,
            bootstrap_steps=0,
            global_rigidity_steps=0,
            global_rigidity_distance=1,
            checkpoint_every=0,
        )
        rate = self.learning_rate
        require(0 < rate <= 1, "learning_rate", rate, "above 0 and at most 1", "Use 1e-4.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Text2LiveConfig:
    """The atlas, CLIP, and the training of each edit.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    clip: str = field(
        default="timm/vit_base_patch32_clip_224.openai",
        metadata={"model": "clip_revision", "shipped": "clip"},
    )
    """CLIP that the edit follows: a folder in open_clip's layout, a hub id, or ``tinyworld``."""
    clip_revision: str | None = None
    """Branch, tag or commit of a hub id; a folder takes none."""
    masks: Literal["manifest", "sam2"] = field(
        default="manifest", metadata={"key": "unless default"}
    )
    """Whose masks of the object: the manifest's ``mask``, or SAM 2's as ``control.mask`` says."""
    atlas: AtlasConfig = field(default_factory=AtlasConfig)
    layer: Literal["foreground", "background"] = "foreground"
    """What is edited."""
    layer_prompt: str = "{prompt}"
    """What the edit alone shows: ``{prompt}`` stands for the edit's prompt, ``{words}`` for its
    words that the source's has not."""
    onto: Literal["source", "reconstruction"] = "source"
    """What the edit is laid upon: the clip itself, or what the atlas makes of it."""
    steps: int = 3000
    """Training steps of an edit."""
    learning_rate: float = 2.5e-3
    """MADGRAD's, which falls by a thousandth a step, to 1e-5."""
    channels: int = 128
    """Of the generator's convolutions."""
    skip_channels: int = 4
    """Of those that lead past the deeper scales."""
    scales: int = 7
    """How often the generator halves what it sees."""
    resolution: int = 2000
    """Pixels by side of an atlas as the generator sees it; a clip takes up about 0.4 of it."""
    frame_distance: int = 2
    """Frames between the three that are edited in a step."""
    views: int = 6
    """Random views of each picture that CLIP is shown."""
    crops_min_cover: float = 0.95
    """Least share, by side, of what may be edited that a step sees."""
    border: int = 30
    """Pixels around the foreground that a step may see."""
    whole_atlas_every: int = 75
    """Steps between those that see the whole atlas too; 0 is never."""
    composition_weight: float = 1.0
    """Of the composed frames' nearness to the edit's prompt, and of the way from the source's."""
    screen_weight: float = 1.0
    """Of the nearness of the edit alone, before a green screen, to its own prompt."""
    structure_weight: float = 3.0
    """Of the difference between the self-similarities of the composed frames and the source's."""
    sparsity_weight: float = 0.1
    """Of how much the edit covers."""
    templates: tuple[str, ...] = _TEMPLATES
    """Sentences that prompts are put into, at ``{}``."""
    screen_templates: tuple[str, ...] = _SCREEN_TEMPLATES
    """Likewise the edit's own prompt."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(bool(self.clip), "clip", self.clip, "a folder or a hub id", "Name a CLIP model.")
        for name, known in (("layer", _LAYERS), ("onto", _ONTO)):
            value = getattr(self, name)
            require(value in known, name, value, f"one of {known}", f"Use {known[0]}.")
        _check_least(
            self,
            steps=1,
            channels=1,
            skip_channels=1,
            scales=1,
            resolution=2,
            frame_distance=0,
            views=1,
            border=0,
            whole_atlas_every=0,
            composition_weight=0,
            screen_weight=0,
            structure_weight=0,
            sparsity_weight=0,
        )
        require(
            self.resolution >= self.smallest,
            "resolution",
            self.resolution,
            f">= 2 ** scales + 1 = {self.smallest}",
            "Use fewer scales.",
        )
        rate, cover = self.learning_rate, self.crops_min_cover
        require(0 < rate <= 1, "learning_rate", rate, "above 0 and at most 1", "Use 2.5e-3.")
        require(0 < cover <= 1, "crops_min_cover", cover, "above 0 and at most 1", "Use 0.95.")
        self._check_texts()

    def _check_texts(self) -> None:
        text = self.layer_prompt
        require(
            "{prompt}" in text or "{words}" in text,
            "layer_prompt",
            text,
            "a text with {prompt} or {words}",
            "The prompt of each edit takes its place.",
        )
        for name in ("templates", "screen_templates"):
            texts = getattr(self, name)
            require(
                bool(texts) and all(one.count(_PLACE) == 1 for one in texts),
                name,
                texts,
                "one text or more, each with one {}",
                'Use ["{}"] for prompts as they are.',
            )

    @property
    def smallest(self) -> int:
        """The least side, in pixels, of what the generator takes."""
        return int(2**self.scales) + 1
