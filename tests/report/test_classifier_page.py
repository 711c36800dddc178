"""The page of trained classifiers says what changed, against which controls, and what did not."""

import pytest

from fairvl.findings import Finding, Findings
from fairvl.report import report
from fairvl.report.headline import headline
from fairvl.report.pairing import Run, compare
from fairvl.report.vocabulary import METRICS

LEAD = "equalized_odds_difference_mean"
METRICS_SHOWN = (LEAD, "accuracy", "worst_label_group_accuracy", "counterfactual_flip_rate", "macro_f1")


def level(metric, arm, value, half=0.02):
    return Finding(metric, value, "share", 800, value - half, value + half, 0.95, "1000 resamples of images x 3 seeds",
                   attribute="age_group", dataset="faces", model="small", seed=0,
                   extra={"task": "smile", "training": arm, "seeds": 3})  # fmt: skip


def comparison(metric, arm, other, change, half):
    base = {"unit": "share", "n": 800, "level": 0.95, "attribute": "age_group", "seed": 0,
            "pair_id": f"{metric}{arm}{other}"}  # fmt: skip
    extra = {"task": "smile", "training": arm, "seeds": 3, "compared_with": other}
    return [
        Finding(metric, 0.5, arm="before", **base, low=0.4, high=0.6, extra={**extra, "training": other}),
        Finding(metric, 0.5 + change, arm="after", **base, low=0.4, high=0.6, extra=extra),
        Finding(metric, change, arm="difference", **base, low=change - half, high=change + half, extra=extra),
    ]


def made(changes, *, half=0.02, arms=("baseline", "augmented", "reweighted", "unedited", "aggravated"), more=()):
    """`changes`: (metric, arm, other) -> difference; those not named are 0."""
    rows = [
        level(metric, arm, 0.3 + changes.get((metric, arm, "baseline"), 0)) for metric in METRICS_SHOWN for arm in arms
    ]
    pairs = [(arm, "baseline") for arm in arms[1:]] + [("augmented", arm) for arm in arms[2:]]
    for metric in METRICS_SHOWN:
        for arm, other in pairs:
            rows += comparison(metric, arm, other, changes.get((metric, arm, other), 0), half)
    return Findings([*rows, *more], {"arms": {}})


def said(findings):
    return headline(compare([Run("run", findings)]))


FELL = {(LEAD, "augmented", "baseline"): -0.15, ("accuracy", "augmented", "baseline"): 0.05,
        ("worst_label_group_accuracy", "augmented", "baseline"): 0.2, (LEAD, "augmented", "unedited"): -0.12,
        (LEAD, "aggravated", "baseline"): 0.1}  # fmt: skip


def test_a_clear_gain_that_beats_a_control_is_told_with_intervals_and_with_what_did_not_change():
    found = said(made(FELL))
    assert found.text == (
        "With verified edits in training, the mean equalized-odds difference of smile by age group fell from "
        "30.0 to 15.0 points (\u221215.0 points, \u221217.0 to \u221213.0); "
        "accuracy rose (+5.0 points, +3.0 to +7.0)."
    )
    told = " ".join(found.sentences)
    assert "the augmented arm is clearly below unedited and not clearly different from reweighted" in told
    assert "cannot be credited" not in told
    assert "these changed clearly too: worst (label, group) accuracy (+20.0 points)" in told
    assert "No clear change: counterfactual flip rate (0.0 points) and macro F1 (0.0 points)." in told
    assert "made it worse, as it should (+10.0 points, +8.0 to +12.0)" in told
    assert found.cards[0].tone == found.cards[1].tone == "good"
    assert found.cards[3].tone == ""
    assert found.scoreboard.columns == ("baseline", "augmented", "reweighted", "unedited", "aggravated")
    assert [cell.certainty for cell in found.scoreboard.rows[0][2]] == ["", "clear", "not clear", "not clear", "clear"]


def test_a_gain_that_every_control_reaches_is_not_credited_to_the_edits():
    same = {key: value for key, value in FELL.items() if key[2] == "baseline"}
    told = " ".join(said(made(same)).sentences)
    assert "No control is clearly beaten, so the change cannot be credited to the edits alone." in told
    assert "not clearly different from reweighted and unedited" in told


def test_nothing_and_harm_are_called_so():
    nothing = said(made({}))
    assert "did not change measurably: from 30.0 to 30.0 points (0.0 points, \u22122.0 to +2.0)" in nothing.text
    assert "accuracy did not change measurably" in nothing.text
    harm = said(made({(LEAD, "augmented", "baseline"): 0.1, ("accuracy", "augmented", "baseline"): -0.1}))
    assert "rose from 30.0 to 40.0 points" in harm.text
    assert "accuracy fell (\u221210.0 points" in harm.text
    assert harm.cards[0].tone == harm.cards[1].tone == "bad"
    wide = said(made(FELL, half=0.5))  # the same numbers, unsure
    assert "did not change measurably" in wide.text


def test_without_edits_or_controls_the_page_says_less():
    alone = said(made({}, arms=("baseline",)))
    assert alone.text == "Equalized odds difference (mean) of baseline 30.0 points."
    reweighted = said(made({(LEAD, "reweighted", "baseline"): -0.1}, arms=("baseline", "reweighted")))
    assert reweighted.text.startswith("With real images, rare cells drawn more often (reweighted), the mean")
    bare = said(made(FELL, arms=("baseline", "augmented")))
    assert "No control was trained" in " ".join(bare.sentences)


def test_the_page_shows_arms_differences_edits_and_judges(tmp_path):
    more = [
        Finding("edit_yield", 0.8, "share", 100, 0.7, 0.87, 0.95, "wilson", groups="smile: young to old",
                attribute="age_group",
                extra={"training": "augmented", "wanted": 80, "accepted": 80, "rejected": "<not flipped> (20)"}),
        Finding("judge_accuracy", 0.99, "share", 500, 0.98, 1.0, 0.95, "wilson", attribute="skin",
                extra={"judge": "b", "part": "scores"}),
    ]  # fmt: skip
    findings = made(FELL, more=more)
    assert "80.0\u202f% of 100 candidate edits pass" in " ".join(said(findings).sentences)
    page = report(findings, tmp_path).read_text(encoding="utf-8")
    for words in ("Classifiers of smile by age group", "Classifiers by arm", "What the edits change",
                  "Edits and their judges", "Verified edits minus each control", "Yield of every request",
                  "&lt;not flipped&gt; (20)", "Judges on known truth", "rare cells drawn more often",
                  "Arms and their differences"):  # fmt: skip
        assert words in page, words
    assert "<not flipped>" not in page.split('<script type="application/json"')[0]
    for words in ("random direction", "Repairs</dt>", "after repair"):  # nothing of operators
        assert words not in page, words
    side_by_side = report([findings, findings], tmp_path / "two").read_text(encoding="utf-8")
    assert "2 comparisons of classifiers" in side_by_side.replace("\u202f", " ")


OTHERS = ("accuracy_difference", "worst_group_accuracy", "edit_yield", "equalized_odds_difference", "judge_accuracy",
          "equal_opportunity_difference")  # fmt: skip


@pytest.mark.parametrize("metric", [*METRICS_SHOWN, *OTHERS])
def test_every_metric_has_words_and_a_direction(metric):
    entry = METRICS[metric]
    assert len(entry.explanation) > 30
    assert entry.best in ("high", "low", "zero")
