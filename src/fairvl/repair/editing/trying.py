"""One block of candidates: choose strengths, edit, hold against the gate, try rejected ones again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import __version__
from ...errors import DatasetError, InputError
from ...fingerprints import fingerprint
from ...sources.datasets.decode import decode_image
from ...sources.datasets.record import Record
from .gate import Gate
from .judges import Images
from .plan import Plan, Request
from .provenance import Codec
from .seam import Dipole, Editor, State, square_images
from .strength import AdaptiveStrength

FACTORS = (1.0, 1.3, 0.9, 1.6)  # strengths of the first and the further attempts, of the chosen one
FURTHER = 0.1  # by which a further variant of a source is stronger: the same edit twice is no second image
UNREADABLE, REPEATED = "unreadable image", "same pixels as another edit"


@dataclass(frozen=True)
class Change:
    """What turns an image into one of a group: a path, an instruction or a dipole of texts, and towards which pole."""

    what: Any
    sign: float = 1.0

    @classmethod
    def of(cls, given: Any, editor: Editor) -> Change:
        """From a path or an instruction, or a pair of one and a sign.

        Raises
        ------
        InputError
            Nothing that an editor takes, a path for an editor without a code space, or a text for one with it.
        """
        what, sign = given if isinstance(given, tuple) and len(given) == 2 else (given, 1.0)
        words = isinstance(what, Dipole) or (isinstance(what, str) and bool(what.strip()))
        if not words and not callable(what):
            raise InputError(f"a change of {what!r}; expected a path or an instruction, or (path, sign).")
        if sign not in (-1, 1):
            raise InputError(f"a change with the sign {sign!r}; expected 1 or -1.")
        if not words:
            editor.require("code_space")
        elif "code_space" in editor.capabilities:
            raise InputError(
                f"{editor.card.family} ({editor.card.name}) moves codes along a path; the change {what!r} is a text. "
                "Give a path that PathModel.fit learned (FILE.safetensors:+), or take an editor that reads texts."
            )
        return cls(what, float(sign))

    @property
    def supervisor(self) -> str:
        """Fingerprint of the encoder with which a path was learned, where it says."""
        return str(getattr(getattr(self.what, "model", None), "supervisor", "") or "")

    def as_dict(self) -> dict[str, Any]:
        """What identifies it: the text, or the path's fingerprint."""
        if isinstance(self.what, Dipole):
            return {"positive": list(self.what.positive), "negative": list(self.what.negative), "sign": self.sign}
        if isinstance(self.what, str):
            return {"instruction": self.what, "sign": self.sign}
        return {"path": _fingerprint(self.what), "attribute": getattr(self.what, "attribute", ""), "sign": self.sign}


def _fingerprint(path: Any) -> str:
    """Of a path: its own, or that of the model whose path it is, or the name of its type."""
    model: Any = getattr(path, "model", None)
    if getattr(path, "fingerprint", None) or not hasattr(model, "fields"):
        return str(getattr(path, "fingerprint", None) or type(path).__qualname__)
    law, stats = model.fields[path.attribute], model.stats
    arrays = [law.supports, law.log_gammas, law.fallback, stats.mean, stats.std]
    return fingerprint([model.field, *(np.asarray(one).tobytes().hex() for one in arrays)])


@dataclass
class Edits:
    """What a block made: files by name, one row per candidate, and what was counted."""

    files: dict[str, bytes] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def facts(self) -> dict[str, Any]:
        """For the block's manifest."""
        return {"tried": len(self.rows), "accepted": len(self.hashes), "hashes": self.hashes,
                "reasons": dict(self.reasons)}  # fmt: skip


@dataclass
class _Trial:
    """The last attempt at each candidate; `before` is the unedited image of those that passed."""

    images: Images
    before: Images
    strengths: Any
    attempts: Any
    reasons: list[tuple[str, ...]]
    scores: list[dict[str, float]]
    seeds: list[int]


