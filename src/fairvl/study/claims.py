"""Claims checker: which printed numbers follow from the cells that were printed beside them.

A claim is a small fact file entry: what it says (in our words), the printed number, how many decimals it has, and a
recipe that recomputes it from evidence: cells, correlations, coefficients, the list of models. Three verdicts:
``recomputed``, ``differs`` (both numbers are shown), ``not recomputable (rows unpublished)``; a claim whose evidence
was not given is ``not checked (evidence missing)``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import InputError, SourceError
from ..findings import Finding, Findings, Scalar
from .catalogue import CatalogueEntry, catalogue_models
from .cells import (
    Cell,
    Coefficient,
    CorrelationCell,
    pool,
    read_cells,
    read_coefficients,
    read_correlations,
    reduction,
    significant,
)

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
class Evidence:
    """What claims are checked against; an empty part leaves its claims unchecked.

    Parameters
    ----------
    cells, old_cells : tuple of Cell
        Effect sizes by topic and order, with the study's stimuli and with those it replaced.
    correlations : tuple of CorrelationCell
    coefficients : tuple of Coefficient
    models : tuple of CatalogueEntry
        The models of the study, as far as they are known.
    """

    cells: tuple[Cell, ...] = ()
    old_cells: tuple[Cell, ...] = ()
    correlations: tuple[CorrelationCell, ...] = ()
    coefficients: tuple[Coefficient, ...] = ()
    models: tuple[CatalogueEntry, ...] = ()


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


Recipe: TypeAlias = Callable[..., tuple[float, int]]


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
    >>> cells = (Cell("Age", "text-text", 0.5, 0.1, 3), Cell("Race", "text-text", -0.5, 0.1, 3))
    >>> claims = [Claim("up", "cells above 0", 1, 0, recipe="positive_cells"), Claim("rows", "", 7, 0, recipe="rows")]
    >>> [(checked.verdict, checked.value) for checked in check_claims(claims, Evidence(cells))]
    [('recomputed', 1.0), ('differs', 6.0)]
    """
    return tuple(_check(claim, evidence) for claim in claims)


def _check(claim: Claim, evidence: Evidence) -> CheckedClaim:
    if not claim.recipe:
        return CheckedClaim(claim, UNPUBLISHED)
    if claim.recipe not in _RECIPES:
        raise InputError(f"claim {claim.id!r}: recipe {claim.recipe!r}; expected one of {', '.join(sorted(_RECIPES))}.")
    needs, recipe = _RECIPES[claim.recipe]
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


def _cells_of(evidence: Evidence, which: str) -> tuple[Cell, ...]:
    return evidence.old_cells if which == "old" else evidence.cells


def _rows(evidence: Evidence) -> tuple[float, int]:
    return sum(cell.n for cell in evidence.cells), len(evidence.cells)


def _models(evidence: Evidence) -> tuple[float, int]:
    return min(cell.n for cell in evidence.cells), len(evidence.cells)


def _tests(evidence: Evidence) -> tuple[float, int]:
    return sum(cell.n for cell in evidence.cells) / min(cell.n for cell in evidence.cells), len(evidence.cells)


def _cells(evidence: Evidence) -> tuple[float, int]:
    return len(evidence.cells), len(evidence.cells)


def _positive_cells(evidence: Evidence) -> tuple[float, int]:
    return sum(cell.mean > 0 for cell in evidence.cells), len(evidence.cells)


def _mean(evidence: Evidence, *, topic: str | None = None, order: str | None = None) -> tuple[float, int]:
    pooled = pool(evidence.cells, topic=topic, order=order)
    return pooled.mean, pooled.n


def _sd(evidence: Evidence, *, topic: str | None = None, order: str | None = None) -> tuple[float, int]:
    pooled = pool(evidence.cells, topic=topic, order=order)
    return pooled.sd, pooled.n


def _variance(evidence: Evidence, *, which: str = "new", order: str | None = None) -> tuple[float, int]:
    pooled = pool(_cells_of(evidence, which), order=order)
    return pooled.variance, pooled.n


def _reduction(evidence: Evidence, *, order: str | None = None) -> tuple[float, int]:
    """In percent."""
    return 100 * reduction(evidence.old_cells, evidence.cells, order=order), pool(evidence.cells, order=order).n


