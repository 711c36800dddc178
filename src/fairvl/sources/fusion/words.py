"""Texts to token ids of a fixed length; and a WordPiece tokenizer over a given list of words."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import FusionError
from ..encoders.seam import TextLengthWarning

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
MASK = "[MASK]"


@dataclass
class Words:
    """A BERT-like tokenizer at a fixed length.

    Attributes
    ----------
    tokenizer : transformers tokenizer
        With the ids of its padding, first, last and mask tokens.
    max_length : int
        Every text is padded to it; longer ones are cut and a warning says so once.
    """

    tokenizer: Any
    max_length: int
    _warned: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_length < 3:
            raise FusionError(f"max_length={self.max_length}; expected at least 3, for one word between two marks.")

    @property
    def mask_id(self) -> int:
        """Id of the mask token."""
        if self.tokenizer.mask_token_id is None:
            raise FusionError("the tokenizer has no mask token; fill needs one. Load the model with its own tokenizer.")
        return int(self.tokenizer.mask_token_id)

    def encode(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """Ids and mask, int64 tensors ``[n, max_length]``."""
        import torch

        checked = check_texts(texts)
        if not checked:
            empty = torch.zeros((0, self.max_length), dtype=torch.long)
            return empty, empty.clone()
        self._warn_over_length(checked)
        encoded = self.tokenizer(
            checked, padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return encoded["input_ids"].long(), encoded["attention_mask"].long()

    def pieces(self, text: str) -> list[int]:
        """Ids of a candidate without the marks around it; a candidate outside the vocabulary is refused."""
        ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        if not ids or self.tokenizer.unk_token_id in ids:
            raise FusionError(
                f"candidate {text!r} is not in the model's vocabulary. Leave it out: its probability would be that of "
                "every unknown word."
            )
        return ids

    def over_length(self, texts: Sequence[str]) -> list[int]:
        """Positions of the texts that are longer than ``max_length`` tokens."""
        return [place for place, ids in enumerate(self.uncut(texts)) if len(ids) > self.max_length]

    def uncut(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of whole texts, marks included, without padding."""
        checked = check_texts(texts)
        if not checked:
            return []
        return [list(ids) for ids in self.tokenizer(checked, truncation=False, verbose=False)["input_ids"]]

    def _warn_over_length(self, texts: list[str]) -> None:
        if self._warned:
            return
        if cut := self.over_length(texts):
            self._warned = True
            warnings.warn(
                f"{len(cut)} of {len(texts)} texts exceed {self.max_length} tokens and are cut, first: "
                f"{texts[cut[0]][:60]!r}. model.words.over_length(texts) lists them; this warning appears once.",
                TextLengthWarning,
                stacklevel=4,
            )


def check_texts(texts: Sequence[Any], what: str = "texts") -> list[str]:
    """`texts` as a list of strings that say something."""
    if isinstance(texts, str):
        raise FusionError(f"{what}: one string; expected a list of strings. Write [text].")
    try:
        listed = list(texts)
    except TypeError:
        raise FusionError(f"{what}: {type(texts).__name__}; expected a list of strings.") from None
    for place, text in enumerate(listed):
        if not isinstance(text, str) or not text.strip():
            raise FusionError(
                f"{what}: item {place} is {text!r}; expected a text that is not empty. A missing caption is not a "
                "text: leave it out."
            )
    return listed


def build_words(vocabulary: Sequence[str], max_length: int, *, extra: Sequence[str] = ()) -> Words:
    """A WordPiece tokenizer over `vocabulary` (``##`` marks a piece inside a word), lower case; `extra` come last.

    The special tokens ``[PAD] [UNK] [CLS] [SEP] [MASK]`` are ids 0 to 4.

    Examples
    --------
    >>> words = build_words(["a", "man", "police", "##man"], 8)
    >>> [words.pieces(word) for word in ("man", "policeman")]
    [[6], [7, 8]]
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece
    from transformers import PreTrainedTokenizerFast

    listed = check_texts(vocabulary, "vocabulary")
    names = [*SPECIAL, *listed, *extra]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FusionError(f"vocabulary: {twice[:5]} more than once; expected each word once and no special token.")
    backend = Tokenizer(WordPiece({name: place for place, name in enumerate(names)}, unk_token=SPECIAL[1]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=max_length, **dict(zip(ROLES, SPECIAL, strict=True))
    )
    if extra:
        tokenizer.add_special_tokens({"additional_special_tokens": list(extra)})
    return Words(tokenizer, max_length)
