"""The world of fusion models: its pictures, its quotas, and closed forms against enumeration and chance."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.amplification import directional_amplification
from fairvl.repair.captions import NeutralCaptions, captions
from fairvl.sources.captions.groups import caption_group
from fairvl.sources.world.fusion import (
    ASKED,
    ASKING,
    SETTINGS,
    WORDS,
    FusionWorld,
    answer_amplification,
    answer_scores,
    best_gender,
    best_thing,
    candidates,
    erased_amplification,
    pretrained_amplification,
    vocabulary,
)
from fairvl.sources.world.fusion_drawing import OBJECTS, draw_scenes

ODD = FusionWorld(man=(0.95, 0.85, 0.3, 0.45, 0.9, 0.05), cue=0.35, hidden=0.3, unnamed=0.2)  # half are not men
CELLS = list(itertools.product(range(6), (0, 1), (0, 1), (0, 1), (0, 1)))  # thing, woman, cue, hidden, unnamed


def _probability(world: FusionWorld, cell: tuple[int, ...]) -> float:
    thing, woman, cue, hidden, unnamed = cell
    p = world.man[thing] / 6
    p = p if not woman else 1 / 6 - p
    for flag, share in ((cue, world.cue), (hidden, world.hidden), (unnamed, world.unnamed)):
        p *= share if flag else 1 - share
    return p


def _best(world: FusionWorld, seen: Any, target: int) -> dict[Any, int]:
    """The most probable value of one coordinate for everything that may be seen, by summing the table of all cells."""
    mass: dict[Any, Counter[int]] = {}
    for cell in CELLS:
        mass.setdefault(seen(*cell), Counter())[cell[target]] += _probability(world, cell)  # type: ignore[assignment]
    return {key: max(found, key=lambda value: found[value]) for key, found in mass.items()}


def _enumerated(world: FusionWorld, direction: str, *, erased: bool = False) -> float:
    """Amplification of the best guess, from the table of all cells and the definition."""
    back = direction == "t->a"

    def seen(t: int, w: int, c: int, h: int, u: int) -> tuple[int, int | None]:
        return (t, w if c else None) if back else (w, None if h else t)

    guess = _best(world, seen, 1 if back else 0)
    joint, both = np.zeros((2, 6)), np.zeros((2, 6))
    for cell in CELLS:
        p = _probability(world, cell)
        thing, woman = cell[:2]
        joint[woman, thing] += p
        said = guess[seen(*cell)]
        if not erased:
            both[(said, thing) if back else (woman, said)] += p
    axis = 0 if direction == "t->a" else 1
    given = joint / joint.sum(axis=axis, keepdims=True)
    guessed = both / joint.sum(axis=axis, keepdims=True)
    sign = np.sign(np.round(joint - np.outer(joint.sum(1), joint.sum(0)), 12))
    return float(np.mean(sign * (guessed - given)))


@pytest.mark.parametrize("world", [*SETTINGS.values(), ASKING, ODD])
def test_closed_forms_are_what_enumeration_of_all_cells_gives(world: FusionWorld) -> None:
    assert pretrained_amplification(world) == pytest.approx(_enumerated(world, "t->a"), abs=1e-12)
    assert erased_amplification(world) == pytest.approx(_enumerated(world, "t->a", erased=True), abs=1e-12)
    assert answer_amplification(world) == pytest.approx(_enumerated(world, "a->t"), abs=1e-12)


def test_the_settings_have_the_planned_values() -> None:
    found = {name: (pretrained_amplification(w), erased_amplification(w)) for name, w in SETTINGS.items()}
    planned = {"spec": (0.12, -0.20), "stronger": (0.16, -0.30), "shown": (0.0, -0.20)}
    for name, values in planned.items():
        assert found[name] == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize("world", [*SETTINGS.values(), ODD])
def test_a_drawn_set_gives_the_closed_form_within_rounding(world: FusionWorld) -> None:
    scenes = world.scenes(1200, seed=4, split="test")
    named = scenes.word < 2
    truth, things = np.eye(2)[scenes.woman[named].astype(int)], np.eye(6)[scenes.thing[named]]
    guessed = np.eye(2)[best_gender(world, scenes)[named]]
    found = directional_amplification(truth, things, guessed, direction="t->a", n_boot=0)
    assert abs(found.value - pretrained_amplification(world)) < 0.004
    erased = directional_amplification(truth, things, guessed * 0, direction="t->a", n_boot=0)
    assert abs(erased.value - erased_amplification(world)) < 0.004
    assert erased.erasure
    assert not found.erasure


@pytest.mark.parametrize("world", [ASKING, ODD])
def test_answers_of_the_best_guess_by_chance_and_in_closed_form(world: FusionWorld) -> None:
    scenes = world.scenes(60_000, seed=4, split="asked")
    guess = best_thing(world, scenes)
    named = scenes.word < 2
    found = directional_amplification(
        np.eye(2)[scenes.word[named]], np.eye(6)[scenes.thing[named]], np.eye(6)[guess[named]], n_boot=0
    )
    assert abs(found.value - answer_amplification(world)) < 0.001
    groups = np.array(scenes.groups)
    for group, score in answer_scores(world).items():
        assert abs((guess == scenes.thing)[groups == group].mean() - score) < 0.01


def test_quotas_hold_in_every_cell_and_chance_decides_the_rest() -> None:
    scenes = ODD.scenes(3000, seed=1)
    columns = (scenes.thing, scenes.woman, scenes.cue, scenes.hidden, scenes.word == 2)
    counts = Counter(zip(*(c.astype(int).tolist() for c in columns), strict=True))
    assert all(abs(counts[cell] - 3000 * _probability(ODD, cell)) < 1 for cell in CELLS)
    assert (scenes.word[scenes.word < 2] == scenes.woman[scenes.word < 2]).all()
    assert abs(np.bincount(scenes.colour) / 3000 - 0.25).max() < 0.03
    again = ODD.scenes(3000, seed=1)
    assert again.captions() == scenes.captions()
    assert again.ids == scenes.ids
    assert ODD.scenes(3000, seed=2).captions() != scenes.captions()
    assert not set(scenes.ids) & set(ODD.scenes(3000, seed=1, split="test").ids)


def test_pictures_show_what_the_columns_say_and_nothing_else() -> None:
    n = 300
    thing, zero, no, yes = np.arange(n) % 6, np.zeros(n, int), np.zeros(n, bool), np.ones(n, bool)

    def drawn(*, woman: Any = no, cue: Any = yes, hidden: Any = no, things: Any = thing) -> Any:
        return draw_scenes(things, zero, zero, woman, cue, hidden, seed=5).astype(int)

    man, lady = drawn(), drawn(woman=yes)
    assert (abs(man - lady).max(axis=(1, 2, 3)) > 40).all()  # a gender shows
    assert not abs(man - lady)[:, :, 13:].any()  # and only on the left
    assert np.array_equal(drawn(cue=no), drawn(cue=no, woman=yes))  # the hood hides it
    assert (abs(man - drawn(things=(thing + 1) % 6)).max(axis=(1, 2, 3)) > 60).all()
    assert np.array_equal(drawn(hidden=yes), drawn(hidden=yes, things=(thing + 1) % 6))  # the parcel hides it
    assert np.array_equal(drawn()[:7], draw_scenes(thing[:7], zero[:7], zero[:7], no[:7], yes[:7], no[:7], seed=5))


def test_captions_become_neutral_through_a_real_run(tmp_path: Path) -> None:
    scenes = SETTINGS["spec"].scenes(200, seed=3)
    table = tmp_path / "captions.csv"
    pairs = list(zip(scenes.ids, scenes.captions(), strict=True))
    table.write_text("id,caption\n" + "".join(f"{id_},{text}\n" for id_, text in pairs))
    captions(table, tmp_path / "neutral")
    neutral = NeutralCaptions(tmp_path / "neutral")
    assert [neutral.text(id_, text) for id_, text in pairs] == scenes.captions("person")
    assert [caption_group(text) for text in scenes.captions()] == scenes.groups
    assert {word for _, text in pairs for word in text.split()} <= set(vocabulary())


def test_a_caption_of_the_gallery_fits_one_scene() -> None:
    scenes = SETTINGS["spec"].gallery(seed=2)
    assert len(scenes) == 160
    assert Counter(scenes.groups) == {"male": 64, "female": 64, "neutral": 32}
    said = list(zip(scenes.thing, scenes.colour, scenes.place, scenes.word, strict=True))
    assert len(set(said)) == len(scenes)
    triples = Counter((t, c, p) for t, c, p, _ in said)
    for t, c, p, word in said:
        assert (triples[t, c, p] == 2) == (word < 2)  # "person" is said where there is one scene only
    named = scenes.word < 2
    assert (scenes.cue | ~named).all()
    assert (scenes.woman[named] == scenes.word[named]).all()
    assert not scenes.hidden.any()
    few = SETTINGS["spec"].gallery(seed=2, triples=9)
    assert Counter(few.groups) == {"male": 6, "female": 6, "neutral": 3}
    assert len({*zip(few.captions("x"), few.word, strict=True)}) == 15


def test_questions_and_answers_belong_to_their_scene() -> None:
    scenes = ASKING.scenes(60, seed=1, split="questions")
    for kind in ASKED:
        assert set(scenes.answers(kind)) <= set(candidates())
        assert all(WORDS[w] in q for w, q in zip(scenes.word, scenes.questions(kind), strict=True))
    assert scenes.answers() == [OBJECTS[t] for t in scenes.thing]
    assert scenes.pictures().shape == (60, 24, 24, 3)


@pytest.mark.parametrize("plan", [{"man": (0.5, 0.7)}, {"man": (0.5,) * 6}, {"cue": 1.2}, {"hidden": -0.1}])
def test_refuses_impossible_worlds(plan: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        FusionWorld(**plan)


def test_refuses_no_scenes_unknown_splits_and_codes_outside() -> None:
    with pytest.raises(InputError):
        FusionWorld().scenes(0, 1)
    with pytest.raises(InputError, match="dev"):
        FusionWorld().scenes(5, 1, split="dev")
    with pytest.raises(InputError, match="triples"):
        FusionWorld().gallery(1, triples=97)
    with pytest.raises(InputError, match="codes"):
        draw_scenes([6], [0], [0], [True], [True], [True], seed=0)
    with pytest.raises(InputError, match="one value per scene"):
        draw_scenes([1, 2], [0], [0], [True], [True], [True], seed=0)
