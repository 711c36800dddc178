"""From an encoder and a bank to an operator: the verb `fairvl debias`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ...errors import BankError, InputError
from ...sources.prompts import Bank
from .base import F64, Operator
from .bypass import Bypass
from .choosing import choose_lambda
from .circle import CircleMethod
from .equalisation import Equalisation
from .imputation import FeatureImputation
from .leace import Leace, MeanDifference
from .material import AttributeTexts, Vectors, attribute_texts, encoded, labelled_images
from .neutral import neutral_prompts
from .projection import CalibratedProjection, OrthogonalProjection, joint_basis, random_projection

if TYPE_CHECKING:
    from ...sources.encoders import Encoder

METHODS = (
    "orthogonal", "calibrated", "calibration", "mean-difference", "leace", "circle", "equalised", "imputation",
    "random",
)  # fmt: skip
FROM_IMAGES = ("mean-difference", "leace", "equalised", "imputation")
Lam = float | Literal["auto"]


def debias(
    encoder: Encoder | str, *, attribute: str | Sequence[str] = "gender", method: str = "orthogonal",
    bank: str | Path | Bank | Sequence[str | Path | Bank] | None = None, lam: Lam = 1000.0,
    subspace: Literal["span", "centred", "pairs"] = "pairs", references: Any = None, nearest: int | None = None,
    features: int = 50, images: bool | None = None, bypass: bool = False, never: Collection[str] = (), seed: int = 0,
) -> Operator:  # fmt: skip
    """An operator that removes attributes from the vectors of `encoder`, fitted on the prompts of banks.

    Parameters
    ----------
    encoder : Encoder or str
        A name is loaded by `load_encoder`. A generator is fitted by `fit_on_pipeline`.
    attribute : str or several
        Chooses the shipped bank ``debias-ATTRIBUTE`` unless `bank` is given; recorded in the operator. Several are
        removed together: projections remove their joint span, a calibration pulls the pairs of all of them together,
        LEACE erases all labels at once. The order does not matter.
    method : str
        ``orthogonal``, ``calibrated``: the paper's projections. ``calibration``: the pairs alone (its generative form).
        ``mean-difference``, ``leace``: from labelled vectors. ``circle``: the closed-form circle method, on images
        too. ``equalised``: every query equally similar to a reference of each group. ``imputation``: the coordinates
        that tell groups apart (SFID). ``random``: the control, a projection of the same rank on random directions.
    bank : str, path or Bank, or several
        A debias bank per attribute: opposing sets of prompts, and pairs for the calibrations. A bank of a paper
        (``paper-waterbirds``, ``paper-celeba``, ``paper-professions``) lists spurious prompts and pairs without
        values: it serves the projections with ``subspace="span"`` or ``"centred"``, and ``calibration``.
    lam : float or "auto"
        As in `CalibratedProjection`; ``auto`` picks it on contents of the pairs that are held out in turn.
    subspace : {"pairs", "centred", "span"}
        What a projection removes outright. ``pairs``: the differences between the prototypes of the sets (the mean of
        each set's unit vectors, of unit length), one direction fewer than there are sets. ``centred`` and ``span``
        take every prompt, as in `OrthogonalProjection`, and so remove what distinguishes the wordings too; the paper's
        ``span`` also removes the mean that all texts of a CLIP model share, and with it much of what they say.
    references : dataset, store or name, optional
        Labelled images to fit ``mean-difference``, ``leace``, ``equalised`` or ``imputation`` on, instead of the
        prompts. Use other images than those you will measure.
    nearest, features : int
        Of `Equalisation` and `FeatureImputation`.
    images : bool, optional
        Whether image vectors are meant to go through the operator too. By default the circle method and what was
        fitted on images (but not ``equalised``, which repairs queries).
    bypass : bool
        Leave queries that name the attribute themselves as they are; see `Bypass`.
    never : collection of str
        Texts that an evaluation uses: pairs with them take no part in the fit or in the choice of `lam`.
    seed : int
        Of ``random`` and of the forest of ``imputation``.

    Returns
    -------
    Operator
        Its header names the banks, every prompt and pair used, those left out, and the encoder's card.

    Raises
    ------
    BankError
        No such bank; or words of it are unknown to the encoder, or texts over its context length, so that a set or the
        pairs are left empty. Opposing prompts are left out together.
    InputError
        No encoder, an unknown method, or an option that the method cannot use.

    Examples
    --------
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> operator = debias(FakeEncoder(64), attribute="gender", method="orthogonal")
    >>> operator.card.attribute, operator.card.bank["id"]
    ('gender', 'debias-gender')
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}; expected one of {', '.join(METHODS)}.")
    if references is not None and method not in FROM_IMAGES:
        raise InputError(f"method {method!r} is fitted on prompts; references serve {', '.join(FROM_IMAGES)}.")
    if lam == "auto" and method not in ("calibrated", "calibration"):
        raise InputError(f"lam='auto' chooses the strength of a calibration; {method!r} has none.")
    names = [attribute] if isinstance(attribute, str) else list(attribute)
    if not names or len(set(names)) != len(names):
        raise InputError(f"attribute {names}; expected one name, or several different ones.")
    pairs = method in ("calibrated", "calibration", "leace", "mean-difference", "imputation")
    prompted = references is None or bypass
    encoder = _loaded(encoder)
    parts = [
        attribute_texts(name, own, encoder, pairs=method in ("calibrated", "calibration"), never=never)
        for name, own in zip(names, _banks(bank, len(names)), strict=True)
        if prompted
    ]
    for part in parts:
        _check_valued(part, method, subspace, bypass)
    used = {text for part in parts for text in part.texts} if pairs or bypass else {
        text for part in parts for texts in part.sets.values() for text in texts
    }  # fmt: skip
    texts = [text for part in parts for text in part.texts if text in used]
    problem = Problem(
        encoder,
        tuple(names),
        parts,
        encoded(encoder, texts),
        subspace,
        lam,
        nearest,
        features,
        seed,
        references,
        images,
    )
    operator = _FITS[method](problem)
    operator = problem.described(operator, method)
    return _bypassed(operator, problem) if bypass else operator


