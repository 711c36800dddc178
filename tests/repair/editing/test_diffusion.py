"""The sampler against closed forms: normal data has a denoiser that can be written down, and a flow to solve."""

import numpy as np
import pytest
import torch

from fairvl.errors import InputError
from fairvl.repair.editing.diffae.diffusion import Process, invert, sample

MEAN, SPREAD = 0.4, 0.3


def exact(process):
    """The best possible output for data ~ N(MEAN, SPREAD^2): from the posterior mean of the clean value."""

    def predict(x, t):
        a = torch.as_tensor(process.signal)[t].reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
        clean = MEAN + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x - a.sqrt() * MEAN)
        noise = (x - a.sqrt() * clean) / (1 - a).sqrt()
        return noise if process.objective == "eps" else a.sqrt() * noise - (1 - a).sqrt() * clean

    return predict


@pytest.fixture(params=["v", "eps"])
def process(request):
    return Process.linear(1000, (1e-4, 0.02), request.param)


def test_signal_is_the_running_product_and_levels_are_even(process):
    a, beta = 1.0, []
    for i in range(1000):
        b = 1e-4 + (0.02 - 1e-4) * i / 999
        a *= 1 - b
        beta.append(a)
    np.testing.assert_allclose(process.signal, beta)
    assert process.levels(20).tolist() == list(range(0, 1000, 50))
    assert process.levels(3).tolist() == [0, 333, 666]
    with pytest.raises(InputError, match="steps=0"):
        process.levels(0)


def test_target_and_split_are_inverse(process):
    rng = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(5, 3, 2, 2, generator=rng), torch.randn(5, 3, 2, 2, generator=rng)
    t = torch.full((5,), 600)
    found = process.split(process.noised(clean, noise, t), process.target(clean, noise, t), 600)
    for ours, theirs in zip(found, (clean, noise), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_sampling_is_the_composition_of_the_affine_steps(process):
    """With the exact denoiser every DDIM step is affine in x; the composition is worked out by scalars in float64."""
    steps, levels = 7, process.levels(7)
    slope, shift = 1.0, 0.0
    for place in range(steps - 1, -1, -1):
        a = process.signal[levels[place]]
        below = process.signal[levels[place - 1]] if place else 1.0
        gain = a**0.5 * SPREAD**2 / (a * SPREAD**2 + 1 - a)
        # x0 = MEAN + gain (x - sqrt(a) MEAN);  eps = (x - sqrt(a) x0) / sqrt(1 - a)
        x0 = (gain, MEAN - gain * a**0.5 * MEAN)
        eps = ((1 - a**0.5 * x0[0]) / (1 - a) ** 0.5, -(a**0.5) * x0[1] / (1 - a) ** 0.5)
        step = [below**0.5 * u + (1 - below) ** 0.5 * v for u, v in zip(x0, eps, strict=True)]
        slope, shift = step[0] * slope, step[0] * shift + step[1]
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    made = sample(process, exact(process), noise, steps=steps)
    np.testing.assert_allclose(made.numpy()[:, 0], slope * noise.numpy()[:, 0] + shift, atol=1e-9)


def test_many_steps_draw_the_data(process):
    noise = torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    made = sample(process, exact(process), noise, steps=250).numpy()
    assert abs(made.mean() - MEAN) < 0.02
    assert abs(made.std() - SPREAD) < 0.02


def test_inversion_comes_back_and_refinement_brings_it_closer(process):
    clean = torch.linspace(-0.5, 1.2, 12, dtype=torch.float64)[:, None]
    errors = []
    for steps, refinements in ((10, 0), (10, 1), (10, 3), (100, 0)):
        noise = invert(process, exact(process), clean, steps=steps, refinements=refinements)
        back = sample(process, exact(process), noise, steps=steps)
        errors.append(float((back - clean).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[3] < errors[0] / 3
    assert errors[2] < 0.1
    far = sample(process, exact(process), torch.zeros_like(clean), steps=10)
    assert float((far - clean).abs().max()) > 5 * errors[2]  # the noise is what brings the images back


def test_extrapolation_helps_and_costs_nothing(process):
    clean = torch.linspace(-0.5, 1.2, 12, dtype=torch.float64)[:, None]

    def error(steps, **options):
        calls = []

        def predict(x, t):
            calls.append(len(x))
            return exact(process)(x, t)

        noise = invert(process, predict, clean, steps=steps, **options)
        return float((sample(process, exact(process), noise, steps=steps) - clean).abs().max()), len(calls)

    for steps in (10, 40):
        plain, led, refined = error(steps), error(steps, extrapolate=True), error(steps, refinements=1)
        assert led[0] < 0.5 * plain[0]
        assert led[1] == plain[1] == steps == refined[1] / 2
    assert error(40, extrapolate=True)[0] < refined[0]
    assert error(1, extrapolate=True) == error(1)  # nothing came before


def test_gradients_flow_through_the_last_steps_only(process):
    def made(code, grad_last):
        calls = []

        def predict(x, t):
            calls.append(torch.is_grad_enabled())
            return exact(process)(x, t) * 0.5 + code

        return sample(process, predict, torch.ones(2, 1, dtype=torch.float64), steps=6, grad_last=grad_last), calls

    slopes = {}
    for grad_last in (1, 4, 6):
        code = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
        out, calls = made(code, grad_last)
        out.sum().backward()
        assert calls == [False] * (6 - grad_last) + [True] * grad_last
        slopes[grad_last] = float(code.grad)
    step = 1e-6
    with torch.no_grad():
        ends = [made(torch.tensor(0.1 + d, dtype=torch.float64), 6)[0].sum() for d in (-step, step)]
    assert slopes[6] == pytest.approx(float(ends[1] - ends[0]) / (2 * step), rel=1e-4)
    assert abs(slopes[1] - slopes[6]) > 1e-3
    out, _ = made(torch.tensor(0.1, requires_grad=True, dtype=torch.float64), 0)
    assert not out.requires_grad
    with pytest.raises(InputError, match="grad_last=7"):
        made(torch.tensor(0.1), 7)


def test_clip_bounds_what_each_step_predicts(process):
    noise = torch.full((3, 1), 40.0, dtype=torch.float64)
    free = sample(process, exact(process), noise, steps=5)
    bound = sample(process, exact(process), noise, steps=5, clip=1.0)
    assert float(free.abs().max()) > 1.0
    assert float(bound.abs().max()) <= 1.0 + 1e-9
