"""What is wrong with one model or one stimulus stays there: a row with a reason, and the sweep goes on."""

import math

import numpy as np
import pytest

from fairvl.errors import EncoderError, MissingExtraError
from fairvl.sources.encoders import EncoderCard, StoredEncoder, encoder
from fairvl.sources.store import write_store
from fairvl.study.sweep import require_steady, sweep


def values(findings, **columns):
    return [row.value for row in findings.where(**columns)]


def test_a_model_that_fails_is_recorded_and_the_others_are_measured(tmp_path, toy, quick, capsys):
    def broken():
        raise OSError("no route to the hub")

    alone = sweep({"good": toy.Counting()}, tmp_path / "alone", suite=toy.registry(), **quick)
    table = sweep({"bad": broken, "good": toy.Counting()}, tmp_path / "a", suite=toy.registry(), **quick)
    assert len(table) == 8
    assert all(math.isnan(v) for v in values(table, model="bad"))
    assert {row.note for row in table.where(model="bad")} == {"OSError: no route to the hub"}
    assert values(table, model="good")[:3] == values(alone, model="good")[:3]
    assert table.settings["failed"] == {"bad": "OSError: no route to the hub"}
    assert "bad could not be measured: OSError: no route to the hub" in capsys.readouterr().err


def test_a_failed_model_is_tried_again_only_when_asked(tmp_path, toy, quick):
    works = []

    def fetched():
        if not works:
            raise OSError("offline")
        return toy.Counting()

    def run(**options):
        return sweep({"m": fetched}, tmp_path / "a", suite=toy.registry(), **quick, **options)

    assert all(math.isnan(v) for v in values(run()))
    works.append(True)
    assert all(math.isnan(v) for v in values(run()))
    again = run(retry_failed=True)
    assert not math.isnan(again[0].value)
    assert again.to_json() == sweep({"m": fetched}, tmp_path / "b", suite=toy.registry(), **quick).to_json()


def test_nan_for_one_image_only_touches_the_cases_that_use_it(tmp_path, toy, quick):
    from fairvl.sources.datasets.decode import decode_image

    bad = decode_image(toy.png(3)).tobytes()
    clean = sweep({"m": toy.Counting()}, tmp_path / "a", suite=toy.registry(), **quick)
    table = sweep({"m": toy.Counting(bad=[bad])}, tmp_path / "b", suite=toy.registry(), **quick)
    assert table[0].value == clean[0].value  # text-text
    for row in table[1:3]:
        assert math.isnan(row.value)
        assert row.p is None
        assert "1 of 6 stimuli of" in row.note
        assert "(light)" in row.note
        assert "NaN" in row.note
    assert not any(math.isnan(v) for v in values(clean)[:3])  # power


def test_an_encoder_that_raises_for_one_image_loses_only_that_image(tmp_path, toy, quick):
    from fairvl.sources.datasets.decode import decode_image

    bad = decode_image(toy.png(7)).tobytes()

    class Raising(toy.Counting):
        def encode_images(self, images):
            if any(image.tobytes() == bad for image in images):
                raise EncoderError("m returned NaN or infinity in 1 rows, first row 0.")
            return super().encode_images(images)

    table = sweep({"m": Raising()}, tmp_path / "a", suite=toy.registry(), **quick)
    assert "1 of 6 stimuli of Y (dark) have no vector; the first, image 1: m returned NaN" in table[1].note
    assert not math.isnan(table[0].value)


def test_a_picture_that_does_not_decode_is_a_reason(tmp_path, toy, quick):
    whole = toy.png
    toy.png = lambda number, change=0: b"no picture" if number == 2 else whole(number, change)
    table = sweep({"m": toy.Counting()}, tmp_path / "a", suite=toy.registry(), **quick)
    assert "image 2" in table[1].note
    assert not math.isnan(table[0].value)


def test_an_encoder_without_images_runs_the_text_tests(tmp_path, toy, quick):
    card = EncoderCard(library="toy", name="words", weights="v1", dim=8, modalities=("text",))
    words = encoder(text_fn=toy.Counting().encode_texts, card=card)
    table = sweep({"m": words}, tmp_path / "a", suite=toy.registry(), **quick)
    assert not math.isnan(table[0].value)
    assert "no image side" in table[1].note
    assert table[3].note == "pictures are not here"


def test_stored_vectors_answer_for_texts_and_for_pictures_by_content_key(tmp_path, toy, quick):
    registry, model = toy.registry(), toy.Counting()
    case = registry.cases[0]
    texts = [t for side in (case.x, case.y, case.a) for t in side.texts()]
    folder = tmp_path / "store"
    write_store(folder / "texts", ids=texts, text_vectors=model.encode_texts(texts), columns={"caption": texts})
    from fairvl.sources.datasets.decode import decode_image

    keys, rows = [], []
    for side in (registry.cases[1].x, registry.cases[1].y):
        keys += side.keys
        rows += [decode_image(side.image(i)) for i in range(len(side.keys))]
    write_store(folder / "images", ids=keys, image_vectors=model.encode_images(rows))
    table = sweep({"m": StoredEncoder(folder)}, tmp_path / "a", suite=registry, **quick)
    assert "12 of 12 stimuli of B (bad) have no vector; the first, 'this is pain': no stored vector" in table[0].note
    assert not math.isnan(table[2].value)  # texts as targets, pictures as attributes
    live = sweep({"m": toy.Counting()}, tmp_path / "b", suite=registry, **quick)
    assert table[2].value == pytest.approx(live[2].value, abs=0.02)  # the store holds float16


