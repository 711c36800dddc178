"""The forward process and its deterministic reverse (DDIM): noising, sampling, inversion.

Levels of a run of k steps are ``tau_1 < ... < tau_k``, evenly spread over the training timesteps, below them the clean
image. With ``a`` the share of signal variance left at a level, a step from level t to level s is (Song et al. 2021,
arXiv 2010.02502, eq. 12, eta = 0)

    x_s = sqrt(a_s) x0(x_t) + sqrt(1 - a_s) eps(x_t)

Sampling walks it down. Inversion walks up: it solves the same equation for x_t, by evaluating the network at x_s first
and then at its own answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from .shape import Objective, Shape

Predict = Callable[[Any, Any], Any]
"""Network output for (x [n, ...], timesteps [n])."""


@dataclass(frozen=True, eq=False)
class Process:
    """The forward process of a model.

    Attributes
    ----------
    signal : float64 [T]
        Share of signal variance (the cumulative product of ``1 - beta``) after each timestep.
    objective : "v" or "eps"
        What the network's output means: the noise, or ``v = sqrt(a) eps - sqrt(1 - a) x0`` (Salimans and Ho 2022,
        arXiv 2202.00512).

    Examples
    --------
    >>> process = Process.linear(1000, (1e-4, 0.02), "v")
    >>> process.levels(4).tolist()
    [0, 250, 500, 750]
    """

    signal: NDArray[np.float64]
    objective: Objective = "v"

    @classmethod
    def of(cls, shape: Shape) -> Process:
        return cls.linear(shape.timesteps, shape.beta, shape.objective)

    @classmethod
    def linear(cls, timesteps: int, beta: tuple[float, float], objective: Objective = "v") -> Process:
        """Variances that rise linearly; given for 1,000 timesteps and scaled for any other number of them."""
        scale = 1000 / timesteps
        betas = np.linspace(beta[0] * scale, beta[1] * scale, timesteps).clip(max=0.999)
        return cls(np.cumprod(1 - betas), objective)

    @classmethod
    def constant(cls, timesteps: int, beta: float, objective: Objective = "eps") -> Process:
        """One variance at every timestep."""
        return cls(np.cumprod(np.full(timesteps, 1 - beta)), objective)

    def levels(self, steps: int) -> NDArray[np.int64]:
        """The timesteps of a run of so many steps, rising."""
        total = len(self.signal)
        if not isinstance(steps, int) or not 1 <= steps <= total:
            raise InputError(f"steps={steps!r}; expected a whole number from 1 to {total}.")
        return (np.arange(steps) * total) // steps

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """sqrt(a) and sqrt(1 - a) of timesteps, as float32 tensors that broadcast over images or codes."""
        import torch

        signal = torch.as_tensor(self.signal, device=t.device)[t]
        return signal.sqrt().float(), (1 - signal).sqrt().float()

    def noised(self, clean: Any, noise: Any, t: Any) -> Any:
        """`clean` with as much noise as timesteps `t` [n] have."""
        keep, add = (_spread(c, clean) for c in self.coefficients(t))
        return keep * clean + add * noise

    def target(self, clean: Any, noise: Any, t: Any) -> Any:
        """What the network is to predict."""
        if self.objective == "eps":
            return noise
        keep, add = (_spread(c, clean) for c in self.coefficients(t))
        return keep * noise - add * clean

    def split(self, x: Any, output: Any, level: int) -> tuple[Any, Any]:
        """The clean image and the noise that an output of the network at one level stands for."""
        a = float(self.signal[level])
        keep, add = a**0.5, (1 - a) ** 0.5
        if self.objective == "v":
            return keep * x - add * output, add * x + keep * output
        return (x - add * output) / keep, output


def _spread(values: Any, like: Any) -> Any:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _at(x: Any, level: int) -> Any:
    import torch

    return torch.full((len(x),), int(level), device=x.device, dtype=torch.long)


def sample(
    process: Process, predict: Predict, noise: Any, *, steps: int, grad_last: int = 0, clip: float | None = None
) -> Any:
    """From noise to the clean image in `steps` deterministic steps.

    Parameters
    ----------
    noise : tensor [n, ...]
        Taken as the image at the highest level.
    grad_last : int
        Steps at the end through which gradients flow; the ones before are constants.
    clip : float, optional
        Bound of the clean image that each step predicts. It breaks exact inversion, so it is off by default.
    """
    import torch

    if not 0 <= grad_last <= steps:
        raise InputError(f"grad_last={grad_last}; expected a whole number from 0 to steps={steps}.")
    levels, x = process.levels(steps), noise
    for place in range(steps - 1, -1, -1):
        with torch.set_grad_enabled(torch.is_grad_enabled() and place < grad_last):
            x = _step(process, predict, x, x, int(levels[place]), _share(process, levels, place - 1), clip)
    return x


def invert(
    process: Process, predict: Predict, clean: Any, *, steps: int, refinements: int = 0, extrapolate: bool = False
) -> Any:
    """The noise from which `sample` with the same steps gives `clean` back.

    Parameters
    ----------
    refinements : int
        How often each step is solved again at its own answer (a fixed-point iteration). With 0 it is plain DDIM
        inversion, whose error falls with the number of steps; each refinement costs as much again.
    extrapolate : bool
        Evaluate the network first not at the image below, but where the noise of the steps before leads, extended
        linearly: as good as a refinement or better, and free.
    """
    import torch

    if refinements < 0:
        raise InputError(f"refinements={refinements}; expected a whole number from 0.")
    levels, x = process.levels(steps), clean
    noises: list[Any] = []
    with torch.no_grad():
        for place, level in enumerate(levels.tolist()):
            below, here = _share(process, levels, place - 1), float(process.signal[level])
            guess = x
            if extrapolate and noises:
                led = noises[-1] if len(noises) == 1 else 2 * noises[-1] - noises[-2]
                guess = _lifted(x, led, below, here)
            for _ in range(refinements + 1):
                _, noise = process.split(guess, predict(guess, _at(guess, level)), level)
                guess = _lifted(x, noise, below, here)
            x, noises = guess, [*noises[-1:], noise]
    return x


def _lifted(x: Any, noise: Any, below: float, here: float) -> Any:
    """x = sqrt(below) x0 + sqrt(1 - below) eps, as sqrt(here) x0 + sqrt(1 - here) eps."""
    image = (x - (1 - below) ** 0.5 * noise) / below**0.5
    return here**0.5 * image + (1 - here) ** 0.5 * noise


def _share(process: Process, levels: NDArray[np.int64], place: int) -> float:
    return 1.0 if place < 0 else float(process.signal[levels[place]])


def _step(process: Process, predict: Predict, x: Any, at: Any, level: int, below: float, clip: float | None) -> Any:
    output = predict(at, _at(at, level))
    image, noise = process.split(at, output, level)
    if clip is not None:
        a = float(process.signal[level])
        image = image.clamp(-clip, clip)
        noise = (x - a**0.5 * image) / (1 - a) ** 0.5
    return below**0.5 * image + (1 - below) ** 0.5 * noise
