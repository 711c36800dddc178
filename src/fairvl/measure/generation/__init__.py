"""Who appears in generated images: shares per prompt against a target, and what the judge of them confuses."""

from __future__ import annotations

from .agreement import PromptMeans as PromptMeans
from .agreement import PromptMeansComparison as PromptMeansComparison
from .agreement import agreement as agreement
from .agreement import compare_agreement as compare_agreement
from .agreement import compare_prompt_means as compare_prompt_means
from .agreement import prompt_means as prompt_means
from .confusion import Confusion as Confusion
from .confusion import CorrectedShares as CorrectedShares
from .confusion import confusion_matrix as confusion_matrix
from .confusion import correct_shares as correct_shares
from .frame import Representation as Representation
from .representation import RepresentationComparison as RepresentationComparison
from .representation import compare_representation as compare_representation
from .representation import representation as representation

__all__ = [
    "Confusion",
    "CorrectedShares",
    "PromptMeans",
    "PromptMeansComparison",
    "Representation",
    "RepresentationComparison",
    "agreement",
    "compare_agreement",
    "compare_prompt_means",
    "compare_representation",
    "confusion_matrix",
    "correct_shares",
    "prompt_means",
    "representation",
]
