"""The ramp: 0.15, 0.575 and 1 at 0, 1/2 and 1 of training, and what the released code does instead."""

from __future__ import annotations

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.pretraining import neutral_probability, released_ramp


@pytest.mark.parametrize("steps", [2, 100, 2213, 10849])
def test_the_ramp_is_linear_in_the_global_step(steps):
    if steps % 2 == 0:
        assert neutral_probability(steps // 2, steps) == pytest.approx(0.575, abs=1e-12)
    assert neutral_probability(0, steps) == 0.15
    assert neutral_probability(steps, steps) == 1.0
    curve = np.array([neutral_probability(step, steps) for step in range(steps + 1)])
    assert np.diff(curve) == pytest.approx(0.85 / steps)


@pytest.mark.parametrize("wrong", [(-1, 10), (11, 10), (0, 0)])
def test_steps_outside_the_training_are_refused(wrong):
    with pytest.raises(InputError):
        neutral_probability(*wrong)
    with pytest.raises(InputError):
        neutral_probability(0, 10, start=1.2)


@pytest.mark.parametrize(
    ("dataset", "batch", "samples"), [(566_747, 64, 279), (2_780_000, 64, 620), (566_747, 256, 139)]
)
def test_the_released_ramp_is_neutral_after_a_few_hundred_samples(dataset, batch, samples):
    p, total = 0.15, dataset / batch
    for s in range(1, 10_000):  # the recurrence, one sample at a time
        p += (1 - p) * s / total
        if p > 0.99:
            break
    curve = released_ramp(1000, dataset, batch)
    assert int((curve > 0.99).argmax()) == s
    assert s == samples
    assert curve[s] == pytest.approx(p, abs=1e-12)
    assert s / dataset < 0.0005  # where the curve that is meant is still at 0.15
    assert neutral_probability(s, dataset) < 0.151
