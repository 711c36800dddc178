"""What each policy keeps: the published rules written out, and the promises of the fair one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.repair.dedup import Ledger, crossed, membership, neighbours, relevance, select
from fairvl.repair.dedup.ledger import merged
from fairvl.repair.dedup.neighbours import Neighbours


def angles(*degrees):
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


CHAIN = angles(0, 9, 18, 27)  # neighbours within 10 degrees only
FAR = angles(90)[0]  # the first of the chain lies farthest from it


@pytest.mark.parametrize("threshold", [0.85, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_semdedup_is_the_published_rule(tools, threshold, seed):
    x = tools.planted(600, 32, seed=seed)
    rng = np.random.default_rng(seed)
    clusters = rng.integers(5, size=600)
    centroids = tools.unit(rng.standard_normal((5, 32)))
    found = neighbours(x, threshold=0.8, clusters=clusters)
    mine = select(found, policy="semdedup", threshold=threshold, centroid=centroids)
    plain = tools.plain_semdedup(x, threshold, centroids, clusters)
    assert np.array_equal(mine.kept, plain)
    assert plain.mean() < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [20_000, 50_000])
def test_semdedup_is_the_published_rule_at_size(n):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 512)).astype(np.float32)
    copies = rng.random(n) < 0.3
    x[copies] = x[rng.integers(n, size=copies.sum())] + 0.4 * rng.standard_normal((copies.sum(), 512)).astype("f4")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    centroids = x[:50].copy()
    clusters = (x @ centroids.T).argmax(axis=1)
    found = neighbours(x, threshold=0.9, clusters=clusters)
    largest = np.zeros(n)
    for c in range(50):  # the rule with a plain product, pairs near a threshold decided in float64
        mine = np.flatnonzero(clusters == c)
        order = mine[np.lexsort((mine, (x[mine].astype(np.float64) * centroids[c]).sum(axis=1)))]
        product = np.triu(x[order].astype(np.float64) @ x[order].astype(np.float64).T, 1)
        largest[order] = product.max(axis=0)
    for eps in (0.01, 0.03, 0.05, 0.1):
        assert np.abs(largest - (1 - eps)).min() > 1e-12
        kept = select(found, policy="semdedup", threshold=1 - eps, centroid=centroids).kept
        assert np.array_equal(kept, ~(largest > 1 - eps))


def test_a_chain_of_four():
    found = neighbours(CHAIN, threshold=np.cos(np.deg2rad(10)))
    assert select(found, policy="semdedup", centroid=FAR).kept.tolist() == [True, False, False, False]
    greedy = select(found, policy="fair", centroid=FAR)
    assert greedy.kept.tolist() == [True, False, True, False]
    assert greedy.witness.tolist() == [-1, 0, -1, 2]
    assert greedy.reason.tolist() == ["chosen", "duplicate", "chosen", "duplicate"]
    fair = select(found, concepts=["a", "b", "b", "a"], target={"a": 0, "b": 1}, centroid=FAR)
    assert fair.kept[1:3].any()
    assert not (fair.kept[:-1] & fair.kept[1:]).any()


def test_semdedup_deletes_along_chains_and_independent_sets_do_not(tools):
    x = tools.planted(800, 16, seed=0, spread=0.6)
    found = neighbours(x, threshold=0.9)
    dropped_alone = tools.violations(x, select(found, policy="semdedup").kept, 0.9)[1]
    assert dropped_alone > 10, "the published rule leaves dropped rows without a kept duplicate"
    assert tools.violations(x, select(found, policy="fair").kept, 0.9) == (0, 0)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("threshold", [0.9, 0.94, 0.97])
def test_the_two_promises_of_fair(tools, seed, threshold):
    x = tools.planted(250, 16, seed=seed, spread=0.6)
    rng = np.random.default_rng(seed)
    clusters = rng.integers(3, size=250)
    scores = membership(rng.standard_normal((250, 3)))
    found = neighbours(x, threshold=0.9, clusters=clusters)
    for options in (
        {"concepts": scores},
        {"concepts": scores, "rule": "deficit", "target": "uniform"},
        {"concepts": scores, "relevant": rng.random(250) < 0.4, "ledger": "global"},
        {"concepts": rng.choice(["a", "b"], 250), "ledger": "rounds(2)"},
        {"policy": "quality", "quality": rng.random(250)},
        {"policy": "random", "seed": seed},
    ):
        got = select(found, threshold=threshold, **options)
        assert tools.violations(x, got.kept, threshold, clusters) == (0, 0)
        assert got.kept[got.witness[~got.kept]].all()
        assert (got.similarity[~got.kept] > threshold).all()
        assert (clusters[got.witness[~got.kept]] == clusters[~got.kept]).all()


def test_quality_keeps_the_best_and_nan_comes_last():
    found = neighbours([[1.0, 0.0], [1.0, 0.0], [0.999, 0.0447]], threshold=0.9)
    assert select(found, policy="quality", quality=[1, 3, 2]).kept.tolist() == [False, True, False]
    assert select(found, policy="quality", quality=[np.nan, np.nan, 0]).kept.tolist() == [False, False, True]
    with pytest.raises(InputError, match="quality="):
        select(found, policy="quality")


def test_random_depends_on_the_seed_and_not_on_the_order_of_rows(tools):
    x = tools.planted(300, 16, seed=1)
    ids = np.arange(300)
    order = np.random.default_rng(0).permutation(300)
    one = select(neighbours(x, threshold=0.9, ids=ids), policy="random", seed=3)
    two = select(neighbours(x[order], threshold=0.9, ids=ids[order]), policy="random", seed=3)
    assert set(one.kept_ids) == set(two.kept_ids)
    assert set(one.kept_ids) != set(select(neighbours(x, threshold=0.9, ids=ids), policy="random", seed=4).kept_ids)


@pytest.mark.parametrize("policy", ["fair", "semdedup", "fairdedup", "quality"])
def test_permuted_rows_keep_the_same_ids(tools, policy):
    x = tools.planted(600, 24, seed=2, share=1.0, exact=0.2)
    rng = np.random.default_rng(0)
    ids = rng.permutation([f"id{i}" for i in range(600)])
    clusters, scores, quality = rng.integers(4, size=600), membership(rng.standard_normal((600, 3))), rng.random(600)
    kept = []
    for order in (np.arange(600), rng.permutation(600)):
        found = neighbours(x[order], threshold=0.9, ids=ids[order], clusters=clusters[order], block=64 + len(kept))
        got = select(found, policy=policy, concepts=scores[order], quality=quality[order])
        kept.append(set(got.kept_ids))
    assert kept[0] == kept[1]
    assert 100 < len(kept[0]) < 590


# ----------------------------------------------------------------------------- exact duplicates, small clusters


def test_equal_rows_keep_the_member_that_the_target_needs():
    x = [[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 2
    found = neighbours(x, threshold=0.9)
    labels = ["man", "man", "woman", "man", "man", "man"]
    got = select(found, concepts=labels, target="uniform")
    assert got.kept.tolist().count(True) == 2
    assert got.kept[2]
    assert set(got.reason[~got.kept]) == {"exact duplicate"}
    assert (got.similarity[~got.kept] == 1.0).all()
    assert select(found, policy="semdedup", centroid=[1.0, 0.0]).kept.tolist() == [True] + [False] * 3 + [True, False]


@pytest.mark.parametrize("policy", ["fair", "semdedup", "fairdedup", "random"])
def test_one_row_all_equal_and_threshold_one(policy):
    for x, threshold, expected in (([[1.0, 0.0]], 0.5, 1), ([[1.0, 0.0]] * 7, 0.5, 1), ([[1.0, 0.0]] * 7, 1.0, 7)):
        got = select(neighbours(x, threshold=threshold), policy=policy, concepts=np.ones((len(x), 1)))
        assert got.kept.sum() == expected


# ----------------------------------------------------------------------------- whom the fair policy keeps


def overlapping(seed, n=1000, d=128, minority=0.15):
    """A minority close to the centroid and a diverse majority, with duplicates in both (gate B-10)."""
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < minority).astype(int)
    centre = rng.standard_normal(d) / np.sqrt(d)
    base = rng.standard_normal((n // 6, d)) / np.sqrt(d)
    x = np.empty((n, d))
    for g, weight in ((0, 0.75), (1, 0.9)):
        mine = np.flatnonzero(group == g)
        x[mine] = weight * centre + base[rng.integers(len(base), size=len(mine))] * 0.7
    x += 0.15 * rng.uniform(0, 1, (n, 1)) * rng.standard_normal((n, d)) / np.sqrt(d) * 3
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), group


SLOW = pytest.mark.slow


@pytest.mark.parametrize("keep", [0.7, 0.5, 0.3])
@pytest.mark.parametrize(
    "seen", [pytest.param("labels", marks=SLOW), "flipped", pytest.param("noisy scores", marks=SLOW)]
)
def test_fair_halves_the_representation_error_of_semdedup_at_equal_size(keep, seen):
    """What the policy sees: true labels, a tenth of them flipped, or scores with a deviation of 0.1 around them."""
    errors = {"fair": [], "semdedup": []}
    sizes = set()
    for seed in range(10):
        x, group = overlapping(seed)
        rng = np.random.default_rng(100 + seed)
        flipped = np.where(rng.random(len(group)) < 0.1, 1 - group, group)
        noisy = np.eye(2)[group] + 0.1 * rng.standard_normal((len(group), 2))
        concepts = {"labels": group, "flipped": flipped, "noisy scores": noisy}[seen]
        found = neighbours(x, threshold=0.85)
        for policy in errors:
            got = select(found, policy=policy, keep=keep, concepts=concepts)
            errors[policy].append(abs(group[got.kept].mean() - group.mean()))
            sizes.add(int(got.kept.sum()))
    assert len(sizes) == 1
    assert np.mean(errors["semdedup"]) > 0.01, "the published rule moves the share, so there is an error to halve"
    assert np.mean(errors["fair"]) <= 0.5 * np.mean(errors["semdedup"])
    change = np.subtract(errors["semdedup"], errors["fair"])
    assert (change > 0).all()
    assert change.mean() > 5 * change.std(ddof=1) / np.sqrt(10)


@pytest.mark.parametrize("keep", [pytest.param(0.7, marks=SLOW), 0.5, pytest.param(0.3, marks=SLOW)])
def test_the_published_fair_rule_keeps_more_of_a_central_minority_than_semdedup_at_equal_size(keep):
    shares = {"fairdedup": [], "semdedup": []}
    for seed in range(10):
        x, group = overlapping(seed)
        found = neighbours(x, threshold=0.85)
        for policy in shares:
            got = (
                select(found, policy=policy, keep=keep, concepts=np.eye(2)[group], first="prior")
                if (policy == "fairdedup")
                else select(found, policy=policy, keep=keep)
            )
            shares[policy].append(group[got.kept].mean())
    gain = np.subtract(shares["fairdedup"], shares["semdedup"])
    assert (gain > 0).all()
    assert gain.mean() > 5 * gain.std(ddof=1) / np.sqrt(10)


def test_fair_reaches_the_attainable_share_of_tiny_cases():
    """Every maximal independent set of tiny graphs, by exhaustive search, against ours."""
    gaps, blind = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((9, 3)) + np.array([1.2, 0, 0])
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        group = (rng.random(9) < 0.35).astype(float)
        if group.mean() in (0, 1):
            continue
        close = x @ x.T > 0.9
        best = np.inf
        for size in range(1, 10):
            for chosen in itertools.combinations(range(9), size):
                inside = close[np.ix_(chosen, chosen)].sum() == size
                if inside and close[list(chosen)].any(axis=0).all():
                    best = min(best, abs(group[list(chosen)].mean() - group.mean()))
        found = neighbours(x, threshold=0.9)
        for list_, policy in ((gaps, "fair"), (blind, "random")):
            kept = select(found, policy=policy, concepts=group.astype(int)).kept
            list_.append(abs(group[kept].mean() - group.mean()) - best)
    assert min(gaps) >= -1e-12
    assert np.mean(gaps) < 0.6 * np.mean(blind)


def test_the_order_of_concepts_does_not_matter(tools):
    x = tools.planted(500, 16, seed=4)
    scores = membership(np.random.default_rng(0).standard_normal((500, 4)))
    found = neighbours(x, threshold=0.85)
    one = select(found, concepts=scores)
    two = select(found, concepts=scores[:, [2, 0, 3, 1]])
    assert np.array_equal(one.kept, two.kept)
    assert not np.array_equal(one.kept, select(found).kept)


def test_prototype_offset_and_scale_do_not_matter_once_calibrated():
    raw = np.random.default_rng(0).standard_normal((200, 3))
    assert np.allclose(membership(raw), membership(raw * [1, 5, 0.2] + [0, 0.3, -2]), atol=1e-12)
    assert np.allclose(membership(raw).sum(axis=1), 1)
    assert np.argmax(membership([[0.3, 0.2], [0.28, 0.24]]), axis=1).tolist() == [0, 1]


def test_without_a_relevant_row_the_farthest_is_kept(tools):
    x = tools.planted(300, 16, seed=5)
    scores = membership(np.random.default_rng(0).standard_normal((300, 2)))
    found = neighbours(x, threshold=0.85)
    blind = select(found, concepts=scores, relevant=np.zeros(300, bool))
    assert np.array_equal(blind.kept, select(found).kept)
    assert not np.array_equal(select(found, concepts=scores).kept, blind.kept)


def test_gate_crossing_and_missing_labels():
    assert relevance([[0.3, 0.1], [0.1, 0.1]], [[0.2], [0.2]]).tolist() == [True, False]
    assert crossed({"a": [[0.5, 0.5]], "b": [[1.0, 0.0]]}).tolist() == [[0.5, 0.0, 0.5, 0.0]]
    found = neighbours([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]], threshold=0.9)
    got = select(found, concepts=[None, "woman", None], target={"woman": 1.0})
    assert got.kept.tolist() == [False, True, True]
    assert got.ledger.count == 1


# ----------------------------------------------------------------------------- the ledger


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 5))
def test_ledgers_merge_to_the_ledger_of_all(labels, parts):
    scores = np.eye(4)[labels] * 0.3
    relevant = np.arange(len(labels)) % 3 != 0
    whole = Ledger.of(scores, relevant)
    pieces = [Ledger.of(scores[i::parts], relevant[i::parts]) for i in range(parts)]
    total = merged(pieces, Ledger.empty(4))
    assert total.count == whole.count
    assert np.abs(total.sums - whole.sums).max() <= 1e-12


def test_a_global_ledger_repairs_what_clusters_cannot(tools):
    # Clusters of one group each: alone they cannot reach the share of all, together they can.
    rng = np.random.default_rng(0)
    x = tools.planted(1200, 16, seed=6, centres=60)
    clusters = np.arange(1200) % 12
    labels = np.where(rng.random(1200) < np.where(clusters < 6, 0.1, 0.6), "a", "b")
    found = neighbours(x, threshold=0.85, clusters=clusters)
    errors = {}
    for ledger in ("cluster", "rounds(4)", "global"):
        kept = select(found, concepts=labels, ledger=ledger).kept
        errors[ledger] = abs((labels[kept] == "a").mean() - (labels == "a").mean())
    assert errors["global"] < errors["cluster"]
    assert errors["global"] < 0.02


def test_ledger_names():
    found = neighbours([[1.0, 0.0]], threshold=0.5)
    for wrong in ("all", "rounds(0)", "rounds", ""):
        with pytest.raises(InputError, match="rounds"):
            select(found, concepts=["a"], ledger=wrong)


# ----------------------------------------------------------------------------- the published fair rule


def plain_fairdedup(close, scores, order):
    """The recalled pseudo-code: seed order, arg-min of the running mean, arg-max in the neighbourhood."""
    n = len(close)
    visited, kept = set(), []
    for seed in order:
        if seed in visited:
            continue
        near = [j for j in range(n) if (close[seed, j] or j == seed) and j not in visited]
        mean = scores[kept].mean(axis=0) if kept else np.zeros(scores.shape[1])
        kept.append(max(near, key=lambda j: scores[j, int(np.argmin(mean))]))
        visited |= {j for j in range(n) if close[seed, j] or j == seed}
    return sorted(kept)


def test_fairdedup_is_the_recalled_rule(tools):
    x = tools.planted(300, 12, seed=7, exact=0, spread=0.6)
    scores = np.random.default_rng(0).standard_normal((300, 3))
    centre = np.eye(12)[0]
    found = neighbours(x, threshold=0.85)
    close = x.astype(np.float64) @ x.astype(np.float64).T > 0.85
    order = np.argsort(x.astype(np.float64) @ centre, kind="stable")
    got = select(found, policy="fairdedup", concepts=scores, centroid=centre)
    assert np.flatnonzero(got.kept).tolist() == plain_fairdedup(close, scores, order)
    other = [
        select(found, policy="fairdedup", concepts=scores, centroid=centre, **options).kept
        for options in ({"eligible": "any"}, {"visited": "survivor"}, {"first": "prior"}, {"ledger": "global"})
    ]
    assert not all(np.array_equal(got.kept, kept) for kept in other)


def test_the_published_fair_rule_breaks_the_promises(tools):
    x = tools.planted(2000, 16, seed=8, spread=0.7)
    scores = membership(np.random.default_rng(0).standard_normal((2000, 2)))
    found = neighbours(x, threshold=0.85)
    assert tools.violations(x, select(found, policy="fairdedup", concepts=scores).kept, 0.85)[0] > 5
    assert tools.violations(x, select(found, concepts=scores).kept, 0.85) == (0, 0)


# ----------------------------------------------------------------------------- size


@pytest.mark.parametrize("policy", ["fair", "semdedup", "fairdedup", "quality", "random"])
@pytest.mark.parametrize("keep", [0.7, 0.5, 0.3])
def test_the_size_asked_for_is_reached_and_said(tools, policy, keep):
    x = tools.planted(600, 16, seed=9, spread=0.6)
    rng = np.random.default_rng(0)
    found = neighbours(x, threshold=0.5)
    got = select(found, policy=policy, keep=keep, concepts=membership(rng.standard_normal((600, 2))),
                 quality=rng.random(600))  # fmt: skip
    assert got.kept.sum() == round(600 * keep)
    assert got.requested == keep
    assert np.isin(got.reason, ["trimmed to size", "refilled to size"]).sum() <= 30
    assert f"{keep:.1%}" in got.describe()


def test_the_published_rule_keeps_more_at_a_higher_threshold(tools):
    found = neighbours(tools.planted(400, 16, seed=10), threshold=0.5)
    counts = [select(found, policy="semdedup", threshold=t).kept.sum() for t in np.linspace(0.5, 1, 12)]
    assert np.all(np.diff(counts) >= 0)
    assert counts[0] < counts[-1]


def test_a_size_below_the_pass_is_refused(tools):
    found = neighbours(tools.planted(400, 16, seed=11), threshold=0.97)
    for policy in ("fair", "semdedup"):
        with pytest.raises(InputError, match="lower"):
            select(found, policy=policy, keep=0.05)
    for wrong in (0, 1.5, -1):
        with pytest.raises(InputError, match="share above 0"):
            select(found, keep=wrong)


# ----------------------------------------------------------------------------- bad input


def test_unusable_arguments_are_named(tools):
    found = neighbours(tools.planted(20, 8), threshold=0.9)
    assert isinstance(found, Neighbours)
    for options, words in (
        ({"policy": "best"}, "policy="),
        ({"threshold": 0.95, "keep": 0.5}, "both keep"),
        ({"policy": "fairdedup"}, "needs concepts"),
        ({"concepts": np.ones((3, 2))}, "one per row"),
        ({"concepts": ["a"] * 3}, "one per row"),
        ({"concepts": np.full((20, 2), np.nan)}, "finite"),
        ({"concepts": ["a"] * 20, "relevant": [1] * 20}, "booleans"),
        ({"concepts": ["a"] * 20, "target": {"b": 1}}, "target names"),
        ({"concepts": np.ones((20, 2)), "target": [1.0]}, "2 shares"),
        ({"concepts": ["a"] * 20, "rule": "none"}, "rule="),
        ({"concepts": ["a"] * 20, "colour": 1}, "colour"),
        ({"centroid": [1.0, 0.0]}, "centroid"),
        ({"similarity": [1.0]}, "similarity"),
        ({"policy": "fairdedup", "concepts": ["a"] * 20, "eligible": "all"}, "eligible"),
    ):
        with pytest.raises(InputError, match=words):
            select(found, **options)
