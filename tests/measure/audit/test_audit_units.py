"""What belongs together stays together: halves, folds and resampling follow the unit that a suite names."""

from __future__ import annotations

import numpy as np
import pytest

from fairvl.errors import DatasetError
from fairvl.measure.audit import audit, load_suite
from fairvl.sources.encoders import EncoderCard, encoder
from fairvl.sources.store import write_store

SUITE = """
id = "scenes"
version = 1
{unit}
[attribute.gender]
sensitive = true
[attribute.scene]
[[association]]
test = "women and men: scenes"
category = "social"
attribute = "gender"
x = "images gender=female"
y = "images gender=male"
a = "images scene={a}"
b = "images scene={b}"
[[leakage]]
attribute = "gender"
texts = []
"""
SCENES = 50


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Fifty scenes of four near copies, two of women and two of men; nothing about gender is in the vectors."""
    return stored(tmp_path_factory, ["female", "male"] * (2 * SCENES))


def stored(tmp_path_factory, genders):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(SCENES, 24)).repeat(4, axis=0)
    vectors = centres + 0.05 * rng.normal(size=centres.shape)
    columns = {"scene": [f"s{i // 4}" for i in range(4 * SCENES)], "gender": list(genders)}
    card = EncoderCard(library="test", name="scenes", weights="none", dim=24, modalities=("image",))
    store = write_store(
        tmp_path_factory.mktemp("scenes") / "s", ids=[f"i{i}" for i in range(4 * SCENES)],
        image_vectors=vectors.astype(np.float32), columns=columns, card=card, dtype="float32",
    )  # fmt: skip
    return encoder(image_fn=lambda images: np.zeros((len(images), 24)), card=card), store


def run(scenes, tmp_path, unit):
    model, store = scenes
    path = tmp_path / "suite.toml"
    halves = [[f"s{i}" for i in range(start, SCENES, 2)] for start in (0, 1)]
    path.write_text(SUITE.format(unit=f'unit = "{unit}"' if unit else "", a="|".join(halves[0]), b="|".join(halves[1])))
    return audit(model, dataset=store, suite=load_suite(path), draws=200)


def test_no_scene_is_in_both_halves_and_scenes_are_the_units(scenes, tmp_path):
    together = run(scenes, tmp_path, "scene").one(metric="effect_size")
    apart = run(scenes, tmp_path, "").one(metric="effect_size")
    assert "clusters" in together.note
    assert "clusters" not in apart.note
    assert together.n <= SCENES < apart.n
    assert abs(together.value) < 0.5


def test_probe_folds_keep_scenes_whole(tmp_path_factory, tmp_path):
    """A scene shows one gender, drawn at random: only a probe that has seen the scene can name it."""
    genders = np.random.default_rng(1).permutation(["female", "male"] * (SCENES // 2)).repeat(4)
    store = stored(tmp_path_factory, genders)
    whole, torn = (run(store, tmp_path, u).one(metric="probe_accuracy", modality="image") for u in ("scene", ""))
    assert whole.n == torn.n == 4 * SCENES
    assert torn.low > 0.65
    assert whole.low < 0.5


def test_an_attribute_with_many_labels_is_kept_where_it_is_only_a_set(scenes, tmp_path):
    assert len(run(scenes, tmp_path, "scene").settings["data"]["groups"]["scene"]) == SCENES


def test_a_unit_that_the_data_lack_is_an_error(scenes, tmp_path):
    with pytest.raises(DatasetError, match="no column 'person'"):
        run(scenes, tmp_path, "person")


def test_columns_of_predictions_may_have_any_name(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_text("file,sex,region,sex_preds\n" + "".join(f"{i}.jpg,{'fm'[i % 2]},r{i % 3},f\n" for i in range(60)))
    found = audit(predictions=path, truth="sex", prediction="sex_preds", id="file", draws=100)
    assert found.one(metric="accuracy", groups="(all)").value == 0.5
    assert [found.one(metric="accuracy", groups=g).value for g in "fm"] == [1, 0]
    assert found.settings["data"]["columns"]["y_true"] == "sex"
    with pytest.raises(DatasetError, match="sex_predictions"):
        audit(predictions=path, truth="sex", prediction="sex_predictions", draws=100)
    assert {row.attribute for row in audit(
        predictions=path, truth="sex", prediction="sex_preds", id="file", crossings=1, draws=100
    )} == {"", "sex", "region"}  # fmt: skip
