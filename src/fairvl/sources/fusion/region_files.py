"""Stored region features: the published table (TSV with base64), or a folder of ``.npz`` files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...errors import FusionError
from .regions import RegionFeatures

# The two published orders of columns, told apart by their number.
COLUMNS: dict[int, tuple[str, ...]] = {
    6: ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features"),
    10: (
        "image_id", "image_h", "image_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes",
        "features",
    ),
}  # fmt: skip
ALIASES = {"img_id": "image_id", "img_h": "image_h", "img_w": "image_w"}
NPZ = {"features": ("features", "x"), "boxes": ("boxes", "bbox"), "w": ("image_w",), "h": ("image_h",)}
MOST_BOXES = 1000
LONGEST_LINE = 64 * 2**20


@final
class RegionFile(Mapping[str, RegionFeatures]):
    """Regions by image id, read when asked for; called with ids, it is a source of regions for LXMERT.

    ``reads_ids`` tells whoever feeds the model that ids stand for images here.
    """

    reads_ids = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: tuple[str, ...] = ()
        self._places = self._index_folder() if path.is_dir() else self._index_table()
        if not self._places:
            raise FusionError(f"{path}: holds no regions; expected rows of {', '.join(COLUMNS[6])}, or .npz files.")

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, key: str) -> RegionFeatures:
        if key not in self._places:
            some = ", ".join(list(self._places)[:3])
            raise KeyError(f"{key!r} is not among the {len(self)} images of {self.path}, such as {some}")
        if self.path.is_dir():
            return _read_npz(self.path / f"{key}.npz")
        with open(self.path, "rb") as file:
            file.seek(self._places[key])
            line = file.readline(LONGEST_LINE)
        return self._row(line, key)

    def __call__(self, ids: Sequence[Any]) -> list[RegionFeatures]:
        """Regions of the images with these ids."""
        found = []
        for each in ids:
            if not isinstance(each, (str, int)):
                raise FusionError(
                    f"images: {type(each).__name__}; regions from a file are found by image id. Pass ids, as text."
                )
            try:
                found.append(self[str(each)])
            except KeyError as error:
                raise FusionError(f"{error.args[0]}. Pass the ids of the file's first column.") from None
        return found

    def _index_folder(self) -> dict[str, int]:
        return {path.stem: 0 for path in sorted(self.path.glob("*.npz"))}

    def _index_table(self) -> dict[str, int]:
        places: dict[str, int] = {}
        try:
            with open(self.path, "rb") as file:
                start, number = 0, 0
                while line := file.readline(LONGEST_LINE):
                    number += 1
                    if line.strip() and not self._header(line, number):
                        key = self._key(line, number)
                        if key in places:
                            raise FusionError(f"{self.path}: image {key!r} again in line {number}; expected each once.")
                        places[key] = start
                    start += len(line)
        except OSError as error:
            raise FusionError(f"{self.path}: cannot be read ({error.strerror}).") from None
        return places

    def _header(self, line: bytes, number: int) -> bool:
        cells = [ALIASES.get(cell, cell) for cell in line.rstrip(b"\r\n").decode("ascii", "replace").split("\t")]
        if number > 1 or not {"boxes", "features"} <= set(cells):
            return False
        if missing := sorted(set(COLUMNS[6]) - set(cells)):
            raise FusionError(f"{self.path}: the header lacks {missing}; expected {', '.join(COLUMNS[6])}.")
        self._columns = tuple(cells)
        return True

    def _key(self, line: bytes, number: int) -> str:
        cells = line.rstrip(b"\r\n").split(b"\t")
        if not self._columns and len(cells) in COLUMNS:
            self._columns = COLUMNS[len(cells)]
        if len(cells) != len(self._columns):
            raise FusionError(
                f"{self.path}: line {number} has {len(cells)} columns; expected {len(self._columns) or '6 or 10'} "
                f"({', '.join(self._columns or COLUMNS[6])}), tabs between them. Is the file whole?"
            )
        key = cells[self._columns.index("image_id")].decode("utf-8", "replace").strip()
        if not key:
            raise FusionError(f"{self.path}: line {number} has no image id.")
        return key

    def _row(self, line: bytes, key: str) -> RegionFeatures:
        row = dict(zip(self._columns, line.rstrip(b"\r\n").split(b"\t"), strict=True))
        where = f"{self.path}: image {key!r}"
        try:
            width, height, boxes = (int(row[name]) for name in ("image_w", "image_h", "num_boxes"))
        except ValueError:
            raise FusionError(f"{where}: width, height or number of boxes is not a whole number.") from None
        if not 1 <= boxes <= MOST_BOXES:
            raise FusionError(f"{where}: {boxes} boxes; expected 1 to {MOST_BOXES}.")
        corners, features = _floats(row["boxes"], where, "boxes"), _floats(row["features"], where, "features")
        if corners.size != 4 * boxes or not features.size or features.size % boxes:
            raise FusionError(
                f"{where}: {corners.size} numbers for the corners and {features.size} for the features of {boxes} "
                "boxes; expected 4 and the same width for each. Is the file whole?"
            )
        return _regions(features.reshape(boxes, -1), corners.reshape(boxes, 4), width, height, where)


def read_regions(path: Path | str) -> RegionFile:
    """Stored region features, found by image id.

    Parameters
    ----------
    path : path
        A table in the published layout of bottom-up attention features: tabs between ``image_id image_w image_h
        num_boxes boxes features`` (or the ten columns that LXMERT's own tables have; a header line is read), boxes in
        pixels and features as base64 of float32. Or a folder of ``ID.npz`` files with the arrays ``features`` (or
        ``x``), ``boxes`` (or ``bbox``), ``image_w`` and ``image_h``. A table is indexed in one pass and rows are read
        when asked for.

    Raises
    ------
    FusionError
        A row that is not whole, an id twice, numbers that do not fit together, boxes outside the image.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise FusionError(f"{place}: not there; expected a table of regions or a folder of .npz files.")
    return RegionFile(place)


def _floats(cell: bytes, where: str, what: str) -> NDArray[np.float32]:
    try:
        content = base64.b64decode(cell, validate=True)
        return np.frombuffer(content, dtype="<f4")
    except (binascii.Error, ValueError):
        raise FusionError(f"{where}: the {what} are not base64 of 4-byte numbers. Is the file whole?") from None


def _read_npz(path: Path) -> RegionFeatures:
    found: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name, keys in NPZ.items():
                key = next((key for key in keys if key in arrays), None)
                if key is None:
                    raise FusionError(f"{path}: holds {sorted(arrays)}; expected {' or '.join(keys)}.")
                found[name] = arrays[key]
        width, height = float(found["w"]), float(found["h"])
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise FusionError(f"{path}: not a readable .npz of plain arrays ({error}).") from None
    boxes = np.asarray(found["boxes"])
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise FusionError(f"{path}: boxes of shape {boxes.shape}; expected [k, 4].")
    return _regions(np.asarray(found["features"]), boxes, width, height, str(path))


def _regions(features: Any, corners: Any, width: float, height: float, where: str) -> RegionFeatures:
    """Corners in pixels to shares of the image; up to a pixel outside is rounding, more is another image's size."""
    if not (width >= 1 and height >= 1):
        raise FusionError(f"{where}: an image of {width:g} x {height:g} pixels.")
    size = np.array([width, height, width, height], np.float32)
    if not np.isfinite(corners).all() or (corners < -1).any() or (corners > size + 1).any():
        raise FusionError(
            f"{where}: boxes from {np.min(corners):g} to {np.max(corners):g} in an image of {width:g} x {height:g} "
            "pixels; expected left, top, right, bottom inside it, in pixels."
        )
    try:
        return RegionFeatures(features, np.clip(corners / size, 0, 1))
    except FusionError as error:
        raise FusionError(f"{where}: {error}") from None
