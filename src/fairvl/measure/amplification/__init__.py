"""Bias amplification: does a model tie groups to tasks more strongly than the labels that it was held against?

One engine, `directional_amplification`, serves both directions (A->T: how predicted tasks depend on the group; T->A:
how predicted groups depend on the task), one attribute or sets of them (`attribute_sets` makes the indicator columns),
0/1 or probabilities, one run or several seeds; `amplification_change` is after minus before. `mals` is the older,
undirected measure; `predictability_amplification` works where everything is balanced.

A mean of signed values is easy to misread: a model that names no group at all scores below zero. So every result
carries absolute values, values per pair, coverage, an erasure flag and the part that a change of the group rates alone
explains.
"""

from __future__ import annotations

from .change import amplification_change as amplification_change
from .directional import directional_amplification as directional_amplification
from .indicators import AttributeSets as AttributeSets
from .indicators import attribute_sets as attribute_sets
from .indicators import one_hot as one_hot
from .predictability import Predictability as Predictability
from .predictability import predictability_amplification as predictability_amplification
from .result import Amplification as Amplification
from .result import Pairs as Pairs
from .undirected import Mals as Mals
from .undirected import mals as mals

__all__ = [
    "Amplification",
    "AttributeSets",
    "Mals",
    "Pairs",
    "Predictability",
    "amplification_change",
    "attribute_sets",
    "directional_amplification",
    "mals",
    "one_hot",
    "predictability_amplification",
]
