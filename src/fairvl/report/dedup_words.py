"""The words of a deduplication: what each of its metrics is called and what it means. Entries as in `study_words`."""

from __future__ import annotations

DEDUP: dict[str, tuple[str, str, str, str]] = {
    "representation": (
        "Representation",
        "share",
        "",
        "The share of a group among the rows with a label, in the source and among the kept rows; for soft scores the "
        "mean membership. Intervals are those of a source drawn anew; the change is paired, row by row.",
    ),
    "representation_error": (
        "Representation error",
        "share",
        "zero",
        "Half the sum of the absolute changes of share over the groups of an attribute: the share of kept rows that "
        "would have to change group for the kept rows to look like the source. It describes this keep list.",
    ),
    "kept_share": ("Rows kept", "share", "", "The share of rows that are kept."),
    "reason": ("Reason", "share", "", "Why rows are kept or dropped."),
    "kept_with_kept_duplicate": (
        "Kept rows with a kept duplicate",
        "share",
        "zero",
        "Under-deletion: two kept rows are duplicates at the threshold of the run, within a cluster.",
    ),
    "dropped_without_kept_duplicate": (
        "Dropped rows without a kept duplicate",
        "share",
        "zero",
        "Over-deletion: nothing that is kept stands for the row. The published rule does this along chains.",
    ),
    "border_recall": (
        "Duplicate pairs that lie within clusters",
        "share",
        "high",
        "Rows are compared within clusters only. A sample of rows is compared with the clusters next nearest to it, "
        "which estimates the share of duplicate pairs that the run could see.",
    ),
    "largest_duplicate_group": (
        "Largest group of duplicates",
        "plain",
        "",
        "Rows in the largest group that is linked by duplicates; chains count as one group.",
    ),
    "duplicate_group": ("Large groups of duplicates", "plain", "", "The ten largest groups linked by duplicates."),
    "example_pair": ("Example pair", "plain", "", "A dropped row, the row that stands for it, and their cosine."),
}
