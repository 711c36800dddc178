"""Fitting operators on the text states of a pipeline, one per site, and keeping them together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError, OperatorError
from ....fingerprints import fingerprint
from ....sources.generators import PromptLengthWarning
from ..base import Operator
from ..bypass import Bypass
from ..header import AS_GIVEN
from ..labels import Labels
from ..leace import Leace, MeanDifference
from ..operator import LinearOperator
from ..projection import CalibratedProjection, OrthogonalProjection
from .probe import end_states, tower_card
from .sites import Site, site_named, sites_of, window

METHODS: Mapping[str, Any] = {
    "calibration": CalibratedProjection(lam=500.0),
    "orthogonal": OrthogonalProjection(subspace="pairs"),
    "mean-difference": MeanDifference(),
    "leace": Leace(),
}
F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PipelineOperator:
    """The operators of one pipeline, by site."""

    operators: Mapping[str, Operator]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operators", MappingProxyType(dict(self.operators)))

    @property
    def fingerprint(self) -> str:
        """Short name of all of them."""
        return fingerprint({name: operator.fingerprint for name, operator in self.operators.items()})

    def attach(self, pipeline: Any, **options: Any) -> Any:
        """See `fairvl.repair.debias.pipelines.attach`."""
        from .attach import attach

        return attach(self, pipeline, **options)

    def with_bypass(
        self, pipeline: Any, neutral: Sequence[str], explicit: Sequence[str], labels: Labels, *, alpha: float = 0.05
    ) -> PipelineOperator:
        """The same operators with a `Bypass` each, fitted on the end states of neutral and of explicit prompts."""
        bypass = Bypass(alpha=alpha)
        fitted: dict[str, Operator] = {}
        for name, operator in self.operators.items():
            site = site_named(pipeline, name)
            plain, named = end_states(pipeline, site, list(neutral)), end_states(pipeline, site, list(explicit))
            made = bypass.fit(operator, plain, named, labels)
            fitted[name] = made.described(parameters={**made.card.parameters, "site": name})
        return PipelineOperator(fitted)

    def save(self, path: Path | str) -> None:
        """One file per site in folder `path`; a single operator in the file `path`, where that ends in .safetensors."""
        target = Path(path)
        if target.suffix == ".safetensors":
            if len(self.operators) > 1:
                raise OperatorError(f"{target}: {len(self.operators)} operators need a folder; leave the suffix out.")
            next(iter(self.operators.values())).save(target)
            return
        for name, operator in self.operators.items():
            operator.save(target / f"{name}.safetensors")

    @classmethod
    def load(cls, path: Path | str) -> PipelineOperator:
        """What `save` wrote, or a file of any one operator: without a site in its card, `attach` goes by the width."""
        source = Path(path)
        files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
        if not files:
            raise OperatorError(f"{source}: holds no operators (SITE.safetensors).")
        operators = {}
        for file in files:
            operator: Operator = Operator.load(file)
            operators[str(operator.card.parameters.get("site") or (file.stem if source.is_dir() else ""))] = operator
        return cls(operators)


def fit_on_pipeline(
    method: Any, pipeline: Any, pairs: Sequence[tuple[str, str]], *, sites: Sequence[str] | None = None,
    attribute: str = "", about: str | None = None, lam: float | None = None,
) -> PipelineOperator:  # fmt: skip
    """Fit one operator for every text site of `pipeline` on prompts that differ in the attribute only.

    Parameters
    ----------
    method : str or a fit of the family
        ``calibration`` (the paper's generative form, ``(I + lam M)^-1``), ``orthogonal`` (the pair differences),
        ``mean-difference``, ``leace``; or an object such as ``CalibratedProjection(lam=50)``.
    pipeline : pipeline of Stable Diffusion 1, 2, XL or 3, or of Flux
    pairs : list of (left, right)
        ("a photo of a male doctor", "a photo of a female doctor"). Read as the state at the first end-of-text token (or
        the pooled vector), in float64; projections bring them to unit length, LEACE and the mean difference do not.
        Give both sides equally many tokens.
    sites : list of str, optional
        Only these; see `sites_of`.
    attribute : str
        For the card.
    about : "midpoint", optional
        Move about the midpoint of all pairs instead of zero; states are then taken at their own length.
    lam : float, optional
        Of ``calibration``; 500 when left out, as in the paper.

    Returns
    -------
    PipelineOperator
        Each card carries its site and what the tower makes of fixed prompts, so that another tower is refused.

    Raises
    ------
    InputError
        No pairs, a method that is not known.
    OperatorError
        A pipeline that is not supported.

    Warns
    -----
    PromptLengthWarning
        Prompts do not fit the tower's window.
    """
    fit = _method(method, lam)
    listed = [() if isinstance(pair, str) else tuple(pair) for pair in pairs]
    if not listed or any(len(pair) != 2 or not all(isinstance(text, str) for text in pair) for pair in listed):
        raise InputError("pairs: expected a list of (left, right) prompts that is not empty.")
    if about not in (None, "midpoint"):
        raise InputError(f"about={about!r}; expected 'midpoint', or nothing.")
    chosen = sites_of(pipeline) if sites is None else tuple(site_named(pipeline, name) for name in sites)
    texts = [text for pair in listed for text in pair]
    operators: dict[str, Operator] = {}
    for site in chosen:
        notes = _lengths(pipeline, site, listed)
        states = end_states(pipeline, site, texts)
        left, right = states[0::2], states[1::2]
        operator = _fitted(fit, left, right)
        if about == "midpoint":
            operator = _about(operator, (left + right).mean(axis=0) / 2.0)
        card = operator.card
        operators[site.name] = operator.described(
            attribute=attribute,
            encoder=tower_card(pipeline, site),
            pairs=tuple((str(a), str(b)) for a, b in listed),
            parameters={**card.parameters, "site": site.name},
            notes=(*card.notes, *notes),
        )
    return PipelineOperator(operators)


def _method(method: Any, lam: float | None) -> Any:
    if isinstance(method, str):
        if method not in METHODS:
            raise InputError(f"method {method!r}; expected one of {', '.join(METHODS)}, or an object that fits.")
        method = METHODS[method]
    if lam is not None:
        if not isinstance(method, CalibratedProjection):
            raise InputError(f"lam={lam} is the strength of a calibration; {type(method).__name__} has none.")
        method = replace(method, lam=lam)
    if not hasattr(method, "fit"):
        raise InputError(f"method {type(method).__name__}; expected a name, or an object with fit().")
    return method


def _fitted(fit: Any, left: F64, right: F64) -> Operator:
    if isinstance(fit, CalibratedProjection):
        operator: Operator = fit.fit(None, left, right)
    elif isinstance(fit, OrthogonalProjection):
        operator = fit.fit(np.concatenate([left, right]), left, right)
    else:
        # At their own length, as these fits take rows and as attach then gives them.
        operator = fit.fit(np.concatenate([left, right]), ["left"] * len(left) + ["right"] * len(right))
    return operator


def _about(operator: Operator, centre: F64) -> Operator:
    if not isinstance(operator, LinearOperator) or operator.affine:
        raise InputError(f"about='midpoint' moves a linear operator; this {operator.card.method} operator is none.")
    dense = operator.dense
    note = (*operator.card.notes, "moves states at their own length about the midpoint of the pairs")
    header = replace(operator.card, normalisation=AS_GIVEN, notes=note)
    if dense is not None:
        return LinearOperator.from_matrix(dense, centre, header=header)
    return LinearOperator(
        operator.left, operator.right, centre, scale=operator.scale, tridiagonal=operator.tridiagonal, header=header
    )


def _lengths(pipeline: Any, site: Site, pairs: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    tokenizer = getattr(pipeline, site.tokenizer)
    counts = np.array([[len(tokenizer(text, verbose=False).input_ids) for text in pair] for pair in pairs])
    long = int((counts > window(pipeline, site)).sum())
    if long:
        warnings.warn(
            f"{long} prompts exceed the {window(pipeline, site)} tokens of {site.name}; their ends are not seen.",
            PromptLengthWarning,
            stacklevel=3,
        )
    uneven = int((counts[:, 0] != counts[:, 1]).sum())
    return (f"{uneven} of {len(pairs)} pairs have sides of unequal token length",) if uneven else ()
