"""Shared by the store tests: unit vectors, and a healthy store and clip-retrieval folder to damage."""

import numpy as np
import pytest

from fairvl.sources.store import write_store


@pytest.fixture
def vectors():
    """Unit vectors [n, d] in float32."""

    def make(n, d=8, seed=0):
        rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return make


@pytest.fixture
def healthy(tmp_path, vectors):
    """Three shards of 4, 4 and 2 rows with images, texts and two columns."""
    write_store(
        tmp_path / "store",
        ids=[f"id-{row}" for row in range(10)],
        image_vectors=vectors(10),
        text_vectors=vectors(10, seed=1),
        columns={"caption": [f"text {row}" for row in range(10)], "age": [*range(9), None]},
        rows_per_shard=4,
        card={"library": "test", "dim": 8},
    )
    return tmp_path / "store"


@pytest.fixture
def plain(healthy):
    """The same without a manifest: what clip-retrieval writes."""
    (healthy / "manifest.json").unlink()
    return healthy
