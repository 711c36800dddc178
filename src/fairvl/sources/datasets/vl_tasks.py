"""Folders of four tasks on images and text, read in the layouts in which they are published. None is shipped.

*VQAv2* (Goyal et al. 2017): questions and annotations as JSON, images of COCO. *GQA* (Hudson and Manning 2019): one
JSON of questions by id. *NLVR2* (Suhr et al. 2019): lines of JSON, two images each. *Flickr30K* with Karpathy's splits:
one JSON, five captions per image.

A record is a question, a sentence or a caption; its text is `Record.caption`. Questions and annotations are joined by
id, one to one, and must be about the same image. ``group=LEXICON`` adds what the text names (for Flickr30K: what all
captions of the image say together) as the attribute ``group``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairvl.errors import DatasetError
from fairvl.fingerprints import file_hash
from fairvl.sources.captions import caption_group, image_group
from fairvl.sources.datasets.files import unsafe_name
from fairvl.sources.datasets.listed import ListedPart, Listing, in_folder, sizes_hash
from fairvl.sources.datasets.record import Problem, Record, Value

COCO = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}
_COCO_IMAGES = {"test-dev": "test2015"}
_FLICKR_IMAGES = ("flickr30k-images", "flickr30k_images", "images", "")


@dataclass(frozen=True)
class _Row:
    """One record before it is tied to bytes."""

    id: str
    image: str
    text: str
    columns: Mapping[str, Value]


def human_answers(text: Value) -> tuple[str, ...]:
    """The answers of people in the attribute ``answers`` of a VQAv2 record.

    Examples
    --------
    >>> human_answers('["red", "dark red"]')
    ('red', 'dark red')
    """
    try:
        found = json.loads(str(text))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(answer, str) for answer in found):
        raise DatasetError(f"{str(text)[:60]!r} is no list of answers; expected the attribute 'answers' of vqav2:")
    return tuple(found)


def vqav2(folder: Path, options: Mapping[str, str]) -> ListedPart:
    """``vqav2:DIR?split=val``: attributes ``image_id``, ``question_type``, ``answer_type``, ``answer`` (the most
    common), ``answers`` (all ten, see `human_answers`); none of the last four where the split has no annotations.

    Raises
    ------
    DatasetError
        A file that is missing or not of this layout; questions and annotations of different ids or images.
    """
    split = _split(options, COCO, "val")
    year = COCO[split]
    path = _file(folder, f"v2_OpenEnded_mscoco_{year}_questions.json")
    questions = _list(_json(path), "questions", path)
    answers_path = folder / f"v2_mscoco_{year}_annotations.json"
    noted: dict[str, Mapping[str, Any]] = {}
    if answers_path.is_file() or not split.startswith("test"):
        listed = _list(_json(_file(folder, answers_path.name)), "annotations", answers_path)
        noted = _by_id(listed, "question_id", answers_path)
        _same_ids(_by_id(questions, "question_id", path), noted, path, answers_path)
    images = _COCO_IMAGES.get(split, year)
    place = _folder_of(folder, (f"images/{images}", images, f"{images}/{images}"), "")
    rows = []
    for number, question in enumerate(questions):
        key, image, text = (_field(question, k, path, number) for k in ("question_id", "image_id", "question"))
        columns: dict[str, Value] = {"image_id": str(image)}
        if note := noted.get(str(key)):
            if note.get("image_id") != image:
                raise DatasetError(
                    f"question {key}: about image {image} in {path.name} and about {note.get('image_id')} in "
                    f"{answers_path.name}; take both files from the same release"
                )
            columns |= _vqa_answers(note, answers_path)
        rows.append(_Row(str(key), f"{place}COCO_{images}_{_number(image, path):012d}.jpg", str(text), columns))
    seals = [file_hash(path), file_hash(answers_path) if noted else ""]
    return _part(folder, rows, options, seals)


def gqa(folder: Path, options: Mapping[str, str]) -> ListedPart:
    """``gqa:DIR?split=val&questions=balanced``: attributes ``image_id``, ``answer``, ``full_answer``, ``type``.

    Splits are train, val, testdev, test, submission, challenge; ``questions`` is balanced or all.
    """
    names = ("train", "val", "testdev", "test", "submission", "challenge")
    split, which = _split(options, names, "val"), options.get("questions", "balanced")
    if which not in ("balanced", "all"):
        raise DatasetError(f"questions={which!r}; expected balanced or all")
    path = _file(folder, f"{split}_{which}_questions.json")
    table = _json(path)
    if not isinstance(table, dict) or not table:
        raise DatasetError(f"{path.name}: expected questions by their ids")
    place = _folder_of(folder, ("images",), "")
    rows = []
    for key, question in table.items():
        if not isinstance(question, dict):
            raise DatasetError(f"{path.name}: question {key!r} is a {type(question).__name__}; expected an object")
        image, text = (_field(question, k, path, key) for k in ("imageId", "question"))
        types = question.get("types")
        columns: dict[str, Value] = {
            "image_id": str(image),
            "answer": _text(question.get("answer")),
            "full_answer": _text(question.get("fullAnswer")),
            "type": _text(types.get("structural")) if isinstance(types, dict) else None,
        }
        rows.append(_Row(str(key), f"{place}{image}.jpg", str(text), columns))
    return _part(folder, rows, options, [file_hash(path)])


def nlvr2(folder: Path, options: Mapping[str, str]) -> ListedPart:
    """``nlvr2:DIR?split=dev``: the image is the left one; attributes ``right_image`` (file below DIR), ``label``
    ("True", "False"), ``sentence`` (equal for all examples of one sentence, what consistency is about).
    """
    split = _split(
        options, ("train", "dev", "test1", "test2", "balanced/balanced_dev", "balanced/balanced_test1"), "dev"
    )
    path = _file(folder, f"{split}.json")
    place = _folder_of(folder, (f"images/{split}", split, "images"), "")
    rows = []
    for number, line in enumerate(_lines(path), 1):
        key, text = (str(_field(line, k, path, number)) for k in ("identifier", "sentence"))
        base, _, sentence = key.rpartition("-")
        parts = base.rsplit("-", 2)
        if len(parts) != 3 or not sentence.isdigit():
            raise DatasetError(f"{path.name}, line {number}: identifier {key!r}; expected such as dev-850-0-0")
        inside = f"{line['directory']}/" if "directory" in line and split == "train" else ""
        left, right = (f"{place}{inside}{base}-img{side}.png" for side in (0, 1))
        label = line.get("label")
        columns: dict[str, Value] = {
            "right_image": right,
            "label": None if label is None else str(label),
            "sentence": f"{parts[0]}-{parts[1]}-{sentence}",
        }
        rows.append(_Row(key, left, text, columns))
    return _part(folder, rows, options, [file_hash(path)])


def right_image(folder: Path | str, record: Record) -> Callable[[], bytes]:
    """What reads the bytes of the right image of a record of ``nlvr2:FOLDER``."""
    return in_folder(Path(folder))(str(record.attributes["right_image"]))


def flickr30k(folder: Path, options: Mapping[str, str]) -> ListedPart:
    """``flickr30k:DIR?split=test``: a record per caption, id ``FILE#NUMBER``; attribute ``image`` (the file), which
    tells which captions belong together.
    """
    split = _split(options, ("train", "val", "test"), "test")
    path = _file(folder, "dataset_flickr30k.json")
    place = _folder_of(folder, _FLICKR_IMAGES, "")
    lexicon = options.get("group")
    rows = []
    for number, image in enumerate(_list(_json(path), "images", path)):
        if _field(image, "split", path, number) != split:
            continue
        file = str(_field(image, "filename", path, number))
        said = [str(_field(s, "raw", path, number)) for s in _list(image, "sentences", path)]
        columns: dict[str, Value] = {"image": file}
        if lexicon and said:
            columns["group"] = image_group(said, lexicon=lexicon).group
        rows += [_Row(f"{file}#{i}", f"{place}{file}", text, columns) for i, text in enumerate(said)]
    return _part(folder, rows, {k: v for k, v in options.items() if k != "group"}, [file_hash(path)])


TASKS: Mapping[str, Callable[[Path, Mapping[str, str]], ListedPart]] = {
    "vqav2": vqav2,
    "gqa": gqa,
    "nlvr2": nlvr2,
    "flickr30k": flickr30k,
}


def _part(folder: Path, rows: Sequence[_Row], options: Mapping[str, str], seals: Sequence[str]) -> ListedPart:
    if not rows:
        raise DatasetError(f"{folder}: no record of the split {options.get('split', '(default)')!r}")
    columns: dict[str, list[Value]] = {name: [] for row in rows for name in row.columns}
    problems, kept = [], []
    for row in rows:
        if reason := unsafe_name(row.image):
            problems.append(Problem(row.id, f"{reason}; name files relative to the folder"))
            continue
        kept.append(row)
        for name, values in columns.items():
            values.append(row.columns.get(name))
    if lexicon := options.get("group"):
        columns["group"] = [caption_group(row.text, lexicon=lexicon) for row in kept]
    names = tuple(row.image for row in kept)
    listing = Listing(tuple(row.id for row in kept), names, tuple(row.text for row in kept), columns, tuple(problems))
    locate = in_folder(folder)
    return ListedPart(listing, locate, {"metadata": list(seals), "files": sizes_hash(locate, dict.fromkeys(names))})


def _vqa_answers(note: Mapping[str, Any], path: Path) -> dict[str, Value]:
    given = note.get("answers")
    if not isinstance(given, list) or not all(isinstance(a, dict) and isinstance(a.get("answer"), str) for a in given):
        raise DatasetError(f"{path.name}: question {note.get('question_id')} has no list of answers")
    return {
        "question_type": _text(note.get("question_type")),
        "answer_type": _text(note.get("answer_type")),
        "answer": _text(note.get("multiple_choice_answer")),
        "answers": json.dumps([a["answer"] for a in given], ensure_ascii=False),
    }


def _split(options: Mapping[str, str], known: Iterable[str], usual: str) -> str:
    split = options.get("split", usual)
    if split not in known:
        raise DatasetError(f"split={split!r}; expected one of {', '.join(known)}")
    return split


def _file(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {str(folder)!r}. Give the folder that holds {name}")
    if not (folder / name).is_file():
        raise DatasetError(f"{folder}: no {name}; expected the layout in which the benchmark is published")
    return folder / name


def _folder_of(folder: Path, places: Sequence[str], otherwise: str) -> str:
    """The first of these places that exists, as a prefix of file names."""
    place = next((place for place in places if place and (folder / place).is_dir()), otherwise)
    return f"{place}/" if place else ""


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path.name}: not JSON ({str(error)[:80]}); is the file whole?") from None


def _lines(path: Path) -> Iterable[Mapping[str, Any]]:
    """Objects of a file with one JSON object per line."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path.name}, line {number}: not JSON ({str(error)[:80]})") from None
        if not isinstance(read, dict):
            raise DatasetError(f"{path.name}, line {number}: a {type(read).__name__}; expected an object")
        yield read


