"""From names and small files to editors, changes and judges, as the command line gives them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from ...atomic import require_writable
from ...errors import DatasetError, InputError
from ...sources.datasets import load_dataset
from ...sources.datasets.decode import decode_image
from ...sources.datasets.record import Record
from ...sources.documents import check_keys, check_text, check_texts, parse_toml
from ...sources.encoders import load_encoder
from ...sources.options import loader_options
from .judges import Judge
from .path_training import PathRecipe
from .paths import PathModel
from .seam import Dipole, Editor, LeftOutWarning, square_images

FORMS = ("world:diffae?steps=10", "diffae:FOLDER?steps=20", "diffusers:FOLDER-OR-NAME?steps=50")
_PATHS = re.compile(r"(world:paths-[^:]*|.+\.safetensors)(?::([^:]*))?(?::(.+))?")
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
    hint = " Did you mean 'world:diffae'?" if scheme == "world" else ""
    raise InputError(f"{name!r} is no editor.{hint} Accepted forms: {'; '.join(FORMS)}.")


def read_dipole(text: str) -> Dipole:
    """A dipole as it is typed: ``age=an old man; an old woman|a young man; a young woman``.

    Raises
    ------
    InputError
        No name, or not two poles.

    Examples
    --------
    >>> read_dipole("age=an old person|a young person").negative
    ('a young person',)
    """
    name, equals, poles = text.partition("=")
    if not equals or poles.count("|") != 1:
        raise InputError(f"the dipole {text!r}; expected NAME=POSITIVE|NEGATIVE, two texts that differ in one thing.")
    positive, negative = ([one.strip() for one in pole.split(";") if one.strip()] for pole in poles.split("|"))
    return Dipole(tuple(positive), tuple(negative), name.strip())


def learn_named_paths(
    editor: str, encoder: str, dipoles: Sequence[str], out: Path | str, *, kept: Sequence[str] = (),
    images: str | None = None, field: str = "ratio", iterations: int = 200, labelled: int = 512, seed: int = 0,
) -> PathModel:  # fmt: skip
    """Learn paths of texts and names, and write them: what ``fairvl learn-paths`` does. See `PathModel.fit`.

    `images` names a dataset whose first `labelled` images give the codes; without it the editor draws them.

    Raises
    ------
    InputError
        An editor without codes or a gradient, unusable texts, a dataset without images.
    """
    asked, pairs = [read_dipole(text) for text in dipoles], [_pair(text) for text in kept]
    require_writable(Path(out).parent)
    space: Any = load_editor(editor)
    space.require("code_space", *([] if field == "linear" else ["differentiable"]), *([] if images else ["samples"]))
    recipe, codes = PathRecipe(iterations=iterations, labelled=labelled), None
    if images is not None:
        records = [record for record, _ in zip(load_dataset(images), range(labelled), strict=False)]
        codes = space.encode(square_images(_readable(records), space.card.size, fit="crop")).codes
    paths = PathModel.fit(
        space, load_encoder(encoder), asked, field=field, keep=pairs, recipe=recipe, codes=codes, seed=seed
    )
    paths.save(out)
    return paths


def _readable(records: Sequence[Record]) -> list[Any]:
    """The pictures that can be decoded; a warning names the others."""
    pictures, broken = [], []
    for record in records:
        try:
            if record.image is not None:
                pictures.append(decode_image(record.image()))
        except DatasetError as error:
            broken.append(f"{record.id}: {error}")
    if broken:
        told = f"{len(broken)} images are not learned from ({'; '.join(broken[:3])})."
        warnings.warn(told, LeftOutWarning, stacklevel=3)
    if not pictures:
        raise InputError("no image of the dataset can be read; expected at least eight.")
    return pictures


def _pair(text: str) -> tuple[str, str]:
    left, bar, right = text.partition("|")
    if not bar or "|" in right:
        raise InputError(f"keep {text!r}; expected LEFT|RIGHT, two texts that differ in one thing.")
    return left.strip(), right.strip()


def load_change(text: str, attribute: str) -> tuple[str, Any]:
    """A group and what turns an image into it: ``old=make them look old``, ``old=paths.safetensors:+``.

    The sign of a path says towards which pole of its dipole it goes; ``FILE:+:NAME`` names another path of the file
    than that of `attribute`. ``world:paths-ratio:+`` is a file that ships with ``world:diffae`` (positive poles: old,
    dark, glasses).

    Raises
    ------
    InputError
        No group, no file, or a file without a path of that name.
    """
    group, equals, how = text.partition("=")
    if not equals or not group.strip() or not how.strip():
        raise InputError(f"the change {text!r}; expected GROUP=INSTRUCTION or GROUP=FILE.safetensors:+ (or :-).")
    found = _PATHS.fullmatch(how)
    if found is None:
        return group.strip(), how
    file, sign, named = found.groups()
    place = shipped_paths(file.removeprefix("world:")) if file.startswith("world:") else Path(file).expanduser()
    if sign not in ("+", "-"):
        raise InputError(f"the change {text!r} does not say towards which pole; expected :+ or :- after the file.")
    path = PathModel.load(place).path(named or attribute)
    return group.strip(), (path, 1.0 if sign == "+" else -1.0)


def shipped_paths(name: str) -> Path:
    """The file of paths of the world's autoencoder: ``paths-ratio``, ``paths-linear`` ...

    Raises
    ------
    InputError
        No such file ships.
    """
    folder = Path(str(files("fairvl.sources.world"))) / "models" / "diffae"
    shipped = sorted(path.stem for path in folder.glob("paths-*.safetensors"))
    if name not in shipped:
        raise InputError(f"world:{name} is not there; this installation ships {', '.join(shipped)}.")
    return folder / f"{name}.safetensors"


def read_judge(path: Path | str) -> Judge:
    """A judge from a TOML file, or ``world:face-judge-a`` and ``-b``, which ship with the world.

    ``encoder`` is any name that `load_encoder` takes; ``[prompts.ATTRIBUTE]`` holds a text or a list of texts per
    value. With ``truth``, a dataset whose attributes are known, its accuracy is measured there (2,000 images at most)
    and stands beside its scores. ``name`` and ``temperature`` are optional.

    Raises
    ------
    BankError, InputError
        A file that cannot be read, unknown keys, no prompts.
    """
    if str(path).startswith("world:"):
        return _world_judge(str(path))
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


def _world_judge(name: str) -> Judge:
    from ...sources.world.face_judges import NAMES, FaceJudge

    known = [f"world:face-judge-{one}" for one in NAMES]
    if name not in known:
        raise InputError(f"{name!r} is no judge; expected {' or '.join(known)}, or the TOML file of one.")
    read = FaceJudge(name[-1])
    return _measured(Judge(read.name, read.classes, read), f"world:faces?n={MOST // 4}&split=judge&seed=15")


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
