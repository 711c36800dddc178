"""Per-query equalisation: equal products with every group's reference, and no nearer vector with that property."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fairvl.errors import InputError
from fairvl.repair.debias import Equalisation, EqualisingOperator, LinearOperator


@pytest.fixture
def references(slow):
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c"])[np.arange(90) % 3]
    rows = rng.normal(size=(90, 20)) + 2.0 * rng.normal(size=(3, 20))[np.arange(90) % 3] + 3.0
    return slow.unit(rows), labels


@pytest.mark.parametrize("nearest", [1, 5, 30])
def test_a_query_becomes_equally_similar_to_its_own_references(references, slow, nearest):
    rows, labels = references
    operator = Equalisation(nearest=nearest).fit(rows, labels)
    queries = slow.rows(1, 40, 20)
    own = operator.group_references(queries)
    after = np.einsum("ngd,nd->ng", own, operator(queries))
    before = np.einsum("ngd,nd->ng", own, queries)
    assert np.ptp(after, axis=1).max() < 1e-10
    assert np.ptp(before, axis=1).min() > 1e-3
    for query, references_of in zip(queries, own, strict=True):
        for group, reference in zip("abc", references_of, strict=True):
            mine = rows[labels == group]
            nearest_rows = mine[np.argsort(-(mine @ query))[:nearest]]
            np.testing.assert_allclose(reference, nearest_rows.mean(axis=0), atol=1e-12)


def test_the_closed_form_is_what_a_numeric_optimiser_finds(references, slow):
    rows, labels = references
    operator = Equalisation(nearest=4).fit(rows, labels)
    query = slow.rows(2, 1, 20)[0]
    own = operator.group_references(query)[0]
    found = minimize(
        lambda x: np.sum((x - query) ** 2), query, jac=lambda x: 2 * (x - query), method="SLSQP",
        constraints=[{"type": "eq", "fun": lambda x, r=r: x @ (r - own[0])} for r in own[1:]], options={"ftol": 1e-14},
    )  # fmt: skip
    np.testing.assert_allclose(operator(query), found.x, atol=1e-5)
    assert abs(operator(query) - query).max() > 0.01


def test_whole_groups_make_a_projection_that_equals_the_general_form(references, slow):
    rows, labels = references
    whole, same = Equalisation().fit(rows, labels), Equalisation(nearest=30).fit(rows, labels)
    assert isinstance(whole, LinearOperator)
    assert isinstance(same, EqualisingOperator)
    queries = slow.rows(3, 30, 20)
    np.testing.assert_allclose(whole(queries), same(queries), atol=1e-10)
    assert abs(Equalisation(nearest=2).fit(rows, labels)(queries) - whole(queries)).max() > 0.01


def test_several_attributes_hold_at_once_whatever_their_order(references, slow):
    rows, labels = references
    other = np.array(["x", "y"])[np.arange(90) // 45]
    queries = slow.rows(4, 20, 20)
    results = []
    for named in ({"one": labels, "two": other}, {"two": other, "one": labels}):
        operator = Equalisation(nearest=3).fit(rows, named)
        assert operator.rank == 3
        products = np.einsum("ngd,nd->ng", operator.group_references(queries), operator(queries))
        for attribute in np.unique(operator.attribute):
            assert np.ptp(products[:, operator.attribute == attribute], axis=1).max() < 1e-9
        results.append(operator(queries))
    np.testing.assert_allclose(*results, atol=1e-9)


def test_blocks_do_not_change_the_result(references, slow, monkeypatch):
    rows, labels = references
    operator = Equalisation(nearest=3).fit(rows, labels)
    queries = slow.rows(5, 23, 20)
    whole = operator(queries)
    monkeypatch.setattr(EqualisingOperator, "block_rows", 5)
    np.testing.assert_allclose(operator(queries), whole, atol=1e-13)


def test_equal_groups_leave_the_query_and_a_query_among_the_differences_vanishes(slow):
    rows = slow.rows(6, 4, 12)
    same = Equalisation(nearest=2).fit(np.concatenate([rows, rows]), ["a"] * 4 + ["b"] * 4)
    queries = slow.rows(7, 3, 12)
    np.testing.assert_allclose(same(queries), queries, atol=1e-12)
    apart = Equalisation(nearest=1).fit(rows[:2], ["a", "b"])
    assert apart.vanished(rows[:1] - rows[1:2]).tolist() == [True]


def test_unusable_references_are_refused(references):
    rows, labels = references
    for bad in (0, -3, True):
        with pytest.raises(InputError, match="nearest"):
            Equalisation(nearest=bad)
    with pytest.raises(InputError, match="30 references"):
        Equalisation(nearest=31).fit(rows, labels)
    with pytest.raises(InputError, match="1 groups"):
        Equalisation(nearest=3).fit(rows, ["a"] * 90)
