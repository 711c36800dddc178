"""Word error rate and changed traps on the gold captions, for the development half and the held-back half."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

GOLD = Path(__file__).parent / "captions.tsv"
SALT = "fairvl-captions-20261122:"


@dataclass(frozen=True)
class Row:
    kind: str
    caption: str
    expected: str


@dataclass(frozen=True)
class Score:
    captions: int
    words: int
    errors: int
    exact: int
    traps: int
    traps_changed: int

    @property
    def word_error_rate(self) -> float:
        return self.errors / self.words


def held_back(caption: str) -> bool:
    return int(hashlib.sha256((SALT + caption).encode()).hexdigest()[0], 16) % 2 == 1


def read_gold() -> tuple[list[Row], list[Row]]:
    with open(GOLD, encoding="utf-8", newline="") as file:
        rows = [Row(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [row for row in rows if not held_back(row.caption)], [row for row in rows if held_back(row.caption)]


def word_errors(found: Sequence[str], expected: Sequence[str]) -> int:
    previous = list(range(len(expected) + 1))
    for i, word in enumerate(found, 1):
        current = [i]
        for j, other in enumerate(expected, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (word != other)))
        previous = current
    return previous[-1]


def score(rows: Sequence[Row], rewrite: Callable[[str], str]) -> Score:
    found = [rewrite(row.caption) for row in rows]
    traps = [(row, text) for row, text in zip(rows, found, strict=True) if row.kind == "trap"]
    return Score(
        captions=len(rows),
        words=sum(len(row.expected.split()) for row in rows),
        errors=sum(word_errors(text.split(), row.expected.split()) for row, text in zip(rows, found, strict=True)),
        exact=sum(text == row.expected for row, text in zip(rows, found, strict=True)),
        traps=len(traps),
        traps_changed=sum(text != row.caption for row, text in traps),
    )


def main() -> None:
    from fairvl.repair.captions import neutralize

    def rewrite(caption: str) -> str:
        return neutralize(caption).text

    development, held = read_gold()
    for name, rows in (("development", development), ("held back", held)):
        result = score(rows, rewrite)
        print(
            f"{name}: {result.captions} captions, {result.words} words, word error rate "
            f"{100 * result.word_error_rate:.2f} % ({result.errors}), exact {result.exact}/{result.captions}, "
            f"traps changed {result.traps_changed}/{result.traps}"
        )
    if "--show" in sys.argv:
        for row in development:
            if (text := rewrite(row.caption)) != row.expected:
                print(f"{row.kind}\n  caption  {row.caption}\n  expected {row.expected}\n  found    {text}")


if __name__ == "__main__":
    main()
