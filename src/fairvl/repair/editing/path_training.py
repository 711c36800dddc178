"""Learning paths: a code is moved, both images are rendered, and an encoder says which way its vector went.

The objective is that of ContraCLIP (Tzelepis et al. 2022, arXiv 2206.02104): the change of the image's vector should
point along the texts' direction of its own dipole and not along those of the others (cross-entropy over cosines). Three
things differ. Each dipole stands in the cross-entropy with both its directions, because otherwise a path is paid for
moving *against* another attribute. A move starts where the encoder reads the other pole, since an old face made older
shows no change of age to learn from. And one minus the cosine is added, and the squared cosine to every direction that
is to be kept. Gradients flow
through the last steps of sampling, through the encoder's own preprocessing, and never into either model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import unit_rows
from ...errors import InputError, TrainingError
from ...fingerprints import fingerprint
from .fields import FIELDS, direction
from .paths import Field, PathModel
from .seam import Codes, CodeSpace, Dipole

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
SAME = 1e-4  # poles whose unit vectors lie closer than this say the same to the encoder


@dataclass(frozen=True, kw_only=True)
class PathRecipe:
    """How paths are learned.

    Attributes
    ----------
    iterations : int
    replicas : int
        Codes per dipole in a batch. A code meets only the other dipoles of its own replica as negatives.
    shift : (float, float)
        Bounds of the length of a training move, in z-normalised codes.
    moves : "across" or "any"
        Which codes a move starts from: those that the encoder reads as the other pole, so that the texts' change is
        there to be seen; or any, with a random sign, as ContraCLIP does.
    tau : float
        Temperature of the cross-entropy.
    straight, kept : float
        Weights of one minus the cosine, and of the squared cosine to directions that are to be kept.
    steps, grad_last : int
        Sampling steps of a render, and those at the end through which gradients flow.
    lr : float
        Adam; a tenth of it over the last tenth.
    pairs : int
        Supports of each pole of a signed path or of a ratio.
    beta : float
        What a kernel is worth at the distance of its pair: sets the first widths.
    labelled : int
        Images that the encoder reads to find the poles: their means are the linear paths, and where supports begin.
    start : "means" or "random"
        Where signed supports begin: around the class means' axis, or anywhere on their sphere.
    spread : float
        How far around the axis: 0 puts all pairs on it.
    """

    iterations: int = 200
    replicas: int = 6
    shift: tuple[float, float] = (2.0, 4.5)
    moves: str = "across"
    tau: float = 0.1
    straight: float = 1.0
    kept: float = 2.0
    steps: int = 6
    grad_last: int = 6
    lr: float = 0.01
    pairs: int = 4
    beta: float = 0.2
    labelled: int = 512
    start: str = "means"
    spread: float = 0.5

    def __post_init__(self) -> None:
        whole = {"iterations": 0, "replicas": 1, "steps": 1, "grad_last": 1, "pairs": 1, "labelled": 8}
        for name, least in whole.items():
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)!r}; expected a whole number from {least}.")
        object.__setattr__(self, "shift", tuple(self.shift))
        if not 0 < self.shift[0] <= self.shift[1] or not self.tau > 0 or not 0 < self.beta < 1 or not self.lr > 0:
            raise InputError(
                f"shift={self.shift}, tau={self.tau}, beta={self.beta}, lr={self.lr}; expected two rising lengths, and "
                "positive numbers, beta below 1."
            )
        if self.grad_last > self.steps:
            raise InputError(f"grad_last={self.grad_last} of {self.steps} steps; expected no more than all of them.")
        if self.start not in ("means", "random") or self.moves not in ("across", "any"):
            raise InputError(
                f"start={self.start!r}, moves={self.moves!r}; expected 'means' or 'random', and 'across' or 'any'."
            )


def fit_paths(
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
    """Learn one path per dipole.

    Parameters
    ----------
    code_space : CodeSpace
        `DiffAE`, or anything that renders codes.
    encoder : Encoder
        With ``encode_pixels``; for field "linear" any encoder of images does.
    dipoles : sequence of Dipole
        One for each attribute.
    field : "linear", "signed", "elliptic" or "ratio"
        See `fairvl.repair.editing.fields.direction`. linear: the difference of class means, of codes that the encoder
        reads as either pole; nothing is trained.
    keep : sequence of (str, str)
        Dipoles that no path may move, beside each dipole's own ``keep``.
    penalties : sequence of (weight, callable)
        ``callable(before, after) -> tensor [n]`` on pixels [n, 3, h, w] in [0, 1]: identity and perceptual distances.
    codes : [m, d], optional
        Codes to learn on; default: drawn from the code space.
    noise : [m, ...], optional
        The noise of the same images, as `Editor.encode` gives it, so that renders are as clean as the images. Default:
        drawn anew.
    seed : int

    Raises
    ------
    InputError
        No dipole, an attribute twice, poles that are one vector to the encoder, an encoder without ``encode_pixels``.
    TrainingError
        A loss that is not finite.
    """
    how = recipe or PathRecipe()
    chosen = _checked(dipoles, field)
    pixels_in = getattr(encoder, "encode_pixels", None)
    if pixels_in is None and field != "linear":
        raise InputError(
            "this encoder has no encode_pixels, so no gradient can flow through it. Supervise with a torch encoder "
            "(open_clip:, transformers:, world:clip), or fit field='linear'."
        )
    texts = _text_axes(encoder, chosen)
    held = _kept_axes(encoder, chosen, keep)
    pool = _pool(code_space, codes, how, seed)
    own = None if noise is None else np.asarray(noise, dtype=np.float32)
    if own is not None and len(own) != len(pool):
        raise InputError(f"{len(own)} rows of noise for {len(pool)} codes; expected one each, from the same images.")
    poles = _poles(code_space, encoder, pool, own, texts, how, seed)
    scores = code_space.stats.normalise(pool.astype(np.float64))
    fallbacks = [_class_means(scores, *sides) for sides in poles]
    about = {"recipe": asdict(how), "seed": seed, "keep": [list(pair) for pair in keep]}
    supervisor = encoder.card.fingerprint if hasattr(encoder, "card") else fingerprint(type(encoder).__name__)
    stats = code_space.stats
    if field == "linear":
        none = np.zeros((0, code_space.dim))
        laws = {one.attribute: Field(none, np.zeros(0), axis) for one, axis in zip(chosen, fallbacks, strict=True)}
        return PathModel(field, laws, stats, chosen, supervisor, about)
    first = [
        _first(field, scores, axis, sides, how, seed, place)
        for place, (axis, sides) in enumerate(zip(fallbacks, poles, strict=True))
    ]
    fields, losses = _learn(
        code_space, pixels_in, field, scores, own, first, poles, texts, held, penalties, how, seed
    )  # fmt: skip
    about["losses"] = {"first": float(np.mean(losses[:20])), "last": float(np.mean(losses[-20:]))} if losses else {}
    laws = {one.attribute: law for one, law in zip(chosen, fields, strict=True)}
    return PathModel(field, laws, stats, chosen, supervisor, about)


def _checked(dipoles: Sequence[Dipole], field: str) -> tuple[Dipole, ...]:
    if field not in FIELDS:
        raise InputError(f"field {field!r}; expected one of {', '.join(FIELDS)}.")
    names = [one.attribute for one in dipoles]
    if not names or len(set(names)) < len(names):
        raise InputError(f"dipoles of {names}; expected one or more, each of another attribute.")
    return tuple(dipoles)


def _axis(encoder: Any, positive: Sequence[str], negative: Sequence[str], what: str) -> Floats:
    """The unit vector from one pole's mean to the other's."""
    poles = []
    for side in (positive, negative):
        vectors = unit_rows(np.asarray(encoder.encode_texts(list(side)), dtype=np.float64))
        poles.append(unit_rows(vectors.mean(axis=0, keepdims=True))[0])
    step = poles[0] - poles[1]
    length = float(np.linalg.norm(step))
    if length < SAME:
        raise InputError(
            f"{what}: to this encoder {list(positive)} and {list(negative)} are the same vector (distance "
            f"{length:.1e}). Use words that it knows, and poles that differ."
        )
    axis: Floats = step / length
    return axis


def _text_axes(encoder: Any, dipoles: Sequence[Dipole]) -> Floats:
    return np.stack([_axis(encoder, d.positive, d.negative, f"dipole {d.attribute!r}") for d in dipoles])


def _kept_axes(encoder: Any, dipoles: Sequence[Dipole], keep: Sequence[tuple[str, str]]) -> list[Floats]:
    """For each dipole the axes that it must not move along, [m, d]."""
    found = []
    for one in dipoles:
        axes = [_axis(encoder, [left], [right], f"keep of {one.attribute!r}") for left, right in (*one.keep, *keep)]
        found.append(np.stack(axes) if axes else np.zeros((0, 0)))
    return found


def _pool(space: CodeSpace, codes: ArrayLike | None, how: PathRecipe, seed: int) -> Codes:
    pool = space.sample(max(how.labelled, 256), seed) if codes is None else np.asarray(codes, dtype=np.float32)
    if pool.ndim != 2 or pool.shape[1] != space.dim or len(pool) < 8 or not np.isfinite(pool).all():
        raise InputError(f"codes {pool.shape}; expected at least 8 rows of {space.dim} finite numbers.")
    return pool


def _poles(
    space: CodeSpace, encoder: Any, pool: Codes, own: Codes | None, axes: Floats, how: PathRecipe, seed: int
) -> list[tuple[Rows, Rows]]:
    """Per dipole the rows that the encoder reads as its negative and as its positive pole.

    Images are ranked by their vector along the texts' axis; the lower and the upper third are the poles, so that the
    offset between the two modalities does not matter.
    """
    vectors = unit_rows(_seen(space, encoder, pool[: how.labelled], own, how, seed).astype(np.float64))
    third = max(1, len(vectors) // 3)
    orders = [np.argsort(vectors @ axis, kind="stable") for axis in axes]
    return [(order[:third], order[-third:]) for order in orders]


def _class_means(scores: Floats, negative: Rows, positive: Rows) -> Floats:
    """The unit vector from the mean of one pole's codes to that of the other's."""
    step = scores[positive].mean(axis=0) - scores[negative].mean(axis=0)
    length = float(np.linalg.norm(step))
    if length == 0:
        raise InputError("the encoder sees no difference among the code space's images along a dipole.")
    axis: Floats = step / length
    return axis


def _seen(
    space: CodeSpace, encoder: Any, codes: Codes, own: Codes | None, how: PathRecipe, seed: int, batch: int = 64
) -> NDArray[Any]:
    import torch

    noise, parts = (space.noise(len(codes), seed + 1) if own is None else own), []
    with torch.no_grad():
        for start in range(0, len(codes), batch):
            rows = slice(start, start + batch)
            pixels = ((space.render(codes[rows], noise[rows], steps=how.steps) + 1) / 2).clamp(0, 1)
            if hasattr(encoder, "encode_pixels"):
                parts.append(encoder.encode_pixels(pixels).float().cpu().numpy())
            else:
                images = (pixels * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
                parts.append(np.asarray(encoder.encode_images(list(images))))
    return np.concatenate(parts)


def _first(
    field: str, scores: Floats, axis: Floats, poles: tuple[Rows, Rows], how: PathRecipe, seed: int, place: int
) -> Field:
    """Supports and widths to begin with.

    signed: a sphere at the codes' mean norm; elliptic: their smallest and largest values; ratio: the centres of k-means
    clusters of either pole.
    """
    if field == "elliptic":
        low, high = scores.min(axis=0), scores.max(axis=0)
        width = np.log(-np.log(how.beta) / np.maximum(high - low, 1e-3) ** 2)
        return Field(np.stack([low, high]), np.stack([width, width]), axis)
    rng = np.random.default_rng([seed, place, 5])
    if field == "ratio":
        negative, positive = (_centres(scores[rows], how.pairs, rng) for rows in poles)
        apart = float(((positive[:, None] - negative[None]) ** 2).sum(axis=2).mean())
        return Field(
            np.concatenate([positive, negative]), np.full(2 * how.pairs, np.log(-np.log(how.beta) / apart)), axis
        )
    radius = float(np.linalg.norm(scores, axis=1).mean())
    drawn = unit_rows(rng.standard_normal((how.pairs, scores.shape[1])))
    if how.start == "means":
        drawn = unit_rows(axis[None] + how.spread * drawn)
    supports = radius * np.concatenate([drawn, -drawn])
    width = float(np.log(-np.log(how.beta) / (2 * radius) ** 2))
    return Field(supports, np.full(2 * how.pairs, width), axis)


def _centres(scores: Floats, count: int, rng: np.random.Generator) -> Floats:
    from scipy.cluster.vq import kmeans2

    if count >= len(scores):
        raise InputError(f"pairs={count} clusters of {len(scores)} codes of a pole; give more codes or fewer pairs.")
    centres: Floats = kmeans2(scores, count, minit="++", rng=rng)[0]
    return centres


def _learn(
    space: CodeSpace,
    encode_pixels: Any,
    field: str,
    scores: Floats,
    own: Codes | None,
    first: list[Field],
    poles: list[tuple[Rows, Rows]],
    texts: Floats,
    held: list[Floats],
    penalties: Sequence[tuple[float, Any]],
    how: PathRecipe,
    seed: int,
) -> tuple[list[Field], list[float]]:
    import torch
    from torch.nn import functional

    def tensor(values: Any) -> Any:
        return torch.as_tensor(np.array(values), dtype=torch.float32)

    supports = [tensor(law.supports).requires_grad_() for law in first]
    widths = [tensor(law.log_gammas).requires_grad_() for law in first]
    fallbacks, targets = [tensor(law.fallback) for law in first], tensor(texts)
    spared = [tensor(axes) for axes in held]
    mean, std = tensor(space.stats.mean), tensor(space.stats.std)
    optimiser = torch.optim.Adam([*supports, *widths], lr=how.lr)
    paths, losses = len(first), list[float]()
    which = np.tile(np.arange(paths), how.replicas)
    for iteration in range(how.iterations):
        for group in optimiser.param_groups:
            group["lr"] = how.lr * (0.1 if iteration >= 0.9 * how.iterations else 1.0)
        rng = np.random.default_rng([seed, iteration, 6])
        signs = rng.choice(np.array([-1.0, 1.0]), len(which))
        if how.moves == "across":
            picked = np.array(
                [rng.choice(poles[k][0 if sign > 0 else 1]) for k, sign in zip(which, signs, strict=True)]
            )
        else:
            picked = rng.integers(0, len(scores), len(which))
        start = tensor(scores[picked])
        shifts = tensor(signs * rng.uniform(*how.shift, len(which)))
        drawn = int(rng.integers(2**31))
        noise = tensor(space.noise(len(which), drawn) if own is None else own[picked])
        moves = torch.cat(
            [direction(field, start[i][None], supports[k], widths[k], fallbacks[k]) for i, k in enumerate(which)]
        )
        ends = start + shifts[:, None] * moves
        with torch.no_grad():
            before = _pixels(space.render(start * std + mean, noise, steps=how.steps))
            old = functional.normalize(encode_pixels(before), dim=1)
        after = _pixels(space.render(ends * std + mean, noise, steps=how.steps, grad_last=how.grad_last))
        change = functional.normalize(functional.normalize(encode_pixels(after), dim=1) - old, dim=1)
        change = change * tensor(signs)[:, None]
        cosines = change @ torch.cat([targets, -targets]).T  # a way may not lean on another dipole's far pole either
        rows = torch.as_tensor(which)
        loss = functional.cross_entropy(cosines / how.tau, rows)
        loss = loss + how.straight * (1 - cosines[torch.arange(len(which)), rows]).mean()
        for k, axes in enumerate(spared):
            if len(axes):
                loss = loss + how.kept * (change[rows == k] @ axes.T).square().sum(1).mean() / paths
        for weight, distance in penalties:
            loss = loss + weight * distance(before, after).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise TrainingError(f"iteration {iteration}: the loss is not finite. Lower the rate (lr={how.lr}).")
    learned = [
        Field(v.detach().numpy(), w.detach().numpy(), law.fallback)
        for v, w, law in zip(supports, widths, first, strict=True)
    ]
    return learned, losses


def _pixels(rendered: Any) -> Any:
    return ((rendered + 1) / 2).clamp(0, 1)
