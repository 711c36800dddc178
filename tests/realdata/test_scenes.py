"""Generated scenes through MobileNet: 50 scenarios of four, one recoded label, and near copies kept together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def audited(folder, measured, tmp_path_factory):
    pytest.importorskip("ai_edge_litert")
    folder("mobilenet-tflite")
    return measured.scene_audit(folder("pairs-images"), tmp_path_factory.mktemp("scenes"))


def test_two_hundred_scenes_are_fifty_by_four(audited):
    found, store = audited
    assert (len(store), store.image_vectors.dim) == (200, 1024)
    assert set(Counter(store.columns("scenario").tolist()).values()) == {4}
    assert "man1" in store.columns("gender").tolist()
    groups = found.settings["data"]["groups"]
    assert groups["gender"] == {"female": 100, "male": 100}
    assert groups["race"] == {"black": 100, "white": 100}


def test_the_encoder_gives_the_published_check_values(audited):
    _, store = audited
    vectors = store.image_vectors.read()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    same = np.equal.outer(*[np.array(store.columns("scenario").tolist())] * 2)
    off = ~np.eye(200, dtype=bool)
    assert np.median(cosines[same & off]) == pytest.approx(0.872, abs=0.01)
    assert np.median(cosines[~same]) == pytest.approx(0.592, abs=0.01)
    nearest = np.where(off, cosines, -1).argmax(axis=1)
    assert same[np.arange(200), nearest].mean() == pytest.approx(0.995, abs=0.01)


def test_scenarios_are_the_units(audited):
    found, _ = audited
    for row in found.where(metric="effect_size", category="social"):
        assert row.n == 52  # 26 scenarios a side, not 52 pictures a side
        assert "clusters are the units" in row.note
    assert found.one(metric="effect_size", test="women and men: other scenes of women and men").low > 0  # power
