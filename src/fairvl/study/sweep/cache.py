"""Stimulus vectors on disk, found by content: which weights, which preprocessing, which bytes.

``CACHE/KEY/card.json`` and ``CACHE/KEY/HASH.safetensors``. KEY names the encoder (`encoder_key`); a shard holds float32
vectors with the content keys of their stimuli, is named by the hash of its own bytes, and is never changed: processes
may be killed, and may write side by side. float32, because encoders return float32 and float16 would round them; so a
number from the cache is the number from the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ...atomic import write_atomic
from ...errors import EncoderError, JobError
from ...fingerprints import canonical_json, fingerprint

Vectors = NDArray[np.float32]
FORMAT = 1
DTYPE = "float32"
SHORT = 24  # hex digits of a shard's name
UNNAMED = ("", "given", "unknown")  # weights that say nothing of what they are


def encoder_key(encoder: Any) -> str | None:
    """Name of an encoder's vectors in the cache; None where nothing tells its weights from others.

    Covers the card's identity and preprocessing, the computing and the stored dtype, the evaluation state and, for a
    torch model, the SHA-256 of its parameters and buffers.

    Raises
    ------
    EncoderError
        A submodule of the model is in training mode.

    Examples
    --------
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> encoder_key(FakeEncoder(4)) == encoder_key(FakeEncoder(4)) != encoder_key(FakeEncoder(8))
    True
    """
    card = encoder.card
    module = getattr(encoder, "module", None)
    weights = None
    if module is not None and hasattr(module, "state_dict"):
        if any(part.training for part in module.modules()):
            raise EncoderError(f"{card.name}: the model is in training mode. Call model.eval() first.")
        weights = weights_hash(module)
    elif card.weights in UNNAMED:
        return None
    fields = ("library", "name", "weights", "revision", "preprocessing", "dim", "dtype", "context_length")
    identity = {field: getattr(card, field, None) for field in fields}
    if weights is not None:  # the bytes themselves: a folder or a tag may be called anything
        identity |= {"name": None, "weights": weights, "revision": None}
    return fingerprint({"format": FORMAT, "stored": DTYPE, "state": "eval", **identity})


def weights_hash(module: Any) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of a torch module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{array.dtype}:{tuple(array.shape)};".encode())
        digest.update(memoryview(array.flatten().view(dtype=_bytes_type()).numpy()))
    return digest.hexdigest()


def _bytes_type() -> Any:
    import torch

    return torch.uint8


class VectorCache:
    """The vectors of one encoder: those on disk, and those of this run.

    Parameters
    ----------
    root : path
        Folder of the cache, shared by any number of encoders, sweeps and processes.
    key : str or None
        From `encoder_key`; with None nothing is read or written.
    card : mapping
        For ``card.json``, so that a person can read what a folder holds.
    """

    def __init__(self, root: Path | str, key: str | None, card: Mapping[str, Any]) -> None:
        self.folder = None if key is None else Path(root) / key
        self.vectors: dict[str, Vectors] = {}
        self.failed: dict[str, str] = {}
        if self.folder is not None:
            self._read(self.folder, card)

    def __contains__(self, key: str) -> bool:
        return key in self.vectors or key in self.failed

    def add(self, keys: Sequence[str], vectors: Vectors, failed: Mapping[str, str]) -> None:
        """Append one shard: `vectors` [n, d] of `keys`, and why some stimuli have none."""
        self._hold(keys, vectors, failed)
        if self.folder is None or not (keys or failed):
            return
        header = canonical_json({"format": FORMAT, "keys": list(keys), "failed": dict(failed)})
        array = np.ascontiguousarray(vectors, dtype=np.float32)
        payload = save_tensors({"vectors": array}, metadata={"fairvl": header})
        name = hashlib.sha256(payload).hexdigest()[:SHORT] + ".safetensors"
        try:
            write_atomic(self.folder / name, payload)
        except OSError as error:
            raise JobError(
                f"{self.folder}: cannot keep stimulus vectors ({error}). Make room, or name another cache folder."
            ) from error

    def _hold(self, keys: Sequence[str], vectors: Vectors, failed: Mapping[str, str]) -> None:
        self.vectors.update(zip(keys, vectors, strict=True))
        self.failed.update(failed)

    def _read(self, folder: Path, card: Mapping[str, Any]) -> None:
        try:
            if not (folder / "card.json").exists():
                write_atomic(folder / "card.json", json.dumps(dict(card), indent=1, sort_keys=True) + "\n")
            shards = sorted(folder.glob("[0-9a-f]*.safetensors"))
        except OSError as error:
            raise JobError(f"{folder}: is not a usable cache ({error}). Name another cache folder.") from error
        for path in shards:
            payload = path.read_bytes()
            if hashlib.sha256(payload).hexdigest()[:SHORT] != path.stem:
                continue  # damaged on disk: its stimuli are encoded again
            try:
                header = json.loads(_metadata(payload)["fairvl"])
                self._hold(header["keys"], load_tensors(payload)["vectors"], header["failed"])
            except (SafetensorError, ValueError, KeyError, TypeError):
                continue


def _metadata(payload: bytes) -> dict[str, str]:
    length = int.from_bytes(payload[:8], "little")
    metadata: dict[str, str] = json.loads(payload[8 : 8 + length])["__metadata__"]
    return metadata
