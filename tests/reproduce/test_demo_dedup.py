"""The pruned world: ordinary deduplication hurts the planted minority, the fair rule less; and the demo's findings."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from fairvl.findings import column
from fairvl.reproduce.demos import demo
from fairvl.reproduce.demos.dedup import representation
from fairvl.reproduce.demos.pruned_world import ARMS, Sizes, draw_world, keep_masks
from fairvl.sources.encoders import load_encoder


@pytest.fixture(scope="module")
def pruned():
    encoder = load_encoder("world:clip")
    world = draw_world(encoder, 7, Sizes(light=512, dark=256))
    return world, keep_masks(world, encoder, seed=7)


def test_every_subset_has_one_size_and_follows_from_the_seed(pruned):
    world, masks = pruned
    assert tuple(masks) == ARMS
    assert masks["full"].all()
    assert {int(mask.sum()) for arm, mask in masks.items() if arm != "full"} == {len(world) // 2}
    again = keep_masks(world, load_encoder("world:clip"), seed=7)
    assert all((again[arm] == mask).all() for arm, mask in masks.items())
    other = keep_masks(world, load_encoder("world:clip"), seed=8, arms=("random",))
    assert (other["random"] != masks["random"]).any()


def test_every_second_scene_is_there_in_both_skin_tones(pruned):
    world, _ = pruned
    light, dark = world.images[:256], world.images[512:]
    originals = ~world.copies[512:]
    assert 0.2 < originals.mean() < 0.45  # 70 % near-copies
    assert not world.copies[:512].any()
    same = [(world.codes[name][:256] == world.codes[name][512:])[originals].mean() for name in ("place", "smile")]
    assert same == [1.0, 1.0]
    assert (light != dark).any(axis=(1, 2, 3))[originals].all()  # the skin


def test_semdedup_loses_the_minority_and_fair_less_so(pruned):
    world, masks = pruned
    dark = world.codes["skin"] == 1
    share = {arm: dark[mask].mean() for arm, mask in masks.items()}
    assert share["full"] == pytest.approx(1 / 3)
    assert share["semdedup"] < 0.5 * share["full"]  # the planted harm
    assert abs(share["random"] - share["full"]) < 0.05
    assert share["fair"] > 1.15 * share["semdedup"]
    attainable = (dark & ~world.copies).sum() / masks["fair"].sum()
    assert share["fair"] <= attainable + 0.05


def test_representation_says_the_change_with_its_interval(pruned):
    world, masks = pruned
    rows = representation(world, masks)
    change = {r.extra["repair"]: r for r in rows if r.arm == "difference" and r.groups == "dark"}
    assert set(change) == set(ARMS[1:])
    assert change["semdedup"].high < 0
    assert change["random"].low < 0 < change["random"].high
    both = {r.extra["repair"]: r.value for r in rows if r.arm == "difference" and r.groups == "light"}
    assert all(both[arm] == pytest.approx(-row.value) for arm, row in change.items())


@pytest.mark.slow
def test_the_demo_writes_representation_skew_disparity_and_utility(tmp_path):
    findings = demo("dedup", tmp_path, seed=0)
    for metric in ("representation", "mean_max_skew", "recall_disparity_mean", "recall_disparity_worst"):
        assert {column(r, "repair") for r in findings.where(metric=metric, arm="after")} == set(ARMS[1:])
        assert all(r.low <= r.value <= r.high for r in findings.where(metric=metric, arm="after"))
    assert findings.one(metric="top_k_accuracy", task="thing", arm="before").value > 0.8
    assert (tmp_path / "kept.csv").is_file()
    again = demo("dedup", seed=0)
    assert [r.value for r in again] == [r.value for r in findings]


TABLES = Path(__file__).parents[2] / "docs" / "world_dedup"


@pytest.mark.skipif(not TABLES.is_dir(), reason="the tables are not part of an installation")
def test_the_published_tables_are_whole_and_their_comparisons_follow_from_them():
    import csv

    from fairvl.stats.paired import paired_equivalence, paired_test

    def read(name):
        with open(TABLES / f"{name}.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    models, kept = read("models"), read("kept")
    seeds = sorted({row["seed"] for row in models}, key=int)
    assert len(seeds) >= 5
    assert [(r["seed"], r["arm"]) for r in models] == [(r["seed"], r["arm"]) for r in kept]
    assert len(models) == len(seeds) * len(ARMS)
    assert len({r["pictures"] for r in kept if r["arm"] != "full"}) == 1
    by = {(r["seed"], r["arm"]): r for r in models}
    for row in read("comparisons"):
        moved = [float(by[s, row["arm"]][row["metric"]]) - float(by[s, row["against"]][row["metric"]]) for s in seeds]
        assert float(row["value"]) == pytest.approx(np.mean(moved), abs=1e-5)
        if row["family"] == "utility":
            found = paired_equivalence(moved, margin=0.015)
            assert row["equivalent"] == str(found.equivalent)
        else:
            assert float(row["p"]) == pytest.approx(paired_test(moved).p, abs=1e-5)
