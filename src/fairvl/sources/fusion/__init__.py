"""Models that read image and text together: they score a pair, answer a question, fill in a word."""

from __future__ import annotations

from .albef import AlbefShape as AlbefShape
from .albef import build_albef as build_albef
from .albef import from_published as from_published
from .albef import published_names as published_names

__all__ = ["AlbefShape", "build_albef", "from_published", "published_names"]
