"""Training: the autoencoder on images, then the network that draws codes; averaged weights, exact resume.

Both use the one training loop, `fairvl.jobs.training`. The running averages are buffers of the trained module, so its
checkpoints hold them and a killed run goes on to the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....fingerprints import fingerprint
from ....jobs.share import Share
from ....jobs.training import Optimisation, Precision, TrainingRun, train
from ..seam import CodeStats
from .diffusion import Process
from .files import Parts, autoencoder, latent_network, read_model, torch, write_model
from .shape import Shape, configuration

LATENT = "latent"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Attributes
    ----------
    steps, batch, lr, precision
        Of the autoencoder; the rate falls as a cosine. `precision` is "no", "bf16" or "fp16".
    latent_steps, latent_batch, latent_lr
        Of the network that draws codes; 0 steps leave it out.
    average : float
        Decay of the running average of the weights, reached after a warm-up; the average is what is kept.
    weight_decay : float
    flip : bool
        Whether images are mirrored at random.
    seed : int
    """

    steps: int = 3000
    batch: int = 32
    lr: float = 2e-3
    precision: Precision = "no"
    latent_steps: int = 3000
    latent_batch: int = 256
    latent_lr: float = 1e-3
    average: float = 0.995
    weight_decay: float = 0.01
    flip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("latent_steps", 0), ("latent_batch", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)}; expected a whole number from {least}.")
        if not 0 <= self.average < 1:
            raise InputError(f"average={self.average}; expected a decay in [0, 1).")


