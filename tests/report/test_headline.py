"""The headline says what the intervals support, in every situation, and not more."""

from dataclasses import replace

import pytest

from fairvl.findings import Finding, Findings
from fairvl.report.changes import Change, Family
from fairvl.report.headline import headline
from fairvl.report.pairing import Run, compare

REPAIRS = ("orthogonal", "calibrated", "random (control)")


def said(*tables):
    return headline(compare([Run(f"run {i}", table) for i, table in enumerate(tables)]))


def everything(told):
    return " ".join([told.text, *told.sentences, *(f"{c.label} {c.value} {c.detail}" for c in told.cards)])


def test_a_repair_that_works_is_said_with_its_cost_and_its_control(findings):
    told = said(findings)
    assert told.text.startswith(
        "Gender bias fell by 75\u202f% after the orthogonal repair; accuracy on untreated tasks"
    )
    assert "did not change measurably (\u22120.3 points)" in told.text
    assert "random operator" in everything(told)
    assert "the repair\u2019s own" in everything(told)
    assert told.scoreboard is not None
    assert told.scoreboard.columns == ("before", *REPAIRS)
    row = told.scoreboard.rows[0]
    assert [cell.value for cell in row[2]] == ["1.26", "0.32", "0.23", "1.23"]  # image-text and text-image alone


def test_utility_that_moves_clearly_is_not_called_unchanged(findings):
    rows = [
        replace(r, value=r.value - 0.05, low=r.low - 0.05, high=r.high - 0.05)
        if r.metric == "accuracy" and r.groups == "(all)" and r.arm in ("after", "difference") else r
        for r in findings
    ]  # fmt: skip
    told = said(Findings(rows, findings.settings))
    assert "changed by \u22125.3 points" in told.text
    assert "loss of" in told.text
    assert "measurably" not in told.text


def test_a_change_whose_intervals_include_zero_is_not_called_a_fall(findings):
    rows = [replace(r, low=-9.0, high=9.0) if r.arm == "difference" else r for r in findings]
    told = said(Findings(rows, findings.settings))
    assert "did not change measurably" in told.text.split(";")[0]
    assert "fell" not in told.text


def test_a_repair_that_does_harm_is_said_to(make_findings):
    told = said(make_findings(left={"orthogonal": 1.5, "random (control)": 1.0}))
    assert told.text.startswith("The orthogonal repair did harm: gender bias rose by 50")
    assert told.cards[0].tone == "bad"


def test_a_control_that_does_as_well_takes_the_credit_away(make_findings):
    told = said(make_findings(left={"orthogonal": 0.3, "random (control)": 0.4}))
    assert "random operator did about as well" in told.text
    assert "cannot be credited" in told.text


def test_a_missing_control_is_said(make_findings):
    told = said(make_findings(left={"orthogonal": 0.3}))
    assert "No random control" in everything(told)
    assert "random operator did" not in told.text


def test_a_repair_that_helps_some_and_hurts_some_is_said_to(findings):
    hurt = {"nurse faces"}
    rows = [
        replace(r, value=-2.0, low=-2.1, high=-1.9) if r.extra.get("test") in hurt and r.arm == "after" else
        replace(r, value=-0.8, low=-0.9, high=-0.7) if r.extra.get("test") in hurt and r.arm == "difference" else r
        for r in findings
    ]  # fmt: skip
    assert "but not everywhere" in said(Findings(rows, findings.settings)).text


def test_without_a_paired_difference_nothing_is_clear(findings):
    rows = [r for r in findings if r.arm != "difference"]
    assert "did not change measurably" in said(Findings(rows, findings.settings)).text.split(";")[0]


def test_nothing_repaired_is_a_description(unrepaired):
    told = said(unrepaired)
    assert told.text.startswith("Gender bias shows in 4 of 7 social association tests after correction")
    assert "Nothing was repaired" in everything(told)
    assert told.scoreboard is None
    assert "fell" not in everything(told)


def test_no_significant_test_is_said(unrepaired):
    rows = [replace(r, p=0.5, p_adjusted=1.0) if r.metric == "effect_size" else r for r in unrepaired]
    assert said(Findings(rows)).text.startswith("None of 7 social association tests is significant")


def test_predictions_only_name_the_worst_large_group(predictions):
    told = said(predictions)
    assert told.text.startswith(
        "Accuracy on \u201cgender\u201d is lowest for East Asian (87.2\u202f%, n\u202f=\u202f1500)"
    )
    assert "Black" not in told.text, "a group of 21 must not make the headline"
    assert "over everybody it is 91.2\u202f%" in told.text


def test_runs_are_ranked_on_what_they_share(make_findings):
    told = said(make_findings(damage=1.0), make_findings(damage=0.5))
    assert "run 1: after calibrated (mean |d| 0.11)" in told.text
    assert "most: run 0: before (1.26)" in told.text


def test_runs_that_share_nothing_are_not_ranked(predictions):
    other = Findings([Finding("moon_phase", 0.3, "phases", 12, 0.1, 0.5, 0.95)])
    told = said(predictions, other)
    assert told.text.startswith("2 runs side by side")
    assert "not ranked" in everything(told)


def test_unknown_metrics_alone_still_give_a_headline():
    told = said(Findings([Finding("moon_phase", 0.3, "phases", 12, 0.1, 0.5, 0.95)]))
    assert told.text.startswith("1 finding on 1 metric")


