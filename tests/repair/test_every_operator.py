"""What all operators share, linear or not: dtypes, torch, files, wrapping, edges."""

import pickle

import numpy as np
import pytest

from fairvl.errors import InputError, OperatorError
from fairvl.repair.debias import (
    Bypass,
    CircleMethod,
    Equalisation,
    FeatureImputation,
    Leace,
    LinearOperator,
    MeanDifference,
    Operator,
    OrthogonalProjection,
    join,
)
from fairvl.sources.encoders import FakeEncoder

DIM = 32
KINDS = ("leace", "mean-difference", "circle", "equalised", "equalised by query", "imputation", "bypass", "bypass2")


def made(kind, rows, labels):
    if kind.startswith("bypass"):
        inner = made("leace" if kind == "bypass" else "equalised by query", rows, labels)
        return Bypass().fit(inner, rows[::2], rows + 0.2, labels)
    fits = {
        "leace": Leace(), "mean-difference": MeanDifference(), "circle": CircleMethod(), "equalised": Equalisation(),
        "equalised by query": Equalisation(nearest=3), "imputation": FeatureImputation(features=5, trees=5),
    }  # fmt: skip
    return fits[kind].fit(rows, labels)


@pytest.fixture(params=KINDS)
def operator(request, slow):
    return made(request.param, slow.rows(0, 40, DIM), np.array(["a", "b"])[np.arange(40) % 2])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-3), (np.float32, 2e-6), (np.float64, 1e-12)])
def test_the_dtype_stays_and_half_precision_is_computed_in_single(operator, slow, dtype, tolerance):
    rows = slow.rows(1, 9, DIM).astype(dtype)
    result = operator(rows)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, operator(rows.astype(np.float64)), atol=tolerance)
    np.testing.assert_allclose(operator(rows[0]), result[0], atol=tolerance)
    assert operator(rows[:0]).shape == (0, DIM)
    assert operator(rows.reshape(3, 3, DIM)).shape == (3, 3, DIM)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("float64", 1e-12), ("float32", 2e-6), ("float16", 2e-3), ("bfloat16", 1.6e-2)]
)
def test_torch_gives_the_numbers_of_numpy(operator, slow, name, tolerance):
    torch = pytest.importorskip("torch")
    given = torch.tensor(slow.rows(2, 6, DIM)).to(getattr(torch, name))
    result = operator(given)
    assert result.dtype == given.dtype
    np.testing.assert_allclose(result.double().numpy(), operator(given.double().numpy()), atol=tolerance)
    tokens = given[:, None].expand(6, 7, DIM)
    torch.testing.assert_close(operator(tokens)[:, 3], result, atol=tolerance, rtol=0)
    tracked = given.double().requires_grad_()
    operator(tracked).sum().backward()
    assert torch.isfinite(tracked.grad).all()


def test_saved_and_loaded_it_is_the_same(operator, slow, tmp_path):
    operator = operator.described(attribute="gender", notes=("a note",))
    path = tmp_path / "operator.safetensors"
    operator.save(path)
    loaded = Operator.load(path)
    assert type(loaded) is type(operator)
    assert loaded.card == operator.card
    assert loaded.fingerprint == operator.fingerprint
    assert loaded.applies_to_images == operator.applies_to_images
    rows = slow.rows(3, 5, DIM)
    np.testing.assert_array_equal(loaded(rows), operator(rows))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(operator))(rows), operator(rows))
    path.write_bytes(path.read_bytes().replace(b"gender", b"gendxr", 1))
    with pytest.raises(OperatorError, match="changed"):
        Operator.load(path)


def test_it_wraps_an_encoder_and_diagnoses_itself(operator, slow):
    encoder = FakeEncoder(DIM)
    texts = ["a doctor", "a nurse"]
    wrapped = operator.wrap(encoder)
    assert wrapped.images == operator.applies_to_images
    unit = slow.unit(encoder.encode_texts(texts))
    np.testing.assert_allclose(wrapped.encode_texts(texts), operator(unit), atol=1e-6)
    diagnosis = operator.diagnose(unit, held_out=unit)
    assert diagnosis.dim == DIM
    assert 0 <= diagnosis.leakage < 1.5
    assert diagnosis.retained_norm > 0
    assert diagnosis.rank == operator.rank >= 1


def test_unusable_vectors_are_refused(operator):
    for bad in (np.ones((2, DIM + 1)), np.full((1, DIM), np.nan), np.float64(1.0)):
        with pytest.raises(InputError, match="vectors"):
            operator(bad)
    assert np.isfinite(operator(np.zeros((1, DIM)))).all()


def test_a_file_of_another_kind_names_the_way_to_read_it(slow, tmp_path):
    made("circle", slow.rows(4, 10, DIM), ["a", "b"] * 5).save(tmp_path / "x")
    with pytest.raises(OperatorError, match=r"circle.*Operator\.load"):
        LinearOperator.load(tmp_path / "x")


def test_join_is_free_of_order_and_repetition_and_the_product_is_not(slow):
    first, second = (OrthogonalProjection().fit(slow.rows(i, 3, DIM)) for i in (5, 6))
    both = join(first, second)
    assert both.rank == 6
    np.testing.assert_allclose(both.matrix(), join(second, first).matrix(), atol=1e-12)
    np.testing.assert_allclose(join(first, first).matrix(), first.matrix(), atol=1e-12)
    direct = OrthogonalProjection().fit(np.concatenate([slow.rows(5, 3, DIM), slow.rows(6, 3, DIM)]))
    np.testing.assert_allclose(both.matrix(), direct.matrix(), atol=1e-12)
    assert abs(first.matrix() @ second.matrix() - second.matrix() @ first.matrix()).max() > 0.01
    assert abs(first.matrix() @ second.matrix() - both.matrix()).max() > 0.01
    wide = OrthogonalProjection().fit(slow.rows(7, 20, DIM))
    assert join(wide, first).rank == 23
    for bad, message in (
        (Leace().fit(slow.rows(8, 20, DIM), ["a", "b"] * 10), "no orthogonal"),
        (None, "no operators"),
    ):
        with pytest.raises(InputError, match=message):
            join(*([first, bad] if bad is not None else []))


def test_the_linear_twin_keeps_group_means_equal(slow):
    rows, labels = slow.rows(9, 200, DIM) + 0.5, np.arange(200) % 2
    operator = Leace().fit(rows, labels)
    twin = operator.linear()
    assert operator.affine
    assert not twin.affine
    after = twin(rows)
    assert abs(after[labels == 0].mean(axis=0) - after[labels == 1].mean(axis=0)).max() < 1e-12
    assert np.square(after - rows).sum() > np.square(operator(rows) - rows).sum()
