"""What every table of findings says about how it was made: settings, versions, sizes of groups."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import __version__
from ...errors import DatasetError
from ...findings import Findings
from ...fingerprints import fingerprint
from .material import MAX_GROUPS
from .suite import Suite


def check_groups(groups: Sequence[str] | None, codes: Mapping[str, Any], numbers: Mapping[str, Any], name: str) -> None:
    """A group column that was asked for by name must not drop out in silence."""
    if lost := [g for g in groups or () if g not in codes and g not in numbers]:
        raise DatasetError(
            f"{name}: no results can be shown by {lost}; expected columns of 2 to {MAX_GROUPS} different labels, or of "
            f"numbers. Columns that hold groups: {sorted([*codes, *numbers])}."
        )


def sizes(codes: Any) -> dict[str, int]:
    sizes = {label: int(count) for label, count in zip(codes.labels, codes.counts, strict=True)}
    return sizes | ({"(missing)": codes.n_missing} if codes.n_missing else {})


def environment() -> dict[str, Any]:
    """Versions and threads, which may move the last digits."""
    import scipy

    return {
        "fairvl": __version__, "python": platform.python_version(), "numpy": np.__version__,
        "scipy": scipy.__version__, "threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }  # fmt: skip


def signed(rows: Sequence[Any], settings: Mapping[str, Any], model: str, dataset: str, suite: Suite | None) -> Findings:
    columns: dict[str, Any] = {"model": model, "dataset": dataset, "config_hash": fingerprint(settings)}
    if suite is not None:
        columns |= {"suite": suite.id, "suite_version": str(suite.version)}
    return Findings(rows, settings).with_columns(**columns)
