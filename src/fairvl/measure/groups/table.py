"""Labels and predictions as cell counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ...stats.cells import Cells, FloatArray, IntArray, Statistic, Totals, tabulate
from ...stats.codes import GroupCodes, factorize, natural_key, unknown_label
from ...stats.rates import rates as rates_of_counts
from ...stats.spread import Extremes
from .frames import join

Counts: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]  # truths, predictions, hits: each [..., g, classes]


@dataclass(frozen=True, eq=False)
class Table:
    """Cells group x truth x prediction (x prediction after) and the class that rates are about (None: all)."""

    cells: Cells
    groups: GroupCodes
    classes: tuple[str, ...]
    positive: int | None
    arms: int

    @classmethod
    def of(cls, y_true: ArrayLike, y_preds: Sequence[ArrayLike], groups: GroupCodes, positive: object) -> Table:
        columns = [factorize(y, name)[:2] for y, name in zip((y_true, *y_preds), NAMES, strict=False)]
        for (codes, labels), name in zip(columns, NAMES, strict=False):
            if len(codes) != len(groups):
                raise InputError(f"{name} has {len(codes)} rows and groups {len(groups)}; expected one per row.")
            if missing := np.count_nonzero(codes < 0):
                raise InputError(f"{name}: {missing} rows have no label, first row {np.argmax(codes < 0)}. Drop them.")
            if len(labels) > 100 and any("." in label for label in labels):
                raise InputError(f"{name} holds {len(labels)} different numbers; expected labels. Threshold scores.")
        kinds = [{_is_number(label) for label in labels} for _, labels in columns]
        if any(kind != kinds[0] for kind in kinds) and not set(columns[0][1]) & set(columns[1][1]):
            raise InputError(
                f"y_true holds {columns[0][1][:3]} and y_pred {columns[1][1][:3]}; expected labels of one kind."
            )
        found = {label for _, labels in columns for label in labels}
        binary = next((pair for pair in _BINARY if found <= set(pair)), None)  # a class without rows stays
        classes = binary or tuple(sorted(found, key=natural_key))
        place = {label: i for i, label in enumerate(classes)}
        coded = [np.array([place[label] for label in labels], dtype=np.int64)[codes] for codes, labels in columns]
        shown = groups.reported()
        shape = (len(shown.labels),) + (len(classes),) * len(coded)
        cells = tabulate(shown.codes, *coded, shape=shape)
        return cls(cells, groups, classes, _positive(classes, positive), len(y_preds))

    @property
    def n_shown(self) -> int:
        return self.cells.shape[0]

    @property
    def width(self) -> int:
        return 3 * self.arms * self.n_shown * len(self.classes)

    def counters(self) -> list[Callable[[FloatArray], Counts]]:
        """Per arm, cell counts [b, c] to truths, predictions and hits [b, g, classes]."""
        k = len(self.classes)
        group, truth, *predictions = self.cells.coordinates.T
        size = self.n_shown * k
        truths = Totals.of(group * k + truth, size)

        def counter(prediction: IntArray) -> Callable[[FloatArray], Counts]:
            predicted = Totals.of(group * k + prediction, size)
            hits = Totals.of(np.where(truth == prediction, group * k + truth, -1), size)

            def count(counts: FloatArray) -> Counts:
                shape = (len(counts), self.n_shown, k)
                return truths(counts).reshape(shape), predicted(counts).reshape(shape), hits(counts).reshape(shape)

            return count

        return [counter(p) for p in predictions]

    def statistic(self, functions: Sequence[Callable[[Counts], tuple[FloatArray, FloatArray]]]) -> Statistic:
        """One function per arm, counts to values and extra columns, as a statistic of the cells (see `join`)."""
        counters = self.counters()

        def statistic(counts: FloatArray) -> FloatArray:
            return join([function(count(counts)) for count, function in zip(counters, functions, strict=True)])

        return statistic

    def denominators(self, name: str, arm: int) -> FloatArray:
        """Rows that a metric's value rests on, per shown group (all rows of the group for means over classes)."""
        truths, predictions, _ = (part[0] for part in self.observed(arm))
        rows: FloatArray = truths.sum(axis=-1)
        if self.positive is None or name in ("accuracy", "balanced_accuracy", "selection_rate", "base_rate", "f1"):
            return rows
        if name in ("false_positive_rate", "true_negative_rate"):
            return np.asarray(rows - truths[:, self.positive])
        return np.asarray((predictions if name == "precision" else truths)[:, self.positive])

    def observed(self, arm: int = 0) -> Counts:
        return self.counters()[arm](self.cells.counts[None].astype(np.float64))


NAMES = ("y_true", "y_pred", "y_pred_after")
_BINARY = (("0", "1"), ("-1", "1"), ("False", "True"))


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _positive(classes: tuple[str, ...], positive: object) -> int | None:
    if positive is None:
        return 1 if classes in _BINARY else None
    codes, labels, _ = factorize([positive], "positive")
    if not len(codes) or codes[0] < 0:
        raise InputError(f"positive={positive!r} is not a label; expected one of {list(classes)}.")
    if labels[0] not in classes:
        raise InputError(unknown_label(labels[0], classes, kind="positive class"))
    return classes.index(labels[0])


def group_odds(counts: Counts, table: Table) -> FloatArray:
    """True positive rates of every class, then false positive rates, by group: [b, 2 classes, g]."""
    classes = slice(None) if table.positive is None else slice(table.positive, table.positive + 1)
    known = [part[:, : len(table.groups.labels)] for part in counts]
    rates = [rates_of_counts(name, *known)[..., classes] for name in ("true_positive_rate", "false_positive_rate")]
    return np.moveaxis(np.concatenate(rates, axis=-1), 1, -1)


def odds_rows(table: Table, arm: int) -> FloatArray:
    """Rows behind the rates of `odds`, [2 classes, g]."""
    truths = np.moveaxis(table.observed(arm)[0][0, : len(table.groups.labels)], 0, -1)
    negatives = truths.sum(axis=0) - truths
    if table.positive is not None:
        truths, negatives = (part[table.positive : table.positive + 1] for part in (truths, negatives))
    return np.concatenate([truths, negatives])


def odds_gaps(table: Table, arm: int = 0) -> FloatArray:
    """Observed gaps over groups, true positive rates of every class first, [1, 2 classes]."""
    rates = group_odds(table.observed(arm), table)
    return Extremes.of(rates[0]).gaps(rates)
