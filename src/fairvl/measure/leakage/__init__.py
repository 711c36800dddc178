"""What can be read of an attribute from somewhere that should not tell it: vectors, predictions, captions.

`probe` reads an attribute from vectors. `label_leakage` and `caption_leakage` ask whether a model's predictions or
captions give the attribute away more than the labels or captions of people do.
"""

from __future__ import annotations

from .captions import caption_leakage as caption_leakage
from .outputs import Leakage as Leakage
from .outputs import label_leakage as label_leakage
from .probe import ProbeComparison as ProbeComparison
from .probe import ProbeResult as ProbeResult
from .probe import compare_probes as compare_probes
from .probe import fit_logistic as fit_logistic
from .probe import probe as probe

__all__ = [
    "Leakage",
    "ProbeComparison",
    "ProbeResult",
    "caption_leakage",
    "compare_probes",
    "fit_logistic",
    "label_leakage",
    "probe",
]
