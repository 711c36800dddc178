"""Deduplicate real input and write docs/dedup/measured.md with the figures and two small contact sheets.

    FAIRVL_REALDATA=... python docs/dedup/run.py

Stores and keep lists go to --work (default build/dedup). Nothing of the data is written elsewhere but the two sheets,
scaled down, of images whose licences allow it: PAIRS (Fraser and Kiritchenko, CC BY 4.0) and Noto Emoji (OFL 1.1).
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "first_audit"))

from measured import mobilenet  # noqa: E402

import fairvl  # noqa: E402
from fairvl.repair.dedup import dedup, neighbours, promises  # noqa: E402
from fairvl.sources.datasets import decode_image  # noqa: E402
from fairvl.sources.store import EmbeddingStore, write_store  # noqa: E402

POLICIES = ("semdedup", "fairdedup", "fair", "random")
TILE = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "dedup")
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        parser.error("no data: set FAIRVL_REALDATA or give --data")
    data, work = Path(arguments.data), arguments.work
    text = ["# Deduplicating real input", "", "Written by `python docs/dedup/run.py`; do not edit.", ""]
    text += products(data, work) + scenes(data, work) + emoji(data, work)
    (HERE / "measured.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


def products(data: Path, work: Path) -> list[str]:
    vectors = np.load(data / "mobileclip2-product-embeddings" / "embeddings.npz", allow_pickle=False)["image"]
    folder = work / "products"
    if not folder.exists():
        ids = [f"product{i}" for i in range(len(vectors))]
        write_store(folder, ids=ids, image_vectors=vectors, dtype="float32")
    store = EmbeddingStore.open(folder)
    lines = [
        "## 1,454 product photographs, MobileCLIP2",
        "",
        "| threshold | pairs | kept | kept with a kept duplicate | dropped without one |",
        "|---|---|---|---|---|",
    ]
    for threshold in (0.95, 0.90, 0.85):
        found = neighbours(store.image_vectors.read(), threshold=threshold)
        kept = dedup(store, work / f"products-{threshold}", threshold=threshold, clusters=1)
        doubles, orphans = promises(kept.kept, found)
        lines.append(f"| {threshold} | {len(found.pairs())} | {kept.reached:.1%} | {len(doubles)} | {len(orphans)} |")
    return [*lines, ""]


def scenes(data: Path, work: Path) -> list[str]:
    """50 scenes, each with four persons: everything but the person is the same."""
    folder = data / "pairs-images"
    name = f"zip:{folder / 'pairs.zip'}?metadata={folder / 'images.csv'}"
    dataset = fairvl.load_dataset(name)
    store = _embedded(dataset, data, work / "scenes")
    group = np.array([f"{r} {g.replace('man1', 'man')}" for r, g in
                      zip(store.columns("race"), store.columns("gender"), strict=True)])  # fmt: skip
    scenario = store.columns("scenario")
    found = neighbours(store.image_vectors.read(), threshold=0.85).pairs()
    same = (scenario[found[:, 0]] == scenario[found[:, 1]]).mean()
    lines = [
        f"## {len(store)} generated scenes, MobileNet v1",
        "",
        f"Above cosine 0.85 lie {len(found)} pairs; {same:.1%} of them show the same scene with another person.",
        "",
    ]
    lines += _policies(store, work / "scenes-keep", group, (0.5, 0.25))
    kept = dedup(store, work / "scenes-keep" / "fair-0.25", keep=0.25, clusters=1, concepts=group.tolist())
    _sheet(HERE / "scenes.jpg", dataset, store, _groups_of(kept, 5))
    return [*lines, "![Five kept scenes, each with the dropped images that it stands for](scenes.jpg)", "",
            "Each row: what is kept, then what it stands for. "
            "Images: PAIRS, K. Fraser and S. Kiritchenko (2024), CC BY 4.0, scaled down.", ""]  # fmt: skip


def emoji(data: Path, work: Path) -> list[str]:
    """79 concepts, each as man and woman in five skin tones."""
    folder = data / "noto-emoji-72"
    with (folder / "images.csv").open(encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    rows = [row for row in listed if row["gender"] and row["skin_tone"] and "+" not in row["skin_tone"]]
    table = work / "emoji.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    dataset = fairvl.load_dataset(f"zip:{folder / 'png72.zip'}?metadata={table}")
    store = _embedded(dataset, data, work / "emoji")
    tone, concept = store.columns("skin_tone"), store.columns("concept")
    found = neighbours(store.image_vectors.read(), threshold=0.95).pairs()
    same = (concept[found[:, 0]] == concept[found[:, 1]]).mean()
    lines = [
        f"## {len(store)} emoji of persons, MobileNet v1",
        "",
        f"Above cosine 0.95 lie {len(found)} pairs; {same:.1%} of them show the same concept.",
        "",
    ]
    lines += _policies(store, work / "emoji-keep", tone, (0.5, 0.3))
    kept = dedup(store, work / "emoji-keep" / "fair-0.3", keep=0.3, clusters=1, concepts=tone.tolist())
    _sheet(HERE / "emoji.jpg", dataset, store, _groups_of(kept, 5))
    return [*lines, "![Five kept emoji, each with dropped ones that it stands for](emoji.jpg)", "",
            "Images: Noto Emoji, OFL 1.1, scaled."]  # fmt: skip


def _embedded(dataset: Any, data: Path, folder: Path) -> EmbeddingStore:
    return EmbeddingStore.open(folder) if folder.exists() else fairvl.embed(mobilenet(data), dataset, folder, workers=0)


def _policies(store: EmbeddingStore, work: Path, group: np.ndarray[Any, Any], sizes: Sequence[float]) -> list[str]:
    names = sorted(set(group.tolist()))
    head = "| kept | policy | " + " | ".join(names) + " | representation error |"
    lines = [head, "|" + "---|" * (len(names) + 3),
             f"| 100 % | source | {_row(group, np.ones(len(group), bool), names)} | |"]  # fmt: skip
    source = np.array([(group == name).mean() for name in names])
    for keep in sizes:
        for policy in POLICIES:
            out = work / f"{policy}-{keep}"
            kept = dedup(store, out, keep=keep, policy=policy, clusters=1, concepts=group.tolist()).kept
            shares = np.array([(group[kept] == name).mean() for name in names])
            error = np.abs(shares - source).sum() / 2
            lines.append(f"| {keep:.0%} | {policy} | {_row(group, kept, names)} | {100 * error:.1f} points |")
    return [*lines, ""]


def _row(group: np.ndarray[Any, Any], kept: np.ndarray[Any, Any], names: Sequence[str]) -> str:
    return " | ".join(f"{(group[kept] == name).mean():.1%}" for name in names)


def _groups_of(keep: Any, rows: int, most: int = 5) -> list[list[int]]:
    """Kept rows with the largest groups that they stand for, spread over the list."""
    of: Mapping[int, list[int]] = {}
    for row in np.flatnonzero(keep.witness >= 0).tolist():
        of.setdefault(int(keep.witness[row]), []).append(row)  # type: ignore[attr-defined]
    chosen = sorted(of, key=lambda row: (-len(of[row]), row))[: 4 * rows : 4]
    return [[row, *of[row][: most - 1]] for row in chosen]


def _sheet(path: Path, dataset: Any, store: EmbeddingStore, groups: list[list[int]]) -> None:
    wanted = {store.ids[row] for group in groups for row in group}
    pictures = {record.id: decode_image(record.image()) for record in dataset if record.id in wanted}
    wide = max(len(group) for group in groups)
    sheet = Image.new("RGB", (wide * (TILE + 6) + 10, len(groups) * (TILE + 6)), "white")
    for y, group in enumerate(groups):
        for x, row in enumerate(group):
            tile = pictures[store.ids[row]].convert("RGB").resize((TILE, TILE))
            sheet.paste(tile, (x * (TILE + 6) + (10 if x else 0) + 3, y * (TILE + 6) + 3))
    sheet.save(path, quality=80)


if __name__ == "__main__":
    main()
