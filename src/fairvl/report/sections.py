"""The sections of the report, in reading order."""

from __future__ import annotations

from collections.abc import Callable

from .amplification_section import amplification
from .bias_sections import association, before_after, ranking, trends
from .classifier_sections import classifiers, differences, edits, is_classifier
from .dedup_sections import deduplication
from .figures import Section
from .front_section import front
from .generation_sections import generated, honoured, judge
from .group_sections import by_group, harms, leakage, other, utility
from .pairing import Comparison
from .study_effects import explains
from .study_sections import claims, models, orders, performance, tests, warnings

CLASSIFIERS: tuple[Callable[[Comparison], Section | None], ...] = (classifiers, differences, edits)
MAKERS: tuple[Callable[[Comparison], Section | None], ...] = (
    explains,
    models,
    orders,
    performance,
    tests,
    claims,
    warnings,
    deduplication,
    front,
    before_after,
    generated,
    honoured,
    judge,
    association,
    by_group,
    amplification,
    ranking,
    leakage,
    harms,
    trends,
    utility,
    other,
)


def sections(comparison: Comparison) -> list[Section]:
    """Every section that the findings support; a section without findings is left out."""
    makers = CLASSIFIERS if is_classifier(comparison) else MAKERS  # whose metrics others share
    return [section for make in makers if (section := make(comparison)) is not None]
