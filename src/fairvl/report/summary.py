"""What the top of the page holds: headline, key figures, sentences, scoreboard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One key figure: a small label, a big value, a line of detail; `tone` is "good", "bad" or ""."""

    label: str
    value: str
    detail: str
    tone: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of the scoreboard: the value, how it changed, and whether that is clear."""

    value: str
    change: str = ""
    certainty: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Scoreboard:
    """Measures by repairs (or whatever `item` says a column is): the whole result in one small table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    item: str = "repair"


@dataclass(frozen=True)
class Headline:
    """The headline, the key figures, the sentences under it, and the scoreboard of a repaired run."""

    text: str
    sentences: tuple[str, ...]
    cards: tuple[Card, ...]
    scoreboard: Scoreboard | None = None
