"""Published checkpoints as our modules: by name, shape by shape, and with a reason where one does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import SourceError
from ....fingerprints import file_hash
from ..seam import CodeStats
from .files import Parts, autoencoder, filled, latent_network, torch
from .manifest import published_manifest
from .shape import Shape, configuration

AVERAGED = "ema_model."
_SPREAD = 4.1
"""Where the extremes of codes are not stored: this many deviations, those of 30,000 normal draws."""


def read_published(path: Path | str, shape: str | Shape, *, allow_pickle: bool = False, name: str = "") -> Parts:
    """Load a published checkpoint of the original project.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file with the checkpoint's own tensor names, or its ``.ckpt`` with ``allow_pickle=True``.
        The averaged weights (``ema_model.``) are taken. A checkpoint of the latent network also holds the statistics
        of the codes; without them codes count as standard normal, and nothing can be sampled.
    shape : "published-64", "published-128", "published-256", or Shape
    allow_pickle : bool
        Read a ``.ckpt``, with torch's loader of plain tensors only.

    Raises
    ------
    SourceError
        The file cannot be read, or its tensors are not those of the manifest.

    Notes
    -----
    Held to the published definition by the names and shapes of its tensors (`published_manifest`) and by its parameter
    counts. It has not met the published files.
    """
    sizes, source = configuration(shape), Path(path)
    tensors = _tensors(source, allow_pickle)
    return from_published(tensors, sizes, source=source, weights=file_hash(source)[:16], name=name or source.stem)


def from_published(
    tensors: Mapping[str, Any],
    shape: Shape,
    *,
    source: Any = "the state",
    weights: str = "random",
    name: str = "diffae",
) -> Parts:
    """The same from tensors by name, with or without the prefix of averaged weights."""
    averaged = {key[len(AVERAGED) :]: value for key, value in tensors.items() if key.startswith(AVERAGED)}
    state = averaged or dict(tensors)
    latent = any(key.startswith("latent_net.") for key in state)
    expected = published_manifest(shape, latent=latent)
    missing = [key for key in expected if key not in state]
    wrong = [key for key in expected if key in state and tuple(state[key].shape) != expected[key]]
    extra = [key for key in state if averaged and key not in expected]
    for kind, keys in (("lacks", missing), ("has another shape of", wrong), ("has unknown", extra)):
        if keys:
            first = keys[0]
            found = tuple(state[first].shape) if first in state else "nothing"
            raise SourceError(
                f"{source}: {kind} {len(keys)} of the tensors of {shape.size} pixels, first {first!r} (expected "
                f"{expected.get(first, 'nothing')}, found {found}). Is it a checkpoint of this size?"
            )
    module, network = autoencoder(shape), latent_network(shape) if latent else None
    ours = {f"autoencoder.{key}": _array(state[_published(key)]) for key in module.state_dict()}
    filled(module, ours, "autoencoder.", source)
    if network is not None:
        ours = {f"latent.{key}": _array(state[_published(f"latent.{key}")]) for key in network.state_dict()}
        filled(network, ours, "latent.", source)
    return Parts(shape, module, _stats(tensors, shape), network, weights, name)


def _published(name: str) -> str:
    from .published import published_name

    return published_name(name)


def _stats(tensors: Mapping[str, Any], shape: Shape) -> CodeStats:
    known = "conds_mean" in tensors and "conds_std" in tensors
    mean = _array(tensors["conds_mean"]).reshape(-1).astype(np.float64) if known else np.zeros(shape.code)
    std = _array(tensors["conds_std"]).reshape(-1).astype(np.float64) if known else np.ones(shape.code)
    if mean.shape != (shape.code,) or std.shape != (shape.code,):
        raise SourceError(
            f"conds_mean {mean.shape}, conds_std {std.shape}; expected one number for each of {shape.code}."
        )
    return CodeStats(mean, std, mean - _SPREAD * std, mean + _SPREAD * std)


def _array(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    return np.asarray(value, dtype=np.float32)


def _tensors(path: Path, allow_pickle: bool) -> dict[str, Any]:
    if not path.is_file():
        raise SourceError(f"{path}: no such file.")
    if path.suffix == ".safetensors":
        from .files import read_tensors

        return read_tensors(path)
    if not allow_pickle:
        raise SourceError(
            f"{path}: a pickled checkpoint can hold code. Convert it to safetensors, or pass allow_pickle=True (only "
            "plain tensors are then accepted)."
        )
    try:
        held = torch().load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a stranger's file makes the loader raise
        raise SourceError(f"{path}: not a checkpoint of plain tensors ({type(error).__name__}: {error}).") from None
    state = held.get("state_dict", held) if isinstance(held, dict) else {}
    return {key: value for key, value in state.items() if hasattr(value, "shape")}
