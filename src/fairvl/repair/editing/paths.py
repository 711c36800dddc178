"""Learned paths through a code space: a direction at every point for each attribute, and how to walk along it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as made_by
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...atomic import write_atomic
from ...errors import InputError, SourceError
from ...fingerprints import canonical_json, fingerprint
from .fields import FIELDS, direction
from .seam import Codes, CodeSpace, CodeStats, Dipole, check_strength

if TYPE_CHECKING:
    from .path_training import PathRecipe

Floats = NDArray[np.float64]
FORMAT, KEY = 1, "fairvl_paths"
STEP = 0.25
_STATS = ("mean", "std", "low", "high")


@dataclass(frozen=True, eq=False)
class Field:
    """One attribute's field: supports [2 q, d], log widths, and the fallback direction [d]; float64."""

    supports: Floats
    log_gammas: Floats
    fallback: Floats

    def __post_init__(self) -> None:
        for name in ("supports", "log_gammas", "fallback"):
            array = np.array(getattr(self, name), dtype=np.float64)
            if not np.isfinite(array).all():
                raise InputError(f"a path's {name} hold NaN or infinity; learn it again with a lower rate.")
            array.setflags(write=False)
            object.__setattr__(self, name, array)


@dataclass(frozen=True, eq=False)
class AttributePath:
    """The path of one attribute: ``path(codes, strength) -> codes``."""

    model: PathModel
    attribute: str

    def __call__(self, codes: Codes, strength: float | ArrayLike) -> Codes:
        """Codes moved by signed lengths in z-normalised units."""
        return self.model.traverse(codes, self.attribute, strength)


