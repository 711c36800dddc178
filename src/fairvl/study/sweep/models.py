"""Which models a sweep measures, and what is known about them: MODELS.toml, a CSV, or the catalogue."""

from __future__ import annotations

import csv
import io
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from ...errors import InputError
from ...sources.encoders.names import FORMS

Cell: TypeAlias = str | int | float
CATALOGUE = "catalogue:"
TEXTS = ("dataset", "dataset_family", "filtering", "architecture", "architecture_family")
NUMBERS = ("dataset_size", "params_m")
COVARIATES = (*TEXTS[:2], "dataset_size", *TEXTS[2:], "params_m")
TABLE = "models.csv"


@dataclass(frozen=True)
class ModelEntry:
    """One model of a sweep: how to load it, what it is called, and its covariates.

    Attributes
    ----------
    id : str
        Name of the model in every table.
    encoder : str
        Name for `load_encoder`; empty for an encoder object that Python passed.
    covariates : mapping
        Those of `COVARIATES` that are known (``dataset_size`` in pairs, ``params_m`` in millions), and free columns.
    """

    id: str
    encoder: str
    covariates: Mapping[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariates", MappingProxyType(dict(self.covariates)))


def read_models(source: Path | str) -> tuple[ModelEntry, ...]:
    """Models of a ``.toml`` or ``.csv`` file, or ``catalogue:FILTER``.

    The TOML file holds one ``[[model]]`` table per model with ``encoder``, optionally ``id`` (default: the encoder's
    name), covariates, and free columns. The CSV has the same keys as columns. Paths in encoder names are meant from
    the working directory, as on the command line.

    Raises
    ------
    InputError
        No such file, a key that looks misspelt, a value of the wrong kind, an id twice.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "MODELS.toml")
    >>> _ = path.write_text('[[model]]\\nencoder = "fake:8"\\nparams_m = 1.5\\n')
    >>> read_models(path)[0].id, dict(read_models(path)[0].covariates)
    ('fake:8', {'params_m': 1.5})
    """
    if isinstance(source, str) and source.startswith(CATALOGUE):
        return _from_catalogue(source.removeprefix(CATALOGUE))
    path = Path(source)
    if path.suffix not in (".toml", ".csv"):
        raise InputError(f"{path}: models come as a .toml or .csv file, or as catalogue:FILTER.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Expected a table of models.") from error
    if path.suffix == ".csv":
        tables: Sequence[Any] = [{k: v for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(text))]
        if surplus := [n for n, table in enumerate(tables, 1) if None in table]:
            raise InputError(f"{path}: row {surplus[0]} has more cells than the header. Quote a cell that holds a "
                             "comma.")  # fmt: skip
        return check_models((_entry(_typed(table), f"{path}: row {n}") for n, table in enumerate(tables, 1)), str(path))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML ({error}).") from error
    if unknown := sorted(set(document) - {"model"}):
        hint = " Did you mean [[model]]?" if get_close_matches(unknown[0], ["model"], cutoff=0.5) else ""
        raise InputError(f"{path}: unknown table {unknown[0]!r}.{hint} Expected one [[model]] per model.")
    tables = document.get("model", [])
    if not isinstance(tables, list):
        raise InputError(f"{path}: [model] is one table; expected [[model]] with double brackets, once per model.")
    return check_models((_entry(table, f"{path}: model {n}") for n, table in enumerate(tables, 1)), str(path))


def check_models(entries: Iterable[ModelEntry], source: str = "models") -> tuple[ModelEntry, ...]:
    """The entries as a tuple, after checking that there is one and that ids are unique."""
    found = tuple(entries)
    if not found:
        raise InputError(f"{source}: no models; expected at least one [[model]] with an encoder.")
    twice = [id_ for id_, count in Counter(entry.id for entry in found).items() if count > 1]
    if twice:
        raise InputError(f"{source}: the id {twice[0]!r} stands {sum(e.id == twice[0] for e in found)} times. "
                         "Every model needs its own; give one of them another id.")  # fmt: skip
    return found


def models_csv(entries: Iterable[ModelEntry], parameters: Mapping[str, float]) -> str:
    """CSV of ids, encoders and covariates; `params_m` falls back on what was counted in the loaded model.

    Parameters
    ----------
    parameters
        Measured parameters in millions, by model id.
    """
    entries = tuple(entries)
    free = dict.fromkeys(key for entry in entries for key in entry.covariates if key not in COVARIATES)
    columns = ["model", *COVARIATES, *free, "encoder"]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        row: dict[str, Any] = {"model": entry.id, "encoder": entry.encoder, **entry.covariates}
        if "params_m" not in row and entry.id in parameters:
            row["params_m"] = round(parameters[entry.id], 6)
        writer.writerow({k: "'" + v if isinstance(v, str) and v[:1] in "=+-@\t\r" and v else v for k, v in row.items()})
    return out.getvalue()


def _typed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A CSV row with its numeric covariates as numbers; `model` is another name of `id`, as in models.csv."""
    typed: dict[str, Any] = {("id" if key == "model" else key): value for key, value in row.items()}
    for key in NUMBERS:
        if key in typed:
            try:
                typed[key] = float(typed[key])
            except (TypeError, ValueError):
                continue  # `_entry` says what is wrong with it
    return typed


def _entry(table: Any, where: str) -> ModelEntry:
    if not isinstance(table, Mapping):
        raise InputError(f'{where}: expected a table with encoder = "...", found {type(table).__name__}.')
    known = ("encoder", "id", *COVARIATES)
    for key in table:
        if key not in known:
            near = get_close_matches(str(key), known, n=1, cutoff=0.75)
            if near:
                raise InputError(f"{where}: unknown key {key!r}. Did you mean {near[0]!r}? "
                                 "A column of your own needs a name less like it.")  # fmt: skip
            if key == "model":
                raise InputError(f"{where}: unknown key 'model'. Did you mean 'id' (its name) or 'encoder'?")
    encoder = table.get("encoder")
    if isinstance(encoder, str):
        _check_form(encoder, where)
    if encoder is not None and not isinstance(encoder, str):
        raise InputError(f"{where}: encoder is {encoder!r}; expected a text.")
    if not encoder:
        found = ", ".join(map(str, table)) or "nothing"
        raise InputError(f'{where}: no encoder; expected encoder = "open_clip:ARCH/TAG" or the like, found {found}.')
    id_ = table.get("id", encoder)
    if not isinstance(id_, str) or not id_.strip() or len(id_) > 200:
        raise InputError(f"{where}: id {id_!r}; expected a short text.")
    covariates = {key: _cell(value, str(key), where) for key, value in table.items() if key not in ("encoder", "id")}
    return ModelEntry(id_, encoder, _known(encoder) | covariates)


def _known(encoder: str) -> dict[str, Cell]:
    """What the catalogue knows of a published model; what the list says itself goes before it."""
    from ..catalogue import find_entry

    entry = find_entry(encoder.partition("?")[0]) if encoder.startswith("open_clip:") else None
    row = entry.covariates() if entry else {}
    return {key: value for key, value in row.items() if key != "model" and _is_known(value)}


def _check_form(encoder: str, where: str) -> None:
    """Refuse a misspelt kind of encoder, or a kind and nothing else, before the first model is loaded."""
    prefix, colon, target = encoder.partition("?")[0].partition(":")
    prefixes = tuple(dict.fromkeys(form.partition(":")[0] for form in FORMS))
    if prefix not in prefixes:
        near = get_close_matches(prefix, prefixes, n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{where}: encoder {encoder!r} is not understood.{hint} Expected one of: {'; '.join(FORMS)}.")
    if not target and (colon or prefix not in FORMS):
        forms = "; ".join(form for form in FORMS if form.partition(":")[0] == prefix)
        raise InputError(f"{where}: encoder {encoder!r} names a kind and nothing of it. Expected one of: {forms}.")


def _cell(value: Any, key: str, where: str) -> Cell:
    if key in NUMBERS:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
        if not good:
            unit = "a number of pairs" if key == "dataset_size" else "millions of parameters"
            raise InputError(f"{where}: {key} is {value!r}; expected {unit}, above 0. Leave it out where unknown.")
    elif key in TEXTS and not isinstance(value, str):
        raise InputError(f"{where}: {key} is {value!r}; expected a text.")
    elif not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{where}: {key} holds {type(value).__name__}; expected a text or a number.")
    cell: Cell = value
    return cell


def _from_catalogue(query: str) -> tuple[ModelEntry, ...]:
    """Entries of the shipped catalogue of open_clip models, ``filtering=none,CLIP score&max_params_m=200``."""
    from ..catalogue import catalogue_models, covariates

    conditions: dict[str, Any] = {}
    for item in filter(None, query.split("&")):
        key, _, value = item.partition("=")
        if key not in FILTERS or not value or key in conditions:
            near = get_close_matches(key, FILTERS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near and near[0] != key else ""
            raise InputError(f"{CATALOGUE}{query}: {item!r}.{hint} Expected {', '.join(FILTERS)}, each once, as "
                             "key=value with & between them; several values with commas.")  # fmt: skip
        conditions[key] = FILTERS[key](value)
    rows = covariates([entry.model for entry in catalogue_models(**({"loadable": True} | conditions))])
    return check_models(
        (
            ModelEntry(
                str(row["model"]), str(row["model"]), {k: v for k, v in row.items() if k != "model" and _is_known(v)}
            )
            for row in rows
        ),
        f"{CATALOGUE}{query}",
    )


def _is_known(value: Cell) -> bool:
    return value != "" and not (isinstance(value, float) and math.isnan(value))


def _yes(value: str) -> bool:
    if value.lower() not in ("1", "true", "yes", "0", "false", "no"):
        raise InputError(f"{CATALOGUE}...{value!r}: expected 1 or 0.")
    return value.lower() in ("1", "true", "yes")


def _millions(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"{CATALOGUE}max_params_m={value}: expected a number.") from None


def _several(value: str) -> list[str]:
    return value.split(",")


FILTERS: dict[str, Callable[[str], Any]] = {
    "dataset_family": _several,
    "architecture_family": _several,
    "filtering": _several,
    "max_params_m": _millions,
    "paper_2025": _yes,
    "loadable": _yes,
}
