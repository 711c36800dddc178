"""Inputs at the edge: each has a defined result or a clear error."""

import numpy as np
import pytest

from fairvl.errors import FairVLError, InputError
from fairvl.repair.debias import CalibratedProjection, LinearOperator, OrthogonalProjection


@pytest.mark.parametrize("lam", [-1.0, -1e-9, float("nan"), "1000", None, True])
def test_a_lambda_that_is_no_weight_is_rejected(lam):
    with pytest.raises(InputError, match="lam"):
        CalibratedProjection(lam=lam)
    with pytest.raises(InputError, match="lam"):
        CalibratedProjection().path(np.eye(4)[:1], np.eye(4)[1:2], np.eye(4)[2:3], [1.0, lam])


def test_an_unknown_subspace_is_rejected_with_the_choices():
    with pytest.raises(InputError, match="span, centred, pairs"):
        OrthogonalProjection(subspace="centered")


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (np.empty((0, 8)), "at least 1"),
        ([], "prompts"),
        ([[1.0, 2.0], [1.0]], "rectangular"),
        ([["a", "b"]], "not numeric"),
        ([[1.0, np.nan]], "NaN"),
        ([[np.inf, 1.0]], "infinity"),
        ([[0.0, 0.0], [1.0, 0.0]], "zero"),
        (np.ones((2, 2, 2)), "two dimensions"),
    ],
)
def test_unusable_prompts_raise(prompts, message):
    with pytest.raises(InputError, match=message):
        OrthogonalProjection().fit(prompts)


def test_no_pairs_unequal_pairs_and_other_widths_raise(slow):
    prompts, rows = slow.rows(0, 2, 8), slow.rows(1, 3, 8)
    fit = CalibratedProjection().fit
    for empty in (np.empty((0, 8)), []):
        with pytest.raises(InputError, match="at least one pair"):
            fit(prompts, empty, empty)
    with pytest.raises(InputError, match="3 rows, right 2"):
        fit(prompts, rows, rows[:2])
    with pytest.raises(InputError, match="width 6"):
        fit(prompts, rows[:, :6], rows[:, :6])
    with pytest.raises(InputError, match="both left and right"):
        OrthogonalProjection(subspace="pairs").fit(prompts, left=rows)


@pytest.mark.parametrize("subspace", ["centred", "pairs"])
@pytest.mark.parametrize("copies", [1, 3])
def test_prompts_that_do_not_differ_leave_nothing_to_remove(slow, subspace, copies):
    prompts = np.repeat(slow.rows(2, 1, 16), copies, axis=0)
    with pytest.raises(InputError, match="do not differ"):
        OrthogonalProjection(subspace=subspace).fit(prompts)
    assert OrthogonalProjection(subspace="span").fit(prompts).rank == 1


def test_a_pair_of_equal_vectors_counts_but_adds_nothing(slow):
    prompts, left, right = (slow.rows(3 + i, n, 32) for i, n in enumerate((2, 4, 4)))
    equal = left.copy(), right.copy()
    equal[1][3] = equal[0][3]
    operator = CalibratedProjection(lam=10.0).fit(prompts, *equal)
    # Leaving the pair out changes s from 4 to 3, which is a change of lambda only.
    fewer = CalibratedProjection(lam=10.0 * 3 / 4).fit(prompts, left[:3], right[:3])
    np.testing.assert_allclose(operator.matrix(), fewer.matrix(), atol=1e-12)
    assert "1 of 4 pairs" in operator.card.notes[0]
    nothing = CalibratedProjection(lam=10.0).fit(prompts, left, left)
    np.testing.assert_allclose(nothing.matrix(), OrthogonalProjection().fit(prompts).matrix(), atol=1e-14)


def test_rows_of_extreme_length_are_made_unit(slow):
    prompts = slow.rows(6, 3, 16)
    extreme = prompts * np.array([1e-200, 1.0, 1e200])[:, None]
    plain, scaled = (OrthogonalProjection().fit(p).matrix() for p in (prompts, extreme))
    np.testing.assert_allclose(plain, scaled, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_query_inside_the_span_becomes_zero_and_is_flagged(slow, dtype):
    prompts = slow.rows(7, 3, 64).astype(dtype)
    operator = OrthogonalProjection().fit(prompts)
    queries = np.concatenate([prompts[:1], slow.rows(8, 1, 64).astype(dtype), np.zeros((1, 64), dtype)])
    result = operator(queries)
    assert result.dtype == dtype
    assert not result[0].any()
    assert result[1].any()
    assert operator.vanished(queries).tolist() == [True, False, False]


def test_a_vector_in_a_vector_out(slow):
    operator = OrthogonalProjection().fit(slow.rows(9, 3, 64))
    rows = slow.rows(10, 6, 64)
    np.testing.assert_allclose(operator(rows[0]), operator(rows)[0], atol=1e-15)
    assert operator(rows.reshape(2, 3, 64)).shape == (2, 3, 64)
    assert operator(np.empty((0, 64), np.float16)).shape == (0, 64)
    assert operator([1.0] * 64).dtype == np.float64
    np.testing.assert_array_equal(operator(rows[:, ::-1][:, ::-1]), operator(rows))


@pytest.mark.parametrize("bad", [np.ones((2, 63)), np.float64(3.0), np.full((2, 64), np.nan), np.full(64, np.inf)])
def test_unusable_queries_raise(slow, bad):
    operator = OrthogonalProjection().fit(slow.rows(11, 3, 64))
    with pytest.raises(InputError, match="vectors"):
        operator(bad)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 1e-3), (np.float32, 1e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("k", [4, 40])
def test_the_dtype_stays_and_float16_is_computed_in_float32(slow, dtype, tolerance, k):
    operator = OrthogonalProjection().fit(slow.rows(12, k, 64))
    rows = slow.rows(13, 9, 64).astype(dtype)
    result = operator(rows)
    assert result.dtype == dtype
    assert (operator.dense is not None) == (k == 40)
    np.testing.assert_allclose(result, rows.astype(np.float64) @ operator.matrix().T, atol=tolerance)


def test_blocks_of_rows_give_the_same_result(slow, monkeypatch):
    operator = OrthogonalProjection().fit(slow.rows(14, 4, 64))
    rows = slow.rows(15, 50, 64)
    whole = operator(rows)
    monkeypatch.setattr("fairvl.repair.debias.base.Operator.block_rows", 7)
    np.testing.assert_allclose(operator(rows), whole, atol=1e-15)


def test_an_affine_operator_moves_about_its_centre(slow):
    left, right, centre = slow.rows(16, 2, 8).T, slow.rows(17, 2, 8), slow.rows(18, 1, 8)[0]
    rows = slow.rows(19, 5, 8)
    expected = rows - (rows - centre) @ right.T @ left.T
    np.testing.assert_allclose(LinearOperator(left, right, centre)(rows), expected, atol=1e-14)
    wide_left, wide_right = slow.rows(20, 5, 8).T, slow.rows(21, 5, 8)
    dense = LinearOperator.from_factors(wide_left, wide_right, centre)
    assert dense.dense is not None
    np.testing.assert_allclose(dense(rows), rows - (rows - centre) @ wide_right.T @ wide_left.T, atol=1e-13)


def test_factors_that_do_not_fit_raise():
    for arguments in [
        (np.ones((4, 2)), np.ones((3, 4))),
        (np.ones(4), np.ones((1, 4))),
        (np.ones((4, 1)), np.ones((1, 4)), np.ones(3)),
        (np.full((4, 1), np.nan), np.ones((1, 4))),
    ]:
        with pytest.raises(FairVLError):
            LinearOperator(*arguments)