@dataclass(frozen=True, eq=False)
class PathModel:
    """Paths for one or more attributes of one code space, learned from text dipoles.

    Attributes
    ----------
    field : "linear", "signed", "elliptic" or "ratio"
    fields : mapping of attribute to Field
    stats : CodeStats
        Of the code space; the fields live in z-normalised codes.
    dipoles : tuple of Dipole
        What they were learned from.
    supervisor : str
        Fingerprint of the encoder, so that a judge equal to it can be told.
    notes : mapping
        Recipe, seed, first and last losses.

    See Also
    --------
    fairvl.repair.editing.path_training.fit_paths : how they are learned
    """

    field: str
    fields: Mapping[str, Field]
    stats: CodeStats
    dipoles: tuple[Dipole, ...] = ()
    supervisor: str = ""
    notes: Mapping[str, Any] = made_by(default_factory=dict)

    def __post_init__(self) -> None:
        if self.field not in FIELDS:
            raise InputError(f"field {self.field!r}; expected one of {', '.join(FIELDS)}.")
        if not self.fields:
            raise InputError("a path model needs at least one attribute.")

    @classmethod
    def fit(
        cls,
        code_space: CodeSpace,
        encoder: Any,
        dipoles: Sequence[Dipole],
        *,
        field: str = "ratio",
        keep: Sequence[tuple[str, str]] = (),
        recipe: PathRecipe | None = None,
        penalties: Sequence[tuple[float, Any]] = (),
        codes: ArrayLike | None = None,
        noise: ArrayLike | None = None,
        seed: int = 0,
    ) -> PathModel:
        """Learn paths; see `fairvl.repair.editing.path_training.fit_paths`."""
        from .path_training import fit_paths

        return fit_paths(
            code_space, encoder, dipoles, field=field, keep=keep, recipe=recipe, penalties=penalties, codes=codes,
            noise=noise, seed=seed,
        )  # fmt: skip

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes that a path was learned for."""
        return tuple(self.fields)

    def path(self, attribute: str) -> AttributePath:
        """The path of one attribute, for `Editor.edit`."""
        self._field(attribute)
        return AttributePath(self, attribute)

    def direction(self, codes: ArrayLike, attribute: str) -> Floats:
        """Unit directions [n, d] towards the positive pole, in z-normalised codes, at `codes` in the model's scale.

        Raises
        ------
        InputError
            No path for this attribute, or codes that do not fit.
        """
        return self._at(self.stats.normalise(self._checked(codes)), self._field(attribute))

    def traverse(self, codes: ArrayLike, attribute: str, strength: float | ArrayLike, *, step: float = STEP) -> Codes:
        """Codes moved along a path, float32 [n, d] in the model's scale.

        Parameters
        ----------
        codes : [n, d]
        attribute : str
        strength : float, or array [n]
            Signed length of the way in z-normalised codes.
        step : float
            Longest single step. Each is a midpoint step, so that walking back ends where it began up to third order.
        """
        if not step > 0:
            raise InputError(f"step={step}; expected a positive length.")
        points, law = self.stats.normalise(self._checked(codes)), self._field(attribute)
        lengths = check_strength(strength, len(points)).astype(np.float64)
        count = max(1, int(np.ceil(np.abs(lengths).max(initial=0.0) / step - 1e-9)))
        each = (lengths / count)[:, None]
        for _ in range(count):
            middle = points + each / 2 * self._at(points, law)
            points = points + each * self._at(middle, law)
        return np.asarray(self.stats.restore(points), dtype=np.float32)

    def save(self, path: FilePath | str) -> None:
        """Write everything, statistics of the code space included, as one safetensors file."""
        from safetensors.numpy import save

        arrays = {f"stats.{name}": np.asarray(getattr(self.stats, name), dtype=np.float64) for name in _STATS}
        for place, law in enumerate(self.fields.values()):
            arrays |= {f"{place}.supports": law.supports, f"{place}.log_gammas": law.log_gammas}
            arrays |= {f"{place}.fallback": law.fallback}
        body: dict[str, Any] = {
            "format": FORMAT, "field": self.field, "attributes": list(self.fields), "supervisor": self.supervisor,
            "dipoles": [_plain(one) for one in self.dipoles], "notes": dict(self.notes),
        }  # fmt: skip
        body["checksum"] = fingerprint(body)
        contiguous = {name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())}
        write_atomic(path, save(contiguous, metadata={KEY: canonical_json(body)}))

    @classmethod
    def load(cls, path: FilePath | str) -> PathModel:
        """Read a file of `save`.

        Raises
        ------
        SourceError
            Missing, not such a file, or changed since.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                body = json.loads((file.metadata() or {})[KEY])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            checksum, version = body.pop("checksum"), body["format"]
            if version != FORMAT or fingerprint(body) != checksum:
                raise SourceError(f"{path}: format {version!r}, or a header that was changed. Save the paths anew.")
            laws = {
                name: Field(*(arrays[f"{place}.{part}"] for part in ("supports", "log_gammas", "fallback")))
                for place, name in enumerate(body["attributes"])
            }
            stats = CodeStats(*(arrays[f"stats.{name}"] for name in _STATS))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{path}: not a file of learned paths ({type(error).__name__}: {error}).") from None
        dipoles = tuple(
            Dipole(tuple(one["positive"]), tuple(one["negative"]), one["attribute"], tuple(map(tuple, one["keep"])))
            for one in body["dipoles"]
        )
        return cls(body["field"], laws, stats, dipoles, body["supervisor"], body["notes"])

    @property
    def fingerprint(self) -> str:
        """Of the numbers and of what they were learned from."""
        numbers = [[law.supports.tobytes().hex(), law.log_gammas.tobytes().hex(), law.fallback.tobytes().hex()]
                   for law in self.fields.values()]  # fmt: skip
        return fingerprint([self.field, list(self.fields), numbers, self.supervisor])

    def only(self, *attributes: str) -> PathModel:
        """The model with some of its attributes."""
        return replace(self, fields={name: self._field(name) for name in attributes})

    def _field(self, attribute: str) -> Field:
        if attribute not in self.fields:
            raise InputError(
                f"no path was learned for {attribute!r}; this model has {', '.join(self.fields)}. Fit one from a "
                "dipole of that attribute."
            )
        return self.fields[attribute]

    def _at(self, points: Floats, law: Field) -> Floats:
        found: Floats = direction(self.field, points, law.supports, law.log_gammas, law.fallback)
        return found

    def _checked(self, codes: ArrayLike) -> Floats:
        values = np.asarray(codes, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.stats.mean) or not np.isfinite(values).all():
            raise InputError(f"codes {values.shape}; expected finite numbers [n, {len(self.stats.mean)}].")
        return values


def _plain(one: Dipole) -> dict[str, Any]:
    return {
        "positive": list(one.positive), "negative": list(one.negative), "attribute": one.attribute,
        "keep": [list(pair) for pair in one.keep],
    }  # fmt: skip
