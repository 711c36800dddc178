"""The numbers of a sweep are those of each test alone; corrections are those of the literature."""

import math

import numpy as np
import pytest

from fairvl.findings import Findings
from fairvl.measure.association import association_test, multilevel
from fairvl.sources.datasets.decode import decode_image
from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.stimuli import load_registry
from fairvl.stats.multiplicity import holm
from fairvl.stats.power import minimum_detectable_effect
from fairvl.study.sweep import sweep


@pytest.fixture
def swept(tmp_path, toy):
    return sweep(toy.models(5), tmp_path / "a", suite=toy.registry(), draws=400, permutations=999, tail="greater")


def vectors(model, side):
    if side.modality == "text":
        return model.encode_texts(side.texts())
    return model.encode_images([decode_image(side.image(i)) for i in range(len(side.keys))])


@pytest.mark.parametrize("seed", range(2))
def test_every_number_is_that_of_the_test_alone(swept, toy, seed):
    for case in toy.registry().cases[:3]:
        sets = [vectors(toy.Counting(seed), side).astype(float) for side in (case.x, case.y, case.a, case.b)]
        alone = association_test(
            *sets, clusters=(case.x.words, case.y.words, None, None), draws=400, seed=0, tail="greater"
        )
        row = swept.one(model=f"toy-{seed}", test=case.test, order=case.order)
        assert row.value == pytest.approx(alone.effect_size, abs=1e-6)
        assert row.p == pytest.approx(alone.p, abs=1e-12)
        assert (row.low, row.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
        assert row.n == alone.n == (8 if case.x.modality == "text" else 12)


def test_rows_say_where_an_effect_comes_from_and_what_they_could_have_found(swept, toy):
    for number, case in enumerate(toy.registry().cases[:3]):
        sets = [vectors(toy.Counting(0), side).astype(float) for side in (case.x, case.y, case.a, case.b)]
        levels = multilevel(*sets)
        row = swept.one(model="toy-0", test=case.test, order=case.order)
        assert (row.extra["st_eat_x"], row.extra["st_eat_y"]) == pytest.approx((levels.x, levels.y), abs=1e-6), number
        assert row.extra["pattern"] == levels.pattern
        assert row.extra["units_x"] + row.extra["units_y"] == row.n
        alone = minimum_detectable_effect(row.extra["units_x"], row.extra["units_y"], tail="greater").effect_size
        assert row.extra["detectable"] == alone
        assert row.extra.get("detectable_holm", math.inf) > alone
    assert {remark["kind"] for remark in swept.settings["lint"]} >= {"few"}


def test_templates_are_resampled_beside_words_when_asked_for(tmp_path):
    registry = load_registry("eat26")
    tables = [
        sweep({"m": FakeEncoder(16)}, tmp_path / str(crossed), suite=registry, draws=400, templates=crossed)
        for crossed in (False, True)
    ]
    wider = []
    for case in registry.cases:
        plain, crossed = (table.one(test=case.test, order=case.order) for table in tables)
        has_templates = min(case.x.templates + case.y.templates) >= 0  # pictures and the pronouns have none
        assert "template" not in plain.method
        assert ("template" in crossed.method) == has_templates
        if has_templates:
            wider.append(crossed.high - crossed.low > plain.high - plain.low)
        else:
            assert (crossed.low, crossed.high) == (plain.low, plain.high)
    assert 10 < len(wider) < 26
    assert np.mean(wider) > 0.7


def test_a_planted_association_is_found_and_an_absent_one_is_not(tmp_path, toy):
    class Leaning(toy.Counting):
        def encode_texts(self, texts):
            lean = [any(w in t for w in toy.WORDS["flowers"] + toy.WORDS["good"]) for t in texts]
            return self.fake.encode_texts(texts) + np.where(lean, 3.0, -3.0)[:, None].astype(np.float32)

    table = sweep({"leans": Leaning(), "not": toy.Counting(1)}, tmp_path, suite=toy.registry(), draws=200)
    found = table.one(model="leans", order="text-text")
    assert found.value > 1.5
    assert found.low > 0
    assert found.p == pytest.approx(2 / 70)  # both tails of 8 words in two groups
    assert abs(table.one(model="not", order="text-text").value) < 1


def test_families_are_corrected_apart(swept):
    for category in ("social", "control"):
        rows = [row for row in swept.where(category=category) if row.p is not None]
        assert [row.p_adjusted for row in rows] == holm([row.p for row in rows]).tolist()
        for row in rows:
            assert row.extra["p_holm"] == row.p_adjusted >= row.extra["p_bh"] <= row.extra["p_by"]
            assert row.p <= row.extra["p_max_t"] * 1.2
            assert row.extra["p_max_t"] <= row.extra["p_holm"] + 0.1  # shares what the models have in common
    assert len(swept.where(category="social")) == 15


def test_a_test_that_no_effect_can_pass_says_so(tmp_path, toy):
    table = sweep(toy.models(5), tmp_path, suite=toy.registry(), draws=100, permutations=199)
    control = [row for row in table.where(category="control") if row.p is not None]
    assert control[0].extra["p_floor"] == pytest.approx(2 / 70)  # two-sided
    assert all("no effect can pass Holm here" in row.note for row in control)
    alone = sweep({"m": toy.Counting()}, tmp_path / "b", suite=toy.registry(), draws=100, permutations=199)
    assert "no effect" not in alone.one(order="image-text").note  # two rows of at least 1/924


def test_the_most_influential_unit_is_named(swept, toy):
    case = toy.registry().cases[1]
    row = swept.one(model="toy-0", order="image-text")
    sets = [vectors(toy.Counting(0), side) for side in (case.x, case.y, case.a, case.b)]
    without = {}
    for side in (0, 1):
        for i in range(6):
            cut = list(sets)
            cut[side] = np.delete(sets[side], i, axis=0)
            without[str(side * 6 + i)] = association_test(*cut, draws=10).effect_size
    most = max(without, key=lambda name: abs(without[name] - row.value))
    assert row.extra["influential"] == most
    assert row.extra["d_without"] == pytest.approx(without[most], abs=1e-6)


def test_files_agree_and_rows_carry_their_context(tmp_path, toy, swept):
    folder = tmp_path / "a"
    assert Findings.read(folder / "findings.json").records() == Findings.read(folder / "findings.parquet").records()
    assert Findings.read(folder / "findings.json").records() == swept.records()
    row = swept.one(model="toy-3", order="image-text")
    assert (row.suite, row.suite_version, row.unit, row.seed) == ("toy", "1", "standard deviations", 0)
    expected = {
        "test": "race",
        "topic": "Race",
        "category": "social",
        "x": "light",
        "y": "dark",
        "a": "good",
        "b": "bad",
    }
    assert expected.items() <= row.extra.items()
    assert row.extra["stand_in"] is True
    assert swept.one(model="toy-3", order="text-text").extra["stand_in"] is False
    missing = swept.one(model="toy-3", order="image-image")
    assert math.isnan(missing.value)
    assert (missing.note, missing.n) == ("pictures are not here", 0)
    assert (folder / "models.csv").read_text().splitlines()[1].startswith("toy-0,")
    assert "params_m" in (folder / "models.csv").read_text().splitlines()[0]
    assert ",1.0," in (folder / "models.csv").read_text().splitlines()[1]  # counted in the model


def test_the_suite_of_26_runs_out_of_the_box(tmp_path):
    table = sweep({f"m{dim}": f"fake:{dim}" for dim in (8, 16, 32)}, tmp_path, draws=100, permutations=199)
    assert len(table) == 78
    assert len({(row.extra["test"], row.order) for row in table}) == 26
    assert not any(math.isnan(row.value) for row in table)
    assert np.mean([abs(row.value) for row in table]) < 0.8  # hashes know nothing
