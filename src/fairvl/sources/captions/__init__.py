"""Captions read by word: which group they name, where, and what only looks like it; masking.

Rewriting stands in `fairvl.repair.captions`.
"""

from .groups import CaptionGroup as CaptionGroup
from .groups import caption_group as caption_group
from .groups import group_of as group_of
from .groups import image_group as image_group
from .lexicon import Entry as Entry
from .lexicon import Lexicon as Lexicon
from .lexicon import list_lexicons as list_lexicons
from .lexicon import load_lexicon as load_lexicon
from .masking import mask as mask
from .mentions import Mention as Mention
from .mentions import find_mentions as find_mentions
from .parsing import Parser as Parser
from .parsing import load_parser as load_parser
from .spans import KeptSpan as KeptSpan
from .spans import Rewrite as Rewrite
from .spans import Span as Span
from .spans import restore as restore
from .tokens import Tokens as Tokens
from .tokens import tokenize as tokenize

__all__ = [
    "CaptionGroup",
    "Entry",
    "KeptSpan",
    "Lexicon",
    "Mention",
    "Parser",
    "Rewrite",
    "Span",
    "Tokens",
    "caption_group",
    "find_mentions",
    "group_of",
    "image_group",
    "list_lexicons",
    "load_lexicon",
    "load_parser",
    "mask",
    "restore",
    "tokenize",
]
