"""The diffusion autoencoder as an editor and as a code space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....errors import InputError
from ....sources.encoders.seam import need
from ..seam import (
    CAPABILITIES,
    Codes,
    CodeStats,
    Editor,
    EditorCard,
    Images,
    Path,
    State,
    check_seeds,
    check_strength,
    square_images,
)
from .diffusion import Process, invert, sample
from .files import Parts, read_model, torch
from .shape import Shape
from .training import as_images, as_input, latent_process

LATENT_STEPS = 50
PRECISIONS = ("no", "bf16")


@final
class DiffAE(Editor):
    """A diffusion autoencoder: semantic code and noise, of which an edit moves the code alone.

    Parameters
    ----------
    parts : Parts
        See `read_model` and `read_published`; `DiffAE.load` for a folder.
    steps : int
        Deterministic sampling steps, of inversion too.
    refinements : int
        How often each step of the inversion is solved again; 0 is plain DDIM inversion.
    extrapolate : bool
        See `invert`: with 0 refinements about as exact as with 1, at half the cost.
    inversion : bool
        Whether `encode` finds the noise of each image. If not, noise is drawn from its seed: faster, and the image is
        redrawn from its code alone.
    fit : "refuse", "crop" or "pad"
        What to do with images that are not square.
    precision : "no" or "bf16"
        Autocast of the denoiser: faster where the processor multiplies bfloat16; pixels differ by a rounding or two.
    device, batch_size

    Examples
    --------
    >>> editor = DiffAE.random("faces-32", seed=0)
    >>> state = editor.encode(np.zeros((2, 40, 40, 3), np.uint8))
    >>> state.codes.shape, state.noise.shape, editor.decode(state).shape
    ((2, 32), (2, 3, 32, 32), (2, 32, 32, 3))
    """

    def __init__(
        self, parts: Parts, *, steps: int = 20, refinements: int = 1, extrapolate: bool = False,
        inversion: bool = True, fit: str = "refuse", precision: str = "no", device: str = "cpu", batch_size: int = 64,
    ) -> None:  # fmt: skip
        if batch_size < 1 or refinements < 0 or precision not in PRECISIONS:
            raise InputError(
                f"batch_size={batch_size}, refinements={refinements}, precision={precision!r}; expected numbers from "
                f"1 and 0, and one of {', '.join(PRECISIONS)}."
            )
        self.parts, self.steps, self.refinements, self.extrapolate = parts, steps, refinements, extrapolate
        self.inversion, self.fit, self.device, self.batch_size = inversion, fit, device, batch_size
        self.precision = precision
        self.process = Process.of(parts.shape)
        self.process.levels(steps)
        # on a processor convolutions are a tenth to a fifth faster with channels last
        self._layout = torch().channels_last if device == "cpu" else torch().contiguous_format
        self._module = parts.autoencoder.to(device, memory_format=self._layout)
        self._latent = parts.latent.to(device) if parts.latent is not None else None
        without = ({"samples"} if parts.latent is None else set()) | (set() if inversion else {"invertible"})
        self.capabilities = CAPABILITIES - without

    @classmethod
    def load(cls, folder: FilePath | str, **options: Any) -> DiffAE:
        """The model of a folder that `train_diffae` or `write_model` wrote."""
        return cls(read_model(folder), **options)

    @classmethod
    def random(cls, shape: str | Shape, seed: int = 0, **options: Any) -> DiffAE:
        """A model with random weights, for tests."""
        from .files import autoencoder, latent_network
        from .shape import configuration

        sizes, package = configuration(shape), torch()
        with package.random.fork_rng(devices=[]):
            package.manual_seed(seed)
            modules = [made(sizes).eval().requires_grad_(False) for made in (autoencoder, latent_network)]
        flat = CodeStats(*(np.full(sizes.code, value) for value in (0.0, 1.0, -4.0, 4.0)))
        return cls(Parts(sizes, modules[0], flat, modules[1], f"random-{seed}"), **options)

    @property
    def card(self) -> EditorCard:
        parts = self.parts
        settings = {
            "steps": self.steps, "refinements": self.refinements, "inversion": self.inversion, "fit": self.fit,
            "objective": parts.shape.objective, "code": parts.shape.code,
        }  # fmt: skip
        if self.extrapolate or self.precision != "no":
            settings |= {"extrapolate": self.extrapolate, "precision": self.precision}
        return EditorCard(
            family="diffae", name=parts.name, weights=parts.weights, size=parts.shape.size, licence=parts.licence,
            training_data=parts.training_data, settings=settings,
        )  # fmt: skip

    @property
    def dim(self) -> int:
        """Length of a code."""
        return self.parts.shape.code

    @property
    def stats(self) -> CodeStats:
        """Statistics of the codes of the training images."""
        return self.parts.stats

    def encode(self, images: Sequence[Any] | Images, *, seeds: Sequence[int] | None = None) -> State:
        """Codes, and the noise from which sampling gives the images back (or noise of the seeds; see `inversion`)."""
        pixels = square_images(images, self.parts.shape.size, fit=self.fit)
        marks = check_seeds(seeds, len(pixels))
        codes, noises = [], []
        package = torch()
        for start in range(0, len(pixels), self.batch_size):
            with package.no_grad():
                x = as_input(pixels[start : start + self.batch_size], self.device)
                code = self._module.encode(x)
                codes.append(code.cpu().numpy().astype(np.float32))
                if self.inversion:
                    noise = invert(
                        self.process, self._predict(code), x, steps=self.steps, refinements=self.refinements,
                        extrapolate=self.extrapolate,
                    )  # fmt: skip
                    noises.append(noise.cpu().numpy().astype(np.float32))
        noise_of_all = np.concatenate(noises) if noises else self._drawn(marks)
        return State(codes=np.concatenate(codes), noise=noise_of_all, seeds=marks)

    def again(self, images: Sequence[Any] | Images, state: State, seeds: Sequence[int]) -> State:
        """See `Editor.again`: codes stay, and so does inverted noise."""
        marks = check_seeds(seeds, len(state))
        return replace(state, noise=state.noise if self.inversion else self._drawn(marks), seeds=marks)

    def edit(self, state: State, change: Path | str, strength: float | ArrayLike = 1.0) -> State:
        """The state with its codes moved along a path; the noise stays."""
        if isinstance(change, str) or not callable(change):
            raise InputError(
                f"a diffusion autoencoder is edited along a path, found {change!r}. Learn one with PathModel.fit, and "
                "pass model.path(attribute)."
            )
        codes, _ = _held(state)
        amounts = check_strength(strength, len(state))
        moved = np.asarray(change(codes, amounts), dtype=np.float32)
        if moved.shape != codes.shape or not np.isfinite(moved).all():
            raise InputError(f"the path gave codes {moved.shape}; expected finite numbers {codes.shape}.")
        return State(codes=moved, noise=state.noise, images=state.images, seeds=state.seeds, strengths=amounts)

    def decode(self, state: State) -> Images:
        """Images of codes and noise."""
        codes, noise = _held(state)
        package, parts = torch(), []
        with package.no_grad():
            for start in range(0, len(codes), self.batch_size):
                rows = slice(start, start + self.batch_size)
                parts.append(as_images(self.render(codes[rows], noise[rows], steps=self.steps)))
        return np.concatenate(parts)

    def sample(self, n: int, seed: int = 0, *, steps: int = LATENT_STEPS) -> Codes:
        """Codes drawn by the latent diffusion model, [n, dim], in the model's own scale; row i from i and seed."""
        self.require("samples")
        package = torch()
        drawn = np.stack([_normal(seed, i, 1, (self.dim,)) for i in range(n)]) if n else np.zeros((0, self.dim))
        with package.no_grad():
            x = package.from_numpy(drawn.astype(np.float32)).to(self.device)
            assert self._latent is not None
            scores = sample(latent_process(self.parts.shape), self._latent, x, steps=steps).cpu().numpy()
        return np.asarray(self.stats.restore(scores), dtype=np.float32)

    def noise(self, n: int, seed: int = 0) -> Codes:
        """Standard normal noise [n, 3, size, size]; row i follows from i and seed."""
        size = self.parts.shape.size
        return np.stack([_normal(seed, i, 0, (3, size, size)) for i in range(n)])

    def state(self, codes: ArrayLike, *, seeds: Sequence[int] | None = None) -> State:
        """A state of codes, with noise drawn from the seeds: for sampled codes."""
        values = np.asarray(codes, dtype=np.float32)
        marks = check_seeds(seeds, len(values))
        return State(codes=values, noise=self._drawn(marks), seeds=marks)

    def render(self, codes: Any, noise: Any, *, steps: int = 20, grad_last: int = 0) -> Any:
        """Tensor ``[n, 3, size, size]``, about in [-1, 1]; gradients of the codes flow through the last steps."""
        package = torch()
        z, x = (package.as_tensor(value, dtype=package.float32, device=self.device) for value in (codes, noise))
        return sample(self.process, self._predict(z), x, steps=steps, grad_last=grad_last)

    def _predict(self, code: Any) -> Any:
        package, half = torch(), self.precision == "bf16"

        def predict(x: Any, t: Any) -> Any:
            with package.autocast(package.device(self.device).type, dtype=package.bfloat16, enabled=half):
                return self._module(x.contiguous(memory_format=self._layout), t, code).float()

        return predict

    def _drawn(self, seeds: Sequence[int]) -> Codes:
        size = self.parts.shape.size
        return np.stack([_normal(seed, 0, 2, (3, size, size)) for seed in seeds])


def _normal(seed: int, row: int, stream: int, size: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng([seed, row, stream]).standard_normal(size, dtype=np.float32)


def _held(state: State) -> tuple[Codes, Codes]:
    if state.codes is None or state.noise is None:
        raise InputError("the state holds no codes or no noise; expected one that this editor's `encode` gave.")
    return state.codes, state.noise


def load_world_editor(**options: Any) -> DiffAE:
    """The world's diffusion autoencoder, which ships with the package."""
    need("torch")
    from importlib.resources import files

    return DiffAE.load(FilePath(str(files("fairvl.sources.world"))) / "models" / "diffae", **options)
