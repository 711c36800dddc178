"""The run itself: shards of batches through the model, then the table."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, EncoderError, InputError, JobError
from ...jobs import Job, default_workers, died, open_job, progress_bar
from ..datasets import Dataset
from ..store import EmbeddingStore
from ..store.layout import MANIFEST, file_name
from ..store.write import card_values, stored_vectors
from .parts import Part, Reader, clean, read_ahead
from .table import add_types, finish, rows_file, rows_text

KINDS = ("image", "text")


def embed(
    encoder: Any,
    dataset: Any,
    out: Path | str,
    *,
    engine: str = "local",
    workers: int | None = None,
    batch: int = 64,
    rows_per_shard: int = 2048,
    kinds: Sequence[str] | None = None,
    normalise: bool = True,
    dtype: str = "float16",
    verify: str = "full",
) -> EmbeddingStore:
    """Encode every record of a dataset into an `EmbeddingStore` in folder `out`.

    Kill it at any time and call it again: the store has the bytes of an uninterrupted run. Records whose image cannot
    be decoded are left out, counted, and listed with a reason in ``skipped.parquet``.

    Parameters
    ----------
    encoder : Encoder or str
        See `load_encoder` for the strings.
    dataset : Dataset or str
        See `load_dataset` for the strings.
    out : path
        New folder, or that of an interrupted run with the same settings.
    engine : "local"
        Decoding runs in processes of this machine, the model in this process.
    workers : int, optional
        Decoding processes; 0 decodes in this process. Default: half of the cores, at most 8. They fall back to threads
        where the dataset or the encoder's ``preprocess`` cannot be sent to another process. Never changes the result.
    batch : int
        Rows per call of the model; part of the configuration.
    rows_per_shard : int
        Rows per file, rounded down to whole batches: what a kill can cost.
    kinds : sequence of "image" and "text", optional
        What to encode; default: what the encoder can. Where a record has no caption its text vector is missing (NaN);
        a dataset without captions gives a store without text vectors, and likewise for images.
    normalise : bool
        Store unit vectors.
    dtype : "float16" or "float32"
        Type on disk.
    verify : "full" or "quick"
        How finished shards are checked when a run is taken up again; see `open_job`.

    Returns
    -------
    EmbeddingStore

    Raises
    ------
    ConfigMismatchError
        `out` holds a run with other settings, data or encoder.
    JobError
        Another run is at work in `out`, or a shard failed; finished shards are kept.
    DatasetError, EncoderError, InputError
        Nothing to embed, vectors that are not finite, settings out of range.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (4, 4)).save(folder / "a.png")
    >>> (folder / "labels.csv").write_text("file,age\\na.png,31\\n")
    18
    >>> store = embed("fake:8", f"folder:{folder}?metadata=labels.csv", folder / "store", workers=0)
    >>> store.ids, store.image_vectors.shape, store.columns("age").tolist()
    (('a.png',), (1, 8), [31])
    """
    _check_settings(engine, batch, rows_per_shard, workers)
    if isinstance(encoder, str):
        from ..encoders import load_encoder

        encoder = load_encoder(encoder)
    if isinstance(dataset, str):
        from ..datasets import load_dataset

        dataset = load_dataset(dataset)
    kinds = _checked_kinds(kinds, encoder)
    parts = list(dataset.shards(batch))
    if not parts:
        raise DatasetError(f"{dataset.name}: no records to embed.")
    per_shard = max(1, rows_per_shard // batch)
    specs = [{"shard": n, "parts": parts[i : i + per_shard]} for n, i in enumerate(range(0, len(parts), per_shard))]
    config = {
        "dataset": dataset.fingerprint,
        "encoder": card_values(encoder.card),
        "kinds": kinds,
        "batch": batch,
        "rows_per_shard": rows_per_shard,
        "normalise": normalise,
        "dtype": dtype,
        "threads": _threads(encoder.card),
    }
    try:
        total: int | None = len(dataset)
    except TypeError:
        total = None
    with open_job(out, specs, config=config, name="vectors", verify=verify) as job:
        if job.pending:
            (job.out / MANIFEST).unlink(missing_ok=True)  # while vectors are replaced, this is not a store
        done = sum(job.facts(n)["read"] for n in range(len(specs)) if n not in job.pending)
        with progress_bar(total, "embed", done, "record") as bar:
            settings = _Settings(kinds, normalise, dtype, bar)
            _encode_pending(job, encoder, dataset, settings, default_workers() if workers is None else workers)
        problems = [(clean(problem.id), clean(problem.reason)) for problem in getattr(dataset, "problems", ())]
        finish(job, encoder.card, problems, dim=_dim(encoder), dtype=dtype, normalise=normalise, name=dataset.name)
    store = EmbeddingStore.open(out)
    if store.skipped:
        print(
            f"embed: {len(store.skipped)} records left out, listed in {Path(out) / 'skipped.parquet'}; "
            f"the first: {store.skipped[0][0]}: {store.skipped[0][1]}",
            file=sys.stderr,
        )
    return store


@dataclass(frozen=True)
class _Settings:
    kinds: tuple[str, ...]
    normalise: bool
    dtype: str
    bar: Any


def _check_settings(engine: str, batch: int, rows_per_shard: int, workers: int | None) -> None:
    if engine != "local":
        raise InputError(f"engine={engine!r}; embed runs with 'local'.")
    for name, value, least in (
        ("batch", batch, 1),
        ("rows_per_shard", rows_per_shard, 1),
        ("workers", workers or 0, 0),
    ):
        if value < least:
            raise InputError(f"{name}={value}; expected at least {least}.")


def _checked_kinds(kinds: Sequence[str] | None, encoder: Any) -> tuple[str, ...]:
    able = tuple(getattr(encoder.card, "modalities", None) or KINDS)
    wanted = able if kinds is None else (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not wanted or set(wanted) - set(KINDS):
        raise InputError(f"kinds={wanted}; expected 'image', 'text' or both.")
    if lacking := set(wanted) - set(able):
        raise EncoderError(f"{encoder.card.name} cannot encode {lacking.pop()}s; leave that out of kinds=.")
    return tuple(kind for kind in KINDS if kind in wanted)


def _encode_pending(job: Job, encoder: Any, dataset: Dataset, settings: _Settings, workers: int) -> None:
    pending = job.pending
    if not pending:
        return
    reader = Reader(dataset, getattr(encoder, "preprocess", None), settings.kinds)
    # Parts are read ahead across shards, so the model does not wait at their borders either.
    specs = (spec for index in pending for spec in job.specs[index]["parts"])
    with closing(read_ahead(reader, specs, workers)) as parts:
        for index in pending:
            try:
                with job.shard(index) as (scratch, facts):
                    mine = islice(parts, len(job.specs[index]["parts"]))
                    facts.update(_encode_shard(encoder, mine, scratch, index, settings))
            except JobError as error:
                if isinstance(error.__cause__, BrokenProcessPool):
                    raise died(job, index) from error.__cause__
                raise


def _encode_shard(encoder: Any, parts: Iterable[Part], folder: Path, index: int, settings: _Settings) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    types: dict[str, list[str]] = {}
    vectors: dict[str, list[NDArray[Any]]] = {"image": [], "text": []}
    present = {"image": 0, "text": 0}
    over_length = 0
    for part in parts:
        images = part.has_image
        captioned = [caption is not None for caption in part.captions]
        if "image" in settings.kinds:
            encoded = _image_vectors(encoder, part.images) if any(images) else None
            vectors["image"].append(_placed(encoded, images, part.ids, encoder, settings))
            present["image"] += sum(images)
        if "text" in settings.kinds:
            texts = [caption for caption in part.captions if caption is not None]
            encoded = np.asarray(encoder.encode_texts(texts)) if texts else None
            vectors["text"].append(_placed(encoded, captioned, part.ids, encoder, settings))
            present["text"] += len(texts)
            if texts and (ask := getattr(encoder, "over_length", None)) is not None:
                over_length += len(ask(texts))
        for id_, caption, attributes in zip(part.ids, part.captions, part.attributes, strict=True):
            rows.append({"id": id_, "caption": caption, "attributes": attributes})
            add_types(types, attributes)
        skipped += part.skipped
        settings.bar.update(len(part.ids) + len(part.skipped))
    for kind in settings.kinds:
        if present[kind]:
            _write_array(folder / file_name(kind, index), np.concatenate(vectors[kind]))
    path = folder / rows_file(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows_text(rows, skipped), encoding="utf-8")
    return {
        "rows": len(rows),
        "read": len(rows) + len(skipped),
        "skipped": len(skipped),
        "image": present["image"],
        "text": present["text"],
        "over_length": over_length,
        "types": types,
    }


def _image_vectors(encoder: Any, images: Any) -> NDArray[Any]:
    if isinstance(images, np.ndarray):
        return np.asarray(encoder.encode_preprocessed(images))
    return np.asarray(encoder.encode_images(images))


def _placed(
    encoded: NDArray[Any] | None, mask: list[bool], ids: list[str], encoder: Any, settings: _Settings
) -> NDArray[Any]:
    """Vectors of one batch in their type on disk, NaN where `mask` says that there is none."""
    if encoded is None:
        return np.full((len(mask), _dim(encoder)), np.nan, settings.dtype)
    named = [id_ for id_, there in zip(ids, mask, strict=True) if there]
    if encoded.ndim != 2 or len(encoded) != len(named):
        raise EncoderError(
            f"the encoder gave shape {encoded.shape} for {len(named)} inputs; expected one row for each."
        )
    exact = encoded.astype(np.float64)
    if not np.isfinite(exact).all():
        bad = int(np.flatnonzero(~np.isfinite(exact).all(axis=1))[0])
        raise EncoderError(f"the encoder gave NaN or infinity for {named[bad]!r}. Check the model, or drop the record.")
    if settings.normalise:
        lengths = np.linalg.norm(exact, axis=1, keepdims=True)
        if not lengths.all():
            bad = int(np.flatnonzero(lengths[:, 0] == 0)[0])
            raise EncoderError(
                f"the encoder gave a zero vector for {named[bad]!r}, which has no direction. "
                "Drop the record, or embed with normalise=False."
            )
        exact /= lengths
    stored = stored_vectors(exact, "vectors", dtype=settings.dtype)
    if all(mask):
        return stored
    full = np.full((len(mask), stored.shape[1]), np.nan, settings.dtype)
    full[np.array(mask)] = stored
    return full


def _write_array(path: Path, array: NDArray[Any]) -> None:
    # The job makes it durable and moves it; here it only has to be written.
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)


def _dim(encoder: Any) -> int:
    dim = getattr(encoder.card, "dim", None)
    if isinstance(dim, int) and dim > 0:
        return dim
    return int(np.asarray(encoder.encode_texts(["a"])).shape[-1])


def _threads(card: Any) -> int:
    """Threads that the model's library uses: they decide how sums are split, and so the last bits."""
    if "torch" in sys.modules and card_values(card).get("library") not in ("fake", "stored"):
        return int(sys.modules["torch"].get_num_threads())
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() else 0
