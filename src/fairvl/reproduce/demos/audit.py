"""The main job: audit an encoder, repair it, prove the repair, with a random operator of equal rank as the control."""

from __future__ import annotations

from pathlib import Path

from ...findings import Findings
from ...measure.audit import audit
from ...repair.debias import debias
from ...sources.encoders import load_encoder

ATTRIBUTE = "gender"
CONTROL = "random (control)"


def audit_demo(out: Path | None, *, seed: int) -> Findings:
    """The core suite on stored vectors of ``world:clip``, before and after two closed-form repairs and the control."""
    encoder = load_encoder("world:vectors")
    repairs = {
        "orthogonal": debias(encoder, attribute=ATTRIBUTE, method="orthogonal"),
        "calibrated": debias(encoder, attribute=ATTRIBUTE, method="calibrated"),
        CONTROL: debias(encoder, attribute=ATTRIBUTE, method="random", seed=seed),
    }
    if out is not None:
        for method in ("orthogonal", "calibrated"):
            repairs[method].save(out / f"{ATTRIBUTE}-{method}.safetensors")
    return audit(encoder, operator=repairs, seed=seed)
