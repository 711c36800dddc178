"""Claims checker: which printed numbers follow from the cells that were printed beside them.

A claim is a small fact file entry: what it says (in our words), the printed number, how many decimals it has, and a
recipe that recomputes it from evidence: cells, correlations, coefficients, the list of models. Three verdicts:
``recomputed``, ``differs`` (both numbers are shown), ``not recomputable (rows unpublished)``; a claim whose evidence
was not given is ``not checked (evidence missing)``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import InputError, SourceError
from ..findings import Finding, Findings, Scalar
from .catalogue import catalogue_models
from .cells import read_cells, read_coefficients, read_correlations
from .recipes import RECIPES, Evidence

__all__ = [
    "DIFFERS", "RECOMPUTED", "UNCHECKED", "UNPUBLISHED", "VERDICTS", "CheckedClaim", "Claim", "Evidence",
    "check_claims", "check_published", "claim_findings", "load_claims", "read_evidence",
]  # fmt: skip

RECOMPUTED, DIFFERS = "recomputed", "differs"
UNPUBLISHED, UNCHECKED = "not recomputable (rows unpublished)", "not checked (evidence missing)"
VERDICTS = (RECOMPUTED, DIFFERS, UNPUBLISHED, UNCHECKED)
FILES = {
    "cells": "paper_cells_nrc_oasis.csv",
    "old_cells": "paper_cells_seat_ieat.csv",
    "correlations": "paper_correlations_vtabplus.csv",
    "coefficients": "paper_mixedlm_table.csv",
}


@dataclass(frozen=True)
class Claim:
    """One printed number.

    Parameters
    ----------
    id, text, source : str
        Short name, what it says in our words, and where it stands.
    printed : float
        The number as printed (a percentage as a number of percent).
    decimals : int
        Decimals printed: a recomputed number that rounds to the printed one agrees.
    unit : str
    recipe : str
        Name of a recipe; empty when only unpublished rows could tell.
    arguments : mapping
        What the recipe is told.
    tolerance : float, optional
        Largest difference that counts as agreement, where the evidence itself is rounded.
    note : str
    """

    id: str
    text: str
    printed: float
    decimals: int
    unit: str = "count"
    source: str = ""
    recipe: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float | None = None
    note: str = ""

    @property
    def reach(self) -> float:
        """Largest difference from the printed number that counts as agreement."""
        return 0.5 * 10.0**-self.decimals if self.tolerance is None else self.tolerance


@dataclass(frozen=True)
class CheckedClaim:
    """A claim, its verdict, the number found instead (NaN when there is none), and what that rests on."""

    claim: Claim
    verdict: str
    value: float = math.nan
    n: int = 0


def check_claims(claims: Iterable[Claim], evidence: Evidence) -> tuple[CheckedClaim, ...]:
    """Verdict on every claim.

    Parameters
    ----------
    claims : iterable of Claim
        For example `load_claims`.
    evidence : Evidence
        For example `read_evidence`.

    Returns
    -------
    tuple of CheckedClaim
        In the order of the claims.

    Raises
    ------
    InputError
        For a recipe that does not exist, or a topic, order or term that the evidence lacks.

    Examples
    --------
    >>> from fairvl.study.cells import Cell
    >>> cells = (Cell("Age", "text-text", 0.5, 0.1, 3), Cell("Race", "text-text", -0.5, 0.1, 3))
    >>> claims = [Claim("up", "cells above 0", 1, 0, recipe="positive_cells"), Claim("rows", "", 7, 0, recipe="rows")]
    >>> [(checked.verdict, checked.value) for checked in check_claims(claims, Evidence(cells))]
    [('recomputed', 1.0), ('differs', 6.0)]
    """
    return tuple(_check(claim, evidence) for claim in claims)


def _check(claim: Claim, evidence: Evidence) -> CheckedClaim:
    if not claim.recipe:
        return CheckedClaim(claim, UNPUBLISHED)
    if claim.recipe not in RECIPES:
        raise InputError(f"claim {claim.id!r}: recipe {claim.recipe!r}; expected one of {', '.join(sorted(RECIPES))}.")
    needs, recipe = RECIPES[claim.recipe]
    if not all(getattr(evidence, name) for name in needs):
        return CheckedClaim(claim, UNCHECKED)
    try:
        value, n = recipe(evidence, **claim.arguments)
    except TypeError as error:
        raise InputError(f"claim {claim.id!r}: arguments of {claim.recipe}: {error}.") from None
    agrees = abs(value - claim.printed) <= claim.reach * (1 + 1e-9)
    return CheckedClaim(claim, RECOMPUTED if agrees else DIFFERS, float(value), n)


def claim_findings(checked: Iterable[CheckedClaim]) -> Findings:
    """One Finding per claim: metric "claim", the recomputed value, and the printed one beside it.

    Extra columns: `claim`, `statement`, `printed`, `decimals`, `verdict`, `published_in`. An interval does not apply: a
    claim is arithmetic on printed numbers.
    """
    rows = []
    for item in checked:
        claim = item.claim
        extra: dict[str, Scalar] = {
            "claim": claim.id,
            "statement": claim.text,
            "printed": claim.printed,
            "decimals": claim.decimals,
            "verdict": item.verdict,
            "published_in": claim.source,
        }
        note = "; ".join(text for text in (item.verdict, claim.note) if text)
        rows.append(Finding("claim", item.value, claim.unit, item.n, method="arithmetic", note=note, extra=extra))
    return Findings(rows)


def load_claims(name: Path | str = "ghate-2025") -> tuple[Claim, ...]:
    """Claims of a fact file: a built-in name, or a path to a TOML file of the same form.

    Raises
    ------
    SourceError
        When there is no such file or a claim is malformed.

    Examples
    --------
    >>> [claim.printed for claim in load_claims() if claim.id == "rows"]
    [3406.0]
    """
    folder = files(__package__) / "published"
    if str(name).endswith(".toml"):
        if not Path(name).is_file():
            raise SourceError(f"{name}: no such file; expected a TOML file of claims.")
        text = Path(name).read_text(encoding="utf-8")
    else:
        known = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
        if name not in known:
            raise SourceError(
                f"no built-in claims {str(name)!r}; expected one of {known}, or the path of a .toml file."
            )
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
    try:
        document = tomllib.loads(text)
        claims = tuple(Claim(**(row | {"printed": float(row["printed"])})) for row in document["claim"])
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError) as error:
        raise SourceError(
            f"{name}: malformed claims ({type(error).__name__}: {error}); expected [[claim]] tables with id, text, "
            "printed, decimals, and recipe with arguments where one exists."
        ) from None
    if len({claim.id for claim in claims}) < len(claims):
        raise SourceError(f"{name}: a claim id stands there twice; expected each once.")
    return claims


def read_evidence(folder: Path | str) -> Evidence:
    """Evidence on the 131-model study from a folder that holds its tables (`FILES`); an absent table stays empty.

    The models are those of the catalogue that the study's selection rules keep.

    Raises
    ------
    SourceError
        When the folder holds none of the tables, or one is malformed.
    """
    folder = Path(folder)
    paths = {part: folder / name for part, name in FILES.items() if (folder / name).is_file()}
    if not paths:
        raise SourceError(f"{folder}: none of {', '.join(FILES.values())} is there; expected at least one.")
    cells = read_cells(paths["cells"]) if "cells" in paths else ()
    return Evidence(
        cells=cells,
        old_cells=read_cells(paths["old_cells"]) if "old_cells" in paths else (),
        correlations=read_correlations(paths["correlations"], cells=cells) if "correlations" in paths else (),
        coefficients=read_coefficients(paths["coefficients"]) if "coefficients" in paths else (),
        models=catalogue_models(paper_2025=True),
    )


def check_published(folder: Path | str, claims: Path | str = "ghate-2025") -> Findings:
    """Every published number with its verdict, as Findings: `load_claims`, `read_evidence`, `check_claims` in one call.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> table = "term,coef,se,z,p\\nlog_dataset_size,0.062,0.030,2.084,0.037\\n"
    >>> _ = (folder / FILES["coefficients"]).write_text(table)
    >>> check_published(folder).one(claim="dataset-size-p").extra["verdict"]
    'recomputed'
    """
    return claim_findings(check_claims(load_claims(claims), read_evidence(folder)))
