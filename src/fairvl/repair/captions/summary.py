"""What a run over a corpus adds up to: counts, groups of images, a sample of changes, and checks across shards."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...fingerprints import canonical_json
from ...sources.captions.alignment import check_shift, spelt
from ...sources.captions.groups import CaptionGroup, combine_groups

SUMMARY = "summary.json"
SAMPLE = "sample.tsv"
TOP_WORDS = 200


def summarise(_: Mapping[str, Any], folder: Path, *, out: Path, plan: str, parts: Sequence[str]) -> None:
    """Write ``summary.json``, ``sample.tsv`` and, where captions name their image, ``images.parquet``."""
    settings = json.loads((out / plan).read_bytes())
    facts = settings["facts"]
    totals = {name: sum(fact[name] for fact in facts) for name in ("captions", "changed", "empty", "doubtful")}
    if totals["captions"] == totals["empty"]:
        raise DatasetError(
            f"none of {totals['captions']:,} records has a caption. Name the column with caption=, or check the file."
        )
    counts = {name: _added(fact[name] for fact in facts) for name in ("rules", "kept", "groups", "words")}
    words = dict(sorted(counts.pop("words").items(), key=lambda item: (-item[1], item[0]))[:TOP_WORDS])
    votes: dict[str, list[str]] = {}
    labelled: list[tuple[str, str]] = []
    ids: set[str] = set()
    picked: list[tuple[int, str, str, str]] = []
    for row in _rows(out, parts):
        if row["id"] in ids:
            raise DatasetError(f"the id {row['id']!r} occurs more than once. Ids name captions and must be unique.")
        ids.add(row["id"])
        if settings["image"] is not None:
            if row["image"] is None:
                raise DatasetError(f"the caption {row['id']!r} names no image in column {settings['image']!r}.")
            votes.setdefault(row["image"], []).append(row["group"])
        if settings["label"] is not None and row["label"] is not None:
            labelled.append((row["group"], spelt(row["label"])))
        if row["changed"]:
            _pick(picked, settings["sample"], settings["seed"], row)
    summary = {**totals, **counts, "words": words, "lexicon": settings["lexicon"], "masked": settings["masked"]}
    if settings["label"] is not None:
        summary["alignment"] = check_shift(labelled, settings["label"])
    if settings["image"] is not None:
        summary["images"] = _write_images(folder, votes, settings["agreeing"])
    lines = [f"{id_}\t{_cell(before)}\t{_cell(after)}\n" for _, id_, before, after in sorted(picked, reverse=True)]
    (folder / SAMPLE).write_text("id\tbefore\tafter\n" + "".join(lines), encoding="utf-8")
    (folder / SUMMARY).write_text(json.dumps(json.loads(canonical_json(summary)), indent=1, ensure_ascii=False) + "\n",
                                  encoding="utf-8")  # fmt: skip


def _rows(out: Path, parts: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for part in parts:
        with pq.ParquetFile(out / part) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()


def _added(counters: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return dict(sorted(total.items()))


def _pick(picked: list[tuple[int, str, str, str]], size: int, seed: int, row: Mapping[str, Any]) -> None:
    # the smallest hashes are a uniform sample that no order of shards changes
    draw = int.from_bytes(hashlib.sha256(f"{seed}:{row['id']}".encode()).digest()[:8], "big")
    item = (-draw, row["id"], row["caption"], row["text"])
    if len(picked) < size:
        heapq.heappush(picked, item)
    elif size:
        heapq.heappushpop(picked, item)


def _cell(text: str) -> str:
    return " ".join(text.split("\t")).replace("\r", " ").replace("\n", " ")


def _write_images(folder: Path, votes: Mapping[str, list[str]], agreeing: int) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, CaptionGroup] = {name: combine_groups(groups, agreeing=agreeing) for name, groups in votes.items()}
    table = pa.table(
        {
            "image": pa.array(list(found), pa.string()),
            "captions": pa.array([len(groups) for groups in votes.values()], pa.int64()),
            "group": pa.array([group.group for group in found.values()], pa.string()),
            "rule": pa.array([group.rule for group in found.values()], pa.string()),
            "confidence": pa.array([group.confidence for group in found.values()], pa.float64()),
        }
    )
    pq.write_table(table, folder / "images.parquet", compression="zstd")
    return dict(sorted(Counter(group.group for group in found.values()).items()))