def test_batch_norm_left_in_train_mode_is_refused(tmp_path, toy, quick):
    torch = pytest.importorskip("torch")
    model = toy.Counting(dim=8)
    norm = torch.nn.BatchNorm1d(8)

    def through(vectors):
        with torch.no_grad():
            return norm(torch.from_numpy(np.array(vectors))).numpy()

    card = EncoderCard(library="toy", name="bn", weights="v1", dim=8)
    toy_encoder = encoder(
        text_fn=lambda texts: through(model.encode_texts(texts)),
        image_fn=lambda images: through(model.encode_images(images)), card=card,
    )  # fmt: skip
    with pytest.raises(EncoderError, match=r"one by one.*training mode|change by .* training mode"):
        require_steady(toy_encoder, texts=["a rose", "a bee"])
    table = sweep({"bn": toy_encoder}, tmp_path / "train", suite=toy.registry(), **quick)
    assert all(math.isnan(row.value) and "training mode" in row.note for row in table[:3])
    norm.eval()
    require_steady(toy_encoder, texts=["a rose", "a bee"])
    table = sweep({"bn": toy_encoder}, tmp_path / "eval", suite=toy.registry(), **quick)
    assert not any(math.isnan(row.value) for row in table[:3])


@pytest.mark.parametrize("size", [1e-6, 1e-3])
def test_vectors_that_depend_on_the_batch_are_refused_beyond_rounding(toy, size):
    def text_fn(texts):
        vectors = toy.Counting().fake.encode_texts(texts)  # unit rows
        return vectors + (size if len(texts) == 1 else 0)

    card = EncoderCard(library="toy", name="batchy", weights="v1", dim=8)
    leaning = encoder(text_fn=text_fn, card=EncoderCard.from_dict({**card.as_dict(), "modalities": ("text",)}))
    if size < 1e-5:
        require_steady(leaning, texts=["a", "b"])
    else:
        with pytest.raises(EncoderError, match="one by one"):
            require_steady(leaning, texts=["a", "b"])


def test_dropout_is_refused(toy):
    rng = np.random.default_rng(0)
    card = EncoderCard(library="toy", name="dropout", weights="v1", dim=8, modalities=("text",))
    leaky = encoder(text_fn=lambda t: toy.Counting().fake.encode_texts(t) * (rng.random((len(t), 8)) > 0.1), card=card)
    with pytest.raises(EncoderError, match="encoded again"):
        require_steady(leaky, texts=["a", "b", "c"])


def test_identical_stimuli_give_nan_with_a_reason(tmp_path, toy, quick):
    class Constant(toy.Counting):
        def encode_texts(self, texts):
            targets = [any(w in t for w in toy.WORDS["flowers"] + toy.WORDS["insects"]) for t in texts]
            vectors = super().encode_texts(texts)
            vectors[np.array(targets, dtype=bool)] = 1.0
            return vectors

    table = sweep({"m": Constant(), "n": toy.Counting(1)}, tmp_path / "a", suite=toy.registry(), **quick)
    row = table.one(model="m", order="text-text")
    assert math.isnan(row.value)
    assert "undefined" in row.note
    assert row.p is None
    assert not math.isnan(table.one(model="n", order="text-text").value)


def test_a_missing_library_stops_the_sweep_at_once(tmp_path, toy, quick):
    def load():
        raise MissingExtraError("this needs the package 'open_clip', which is not installed.")

    with pytest.raises(Exception, match="open_clip"):
        sweep({"m": load}, tmp_path / "a", suite=toy.registry(), **quick)


def test_one_model_under_two_ids_is_named(tmp_path, toy, quick):
    table = sweep({"a": toy.Counting(), "b": toy.Counting(), "c": toy.Counting(1)}, tmp_path / "a",
                  suite=toy.registry(), **quick)  # fmt: skip
    assert "one model under two ids" in table.where(model="b")[0].note
    assert "two ids" not in table.where(model="c")[0].note + table.where(model="a")[0].note


def test_one_model_is_held_at_a_time(tmp_path, toy, quick):
    import gc
    import weakref

    alive: list[weakref.ref] = []

    def load(seed):
        gc.collect()
        assert sum(ref() is not None for ref in alive) == 0
        model = toy.Counting(seed)
        alive.append(weakref.ref(model))
        return model

    sweep({f"m{s}": (lambda s=s: load(s)) for s in range(4)}, tmp_path / "a", suite=toy.registry(), **quick)
    assert len(alive) == 4
