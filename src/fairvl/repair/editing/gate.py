"""The gate: an edit counts only when independent judges say that it did what it was for, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .judges import Floats, Images, Judge

WINDOW = 7  # pixels, as in the structural similarity index
CONTRAST = (0.03 * 255) ** 2
NOT_FLIPPED = "not flipped"


class SameJudgeWarning(UserWarning):
    """A model judges what it guided, labelled or chose itself."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What an edit must reach. None leaves a check out; its score is stored all the same where it is known.

    Attributes
    ----------
    margin : float
        Of the protected attribute: probability of the wanted group minus that of the next, of every judge.
    label_margin : float
        The same of the label that must be kept.
    kept : float
        Share of the other attributes that a judge must read as before the edit.
    structure : float, optional
        Contrast and structure terms of the structural similarity to the original (`structure`); 1 is the same picture.
    identity : float, optional
        Cosine of the gate's identity vectors before and after.
    realism : bool
        Whether the realism score must lie above the threshold that real images set (where the gate has one).
    """

    margin: float = 0.1
    label_margin: float = 0.0
    kept: float = 1.0
    structure: float | None = 0.4
    identity: float | None = None
    realism: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the gate says of n edits: accepted, the reasons of rejection, and every score that it saw."""

    accepted: NDArray[np.bool_]
    reasons: tuple[tuple[str, ...], ...]
    scores: Mapping[str, Floats]

    def row(self, i: int) -> dict[str, float]:
        """The scores of one edit."""
        return {name: float(values[i]) for name, values in self.scores.items()}


@dataclass(frozen=True, eq=False)
class Realism:
    """How well an image lies among real ones: ``max_i r_i / |f - f_i|`` over real images i.

    f are feature vectors and r_i is the distance of real image i to its k-th nearest real neighbour. The threshold is
    the `quantile` of the scores of real images that were not used for the radii.

    References
    ----------
    Kynkaanniemi et al. (2019), "Improved precision and recall metric for assessing generative models", equation 3.
    """

    features: Callable[[Images], Any]
    real: Floats
    radii: Floats
    threshold: float

    @classmethod
    def fit(
        cls, images: Images, *, features: Callable[[Images], Any] | None = None, k: int = 3, quantile: float = 0.05
    ) -> Realism:
        """From real images [n, h, w, 3]: even rows give the radii, odd rows the threshold.

        `features` maps images to vectors (an encoder's ``encode_images``); default: 8 x 8 thumbnails.
        """
        if len(images) < 2 * (k + 2) or not 0 <= quantile < 1 or k < 1:
            raise InputError(
                f"{len(images)} images, k={k}, quantile={quantile}; expected {2 * (k + 2)} images or more, a "
                "neighbour from 1 and a share."
            )
        extract = features or thumbnails
        vectors = np.asarray(extract(images), dtype=np.float64)
        real = vectors[::2]
        distances = np.sort(_distances(real, real), axis=1)
        radii = distances[:, k]  # column 0 is the image itself
        fitted = cls(extract, real, radii, 0.0)
        return cls(extract, real, radii, float(np.quantile(fitted._of(vectors[1::2]), quantile)))

    def __call__(self, images: Images) -> Floats:
        return self._of(np.asarray(self.features(images), dtype=np.float64))

    def _of(self, vectors: Floats) -> Floats:
        return np.asarray((self.radii / np.maximum(_distances(vectors, self.real), 1e-12)).max(axis=1))


