"""Images for a table of prompts, resumable: the verb `fairvl generate`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from warnings import warn

from ...atomic import require_writable, write_atomic
from ...errors import ConfigMismatchError, GeneratorError
from ...fingerprints import canonical_json, fingerprint
from ...jobs import JobRun, progress_bar, run_job
from ...jobs.run import parse_engine
from .folder import read_json
from .names import load_generator
from .prompts import Rows, read_prompts
from .seam import Generator, PromptLengthWarning, check_images, check_seeds

TABLE = "prompts.csv"
RECORD = "generation.json"


def generate(
    generator: Generator | str, prompts: Any, out: Path | str, *, seeds: int | Iterable[int] = 16,
    images_per_shard: int = 64, engine: str = "local", verify: str = "full", **options: Any,
) -> JobRun:  # fmt: skip
    """Draw every prompt with every seed into folder `out`; killed, the same call goes on.

    Parameters
    ----------
    generator : Generator or str
        See `load_generator` for the strings.
    prompts : list of prompts, list of mappings, or path of a CSV file
        See `read_prompts`: ``prompt`` is needed; ``concept``, ``kind``, ``expected`` and any other column are carried.
    out : path
        New folder, or that of an interrupted run with the same settings.
    seeds : int or list of int
        How many images per prompt (seeds 0, 1, ...), or the seeds themselves. All prompts share them, and so does a run
        before and after a repair: image by image they differ in the repair alone.
    images_per_shard : int
        What a kill can cost at most.
    engine : "local" or "shard:i/n"
    **options
        Of `load_generator`, where `generator` is a string.

    Returns
    -------
    JobRun
        ``images/PROMPT/SEED.png``; ``prompts.csv`` (id, file, prompt, seed, concept, kind, and the table's own columns)
        and ``generation.json`` (the card) once all images are there.

    Raises
    ------
    GeneratorError
        Empty or repeated prompts, a missing column, seeds that repeat or are no whole numbers.
    ConfigMismatchError
        `out` holds a run with another generator, repair, prompts or seeds.
    JobError
        A full disk, another run at work in `out`: what is done is kept.

    Warns
    -----
    PromptLengthWarning
        Prompts of which the model sees only the beginning.
    """
    rows, listed = check_request(prompts, out, seeds=seeds, images_per_shard=images_per_shard, engine=engine)
    if isinstance(generator, str):
        generator = load_generator(generator, **options)
    elif options:
        raise GeneratorError(f"{', '.join(options)}: options of a name; this generator is loaded already.")
    if long := generator.over_length([row["prompt"] for row in rows]):
        warn(
            f"{len(long)} prompts exceed the model's window, which sees only their beginning; the first: "
            f"{rows[long[0]]['prompt'][:80]!r}.",
            PromptLengthWarning,
            stacklevel=2,
        )
    table = [_entry(place, row, seed) for place, row in enumerate(rows) for seed in listed]
    specs = [
        {"shard": number, "images": [{key: entry[key] for key in ("file", "prompt", "seed")} for entry in part]}
        for number, start in enumerate(range(0, len(table), images_per_shard))
        if (part := table[start : start + images_per_shard])
    ]
    card = generator.card
    config = {"generator": card.as_dict(), "prompts": fingerprint(rows), "seeds": listed, "per_shard": images_per_shard,
              "batch": getattr(generator, "batch_size", None)}  # fmt: skip
    run = run_job(out, specs, _Draw(generator), config=config, name="images", engine=engine, workers=0, verify=verify)
    if run.complete:
        record = {"generator": card.as_dict(), "fingerprint": card.fingerprint, "n": len(table), "seeds": listed}
        write_atomic(Path(out) / RECORD, canonical_json(record) + "\n")
        write_atomic(Path(out) / TABLE, _text(table))
    return run


def check_request(
    prompts: Any, out: Path | str, *, seeds: int | Iterable[int], images_per_shard: int = 64, engine: str = "local"
) -> tuple[Rows, list[int]]:
    """Prompts and seeds, after every check of `generate` that needs no model.

    Raises
    ------
    GeneratorError, DatasetError, ConfigMismatchError
        As `generate` does.
    """
    rows = read_prompts(prompts)
    listed = _seeds(seeds)
    if images_per_shard < 1:
        raise GeneratorError(f"images_per_shard={images_per_shard}; expected at least 1.")
    if engine.startswith("ray"):
        raise GeneratorError("engine='ray': a model in memory stays in its process; run parts with shard:i/n instead.")
    parse_engine(engine)
    require_writable(out)
    record = Path(out) / RECORD
    drawn = read_json(record).get("seeds") if record.is_file() else None
    if isinstance(drawn, list) and drawn != listed:
        raise ConfigMismatchError(
            f"{out}: holds {len(drawn)} images of every prompt (seeds {_short(drawn)}), and {len(listed)} are asked "
            f"for now (seeds {_short(listed)}). Ask for the same seeds, or name a new output folder."
        )
    return rows, listed


def _short(seeds: Sequence[Any]) -> str:
    return ", ".join(map(str, seeds)) if len(seeds) < 4 else f"{seeds[0]}, {seeds[1]}, ..., {seeds[-1]}"


class _Draw:
    """The work of one shard."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def __call__(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        from PIL import Image

        entries = spec["images"]
        size = getattr(self.generator, "batch_size", None) or len(entries)
        with progress_bar(len(entries), "this shard", unit="image") as bar:
            bar.leave = False
            for start in range(0, len(entries), size):
                part = entries[start : start + size]
                made = self.generator.generate([one["prompt"] for one in part], [one["seed"] for one in part])
                images = check_images(made, len(part), self.generator.card.name)
                for entry, image in zip(part, images, strict=True):
                    path = folder / entry["file"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(path, format="PNG")
                bar.update(len(part))
        return {"n": len(entries)}


def _entry(place: int, row: Mapping[str, str], seed: int) -> dict[str, Any]:
    name = f"{place:04d}"
    own = {"id": f"{name}-{seed}", "file": f"images/{name}/{seed}.png", "prompt": row["prompt"], "seed": seed}
    return own | {key: value for key, value in row.items() if key != "prompt"}


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if isinstance(seeds, bool) or (isinstance(seeds, int) and seeds < 1):
        raise GeneratorError(f"seeds={seeds}; expected at least 1 image per prompt, or a list of seeds.")
    listed = check_seeds(range(seeds) if isinstance(seeds, int) else seeds)
    if not listed:
        raise GeneratorError("seeds: none; expected at least one.")
    repeated = sorted({seed for seed in listed if listed.count(seed) > 1}) if len(set(listed)) < len(listed) else []
    if repeated:
        raise GeneratorError(f"seeds: {repeated[:5]} stand there twice, and would give the same images twice.")
    return listed


def _text(table: Sequence[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue()
