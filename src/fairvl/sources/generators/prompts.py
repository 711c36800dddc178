"""Tables of prompts: what to draw, whether a prompt names a group itself, and which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import GeneratorError
from ..datasets.table import read_table

KINDS = ("neutral", "explicit")
OWN = ("id", "file", "seed")  # columns that `generate` writes itself
Rows = list[dict[str, str]]


def read_prompts(prompts: Path | str | Sequence[str] | Sequence[Mapping[str, str]]) -> Rows:
    """Rows with ``prompt``, ``concept``, ``kind`` and whatever else the table has.

    Parameters
    ----------
    prompts : path of a CSV file, list of prompts, or list of mappings
        ``prompt`` is needed. ``concept`` (what the prompt is about) is the prompt itself where it is left out, ``kind``
        is ``neutral``. Rows of the kind ``explicit`` say in ``expected`` which group they name.

    Raises
    ------
    GeneratorError
        A prompt is empty or stands there twice, a kind is not known, an explicit prompt without ``expected``.
    DatasetError
        No such table, one without the column ``prompt``, a malformed one.

    Examples
    --------
    >>> read_prompts(["a photo of a doctor"])
    [{'prompt': 'a photo of a doctor', 'concept': 'a photo of a doctor', 'kind': 'neutral'}]
    """
    rows = _file(Path(prompts)) if isinstance(prompts, (str, Path)) else [_row(row) for row in prompts]
    where = f"{prompts}: " if isinstance(prompts, (str, Path)) else "prompts: "
    if not rows:
        raise GeneratorError(f"{where}no prompts.")
    if missing := [place for place, row in enumerate(rows) if "prompt" not in row]:
        raise GeneratorError(
            f"{where}no column 'prompt' (row {missing[0] + 1} has {', '.join(sorted(rows[missing[0]])) or 'nothing'})."
        )
    columns = dict.fromkeys(name for row in rows for name in row)
    if taken := [name for name in OWN if name in columns]:
        raise GeneratorError(f"{where}column {taken[0]!r} is written by generate; give yours another name.")
    made, seen = [], set()
    for place, row in enumerate(rows, start=1):
        prompt = row["prompt"].strip()
        if not prompt:
            raise GeneratorError(f"{where}row {place} has an empty prompt.")
        if prompt in seen:
            raise GeneratorError(
                f"{where}row {place} repeats {prompt!r}; more images of a prompt come from more seeds."
            )
        seen.add(prompt)
        kind = row.get("kind", "").strip() or "neutral"
        if kind not in KINDS:
            raise GeneratorError(f"{where}row {place} is of kind {kind!r}; expected neutral or explicit.")
        if kind == "explicit" and not row.get("expected", "").strip():
            raise GeneratorError(
                f"{where}row {place} is explicit, but column 'expected' does not say which group {prompt!r} names."
            )
        rest = {name: row.get(name, "").strip() for name in columns if name not in ("prompt", "concept", "kind")}
        made.append({"prompt": prompt, "concept": row.get("concept", "").strip() or prompt, "kind": kind, **rest})
    return made


def _row(row: str | Mapping[str, str]) -> dict[str, str]:
    if isinstance(row, str):
        return {"prompt": row}
    if not isinstance(row, Mapping):
        raise GeneratorError(f"prompts: {row!r}; expected texts, or mappings with a 'prompt'.")
    return {str(name): "" if value is None else str(value) for name, value in row.items()}


def _file(path: Path) -> Rows:
    table = read_table(path, required=["prompt"])
    names = list(table)
    table = read_table(path, required=["prompt"], strings=names)  # letter by letter: a code is no number
    columns = [["" if value is None else str(value) for value in table[name]] for name in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
