"""The methods text: only what the findings at hand used, and the limits that always hold."""

from __future__ import annotations

from .pairing import Comparison
from .vocabulary import SMALL_CELL, listing, metric_of

CLASSIFIERS = (
    "\u201cBefore\u201d is the arm that another is compared with, \u201cafter\u201d that other arm; the difference "
    "is after minus before, paired by test image and by seed. Its variance is that of the mean over seeds under "
    "resampled test images plus that between seeds over their number; few seeds widen it through the quantile of t. "
    "Gaps are taken between the groups that are best and worst in the data: being maxima, they lie above 0 by chance "
    "alone."
)


def metric_texts(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Label, name and explanation of every metric that occurs."""
    found = dict.fromkeys((m.first.metric, m.first.unit) for m in comparison.measurements)
    texts: dict[str, tuple[str, str, str]] = {}
    for name, unit in found:
        metric = metric_of(name, unit)
        texts.setdefault(
            name,
            (
                metric.label,
                name,
                metric.explanation
                or f"Measured in: {unit}. Not one of the package's own metrics; see the note of its findings.",
            ),
        )
    return list(texts.values())


def method_texts(comparison: Comparison) -> list[tuple[str, str]]:
    """Headings and paragraphs, in reading order."""
    rows = [row for run in comparison.runs for row in run.findings]
    metrics = {row.metric for row in rows}
    texts = [("Intervals", _intervals({row.method for row in rows if row.method}))]
    if any("training" in row.extra for row in rows):
        texts.append(("Arms and their differences", CLASSIFIERS))
    elif any(row.arm == "difference" for row in rows):
        texts.append(
            (
                "Before, after, difference",
                "The same input is measured twice, without and with the repair. The difference is after minus "
                "before, and "
                "its interval resamples both arms together. A random control is an operator of the same kind "
                "and rank in "
                "a random direction: what it achieves comes from removing any direction, not from removing this one.",
            )
        )
    if any(row.p is not None for row in rows):
        texts.append(
            (
                "Tests and correction",
                "p-values come from permutations of the stimuli: exact where all can be counted, else (b + 1) / "
                "(m + 1) "
                "for m drawn ones, so they are never 0. Ties count against significance. "
                + (
                    "The adjusted p corrects over the family of tests that were run together; it is the one to "
                    "judge by."
                    if any(row.p_adjusted is not None for row in rows)
                    else "No correction for multiple tests was recorded: among twenty true nulls, one falls "
                    "below 0.05 on average."
                ),
            )
        )
    if metrics & {"max_skew", "mean_max_skew", "min_skew", "ndkl", "bias_at_k"}:
        targets = sorted({str(row.extra["target"]) for row in rows if row.extra.get("target")})
        texts.append(
            (
                "Ranking: target, ties, smoothing",
                (
                    f"Shares are held against the target distribution \u201c{listing(targets)}\u201d"
                    if targets
                    else "Shares are held against the target distribution given in the settings"
                )
                + " (population: the share in the ranked data; uniform: equal shares). Equal scores keep the "
                "order of the data "
                "unless the settings say otherwise. No smoothing is applied unless stated: a group that is "
                "absent from the "
                "first k has an undefined (minus infinite) log ratio, and the note of the finding says so.",
            )
        )
    texts.append(
        (
            "Undefined numbers and small groups",
            "A number that is not defined is shown as \u201cundefined\u201d with the reason, never as 0. "
            "Groups with fewer than "
            f"{SMALL_CELL} images are marked with \u2020 and are left out of the headline. Missing labels are a "
            "group of their own.",
        )
    )
    texts.append(
        (
            "Limits",
            "Group labels are perceived attributes that came with the data; the package never infers a "
            "person\u2019s attribute "
            "and reports only aggregates. Association in an encoder does not by itself prove harm in a product, "
            "and its "
            "absence does not prove fairness: it is one instrument among several. Repairs of text vectors leave "
            "the image "
            "side as it is. A bias that the suite does not ask about is not in this report.",
        )
    )
    return texts


def _intervals(methods: set[str]) -> str:
    text = (
        "Every interval comes from resampling what the number rests on (n): stimuli for association tests, images for "
        "group metrics, queries for means over queries. "
    )
    lower = " ".join(methods).lower()
    if "bca" in lower:
        text += "BCa is the bias-corrected and accelerated bootstrap. "
    if "percentile" in lower:
        text += "Percentile takes the quantiles of the bootstrap replicates. "
    if "cell" in lower:
        text += (
            "Cell counts: the table of group, truth and prediction is drawn from a multinomial, which equals "
            "resampling the rows. "
        )
    if methods:
        text += f"Methods on record here: {listing(sorted(methods))}."
    return text
