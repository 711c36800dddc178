"""Who appears in generated images: shares per prompt against a target, and what the judge of them confuses."""

from __future__ import annotations

from .confusion import Confusion as Confusion
from .confusion import CorrectedShares as CorrectedShares
from .confusion import confusion_matrix as confusion_matrix
from .confusion import correct_shares as correct_shares

__all__ = ["Confusion", "CorrectedShares", "confusion_matrix", "correct_shares"]
