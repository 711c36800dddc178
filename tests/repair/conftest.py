"""Random unit rows, the paper's formulas evaluated the slow way, and a CLIP-like geometry with a large shared mean."""

import types

import numpy as np
import pytest


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_rows(seed, n, dim):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def slow_matrices(prompts, left, right, lam):
    """P0, M and P by an exact SVD, one outer product per pair, and a linear solve."""
    dim = prompts.shape[1]
    _, values, basis = np.linalg.svd(prompts)
    basis = basis[: int((values > 1e-10 * values[0]).sum())]
    removed = np.eye(dim) - basis.T @ basis
    pairs = np.zeros((dim, dim))
    for a, b in zip(left, right, strict=True):
        pairs += np.outer(a - b, a - b)
    pairs /= len(left)
    return removed, pairs, np.linalg.solve(np.eye(dim) + lam * pairs, removed).T


def clip_like(seed, dim=256, n_topics=40):
    """Male and female versions of prompts: a shared mean, one attribute direction, a topic each, a little noise."""
    rng = np.random.default_rng(seed)
    mean, attribute = unit(rng.normal(size=(2, dim)))
    topics = unit(rng.normal(size=(n_topics, dim)))
    noise = rng.normal(size=(2, n_topics, dim)) / np.sqrt(dim)
    return tuple(unit(1.6 * mean + sign * 0.35 * attribute + 0.6 * topics + 0.15 * noise[i])
                 for i, sign in enumerate((1.0, -1.0)))  # fmt: skip


@pytest.fixture(scope="session")
def slow():
    return types.SimpleNamespace(unit=unit, rows=random_rows, matrices=slow_matrices, clip_like=clip_like)
