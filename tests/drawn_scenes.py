"""Hypothesis strategies: any scene of the tiny world, and any edit of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tinyworld.edits import others, replaced
from tinyworld.scenes import (
    BACKGROUNDS,
    CAMERAS,
    COLORS,
    MOST_THINGS,
    MOTIONS,
    OF_A_THING,
    OF_THE_FRAME,
    SHAPES,
    STYLES,
    Scene,
    Thing,
)


@st.composite
def scenes(draw: Any, *, things: int | None = None) -> Scene:
    """Any scene of so many things; none is one or two."""
    count = things or draw(st.integers(1, MOST_THINGS))

    def words(of: Any) -> Any:
        return draw(
            st.lists(st.sampled_from(tuple(of)), min_size=count, max_size=count, unique=True)
        )

    motions = draw(st.lists(st.sampled_from(MOTIONS), min_size=count, max_size=count))
    return Scene(
        things=tuple(
            Thing(color=color, shape=shape, motion=motion)
            for color, shape, motion in zip(words(COLORS), words(SHAPES), motions, strict=True)
        ),
        background=draw(st.sampled_from(BACKGROUNDS)),
        style=draw(st.sampled_from(STYLES)),
        camera=draw(st.sampled_from(CAMERAS)),
        seed=draw(st.integers(0, 2**31)),
    )


@st.composite
def edits(draw: Any, scene: Scene, *, shapes: bool = True) -> Scene:
    """The scene with any of its words changed, or none; its shapes only where they may be."""
    places = [(k, name) for k in range(len(scene.things)) for name in OF_A_THING]
    places += [(0, name) for name in OF_THE_FRAME]
    edited = scene
    for k, name in draw(st.sets(st.sampled_from(places))):
        if shapes or name != "shape":
            edited = replaced(edited, k, name, draw(st.sampled_from(others(edited, name))))
    return edited