@pytest.mark.parametrize("arm", ["after", "difference"])
def test_a_repair_without_a_before_claims_nothing(findings, arm):
    told = said(Findings([r for r in findings if r.arm == arm], findings.settings))
    assert "no measure of gender bias was taken both before and after" in told.text


def test_crossings_come_after_single_attributes(predictions):
    crossed = [
        Finding("accuracy", value, "share", 400, value - 0.02, value + 0.02, 0.95, groups=group, attribute="race & age",
                extra={"task": "gender"})
        for group, value in (("Black & 3-9", 0.6), ("White & 30-39", 0.99))
    ]  # fmt: skip
    told = said(Findings([*predictions, *crossed], predictions.settings))
    assert "East Asian" in told.text
    assert "Among crossings of attributes: accuracy on \u201cgender\u201d is lowest for Black & 3-9" in everything(told)


def test_tests_that_could_not_run_do_not_make_the_headline(predictions):
    absent = Finding("effect_size", float("nan"), "standard deviations", 0, note="not run: no images were given")
    assert said(Findings([absent, *predictions])).text.startswith("Accuracy")


@pytest.mark.parametrize(("better", "worse", "before", "after", "verdict"), [
    (20, 0, 1.0, 0.5, "fell"), (5, 0, 1.0, 0.5, "partly"), (20, 1, 1.0, 0.9, "partly"), (1, 0, 1.0, 0.9, "unclear"),
    (0, 1, 1.0, 1.1, "unclear"), (0, 9, 1.0, 1.5, "rose"), (9, 0, 1.0, 1.5, "unclear"), (0, 9, 1.0, 0.5, "unclear"),
])  # fmt: skip
def test_a_direction_needs_more_clear_changes_than_chance_gives(better, worse, before, after, verdict):
    assert Change(Family("association", "mean |d|", "test", ()), before, after, 39, better, worse).verdict == verdict


def test_one_test_is_judged_by_its_own_interval():
    family = Family("association", "mean |d|", "test", ())
    assert Change(family, 1.0, 0.5, 1, 1, 0).verdict == "fell"
    assert Change(family, 1.0, 1.5, 1, 0, 1).verdict == "rose"
    assert Change(family, 1.0, 0.5, 1, 0, 0).verdict == "unclear"


def test_the_group_that_a_subset_loses_stands_first(findings):
    """A keep list may help one measure while a group leaves the data: the headline names both."""
    shares = {"": 0.33, "orthogonal": 0.17, "calibrated": 0.2, "random (control)": 0.32}
    rows = []
    for repair, share in shares.items():
        for group, value in (("dark", share), ("light", 1 - share)):
            row = Finding(
                metric="representation", value=value, unit="share", n=900, low=value - 0.02, high=value + 0.02,
                level=0.95, groups=group, attribute="skin", arm="after" if repair else "before",
                pair_id=f"share/{group}", extra={"repair": repair},
            )  # fmt: skip
            rows.append(row)
            if repair:
                moved = value - (0.33 if group == "dark" else 0.67)
                rows.append(replace(row, value=moved, low=moved - 0.02, high=moved + 0.02, arm="difference"))
    told = said(Findings([*findings, *rows], {**findings.settings, "caveat": "One model per subset."}))
    assert told.text.startswith(
        "Orthogonal: the share of dark (skin) went from 33.0\u202f% to 17.0\u202f%. Gender bias fell"
    )
    card = next(c for c in told.cards if c.label == "Share of dark (skin)")
    assert card.tone == "bad"
    assert card.detail == ("of 33.0\u202f% before; calibrated 20.0\u202f%, random (control) 32.0\u202f%")
    assert "random subset of the same size" in everything(told)
    assert "One model per subset." in told.sentences
    assert "share of dark" not in everything(said(findings))


def test_a_model_that_names_nobody_is_not_said_to_be_repaired(findings):
    """Amplification below 0 because no word of a group is ever said: the headline's sentences call it erasure."""

    def rows(task, repair, before, after, *, erasure, half=0.02):
        extra = {"task": task, "role": "fairness", "direction": "t->a"}
        shared = {"metric": "amplification", "unit": "share", "n": 600, "level": 0.95, "groups": "(all)",
                  "attribute": "gender", "pair_id": task}  # fmt: skip
        for arm, value, named in (
            ("before", before, ""),
            ("after", after, repair),
            ("difference", after - before, repair),
        ):
            yield Finding(
                **shared, value=value, low=value - half, high=value + half, arm=arm,
                extra={**extra, "repair": named, "erasure": erasure and arm != "before"},
            )  # fmt: skip

    more = [*rows("person word", "orthogonal", 0.12, -0.2, erasure=True),
            *rows("answers", "orthogonal", 0.05, 0.05, erasure=False),
            *rows("words", "calibrated", 0.12, 0.04, erasure=False)]  # fmt: skip
    told = said(Findings([*findings, *more], findings.settings)).sentences
    about = [line for line in told if line.startswith("Amplification")]
    assert len(about) == 2
    assert "\u201cperson word\u201d" in about[0]
    assert about[0].endswith("with orthogonal, which names nobody any more: that is erasure, not repair.")
    assert about[1].endswith("with calibrated.")
    assert not [line for line in said(findings).sentences if "mplification" in line]
