"""Tables and figures of the fusion experiment, and the page docs/pretraining.md.

    python train/world_fusion_page.py --work build/world-fusion   # collects what has been run, then writes the page
    python train/world_fusion_page.py                             # the page again, from docs/world_pretraining/

Every number on the page is read from `docs/world_pretraining/runs.csv`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from world_fusion import WHOLE

from fairvl.atomic import write_atomic
from fairvl.reproduce.demos.fusion_models import FAMILIES, LATER, LONGER, Lengths
from fairvl.sources.world.fusion import (
    ASKING,
    SETTINGS,
    answer_amplification,
    answer_scores,
    erased_amplification,
    pretrained_amplification,
)
from fairvl.stats.paired import paired_equivalence, paired_test
from fairvl.study.stages import StageRow, link_of_stages

DOCS = Path(__file__).parents[1] / "docs"
DATA = DOCS / "world_pretraining"
Row = dict[str, str]
GATE, MARGIN, STAGE_SEEDS = 0.03, 0.02, 4
COLOURS = {"lxmert": "#1f4e9c", "albef": "#b3261e", "blip": "#1a6e3c", "vilt": "#9a6700"}
ARMS = ("base", "neutral", "control")
TASKS = (
    ("a_to_t", "amplification A->T of answers"), ("vqa_range", "range of the VQA score over groups"),
    ("text_to_image_range", "range of R@1, text to image"), ("image_to_text_range", "range of R@1, image to text"),
)  # fmt: skip
UTILITY = (("vqa", "VQA score"), ("text_to_image", "R@1, text to image"), ("image_to_text", "R@1, image to text"))


def collect(work: Path) -> None:
    """All rows that runs have written, as one table."""
    rows = [row for path in sorted(work.glob("*-*/*.json")) for row in json.loads(path.read_text())]
    rows.sort(key=lambda r: (list(SETTINGS).index(r["setting"]), FAMILIES.index(r["family"]), r["seed"], r["arm"]))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_atomic(DATA / "runs.csv", text.getvalue())


class Runs:
    """The rows of the table."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)
        self.families = [f for f in FAMILIES if any(row["family"] == f for row in rows)]

    def of(self, arm: str, family: str, setting: str = WHOLE) -> dict[int, Row]:
        """Rows of an arm by seed."""
        return {
            int(row["seed"]): row
            for row in self.rows
            if (row["arm"], row["family"], row["setting"]) == (arm, family, setting)
        }

    def values(self, arm: str, family: str, column: str, setting: str = WHOLE) -> np.ndarray:
        """A column over seeds."""
        return np.array([float(row[column]) for row in self.of(arm, family, setting).values()])

    def differences(self, family: str, column: str, *, arms: tuple[str, str] = ("neutral", "control")) -> np.ndarray:
        """First arm minus second, by seed."""
        first, second = (self.of(arm, family) for arm in arms)
        return np.array([float(first[s][column]) - float(second[s][column]) for s in sorted(first) if s in second])


def closed_forms(runs: Runs) -> str:
    """Amplification T->A against the plan, by setting and family."""
    lines = ["| setting | family | seeds | planned | pretrained: mean (range) | planned after erasure | after neutral "
             "captions: mean (range) | erasure | neutral words | ITM | thing, change |", "|" + "---|" * 11]  # fmt: skip
    for setting, world in SETTINGS.items():
        for family in runs.families:
            base, after = (runs.values(arm, family, "t_to_a", setting) for arm in ("base", "neutral"))
            if not len(base):
                continue
            rows = runs.of("neutral", family, setting)
            flagged = sum(row["erasure"] == "True" for row in rows.values())
            itm = max([*runs.values("neutral", family, "itm", setting), *runs.values("base", family, "itm", setting)])
            things = runs.values("neutral", family, "thing", setting) - runs.values("base", family, "thing", setting)
            lines.append(
                f"| {setting} | {family} | {len(base)} | {_n(pretrained_amplification(world))} | {_mean(base)} | "
                f"{_n(erased_amplification(world))} | {_mean(after)} | {flagged} of {len(rows)} | at least "
                f"{runs.values('neutral', family, 'neutral_share', setting).min():.2f} | at most {itm:.2f} | "
                f"{_n(100 * things.mean(), 1)} points |"
            )
    return "\n".join(lines)


