"""Amplification of stored predictions, before and after, joined by id."""

import json

import numpy as np
import pytest

from fairvl.errors import DatasetError, InputError
from fairvl.measure.amplification import directional_amplification, one_hot
from fairvl.measure.audit import audit
from fairvl.report import report


def table(seed=0, n=400):
    """Answers that lean on the group more than the labels do."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["female", "male"], n)
    truth = np.where(rng.random(n) < np.where(group == "female", 0.6, 0.4), "tennis", "golf")
    typical = np.where(group == "female", "tennis", "golf")
    predicted = np.where(rng.random(n) < 0.5, typical, truth)
    return {"id": [f"q{i}" for i in range(n)], "y_true": truth.tolist(), "y_pred": predicted.tolist(),
            "group": group.tolist()}  # fmt: skip


def repaired(before, seed=1):
    """The labels themselves but for one row in ten, in another order."""
    rng = np.random.default_rng(seed)
    n = len(before["id"])
    order = rng.permutation(n)
    truth = np.array(before["y_true"])
    guess = np.where(rng.random(n) < 0.1, "golf", truth)
    return {"id": [before["id"][i] for i in order], "y_true": truth[order].tolist(), "y_pred": guess[order].tolist()}


def test_values_are_those_of_the_engine():
    data = table()
    found = audit(predictions=data, draws=200)
    a, t, p = (one_hot(data[name])[0] for name in ("group", "y_true", "y_pred"))
    own = directional_amplification(a, t, p, n_boot=0)
    row = found.one(metric="amplification")
    assert row.value == pytest.approx(own.value)
    assert row.low > 0.1
    assert (row.n, row.groups, row.attribute, row.unit) == (400, "(all)", "group", "share")
    assert row.extra["coverage"] == 1
    assert found.one(metric="amplification_absolute").value == pytest.approx(own.absolute.value)
    assert found.one(metric="amplification_by_group", groups="male").value == pytest.approx(own.per_attribute[1].value)
    pairs = found.where(metric="amplification_pair")
    assert len(pairs) == 4
    one = found.one(metric="amplification_pair", groups="female", label="tennis")
    assert one.value == pytest.approx(own.pairs.signed[0, 1])
    assert one.n == data["group"].count("female")
    assert one.p_adjusted >= one.p


def test_a_repair_is_measured_before_after_and_as_a_paired_difference(tmp_path):
    before = table()
    found = audit(predictions=before, after={"neutral": repaired(before)}, draws=200)
    start, end, change = (found.one(metric="amplification", arm=arm) for arm in ("before", "after", "difference"))
    assert change.value == pytest.approx(end.value - start.value)
    assert change.high < 0
    assert {start.pair_id} == {end.pair_id, change.pair_id} - {""}
    assert end.extra["repair"] == "neutral"
    gap = found.one(metric="accuracy_gap", arm="difference", attribute="group")
    assert gap.low is not None
    report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Bias amplification by perceived group" in page
    assert "Do the predictions tie classes to groups" in page


def test_the_order_of_rows_after_means_nothing():
    before, again = table(), repaired(table())
    turned = {name: values[::-1] for name, values in again.items()}
    one, two = (audit(predictions=before, after={"x": after}, draws=50) for after in (again, turned))
    assert one.to_json() == two.to_json()


def test_a_model_that_says_nothing_known_is_flagged_as_erasure():
    before = table()
    mute = {"id": before["id"], "y_pred": ["something"] * len(before["id"])}
    row = audit(predictions=before, after={"mute": mute}, draws=50).one(metric="amplification", arm="after")
    assert row.value <= 0
    assert row.extra["erasure"]
    assert row.note.startswith("erasure")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["id"].__setitem__(0, "q1"), "q1"),
        (lambda t: t["id"].__setitem__(0, "unknown"), "have no prediction, such as"),
        (lambda t: [column.pop() for column in t.values()], "have no prediction"),
        (lambda t: t["y_true"].__setitem__(0, "chess"), "another 'y_true'"),
        (lambda t: t.pop("y_pred"), "no column 'y_pred'"),
        (lambda t: t.pop("id"), "no column 'id'"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(change, said):
    before = table()
    after = repaired(before)
    change(after)
    with pytest.raises(DatasetError, match=said):
        audit(predictions=before, after={"x": after})


def test_rows_misaligned_by_one_are_caught_by_their_labels():
    before = table()
    after = repaired(before)
    after["id"] = after["id"][1:] + after["id"][:1]
    with pytest.raises(DatasetError, match="another 'y_true'"):
        audit(predictions=before, after={"x": after})


def test_after_needs_before_and_ids():
    with pytest.raises(InputError, match="without predictions="):
        audit("fake", after={"x": table()})
    before = table()
    after = repaired(before)
    del before["id"]
    with pytest.raises(DatasetError, match="joined by id"):
        audit(predictions=before, after={"x": after})


def test_groups_too_small_for_a_share_are_left_out_and_said_to_be():
    data = table(n=70)
    data["group"] = ["female"] * 10 + ["male"] * 60
    found = audit(predictions=data, draws=50)
    assert "2 pairs of groups with fewer than 30 rows left out" in found.one(metric="amplification").note
    assert np.isnan(found.one(metric="amplification_by_group", groups="female").value)
    assert len(found.where(metric="amplification_pair")) == 2


def test_training_labels_decide_the_signs():
    data = table()
    turned = {"y_true": ["golf"] * 60 + ["tennis"] * 60, "group": ["female"] * 60 + ["male"] * 60}
    own, other = (audit(predictions=data, train=t, draws=50).one(metric="amplification") for t in (None, turned))
    assert other.value == pytest.approx(-own.value)
    assert "signs from 120 training rows" in other.note
    assert "sign of" not in other.note  # all of them are sure there


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"group": ["female"]}, "no column 'y_true'"),
        ({"y_true": ["golf"]}, "none of the group columns"),
        ({"y_true": ["golf"], "group": ["F"]}, "no row of 'group' is one of"),
    ],
)
def test_training_labels_that_do_not_fit_are_refused(train, said):
    with pytest.raises(DatasetError, match=said):
        audit(predictions=table(), train=train)
    with pytest.raises(InputError, match="train= without predictions"):
        audit("fake", train=train)


def test_the_command_prints_before_and_after(tmp_path):
    from click.testing import CliRunner

    from fairvl.cli import main

    before = table()
    for name, columns in (("before", before), ("after", repaired(before))):
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    arguments = ["audit", "--predictions", str(tmp_path / "before.csv"), "--after", f"neutral={tmp_path / 'after.csv'}"]
    done = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "out"), "--draws", "100", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["findings"]
    shown = [row for row in rows if row["metric"] == "amplification" and row["arm"] == "difference"]
    assert shown[0]["high"] < 0
    twice = CliRunner().invoke(main, [*arguments, *arguments[3:], "-o", str(tmp_path / "out2")])
    assert twice.exit_code == 2
    assert "same name" in twice.output
