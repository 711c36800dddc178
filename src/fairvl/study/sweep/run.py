"""`sweep`: many models through one suite of association tests, resumable at every moment."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import require_writable, write_atomic
from ...errors import ConfigMismatchError, InputError, JobError, MissingExtraError
from ...findings import Findings
from ...jobs import STATE, run_job
from ...jobs.lock import held
from ...jobs.run import parse_engine
from ...sources.encoders import load_encoder
from ...sources.stimuli import Registry, lint_registry, load_registry
from ...stats.permutation import DRAWS, Tail
from .cache import VectorCache, encoder_key
from .encoding import distinct_stimuli, encode_stimuli, over_length, said
from .measured import Measured, file_of, measure_cases, suite_facts
from .models import TABLE, ModelEntry, check_models, models_csv, read_models
from .statistics import Statistics, case_file, case_statistics, family_file, family_p
from .table import sweep_findings
from .weights import Budget, WeightStore, weights_plan

CACHE = "vectors"
STALE_SECONDS = 86_400


def sweep(
    models: Path | str | Mapping[str, Any] | Iterable[ModelEntry],
    out: Path | str,
    *,
    suite: str | Path | Registry = "eat26",
    engine: str = "local",
    workers: int | None = None,
    images: Path | str | None = None,
    emoji: Path | str | None = None,
    stand_ins: bool = True,
    cache: Path | str | None = None,
    weights_budget: float | None = None,
    weight_store: WeightStore | None = None,
    draws: int = 1000,
    permutations: int = DRAWS,
    level: float = 0.95,
    tail: Tail = "two-sided",
    seed: int = 0,
    templates: bool = False,
    retry_failed: bool = False,
) -> Findings:
    """Effect size, interval and p-values of every test of a suite for every model, as one table.

    Kill it at any time and call it again: what is done is kept, and the table has the bytes of an uninterrupted run.
    A model that cannot be loaded, or a stimulus it cannot answer for, becomes rows with NaN and the reason.

    Parameters
    ----------
    models : path, "catalogue:FILTER", mapping or entries
        See `read_models`; in Python also a mapping from id to an encoder, its name, or a function that loads it.
    out : path
        Folder of ``findings.json``, ``findings.parquet``, ``models.csv`` and everything a resumed run needs.
    suite : str, path or Registry
        Name of a registry, a ``.toml`` file, or the registry itself.
    engine : "local", "shard:i/n" or "ray"
        See `run_job`. A part measures its models and returns no rows; a last "local" run computes the table.
    workers : int, optional
        Models measured at once, each in its own process and memory. Default 0: one after the other, in this process.
    images, emoji, stand_ins
        As `load_registry`: the user's own copies of restricted pictures, and what may stand in for those missing.
    cache : path, optional
        Folder of stimulus vectors, shared between sweeps; default ``out/vectors``. float32, the type that encoders
        return, so that a number from the cache is the number from the model.
    weights_budget : float, optional
        Gigabytes (1e9 bytes) of weights on disk at a time: sizes are printed first, then each model is fetched,
        measured and what was fetched is deleted from the hub cache.
    draws, permutations, level, tail, seed
        Bootstrap draws over target base words, random permutations where exact counting is out of reach, interval
        level, tail of the p-values, and the seed of both.
    templates : bool
        Resample the templates of sentences beside their base words: intervals for "words and phrasings like these".
    retry_failed : bool
        Try models again that an earlier call recorded as failed.

    Returns
    -------
    Findings
        One row per (model, test, order): metric ``effect_size``. See docs/sweep.md for the free columns.

    Raises
    ------
    ConfigMismatchError
        `out` holds a sweep of other models, another suite or other settings.
    JobError
        Another sweep is at work in `out`; the disk is full.
    InputError
        Unusable models or settings; a model whose weights alone exceed the budget.

    Examples
    --------
    >>> import tempfile
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> table = sweep({"a": FakeEncoder(8), "b": FakeEncoder(16)}, tempfile.mkdtemp(), draws=100, permutations=99)
    >>> len(table), {row.model for row in table} == {"a", "b"}
    (52, True)
    """
    how = Statistics(draws, permutations, level, seed, tail, templates)
    part = parse_engine(engine)
    entries, objects = _entries(models)
    source = Source.of(suite, images, emoji, stand_ins)
    registry = source.registry()
    folder = Path(out)
    require_writable(folder)
    kept = Path(cache) if cache is not None else folder / CACHE
    budget = None if weights_budget is None else weights_plan(entries, weights_budget, weight_store, folder)
    if (objects or budget or isinstance(suite, Registry)) and (workers or engine.startswith("ray")):
        raise InputError("encoder objects, a registry object and a weights budget run one model after the other in "
                         "this process; leave out workers= and engine='ray', or name models and suite.")  # fmt: skip
    if budget is not None:
        print(budget.announcement, file=sys.stderr)
    with held(folder / STATE / "sweep-lock", shared=part is not None):
        _clear(folder, kept, alone=part is None and cache is None)
        work = partial(measure_model, source=source, cache=str(kept.absolute()), objects=objects, budget=budget)
        try:
            run = run_job(
                folder, [_spec(entry, objects) for entry in entries], work, name="models", engine=engine,
                workers=workers or 0, config={"suite": suite_facts(registry), "vectors": "float32"},
                again=(lambda facts: bool(facts.get("failed"))) if retry_failed else None,
            )  # fmt: skip
        except ConfigMismatchError as error:
            if "specs." not in str(error) or "suite." in str(error):
                raise
            raise ConfigMismatchError(
                f"{folder}: holds a sweep of another list of models (ids, encoders or their order differ). "
                f"Use the old list, or name a new output folder; with the cache of vectors {kept} nothing that is "
                "in it is encoded again."
            ) from error
        for entry, facts in zip(entries, run.facts, strict=True):
            if facts is not None and facts.get("failed"):
                print(f"sweep: {entry.id} could not be measured: {facts['failed']}", file=sys.stderr)
        if part is not None:
            done = sum(facts is not None for facts in run.facts)
            return Findings((), {"verb": "sweep", "complete": False, "done": done, "models": len(entries)})
        return finish(folder, entries, source, how, workers=workers or 0, engine=engine)


def finish(
    folder: Path, entries: Sequence[ModelEntry], source: Source, how: Statistics, *, workers: int, engine: str
) -> Findings:
    """Statistics over all measured models of a folder, and the tables; the caller holds the folder."""
    registry = source.registry()
    files = [file_of(entry.id) for entry in entries]
    cases: list[dict[str, Any]] = [
        {"case": n, "test": case.test, "order": case.order} for n, case in enumerate(registry.cases)
    ]
    families = [{"family": category} for category in dict.fromkeys(case.category for case in registry.cases)]
    config = {"suite": suite_facts(registry), "statistics": how.facts(), "models": [entry.id for entry in entries]}
    work = partial(compute, source=source, files=tuple(str((folder / f).absolute()) for f in files), how=how)
    run_job(folder, cases + families, work, name="statistics", config=config, inputs=lambda _: files,
            workers=workers, engine=engine)  # fmt: skip
    models = [Measured.load(folder / file) for file in files]
    computed = {n: _read(folder / case_file(n)) for n in range(len(cases))}
    for family in families:
        for number, p_max_t in _read(folder / family_file(family["family"])).items():
            computed[int(number)]["p_max_t"] = p_max_t
    remarks = lint_registry(registry, models=len(models), tail=how.tail)
    findings = sweep_findings(models, registry, computed, how, lint=[asdict(remark) for remark in remarks])
    parameters = {m.model: m.card["parameters"] / 1e6 for m in models if m.card.get("parameters")}
    write_atomic(folder / TABLE, models_csv(entries, parameters))
    findings.write(folder / "findings.parquet")
    findings.write(folder / "findings.json")
    return findings


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_bytes())
    return values


@dataclass(frozen=True)
class Source:
    """Where the registry comes from; named, it is read again in every process instead of being sent there."""

    suite: str | Path | Registry
    images: str | None = None
    emoji: str | None = None
    stand_ins: bool = True

    @classmethod
    def of(
        cls, suite: str | Path | Registry, images: Path | str | None, emoji: Path | str | None, stand_ins: bool
    ) -> Source:
        """A source with absolute folders, so that every process finds them."""
        own, signs = (None if path is None else str(Path(path).absolute()) for path in (images, emoji))
        named = (
            str(Path(suite).absolute()) if not isinstance(suite, Registry) and str(suite).endswith(".toml") else suite
        )
        return cls(named, own, signs, stand_ins)

    def registry(self) -> Registry:
        """The registry, read once per process."""
        if isinstance(self.suite, Registry):
            return self.suite
        return _registry(str(self.suite), self.images, self.emoji, self.stand_ins)


@lru_cache(maxsize=2)
def _registry(suite: str, images: str | None, emoji: str | None, stand_ins: bool) -> Registry:
    return load_registry(suite, images=images, emoji=emoji, stand_ins=stand_ins)


def measure_model(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    source: Source,
    cache: str,
    objects: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
) -> dict[str, Any]:
    """The first stage for one model: load, encode what the cache lacks, write its associations."""
    registry = source.registry()
    given = {"model": spec["model"], "encoder": spec["encoder"], "suite": suite_facts(registry)}
    encoder: Any = None
    card: dict[str, Any] = {}
    try:
        with nullcontext() if budget is None else budget.fetched(spec["model"], spec["encoder"]):
            encoder = _loaded(spec, objects)
            card = _card(encoder)
            measured = _measured(encoder, registry, cache, given | {"card": card})
    except (MissingExtraError, JobError):
        raise  # nothing is wrong with the model
    except Exception as error:
        measured = Measured(**given, card=card, failed=said(error))
    finally:
        del encoder
        gc.collect()  # one model in memory at a time, cycles included
    path = folder / file_of(spec["model"])
    path.parent.mkdir(parents=True, exist_ok=True)  # a scheduler may try a task again
    path.write_bytes(measured.save())
    return {"failed": measured.failed, "content": measured.content}


def _measured(encoder: Any, registry: Registry, cache: str, given: Mapping[str, Any]) -> Measured:
    stimuli = distinct_stimuli(registry)
    vectors = VectorCache(cache, encoder_key(encoder), given["card"])
    encode_stimuli(encoder, stimuli, vectors)
    return Measured(**given, **measure_cases(registry, vectors, stimuli, over_length(encoder, stimuli)))


def compute(
    spec: Mapping[str, Any], folder: Path, *, source: Source, files: Sequence[str], how: Statistics
) -> dict[str, Any]:
    """The second stage: statistics of all models in one case, or corrections over the cases of one category."""
    registry = source.registry()
    models = [Measured.load(Path(file)) for file in files]
    wanted = [
        n for n, c in enumerate(registry.cases) if spec.get("case", n) == n and spec.get("family") in (None, c.category)
    ]
    sides = {number: _sides(models, number) for number in wanted if any(number in m.values for m in models)}
    facts: dict[str, Any] = {}
    if "family" in spec:
        path = folder / family_file(spec["family"])
        if sides:
            found = family_p([registry.cases[n] for n in sides], list(sides.values()), how)
            facts = {str(number): p for number, p in zip(sides, found, strict=True)}
    else:
        path = folder / case_file(wanted[0])
        if sides:
            facts = case_statistics(registry.cases[wanted[0]], *sides[wanted[0]], how)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, allow_nan=False) + "\n", encoding="utf-8")
    return {}


def _sides(models: Iterable[Measured], number: int) -> tuple[Any, Any]:
    present = [model.values[number] for model in models if number in model.values]
    return np.stack([x for x, _ in present]), np.stack([y for _, y in present])


def _entries(models: Any) -> tuple[tuple[ModelEntry, ...], dict[str, Any]]:
    """Entries, and the objects of those that are not named by a string."""
    if isinstance(models, (str, Path)):
        return read_models(models), {}
    if not isinstance(models, Mapping):
        return check_models(models), {}
    entries, objects = [], {}
    for id_, encoder in models.items():
        if not isinstance(id_, str) or not id_:
            raise InputError(f"models: the id {id_!r} is not a text.")
        if not isinstance(encoder, str):
            objects[id_] = encoder
            if not callable(encoder) and not hasattr(encoder, "card"):
                raise InputError(f"models: {id_!r} is {type(encoder).__name__}; expected an encoder, its name, or a "
                                 "function that loads it.")  # fmt: skip
        entries.append(ModelEntry(id_, encoder if isinstance(encoder, str) else ""))
    return check_models(entries), objects


def _spec(entry: ModelEntry, objects: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"model": entry.id, "encoder": entry.encoder}
    card = getattr(objects.get(entry.id), "card", None)
    if card is not None:
        spec["card"] = getattr(card, "fingerprint", "")
    return spec


def _loaded(spec: Mapping[str, Any], objects: Mapping[str, Any] | None) -> Any:
    given = (objects or {}).get(spec["model"])
    if given is None:
        return load_encoder(spec["encoder"])
    return given if hasattr(given, "card") else given()


def _card(encoder: Any) -> dict[str, Any]:
    values: dict[str, Any] = encoder.card.as_dict()
    return values


def _clear(folder: Path, cache: Path, *, alone: bool) -> None:
    """Remove what killed runs left half-written; in a cache that others may be writing to, only what is a day old."""
    for stale in folder.glob(".*.tmp"):
        stale.unlink(missing_ok=True)
    for stale in cache.glob("*/.*.tmp"):
        with suppress(OSError):
            if alone or time.time() - stale.stat().st_mtime > STALE_SECONDS:
                stale.unlink()
