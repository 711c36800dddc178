"""The same operator on torch tensors: dtype and device kept, gradients flow, numbers those of NumPy."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.debias import CalibratedProjection, OrthogonalProjection

torch = pytest.importorskip("torch")


@pytest.fixture(params=["factors", "dense", "path", "long path"])
def operator(request, slow):
    prompts, left, right = (slow.rows(i, n, 64) for i, n in enumerate((3, 10, 10)))
    if request.param == "dense":
        return OrthogonalProjection().fit(slow.rows(5, 40, 64))
    if request.param == "long path":
        left, right = slow.rows(1, 50, 64), slow.rows(2, 50, 64)
    if request.param != "factors":
        return CalibratedProjection().path(prompts, left, right, [100.0])[0]
    return CalibratedProjection(lam=100.0).fit(prompts, left, right)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("float64", 1e-13), ("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 8e-3)]
)
def test_equals_numpy_in_every_dtype(operator, slow, name, tolerance):
    rows = slow.rows(8, 7, 64)
    given = torch.tensor(rows).to(getattr(torch, name))
    result = operator(given)
    assert result.dtype == given.dtype
    exact = given.double().numpy() @ operator.matrix().T
    np.testing.assert_allclose(result.double().numpy(), exact, atol=tolerance)


def test_a_token_block_equals_its_rows(operator, slow):
    tokens = torch.tensor(slow.rows(9, 77, 64)).float().reshape(1, 77, 64)
    by_row = torch.stack([torch.stack([operator(row) for row in block]) for block in tokens])
    torch.testing.assert_close(operator(tokens), by_row, atol=1e-6, rtol=0)


def test_gradients_flow(operator, slow):
    rows = torch.tensor(slow.rows(10, 3, 64), requires_grad=True)
    operator(rows).sum().backward()
    np.testing.assert_allclose(rows.grad.numpy(), np.tile(operator.matrix().sum(axis=0), (3, 1)), atol=1e-12)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_vanished_rows_are_exact_zeros(slow, name):
    prompts = slow.rows(11, 3, 64)
    given = torch.tensor(np.concatenate([prompts[:1], slow.rows(12, 1, 64)])).to(getattr(torch, name))
    result = OrthogonalProjection().fit(prompts)(given)
    assert not result[0].any()
    assert result[1].any()


def test_unusable_tensors_raise(operator):
    for bad in (torch.ones(2, 63), torch.ones(2, 64, dtype=torch.int64), torch.full((64,), torch.nan)):
        with pytest.raises(InputError):
            operator(bad)
