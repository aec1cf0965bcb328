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
def edits(draw: Any, scene: Scene) -> Scene:
    """The scene with any of its words changed, or none."""
    places = [(k, name) for k in range(len(scene.things)) for name in OF_A_THING]
    places += [(0, name) for name in OF_THE_FRAME]
    edited = scene
    for k, name in draw(st.sets(st.sampled_from(places))):
        edited = replaced(edited, k, name, draw(st.sampled_from(others(edited, name))))
    return edited


@st.composite
def edited_scenes(draw: Any, *, things: int | None = None) -> tuple[Scene, Scene]:
    """A scene and an edit of it whose prompts say which thing became what.

    Where both of two things become nearly what the other was, prompts say that they changed places.
    """
    source = draw(scenes(things=things))
    edited = draw(edits(source))
    olds, news = source.words.things, edited.words.things
    straight, turned = (
        sum(
            a != b
            for old, new in zip(olds, way, strict=True)
            for a, b in zip(old, new, strict=True)
        )
        for way in (news, news[::-1])
    )
    return source, source if turned < straight else edited
