"""Folders of two benchmarks of group robustness, read in the layout in which they are published.

*Waterbirds* (Sagawa et al. 2020): ``metadata.csv`` with ``img_filename, y, split, place`` beside the images. *CelebA*
(Liu et al. 2015): ``list_attr_celeba.txt`` and ``list_eval_partition.txt`` beside ``img_align_celeba/``. Neither is
shipped. Every record says its class, what usually goes with it, and the group that both make; how many rows of each
group the training split holds travels with the dataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fairvl.errors import DatasetError
from fairvl.fingerprints import file_hash
from fairvl.sources.datasets.files import unsafe_name
from fairvl.sources.datasets.listed import ListedPart, Listing, in_folder, sizes_hash
from fairvl.sources.datasets.record import Problem, Value
from fairvl.sources.datasets.table import check_unique, nearest, read_table, require_column

SPLITS = ("train", "val", "test")
BIRDS, PLACES = ("landbird", "waterbird"), ("land", "water")
CELEBA_IMAGES = ("img_align_celeba/img_align_celeba", "img_align_celeba")
MAX_LINE = 4096


@dataclass(frozen=True)
class Benchmark:
    """The rows of one split, and the training rows of each value of ``group``."""

    part: ListedPart
    training: Mapping[str, Mapping[str, int]]


def waterbirds(folder: Path, split: str = "test") -> Benchmark:
    """Attributes ``bird`` (landbird, waterbird), ``place`` (land, water) and ``group`` ("waterbird on land", ...).

    Raises
    ------
    DatasetError
        No ``metadata.csv``, a column that is missing, a code that is none, no row of the split.
    """
    table = read_table(published_file(folder, "metadata.csv"), strings=["img_filename"])
    where = "metadata.csv"
    names = [str(name) for name in _present(require_column(table, "img_filename", where=where), "img_filename", where)]
    birds = _coded(table, "y", BIRDS, where)
    places = _coded(table, "place", PLACES, where)
    splits = _coded(table, "split", SPLITS, where)
    columns = {
        "bird": birds,
        "place": places,
        "group": [f"{bird} on {place}" for bird, place in zip(birds, places, strict=True)],
    }
    return benchmark(folder, "", names, columns, splits, split, file_hash(folder / where))


def celeba(folder: Path, split: str = "test", attributes: Sequence[str] = ()) -> Benchmark:
    """Attributes ``hair`` (blond, dark: what is not blond), ``gender`` (as labelled) and ``group``.

    `attributes` names further columns of ``list_attr_celeba.txt``, which become "yes" or "no".

    Raises
    ------
    DatasetError
        A file that is missing, a line of another length, a value that is none, files that list other images, no row of
        the split.
    """
    labels_file, splits_file = (
        published_file(folder, "list_attr_celeba.txt"),
        published_file(folder, "list_eval_partition.txt"),
    )
    names, known = celeba_labels(labels_file, ("Blond_Hair", "Male", *attributes))
    partition = celeba_partition(splits_file)
    if set(partition) != set(names):
        odd = sorted(set(partition) ^ set(names))
        raise DatasetError(
            f"{labels_file.name} and {splits_file.name} list different images ({len(odd):,} stand in one only, such as "
            f"{odd[0]!r}); take both from the same download"
        )
    hair = ["blond" if blond else "dark" for blond in known["Blond_Hair"]]
    gender = ["male" if male else "female" for male in known["Male"]]
    columns: dict[str, list[str]] = {
        "hair": hair,
        "gender": gender,
        "group": [f"{h} hair, {g}" for h, g in zip(hair, gender, strict=True)],
    }
    columns |= {name: ["yes" if value else "no" for value in known[name]] for name in attributes}
    splits = [SPLITS[partition[name]] for name in names]
    images = next((inner for inner in CELEBA_IMAGES if (folder / inner).is_dir()), CELEBA_IMAGES[-1])
    seal = f"{file_hash(labels_file)} {file_hash(splits_file)}"
    return benchmark(folder, images, names, columns, splits, split, seal)


def benchmark(
    folder: Path, images: str, names: Sequence[str], columns: Mapping[str, Sequence[str]], splits: Sequence[str],
    split: str, seal: str, own_splits: bool = True,
) -> Benchmark:  # fmt: skip
    """The rows of a split that `columns` [attribute][row] describe; file names are meant from ``folder / images``."""
    if split not in (*SPLITS, "all"):
        raise DatasetError(f"split={split!r}; expected one of {', '.join(SPLITS)} or all")
    check_unique(names, where=str(folder))
    rows = [row for row, own in enumerate(splits) if split in (own, "all")]
    if not rows:
        raise DatasetError(f"{folder}: no row of the split {split!r}; there are {dict(Counter(splits))}")
    bad = {row: reason for row in rows if (reason := unsafe_name(names[row]))}
    rows = [row for row in rows if row not in bad]
    shown: dict[str, Sequence[Value]] = {name: [values[row] for row in rows] for name, values in columns.items()}
    if split == "all" and own_splits:
        shown["split"] = [splits[row] for row in rows]
    kept = tuple(names[row] for row in rows)
    problems = tuple(Problem(names[row], f"{reason}; name files relative to the folder") for row, reason in bad.items())
    listing = Listing(kept, kept, columns=shown, problems=problems)
    locate = in_folder(folder / images)
    groups = columns.get("group", ())
    training = Counter(group for group, own in zip(groups, splits, strict=False) if own == "train")
    part = ListedPart(listing, locate, {"metadata": seal, "files": sizes_hash(locate, kept)})
    return Benchmark(part, {"group": dict(sorted(training.items()))} if training else {})


def published_file(folder: Path, name: str) -> Path:
    """A file of the layout, or an error that names it."""
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {str(folder)!r}. Give the folder that holds {name}")
    if not (folder / name).is_file():
        raise DatasetError(f"{folder}: no {name}; expected the layout in which the benchmark is published")
    return folder / name


def _present(values: Sequence[Value], name: str, where: str) -> Sequence[Value]:
    if None in values:
        raise DatasetError(f"{where}: row {values.index(None) + 1} has no {name}")
    return values


def _coded(table: Mapping[str, list[Value]], name: str, meanings: Sequence[str], where: str) -> list[str]:
    """A column of whole-number codes as words."""
    out: list[str] = []
    for row, value in enumerate(require_column(dict(table), name, where=where)):
        if not isinstance(value, (int, float)) or value not in range(len(meanings)):
            codes = ", ".join(f"{code} ({meaning})" for code, meaning in enumerate(meanings))
            raise DatasetError(f"{where}: row {row + 1} has {name} {value!r}; expected {codes}")
        out.append(meanings[int(value)])
    return out


def numbered_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines cut at blanks, empty ones left out."""
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), 1):
                if cells := line.split():
                    yield number, cells
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path.name} is not text ({error.reason} at byte {error.start})") from error