def _loaded(encoder: Any) -> Encoder:
    if isinstance(encoder, str):
        from ...sources.encoders import load_encoder
        from ...sources.generators.names import names_generator

        if names_generator(encoder):
            raise InputError(
                f"{encoder} is a generator, and debias takes an encoder. Fit on its text towers with "
                f"fairvl.repair.debias.pipelines.fit_on_pipeline, or run: fairvl debias {encoder} -o OPERATOR."
            )
        return load_encoder(encoder)
    if not hasattr(encoder, "encode_texts"):
        raise InputError(f"encoder {type(encoder).__name__}; expected an Encoder, or a name for load_encoder.")
    return cast("Encoder", encoder)


def _banks(bank: Any, n: int) -> list[Any]:
    given = list(bank) if isinstance(bank, Sequence) and not isinstance(bank, (str, Bank)) else [bank] * min(n, 1)
    if bank is None:
        return [None] * n
    if len(given) != n:
        raise InputError(f"{len(given)} banks for {n} attributes; expected one each.")
    return given


def _check_valued(part: AttributeTexts, method: str, subspace: str, bypass: bool) -> None:
    """A paper's bank has spurious prompts, not values: only what needs no values can be fitted on it."""
    if part.valued:
        return
    if method not in ("orthogonal", "calibrated", "calibration", "random") or bypass:
        what = "a bypass" if bypass else f"method {method!r}"
        raise BankError(
            f"bank {part.bank.id!r} lists prompts without the values that they name, which {what} needs. Give a debias "
            "bank, or fit orthogonal, calibrated or calibration without a bypass."
        )
    if method == "calibration":
        return
    if not part.sets:
        raise BankError(
            f"bank {part.bank.id!r} has no spurious prompts that {method!r} could remove (or the encoder reads none). "
            "Its pairs serve method='calibration'."
        )
    if subspace == "pairs":
        raise BankError(
            f"bank {part.bank.id!r} has no prototypes of values to take differences of. Say subspace='span', as the "
            "paper does, or 'centred' (--subspace)."
        )


