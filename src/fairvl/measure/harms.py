"""Harm labels: how often a zero-shot classifier gives people of a group a denigrating or crime-related label.

The classifier chooses among real classes and harm labels together, as in section 7 of Radford et al. (2021),
"Learning Transferable Visual Models From Natural Language Supervision"; which labels those are is the prompt bank's
matter. The *rate* of a category is the share of a group's rows whose prediction is one of its labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import GroupError, InputError
from ..stats.cells import FloatArray, Resampled, Resampling, Seed, bootstrap, tabulate
from ..stats.codes import MISSING, GroupCodes, as_text, encode, factorize, unknown_label
from ..stats.estimate import Estimate
from ..stats.rates import divide, wilson
from ..stats.spread import Extremes, GapBand, floor

ANY = "(any)"


@dataclass(frozen=True, eq=False)
class HarmFrame:
    """Rates of every category of harm labels, and of all together under ``"(any)"``.

    ``overall[category]`` and ``by_group[category][group]`` carry Wilson score intervals, which hold where a rate is 0
    or a group is small; ``difference[category]`` (largest minus smallest over groups) a simultaneous band over all
    pairs of groups from a bootstrap over cell counts (`fairvl.stats.spread`), since harms are rare and often absent.
    `worst_group[category]` has the highest rate, "" where all are equal.
    """

    overall: Mapping[str, Estimate]
    by_group: Mapping[str, Mapping[str, Estimate]]
    difference: Mapping[str, Estimate]
    worst_group: Mapping[str, str]
    counts: Mapping[str, int]
    small: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class HarmComparison:
    """Harm rates before and after, and after minus before (cell bootstrap, paired by row)."""

    before: HarmFrame
    after: HarmFrame
    difference: HarmFrame


def harm_rates(
    predictions: ArrayLike,
    groups: Any,
    harm_labels: Mapping[str, Sequence[str]],
    *,
    real_labels: Sequence[str] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    minimum: int = 30,
) -> HarmFrame:
    """Share of each group's rows that get a harm label, by category, with intervals.

    Parameters
    ----------
    predictions
        ``[n]`` predicted labels, real or harmful.
    groups
        ``[n]`` labels, a mapping or frame of columns (crossed), or `GroupCodes`.
    harm_labels
        Category to its labels, for example ``{"crime": ["thief", "criminal"]}``; labels are compared as text.
    real_labels
        The other labels that the classifier could choose. When given, a prediction outside both is an error that
        names the nearest label: a misspelt harm label would otherwise read as no harm.
    minimum
        Groups with fewer rows are flagged in `small`.

    Examples
    --------
    >>> frame = harm_rates(["thief", "man", "man", "man"], ["a", "a", "b", "b"], {"crime": ["thief"]}, n_boot=0)
    >>> frame.by_group["crime"]["a"].value, frame.worst_group["crime"]
    (0.5, 'a')
    """
    prepared = _Prepared.of((predictions,), groups, harm_labels, real_labels)
    plan = Resampling(n_boot, level, seed)
    return _frame(prepared, _bootstrap(prepared, plan), 0, plan, minimum)


def compare_harm_rates(
    predictions_before: ArrayLike,
    predictions_after: ArrayLike,
    groups: Any,
    harm_labels: Mapping[str, Sequence[str]],
    *,
    real_labels: Sequence[str] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    minimum: int = 30,
) -> HarmComparison:
    """`harm_rates` before and after on the same rows, and after minus before with paired resamples."""
    prepared = _Prepared.of((predictions_before, predictions_after), groups, harm_labels, real_labels)
    plan = Resampling(n_boot, level, seed)
    values = _bootstrap(prepared, plan)
    before, after = (_frame(prepared, values, arm, plan, minimum) for arm in range(2))
    return HarmComparison(before, after, _frame(prepared, values, 2, plan, minimum))


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Harm category of every prediction per arm (0: none), and the groups."""

    arms: tuple[np.ndarray[Any, np.dtype[np.int64]], ...]
    groups: GroupCodes
    categories: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls,
        predictions: Sequence[ArrayLike],
        groups: Any,
        harm_labels: Mapping[str, Sequence[str]],
        real_labels: Sequence[str] | None,
    ) -> _Prepared:
        labels = _check_labels(harm_labels)
        category_of = {label: i for i, names in enumerate(labels.values(), start=1) for label in names}
        codes = encode(groups)
        if not codes.counts.sum():
            raise GroupError(f"none of {len(codes)} rows has a group; expected at least one label.")
        allowed: list[str] | None = None
        if real_labels is not None:
            allowed = [text for text in map(as_text, real_labels) if text is not None]
            if shared := set(allowed) & set(category_of):
                raise InputError(f"{sorted(shared)} are both real and harm labels; expected disjoint lists.")
            allowed += category_of
        arms = []
        for column in predictions:
            predicted, names, _ = factorize(column, "predictions")
            if len(predicted) != len(codes):
                raise InputError(f"{len(predicted)} predictions and {len(codes)} rows of groups; expected one per row.")
            if missing := int(np.count_nonzero(predicted < 0)):
                raise InputError(f"predictions: {missing} rows have no label. Drop them.")
            if allowed is not None:
                for name in names:
                    if name not in allowed:
                        raise InputError(unknown_label(name, allowed, kind="predicted label"))
            arms.append(np.array([category_of.get(name, 0) for name in names], dtype=np.int64)[predicted])
        return cls(tuple(arms), codes, tuple(labels), labels)


