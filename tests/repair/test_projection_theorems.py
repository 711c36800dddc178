"""Optimality, span, limits, monotonicity and rank of the closed forms, against the formulas written out slowly."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.repair.debias import CalibratedProjection, OrthogonalProjection, random_control, random_projection

LAMS = [0.0, 1.0, 1e3, 1e6]


@pytest.mark.parametrize("dim", [64, 512])
@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-9), (np.float32, 2e-4)])
def test_the_gradient_vanishes(slow, dim, lam, dtype, bound):
    prompts, left, right = (slow.rows(i, n, dim).astype(dtype) for i, n in enumerate((5, 30, 30)))
    removed, pairs, _ = slow.matrices(*(a.astype(np.float64) for a in (prompts, left, right)), lam)
    matrix = CalibratedProjection(lam=lam).fit(prompts, left, right).matrix()
    assert abs(matrix @ (np.eye(dim) + lam * pairs) - removed).max() <= bound
    if lam:
        assert abs(removed @ (np.eye(dim) + lam * pairs) - removed).max() > 1e-3  # P0 itself is not optimal


@pytest.mark.parametrize(
    ("dim", "k", "s"),
    [
        (512, 2, 1),
        (512, 16, 300),
        (768, 6, 20),
        (1024, 8, 80),
        pytest.param(768, 8, 500, marks=pytest.mark.slow),
        pytest.param(1024, 3, 1000, marks=pytest.mark.slow),
    ],
)
def test_equals_the_papers_formula(slow, dim, k, s):
    prompts, left, right = (slow.rows(10 + i, n, dim) for i, n in enumerate((k, s, s)))
    operator = CalibratedProjection(lam=1000.0).fit(prompts, left, right)
    _, _, expected = slow.matrices(prompts, left, right, 1000.0)
    np.testing.assert_allclose(operator.matrix(), expected, atol=1e-10, rtol=0)
    assert (operator.dense is not None) == (2 * (k + s) >= dim)
    queries = slow.rows(20, 5, dim)
    np.testing.assert_allclose(operator(queries), queries @ expected.T, atol=1e-12)


@given(
    dim=st.integers(3, 24), k=st.integers(1, 30), s=st.integers(1, 40), lam=st.floats(0, 1e5), seed=st.integers(0, 999)
)
@settings(max_examples=60, deadline=None)
def test_any_shape_equals_the_formula(slow, dim, k, s, lam, seed):
    prompts, left, right = (slow.rows(seed + i, n, dim) for i, n in enumerate((k, s, s)))
    matrix = CalibratedProjection(lam=lam).fit(prompts, left, right).matrix()
    _, _, expected = slow.matrices(prompts, left, right, lam)
    np.testing.assert_allclose(matrix, expected, atol=1e-8)
    assert abs(prompts @ matrix).max() <= 1e-10


def test_removed_prompts_stay_removed_and_limits_hold(slow):
    prompts, left, right = (slow.rows(30 + i, n, 128) for i, n in enumerate((6, 20, 20)))
    removed, _, _ = slow.matrices(prompts, left, right, 0.0)
    zero = CalibratedProjection(lam=0.0).fit(prompts, left, right).matrix()
    np.testing.assert_allclose(zero, removed, atol=1e-12)
    basis = np.linalg.svd(left - right, full_matrices=False)[2]
    limit = removed @ (np.eye(128) - basis.T @ basis)
    for lam, bound in ((1e12, 1e-6), (np.inf, 1e-12)):
        matrix = CalibratedProjection(lam=lam).fit(prompts, left, right).matrix()
        assert abs(prompts @ matrix).max() <= 1e-10
        assert abs(matrix - limit).max() <= bound
    assert abs(zero - limit).max() > 1e-3


def test_calibrated_is_no_projection_but_orthogonal_is(slow):
    prompts, left, right = (slow.rows(40 + i, n, 64) for i, n in enumerate((6, 20, 20)))
    p0 = OrthogonalProjection().fit(prompts).matrix()
    assert abs(p0 - p0.T).max() < 1e-15
    assert abs(p0 @ p0 - p0).max() < 1e-14
    p = CalibratedProjection(lam=10.0).fit(prompts, left, right).matrix()
    assert abs(p - p.T).max() > 1e-3
    assert abs(p @ p - p).max() > 1e-3


def test_a_larger_lambda_never_widens_the_pair_gap(slow):
    prompts, left, right = (slow.rows(50 + i, n, 96) for i, n in enumerate((6, 30, 30)))
    lams = np.geomspace(1e-2, 1e7, 20)
    _, pairs, _ = slow.matrices(prompts, left, right, 0.0)
    gaps = []
    for lam, shared in zip(lams, CalibratedProjection().path(prompts, left, right, lams), strict=True):
        matrix = shared.matrix()
        single = CalibratedProjection(lam=lam).fit(prompts, left, right).matrix()
        assert abs(matrix - single).max() <= 1e-9
        gaps.append(np.trace(matrix @ pairs @ matrix.T))
    assert (np.diff(gaps) <= 1e-15).all()
    assert gaps[-1] < 1e-6 * gaps[0]


@pytest.mark.parametrize("s", [20, 90, 300])
def test_the_path_covers_zero_and_infinity_in_the_order_given(slow, s):
    prompts, left, right = (slow.rows(60 + i, n, 100) for i, n in enumerate((5, s, s)))
    lams = [np.inf, 1000.0, 0.0, 1e12]
    path = CalibratedProjection().path(prompts, left, right, lams)
    assert [operator.card.lam for operator in path] == lams
    for lam, operator in zip(lams, path, strict=True):
        single = CalibratedProjection(lam=lam).fit(prompts, left, right)
        np.testing.assert_allclose(operator.matrix(), single.matrix(), atol=1e-9)
    assert path[1].left is path[2].left  # shared, not copied


@pytest.mark.parametrize("subspace", ["span", "centred"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_one_duplicated_prompt_changes_nothing(slow, subspace, dtype):
    prompts = slow.rows(70, 6, 128)[[0, 1, 2, 3, 4, 5]].astype(dtype)
    rows = np.concatenate([prompts, prompts[2:3]])
    once, twice = (OrthogonalProjection(subspace=subspace).fit(p) for p in (prompts, rows))
    expected = 6 - (subspace == "centred")
    assert once.rank == twice.rank == expected
    assert np.trace(twice.matrix()) == pytest.approx(128 - expected, abs=1e-9)
    assert abs(once.matrix() - twice.matrix()).max() <= (1e-12 if subspace == "span" else 1e-6)
    assert all(
        abs(OrthogonalProjection(subspace=subspace).fit(rows).matrix() - twice.matrix()).max() == 0 for _ in "12345"
    )


def test_threads_do_not_change_the_projection():
    code = (
        "import numpy as np; from fairvl.repair.debias import OrthogonalProjection as P;"
        "x = np.random.default_rng(0).normal(size=(7, 128)); x[6] = x[2];"
        "o = P().fit(x); print(o.rank, *o.matrix()[:3].ravel())"
    )
    outputs = [
        np.array(
            subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True,
                env={**os.environ, "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n},
            ).stdout.split(),
            dtype=float,
        )
        for n in "12"
    ]  # fmt: skip
    assert outputs[0][0] == outputs[1][0] == 6
    assert abs(outputs[0] - outputs[1]).max() <= 1e-12


def test_more_prompts_than_dimensions(slow):
    few = slow.rows(80, 5, 32)
    many = slow.unit(np.random.default_rng(81).normal(size=(200, 5)) @ few)
    operator = OrthogonalProjection().fit(many)
    assert operator.rank == 5
    np.testing.assert_allclose(operator.matrix(), OrthogonalProjection().fit(few).matrix(), atol=1e-10)
    everything = OrthogonalProjection().fit(slow.rows(82, 32, 32))
    assert everything.rank == 32
    assert not everything.matrix().any()
    assert not everything(slow.rows(83, 4, 32)).any()


def test_centred_keeps_the_shared_mean_and_span_does_not(slow):
    for seed in range(10):
        male, female = slow.clip_like(seed)
        prompts = np.concatenate([male[:3], female[:3]])
        held_out = (male[10:], female[10:])
        before = np.sum(held_out[0] * held_out[1], axis=1).mean()
        results = {}
        for subspace in ("span", "centred"):
            operator = OrthogonalProjection(subspace=subspace).fit(prompts)
            after = [slow.unit(operator(side)) for side in held_out]
            retained = operator.diagnose(np.concatenate(held_out)).retained_norm
            results[subspace] = (np.sum(after[0] * after[1], axis=1).mean(), retained)
        assert results["centred"][0] >= before
        assert results["centred"][1] >= 0.95
        assert results["span"][1] < 0.7  # the paper's default loses content in this geometry


def test_pairs_remove_the_differences_and_nothing_else(slow):
    prompts, left = slow.rows(90, 4, 64), slow.rows(91, 3, 64)
    right = slow.rows(92, 3, 64)
    operator = OrthogonalProjection(subspace="pairs").fit(prompts, left, right)
    assert operator.rank == 3
    np.testing.assert_allclose(operator(left), operator(right), atol=1e-14)
    assert abs(left - right).max() > 0.1
    bare = OrthogonalProjection(subspace="pairs").fit(prompts)
    centred = OrthogonalProjection(subspace="centred").fit(prompts)
    np.testing.assert_allclose(bare.matrix(), centred.matrix(), atol=1e-12)
    for lam in (0.0, 1000.0):
        calibrated = CalibratedProjection(lam=lam, subspace="pairs").fit(prompts, left, right)
        np.testing.assert_allclose(calibrated.matrix(), operator.matrix(), atol=1e-10)


def test_joint_removal_is_free_of_order_and_sequential_removal_is_not(slow):
    first, second = slow.rows(93, 2, 32), slow.rows(94, 2, 32)
    joint = OrthogonalProjection().fit(np.concatenate([first, second])).matrix()
    again = OrthogonalProjection().fit(np.concatenate([second, first])).matrix()
    np.testing.assert_allclose(joint, again, atol=1e-14)
    one, two = (OrthogonalProjection().fit(p).matrix() for p in (first, second))
    assert abs(one @ two - joint).max() > 1e-2


def test_star_pairs_and_all_pairs_of_seven_values_span_the_same(slow):
    values = slow.rows(95, 7, 64)
    star = [(0, i) for i in range(1, 7)]
    every = [(i, j) for i in range(7) for j in range(i + 1, 7)]
    matrices = []
    for pairs in (star, every):
        left, right = (values[[pair[side] for pair in pairs]] for side in (0, 1))
        matrices.append(CalibratedProjection(lam=np.inf).fit(slow.rows(96, 2, 64), left, right).matrix())
    assert len(every) == 21
    np.testing.assert_allclose(*matrices, atol=1e-10)


def test_the_generative_form_has_no_projection(slow):
    left, right = slow.rows(97, 9, 64), slow.rows(98, 9, 64)
    operator = CalibratedProjection(lam=500.0).fit(None, left, right)
    expected = np.linalg.inv(np.eye(64) + 500.0 * (left - right).T @ (left - right) / 9)
    np.testing.assert_allclose(operator.matrix(), expected, atol=1e-12)
    assert operator.rank == 0


def test_random_projection_has_the_rank_and_depends_on_the_seed_only():
    operator = random_projection(64, 5, seed=3)
    assert np.trace(operator.matrix()) == pytest.approx(59)
    assert (operator.matrix() == random_projection(64, 5, seed=3).matrix()).all()
    assert abs(operator.matrix() - random_projection(64, 5, seed=4).matrix()).max() > 0.01
    assert random_projection(64, 40, seed=3).dense is not None
    for rank in (0, 65):
        with pytest.raises(InputError, match="rank"):
            random_projection(64, rank)


def test_lambda_depends_on_the_length_of_rows_which_is_why_fit_makes_them_unit(slow):
    prompts, left, right = (slow.rows(100 + i, n, 64) for i, n in enumerate((3, 8, 8)))
    unit = CalibratedProjection(lam=1000.0).fit(prompts, left, right)
    scaled = CalibratedProjection(lam=1000.0).fit(30 * prompts, 30 * left, 7 * right)
    np.testing.assert_allclose(unit.matrix(), scaled.matrix(), atol=1e-12)
    assert "unit" in unit.card.normalisation


def test_effective_rank_counts_what_is_removed_and_the_control_matches_it(slow):
    prompts, left, right = (slow.rows(110 + i, n, 64) for i, n in enumerate((3, 8, 8)))
    assert OrthogonalProjection().fit(prompts).effective_rank == pytest.approx(3)
    assert OrthogonalProjection().fit(slow.rows(113, 40, 64)).effective_rank == pytest.approx(40)
    for lam in (0.5, 20.0, np.inf):
        operator = CalibratedProjection(lam=lam).fit(prompts, left, right)
        assert operator.effective_rank == pytest.approx(64 - np.linalg.norm(operator.matrix()) ** 2)
        shared = CalibratedProjection().path(prompts, left, right, [lam])[0]
        assert shared.effective_rank == pytest.approx(operator.effective_rank)
    control = random_control(operator, seed=5)
    assert control.rank == 11
    rows = slow.rows(114, 2000, 64)
    kept = [o.diagnose(rows).retained_norm for o in (operator, control)]
    assert kept[0] == pytest.approx(kept[1], abs=0.01)
