"""Which property of a model goes with its bias: 48 small CLIPs with bias planted in their data, swept and studied."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from ...atomic import write_atomic
from ...findings import Findings
from ...sources.world.population import FOLDER, MODELS, PERFORMANCE
from ...study import study
from ...study.sweep import read_models, sweep

SUITE = "world-eat"


def study_demo(out: Path | None, *, seed: int) -> Findings:
    """Association tests of every shipped model, and the study of what explains them.

    The captions of three dataset families call people with light skin pleasant at strength 0, 0.4 and 0.8; filter,
    architecture and size have no part in it, and the more biased a family is, the more careless it is with other
    facts. A right study ranks the family first and finds bias to go with lower accuracy. `out` gets the folder
    ``sweep`` and ``performance.csv``, which ``fairvl study`` takes.
    """
    with TemporaryDirectory() as folder:
        swept = sweep(read_models(FOLDER / MODELS), folder, suite=SUITE, seed=seed)
    if out is not None:
        (out / "sweep").mkdir(parents=True, exist_ok=True)
        swept.write(out / "sweep" / "findings.json")
        write_atomic(out / "sweep" / MODELS, (FOLDER / MODELS).read_bytes())
        write_atomic(out / PERFORMANCE, (FOLDER / PERFORMANCE).read_bytes())
    return study(swept, models=FOLDER / MODELS, performance=FOLDER / PERFORMANCE, seed=seed)
