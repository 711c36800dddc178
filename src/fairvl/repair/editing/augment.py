"""The verb `augment`: verified counterfactual images until a plan is met, resumable image block by image block."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...atomic import require_writable, write_atomic
from ...errors import DatasetError, InputError, JobError
from ...fingerprints import canonical_json, fingerprint
from ...jobs import open_job, progress_bar
from ...jobs.job import STATE, Job
from ...sources.datasets import load_dataset
from ...sources.datasets.record import Record
from ...stats.rates import wilson
from .gate import NOT_FLIPPED, Gate
from .plan import Plan, Request, count_cells
from .provenance import Codec
from .seam import Editor, LeftOutWarning
from .strength import AdaptiveStrength
from .tables import csv_text, edit_rows, json_lines, listed, original_rows, write_file, write_provenance
from .trying import Change, Edits, Maker

BALANCED, UNEDITED, EDITED = "metadata.csv", "unedited.csv", "edited.csv"
RECORD = "augmentation.json"
PROVENANCE = "provenance.parquet"


class ShortfallWarning(UserWarning):
    """A plan could not be met in full."""


@dataclass(frozen=True)
class Augmentation:
    """What `augment` left behind.

    Attributes
    ----------
    folder : Path
    requests : tuple of mapping
        Per request: label, source, to, wanted, accepted, tried, yield (low, high), reasons of rejection.
    short : int
        Images that the plan wanted and the gate did not let pass; 0 unless `allow_short`.
    counts : mapping
        Images per (label, group) with the edits.
    """

    folder: Path
    requests: tuple[Mapping[str, Any], ...]
    short: int
    counts: Mapping[tuple[str, str], int]

    @property
    def dataset(self) -> str:
        """Name of the augmented dataset: originals and edits."""
        return f"folder:{self.folder}?metadata={BALANCED}"

    @property
    def unedited(self) -> str:
        """Name of the control: the sources of the edits, through the editor at strength 0."""
        return f"folder:{self.folder}?metadata={UNEDITED}"

    @property
    def edited(self) -> str:
        """Name of the edits alone; row i of `unedited` is the same image unedited."""
        return f"folder:{self.folder}?metadata={EDITED}"


def augment(
    dataset: Any, editor: Editor, plan: Plan, gate: Gate, out: Path | str, *, changes: Mapping[Any, Any],
    pool: Any = None, strength: AdaptiveStrength | float | None = None, variants: int = 1, retries: int = 2,
    codec: Codec | str = "png", originals: str = "codec", fit: str = "crop", seed: int = 0, block: int = 32,
    allow_short: bool = False, supervisors: Sequence[str] = (), labeller: str = "", min_confidence: float = 0.0,
) -> Augmentation:  # fmt: skip
    """Edit images of `pool` until every request of `plan` has as many distinct, verified edits as it asks for.

    Parameters
    ----------
    dataset : Dataset or str
        The real images; they are copied through `codec`, never edited.
    editor : Editor
    plan : Plan
        With the names of its label and its protected attribute.
    gate : Gate
        Its chooser finds the strengths, its judges accept or reject.
    out : path
        New folder, or that of an interrupted run with the same settings.
    changes : mapping of group to change
        How an image is turned into one of that group: what `editor.edit` takes (a path, an instruction), alone or with
        a sign, ``{"old": (path, 1), "young": (path, -1)}``. A key (from, to) is for that way only.
    pool : Dataset or str, optional
        Where sources come from; default `dataset`. Needs the same two attributes.
    strength : AdaptiveStrength or float, optional
        Default: adaptive for continuous editors, 1 for others.
    variants : int
        How often one source may serve the same request, each time with a new seed and a tenth stronger.
    retries : int
        Further attempts at a rejected edit: stronger, then weaker by a tenth, each time with a new seed.
    codec : "png", "jpeg", "jpeg:QUALITY" or Codec
    originals : "codec", "reconstructed" or "none"
        Real images through the codec; or through the editor at strength 0 too, so that nothing tells them from edits.
    fit : "crop", "pad" or "refuse"
        For images that are not square.
    block : int
        Candidates per block: what a kill can cost. It can change pixels by rounding and is part of the configuration.
    allow_short : bool
        End with fewer edits than the plan wants (with a `ShortfallWarning`) instead of an error.
    supervisors : sequence of str
        Names or fingerprints of models with which the changes were learned, beside what paths say of themselves; a
        judge among them is warned of.
    labeller, min_confidence
        The model that made the pool's labels, if they are pseudo-labels; then ``<attribute>_confidence`` columns are
        needed, and rows below `min_confidence` are not used.

    Returns
    -------
    Augmentation
        In `out`: ``original/``, ``edited/`` and ``unedited/`` images; ``metadata.csv`` (originals and edits),
        ``edited.csv`` and ``unedited.csv`` (pairs, row by row), ``provenance.parquet`` (every attempt with its scores),
        ``augmentation.json`` (plan, judges with accuracies, yields).

    Raises
    ------
    InputError, GroupError
        A group without a change, a judge that does not know an attribute, a pool that is too small before any edit.
    JobError
        The gate rejected so many that the plan is not met; a full disk. What is done stays.
    ConfigMismatchError
        `out` holds a run with other settings.

    Warns
    -----
    SameJudgeWarning, ShortfallWarning, LeftOutWarning
    """
    codec, real = Codec.of(codec), load_dataset(dataset)
    source = real if pool is None else load_dataset(pool)
    ways = _check(plan, gate, editor, changes, variants, retries, originals, block)
    if strength is None:
        strength = AdaptiveStrength() if "continuous" in editor.capabilities else 1.0
    if isinstance(strength, AdaptiveStrength):
        editor.require("continuous")
    _check_folder(Path(out))
    guides = [*supervisors, *sorted({way.supervisor for way in ways.values()} - {""})]
    notes = gate.warn_circles(guides, labeller)
    records, left_out = _pool(source, plan, labeller, min_confidence)
    have = count_cells((one.attributes for one in records), plan.label, plan.attribute)
    missing = plan.shortfall(have, variants)
    if missing:
        _report_short(missing, variants, have, allow_short)
    settings = {
        "pool": source.fingerprint, "plan": plan.as_dict(), "editor": editor.card.as_dict(), "gate": gate.as_dict(),
        "changes": {f"{one.source}->{one.to}": way.as_dict() for one, way in ways.items()}, "seed": seed,
        "strength": strength.as_dict() if isinstance(strength, AdaptiveStrength) else strength, "fit": fit,
        "variants": variants, "retries": retries, "codec": [codec.format, codec.quality], "block": block,
        "labeller": labeller, "min_confidence": min_confidence,
    }  # fmt: skip
    maker = Maker(editor, gate, plan, ways, strength, retries, codec, fit, seed, fingerprint(settings))
    folder = Path(out)
    broken = [] if originals == "none" else _copy_originals(real, folder, maker, originals, settings)
    if broken:
        told = "; ".join(f"{name}: {why}" for name, why in broken[:3])
        warnings.warn(
            f"{len(broken)} of the real images are not in the augmented set, although the plan counted them ({told}"
            f"{' ...' if len(broken) > 3 else ''}); all are listed in {folder / RECORD}.",
            LeftOutWarning, stacklevel=2,
        )  # fmt: skip
    rows, results = _edits(folder, records, plan, maker, settings, variants, block)
    out_of_pool = {**left_out, "originals": broken}
    return _finish(folder, plan, gate, editor, results, rows, notes, out_of_pool, settings, originals, allow_short)


def _check(
    plan: Plan, gate: Gate, editor: Editor, changes: Mapping[Any, Any], variants: int, retries: int, originals: str,
    block: int,
) -> dict[Request, Change]:  # fmt: skip
    if not plan.label or not plan.attribute:
        raise InputError("the plan names no label and attribute; make it with label= and attribute=.")
    if not plan.requests:
        raise InputError(f"the plan asks for nothing: {dict(plan.counts)} is balanced already.")
    if variants < 1 or retries < 0 or block < 1 or originals not in ("codec", "reconstructed", "none"):
        raise InputError(
            f"variants={variants}, retries={retries}, block={block}, originals={originals!r}; expected whole numbers "
            "from 1, 0 and 1, and 'codec', 'reconstructed' or 'none'."
        )
    gate.check_attributes(plan.label, plan.attribute)
    gate.check_values(plan.attribute, {group for one in plan.requests for group in (one.source, one.to)})
    gate.check_values(plan.label, {one.label for one in plan.requests})
    ways: dict[Request, Change] = {}
    for request in plan.requests:
        key: Any = (request.source, request.to) if (request.source, request.to) in changes else request.to
        if key not in changes:
            raise InputError(
                f"no path or instruction turns {plan.attribute} into {request.to!r}; there are changes for "
                f"{', '.join(map(str, changes)) or 'nothing'}, and the plan edits into "
                f"{', '.join(sorted({one.to for one in plan.requests}))}. Give --change {request.to}=..., in Python "
                f"changes={{{request.to!r}: ...}}."
            )
        ways[request] = Change.of(changes[key], editor)
    return ways


def _check_folder(folder: Path) -> None:
    """Refuse to write among files that are not of an interrupted run: an input's own tables would be replaced."""
    require_writable(folder)
    if folder.is_dir() and not (folder / STATE).is_dir() and any(folder.iterdir()):
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:3])
        raise InputError(
            f"{folder} holds files that no run of augment made ({found} ...); expected a new folder, or that of an "
            "interrupted run. Name another."
        )


