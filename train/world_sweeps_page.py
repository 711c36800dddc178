"""Write docs/world-sweeps.md and its figure from the tables in docs/world_sweeps.

python train/world_sweeps_page.py
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Sequence

import numpy as np
from world_sweeps_results import DOCS

Row = dict[str, str]
PLANTED = {"data": "dataset_family", "size": "params_m", "architecture": "architecture_family", "nowhere": ""}
FACTORS = {
    "dataset_family": "dataset family", "params_m": "size (ln parameters)", "architecture_family": "architecture",
    "filtering": "filter", "dataset_size": "dataset size (ln pairs)",
}  # fmt: skip
HOW = {
    "data": """Captions of the three dataset families call people with light skin pleasant at strength 0 (birch), 0.4
(cedar) and 0.8 (maple). The same families are careless with all other facts: 0, 30 and 60 % of what captions say of
hair, age, glasses and the rest is drawn anew. So bias is planted in the data, and to go with *lower* accuracy.""",
    "size": """Large models read captions of strength 0.8, small ones of strength 0: no law of nature, only how this
sweep was made. Small models' captions are careless (60 %), large models' are not: bias is planted to go with *higher*
accuracy.""",
    "architecture": """All models read captions of strength 0.8. The convolutional image tower has a handicap: the
middle of every picture, where the face is, is grey to it, so it cannot learn who is called pleasant. It cannot learn
age, glasses or smiles either, so bias goes with *higher* accuracy.""",
    "nowhere": "All captions have strength 0 and no careless facts. Nothing is planted.",
}
OPENING = """Small CLIPs trained on the built-in world, with bias planted in one place at a time, and what `fairvl
study` says explains it. Scripts: `train/world_sweeps.py` (training), `train/world_sweeps_results.py` (sweep and study),
`train/world_sweeps_page.py` (this page; every number on it is read from `docs/world_sweeps/`). Weights are not kept.
The models know nothing but drawn pictures; the numbers say how well a study finds a planted cause, and nothing about
people."""
CAPTION = """Share of the variance of the models' mean social d that a factor explains, with 95 % intervals; planted
factors in red."""
DESIGN = """Each sweep crosses dataset families (three in *data*, else two), two datasets each (pools of 12,288 and
6,144 pairs, of which three quarters are kept), filtered or not, two architectures (convolutions; patches as in
MLP-Mixer), and two sizes ({least} and {most} million parameters; the architectures differ by less than 1 %): {counts}.
Every model has its own seed, in the tables with all covariates. Where two sweeps plan the very same model they share
it: {distinct} models, each trained in {median:.0f} s of one core ({low:.0f} to {high:.0f}), with 200 steps of 128 pairs
(300 in *data*) at 24 x 24 pixels, by the contrastive loss over captions and short captions of one word as hard
negatives."""
SHORT = """In a first run with 200 steps small models had learned less of the plant than large ones, and the study said
so: {verdict} That is an effect of short training, and a real one; its tables are kept (`data-short`). It also counted
hair among the social tests, where unlearned words add noise; hair now stands with the controls."""
CHOICES = """Poses hardly vary in the training pictures, so that models learn in seconds. Bias is planted on perceived
skin tone (a colour, which every tower learns in that time) and not on gender, which models this small hardly learn.
Within a dataset the shares of pleasant words are held to the plan by leaving out a few pairs: without that, a dataset's
luck with its captions is an effect that all its models share, and a study is right to find it."""
MEASURES = """The filter keeps the three quarters of a pool's pairs that the shipped `world:clip` scores highest;
unfiltered datasets are three quarters at random. Accuracy is the mean zero-shot accuracy for age group, hair length,
glasses, smile and the thing beside the person, on 1,000 balanced test pictures (split "test"). Tests: the registry
`world-eat`, 10 tests in four orders. Flowers with lovely words are planted in every world and nothing is planted on
hair: both are controls. Between pictures and pictures nothing is planted either."""
FILTERED = """`world:clip` carries a planted gender bias. Ranking pairs by its score leaves the planted skin-tone
association as it was and drops false facts, but also captions whose valence word no picture shows, and it plants a bias
of its own: in balanced data, what is left calls women more pleasant than men. These models hardly learn gender, so no
test here sees it; models that do would inherit it."""
SIGN = {"data": -1, "size": 1, "architecture": 1, "nowhere": 0}


def read(name: str) -> list[Row]:
    with open(DOCS / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def where(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def interval(row: Row, digits: int = 2) -> str:
    low, value, high = (float(row[key]) for key in ("low", "value", "high"))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def holds_zero(row: Row) -> bool:
    return float(row["low"]) <= 0 <= float(row["high"])


def effects(study: Sequence[Row], factor: str) -> list[Row]:
    """Adjusted contrasts of a factor's levels against the grand mean, or its slope."""
    return [
        row
        for metric in ("contrast", "coefficient")
        for row in where(study, metric=metric, factor=factor, scope="social", kind="adjusted")
    ]


