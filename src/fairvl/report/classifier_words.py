"""The words of classifiers trained on augmented sets and their controls. Entries as in `dedup_words`."""

from __future__ import annotations

CLASSIFIER: dict[str, tuple[str, str, str, str]] = {
    "macro_f1": (
        "Macro F1",
        "share",
        "high",
        "The harmonic mean of precision and recall of each class, averaged over classes, so that a frequent class "
        "weighs no more than a rare one.",
    ),
    "accuracy_difference": (
        "Accuracy difference (signed)",
        "points",
        "zero",
        "Accuracy in the named group minus accuracy in the first group, in percentage points: above 0 the named group "
        "is classified better.",
    ),
    "worst_label_group_accuracy": (
        "Worst (label, group) accuracy",
        "share",
        "high",
        "The lowest accuracy among all pairs of a true class and a group. A correlation between label and group in the "
        "training images shows here first: in the pair that was rare.",
    ),
    "counterfactual_flip_rate": (
        "Counterfactual flip rate",
        "share",
        "low",
        "The share of pairs of a test image and its verified edit that a classifier labels differently. Only the "
        "protected attribute was to change, so every flip is a prediction that hangs on it.",
    ),
    "edit_yield": (
        "Yield of the gate",
        "share",
        "high",
        "The share of candidates whose edit every judge let pass: the protected attribute changed, the label and the "
        "other attributes did not.",
    ),
    "judge_accuracy": (
        "Accuracy of a judge",
        "share",
        "high",
        "How often the judge reads an attribute right on images whose truth is known, from none of its training.",
    ),
}
