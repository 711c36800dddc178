"""A diffusion autoencoder on disk: ``config.json`` and ``model.safetensors``; and as modules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....atomic import write_atomic
from ....errors import InputError, SourceError, missing_extra
from ....fingerprints import canonical_json, file_hash
from ..seam import CodeStats
from .shape import Shape

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_STATS = ("mean", "std", "low", "high")


@dataclass(eq=False)
class Parts:
    """What a model consists of: modules in evaluation mode, statistics of its codes, and where they come from."""

    shape: Shape
    autoencoder: Any
    stats: CodeStats
    latent: Any = None
    weights: str = "random"
    name: str = "diffae"
    licence: str | None = None
    training_data: str | None = None


def autoencoder(shape: Shape) -> Any:
    """A new encoder and denoiser of a shape: a module with ``encode(x)`` and ``forward(x, t, code)``."""
    torch()
    if shape.family == "published":
        from .published import PublishedAutoencoder

        return PublishedAutoencoder(shape)
    from .network import Autoencoder

    return Autoencoder(shape)


def latent_network(shape: Shape) -> Any:
    """A new network that draws codes."""
    torch()
    from .latent import LatentNetwork

    return LatentNetwork(shape)


def torch() -> Any:
    """The package torch, or the error that names its extra."""
    try:
        import torch as package
    except ModuleNotFoundError as error:
        raise missing_extra("torch", "models") from error
    return package


def write_model(folder: Path | str, parts: Parts, *, half: bool = False) -> None:
    """Write a model; `half` stores weights in float16. Statistics of codes stay float32."""
    from safetensors.numpy import save

    kind = np.float16 if half else np.float32
    tensors: dict[str, Any] = {}
    for prefix, module in (("autoencoder", parts.autoencoder), ("latent", parts.latent)):
        for name, value in (module.state_dict() if module is not None else {}).items():
            tensors[f"{prefix}.{name}"] = np.ascontiguousarray(value.detach().cpu().float().numpy().astype(kind))
    for name in _STATS:
        tensors[f"stats.{name}"] = np.ascontiguousarray(getattr(parts.stats, name), dtype=np.float32)
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise InputError("the weights hold NaN or infinity; nothing was written.")
    about = {"name": parts.name, "licence": parts.licence, "training_data": parts.training_data}
    config = {"format": FORMAT, "family": "diffae", "shape": parts.shape.as_dict(), **about}
    write_atomic(Path(folder) / WEIGHTS, save(dict(sorted(tensors.items()))))
    write_atomic(Path(folder) / CONFIG, json.dumps(json.loads(canonical_json(config)), indent=1) + "\n")


def read_model(folder: Path | str) -> Parts:
    """Read a folder of `write_model`.

    Raises
    ------
    SourceError
        No such folder, another format, missing or foreign tensors, numbers that are not finite.
    """
    place = Path(folder)
    config = _config(place)
    shape = Shape.from_dict(config["shape"])
    tensors = read_tensors(place / WEIGHTS)
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise SourceError(f"{place / WEIGHTS}: holds NaN or infinity. Train or fetch it again.")
    module = filled(autoencoder(shape), tensors, "autoencoder.", place)
    latent = None
    if any(name.startswith("latent.") for name in tensors):
        latent = filled(latent_network(shape), tensors, "latent.", place)
    try:
        stats = CodeStats(*(tensors[f"stats.{name}"].astype(np.float64) for name in _STATS))
    except KeyError as error:
        raise SourceError(f"{place / WEIGHTS}: lacks {error}; expected the statistics of its codes.") from None
    about = {key: config.get(key) for key in ("licence", "training_data")}
    return Parts(
        shape, module, stats, latent, file_hash(place / WEIGHTS)[:16], config.get("name") or place.name, **about
    )


def filled(module: Any, tensors: dict[str, Any], prefix: str, source: Any) -> Any:
    """`module` with the tensors of a prefix, frozen and in evaluation mode."""
    package = torch()
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if expected != found:
        wrong = sorted(set(expected) ^ set(found)) or sorted(n for n in expected if expected[n] != found[n])
        raise SourceError(
            f"{source}: {len(wrong)} tensors do not fit the model of its configuration, first {wrong[0]!r} "
            f"(expected {expected.get(wrong[0], 'nothing')}, found {found.get(wrong[0], 'nothing')})."
        )
    module.load_state_dict({name: package.as_tensor(np.asarray(value, np.float32)) for name, value in state.items()})
    return module.eval().requires_grad_(False)


def _config(place: Path) -> dict[str, Any]:
    try:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        version, _ = config["format"], config["shape"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{place}: not a diffusion autoencoder (no usable {CONFIG}: {error}).") from None
    if version != FORMAT:
        raise SourceError(f"{place}: format {version!r}; this version of fairvl reads {FORMAT}.")
    return dict(config)


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise SourceError(f"{path}: not a readable safetensors file ({error}).") from None
