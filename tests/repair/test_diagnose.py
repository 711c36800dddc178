"""What `diagnose` says about an operator, against the definitions."""

import numpy as np
import pytest

from fairvl.repair.debias import CalibratedProjection, OrthogonalProjection


@pytest.mark.parametrize("n_pairs", [5, 12, 50])
def test_the_spectrum_is_that_of_the_pair_matrix(slow, n_pairs):
    prompts, left, right = (slow.rows(i, n, 24) for i, n in enumerate((3, n_pairs, n_pairs)))
    operator = CalibratedProjection(lam=50.0).fit(prompts, left, right)
    found = operator.diagnose()
    _, pairs, _ = slow.matrices(prompts, left, right, 50.0)
    expected = np.linalg.eigvalsh(pairs)[::-1][: min(n_pairs, 24)]
    np.testing.assert_allclose(found.pair_spectrum, expected, atol=1e-14)
    np.testing.assert_allclose(found.shrink, 1 / (1 + 50.0 * expected), rtol=1e-10)
    np.testing.assert_allclose(found.singular_values, np.linalg.svd(prompts, compute_uv=False), atol=1e-14)
    assert found.rank == 3
    assert found.storage == ("dense" if 2 * (3 + n_pairs) >= 24 else "factors")


def test_an_infinite_lambda_shrinks_to_nothing(slow):
    arrays = slow.rows(0, 2, 24), slow.rows(1, 3, 24), slow.rows(2, 3, 24)
    assert CalibratedProjection(lam=np.inf).fit(*arrays).diagnose().shrink.tolist() == [0.0] * 3
    assert CalibratedProjection(lam=0.0).fit(*arrays).diagnose().shrink.tolist() == [1.0] * 3


def test_retained_norm_and_leakage(slow):
    eye = np.eye(6)
    operator = OrthogonalProjection().fit(eye[:2])
    found = operator.diagnose(vectors=eye, held_out=eye[[0, 2]])
    assert found.retained_norm == pytest.approx(4 / 6)
    assert found.smallest_retained_norm == 0.0
    assert found.leakage == pytest.approx(np.sqrt(0.5))
    assert operator.diagnose(held_out=eye[:2]).leakage == 0.0
    assert operator.diagnose(held_out=eye[3:]).leakage == pytest.approx(1.0)
    assert np.isnan(operator.diagnose(held_out=eye[[3, 3]]).leakage)
    nothing = operator.diagnose()
    assert nothing.retained_norm is nothing.leakage is None