def _list(table: Any, key: str, path: Path) -> list[Mapping[str, Any]]:
    found = table.get(key) if isinstance(table, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DatasetError(f"{path.name}: no list {key!r} of objects; expected the layout as published")
    return found


def _field(item: Mapping[str, Any], key: str, path: Path, where: Any) -> Any:
    value = item.get(key)
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        raise DatasetError(f"{path.name}, entry {where}: {key} is {value!r}; expected text or a number")
    return value


def _number(value: Any, path: Path) -> int:
    if isinstance(value, int) or str(value).isdigit():
        return int(value)
    raise DatasetError(f"{path.name}: image_id {value!r}; expected a whole number, as COCO has")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _by_id(items: Iterable[Mapping[str, Any]], key: str, path: Path) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for number, item in enumerate(items):
        id_ = str(_field(item, key, path, number))
        if id_ in found:
            raise DatasetError(f"{path.name}: {key} {id_} stands twice; expected each once")
        found[id_] = item
    return found


def _same_ids(left: Mapping[str, Any], right: Mapping[str, Any], one: Path, other: Path) -> None:
    if odd := sorted(set(left) ^ set(right)):
        raise DatasetError(
            f"{one.name} and {other.name} hold different questions ({len(odd):,} stand in one only, such as {odd[0]}); "
            "take both from the same release"
        )
