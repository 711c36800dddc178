"""What tokenizers of different libraries can tell about a text: its length, and words they do not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

UNLIKELY = "zqxjkv ☃ \U0001f9ff"
WORD = re.compile(r"\w+|[^\w\s]")


def count_tokens(tokenizer: Any) -> Callable[[list[str]], list[int]] | None:
    """A function from texts to their uncut lengths in tokens, or None where the tokenizer cannot tell."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None and callable(inner):  # open_clip's wrapper around a transformers tokenizer
        clean = getattr(tokenizer, "clean_fn", None) or _siglip_clean(tokenizer)
        special = 3 if getattr(tokenizer, "tokenizer_mode", "") == "clips" else None

        def wrapped(texts: list[str]) -> list[int]:
            cleaned = [clean(text) for text in texts]
            ids = inner(cleaned, add_special_tokens=special is None, verbose=False)["input_ids"]
            return [len(row) + (special or 0) for row in ids]

        return wrapped
    if callable(getattr(tokenizer, "encode", None)) and hasattr(tokenizer, "sot_token_id"):  # open_clip's own
        return lambda texts: [len(tokenizer.encode(text)) + 2 for text in texts]
    return None


def tokenizer_context(tokenizer: Any) -> int | None:
    """The context length that a tokenizer declares."""
    length = getattr(tokenizer, "context_length", None)
    return int(length) if length else None


def unknown_words(tokenizer: Any) -> Callable[[str], list[str]] | None:
    """A function from a text to its words that a transformers tokenizer lacks; None for open vocabularies."""
    unknown_id = getattr(tokenizer, "unk_token_id", None)
    if unknown_id is None or unknown_id not in tokenizer(UNLIKELY, add_special_tokens=False)["input_ids"]:
        return None  # byte-level vocabularies spell every word

    def by_offset(text: str) -> list[str]:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [text[start:stop] for token, (start, stop) in spans if token == unknown_id and text[start:stop].strip()]

    def by_word(text: str) -> list[str]:
        return [
            word for word in WORD.findall(text) if unknown_id in tokenizer(word, add_special_tokens=False)["input_ids"]
        ]

    return by_offset if getattr(tokenizer, "is_fast", False) else by_word


def _siglip_clean(tokenizer: Any) -> Callable[[str], str]:
    if type(tokenizer).__name__ == "SigLipTokenizer":
        from open_clip.tokenizer import basic_clean, canonicalize_text

        return lambda text: str(canonicalize_text(basic_clean(text)))
    return str