def _check_labels(harm_labels: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    if not isinstance(harm_labels, Mapping) or not harm_labels:
        raise InputError(f"harm_labels={harm_labels!r}; expected a mapping of category to labels.")
    labels: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for category, names in harm_labels.items():
        texts = [] if isinstance(names, str) else [as_text(name) for name in names]
        if not texts or None in texts or str(category) == ANY:
            raise InputError(f"harm_labels[{category!r}]={names!r}; expected a list of labels, none of them missing.")
        labels[str(category)] = tuple(str(text) for text in texts)
        if seen & set(labels[str(category)]) or len(set(texts)) != len(texts):
            raise InputError(f"harm_labels[{category!r}] repeats a label; expected each label once.")
        seen |= set(labels[str(category)])
    return labels


def _bootstrap(prepared: _Prepared, plan: Resampling) -> Resampled:
    """Per arm and category (any first): overall, difference, every group; then differences of the arms."""
    shown = prepared.groups.reported()
    g, known, c = len(shown.labels), len(prepared.groups.labels), len(prepared.categories)
    cells = tabulate(shown.codes, *prepared.arms, shape=(g, *(c + 1 for _ in prepared.arms)))
    group = np.eye(g)[cells.coordinates[:, 0]]

    def rates_of(counts: FloatArray, arm: int, category: int) -> tuple[FloatArray, FloatArray]:
        harm = cells.coordinates[:, 1 + arm]
        hits = (counts * (harm > 0 if category == 0 else harm == category)) @ group
        return hits.sum(axis=1) / counts.sum(axis=1), divide(hits, counts @ group)

    data = cells.counts[None].astype(np.float64)
    extremes = [
        [Extremes.of(rates_of(data, arm, category)[1][:, :known]) for category in range(c + 1)]
        for arm in range(len(prepared.arms))
    ]

    def statistic(counts: FloatArray) -> FloatArray:
        arms = []
        for arm, held in enumerate(extremes):
            parts = []
            for category in range(c + 1):
                overall, rates = rates_of(counts, arm, category)
                parts += [overall[:, None], held[category].gaps(rates[:, None, :known]), rates]
            arms.append(np.concatenate(parts, axis=1))
        if len(arms) == 2:
            arms.append(arms[1] - arms[0])
        return np.concatenate(arms, axis=1)

    return bootstrap(cells, statistic, plan, width=(c + 1) * g)


def _gap(prepared: _Prepared, values: Resampled, at: int, arm: int) -> Estimate:
    """Largest minus smallest rate over groups, from the category that starts at component `at`."""
    known = len(prepared.groups.labels)
    plain = values.estimate(at + 1, int(prepared.groups.counts.sum()))
    place = slice(at + 2, at + 2 + known)
    observed = values.observed[place]
    if arm == 2 or not values.draws or np.count_nonzero(~np.isnan(observed)) < 2:
        return plain
    rows = prepared.groups.counts.astype(np.float64)
    band = GapBand.of(observed[None], values.replicates[:, None, place], floor(observed, rows)[None])
    low, high = band.ends(values.level)
    method = "simultaneous, " + values.method.partition(", ")[2]
    return replace(plain, low=float(low[0]), high=min(float(high[0]), 1.0), method=method)


def _frame(prepared: _Prepared, values: Resampled, arm: int, plan: Resampling, minimum: int) -> HarmFrame:
    """The frame of one arm; arm 2 is the difference."""
    shown = prepared.groups.reported()
    counts = {label: int(count) for label, count in zip(shown.labels, shown.counts, strict=True)}
    n = len(shown)
    g = len(shown.labels)
    names = (ANY, *prepared.categories)
    overall, by_group, difference, worst = {}, {}, {}, {}

    def rate(place: int, rows: int) -> Estimate:
        if arm == 2 or not rows:
            return values.estimate(place, rows, "" if rows else "no rows")
        share = float(values.observed[place])
        low, high = wilson(round(share * rows), rows, plan.level)
        return Estimate(share, low, high, rows, plan.level, "wilson")

    for i, name in enumerate(names):
        at = (arm * len(names) + i) * (g + 2)
        overall[name] = rate(at, n)
        difference[name] = _gap(prepared, values, at, arm)
        by_group[name] = MappingProxyType(
            {label: rate(at + 2 + j, counts[label]) for j, label in enumerate(shown.labels)}
        )
        observed = values.observed[at + 2 : at + 2 + len(prepared.groups.labels)]
        equal = arm == 2 or np.nanmax(observed) == np.nanmin(observed)
        worst[name] = "" if equal else prepared.groups.labels[int(np.nanargmax(observed))]
    notes = list(prepared.groups.notes)
    if prepared.groups.n_missing:
        notes.append(f"{prepared.groups.n_missing} rows without a group are in {MISSING} and in no difference")
    return HarmFrame(
        MappingProxyType(overall),
        MappingProxyType(by_group),
        MappingProxyType(difference),
        MappingProxyType(worst),
        MappingProxyType(counts),
        tuple(label for label in prepared.groups.labels if counts[label] < minimum),
        MappingProxyType(dict(prepared.labels)),
        tuple(notes),
    )
