"""A bound on the weights that lie on disk: say what will be fetched, fetch, measure, release, model by model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, final

from ...atomic import write_atomic
from ...errors import InputError, missing_extra
from ...jobs import STATE
from ..catalogue import find_entry
from .measured import file_of
from .models import ModelEntry

GIGABYTE = 1e9
BYTES_PER_PARAMETER = 4  # most published weights are float32; those in float16 take half
JOURNAL = "weights.json"


class WeightStore(Protocol):
    """Where fetched weights lie; the hub cache, or a stand-in in tests."""

    def repository(self, encoder: str) -> str | None:
        """What loading this encoder fetches from; None where its weights are local or cannot be released."""

    def parameters(self, encoder: str) -> int | None:
        """Parameters of the encoder, without loading it; None where nothing tells."""

    def held(self, repository: str) -> frozenset[str]:
        """Revisions of a repository that are on disk."""

    def delete(self, repository: str, revisions: Sequence[str]) -> int:
        """Remove revisions; the bytes that this frees."""


@dataclass(frozen=True)
class Budget:
    """Weights of a sweep under a bound; made by `weights_plan`.

    Attributes
    ----------
    announcement : str
        What will be fetched, and how that was estimated.
    sizes : mapping
        Estimated bytes by model id; 0 where nothing has to be fetched.
    """

    announcement: str
    sizes: Mapping[str, int]
    store: WeightStore
    journal: Path
    freed: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def fetched(self, model: str, encoder: str) -> Iterator[None]:
        """While inside, the weights may be on disk; afterwards what was fetched is gone.

        What was held before is written down first, so that a run after a kill releases what the killed one fetched.
        """
        repository = self.store.repository(encoder)
        if repository is None:
            yield
            return
        before = self._held_before(repository)
        try:
            yield
        finally:
            new = sorted(self.store.held(repository) - before)
            if new:
                self.freed[model] = self.store.delete(repository, new)
            self._forget(repository)

    def _held_before(self, repository: str) -> frozenset[str]:
        journal = self._read()
        if repository not in journal:
            journal[repository] = sorted(self.store.held(repository))
            write_atomic(self.journal, json.dumps(journal, indent=1))
        return frozenset(journal[repository])

    def _forget(self, repository: str) -> None:
        journal = self._read()
        journal.pop(repository, None)
        if journal:
            write_atomic(self.journal, json.dumps(journal, indent=1))
        else:
            self.journal.unlink(missing_ok=True)

    def _read(self) -> dict[str, list[str]]:
        try:
            journal: dict[str, list[str]] = json.loads(self.journal.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return journal


def weights_plan(entries: Iterable[ModelEntry], gigabytes: float, store: WeightStore | None, folder: Path) -> Budget:
    """What a sweep will fetch, or an error where a single model is over the budget.

    Sizes are parameters times 4 bytes: `params_m` of the entry where given, else of the catalogue.

    Raises
    ------
    InputError
        A budget that is not above 0; a model that alone exceeds it, or whose size nothing tells.
    """
    if not gigabytes > 0:
        raise InputError(f"weights_budget={gigabytes}; expected gigabytes above 0.")
    store = store or HubStore()
    sizes: dict[str, int] = {}
    unknown, held = [], 0
    for entry in entries:
        repository = store.repository(entry.encoder)
        if repository is None or (folder / file_of(entry.id)).exists():  # local, or measured by an earlier call
            sizes[entry.id] = 0
        elif store.held(repository):
            sizes[entry.id] = 0
            held += 1
        else:
            millions = entry.covariates.get("params_m")
            count = round(float(millions) * 1e6) if millions is not None else store.parameters(entry.encoder)
            if count is None:
                unknown.append(entry.id)
            sizes[entry.id] = BYTES_PER_PARAMETER * (count or 0)
    if unknown:
        raise InputError(
            f"weights_budget: nothing tells the size of {', '.join(unknown[:4])}. Give params_m (millions of "
            "parameters) for it, or leave out the budget."
        )
    over = [id_ for id_, size in sizes.items() if size > gigabytes * GIGABYTE]
    if over:
        raise InputError(
            f"weights_budget={gigabytes:g} GB: {over[0]} alone needs about {sizes[over[0]] / GIGABYTE:.2f} GB"
            + (f", and {len(over) - 1} more models are over it" if len(over) > 1 else "")
            + ". Raise the budget, or leave such models out."
        )
    todo = [size for size in sizes.values() if size]
    announcement = (
        f"sweep: about {sum(todo) / GIGABYTE:.2f} GB of weights will be fetched for {len(todo)} of {len(sizes)} models"
        f", at most {max(todo, default=0) / GIGABYTE:.2f} GB on disk at a time; {held} models are in the cache already "
        "and stay there. Estimated as parameters x 4 bytes; weights stored in float16 take half."
    )
    return Budget(announcement, sizes, store, folder / STATE / JOURNAL)


@final
class HubStore:
    """The local cache of the Hugging Face hub."""

    def repository(self, encoder: str) -> str | None:
        prefix, _, target = encoder.partition("?")[0].partition(":")
        if prefix == "transformers":
            return None if Path(target).exists() else target
        if prefix != "open_clip" or target.startswith("local-dir:"):
            return None
        if target.startswith("hf-hub:"):
            return target.removeprefix("hf-hub:")
        name, _, tag = target.partition("/")
        settings: dict[str, Any] = (_open_clip().get_pretrained_cfg(name, tag) or {}) if tag else {}
        hub = str(settings.get("hf_hub") or "").strip("/")
        return "/".join(hub.split("/")[:2]) or None

    def parameters(self, encoder: str) -> int | None:
        entry = find_entry(encoder.partition("?")[0])
        return None if entry is None else round(entry.params_m * 1e6)

    def held(self, repository: str) -> frozenset[str]:
        return frozenset(revision.commit_hash for revision in self._revisions(repository))

    def delete(self, repository: str, revisions: Sequence[str]) -> int:
        plan = self._scan().delete_revisions(*revisions)
        plan.execute()
        return int(plan.expected_freed_size)

    def _revisions(self, repository: str) -> list[Any]:
        repos = [r for r in self._scan().repos if r.repo_type == "model" and r.repo_id == repository]
        return [revision for repo in repos for revision in repo.revisions]

    def _scan(self) -> Any:
        try:
            from huggingface_hub import scan_cache_dir
            from huggingface_hub.errors import CacheNotFound
        except ModuleNotFoundError as error:
            raise missing_extra("huggingface_hub", "models") from error
        try:
            return scan_cache_dir()
        except CacheNotFound:
            return _Nothing()


class _Nothing:
    repos: tuple[Any, ...] = ()


def _open_clip() -> Any:
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise missing_extra("open_clip", "models") from error
    return open_clip