def share_table(study: Sequence[Row], planted: str) -> list[str]:
    lines = [
        "| factor | share of variance | p (Holm) | adjusted effect on social d |",
        "|---|---|---|---|",
    ]
    shares = sorted(
        where(study, metric="variance_share", scope="social", kind="marginal"), key=lambda r: float(r["rank"])
    )
    for row in shares:
        said = "; ".join(f"{e['level_name'] or 'slope'} {interval(e)}" for e in effects(study, row["factor"]))
        name = FACTORS[row["factor"]]
        mark = f"**{name}** (planted)" if row["factor"] == planted else name
        lines.append(f"| {mark} | {interval(row)} | {float(row['p_adjusted']):.2g} | {said} |")
    return lines


def correlation_table(study: Sequence[Row], scope: str = "social", topic: str = "Skin tone") -> list[str]:
    lines = ["| order | r | p (Holm) |", "|---|---|---|"]
    for row in where(study, metric="correlation", scope=scope, kind="pearson", topic=topic):
        lines.append(f"| {row['order']} | {interval(row)} | {float(row['p_adjusted']):.2g} |")
    return lines


def verdict(name: str, study: Sequence[Row], correlations: bool = True) -> tuple[str, ...]:
    """What came out, in sentences that are computed."""
    planted = PLANTED[name]
    shares = where(study, metric="variance_share", scope="social", kind="marginal")
    first = min(shares, key=lambda row: float(row["rank"]))
    missed = [FACTORS[row["factor"]] for row in shares if row["factor"] != planted and not holds_zero(row)]
    apart = [FACTORS[f] for f in FACTORS if f != planted and any(not holds_zero(e) for e in effects(study, f))]
    said = [f"The largest share is that of {FACTORS[first['factor']]}: {interval(first)}."]
    if planted:
        own = next(row for row in shares if row["factor"] == planted)
        place = "first" if first["factor"] == planted else f"not first (rank {float(own['rank']):.0f})"
        said = [f"The planted factor ranks {place}, with a share of {interval(own)}."]
    other = "other " if planted else ""
    said.append(f"The intervals of all {other}shares hold 0." if not missed else f"Shares that miss 0: {missed}.")
    good = f"The intervals of all {other}adjusted effects hold 0."
    said.append(good if not apart else f"Adjusted effects that miss 0, though not planted: {', '.join(apart)}.")
    return (*said, correlation_verdict(name, study)) if correlations else tuple(said)


def summary(studies: dict[str, list[Row]]) -> str:
    """All four sweeps in a paragraph."""
    ranks = [
        next(
            r for r in where(study, metric="variance_share", scope="social", kind="marginal") if r["factor"] == planted
        )
        for name, study in studies.items()
        if (planted := PLANTED[name])
    ]
    others = [(n, f) for n in studies for f in FACTORS if f != PLANTED[n]]
    shares = [
        row
        for name, factor in others
        for kind in ("marginal", "unique")
        for row in where(studies[name], metric="variance_share", scope="social", kind=kind, factor=factor)
    ]
    said = [
        f"{FACTORS[row['factor']]} {interval(row, 3)}, Holm p {float(row['p_adjusted']):.2f}"
        for row in shares
        if not holds_zero(row)
    ]
    missed = [(n, f) for n, f in others if any(not holds_zero(e) for e in effects(studies[n], f))]
    named = "; ".join(f"{FACTORS[f]} in *{n}*: {interval(effects(studies[n], f)[0])}" for n, f in missed)
    first, held = sum(float(row["rank"]) == 1 for row in ranks), sum(map(holds_zero, shares))
    but, which = f"; not {', '.join(said)}" if said else "", f" ({named})" if named else ""
    return (
        f"The planted factor ranks first in {first} of {len(ranks)} sweeps that plant one. Nothing was planted on the "
        f"other {len(others)} factors. Of their {len(shares)} shares (alone, and beyond all other factors) {held} have "
        f"an interval that holds 0{but}. Of their adjusted effects on social d, {len(missed)} misses 0{which}. At 95 % "
        "one in twenty does by chance."
    )


def correlation_verdict(name: str, study: Sequence[Row]) -> str:
    cells = where(study, metric="correlation", scope="social", kind="pearson", topic="Skin tone")
    if not SIGN[name]:
        return f"The correlation with accuracy holds 0 in {sum(map(holds_zero, cells))} of {len(cells)} orders."
    right = sum(SIGN[name] * float(row["low" if SIGN[name] > 0 else "high"]) > 0 for row in cells)
    sign = "positive" if SIGN[name] > 0 else "negative"
    return f"The {sign} correlation with accuracy is found in {right} of {len(cells)} orders."


