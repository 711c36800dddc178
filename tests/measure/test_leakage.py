"""A linear probe finds what was planted, scores chance when it is removed, and equals scikit-learn's regression."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fairvl.errors import FairVLError, GroupError, InputError
from fairvl.measure.leakage import compare_probes, fit_logistic, probe


def planted(n=600, d=20, classes=2, strength=2.0, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes, n)
    directions = np.linalg.qr(rng.normal(size=(d, classes)))[0].T
    x = rng.normal(size=(n, d)) + strength * directions[codes]
    return x, np.array([f"c{i}" for i in range(classes)])[codes], directions


def without(x, directions):
    basis = np.linalg.qr((directions - directions.mean(0)).T)[0][:, : len(directions) - 1]
    return x - x @ basis @ basis.T


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("l2", [0.1, 1.0, 50.0])
def test_the_fit_equals_scikit_learns(classes, l2):
    x, labels, _ = planted(classes=classes, n=300)
    codes = np.unique(labels, return_inverse=True)[1]
    weights, intercept = fit_logistic(x, codes, classes, l2)
    theirs = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=5000).fit(x, codes)
    ours = weights.T
    np.testing.assert_allclose(ours, theirs.coef_, atol=5e-3 * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(intercept - intercept.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-2)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_planted_attribute_is_found_and_gone_after_its_removal(classes):
    x, labels, directions = planted(classes=classes, n=2000, strength=3.0)
    both = compare_probes(x, without(x, directions), labels)
    assert both.before.accuracy.value > 0.85
    assert both.after.accuracy.value < both.after.chance + 0.04
    assert both.after.accuracy.low < 1 / classes + 0.02
    assert both.difference.accuracy.high < -0.3
    assert both.difference.accuracy.value == pytest.approx(both.after.accuracy.value - both.before.accuracy.value)
    assert both.before.accuracy.value == probe(x, labels).accuracy.value


def test_noise_scores_chance_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(1500) < 0.8, "many", "few")
    result = probe(rng.normal(size=(1500, 10)), labels, l2=10.0)
    assert result.chance == pytest.approx(np.mean(labels == "many"))
    assert result.chance_balanced == 0.5
    assert result.accuracy.low - 0.01 <= result.chance <= result.accuracy.high + 0.01
    assert result.balanced_accuracy.low <= 0.52
    assert result.balanced_accuracy.value < 0.55 < result.accuracy.value  # why balanced accuracy stands beside


def test_accuracy_grows_with_the_planted_strength():
    values = [probe(*planted(strength=s, n=800)[:2]).accuracy.value for s in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values)


def test_the_predictions_are_out_of_fold():
    x, labels, _ = planted(n=100, d=300, strength=0.0)  # more columns than rows: a fit on all rows scores 1
    result = probe(x, labels)
    codes = np.unique(labels, return_inverse=True)[1]
    weights, intercept = fit_logistic((x - x.mean(0)) / x.std(0), codes, 2)
    assert np.mean(((x - x.mean(0)) / x.std(0) @ weights + intercept > 0)[:, 0] == codes) == 1
    assert result.accuracy.value < 0.7


def test_clusters_stay_in_one_fold():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 10)
    person = rng.normal(size=(40, 80)) * 3  # every person is recognisable, no attribute is planted
    x = person[people] + 0.05 * rng.normal(size=(400, 80))
    labels = np.array(["a", "b"])[rng.integers(0, 2, 40)][people]
    assert probe(x, labels).accuracy.value > 0.95
    assert probe(x, labels, clusters=people).accuracy.value < 0.75
    with pytest.raises(InputError, match="clusters"):
        probe(x, labels, clusters=people[:5])


def test_missing_labels_are_left_out_and_counted():
    x, labels, _ = planted()
    labels = labels.astype(object)
    labels[::10] = None
    result = probe(x, labels, n_boot=10)
    assert result.accuracy.n == 540
    assert "60 rows without a label" in result.notes[0]
    assert len(result.predicted) == 540


def test_same_seed_same_result_and_scale_does_not_matter():
    x, labels, _ = planted()
    first = probe(x, labels, seed=1)
    assert first.accuracy == probe(x, labels, seed=1).accuracy
    scaled = probe(x * np.logspace(-3, 3, 20) + 7, labels, seed=1)
    assert scaled.accuracy.value == pytest.approx(first.accuracy.value, abs=0.005)
    assert np.isfinite(probe(np.column_stack([x, np.full(len(x), 3.0)]), labels).accuracy.value)  # constant column


def test_float16_vectors_are_read():
    x, labels, _ = planted()
    assert probe(x.astype(np.float16), labels).accuracy.value == pytest.approx(
        probe(x, labels).accuracy.value, abs=0.01
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"labels": ["a"] * 600}, GroupError),
        ({"labels": ["a"] * 597 + ["b"] * 3}, GroupError),
        ({"labels": ["a", "b"]}, InputError),
        ({"folds": 1}, InputError),
        ({"l2": 0.0}, InputError),
        ({"vectors": np.full((600, 3), np.nan)}, InputError),
    ],
)
def test_unusable_input_is_refused(change, error):
    x, labels, _ = planted()
    arguments = {"vectors": x, "labels": labels} | change
    with pytest.raises(error, match=r"expected|needs|use|Drop"):
        probe(arguments.pop("vectors"), arguments.pop("labels"), **arguments)
    assert issubclass(error, FairVLError)


def test_rows_that_belong_together_are_resampled_together():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 30)
    words = rng.normal(size=(60, 6)) + 0.8 * (labels == "a")[:, None]
    copies = words.repeat(16, axis=0) + 1e-3 * rng.normal(size=(960, 6))
    one = probe(words, labels).accuracy
    apart = probe(copies, labels.repeat(16)).accuracy
    together = probe(copies, labels.repeat(16), clusters=np.arange(60).repeat(16)).accuracy
    width = [e.high - e.low for e in (one, apart, together)]
    assert width[2] == pytest.approx(width[0], rel=0.35)  # sixteen copies of a word are no new evidence
    assert width[1] < 0.5 * width[2]
    assert "over clusters" in together.note
    paired = compare_probes(copies, copies, labels.repeat(16), clusters=np.arange(60).repeat(16))
    assert paired.difference.accuracy.low == paired.difference.accuracy.high == 0
    assert paired.before.accuracy == together
