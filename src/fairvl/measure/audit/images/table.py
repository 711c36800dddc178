"""The table of generated images: which file came from which prompt, keyed by id, never by position."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from ....errors import DatasetError
from ....fingerprints import fingerprint
from ....sources.datasets import read_table
from ....sources.datasets.files import IMAGE_SUFFIXES, WholeFile, unsafe_name
from ....sources.datasets.table import check_unique, nearest, require_column
from ....stats.codes import as_text, unknown_label

Picture: TypeAlias = tuple[str, Callable[[], bytes] | None]

KINDS = ("neutral", "explicit")
EXPECTED = "expected"


@dataclass(frozen=True, eq=False)
class ImageTable:
    """One row per generated image.

    `files` is None where a named image is not there; `expected` maps an attribute ("" for the column ``expected``) to
    the group that each row's prompt names. `extra` are images in the folder that no row names.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[Path | None, ...]
    prompts: tuple[str, ...]
    kinds: tuple[str, ...]
    concepts: tuple[str, ...]
    seeds: tuple[str | None, ...]
    arms: tuple[str | None, ...]
    expected: Mapping[str, tuple[str | None, ...]]
    extra: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> ImageTable:
        """Some rows, in the order given."""

        def part(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[row] for row in rows)

        names = ("ids", "names", "files", "prompts", "kinds", "concepts", "seeds", "arms")
        taken: dict[str, Any] = {name: part(getattr(self, name)) for name in names}
        return replace(self, expected={name: part(values) for name, values in self.expected.items()}, **taken)

    @property
    def pictures(self) -> list[Picture]:
        """Every image's id with what reads its bytes, None where it is not there."""
        return [(i, None if p is None else WholeFile(str(p))) for i, p in zip(self.ids, self.files, strict=True)]

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """What pairs an image with its counterpart: prompt and seed, or the id where a seed is missing."""
        if any(seed is None for seed in self.seeds):
            return tuple(("", id_) for id_ in self.ids)
        return tuple((prompt, str(seed)) for prompt, seed in zip(self.prompts, self.seeds, strict=True))