@dataclass(frozen=True, eq=False)
class Gate:
    """Independent judges with thresholds.

    Parameters
    ----------
    judges : sequence of Judge
        They score. All must agree.
    thresholds : Thresholds
    chooser : Judge, optional
        Chooses the strength of each edit; not one of `judges`. Default: the first judge, which then no longer scores
        where there is a second one.
    keep : sequence of str, optional
        Attributes that an edit must leave alone. Default: all that a judge knows beside the two of the plan.
    identity : callable, optional
        uint8 [n, h, w, 3] -> vectors [n, d], such as a face recogniser's.
    realism : Realism, optional
    """

    judges: Sequence[Judge]
    thresholds: Thresholds = Thresholds()
    chooser: Judge | None = None
    keep: Sequence[str] | None = None
    identity: Callable[[Images], Any] | None = None
    realism: Realism | None = None

    def __post_init__(self) -> None:
        listed = tuple(self.judges)
        if not listed:
            raise InputError("a gate without a judge; expected at least one.")
        if self.chooser is None:
            object.__setattr__(self, "chooser", listed[0])
            listed = listed[1:] or listed
        object.__setattr__(self, "judges", listed)
        names = [judge.name for judge in listed]
        if len(set(names)) < len(names):
            raise InputError(f"judges {names}; expected a name each.")
        if self.thresholds.identity is not None and self.identity is None:
            raise InputError("a threshold for identity, and nothing that makes identity vectors; pass identity=.")

    def warn_circles(self, supervisors: Sequence[str], labeller: str = "") -> tuple[str, ...]:
        """Warn of, and return, every model that judges what it guided, labelled or chose.

        Parameters
        ----------
        supervisors : sequence of str
            Names or fingerprints of the models that the edits were learned or guided with.
        labeller : str
            Name or fingerprint of the model that made pseudo-labels.
        """
        notes = []
        assert self.chooser is not None
        for judge in self.judges:
            own = {judge.name, judge.fingerprint}
            if own & set(supervisors):
                notes.append(f"the judge {judge.name!r} also supervised the edits: it may pass what only it believes")
            if labeller in own:
                notes.append(f"the judge {judge.name!r} also made the labels that it checks")
            if judge.fingerprint == self.chooser.fingerprint:
                notes.append(f"the judge {judge.name!r} also chose the strengths that it scores")
        if labeller and labeller in supervisors:
            notes.append(f"{labeller!r} made the labels and supervised the edits")
        for note in notes:
            warnings.warn(
                f"{note}. Add a judge of another architecture, data and seed.", SameJudgeWarning, stacklevel=3
            )
        return tuple(notes)

    def check_attributes(self, label: str, attribute: str) -> None:
        """Refuse a gate whose chooser cannot read the protected attribute, or that nobody checks.

        Raises
        ------
        InputError
        """
        assert self.chooser is not None
        if attribute not in self.chooser.classes:
            raise InputError(
                f"the judge {self.chooser.name!r} chooses the strength and does not know {attribute!r}; it knows "
                f"{', '.join(self.chooser.classes)}."
            )
        for name in (attribute, label, *(self.keep or ())):
            if not any(name in judge.classes for judge in self.judges):
                raise InputError(f"no judge of the gate knows {name!r}; they know {self._known()}.")

    def check_values(self, attribute: str, values: Collection[str]) -> None:
        """Refuse a judge that reads `attribute` in other values than those of the data.

        Raises
        ------
        InputError
        """
        for judge in self.judges:
            unknown = sorted(set(values) - set(judge.classes.get(attribute, values)))
            if unknown:
                raise InputError(
                    f"the judge {judge.name!r} knows no {attribute} {', '.join(map(repr, unknown))}; it has "
                    f"{', '.join(judge.classes[attribute])}. Name the values of its prompts as the labels do."
                )

    def _known(self) -> str:
        return ", ".join(sorted({name for judge in self.judges for name in judge.classes}))

    def check(
        self, before: Images, after: Images, *, attribute: str, wanted: Sequence[str], label: str,
        labels: Sequence[str],
    ) -> Verdicts:  # fmt: skip
        """Hold edits against their originals.

        Parameters
        ----------
        before, after : uint8 [n, h, w, 3]
        attribute : str
            The protected attribute, and `wanted` [n] the group that each edit is to show.
        label : str
            The attribute that must stay, and `labels` [n] its values.
        """
        need = self.thresholds
        fails: dict[str, NDArray[np.bool_]] = {}
        scores: dict[str, Floats] = {}
        for judge in self.judges:
            found, first = judge.read(after), judge.read(before)
            if attribute in judge.classes:
                margin = scores[f"{judge.name}.{attribute}"] = judge.margin(found, attribute, wanted)
                _merge(fails, NOT_FLIPPED, ~(margin >= need.margin))
            if label in judge.classes:
                margin = scores[f"{judge.name}.{label}"] = judge.margin(found, label, labels)
                _merge(fails, "label lost", ~(margin >= need.label_margin))
            others = [name for name in judge.classes if name not in (attribute, label)]
            others = others if self.keep is None else [name for name in others if name in self.keep]
            if others:
                same = np.stack([found[name].argmax(axis=1) == first[name].argmax(axis=1) for name in others])
                for name, row in zip(others, same, strict=True):
                    scores[f"{judge.name}.{name}.kept"] = row.astype(np.float64)
                _merge(fails, "other attributes changed", same.mean(axis=0) < need.kept)
        scores["structure"] = structure(before, after)
        if need.structure is not None:
            fails["structure lost"] = ~(scores["structure"] >= need.structure)
        if self.identity is not None:
            scores["identity"] = _cosines(self.identity(before), self.identity(after))
            if need.identity is not None:
                fails["identity lost"] = ~(scores["identity"] >= need.identity)
        if self.realism is not None:
            scores["realism"] = self.realism(after)
            if need.realism:
                fails["not realistic"] = ~(scores["realism"] >= self.realism.threshold)
        reasons = tuple(tuple(name for name, bad in fails.items() if bad[i]) for i in range(len(after)))
        return Verdicts(np.array([not told for told in reasons], dtype=bool), reasons, scores)

    def as_dict(self) -> dict[str, Any]:
        """Thresholds and judges, with their accuracies."""
        assert self.chooser is not None
        return {
            "thresholds": self.thresholds.as_dict(),
            "chooser": self.chooser.as_dict(),
            "judges": [judge.as_dict() for judge in self.judges],
            "keep": None if self.keep is None else list(self.keep),
            "identity": self.identity is not None,
            "realism": None if self.realism is None else self.realism.threshold,
        }


