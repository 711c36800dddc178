"""A baked checkpoint says what the wrapped encoder says, in every layout, and what cannot be baked is refused."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from fairvl.errors import OperatorError, SourceError
from fairvl.repair.debias import (
    BakedUnchecked,
    CalibratedProjection,
    CircleMethod,
    Leace,
    LinearOperator,
    OrthogonalProjection,
    bake,
)
from fairvl.repair.debias.baking import read_safetensors_header
from fairvl.sources.encoders import load_encoder

# The tiny models of real classes that the encoder tests build.
_spec = importlib.util.spec_from_file_location(
    "tiny_models", Path(__file__).parents[1] / "sources" / "encoders" / "conftest.py"
)
_models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_models)
torch, transformers, word_tokenizer = _models.torch, _models.transformers, _models.word_tokenizer
open_clip_folder, transformers_folders, pictures = (
    _models.open_clip_folder, _models.transformers_folders, _models.pictures,
)  # fmt: skip
TEXTS = ["a photo of a doctor", "a woman", "two dogs", "a very old house near the river", "man"]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(params=["open_clip", "clip", "siglip"])
def checkpoint(request, open_clip_folder, transformers_folders):
    if request.param == "open_clip":
        return open_clip_folder, "open_clip:local-dir:"
    return transformers_folders[request.param], "transformers:"


@pytest.fixture
def fitted(checkpoint):
    folder, prefix = checkpoint
    encoder = load_encoder(f"{prefix}{folder}")
    rows = unit(encoder.encode_texts(TEXTS).astype(np.float64))
    operator = CalibratedProjection(lam=50.0).fit(rows[:2], rows[2:3], rows[3:4])
    return encoder, operator.described(encoder=encoder.card.as_dict())


def test_baked_equals_wrapped(checkpoint, fitted, pictures, tmp_path):
    folder, prefix = checkpoint
    encoder, operator = fitted
    baked = load_encoder(f"{prefix}{bake(operator, folder, tmp_path / 'new')}")
    wrapped = unit(operator.wrap(encoder).encode_texts(TEXTS[2:]))
    np.testing.assert_allclose(unit(baked.encode_texts(TEXTS[2:])), wrapped, atol=2e-6)
    assert abs(unit(encoder.encode_texts(TEXTS[2:])) - wrapped).max() > 0.01
    np.testing.assert_array_equal(baked.encode_images(pictures), encoder.encode_images(pictures))
    assert baked.card.weights != encoder.card.weights
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in folder.iterdir())


def test_both_towers_where_the_operator_is_meant_for_images(checkpoint, fitted, pictures, tmp_path):
    folder, prefix = checkpoint
    encoder, operator = fitted
    both = operator.described(images=True)
    if "siglip" in str(folder):
        with pytest.raises(OperatorError, match="no image projection"):
            bake(both, folder, tmp_path / "new")
        assert not (tmp_path / "new").exists()
        return
    baked = load_encoder(f"{prefix}{bake(both, folder, tmp_path / 'new')}")
    expected = unit(both.wrap(encoder).encode_images(pictures))
    np.testing.assert_allclose(unit(baked.encode_images(pictures)), expected, atol=2e-6)


def test_only_the_projection_changes_and_the_file_says_so(fitted, checkpoint, tmp_path):
    folder, _ = checkpoint
    _, operator = fitted
    bake(operator, folder, tmp_path / "new")
    path = next(folder.glob("*.safetensors"))
    old, new = read_safetensors_header(path), read_safetensors_header(tmp_path / "new" / path.name)
    assert old.tensors == new.tensors
    assert json.loads(new.metadata["fairvl_baked"])["operator"] == operator.fingerprint
    before, after = path.read_bytes()[old.start :], (tmp_path / "new" / path.name).read_bytes()[new.start :]
    changed = {
        name for name, entry in old.tensors.items()
        if before[slice(*entry["data_offsets"])] != after[slice(*entry["data_offsets"])]
    }  # fmt: skip
    assert changed <= {"text_projection", "text_projection.weight", "text_model.head.weight", "text_model.head.bias"}
    assert changed


@pytest.mark.parametrize(("kind", "tolerance"), [("F64", 1e-12), ("F16", 2e-3), ("BF16", 1.6e-2), ("F32", 1e-6)])
def test_every_dtype_of_a_single_file(torch, slow, tmp_path, kind, tolerance):
    from safetensors.torch import load_file, save_file

    dtype = {"F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}[kind]
    weight = torch.tensor(slow.rows(0, 16, 8)).to(dtype)
    other = torch.arange(5)
    save_file({"text_projection": weight, "other": other}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    operator = OrthogonalProjection().fit(slow.rows(1, 2, 8))
    with pytest.warns(BakedUnchecked, match="not which weights"):
        bake(operator, tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    made = load_file(tmp_path / "b.safetensors")
    assert made["text_projection"].dtype == dtype
    expected = weight.double().numpy() @ operator.matrix().T
    np.testing.assert_allclose(made["text_projection"].double().numpy(), expected, atol=tolerance)
    assert torch.equal(made["other"], other)


def test_what_no_matrix_can_say_is_refused_with_the_reason(checkpoint, fitted, slow, tmp_path):
    folder, prefix = checkpoint
    encoder, operator = fitted
    labels = ["a", "b"] * 10
    affine = Leace().fit(slow.rows(2, 20, encoder.card.dim) + 0.3, labels)
    with pytest.raises(OperatorError, match=r"bias would have to know.*linear\(\)"):
        bake(affine, folder, tmp_path / "x")
    flat = affine.linear().described(encoder=encoder.card.as_dict())
    baked = load_encoder(f"{prefix}{bake(flat, folder, tmp_path / 'flat')}")
    wrapped = unit(flat.wrap(encoder).encode_texts(TEXTS))
    np.testing.assert_allclose(unit(baked.encode_texts(TEXTS)), wrapped, atol=1e-5)
    with pytest.raises(OperatorError, match="its own way"):
        bake(CircleMethod().fit(slow.rows(3, 20, encoder.card.dim), labels), folder, tmp_path / "x")
    with pytest.raises(OperatorError, match=r"no text projection.*operator width 5"):
        bake(OrthogonalProjection().fit(slow.rows(4, 1, 5)), folder, tmp_path / "x", allow_other_encoder=True)
    other = operator.described(encoder={**operator.card.encoder, "weights": "a.safetensors sha256:0123456789abcdef"})
    with pytest.raises(OperatorError, match="holds others"):
        bake(other, folder, tmp_path / "x")
    bake(other, folder, tmp_path / "y", allow_other_encoder=True)
    assert not (tmp_path / "x").exists()


def test_unusable_checkpoints_are_refused(tmp_path):
    operator = LinearOperator(np.array([[1.0], [0.0]]), np.array([[1.0, 0.0]]))
    (tmp_path / "empty").mkdir()
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "cut.safetensors").write_bytes((99).to_bytes(8, "little") + b"{}")
    (tmp_path / "old.pt").write_bytes(b"x")
    for name, message in [
        ("absent", "no such"), ("empty", "nothing"), ("pickled", "pytorch_model.bin"), ("old.pt", "pickled"),
        ("cut.safetensors", "not a readable"),
    ]:  # fmt: skip
        with pytest.raises(SourceError, match=message):
            bake(operator, tmp_path / name, tmp_path / "out", allow_other_encoder=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    with pytest.raises(SourceError, match="already exists"):
        bake(operator, tmp_path / "cut.safetensors", tmp_path / "there", allow_other_encoder=True)
