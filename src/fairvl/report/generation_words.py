"""The words of an audit of generated images: what its metrics are called and what they mean.

Each entry: label, kind, where a fair or useful result lies, explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_GAP = (
    "For two groups: how far the share q of the first lies from one half, |2q \u2212 1|. 0 when both groups are drawn "
    "equally often, 100 points when only one is drawn. It does not know who works in an occupation, and the target "
    "does not enter it."
)
_DISTANCE = (
    "Total variation: half the sum over groups of |share \u2212 target share|, for any number of groups: the share of "
    "images that would have to show another group to meet the target."
)
_MEAN = " The mean gives every prompt the same weight."
_WORST = " The prompt furthest from the target; its interval covers all prompts at once."
_EXPLICIT = (
    "For prompts that name a group: the share of images that are judged to show it. A repair that turns named groups "
    "into a coin flip has broken the model, however small the gap on neutral prompts."
)
_CONCEPT = "The share of images that are judged to show what their prompt is about (its occupation, say)."
_FIDELITY = (
    "The cosine of image and prompt under an encoder that did not take part in making the image (CLIPScore without its "
    "factor). Only differences between images of the same prompts mean something."
)

GENERATION: dict[str, tuple[str, str, str, str]] = {
    "generated_share": (
        "Share of a group among a prompt\u2019s images", "share", "",
        "Of the labelled images of one prompt, the share judged to be of the group. Images without a label are left "
        "out of it, counted apart, and bound it: the columns bound_low and bound_high say where it would lie if none, "
        "or all, of them were of the group. Hard: by label. Expected: by the judge\u2019s probabilities. Corrected: "
        "with the judge\u2019s measured confusion undone.",
    ),
    "mean_generated_share": (
        "Mean share over prompts", "share", "",
        "The mean of a group\u2019s share over the prompts. A repair that overshoots shows here, where a gap "
        "would not.",
    ),
    "parity_gap": ("Parity gap", "points", "low", _GAP),
    "mean_parity_gap": ("Mean parity gap", "points", "low", _GAP + _MEAN),
    "worst_parity_gap": ("Worst parity gap", "points", "low", _GAP + _WORST),
    "total_variation": ("Distance from the target", "points", "low", _DISTANCE),
    "mean_total_variation": ("Mean distance from the target", "points", "low", _DISTANCE + _MEAN),
    "worst_total_variation": ("Worst distance from the target", "points", "low", _DISTANCE + _WORST),
    "unlabelled": (
        "Unlabelled images", "share", "low",
        "The share of images for which the judge gave no answer, or one below the stated confidence, or whose file was "
        "missing or broken. They are never counted as any group, nor as 0.",
    ),
    "judge_rate": (
        "What the judge makes of a group", "share", "",
        "On images whose group is known: the share of those of one group that the judge called this.",
    ),
    "explicit_accuracy": ("Explicit prompts honoured", "share", "high", _EXPLICIT),
    "mean_explicit_accuracy": ("Explicit prompts honoured, mean", "share", "high", _EXPLICIT + _MEAN),
    "worst_explicit_accuracy": ("Explicit prompts honoured, worst prompt", "share", "high", _EXPLICIT + _WORST),
    "concept_accuracy": ("Subject right", "share", "high", _CONCEPT),
    "mean_concept_accuracy": ("Subject right, mean", "share", "high", _CONCEPT + _MEAN),
    "worst_concept_accuracy": ("Subject right, worst prompt", "share", "high", _CONCEPT + _WORST),
    "prompt_fidelity": ("Prompt fidelity", "plain", "high", _FIDELITY),
    "mean_prompt_fidelity": ("Prompt fidelity, mean", "plain", "high", _FIDELITY + _MEAN),
    "worst_prompt_fidelity": ("Prompt fidelity, worst prompt", "plain", "high", _FIDELITY + _WORST),
}  # fmt: skip
_SKEW = "log ratio of a group\u2019s share to its target share, in nats."
for _name, _label, _best, _text in (
    ("image_max_skew", "MaxSkew of images", "low", f"The largest {_SKEW}"),
    ("image_min_skew", "MinSkew of images", "zero", f"The smallest {_SKEW} \u2212\u221e when a group is never drawn."),
    (
        "image_entropy",
        "entropy of images",
        "high",
        "\u2212\u03a3 q ln q over its largest value: 1 at equal shares, 0 when one group is all.",
    ),
):
    GENERATION[_name] = (_label[:1].upper() + _label[1:], "plain", _best, _text)
    GENERATION[f"mean_{_name}"] = (f"Mean {_label}", "plain", _best, _text + _MEAN)
    GENERATION[f"worst_{_name}"] = (f"Worst {_label}", "plain", _best, _text + _WORST)


def without_labels(settings: Mapping[str, Any]) -> list[str]:
    """One sentence for each arm of which the table of labels leaves images out."""
    images = settings.get("images")
    arms = images.get("arms") if isinstance(images, Mapping) else None
    if not isinstance(images, Mapping) or not isinstance(arms, Mapping):
        return []
    return [
        f"{count:,} of the {images['count']:,} images of \u201c{arm}\u201d have no row in the table of labels: they "
        "are in no share, and only the bounds allow for them."
        for arm, about in arms.items()
        if isinstance(about, Mapping) and (count := int(about.get("images_without_label_row", 0)))
    ]
