"""Downstream performance of open_clip models, read from the result tables that open_clip and CLIP_benchmark publish.

Two scores exist and they are not one scale: open_clip's mean over 38 datasets (classification, retrieval, fairness
sets) and VTAB+, the mean accuracy over 35 zero-shot classification sets. Each table carries the name of its score,
and tables are joined side by side, never end to end.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SourceError
from .catalogue.entries import PREFIX

Floats: TypeAlias = NDArray[np.float64]
BenchmarkScore: TypeAlias = Literal["vtab+", "vtab", "imagenet_robustness"]

ROBUSTNESS = ("imagenetv2", "imagenet-r", "imagenet_sketch", "objectnet", "imagenet-a")
VTAB = (
    "vtab/caltech101", "vtab/cifar100", "vtab/clevr_closest_object_distance", "vtab/clevr_count_all",
    "vtab/diabetic_retinopathy", "vtab/dmlab", "vtab/dsprites_label_orientation", "vtab/dsprites_label_x_position",
    "vtab/dtd", "vtab/eurosat", "vtab/flowers", "vtab/kitti_closest_vehicle_distance", "vtab/pcam", "vtab/pets",
    "vtab/resisc45", "vtab/smallnorb_label_azimuth", "vtab/smallnorb_label_elevation", "vtab/svhn", "sun397",
)  # fmt: skip
VTAB_PLUS = (
    *VTAB, *ROBUSTNESS, "imagenet1k", "vtab/cifar10", "cars", "country211", "fer2013", "fgvc_aircraft", "gtsrb",
    "mnist", "renderedsst2", "stl10", "voc2007",
)  # fmt: skip
SCORES: dict[BenchmarkScore, tuple[str, ...]] = {"vtab+": VTAB_PLUS, "vtab": VTAB, "imagenet_robustness": ROBUSTNESS}


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """One score of many models, with the datasets it is the mean of.

    Parameters
    ----------
    score : str
        Name of the score, for example ``"vtab+"``.
    models : tuple of str
        Stable ids, ``open_clip:ARCHITECTURE/TAG``, each once.
    datasets : tuple of str
    values : (models, datasets) float64 array
        Results as printed, NaN where missing.
    stated : (models,) float64 array
        The score that the table itself prints, NaN where it prints none.
    """

    score: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    values: Floats
    stated: Floats

    def __post_init__(self) -> None:
        if len(set(self.models)) < len(self.models):
            twice = next(model for model in self.models if self.models.count(model) > 1)
            raise InputError(f"{self.score}: model {twice!r} stands there twice; expected each once.")
        for array in (self.values, self.stated):
            array.setflags(write=False)

    @property
    def means(self) -> Floats:
        """Plain mean over the datasets, NaN for a model that lacks one."""
        return np.asarray(self.values.mean(axis=1), dtype=np.float64)

    @property
    def deviation(self) -> float:
        """Largest absolute difference between the stated and the recomputed score, over models that have both."""
        difference = np.abs(self.stated - self.means)
        known = difference[np.isfinite(difference)]
        return float(known.max()) if known.size else math.nan


def read_open_clip_results(path: Path | str) -> ScoreTable:
    """open_clip's table of results: one row per model, a stated mean, one column per dataset.

    Raises
    ------
    SourceError
        When the file is absent or has no column that states a mean ("Average ...").

    Notes
    -----
    The score is named after the table's own heading, for example ``"average of 38"``: tables with other datasets give
    other scores.
    """
    header, rows = _read(path)
    mean = next((i for i, name in enumerate(header) if name.lower().startswith("average")), None)
    if mean is None or header[:2] != ["name", "pretrained"]:
        raise SourceError(
            f"{path}: columns {', '.join(header[:6])}; expected name, pretrained, a column 'Average ...', datasets."
        )
    datasets = tuple(header[mean + 1 :])
    count = re.search(r"on (\d+) datasets", header[mean])
    return ScoreTable(
        f"average of {count[1] if count else len(datasets)}",
        tuple(f"{PREFIX}{row[0]}/{row[1]}" for row in rows),
        datasets,
        np.array([[_number(path, cell) for cell in row[mean + 1 :]] for row in rows]),
        np.array([_number(path, row[mean]) for row in rows]),
    )


def read_clip_benchmark(path: Path | str, score: BenchmarkScore = "vtab+") -> ScoreTable:
    """One aggregate of a CLIP_benchmark table (one row per model and dataset), with the datasets it is made of.

    Parameters
    ----------
    path : path
        CSV with the columns model_fullname (or model and pretrained), dataset (or downstream_dataset) and acc1.
    score : {"vtab+", "vtab", "imagenet_robustness"}
        VTAB+ is the mean of acc1 over 35 zero-shot classification sets, VTAB over its 19 official tasks, robustness
        over five shifted versions of ImageNet.

    Raises
    ------
    SourceError
        When the file is absent, lacks a column, or gives a model two results on one dataset.
    InputError
        For an unknown score.

    References
    ----------
    Schuhmann et al. (2022), arXiv 2210.08402 (VTAB+); Zhai et al. (2019), arXiv 1910.04867 (VTAB).
    """
    if score not in SCORES:
        raise InputError(f"score {score!r}; expected one of {', '.join(SCORES)}.")
    header, rows = _read(path)
    dataset = next((name for name in ("downstream_dataset", "dataset") if name in header), None)
    if dataset is None or "model_fullname" not in header or "acc1" not in header:
        raise SourceError(f"{path}: columns {', '.join(header)}; expected model_fullname, dataset and acc1.")
    at = {name: header.index(name) for name in ("model_fullname", "acc1", dataset)}
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        model = PREFIX + row[at["model_fullname"]].replace(" ", "/", 1)
        results, name = found.setdefault(model, {}), row[at[dataset]]
        if name in results:
            raise SourceError(f"{path}: {model} has two results on {name}; expected one.")
        results[name] = _number(path, row[at["acc1"]])
    needed = SCORES[score]
    return ScoreTable(
        score,
        tuple(found),
        needed,
        np.array([[results.get(name, math.nan) for name in needed] for results in found.values()]),
        np.array([results.get(score, math.nan) for results in found.values()]),
    )


def is_result_table(path: Path | str) -> bool:
    """True for a CSV whose header is that of open_clip's or CLIP_benchmark's result tables."""
    with Path(path).open(newline="", encoding="utf-8", errors="replace") as file:
        header = next(csv.reader(file), [])
    return header[:2] == ["name", "pretrained"] or "model_fullname" in header


def read_performance(path: Path | str) -> dict[str, list[str | float]]:
    """Scores by model id from a published result table, told by its header: open_clip's or CLIP_benchmark's.

    Parameters
    ----------
    path : path
        open_clip's table gives its one mean; a CLIP_benchmark table gives every aggregate of `SCORES` for which some
        model has all datasets.

    Returns
    -------
    dict of str to list
        As `performance_columns` returns it.

    Raises
    ------
    SourceError
        When the file is neither, or no model has a complete score.
    """
    header, _ = _read(path)
    if header[:2] == ["name", "pretrained"]:
        return performance_columns([read_open_clip_results(path)])
    if "model_fullname" not in header:
        raise SourceError(
            f"{path}: columns {', '.join(header[:6])}; expected a result table of open_clip (name, pretrained, "
            "Average ..., datasets) or of CLIP_benchmark (model_fullname, dataset, acc1)."
        )
    tables = [read_clip_benchmark(path, name) for name in SCORES]
    complete = [table for table in tables if np.isfinite(table.means).any()]
    if not complete:
        raise SourceError(f"{path}: no model has all datasets of {' or '.join(SCORES)}; expected one that has.")
    return performance_columns(complete)


def performance_columns(tables: Iterable[ScoreTable], *, models: Sequence[str] = ()) -> dict[str, list[str | float]]:
    """The scores of models side by side, as the `performance` of a study takes them.

    Parameters
    ----------
    tables : iterable of ScoreTable
        Each becomes one column under its own name: scores of different kinds are never put into one column.
    models : sequence of str, optional
        Which models, in which order; by default all that a table knows.

    Returns
    -------
    dict of str to list
        ``"model"`` and one column per score, NaN where a table lacks the model.

    Raises
    ------
    InputError
        When two tables carry the same score, or none is given.

    Examples
    --------
    >>> import numpy as np
    >>> one = ScoreTable("vtab+", ("a",), ("mnist",), np.array([[0.5]]), np.array([0.5]))
    >>> performance_columns([one], models=["a", "b"])
    {'model': ['a', 'b'], 'vtab+': [0.5, nan]}
    """
    tables = list(tables)
    names = [table.score for table in tables]
    if not tables or len(set(names)) < len(names):
        raise InputError(f"scores {names}; expected at least one table, and each score once.")
    chosen = list(models) or list(dict.fromkeys(model for table in tables for model in table.models))
    columns: dict[str, list[str | float]] = {"model": list(chosen)}
    for table in tables:
        known = dict(zip(table.models, table.means.tolist(), strict=True))
        columns[table.score] = [known.get(model, math.nan) for model in chosen]
    return columns


def _read(path: Path | str) -> tuple[list[str], list[list[str]]]:
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path}: no such file; expected a CSV of results.")
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise SourceError(f"{path}: row {i + 2} has {len(row)} cells; expected {len(header)}.")
    return header, rows


def _number(path: Path | str, text: str) -> float:
    try:
        return float(text) if text.strip() else math.nan
    except ValueError:
        raise SourceError(f"{path}: {text!r} is not a number; expected results as numbers.") from None
