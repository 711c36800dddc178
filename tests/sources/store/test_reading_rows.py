"""Blocks and chosen rows do not depend on where the shards end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.sources.store import EmbeddingStore, write_store

N = 23
EXACT = np.random.default_rng(3).normal(size=(N, 5)).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    names = [str(row) for row in range(N)]
    for size in (1, 4, 7, 100):
        write_store(folder / str(size), ids=names, image_vectors=EXACT, rows_per_shard=size)
    return [EmbeddingStore.open(folder / str(size)).image_vectors for size in (1, 4, 7, 100)]


@pytest.mark.parametrize("rows", [1, 2, 5, 22, 23, 24, 1000])
def test_blocks_have_the_asked_size_whatever_the_shards(views, rows):
    for view in views:
        blocks = list(view.blocks(rows))
        assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
        assert all(block.dtype == np.float32 for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), EXACT)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-N, N - 1), max_size=40))
def test_chosen_rows_equal_indexing(views, rows):
    for view in views:
        np.testing.assert_array_equal(view.read(rows), EXACT[np.array(rows, dtype=int)])


@settings(max_examples=50, deadline=None)
@given(st.slices(N))
def test_slices_equal_indexing(views, rows):
    for view in views:
        np.testing.assert_array_equal(view.read(rows), EXACT[rows])


def test_a_mask_equals_indexing(views):
    mask = np.arange(N) % 3 == 0
    for view in views:
        np.testing.assert_array_equal(view.read(mask), EXACT[mask])
        np.testing.assert_array_equal(np.asarray(view), EXACT)
        np.testing.assert_array_equal(np.asarray(view, dtype=np.float64), EXACT.astype(np.float64))


@pytest.mark.parametrize("rows", [[N], [-N - 1], [True, False], [[0]], ["a"], [0.5]])
def test_rows_that_are_not_there_are_refused(views, rows):
    with pytest.raises(InputError):
        views[0].read(rows)


def test_a_block_size_of_zero_is_refused(views):
    with pytest.raises(InputError):
        next(views[0].blocks(0))


def test_reading_does_not_change_the_files(views):
    block = next(views[1].blocks(4))
    block += 1
    np.testing.assert_array_equal(views[1].read(), EXACT)
    with pytest.raises(ValueError, match="read-only"):
        views[1].shards[0][0, 0] = 1


def test_memory_is_mapped_not_read(tmp_path):
    rows = 200_000
    write_store(tmp_path / "s", ids=[str(row) for row in range(rows)], image_vectors=np.ones((rows, 64), np.float16))
    import tracemalloc

    view = EmbeddingStore.open(tmp_path / "s").image_vectors
    tracemalloc.start()
    total = sum(float(block.sum()) for block in view.blocks(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == rows * 64
    assert peak < 2_000_000  # the vectors alone are 25.6 MB
