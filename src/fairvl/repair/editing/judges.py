"""Judges: what reads attributes off images, and how well it does so where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import unit_rows
from ...errors import InputError
from ...fingerprints import fingerprint
from ...stats.estimate import Estimate
from ...stats.rates import wilson

Images = NDArray[np.uint8]
Floats = NDArray[np.float64]
Score = Callable[[Images], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Judge:
    """Probabilities of the values of attributes, read off images by a model that took no part in the edit.

    Parameters
    ----------
    name : str
        What scores are called in tables.
    classes : mapping of attribute to values
        In the order of the columns that `score` returns.
    score : callable
        uint8 [n, h, w, 3] -> {attribute: probabilities [n, values]}.
    fingerprint : str
        Of the model; the same one twice is noticed by it. Default: that of `name`.
    accuracy : mapping of attribute to Estimate
        On images with known truth (`measured`).
    """

    name: str
    classes: Mapping[str, tuple[str, ...]]
    score: Score
    fingerprint: str = ""
    accuracy: Mapping[str, Estimate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not self.classes:
            raise InputError(f"judge {self.name!r} with classes {dict(self.classes)}; expected a name and attributes.")
        classes = {name: tuple(map(str, values)) for name, values in self.classes.items()}
        for name, values in classes.items():
            if len(values) < 2 or len(set(values)) < len(values):
                raise InputError(
                    f"judge {self.name!r}: {name} has the values {values}; expected two or more, once each."
                )
        object.__setattr__(self, "classes", MappingProxyType(classes))
        object.__setattr__(self, "accuracy", MappingProxyType(dict(self.accuracy)))
        object.__setattr__(self, "fingerprint", self.fingerprint or fingerprint(["judge", self.name]))

    @classmethod
    def from_encoder(
        cls, encoder: Any, prompts: Mapping[str, Mapping[str, str | Sequence[str]]], *, name: str = "",
        temperature: float = 0.01,
    ) -> Judge:  # fmt: skip
        """Zero-shot: softmax over the cosines of an image with the mean text vector of each value.

        Parameters
        ----------
        encoder : Encoder
        prompts : {attribute: {value: text or texts}}
        temperature : float
            Divides the cosines; 0.01 is what CLIP models end their training with.
        """
        if not temperature > 0:
            raise InputError(f"temperature={temperature}; expected a positive number.")
        texts: dict[str, Floats] = {}
        for attribute, values in prompts.items():
            rows = []
            for given in values.values():
                listed = [given] if isinstance(given, str) else list(given)
                rows.append(unit_rows(np.asarray(encoder.encode_texts(listed), np.float64)).mean(axis=0))
            texts[attribute] = np.asarray(unit_rows(np.stack(rows)), np.float64)

        def score(images: Images) -> dict[str, Floats]:
            vectors = unit_rows(np.asarray(encoder.encode_images(images), np.float64))
            return {attribute: softmax(vectors @ rows.T / temperature) for attribute, rows in texts.items()}

        card = encoder.card
        classes = {attribute: tuple(values) for attribute, values in prompts.items()}
        return cls(name or card.name, classes, score, card.fingerprint)

    def read(self, images: Images) -> dict[str, Floats]:
        """Probabilities [n, values] of every attribute, checked."""
        found = {key: np.asarray(values, dtype=np.float64) for key, values in self.score(images).items()}
        for attribute, values in self.classes.items():
            shape = found[attribute].shape if attribute in found else "nothing"
            if shape != (len(images), len(values)) or not np.isfinite(found[attribute]).all():
                raise InputError(
                    f"judge {self.name!r} gave {shape} for {attribute!r}; expected finite probabilities "
                    f"({len(images)}, {len(values)})."
                )
        return found

    def margin(self, found: Mapping[str, Floats], attribute: str, wanted: Sequence[str]) -> Floats:
        """Probability of the wanted value minus the largest of the others, [n]."""
        values = self.classes[attribute]
        if unknown := sorted({value for value in wanted if value not in values}):
            raise InputError(f"judge {self.name!r} knows no {attribute} {unknown[0]!r}; it has {', '.join(values)}.")
        own = np.array([values.index(value) for value in wanted], dtype=np.int64)
        rows = np.arange(len(own))
        others = found[attribute].copy()
        others[rows, own] = -np.inf
        return np.asarray(found[attribute][rows, own] - others.max(axis=1))

    def measured(self, images: Images, truth: Mapping[str, Sequence[Any]], *, level: float = 0.95) -> Judge:
        """The same judge with its accuracy on images whose truth is known (Wilson intervals)."""
        found = self.read(images)
        accuracy: dict[str, Estimate] = {}
        for attribute, values in truth.items():
            if attribute not in self.classes:
                continue
            known = np.array([str(value) in self.classes[attribute] for value in values])
            right = [
                self.classes[attribute][place] == str(value)
                for place, value in zip(found[attribute].argmax(axis=1), values, strict=True)
            ]
            hits, n = int(np.sum(np.array(right) & known)), int(known.sum())
            low, high = wilson(hits, n, level)
            accuracy[attribute] = Estimate(hits / n if n else np.nan, low, high, n, level, "wilson")
        return replace(self, accuracy=accuracy)

    def as_dict(self) -> dict[str, Any]:
        """What is written beside its scores."""
        accuracy = {
            key: {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
            for key, one in self.accuracy.items()
            if one.n
        }
        return {
            "name": self.name, "fingerprint": self.fingerprint,
            "classes": {key: list(values) for key, values in self.classes.items()},
            "accuracy": accuracy or "not measured",
        }  # fmt: skip


def softmax(logits: Floats) -> Floats:
    """Rows of probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
