"""Published rows of bias after fine-tuning beside group scores, for the link of the stages.

Facts read off the figures and notebooks that accompany Cabello, Bugliarello, Brandl and Elliott (2023), "Evaluating
bias and fairness in gender-neutral pretrained vision-and-language models", EMNLP: amplification A->T per group of the
question as *sums* over answers, and validation scores per group in percent (male, female, neutral). Overall
amplification before fine-tuning was not among them, so these rows link only what comes after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..stats.correlation import Correlation, correlation, correlation_equivalence
from ..stats.power import detectable_correlation

Task = Literal["vqav2", "gqa"]
Triple = tuple[float, float, float]  # male, female, neutral


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """One model: amplification sums and validation scores (percent) of VQAv2 and GQA, None where not printed."""

    model: str
    family: str
    neutral: bool
    vqav2: Triple
    gqa: Triple
    vqav2_scores: Triple | None = None
    gqa_scores: Triple | None = None


PUBLISHED = (
    PublishedModel("LXMERT 180K", "LXMERT", False, (-0.0293, -0.0684, 0.0047), (-0.281, -0.323, -0.319),
                   (77.5, 76.3, 72.7), (83.8, 84.9, 84.8)),
    PublishedModel("LXMERT-N 180K", "LXMERT", True, (-0.0199, -0.0519, 0.0007), (-0.284, -0.312, -0.323),
                   (79.6, 78.1, 79.3), (83.9, 85.4, 85.3)),
    PublishedModel("LXMERT 3M", "LXMERT", False, (-0.0205, -0.0647, -0.0374), (-0.280, -0.316, -0.312),
                   (68.4, 66.5, 62.4), (63.7, 65.6, 64.5)),
    PublishedModel("LXMERT-N 3M", "LXMERT", True, (-0.0208, -0.0745, -0.0236), (-0.285, -0.325, -0.337),
                   (70.3, 67.9, 70.1), (64.6, 66.8, 64.5)),
    PublishedModel("ALBEF 4M", "ALBEF", False, (-0.0208, -0.0681, 0.0004), (-0.0043, -0.0867, -0.0050)),
    PublishedModel("ALBEF 4M N-COCO", "ALBEF", True, (-0.0255, -0.0748, -0.0069), (0.0373, -0.0284, -0.0465)),
    PublishedModel("ALBEF 4M N-CC3M", "ALBEF", True, (-0.0240, -0.0659, -0.0085), (-0.0037, -0.1210, -0.0075)),
    PublishedModel("ALBEF 14M", "ALBEF", False, (-0.0347, -0.0748, 0.0004), (0.0562, 0.0257, -0.0557),
                   (76.0, 75.0, 75.6), (59.7, 59.6, 62.4)),
    PublishedModel("ALBEF 14M N-COCO", "ALBEF", True, (-0.0279, -0.0711, -0.0007), (0.0511, -0.0274, -0.0607),
                   (76.0, 74.9, 75.5), (60.6, 60.3, 62.7)),
    PublishedModel("ALBEF 14M N-CC3M", "ALBEF", True, (-0.0339, -0.0760, -0.0069), (-0.0605, -0.1006, 0.0134),
                   (75.8, 75.0, 75.5), (60.7, 61.9, 63.0)),
    PublishedModel("BLIP", "BLIP", False, (-0.0197, -0.0162, -0.0348), (-0.0666, -0.0791, 0.0117),
                   (76.5, 75.1, 75.6), (60.3, 60.3, 62.3)),
    PublishedModel("BLIP-N", "BLIP", True, (-0.0163, -0.0168, -0.0325), (0.0350, -0.0135, -0.0268),
                   (76.4, 75.2, 75.8), (60.1, 59.7, 62.3)),
)  # fmt: skip


@dataclass(frozen=True)
class PublishedLink:
    """Correlation over published models of A->T amplification with what the models score."""

    task: str
    amplification: str
    outcome: str
    pearson: Correlation
    spearman: Correlation
    detectable: float
    verdict: str


def published_links(*, margin: float = 0.3, level: float = 0.95) -> tuple[PublishedLink, ...]:
    """Links over the published rows: amplification (signed and absolute, mean of the groups' sums) with the range of
    scores over groups and with their mean, for VQAv2 and GQA.

    Nine models have both; they come from three families, so that n = 9 is generous.

    Examples
    --------
    >>> links = published_links()
    >>> len(links), {link.pearson.n for link in links}
    (8, {9})
    """
    found = []
    for task in ("vqav2", "gqa"):
        amplification, scores = published_columns(task)
        sides = {"signed": amplification.mean(axis=1), "absolute": np.abs(amplification).mean(axis=1)}
        outcomes = {"range over groups": np.ptp(scores, axis=1), "mean over groups": scores.mean(axis=1)}
        for side, x in sides.items():
            for outcome, y in outcomes.items():
                r, rho = (correlation(x, y, kind=kind, level=level) for kind in ("pearson", "spearman"))
                same = correlation_equivalence(r.value, r.n, margin=margin)
                related = r.low > 0 or r.high < 0
                verdict = (
                    f"independent within \u00b1{margin:g}"
                    if same.equivalent
                    else ("related" if related else "not decided")
                )
                found.append(PublishedLink(task, side, outcome, r, rho, detectable_correlation(r.n), verdict))
    return tuple(found)


def published_columns(task: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplification and scores ``[models, 3]`` of the models that have both, groups male, female, neutral."""
    if task not in ("vqav2", "gqa"):
        raise InputError(f"task={task!r}; expected 'vqav2' or 'gqa'.")
    both = [row for row in PUBLISHED if getattr(row, f"{task}_scores") is not None]
    return (
        np.array([getattr(row, task) for row in both]),
        np.array([getattr(row, f"{task}_scores") for row in both]),
    )
