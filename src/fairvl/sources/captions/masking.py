"""Masking the words that name a group, instead of rewriting them."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from ...errors import InputError
from .lexicon import Lexicon, load_lexicon
from .mentions import find_mentions
from .spans import Edit, Rewrite, apply_edits
from .tokens import tokenize

MASK_TOKEN = "[MASK]"  # noqa: S105 - a word of models' vocabularies


@overload
def mask(texts: str, *, token: str = ..., lexicon: str | Path | Lexicon = ...) -> Rewrite: ...
@overload
def mask(texts: list[str], *, token: str = ..., lexicon: str | Path | Lexicon = ...) -> list[Rewrite]: ...
def mask(
    texts: str | list[str], *, token: str = MASK_TOKEN, lexicon: str | Path | Lexicon = "gender-en"
) -> Rewrite | list[Rewrite]:
    """Captions with every mention of a group replaced by `token`.

    Exactly the words that `neutralize` would change for their group are masked, and no other noun; verbs and articles
    stay as they are. What is joined to a word stays too ("[MASK]'s hat").

    Parameters
    ----------
    texts : str or list of str
    token : str
        What stands for a masked word, as the model spells it.
    lexicon : str, path or Lexicon

    Returns
    -------
    Rewrite, or a list of them

    Raises
    ------
    InputError
        Not text, or an empty token.

    Examples
    --------
    >>> mask("A man ties his shoe.").text
    'A [MASK] ties [MASK] shoe.'
    """
    if not token:
        raise InputError("token is empty; expected the model's mask token, such as '[MASK]'.")
    chosen = load_lexicon(lexicon)
    if isinstance(texts, str):
        return _mask(texts, token, chosen)
    return [_mask(text, token, chosen) for text in texts]


def _mask(text: str, token: str, lexicon: Lexicon) -> Rewrite:
    if not isinstance(text, str):
        raise InputError(f"a caption is {type(text).__name__}; expected text.")
    tokens = tokenize(text)
    mentions = find_mentions(tokens, lexicon)
    edits = []
    for mention in mentions.found:
        tail = mention.tail if mention.tail.startswith("'") else ""
        last = mention.index + mention.count - 1
        joined = tokens.words[last][-len(tail) :] if tail else ""
        edits.append(Edit(mention.index, last, token + joined, "mask", mention.entry.group, mention.confidence))
    return apply_edits(tokens, edits, ((kept.index, kept.group, kept.why) for kept in mentions.kept))