def structure(before: Images, after: Images) -> Floats:
    """Mean contrast-structure term of the structural similarity of luminance, [n], -1 to 1.

    The luminance term is left out: changing tone or light is what some edits are for.

    References
    ----------
    Wang et al. (2004), "Image quality assessment", equations 9 and 10 with a uniform window of 7 x 7.

    Examples
    --------
    >>> picture = np.random.default_rng(0).integers(0, 200, (1, 16, 16, 3)).astype(np.uint8)
    >>> bool(structure(picture, picture + 40)[0] > 0.999), bool(structure(picture, picture[:, ::-1])[0] < 0.5)
    (True, True)
    """
    if before.shape != after.shape:
        raise InputError(f"images {before.shape} before and {after.shape} after an edit; expected the same shape.")
    x, y = (images.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) for images in (before, after))
    mx, my = _box(x), _box(y)
    covariance = _box(x * y) - mx * my
    variances = _box(x * x) - mx * mx + _box(y * y) - my * my
    return np.asarray(((2 * covariance + CONTRAST) / (variances + CONTRAST)).mean(axis=(1, 2)))


def thumbnails(images: Images, side: int = 8) -> Floats:
    """Mean colours of side x side blocks, [n, side * side * 3], in [0, 1]."""
    n, height, width, _ = images.shape
    rows = np.array_split(np.arange(height), min(side, height))
    columns = np.array_split(np.arange(width), min(side, width))
    blocks = [
        images[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].reshape(n, -1, 3).mean(axis=1) for r in rows for c in columns
    ]
    return np.asarray(np.concatenate(blocks, axis=1) / 255)


def _box(values: Floats) -> Floats:
    """Means over windows of 7 x 7 (the border mirrored), [n, h, w]."""
    for axis in (1, 2):
        half = min(WINDOW, values.shape[axis]) // 2
        pad = [(0, 0)] * 3
        pad[axis] = (half, half)
        sums = np.cumsum(np.pad(values, pad, mode="symmetric"), axis=axis)
        sums = np.concatenate([np.zeros_like(np.take(sums, [0], axis=axis)), sums], axis=axis)
        wide, n = 2 * half + 1, values.shape[axis]
        values = (np.take(sums, range(wide, wide + n), axis=axis) - np.take(sums, range(n), axis=axis)) / wide
    return values


def _merge(fails: dict[str, NDArray[np.bool_]], name: str, bad: NDArray[np.bool_]) -> None:
    fails[name] = bad | fails[name] if name in fails else bad


def _cosines(x: Any, y: Any) -> Floats:
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    return np.asarray((a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12))


def _distances(x: Floats, y: Floats) -> Floats:
    squares = (x**2).sum(axis=1)[:, None] - 2 * x @ y.T + (y**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