def read_images(folder: Path | str, prompts: Path | str | Mapping[str, Sequence[Any]]) -> ImageTable:
    """The images of `folder` as the prompt table lists them.

    Raises
    ------
    DatasetError
        No such folder, no image in it, a table without the columns ``prompt`` and ``id`` or ``file``, duplicate ids or
        files, a kind that is neither neutral nor explicit, an explicit prompt that expects no group, or no row with an
        image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {str(folder)!r}. Give the folder that holds the generated images.")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not found:
        raise DatasetError(
            f"{str(folder)!r} holds no image; expected files that end in {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    where, table, root = _columns(prompts)
    ids, names = _names(table, where)
    files = _located(names, ids, _Locator(folder, root, found), where)
    if not any(files):
        raise DatasetError(
            f"none of the {len(ids)} images that {where} lists is in {str(folder)!r} (first: {names[0]!r}; the folder "
            f"holds {found[0].relative_to(folder).as_posix()!r}). Give the folder that the table belongs to."
        )
    texts = [as_text(value) for value in require_column(table, "prompt", where=where)]
    if None in texts:
        raise DatasetError(
            f"{where}: {ids[texts.index(None)]!r} has no prompt; every image needs the one it came from."
        )
    rows = len(ids)
    kinds = _kinds(table.get("kind"), rows, where)
    concepts = [as_text(v) for v in table.get("concept", [None] * rows)]
    expected = {
        name[len(EXPECTED) + 1 :]: tuple(as_text(v) for v in values)
        for name, values in table.items()
        if name == EXPECTED or name.startswith(f"{EXPECTED}_")
    }
    _check_expected(ids, kinds, expected, where)
    used = {path for path in files if path is not None}
    columns = {name: [as_text(v) for v in values] for name, values in table.items()}
    return ImageTable(
        ids, names, files, tuple(str(t) for t in texts), kinds,
        tuple(c if c is not None else str(t) for c, t in zip(concepts, texts, strict=True)),
        tuple(as_text(v) for v in table.get("seed", [None] * rows)),
        tuple(as_text(v) for v in table.get("arm", [None] * rows)), expected, len(set(found) - used),
        fingerprint({"columns": columns, "sizes": [p.stat().st_size if p else None for p in files]}),
    )  # fmt: skip


def split_arms(table: ImageTable) -> dict[str, ImageTable]:
    """One table per value of the column ``arm``; ``before`` first, or the only one under ""."""
    names = list(dict.fromkeys(table.arms))
    if names == [None]:
        return {"": table}
    if None in names:
        missing = sum(arm is None for arm in table.arms)
        raise DatasetError(f"{missing} images have no arm; expected one in every row, or no column of that name.")
    if "before" not in names:
        raise DatasetError(f"the column 'arm' says {sorted(str(n) for n in names)}; expected 'before' among them.")
    order = ["before", *(str(name) for name in names if name != "before")]
    return {
        "" if name == "before" else name: table.take([i for i, arm in enumerate(table.arms) if arm == name])
        for name in order
    }


def paired(arms: Mapping[str, ImageTable]) -> tuple[dict[str, ImageTable], int]:
    """The same images in every arm, in the order of the first; and how many of the first have no counterpart.

    Raises
    ------
    DatasetError
        A prompt and seed twice in one arm, or arms that share no image.
    """
    if len(arms) == 1:
        return dict(arms), 0
    places: dict[str, dict[tuple[str, str], int]] = {}
    seeded = all(not any(seed is None for seed in table.seeds) for table in arms.values())
    for name, table in arms.items():
        keys = table.keys if seeded else tuple(("", id_) for id_ in table.ids)
        places[name] = {key: row for row, key in enumerate(keys)}
        if len(places[name]) < len(keys):
            twice = next(key for row, key in enumerate(keys) if places[name][key] != row)
            raise DatasetError(
                f"{name or 'before'}: two images of prompt {twice[0]!r} have the seed {twice[1]}; pairs need one each."
            )
    _check_same_ids(arms)
    first = next(iter(places.values()))
    shared = [key for key in first if all(key in rows for rows in places.values())]
    if not shared:
        how = "a prompt and seed" if seeded else "an id"
        raise DatasetError(
            f"the arms {[name or 'before' for name in arms]} share no image by {how}; a paired comparison needs images "
            "of the same prompts and seeds in all of them."
        )
    together = {name: table.take([places[name][key] for key in shared]) for name, table in arms.items()}
    base = next(iter(together.values()))
    for name, table in together.items():
        if table.prompts != base.prompts:
            row = next(i for i, (a, b) in enumerate(zip(base.prompts, table.prompts, strict=True)) if a != b)
            raise DatasetError(
                f"{base.ids[row]!r} comes from {base.prompts[row]!r} before and from {table.prompts[row]!r} in "
                f"{name!r}; a pair shares its prompt."
            )
    return together, len(first) - len(shared)


def _check_same_ids(arms: Mapping[str, ImageTable]) -> None:
    """An id that two arms use stands for one prompt and seed: else a table is not the one of its folder."""
    base, *others = arms.items()
    row_of = {id_: row for row, id_ in enumerate(base[1].ids)}
    for name, table in others:
        for row, id_ in enumerate(table.ids):
            if (start := row_of.get(id_)) is None:
                continue
            for what, mine, theirs in (
                ("prompt", base[1].prompts[start], table.prompts[row]), ("seed", base[1].seeds[start], table.seeds[row])
            ):  # fmt: skip
                if mine != theirs and None not in (mine, theirs):
                    raise DatasetError(
                        f"the image {id_!r} has the {what} {theirs!r} in {name!r}, but {mine!r} before; expected one "
                        "prompt and seed for an id in every arm. Draw the arm again from the prompts and seeds of the "
                        "first, or give it the table that belongs to its images."
                    )


def _columns(
    prompts: Path | str | Mapping[str, Sequence[Any]],
) -> tuple[str, dict[str, list[Any]], Path | None]:
    if isinstance(prompts, Mapping):
        table = {str(name): list(values) for name, values in prompts.items()}
        if len({len(values) for values in table.values()}) != 1 or not next(iter(table.values())):
            raise DatasetError(f"prompts: columns of lengths { {k: len(v) for k, v in table.items()} }; expected equal "
                               "lengths, one row per image.")  # fmt: skip
        return "prompts", table, None
    path = Path(prompts)
    names = ("id", "file", "prompt", "concept", "kind", "arm", EXPECTED)
    read: dict[str, list[Any]] = {**read_table(path, required=("prompt",), strings=names)}
    return path.name, read, path.parent


def _names(table: Mapping[str, Sequence[Any]], where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    require_column({k: list(v) for k, v in table.items()}, "prompt", where=where)
    if "id" not in table and "file" not in table:
        raise DatasetError(f"{where} has neither 'id' nor 'file', so no row can be tied to an image. "
                           + nearest("file", list(table)))  # fmt: skip
    ids = [as_text(v) for v in table.get("id", table.get("file", ()))]
    names = [as_text(v) for v in table.get("file", table.get("id", ()))]
    for values, column in ((ids, "id" if "id" in table else "file"), (names, "file" if "file" in table else "id")):
        if None in values:
            raise DatasetError(f"{where}: row {values.index(None) + 1} has no {column!r}; give each image one.")
    found = tuple(str(v) for v in ids), tuple(str(v) for v in names)
    arms = [as_text(v) for v in table.get("arm", [None] * len(ids))]
    check_unique(
        (id_ if arm is None else f"{arm}: {id_}" for id_, arm in zip(found[0], arms, strict=True)), where=where
    )
    return found


def _kinds(values: Sequence[Any] | None, rows: int, where: str) -> tuple[str, ...]:
    kinds = [as_text(v) or "neutral" for v in (values or [None] * rows)]
    for kind in kinds:
        if kind not in KINDS:
            raise DatasetError(f"{where}: {unknown_label(kind, KINDS, kind='kind of prompt')}")
    return tuple(kinds)


def _check_expected(
    ids: Sequence[str], kinds: Sequence[str], expected: Mapping[str, Sequence[str | None]], where: str
) -> None:
    for row, kind in enumerate(kinds):
        if kind == "explicit" and not any(values[row] for values in expected.values()):
            raise DatasetError(
                f"{where}: {ids[row]!r} is of an explicit prompt, but no column says which group it names; expected "
                "'expected', or 'expected_ATTRIBUTE' where several attributes are audited."
            )


def _located(names: Sequence[str], ids: Sequence[str], locate: _Locator, where: str) -> tuple[Path | None, ...]:
    """The file of every row. A bare name only counts where no other row could mean that file: images of all prompts
    are often called by their seed, and one that is missing must not be replaced by that of another prompt."""
    rows = list(zip(names, ids, strict=True))
    exact = [locate.exact(*row) for row in rows]
    owner: dict[Path, str] = {}
    for path, id_ in zip(exact, ids, strict=True):
        if path is not None and owner.setdefault(path, id_) != id_:
            raise DatasetError(f"{where}: {owner[path]!r} and {id_!r} are of one file, {path.name!r}; an image counts "
                               "once.")  # fmt: skip
    loose = [locate.loose(*row) if path is None else None for row, path in zip(rows, exact, strict=True)]
    claims = Counter(loose)
    return tuple(
        path if path is not None or guess in owner or claims[guess] > 1 else guess
        for path, guess in zip(exact, loose, strict=True)
    )


class _Locator:
    """Finds the file of a row: by its path below the folder or beside the table, or by a name that is unique."""

    def __init__(self, folder: Path, root: Path | None, found: Iterable[Path]) -> None:
        self.by_path: dict[str, Path] = {}
        self.by_name: dict[str, list[Path]] = {}
        bases = [os.path.join(os.path.abspath(base), "") for base in (folder, root) if base is not None]
        for path in found:
            full = os.path.abspath(path)
            for base in bases:
                if full.startswith(base):
                    relative = full[len(base) :].replace(os.sep, "/")
                    self.by_path.setdefault(relative, path)
                    self.by_path.setdefault(relative.removesuffix(path.suffix), path)
            for name in {path.name, path.stem}:
                self.by_name.setdefault(name, []).append(path)

    def exact(self, name: str, id_: str) -> Path | None:
        """By path."""
        for key in (name, id_):
            plain = PurePosixPath(key.replace("\\", "/")).as_posix()
            if unsafe_name(key) is None and (path := self.by_path.get(plain)) is not None:
                return path
        return None

    def loose(self, name: str, id_: str) -> Path | None:
        """By bare name, where one file alone has it."""
        for key in (name, id_):
            if len(same := self.by_name.get(PurePosixPath(key.replace("\\", "/")).name, [])) == 1:
                return same[0]
        return None
