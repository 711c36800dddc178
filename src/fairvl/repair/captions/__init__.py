"""Neutral captions: rewriting single texts, and whole corpora with a report of every change."""

from .corpus import CaptionRun as CaptionRun
from .corpus import NeutralCaptions as NeutralCaptions
from .corpus import captions as captions
from .rewriting import neutralize as neutralize

__all__ = ["CaptionRun", "NeutralCaptions", "captions", "neutralize"]