@dataclass(frozen=True, eq=False)
class Maker:
    """Everything that decides the pixels of an edit."""

    editor: Editor
    gate: Gate
    plan: Plan
    changes: Mapping[Request, Change]
    strength: AdaptiveStrength | float
    retries: int
    codec: Codec
    fit: str
    seed: int
    config: str

    def square(self, record: Record) -> Images:
        """The image of a record as the editor takes it, uint8 [size, size, 3].

        Raises
        ------
        DatasetError, InputError
            It cannot be read, or is not square where that is refused.
        """
        if record.image is None:
            raise DatasetError("no image")
        picture = decode_image(record.image())
        squared: Images = square_images([picture], self.editor.card.size, fit=self.fit)[0]
        return squared

    def seed_of(self, source: str, purpose: str, variant: int) -> int:
        """The editor's seed for one image: the same whatever else is in the block."""
        return int(fingerprint([self.seed, source, purpose, variant]), 16) >> 1

    def reconstruct(self, images: Images, seeds: Sequence[int]) -> Images:
        """The images through the editor, unedited."""
        return self.editor.decode(self.editor.encode(list(images), seeds=seeds))

    def block(
        self, request: Request, rows: Sequence[tuple[Record, int]], wanted: int, number: int, seen: set[str]
    ) -> Edits:
        """Try candidates (record, variant) in order and keep the first `wanted` that pass, numbered from `number`."""
        edits, usable, pixels = Edits(), [], []
        for record, variant in rows:
            try:
                pixels.append(self.square(record))
            except (DatasetError, InputError) as error:
                edits.reasons[UNREADABLE] += 1
                edits.rows.append(self._row(request, record, variant) | {"accepted": False, "reasons": str(error)})
                continue
            usable.append((record, variant))
        if not usable:
            return edits
        images = np.stack(pixels)
        trial = self._try(request, usable, images)
        known = set(seen)
        for place, (record, variant) in enumerate(usable):
            if len(edits.hashes) == wanted:
                break
            row = self._row(request, record, variant) | {
                "strength": float(trial.strengths[place]), "attempt": int(trial.attempts[place]),
                "seed": trial.seeds[place], **trial.scores[place],
            }  # fmt: skip
            reasons = list(trial.reasons[place])
            digest = hashlib.sha256(trial.images[place].tobytes()).hexdigest()[:32]
            if not reasons and digest in known:
                reasons = [REPEATED]
            if reasons:
                edits.reasons.update(reasons)
                edits.rows.append(row | {"accepted": False, "reasons": "; ".join(reasons)})
                continue
            known.add(digest)
            edits.hashes.append(digest)
            self._keep(edits, row, trial, place, request, number + len(edits.hashes) - 1)
        return edits

    def _row(self, request: Request, record: Record, variant: int) -> dict[str, Any]:
        return {
            "source": record.id, "label": request.label, "from": request.source, "to": request.to,
            "variant": variant, "change": fingerprint(self.changes[request].as_dict()),
        }  # fmt: skip

    def _keep(
        self, edits: Edits, row: dict[str, Any], trial: _Trial, place: int, request: Request, number: int
    ) -> None:
        folder = f"r{self.plan.requests.index(request):02d}"
        names = {kind: f"{kind}/{folder}/{number:06d}{self.codec.suffix}" for kind in ("edited", "unedited")}
        own = row | {
            "id": f"{folder}-{number:06d}", "accepted": True, "reasons": "",
            "edited_file": names["edited"], "unedited_file": names["unedited"],
            "editor": self.editor.card.fingerprint, "licence": self.editor.card.licence or "", "fairvl": __version__,
        }  # fmt: skip
        about = own | {"config": self.config, "change": self.changes[request].as_dict()}
        edits.files[names["edited"]] = self.codec.encode(trial.images[place], about, synthetic=True)
        control = {key: own[key] for key in ("id", "source", "label", "from", "seed", "editor", "licence")}
        edits.files[names["unedited"]] = self.codec.encode(
            trial.before[place], control | {"strength": 0.0}, synthetic=True
        )
        edits.rows.append(own)

    def _try(self, request: Request, rows: Sequence[tuple[Record, int]], images: Images) -> _Trial:
        """All candidates, rejected ones again up to `retries` times; the first accepted attempt counts, or the last."""
        n = len(rows)
        trial: _Trial | None = None
        first: State | None = None
        chosen = np.ones(n, dtype=np.float32)
        open_rows = np.arange(n)
        for attempt in range(self.retries + 1):
            seeds = [
                self.seed_of(rows[i][0].id, request.to, rows[i][1] * (self.retries + 1) + attempt)
                for i in open_rows.tolist()
            ]
            pictures = list(images[open_rows])
            if first is None:
                state = first = self.editor.encode(pictures, seeds=seeds)
            else:
                state = self.editor.again(pictures, first.take(open_rows), seeds)
            if attempt == 0:
                chosen, made = self._first(request, state, np.array([variant for _, variant in rows], np.float32))
                strengths = chosen
            else:
                strengths = chosen[open_rows] * np.float32(FACTORS[min(attempt, len(FACTORS) - 1)])
                if not isinstance(self.strength, AdaptiveStrength) and "continuous" not in self.editor.capabilities:
                    strengths = chosen[open_rows]
                made = self._edited(state, request, strengths)
            verdicts = self.gate.check(
                images[open_rows], made, attribute=self.plan.attribute, wanted=[request.to] * len(open_rows),
                label=self.plan.label, labels=[request.label] * len(open_rows),
            )  # fmt: skip
            if trial is None:
                nothing = np.zeros_like(made)
                trial = _Trial(
                    made.copy(), nothing, strengths.copy(), np.zeros(n, np.int64), [()] * n, [{}] * n, [0] * n
                )
            good = np.flatnonzero(verdicts.accepted)
            if len(good):
                trial.before[open_rows[good]] = self.editor.decode(state.take(good))
            for place, row in enumerate(open_rows):
                trial.images[row], trial.strengths[row] = made[place], strengths[place]
                trial.attempts[row], trial.reasons[row] = attempt, verdicts.reasons[place]
                trial.scores[row], trial.seeds[row] = verdicts.row(place), seeds[place]
            open_rows = open_rows[~verdicts.accepted]
            if not len(open_rows):
                break
        assert trial is not None
        return trial

    def _first(self, request: Request, state: State, variants: Any) -> tuple[Any, Images]:
        change = self.changes[request]
        if not isinstance(self.strength, AdaptiveStrength):
            strengths = np.full(len(state), self.strength, dtype=np.float32)
            if "continuous" in self.editor.capabilities:
                strengths *= 1 + np.float32(FURTHER) * variants
            return strengths, self._edited(state, request, strengths)
        assert self.gate.chooser is not None
        strengths, _, made = self.strength.choose(
            self.editor, state, change.what, change.sign, self.gate.chooser, self.plan.attribute,
            [request.to] * len(state),
        )  # fmt: skip
        again = np.flatnonzero(variants)
        if len(again):
            strengths[again] *= 1 + np.float32(FURTHER) * variants[again]
            made[again] = self._edited(state.take(again), request, strengths[again])
        return strengths, made

    def _edited(self, state: State, request: Request, strengths: Any) -> Images:
        change = self.changes[request]
        return self.editor.decode(self.editor.edit(state, change.what, change.sign * strengths))
