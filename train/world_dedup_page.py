"""The page docs/world-dedup.md with its figures, from the tables that `world_dedup_results.py` wrote.

python train/world_dedup_page.py
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from world_dedup import BASE_PICTURES, BASE_STEPS, KEEP, STEPS, TEST_PICTURES
from world_dedup_results import DISPARITY, MARGIN, PERSON_TASKS, SKEW, UTILITY, K

from fairvl.reproduce.demos.pruned_models import CAPTIONS
from fairvl.reproduce.demos.pruned_world import ARMS, COPIES, PER_CLUSTER, TEMPERATURE, Sizes
from fairvl.stats.paired import paired_test

DOCS = Path(__file__).parents[1] / "docs" / "world_dedup"
Row = dict[str, str]
COLOURS = {"full": "#555", "random": "#888", "semdedup": "#b3261e", "fairdedup": "#9a6700", "fair": "#1a6e3c"}
SUBSETS = ARMS[1:]
PUBLISHED = (  # FairDeDup's poster, CVPR 2024: full, SemDeDup 50 %, FairDeDup 50 %
    ("FACET gender disparity, mean over classes", ".104", ".113", ".109"),
    ("FACET gender disparity, worst class", ".303", ".346", ".298"),
    ("FACET skin tone disparity, worst class", ".354", ".342", ".320"),
    ("FairFace MinSkew, gender", ".159", ".223", ".182"),
    ("FairFace MinSkew, race", ".545", ".583", ".513"),
    ("ImageNet zero-shot top-5 (higher is better)", "89.9", "89.7", "89.7"),
)
OPENING = """Does pruning that looks at whom it keeps make fairer models, at no cost? `fairvl dedup` prunes a drawn
store to half by every rule, small CLIPs are trained on what is left, and they are compared over {n} seeds. The models
know nothing but drawn pictures: the numbers say whether the mechanism works where the truth is known, and nothing
about people. Scripts: `train/world_dedup.py` (worlds, pruning, training), `train/world_dedup_results.py` (tables),
`train/world_dedup_page.py` (this page; every number on it is read from `docs/world_dedup/`)."""
WORLD = """Perceived skin tone is the attribute, dark skin the minority. A store has {light:,} pictures of people with
light skin, all different, and {dark} with dark skin *in the same scenes*, pose and colours included (so {third:.0%}
of the store). Of those with dark skin {copies:.0%} are near-copies of others. The dark pictures of a scene lie in the
middle of its near-duplicates and the light twin at their edge; SemDeDup keeps what lies farthest from the centroid of
its cluster, so it keeps the twin. Nothing else is planted: no wording, no occupation. Clusters have {per} pictures on
average."""
ARMS_TEXT = """`full` is the store. `random`, `semdedup`, `fairdedup` and `fair` keep {keep:.0%} each: pictures at
random; the published rule of SemDeDup; the published rule of FairDeDup (raw cosines with prototypes, one ledger per
cluster, the seed's neighbours visited); the fair independent set of `fairvl` (calibrated membership at temperature
{temperature}, target `population`, one ledger for the store). Vectors are those of `world:clip`; concepts are its
prototypes of the bank `zero-shot-skin`. No rule sees a label. Every threshold is calibrated to the size."""
TRAINING = """A model is a convolutional CLIP of 0.07 million parameters (24 x 24 pixels, and the upper left quarter
of the picture in full), trained with a contrastive loss over {captions} captions per picture and short captions of
one word as hard negatives. All models start from one base that has seen {base:,} pictures of people with light skin
in a world of its own ({base_steps:,} steps) and go on for {steps} steps of 128 pairs with the pictures of their arm.
World, captions, start and order of batches follow from the seed and are the same in all arms of a seed."""
FIXED = """Fixed before any model of a subset was compared: the world, from the shares in pruned subsets of another
seed (901), its size from those of seed 1 as well; the training, from models of full stores and, once, of `random`. A
first training from nothing (500 steps) was given up there: the task *place* stood at 46 % on `full` and at 60 % on
`random`, at the edge of being learned, where differences between any two models are luck. The primary comparison is
`fair` against `semdedup`."""
TASKS = """Tasks without people, on {test:,} balanced test pictures (the pictures show people; no prompt, class or
caption names one): zero-shot *place* (4 classes), *thing* (flower or litter) and *scene* (place x thing, 8 classes,
top-1 and top-5), and retrieval among 216 captions such as "a photo of a rose in the garden" (R@k: one that is true of
the picture is among the first k; text to image in galleries of 64). Skew: the 29 concepts of the bank `retrieval-29`,
first tenth (k = {k}), groups by skin tone, target the balanced test world; MinSkew is printed as the size of the most
disadvantaged group's skew (floor 1/k). Disparity: recall of a class for light and for dark skin, the gap's size, over
the eight classes young, old, short and long hair, glasses, no glasses, smiling, serious: mean and worst class."""


def read(name: str) -> list[Row]:
    with open(DOCS / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def where(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def values(rows: Sequence[Row], arm: str, name: str) -> list[float]:
    return [float(row[name]) for row in where(rows, arm=arm)]


def spread(found: Sequence[float], digits: int = 3) -> str:
    return f"{np.mean(found):.{digits}f} ± {np.std(found, ddof=1):.{digits}f}"


def interval(row: Row, scale: float = 1.0, digits: int = 3) -> str:
    low, value, high = (scale * float(row[key]) for key in ("low", "value", "high"))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def flowing(text: str, **named: object) -> str:
    return textwrap.fill(" ".join(text.format(**named).split()), 120, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in body]


def arms_table(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    return table(["", *ARMS], [[name, *(spread(values(rows, arm, name)) for arm in ARMS)] for name in names])


def paired_table(rows: Sequence[Row], family: str) -> list[str]:
    body = [
        [r["metric"], f"{r['arm']} - {r['against']}", interval(r), f"{float(r['p']):.3f}", f"{float(r['p_holm']):.3f}",
         f"{float(r['p_exact']):.3f}"]
        for r in where(rows, family=family)
    ]  # fmt: skip
    return table(["", "difference", "mean (95 %)", "p", "p (Holm)", "p (sign flips)"], body)


def utility_verdict(rows: Sequence[Row]) -> str:
    """The equivalences that were asked for, counted."""
    found = [r for r in where(rows, family="utility") if "full" not in (r["arm"], r["against"])]
    primary = where(found, arm="fair", against="semdedup")
    said = []
    for name, some in (("`fair` and `semdedup`", primary), ("all pairs of subsets", found)):
        held = [r for r in some if r["equivalent"] == "True"]
        said.append(f"{name}: {len(held)} of {len(some)} comparisons within {100 * MARGIN:g} points")
    failed = [f"{r['metric']} {interval(r)}" for r in primary if r["equivalent"] != "True"]
    tail = f" Not shown for `fair` against `semdedup`: {'; '.join(failed)}." if failed else ""
    return f"Two one-sided tests at 5 % ({'; '.join(said)}).{tail}"


def fairness_verdict(rows: Sequence[Row]) -> str:
    said = []
    for family in ("skew", "disparity"):
        for r in where(rows, family=family, against="semdedup"):
            low, high = float(r["low"]), float(r["high"])
            clear = float(r["p_holm"]) < 0.05
            which = "below" if clear and high < 0 else "above" if clear and low > 0 else "not told apart from"
            said.append(
                f"{r['metric']} of `fair` is {which} `semdedup`: {interval(r)}, p (Holm) {float(r['p_holm']):.3f}"
            )
    return ". ".join(said) + "."


def reading(models: Sequence[Row], kept: Sequence[Row]) -> str:
    """Why, as far as the tables say; every number is computed."""
    share = {arm: values(kept, arm, "share_dark") for arm in ARMS}
    moved = paired_test([a - b for a, b in zip(share["fair"], share["semdedup"], strict=True)])
    said = [
        f"The subsets differ as planned: `fair` holds {moved.value:.3f} ({moved.low:.3f} to {moved.high:.3f}) more of "
        f"the minority than `semdedup` ({np.mean(share['fair']):.3f} and {np.mean(share['semdedup']):.3f}; at most "
        f"{np.mean(values(kept, 'fair', 'attainable')):.3f} can be reached without a near-copy)."
    ]
    recall = np.array([[float(r[f"{task} top-1"]) for task in PERSON_TASKS] for r in models])
    cell = TEST_PICTURES / 4
    chance = float(np.mean(np.sqrt(2 / np.pi) * np.sqrt(2 * recall * (1 - recall) / cell)))
    worst = {arm: float(np.mean(values(models, arm, DISPARITY[1]))) for arm in ARMS}
    mean = {arm: float(np.mean(values(models, arm, DISPARITY[0]))) for arm in ARMS}
    said.append(
        "Disparity, worst class, by arm: " + ", ".join(f"{arm} {worst[arm]:.3f}" for arm in sorted(ARMS, key=worst.get))
        + f". The mean over classes is {min(mean.values()):.3f} to {max(mean.values()):.3f}; two groups with one "
        f"true recall would show about {chance:.3f} by the luck of {cell:.0f} test pictures each."
    )  # fmt: skip
    skew = {arm: float(np.mean(values(models, arm, "MaxSkew"))) for arm in ARMS}
    said.append("MaxSkew by arm: " + ", ".join(f"{arm} {skew[arm]:.3f}" for arm in sorted(ARMS, key=skew.get)) + ".")
    if skew["full"] == max(skew.values()):
        said.append(
            "Skew is largest on `full`, which shows the most of the minority. Nothing ties words to skin tone in these "
            "worlds, so skew is learned chance: near-copies of few dark pictures carry words given at random, and a "
            "model that sees them often learns them. That is a reading of these tables, not a test. A world in which "
            "pruning itself ties a group to places is the harder question: [the next page](world-dedup-context.md)."
        )
    return " ".join(said)


def representation_figure(rows: Sequence[Row]) -> str:
    width, line, left, right = 640, 34, 110, 610
    height = line * (len(ARMS) + 1) + 16
    top = 0.4

    def x(share: float) -> float:
        return left + (right - left) * share / top

    parts = [_svg(width, height)]
    for tick in (0, 0.1, 0.2, 0.3, 0.4):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="10" y2="{height - 28}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 10}" text-anchor="middle">{tick:.0%}</text>')
    attainable = np.mean(values(rows, "fair", "attainable"))
    parts.append(
        f'<line x1="{x(attainable):.1f}" x2="{x(attainable):.1f}" y1="10" y2="{height - 28}" stroke="#1a6e3c" '
        'stroke-dasharray="4 3"/>'
    )
    for place, arm in enumerate(ARMS):
        y = 26 + place * line
        parts.append(f'<text x="8" y="{y + 4}" fill="{COLOURS[arm]}" font-weight="bold">{arm}</text>')
        for share in values(rows, arm, "share_dark"):
            parts.append(f'<circle cx="{x(share):.1f}" cy="{y}" r="5" fill="{COLOURS[arm]}" fill-opacity="0.55"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def models_figure(rows: Sequence[Row]) -> str:
    """Every model as a dot, the models of one seed joined, one panel per measure."""
    names = ("MaxSkew", "MinSkew", *DISPARITY, "scene top-1", "image to text R@1")
    wide, high = 320, 190
    parts = [_svg(2 * wide, 3 * high)]
    seeds = sorted({row["seed"] for row in rows}, key=int)
    for number, name in enumerate(names):
        left, top = number % 2 * wide + 46, number // 2 * high + 26
        every = [float(row[name]) for row in rows]
        low, span = min(every), max(max(every) - min(every), 1e-9)

        def at(arm: str, value: float, left: int = left, top: int = top, low: float = low, span: float = span):
            return left + ARMS.index(arm) * 56 + 12, top + 118 - 104 * (value - low) / span

        parts.append(f'<text x="{left - 36}" y="{top - 8}" font-weight="bold">{name}</text>')
        for end, y in ((low, top + 122), (low + span, top + 18)):
            parts.append(f'<text x="{left - 8}" y="{y:.0f}" text-anchor="end" font-size="11">{end:.3f}</text>')
        for seed in seeds:
            mine = {row["arm"]: float(row[name]) for row in rows if row["seed"] == seed}
            points = " ".join("{:.1f},{:.1f}".format(*at(arm, mine[arm])) for arm in ARMS)
            parts.append(f'<polyline points="{points}" fill="none" stroke="#ccc"/>')
        for row in rows:
            cx, cy = at(row["arm"], float(row[name]))
            parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3.5" fill="{COLOURS[row["arm"]]}"/>')
        for arm in ARMS:
            cx, cy = at(arm, float(np.mean(values(rows, arm, name))))
            parts.append(f'<rect x="{cx - 13:.1f}" y="{cy - 1:.1f}" width="26" height="2.5" fill="{COLOURS[arm]}"/>')
            parts.append(
                f'<text x="{cx:.1f}" y="{top + 146}" text-anchor="middle" font-size="10" '
                f'fill="{COLOURS[arm]}">{arm}</text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _svg(width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
    )


def page() -> str:
    models, kept, compared = read("models"), read("kept"), read("comparisons")
    n, sizes = len({row["seed"] for row in models}), Sizes()
    facts = {
        "n": n, "light": sizes.light, "dark": sizes.dark, "third": sizes.dark / (sizes.light + sizes.dark),
        "copies": COPIES, "per": PER_CLUSTER, "keep": KEEP, "temperature": TEMPERATURE, "captions": CAPTIONS,
        "base": BASE_PICTURES, "base_steps": BASE_STEPS, "steps": STEPS, "test": TEST_PICTURES, "k": K,
    }  # fmt: skip
    shares = {arm: values(kept, arm, "share_dark") for arm in ARMS}
    best = float(np.mean(values(kept, "fair", "attainable")))
    lines = ["# Pruning, and whom it forgets: an experiment with a known answer", "", flowing(OPENING, **facts), ""]
    lines += ["![Skew, disparity and utility of every model](world_dedup/models.svg)", ""]
    lines += [flowing("A dot is a model, a grey line joins the models of one seed, a bar is the mean of an arm."), ""]
    lines += ["## What came out", "", flowing(fairness_verdict(compared)), "", flowing(utility_verdict(compared)), ""]
    lines += [textwrap.fill(reading(models, kept), 120, break_long_words=False, break_on_hyphens=False), ""]
    lines += ["## How it is made", ""]
    for text in (WORLD, ARMS_TEXT, TRAINING, FIXED):
        lines += [flowing(text, **facts), ""]
    lines += ["## Whom the subsets show", "", "![Share of dark skin in every subset](world_dedup/shares.svg)", ""]
    said = (
        "Share of pictures with dark skin; a dot is a seed. Dashed: the most a subset of this size can hold without a "
    )
    lines += [flowing(said + f"near-copy ({best:.3f}); the store holds {np.mean(shares['full']):.3f}."), ""]
    body = [
        [name, *(spread(values(kept, arm, key)) for arm in ARMS)]
        for name, key in (("share with dark skin", "share_dark"), ("kept of dark", "kept_of_dark"),
                          ("kept of light", "kept_of_light"), ("near-copies", "copies"))
    ]  # fmt: skip
    lines += [*table(["mean ± SD over seeds", *ARMS], body), ""]
    lines += ["## Whom the models put on top, and whom they recognise", "", flowing(TASKS, **facts), ""]
    lines += [*arms_table(models, (*SKEW, *DISPARITY)), "", "Paired by seed:", ""]
    lines += [*paired_table(compared, "skew"), "", *paired_table(compared, "disparity"), ""]
    lines += ["## What they are good for", "", *arms_table(models, UTILITY), ""]
    head = f"Equivalence within {100 * MARGIN:g} points, two one-sided tests over {n} seeds; differences in points:"
    lines += [head, ""]
    rows = [
        [f"{r['arm']} - {r['against']}", r["metric"], interval(r, 100, 2), f"{float(r['p']):.3f}",
         "yes" if r["equivalent"] == "True" else "not shown"]
        for r in where(compared, family="utility")
    ]  # fmt: skip
    lines += [*table(["", "task", "mean (90 %)", "p", "equivalent"], rows), ""]
    lines += ["Accuracy on tasks of people, beside it:", ""]
    lines += [*arms_table(models, [f"{t} top-1" for t in ("age_group", "hair_length", "glasses", "smile", "skin")]), ""]
    lines += ["## Published, for direction only", ""]
    lines += [flowing("Read from the bars of FairDeDup's poster (one model per arm, LAION-400M): nothing here repeats "
                      "them, and no number is comparable but in sign."), ""]  # fmt: skip
    lines += [*table(["", "full", "SemDeDup 50 %", "FairDeDup 50 %"], PUBLISHED), ""]
    return "\n".join(lines)


def main() -> None:
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "shares.svg").write_text(representation_figure(read("kept")), encoding="utf-8")
    (DOCS / "models.svg").write_text(models_figure(read("models")), encoding="utf-8")
    (DOCS.parent / "world-dedup.md").write_text(page(), encoding="utf-8")
    print(fairness_verdict(read("comparisons")))
    print(utility_verdict(read("comparisons")))


if __name__ == "__main__":
    main()
