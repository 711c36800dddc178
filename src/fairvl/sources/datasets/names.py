"""``scheme:place?option=value``: from a string to a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fairvl.errors import DatasetError
from fairvl.sources.datasets.parts import Part, PartDataset, Recoded
from fairvl.sources.datasets.record import Dataset, Value
from fairvl.sources.datasets.table import nearest

FORMS = (
    "folder:DIR?metadata=labels.csv",
    "zip:FILE?metadata=labels.csv",
    "parquet:FILE",
    "webdataset:{00000..00099}.tar",
    "hf:NAME-OR-DIR",
    "waterbirds:DIR?split=test",
    "celeba:DIR?split=test",
    "celeba-hq:DIR?split=train",
    "utkface:DIR",
    "fairface:DIR?split=val",
    "vqav2:DIR?split=val",
    "gqa:DIR?split=val",
    "nlvr2:DIR?split=dev",
    "flickr30k:DIR?split=test",
    "world:portraits?n=5000&bias=0.9&seed=1",
    "world:faces?n=400&plant=skin-smile&agreement=0.9",
)
_COMMON = ("id", "image", "caption", "limit", "recode")
_OPTIONS = {
    "folder": ("metadata", *_COMMON),
    "zip": ("metadata", *_COMMON),
    "parquet": _COMMON,
    "webdataset": _COMMON,
    "hf": ("split", "config", "revision", *_COMMON),
    "waterbirds": ("split", "limit", "recode"),
    "celeba": ("split", "attributes", "limit", "recode"),
    "celeba-hq": ("split", "attributes", "limit", "recode"),
    "utkface": ("limit", "recode"),
    "fairface": ("split", "limit", "recode"),
    "vqav2": ("split", "group", "limit", "recode"),
    "gqa": ("split", "questions", "group", "limit", "recode"),
    "nlvr2": ("split", "group", "limit", "recode"),
    "flickr30k": ("split", "group", "limit", "recode"),
}
_SCHEMES = (*_OPTIONS, "world")


def load_dataset(source: str | Any, *, recode: Mapping[str, Mapping[Any, Value]] | None = None) -> Dataset:
    """Open a dataset by name; nothing is extracted, downloaded (but for ``hf:NAME``) or decoded.

    Parameters
    ----------
    source : str, Dataset, or datasets.Dataset
        One of

        ``folder:DIR?metadata=labels.csv``
            A table (CSV, TSV, parquet) beside or below the images: a column of file names (``path``, ``file``,
            ``file_name`` ... or ``image=NAME``), ``id`` (default: the file name), ``caption``; every other column is an
            attribute. Without ``metadata=``: all images below DIR by name, ids their relative paths.
        ``zip:FILE?metadata=labels.csv``
            The same, from the members of an archive.
        ``parquet:FILE`` (or a pattern with ``*``)
            A column of image bytes, or of ``{bytes, path}`` as Hugging Face writes it (``image=NAME``).
        ``webdataset:{00000..00099}.tar``
            Tars as img2dataset writes them: members grouped by name up to the first dot; ``.txt`` is the caption,
            ``.json`` (or a parquet file named like the tar, beside it) holds the attributes.
        ``hf:NAME-OR-DIR?split=train``
            A folder written by ``save_to_disk``, or a dataset on the hub.
        ``waterbirds:DIR?split=test`` (or train, val, all)
            Waterbirds as published: attributes ``bird``, ``place`` and their ``group``.
        ``celeba:DIR?split=test&attributes=Smiling,Young``
            CelebA as published: ``hair`` (blond or dark), ``gender``, their ``group``, and the attributes named.
        ``celeba-hq:DIR?split=train&attributes=Smiling``, ``utkface:DIR``, ``fairface:DIR?split=val``
            Faces as published: ``age_group`` (young, old from 40), ``gender``, and ``race``, ``age`` where labelled.
        ``vqav2:DIR?split=val``, ``gqa:DIR?split=val``, ``nlvr2:DIR?split=dev``, ``flickr30k:DIR?split=test``
            Tasks on images and text as published: the caption is the question, sentence or caption;
            ``group=gender-en`` adds whom it names. See `fairvl.sources.datasets.vl_tasks`.
        ``world:portraits?n=5000&bias=0.9&seed=1``, ``world:faces?n=400&plant=skin-smile&agreement=0.9``
            The built-in world: portraits, or aligned faces of which two attributes go together.

        Options follow ``?``, joined with ``&``; ``%26`` and the like are decoded in values. For all but the world:
        ``id=``, ``image=``, ``caption=`` name columns, ``limit=N`` stops after N records, ``recode=COLUMN:OLD:NEW``
        (may be repeated) replaces a value.
    recode : mapping of column to {old: new}, optional
        Replaces attribute values, such as ``{"gender": {"man1": "man"}}``; a new value of None declares it missing.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        An unknown form or option (with the nearest one), a place that does not exist, duplicate ids, unknown columns.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (4, 4)).save(folder / "a.png")
    >>> _ = (folder / "labels.csv").write_text("file,gender\\na.png,man1\\n")
    >>> dataset = load_dataset(f"folder:{folder}?metadata=labels.csv", recode={"gender": {"man1": "man"}})
    >>> [(record.id, record.attributes) for record in dataset]
    [('a.png', {'gender': 'man'})]
    """
    recoded = {column: dict(values) for column, values in (recode or {}).items()}
    if not isinstance(source, str):
        dataset = _from_object(source)
    else:
        scheme, place, query = _split(source)
        if scheme == "world":
            dataset = _world(place, query)
        else:
            options = _options(scheme, query)
            for column, values in _recode_option(options.pop("recode", [])).items():
                recoded.setdefault(column, {}).update(values)
            dataset = _open(source, scheme, place, {key: value[-1] for key, value in options.items()})
    return Recoded(dataset, recoded) if recoded else dataset


def _open(name: str, scheme: str, place: str, options: dict[str, str]) -> Dataset:
    limit = _limit(options.pop("limit", None))
    parts: list[Part]
    training: Mapping[str, Mapping[str, int]] = {}
    if scheme == "folder":
        from fairvl.sources.datasets.listed import folder_part

        parts = [folder_part(Path(place).expanduser(), options)]
    elif scheme == "zip":
        from fairvl.sources.datasets.listed import zip_part

        parts = [zip_part(Path(place).expanduser(), options)]
    elif scheme == "parquet":
        from fairvl.sources.datasets.parquet import parquet_parts

        parts = [*parquet_parts(place, options)]
    elif scheme == "webdataset":
        from fairvl.sources.datasets.webdataset import tar_parts

        parts = [*tar_parts(place, options)]
    elif scheme in ("waterbirds", "celeba"):
        from fairvl.sources.datasets import benchmarks

        folder, split = Path(place).expanduser(), options.get("split", "test")
        named = tuple(filter(None, options.get("attributes", "").split(",")))
        found = (
            benchmarks.waterbirds(folder, split) if scheme == "waterbirds" else benchmarks.celeba(folder, split, named)
        )
        parts, training = [found.part], found.training
    elif scheme in ("celeba-hq", "utkface", "fairface"):
        part, training = _faces(scheme, Path(place).expanduser(), options)
        parts = [part]
    elif scheme in ("vqav2", "gqa", "nlvr2", "flickr30k"):
        from fairvl.sources.datasets.vl_tasks import TASKS

        parts = [TASKS[scheme](Path(place).expanduser(), options)]
    else:
        from fairvl.sources.datasets.huggingface import named_part

        parts = [named_part(place, options)]
    seal = {"scheme": scheme, **{key: options[key] for key in sorted(options) if key != "metadata"}}
    return PartDataset(name, parts, options=seal, limit=limit, training_counts=training)


def _faces(scheme: str, folder: Path, options: Mapping[str, str]) -> tuple[Part, Mapping[str, Mapping[str, int]]]:
    from fairvl.sources.datasets import face_sets

    if scheme == "utkface":
        return face_sets.utkface(folder), {}
    if scheme == "fairface":
        found = face_sets.fairface(folder, options.get("split", "val"))
    else:
        named = tuple(filter(None, options.get("attributes", "").split(",")))
        found = face_sets.celeba_hq(folder, options.get("split", "train"), named)
    return found.part, found.training


def _from_object(source: Any) -> Dataset:
    if isinstance(source, Dataset):
        return source
    if type(source).__module__.split(".")[0] == "datasets":
        from fairvl.sources.datasets.huggingface import object_part

        return PartDataset("hf:(given object)", [object_part(source, {})], options={"scheme": "hf"})
    raise DatasetError(
        f"a dataset is given by a string, a fairvl Dataset or a Hugging Face Dataset, found {type(source).__name__}. "
        f"Accepted forms: {'; '.join(FORMS)}"
    )


def _world(place: str, query: str) -> Dataset:
    if place not in ("portraits", "faces"):
        raise DatasetError(f"the world offers no {place!r}. " + nearest(place, ["portraits", "faces"]))
    from fairvl.sources.world.dataset import faces_dataset, portraits_dataset

    dataset: Dataset = (portraits_dataset if place == "portraits" else faces_dataset)(query)
    return dataset


def _split(source: str) -> tuple[str, str, str]:
    scheme, colon, rest = source.partition(":")
    if not colon or scheme not in _SCHEMES:
        found = f"{source!r} is not a dataset: " + ("no scheme" if not colon else f"unknown scheme {scheme!r}")
        raise DatasetError(f"{found}. {nearest(scheme, _SCHEMES)} Accepted forms: {'; '.join(FORMS)}")
    place, mark, query = rest.rpartition("?")
    if not mark:
        place, query = rest, ""
    if not place:
        raise DatasetError(f"{source!r} names no place. Accepted forms: {'; '.join(FORMS)}")
    return scheme, place, query


def _options(scheme: str, query: str) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if key not in _OPTIONS[scheme]:
            raise DatasetError(f"{scheme}: has no option {key!r}. " + nearest(key, _OPTIONS[scheme]))
        if not equals or not value:
            raise DatasetError(f"the option {key!r} of {scheme}: needs a value: {key}=...")
        if key in options and key != "recode":
            raise DatasetError(f"the option {key!r} of {scheme}: is given twice; give it once")
        options.setdefault(key, []).append(value if key == "recode" else unquote(value))
    return options


def _recode_option(items: list[str]) -> dict[str, dict[Any, Value]]:
    recode: dict[str, dict[Any, Value]] = {}
    for item in items:
        fields = [unquote(text) for text in item.split(":")]
        if len(fields) != 3 or not all(fields[:2]):
            raise DatasetError(f"recode={item!r} must read COLUMN:OLD:NEW (write %3A for a colon inside)")
        recode.setdefault(fields[0], {})[fields[1]] = fields[2] or None
    return recode


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise DatasetError(f"limit must be a whole number of at least 1, found {text!r}")
    return int(text)
