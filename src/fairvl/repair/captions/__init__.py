"""Neutral captions: rewriting single texts, and whole corpora with a report of every change."""

from .corpus import CaptionRun as CaptionRun
from .corpus import NeutralCaptions as NeutralCaptions
from .corpus import captions as captions
from .published import published_rewrite as published_rewrite
from .published import published_table as published_table
from .rewriting import neutralize as neutralize

__all__ = ["CaptionRun", "NeutralCaptions", "captions", "neutralize", "published_rewrite", "published_table"]
