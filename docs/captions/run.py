"""Neutral captions on real input: counts by rule, violations of the swap, coverage of lexicons, 100 sampled pairs.

    FAIRVL_REALDATA=... python docs/captions/run.py

Writes docs/captions.md from introduction.md and what it measures.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from fairvl.repair.captions import neutralize as rewrite_caption
from fairvl.sources.captions import caption_group, load_lexicon

HERE = Path(__file__).parent
neutralize = cache(rewrite_caption)
SEED = 0
sys.path.insert(0, str(HERE.parents[1] / "tests" / "gold"))
from score import read_gold, score  # noqa: E402


def counterfactuals(data: Path) -> Iterator[list[str]]:
    """Rows of captions that differ in one or two attributes of the person; male and female in turn."""
    for name in ("race_gender", "physicaltrait_gender"):
        path = data / "social-counterfactual-captions" / f"{name}_occupation.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield [text for key, text in json.loads(line).items() if key != "filename"]


def scenes(data: Path) -> list[list[str]]:
    """PAIRS has no captions: one from its table for each picture, {black, white} x {man, woman} per scenario."""
    with open(data / "pairs-images" / "images.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_scene: dict[str, list[str]] = {}
    for row in rows:
        scene = row["scenario"].replace("_", " ")
        text = f"a photo of a {row['race']} {row['gender'].rstrip('1')}, scene: {scene}"  # one row says man1
        by_scene.setdefault(f"{row['section']}/{row['scenario']}", []).append(text)
    return list(by_scene.values())


def emoji(data: Path) -> list[dict[str, str]]:
    with open(data / "noto-emoji-72" / "images.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counted(name: str, texts: Sequence[str]) -> tuple[list[str], Counter[str], Counter[str]]:
    """One line of the table, and the counts it is made of."""
    rules: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    changed = twice = broken = 0
    groups: Counter[str] = Counter()
    for text in texts:
        rewrite = neutralize(text)
        changed += rewrite.changed
        rules.update(span.rule for span in rewrite.spans)
        kept.update(place.why for place in rewrite.kept)
        groups[caption_group(text)] += 1
        twice += neutralize(rewrite.text).text != rewrite.text
        broken += rewrite.restore() != text
    found = ", ".join(f"{group} {groups[group]:,}" for group in ("female", "male", "mixed", "neutral", "unknown"))
    return [name, f"{len(texts):,}", f"{changed:,}", found, str(twice), str(broken)], rules, kept


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def gold_section() -> str:
    rows = []
    for name, half in zip(("development", "held back"), read_gold(), strict=True):
        before, after = score(half, str), score(half, lambda text: neutralize(text).text)
        rows.append(
            [name, f"{after.captions}", f"{after.words:,}", f"{100 * before.word_error_rate:.1f} %",
             f"{100 * after.word_error_rate:.2f} % ({after.errors})", f"{after.exact}/{after.captions}",
             f"{after.traps_changed}/{after.traps}"]
        )  # fmt: skip
    head = ["half", "captions", "words", "word error rate, untouched", "rewritten (errors)", "exact", "traps changed"]
    return (
        "## Captions written before the rules\n\n`tests/gold`: 500 captions with their neutral text, committed before "
        "the first rule; half of them, by a hash, were never looked at afterwards, and the scorer prints only totals "
        f"of that half.\n\n{table(head, rows)}\n"
    )


def swap_section(data: Path) -> str:
    social = [(a, b) for row in counterfactuals(data) for a, b in zip(row[0::2], row[1::2], strict=True)]
    violations = sum(neutralize(a).text != neutralize(b).text for a, b in social)
    unchanged = sum(not neutralize(a).changed for a, _ in social)
    races = [row for row in counterfactuals(data) if len(row) == 12]
    both = sum(len({neutralize(neutralize(text).text, lexicon="race-en").text for text in row}) > 1 for row in races)
    groups = scenes(data)
    four = sum(len({neutralize(neutralize(text).text, lexicon="race-en").text for text in row}) > 1 for row in groups)
    return (
        "## Swapped captions\n\n"
        f"Female and male swapped in the 2 x 1,044 rows of counterfactual captions: {len(social):,} "
        f"pairs, "
        f"**{violations} violations** (two neutral texts where there should be one), {unchanged} pairs left unchanged. "
        f"Gender and race together, 1,044 rows of twelve captions each: {both} rows with more than one neutral text. "
        f"The {len(groups)} scenes of PAIRS, four captions each: {four} with more than one.\n"
    )


def coverage_section(data: Path) -> str:
    lexicon, folder = load_lexicon("gender-en"), data / "gender-lexicons"
    female, male = ((folder / f"gn_glove_{side}_words.txt").read_text().split() for side in ("female", "male"))
    pairs = list(dict.fromkeys(zip(female, male, strict=True)))
    entries = lexicon.entries
    known = [(f, m) for f, m in pairs if f in entries and (m in entries or m == entries[f].form)]
    agree = sum(neutralize(f).text == neutralize(m).text for f, m in known)
    equal = [
        tuple(word.lower() for word in pair)
        for pair in json.loads((folder / "debiaswe_equalize_pairs.json").read_text())
    ]
    covered = sum(all(word in entries for word in pair) for pair in equal)
    senses = json.loads((folder / "gendered_words.json").read_text())
    named = {row["word"]: row["gender"] for row in senses if row["gender"] in "mf" and "_" not in row["word"]}
    right = sum(entries[word].group[0] == gender for word, gender in named.items() if word in entries)
    listed = sum(word in entries for word in named)
    rows = [
        ["gn_glove aligned words (Apache-2.0)", f"{len(pairs)} distinct pairs",
         f"{len(known)} in the lexicon, {agree} with one neutral form"],
        ["debiaswe equalize pairs (MIT)", f"{len(equal)}", f"{covered} in the lexicon"],
        ["gendered_words, single gendered words (CC BY 3.0)", f"{len(named)}",
         f"{listed} in the lexicon, {right} with the same gender"],
    ]  # fmt: skip
    return (
        "## Other word lists\n\nThe lists hold much that no caption should lose (body parts, animals, religious ranks, "
        "rare titles), so full coverage is not the aim; agreement where both speak is.\n\n"
        + table(["list", "size", "gender-en"], rows)
        + "\n"
    )


def labels_section(rows: Sequence[dict[str, str]]) -> str:
    named = {"man": "male", "woman": "female", "person": "neutral"}
    cells = Counter((row["gender"], caption_group(row["caption"])) for row in rows if row["gender"])
    right = sum(count for (gender, group), count in cells.items() if named[gender] == group)
    other = ", ".join(
        f"{gender} as {group}: {count}" for (gender, group), count in sorted(cells.items()) if named[gender] != group
    )
    return (
        "## Groups against labels\n\n"
        f"Emoji names with a gender label: the caption's group is the labelled one for {right:,} of "
        f"{sum(cells.values()):,}{f' ({other})' if other else ''}.\n"
    )


def sample_section(sources: dict[str, Sequence[str]], sizes: dict[str, int]) -> str:
    rng = random.Random(SEED)  # noqa: S311
    parts = []
    for name, texts in sources.items():
        changed = sorted({text for text in texts if neutralize(text).changed})
        picked = rng.sample(changed, sizes[name])
        parts += [
            [name, text.replace("|", "\\|"), neutralize(text).text.replace("|", "\\|")] for text in sorted(picked)
        ]
    return (
        f"## {len(parts)} sampled changes\n\nDrawn from the distinct changed captions of each source with seed {SEED}. "
        "Sources: SocialCounterfactuals captions (Intel Labs, MIT-style licence, copyright 2023-2024 "
        "Intel Corporation), emoji names (unicode-emoji-json, MIT), captions made from the table of PAIRS (Fraser and "
        f"Kiritchenko 2024, CC BY 4.0).\n\n{table(['source', 'before', 'after'], parts)}\n"
    )


def main() -> None:
    data = Path(os.environ.get("FAIRVL_REALDATA", ""))
    if not (data / "social-counterfactual-captions").is_dir():
        sys.exit("FAIRVL_REALDATA names no folder with social-counterfactual-captions")
    names = emoji(data)
    sources = {
        "social counterfactuals": [text for row in counterfactuals(data) for text in row],
        "emoji names": [row["caption"] for row in names],
        "PAIRS": [text for row in scenes(data) for text in row],
    }
    lines, rules, kept = [], {}, {}
    for name, texts in sources.items():
        line, rules[name], kept[name] = counted(name, texts)
        lines.append(line)
    used = sorted({rule for counter in rules.values() for rule in counter})
    reasons = sorted({why for counter in kept.values() for why in counter})
    by_rule = [[rule, *(f"{rules[name][rule]:,}" for name in sources)] for rule in used]
    by_rule += [[f"kept: {why}", *(f"{kept[name][why]:,}" for name in sources)] for why in reasons]
    parts = [
        (HERE / "introduction.md").read_text(encoding="utf-8"),
        gold_section(),
        "## Real captions\n\n"
        + table(["source", "captions", "changed", "groups", "changed by a second pass", "not restored"], lines)
        + "\n\n"
        + table(["rule", *sources], by_rule)
        + "\n",
        swap_section(data),
        labels_section(names),
        coverage_section(data),
        sample_section(sources, {"social counterfactuals": 50, "emoji names": 35, "PAIRS": 15}),
    ]
    (HERE.parent / "captions.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
