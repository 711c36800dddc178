"""The verb `train_classifier`: arms at one budget, several seeds, and Findings with paired differences."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import require_writable
from ...errors import GroupError, InputError
from ...findings import Finding, Findings
from ...fingerprints import fingerprint
from ...jobs import Optimisation
from ...stats.codes import natural_key
from ...stats.estimate import Estimate
from .arms import ARMS, Mix, make_mixes
from .data import Labelled, folder_of, read_labelled, side_tables
from .evaluation import SHARES, Frame, Sampled, codes, crossed_interval, paired, resampled, resampled_shares
from .evidence import edit_findings
from .networks import LOSSES
from .training import MODEL, Recipe, Start, Twins, check_classes, train_one

FLIPS = "counterfactual_flip_rate"
MINIMUM = 30
SLOWER = 10.0  # by which the rate of a second stage is lower
Comparisons = list[tuple[str, str]]


def train_classifier(
    dataset: Any, arms: Sequence[str] | None = None, *, label: str, attribute: str, test: Any, augmented: Any = None,
    aggravated: Any = None, pairs: Any = None, out: Path | str | None = None, backbone: str = "mobilenet_v2",
    weights: str | None = None, size: int | None = None, loss: str = "cross-entropy", steps: int = 2000,
    batch_size: int = 64, lr: float = 1e-3, finetune: int = 0, consistency: float = 0.0,
    seeds: int | Sequence[int] = 5, flip: bool = True,
    groups: Sequence[str] | None = None, positive: str | None = None, device: str = "cpu", draws: int = 1000,
    level: float = 0.95, seed: int = 0, checkpoint_every: int = 1000, **optimisation: Any,
) -> Findings:  # fmt: skip
    """Train one classifier per arm and seed and hold them side by side on the same test images.

    All arms get the same number of steps and the same batch size, and with one seed the same first weights. See
    `fairvl.repair.classifier.arms` for what each arm sees.

    Parameters
    ----------
    dataset : Dataset or str
        The real training images. Where `augmented` holds originals, those are used (the same images through the codec
        that the edits passed).
    arms : sequence of str, optional
        Of "baseline", "augmented", "reweighted", "duplicated", "unedited", "aggravated"; default: all whose images are
        given.
    label, attribute : str
        What is predicted, and the protected attribute. Any number of classes and groups.
    test : Dataset or str
        Real images that no arm was trained on.
    augmented, aggravated : Augmentation or path
        Folders that `augment` wrote: a plan of balance, and one of aggravate.
    pairs : Augmentation or path, optional
        Edits of *test* images: the share of pairs (unedited, edited) that a classifier labels differently.
    out : path, optional
        Keeps every run; killed, the same call goes on. Default: a temporary folder.
    backbone, weights
        See `fairvl.repair.classifier.networks.build`.
    size : int, optional
        Side of the images; default: that of the training images.
    loss : "cross-entropy" or "focal"
    finetune : int
        Of the `steps`, how many come last, at a tenth of the rate and on each arm's own images, after the others on the
        real images (the paper trains so: 100 epochs, then 50). 0: every arm sees its own images from the start.
    consistency : float
        Weight of a penalty in the augmented arm: the mean distance between the logits of an edit and of its source,
        over a quarter of the batch size of pairs per step, which pass through the network beside the batch
        (counterfactual logit pairing, Garg et al. 2019).
    seeds : int or sequence of int
        Trainings per arm.
    groups : sequence of str, optional
        Order of the groups; signed differences are each minus the first. Default: natural order.
    positive : str, optional
        Class of equal opportunity; default: the second of two classes, the class with the widest gap of more.
    **optimisation
        Fields of `fairvl.jobs.Optimisation`: warmup, schedule, weight_decay, clip, precision, ...

    Returns
    -------
    Findings
        Free columns ``training`` (the arm) and ``compared_with``. Rows ``edit_yield`` and
        ``judge_accuracy`` tell of the edits that were given. Other rows with `arm` "" are levels; "before", "after" and
        "difference" compare an arm with another, paired by image and seed: every arm with the baseline, and the
        augmented one with each control. `settings` hold the cells that each arm saw and the values of each seed.

    Raises
    ------
    InputError
        Unknown arms, arms without their images, labels in the test set that were never trained.
    GroupError
        Fewer than two groups in the test set.
    TrainingError, ConfigMismatchError, JobError

    Notes
    -----
    Intervals cover new test images and new trainings, see `crossed_interval`. Gaps are differences between the groups
    that are best and worst in the data; being maxima they are above 0 by chance alone.
    """
    listed = _seeds(seeds)
    unknown = sorted(optimisation.keys() - Optimisation.__dataclass_fields__.keys())
    if unknown or loss not in LOSSES or batch_size < 2 or draws < 0:
        raise InputError(
            f"options {unknown}, loss={loss!r}, batch_size={batch_size}, draws={draws}; expected fields of "
            f"Optimisation, one of {LOSSES}, 2 or more and 0 or more."
        )
    if not 0 <= finetune < steps or not 0 <= consistency < float("inf"):
        raise InputError(
            f"finetune={finetune}, consistency={consistency}; expected steps from 0 to below steps={steps}, and a "
            "weight from 0."
        )
    how = Optimisation(steps=steps - finetune, lr=lr, dropout=True, **optimisation)  # some backbones need its mode
    recipe = Recipe(backbone=backbone, weights=weights, loss=loss, batch_size=batch_size, flip=flip, optimisation=how,
                    device=device, consistency=consistency)  # fmt: skip
    if out is not None:
        require_writable(out)
    real, extra = _training_sets(dataset, augmented, aggravated, arms, label, attribute, size)
    chosen = tuple(arms) if arms is not None else tuple(
        name for name in ARMS if name in ("baseline", "reweighted") or (name == "duplicated" and "augmented" in extra)
        or name in extra
    )  # fmt: skip
    mixes = make_mixes(chosen, real, extra, seed=seed)
    side = int(real.images.shape[1])
    held_out = read_labelled(test, label, attribute, side)
    classes = check_classes(real.labels, held_out.labels, sorted(set(real.labels), key=natural_key))
    frame = _frame(held_out, classes, groups, positive)
    tests = {"test": held_out.images}
    tested = _pairs(pairs, label, attribute, side)
    if tested is not None:
        tests |= {"unedited": tested[0].images, "edited": tested[1].images}
    content = {"test": held_out.fingerprint, "pairs": [] if tested is None else [one.fingerprint for one in tested]}
    with ExitStack() as stack:
        folder = Path(out if out is not None else stack.enter_context(tempfile.TemporaryDirectory(prefix="fairvl-")))
        training = _Training(classes, tests, recipe, folder, content, checkpoint_every, finetune)
        real_mix = make_mixes(["baseline"], real, {})["baseline"]
        twins = _twins(augmented, label, attribute, side, consistency, chosen)
        found = {name: [training(mix, one, real_mix, twins) for one in listed] for name, mix in mixes.items()}
    predicted = np.stack([[run["test"].argmax(axis=1) for run in runs] for runs in found.values()]).astype(np.int64)
    metrics = resampled(frame, predicted, draws=draws, seed=seed)
    flips = None
    if tested is not None:
        changed = np.stack(
            [
                [run["unedited"].argmax(axis=1) != run["edited"].argmax(axis=1) for run in runs]
                for runs in found.values()
            ]
        )
        flips = resampled_shares(changed, draws=draws, seed=seed)
    settings = _settings(recipe, steps, finetune, listed, mixes, frame, held_out, metrics, flips, content)
    about = {
        "attribute": attribute, "dataset": held_out.name, "model": backbone, "seed": seed,
        "config_hash": fingerprint(settings),
    }  # fmt: skip
    rows = _rows(tuple(mixes), frame, metrics, flips, level, about, label, len(listed))
    given = {"augmented": augmented, "aggravated": aggravated, "pairs": pairs}
    rows += edit_findings({name: folder_of(one) for name, one in given.items()}, about)
    findings = Findings(rows, settings)
    if out is not None:
        findings.write(Path(out) / "findings.json")
    return findings


@dataclass(frozen=True, eq=False)
class _Training:
    """What the runs of all arms and seeds share."""

    classes: tuple[str, ...]
    tests: Mapping[str, NDArray[np.uint8]]
    recipe: Recipe
    folder: Path
    content: Mapping[str, Any]
    checkpoint_every: int
    finetune: int

    def __call__(self, mix: Mix, seed: int, real: Mix, twins: Twins | None) -> dict[str, NDArray[np.float32]]:
        recipe, start = self.recipe, None
        if self.finetune:
            self._one(real, seed, "first", recipe)  # the same for all arms: trained once, then found
            first = recipe.optimisation
            start = Start(self.folder / "first" / f"seed-{seed}" / MODEL, first.steps)
            recipe = replace(recipe, optimisation=replace(first, steps=self.finetune, lr=first.lr / SLOWER))
        return self._one(mix, seed, mix.name, recipe, start, twins if mix.name == "augmented" else None)

    def _one(
        self, mix: Mix, seed: int, place: str, recipe: Recipe, start: Start | None = None, twins: Twins | None = None
    ) -> dict[str, NDArray[np.float32]]:
        facts = {"classes": list(self.classes), "data": mix.data.fingerprint, "mix": _mix_hash(mix), **self.content}
        return train_one(mix, self.classes, self.tests, recipe, seed, self.folder / place / f"seed-{seed}", facts,
                         self.checkpoint_every, start=start, twins=twins)  # fmt: skip


def _twins(
    augmented: Any, label: str, attribute: str, side: int, consistency: float, arms: Sequence[str]
) -> Twins | None:
    if not consistency:
        return None
    pairs = _pairs(augmented, label, attribute, side)
    if pairs is None or "augmented" not in arms:
        raise InputError(
            f"consistency={consistency} compares edits with their sources in the augmented arm; pass augmented=, and "
            "name that arm."
        )
    unedited, edited = pairs
    return Twins(unedited.images, edited.images, fingerprint([one.fingerprint for one in pairs]))


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    listed = list(range(seeds)) if isinstance(seeds, int) else [int(one) for one in seeds]
    if isinstance(seeds, bool) or not listed or len(set(listed)) < len(listed) or min(listed) < 0:
        raise InputError(f"seeds={seeds!r}; expected a number from 1, or different whole numbers from 0.")
    return listed


def _training_sets(
    dataset: Any, augmented: Any, aggravated: Any, arms: Sequence[str] | None, label: str, attribute: str,
    size: int | None,
) -> tuple[Labelled, dict[str, Labelled]]:  # fmt: skip
    wanted = set(ARMS if arms is None else arms)
    folders = {name: folder_of(given) for name, given in (("augmented", augmented), ("aggravated", aggravated))}
    source = dataset
    for folder in folders.values():
        if folder is not None and (folder / "original").is_dir():
            source = side_tables(folder)["metadata"]
            break
    real = read_labelled(source, label, attribute, size)
    if source is not dataset:
        real = real.take([row for row, kind in enumerate(real.kinds) if kind == "original"])
    side = int(real.images.shape[1])
    extra: dict[str, Labelled] = {}
    for arm, owner, table in (
        ("augmented", "augmented", "edited"), ("unedited", "augmented", "unedited"), ("aggravated",) * 2 + ("edited",)
    ):  # fmt: skip
        place = folders[owner]
        if place is not None and (arm in wanted or (arm == "augmented" and "duplicated" in wanted)):
            extra[arm] = read_labelled(side_tables(place)[table], label, attribute, side)
    return real, extra


def _frame(test: Labelled, classes: tuple[str, ...], groups: Sequence[str] | None, positive: str | None) -> Frame:
    names = tuple(sorted(set(test.groups), key=natural_key)) if groups is None else tuple(map(str, groups))
    lost = sorted(set(test.groups) - set(names))
    if len(names) < 2 or lost or len(set(names)) < len(names):
        raise GroupError(
            f"groups {list(names)}; the test images hold {sorted(set(test.groups))}. Expected two or more."
        )
    if empty := [name for name in names if name not in test.groups]:
        raise GroupError(f"no test image shows the group {empty[0]!r}; gaps to it cannot be measured.")
    if positive is not None and positive not in classes:
        raise InputError(f"positive={positive!r}; expected one of {', '.join(classes)}.")
    chosen = classes.index(positive) if positive is not None else (1 if len(classes) == 2 else None)
    return Frame(codes(test.labels, classes), codes(test.groups, names), classes, names, chosen)


def _pairs(pairs: Any, label: str, attribute: str, side: int) -> tuple[Labelled, Labelled] | None:
    folder = folder_of(pairs)
    if folder is None:
        return None
    tables = side_tables(folder)
    unedited, edited = (read_labelled(tables[name], label, attribute, side) for name in ("unedited", "edited"))
    same = [one.partition("/")[2] for one in unedited.ids] == [one.partition("/")[2] for one in edited.ids]
    if not same:
        raise InputError(f"{folder}: edited.csv and unedited.csv do not hold the same pairs.")
    return unedited, edited


def _mix_hash(mix: Mix) -> str:
    return fingerprint([mix.rows.tobytes().hex(), None if mix.weights is None else mix.weights.tobytes().hex()])


def _settings(
    recipe: Recipe, steps: int, finetune: int, seeds: list[int], mixes: Mapping[str, Mix], frame: Frame, test: Labelled,
    metrics: Sampled, flips: Sampled | None, content: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    names = [*frame.names, *([FLIPS] if flips is not None else [])]
    values = metrics.values if flips is None else np.concatenate([metrics.values, flips.values], axis=2)
    more = {"finetune": finetune, "consistency": recipe.consistency}
    return {
        **{key: value for key, value in more.items() if value},
        "recipe": recipe.as_dict(), "steps": steps, "lr": recipe.optimisation.lr, "seeds": seeds,
        "size": int(test.images.shape[1]),
        "arms": {name: {"images": len(mix.rows), "cells": mix.counts()} for name, mix in mixes.items()},
        "classes": list(frame.classes), "groups": list(frame.groups), "content": dict(content),
        "test": {"n": len(test), "left out": test.left_out, "cells": _cells(test)},
        "by seed": {
            arm: {name: [_plain(x) for x in values[a, :, m]] for m, name in enumerate(names)}
            for a, arm in enumerate(mixes)
        },
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cells(data: Labelled) -> dict[str, int]:
    return Mix("", data, np.arange(len(data))).counts()


def _rows(
    arms: tuple[str, ...], frame: Frame, metrics: Sampled, flips: Sampled | None, level: float,
    about: Mapping[str, Any], label: str, seeds: int,
) -> list[Finding]:  # fmt: skip
    compared: Comparisons = [(arm, "baseline") for arm in arms if arm != "baseline" and "baseline" in arms]
    if "augmented" in arms:
        compared += [
            ("augmented", arm) for arm in ("reweighted", "duplicated", "unedited", "aggravated") if arm in arms
        ]
    few = _few(frame)
    rows = []
    kinds = [(name, metrics, place) for place, name in enumerate(frame.names)]
    kinds += [(FLIPS, flips, 0)] if flips is not None else []
    for full, sampled, place in kinds:
        name, _, groups = full.partition("|")
        extra = {"task": label, "role": "utility" if name in ("accuracy", "macro_f1") else "fairness", "seeds": seeds}
        note = _note(name, frame, few)
        levels = {
            arm: crossed_interval(
                sampled.values[a, :, place],
                sampled.draws[:, a, place],
                sampled.n,
                level=level,
                share=name in SHARES,
                bound=1.0,
            )
            for a, arm in enumerate(arms)
        }
        for arm in arms:
            rows.append(_finding(name, levels[arm], groups, about, {**extra, "training": arm}, "", "", note))
        for arm, other in compared:
            pair = fingerprint([about["config_hash"], full, arm, other])
            by_seed, drawn = paired(sampled, arms.index(arm), arms.index(other), place)
            change = crossed_interval(by_seed, drawn, sampled.n, level=level)
            for which, trained, estimate in (
                ("before", other, levels[other]), ("after", arm, levels[arm]), ("difference", arm, change)
            ):  # fmt: skip
                free = {**extra, "training": trained, "compared_with": other}
                rows.append(_finding(name, estimate, groups, about, free, which, pair, note))
    return rows


def _few(frame: Frame) -> str:
    counts = np.zeros((len(frame.groups), len(frame.classes)), np.int64)
    np.add.at(counts, (frame.group, frame.truth), 1)
    cells = [
        f"{frame.classes[j]}, {frame.groups[i]} ({counts[i, j]})"
        for i, j in zip(*np.nonzero(counts < MINIMUM), strict=True)
    ]
    return f"fewer than {MINIMUM} test images: {'; '.join(cells)}" if cells else ""


def _note(name: str, frame: Frame, few: str) -> str:
    told = []
    if name == "equal_opportunity_difference":
        told.append("class with the widest gap" if frame.positive is None else f"class {frame.classes[frame.positive]}")
    if name.startswith("equalized_odds"):
        told.append("gap of the accuracy within each true class, " + ("mean" if name.endswith("mean") else "maximum"))
    if name == "worst_label_group_accuracy":
        told.append("lowest accuracy of a true class in a group")
    return "; ".join([*told, *([few] if few else [])])


def _finding(
    name: str, estimate: Estimate, groups: str, about: Mapping[str, Any], extra: Mapping[str, Any], arm: str, pair: str,
    note: str,
) -> Finding:  # fmt: skip
    known = bool(np.isfinite(estimate.low))
    return Finding(
        name, estimate.value, "share", estimate.n, estimate.low if known else None, estimate.high if known else None,
        estimate.level if known else None, estimate.method, groups=groups, arm=arm, pair_id=pair,
        note="; ".join(filter(None, (estimate.note, note))) or ("" if known else "no interval"), extra=dict(extra),
        **about,
    )  # fmt: skip
