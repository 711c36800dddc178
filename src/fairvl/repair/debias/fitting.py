"""From an encoder and a bank to an operator: the verb `fairvl debias`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...arrays import unit_rows
from ...errors import BankError, InputError
from ...sources.prompts import Bank, load_bank
from .operator import LinearOperator
from .projection import CalibratedProjection, OrthogonalProjection, random_projection

if TYPE_CHECKING:
    from ...sources.encoders import Encoder

METHODS = ("orthogonal", "calibrated", "random")


def debias(
    encoder: Encoder,
    *,
    attribute: str = "gender",
    method: Literal["orthogonal", "calibrated", "random"] = "orthogonal",
    bank: str | Path | Bank | None = None,
    lam: float = 1000.0,
    subspace: Literal["span", "centred", "pairs"] = "pairs",
    seed: int = 0,
) -> LinearOperator:
    """An operator that removes an attribute from the text vectors of `encoder`, fitted on the prompts of a bank.

    Parameters
    ----------
    encoder : Encoder
    attribute : str
        Chooses the shipped bank ``debias-ATTRIBUTE`` unless `bank` is given; recorded in the operator.
    method : {"orthogonal", "calibrated", "random"}
        ``random`` is the control: an orthogonal projection of the same rank on random directions.
    bank : str, path or Bank, optional
        A debias bank: opposing sets of prompts, and pairs for ``calibrated``.
    lam : float
        As in `CalibratedProjection`; for ``calibrated`` only.
    subspace : {"pairs", "centred", "span"}
        What is removed outright. ``pairs``: the differences between the prototypes of the sets (the mean of each set's
        unit vectors, of unit length), one direction fewer than there are sets. ``centred`` and ``span`` take every
        prompt, as in `OrthogonalProjection`, and so remove what distinguishes the wordings too; the paper's ``span``
        also removes the mean that all texts of a CLIP model share, and with it much of what they say.
    seed : int
        For ``random`` only.

    Returns
    -------
    LinearOperator
        Its header names the bank, every prompt and pair used, those left out, and the encoder's card.

    Raises
    ------
    BankError
        No such bank; or words of it are unknown to the encoder, or texts over its context length, so that a set or the
        pairs are left empty. Opposing prompts are left out together.
    InputError
        An unknown method.

    Examples
    --------
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> operator = debias(FakeEncoder(64), attribute="gender", method="orthogonal")
    >>> operator.card.attribute, operator.card.bank["id"]
    ('gender', 'debias-gender')
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}; expected one of {', '.join(METHODS)}.")
    chosen = bank if isinstance(bank, Bank) else load_bank(f"debias-{attribute}" if bank is None else bank)
    sets, notes = _usable_prompts(chosen, encoder)
    pairs: tuple[tuple[str, str], ...] = ()
    if method == "calibrated":
        pairs, more = _usable_pairs(chosen, encoder)
        notes += more
    prompts = tuple(dict.fromkeys(text for texts in sets for text in texts))
    texts = list(dict.fromkeys([*prompts, *(text for pair in pairs for text in pair)]))
    vectors = dict(zip(texts, unit_rows(encoder.encode_texts(texts), "encoded prompts"), strict=True))
    if subspace == "pairs":
        biased = np.stack([np.mean([vectors[text] for text in texts], axis=0) for texts in sets])
    else:
        biased = np.stack([vectors[text] for text in prompts])
    removed = "centred" if subspace == "pairs" else subspace  # the differences of prototypes
    if method == "calibrated":
        left, right = (np.stack([vectors[pair[side]] for pair in pairs]) for side in (0, 1))
        operator = CalibratedProjection(lam=lam, subspace=removed).fit(biased, left, right)
    else:
        operator = OrthogonalProjection(subspace=removed).fit(biased)
    if method == "random":
        operator = random_projection(operator.dim, operator.rank, seed)
    return operator.described(
        attribute=attribute,
        subspace="random" if method == "random" else subspace,
        n_prompts=len(prompts),
        prompts=prompts,
        pairs=pairs,
        bank={"id": chosen.id, "version": chosen.version, "fingerprint": chosen.fingerprint},
        encoder=encoder.card.as_dict(),
        notes=(*operator.card.notes, *notes),
    )


def _usable_prompts(bank: Bank, encoder: Encoder) -> tuple[list[list[str]], tuple[str, ...]]:
    """The prompts of each set, without those that the encoder cannot read and the ones that oppose them."""
    if len(bank.sets) < 2:
        raise BankError(
            f"bank {bank.id!r} has {len(bank.sets)} sets; a debias bank has one per value of the attribute."
        )
    sets = [bank.prompts(name).texts for name in bank.sets]
    aligned = len({len(texts) for texts in sets}) == 1
    bad = [_unreadable(texts, encoder) for texts in sets]
    out = set().union(*bad) if aligned else set()
    kept = [
        [text for row, text in enumerate(texts) if row not in (out if aligned else own)]
        for texts, own in zip(sets, bad, strict=True)
    ]
    if empty := [name for name, texts in zip(bank.sets, kept, strict=True) if not texts]:
        raise BankError(
            f"bank {bank.id!r}: the encoder {encoder.card.name!r} can read no prompt of {', '.join(empty)} (unknown "
            "words, or longer than its context). Give a bank in words that it knows."
        )
    dropped = sum(len(texts) for texts in sets) - sum(len(texts) for texts in kept)
    notes = (f"{dropped} prompts left out: the encoder cannot read them or the prompt they oppose",) if dropped else ()
    return kept, notes


def _usable_pairs(bank: Bank, encoder: Encoder) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    pairs = bank.pairs()
    if not pairs.left:
        raise BankError(f"bank {bank.id!r} has no pairs; the calibrated method needs them.")
    bad = _unreadable(pairs.left, encoder) | _unreadable(pairs.right, encoder)
    kept = tuple(pair for row, pair in enumerate(zip(pairs.left, pairs.right, strict=True)) if row not in bad)
    if not kept:
        raise BankError(f"bank {bank.id!r}: the encoder {encoder.card.name!r} can read none of its pairs.")
    notes = (f"{len(bad)} pairs left out: the encoder cannot read them",) if bad else ()
    return kept, notes


def _unreadable(texts: tuple[str, ...], encoder: Encoder) -> set[int]:
    """Rows of `texts` that hold unknown words or exceed the context length, as far as the encoder can tell."""
    bad: set[int] = set()
    over_length = getattr(encoder, "over_length", None)
    if over_length is not None:
        bad.update(over_length(list(texts)))
    unknown_words = getattr(encoder, "unknown_words", None)
    if unknown_words is not None and unknown_words(list(texts)):
        bad.update(row for row, text in enumerate(texts) if unknown_words([text]))
    return bad
