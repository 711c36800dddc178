"""A whole corpus in neutral words, on jobs: shards of captions by id, and the report of every change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...atomic import require_writable, write_atomic
from ...errors import DatasetError, InputError, JobError
from ...fingerprints import canonical_json
from ...jobs import run_job
from ...sources.captions.groups import AGREEING, group_of
from ...sources.captions.lexicon import Lexicon, load_lexicon
from ...sources.captions.masking import mask
from ...sources.captions.parsing import load_parser
from ...sources.captions.spans import Rewrite
from ...sources.captions.tables import caption_dataset
from ...sources.datasets import Dataset
from .rewriting import neutralize
from .summary import SUMMARY, summarise

DOUBTFUL = 0.75  # changes below this confidence are counted apart
PLAN = ".jobs/captions/plan.json"


@dataclass(frozen=True)
class CaptionRun:
    """What a run left behind.

    Attributes
    ----------
    folder : Path
    summary : mapping
        The content of ``summary.json``: counts of captions, changes by rule, groups, words kept by reason.
    complete : bool
        False while other parts of ``shard:i/n`` are missing; there is no summary then.
    """

    folder: Path
    summary: Mapping[str, Any]
    complete: bool

    def describe(self) -> str:
        """One line for people."""
        if not self.complete:
            return f"a part of {self.folder} is done; the others are missing"
        found = self.summary
        return (
            f"{found['captions']:,} captions, {found['changed']:,} changed in {sum(found['rules'].values()):,} places, "
            f"{found['doubtful']:,} of them doubtful; groups: "
            + ", ".join(f"{group} {count:,}" for group, count in found["groups"].items())
        )


def captions(
    dataset: Any,
    out: Path | str,
    *,
    lexicon: str | Path | Lexicon = "gender-en",
    masked: str | None = None,
    parser: str | None = None,
    image: str | None = None,
    agreeing: int = AGREEING,
    label: str | None = None,
    rows_per_shard: int = 50_000,
    sample: int = 100,
    seed: int = 0,
    engine: str = "local",
    workers: int | None = 0,
    id: str | None = None,
    caption: str | None = None,
) -> CaptionRun:
    """Rewrite the captions of a dataset in neutral words and say what changed; resumable, keyed by id.

    Writes, in folder `out`: ``captions/part_*.parquet`` (id, caption, text, changed, group, rule, confidence),
    ``spans/part_*.parquet`` (one row per change: id, places in both texts, words, rule, why, group, confidence),
    ``kept/part_*.parquet`` (words that were looked at and left, with the reason), ``images.parquet`` (group of each
    image, when `image` is given), ``sample.tsv`` (before and after of a seeded sample) and ``summary.json``.

    Parameters
    ----------
    dataset : Dataset, str or path
        See `load_dataset` for the strings (``parquet:``, ``webdataset:``, ...); or a ``.csv``, ``.tsv`` or ``.parquet``
        file of captions. Every caption needs its own id.
    lexicon : str, path or Lexicon
        "gender-en" (default), "race-en", "age-en", or a file.
    masked : str, optional
        Write masks of this form ("[MASK]") instead of neutral words.
    parser : str, optional
        "spacy:en_core_web_sm" and the like; see `neutralize`. Part of the configuration.
    image : str, optional
        Column that names the image of a caption; several captions then give the image's group.
    agreeing : int
        Captions that must name a group for an image to have it when they differ; see `image_group`.
    label : str, optional
        Column with a group label of the image: captions that fit their neighbour's label clearly better than their
        own are refused as shifted.
    rows_per_shard : int
        Captions per shard: what a kill can cost; part of the configuration.
    sample, seed : int
        Changed captions in ``sample.tsv``, drawn by a hash of seed and id.
    engine, workers
        See `run_job`; never change the result.
    id, caption : str, optional
        Columns of a table file.

    Raises
    ------
    DatasetError
        Rows without id, duplicate ids, no caption at all, captions that seem shifted against their labels.
    ConfigMismatchError, JobError
        See `run_job`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "captions.csv").write_text("id,caption\\n1,A man and his dog\\n2,A king size bed\\n")
    >>> run = captions(folder / "captions.csv", folder / "neutral")
    >>> run.summary["changed"], run.summary["rules"], run.summary["groups"]
    (1, {'determiner': 1, 'noun': 1}, {'male': 1, 'unknown': 1})
    """
    if rows_per_shard < 1 or sample < 0:
        raise InputError(f"rows_per_shard={rows_per_shard}, sample={sample}; expected at least 1 and 0.")
    if masked is not None and not masked.strip():
        raise InputError("masked is empty; expected the model's mask token, such as '[MASK]'.")
    folder = Path(out)
    require_writable(folder)
    source = caption_dataset(dataset, id=id, caption=caption)
    if source.problems:
        first = source.problems[0]
        raise DatasetError(
            f"{source.name}: {len(source.problems)} rows cannot be used, the first is {first.id}: {first.reason}. "
            "Every caption needs its own id; remove these rows or name them."
        )
    words = load_lexicon(lexicon)
    if not words.entries:
        neutralize("", lexicon=words)  # says why
    if parser is not None:
        load_parser(parser)  # says what is missing before the work
    specs = [{"shard": number, "part": dict(part)} for number, part in enumerate(source.shards(rows_per_shard))]
    config = {
        "dataset": source.fingerprint, "lexicon": words.fingerprint, "masked": masked, "image": image, "label": label,
        "rows_per_shard": rows_per_shard, "parser": parser,
    }  # fmt: skip
    work = partial(
        _rewrite_shard, dataset=source, lexicon=words, masked=masked, image=image, label=label, parser=parser
    )
    run = run_job(folder, specs, work, config=config, name="captions", engine=engine, workers=workers)
    if not run.complete:
        return CaptionRun(folder, {}, False)
    plan = {"sample": sample, "seed": seed, "agreeing": agreeing, "image": image, "label": label,
            "facts": list(run.facts), "lexicon": {"id": words.id, "version": words.version},
            "masked": masked}  # fmt: skip
    write_atomic(folder / PLAN, canonical_json(plan) + "\n")
    parts = [f"captions/{_file(number)}" for number in range(len(specs))]
    try:
        run_job(
            folder, [{"parts": len(parts)}], partial(summarise, out=folder, plan=PLAN, parts=parts), config={},
            name="caption-summary", workers=0, inputs=lambda _: [PLAN, *parts],
        )  # fmt: skip
    except JobError as error:
        if isinstance(error.__cause__, DatasetError):  # the captions are at fault, not the run
            raise error.__cause__ from None
        raise
    summary = json.loads((folder / SUMMARY).read_bytes())
    return CaptionRun(folder, summary, True)


def _file(number: int) -> str:
    return f"part_{number:05d}.parquet"


def _rewrite_shard(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    dataset: Dataset,
    lexicon: Lexicon,
    masked: str | None,
    image: str | None,
    label: str | None,
    parser: str | None,
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    spans: list[tuple[Any, ...]] = []
    kept: list[tuple[Any, ...]] = []
    counts: dict[str, Counter[str]] = {"rules": Counter(), "kept": Counter(), "groups": Counter(), "words": Counter()}
    doubtful = changed = empty = 0
    for record in dataset.read(spec["part"]):
        text = valid_unicode(record.caption)
        row: dict[str, Any] = {"id": record.id, "caption": text}
        for role, column in (("image", image), ("label", label)):
            if column is not None:
                row[role] = _named(record.attributes, column, record.id)
        if text is None or not text.strip():
            empty += 1
            counts["groups"]["unknown"] += 1
            rows.append(row | {"text": text, "changed": False, "group": "unknown", "rule": "none", "confidence": 1.0})
            continue
        rewrite = _rewritten(text, lexicon, masked, parser)
        found = group_of(text, lexicon=lexicon)
        changed += rewrite.changed
        counts["groups"][found.group] += 1
        for span in rewrite.spans:
            spans.append((record.id, *span, span.why))
            counts["rules"][span.rule] += 1
            counts["words"][f"{span.original.lower()} -> {span.replacement.lower()}"] += 1
            doubtful += span.confidence < DOUBTFUL
        for place in rewrite.kept:
            kept.append((record.id, *place))
            counts["kept"][place.why] += 1
        rows.append(
            row
            | {
                "text": rewrite.text, "changed": rewrite.changed, "group": found.group, "rule": found.rule,
                "confidence": found.confidence,
            }
        )  # fmt: skip
    _write_tables(folder, spec["shard"], rows, spans, kept)
    return {
        "captions": len(rows), "changed": changed, "empty": empty, "doubtful": doubtful,
        **{name: dict(sorted(counter.items())) for name, counter in counts.items()},
    }  # fmt: skip


def _rewritten(text: str, lexicon: Lexicon, masked: str | None, parser: str | None) -> Rewrite:
    return (
        neutralize(text, lexicon=lexicon, parser=parser)
        if masked is None
        else mask(text, token=masked, lexicon=lexicon)
    )


def _named(attributes: Mapping[str, Any], column: str, id_: str) -> str | None:
    if column not in attributes:
        raise DatasetError(
            f"the record {id_!r} has no column {column!r}; there is {', '.join(map(repr, attributes)) or 'none'}."
        )
    value = attributes[column]
    return None if value is None else str(value)


def _write_tables(
    folder: Path, number: int, rows: list[dict[str, Any]], spans: list[tuple[Any, ...]], kept: list[tuple[Any, ...]]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, truth, real, whole = pa.string(), pa.bool_(), pa.float64(), pa.int64()
    roles = [name for name in ("image", "label") if rows and name in rows[0]]
    schema = pa.schema(
        [("id", text), *((name, text) for name in roles), ("caption", text), ("text", text), ("changed", truth),
         ("group", text), ("rule", text), ("confidence", real)]
    )  # fmt: skip
    span_columns = [("id", text), ("start", whole), ("end", whole), ("new_start", whole), ("new_end", whole),
                    ("original", text), ("replacement", text), ("rule", text), ("group", text), ("confidence", real),
                    ("why", text)]  # fmt: skip
    kept_columns = [("id", text), ("start", whole), ("end", whole), ("original", text), ("group", text), ("why", text)]
    tables = {
        "captions": pa.Table.from_pylist(rows, schema),
        "spans": _table(spans, span_columns),
        "kept": _table(kept, kept_columns),
    }
    for name, table in tables.items():
        (folder / name).mkdir()
        pq.write_table(table, folder / name / _file(number), compression="zstd")


def _table(rows: list[tuple[Any, ...]], columns: list[tuple[str, Any]]) -> Any:
    import pyarrow as pa

    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.table({name: pa.array(value, kind) for (name, kind), value in zip(columns, values, strict=True)})


class NeutralCaptions:
    """The rewritten captions of a finished run, by id; the original must agree, so that a shifted table is refused.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "captions.csv").write_text("id,caption\\n1,A man\\n")
    >>> _ = captions(folder / "captions.csv", folder / "neutral")
    >>> NeutralCaptions(folder / "neutral").text("1", "A man")
    'A person'
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not (self.folder / SUMMARY).is_file():
            raise DatasetError(f"{self.folder}: no {SUMMARY}; expected the folder of a finished captions run.")
        self._rows = {id_: (original, text) for id_, original, text in _texts(self.folder)}

    def __len__(self) -> int:
        return len(self._rows)

    def text(self, id: str, original: str | None) -> str | None:
        """The neutral caption of one record.

        Raises
        ------
        DatasetError
            The id is unknown, or its caption is not the one that was rewritten.
        """
        if id not in self._rows:
            raise DatasetError(
                f"{self.folder}: no caption with id {id!r} among {len(self._rows):,}. Rewrite this dataset's captions."
            )
        before, after = self._rows[id]
        if before != valid_unicode(original):
            raise DatasetError(
                f"{self.folder}: the caption of {id!r} was {before!r} and is {original!r} now. Captions and images do "
                "not belong together, or the dataset has changed; rewrite its captions again."
            )
        return after

    def verify(self, dataset: Any) -> int:
        """Check every record of `dataset` against the run, one to one; returns how many."""
        seen = 0
        for record in caption_dataset(dataset):
            self.text(record.id, record.caption)
            seen += 1
        if seen != len(self._rows):
            raise DatasetError(
                f"{self.folder}: holds {len(self._rows):,} captions, the dataset {seen:,}; expected one for one."
            )
        return seen


def valid_unicode(text: str | None) -> str | None:
    """`text` as valid Unicode: JSON may hold halves of characters, parquet may not."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _texts(folder: Path) -> Iterator[tuple[str, str | None, str | None]]:
    import pyarrow.parquet as pq

    for path in sorted((folder / "captions").glob("part_*.parquet")):
        table = pq.read_table(path, columns=["id", "caption", "text"])
        yield from zip(*(table.column(name).to_pylist() for name in ("id", "caption", "text")), strict=True)
