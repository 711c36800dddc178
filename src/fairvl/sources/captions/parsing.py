"""A part-of-speech tagger of the user's own, where there is one: it settles what the rules can only guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module

from ...errors import InputError, missing_extra

Tags = Mapping[int, str]  # where a word begins -> its Penn tag, such as "PRP$" or "VBZ"
Parser = Callable[[str], Tags]


@lru_cache(maxsize=2)
def load_parser(name: str) -> Parser:
    """A tagger by name: ``spacy:en_core_web_sm``, or any other spaCy pipeline with a tagger.

    Raises
    ------
    MissingExtraError
        spaCy is not installed.
    InputError
        Another form of name, or a pipeline that is not installed.
    """
    library, _, pipeline = name.partition(":")
    if library != "spacy" or not pipeline:
        raise InputError(f"parser={name!r}; expected 'spacy:PIPELINE', such as 'spacy:en_core_web_sm'.")
    try:
        spacy = import_module("spacy")
    except ImportError:
        raise missing_extra("spacy", "text") from None
    try:
        model = spacy.load(pipeline, exclude=["ner", "lemmatizer", "parser"])
    except OSError as error:
        raise InputError(
            f"parser={name!r}: spaCy has no pipeline of this name ({str(error)[:80]}). "
            f"Install it with: python -m spacy download {pipeline}"
        ) from None
    return lambda text: {token.idx: token.tag_ for token in model(text)}
