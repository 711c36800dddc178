"""Numbers as text, and axes: sensible digits, true signs, no false zero."""

import itertools
import math

import pytest

from fairvl.findings import Finding
from fairvl.report.charts import Axis, nice_ticks, tag
from fairvl.report.vocabulary import interval_text, number, p_text, percent, points, signed, value_text


def finding(metric, value, unit, low, high, arm=""):
    return Finding(metric, value, unit, 10, low, high, 0.95, arm=arm, note="x")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (number(-1.234), "\u22121.23"),
        (number(math.nan), "undefined"),
        (number(-0.0), "0.00"),
        (number(0.0004), "0.0004"),
        (number(123.456), "123.5"),
        (number(100, 0), "100"),
        (number(math.inf), "\u221e"),
        (signed(0.5), "+0.50"),
        (signed(0.0), "0.00"),
        (percent(0.7123), "71.2\u202f%"),
        (points(-0.0034), "\u22120.3 points"),
        (points(0.12, sign=False), "12.0 points"),
        (p_text(0.0), "<0.001"),
        (p_text(0.0421), "0.042"),
        (p_text(0.5), "0.50"),
        (p_text(None), ""),
        (p_text(math.nan), ""),
    ],
)
def test_numbers_are_written_for_people(made, text):
    assert made == text


def test_shares_become_percent_and_their_differences_points():
    assert value_text(finding("accuracy", 0.9, "share", 0.8, 1.0)) == "90.0\u202f%"
    assert value_text(finding("accuracy", -0.02, "share", -0.03, 0.01, arm="difference")) == "\u22122.0 points"
    assert interval_text(finding("accuracy", -0.02, "share", -0.03, 0.01, arm="difference")) == "\u22123.0 to +1.0"
    assert value_text(finding("accuracy_gap", 0.12, "share", 0.1, 0.2)) == "12.0 points"
    assert value_text(finding("ndkl", 0.12, "nats", 0.1, 0.2)) == "0.12\u202fnats"
    assert value_text(finding("slope", 0.5, "per unit", 0.1, 0.9)) == "0.50 per unit"


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-1.3, 1.9), (0.97, 0.981), (-0.003, 0), (5, 5), (0, 0), (1e-9, 2e-9), (-4e6, 7e6)]
)
def test_ticks_are_round_increasing_and_cover_the_range(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert 2 <= len(ticks) <= 12


def test_tick_labels_have_the_digits_of_their_step():
    assert [Axis("x").tick(v, 0.5) for v in (0.0, 0.5)] == ["0.0", "0.5"]
    assert Axis("x").tick(2.0, 1.0) == "2"
    assert Axis("x", "percent").tick(0.2, 0.2) == "20\u202f%"
    assert Axis("x", "percent").tick(0.025, 0.025) == "2.5\u202f%"


def test_markup_escapes_children_and_attributes():
    assert (
        tag("text", "<b>", tag("title", "&"), class_='a"b')
        == '<text class="a&#34;b">&lt;b&gt;<title>&amp;</title></text>'
    )
