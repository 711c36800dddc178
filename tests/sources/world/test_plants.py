"""What a spec plants is what the truth holds, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.sources.world import Plant, Portraits, Wording, WorldSpec, portrait_blocks
from fairvl.sources.world.captions import CONCEPTS, MOODS
from fairvl.sources.world.words import ATTRIBUTES, FEMALE_OCCUPATIONS, LOVELY, PLEASANT

N = 5_000


def drawn(spec: WorldSpec, n: int = N, seed: int = 11) -> dict[str, np.ndarray]:
    blocks: list[Portraits] = list(portrait_blocks(spec, n, seed, images=False))
    columns = {name: np.concatenate([b.truth[name] for b in blocks]) for name in blocks[0].truth}
    columns |= {f"label {name}": np.concatenate([b.attributes[name] for b in blocks]) for name in blocks[0].attributes}
    columns["caption"] = np.array([text for b in blocks for text in b.captions])
    return columns


def near(share: float, planted: float, n: int) -> bool:
    return abs(share - planted) < 4.5 * np.sqrt(max(planted * (1 - planted), 0.01) / n)


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.9])
def test_gender_and_occupation_follow_the_planted_strength(strength):
    world = drawn(WorldSpec.biased(strength))
    female = world["gender"] == "female"
    care = np.isin(world["occupation"], FEMALE_OCCUPATIONS)
    assert near(care[female].mean(), 0.5 + strength / 2, female.sum())
    assert near(female[care].mean(), 0.5 + strength / 2, care.sum())
    for job in ATTRIBUTES["occupation"]:
        assert near((world["occupation"] == job).mean(), 1 / 8, N)


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.9])
def test_pleasant_words_follow_the_planted_strength(strength):
    world = drawn(WorldSpec.biased(strength))
    said = world["says_concept"]
    kind = said[said >= 0] < len(PLEASANT)
    female = world["gender"][said >= 0] == "female"
    assert near(kind[female].mean(), 0.5 + strength / 2, female.sum())
    assert near(kind[~female].mean(), 0.5 - strength / 2, (~female).sum())
    assert set(np.unique(said[said >= 0])) == set(range(len(CONCEPTS)))


def test_concepts_have_looks_of_their_own_that_do_not_tell_their_kind():
    world = drawn(WorldSpec.biased(0.9), 20_000)
    said = world["says_concept"]
    pleasant = (said >= 0) & (said < len(PLEASANT))
    lifts = []
    for name in ("hair_length", "glasses", "smile", "place"):
        for value in ATTRIBUTES[name]:
            here = world[name] == value
            kinds = [here[pleasant].mean(), here[(said >= 0) & ~pleasant].mean()]
            assert abs(kinds[0] - kinds[1]) < 0.04, (name, value)
            lifts += [here[said == code].mean() - here.mean() for code in range(len(CONCEPTS))]
    assert max(lifts) > 0.2


def test_the_spread_of_single_words_moves_no_kind():
    world = drawn(WorldSpec(wording=Wording(strength=0.5, spread=1.5)), 20_000)
    said, female = world["says_concept"], world["gender"] == "female"
    named = said >= 0
    kind = said[named] < len(PLEASANT)
    assert near(kind[female[named]].mean(), 0.75, (named & female).sum())
    shares = np.array([female[said == code].mean() for code in range(len(CONCEPTS))])
    assert shares[: len(PLEASANT)].std() > 0.15
    plain = drawn(WorldSpec(wording=Wording(strength=0.5)), 20_000)
    shares = np.array([(plain["gender"] == "female")[plain["says_concept"] == c].mean() for c in range(len(CONCEPTS))])
    assert shares[: len(PLEASANT)].std() < 0.08


def test_the_control_family_is_associated_at_every_strength():
    for strength in (0.0, 0.9):
        world = drawn(WorldSpec.biased(strength))
        said = world["says_mood"]
        lovely = said[said >= 0] < len(LOVELY)
        flower = world["thing"][said >= 0] == "flower"
        assert near(lovely[flower].mean(), 0.95, flower.sum())
        assert near(lovely[~flower].mean(), 0.05, (~flower).sum())
        assert said.max() == len(MOODS) - 1


def test_nothing_else_is_planted():
    world = drawn(WorldSpec.biased(0.95))
    female = world["gender"] == "female"
    for name, values in ATTRIBUTES.items():
        if name in ("gender", "occupation"):
            continue
        for value in values:
            here = world[name] == value
            assert abs(here[female].mean() - here[~female].mean()) < 4.5 * np.sqrt(1 / N), (name, value)
    for name in ("says_time", "says_mood"):
        said = world[name]
        for half in (said[female], said[~female]):
            assert abs((half[half >= 0] < said.max() / 2).mean() - 0.5) < 0.12


def test_any_two_attributes_can_be_planted():
    plants = (
        Plant("place", "glasses", 0.6, {"office": ("glasses",)}),
        Plant("glasses", "gender", 0.5, {"glasses": ("male",)}),
    )
    world = drawn(WorldSpec(plants=plants))
    office, glasses = world["place"] == "office", world["glasses"] == "glasses"
    assert near(glasses[office].mean(), 0.8, office.sum())
    assert near(glasses[~office].mean(), 0.5, (~office).sum())
    assert near((world["gender"][glasses] == "male").mean(), 0.75, glasses.sum())


def test_shares_are_planted():
    world = drawn(WorldSpec(shares={"skin": {"light": 0.8, "dark": 0.2}}))
    assert near((world["skin"] == "dark").mean(), 0.2, N)
    assert ((world["skin_tone"] > 0.5) == (world["skin"] == "dark")).all()
    assert ((world["age"] > 47) == (world["age_group"] == "old")).all()
    assert world["age"].min() >= 18
    assert world["age"].max() <= 80


def test_explicit_wording_is_planted_per_group():
    world = drawn(WorldSpec(explicit={"female": 0.9, "male": 0.1}))
    named = world["says_gender"] >= 0
    female = world["gender"] == "female"
    long = np.array([len(text.split()) > 6 for text in world["caption"]])
    assert named[female & long].mean() - named[~female & long].mean() > 0.6


def test_duplicates_are_planted_per_group_and_look_alike():
    spec = WorldSpec(duplicates={"male": 0.4})
    world = drawn(spec)
    copy = world["duplicate_of"] >= 0
    male = world["gender"] == "male"
    assert not copy[~male].any()
    assert abs(copy[male].mean() - 0.4) < 0.05
    rows = np.flatnonzero(copy)
    sources = world["duplicate_of"][rows]
    assert (sources < rows).all()
    assert (world["duplicate_of"][sources] == -1).all()
    for name in (*ATTRIBUTES, "age", "skin_tone", "garment_shown"):
        np.testing.assert_array_equal(world[name][rows], world[name][sources])
    images = next(portrait_blocks(spec, 256, 11)).images.astype(float)
    rows = rows[rows < 256]
    twin = np.abs(images[rows] - images[world["duplicate_of"][rows]]).mean()
    other = np.abs(images[rows] - images[rows - 1]).mean()
    assert 0 < twin < 0.4 * other


def test_label_noise_changes_records_and_not_the_truth():
    world = drawn(WorldSpec(label_noise={"smile": 0.2, "occupation": 0.1}))
    for name, rate in (("smile", 0.2), ("occupation", 0.1), ("gender", 0.0)):
        wrong = (world[f"label {name}"] != world[name]).mean()
        assert near(wrong, rate, N) if rate else wrong == 0


def test_clothing_and_object_are_hidden_as_often_as_planted():
    world = drawn(WorldSpec(occlusion=0.3))
    assert near(world["garment_shown"].mean(), 0.7, N)
    assert near(world["object_shown"].mean(), 0.7, N)
    both = world["garment_shown"] & world["object_shown"]
    assert near(both.mean(), 0.49, N)


def test_a_spec_survives_json():
    import json

    spec = WorldSpec.biased(0.3, duplicates={"female": 0.1}, shares={"gender": {"female": 0.3, "male": 0.7}})
    assert WorldSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


@pytest.mark.parametrize(
    "make",
    [
        lambda: WorldSpec.biased(1.2),
        lambda: Plant("gender", "gender", 0.5, {}),
        lambda: Plant("gender", "job", 0.5, {}),
        lambda: Plant("gender", "smile", 0.5, {"woman": ("smiling",)}),
        lambda: Plant("gender", "smile", 0.5, {"female": ("grinning",)}),
        lambda: Plant("gender", "smile", 0.5, {"female": ()}),
        lambda: Wording(pleasant=("women",)),
        lambda: Wording(spread=-1.0),
        lambda: WorldSpec(shares={"gender": {"female": 0.7, "male": 0.7}}),
        lambda: WorldSpec(duplicates={"women": 0.1}),
        lambda: WorldSpec(label_noise={"hat": 0.1}),
        lambda: WorldSpec(size=8),
        lambda: WorldSpec.from_dict({"bias": 0.4}),
        lambda: WorldSpec(
            plants=(
                Plant("smile", "skin", 0.5, {"smiling": ("light",)}),
                Plant("skin", "smile", 0.5, {"dark": ("serious",)}),
            )
        ),
    ],
)
def test_unusable_specs_say_what_is_wrong(make):
    with pytest.raises(InputError) as caught:
        make()
    assert len(str(caught.value)) > 20


def test_effect_of_strength_is_monotone():
    shares = []
    for strength in (0.0, 0.25, 0.5, 0.75, 0.95):
        world = drawn(WorldSpec.biased(strength), 3000)
        shares.append(np.isin(world["occupation"], FEMALE_OCCUPATIONS)[world["gender"] == "female"].mean())
    assert all(a < b for a, b in pairwise(shares))
