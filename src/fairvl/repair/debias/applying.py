"""An operator over a whole store: `fairvl apply`, streaming and resumable."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...atomic import write_atomic
from ...errors import InputError, OperatorError, StoreError
from ...fingerprints import file_hash
from ...jobs import open_job, run_job
from ...sources.encoders import EncoderCard
from ...sources.encoders.seam import IDENTITY
from ...sources.store import EmbeddingStore
from ...sources.store.layout import MANIFEST, file_name
from ...sources.store.store import SKIPPED
from ...sources.store.write import manifest_text, write_table
from .base import Operator
from .treating import treat_file

SIDES = ("text", "image")
WORTH_PROCESSES = 1 << 29  # a smaller store is done before other processes have started


def apply(
    operator: Operator, store: EmbeddingStore | Path | str, out: Path | str, *,
    sides: str | tuple[str, ...] | None = None, renormalise: bool = False, allow_other_encoder: bool = False,
    engine: str = "local", workers: int | None = None, verify: str = "full",
) -> EmbeddingStore | None:  # fmt: skip
    """The vectors of `store` after `operator`, as a new store in folder `out`; everything else is copied.

    Kill it at any time and call it again: the store has the bytes of an uninterrupted run. Memory does not grow with
    the store.

    Parameters
    ----------
    operator : Operator
    store : EmbeddingStore or path
        A store, or a plain clip-retrieval folder.
    out : path
        New folder, or that of an interrupted run with the same settings.
    sides : "text", "image" or both, optional
        Which vectors go through. By default the text vectors, and the image vectors where the operator is meant for
        them (`applies_to_images`).
    renormalise : bool
        Bring treated vectors to unit length again (a vanished one stays zero). Searches by inner product need it.
    allow_other_encoder : bool
        Also take a store whose card names another encoder than the one fitted on, or none.
    engine, workers, verify
        As in `run_job`; one shard of the store is one shard of work. They never change the result. By default a store
        below 512 MiB is treated in this process.

    Returns
    -------
    EmbeddingStore, or None while other parts of ``shard:i/n`` are missing (a last ``local`` run makes the store)
        Its card names the operator, as that of a wrapped encoder does; its manifest says what was applied, and how
        many vectors vanished.

    Raises
    ------
    OperatorError
        Another width or encoder; a store without the vectors that the operator is meant for.
    StoreError
        Vectors that are not finite, or that float16 cannot hold afterwards.
    ConfigMismatchError, JobError
        As in `open_job`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fairvl.repair.debias import LinearOperator
    >>> from fairvl.sources.store import write_store
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = write_store(folder / "a", ids=["x"], text_vectors=[[0.6, 0.8]])
    >>> operator = LinearOperator(np.array([[1.0], [0.0]]), np.array([[1.0, 0.0]]))
    >>> after = apply(operator, store, folder / "b", allow_other_encoder=True, workers=0)
    >>> after.text_vectors.read().astype(float).round(3).tolist(), after.normalised
    ([[0.0, 0.8]], False)
    """
    source = store if isinstance(store, EmbeddingStore) else EmbeddingStore.open(store)
    out = Path(out)
    if out.resolve() == source.folder.resolve():
        raise InputError(f"{out}: is the store itself. Name another folder; a store is never changed.")
    chosen = _chosen_sides(operator, source, sides)
    _check_store(operator, source, chosen, allow_other_encoder)
    tables = source.manifest.get("shards") is not None
    specs = _specs(source, chosen, tables)
    config = {
        "operator": operator.fingerprint,
        "store": source.fingerprint,
        "sides": chosen,
        "renormalise": renormalise,
    }
    work = partial(_work, operator=operator, folder=source.folder.resolve(), renormalise=renormalise)
    if workers is None and sum(path.stat().st_size for path in source._paths()) < WORTH_PROCESSES:
        workers = 0
    run = run_job(out, specs, work, config=config, name="apply", engine=engine, workers=workers, verify=verify)
    if run.complete:
        _finish(out, source, operator, specs, config, run.facts, tables)
    return EmbeddingStore.open(out) if run.complete else None


def _chosen_sides(operator: Operator, store: EmbeddingStore, sides: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if sides is None:
        wanted = SIDES if operator.applies_to_images else ("text",)
        found = tuple(side for side in wanted if side in store.kinds)
        if not found:
            raise OperatorError(
                f"{store.folder}: holds {' and '.join(store.kinds)} vectors only, and the {operator.card.method} "
                "operator is meant for text vectors. Say sides='image' if image vectors shall go through it."
            )
        return found
    named = (sides,) if isinstance(sides, str) else tuple(sides)
    if not named or set(named) - set(SIDES):
        raise InputError(f"sides={sides!r}; expected 'text', 'image' or both.")
    if lost := [side for side in named if side not in store.kinds]:
        raise StoreError(f"{store.folder}: holds no {lost[0]} vectors. Leave {lost[0]!r} out of sides.")
    return tuple(side for side in SIDES if side in named)


def _view(store: EmbeddingStore, side: str) -> Any:
    return store.image_vectors if side == "image" else store.text_vectors


def _check_store(operator: Operator, store: EmbeddingStore, sides: tuple[str, ...], allow: bool) -> None:
    for side in sides:
        if (dim := _view(store, side).dim) != operator.dim:
            raise OperatorError(
                f"the operator takes vectors of width {operator.dim}, {store.folder} holds {side} vectors of {dim}. "
                "Fit an operator on the encoder that wrote the store."
            )
    fitted = operator.card.encoder
    if not fitted or allow:
        return
    card = store.card
    differing = [
        f"{name} {fitted[name]!r} instead of {card[name]!r}"
        for name in IDENTITY
        if name in card and name in fitted and card[name] != fitted[name]
    ]
    if differing or not card:
        found = ", ".join(differing) if card else "the store does not say which encoder wrote it"
        raise OperatorError(
            f"{store.folder}: the operator was fitted on another encoder: {found}. Fit one on this encoder, or pass "
            "allow_other_encoder=True (--allow-other-encoder) if the vectors are known to be the same."
        )


def _specs(store: EmbeddingStore, sides: tuple[str, ...], tables: bool) -> list[dict[str, Any]]:
    """One spec per shard of the store: files to treat, files to copy, rows of the table where it is rewritten."""
    layout = store._layout
    digits = max(3, len(str(max(0, len(layout.rows) - 1))))
    specs: list[dict[str, Any]] = []
    start = 0
    for number, rows in enumerate(layout.rows):
        spec: dict[str, Any] = {"number": number, "rows": rows, "treat": {}, "copy": {}}
        for side, files in (("image", layout.image), ("text", layout.text)):
            if files:
                kind = "treat" if side in sides else "copy"
                spec[kind][_relative(files[number].path, store)] = file_name(side, number, digits)
        if tables:
            spec["copy"][_relative(layout.tables[number], store)] = file_name("table", number, digits)
        else:
            spec["table"] = {"path": file_name("table", number, digits), "start": start}
        start += rows
        specs.append(spec)
    return specs


def _relative(path: Path, store: EmbeddingStore) -> str:
    return path.relative_to(store.folder).as_posix()


def _work(spec: Mapping[str, Any], scratch: Path, *, operator: Operator, folder: Path, renormalise: bool) -> Any:
    facts: dict[str, Any] = {"vanished": 0, "unit": {}, "missing": {}}
    for name, target in spec["treat"].items():
        path = scratch / target
        path.parent.mkdir(parents=True, exist_ok=True)
        vanished, missing, unit = treat_file(operator, folder / name, path, renormalise=renormalise)
        side = "image" if target.startswith("img") else "text"
        facts["vanished"] += vanished
        facts["unit"][side], facts["missing"][side] = unit, missing
    for name, target in spec["copy"].items():
        (scratch / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, scratch / target)
    if table := spec.get("table"):
        rows = EmbeddingStore.open(folder).table().slice(table["start"], spec["rows"])
        write_table(scratch / table["path"], rows)
    return facts


def _finish(
    out: Path, source: EmbeddingStore, operator: Operator, specs: list[dict[str, Any]], config: Mapping[str, Any],
    facts: tuple[Any, ...], tables: bool,
) -> None:  # fmt: skip
    """The manifest, once all shards are there: it makes the folder a store."""
    with open_job(out, specs, config=config, name="apply", verify="quick") as job:
        shards = [{"rows": spec["rows"], "files": dict(job.outputs(n))} for n, spec in enumerate(specs)]
    extra = {
        name: value
        for name, value in source.manifest.items()
        if name in ("skipped", "texts_over_length", "embed", "applied_before")
    }
    if source.manifest.get("applied"):
        extra["applied_before"] = [*source.manifest.get("applied_before", []), source.manifest["applied"]]
    vanished = sum(fact["vanished"] for fact in facts)
    extra["applied"] = {**config, "method": operator.card.method, "attribute": operator.card.attribute}
    extra["applied"]["vanished"] = vanished
    parts = {}
    for side in ("image", "text"):
        if side not in source.kinds:
            continue
        view = _view(source, side)
        old = source.manifest.get(side) or {"dim": view.dim, "dtype": str(view.dtype)}
        if side in config["sides"]:
            unit = all(fact["unit"][side] for fact in facts)
            missing = sum(fact["missing"][side] for fact in facts)
            parts[side] = {**old, "normalised": unit and missing < len(view), "missing": missing}
        else:
            parts[side] = {"missing": 0, "normalised": False, **old}
    if (source.folder / SKIPPED).is_file() and extra.get("skipped"):
        shutil.copyfile(source.folder / SKIPPED, out / SKIPPED)
        if file_hash(out / SKIPPED) != extra["skipped"]["sha256"]:
            raise StoreError(f"{source.folder / SKIPPED}: is not what was written. Embed again.")
    schema = source.table().schema if not tables else _schema(out, shards)
    text = manifest_text(
        shards, card=_card(operator, source, config["sides"]), image=parts.get("image"), text=parts.get("text"),
        schema=schema, extra=extra,
    )  # fmt: skip
    write_atomic(out / MANIFEST, text)


def _schema(out: Path, shards: list[dict[str, Any]]) -> Any:
    import pyarrow.parquet as pq

    name = next(name for name in shards[0]["files"] if name.endswith(".parquet"))
    return pq.read_schema(out / name)


def _card(operator: Operator, source: EmbeddingStore, sides: tuple[str, ...]) -> dict[str, Any]:
    card = dict(source.card)
    if not card:
        return {}
    # As a wrapped encoder names itself; a store of images alone says what its encoder would.
    both = "image" in sides and ("text" in sides or operator.applies_to_images)
    where = "text+image" if both else sides[0]
    weights = f"{card['weights']} + {operator.card.method} operator {operator.fingerprint} on {where}"
    return EncoderCard.from_dict({**card, "weights": weights}).as_dict()
