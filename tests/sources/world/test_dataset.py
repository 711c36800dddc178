"""The world behind the dataset seam."""

import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import DatasetError, InputError
from fairvl.sources.datasets import Dataset, load_dataset
from fairvl.sources.world import Plant, WorldPortraits, WorldSpec, portraits, portraits_dataset
from fairvl.sources.world.faces import faces


def test_the_name_gives_the_world_it_names():
    data = load_dataset("world:portraits?n=300&bias=0.9&seed=1&split=test")
    assert isinstance(data, Dataset)
    world = portraits(WorldSpec.biased(0.9), 300, 1, split="test")
    assert len(data) == 300
    for i, record in enumerate(data):
        assert record.caption == world.captions[i]
        for name, values in world.attributes.items():
            assert record.attributes[name] == values[i]
        if i in (0, 255, 256, 299):
            picture = np.asarray(Image.open(io.BytesIO(record.image())))
            np.testing.assert_array_equal(picture, world.images[i])


def test_shards_hold_every_record_once_and_survive_json():
    data = portraits_dataset("n=530&bias=0.5")
    shards = data.shards(200)
    assert all(json.loads(json.dumps(spec)) == spec for spec in shards)
    ids = [record.id for spec in reversed(shards) for record in data.read(spec)]
    assert sorted(ids) == [record.id for record in data]
    assert len(set(ids)) == 530


def test_records_and_datasets_travel_to_other_processes():
    data = pickle.loads(pickle.dumps(portraits_dataset({"n": "3"})))
    record = pickle.loads(pickle.dumps(next(iter(data))))
    assert record.image()[:4] == b"\x89PNG"


def test_the_fingerprint_follows_everything_that_changes_a_record():
    base = {"n": "30", "bias": "0.5", "seed": "1", "split": "test"}
    prints = {portraits_dataset(base).fingerprint}
    assert portraits_dataset(dict(base)).fingerprint in prints
    for change in ({"n": "31"}, {"bias": "0.6"}, {"seed": "2"}, {"split": "train"}, {"label_noise": "0.1"},
                   {"duplicates": "0.2"}, {"occlusion": "0.1"}, {"size": "64"}):  # fmt: skip
        prints.add(portraits_dataset(base | change).fingerprint)
    assert len(prints) == 9


def test_faces_as_a_dataset_are_those_of_the_world_with_two_attributes_tied():
    data = load_dataset("world:faces?n=300&plant=skin-smile&agreement=0.9&seed=4&split=train")
    spec = WorldSpec(plants=(Plant("skin", "smile", 0.8, {"light": ("smiling",), "dark": ("serious",)}),))
    world = faces(spec, 300, 4, split="train")
    records = list(data)
    for i in (0, 255, 256, 299):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(records[i].image()))), world.images[i])
        assert records[i].attributes["smile"] == world.attributes["smile"][i]
    agree = [(one.attributes["skin"] == "light") == (one.attributes["smile"] == "smiling") for one in records]
    assert 0.85 < np.mean(agree) < 0.95
    free = [(one.attributes["skin"] == "light") == (one.attributes["smile"] == "smiling")
            for one in load_dataset("world:faces?n=300")]  # fmt: skip
    assert 0.4 < np.mean(free) < 0.6
    prints = {load_dataset(f"world:{name}").fingerprint for name in ("faces?n=9", "faces?n=9&plant=skin-smile",
              "faces?n=9&plant=skin-smile&agreement=0.8", "faces?n=9&seed=1", "portraits?n=9&bias=0")}  # fmt: skip
    assert len(prints) == 5


@pytest.mark.parametrize("query", ["plant=skin", "plant=skin-skin", "plant=skin-occupation", "agreement=x", "hats=3",
                                   "plant=skin-smile&agreement=2", "n=0"])  # fmt: skip
def test_unusable_options_of_faces_are_refused(query):
    with pytest.raises(DatasetError, match="world:faces"):
        load_dataset(f"world:faces?{query}")


@pytest.mark.parametrize("query", ["n=0", "n=x", "bias=2", "seed=-1", "split=all", "hats=3", "size=4", "n"])
def test_unusable_options_are_refused(query):
    with pytest.raises(DatasetError) as caught:
        portraits_dataset(query)
    assert "world:portraits" in str(caught.value)


def test_shards_outside_are_refused():
    data = WorldPortraits(WorldSpec(), 10)
    with pytest.raises(DatasetError):
        list(data.read({"start": 5, "stop": 11}))
    with pytest.raises(InputError):
        data.shards(0)
