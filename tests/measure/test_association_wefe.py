"""The preset "wefe" equals the package `wefe`, run by its own interpreter where it cannot be installed beside ours.

`wefe` needs an older numpy than this package is tested with. Name a Python that has it in FAIRVL_WEFE_PYTHON:
``python -m venv DIR && DIR/bin/pip install wefe``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fairvl.measure.association import association_test, effect_size, raw_score

THEIRS = """
import json, sys
import numpy as np
from gensim.models import KeyedVectors
from wefe.metrics import WEAT
from wefe.query import Query
from wefe.word_embedding_model import WordEmbeddingModel

found = []
for sets in json.load(sys.stdin):
    words = [[f"{name}{i}" for i in range(len(rows))] for name, rows in zip("xyab", sets)]
    vectors = KeyedVectors(len(sets[0][0]))
    vectors.add_vectors(sum(words, []), np.concatenate([np.array(s, dtype=np.float32) for s in sets]))
    query = Query(words[:2], words[2:], ["X", "Y"], ["A", "B"])
    result = WEAT().run_query(query, WordEmbeddingModel(vectors, "m"))
    found.append([float(result["weat"]), float(result["effect_size"])])
print(json.dumps(found))
"""


def interpreter() -> str:
    named = os.environ.get("FAIRVL_WEFE_PYTHON", "")
    if named:
        return named
    if importlib.util.find_spec("wefe") is None:
        pytest.skip("wefe is not installed and FAIRVL_WEFE_PYTHON names no Python that has it")
    return sys.executable


def test_the_preset_equals_the_package_gate_2():
    rng = np.random.default_rng(0)
    cases = []
    for n, m, p, q in ((8, 8, 8, 8), (25, 25, 25, 25), (6, 9, 5, 4), (2, 2, 1, 1), (16, 12, 25, 8)):
        sets = [rng.normal(size=(k, 50)) + 0.3 * rng.normal(size=50) for k in (n, m, p, q)]
        cases.append([np.float32(s) for s in sets])
    given = json.dumps([[s.astype(float).tolist() for s in sets] for sets in cases])
    done = subprocess.run([interpreter(), "-W", "ignore", "-c", THEIRS], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for sets, (score, size) in zip(cases, json.loads(done.stdout.splitlines()[-1]), strict=True):
        ours = association_test(*sets, preset="wefe", draws=20, permutations=99)
        assert ours.effect_size == pytest.approx(size, abs=1e-6)
        assert raw_score(*sets) == pytest.approx(score, abs=1e-5 if len(sets[0]) > 20 else 1e-6)
        assert abs(size - effect_size(*sets)) > 1e-4  # power: ddof 1 is another number