def train_diffae(
    images: NDArray[np.uint8],
    out: Path | str,
    *,
    shape: str | Shape = "faces-32",
    recipe: Recipe | None = None,
    name: str = "diffae",
    licence: str | None = None,
    training_data: str | None = None,
    device: str = "cpu",
    checkpoint_every: int = 250,
) -> TrainingRun:
    """Train a diffusion autoencoder on images; killed at any moment, the same call goes on to the same bytes.

    Parameters
    ----------
    images : uint8 [n, size, size, 3]
    out : path
        Gets ``config.json``, ``model.safetensors`` (averaged weights, float32) and ``losses.jsonl``; and, where codes
        are to be drawn, the whole model again in ``latent/``, which is then the one to load.
    shape : name of a configuration, or Shape
    recipe : Recipe
    checkpoint_every : int
        Steps that a kill can cost; it changes no number.

    Returns
    -------
    TrainingRun
        Of the autoencoder.

    Notes
    -----
    The loss of the autoencoder is the mean squared error of what the denoiser predicts at a random timestep, with the
    encoder's code as condition; there is no other term on the code.
    """
    sizes, how = configuration(shape), recipe or Recipe()
    _check(images, sizes)
    package = torch()
    with package.random.fork_rng(devices=[]):
        package.manual_seed(how.seed)
        module = averaged(autoencoder(sizes)).to(device)
    process = Process.of(sizes)
    about: dict[str, Any] = {"name": name, "licence": licence, "training_data": training_data}
    config = {"shape": sizes.as_dict(), "recipe": _plain(how), "images": fingerprint(images.tobytes()), **about}

    def learn(step: int, share: Share) -> Mapping[str, Any]:
        module.follow(step, how.average)
        rng = np.random.default_rng([how.seed, step])
        rows, places = rng.integers(0, len(images), how.batch), rng.permutation(how.batch)
        picked = images[rows]
        if how.flip:
            picked = np.where((rng.random(how.batch) < 0.5)[:, None, None, None], picked[:, :, ::-1], picked)
        # one timestep from each of `batch` equal ranges: the same expectation with less noise
        times = ((places + rng.random(how.batch)) / how.batch * sizes.timesteps).astype(np.int64)
        noise = rng.standard_normal((how.batch, 3, sizes.size, sizes.size), dtype=np.float32)
        total = package.zeros((), device=share.device)
        for piece in share.pieces(how.batch):
            x = as_input(picked[piece], share.device)
            t, added = (package.from_numpy(values[piece]).to(share.device) for values in (times, noise))
            with share.autocast():
                output = module.module(process.noised(x, added, t), t, module.module.encode(x))
                loss = (output.float() - process.target(x, added, t)).square().mean((1, 2, 3)).sum() / how.batch
            share.backward(loss)
            total += loss.detach()
        return {"loss": total}

    def finish(folder: Path) -> Mapping[str, Any]:
        module.follow(how.steps, how.average)
        model = module.average()
        stats = CodeStats.of(codes_of(model, images, device))
        write_model(folder, Parts(sizes, model, stats, **about))
        return {"parameters": sum(p.numel() for p in model.parameters())}

    optimisation = Optimisation(
        steps=how.steps, lr=how.lr, warmup=min(100, how.steps // 10), weight_decay=how.weight_decay,
        precision=how.precision, dropout=sizes.dropout > 0,
    )  # fmt: skip
    run = train(
        module, learn, out, optimisation=optimisation, config=config, finish=finish, seed=how.seed,
        checkpoint_every=checkpoint_every, name="autoencoder",
    )  # fmt: skip
    if how.latent_steps:
        _train_latent(images, Path(out), how, device, checkpoint_every)
    return run


def _train_latent(images: NDArray[np.uint8], out: Path, how: Recipe, device: str, checkpoint_every: int) -> None:
    package, parts = torch(), read_model(out)
    codes = parts.stats.normalise(codes_of(parts.autoencoder.to(device), images, device)).astype(np.float32)
    with package.random.fork_rng(devices=[]):
        package.manual_seed(how.seed)
        module = averaged(latent_network(parts.shape)).to(device)
    process = latent_process(parts.shape)

    def learn(step: int, share: Share) -> Mapping[str, Any]:
        module.follow(step, how.average)
        rng = np.random.default_rng([how.seed, step, 1])
        rows = rng.integers(0, len(codes), how.latent_batch)
        times = rng.integers(0, parts.shape.timesteps, how.latent_batch)
        noise = rng.standard_normal((how.latent_batch, parts.shape.code), dtype=np.float32)
        total = package.zeros((), device=share.device)
        for piece in share.pieces(how.latent_batch):
            x, t, added = (package.from_numpy(v[piece]).to(share.device) for v in (codes[rows], times, noise))
            with share.autocast():
                output = module.module(process.noised(x, added, t), t)
                loss = (output.float() - added).abs().mean(1).sum() / how.latent_batch
            share.backward(loss)
            total += loss.detach()
        return {"loss": total}

    def finish(folder: Path) -> Mapping[str, Any]:
        module.follow(how.latent_steps, how.average)
        parts.latent = module.average()
        write_model(folder, parts)
        return {"parameters": sum(p.numel() for p in parts.latent.parameters())}

    optimisation = Optimisation(
        steps=how.latent_steps, lr=how.latent_lr, warmup=min(100, how.latent_steps // 10), schedule="cosine",
        weight_decay=how.weight_decay, precision=how.precision,
    )  # fmt: skip
    train(
        module, learn, out / LATENT, optimisation=optimisation, finish=finish, seed=how.seed,
        config={"recipe": _plain(how), "autoencoder": parts.weights}, checkpoint_every=checkpoint_every, name=LATENT,
    )  # fmt: skip


def latent_process(shape: Shape) -> Process:
    """The forward process of codes: one constant variance."""
    from .latent import BETA

    return Process.constant(shape.timesteps, BETA)


def averaged(module: Any) -> Any:
    """`module` beside a running average of its parameters (``.module``, ``.follow(step, decay)``, ``.average()``)."""
    from .average import Averaged

    return Averaged(module)


def as_input(images: NDArray[np.uint8], device: Any) -> Any:
    """uint8 [n, h, w, 3] as float32 [n, 3, h, w] in [-1, 1]."""
    package = torch()
    pixels = package.from_numpy(np.ascontiguousarray(images)).to(device)
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def as_images(pixels: Any) -> NDArray[np.uint8]:
    """The inverse of `as_input`, rounded and clipped."""
    levels = ((pixels.detach().clamp(-1, 1) + 1) * 127.5).round().byte()
    images: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return images


def codes_of(module: Any, images: NDArray[np.uint8], device: Any, batch: int = 256) -> NDArray[np.float32]:
    """Codes [n, d] of images by an autoencoder."""
    package, parts = torch(), []
    with package.no_grad():
        for start in range(0, len(images), batch):
            parts.append(module.encode(as_input(images[start : start + batch], device)).float().cpu().numpy())
    return np.concatenate(parts)


def _check(images: NDArray[np.uint8], shape: Shape) -> None:
    expected = (shape.size, shape.size, 3)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
        raise InputError(f"training images; expected uint8 [n, {shape.size}, {shape.size}, 3]. See square_images.")
    if len(images) < 2:
        raise InputError(f"{len(images)} training images; expected at least 2.")


def _plain(how: Recipe) -> dict[str, Any]:
    return {name: getattr(how, name) for name in how.__dataclass_fields__}
