"""What an audit does with input that is incomplete, odd or wrong: says so, and goes on where it can."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fairvl.errors import BankError, DatasetError, EncoderError, InputError
from fairvl.measure.audit import audit, load_suite
from fairvl.measure.groups import accuracy_gap, worst_group_accuracy
from fairvl.sources.encoders import EncoderCard, encoder
from fairvl.sources.store import write_store


def test_predictions_equal_the_group_metrics(tmp_path):
    rng = np.random.default_rng(0)
    truth, groups = rng.choice(["a", "b"], 500), rng.choice(["x", "y", "z"], 500)
    predicted = np.where(rng.random(500) < np.where(groups == "z", 0.6, 0.9), truth, "a")
    path = tmp_path / "predictions.csv"
    rows = zip(range(500), truth, predicted, groups, strict=True)
    path.write_text("id,y_true,y_pred,region\n" + "\n".join(",".join(map(str, row)) for row in rows))
    findings = audit(predictions=path, draws=200)
    assert findings.one(metric="accuracy", groups="(all)").value == pytest.approx((truth == predicted).mean())
    assert findings.one(metric="worst_group_accuracy").value == worst_group_accuracy(truth, predicted, groups)
    assert findings.one(metric="accuracy_gap").value == accuracy_gap(truth, predicted, groups) > 0.05
    for group in "xyz":
        mask = groups == group
        row = findings.one(metric="accuracy", groups=group)
        assert (row.value, row.n) == (pytest.approx((truth == predicted)[mask].mean()), mask.sum())
        assert row.low < row.value < row.high


def test_all_right_is_not_sure_to_be_right():
    table = {"y_true": ["a", "b"] * 5, "y_pred": ["a", "b"] * 5, "sex": ["f", "m"] * 5}
    row = audit(predictions=table, draws=100).one(metric="accuracy", groups="(all)")
    assert row.value == row.high == 1
    assert 0.6 < row.low < 0.9


def test_missing_groups_are_a_group_of_their_own():
    table = {"y_true": ["a"] * 60, "y_pred": ["a"] * 40 + ["b"] * 20, "sex": ["f", "m"] * 20 + [None] * 20}
    findings = audit(predictions=table, draws=100)
    assert findings.one(metric="accuracy", groups="(missing)").value == 0
    assert findings.settings["data"]["groups"]["sex"] == {"f": 20, "m": 20, "(missing)": 20}


def test_columns_that_are_no_groups_are_named_with_their_labels():
    table = {"y_true": ["a", "b"] * 20, "y_pred": ["a", "b"] * 20, "sex": ["f", "m"] * 20}
    table |= {"caption": [f"text {row}" for row in range(40)], "camera": ["one"] * 40}
    settings = audit(predictions=table, draws=100).settings
    assert settings["data"]["columns_left_out"] == {"caption": 40, "camera": 1}
    assert list(settings["data"]["groups"]) == ["sex"]


def test_rows_without_a_prediction_are_counted_and_left_out():
    table = {"y_true": ["a", "b", None], "y_pred": ["a", None, "a"], "sex": ["f", "m", "f"]}
    findings = audit(predictions=table, draws=100)
    assert findings.one(metric="accuracy", groups="(all)").n == 1
    assert findings.settings["data"]["dropped_without_label"] == 2


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"y_true": ["a"]}, "y_pred"),
        ({"y_true": ["a", "b"], "y_pred": ["a", "b"], "id": ["1", "1"]}, "1"),
    ],
)
def test_a_bad_table_says_what_is_wrong(table, says):
    with pytest.raises(DatasetError, match=says):
        audit(predictions=table)


def test_neither_or_both_inputs_is_an_error():
    with pytest.raises(InputError, match="neither"):
        audit()
    with pytest.raises(InputError, match="exactly one"):
        audit("fake", predictions={"y_true": ["a"], "y_pred": ["a"]})


def test_text_only_audits_say_which_tests_need_images():
    findings = audit("fake:32", draws=200)
    image = [row for row in findings if "image" in row.order]
    assert image
    assert all(math.isnan(row.value) and "no images" in row.note for row in image)
    assert not math.isnan(findings.where(metric="effect_size", order="text-text")[0].value)


def test_a_closed_vocabulary_skips_tests_and_names_the_words():
    class Closed:
        card = EncoderCard(library="callable", name="closed", weights="", dim=8)
        words = frozenset(["a", "photo", "of", "this", "is", "picture"])

        def encode_texts(self, texts):
            return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)

        def encode_images(self, images):
            raise AssertionError

        def unknown_words(self, texts):
            return [w for t in texts for w in t.lower().split() if w not in self.words]

    with pytest.raises(InputError, match=r"nothing of the suite 'core-v1' applies.*does not know"):
        audit(Closed())
    monday = next(test for test in load_suite().associations if test.x.name == "weekdays")
    Closed.words = frozenset(w for s in (monday.x, monday.y, monday.a, monday.b) for t in s.texts for w in t.split())
    findings = audit(Closed(), draws=100)
    ran = {row.extra["test"] for row in findings if not math.isnan(row.value)}
    assert ran == {monday.test}
    skipped = findings.where(test="women and men: pleasant and unpleasant", order="text-text")[0]
    assert math.isnan(skipped.value)
    assert "does not know 'girl'" in skipped.note


def test_an_encoder_without_a_text_side_runs_the_image_tests(planted, tmp_path):
    _, images = planted(tmp_path, n=200)
    seeing = encoder(image_fn=lambda batch: np.zeros((len(batch), 48)), card=EncoderCard(
        library="callable", name="planted", weights="by hand", dim=48, modalities=("image",)))  # fmt: skip
    findings = audit(seeing, dataset=images, draws=100)
    ran = {row.order for row in findings.where(metric="effect_size") if not math.isnan(row.value)}
    assert ran == {"image-image"}
    assert "no text side" in findings.where(metric="effect_size", order="text-text")[0].note


def test_spellings_and_recodes_lead_to_one_label(planted, tmp_path):
    model, images = planted(tmp_path, n=200)
    findings = audit(model, dataset=images, draws=100)
    assert set(findings.settings["data"]["groups"]["gender"]) == {"female", "male"}  # the column says sex: F, M
    recoded = audit(model, dataset=images, draws=100, recode={"glasses": {"no glasses": "bare"}})
    assert "bare" in recoded.settings["data"]["groups"]["glasses"]
    with pytest.raises(DatasetError, match="no row is labelled"):
        audit(model, dataset=images, recode={"glasses": {"monocle": "glasses"}})
    with pytest.raises(DatasetError, match="names the column"):
        audit(model, dataset=images, recode={"glases": {"a": "b"}})


def test_an_unknown_group_column_is_named(planted, tmp_path):
    model, images = planted(tmp_path, n=100)
    with pytest.raises(DatasetError, match="raec"):
        audit(model, dataset=images, groups=["raec"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id = 'x'\nversion = 1\nnonsense = 2", "unknown keys"),
        ("id = 'x'\nversion = 1\n[[association]]\ntest = 't'\n", "incomplete"),
        ("not toml", "not valid TOML"),
        (
            "id='x'\nversion=1\n[[association]]\ntest='t'\ncategory='odd'\nx='core-words:women'\ny='core-words:men'\n"
            "a='core-words:old'\nb='core-words:young'",
            "category",
        ),
        (
            "id='x'\nversion=1\n[[association]]\ntest='t'\ncategory='social'\nx='core-words:women'\ny='images g=m'\n"
            "a='core-words:old'\nb='core-words:young'",
            "one modality",
        ),
        (
            "id='x'\nversion=1\n[[association]]\ntest='t'\ncategory='social'\nx='images g=f'\ny='images g=m'\n"
            "a='core-words:old'\nb='core-words:young'",
            "attribute",
        ),
    ],
)
def test_a_malformed_suite_says_where(tmp_path, text, says):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    with pytest.raises(BankError, match=says):
        load_suite(path)


def test_an_unknown_suite_lists_the_shipped_ones():
    with pytest.raises(BankError, match="core"):
        load_suite("cor")


def test_the_core_suite_holds_what_it_promises():
    suite = load_suite()
    orders = [test.order for test in suite.associations]
    assert orders.count("text-text") >= 6
    assert orders.count("image-image") >= 3
    assert orders.count("image-text") + orders.count("text-image") >= 3
    assert {"image-text", "text-image"} <= set(orders)
    assert len(suite.classifications) >= 4
    assert len(suite.retrieval.queries) == 29
    assert all(len(query.texts) == 10 for query in suite.retrieval.queries)


SEX = ["f", "m"] * 20


@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [([1.0, 0.0], [1, 0]), (["1.0", "0.0"], ["1", "0"]), ([1, 0], ["1", "0"]), ([1.0, float("nan")], [1, 1])],
)
def test_labels_of_differently_typed_columns_are_the_same_labels(y_true, y_pred):
    findings = audit(predictions={"y_true": y_true * 20, "y_pred": y_pred * 20, "sex": SEX}, draws=100)
    assert findings.one(metric="accuracy", groups="(all)").value == 1
    assert findings.one(metric="accuracy", groups="(all)").n == 20 * sum(v == v for v in y_true)


def test_labels_of_differently_typed_csv_columns_are_the_same_labels(tmp_path):
    (tmp_path / "p.csv").write_text("y_true,y_pred,sex\n" + "1.0,1,f\n0.0,1,m\n" * 20)
    assert audit(predictions=tmp_path / "p.csv", draws=100).one(metric="accuracy", groups="(all)").value == 0.5


def test_a_numeric_column_of_predictions_is_a_trend():
    rng = np.random.default_rng(0)
    tone = rng.integers(1, 7, 600).tolist()
    predicted = ["a" if rng.random() < 1 - 0.1 * t else "b" for t in tone]
    table = {"y_true": ["a"] * 600, "y_pred": predicted, "skin_tone": tone}
    slope = audit(predictions=table, groups=["skin_tone"], draws=200).one(metric="slope", attribute="skin_tone")
    assert slope.low < -0.1 < slope.high < 0


@pytest.mark.parametrize("column", [["f"] * 40, [f"g{i}" for i in range(40)]])
def test_a_group_column_that_was_asked_for_never_drops_out_in_silence(column):
    with pytest.raises(DatasetError, match="no results can be shown by"):
        audit(predictions={"y_true": SEX, "y_pred": SEX, "group": column}, groups=["group"], draws=100)


def test_a_group_that_no_labelled_row_has_leaves_the_overall_accuracy():
    table = {"y_true": ["a", "b"] * 20 + [None] * 2, "y_pred": ["a"] * 42, "sex": [None] * 40 + ["f", "m"]}
    assert audit(predictions=table, draws=100).one(metric="accuracy", groups="(all)").value == 0.5


@pytest.mark.parametrize("extra", [{"operator": lambda v: v}, {"dataset": "folder:nowhere"}])
def test_predictions_refuse_what_they_cannot_use(extra):
    with pytest.raises(InputError, match="Leave one out"):
        audit(predictions={"y_true": SEX, "y_pred": SEX, "sex": SEX}, **extra)


@pytest.mark.parametrize(
    "table",
    [
        {"y_true": SEX, "y_pred": SEX[:-1], "sex": SEX},
        {"y_true": SEX, "y_pred": SEX, "sex": SEX[:-1]},
        {"y_true": [None] * 3, "y_pred": ["a"] * 3},
    ],
)
def test_ragged_and_unlabelled_tables_are_user_mistakes(table):
    with pytest.raises(DatasetError, match=r"different lengths|none of 3 rows"):
        audit(predictions=table, draws=100)


def test_what_was_chosen_is_part_of_the_hash():
    table = {"y_true": SEX, "y_pred": SEX, "sex": SEX, "place": ["x", "x", "y", "y"] * 10}
    hashes = {audit(predictions=table, crossings=c, draws=100)[0].config_hash for c in (1, 1, 2)}
    assert len(hashes) == 2


def test_a_store_of_another_encoder_is_refused(planted, tmp_path):
    _, images = planted(tmp_path, n=20)
    other = encoder(text_fn=lambda texts: np.ones((len(texts), 48)), card=EncoderCard(
        library="callable", name="planted", weights="others", dim=48, modalities=("text",)))  # fmt: skip
    with pytest.raises(EncoderError, match="weights 'by hand' instead of 'others'"):
        audit(other, dataset=images)


def test_two_columns_of_one_attribute_are_not_merged_in_silence(planted, tmp_path):
    model, images = planted(tmp_path, n=20)
    columns = {"sex": images.columns("sex").tolist(), "gender": ["woman", "man"] * 10}
    both = write_store(
        tmp_path / "both", ids=images.ids, image_vectors=images.image_vectors.read(), columns=columns, card=model.card
    )
    with pytest.raises(DatasetError, match="both say 'gender'"):
        audit(model, dataset=both)


def test_a_data_frame_is_told_how_to_become_columns():
    with pytest.raises(InputError, match="to_dict"):
        audit(predictions=np.zeros((3, 2)))


def test_a_text_probe_that_cannot_run_says_why(planted, tmp_path):
    _, images = planted(tmp_path, n=100)
    seeing = encoder(image_fn=lambda batch: np.zeros((len(batch), 48)), card=EncoderCard(
        library="callable", name="planted", weights="by hand", dim=48, modalities=("image",)))  # fmt: skip
    probes = audit(seeing, dataset=images, draws=100).where(metric="probe_accuracy")
    assert "no text side" in probes.one(modality="text").note
    assert probes.one(modality="image").value > 0.9


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_two_numbers_and_missing_rows_are_two_groups_and_not_a_trend(missing):
    table = {"y_true": ["a"] * 60, "y_pred": ["a"] * 60, "glasses": [0.0, 1.0] * 20 + [missing] * 20}
    findings = audit(predictions=table, draws=100)
    assert findings.settings["data"]["groups"] == {"glasses": {"0": 20, "1": 20, "(missing)": 20}}
    assert not findings.where(metric="slope")
