"""Operators on disk: one safetensors file whose metadata holds the header, checked against the arrays on reading."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import write_atomic
from ...errors import FairVLError, OperatorError
from ...fingerprints import canonical_json, fingerprint
from .base import Operator
from .bypass import BypassOperator
from .circle import CircleOperator
from .equalisation import EqualisingOperator
from .header import OperatorHeader, rebuild_header
from .operator import LinearOperator

FORMAT = 1
KEY = "fairvl_operator"  # the only metadata key: with several, safetensors writes them in no fixed order
LARGEST_FILE = 4 << 30


def write_operator(operator: Operator, path: Path | str) -> None:
    """Write `operator` atomically: float64 arrays, the header (spectra included), the format version, a checksum."""
    from safetensors.numpy import save

    header = operator.card.as_dict()
    header["pair_spectrum"] = operator.pair_spectrum().tolist()
    body = {"format": FORMAT, "header": header, "fingerprint": operator.fingerprint} | _kind(operator)
    body["checksum"] = fingerprint(body)
    arrays = {name: np.ascontiguousarray(array) for name, array in operator.arrays().items()}
    write_atomic(path, save(arrays, metadata={KEY: canonical_json(body)}))


def _kind(operator: Operator) -> dict[str, Any]:
    """What the header cannot say: the class, and the headers of the operators inside."""
    if isinstance(operator, BypassOperator):
        return {"kind": "bypass", "inner": {"header": operator.inner.card.as_dict()} | _kind(operator.inner)}
    kinds = {CircleOperator: "circle", EqualisingOperator: "equalising"}
    return {"kind": kinds[type(operator)]} if type(operator) in kinds else {}


def read_operator(path: Path | str) -> Operator:
    """Read a file of `write_operator`.

    Raises
    ------
    OperatorError
        Missing, truncated, not safetensors, another format version, a changed header or changed arrays, wrong names,
        shapes or dtypes, NaN or infinity.
    """
    arrays, metadata = _read_tensors(Path(path))
    body = _read_body(metadata, path)
    try:
        header = _read_header(body["header"])
        operator = _built(body, arrays, header)
    except OperatorError as error:
        raise OperatorError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, FairVLError) as error:
        raise OperatorError(f"{path}: the header or arrays are malformed ({error}). Save the operator anew.") from None
    if operator.fingerprint != body.get("fingerprint"):
        raise OperatorError(
            f"{path}: the arrays do not belong to this header (fingerprint {operator.fingerprint}, header says "
            f"{body.get('fingerprint')}). The file was changed after it was written; save the operator anew."
        )
    return operator


def _read_tensors(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise OperatorError(f"{path}: no such file; expected an operator that LinearOperator.save wrote.")
    if path.stat().st_size > LARGEST_FILE:
        raise OperatorError(f"{path}: {path.stat().st_size} bytes; an operator file has at most {LARGEST_FILE}.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OperatorError(f"{path}: not a readable safetensors file ({error}). Save the operator anew.") from None
    return arrays, metadata


def _read_body(metadata: dict[str, str], path: Path | str) -> dict[str, Any]:
    try:
        body = json.loads(metadata[KEY])
        checksum = body.pop("checksum")
        version = body["format"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise OperatorError(f"{path}: a safetensors file, but no fairvl operator (no usable {KEY!r} header).") from None
    if version != FORMAT:
        raise OperatorError(
            f"{path}: operator format {version!r}; this version of fairvl reads {FORMAT}. Save it anew."
        )
    try:
        intact = fingerprint(body) == checksum
    except ValueError:  # NaN in the header
        intact = False
    if not intact:
        raise OperatorError(f"{path}: the header was changed after it was written. Save the operator anew.")
    return dict(body)


def _read_header(values: dict[str, Any]) -> OperatorHeader:
    values = dict(values)
    for name in ("prompts", "guarantees", "singular_values", "pair_spectrum", "notes"):
        values[name] = tuple(values[name])
    values["pairs"] = tuple((str(left), str(right)) for left, right in values["pairs"])
    header = rebuild_header(values)
    lam = header.lam
    if lam is not None and not (isinstance(lam, (int, float)) and not math.isnan(lam) and lam >= 0):
        raise OperatorError(f"lam {lam!r}; expected a number of at least 0.")
    if not (isinstance(header.rank, int) and isinstance(header.dim, int) and 0 <= header.rank <= header.dim):
        raise OperatorError(f"rank {header.rank!r} of dim {header.dim!r}; expected 0 <= rank <= dim.")
    return header


def _built(body: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]], header: OperatorHeader) -> Operator:
    kind = body.get("kind", "linear")
    if kind == "linear":
        return _linear(arrays, header)
    _all_doubles(arrays)
    if kind == "circle":
        return CircleOperator(**arrays, header=header)
    if kind == "equalising":
        whole = {name: arrays[name].astype(np.int64) for name in ("attribute", "nearest")}
        return EqualisingOperator(
            arrays["references"], arrays["members"], whole["attribute"], int(whole["nearest"][0]), header
        )
    if kind == "bypass":
        inner = body["inner"]
        nested = {name.removeprefix("inner."): array for name, array in arrays.items() if name.startswith("inner.")}
        low, high = arrays["band"].tolist()
        return BypassOperator(
            _built(inner, nested, _read_header(inner["header"])),
            arrays["functional"], arrays["centre"], arrays["whiten"], low, high, header,
        )  # fmt: skip
    raise OperatorError(f"operator kind {kind!r}; this version of fairvl knows linear, circle, equalising and bypass.")


def _all_doubles(arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise OperatorError(f"{name}: dtype {array.dtype}; expected float64.")


def _linear(arrays: dict[str, np.ndarray[Any, Any]], header: OperatorHeader) -> LinearOperator:
    expected = {"centre", "dense"} if "dense" in arrays else {"centre", "left", "right"}
    if not expected <= set(arrays) <= expected | ({"scale", "tridiagonal"} if "left" in arrays else set()):
        raise OperatorError(
            f"arrays {sorted(arrays)}; expected centre with left and right (and weights), or with dense."
        )
    _all_doubles(arrays)
    if "dense" in arrays:
        return LinearOperator.from_matrix(arrays["dense"], arrays["centre"], header=header)
    return LinearOperator(
        arrays["left"],
        arrays["right"],
        arrays["centre"],
        scale=arrays.get("scale"),
        tridiagonal=arrays.get("tridiagonal"),
        header=header,
    )