def gates(runs: Runs) -> str:
    """How many cells hold the gate."""
    held: dict[str, list[float]] = {"pretrained": [], "after neutral captions": []}
    for setting, world in SETTINGS.items():
        for family in runs.families:
            for name, arm, wanted in (
                ("pretrained", "base", pretrained_amplification(world)),
                ("after neutral captions", "neutral", erased_amplification(world)),
            ):
                values = runs.values(arm, family, "t_to_a", setting)
                if len(values):
                    held[name].append(abs(float(values.mean()) - wanted))
    return "; ".join(
        f"{name}: {sum(v <= GATE for v in values)} of {len(values)} within {GATE}, the furthest {max(values):.3f} off"
        for name, values in held.items()
    )


def arms_table(runs: Runs) -> str:
    """Neutral minus control after fine-tuning, by family and pooled."""
    lines = ["| | " + " | ".join([*runs.families, "all families"]) + " |", "|---|" + "---|" * (len(runs.families) + 1)]
    for column, name in (*TASKS, *UTILITY):
        cells = []
        for family in runs.families:
            cells.append(_interval(runs.differences(family, column)))
        cells.append(_interval(_pooled(runs, column)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def decided(runs: Runs) -> str:
    """Which differences between the arms have an interval without 0."""
    cells = {
        f"{name}, {family}": runs.differences(family, column) for column, name in TASKS for family in runs.families
    }
    cells |= {f"{name}, all families": _pooled(runs, column) for column, name in TASKS}
    apart = [name for name, d in cells.items() if len(d) > 1 and (f := paired_test(d)).low * f.high > 0]
    return f"{len(apart)} of {len(cells)} intervals exclude 0" + (f" ({'; '.join(apart)})" if apart else "")


def levels_table(runs: Runs) -> str:
    """Means of every arm."""
    lines = ["| family | arm | " + " | ".join(name for _, name in (*TASKS, *UTILITY)) + " |", "|---|---|" + "---|" * 7]
    for family in runs.families:
        for arm in ARMS:
            cells = [_n(runs.values(arm, family, column).mean()) for column, _ in (*TASKS, *UTILITY)]
            lines.append(f"| {family} | {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def utility(runs: Runs) -> str:
    """Whether the neutral arm is not inferior, over seeds and families."""
    parts = []
    for column, name in UTILITY:
        found = paired_equivalence(_pooled(runs, column), margin=MARGIN)
        parts.append(
            f"{name} {_n(100 * found.value, 1)} points (90 % interval {_n(100 * found.low, 1)} to "
            f"{_n(100 * found.high, 1)}): {'not inferior' if found.low > -MARGIN else 'not shown'}"
        )
    return "; ".join(parts)


def _pooled(runs: Runs, column: str) -> np.ndarray:
    """Mean difference over the families of a seed, by seed; only families that have every seed."""
    most = max(len(runs.differences(family, column)) for family in runs.families)
    whole = [d for family in runs.families if len(d := runs.differences(family, column)) == most]
    return np.mean(whole, axis=0)


def stages(runs: Runs) -> str:
    """The link-of-stages table."""
    rows = [
        StageRow(row["family"], row["arm"], int(row["seed"]), *(float(row[c]) for c in ("t_to_a", "a_to_t", "vqa")))
        for row in runs.rows
        if row["setting"] == WHOLE and len(runs.of("base", row["family"])) >= STAGE_SEEDS
    ]
    found = link_of_stages(rows)
    notes = "; ".join(found.notes)
    return f"{found.table()}\n{found.rows} runs, {found.units} units (family, arm). {notes[0].upper()}{notes[1:]}."


def _interval(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{_n(float(values[0]))} (one seed)" if len(values) else ""
    found = paired_test(values)
    return f"{_n(found.value)} ({_n(found.low)} to {_n(found.high)})"


def _mean(values: np.ndarray) -> str:
    return f"{_n(float(values.mean()))} ({_n(float(values.min()))} to {_n(float(values.max()))})"


def _n(value: float, places: int = 3) -> str:
    text = f"{value:.{places}f}"
    return text.replace("-", "\u2212") if float(text) else text.lstrip("-")


def figure(runs: Runs) -> str:
    """Amplification T->A of every model: a column per setting and stage, a dot per model, a line for the plan."""
    wide, high, left, top = 760, 300, 60, 20

    def y(value: float) -> float:
        return top + (0.25 - value) / 0.6 * (high - top - 40)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" '
             'font-size="12">', f'<rect width="{wide}" height="{high}" fill="white"/>']  # fmt: skip
    for tick in (0.2, 0.1, 0.0, -0.1, -0.2, -0.3):
        parts.append(f'<line x1="{left}" x2="{wide - 10}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{_n(tick, 1)}</text>')
    columns = [(s, arm) for s in SETTINGS for arm in (ARMS if s == WHOLE else ARMS[:2])]
    width = (wide - left - 10) / len(columns)
    for place, (setting, arm) in enumerate(columns):
        x0, world = left + place * width, SETTINGS[setting]
        wanted = erased_amplification(world) if arm == "neutral" else pretrained_amplification(world)
        parts.append(f'<line x1="{x0 + 8:.1f}" x2="{x0 + width - 8:.1f}" y1="{y(wanted):.1f}" y2="{y(wanted):.1f}" '
                     'stroke="black" stroke-width="2"/>')  # fmt: skip
        for i, family in enumerate(runs.families):
            for k, value in enumerate(runs.values(arm, family, "t_to_a", setting)):
                x = x0 + width * (i + 1) / (len(runs.families) + 1) + 2.5 * (k - 2)
                parts.append(f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="3.5" fill="{COLOURS[family]}" '
                             'fill-opacity="0.75"/>')  # fmt: skip
        parts.append(f'<text x="{x0 + width / 2:.1f}" y="{high - 24}" text-anchor="middle">{setting}</text>')
        parts.append(f'<text x="{x0 + width / 2:.1f}" y="{high - 9}" text-anchor="middle">{arm}</text>')
    for i, family in enumerate(runs.families):
        parts.append(f'<circle cx="{wide - 290 + 72 * i}" cy="12" r="4" fill="{COLOURS[family]}"/>')
        parts.append(f'<text x="{wide - 282 + 72 * i}" y="16">{family}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def page(runs: Runs) -> str:
    """The page."""
    lengths = Lengths()
    scores = ", ".join(f"{group} {_n(value)}" for group, value in answer_scores(ASKING).items())
    counts = {f: len(runs.of("base", f)) for f in runs.families}
    words = {
        "scenes": f"{lengths.scenes:,}", "words": lengths.words, "steps": lengths.steps, "more": lengths.more,
        "batch": lengths.batch_size, "answering": lengths.answering,
        "longer": " and ".join(f"{family} {lengths.answering * n}" for family, n in LONGER.items()),
        "later": " and ".join(f"{family} {lengths.matching * n}" for family, n in LATER.items()),
        "matching": lengths.matching, "tested": f"{lengths.tested:,}",
        "planned_answers": _n(answer_amplification(ASKING)), "planned_scores": scores,
        "seeds": ", ".join(f"{family} {n}" for family, n in counts.items()),
        "closed_forms": closed_forms(runs), "gates": gates(runs), "arms": arms_table(runs),
        "levels": levels_table(runs), "utility": utility(runs), "stages": stages(runs), "margin": f"{100 * MARGIN:g}",
        "decided": decided(runs), "stage_seeds": STAGE_SEEDS,
    }  # fmt: skip
    text = (DATA / "introduction.md").read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    if arguments.work is not None:
        collect(arguments.work)
    with (DATA / "runs.csv").open(newline="") as file:
        runs = Runs(list(csv.DictReader(file)))
    write_atomic(DATA / "amplification.svg", figure(runs))
    write_atomic(DOCS / "pretraining.md", page(runs))


if __name__ == "__main__":
    main()
