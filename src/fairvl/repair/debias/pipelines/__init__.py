"""Operators and closed forms inside text-to-image pipelines of diffusers."""

from .attach import TowerUntouched as TowerUntouched
from .attach import attach as attach
from .attach import detach as detach
from .balance import Balance as Balance
from .balance import balance_cross_attention as balance_cross_attention
from .edit import CrossAttentionEdit as CrossAttentionEdit
from .edit import edit_cross_attention as edit_cross_attention
from .fit import PipelineOperator as PipelineOperator
from .fit import fit_on_pipeline as fit_on_pipeline
from .pairs import attribute_pairs as attribute_pairs
from .pairs import read_pairs as read_pairs
from .sites import Site as Site
from .sites import sites_of as sites_of
from .sites import text_states as text_states

__all__ = [
    "Balance",
    "CrossAttentionEdit",
    "PipelineOperator",
    "Site",
    "TowerUntouched",
    "attach",
    "attribute_pairs",
    "balance_cross_attention",
    "detach",
    "edit_cross_attention",
    "fit_on_pipeline",
    "read_pairs",
    "sites_of",
    "text_states",
]
