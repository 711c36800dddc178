"""The state of one stage in its output folder: what is done, what is pending, how a shard is committed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from ..atomic import sync_folder, write_atomic
from ..errors import ConfigMismatchError, FairVLError, InputError, JobError
from ..fingerprints import canonical_json, file_hash, fingerprint
from .lock import held

STATE = ".jobs"
VERSION = 1
SMALL_FILE = 1 << 20  # quick verification hashes files up to here, and trusts the size of larger ones
SPEC_CHARS = 120

Spec = Mapping[str, Any]
Inputs = Callable[[Spec], Iterable[Path | str]]
Facts = Callable[[Mapping[str, Any]], bool]


class Job:
    """One stage, opened by `open_job`: its lock is held and its manifests are verified."""

    def __init__(
        self, out: Path, specs: Sequence[Spec], config: Mapping[str, Any], name: str, inputs: Inputs | None
    ) -> None:
        self.out = out
        self.name = name
        self.specs = tuple(specs)
        self.config = config
        self.state = out / STATE / name
        self._inputs = inputs
        self._resolved = {"config": config, "fairvl": __version__, "specs": _specs_facts(self.specs)}
        self._config_hash = fingerprint(self._resolved)
        self._done: dict[int, dict[str, Any]] = {}
        self._owners: dict[str, int] = {}

    @property
    def pending(self) -> tuple[int, ...]:
        """Numbers of the shards whose manifest does not verify yet."""
        return tuple(index for index in range(len(self.specs)) if index not in self._done)

    @property
    def complete(self) -> bool:
        """Whether every shard is done."""
        return len(self._done) == len(self.specs)

    def facts(self, index: int) -> Mapping[str, Any]:
        """What the work function reported about a finished shard."""
        facts: Mapping[str, Any] = self._done[index]["facts"]
        return facts

    def outputs(self, index: int) -> Mapping[str, Mapping[str, Any]]:
        """Files of a finished shard: path in the output folder to ``bytes`` and ``sha256``."""
        outputs: Mapping[str, Mapping[str, Any]] = self._done[index]["outputs"]
        return outputs

    def label(self, index: int) -> str:
        """How messages name a shard."""
        text = canonical_json(self.specs[index])
        short = text if len(text) <= SPEC_CHARS else text[:SPEC_CHARS] + "..."
        return f"{self.name}: shard {index} of {len(self.specs)} ({short})"

    @contextmanager
    def shard(self, index: int) -> Iterator[tuple[Path, dict[str, Any]]]:
        """An empty scratch folder and a dict for facts; leaving without an error commits both.

        Raises
        ------
        JobError
            Whatever went wrong inside, with the shard named; nothing of the shard stays behind.
        """
        scratch = self.scratch(index)
        facts: dict[str, Any] = {}
        try:
            inputs = self.input_hashes(index)
            yield scratch, facts
            self.commit(index, facts, inputs)
        except Exception as error:
            raise self.failed(index, error) from error
        finally:
            self.discard(index)

    def discard(self, index: int) -> None:
        """Remove what a shard has not committed."""
        shutil.rmtree(self.state / "scratch" / f"{index:05d}", ignore_errors=True)

    def scratch(self, index: int) -> Path:
        """A new empty folder on the output's file system, so that a commit is a rename."""
        folder = self.state / "scratch" / f"{index:05d}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise self.failed(index, error) from error
        return folder

    def failed(self, index: int, error: BaseException) -> JobError:
        """The error that a user sees when a shard fails."""
        if isinstance(error, JobError) and error.args and str(error.args[0]).startswith(f"{self.name}: shard "):
            return error
        said = str(error) if isinstance(error, FairVLError) else f"{type(error).__name__}: {error}"
        return JobError(
            f"{self.label(index)} failed: {said.rstrip('.')}. Nothing of it stays; the {len(self._done)} "
            "finished shards do. Once the cause is gone, the same command goes on from here."
        )

    def input_hashes(self, index: int) -> dict[str, Any]:
        """Sizes and hashes of the files that a shard declares as its input."""
        if self._inputs is None:
            return {}
        return {str(path): _file_facts(self.out / path) for path in self._inputs(self.specs[index])}

    def commit(
        self, index: int, facts: Mapping[str, Any], inputs: Mapping[str, Any],
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        """Move everything in the shard's scratch folder into the output folder, then write its manifest.

        Files in subfolders move first: a file at the top (a store's manifest) is seen only when all others are there.
        `outputs` is what `written` says of the scratch folder, where the process that filled it has asked already.
        """
        scratch = self.state / "scratch" / f"{index:05d}"
        outputs = written(scratch) if outputs is None else outputs
        files = [Path(name) for name in outputs]
        for path in files:
            handle = os.open(scratch / path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        for name in outputs:
            if self._owners.get(name, index) != index:
                raise JobError(
                    f"writes {name}, which belongs to shard {self._owners[name]}. Shards must write different files."
                )
        for path in files:
            target = self.out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / path, target)
        for folder in {(self.out / path).parent for path in files}:
            sync_folder(folder)
        manifest = {
            "version": VERSION,
            "config_hash": self._config_hash,
            "fairvl": __version__,
            "spec": self.specs[index],
            "inputs": inputs,
            "outputs": outputs,
            "facts": facts,
        }
        text = canonical_json(manifest) + "\n"
        write_atomic(self._manifest_path(index), text)
        self._mark_done(index, json.loads(text))

    def _mark_done(self, index: int, manifest: dict[str, Any]) -> None:
        self._done[index] = manifest
        self._owners.update(dict.fromkeys(manifest["outputs"], index))

    def _manifest_path(self, index: int) -> Path:
        return self.state / "shards" / f"{index:05d}.json"

    def _start(self, verify: str, mine: range | None, again: Facts | None = None) -> None:
        path = self.state / "job.json"
        if path.exists():
            _refuse_another(path, self._resolved)
        else:
            if any((self.state / "shards").glob("*.json")):
                raise JobError(f"{path}: missing, though shards are there. Remove {self.out}, or name a new folder.")
            write_atomic(path, canonical_json(self._resolved) + "\n")
        self._sweep(mine)
        for index in range(len(self.specs)):
            manifest = self._verified(index, verify)
            if manifest is None:
                continue
            if again is not None and (mine is None or index in mine) and again(manifest["facts"]):
                continue
            self._mark_done(index, manifest)

    def _sweep(self, mine: range | None) -> None:
        # What a killed run left: its scratch folders, and temporary files of manifests.
        if mine is None:
            shutil.rmtree(self.state / "scratch", ignore_errors=True)
            for stale in [*self.state.glob(".*.tmp"), *(self.state / "shards").glob(".*.tmp")]:
                stale.unlink(missing_ok=True)
        else:
            for index in mine:
                shutil.rmtree(self.state / "scratch" / f"{index:05d}", ignore_errors=True)

    def _verified(self, index: int, verify: str) -> dict[str, Any] | None:
        try:
            manifest = json.loads(self._manifest_path(index).read_bytes())
            if (
                manifest["version"] != VERSION
                or manifest["config_hash"] != self._config_hash
                or canonical_json(manifest["spec"]) != canonical_json(self.specs[index])
                or not isinstance(manifest["facts"], dict)
            ):
                return None
            files = [(self.out / name, facts) for name, facts in manifest["outputs"].items()]
            inputs = self._inputs(self.specs[index]) if self._inputs else ()
            if {str(path) for path in inputs} != set(manifest["inputs"]):
                return None
            files += [(self.out / name, facts) for name, facts in manifest["inputs"].items()]
            if any(".." in Path(name).parts for name in manifest["outputs"]):
                return None
            if not all(_unchanged(path, facts, verify) for path, facts in files):
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        checked: dict[str, Any] = manifest
        return checked


@contextmanager
def open_job(
    out: Path | str,
    specs: Iterable[Spec],
    *,
    config: Mapping[str, Any],
    name: str = "job",
    inputs: Inputs | None = None,
    verify: str = "full",
    part: tuple[int, int] | None = None,
    again: Facts | None = None,
) -> Iterator[Job]:
    """Open (or go on with) a stage in folder `out`, alone.

    Parameters
    ----------
    out : path
        The output folder; the stage keeps its state in ``.jobs/NAME`` inside it.
    specs : iterable of JSON-able mappings
        One per shard.
    config : JSON-able mapping
        Everything that decides the bytes. A folder with another configuration is refused.
    inputs : callable, optional
        Input files of a spec, relative paths meant from `out`; their hashes stand in the manifest, and a changed one
        makes the shard pending again.
    verify : "full" or "quick"
        Whether finished files are hashed again, or only files up to 1 MiB, larger ones by size.
    part : (i, n), optional
        This process works on shards i, i + n, ...; the other parts may run at the same time.
    again : callable, optional
        Finished shards whose facts it finds true are pending once more (a model that could not be fetched).

    Raises
    ------
    ConfigMismatchError
        The folder belongs to another configuration; the message names what differs.
    JobError
        Another run holds the folder.
    """
    if verify not in ("full", "quick"):
        raise InputError(f"verify={verify!r}; expected 'full' or 'quick'.")
    folder = Path(out)
    listed = tuple(specs)
    try:
        job = Job(folder, listed, config, name, inputs)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: specs and config must be JSON values ({error}).") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise JobError(f"{folder}: is not a folder. Name another output folder.") from error
    with ExitStack() as stack:
        try:
            stack.enter_context(held(job.state / "lock", shared=part is not None))
            if part is not None:
                stack.enter_context(held(job.state / f"lock-{part[0]}-of-{part[1]}"))
            job._start(verify, None if part is None else range(part[0], len(listed), part[1]), again)
        except OSError as error:
            raise JobError(f"{folder}: cannot keep its state ({error}). Make room or make it writable.") from error
        yield job


def written(scratch: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file below `scratch` by its relative path, deepest folders first."""
    found = [path.relative_to(scratch) for path in scratch.rglob("*") if path.is_file()]
    files = sorted(found, key=lambda path: (-len(path.parts), path.as_posix()))
    return {path.as_posix(): _file_facts(scratch / path) for path in files}


def _specs_facts(specs: Sequence[Spec]) -> dict[str, Any]:
    return {"count": len(specs), "hash": fingerprint(list(specs))}


def _refuse_another(path: Path, resolved: Mapping[str, Any]) -> None:
    try:
        there = json.loads(path.read_bytes())
    except ValueError as error:
        raise JobError(f"{path}: not JSON ({error}). Remove the output folder, or name a new one.") from error
    here = json.loads(canonical_json(resolved))
    if there == here:
        return
    old, new = dict(_flat(there)), dict(_flat(here))
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key, "absent") != new.get(key, "absent")]
    lines = "; ".join(
        f"{key.removeprefix('config.')}: {old.get(key, 'absent')!r} in the folder, {new.get(key, 'absent')!r} now"
        for key in changed[:8]
    )
    raise ConfigMismatchError(
        f"{path.parent.parent.parent}: holds a run with another configuration ({lines}). "
        "Run with the old configuration, or name a new output folder."
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _file_facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_hash(path)}


def _unchanged(path: Path, facts: Mapping[str, Any], verify: str) -> bool:
    if path.stat().st_size != facts["bytes"]:
        return False
    if verify == "quick" and facts["bytes"] > SMALL_FILE:
        return True
    return bool(file_hash(path) == facts["sha256"])
