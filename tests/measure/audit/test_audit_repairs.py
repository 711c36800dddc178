"""Planted bias is found, a repair removes it, utility stays, and a random operator of equal rank does nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fairvl.arrays import unit_rows
from fairvl.errors import EncoderError, InputError
from fairvl.measure.audit import audit, load_suite
from fairvl.measure.audit.classifications import label_findings
from fairvl.repair.debias import debias
from fairvl.sources.store import write_store
from fairvl.stats.codes import encode

TEST = "women and men: pleasant and unpleasant"


@pytest.fixture(scope="module")
def proof(planted, tmp_path_factory):
    model, images = planted(tmp_path_factory.mktemp("proof"))
    repairs = {m: debias(model, attribute="gender", method=m) for m in ("orthogonal", "random")}
    return audit(model, dataset=images, operator=repairs, draws=300)


@pytest.mark.parametrize("order", ["text-text", "image-text"])
def test_a_repair_removes_what_was_planted(proof, order):
    rows = proof.where(metric="effect_size", test=TEST, order=order)
    before, after, change = (
        rows.one(arm="before"),
        rows.one(arm="after", repair="orthogonal"),
        rows.one(arm="difference", repair="orthogonal"),
    )
    assert before.low > 0.5  # power: the bias is there
    assert before.p < 0.01
    assert change.high < 0
    assert change.value == pytest.approx(after.value - before.value)
    if order == "image-text":
        assert abs(after.value) < 0.5 * before.value


def test_skew_falls_with_the_repair_and_not_with_the_control(proof):
    rows = proof.where(metric="mean_max_skew", attribute="gender")
    change = rows.one(arm="difference", repair="orthogonal")
    control = rows.one(arm="difference", repair="random")
    assert rows.one(arm="before").low > 0.3
    assert change.high < 0
    assert change.value < -0.5 * rows.one(arm="before").value  # what is left is the skew of 40 random images
    assert control.value > 0.25 * change.value


def test_utility_on_untreated_attributes_stays(proof):
    for task in ("glasses", "smile"):
        rows = proof.where(metric="accuracy", task=task, groups="(all)")
        assert rows.one(arm="before").value > 0.95  # power: there is something to lose
        assert abs(rows.one(arm="difference", repair="orthogonal").value) < 0.02
        assert rows.one(arm="before").extra["role"] == "utility"


def test_text_side_repair_leaves_the_image_side_whole(proof):
    image = proof.where(metric="probe_accuracy", modality="image")
    assert image.one(arm="before").value > 0.95
    assert image.one(arm="difference", repair="orthogonal").value == 0
    assert proof.where(metric="probe_accuracy", modality="text").one(arm="before").value > 0.9


def test_the_treated_attribute_itself_is_not_sold_as_utility(proof):
    assert proof.where(metric="accuracy", task="gender", groups="(all)")[0].extra["role"] == "diagnostic"


def test_every_number_has_n_and_an_interval_or_a_reason(proof):
    assert all(row.n > 0 or row.note for row in proof)
    assert all(row.low is not None or row.note for row in proof)
    assert all(row.config_hash and row.suite == "core-v1" for row in proof)
    by_pair = {}
    for row in proof:
        if row.pair_id:
            by_pair.setdefault(row.pair_id, set()).add((row.arm, row.extra["repair"]))
    expected = {("before", "")} | {(a, r) for a in ("after", "difference") for r in ("orthogonal", "random")}
    assert set(map(frozenset, by_pair.values())) == {frozenset(expected)}


def test_without_bias_nothing_is_found(planted, tmp_path):
    model, images = planted(tmp_path, bias=0.0)
    row = audit(model, dataset=images, draws=300).one(metric="effect_size", test=TEST, order="text-text")
    assert row.low < 0 < row.high


def test_same_seed_same_bytes(planted, tmp_path):
    model, images = planted(tmp_path, n=200)
    first, second, third = (audit(model, dataset=images, draws=200, seed=s).to_json() for s in (1, 1, 2))
    assert first == second
    assert first != third


def test_a_text_that_a_repair_sends_to_zero_costs_its_tests_and_nothing_else(planted, tmp_path):
    model, _ = planted(tmp_path, n=20)
    test = next(t for t in load_suite().associations if t.test == TEST and t.order == "text-text")
    gone = unit_rows(model.encode_texts([test.x.texts[0]]), dtype=np.float32)

    def erase(vectors):
        return np.where(np.abs(vectors - gone).max(axis=1, keepdims=True) < 1e-6, 0, vectors)

    found = audit(model, operator={"erase": erase, "keep": lambda vectors: vectors}, draws=100)
    rows = found.where(metric="effect_size", test=TEST, order="text-text")
    assert math.isnan(rows.one(arm="after", repair="erase").value)
    assert "1 of women" in rows.one(arm="difference", repair="erase").note
    assert rows.one(arm="after", repair="keep").value == rows.one(arm="before").value
    assert not math.isnan(found.where(arm="after", repair="erase", category="control")[0].value)


def test_an_operator_of_another_encoder_or_of_another_width_is_refused(planted, tmp_path):
    model, _ = planted(tmp_path, n=20)
    operator = debias(model).described(encoder=dict(model.card.as_dict(), weights="others"))
    with pytest.raises(EncoderError, match="weights 'others' instead of 'by hand'"):
        audit(model, operator=operator)
    with pytest.raises(InputError, match="same shape"):
        audit(model, operator=lambda vectors: vectors[:, :7])


def test_rankings_after_a_repair_of_images_go_by_cosine(planted, tmp_path):
    model, images = planted(tmp_path, n=200)

    def longer(vectors):
        return vectors * np.linspace(0.1, 10, len(vectors), dtype=np.float32)[:, None]

    longer.applies_to_images = True
    rows = audit(model, dataset=images, operator=longer, draws=100).where(metric="mean_max_skew", attribute="gender")
    assert rows.one(arm="after").value == pytest.approx(rows.one(arm="before").value)


def test_every_row_names_the_worst_group_of_its_own_arm():
    truth, groups = np.array(["a"] * 80), encode(["f"] * 40 + ["m"] * 40)
    before = np.array(["a"] * 40 + ["b"] * 20 + ["a"] * 20)
    found = label_findings(
        truth, before, {"swap": before[::-1]}, {"sex": groups}, task="t", role="utility", draws=100, level=0.95,
        seed=0, crossings=2,
    )  # fmt: skip
    rows = [row for row in found if row.metric == "worst_group_accuracy"]
    assert [(row.arm, row.groups) for row in rows] == [("before", "m"), ("after", "f"), ("difference", "m, then f")]


def test_harm_rates_are_crossed_as_far_as_accuracies(planted, tmp_path):
    model, images = planted(tmp_path, n=100)
    columns = {name: images.columns(name).tolist() for name in ("sex", "glasses")} | {"site": ["x", "y"] * 50}
    store = write_store(
        tmp_path / "sites", ids=images.ids, image_vectors=images.image_vectors.read(), columns=columns, card=model.card
    )
    for crossings, crossed in ((1, set()), (2, {"gender & site"})):
        found = audit(model, dataset=store, draws=100, crossings=crossings)
        for metric in ("harm_rate", "accuracy"):
            assert {row.attribute for row in found if row.metric == metric and "&" in row.attribute} == crossed
