"""The hold-out of the emoji model: decided by a hash, complete, and untouched by training."""

from __future__ import annotations

from collections import Counter

import pytest

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def rows(folder, emoji_clip):
    return emoji_clip.read_rows(folder("noto-emoji-72"))


def test_the_rule_gives_the_published_concepts(rows, emoji_clip):
    held = emoji_clip.held_out_roots(rows)
    assert (len(emoji_clip.crossed_roots(rows)), len(held)) == (72, 28)
    assert {"cook", "firefighter", "police officer", "running"} < set(held)


def test_no_held_out_concept_is_trained_on(rows, emoji_clip):
    train, audit = emoji_clip.split(rows)
    held = emoji_clip.held_out_roots(rows)
    assert not {row["file"] for row in train} & {row["file"] for row in audit}
    for row in train:
        assert emoji_clip.root(row["concept"]) not in held
        assert not any(f" {name} " in f" {row['name']} " for name in held), row["name"]
    assert len(train) > 2_000  # power: the rule leaves something to train on


def test_the_audited_images_are_fully_crossed(rows, emoji_clip):
    _, audit = emoji_clip.split(rows)
    cells = Counter((row["concept"], row["gender"], row["skin_tone"]) for row in audit)
    concepts = {concept for concept, _, _ in cells}
    assert set(cells.values()) == {1}
    assert len(cells) == 10 * len(concepts)
