"""Which of a folder's pictures are the clip, and in which order: a matter of their names alone.

One numbered set of pictures is the clip. What lies beside it is left out and told, and a folder of
several sets is refused: which one is meant cannot be known.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from components.errors import SourceError
from components.video.pictures import PICTURES

_DATE = r"[0-9]{4}[-_.]?[0-9]{2}[-_.]?[0-9]{2}"
_TIME = r"[0-9]{2}[-_.:]?[0-5][0-9][-_.:]?[0-5][0-9](?:[-_.][0-9]+)?"
_NUMBERS = re.compile(
    # A date with a time of day, or one of them with its parts apart, is one number, …
    rf"(?<![0-9])(?:{_DATE}[-_. T]{_TIME}|[0-9]{{4}}([-_.])[0-9]{{2}}\1[0-9]{{2}}"
    r"|[0-9]{2}([-_.:])[0-5][0-9]\2[0-5][0-9](?:[-_.][0-9]+)?)(?![0-9])"
    r"|(?:^|(?<=[-_ =]))[0-9]+\.[0-9]+(?![.0-9])"  # … so are seconds with a fraction,
    r"|^-[0-9]+"  # … and what counts from below zero.
    r"|[0-9]+"
)
_FRACTION = re.compile(r"(?:^|(?<=[-_ =]))[0-9]+\.([0-9]+)(?![.0-9])")
_BEFORE_MORE = "_-. ("
"""What parts a frame's name from what is added to it, as in ``00000_mask.png``."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class FrameSet:
    """The pictures of a folder that are the clip."""

    names: tuple[str, ...]
    """In the order of their numbers."""
    remarks: tuple[str, ...] = ()
    """What the user should know: what was left out, and where the numbers jump."""


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture: by its suffix, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key under which ``frame2`` comes before ``frame10``; the name itself breaks ties."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(p), "") if i % 2 else (0, 0, p) for i, p in enumerate(parts)], name


def hold_frames(pictures: Sequence[str]) -> bool:
    """Whether names look like frames': they differ in numbers only, or one alone has a number."""
    numbered, _ = _sets(pictures)
    patterns = [pattern for one in numbered for pattern in one.stems()]
    return len(patterns) == 1 or len(set(patterns)) < len(patterns)


def named_after(
    names: Sequence[str], titles: AbstractSet[str], *, exactly: bool = False
) -> set[str]:
    """The titles that names are made of by adding something, if each is, and no two of the same.

    Args:
        names: Of files.
        titles: What they may be named after.
        exactly: Whether nothing need be added.
    """
    found = set()
    for name in names:
        made_of = [cut for cut in _cuts(name, whole=exactly) if cut in titles]
        if not made_of or made_of[0] in found:
            return set()
        found.add(made_of[0])
    return found


def choose_frames(folder: str, names: Sequence[str]) -> FrameSet:
    """Tell the clip among the files of a folder, by their names alone.

    Pictures whose names differ in nothing but numbers, and that are of one format, are a set. The
    clip is the one set with more than one picture. Left out are single pictures (``cover.jpg``),
    pictures without numbers where others have some, and sets made of another one's names
    (``00000_mask.png`` beside ``00000.png``). Pictures that all have no numbers are a set, in the
    order of their names.

    Args:
        folder: Its name, for messages.
        names: Of all files directly in it, in any order; hidden ones do not count.

    Raises:
        SourceError: there are no pictures, or several sets, or two pictures of one number.
    """
    shown = sorted((name for name in names if not name.startswith(".")), key=natural_key)
    numbered, plain = _sets([name for name in shown if is_picture(name)])
    if not numbered and not plain:
        raise SourceError(
            f"the folder {folder!r} holds 0 frames: it needs images that end in "
            f"{', '.join(PICTURES)}"
        )
    chosen = _the_one(folder, _without_derived(numbered) if numbered else plain)
    remarks = [*_left_out(chosen, shown)]
    if numbered:
        chosen.sort_by_number(folder)
        remarks += chosen.jumps()
    elif len(chosen.names) > 1:
        remarks.append("the frames have no numbers in their names: they are in alphabetical order")
    return FrameSet(tuple(chosen.names), tuple(remarks))


