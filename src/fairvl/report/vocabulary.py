"""The words of the report: what each metric is called, how its numbers are written, what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..findings import Finding
from .amplification_words import AMPLIFICATION
from .classifier_words import CLASSIFIER
from .dedup_words import DEDUP
from .generation_words import GENERATION
from .study_words import STUDY

THIN = "\u202f"  # narrow no-break space between a number and its sign
MINUS = "\u2212"
SMALL_CELL = 30
SHARES = ("share", "share of variance")  # units shown in percent
MISSING = "(missing)"
NO_TASK = ("", "predictions")  # names that say nothing about the task
ALL_GROUPS = ("(all)", "(all queries)", "(overall)")


@dataclass(frozen=True)
class Metric:
    """How one metric is shown.

    `kind` is "share" (a level, shown in percent), "points" (a difference of shares, shown in percentage points) or
    "plain". `best` says where a fair or useful result lies: "zero", "low", "high", or "" where neither applies.
    """

    label: str
    kind: str
    best: str
    section: str
    explanation: str


METRICS: dict[str, Metric] = {
    "effect_size": Metric(
        "Association effect size d",
        "plain",
        "zero",
        "association",
        "Do two sets of targets X and Y lean towards two sets of attributes A and B? For every target stimulus, its "
        "mean cosine with A minus its mean cosine with B; d is the mean of that over X minus the mean over Y, divided "
        "by the sample standard deviation (ddof 1) over both sets together. It is not Cohen's d: values saturate near "
        "2. 0 means no difference; the sign says the direction. The p-value permutes the targets; ties count against "
        "significance, and p is never 0. Control tests ask about things without social meaning: they show that "
        "the encoder understands, and a repair should leave them alone.",
    ),
    "accuracy": Metric(
        "Accuracy",
        "share",
        "high",
        "groups",
        "The share of images whose predicted label equals the given label. By group it is the same share within the "
        "group; \u201c(all)\u201d is the share over everybody.",
    ),
    "adjusted_accuracy": Metric(
        "Adjusted accuracy",
        "share",
        "high",
        "groups",
        "Accuracy with every group weighted by its number of rows in the training data; the note names the counts.",
    ),
    "worst_group_accuracy": Metric(
        "Worst-group accuracy",
        "share",
        "high",
        "gaps",
        "The lowest accuracy among the groups.",
    ),
    "accuracy_gap": Metric(
        "Accuracy gap",
        "points",
        "low",
        "gaps",
        "The best group's accuracy minus the worst group's, in percentage points.",
    ),
    "average_worst_gap": Metric(
        "Average minus worst group",
        "points",
        "low",
        "gaps",
        "Overall accuracy minus the worst group's, in percentage points.",
    ),
    "equalized_odds_difference": Metric(
        "Equalized odds difference (max)",
        "points",
        "low",
        "gaps",
        "The larger of two gaps between groups: in true positive rate and in false positive rate.",
    ),
    "equalized_odds_difference_mean": Metric(
        "Equalized odds difference (mean)",
        "points",
        "low",
        "gaps",
        "The mean of the gap between groups in true positive rate and the gap in false positive rate.",
    ),
    "equal_opportunity_difference": Metric(
        "Equal opportunity difference",
        "points",
        "low",
        "gaps",
        "The gap between groups in true positive rate.",
    ),
    "max_skew": Metric(
        "MaxSkew@k",
        "plain",
        "low",
        "ranking",
        "For one query, the images are ranked by similarity to its text. For each group: the natural logarithm of its "
        "share among the first k over its share in the target distribution. MaxSkew is the largest over groups, in "
        "nats: 0 is on target, 0.69 means one group appears twice as often as it should.",
    ),
    "mean_max_skew": Metric(
        "Mean MaxSkew@k",
        "plain",
        "low",
        "ranking",
        "The mean of MaxSkew@k over the queries of the bank.",
    ),
    "mean_min_skew": Metric(
        "Mean MinSkew@k",
        "plain",
        "zero",
        "ranking",
        "The mean of MinSkew@k over the queries of the bank.",
    ),
    "min_skew": Metric(
        "MinSkew@k",
        "plain",
        "zero",
        "ranking",
        "The smallest log ratio over groups: the most under-represented group. A group absent from the first k makes "
        "it undefined unless a smoothing is stated.",
    ),
    "mean_bias_at_k": Metric(
        "Mean Bias@k",
        "points",
        "zero",
        "other",
        "The mean over the queries of the difference between two groups' shares among the first k.",
    ),
    "mean_ndkl": Metric("Mean NDKL", "plain", "low", "other", "The mean of NDKL over the queries of the bank."),
    "ndkl": Metric(
        "NDKL",
        "plain",
        "low",
        "ranking",
        "Normalised discounted Kullback\u2013Leibler divergence of the shares from the target over all prefixes of the "
        "ranking, in nats; 0 is on target everywhere.",
    ),
    "bias_at_k": Metric(
        "Bias@k",
        "points",
        "zero",
        "ranking",
        "The difference between the groups' shares among the first k.",
    ),
    "harm_rate": Metric(
        "Harm rate",
        "share",
        "low",
        "harms",
        "The share of images that a zero-shot classifier gives a denigrating or crime label when such labels stand "
        "beside the real ones. No image deserves one: the rate itself and its differences between groups both count.",
    ),
    "slope": Metric(
        "Slope per unit",
        "plain",
        "zero",
        "trends",
        "For ordered groups and numeric attributes: the least-squares change of the measured quantity per unit of the "
        "attribute, over the stated bins.",
    ),
    "probe_accuracy": Metric(
        "Probe accuracy",
        "share",
        "low",
        "leakage",
        "How well a cross-validated linear classifier reads the attribute from the vectors. At the chance level "
        "nothing linear is left. A repair of the text side leaves image vectors as they were, so the probe on images "
        "stays where it was: the attribute is no longer used by the prompts, but it is still there.",
    ),
    "recall_at_k": Metric(
        "Recall@k",
        "share",
        "high",
        "utility",
        "The share of queries whose own image (or caption) is among the first k results.",
    ),
    "top_k_accuracy": Metric(
        "Top-k accuracy",
        "share",
        "high",
        "utility",
        "The share of images whose given class is among the k classes that the model finds nearest.",
    ),
    "mean_per_class_recall": Metric(
        "Mean per-class recall",
        "share",
        "high",
        "utility",
        "Recall of each class, averaged over classes, so that a frequent class weighs no more than a rare one.",
    ),
    "recall_disparity_mean": Metric(
        "Disparity of recall, mean over classes",
        "points",
        "zero",
        "gaps",
        "Per class, recall in the group where it is highest minus recall where it is lowest; the mean over classes.",
    ),
    "recall_disparity_worst": Metric(
        "Disparity of recall, worst class",
        "points",
        "zero",
        "gaps",
        "The largest gap of recall between groups over all classes.",
    ),
}

METRICS |= {
    "repair_bias": Metric(
        "What is left of the bias",
        "plain",
        "low",
        "front",
        "How the methods of a comparison are placed: the mean MaxSkew over neutral queries; without images, the mean "
        "size of the social associations of texts. The unit names which.",
    ),
    "repair_utility": Metric(
        "What is left of the use",
        "plain",
        "high",
        "front",
        "The mean zero-shot accuracy over tasks that do not ask for the attribute; without images, the correlation of "
        "all cosines between neutral texts with what they were.",
    ),
}
METRICS |= {
    name: Metric(label, kind, best, "amplification", text) for name, (label, kind, best, text) in AMPLIFICATION.items()
}
METRICS |= {name: Metric(label, kind, best, "study", text) for name, (label, kind, best, text) in STUDY.items()}
METRICS |= {name: Metric(label, kind, best, "images", text) for name, (label, kind, best, text) in GENERATION.items()}
METRICS |= {name: Metric(label, kind, best, "dedup", text) for name, (label, kind, best, text) in DEDUP.items()}
METRICS |= {
    name: Metric(label, kind, best, "classifiers", text) for name, (label, kind, best, text) in CLASSIFIER.items()
}


def metric_of(name: str, unit: str = "") -> Metric:
    """The entry of a metric; an unknown one gets a readable name and goes to the generic section."""
    if name in METRICS:
        return METRICS[name]
    label = name.replace("_", " ").replace("@", " @ ")
    return Metric(label[:1].upper() + label[1:], "share" if unit == "share" else "plain", "", "other", "")


def number(value: float | None, digits: int = 2) -> str:
    """A plain number with a true minus sign; "undefined" for NaN and None."""
    if value is None or math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "\u221e" if value > 0 else f"{MINUS}\u221e"
    size = abs(value)
    if size >= 10000 or (digits and 0 < size < 10**-digits / 2):
        text = f"{value:.2g}"
    else:
        text = f"{value:.{digits if size < 100 else min(digits, 1)}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """A number that always carries its sign, except 0."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text[0].isdigit() and text.strip("0.") else text


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return number(share, 1) if math.isnan(share) else f"{number(100 * share, digits)}{THIN}%"


