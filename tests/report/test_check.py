"""Thresholds: what passes, what fails, and what is refused."""

import math

import pytest

from fairvl.errors import CheckFailed, FindingsError
from fairvl.findings import Finding, Findings
from fairvl.report import check


def effect(value, low, high, **columns):
    return Finding("effect_size", value, "standard deviations", 50, low, high, 0.95, arm="after", **columns)


ROWS = Findings(
    [
        effect(0.4, 0.1, 0.7, attribute="gender", extra={"category": "social", "test": "a"}),
        effect(-0.2, -0.6, 0.2, attribute="gender", extra={"category": "social", "test": "b"}),
        effect(1.7, 1.5, 1.9, extra={"category": "control", "test": "c"}),
        Finding("accuracy", 0.95, "share", 900, 0.93, 0.97, 0.95, groups="(all)", extra={"k": 100}),
        Finding("min_skew", math.nan, "nats", 900, note="a group is absent"),
        Finding("ndkl", 0.1, "nats", 900, note="no interval was asked for"),
    ]
)


def rule(**keys):
    return check(ROWS, {"rule": [keys]})


def write(tmp_path, text):
    path = tmp_path / "thresholds.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_rules_is_read_and_every_rule_is_reported(tmp_path):
    path = write(
        tmp_path,
        """
[[rule]]
name = "repaired"
metric = "effect_size"
attribute = "gender"
category = "social"
arm = "after"
on = "high"
max = 0.5

[[rule]]
metric = "accuracy"
groups = "(all)"
k = 100
min = 0.9
on = "low"
""",
    )
    result = check(ROWS, path)
    assert [r.ok for r in result.results] == [False, True]
    assert not result.ok
    assert result.results[0].numbers() == (0.7, 0.2)
    assert [row.extra["test"] for row in result.results[0].failed] == ["a"]
    assert "FAIL  repaired" in str(result)
    assert "1 of 2 rules pass" in str(result)
    with pytest.raises(CheckFailed, match=r"test=a"):
        result.require()


@pytest.mark.parametrize(
    ("on", "maximum", "passes"),
    [
        ("value", 0.4, True),
        ("value", 0.39, False),
        ("high", 0.7, True),
        ("high", 0.69, False),
        ("low", 0.1, True),
        ("low", 0.09, False),
    ],
)
def test_the_number_named_by_on_is_held_against_an_inclusive_bound(on, maximum, passes):
    assert rule(metric="effect_size", category="social", on=on, max=maximum).ok is passes


def test_a_minimum_holds_for_every_matched_finding():
    assert rule(metric="effect_size", category="social", min=-0.2).ok
    assert not rule(metric="effect_size", category="social", min=-0.19).ok


def test_undefined_numbers_fail_their_rule():
    assert not rule(metric="min_skew", min=-99.0).ok
    assert not rule(metric="ndkl", max=99.0, on="high").ok
    assert rule(metric="ndkl", max=99.0).ok
    assert rule(metric="min_skew", min=-99.0).to_dict()["rules"][0]["numbers"] == [None]


def test_an_undefined_number_is_not_hidden_by_a_defined_one():
    both = Findings([*ROWS.where(metric="accuracy"), Finding("accuracy", math.nan, "share", 0, note="nobody")])
    assert not check(both, {"rule": [{"metric": "accuracy", "min": 0.5}]}).ok


@pytest.mark.parametrize(("keys", "message"), [
    ({"metric": "efect_size", "max": 1}, "Did you mean 'effect_size'"),
    ({"metric": "effect_size", "attribute": "gendr", "max": 1}, "Did you mean 'gender'"),
    ({"metric": "accuracy", "groups": "(all)", "k": 99, "max": 1}, "k is never 99"),
    ({"metric": "effect_size", "category": "control", "attribute": "gender", "max": 1}, "never hold together"),
])  # fmt: skip
def test_a_rule_that_matches_nothing_is_an_error_that_says_why(keys, message):
    with pytest.raises(FindingsError, match="matches no finding") as caught:
        rule(**keys)
    assert message in str(caught.value)
    assert not isinstance(caught.value, CheckFailed)


@pytest.mark.parametrize(("keys", "message"), [
    ({"metric": "accuracy", "maximum": 1}, "unknown key 'maximum'.*Did you mean 'max'"),
    ({"metric": "accuracy", "atribute": "x", "max": 1}, "Did you mean 'attribute'"),
    ({"metric": "accuracy", "max": 1, "on": "hihg"}, "Did you mean 'high'"),
    ({"metric": "accuracy"}, "neither min nor max"),
    ({"max": 1}, "no metric"),
    ({"metric": "accuracy", "min": 1, "max": 0}, "lies above"),
    ({"metric": "accuracy", "max": "1"}, "expected a number"),
    ({"metric": "accuracy", "max": True}, "expected a number"),
    ({"metric": "accuracy", "max": math.nan}, "expected a number"),
    ({"metric": "accuracy", "groups": ["a"], "max": 1}, "holds list"),
])  # fmt: skip
def test_a_malformed_rule_is_refused(keys, message):
    with pytest.raises(FindingsError, match=f"rule 1.*{message}"):
        rule(**keys)


@pytest.mark.parametrize("text", ["", "rule = 3", "[[rules]]\nmetric='a'", "[rule]\nmetric='a'", "not toml ["])
def test_a_file_without_rules_is_refused(tmp_path, text):
    with pytest.raises(FindingsError):
        check(ROWS, write(tmp_path, text))


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(FindingsError, match="no such file"):
        check(ROWS, tmp_path / "nowhere.toml")
    with pytest.raises(FindingsError, match="no such file"):
        check(tmp_path / "nowhere.json", {"rule": [{"metric": "a", "max": 1}]})


def test_findings_may_be_a_file(tmp_path):
    path = ROWS.write(tmp_path / "findings.json")
    assert check(path, {"rule": [{"metric": "accuracy", "min": 0.9}]}).ok
