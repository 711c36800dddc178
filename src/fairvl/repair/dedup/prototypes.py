"""Concept scores of a store from banks of prompts: calibrated prototypes, and a gate that says who they apply to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import blocks, unit_rows
from ...errors import InputError
from ...measure.zeroshot import prototypes
from ...sources.encoders import load_encoder
from ...sources.prompts import Bank, load_bank
from ...sources.store import EmbeddingStore
from .concepts import ConceptScores, crossed, membership, relevance
from .rows import Floats

GATE = "person-gate"
PERSON = "person"  # tag of the sets of a gate that let a row pass
_ROWS = 65_536


@dataclass(frozen=True)
class BankConcepts:
    """What banks say about every row of a store.

    Attributes
    ----------
    concepts : ConceptScores
        Of all attributes crossed; what a policy reads.
    attributes : mapping of attribute to ConceptScores
        One attribute each; what an audit reads beside it.
    note : str
        What was left out, and why.
    """

    concepts: ConceptScores
    attributes: Mapping[str, ConceptScores]
    note: str = ""


def bank_concepts(
    store: EmbeddingStore,
    banks: Sequence[str | Path | Bank],
    encoder: Any,
    *,
    gate: str | Path | Bank | None = GATE,
    kind: str = "image",
    temperature: float = 1.0,
) -> BankConcepts:
    """Soft membership of every row in every concept of some banks.

    A concept is a set of a bank; its prototype is the unit mean of its encoded prompts. Similarities to the prototypes
    are brought to mean 0 and deviation 1 per concept over the rows that pass the gate, then a softmax over the
    concepts of one attribute gives memberships (`membership`). Several banks are crossed (`crossed`).

    Parameters
    ----------
    store : EmbeddingStore
    banks : sequence of ids, paths or Banks
        One attribute each, such as ``["zero-shot-gender", "zero-shot-age_group"]``.
    encoder : Encoder or its name
        The one that made the vectors of the store.
    gate : id, path, Bank or None
        A bank with sets tagged ``person`` and others; rows nearer to one of the others do not count, and a policy
        falls back to its order among them. None: all rows count.
    kind : "image" or "text"
    temperature : float
        Towards 0 the highest standardised concept takes all.

    Raises
    ------
    InputError
        The encoder's width is not that of the store, a bank has one set only, a gate has no tagged set, or nobody
        passes it.

    Examples
    --------
    >>> import tempfile
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> from fairvl.sources.store import write_store
    >>> texts = ["a photo of a woman", "a photo of a man"]
    >>> vectors = FakeEncoder().encode_texts(texts)
    >>> store = write_store(tempfile.mkdtemp() + "/s", ids=["a", "b"], image_vectors=vectors)
    >>> found = bank_concepts(store, ["zero-shot-gender"], FakeEncoder(), gate=None)
    >>> found.concepts.names, found.concepts.scores.argmax(axis=1).tolist()
    (('female', 'male'), [0, 1])
    """
    chosen = [bank if isinstance(bank, Bank) else load_bank(bank) for bank in banks]
    asked = gate if gate is None or isinstance(gate, Bank) else load_bank(gate)
    names = [bank.attribute or bank.id for bank in chosen]
    if not chosen or len(set(names)) < len(names):
        raise InputError(f"banks of the attributes {names}; expected at least one, each attribute once.")
    for bank in chosen:
        if len(bank.sets) < 2:
            raise InputError(f"bank {bank.id!r} has {len(bank.sets)} set; concepts need at least two to compare.")
    if asked is not None and len({PERSON in s.tags for s in asked.sets.values()}) < 2:
        raise InputError(f"gate {asked.id!r}: expected sets with the tag {PERSON!r} and sets without it.")
    loaded = load_encoder(encoder) if isinstance(encoder, str) else encoder
    note = ""
    if asked is not None and (missing := _unknown(loaded, asked)):
        note = f"gate {asked.id!r} not used: the encoder does not know {', '.join(missing[:3])}"
        asked = None
    axes = [_prototypes(bank, loaded, bank.sets) for bank in (*chosen, *([asked] if asked else []))]
    similarity = _similarities(store, np.concatenate(axes), kind)
    parts = np.split(similarity, np.cumsum([len(part) for part in axes])[:-1], axis=1)
    relevant = np.ones(len(store), bool)
    if asked is not None:
        person = np.array([PERSON in s.tags for s in asked.sets.values()])
        relevant = relevance(parts[-1][:, person], parts[-1][:, ~person])
        if not relevant.any():
            raise InputError(f"no row passes the gate {asked.id!r}; expected some persons. Use gate=None to count all.")
    scores = {
        name: membership(part, temperature=temperature, reference=part[relevant])
        for name, part in zip(names, parts, strict=False)
    }
    single = {
        name: ConceptScores(tuple(bank.sets), scores[name], relevant) for name, bank in zip(names, chosen, strict=True)
    }
    labels = [""]
    for bank in chosen:
        labels = [f"{before}, {name}".removeprefix(", ") for before in labels for name in bank.sets]
    return BankConcepts(ConceptScores(tuple(labels), crossed(scores), relevant), single, note)


def _unknown(encoder: Any, bank: Bank) -> list[str]:
    ask = getattr(encoder, "unknown_words", None)
    return list(ask(list(bank.plan().texts))) if ask is not None else []


def _prototypes(bank: Bank, encoder: Any, names: Any) -> NDArray[np.float32]:
    if missing := _unknown(encoder, bank):
        raise InputError(f"bank {bank.id!r}: the encoder does not know {', '.join(missing[:5])}. Use other words.")
    plan = bank.plan(list(names))
    vectors = unit_rows(encoder.encode_texts(list(plan.texts)), "prompt vectors")
    rows = [row for rows in plan.rows.values() for row in rows]
    codes = [code for code, rows in enumerate(plan.rows.values()) for _ in rows]
    return np.asarray(prototypes(vectors[rows], codes, len(plan.rows)), np.float32)


def _similarities(store: EmbeddingStore, axes: NDArray[np.float32], kind: str) -> Floats:
    view = store.image_vectors if kind == "image" else store.text_vectors
    if view.dim != axes.shape[1]:
        made = store.card.get("name")
        raise InputError(
            f"the encoder makes vectors of width {axes.shape[1]}, the store holds {view.dim}"
            + (f" of {made}" if made else "") + ". Prompts must come from the encoder that made the store."
        )  # fmt: skip
    result = np.empty((len(store), len(axes)))
    for block in blocks(len(store), _ROWS):
        result[block] = unit_rows(view.read(block), f"{kind} vectors") @ axes.T
    return result


__all__ = ["GATE", "BankConcepts", "bank_concepts"]
