"""Near-duplicates among real vectors: 1,454 product images embedded by MobileCLIP2."""

import numpy as np
import pytest

from fairvl.repair.dedup import neighbours, promises, select

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def products(realdata):
    path = realdata / "mobileclip2-product-embeddings" / "embeddings.npz"
    if not path.is_file():
        pytest.skip("real data missing: mobileclip2-product-embeddings")
    x = np.load(path, allow_pickle=False)["image"].astype(np.float64)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("filtering", ["off", "auto", 63])
@pytest.mark.parametrize(("threshold", "pairs"), [(0.95, 96), (0.90, 450)])
def test_the_known_number_of_pairs(products, threshold, pairs, filtering):
    assert len(neighbours(products, threshold=threshold, filter=filtering).pairs()) == pairs


@pytest.mark.parametrize("threshold", [0.90, 0.95])
def test_float16_storage_with_the_exact_rows_changes_no_decision(products, threshold):
    exact = neighbours(products, threshold=threshold).pairs()
    stored = neighbours(products.astype(np.float16), threshold=threshold, exact=products).pairs()
    assert np.array_equal(exact, stored)


def test_every_dropped_product_has_a_kept_duplicate(products):
    found = neighbours(products, threshold=0.9)
    keep = select(found)
    assert [len(rows) for rows in promises(keep.kept, found)] == [0, 0]
    assert 0.7 < keep.reached < 0.9
