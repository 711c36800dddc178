"""Shared by the embed tests: a folder of small pictures with labels, and every byte of a folder."""

import numpy as np
import pytest
from PIL import Image

from fairvl.sources.datasets import load_dataset

N = 50
BAD = 7


def make_pictures(folder):
    """50 PNGs, one of them cut; a third has no caption, a quarter no age."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    lines = ["file,caption,age,group"]
    for number in range(N):
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(folder / f"{number:02d}.png")
        caption = f"person {number}" if number % 3 else ""
        lines.append(f"{number:02d}.png,{caption},{number if number % 4 else ''},{'ab'[number % 2]}")
    cut = folder / f"{BAD:02d}.png"
    cut.write_bytes(cut.read_bytes()[:300])
    (folder / "labels.csv").write_text("\n".join(lines))
    return f"folder:{folder}?metadata=labels.csv"


@pytest.fixture
def pictures(tmp_path):
    """The string that names the folder of pictures."""
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def dataset(pictures):
    return load_dataset(pictures)


@pytest.fixture
def tree():
    """Relative path -> bytes of every file of a folder."""

    def read(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return read