@dataclass
class Problem:
    """Everything that a fit of the family can need."""

    encoder: Encoder
    attributes: tuple[str, ...]
    parts: list[AttributeTexts]
    vectors: Vectors
    subspace: str
    lam: Lam
    nearest: int | None
    features: int
    seed: int
    references: Any
    images: bool | None
    notes: list[str] = field(default_factory=list)
    used_pairs: bool = False

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts of all sets, once."""
        return tuple(dict.fromkeys(t for part in self.parts for texts in part.sets.values() for t in texts))

    def removed(self) -> tuple[F64, str]:
        """Rows to remove and the subspace option that removes their joint span, attribute by attribute."""
        rows = [
            self.vectors.prototypes(part)
            if self.subspace == "pairs"
            else self.vectors.rows(dict.fromkeys(text for texts in part.sets.values() for text in texts))
            for part in self.parts
        ]
        option = "centred" if self.subspace == "pairs" else self.subspace
        if len(rows) == 1:
            return rows[0], option
        bases = [OrthogonalProjection(subspace=option).fit(part) for part in rows]
        return joint_basis([np.eye(o.dim) - o.matrix() if o.dense is not None else o.right for o in bases]), "span"

    def pair_rows(self) -> tuple[F64, F64, list[str]]:
        """Left and right sides of the pairs of all attributes, and what each pair is about."""
        self.used_pairs = True
        pairs = [pair for part in self.parts for pair in part.pairs]
        left, right = self.vectors.rows(p.left for p in pairs), self.vectors.rows(p.right for p in pairs)
        return left, right, [pair.content for pair in pairs]

    def labelled(self, *, pairs: bool = True) -> tuple[F64, Mapping[str, Sequence[str | None]]]:
        """Labelled vectors: the reference images, or else the prompts (and the sides of the pairs)."""
        if self.references is not None:
            rows, labels, name = labelled_images(self.encoder, self.references, self.attributes, self.seed)
            bare = sum(all(label is None for label in row) for row in zip(*labels.values(), strict=True))
            more = f"; {bare} more have no label" if bare else ""
            self.notes.append(f"fitted on {len(rows) - bare} labelled images of {name}{more}")
            return rows, labels
        self.used_pairs = pairs
        known: list[dict[str, str]] = [part.labelled() if pairs else part.of_sets() for part in self.parts]
        texts = list(dict.fromkeys(text for labels in known for text in labels))
        named = {part.attribute: [labels.get(t) for t in texts] for part, labels in zip(self.parts, known, strict=True)}
        return self.vectors.rows(texts), named

    def described(self, operator: Operator, method: str) -> Operator:
        """`operator` with a header that says what it was made of."""
        pairs = tuple((p.left, p.right) for part in self.parts for p in part.pairs) if self.used_pairs else ()
        banks = [{"id": p.bank.id, "version": p.bank.version, "fingerprint": p.bank.fingerprint} for p in self.parts]
        bank: dict[str, Any] = banks[0] if len(banks) == 1 else {"id": ", ".join(str(b["id"]) for b in banks)}
        if len(banks) > 1:
            bank["all"] = banks
        prompts = self.prompts if self.references is None else ()
        projected = method in ("orthogonal", "calibrated")
        both = operator.card.images or (self.references is not None and method != "equalised")
        return operator.described(
            method=method,
            attribute=", ".join(self.attributes),
            subspace="random" if method == "random" else self.subspace if projected else operator.card.subspace,
            n_prompts=len(prompts) or operator.card.n_prompts,
            n_pairs=len(pairs),
            prompts=prompts,
            pairs=pairs,
            bank=bank,
            encoder=self.encoder.card.as_dict(),
            images=both if self.images is None else self.images,
            notes=(*operator.card.notes, *self.notes, *(note for part in self.parts for note in part.notes)),
        )


def _orthogonal(problem: Problem) -> Operator:
    rows, option = problem.removed()
    return OrthogonalProjection(subspace=option).fit(rows)


def _calibrated(problem: Problem, *, alone: bool = False) -> Operator:
    rows, option = (None, "span") if alone else problem.removed()
    left, right, contents = problem.pair_rows()
    lam = problem.lam
    if lam == "auto":
        choice = choose_lambda(rows, left, right, contents, subspace=option)
        problem.notes.append(choice.described())
        lam = choice.lam
    return CalibratedProjection(lam=lam, subspace=option).fit(rows, left, right)


def _random(problem: Problem) -> Operator:
    operator = _orthogonal(problem)
    return random_projection(operator.dim, operator.rank, problem.seed)


def _imputation(problem: Problem) -> Operator:
    rows, labels = problem.labelled()
    features = min(problem.features, rows.shape[1] // 2)
    return FeatureImputation(features=features, seed=problem.seed).fit(rows, labels)


_FITS: Mapping[str, Callable[[Problem], Operator]] = {
    "orthogonal": _orthogonal,
    "calibrated": _calibrated,
    "calibration": lambda problem: _calibrated(problem, alone=True),
    "mean-difference": lambda problem: MeanDifference().fit(*problem.labelled()),
    "leace": lambda problem: Leace().fit(*problem.labelled()),
    "circle": lambda problem: CircleMethod(images=problem.images is not False).fit(*problem.labelled(pairs=False)),
    "equalised": lambda problem: Equalisation(nearest=problem.nearest).fit(*problem.labelled(pairs=False)),
    "imputation": _imputation,
    "random": _random,
}


def _bypassed(operator: Operator, problem: Problem) -> Operator:
    taken = {text for part in problem.parts for text in part.texts}
    neutral, words = neutral_prompts(problem.encoder, taken)
    plain = encoded(problem.encoder, neutral).rows(neutral)
    explicit: dict[str, str] = {}
    base: dict[str, str] = {}
    labels: dict[str, list[str | None]] = {}
    for part in problem.parts:
        explicit |= part.labelled()
        base |= part.words()
    for part in problem.parts:
        own = part.labelled()
        labels[part.attribute] = [own.get(text) for text in explicit]
    fitted = Bypass().fit(
        operator, plain, problem.vectors.rows(explicit), labels,
        neutral_words=words, words=[base.get(text, text) for text in explicit],
    )  # fmt: skip
    return fitted.described(prompts=operator.card.prompts, pairs=operator.card.pairs)
