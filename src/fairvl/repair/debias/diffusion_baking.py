"""Operators folded into a text-to-image pipeline's weights, so that it needs no code of ours.

The first linear maps after the text states take the operator in: cross-attention keys and values of a UNet (W' = W P),
the context embedder of Flux, and the first layer that takes the pooled vector. Only those tensors change.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from ...errors import MissingExtraError, OperatorError, SourceError
from ...sources.generators.folder import check_pipeline_folder, read_json
from .baking import BakedUnchecked, Header, read_safetensors_header, read_tensor, tensor_bytes, write_patched
from .base import F64, Operator
from .header import AS_GIVEN
from .operator import LinearOperator
from .pipelines.sites import FAMILIES, Site

OLD_FORMATS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")  # would still be the old model
KEYS_AND_VALUES = ("attn2.to_k.weight", "attn2.to_v.weight")


def bake_pipeline(
    operator: Any, source: Path, target: Path, *, allow_other_encoder: bool = False
) -> Path:  # fmt: skip
    """A copy of the pipeline in folder `source` with `operator` folded into its weights.

    Parameters
    ----------
    operator : LinearOperator, PipelineOperator or mapping of site names to operators
        Linear ones. A centre is folded exactly where the first map has a bias of its own (Flux, pooled vectors) and the
        operator takes states at their own length; cross-attention has none.
    source, target : paths
        A folder with ``model_index.json``, and a new one.
    allow_other_encoder : bool
        Also take an operator that was fitted on another text tower.

    Returns
    -------
    Path
        `target`. It draws what the pipeline with the operator attached to every token draws, to the rounding of the
        weights' dtype. Weights know no prompt: the negative (or empty) prompt goes through the operator too, as with
        ``attach(negative=True)``. At guidance 1 no such prompt is used and nothing differs; above, guidance then pushes
        away from the repaired empty prompt. XL without a negative prompt uses zeros, which no matrix changes. To keep
        the old unconditional branch, attach the operator instead.

    Raises
    ------
    OperatorError
        A pipeline that is not supported, an operator that no weights can say, another width or tower, token states of
        SD3 (CLIP and T5 share one map).
    SourceError
        An incomplete folder, an output that exists.
    """
    index = check_pipeline_folder(source)
    kind = index["_class_name"]
    if kind not in FAMILIES:
        raise OperatorError(f"{source.name}: {kind} is not supported; supported are {', '.join(FAMILIES)}.")
    if source.resolve() in target.resolve().parents:
        raise SourceError(f"{target}: lies inside the checkpoint. Name a path outside; a checkpoint is never changed.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SourceError(f"{target}: already exists. Name a new path; a checkpoint is never changed.")
    sites = tuple(site for site in FAMILIES[kind] if (index.get(site.tower) or [None, None])[1])
    operators = _by_site(operator, sites, source)
    folds = _folds(operators, sites, source)
    _check_towers(operators, source, allow_other_encoder)
    place = source / ("unet" if "unet" in index else "transformer")
    note = {"operators": {name: one.fingerprint for name, one in operators.items()}}
    headers = {path: read_safetensors_header(path) for path in sorted(place.glob("*.safetensors"))}
    patches = {path: _patches(path, header, folds, headers) for path, header in headers.items()}
    missing = [fold.name for fold in folds if not any(fold.reads(name) for h in headers.values() for name in h.tensors)]
    if missing:
        raise OperatorError(f"{place}: no tensor {', '.join(missing)} to fold into.")
    try:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            if path in headers:
                write_patched(path, to, headers[path], patches[path], note)
            elif path.suffix not in OLD_FORMATS:
                shutil.copyfile(path, to)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


@dataclass(frozen=True)
class Fold:
    """Inputs of the tensors called `name` that go through ``x -> matrix x + shift``; further inputs stay."""

    name: str
    matrix: F64
    shift: F64 | None = None

    def reads(self, tensor: str) -> bool:
        return tensor.endswith(self.name)


def _folds(operators: Mapping[str, Operator], sites: tuple[Site, ...], source: Path) -> list[Fold]:
    """Which tensors change and how, from the operators by site; identity where a site has none."""
    unet = (source / "unet").is_dir()
    tokens = tuple(site for site in sites if not site.pooled)
    pooled = tuple(site for site in sites if site.pooled)
    folds = []
    if any(site.name in operators for site in tokens):
        if any(site.block == "second" for site in tokens):
            raise OperatorError(
                f"{source.name}: the states of CLIP and of T5 go through one context embedder, as rows of two "
                "different spaces; no weights mean the same for both. Attach the operators instead, bake those of the "
                "pooled vectors alone, or save the pipeline without text_encoder_3."
            )
        matrix, shift = _joint(operators, tokens, source)
        if unet and shift is not None:
            raise OperatorError(
                "the operator is affine, and the keys and values of cross-attention have no bias to hold its centre. "
                "Bake operator.linear(), or attach the operator."
            )
        if shift is not None and len(tokens) > 1:
            raise OperatorError(
                "the operator is affine, and SD3 sends zeros through the same map where states of T5 would stand: they "
                "would take on its centre. Bake operator.linear(), or attach the operator."
            )
        names = KEYS_AND_VALUES if unet else ("context_embedder.weight",)
        folds += [Fold(name, matrix, shift) for name in names]
    if any(site.name in operators for site in pooled):
        matrix, shift = _joint(operators, pooled, source)
        name = "add_embedding.linear_1.weight" if unet else "time_text_embed.text_embedder.linear_1.weight"
        folds.append(Fold(name, matrix, shift))
    return folds


def _joint(operators: Mapping[str, Operator], sites: tuple[Site, ...], source: Path) -> tuple[F64, F64 | None]:
    blocks, shifts = [], []
    for site in sites:
        dim, one = _width(source, site), operators.get(site.name)
        blocks.append(np.eye(dim) if one is None else _linear(one).matrix())
        affine = isinstance(one, LinearOperator) and one.affine
        shifts.append((np.eye(dim) - blocks[-1]) @ one.centre if affine else np.zeros(dim))  # type: ignore[union-attr]
    shift = np.concatenate(shifts)
    return np.asarray(block_diag(*blocks)), shift if shift.any() else None


def _linear(operator: Operator) -> LinearOperator:
    if not isinstance(operator, LinearOperator):
        raise OperatorError(
            f"a {operator.card.method} operator ({type(operator).__name__}) treats every prompt in its own way, which "
            "no weights can say. Attach it to the pipeline."
        )
    if operator.affine and operator.card.normalisation != AS_GIVEN:
        raise OperatorError(
            f"the {operator.card.method} operator moves vectors of unit length about a centre; text states have "
            "lengths of their own, which no weights can know. Bake operator.linear(), or attach the operator."
        )
    return operator


def _patches(
    path: Path, header: Header, folds: list[Fold], headers: Mapping[Path, Header]
) -> dict[str, Callable[[], bytes]]:  # fmt: skip
    made: dict[str, Callable[[], bytes]] = {}
    for name in header.tensors:
        for fold in folds:
            if fold.reads(name):
                made[name] = partial(_weight, path, header, name, fold.matrix)
            elif fold.shift is not None and name.endswith(fold.name.removesuffix("weight") + "bias"):
                weight = name.removesuffix("bias") + "weight"
                where = next(file for file, other in headers.items() if weight in other.tensors)
                made[name] = partial(_bias, path, header, name, where, headers[where], weight, fold.shift)
    return made


def _weight(path: Path, header: Header, name: str, matrix: F64) -> bytes:
    values = read_tensor(path, header, name)
    width = len(matrix)
    if values.ndim != 2 or values.shape[1] < width:
        raise OperatorError(f"{path.name}: {name} has shape {values.shape}; expected at least {width} inputs.")
    values[:, :width] = values[:, :width] @ matrix
    return tensor_bytes(values, header.tensors[name]["dtype"])


def _bias(path: Path, header: Header, name: str, where: Path, other: Header, weight: str, shift: F64) -> bytes:
    values = read_tensor(path, header, name) + read_tensor(where, other, weight)[:, : len(shift)] @ shift
    return tensor_bytes(values, header.tensors[name]["dtype"])


def _width(source: Path, site: Site) -> int:
    config = read_json(source / site.tower / "config.json")
    name = "projection_dim" if site.layer == "projected" else "hidden_size" if "hidden_size" in config else "d_model"
    return int(config[name])


def _by_site(operator: Any, sites: tuple[Site, ...], source: Path) -> dict[str, Operator]:
    widths = {site.name: _width(source, site) for site in sites}
    given = getattr(operator, "operators", operator)
    if isinstance(given, Operator):
        named = str(given.card.parameters.get("site", ""))
        fitting = [name for name, dim in widths.items() if dim == given.dim and not name.endswith(".pooled")]
        if named not in widths and len(fitting) != 1:
            raise OperatorError(
                f"{source.name}: {len(fitting)} sites have token states of the operator's width {given.dim}; its sites "
                f"are {', '.join(f'{name} ({dim})' for name, dim in widths.items())}. Fit one with fit_on_pipeline."
            )
        given = {named if named in widths else fitting[0]: given}
    if not isinstance(given, Mapping) or not given or not all(isinstance(one, Operator) for one in given.values()):
        raise OperatorError(f"operator {type(operator).__name__}; expected an Operator, or a mapping of sites to them.")
    for name, one in given.items():
        if widths.get(name) != one.dim:
            raise OperatorError(
                f"{source.name}: {name} takes width {widths.get(name, 'none (no such site)')}, the operator {one.dim}."
            )
        _linear(one)
    return dict(given)


def _check_towers(operators: Mapping[str, Operator], source: Path, allow: bool) -> None:
    """Hold the towers in the folder against the cards; without diffusers that cannot be done, and it is said."""
    if allow:
        return
    unsaid = [name for name, one in operators.items() if not one.card.encoder]
    from ...sources.generators.diffusers_pipelines import load_text_towers
    from .pipelines.probe import check_tower
    from .pipelines.sites import site_named

    try:
        pipeline = load_text_towers(source) if len(unsaid) < len(operators) else None
    except MissingExtraError:
        unsaid, pipeline = list(operators), None
    if pipeline is not None:
        for name, one in operators.items():
            check_tower(one, pipeline, site_named(pipeline, name), allow)
    if unsaid:
        warnings.warn(
            f"the operator for {', '.join(unsaid)} could not be held against the text tower in {source.name}. See that "
            "it was fitted on the same.",
            BakedUnchecked,
            stacklevel=4,
        )