@dataclass(slots=True)
class _Set:
    """Pictures of one format whose names differ in numbers only."""

    pattern: str
    """The name that they share, with ``#`` for each number."""
    names: list[str] = field(default_factory=list)

    def stems(self) -> list[str]:
        """The pattern without its suffix, once for each name."""
        return [_stem(self.pattern).casefold()] * len(self.names)

    def sort_by_number(self, folder: str) -> None:
        """Order the pictures; raise a SourceError where that cannot be done in one way."""
        by_number: dict[tuple[int, ...], str] = {}
        for name in self.names:
            number = tuple(value for part in _numbers(name) for value in part)
            if (other := by_number.setdefault(number, name)) != name:
                raise SourceError(
                    f"{folder}/{other} and {folder}/{name} have one number: keep one of them in "
                    "the folder"
                )
        self.names = [by_number[number] for number in sorted(by_number)]
        columns = [values for values in self._columns() if len(set(values)) > 1]
        if len(columns) > 1 and all(len(set(values)) < len(values) for values in columns):
            first = columns[0][0]
            other = next(
                name for name, value in zip(self.names, columns[0], strict=True) if value != first
            )
            raise SourceError(
                f"{folder} holds several sequences of frames ({self.names[0]}, …, {other}, …), but "
                "1 is a clip: give each a folder of its own"
            )
        self._check_fractions(folder)

    def _check_fractions(self, folder: str) -> None:
        """1.5 and 1.25 are in one order as seconds and in another as counters."""
        found = (re.search(_FRACTION, _stem(name)) for name in self.names)
        lengths = {len(match[1]): match[0] for match in found if match}
        if len(lengths) > 1:
            raise SourceError(
                f"{folder} holds frames numbered {' and '.join(list(lengths.values())[:2])}, whose "
                "order is unclear: give all fractions one length (1.50, 1.25)"
            )

    def jumps(self) -> Iterator[str]:
        """A remark on where the numbers do not go on in even steps, if there are such places."""
        whole = [column for column in self._columns() if {len(value) for value in column} == {1}]
        counter = next((column for column in whole if len(set(column)) == len(column)), [])
        steps = [later[0] - one[0] for one, later in itertools.pairwise(counter)]
        usual = max(Counter(steps).items(), key=lambda item: item[1])[0] if steps else 0
        pairs = zip(self.names, steps, strict=False)
        if places := [name for name, step in pairs if step != usual]:
            yield (
                f"the frames' numbers jump in {len(places)} place(s), after {some_names(places)}: "
                "the frames that are there follow each other evenly"
            )

    def _columns(self) -> list[list[tuple[int, ...]]]:
        """The first number of every picture, then the second of every one, and so on."""
        return [list(column) for column in zip(*map(_numbers, self.names), strict=True)]


def _numbers(name: str) -> list[tuple[int, ...]]:
    """The numbers in a name; of those with several parts (a time of day) each part."""
    found = []
    for match in _NUMBERS.finditer(_stem(name)):
        sign = -1 if match.group().startswith("-") else 1
        found.append(tuple(sign * int(part) for part in re.findall(r"[0-9]+", match.group())))
    return found


def _sets(pictures: Sequence[str]) -> tuple[list[_Set], list[_Set]]:
    """All sets of numbered pictures, and those of pictures without a number, by format."""
    numbered: dict[tuple[str, ...], _Set] = {}
    plain: dict[str, _Set] = {}
    stems = {_stem(name) for name in pictures}
    for name in pictures:
        path = PurePosixPath(name)
        kind = PICTURES[path.suffix.lower()]
        pattern, count = _NUMBERS.subn("#", path.stem)
        if count:
            shown = f"{pattern}{path.suffix.lower()}"
            numbered.setdefault((pattern.casefold(), kind), _Set(shown)).names.append(name)
        elif stems.isdisjoint(_cuts(name)):
            plain.setdefault(kind, _Set(f"*{path.suffix.lower()}")).names.append(name)
    return list(numbered.values()), list(plain.values())


def _without_derived(sets: Sequence[_Set]) -> list[_Set]:
    """The sets whose names are not those of another set with something added to each."""
    stems = [{_stem(name) for name in one.names} for one in sets]
    owners: dict[str, list[set[str]]] = defaultdict(list)
    for some in stems:
        for stem in some:
            owners[stem].append(some)
    return [
        one
        for one, own in zip(sets, stems, strict=True)
        if not any(
            named_after(one.names, others)
            for cut in _cuts(one.names[0])
            for others in owners.get(cut, ())
            if others is not own
        )
    ]


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _cuts(name: str, *, whole: bool = False) -> Iterator[str]:
    """What a name may have been before something was added to it, the longest first."""
    stem = _stem(name)
    if whole:
        yield stem
    yield from (stem[:end] for end in range(len(stem) - 1, 0, -1) if stem[end] in _BEFORE_MORE)


def _the_one(folder: str, sets: Sequence[_Set]) -> _Set:
    """The set that is the clip."""
    several = [one for one in sets if len(one.names) > 1]
    found = several or list(sets)
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{len(one.names)} {one.pattern}" for one in found[:_SHOWN])
    more = ", …" if len(found) > _SHOWN else ""
    raise SourceError(
        f"the folder {folder!r} holds {len(found)} sets of pictures ({listed}{more}), but 1 is a "
        "clip: keep one in it, numbered (0001.png, …) and of one format, and move the others away"
    )


def _left_out(chosen: _Set, shown: Sequence[str]) -> Iterator[str]:
    kept = set(chosen.names)
    others = [name for name in shown if name not in kept]
    if others:
        yield f"{len(others)} file(s) beside {len(kept)} frame(s) left out: {some_names(others)}"


def some_names(names: Sequence[str]) -> str:
    """The first of some names, for messages."""
    shown = [name if name.isprintable() else ascii(name) for name in names[:_SHOWN]]
    return ", ".join(shown) + (", …" if len(names) > _SHOWN else "")
