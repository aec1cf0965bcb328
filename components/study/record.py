"""A study in its database: its design, who may answer, and what they answered."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, inspect, select
from sqlalchemy.exc import IntegrityError

from components.errors import UserError
from components.study.database import ANSWERS, METADATA, RATERS, STUDY, open_database, shown, told
from components.study.design import Design
from components.study.sequence import Sequences
from eval.study.votes import Choice, Vote

_VERSION = 1
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Record:
    """A study that is there."""

    engine: Engine
    name: str
    """Of this study alone, drawn when it was made."""
    sequences: Sequences

    @property
    def design(self) -> Design:
        """What it shows."""
        return self.sequences.design

    @property
    def where(self) -> str:
        """The database, without what may be secret."""
        return shown(self.engine.url)

    @classmethod
    def open(cls, address: str) -> Self:
        """Open a study.

        Raises:
            UserError: none is there, another release made it, or the database cannot be used.
        """
        engine = open_database(address)
        found = cls.find(engine)
        if found is None:
            raise UserError(
                f"{shown(engine.url)} holds no study: give the --database of `tav study serve`"
            )
        return found

    @classmethod
    def find(cls, engine: Engine) -> Self | None:
        """The study of a database, or none."""
        with told(engine), engine.connect() as connection:
            if not inspect(connection).has_table(STUDY.name):
                return None
            row = connection.execute(select(STUDY)).mappings().first()
        return None if row is None else cls._of(engine, row)

    @classmethod
    def make(cls, engine: Engine, design: Design) -> tuple[Self, dict[int, str]]:
        """Keep a new study; of two who make one at a time the first one's is kept.

        Args:
            engine: Of a database without a study.
            design: What to show.

        Returns:
            The study, and each rater's token, which is nowhere else; none where another process
            was faster.
        """
        study = {
            "id": 1,
            "version": _VERSION,
            "name": secrets.token_hex(8),
            "design": design.to_json(),
            "secret": secrets.token_hex(_SECRET_BYTES),
            "made_at": _text(datetime.now(UTC)),
        }
        tokens = _tokens(range(design.plan.raters))
        with told(engine):
            METADATA.create_all(engine)
            try:
                with engine.begin() as connection:
                    connection.execute(insert(STUDY), study)
                    _keep(connection, tokens)
            except IntegrityError:
                tokens = {}
        found = cls.find(engine)
        assert found is not None
        return found, tokens

    @classmethod
    def _of(cls, engine: Engine, row: RowMapping) -> Self:
        if row["version"] != _VERSION:
            raise UserError(
                f"{shown(engine.url)} holds a study of version {row['version']}, but this release "
                f"reads {_VERSION}: use the release that made it"
            )
        sequences = Sequences(Design.from_json(row["design"]), bytes.fromhex(row["secret"]))
        return cls(engine, row["name"], sequences)

    def rater_of(self, token: str) -> int | None:
        """Whose token it is, or none."""
        wanted = select(RATERS.c.rater).where(RATERS.c.token_sha256 == _sha256(token))
        with told(self.engine), self.engine.connect() as connection:
            found: int | None = connection.execute(wanted).scalar()
        return found

    def invite(self, raters: Collection[int]) -> dict[int, str]:
        """New tokens of raters, whose former ones are void from now on.

        Raises:
            UserError: the study has no such rater.
        """
        of_study = self.design.plan.raters
        if unknown := [number for number in raters if not 0 <= number < of_study]:
            raise UserError(
                f"the study has no rater {rater_name(unknown[0])}: there are {rater_name(0)} to "
                f"{rater_name(of_study - 1)}"
            )
        tokens = _tokens(raters)
        with told(self.engine), self.engine.begin() as connection:
            connection.execute(delete(RATERS).where(RATERS.c.rater.in_(tokens)))
            _keep(connection, tokens)
        return tokens

    def place(self, rater: int) -> int:
        """The first place that a rater has not answered; the sequence's length at its end."""
        wanted = select(ANSWERS.c.place).where(ANSWERS.c.rater == rater).distinct()
        with told(self.engine), self.engine.connect() as connection:
            done = set(connection.execute(wanted).scalars())
        return next(place for place in range(len(done) + 1) if place not in done)

    def answered(self, rater: int) -> dict[int, dict[str, str]]:
        """What a rater answered: choices by place and question."""
        wanted = select(ANSWERS).where(ANSWERS.c.rater == rater)
        found: dict[int, dict[str, str]] = {}
        with told(self.engine), self.engine.connect() as connection:
            for row in connection.execute(wanted).mappings():
                found.setdefault(row["place"], {})[row["question"]] = row["choice"]
        return found

    def answer(self, rater: int, place: int, choices: Mapping[str, Choice], at: datetime) -> bool:
        """Keep the answers to all questions of a place, durably, unless it has some already.

        Args:
            rater: Their number.
            place: In their sequence.
            choices: By question; checked.
            at: When they were given, with a zone.

        Returns:
            Whether they were kept: the first answers of a place count, and never change.
        """
        rows = [
            {
                "rater": rater,
                "place": place,
                "question": question,
                "choice": choice.value,
                "answered_at": _text(at),
            }
            for question, choice in choices.items()
        ]
        with told(self.engine):
            try:
                with self.engine.begin() as connection:
                    connection.execute(insert(ANSWERS), rows)
            except IntegrityError:
                return False
        return True

    def votes(self) -> list[Vote]:
        """Every answer, as what it was about.

        Raises:
            UserError: some answer is none of this study's.
        """
        with told(self.engine), self.engine.connect() as connection:
            rows = connection.execute(select(ANSWERS)).mappings().all()
        try:
            return [self._vote(row) for row in rows]
        except (IndexError, ValueError) as error:
            raise UserError(
                f"{self.where} holds an answer that its study cannot have ({error}): it was "
                "changed by something else; take a copy from before that"
            ) from error

    def _vote(self, row: RowMapping) -> Vote:
        showing = self.sequences.of(row["rater"])[row["place"]]
        return Vote(
            rater=rater_name(row["rater"]),
            pair=showing.pair,
            question=row["question"],
            choice=Choice(row["choice"]),
            time=datetime.fromisoformat(row["answered_at"]),
            kind=showing.kind,
        )


def rater_name(number: int) -> str:
    """What tables call a rater."""
    return f"r{number}"


def vote_lines(votes: Iterable[Vote]) -> str:
    """Votes as JSON lines, those of one rater in their order."""
    rows = sorted(votes, key=lambda vote: (vote.rater, vote.time, vote.question))
    return "".join(json.dumps(_row(vote)) + "\n" for vote in rows)


def _row(vote: Vote) -> dict[str, str | None]:
    return {
        "rater": vote.rater,
        "kind": vote.kind.value,
        "video": vote.pair.video,
        "edit": vote.pair.edit,
        "left": vote.pair.left,
        "right": vote.pair.right,
        "question": vote.question,
        "choice": vote.choice.value,
        "chosen": vote.chosen,
        "time": vote.time.isoformat(),
    }


def _tokens(raters: Iterable[int]) -> dict[int, str]:
    return {rater: secrets.token_urlsafe(_SECRET_BYTES) for rater in raters}


def _keep(connection: Connection, tokens: Mapping[int, str]) -> None:
    rows = [{"rater": rater, "token_sha256": _sha256(one)} for rater, one in tokens.items()]
    connection.execute(insert(RATERS), rows)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", errors="replace")).hexdigest()


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")
