"""Operators and closed forms inside text-to-image pipelines of diffusers."""

from .edit import CrossAttentionEdit as CrossAttentionEdit
from .edit import edit_cross_attention as edit_cross_attention
from .sites import Site as Site
from .sites import sites_of as sites_of
from .sites import text_states as text_states

__all__ = ["CrossAttentionEdit", "Site", "edit_cross_attention", "sites_of", "text_states"]
