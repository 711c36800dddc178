"""Demos: each capability's whole experiment on the built-in world, in minutes on two cores, without a download."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ...errors import InputError
from ...findings import Findings
from .audit import audit_demo
from .augment import augment_demo
from .dedup import dedup_demo
from .pretrain import pretrain_demo
from .study import study_demo
from .text_to_image import text_to_image_demo

DEMOS = {
    "audit": audit_demo,
    "augment": augment_demo,
    "dedup": dedup_demo,
    "pretrain": pretrain_demo,
    "study": study_demo,
    "text-to-image": text_to_image_demo,
}


def demo(name: str = "audit", out: Path | str | None = None, *, seed: int = 0) -> Findings:
    """Run a demo; what it makes beside its findings (operators, for example) goes to the folder `out` when given.

    Raises
    ------
    InputError
        No demo of that name.
    """
    if name not in DEMOS:
        near = get_close_matches(name, DEMOS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"no demo {name!r}; expected one of {sorted(DEMOS)}.{hint}")
    return DEMOS[name](Path(out) if out is not None else None, seed=seed)
