"""Pruning by half and what it does: whom the subsets show, and whom models trained on them put on top."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_atomic
from ...findings import Finding, Findings
from ...fingerprints import fingerprint
from ...measure.audit.arms import rows
from ...measure.disparity import recall_disparity
from ...measure.ranking import compare_skew
from ...measure.retrieval import hits_at_k, mean_hit
from ...measure.zeroshot import prototypes
from ...repair.dedup.audit import ratio_difference
from ...sources.encoders import load_encoder
from ...sources.prompts import load_bank
from ...sources.world.words import ATTRIBUTES
from ...stats.estimate import Estimate
from ...stats.rates import wilson
from .pruned_world import ARMS, PrunedWorld, Sizes, draw_world, keep_masks

SIZES = Sizes(light=768, dark=384)
BASE_PICTURES, BASE_STEPS, STEPS = 1536, 400, 100
TEST_PICTURES = 1024
KEEP = 0.5
SHOWN = ("full", "fair", "fairdedup", "semdedup", "random")  # the report's headline is about the first rule
LEVEL = 0.95
TASKS = ("age_group", "hair_length", "glasses", "smile")
ONE_MODEL = "one model per subset and a short training: docs/world-dedup.md repeats it over seeds"
Vectors = Mapping[str, NDArray[np.float32]]


def dedup_demo(out: Path | None, *, seed: int) -> Findings:
    """A store pruned to half by every rule, and a small CLIP trained on each subset.

    "Before" is the full store (and the model trained on it), "after" the subset of one rule; all subsets are of one
    size. Training is shorter than in the experiment of docs/world-dedup.md, and there is one model per subset, so
    differences between models show the direction at best. `out` gets one keep list per rule.
    """
    encoder = load_encoder("world:clip")
    world = draw_world(encoder, seed + 1, SIZES)
    found_masks = keep_masks(world, encoder, keep=KEEP, seed=seed)
    masks = {arm: found_masks[arm] for arm in SHOWN}
    if out is not None:
        names = [arm for arm in masks if arm != "full"]
        lines = [",".join(["row", *names])]
        lines += [f"{i}," + ",".join(str(int(masks[arm][i])) for arm in names) for i in range(len(world))]
        write_atomic(out / "kept.csv", "\n".join(lines) + "\n")
    found = [*representation(world, masks)]
    asked, vectors = _trained(world, masks, seed)
    found += _skews(asked, vectors, seed)
    found += _utilities(asked, vectors, seed)
    found += _disparities(asked, vectors, seed)
    settings = {
        "pictures": len(world), "keep": KEEP, "arms": list(ARMS), "steps": STEPS, "base_steps": BASE_STEPS,
        "test_pictures": TEST_PICTURES, "seed": seed,
        "caveat": "One small model per subset: differences between models show a direction at best, and the intervals "
        "are over test pictures, not over trainings. The experiment with several is in docs/world-dedup.md.",
    }  # fmt: skip
    return Findings(found, settings).with_columns(
        dataset="world: half of it in two skin tones", model="small CLIP of the demo", seed=seed,
        config_hash=fingerprint(settings), suite="demo dedup",
    )  # fmt: skip


def representation(world: PrunedWorld, masks: Mapping[str, NDArray[np.bool_]], level: float = LEVEL) -> list[Finding]:
    """Share of each perceived skin tone in the store and in every subset, and the paired change."""
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    found: list[Finding] = []
    for code, value in enumerate(ATTRIBUTES["skin"]):
        inside = (world.codes["skin"] == code).astype(np.float64)
        before = _share(inside, level)
        after = {}
        for arm, keep in masks.items():
            if arm == "full":
                continue
            change, error = ratio_difference(np.ones(len(inside)), inside, keep.astype(np.float64))
            moved = Estimate(change, change - z * error, change + z * error, len(inside), level, "delta, paired")
            after[arm] = (_share(inside[keep], level), moved)
        found += rows(
            "representation", "share", f"skin:{value}", before, after, groups=value, attribute="skin",
            extra={"role": "fairness"},
        )  # fmt: skip
    return found


def _share(inside: NDArray[np.float64], level: float) -> Estimate:
    low, high = wilson(float(inside.sum()), len(inside), level)
    return Estimate(float(inside.mean()), low, high, len(inside), level, "wilson")


class _Asked:
    """The test world, and the rows of every text among the vectors of a model."""

    def __init__(self, pictures: int) -> None:
        from .pruned_models import scene_captions, test_world, texts

        self.images, self.truth = test_world(pictures)
        self.texts = texts()
        self.place = {text: i for i, text in enumerate(self.texts)}
        self.skin = np.array(ATTRIBUTES["skin"])[self.truth["skin"]]
        captions = scene_captions()
        self.captions = np.array([self.place[text] for text, _ in captions])
        self.scenes = np.array([code for _, code in captions])

    def classes(self, vectors: Vectors, bank: str) -> tuple[NDArray[Any], tuple[str, ...]]:
        loaded = load_bank(bank)
        found = [[self.place[t] for t in loaded.prompts(n).texts if t in self.place] for n in loaded.sets]
        codes = np.repeat(np.arange(len(found)), [len(r) for r in found])
        return prototypes(vectors["texts"][np.concatenate(found)], codes, len(found)), tuple(loaded.sets)

    def scores(self, vectors: Vectors, name: str) -> NDArray[Any]:
        found, names = self.classes(vectors, f"zero-shot-{name}")
        return np.asarray(vectors["images"] @ found[[names.index(value) for value in ATTRIBUTES[name]]].T)


def _trained(
    world: PrunedWorld, masks: Mapping[str, NDArray[np.bool_]], seed: int
) -> tuple[_Asked, dict[str, Vectors]]:
    """What a model of every subset makes of the test world."""
    import torch

    from .pruned_models import captioned, kept_pairs, train_arm, train_base, vectors_of

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        asked = _Asked(TEST_PICTURES)
        base = train_base(BASE_STEPS, BASE_PICTURES)
        pairs = captioned(world.images, world.codes, seed + 1)
        models = {
            arm: train_arm(base, kept_pairs(pairs, keep), world.codes, seed=seed + 1, steps=STEPS)
            for arm, keep in masks.items()
        }
        return asked, {arm: vectors_of(model, asked.images, asked.texts) for arm, model in models.items()}
    finally:
        torch.set_num_threads(threads)


def _skews(asked: _Asked, vectors: Mapping[str, Vectors], seed: int) -> list[Finding]:
    k = TEST_PICTURES // 10
    ranked = {arm: asked.classes(v, "retrieval-29")[0] @ v["images"].T for arm, v in vectors.items()}
    names = list(load_bank("retrieval-29").sets)
    before, after = None, {}
    for arm, scores in ranked.items():
        if arm != "full":
            pair = compare_skew(ranked["full"], scores, asked.skin, k=k, queries=names, level=LEVEL, seed=seed)
            before, after[arm] = pair.before, (pair.after, pair.difference)
    assert before is not None
    found: list[Finding] = []
    for metric in ("max_skew", "min_skew"):
        arms = {arm: (a.mean[metric], d.mean[metric]) for arm, (a, d) in after.items()}
        found += rows(
            f"mean_{metric}", "nats", f"ranking/skin/mean_{metric}", before.mean[metric], arms, groups="(all queries)",
            attribute="skin", extra={"k": k, "target": "population", "role": "fairness"}, note=ONE_MODEL,
        )  # fmt: skip
    return found


def _utilities(asked: _Asked, vectors: Mapping[str, Vectors], seed: int) -> list[Finding]:
    """Tasks that ask for no person: the place, the thing beside the person, and captions that name both."""
    found: list[Finding] = []
    scene = 2 * asked.truth["place"] + asked.truth["thing"]
    right = scene[:, None] == asked.scenes[None]
    hits: dict[tuple[str, str, int], dict[str, NDArray[np.float64]]] = {}
    for arm, v in vectors.items():
        captions = v["texts"][asked.captions]
        for thing in ("place", "thing"):
            scores = asked.scores(v, thing) if thing == "place" else v["images"] @ _kinds(captions, asked.scenes).T
            hits.setdefault(("top_k_accuracy", thing, 1), {})[arm] = hits_at_k(scores, asked.truth[thing], k=1)
        for k in (1, 5):
            cosines = np.asarray(v["images"] @ captions.T)
            asked_for = ("recall_at_k", "retrieval, image to text", k)
            hits.setdefault(asked_for, {})[arm] = hits_at_k(cosines, right, k=k)
    for (metric, task, k), by_arm in hits.items():
        arms = {
            arm: (_mean(h, seed), _mean(h - by_arm["full"], seed, paired=True))
            for arm, h in by_arm.items()
            if arm != "full"
        }
        found += rows(
            metric, "share", f"{task}/{k}", _mean(by_arm["full"], seed), arms, groups="(all)",
            extra={"task": task, "k": k, "role": "utility"}, note=ONE_MODEL,
        )  # fmt: skip
    return found


def _kinds(captions: NDArray[np.float32], scenes: NDArray[np.int64]) -> NDArray[Any]:
    return prototypes(captions, scenes % 2, 2)


def _mean(hits: NDArray[np.float64], seed: int, *, paired: bool = False) -> Estimate:
    return mean_hit(hits, units=np.arange(len(hits)) if paired else None, level=LEVEL, seed=seed)


def _disparities(asked: _Asked, vectors: Mapping[str, Vectors], seed: int) -> list[Finding]:
    """Gap of recall between skin tones over the classes of four tasks, mean and worst."""
    truth = np.concatenate([np.array(ATTRIBUTES[name])[asked.truth[name]] for name in TASKS])
    skin = np.tile(asked.skin, len(TASKS))
    by_arm = {}
    for arm, v in vectors.items():
        seen = [np.array(ATTRIBUTES[name])[asked.scores(v, name).argmax(axis=1)] for name in TASKS]
        by_arm[arm] = recall_disparity(truth, np.concatenate(seen), skin, level=LEVEL, seed=seed)
    found: list[Finding] = []
    for metric in ("mean", "worst"):
        values: dict[str, Estimate] = {arm: getattr(d, metric) for arm, d in by_arm.items()}
        arms = {
            arm: (value, Estimate(value.value - values["full"].value, n=value.n, note="no interval: two models"))
            for arm, value in values.items()
            if arm != "full"
        }
        found += rows(
            f"recall_disparity_{metric}", "share", f"skin/recall_disparity_{metric}", values["full"], arms,
            groups="dark, light", attribute="skin", extra={"role": "fairness"}, note=ONE_MODEL,
        )  # fmt: skip
    return found
