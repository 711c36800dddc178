"""MaxSkew@k and NDKL equal the reference of the retrieval bias literature, written out, on rankings without ties.

Written from the definitions that the oxai debias-vision-lang measures follow: labels are counted in the first n of the
ranking; a label that is absent there counts as the floor 1 / n; the desired share is the label's share of all images.
"""

import math
from collections import Counter

import numpy as np
import pytest

from fairvl.measure.ranking import max_skew, min_skew, ndkl

N, LABELS = 2_000, [f"race {i}" for i in range(7)]


def ranking(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(LABELS, N, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04])
    scores = rng.normal(size=N) + 0.5 * (labels == LABELS[1]) - 3.0 * (labels == LABELS[6])
    assert len(np.unique(scores)) == N
    return scores, labels


def reference_skews(scores, labels, top_n):
    """``log(observed / desired)`` of every label in the first ``top_n``, a count or a share of the whole."""
    top = int(len(labels) * top_n) if isinstance(top_n, float) else top_n
    first = Counter(label for _, label in sorted(zip(-scores, labels, strict=True))[:top])
    everybody = Counter(labels)
    out = []
    for label, count in everybody.items():
        observed = first[label] / top if first[label] else 1 / top
        out.append(math.log(observed / (count / len(labels))))
    return out


def reference_ndkl(scores, labels):
    """Divergence of every top i from the whole, discounted by log2(i + 1) and normalised by the discounts."""
    order = [label for _, label in sorted(zip(-scores, labels, strict=True))]
    desired = {label: count / len(labels) for label, count in Counter(labels).items()}
    seen, total, normaliser = Counter(), 0.0, 0.0
    for place, label in enumerate(order, 1):
        seen[label] += 1
        divergence = sum(n / place * math.log(n / place / desired[name]) for name, n in seen.items())
        total += divergence / math.log2(place + 1)
        normaliser += 1 / math.log2(place + 1)
    return total / normaliser


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("top_n", [10, 100, 1000, 0.1, 0.5])
def test_skews_at_k_are_those_of_the_reference(seed, top_n):
    scores, labels = ranking(seed)
    expected = reference_skews(scores, labels, top_n)
    k = int(N * top_n) if isinstance(top_n, float) else top_n
    assert max_skew(scores, labels, k=k, floor=1 / k) == pytest.approx(max(expected), abs=1e-9)
    assert min_skew(scores, labels, k=k, floor=1 / k) == pytest.approx(min(expected), abs=1e-9)
    assert max(expected) > 0.05


def test_an_absent_label_is_floored_as_in_the_reference():
    scores, labels = ranking(0)
    expected = reference_skews(scores, labels, 10)
    assert math.log(1 / 10 / np.mean(labels == LABELS[6])) in [pytest.approx(value) for value in expected]
    assert min_skew(scores, labels, k=10) == -math.inf  # without the floor the label is as absent as can be


def test_the_reference_default_of_the_whole_set_says_nothing_about_a_model():
    for seed in range(3):
        scores, labels = ranking(seed)
        assert max(reference_skews(scores, labels, 1.0)) == pytest.approx(0.0, abs=1e-12)
        assert max_skew(scores, labels, k=N) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_ndkl_is_that_of_the_reference(seed):
    scores, labels = ranking(seed)
    expected = reference_ndkl(scores, labels)
    assert ndkl(scores, labels) == pytest.approx(expected, abs=1e-9)
    assert expected > 0.01
