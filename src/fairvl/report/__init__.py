"""How people see findings: one self-contained HTML file, and a gate with thresholds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from .check import CheckResult, Rule, RuleResult, check
from .page import Source, report

__all__ = ["CheckResult", "Rule", "RuleResult", "check", "report"]


class _CallableModule(ModuleType):
    """`fairvl.report` is this package and also the verb; importing a submodule must not hide the verb."""

    def __call__(
        self,
        findings: Source | Sequence[Source],
        out: Path | str,
        *,
        title: str | None = None,
        names: Sequence[str] | None = None,
        sheets: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> Path:
        return report(findings, out, title=title, names=names, sheets=sheets)


sys.modules[__name__].__class__ = _CallableModule
