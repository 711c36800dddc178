"""From names and small files to editors, changes and judges, as the command line gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from ...errors import InputError
from ...sources.datasets import load_dataset
from ...sources.datasets.decode import decode_image
from ...sources.documents import check_keys, check_text, check_texts, parse_toml
from ...sources.encoders import load_encoder
from ...sources.options import loader_options
from .judges import Judge
from .paths import PathModel
from .seam import Editor, square_images

FORMS = ("world:diffae?steps=10", "diffae:FOLDER?steps=20", "diffusers:FOLDER-OR-NAME?steps=50")
MOST = 2000  # images on which a judge's accuracy is measured


def load_editor(name: str) -> Editor:
    """An editor by name; options follow ``?``, joined with ``&``.

    Raises
    ------
    InputError
        An unknown form, or an option that the editor does not have.
    """
    scheme, colon, rest = name.partition(":")
    place, _, query = rest.partition("?")
    if colon and place and scheme == "diffusers":
        from .diffusers_editors import load_diffusers_editor

        try:  # each kind of editor takes options of its own
            return load_diffusers_editor(place, **{key: _typed(value) for key, value in parse_qsl(query)})
        except TypeError as error:
            raise InputError(f"{name}: {error}.") from None
    if (scheme, place) == ("world", "diffae") or (colon and place and scheme == "diffae"):
        from .diffae.editor import DiffAE, load_world_editor

        options = loader_options(name, query, {}, DiffAE.__init__, InputError)
        return load_world_editor(**options) if scheme == "world" else DiffAE.load(Path(place).expanduser(), **options)
    raise InputError(f"{name!r} is no editor; accepted forms: {'; '.join(FORMS)}.")


def load_change(text: str, attribute: str) -> tuple[str, Any]:
    """A group and what turns an image into it: ``old=make them look old``, ``old=paths.safetensors:+``.

    The sign of a path says towards which pole of its dipole it goes; ``FILE:+:NAME`` names another path of the file
    than that of `attribute`.

    Raises
    ------
    InputError
        No group, no file, or a file without a path of that name.
    """
    group, equals, how = text.partition("=")
    if not equals or not group.strip() or not how.strip():
        raise InputError(f"the change {text!r}; expected GROUP=INSTRUCTION or GROUP=FILE.safetensors:+ (or :-).")
    file, _, rest = how.partition(".safetensors:")
    if not rest:
        if how.endswith(".safetensors"):
            raise InputError(f"the change {text!r} does not say towards which pole; add :+ or :-.")
        return group.strip(), how
    sign, _, named = rest.partition(":")
    if sign not in ("+", "-"):
        raise InputError(f"the change {text!r}: the pole {sign!r}; expected + or -.")
    path = PathModel.load(Path(f"{file}.safetensors").expanduser()).path(named or attribute)
    return group.strip(), (path, 1.0 if sign == "+" else -1.0)


def read_judge(path: Path | str) -> Judge:
    """A judge from a TOML file.

    ``encoder`` is any name that `load_encoder` takes; ``[prompts.ATTRIBUTE]`` holds a text or a list of texts per
    value. With ``truth``, a dataset whose attributes are known, its accuracy is measured there (2,000 images at most)
    and stands beside its scores. ``name`` and ``temperature`` are optional.

    Raises
    ------
    BankError, InputError
        A file that cannot be read, unknown keys, no prompts.
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: no such file; expected the TOML of a judge.")
    table = parse_toml(place.read_bytes(), str(place))
    check_keys(table, {"name", "encoder", "temperature", "prompts", "truth"}, str(place))
    prompts: dict[str, dict[str, Any]] = {}
    for attribute, values in dict(table.get("prompts", {})).items():
        if not isinstance(values, dict):
            raise InputError(f"{place}: prompts.{attribute} is {values!r}; expected VALUE = text or list of texts.")
        prompts[attribute] = {
            value: check_texts([told] if isinstance(told, str) else told, f"{place}: prompts.{attribute}.{value}")
            for value, told in values.items()
        }
    if not prompts:
        raise InputError(f"{place}: no prompts; expected a table [prompts.ATTRIBUTE] with a text per value.")
    encoder = load_encoder(check_text(table, "encoder", str(place)))
    name = check_text(table, "name", str(place), default=place.stem)
    judge = Judge.from_encoder(encoder, prompts, name=name, temperature=float(table.get("temperature", 0.01)))
    return _measured(judge, str(table["truth"])) if "truth" in table else judge


def _measured(judge: Judge, truth: str) -> Judge:
    dataset = load_dataset(truth)
    records = [record for record, _ in zip(dataset, range(MOST), strict=False) if record.image is not None]
    pictures = [decode_image(record.image()) for record in records if record.image is not None]
    images = square_images(pictures, min(min(picture.size) for picture in pictures), fit="crop")
    known = {name: [record.attributes.get(name) for record in records] for name in judge.classes}
    told = {name: values for name, values in known.items() if any(value is not None for value in values)}
    if not told:
        raise InputError(f"{truth} has none of the attributes {', '.join(judge.classes)} that {judge.name!r} reads.")
    return judge.measured(np.asarray(images), told)


def _typed(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
