"""The utility suite: top-k accuracy and per-class recall against plain arithmetic, any class bank, before and after."""

import numpy as np
import pytest

from fairvl.errors import BankError
from fairvl.measure.audit import audit
from fairvl.measure.audit.suite import load_suite, with_classes
from fairvl.sources.encoders import load_encoder
from fairvl.sources.prompts import load_bank
from fairvl.sources.store import write_store

CLASSES = ("red", "green", "blue", "white", "black", "grey", "brown")
BANK = """id = "colours"
name = "Colours"
version = 1
kind = "zero-shot"
source = "a test"
licence = "CC0-1.0"
language = "en"
attribute = "Colour"
templates = ["a photo of something {}", "{} paint"]

[sets]
""" + "\n".join(f'{name} = ["{name}"]' for name in CLASSES)  # fmt: skip


@pytest.fixture
def colours(tmp_path):
    """A fake encoder, a bank of classes, and images that lie near the texts of their class, more or less."""
    path = tmp_path / "colours.toml"
    path.write_text(BANK, encoding="utf-8")
    bank, encoder = load_bank(path), load_encoder("fake")
    rng = np.random.default_rng(0)
    truth = rng.choice(7, 300, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    texts = np.stack([encoder.encode_texts(list(bank.prompts(name).texts)) for name in CLASSES])
    texts = texts / np.linalg.norm(texts, axis=2, keepdims=True)
    means = texts.mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    images = means[truth] + rng.normal(scale=0.6, size=(300, means.shape[1]))
    sex = rng.choice(["f", "m"], 300)
    columns = {"colour": [CLASSES[i] for i in truth], "sex": sex.tolist()}
    columns["colour"][0] = None
    store = write_store(
        tmp_path / "store", ids=[str(i) for i in range(300)], image_vectors=images, columns=columns,
        card=encoder.card.as_dict(), dtype="float32",
    )  # fmt: skip
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    return path, encoder, store, truth[1:], (unit @ means.T)[1:]


def test_any_class_bank_gives_top_k_and_recall_per_class(colours):
    path, encoder, store, truth, cosines = colours
    findings = audit(encoder, dataset=store, suite="utility", classes=path, draws=200)
    rank = (cosines > cosines[np.arange(len(truth)), truth][:, None]).sum(axis=1)
    for k in (1, 5):
        row = findings.one(metric="top_k_accuracy", task="colours", k=k)
        assert row.value == pytest.approx((rank < k).mean())
        assert row.low < row.value < row.high
        assert (row.n, row.groups) == (299, "(all)")
        assert "1 images without a label" in row.note
    assert (
        0.2 < findings.one(metric="top_k_accuracy", task="colours", k=1).value < 0.95
    )  # power: neither chance nor all
    recall = findings.one(metric="mean_per_class_recall", task="colours")
    assert recall.value == pytest.approx(np.mean([(rank[truth == c] < 1).mean() for c in range(7)]))
    assert recall.value != pytest.approx((rank < 1).mean())
    assert recall.low < recall.value < recall.high
    everybody = findings.one(metric="accuracy", task="colours", groups="(all)")
    assert everybody.value == findings.one(metric="top_k_accuracy", task="colours", k=1).value


def test_a_repair_is_compared_image_by_image(colours):
    path, encoder, store, _truth, _cosines = colours

    def blur(vectors):
        return vectors + np.random.default_rng(1).normal(scale=0.05, size=vectors.shape)

    def nothing(vectors):
        return np.array(vectors)

    findings = audit(
        encoder, dataset=store, suite="utility", classes=path, operator={"blur": blur, "nothing": nothing}, draws=300
    )
    for metric in ("top_k_accuracy", "mean_per_class_recall"):
        some = {"metric": metric, "task": "colours"} | ({"k": 1} if metric == "top_k_accuracy" else {})
        before = findings.one(**some, arm="before")
        after = findings.one(**some, arm="after", repair="blur")
        change = findings.one(**some, arm="difference", repair="blur")
        assert change.value == pytest.approx(after.value - before.value)
        assert change.low <= change.value <= change.high
        assert change.high - change.low < after.high - after.low  # what both share cancels
        same = findings.one(**some, arm="difference", repair="nothing")
        assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_k_that_every_image_would_meet_is_left_out(colours):
    path, encoder, store, _, _ = colours
    suite = with_classes(load_suite("utility"), path, top=(1, 7, 9))
    findings = audit(encoder, dataset=store, suite=suite, draws=50)
    assert {row.extra["k"] for row in findings.where(metric="top_k_accuracy")} == {1}


def test_the_suite_runs_on_the_stored_vectors_of_the_world():
    findings = audit("world:vectors", suite="utility", draws=50)
    tasks = {row.extra["task"]: row.value for row in findings.where(metric="top_k_accuracy", k=1)}
    assert tasks["place"] > 0.9
    assert findings.one(metric="top_k_accuracy", task="occupation", k=5).value > tasks["occupation"]
    assert all(row.extra["role"] == "utility" for row in findings.where(metric="mean_per_class_recall"))
    assert findings.where(metric="mean_max_skew")  # fairness beside it


def test_the_bank_decides_what_is_measured_and_its_hash_travels(colours, tmp_path):
    path = colours[0]
    suite = load_suite("utility")
    one, two = with_classes(suite, path), with_classes(suite, path, top=(1,))
    assert len({suite.fingerprint, one.fingerprint, two.fingerprint}) == 3
    assert with_classes(one, path).classifications == one.classifications  # not asked twice
    alone = tmp_path / "alone.toml"
    alone.write_text(BANK.split("[sets]")[0].replace('attribute = "Colour"\n', "") + '[sets]\nred = ["red"]\n')
    with pytest.raises(BankError, match="two classes or more"):
        with_classes(suite, alone)
    with pytest.raises(BankError):
        with_classes(suite, "no-such-bank")


def test_a_suite_file_with_an_impossible_k_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'id = "mine"\nversion = 1\n[attribute.place]\ncolumns = ["place"]\n[[classification]]\ntask = "place"\n'
        'attribute = "place"\nbank = "zero-shot-place"\ntop = [0, 5]\n'
    )
    with pytest.raises(BankError, match="top"):
        load_suite(path)
