"""Skews and NDKL of small rankings, worked out with pencil and paper; the numbers stand here, not their formula."""

import pytest

from fairvl.measure.ranking import bias_at_k, max_skew, min_skew, ndkl

# Ranked from the top: f m f f m m m m f m, so 4 f and 6 m.
RANKED = list("fmffmmmmfm")
SCORES = list(range(10, 0, -1))
TABLE = {  # k: share of f in the top k, ln(share / 0.4), ln((1 - share) / 0.6)
    1: (1.0, 0.916291, float("-inf")),
    2: (0.5, 0.223144, -0.182322),
    3: (2 / 3, 0.510826, -0.587787),
    4: (0.75, 0.628609, -0.875469),
    5: (0.6, 0.405465, -0.405465),
    8: (0.375, -0.064539, 0.040822),
    10: (0.4, 0.0, 0.0),
}


@pytest.mark.parametrize("k", TABLE)
def test_skews_against_the_population(k):
    _, first, second = TABLE[k]
    assert max_skew(SCORES, RANKED, k=k) == pytest.approx(max(first, second), abs=1e-6)
    assert min_skew(SCORES, RANKED, k=k) == pytest.approx(min(first, second), abs=1e-6)


def test_skews_against_equal_and_given_shares():
    assert max_skew(SCORES, RANKED, k=4, target="uniform") == pytest.approx(0.405465, abs=1e-6)  # ln(0.75 / 0.5)
    assert min_skew(SCORES, RANKED, k=4, target="uniform") == pytest.approx(-0.693147, abs=1e-6)  # ln(0.25 / 0.5)
    given = {"f": 0.75, "m": 0.25}
    assert max_skew(SCORES, RANKED, k=4, target=given) == pytest.approx(0.0, abs=1e-12)
    assert bias_at_k(SCORES, RANKED, k=4, orientation=("m", "f")) == pytest.approx(-0.5)


def test_ndkl_of_four_places():
    # Divergences from one half each: ln 2, 0, 2/3 ln 4/3 + 1/3 ln 2/3 = 0.056633, 0.
    # Weights 1, 0.630930, 0.5, 0.430677, which sum to 2.561606: (0.693147 + 0.028317) / 2.561606.
    assert ndkl([4, 3, 2, 1], list("fmfm")) == pytest.approx(0.281646, abs=1e-6)
    # The other extreme: both f first. ln 2, ln 2, 0.056633, 0: (0.693147 + 0.437327 + 0.028317) / 2.561606.
    assert ndkl([4, 3, 2, 1], list("ffmm")) == pytest.approx(0.452369, abs=1e-6)


def test_three_groups_by_hand():
    ranked = list("abcaab")  # population 1/2, 1/3, 1/6
    scores = list(range(6, 0, -1))
    # Top 3 holds one of each: ln(1/3 / 1/2), ln(1/3 / 1/3), ln(1/3 / 1/6).
    assert max_skew(scores, ranked, k=3) == pytest.approx(0.693147, abs=1e-6)
    assert min_skew(scores, ranked, k=3) == pytest.approx(-0.405465, abs=1e-6)
