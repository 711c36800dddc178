"""The catalogue's entries, and the covariates of a model by its name."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias

from ...errors import InputError
from .families import FamilyRule, architecture_family, dataset_family

Filtering: TypeAlias = Literal["none", "text rules", "CLIP score", "learned filter", "unknown"]
FILTERINGS: tuple[Filtering, ...] = ("none", "text rules", "CLIP score", "learned filter", "unknown")
COVARIATES = (
    "model",
    "dataset",
    "dataset_family",
    "dataset_size",
    "filtering",
    "architecture",
    "architecture_family",
    "params_m",
)
PREFIX = "open_clip:"


@dataclass(frozen=True)
class CatalogueEntry:
    """One set of weights and what is known of how it was made.

    Parameters
    ----------
    model : str
        Stable id, ``open_clip:ARCHITECTURE/TAG``: the encoder's name where open_clip has the tag (`loadable`).
    architecture, pretrained : str
        open_clip's name of the architecture, and the tag (or the name of the checkpoint).
    dataset, dataset_family, dataset_family_paper : str
        What the weights were trained on; its family by the corrected rule and by the published study's.
    dataset_size, pool_size : float
        Image-text pairs after filtering, and before; NaN where no source states it.
    filtering, filtering_source, note : str
        How the pairs were chosen (one of `FILTERINGS`), who says so, and what the one word leaves out.
    architecture_family, image_tower : str
        Family by rule; ``"transformer"``, ``"convolution"`` or ``"hybrid"``.
    params_m : float
        Parameters in millions, both towers.
    source : str
        Which list the weights come from.
    paper_2025 : bool
        Whether the selection rules of the 131-model study keep it (127 do; four of its models are unknown).
    """

    model: str
    architecture: str
    pretrained: str
    dataset: str
    dataset_family: str
    dataset_family_paper: str
    dataset_size: float
    pool_size: float
    filtering: str
    filtering_source: str
    note: str
    architecture_family: str
    image_tower: str
    params_m: float
    source: str
    paper_2025: bool

    @property
    def loadable(self) -> bool:
        """Whether open_clip lists the tag, so that `load_encoder(entry.model)` can fetch the weights."""
        return self.source.startswith("open_clip")

    def covariates(self, rule: FamilyRule = "corrected") -> dict[str, str | float]:
        """The columns of a study's model table."""
        row: dict[str, str | float] = {name: getattr(self, name) for name in COVARIATES}
        return row | {"dataset_family": dataset_family(self.dataset, rule)}


@cache
def load_catalogue() -> tuple[CatalogueEntry, ...]:
    """Every model of the catalogue, in open_clip's order, then the models of Cherti et al.

    Returns
    -------
    tuple of CatalogueEntry
        One per set of weights: weights that open_clip lists under two names stand here once.

    References
    ----------
    The registry of open_clip 3.3.0 (names, configurations); Cherti et al. (2023), arXiv 2212.07143 (29 checkpoints);
    each entry's `filtering_source` for the data.

    Examples
    --------
    >>> study = [entry for entry in load_catalogue() if entry.paper_2025]
    >>> len(study), len({e.dataset for e in study}), len({e.architecture for e in study})
    (127, 26, 55)
    >>> min(e.params_m for e in study), max(e.params_m for e in study)
    (102.01, 5044.89)
    """
    folder = files(__package__)
    facts = tomllib.loads((folder / "datasets.toml").read_text(encoding="utf-8"))
    text = (folder / "models.csv").read_text(encoding="utf-8")
    return tuple(_entry(row, facts) for row in csv.DictReader(text.splitlines()))


def _entry(row: dict[str, str], facts: dict[str, dict[str, Any]]) -> CatalogueEntry:
    dataset = row["dataset"]
    fact = facts[dataset]
    size = fact.get("pairs", math.nan)
    words = row["pretrained"].split("_")
    # commonpool_m_clip_s128m_b4k: the third word names the filter; the xl subsets are datasets of their own.
    if words[0] == "commonpool" and dataset.count("_") == 1 and words[2] in facts["filtered"]:
        fact = facts["filtered"][words[2]]
        size *= fact["share"]
    return CatalogueEntry(
        model=f"{PREFIX}{row['architecture']}/{row['pretrained']}",
        architecture=row["architecture"],
        pretrained=row["pretrained"],
        dataset=dataset,
        dataset_family=dataset_family(dataset),
        dataset_family_paper=dataset_family(dataset, "paper"),
        dataset_size=float(size),
        pool_size=float(facts[dataset].get("pool", math.nan)),
        filtering=fact["filtering"],
        filtering_source=fact["source"],
        note=_note(row["architecture"], fact.get("note", "")),
        architecture_family=architecture_family(row["architecture"]),
        image_tower=row["image_tower"],
        params_m=float(row["params_m"]),
        source=row["source"],
        paper_2025=row["paper_2025"] == "1",
    )


