"""What pruning did to whom: representation before and after, and whether the keep list says what it promises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import InputError
from ...findings import Finding, Findings
from ...stats.multiplicity import holm
from ...stats.rates import wilson
from .checks import Tally, share_row
from .concepts import as_scores
from .keeplist import REASONS, KeepList
from .neighbours import Neighbours
from .rows import Floats

MOVED = 0.02  # a change of share by two points is worth a warning


def audit_keep(
    keep: KeepList,
    *,
    labels: Mapping[str, Any] | None = None,
    neighbours: Neighbours | None = None,
    more: Sequence[Finding] = (),
    dataset: str = "",
    level: float = 0.95,
    seed: int = 0,
) -> Findings:
    """Findings about a keep list.

    Parameters
    ----------
    keep : KeepList
    labels : mapping of attribute to labels, GroupCodes or concept scores [n, p], optional
        Whatever representation is looked at: known labels, concept scores, or both.
    neighbours : Neighbours, optional
        The pass that `keep` was chosen from; then the promises and the groups are counted too.
    more : sequence of Finding
        Rows found elsewhere that belong to this audit.

    Returns
    -------
    Findings
        ``representation`` per attribute and group (arms before, after, difference; the difference with a paired test
        of the kept share inside and outside the group, Holm over all), ``kept_share``, ``representation_error``
        (half the sum of absolute differences), ``dropped_without_kept_duplicate``, ``kept_with_kept_duplicate``,
        ``largest_duplicate_group``, ``duplicate_group`` (the ten largest), and ``reason`` counts.

    Notes
    -----
    The rows are what a survey of the source would sample: intervals are those of a source drawn anew. The share
    after is a ratio of two means over the same rows, and so is the difference; both get the delta-method interval
    that keeps their covariance, so before and after are paired.
    """
    n = len(keep)
    rows = [share_row("kept_share", int(keep.kept.sum()), n, level, groups="all rows")]
    rows += [
        share_row("reason", int((keep.reasons == i).sum()), n, level, groups=name) for i, name in enumerate(REASONS)
    ]
    changes: list[tuple[Finding, Finding, Finding]] = []
    for attribute, values in (labels or {}).items():
        found, error = _representation(keep, str(attribute), values, level)
        changes += found
        rows.append(error)
    tested = [difference.p for _, _, difference in changes if difference.p is not None]
    adjusted = iter(holm(tested).tolist() if tested else [])
    for before, after, difference in changes:
        if difference.p is not None:
            difference = _with(difference, p_adjusted=float(next(adjusted)))
        rows += [before, after, difference]
    if neighbours is not None:
        rows += _promises(keep, neighbours, level)
    rows += more
    settings = {
        "name": f"{keep.policy}, {keep.reached:.1%} kept", "policy": keep.policy,
        "threshold": keep.threshold, "requested": keep.requested, "reached": keep.reached,
        **{k: v for k, v in keep.settings.items() if isinstance(v, (str, int, float, bool))},
    }  # fmt: skip
    return Findings(
        (_with(row, dataset=dataset, seed=seed, extra={**row.extra, "repair": keep.policy}) for row in rows), settings
    )


def moved_shares(findings: Findings, *, least: float = MOVED, alpha: float = 0.05) -> str:
    """One line of warning when a group's share changed clearly and by at least `least`, else an empty text."""
    changes = findings.where(metric="representation", arm="difference")
    clear = [r for r in changes if abs(r.value) >= least and r.p_adjusted is not None and r.p_adjusted < alpha]
    if not clear:
        return ""
    most = max(clear, key=lambda row: abs(row.value))
    same = {"metric": "representation", "attribute": most.attribute, "groups": most.groups}
    before, after = (findings.one(arm=arm, **same).value for arm in ("before", "after"))
    return (
        f"warning: the share of {most.groups} ({most.attribute}) went from {before:.1%} to {after:.1%}, p "
        f"{most.p_adjusted:.2g}: too few duplicates are of different groups to choose between. What may help: "
        "--ledger global, fewer --clusters, a lower --threshold (docs/dedup.md, Limits)."
    )