def points(share: float, digits: int = 1, sign: bool = True) -> str:
    """A difference of shares in percentage points."""
    if math.isnan(share):
        return "undefined"
    return f"{(signed if sign else number)(100 * share, digits)} points"


def is_points(row: Finding) -> bool:
    """Whether the finding is a difference of shares rather than a level."""
    kind = metric_of(row.metric, row.unit).kind
    return row.unit == "share" and (kind == "points" or row.arm == "difference")


def value_text(row: Finding) -> str:
    """The value with its unit, for example "71.2 %", "d = 1.23" or "+0.4 points"."""
    if math.isnan(row.value):
        return "undefined"
    if is_points(row):
        return points(row.value, sign=row.arm == "difference")
    if row.unit in SHARES:
        return percent(row.value)
    text = signed(row.value) if row.arm == "difference" else number(row.value)
    if row.unit == "standard deviations":
        return text
    return f"{text}{THIN}{row.unit}" if row.unit == "nats" else f"{text} {row.unit}"


def interval_text(row: Finding) -> str:
    """The interval in the value's unit, without repeating the unit; empty when there is none."""
    if row.low is None or row.high is None:
        return ""
    if math.isnan(row.low) or math.isnan(row.high):
        return "undefined"
    scale, digits = (100, 1) if row.unit in SHARES else (1, 2)
    write = signed if row.arm == "difference" else number
    return f"{write(scale * row.low, digits)} to {write(scale * row.high, digits)}"


def p_text(p: float | None) -> str:
    """A p-value with sensible digits; never "0"."""
    if p is None or math.isnan(p):
        return ""
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 test", "3 tests"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}".replace(",", THIN)


def listing(names: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def spaced(name: str) -> str:
    """A column name as words: "age_group" is read "age group"."""
    return name.replace("_", " ")


def bias_name(attribute: str) -> str:
    """ "gender bias"; "bias" where the attribute is not known."""
    return f"{spaced(attribute)} bias" if attribute else "bias"


def capital(text: str) -> str:
    """The text with a capital first letter; the rest as it is."""
    return text[:1].upper() + text[1:]


def bias_size(row: Finding) -> float:
    """How far a finding lies from fair: the distance to 0, or to chance for a probe."""
    if row.metric == "probe_accuracy":
        chance = row.extra.get("chance")
        return max(row.value - float(chance), 0.0) if isinstance(chance, (int, float)) else math.nan
    return abs(row.value)
