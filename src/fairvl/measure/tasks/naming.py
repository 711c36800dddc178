"""Captions that name a group: how often the wrong one, and women to men against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...stats.cells import FloatArray, Resampling, bootstrap, tabulate
from ...stats.codes import encode
from ...stats.estimate import Estimate
from ...stats.rates import divide


@dataclass(frozen=True, eq=False)
class Naming:
    """Groups named by generated captions.

    Attributes
    ----------
    error : Estimate
        Share of images whose caption names the wrong group, of all images.
    error_when_named : Estimate
        The same, of the images whose caption names one of the two groups.
    ratio, true_ratio : Estimate
        Captions of the first group per caption of the second, and the ratio of the images; NaN where the second has
        none.
    log_ratio_change : Estimate
        Natural logarithm of `ratio` over `true_ratio`: 0 says that the captioner keeps the ratio.
    unnamed, several : Estimate
        Share of captions that name no group (or only a neutral person), and that name both: never counted as wrong.
    """

    error: Estimate
    error_when_named: Estimate
    ratio: Estimate
    true_ratio: Estimate
    log_ratio_change: Estimate
    unnamed: Estimate
    several: Estimate
    groups: tuple[str, str]


def naming_errors(
    named: Sequence[str | None],
    truth: Sequence[Any],
    *,
    groups: tuple[str, str] = ("female", "male"),
    several: str = "mixed",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Naming:
    """Wrong-group share and ratio of two groups in captions.

    Parameters
    ----------
    named
        ``[n]`` group that each generated caption names (`caption_group`, with any lexicon); what is not one of
        `groups` counts as unnamed, `several` as naming both.
    truth
        ``[n]`` group of each image, one of `groups`.
    n_boot, level, seed
        Percentile bootstrap over images, by cell counts.

    References
    ----------
    Hendricks et al. (2018), "Women also snowboard: overcoming bias in captioning models", ECCV, section 4: error rate
    and gender ratio.

    Examples
    --------
    >>> found = naming_errors(["female", "male", "male", "neutral"], ["female", "female", "male", "male"], n_boot=0)
    >>> found.error.value, found.ratio.value, found.true_ratio.value, found.unnamed.value
    (0.25, 0.5, 1.0, 0.25)
    """
    if len(groups) != 2 or groups[0] == groups[1] or several in groups:
        raise InputError(f"groups={groups}; expected two different groups, neither of them {several!r}.")
    if len(named) != len(truth) or not len(truth):
        raise InputError(f"{len(named)} captions and {len(truth)} images; expected one caption per image.")
    gold = encode(list(truth), name="truth", expected=groups)
    if gold.n_missing:
        raise InputError(f"truth: {gold.n_missing} images have no group; leave them out.")
    place = {groups[0]: 0, groups[1]: 1, several: 2}
    said = np.array([place.get(str(group), 3) for group in named], dtype=np.int64)
    cells = tabulate(gold.codes, said, shape=(2, 4))
    at = cells.coordinates

    def statistic(counts: FloatArray) -> FloatArray:
        grid = np.zeros((len(counts), 2, 4))
        grid[:, at[:, 0], at[:, 1]] = counts
        total, images, words = grid.sum(axis=(1, 2)), grid.sum(axis=2), grid.sum(axis=1)
        wrong = grid[:, 0, 1] + grid[:, 1, 0]
        ratio, true = divide(words[:, 0], words[:, 1]), divide(images[:, 0], images[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.log(ratio) - np.log(true)
        change[~np.isfinite(change)] = np.nan
        named_one = words[:, 0] + words[:, 1]
        return np.column_stack(
            [wrong / total, divide(wrong, named_one), ratio, true, change, words[:, 3] / total, words[:, 2] / total]
        )

    made = bootstrap(cells, statistic, Resampling(n_boot, level, seed))
    n, spoken = cells.n, int((said < 2).sum())
    sizes = (n, spoken, spoken, n, spoken, n, n)
    notes = ("", "", f"no caption names {groups[1]}", f"no image is {groups[1]}", "a group is never named", "", "")
    values = [
        made.estimate(i, size, note if np.isnan(made.observed[i]) else "")
        for i, (size, note) in enumerate(zip(sizes, notes, strict=True))
    ]
    error, when, ratio, true, change, unnamed, both = values
    return Naming(error, when, ratio, true, change, unnamed, both, groups)