def _correlation(evidence: Evidence, *, topic: str, order: str) -> tuple[float, int]:
    found = [cell for cell in evidence.correlations if (cell.topic, cell.order) == (topic, order)]
    if not found:
        raise InputError(f"no correlation of {topic} in order {order}; expected that cell in the evidence.")
    return found[0].r, found[0].n


def _mean_correlation(evidence: Evidence, *, topic: str) -> tuple[float, int]:
    found = [cell.r for cell in evidence.correlations if cell.topic == topic]
    if not found:
        raise InputError(f"no correlation of {topic}; expected its cells in the evidence.")
    return math.fsum(found) / len(found), len(found)


def _stars(
    evidence: Evidence,
    *,
    topics: Sequence[str] = (),
    sign: str = "",
    low: float = 0.0,
    high: float = 1.0,
) -> tuple[float, int]:
    """Printed stars among cells: of some topics, of one sign, with r (not its size, given a sign) in a range."""
    chosen = [cell for cell in evidence.correlations if not topics or cell.topic in topics]
    starred = [cell for cell in chosen if cell.starred and (not sign or (cell.r < 0) == (sign == "negative"))]
    return sum(low <= abs(cell.r) <= high for cell in starred), len(chosen)


def _significant(evidence: Evidence, *, correction: str = "none", n: int | None = None) -> tuple[float, int]:
    cells = evidence.correlations
    return int(significant(cells, n=n, correction=correction).sum()), len(cells)  # type: ignore[arg-type]


def _term(evidence: Evidence, term: str) -> Coefficient:
    found = [c for c in evidence.coefficients if c.term == term]
    if not found:
        raise InputError(f"no term {term!r}; expected it among the printed coefficients.")
    return found[0]


def _wald_p(evidence: Evidence, *, term: str) -> tuple[float, int]:
    from scipy.special import ndtr

    found = _term(evidence, term)
    return 2 * float(ndtr(-abs(found.estimate / found.standard_error))), len(evidence.coefficients)


def _significant_terms(evidence: Evidence, *, prefix: str, alpha: float = 0.05) -> tuple[float, int]:
    """Terms whose printed p is below alpha."""
    terms = [c for c in evidence.coefficients if c.term.startswith(prefix)]
    return sum(c.p < alpha for c in terms), len(terms)


def _consistent_z(evidence: Evidence, *, decimals: int = 3) -> tuple[float, int]:
    """Terms whose printed z can be the ratio of numbers that round to the printed coefficient and standard error."""
    half, count, terms = 0.5 * 10.0**-decimals, 0, [c for c in evidence.coefficients if math.isfinite(c.z)]
    for c in terms:
        ratios = [
            (c.estimate + a) / (c.standard_error + b)
            for a in (-half, half)
            for b in (-half, half)
            if c.standard_error + b > 0
        ]
        count += min(ratios) - half <= c.z <= max(ratios) + half
    return count, len(terms)


def _distinct(evidence: Evidence, *, column: str) -> tuple[float, int]:
    return len({getattr(entry, column) for entry in evidence.models}), len(evidence.models)


def _with(evidence: Evidence, *, column: str, value: Any) -> tuple[float, int]:
    return sum(getattr(entry, column) == value for entry in evidence.models), len(evidence.models)


def _extreme(evidence: Evidence, *, column: str, which: str) -> tuple[float, int]:
    values = [getattr(entry, column) for entry in evidence.models]
    return (min if which == "smallest" else max)(values), len(values)


_RECIPES: dict[str, tuple[tuple[str, ...], Recipe]] = {
    "rows": (("cells",), _rows),
    "models": (("cells",), _models),
    "tests": (("cells",), _tests),
    "cells": (("cells",), _cells),
    "positive_cells": (("cells",), _positive_cells),
    "mean": (("cells",), _mean),
    "sd": (("cells",), _sd),
    "variance": (("cells", "old_cells"), _variance),
    "reduction": (("cells", "old_cells"), _reduction),
    "correlation": (("correlations",), _correlation),
    "mean_correlation": (("correlations",), _mean_correlation),
    "stars": (("correlations",), _stars),
    "significant_correlations": (("correlations",), _significant),
    "wald_p": (("coefficients",), _wald_p),
    "significant_terms": (("coefficients",), _significant_terms),
    "consistent_z": (("coefficients",), _consistent_z),
    "distinct": (("models",), _distinct),
    "with": (("models",), _with),
    "extreme": (("models",), _extreme),
}
