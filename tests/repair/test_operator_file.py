"""Saving and loading: the same operator comes back, and no changed file passes for one."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from fairvl.errors import OperatorError
from fairvl.fingerprints import canonical_json, fingerprint
from fairvl.repair.debias import CalibratedProjection, LinearOperator, OrthogonalProjection
from fairvl.repair.debias.operator_file import KEY


@pytest.fixture
def operator(slow):
    fitted = CalibratedProjection(lam=1000.0).fit(slow.rows(0, 3, 32), slow.rows(1, 4, 32), slow.rows(2, 4, 32))
    return fitted.described(attribute="gender", prompts=("a man", "a woman", "ein Mädchen"), pairs=(("a", "b"),))


@pytest.fixture
def path(operator, tmp_path):
    operator.save(tmp_path / "gender.safetensors")
    return tmp_path / "gender.safetensors"


def rewrite(path, arrays=None, **changes):
    """The same file with other arrays or another header, as somebody who hides the change would write it."""
    tensors = load_file(path)
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    body = json.loads(header["__metadata__"][KEY])
    body.update(changes)
    body.pop("checksum")
    body["checksum"] = fingerprint(body)
    path.write_bytes(save(tensors if arrays is None else arrays, metadata={KEY: canonical_json(body)}))


def test_a_saved_operator_comes_back(operator, path, slow):
    loaded = LinearOperator.load(path)
    assert loaded.card == operator.described(pair_spectrum=tuple(operator.pair_spectrum().tolist())).card
    assert loaded.fingerprint == operator.fingerprint
    rows = slow.rows(3, 5, 32)
    assert (loaded(rows) == operator(rows)).all()
    np.testing.assert_array_equal(loaded.diagnose().shrink, operator.diagnose().shrink)
    assert len(loaded.diagnose().shrink) == 4
    loaded.save(path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("lam", [0.0, np.inf, 10.0])
@pytest.mark.parametrize("n_pairs", [4, 40])
def test_every_storage_form_survives(slow, tmp_path, lam, n_pairs):
    arrays = slow.rows(0, 3, 32), slow.rows(1, n_pairs, 32), slow.rows(2, n_pairs, 32)
    for operator in (CalibratedProjection(lam=lam).fit(*arrays), *CalibratedProjection().path(*arrays, [lam])):
        operator.save(tmp_path / "x")
        loaded = LinearOperator.load(tmp_path / "x")
        assert loaded.card.lam == lam
        assert (loaded.matrix() == operator.matrix()).all()


def test_a_file_of_another_kind_is_refused(tmp_path, operator, path):
    for name, content in {
        "text": b"hello",
        "empty": b"",
        "cut": path.read_bytes()[:-9],
        "head": path.read_bytes()[:40],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OperatorError, match="not a readable safetensors file"):
            LinearOperator.load(tmp_path / name)
    with pytest.raises(OperatorError, match="no such file"):
        LinearOperator.load(tmp_path / "absent")
    with pytest.raises(OperatorError, match="no such file"):
        LinearOperator.load(tmp_path)
    save_file({"left": np.ones((2, 2))}, tmp_path / "foreign")
    with pytest.raises(OperatorError, match="no fairvl operator"):
        LinearOperator.load(tmp_path / "foreign")


def test_every_changed_byte_is_noticed_or_harmless(path, operator, slow):
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.choice(len(raw), size=200, replace=False):
        changed = bytearray(raw)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            loaded = LinearOperator.load(path)
        except OperatorError:
            refused += 1
        else:  # a bit that means nothing, such as padding
            assert loaded.fingerprint == operator.fingerprint
    assert refused > 190


def test_an_edited_header_is_refused(path):
    raw = path.read_bytes()
    assert b"gender" in raw
    path.write_bytes(raw.replace(b"gender", b"weight"))
    with pytest.raises(OperatorError, match="header was changed"):
        LinearOperator.load(path)


def test_arrays_of_another_operator_are_refused(path, slow, tmp_path):
    CalibratedProjection(lam=1000.0).fit(slow.rows(9, 3, 32), slow.rows(1, 4, 32), slow.rows(2, 4, 32)).save(
        tmp_path / "b"
    )
    rewrite(path, arrays=load_file(tmp_path / "b"))
    with pytest.raises(OperatorError, match="do not belong to this header"):
        LinearOperator.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {**a, "left": a["left"] * np.nan},
        lambda a: {**a, "left": a["left"][:-1]},
        lambda a: {**a, "left": a["left"].astype(np.float32)},
        lambda a: {**a, "right": a["right"][0]},
        lambda a: {**a, "extra": a["left"]},
        lambda a: {"left": a["left"]},
        lambda a: {**a, "dense": np.eye(32)},
        lambda a: {},
    ],
    ids=["nan", "shape", "dtype", "axes", "extra", "missing", "dense too", "none"],
)
def test_wrong_arrays_are_refused(path, change):
    rewrite(path, arrays=change(load_file(path)))
    with pytest.raises(OperatorError):
        LinearOperator.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"header": {}},
        {"header": None},
        {"header": {"method": "x", "dim": 32, "rank": 1, "unknown": 1}},
        {"fingerprint": "0" * 16},
    ],
)
def test_malformed_headers_are_refused(path, change):
    rewrite(path, **change)
    with pytest.raises(OperatorError):
        LinearOperator.load(path)


def test_nothing_half_written_stays(tmp_path, slow, monkeypatch):
    operator = OrthogonalProjection().fit(slow.rows(0, 3, 32))
    operator.save(tmp_path / "x")
    before = (tmp_path / "x").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        OrthogonalProjection().fit(slow.rows(1, 3, 32)).save(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
