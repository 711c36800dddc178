"""Which rows a step trains on, and everything in them that is drawn: neutral or original, masks, wrong partners.

All of it follows from (seed, step, id), is made for the global batch, and is the same in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .draws import Keys, stream, uniform

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Texts:
    """Every distinct text once, as tokens; rows refer to them by number.

    Attributes
    ----------
    ids : int32 [t, l]
    mask : bool [t, l]
    original, neutral : int64 [n]
        The number of each row's caption and of its neutral form.
    special : tuple of int
        Token ids that are never hidden.
    mask_id : int, optional
        Token that hides a word.
    vocabulary : int64 [v]
        Ids that occur and are not special: what a hidden word may be replaced by.
    """

    ids: NDArray[np.int32]
    mask: Flags
    original: Codes
    neutral: Codes
    special: tuple[int, ...]
    mask_id: int | None
    vocabulary: Codes


def read_texts(model: Any, captions: Sequence[str], neutral: Sequence[str], *, block: int = 8192) -> Texts:
    """Tokenise every distinct text once."""
    number = {text: place for place, text in enumerate(dict.fromkeys([*captions, *neutral]))}
    distinct = list(number)
    parts = [model.tokenize(distinct[start : start + block]) for start in range(0, len(distinct), block)]
    ids = np.concatenate([part[0].cpu().numpy().astype(np.int32) for part in parts])
    mask = np.concatenate([part[1].cpu().numpy().astype(bool) for part in parts])
    width = int(np.flatnonzero(mask.any(0))[-1]) + 1  # padding that no text needs costs time and changes nothing
    ids, mask = ids[:, :width], mask[:, :width]
    words = getattr(model, "words", None)
    special = () if words is None else tuple(sorted(int(i) for i in words.tokenizer.all_special_ids))
    mask_id = None if words is None else words.tokenizer.mask_token_id
    vocabulary = np.setdiff1d(np.unique(ids[mask]), special).astype(np.int64)
    return Texts(
        ids, mask, np.array([number[text] for text in captions]), np.array([number[text] for text in neutral]),
        special, None if mask_id is None else int(mask_id), vocabulary,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Batch:
    """One global batch.

    Attributes
    ----------
    rows, texts : int64 [b]
        Rows of the pairs, and the number of the text that each shows.
    same : bool [b, b]
        Pairs of rows with one image or one text.
    wrong_image, wrong_text : int64 [b]
        Places in the batch of a partner that does not match; -1 where the whole batch matches.
    hidden : bool [b, l]
        Places whose word is to be guessed.
    shown : int64 [b, l]
        Token ids with those words hidden.
    neutral : float
        Share of rows that show their neutral text.
    """

    rows: Codes
    texts: Codes
    same: Flags
    wrong_image: Codes
    wrong_text: Codes
    hidden: Flags
    shown: Codes
    neutral: float


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of a training.

    Attributes
    ----------
    texts : Texts
    keys : uint64 [n]
        Of the rows' ids.
    images : int64 [n]
        The number of each row's image.
    rows : int64 [m]
        Rows to train on.
    size, seed, mask_rate
    """

    texts: Texts
    keys: Keys
    images: Codes
    rows: Codes
    size: int
    seed: int
    mask_rate: float = 0.15

    def __post_init__(self) -> None:
        if not 2 <= self.size <= len(self.rows):
            raise InputError(f"batch_size={self.size}; expected 2 to {len(self.rows)}, the rows to train on.")

    @property
    def per_epoch(self) -> int:
        """Steps that see every row once; what is left over waits for the next epoch's order."""
        return len(self.rows) // self.size

    def batch(self, step: int, probability: float) -> Batch:
        """The batch of a step in which each row shows its neutral text with `probability`."""
        epoch, place = divmod(step, self.per_epoch)
        order = _order(len(self.rows), self.seed, epoch)
        rows = self.rows[order[place * self.size : (place + 1) * self.size]]
        return self.of(rows, step, probability)

    def of(self, rows: Codes, step: int, probability: float) -> Batch:
        """The batch of given rows, drawn as at `step`."""
        keys, texts = self.keys[rows], self.texts
        neutral = uniform(keys, stream(self.seed, step, "neutral")) < probability
        shown = np.where(neutral, texts.neutral[rows], texts.original[rows])
        same = (self.images[rows][:, None] == self.images[rows][None, :]) | (shown[:, None] == shown[None, :])
        hidden, ids = hide(texts.ids[shown], texts.mask[shown], keys, self.seed, step, rate=self.mask_rate, texts=texts)
        return Batch(
            rows,
            shown,
            same,
            partners(same, uniform(keys, stream(self.seed, step, "image"))),
            partners(same, uniform(keys, stream(self.seed, step, "text"))),
            hidden,
            ids,
            float(neutral.mean()),
        )


def partners(same: Flags, chance: NDArray[np.float64]) -> Codes:
    """For each row one of the places that do not match it, uniformly; -1 where all match.

    Examples
    --------
    >>> partners(np.eye(3, dtype=bool), np.array([0.0, 0.9, 0.6])).tolist()
    [1, 2, 1]
    """
    free = ~same
    counts = free.sum(1)
    wanted = np.minimum((chance * counts).astype(np.int64), counts - 1)
    found = (np.cumsum(free, axis=1, dtype=np.int32) > wanted[:, None]).argmax(1)
    return np.where(counts > 0, found, -1).astype(np.int64)


def hide(
    ids: NDArray[np.int32], mask: Flags, keys: Keys, seed: int, step: int, *, rate: float, texts: Texts
) -> tuple[Flags, Codes]:
    """Words to guess, and the ids with them hidden: of those drawn, 80 % masked, 10 % replaced, 10 % left.

    A text in which chance picks no word has one hidden all the same, so that no sample is without a task.
    """
    shown = ids.astype(np.int64)
    if texts.mask_id is None or rate == 0:
        return np.zeros(ids.shape, bool), shown
    width = ids.shape[1]
    able = mask & ~np.isin(ids, texts.special)
    chance = np.where(able, uniform(keys, stream(seed, step, "mask"), width), 2.0)
    hidden = chance < rate
    none = ~hidden.any(1) & able.any(1)
    hidden[none, chance[none].argmin(1)] = True
    kind = uniform(keys, stream(seed, step, "kind"), width)
    other = texts.vocabulary[
        (uniform(keys, stream(seed, step, "word"), width) * len(texts.vocabulary)).astype(np.int64)
    ]
    replaced = np.where(kind < 0.8, texts.mask_id, np.where(kind < 0.9, other, shown))
    return hidden, np.where(hidden, replaced, shown)


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> Codes:
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(rows)
