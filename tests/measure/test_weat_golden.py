"""Real word2vec vectors reproduce the published WEAT effect sizes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fairvl.measure.association import association_test, effect_size

GOLDEN = {
    "1": ("flowers insects pleasant_5 unpleasant_5a", 1.539),
    "2": ("instruments weapons pleasant_5 unpleasant_5a", 1.628),
    "6": ("male_names female_names career family", 1.890),
    "7": ("math arts male_terms female_terms", 0.966),
    "8": ("science arts_2 male_terms_2 female_terms_2", 1.244),
    "9": ("mental_disease physical_disease temporary permanent", 1.297),
    "10": ("young_people_names old_people_names pleasant_9 unpleasant_9", -0.198),
}


@pytest.fixture(scope="module")
def stimuli(realdata):
    folder = realdata / "weat-word2vec"
    if not (folder / "weat_w2v.txt").is_file():
        pytest.skip("real data missing: weat-word2vec/weat_w2v.txt")
    lines = (folder / "weat_w2v.txt").read_text(encoding="utf-8").splitlines()[1:]
    vectors = {word: np.array(values, dtype=np.float32) for word, *values in (line.split(" ") for line in lines)}
    sets = json.loads((folder / "WEAT.json").read_text(encoding="utf-8"))
    return {
        name: np.array([vectors[w] for w in words if w in vectors])
        for name, words in sets.items()
        if isinstance(words, list)
    }


@pytest.mark.realdata
@pytest.mark.parametrize("test", GOLDEN)
def test_word2vec_gives_the_published_effect_sizes(stimuli, test):
    names, expected = GOLDEN[test]
    assert effect_size(*(stimuli[n] for n in names.split())) == pytest.approx(expected, abs=5e-4)


@pytest.mark.realdata
def test_real_exact_p_values_are_whole_numbers_of_splits(stimuli):
    import math

    for test in ("6", "7", "8", "9", "10"):
        sets = [stimuli[n] for n in GOLDEN[test][0].split()]
        splits = math.comb(len(sets[0]) + len(sets[1]), len(sets[0]))
        found = association_test(*sets, draws=200)
        assert found.p_method.startswith("exact")
        assert found.p * splits == pytest.approx(round(found.p * splits), abs=1e-6)
        assert found.low < found.effect_size < found.high