def _note(architecture: str, note: str) -> str:
    if not architecture.startswith("nllb-clip"):
        return note
    told = "named after its image tower's data, as in the published study; the text tower saw translated captions"
    return f"{told}; {note}" if note else told


def catalogue_models(
    *,
    paper_2025: bool | None = None,
    loadable: bool | None = None,
    dataset_family: str | Iterable[str] | None = None,
    architecture_family: str | Iterable[str] | None = None,
    filtering: str | Iterable[str] | None = None,
    max_params_m: float | None = None,
) -> tuple[CatalogueEntry, ...]:
    """Entries that meet every condition given.

    Parameters
    ----------
    paper_2025, loadable : bool, optional
        Only (or only not) the published study's models; those open_clip can fetch by tag.
    dataset_family, architecture_family, filtering : str or iterable of str, optional
        Allowed values.
    max_params_m : float, optional
        Largest number of parameters, in millions.

    Raises
    ------
    InputError
        When a name occurs nowhere in the catalogue, or nothing meets the conditions.

    Examples
    --------
    >>> small = catalogue_models(dataset_family="commonpool", filtering="none", max_params_m=200)
    >>> [entry.pretrained for entry in small]
    ['commonpool_m_s128m_b4k', 'commonpool_s_s13m_b4k', 'commonpool_l_s1b_b8k']
    """
    chosen = load_catalogue()
    for name, wanted in (("paper_2025", paper_2025), ("loadable", loadable)):
        if wanted is not None:
            chosen = tuple(entry for entry in chosen if getattr(entry, name) is wanted)
    allowed = {"dataset_family": dataset_family, "architecture_family": architecture_family, "filtering": filtering}
    for name, values in allowed.items():
        if values is None:
            continue
        values = {values} if isinstance(values, str) else set(values)
        known = {getattr(entry, name) for entry in load_catalogue()}
        if unknown := sorted(values - known):
            raise InputError(f"{name} {unknown} is not in the catalogue; expected some of {sorted(known)}.")
        chosen = tuple(entry for entry in chosen if getattr(entry, name) in values)
    if max_params_m is not None:
        chosen = tuple(entry for entry in chosen if entry.params_m <= max_params_m)
    if not chosen:
        raise InputError("no model of the catalogue meets all conditions; drop one of them.")
    return chosen


def find_entry(model: str) -> CatalogueEntry | None:
    """The entry of a model by its name, or None.

    The prefix ``open_clip:`` may be absent, "ARCHITECTURE TAG" with a space is read too, and the second name of
    weights that open_clip lists with and without ``-quickgelu`` finds the entry that they have.

    Examples
    --------
    >>> find_entry("RN50-quickgelu openai").dataset, find_entry("my-own-model")
    ('openai_wit', None)
    """
    name = model.strip().removeprefix(PREFIX)
    if "/" not in name:
        name = name.replace(" ", "/", 1)
    architecture, _, tag = name.partition("/")
    other = architecture.removesuffix("-quickgelu")
    other = other if other != architecture else f"{architecture}-quickgelu"
    found = _by_model().get(f"{architecture}/{tag}")
    return found or _by_model().get(f"{other}/{tag}")


@cache
def _by_model() -> dict[str, CatalogueEntry]:
    return {entry.model.removeprefix(PREFIX): entry for entry in load_catalogue()}


def covariates(
    models: Sequence[str], *, rule: FamilyRule = "corrected", missing: Literal["raise", "skip"] = "raise"
) -> list[dict[str, str | float]]:
    """Rows of a study's model table for the given names, under the names as given.

    Parameters
    ----------
    models : sequence of str
        Encoder names.
    rule : {"corrected", "paper"}
        Rule of the dataset families.
    missing : {"raise", "skip"}
        What to do about a model that the catalogue lacks.

    Returns
    -------
    list of dict
        Columns `COVARIATES`; a size that no source states is NaN.

    Raises
    ------
    InputError
        For a model that the catalogue lacks, unless `missing` is "skip".

    Examples
    --------
    >>> covariates(["open_clip:RN50/cc12m"])[0]["dataset_size"]
    12400000.0
    """
    found = {model: find_entry(model) for model in models}
    absent = [model for model, entry in found.items() if entry is None]
    if absent and missing == "raise":
        raise InputError(
            f"{len(absent)} of {len(found)} models are not in the catalogue, the first {absent[0]!r}; expected names "
            "such as 'open_clip:ViT-B-32/laion2b_e16'. Write their covariates into the table of models yourself."
        )
    return [entry.covariates(rule) | {"model": model} for model, entry in found.items() if entry is not None]
