"""What a run reads beside the vectors: concepts from columns, banks or arrays, and the quality of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...sources.prompts import Bank
from ...sources.store import EmbeddingStore
from ...stats.codes import encode
from .concepts import Concepts
from .prototypes import GATE, bank_concepts


@dataclass(frozen=True)
class Given:
    """Concepts of a run, the arrays that its stages read, and what its audit looks at."""

    concepts: Concepts | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def given_inputs(
    store: EmbeddingStore,
    *,
    policy: str,
    concepts: Any,
    relevant: ArrayLike | None,
    target: Any,
    quality: Any,
    encoder: Any = None,
    gate: str | Path | Bank | None = GATE,
    temperature: float = 1.0,
    kind: str = "image",
) -> Given:
    """Concepts and quality as arrays; see `dedup` for what each may be."""
    arrays: dict[str, NDArray[Any]] = {}
    labels: dict[str, Any] = {}
    note = ""
    known = None
    values: Any
    if policy == "fairdedup" and concepts is None:
        raise InputError("policy='fairdedup' needs concepts, a column of the store or an array [n, p].")
    if encoder is not None and concepts is None:
        raise InputError("encoder= without concepts=; expected the banks whose prompts it encodes.")
    if concepts is not None:
        names = _names(concepts)
        if encoder is not None:
            banks = names if names is not None else [concepts]
            found = bank_concepts(store, banks, encoder, gate=gate, kind=kind, temperature=temperature)
            values = found.concepts
            labels, note = dict(found.attributes), found.note
        elif names is not None:
            columns = {name: store.columns(name).tolist() for name in names}
            labels = dict(columns)
            values = columns[names[0]] if len(names) == 1 else encode(columns)
        else:
            values = concepts
        known = Concepts.of(values, len(store), relevant=relevant, target=target)
        if len(labels) != 1:
            labels = {"concepts": values, **labels}
        arrays |= {"scores": known.scores, "relevant": known.relevant}
    if policy == "quality":
        arrays["quality"] = _quality(store, quality)
    return Given(known, arrays, labels, note)


def _names(concepts: Any) -> list[str] | None:
    """Names of columns or banks: "gender", "gender,age" or a list of a few that are no labels of rows."""
    if isinstance(concepts, str):
        return [name.strip() for name in concepts.split(",") if name.strip()]
    if isinstance(concepts, tuple) and concepts and all(isinstance(name, (str, Path, Bank)) for name in concepts):
        return list(concepts)
    return None


def _quality(store: EmbeddingStore, quality: Any) -> NDArray[np.float64]:
    if quality is None:
        raise InputError("policy='quality' needs quality, a column of the store or an array [n].")
    values = store.columns(quality) if isinstance(quality, str) else quality
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"quality: not numbers ({error}); expected a number per row, such as a score.") from error
    if numbers.shape != (len(store),):
        raise InputError(f"quality of shape {numbers.shape}; expected one number per row, ({len(store)},).")
    return numbers


__all__ = ["Given", "given_inputs"]
