"""Nothing done after a fit can change an operator that was handed out."""

import dataclasses
import pickle

import numpy as np
import pytest

from fairvl.repair.debias import CalibratedProjection, LinearOperator, OrthogonalProjection


def test_fields_and_arrays_are_read_only(slow):
    operator = OrthogonalProjection().fit(slow.rows(0, 3, 32))
    with pytest.raises(dataclasses.FrozenInstanceError):
        operator.left = np.zeros((32, 3))
    for array in operator.arrays().values():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7.0
    with pytest.raises(TypeError):
        operator.card.encoder["name"] = "other"


@pytest.mark.parametrize("n_pairs", [3, 40])
def test_later_changes_of_the_input_change_nothing(slow, n_pairs):
    prompts, left, right = (slow.rows(i, n, 32) for i, n in enumerate((3, n_pairs, n_pairs)))
    operator = CalibratedProjection().fit(prompts, left, right)
    before, mark, spectrum = operator.matrix(), operator.fingerprint, operator.pair_spectrum()
    for array in (prompts, left, right, operator.matrix()):
        array[:] = 0.0
    assert (operator.matrix() == before).all()
    assert operator.fingerprint == mark
    assert (operator.pair_spectrum() == spectrum).all()
    factor = np.ones((4, 1))
    made = LinearOperator(factor, factor.T.copy())
    factor[:] = 5.0
    assert (made.left == 1.0).all()


def test_an_operator_travels_to_another_process(slow):
    operator = CalibratedProjection().fit(slow.rows(0, 3, 32), slow.rows(1, 4, 32), slow.rows(2, 4, 32))
    twin = pickle.loads(pickle.dumps(operator))
    assert twin.fingerprint == operator.fingerprint
    assert (twin(slow.rows(3, 2, 32)) == operator(slow.rows(3, 2, 32))).all()


def test_equal_fits_have_equal_fingerprints_and_other_fits_others(slow):
    prompts, left, right = (slow.rows(i, 4, 32) for i in range(3))
    marks = [CalibratedProjection(lam=lam).fit(prompts, left, right).fingerprint for lam in (1.0, 1.0, 2.0)]
    assert marks[0] == marks[1] != marks[2]
    assert (
        OrthogonalProjection().fit(prompts).described(attribute="age").fingerprint
        != OrthogonalProjection().fit(prompts).fingerprint
    )