def witnesses(keep: KeepList) -> dict[str, list[Any]]:
    """For every dropped row its id, the id of its witness (None without one), the similarity and the reason."""
    ids = np.arange(len(keep)).astype(object) if keep.ids is None else np.asarray(keep.ids, dtype=object)
    dropped = np.flatnonzero(~keep.kept)
    return {
        "id": ids[dropped].tolist(),
        "witness": [keep.witness_name(row) for row in dropped.tolist()],
        "similarity": [None if math.isnan(s) else s for s in keep.similarity[dropped].tolist()],
        "reason": keep.reason[dropped].tolist(),
    }


def ratio_difference(weight: Floats, inside: Floats, kept: Floats) -> tuple[float, float]:
    """Change of a share from all rows to the kept ones, and its standard error over a source drawn anew.

    The shares are ``mean(inside) / mean(weight)`` before and the same over kept rows after; their influence
    functions are subtracted row by row, so what both share cancels.
    """
    n = len(weight)
    before = inside.sum() / weight.sum()
    after = (inside * kept).sum() / (weight * kept).sum()
    influence = kept * (inside - after * weight) / (weight * kept).mean() - (inside - before * weight) / weight.mean()
    return float(after - before), float(np.sqrt((influence**2).sum()) / n)


def _representation(
    keep: KeepList, attribute: str, values: Any, level: float
) -> tuple[list[tuple[Finding, Finding, Finding]], Finding]:
    from scipy.special import ndtr, ndtri

    scores, names, known = as_scores(values, len(keep))
    weight = known.astype(np.float64)
    kept = keep.kept.astype(np.float64)
    z = float(ndtri((1 + level) / 2))
    n, n_after = int(known.sum()), int((known & keep.kept).sum())
    found = []
    total = 0.0
    for column, name in enumerate(names):
        inside = scores[:, column] * weight
        common: dict[str, Any] = {"groups": name, "attribute": attribute, "pair_id": f"{attribute}:{name}"}
        if not n or not n_after:
            why = "no row with a label" + ("" if not n else " is kept")
            before, after, difference = (
                Finding("representation", math.nan, "share", count, arm=arm, note=why, **common)
                for arm, count in (("before", n), ("after", n_after), ("difference", n))
            )
            found.append((before, after, difference))
            continue
        shares = [inside.sum() / n, (inside * kept).sum() / n_after]
        arms = []
        for arm, share, chosen, count in zip(
            ("before", "after"), shares, (known, known & keep.kept), (n, n_after), strict=True
        ):
            if set(np.unique(scores[:, column]).tolist()) <= {0.0, 1.0}:
                low, high = wilson(inside[chosen].sum(), count, level)
            else:
                half = z * float(inside[chosen].std()) / math.sqrt(count)
                low, high = share - half, share + half
            arms.append(
                Finding(
                    "representation", share, "share", count, low, high, level, "wilson or normal", arm=arm, **common
                )
            )
        change, error = ratio_difference(weight, inside, kept)
        total += abs(change)
        p = float(2 * ndtr(-abs(change) / error)) if error > 0 else 1.0
        difference = Finding(
            "representation", change, "share", n, change - z * error, change + z * error, level, "delta, paired", p,
            arm="difference", **common,
        )  # fmt: skip
        found.append((arms[0], arms[1], difference))
    error_row = Finding(
        "representation_error", total / 2 if n_after else math.nan, "share", n, attribute=attribute,
        note="half the sum of absolute changes of share over the groups; a description of this list, not an estimate",
    )  # fmt: skip
    return found, error_row


def _promises(keep: KeepList, neighbours: Neighbours, level: float) -> list[Finding]:
    if len(neighbours) != len(keep):
        raise InputError(f"a keep list of {len(keep)} rows and a pass over {len(neighbours)}; expected the same rows.")
    tally = Tally()
    tally.add(keep.kept, neighbours, keep.threshold)
    return tally.findings(level, keep.ids)


def _with(row: Finding, **values: Any) -> Finding:
    from dataclasses import replace

    return replace(row, **values)
