"""Which findings are one measurement: by pair id where that is telling, else by what they are about."""

from fairvl.findings import Finding, Findings
from fairvl.report.pairing import Run, compare


def row(value, arm, repair="", **columns):
    extra = {"repair": repair, "test": "t", **columns.pop("extra", {})}
    return Finding(
        "effect_size", value, "standard deviations", 9, value - 1, value + 1, 0.95, arm=arm, extra=extra, **columns
    )


def one(*rows):
    return compare([Run("run", Findings(rows))])


def test_before_and_every_after_share_one_measurement():
    found = one(
        row(1.0, "before"), row(0.2, "after", "a"), row(-0.8, "difference", "a"), row(0.9, "after", "random (control)")
    )
    assert len(found.measurements) == 1
    assert [s.repair for s in found.series] == ["", "a", "random (control)"]
    assert {i: f.value for i, f in found.measurements[0].cells.items()} == {0: 1.0, 1: 0.2, 2: 0.9}
    assert found.measurements[0].changes[1].value == -0.8


def test_a_pair_id_joins_arms_whose_model_has_another_name():
    found = one(row(1.0, "before", model="m", pair_id="p"), row(0.2, "after", "a", model="m + a", pair_id="p"))
    assert len(found.measurements) == 1


def test_a_pair_id_that_names_several_measurements_does_not_merge_them():
    rows = [row(v, "before", pair_id="all", extra={"test": t}) for t, v in (("t", 1.0), ("u", 2.0))]
    rows += [row(v, "after", "a", pair_id="all", extra={"test": t}) for t, v in (("t", 0.1), ("u", 0.2))]
    assert [(m.cells[0].value, m.cells[1].value) for m in one(*rows).measurements] == [(1.0, 0.1), (2.0, 0.2)]


def test_the_control_comes_last_whatever_the_order_of_rows():
    found = one(row(0.9, "after", "random (control)"), row(1.0, "before"), row(0.2, "after", "a"))
    assert [s.repair for s in found.series] == ["", "a", "random (control)"]
    assert len({(s.tone, s.shape) for s in found.series}) == 3


def test_runs_line_up_across_models_but_not_across_data_sets_within_a_run():
    first, second = (Findings([row(1.0, "before", model=m)]) for m in ("a", "b"))
    assert len(compare([Run("a", first), Run("b", second)]).measurements) == 1
    mixed = Findings([row(1.0, "before", dataset=d) for d in ("x", "y")])
    assert len(compare([Run("a", mixed), Run("b", mixed)]).measurements) == 2
