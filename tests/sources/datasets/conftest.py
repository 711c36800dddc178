"""Small sources in every layout, written by other tools than the ones that read them."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROWS = [
    {
        "id": f"r{number}",
        "caption": f"picture {number}",
        "gender": "female" if number % 2 else "male",
        "age": 20 + number,
    }
    for number in range(11)
]


def png(seed: int = 0, size: tuple[int, int] = (5, 4)) -> bytes:
    """A small random PNG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """One member written by the standard library."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def make_folder(place: Path) -> str:
    (place / "images").mkdir()
    for number, row in enumerate(ROWS):
        (place / "images" / f"{row['id']}.png").write_bytes(png(number))
    write_csv(place / "labels.csv", [{"file": f"images/{row['id']}.png", **row} for row in ROWS])
    return f"folder:{place}?metadata=labels.csv"


def make_zip(place: Path) -> str:
    with zipfile.ZipFile(place / "all.zip", "w") as archive:
        for number, row in enumerate(ROWS):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.writestr(f"images/{row['id']}.png", png(number), compress_type=method)
    write_csv(place / "labels.csv", [{"file": f"images/{row['id']}.png", **row} for row in ROWS])
    return f"zip:{place / 'all.zip'}?metadata=labels.csv"


def make_parquet(place: Path, struct: bool = False) -> str:
    for part, rows in enumerate((ROWS[:4], ROWS[4:])):
        pictures = [png(part * 4 + number) for number in range(len(rows))]
        cells = [{"bytes": picture, "path": None} for picture in pictures] if struct else pictures
        table = pa.Table.from_pylist([{**row, "image": cell} for row, cell in zip(rows, cells, strict=True)])
        pq.write_table(table, place / f"part-{part}.parquet", row_group_size=3)
    return f"parquet:{place}/part-*.parquet"


def make_webdataset(place: Path) -> str:
    for part, rows in enumerate((ROWS[:4], ROWS[4:])):
        with tarfile.open(place / f"{part:05d}.tar", "w") as tar:
            for number, row in enumerate(rows):
                add(tar, f"{row['id']}.png", png(part * 4 + number))
                add(tar, f"{row['id']}.txt", row["caption"].encode())
                add(tar, f"{row['id']}.json", json.dumps({"gender": row["gender"], "age": row["age"]}).encode())
    return f"webdataset:{place}/{{00000..00001}}.tar"


def make_huggingface(place: Path) -> str:
    import datasets

    data = datasets.Dataset.from_list(
        [{**row, "image": {"bytes": png(number), "path": None}} for number, row in enumerate(ROWS)]
    ).cast_column("image", datasets.Image())
    data.save_to_disk(str(place / "saved"))
    return f"hf:{place / 'saved'}"


LAYOUTS: dict[str, Callable[[Path], str]] = {
    "folder": make_folder,
    "zip": make_zip,
    "parquet": make_parquet,
    "parquet-struct": lambda place: make_parquet(place, struct=True),
    "webdataset": make_webdataset,
    "hf": make_huggingface,
}


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of the same eleven records, in each layout in turn."""
    return LAYOUTS[request.param](tmp_path)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return ROWS


@pytest.fixture
def make_png() -> Callable[..., bytes]:
    return png


@pytest.fixture
def add_member() -> Callable[[tarfile.TarFile, str, bytes], None]:
    return add


@pytest.fixture
def layouts() -> dict[str, Callable[[Path], str]]:
    return LAYOUTS


@pytest.fixture
def table_file() -> Callable[[Path, list[dict[str, Any]]], None]:
    return write_csv