def celeba_labels(path: Path, wanted: Sequence[str]) -> tuple[list[str], dict[str, list[bool]]]:
    """File names, and the wanted attributes, of a file in the layout of ``list_attr_celeba.txt``."""
    lines = numbered_lines(path)
    head = [cells for _, cells in islice(lines, 2)]
    if len(head) < 2 or len(head[0]) != 1 or not head[0][0].isdigit():
        raise DatasetError(f"{path.name}: expected the number of images in line 1 and attribute names in line 2")
    attributes, names = head[1], list[str]()
    if lost := [name for name in wanted if name not in attributes]:
        raise DatasetError(f"{path.name} has no attribute {lost[0]!r}. " + nearest(lost[0], attributes))
    columns: dict[str, list[bool]] = {name: [] for name in wanted}
    at = {name: attributes.index(name) for name in wanted}
    for number, (name, *values) in lines:
        if len(values) != len(attributes) or not set(values) <= {"1", "-1"}:
            raise DatasetError(
                f"{path.name}, line {number}: expected a file name and {len(attributes)} values of 1 or -1, found "
                f"{len(values)} values{'' if set(values) <= {'1', '-1'} else ' with others among them'}"
            )
        names.append(name)
        for attribute, column in columns.items():
            column.append(values[at[attribute]] == "1")
    if len(names) != int(head[0][0]):
        raise DatasetError(f"{path.name}: line 1 says {head[0][0]} images, {len(names):,} follow; is it whole?")
    return names, columns


def celeba_partition(path: Path) -> dict[str, int]:
    """File name to 0, 1 or 2 (train, val, test)."""
    found: dict[str, int] = {}
    for number, cells in numbered_lines(path):
        if len(cells) != 2 or cells[1] not in ("0", "1", "2"):
            raise DatasetError(f"{path.name}, line {number}: expected a file name and 0, 1 or 2 (train, val, test)")
        found[cells[0]] = int(cells[1])
    return found
