"""The audit of a keep list counts what is there, and its intervals and tests hold what they say."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.dedup import (
    assign,
    audit_keep,
    border_recall,
    duplicates_of,
    membership,
    neighbours,
    promises,
    select,
    spherical_kmeans,
    witnesses,
)
from fairvl.repair.dedup.audit import ratio_difference
from fairvl.repair.dedup.checks import Tally, example_rows, with_thumbnails


def test_promises_are_counted_like_the_double_loop_does(tools):
    x = tools.planted(400, 16, seed=0, spread=0.6)
    found = neighbours(x, threshold=0.9)
    for kept in (np.arange(400) % 2 == 0, select(found, policy="semdedup").kept, select(found).kept):
        doubles, orphans = promises(kept, found)
        assert (len(doubles), len(orphans)) == tools.violations(x, kept, 0.9)


def test_representation_before_and_after(tools):
    x = tools.planted(600, 16, seed=1, spread=0.6)
    labels = np.random.default_rng(0).choice(["a", "b", "c"], 600, p=[0.6, 0.3, 0.1])
    labels[:30] = ""
    found = neighbours(x, threshold=0.9)
    keep = select(found, policy="semdedup")
    findings = audit_keep(keep, labels={"letter": [v or None for v in labels]}, neighbours=found, dataset="toy")
    known = labels != ""
    for group in "abc":
        before, after, difference = (
            findings.one(metric="representation", groups=group, arm=arm) for arm in ("before", "after", "difference")
        )
        assert before.value == pytest.approx((labels[known] == group).mean())
        assert after.value == pytest.approx((labels[known & keep.kept] == group).mean())
        assert difference.value == pytest.approx(after.value - before.value)
        assert before.low < before.value < before.high
        assert difference.p_adjusted >= difference.p
        assert difference.pair_id == before.pair_id
    assert findings.one(metric="kept_share").value == keep.kept.mean()
    assert findings.one(metric="dropped_without_kept_duplicate").extra["count"] == len(promises(keep.kept, found)[1])
    error = sum(abs(findings.one(groups=g, arm="difference").value) for g in "abc") / 2
    assert findings.one(metric="representation_error").value == pytest.approx(error)
    assert all(row.n >= 0 and row.extra["repair"] == "semdedup" for row in findings)


def test_scores_are_audited_like_labels(tools):
    x = tools.planted(300, 16, seed=2)
    scores = membership(np.random.default_rng(0).standard_normal((300, 2)))
    keep = select(neighbours(x, threshold=0.9), concepts=scores)
    after = audit_keep(keep, labels={"soft": scores}).one(groups="1", arm="after")
    assert after.value == pytest.approx(scores[keep.kept, 1].mean())


def test_the_paired_error_is_that_of_redrawn_rows():
    rng = np.random.default_rng(0)

    def draw(tilt):
        inside = (rng.random(400) < 0.3).astype(float)
        kept = (rng.random(400) < np.where(inside > 0, 0.5 + tilt, 0.5)).astype(float)
        return ratio_difference(np.ones(400), inside, kept)

    null = np.array([draw(0.0) for _ in range(2000)])
    assert null[:, 1].mean() == pytest.approx(null[:, 0].std(), rel=0.05)
    rejected = (np.abs(null[:, 0]) > 1.96 * null[:, 1]).mean()
    assert abs(rejected - 0.05) < 0.02
    tilted = np.array([draw(0.2) for _ in range(300)])
    assert (np.abs(tilted[:, 0]) > 1.96 * tilted[:, 1]).mean() > 0.8


def test_every_dropped_row_has_its_witness_in_the_list(tools):
    x = tools.planted(200, 16, seed=3)
    ids = [f"größe/{i}" + "x" * 290 for i in range(200)]
    keep = select(neighbours(x, threshold=0.9, ids=ids))
    listed = witnesses(keep)
    assert set(listed["id"]) | set(keep.kept_ids) == set(ids)
    assert set(listed["witness"]) <= set(keep.kept_ids)
    assert min(listed["similarity"]) > 0.9


def test_nothing_to_count_is_said_and_lengths_must_agree(tools):
    x = tools.planted(20, 8)
    found = neighbours(x, threshold=0.9)
    keep = select(found)
    with pytest.raises(InputError, match="one per row"):
        audit_keep(keep, labels={"a": ["x"] * 3})
    with pytest.raises(InputError, match="same rows"):
        audit_keep(keep, neighbours=neighbours(x[:5], threshold=0.9))
    empty = audit_keep(keep, labels={"a": np.zeros((20, 1))})
    assert empty.one(attribute="a", arm="after").value == 0


# ----------------------------------------------------------------------------- recall across borders, groups, examples


@pytest.mark.parametrize("n", [3000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_estimated_recall_across_borders_is_that_of_brute_force(tools, n):
    x = tools.planted(n, 24, seed=4, spread=0.7)
    x[: n // 20] = x[n // 20 : n // 10]  # exact duplicates count too
    fitted = spherical_kmeans(x, 24, iterations=8)
    clusters = assign(x, fitted.centroids).clusters
    found = neighbours(x, threshold=0.9, clusters=clusters)
    whole = neighbours(x, threshold=0.9)
    truth = len(found.pairs()) / len(whole.pairs())
    assert truth < 0.97, "pairs are lost at the borders"
    degrees = duplicates_of(found)
    assert degrees.sum() == 2 * len(found.pairs())
    rows = np.random.default_rng(0).choice(n, 1500, replace=False)
    got = border_recall(x, clusters, fitted.centroids, degrees, threshold=0.9, rows=rows, probes=6)
    assert abs(got.value - truth) < 0.02
    assert got.low < truth < got.high
    assert got.n == 1500


def test_no_duplicate_in_the_sample_is_said():
    x = np.eye(6)
    got = border_recall(x, [0, 0, 0, 1, 1, 1], x[[0, 3]], np.zeros(6, int), threshold=0.9, rows=[0, 4])
    assert np.isnan(got.value)
    assert "no sampled row" in got.note


def test_tallies_of_buckets_are_that_of_the_whole(tools):
    x = tools.planted(500, 16, seed=5, spread=0.6)
    clusters = np.arange(500) % 4
    found = neighbours(x, threshold=0.9, clusters=clusters)
    keep = select(found, policy="semdedup")
    whole, parts = Tally(), Tally()
    whole.add(keep.kept, found, 0.9)
    for code in range(4):
        mine = np.flatnonzero(clusters == code)
        parts.add(keep.kept[mine], neighbours(x[mine], threshold=0.9), 0.9, mine)
    assert whole == parts
    assert whole.orphans > 0
    assert whole.groups[0][0] >= whole.groups[-1][0] > 1


def test_example_pairs_are_dropped_rows_with_their_witness(tools):
    from PIL import Image

    keep = select(neighbours(tools.planted(300, 16, seed=6), threshold=0.9))
    rows = example_rows(keep)
    assert len(rows) == 12
    least = np.sort(keep.similarity[~keep.kept])[:6]
    assert np.allclose(sorted(row.value for row in rows)[:6], least)
    for row in rows:
        assert keep.witness[int(row.extra["dropped"])] == int(row.extra["witness"])

    class Pictures:
        name = "pictures"

        def __init__(self, ids):
            self.ids = ids

        def __iter__(self):
            import io
            from types import SimpleNamespace

            for id_ in self.ids:
                buffer = io.BytesIO()
                Image.new("RGB", (200, 100), (int(id_) % 256, 0, 0)).save(buffer, "PNG")
                yield SimpleNamespace(id=id_, image=buffer.getvalue)

    shown = with_thumbnails(rows, Pictures([str(i) for i in range(300)]))
    assert all(str(row.extra["dropped_picture"]).startswith("data:image/jpeg;base64,") for row in shown)
    with pytest.raises(InputError, match="was embedded"):
        with_thumbnails(rows, Pictures(["1000"]))
