"""Retrieval where an image has several captions: recall in both directions, and whom neutral queries find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.codes import encode
from ...stats.estimate import Estimate
from ...stats.shares import Target, TargetLike, shares
from ..groups import disaggregate_scores
from ..retrieval import hits_at_k


@dataclass(frozen=True, eq=False)
class CaptionHits:
    """Hits at k: `to_image` one per caption, `to_text` one per image (NaN for an image without a caption)."""

    to_image: NDArray[np.float64]
    to_text: NDArray[np.float64]
    k: int


def caption_retrieval_hits(scores: ArrayLike, image_of_caption: ArrayLike, *, k: int) -> CaptionHits:
    """Hits at k in both directions, for `disaggregate_scores` with ``units=image_of_caption``.

    Parameters
    ----------
    scores
        ``[captions, images]``, higher retrieved first.
    image_of_caption
        ``int [captions]``: the image that each caption was written about. A caption has one right image, an image as
        many right captions as it has (one of them among the first k is a hit).
    k
        Places looked at; ties share them in expectation (`fairvl.measure.retrieval.hits_at_k`).

    Examples
    --------
    >>> hits = caption_retrieval_hits([[0.9, 0.1], [0.2, 0.3], [0.1, 0.8]], [0, 0, 1], k=1)
    >>> hits.to_image.tolist(), hits.to_text.tolist()
    ([1.0, 0.0, 1.0], [1.0, 1.0])
    """
    table, owner = np.asarray(scores), np.asarray(image_of_caption)
    if table.ndim != 2 or owner.shape != table.shape[:1] or owner.dtype.kind not in "iu":
        raise InputError(
            f"scores {table.shape}, image_of_caption {owner.shape} of {owner.dtype}; expected [captions, images] and "
            "the number of the image of each caption."
        )
    to_image = hits_at_k(table, owner, k=k)  # checks the numbers too
    own = owner[None, :] == np.arange(table.shape[1])[:, None]
    return CaptionHits(to_image, hits_at_k(np.ascontiguousarray(table.T), own, k=k), k)


@dataclass(frozen=True, eq=False)
class NeutralShares:
    """Whom queries that name no group retrieve first.

    `by_group` holds the share of the first results per group (items without a group under "(missing)"), `target` the
    share that it is held against, `excess` the first minus the second with its interval. `queries` is the number of
    neutral queries.
    """

    by_group: Mapping[str, Estimate]
    target: Mapping[str, float]
    excess: Mapping[str, Estimate]
    queries: int


def neutral_query_shares(
    scores: ArrayLike,
    item_groups: Any,
    *,
    neutral: ArrayLike | None = None,
    units: ArrayLike | None = None,
    target: TargetLike = "population",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> NeutralShares:
    """Share of each group among the first results of neutral queries.

    Parameters
    ----------
    scores
        ``[queries, items]``; pass the transpose for the other direction (images that ask for captions).
    item_groups
        ``[items]`` group of each item, None where it has none; such items can be retrieved and are counted.
    neutral
        ``[queries]`` booleans: which queries name no group (`caption_group` gives "neutral"); all when None.
    units
        ``[queries]`` labels of queries that are resampled together (captions of one image).
    target
        What the shares are held against: the items ("population"), "uniform" over groups, or given shares. The
        population's shares run over all items, those without a group too.
    n_boot, level, seed
        Percentile bootstrap over queries or units.

    Notes
    -----
    Items that tie for the first place share it.

    Examples
    --------
    >>> found = neutral_query_shares([[0.9, 0.1, 0.2], [0.8, 0.1, 0.3]], ["m", "f", "n"], n_boot=0)
    >>> {group: share.value for group, share in found.by_group.items()}, round(found.target["m"], 2)
    ({'f': 0.0, 'm': 1.0, 'n': 0.0}, 0.33)
    """
    table = np.asarray(scores)
    asked = np.ones(len(table), dtype=bool) if neutral is None else np.asarray(neutral)
    codes = encode(item_groups, name="item_groups")
    if table.ndim != 2 or table.shape[1] != len(codes) or not np.isfinite(table).all():
        raise InputError(f"scores {table.shape} for {len(codes)} items; expected finite numbers [queries, items].")
    if asked.dtype != np.bool_ or asked.shape != table.shape[:1] or not asked.any():
        raise InputError(f"neutral of shape {asked.shape}; expected a boolean per query, at least one True.")
    goal = Target.of(target)
    shown = codes.reported()
    first = table[asked] == table[asked].max(axis=1, keepdims=True)
    weight = first / first.sum(axis=1, keepdims=True)
    held = shares(shown) if goal.kind == "population" else goal.shares(codes)
    held = np.append(held, np.zeros(len(shown.labels) - len(held)))
    own = None if units is None else np.asarray(units)[asked]
    everyone = ["(all)"] * int(asked.sum())
    by_group, excess = {}, {}
    for place, label in enumerate(shown.labels):
        column = weight[:, shown.codes == place].sum(axis=1)
        frame = disaggregate_scores(column, everyone, units=own, n_boot=n_boot, level=level, seed=seed)
        share = frame.by_group["(all)"]
        by_group[label] = share
        above = float(held[place])
        excess[label] = Estimate(
            share.value - above, share.low - above, share.high - above, share.n, level, share.method, share.note
        )
    freeze = MappingProxyType
    names = dict(zip(shown.labels, held.tolist(), strict=True))
    return NeutralShares(freeze(by_group), freeze(names), freeze(excess), int(asked.sum()))
