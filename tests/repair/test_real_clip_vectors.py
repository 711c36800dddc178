"""Real CLIP ViT-B/32 text vectors: a fit on Man and Woman is judged on Boy and Girl."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from fairvl.repair.debias import (
    CalibratedProjection,
    CircleMethod,
    Leace,
    MeanDifference,
    OrthogonalProjection,
    random_projection,
    utility_bound,
)

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def classes():
    root = os.environ.get("FAIRVL_REALDATA")
    if not root:
        pytest.skip("FAIRVL_REALDATA is not set")
    folder = Path(root) / "clip-text-class-embeddings"
    if not (folder / "oid_clip_a+cname.npy").is_file():
        pytest.skip(f"no clip-text-class-embeddings in {root}")
    vectors = np.load(folder / "oid_clip_a+cname.npy", allow_pickle=False)
    names = json.loads((folder / "names_oid.json").read_text())
    names = [entry if isinstance(entry, str) else entry["name"] for entry in names]
    return vectors, {name: row for row, name in enumerate(names)}


def cosine(a, b):
    a, b = np.float64(a), np.float64(b)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_held_out_pair_moves_together_and_the_rest_stays(classes):
    vectors, row = classes
    man, woman, boy, girl = (vectors[row[name]] for name in ("Man", "Woman", "Boy", "Girl"))
    people = ("Man", "Woman", "Boy", "Girl", "Person")
    others = np.delete(vectors, [row[name] for name in people if name in row], axis=0)
    operator = OrthogonalProjection(subspace="pairs").fit(np.stack([man, woman]))
    control = random_projection(512, operator.rank, seed=0)
    before = cosine(boy, girl)
    assert operator.rank == 1
    assert cosine(operator(boy), operator(girl)) > before + 0.02
    assert abs(cosine(control(boy), control(girl)) - before) < 0.005
    assert operator.diagnose(others).retained_norm > 0.99
    assert operator.diagnose(held_out=np.stack([man, woman])).leakage < 1e-6
    assert operator.diagnose(held_out=np.stack([boy, girl])).leakage < 0.9
    assert operator(others).dtype == np.float16


def test_the_papers_span_costs_more_content(classes):
    vectors, row = classes
    prompts = vectors[[row["Man"], row["Woman"]]]
    kept = {
        subspace: OrthogonalProjection(subspace=subspace).fit(prompts).diagnose(vectors).retained_norm
        for subspace in ("span", "centred")
    }
    assert kept["span"] < kept["centred"] - 0.1


def test_calibration_closes_the_fitted_pair(classes):
    vectors, row = classes
    pair = vectors[[row["Man"]]], vectors[[row["Woman"]]]
    boys = vectors[[row["Boy"]]], vectors[[row["Girl"]]]
    operator = CalibratedProjection(lam=1000.0, subspace="centred").fit(np.concatenate(boys), *pair)
    gap = np.linalg.norm(operator(np.float64(pair[0])) - operator(np.float64(pair[1])))
    assert gap < 0.1 * np.linalg.norm(np.float64(pair[0]) - np.float64(pair[1]))


def test_erasure_from_two_labels_and_the_covariance_of_all_classes_moves_least(classes):
    vectors, row = classes
    rows = np.float64(vectors) / np.linalg.norm(np.float64(vectors), axis=1, keepdims=True)
    labels = [None] * len(rows)
    for name, value in (("Man", "male"), ("Boy", "male"), ("Woman", "female"), ("Girl", "female")):
        labels[row[name]] = value
    leace, mean = Leace().fit(rows, labels), MeanDifference().fit(rows, labels)
    moved = [np.square(operator(rows) - rows).sum() for operator in (leace, mean)]
    assert moved[0] < 0.5 * moved[1]
    for operator in (leace, mean):
        after = operator(rows)
        means = [after[[row[a], row[b]]].mean(axis=0) for a, b in (("Man", "Boy"), ("Woman", "Girl"))]
        assert abs(means[0] - means[1]).max() < 1e-12
        pair = [slice_ / np.linalg.norm(slice_) for slice_ in (after[row["Man"]], after[row["Woman"]])]
        assert pair[0] @ pair[1] > cosine(vectors[row["Man"]], vectors[row["Woman"]]) + 0.02


def test_the_circle_keeps_its_bound_on_real_vectors(classes):
    vectors, row = classes
    rows = np.float64(vectors) / np.linalg.norm(np.float64(vectors), axis=1, keepdims=True)
    operator = CircleMethod().fit(rows[[row["Man"], row["Woman"]]], ["male", "female"])
    after = operator(rows)
    bound = utility_bound(rows, after)
    change = abs(after @ after.T - rows @ rows.T)
    assert (change <= bound[:, None] + bound[None, :] + 1e-12).all()
    assert change.max() > 0.01
