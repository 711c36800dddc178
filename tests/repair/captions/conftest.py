"""Shared by the caption tests: the gold captions with their scorer, and rows of counterfactual captions."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

GOLD = Path(__file__).parents[2] / "gold" / "score.py"


@pytest.fixture(scope="session")
def gold():
    spec = importlib.util.spec_from_file_location("gold_score", GOLD)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gold_score"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def counterfactual_pairs(realdata):
    """(male, female) captions that differ in gender alone, from the 2 x 1,044 rows of social counterfactuals."""
    pairs = []
    for name in ("race_gender", "physicaltrait_gender"):
        path = realdata / "social-counterfactual-captions" / f"{name}_occupation.jsonl.gz"
        if not path.is_file():
            pytest.skip(f"real data missing: {path.name}")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                texts = [value for key, value in row.items() if key != "filename"]
                pairs += zip(texts[0::2], texts[1::2], strict=True)
    return pairs
