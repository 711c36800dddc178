"""Neutral captions: rewriting single texts, and whole corpora with a report of every change."""

from .rewriting import neutralize as neutralize

__all__ = ["neutralize"]
