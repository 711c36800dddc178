"""Real archives and tables, read in place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fairvl.sources.datasets import decode_image, load_dataset, read_table

pytestmark = pytest.mark.realdata


def real(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        pytest.skip(f"real data missing: {name}")
    return folder / name


def test_pairs_are_fifty_scenes_of_four(realdata):
    archive = real(realdata, "pairs-images/pairs.zip")
    plain = load_dataset(f"zip:{archive}?metadata=images.csv")
    assert Counter(record.attributes["gender"] for record in plain) == {"woman": 100, "man": 99, "man1": 1}
    dataset = load_dataset(f"zip:{archive}?metadata=images.csv", recode={"gender": {"man1": "man"}})
    cells = Counter((record.attributes["race"], record.attributes["gender"]) for record in dataset)
    assert sorted(cells.values()) == [50, 50, 50, 50]
    # one row's mistake stands in its file name, not in its scene
    assert sorted(Counter(record.attributes["scenario"] for record in dataset).values()) == [4] * 50
    assert {decode_image(record.image()).size for record in dataset} == {(256, 256)}
    assert dataset.problems == ()


def test_emoji_decode_and_keep_missing_labels_missing(realdata):
    archive = real(realdata, "noto-emoji-72/png72.zip")
    dataset = load_dataset(f"zip:{archive}?metadata=images.csv")
    assert len(dataset) == 3414
    people = [
        record
        for record in dataset
        if record.attributes["gender"] in ("man", "woman") and "+" not in str(record.attributes["skin_tone"] or "+")
    ]
    concepts = Counter(record.attributes["concept"] for record in people)
    assert sum(count == 10 for count in concepts.values()) == 79
    assert sum(record.attributes["gender"] is None for record in dataset) == 2076
    assert all(record.caption for record in people)
    assert {decode_image(record.image()).size for record in people[::10]} == {(72, 72)}


def test_predictions_on_faces(realdata):
    table = read_table(real(realdata, "clip-fairface-val-predictions-mit/vitb16-openai-RP.csv.gz"), id_column="file")
    assert {len(column) for column in table.values()} == {10_954}
    assert None not in table["race"]
