"""How likely a sample is to show its neutral caption, as training goes on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

START, END = 0.15, 1.0


def neutral_probability(step: int, steps: int, start: float = START, end: float = END) -> float:
    """Probability that a sample shows its neutral caption at a step of training: linear in the part that is done.

    Driven by the global step alone, so that neither workers nor the size of a batch change it (Cabello et al. 2023,
    the curve that the paper means; `released_ramp` is what its code does).

    Parameters
    ----------
    step : int
        Steps done, 0 to `steps`.
    steps : int
        Steps of the whole training.

    Raises
    ------
    InputError
        A step outside the training, or a probability outside [0, 1].

    Examples
    --------
    >>> [round(neutral_probability(step, 1000), 3) for step in (0, 500, 1000)]
    [0.15, 0.575, 1.0]
    """
    if not 0 <= step <= steps or steps < 1 or not (0 <= start <= 1 and 0 <= end <= 1):
        raise InputError(
            f"step={step} of steps={steps}, start={start}, end={end}; expected a step of the training and two "
            "probabilities."
        )
    return start + (end - start) * step / steps


def released_ramp(samples: int, dataset: int, batch_size: int, start: float = START) -> NDArray[np.float64]:
    """The ramp of the released code, for comparison: the probability after each of so many samples of one worker.

    The code moves ``p`` by ``(1 - p) s / T`` at the s-th sample of a worker, with T the number of batches, where the
    paper means steps: the run is all but wholly neutral after a few hundred samples.

    Parameters
    ----------
    samples : int
        Samples that the worker has seen.
    dataset, batch_size : int
        Samples in an epoch, and in a batch: ``T = dataset / batch_size``.

    Returns
    -------
    float64 [samples + 1]
        Before any sample, and after each.

    Examples
    --------
    >>> p = released_ramp(400, 566_747, 64)
    >>> round(float(p[0]), 3), int((p > 0.99).argmax())
    (0.15, 279)
    """
    if samples < 0 or dataset < 1 or batch_size < 1 or not 0 <= start <= 1:
        raise InputError(f"samples={samples}, dataset={dataset}, batch_size={batch_size}, start={start}.")
    moved = np.minimum(np.arange(1, samples + 1) * (batch_size / dataset), 1.0)
    left: NDArray[np.float64] = np.concatenate([[1.0], np.cumprod(1.0 - moved)])
    return 1.0 - (1.0 - start) * left
