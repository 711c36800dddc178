"""Each distinct stimulus is encoded once per model, whatever happens; a changed byte costs one."""

import subprocess
import sys

import numpy as np
import pytest

from fairvl.errors import EncoderError, JobError
from fairvl.sources.encoders import FakeEncoder, encoder
from fairvl.study.sweep import VectorCache, encoder_key, sweep

PROBE_TEXTS, PROBE_IMAGES = 16 + 4 + 16, 4  # a second batch and four single ones, to see that batches do not matter


def asked(model):
    return len(model.texts), model.images


def test_each_distinct_stimulus_is_encoded_once_and_a_second_run_asks_nothing(tmp_path, toy, quick):
    first, second = toy.Counting(), toy.Counting()
    a = sweep({"m": first}, tmp_path / "a", suite=toy.registry(), cache=tmp_path / "cache", **quick)
    assert len(set(first.texts)) == 32 + 24  # flowers, insects, good, bad: each sentence once
    assert len(first.texts) - len(set(first.texts)) <= 4 + 32  # the probe
    assert 12 < first.images <= 12 + 4 + 32
    b = sweep({"m": second}, tmp_path / "b", suite=toy.registry(), cache=tmp_path / "cache", **quick)
    assert second.calls == 0
    assert a.to_json() == b.to_json()
    assert a[0].value == a[0].value


def test_a_finished_folder_does_not_even_load_its_models(tmp_path, toy, quick):
    loaded = []

    def load():
        loaded.append(1)
        return toy.Counting()

    for _ in range(2):
        sweep({"m": load}, tmp_path / "a", suite=toy.registry(), **quick)
    assert loaded == [1]


@pytest.mark.parametrize(
    ("change", "texts", "images"), [({"text": "this is a rosé"}, 1, 0), ({"pixel": 1}, 0, 1)], ids=["text", "image"]
)
def test_one_changed_byte_encodes_one_stimulus_again(tmp_path, toy, quick, change, texts, images):
    shared = {"cache": tmp_path / "cache", **quick}
    before = sweep({"m": toy.Counting()}, tmp_path / "a", suite=toy.registry(), **shared)
    again = toy.Counting()
    after = sweep({"m": again}, tmp_path / "b", suite=toy.registry(**change), **shared)
    assert len(set(again.texts)) == texts
    assert bool(again.images) == bool(images)
    assert again.images <= 1 + 1 + 2  # the probe repeats it
    changed = [b.value != a.value for b, a in zip(before, after, strict=True) if not np.isnan(b.value)]
    assert any(changed)  # power: the byte matters


def test_other_weights_preprocessing_or_width_are_other_vectors(toy):
    from dataclasses import replace

    base = toy.Counting()
    keys = {encoder_key(base), encoder_key(FakeEncoder(8)), encoder_key(FakeEncoder(16))}
    for change in ({"weights": "v2"}, {"preprocessing": "other"}, {"dtype": "float16"}, {"revision": "r"}):
        base.card = replace(toy.Counting().card, **change)
        keys.add(encoder_key(base))
    assert len(keys) == 7


def test_functions_without_named_weights_are_never_read_from_disk(tmp_path, toy, quick):
    def half(texts):
        return toy.Counting(1).encode_texts(texts)

    given = encoder(text_fn=half)
    assert encoder_key(given) is None
    sweep({"m": given}, tmp_path / "a", suite=toy.registry(), cache=tmp_path / "cache", **quick)
    assert not (tmp_path / "cache").exists()


def test_a_torch_model_is_known_by_its_parameters(toy):
    torch = pytest.importorskip("torch")

    class Model:
        def __init__(self, module):
            self.card, self.module = toy.Counting().card, module

    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).eval()
    before = encoder_key(Model(module))
    assert before == encoder_key(Model(module))
    with torch.no_grad():
        module[0].weight[0, 0] += 1e-6
    assert encoder_key(Model(module)) != before
    with pytest.raises(EncoderError, match="training mode"):
        encoder_key(Model(module.train()))


def test_a_damaged_shard_is_encoded_again(tmp_path, toy, quick):
    shared = {"cache": tmp_path / "cache", "suite": toy.registry(), **quick}
    expected = sweep({"m": toy.Counting()}, tmp_path / "a", **shared)
    for shard in (tmp_path / "cache").rglob("*.safetensors"):
        data = bytearray(shard.read_bytes())
        data[-1] ^= 1
        shard.write_bytes(data)
    again = toy.Counting()
    assert sweep({"m": again}, tmp_path / "b", **shared).to_json() == expected.to_json()
    assert len(set(again.texts)) == 56


def test_vectors_come_back_bit_for_bit(tmp_path):
    vectors = np.array([[1.0000001, 3e-8], [-5.5, 7.25]], dtype=np.float32)
    VectorCache(tmp_path, "k", {}).add(["t:a", "t:b"], vectors, {"t:c": "the encoder gave NaN or infinity"})
    back = VectorCache(tmp_path, "k", {})
    assert back.vectors["t:a"].tobytes() == vectors[0].tobytes()
    assert back.vectors["t:b"].tobytes() == vectors[1].tobytes()
    assert "t:c" in back
    assert "t:d" not in back
    assert "t:a" not in VectorCache(tmp_path, "other", {})


TWO = """
import sys
import toy_sweep
from fairvl.study.sweep import sweep
sweep(toy_sweep.models(1, nap=0.05), sys.argv[1], suite=toy_sweep.registry(), cache=sys.argv[2], draws=100,
      permutations=199)
"""


def test_two_processes_share_a_cache(tmp_path, toy, tree):
    running = [
        subprocess.Popen([sys.executable, "-c", TWO, str(tmp_path / name), str(tmp_path / "cache")]) for name in "ab"
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    late = toy.Counting()
    sweep({"toy-0": late}, tmp_path / "c", suite=toy.registry(), cache=tmp_path / "cache", draws=100, permutations=199)
    assert late.calls == 0


def test_a_cache_that_cannot_be_written_is_no_fault_of_the_model(tmp_path, toy, quick):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(JobError, match=r"taken.*[Nn]ame another cache folder"):
        sweep({"m": toy.Counting()}, tmp_path / "a", suite=toy.registry(), cache=tmp_path / "taken", **quick)
