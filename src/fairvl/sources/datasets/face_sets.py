"""Three sets of faces, read in the layout in which they are published; none is shipped.

*CelebA-HQ* (Karras et al. 2018, attributes as in CelebAMask-HQ, Lee et al. 2020), *UTKFace* (Zhang et al. 2017) and
*FairFace* (Karkkainen and Joo 2021). Labels are those of annotators, or of what made the set: *apparent* age, gender
and race. ``age_group`` is "old" from 40 on, the bound between two bins of FairFace, "young" below; for CelebA-HQ it is
its own label "Young".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from fairvl.errors import DatasetError
from fairvl.fingerprints import file_hash, fingerprint
from fairvl.sources.datasets.benchmarks import (
    Benchmark,
    benchmark,
    celeba_labels,
    celeba_partition,
    numbered_lines,
    published_file,
)
from fairvl.sources.datasets.files import IMAGE_SUFFIXES
from fairvl.sources.datasets.listed import ListedPart, Listing, in_folder, sizes_hash
from fairvl.sources.datasets.record import Problem, Value
from fairvl.sources.datasets.table import read_table, require_column

OLD_FROM = 40
UTK_GENDERS = ("male", "female")
UTK_RACES = ("white", "black", "asian", "indian", "other")
UTK_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)\.(?:jpg|jpeg|png)(?:\.chip\.jpg)?", re.IGNORECASE)
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
FAIRFACE_IMAGES = ("", "fairface-img-margin025-trainval", "fairface-img-margin125-trainval")
HQ_LABELS, HQ_MAPPING, HQ_IMAGES = (
    "CelebAMask-HQ-attribute-anno.txt", "CelebA-HQ-to-CelebA-mapping.txt", "CelebA-HQ-img"
)  # fmt: skip


def celeba_hq(folder: Path, split: str = "train", attributes: Sequence[str] = ()) -> Benchmark:
    """Attributes ``age_group``, ``gender`` (as labelled) and those named, which become "yes" or "no".

    Splits are CelebA's, through the mapping file, and need CelebA's ``list_eval_partition.txt`` beside it;
    ``split="all"`` does without both.

    Raises
    ------
    DatasetError
        A file that is missing, a line of another length, an image without its original, no row of the split.
    """
    labels_file = published_file(folder, HQ_LABELS)
    names, known = celeba_labels(labels_file, ("Young", "Male", *attributes))
    columns: dict[str, list[str]] = {
        "age_group": ["young" if young else "old" for young in known["Young"]],
        "gender": ["male" if male else "female" for male in known["Male"]],
    }
    columns |= {name: ["yes" if value else "no" for value in known[name]] for name in attributes}
    seal = [file_hash(labels_file)]
    splits = ["all"] * len(names)
    if split != "all":
        mapping, partition_file = published_file(folder, HQ_MAPPING), published_file(folder, "list_eval_partition.txt")
        partition, origin = celeba_partition(partition_file), _origins(mapping)
        splits = [_split_of(name, origin, partition) for name in names]
        seal += [file_hash(mapping), file_hash(partition_file)]
    return benchmark(folder, HQ_IMAGES, names, columns, splits, split, " ".join(seal), own_splits=split != "all")


def utkface(folder: Path) -> ListedPart:
    """Attributes ``age`` (years), ``age_group``, ``gender`` and ``race``, all from the file names.

    Names that do not follow ``AGE_GENDER_RACE_DATE.jpg`` (the set has a few) are problems, never guessed.

    Raises
    ------
    DatasetError
        No such folder, or no image whose name follows the pattern.
    """
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {str(folder)!r}. Give the folder that holds the images of UTKFace")
    found = sorted(
        Path(place, name).relative_to(folder).as_posix()
        for place, _, files in os.walk(folder)
        for name in files
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
    )
    names: list[str] = []
    problems: list[Problem] = []
    columns: dict[str, list[Value]] = {"age": [], "age_group": [], "gender": [], "race": []}
    for name in found:
        match = UTK_NAME.fullmatch(name.rpartition("/")[2])
        if match is None:
            problems.append(Problem(name, "its name is not AGE_GENDER_RACE_DATE.jpg; rename it if you know its labels"))
            continue
        age = int(match[1])
        names.append(name)
        columns["age"].append(age)
        columns["age_group"].append("old" if age >= OLD_FROM else "young")
        columns["gender"].append(UTK_GENDERS[int(match[2])])
        columns["race"].append(UTK_RACES[int(match[3])])
    if not names:
        raise DatasetError(f"{folder}: none of {len(found)} images is named AGE_GENDER_RACE_DATE.jpg, as UTKFace is")
    listing = Listing(tuple(names), tuple(names), columns=columns, problems=tuple(problems))
    locate = in_folder(folder)
    return ListedPart(listing, locate, {"metadata": fingerprint(names), "files": sizes_hash(locate, names)})


def fairface(folder: Path, split: str = "val") -> Benchmark:
    """Attributes ``age`` (nine bins), ``age_group``, ``gender``, ``race`` and ``service_test``, as labelled.

    Reads ``fairface_label_train.csv`` and ``fairface_label_val.csv`` (also gzipped), images in ``train/`` and ``val/``
    of the folder or of the folder in which one of the two crops is published.

    Raises
    ------
    DatasetError
        A file or column that is missing, an age bin that is none, an unknown split.
    """
    if split not in ("train", "val", "all"):
        raise DatasetError(f"split={split!r}; FairFace has train and val, and all for both")
    names: list[str] = []
    splits: list[str] = []
    seal = []
    columns: dict[str, list[str]] = {"age": [], "age_group": [], "gender": [], "race": [], "service_test": []}
    for own in ("train", "val") if split == "all" else (split,):
        file = _either(folder, f"fairface_label_{own}.csv")
        table = read_table(file, strings=["file", "age", "gender", "race", "service_test"], id_column="file")
        seal.append(file_hash(file))
        names += [str(name) for name in table["file"]]
        splits += [own] * len(table["file"])
        for name in ("age", "gender", "race", "service_test"):
            columns[name] += [_present(value, name, file) for value in require_column(table, name, where=file.name)]
    columns["age_group"] = [_age_group(age) for age in columns["age"]]
    inner = next((one for one in FAIRFACE_IMAGES if (folder / one / names[0]).is_file()), "")
    return benchmark(folder, inner, names, columns, splits, split, " ".join(seal))


def _origins(path: Path) -> dict[str, str]:
    """Number of an image in CelebA-HQ to its file in CelebA."""
    found: dict[str, str] = {}
    for number, cells in numbered_lines(path):
        if cells[0] == "idx":
            continue
        if len(cells) != 3 or not cells[0].isdigit():
            raise DatasetError(f"{path.name}, line {number}: expected idx, orig_idx and orig_file")
        found[cells[0]] = cells[2]
    return found


def _split_of(name: str, origin: dict[str, str], partition: dict[str, int]) -> str:
    original = origin.get(name.partition(".")[0])
    if original not in partition:
        raise DatasetError(
            f"{name}: its original ({original or 'not in the mapping'}) is not in list_eval_partition.txt; take both "
            "files whole, or ask for split=all"
        )
    return ("train", "val", "test")[partition[original]]


def _either(folder: Path, name: str) -> Path:
    zipped = folder / f"{name}.gz"
    return zipped if zipped.is_file() else published_file(folder, name)


def _present(value: Value, name: str, file: Path) -> str:
    if value is None:
        raise DatasetError(f"{file.name}: a row has no {name}")
    return str(value)


def _age_group(age: str) -> str:
    if age not in AGES:
        raise DatasetError(f"age {age!r}; the bins of FairFace are {', '.join(AGES)}")
    return "young" if AGES.index(age) < AGES.index("40-49") else "old"
