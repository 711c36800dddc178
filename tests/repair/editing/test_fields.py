"""The radial fields are gradients: of sums of bumps, held to finite differences and to wide floating point."""

import numpy as np
import pytest
import torch

from fairvl.errors import InputError
from fairvl.repair.editing.fields import direction

AXIS = np.array([1.0, 0, 0, 0])


def setting(field, seed=0, n=6, q=3, d=4):
    rng = np.random.default_rng(seed)
    widths = rng.uniform(-2, 0.5, (2 * q, d) if field == "elliptic" else 2 * q)
    return rng.standard_normal((n, d)), rng.standard_normal((2 * q, d)), widths


def bumps(field, s, supports, log_gammas):
    """The potential that a field is the gradient of, written out plainly."""
    gammas, total = np.exp(log_gammas), 0.0
    if field == "ratio":
        kernel = np.exp(-gammas * ((s - supports) ** 2).sum(axis=1))
        return np.log(kernel[: len(supports) // 2].sum() / kernel[len(supports) // 2 :].sum())
    for i, support in enumerate(supports):
        if field == "signed":
            sign = 1 if i < len(supports) // 2 else -1
            total += sign * np.exp(-gammas[i] * ((s - support) ** 2).sum())
        else:
            total += np.exp(-gammas[i] * (s - support) ** 2).sum()
    return total


@pytest.mark.parametrize("field", ["signed", "elliptic", "ratio"])
def test_direction_is_the_normalised_numerical_gradient(field):
    points, supports, widths = setting(field)
    if field == "ratio":
        widths = np.full(len(supports), -1.0)
    ours = direction(field, points, supports, widths, AXIS)
    step = 1e-6
    for row, point in enumerate(points):
        slope = [
            (bumps(field, point + step * unit, supports, widths) - bumps(field, point - step * unit, supports, widths))
            / (2 * step)
            for unit in np.eye(4)
        ]
        np.testing.assert_allclose(ours[row], slope / np.linalg.norm(slope), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1)


@pytest.mark.parametrize("field", ["signed", "elliptic"])
def test_far_from_all_supports_the_direction_survives(field):
    points, supports, widths = setting(field, seed=1)
    points = points + np.where(np.arange(6)[:, None] < 3, 90, 0)
    gammas = np.exp(widths)
    shaped = gammas if field == "elliptic" else gammas[:, None]
    away = points[:, None] - supports[None]
    exponents = away**2 * shaped if field == "elliptic" else (away**2).sum(-1, keepdims=True) * shaped[None]
    signs = np.where(np.arange(6) < 3, 1.0, -1.0)[None, :, None] if field == "signed" else 1.0

    def gradient(kind):
        kernel = np.exp(-exponents.astype(kind))
        return -(signs * shaped[None].astype(kind) * kernel * away).sum(1)

    plain = np.abs(gradient(np.float64)).max(axis=1)
    assert (plain == 0).any()  # the written-out formula underflows: the test has something to show
    wide = gradient(np.longdouble)
    wide /= np.abs(wide).max(axis=1, keepdims=True)
    wide = (wide / np.sqrt((wide**2).sum(1, keepdims=True))).astype(np.float64)
    np.testing.assert_allclose(direction(field, points, supports, widths, AXIS), wide, atol=1e-9)


def test_centre_of_an_unsigned_pair_gives_the_fallback_not_nan():
    supports, widths = np.array([[-1.0, -2, -1, -3], [1.0, 2, 1, 3]]), np.zeros((2, 4))
    centre = np.zeros((1, 4))
    with np.errstate(invalid="ignore"):
        naive = np.zeros(4) / np.linalg.norm(np.zeros(4))
    assert np.isnan(naive).all()
    np.testing.assert_array_equal(direction("elliptic", centre, supports, widths, AXIS), AXIS[None])
    near = direction("elliptic", centre + 1e-3, supports, widths, AXIS)
    assert np.isfinite(near).all()
    assert not np.allclose(near, AXIS)
    parameter = torch.tensor(supports, requires_grad=True)
    moved = direction("elliptic", torch.tensor(centre), parameter, torch.tensor(widths), torch.tensor(AXIS))
    moved.sum().backward()
    assert torch.isfinite(parameter.grad).all()


def test_signed_field_leads_to_the_positive_support_and_from_the_negative_one():
    supports = np.array([[3.0, 0, 0, 0], [-3.0, 0, 0, 0]])
    points = np.array([[0.0, 0, 0, 0], [1, 0, 0, 0], [-4, 0, 0, 0]])
    found = direction("signed", points, supports, np.full(2, -3.0), AXIS)
    np.testing.assert_allclose(found[:2], np.tile(AXIS, (2, 1)), atol=1e-9)
    assert found[2, 0] < 0  # beyond the negative support, away from it leads outwards


@pytest.mark.parametrize("field", ["linear", "signed", "elliptic", "ratio"])
def test_tensors_give_what_arrays_give(field):
    points, supports, widths = setting(field, seed=2)
    arrays = direction(field, points, supports, widths, AXIS)
    tensors = direction(field, *map(torch.tensor, (points, supports, widths, AXIS)))
    np.testing.assert_allclose(tensors.numpy(), arrays, atol=1e-12)


def test_ratio_moves_each_point_from_its_own_kind_and_does_not_pull_points_together():
    kinds = np.array([[3.0, 0, 0, 0], [-3.0, 0, 0, 0]])  # two kinds of one pole, on either side of the other pole
    supports, widths = np.concatenate([kinds, np.zeros((2, 4))]), np.full(4, -1.0)
    points = np.array([[3.0, 2, -4, 1], [-3.0, -2, 4, 0]])
    found = direction("ratio", points, supports, widths, AXIS)
    np.testing.assert_allclose(found, [[1, 0, 0, 0], [-1, 0, 0, 0]], atol=0.02)
    pulled = direction("signed", points, supports, widths, AXIS)
    assert np.abs(pulled[:, 1:]).max() > 0.5  # which the signed field does: it moves everything else too
    alone = direction("ratio", points, supports[[0, 2]], widths[:2], AXIS)
    np.testing.assert_allclose(alone, np.tile(AXIS, (2, 1)), atol=1e-12)  # one support a pole: linear


def test_ratio_survives_far_from_all_supports():
    points, supports, widths = setting("ratio")
    found = direction("ratio", points * 1e4, supports, widths, AXIS)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    same = np.zeros((4, 4))
    np.testing.assert_array_equal(direction("ratio", points, same, np.zeros(4), AXIS), np.tile(AXIS, (6, 1)))


def test_unknown_field_is_refused():
    points, supports, widths = setting("signed")
    with pytest.raises(InputError, match="'round'; expected one of linear"):
        direction("round", points, supports, widths, AXIS)
