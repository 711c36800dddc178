"""The words of bias amplification: label, kind, where a fair or useful result lies, explanation."""

from __future__ import annotations

_SIGN = (
    "Above 0 the predictions tie classes to groups more strongly than the labels do, below 0 less. A model that names "
    "no group, or no class, at all also scores below 0: coverage and the warning in the note say so. Opposite changes "
    "cancel in a mean: read the pairs and the mean size beside it."
)

AMPLIFICATION: dict[str, tuple[str, str, str, str]] = {
    "amplification": (
        "Bias amplification", "points", "zero",
        "For each group and class: the share of the group that is predicted as the class minus the share labelled so, "
        "with the sign of their association in the labels; the mean over all pairs (directional bias amplification, "
        "A\u2192T; for predictions of the group itself, T\u2192A is the same number). " + _SIGN,
    ),
    "amplification_beyond_rates": (
        "Bias amplification beyond overall rates", "points", "zero",
        "The same after taking out how much more or less often each class is predicted overall.",
    ),
    "amplification_absolute": (
        "Size of changes against labels", "points", "low",
        "The mean over pairs of the size of that difference, whatever its sign. Noise only adds to it, so it is never "
        "0 for imperfect predictions, and its interval lies too high where little changes.",
    ),
    "amplification_by_group": (
        "Bias amplification of a group", "points", "zero",
        "The mean over classes (not the sum) for one group. " + _SIGN,
    ),
    "amplification_pair": (
        "Bias amplification of a pair", "points", "zero",
        "One group and one class. The interval holds the sign of their association fixed; the note says where that "
        "sign is not sure. p: exact McNemar test of the difference, corrected over all pairs by Holm.",
    ),
}  # fmt: skip
