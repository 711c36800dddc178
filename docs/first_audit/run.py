"""Audit real input and write docs/first-audit.md with the figures that come out.

    FAIRVL_REALDATA=... python docs/first_audit/run.py

Stores, the emoji model and HTML reports go to --work (default build/first-audit); a model that is there is used again.
Nothing of the data is written outside --work: the page and findings.json hold aggregates only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1] / "train"))

import page  # noqa: E402
from emoji_clip import Recipe, train  # noqa: E402
from measured import TONES, emoji_audit, face_audits, scene_audit, text_audit  # noqa: E402

from fairvl import Findings, report  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "first-audit")
    parser.add_argument("--page", type=Path, default=HERE.parent / "first-audit.md")
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        parser.error("no data: set FAIRVL_REALDATA or give --data")
    data, work = Path(arguments.data), arguments.work
    for name in ("classes", "scenes", "emoji-clip-vectors", "emoji-untrained-vectors"):
        shutil.rmtree(work / name, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    model, untrained = work / "emoji-clip", work / "emoji-untrained"
    seconds: dict[str, float] = {}

    def timed(name: str, function: Any, *given: Any) -> Any:
        start = time.perf_counter()
        result = function(*given)
        seconds[name] = time.perf_counter() - start
        print(f"{name}: {seconds[name]:.0f} s", file=sys.stderr)
        return result

    texts = timed("texts", text_audit, data, work)
    faces = timed("faces", face_audits, data)
    scenes, _ = timed("scenes", scene_audit, data, work)
    if not (model / "open_clip_config.json").is_file():
        train(data, model, Recipe())
    train(data, untrained, Recipe(steps=0))
    emoji, concepts = timed("emoji", emoji_audit, data, work, model)
    untaught = timed("emoji, untrained", emoji_audit, data, work, untrained)
    training = json.loads((model / "training.json").read_text(encoding="utf-8"))

    parts = {"texts": texts, "scenes": scenes, "emoji": emoji, **faces}
    for name, found in parts.items():
        found.write(work / f"{name}.json")
        report(found, work / f"{name}.html")
    kept = [row for found in faces.values() for row in found if row.attribute.count("&") < 2]
    kept = [row for row in kept if row.metric in ("accuracy", "accuracy_gap", "worst_group_accuracy")]
    tables = (texts, scenes, emoji, concepts, *(found.with_columns(model="untrained") for found in untaught))
    kept += [row for found in tables for row in found if "query" not in row.extra]
    Findings(kept).write(HERE / "findings.csv")
    arguments.page.write_text(
        page.write(texts, faces, scenes, (emoji, concepts), untaught, training, seconds, TONES), encoding="utf-8"
    )
    print(f"wrote {arguments.page}; reports in {work}", file=sys.stderr)


if __name__ == "__main__":
    main()
