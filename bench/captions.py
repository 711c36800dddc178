"""Neutral captions per second and core, and the word error rate that the speed buys.

    python bench/captions.py [--repeats 7]

Peer: what the field does without a package, one compiled alternation of the 31 published rows and a replacement by
dictionary, on whole words, small letters. Both run over the same captions in the same process, in turn; captions per
second are of processor time. The corpus: the gold captions of the project, and plain captions without a word of the
lexicon, in three mixtures. Published corpora name a gender in about half of their captions.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from _measure import peak_added_bytes, processor, write

from fairvl.repair.captions import neutralize
from fairvl.sources.captions import caption_group, load_lexicon, mask

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gold"))
from score import read_gold, score

CAPTIONS = 20_000
THINGS = ["red bus", "wooden table", "bowl of soup", "brown dog", "stack of books", "blue train", "bird", "laptop"]
PLACES = [
    "on a busy street",
    "in front of a window",
    "next to a lake",
    "at the airport",
    "on top of a hill",
    "in a box",
]
MORE = ["with a lot of flowers", "and a small clock", "during sunset", "that looks very old", "under a large tree"]


def corpus(share: float, seed: int = 0) -> list[str]:
    """Captions of which `share` come from the gold set (traps left out), the others without any word to look at."""
    rng = random.Random(seed)
    gold = [row.caption for half in read_gold() for row in half if row.kind != "trap"]
    plain = [f"A {rng.choice(THINGS)} {rng.choice(PLACES)} {rng.choice(MORE)}." for _ in range(CAPTIONS)]
    return [rng.choice(gold) if rng.random() < share else text for text in plain]


def word_map() -> Callable[[str], str]:
    """The published 31 rows as one regular expression over whole words."""
    table = {word: neutral for *words, neutral in load_lexicon("paper-31").rows for word in words}
    pattern = re.compile(r"\b(" + "|".join(sorted(table, key=len, reverse=True)) + r")\b")
    return lambda caption: pattern.sub(lambda match: table[match[1]], caption.lower())


def rates(captions: list[str], repeats: int) -> dict[str, float]:
    """Captions per second of processor time, medians over turns, and the ratio of the two."""
    mapped = word_map()
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(len(captions) / processor(lambda: [neutralize(text).text for text in captions]))
        theirs.append(len(captions) / processor(lambda: [mapped(text) for text in captions]))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "ours_per_s": statistics.median(ours), "ours_low": min(ours), "ours_high": max(ours),
        "peer_per_s": statistics.median(theirs), "ratio": statistics.median(ratios), "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }  # fmt: skip


def quality() -> list[dict[str, float | int | str]]:
    """Word error rates on the gold captions; the word map writes small letters and is held against small letters."""
    mapped = word_map()
    rows = []
    for name, rewrite, small in (
        ("ours", lambda text: neutralize(text).text, False), ("word map", mapped, True), ("untouched", str, False),
    ):  # fmt: skip
        halves = [
            [replace(row, caption=row.caption.lower(), expected=row.expected.lower()) for row in half]
            if small
            else half
            for half in read_gold()
        ]
        totals = [score(half, rewrite) for half in halves]
        rows.append(
            {
                "case": f"gold captions, {name}",
                "development": totals[0].word_error_rate,
                "held_back": totals[1].word_error_rate,
                "traps_changed": sum(total.traps_changed for total in totals),
                "traps": sum(total.traps for total in totals),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    neutralize("A man.")
    rows = []
    for share in (0.0, 0.5, 1.0):
        captions = corpus(share)
        row = {"case": f"{CAPTIONS} captions, {share:.0%} name a gender", **rates(captions, options.repeats)}
        rows.append(row)
        print(
            f"{row['case']}: ours {row['ours_per_s']:,.0f} per second and core ({row['ours_low']:,.0f} to "
            f"{row['ours_high']:,.0f}), word map {row['peer_per_s']:,.0f}, ratio {row['ratio']:.2f} "
            f"({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        )
    half = corpus(0.5)
    for name, function in (("mask", lambda text: mask(text).text), ("caption_group", caption_group)):
        rate = CAPTIONS / processor(lambda f=function: [f(text) for text in half], options.repeats)
        rows.append({"case": f"{name}, 50% name a gender", "ours_per_s": rate})
        print(f"{name}: {rate:,.0f} per second and core")
    for row in quality():
        rows.append(row)
        print(
            f"{row['case']}: word error rate {100 * row['development']:.2f} % (development), "
            f"{100 * row['held_back']:.2f} % (held back), traps changed {row['traps_changed']}/{row['traps']}"
        )
    mapped = word_map()
    text = half[:2000]
    rows.append({"case": "2000 captions", "ours_peak_bytes": peak_added_bytes(lambda: neutralize(text)),
                 "peer_peak_bytes": peak_added_bytes(lambda: [mapped(caption) for caption in text])})  # fmt: skip
    write("captions", rows)


if __name__ == "__main__":
    main()