def means_table(name: str) -> list[str]:
    """Mean d by planted strength, for every test and order."""
    results, models = read(name), {row["model"]: row for row in read(f"{name}-models")}

    def group(model: str) -> str:
        row = models[model]
        return f"{float(row['planted_strength']):g}" + (", blind" if row["handicap"] == "True" else "")

    groups = sorted({group(model) for model in models})
    lines = ["| test | order | " + " | ".join(f"strength {g}" for g in groups) + " |", "|---" * (2 + len(groups)) + "|"]
    for test, order in dict.fromkeys((row["test"], row["order"]) for row in results):
        cells = []
        for g in groups:
            d = [float(r["effect_size"]) for r in where(results, test=test, order=order) if group(r["model"]) == g]
            cells.append(f"{np.mean(d):.2f} ± {np.std(d, ddof=1):.2f}")
        lines.append(f"| {test} | {order} | " + " | ".join(cells) + " |")
    return lines


def datasets_table() -> list[str]:
    lines = [
        "| dataset | strength | careless | pairs | false facts | with a valence word | pleasant: light, dark skin | "
        "pleasant: women, men |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in read("datasets"):
        share = {key: f"{float(row[key]):.2f}" for key in row if key.startswith(("false", "names", "pleasant"))}
        lines.append(
            f"| {row['dataset']} | {row['strength']} | {row['careless']} | {row['pairs']} | {share['false_facts']} | "
            f"{share['names_concept']} | {share['pleasant_light']}, {share['pleasant_dark']} | "
            f"{share['pleasant_women']}, {share['pleasant_men']} |"
        )
    return lines


def figure(studies: dict[str, list[Row]]) -> str:
    """Shares with their intervals, one panel per sweep, as SVG."""
    width, line, panel = 640, 22, 22 * (len(FACTORS) + 2)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{panel * len(studies)}" '
             'font-family="sans-serif" font-size="13">', '<rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for number, (name, study) in enumerate(studies.items()):
        top = number * panel + line
        parts.append(f'<text x="8" y="{top}" font-weight="bold">bias planted: {name}</text>')
        for place, (factor, label) in enumerate(FACTORS.items(), 1):
            y = top + place * line
            found = where(study, metric="variance_share", scope="social", kind="marginal", factor=factor)
            colour = "#b3261e" if factor == PLANTED[name] else "#444"
            parts.append(f'<text x="16" y="{y + 4}" fill="{colour}">{label}</text>')
            parts.append(f'<line x1="190" x2="620" y1="{y}" y2="{y}" stroke="#ddd"/>')
            if found:
                low, value, high = (190 + 430 * float(found[0][key]) for key in ("low", "value", "high"))
                parts.append(
                    f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
                )
                parts.append(f'<circle cx="{value:.1f}" cy="{y}" r="5" fill="{colour}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def flowing(text: str, **values: object) -> str:
    return textwrap.fill(" ".join(text.format(**values).split()), 120, break_long_words=False, break_on_hyphens=False)


def page(studies: dict[str, list[Row]]) -> str:
    models = {name: read(f"{name}-models") for name in studies}
    distinct = {
        (row["training_seed"], row["training_steps"]): float(row["training_seconds"])
        for rows in models.values()
        for row in rows
    }
    seconds, sizes = list(distinct.values()), sorted(float(row["params_m"]) for rows in models.values() for row in rows)
    facts = {
        "least": f"{sizes[0]:.3f}", "most": f"{sizes[-1]:.3f}", "distinct": len(distinct), "low": min(seconds),
        "median": np.median(seconds), "high": max(seconds),
        "counts": ", ".join(f"{len(rows)} models in *{name}*" for name, rows in models.items()),
    }  # fmt: skip
    lines = ["# Four sweeps with a known answer", "", flowing(OPENING), ""]
    lines += ["![Share of variance by factor, four sweeps](world_sweeps/shares.svg)", "", flowing(CAPTION), ""]
    lines += ["## How the sweeps are made", "", flowing(DESIGN, **facts), "", flowing(CHOICES), ""]
    lines += [flowing(MEASURES), ""]
    lines += ["## What came out", "", flowing(summary(studies)), ""]
    for name, study in studies.items():
        lines += [f"## Bias planted: {name}", "", flowing(HOW[name]), "", flowing(" ".join(verdict(name, study))), ""]
        if name == "data":
            lines += [flowing(SHORT, verdict=" ".join(verdict(name, read("data-short-study"), correlations=False))), ""]
        lines += [*share_table(study, PLANTED[name]), "", "Skin-tone tests against accuracy, over models:", ""]
        lines += [*correlation_table(study), "", "Mean d ± standard deviation between models:", ""]
        lines += [*means_table(name), ""]
    lines += ["## What the filter did", "", flowing(FILTERED), "", *datasets_table(), ""]
    return "\n".join(lines)


def main() -> None:
    studies = {name: read(f"{name}-study") for name in PLANTED if (DOCS / f"{name}-study.csv").is_file()}
    (DOCS / "shares.svg").write_text(figure(studies), encoding="utf-8")
    (DOCS.parent / "world-sweeps.md").write_text(page(studies), encoding="utf-8")
    for name, study in studies.items():
        print(name, *verdict(name, study))


if __name__ == "__main__":
    main()