def _pool(source: Any, plan: Plan, labeller: str, least: float) -> tuple[list[Record], dict[str, int]]:
    """Usable records, and how many were left out why."""
    kept, left = [], Counter[str]()
    for record in source:
        values = [record.attributes.get(name) for name in (plan.label, plan.attribute)]
        sure = [record.attributes.get(f"{name}_confidence") for name in (plan.label, plan.attribute)]
        if labeller and all(one is None for one in sure):
            raise DatasetError(
                f"{source.name}: labels of {labeller!r} without {plan.label}_confidence or "
                f"{plan.attribute}_confidence; pseudo-labels are used only with their confidence."
            )
        if None in values or record.image is None:
            left["without label, group or image"] += 1
        elif any(isinstance(one, (int, float)) and one < least for one in sure):
            left[f"confidence below {least}"] += 1
        else:
            kept.append(record)
    return kept, dict(left)


def _report_short(missing: Mapping[Request, int], variants: int, have: Mapping[Any, int], allowed: bool) -> None:
    told = "; ".join(
        f"{request.name}: {request.n} wanted, {have.get((request.label, request.source), 0)} sources"
        for request in missing
    )
    text = (
        f"the pool is too small even if every edit passed ({told}; each source serves {variants} times). Give a larger "
        "pool=, more variants=, or a smaller plan"
    )
    if not allowed:
        raise InputError(f"{text}; allow_short=True ends with fewer.")
    warnings.warn(f"{text}.", ShortfallWarning, stacklevel=3)


