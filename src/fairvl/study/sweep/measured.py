"""One model measured: the associations of every target stimulus in every case, in one file.

``associations/NAME.safetensors`` holds float64 tensors ``003.x``, ``003.y`` and ``003.levels`` (case 3 of the registry:
X alone and Y alone against the attributes, then means and spreads of the four blocks of cosines) and a header that says
which suite, which encoder, and why a case has no numbers. A model that failed has a header and no tensors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ...errors import FairVLError, InputError, JobError
from ...fingerprints import canonical_json, fingerprint
from ...measure.association import associations, multilevel
from ...sources.stimuli import Case, Registry, StimulusSet
from .cache import VectorCache
from .encoding import Stimulus

Floats = NDArray[np.float64]
FORMAT = 1
FOLDER = "associations"


@dataclass(frozen=True, eq=False)
class Measured:
    """Associations of one model.

    Attributes
    ----------
    model, encoder : str
    suite : mapping
        ``id``, ``version`` and ``fingerprint`` of the registry.
    card : mapping
        The encoder's card; empty when it could not be loaded.
    failed : str
        Why the model could not be measured; "" when it was.
    values : mapping
        Case number to the associations of X and of Y, float64.
    levels : mapping
        Case number to the ML-EAT levels: ``[st_eat_x, st_eat_y, 4 means, 4 spreads]``, blocks X-A, X-B, Y-A, Y-B.
    reasons, notes : mapping
        Case number to why it has no values, and to what a reader must know.
    """

    model: str
    encoder: str
    suite: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    values: Mapping[int, tuple[Floats, Floats]] = field(default_factory=dict)
    levels: Mapping[int, Floats] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """Hash of what was measured, whatever the model is called: equal for two copies of one measurement."""
        return hashlib.sha256(self._payload(named=False)).hexdigest()

    def save(self) -> bytes:
        """The file's bytes: the same for the same content."""
        return self._payload(named=True)

    def _payload(self, *, named: bool) -> bytes:
        header: dict[str, Any] = {
            "format": FORMAT, "suite": dict(self.suite), "card": dict(self.card), "failed": self.failed,
            "reasons": {str(k): v for k, v in self.reasons.items()},
            "notes": {str(k): v for k, v in self.notes.items()},
        }  # fmt: skip
        if named:
            header |= {"model": self.model, "encoder": self.encoder}
        tensors = {}
        for case, sides in self.values.items():
            for side, values in zip("xy", sides, strict=True):
                tensors[f"{case:03d}.{side}"] = np.ascontiguousarray(values, dtype=np.float64)
        for case, levels in self.levels.items():
            tensors[f"{case:03d}.levels"] = np.ascontiguousarray(levels, dtype=np.float64)
        return bytes(save_tensors(tensors, metadata={"fairvl": canonical_json(header)}))

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Read a file that a sweep wrote.

        Raises
        ------
        JobError
            Missing or damaged.
        """
        try:
            payload = path.read_bytes()
            length = int.from_bytes(payload[:8], "little")
            header = json.loads(json.loads(payload[8 : 8 + length])["__metadata__"]["fairvl"])
            tensors = load_tensors(payload)
            values = {
                int(name[:-2]): (tensors[name], tensors[f"{name[:-2]}.y"]) for name in tensors if name.endswith(".x")
            }
            levels = {int(name.partition(".")[0]): tensors[name] for name in tensors if name.endswith(".levels")}
            return cls(
                header["model"], header["encoder"], header["suite"], header["card"], header["failed"], values, levels,
                {int(k): v for k, v in header["reasons"].items()}, {int(k): v for k, v in header["notes"].items()},
            )  # fmt: skip
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise JobError(
                f"{path}: not a readable file of associations ({type(error).__name__}: {error}). Run the sweep again."
            ) from error


def file_of(model: str) -> str:
    """Where a model's associations lie in the folder of a sweep; readable, and different for every id.

    Examples
    --------
    >>> file_of("open_clip:ViT-B-32/openai")
    'associations/open_clip-ViT-B-32-openai-4402f378.safetensors'
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[:60]
    return f"{FOLDER}/{readable}-{fingerprint({'model': model})[:8]}.safetensors"


def suite_facts(registry: Registry) -> dict[str, Any]:
    """What must agree before rows of two sweeps may stand in one table."""
    return {"id": registry.id, "version": registry.version, "fingerprint": registry.fingerprint}


def measure_cases(
    registry: Registry, cache: VectorCache, stimuli: Mapping[str, Stimulus], cut: frozenset[str]
) -> dict[str, Any]:
    """`values`, `levels`, `reasons` and `notes` of `Measured`; `cut` are texts over the context length."""
    values: dict[int, tuple[Floats, Floats]] = {}
    levels: dict[int, Floats] = {}
    reasons: dict[int, str] = {}
    notes: dict[int, str] = {}
    for number, case in enumerate(registry.cases):
        if case.missing:
            reasons[number] = case.missing
            continue
        if reason := _without_vector(case, cache, stimuli):
            reasons[number] = reason
            continue
        sides = (case.x, case.y, case.a, case.b)
        x, y, a, b = (np.stack([cache.vectors[k] for k in side.keys]).astype(np.float64) for side in sides)
        try:
            values[number] = associations(x, a, b), associations(y, a, b)
        except FairVLError as error:
            reasons[number] = str(error)
            continue
        found = multilevel(x, y, a, b)
        levels[number] = np.array([found.x, found.y, *found.means, *found.spreads])
        over = sum(key in cut for side in sides for key in side.keys)
        if over:
            notes[number] = f"{over} texts exceed the encoder's context and are cut"
    return {"values": values, "levels": levels, "reasons": reasons, "notes": notes}


def _without_vector(case: Case, cache: VectorCache, stimuli: Mapping[str, Stimulus]) -> str:
    for name, side in zip("XYAB", (case.x, case.y, case.a, case.b), strict=True):
        if not side.keys:
            raise InputError(f"{case.test}, {case.order}: the set {name} is empty and the case is not marked missing.")
        lacking = [key for key in side.keys if key not in cache.vectors]
        if lacking:
            why = cache.failed.get(lacking[0], "not encoded")
            return (
                f"{len(lacking)} of {len(side.keys)} stimuli of {name} ({side.name}) have no vector; "
                f"the first, {_called(side, lacking[0])}: {why}"
            )
    return ""


def _called(side: StimulusSet, key: str) -> str:
    position = side.keys.index(key)
    return repr(side.texts()[position]) if side.modality == "text" else f"image {position}"
