"""An operator folded into the weights of a checkpoint, so that a pipeline needs no code of ours: `fairvl bake`.

A text tower ends in a product with a projection matrix; multiplying that matrix by the operator's gives a model whose
text vectors have gone through the operator. Only the bytes of that one tensor change: the file is read and written in
blocks, without a framework, and whatever else lies in the folder is copied.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...atomic import write_atomic
from ...errors import OperatorError, SourceError
from ...fingerprints import canonical_json, file_hash, fingerprint
from .base import F64, Operator
from .operator import LinearOperator

MAX_HEADER = 100 << 20
BLOCK = 16 << 20
KEY = "fairvl_baked"
# Names of the last projection of a tower, and where the vector's coordinates run: rows of the tensor or columns.
PROJECTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "text": (
        ("text_projection.weight", "rows"),  # transformers: CLIP, AltCLIP, Chinese-CLIP
        ("text_projection", "columns"),  # open_clip: CLIP
        ("text.text_projection", "columns"),  # open_clip: text tower of its own
        ("text.text_projection.weight", "rows"),
        ("text.proj.2.weight", "rows"),  # open_clip: Hugging Face tower with a two-layer head
        ("text.proj.weight", "rows"),
        ("text_model.head.weight", "rows"),  # transformers: SigLIP
    ),
    "image": (
        ("visual_projection.weight", "rows"),
        ("visual.proj", "columns"),
        ("visual.head.proj.weight", "rows"),  # open_clip: timm tower
        ("visual.head.mlp.fc2.weight", "rows"),
    ),
}


class BakedUnchecked(UserWarning):
    """Nothing in the operator says which weights it was fitted on, so that they could not be compared."""


def bake(
    operator: Operator, checkpoint: Path | str, out: Path | str, *, sides: str | tuple[str, ...] | None = None,
    allow_other_encoder: bool = False,
) -> Path:  # fmt: skip
    """`checkpoint` with `operator` folded into its projection, written to `out`.

    Parameters
    ----------
    operator : Operator
        A linear one without a centre. ``operator.linear()`` drops the centre of an affine one and keeps its guarantee.
    checkpoint : path
        A folder of open_clip (``open_clip_config.json``) or transformers (``config.json``), a .safetensors file, or a
        pipeline of diffusers (``model_index.json``; see `diffusion_baking.bake_pipeline`).
    out : path
        New folder (or file, where `checkpoint` is one).
    sides : "text", "image" or both, optional
        Which towers. By default the text tower, and the image tower where the operator is meant for images.
    allow_other_encoder : bool
        Also take weights other than those that the operator was fitted on.

    Returns
    -------
    Path
        `out`. Its unit vectors equal those of the wrapped encoder to the rounding of the checkpoint's dtype; the model
        normalises again where the wrapped encoder does not.

    Raises
    ------
    OperatorError
        An operator that no matrix says (affine, or not linear), other weights than those it was fitted on, a tower
        without a projection at its end (SigLIP's image tower, towers that pool after projecting).
    SourceError
        No safetensors weights, a pickled checkpoint, a malformed file, an output that exists.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.numpy import load_file, save_file
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_file({"text_projection.weight": np.eye(2, dtype=np.float32)}, folder / "a.safetensors")
    >>> operator = LinearOperator(np.array([[1.0], [0.0]]), np.array([[1.0, 0.0]]))
    >>> load_file(bake(operator, folder / "a.safetensors", folder / "b.safetensors"))["text_projection.weight"].tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    source, target = Path(checkpoint), Path(out)
    if (source / "model_index.json").is_file():
        from .diffusion_baking import bake_pipeline

        if sides is not None:
            raise OperatorError("sides are for two-tower models; a text-to-image pipeline has text only.")
        return bake_pipeline(operator, source, target, allow_other_encoder=allow_other_encoder)
    matrix = _matrix(operator)
    files = _weight_files(source)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SourceError(f"{target}: already exists. Name a new path; a checkpoint is never changed.")
    _check_weights(operator, source, files, allow_other_encoder)
    named = ("text", "image") if operator.applies_to_images else ("text",)
    wanted = named if sides is None else (sides,) if isinstance(sides, str) else tuple(sides)
    if not wanted or set(wanted) - set(PROJECTIONS):
        raise OperatorError(f"sides={sides!r}; expected 'text', 'image' or both.")
    headers = {path: read_safetensors_header(path) for path in files}
    patches: dict[Path, dict[str, str]] = {path: {} for path in files}
    for side in wanted:
        path, name, axis = _projection(headers, side, operator.dim, source)
        patches[path][name] = axis
    note = {"operator": operator.fingerprint, "method": operator.card.method, "sides": list(wanted)}
    if source.is_file():
        _patched(source, target, headers[source], patches[source], matrix, note)
        return target
    target.mkdir(parents=True, exist_ok=True)
    try:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            if path in headers:
                _patched(path, to, headers[path], patches[path], matrix, note)
            elif path.suffix not in (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx"):
                shutil.copyfile(path, to)  # weights in other formats would still be the old model
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def _matrix(operator: Operator) -> F64:
    if not isinstance(operator, LinearOperator):
        raise OperatorError(
            f"a {operator.card.method} operator ({type(operator).__name__}) treats every vector in its own way, which "
            "no weights can say. Wrap the encoder, or apply it to stored vectors."
        )
    if operator.affine:
        raise OperatorError(
            f"the {operator.card.method} operator is affine: it moves unit vectors about a centre. The projection of a "
            "tower comes before its vectors get unit length, so its bias would have to know each vector's length, and "
            "no weights can say that. Bake operator.linear(), which keeps group means equal, or wrap the encoder."
        )
    return operator.matrix()


def _weight_files(source: Path) -> list[Path]:
    if source.is_file():
        if source.suffix != ".safetensors":
            raise SourceError(f"{source}: expected a .safetensors file (a pickled checkpoint can hold code).")
        return [source]
    if not source.is_dir():
        raise SourceError(f"{source}: no such folder or file; expected an open_clip or transformers checkpoint.")
    files = sorted(source.glob("*.safetensors"))
    if not files:
        found = sorted(path.name for path in source.iterdir())[:8]
        raise SourceError(
            f"{source}: no .safetensors weights (found {', '.join(found) or 'nothing'}). Convert the checkpoint; a "
            "pickled one can hold code."
        )
    return files


def _check_weights(operator: Operator, source: Path, files: list[Path], allow: bool) -> None:
    fitted = str(operator.card.encoder.get("weights", ""))
    if allow:
        return
    if "sha256:" not in fitted:
        warnings.warn(
            f"the operator says {f'it was fitted on {fitted!r}' if fitted else 'not which weights it was fitted on'}, "
            f"which cannot be held against the files of {source.name}. See that they are the same.",
            BakedUnchecked,
            stacklevel=3,
        )
        return
    hashes = {path.name: file_hash(path) for path in files}
    own = {value[:16] for value in hashes.values()} | {fingerprint(hashes)}
    if fitted.rsplit("sha256:", 1)[1] not in own:
        raise OperatorError(
            f"the operator was fitted on the weights {fitted!r}; {source.name} holds others. Fit one on this "
            "checkpoint, or pass allow_other_encoder=True (--allow-other-encoder)."
        )


@dataclass(frozen=True)
class Header:
    """Tensors of a safetensors file by name (dtype, shape, data offsets), its metadata, and where the data begin."""

    tensors: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, str]
    start: int


def read_safetensors_header(path: Path) -> Header:
    """The header of a safetensors file, checked against its size."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError(f"header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != size - 8 - length:
            raise ValueError(f"{size - 8 - length} bytes of data, the header names {end}")
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise SourceError(f"{path}: not a readable safetensors file ({error}). Fetch it again.") from None
    return Header(header, metadata, 8 + length)


def _projection(headers: Mapping[Path, Header], side: str, dim: int, source: Path) -> tuple[Path, str, str]:
    odd = ""
    for name, axis in PROJECTIONS[side]:
        for path, header in headers.items():
            if (entry := header.tensors.get(name)) is None:
                continue
            shape = entry["shape"]
            if len(shape) == 2 and shape[0 if axis == "rows" else 1] == dim:
                return path, name, axis
            odd = f" ({name} has shape {shape}, the operator width {dim})"
    raise OperatorError(
        f"{source.name}: no {side} projection to fold a {dim} x {dim} matrix into{odd}. Known are "
        f"{', '.join(name for name, _ in PROJECTIONS[side])}; a tower that ends otherwise needs the wrapped encoder."
    )


def _patched(
    source: Path, target: Path, header: Header, axes: Mapping[str, str], matrix: F64, note: Mapping[str, Any]
) -> None:
    """`source` with some tensors multiplied by `matrix`, streamed into `target`."""
    patches = {name: partial(_multiplied, source, header, name, axis, matrix) for name, axis in axes.items()}
    for name in list(patches):  # a bias goes through the matrix as the vectors do
        bias = name.removesuffix("weight") + "bias"
        if name.endswith("weight") and bias in header.tensors:
            patches[bias] = partial(_multiplied, source, header, bias, "rows", matrix)
    write_patched(source, target, header, patches, note)


def write_patched(
    source: Path, target: Path, header: Header, patches: Mapping[str, Callable[[], bytes]], note: Mapping[str, Any]
) -> None:
    """`source` with the bytes of some tensors replaced, streamed into `target`."""
    metadata = {**header.metadata, **({KEY: canonical_json(note)} if patches else {})}
    text = json.dumps({"__metadata__": metadata, **header.tensors}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(file: BinaryIO) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        with open(source, "rb") as given:
            for name, entry in sorted(header.tensors.items(), key=lambda item: item[1]["data_offsets"][0]):
                first, last = entry["data_offsets"]
                if name in patches:
                    file.write(patches[name]())
                    continue
                given.seek(header.start + first)
                for place in range(first, last, BLOCK):
                    file.write(given.read(min(BLOCK, last - place)))

    write_atomic(target, write)


def _multiplied(source: Path, header: Header, name: str, axis: str, matrix: F64) -> bytes:
    values = read_tensor(source, header, name)
    return tensor_bytes(matrix @ values if axis == "rows" else values @ matrix.T, header.tensors[name]["dtype"])


def read_tensor(source: Path, header: Header, name: str) -> F64:
    """One tensor of a safetensors file in float64."""
    entry = header.tensors[name]
    kinds = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
    if entry["dtype"] not in kinds:
        raise OperatorError(f"{source.name}: {name} is stored as {entry['dtype']}; expected one of {', '.join(kinds)}.")
    with open(source, "rb") as file:
        file.seek(header.start + entry["data_offsets"][0])
        raw = np.frombuffer(file.read(entry["data_offsets"][1] - entry["data_offsets"][0]), kinds[entry["dtype"]])
    brain = entry["dtype"] == "BF16"
    values = (raw.astype(np.uint32) << 16).view(np.float32) if brain else raw
    return values.astype(np.float64).reshape(entry["shape"])


def tensor_bytes(values: F64, dtype: str) -> bytes:
    """Float64 numbers as bytes of a safetensors dtype, rounded to nearest."""
    if dtype != "BF16":
        return values.astype({"F64": np.float64, "F32": np.float32, "F16": np.float16}[dtype]).tobytes()
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()