def _copy_originals(
    real: Any, folder: Path, maker: Maker, how: str, settings: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Write the real images; ids of those that cannot be used, and why."""
    shards = real.shards(256)
    config = {"data": real.fingerprint, "how": how, "fit": settings["fit"], "codec": settings["codec"],
              "editor": settings["editor"] if how == "reconstructed" else maker.editor.card.size}  # fmt: skip
    specs = [{"shard": number, "spec": spec} for number, spec in enumerate(shards)]
    with open_job(folder, specs, config=config, name="originals") as job:
        done = len(specs) - len(job.pending)
        with progress_bar(len(specs), "originals", done, "shard") as bar:
            for index in job.pending:
                with job.shard(index) as (scratch, facts):
                    facts.update(_copy(real, shards[index], index, scratch, maker, how))
                bar.update()
        return [(str(name), str(why)) for index in range(len(specs)) for name, why in job.facts(index)["broken"]]


def _copy(real: Any, spec: Mapping[str, Any], number: int, scratch: Path, maker: Maker, how: str) -> dict[str, Any]:
    lines, broken = [], []
    for place, record in enumerate(real.read(spec)):
        try:
            image = maker.square(record)
        except (DatasetError, InputError) as error:
            broken.append([record.id, str(error)])
            continue
        if how == "reconstructed":
            image = maker.reconstruct(image[None], [maker.seed_of(record.id, "original", 0)])[0]
        name = f"original/{number:05d}/{place:05d}{maker.codec.suffix}"
        about = {"source": record.id, "reconstructed": how == "reconstructed"}
        write_file(scratch / name, maker.codec.encode(image, about, synthetic=how == "reconstructed"))
        lines.append({"id": f"original/{record.id}", "file": name, "kind": "original", "source": record.id,
                      **{key: value for key, value in record.attributes.items() if value is not None}})  # fmt: skip
    write_file(scratch / f"provenance/original-{number:05d}.jsonl", json_lines(lines))
    return {"n": len(lines), "broken": broken}


def _edits(
    folder: Path,
    records: Sequence[Record],
    plan: Plan,
    maker: Maker,
    settings: Mapping[str, Any],
    variants: int,
    block: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    orders = [_order(records, plan, place, settings["seed"], variants) for place in range(len(plan.requests))]
    specs = [
        {"request": place, "start": start, "stop": min(start + block, len(order))}
        for place, order in enumerate(orders)
        for start in range(0, len(order), block)
    ]
    results = []
    seen: set[str] = set()
    with (
        open_job(folder, specs, config=settings, name="edits") as job,
        progress_bar(plan.n, "edits", 0, "image") as bar,
    ):
        for place, request in enumerate(plan.requests):
            blocks = [index for index, spec in enumerate(specs) if spec["request"] == place]
            results.append(_one_request(job, blocks, request, orders[place], records, maker, seen, bar))
        lines = list(edit_rows(folder, job))
    return lines, results


def _one_request(
    job: Job,
    blocks: Sequence[int],
    request: Request,
    order: Sequence[tuple[int, int]],
    records: Sequence[Record],
    maker: Maker,
    seen: set[str],
    bar: Any,
) -> dict[str, Any]:
    """Blocks in turn until the request is met; those that a killed run finished are read, not made again."""
    accepted = tried = 0
    reasons: Counter[str] = Counter()
    pending = set(job.pending)
    for index in blocks:
        if accepted == request.n:
            break
        if index in pending:
            spec = job.specs[index]
            rows = [(records[row], variant) for row, variant in order[spec["start"] : spec["stop"]]]
            with job.shard(index) as (scratch, facts):
                edits = maker.block(request, rows, request.n - accepted, accepted, seen)
                _write_edits(scratch, index, edits)
                facts.update(edits.facts())
        held = job.facts(index)
        accepted += held["accepted"]
        tried += held["tried"]
        reasons.update(held["reasons"])
        seen.update(held["hashes"])
        bar.update(held["accepted"])
    low, high = wilson(accepted, tried) if tried else (float("nan"), float("nan"))
    return {
        "label": request.label, "source": request.source, "to": request.to, "wanted": request.n,
        "accepted": accepted, "tried": tried, "yield": accepted / tried if tried else None,
        "low": low if tried else None, "high": high if tried else None, "reasons": dict(sorted(reasons.items())),
    }  # fmt: skip


def _order(records: Sequence[Record], plan: Plan, place: int, seed: int, variants: int) -> list[tuple[int, int]]:
    """Candidates of a request: sources in random order, all of them once before any a second time."""
    request = plan.requests[place]
    cell = (request.label, request.source)
    rows = [
        row
        for row, record in enumerate(records)
        if (str(record.attributes[plan.label]), str(record.attributes[plan.attribute])) == cell
    ]
    rng = np.random.default_rng([seed, place])
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    return [(row, variant) for variant in range(variants) for row in shuffled]


def _write_edits(scratch: Path, index: int, edits: Edits) -> None:
    for name, data in edits.files.items():
        write_file(scratch / name, data)
    write_file(scratch / f"provenance/edited-{index:05d}.jsonl", json_lines(edits.rows))


def _finish(
    folder: Path, plan: Plan, gate: Gate, editor: Editor, results: list[dict[str, Any]], rows: list[dict[str, Any]],
    notes: Sequence[str], left_out: Mapping[str, Any], settings: Mapping[str, Any], originals: str, allow_short: bool,
) -> Augmentation:  # fmt: skip
    accepted = [row for row in rows if row["accepted"]]
    rows_of_real = [] if originals == "none" else list(original_rows(folder))
    kept = [row for row in rows_of_real if row.get(plan.label) is not None and row.get(plan.attribute) is not None]
    short = sum(one["wanted"] - one["accepted"] for one in results)
    edited = [listed(row, "edited", plan) for row in accepted]
    unedited = [listed(row, "unedited", plan) for row in accepted]
    counts = Counter((str(row[plan.label]), str(row[plan.attribute])) for row in [*kept, *edited]
                     if plan.label in row and plan.attribute in row)  # fmt: skip
    write_provenance(folder / PROVENANCE, rows)
    for name, table in ((EDITED, edited), (UNEDITED, unedited), (BALANCED, [*kept, *edited])):
        if table:
            write_atomic(folder / name, csv_text(table))
    record = {
        "fairvl": __version__, "plan": plan.as_dict(), "editor": editor.card.as_dict(), "gate": gate.as_dict(),
        "requests": results, "short": short, "counts": [[*cell, n] for cell, n in sorted(counts.items())],
        "left out": dict(left_out), "notes": [*plan.notes, *notes], "settings": fingerprint(settings),
        "codec": settings["codec"], "seed": settings["seed"],
    }  # fmt: skip
    write_atomic(folder / RECORD, json.dumps(json.loads(canonical_json(record)), indent=1) + "\n")
    if short:
        told = "; ".join(
            f"{one['label']}: {one['source']} -> {one['to']}: {one['accepted']} of {one['wanted']} "
            f"after {one['tried']} candidates ({', '.join(f'{n} {why}' for why, n in one['reasons'].items())})"
            for one in results
            if one["accepted"] < one["wanted"]
        )
        text = f"{folder}: {short} of {plan.n} edits are missing ({told}). A larger pool=, variants= or retries= help"
        if any(2 * one["reasons"].get(NOT_FLIPPED, 0) > one["tried"] for one in results):
            text += "; most of a request did not flip: does its change lead to the other pole (+ and - swapped)?"
        if not allow_short:
            raise JobError(f"{text}; what passed stays in the folder.")
        warnings.warn(f"{text}.", ShortfallWarning, stacklevel=3)
    return Augmentation(folder, tuple(results), short, dict(counts))
