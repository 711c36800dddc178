"""The circle method: where the line meets the circle, what shrinks, the utility bound, inputs at the edge."""

import numpy as np
import pytest

from fairvl.errors import OperatorError
from fairvl.repair.debias import CircleMethod, CircleOperator, utility_bound


@pytest.fixture
def operator(slow):
    return CircleMethod().fit(slow.rows(0, 6, 48), ["a", "a", "b", "b", "c", "c"])


def parts(operator, rows):
    inside = rows @ operator.basis.T @ operator.basis
    return np.linalg.norm(inside, axis=1), np.linalg.norm(rows - inside, axis=1)


def mixed(slow, operator, n=10_000):
    """Unit vectors with every share inside the attribute space, from almost none to almost all."""
    rows = slow.rows(1, n, operator.dim)
    inside = rows @ operator.basis.T @ operator.basis
    share = np.random.default_rng(2).uniform(0.001, 0.999, (n, 1))
    return slow.unit(share * slow.unit(inside) + np.sqrt(1 - share**2) * slow.unit(rows - inside))


def test_the_result_lies_on_the_line_and_on_the_circle(slow, operator):
    rows = mixed(slow, operator)
    a, b = parts(operator, rows)
    alpha, beta = parts(operator, operator(rows))
    e = a + (1 - b) / a
    np.testing.assert_allclose(e * alpha + b * beta, 1.0, atol=1e-9)
    np.testing.assert_allclose(alpha**2 + beta**2, 1.0, atol=1e-12)
    other = (e + b * np.sqrt(e**2 - a**2)) / (e**2 + b**2)  # the line meets the circle twice
    assert (alpha <= other + 1e-12).all()
    assert abs(alpha - a).max() > 0.1


def test_what_is_inside_shrinks_by_one_factor_and_never_turns(slow, operator):
    rows = mixed(slow, operator)
    after = operator(rows)
    a, _ = parts(operator, rows)
    alpha, _ = parts(operator, after)
    assert (alpha < a).all()
    np.testing.assert_allclose(after @ operator.basis.T, (alpha / a)[:, None] * (rows @ operator.basis.T), atol=1e-10)
    small = a < 0.01
    np.testing.assert_allclose((alpha / a)[small], (3 - np.sqrt(5)) / 2, atol=1e-3)


def test_cosines_of_images_and_texts_stay_within_the_bound(slow, operator):
    images, texts = mixed(slow, operator), slow.rows(3, 10_000, operator.dim)
    after = operator(images), operator(texts)
    change = abs(np.sum(images * texts, axis=1) - np.sum(after[0] * after[1], axis=1))
    bound = utility_bound(images, after[0]) + utility_bound(texts, after[1])
    assert (change <= bound + 1e-12).all()
    assert change.max() > 0.3 * bound.max()  # not an empty promise
    loss = 1 - np.sum(images * after[0], axis=1)
    np.testing.assert_allclose(utility_bound(images, after[0]), np.sqrt(2 * loss), atol=1e-6)
    aligned = images + 0.5 * operator.basis[0]
    assert (utility_bound(images, aligned) != utility_bound(images, after[0])).any()


def test_nothing_inside_and_nothing_outside_return_the_input(slow, operator):
    inside = slow.unit(slow.rows(4, 5, operator.rank) @ operator.basis)
    rows = slow.rows(5, 5, operator.dim)
    outside = slow.unit(rows - rows @ operator.basis.T @ operator.basis)
    given = np.concatenate([inside, outside, np.zeros((1, operator.dim))])
    np.testing.assert_allclose(operator(given), given, atol=1e-12)
    assert abs(operator(rows) - rows).max() > 0.01


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_length_is_kept_and_does_not_matter(slow, operator, scale):
    rows = slow.rows(6, 20, operator.dim)
    np.testing.assert_allclose(operator(scale * rows), scale * operator(rows), rtol=1e-9)


def test_small_inside_parts_keep_their_digits(operator, slow):
    rows = slow.rows(7, 4, operator.dim)
    outside = slow.unit(rows - rows @ operator.basis.T @ operator.basis)
    near = slow.unit(outside + 1e-5 * operator.basis[0])
    after = operator(near) @ operator.basis[0]
    np.testing.assert_allclose(after, 1e-5 * (3 - np.sqrt(5)) / 2, rtol=1e-4)


def test_the_attribute_space_is_that_of_prototype_differences(slow):
    rows = slow.rows(8, 12, 32)
    one = CircleMethod().fit(rows, ["a"] * 6 + ["b"] * 6)
    difference = slow.unit(rows[:6].mean(axis=0, keepdims=True)) - slow.unit(rows[6:].mean(axis=0, keepdims=True))
    assert one.rank == 1
    assert abs(one.basis @ slow.unit(difference).T) == pytest.approx(1.0)
    labels = {"x": ["a"] * 6 + ["b"] * 6, "y": ["c", "d"] * 6}
    both = CircleMethod().fit(rows, labels)
    swapped = CircleMethod().fit(rows, dict(reversed(labels.items())))
    assert both.rank == 2
    np.testing.assert_allclose(both(rows), swapped(rows), atol=1e-12)


def test_a_basis_that_is_none_is_refused(slow):
    for basis in (slow.rows(9, 3, 8) * 2, np.zeros((1, 8)), np.empty((0, 8))):
        with pytest.raises(OperatorError, match="orthonormal"):
            CircleOperator(basis)


def test_it_is_meant_for_both_sides_unless_told(operator, slow):
    assert operator.applies_to_images
    assert not CircleMethod(images=False).fit(slow.rows(10, 2, 8), ["a", "b"]).applies_to_images
