"""What a deduplication says: unknown options are refused, shares that moved and a store against itself are told."""

import numpy as np
import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.errors import InputError
from fairvl.findings import Findings
from fairvl.repair.dedup import dedup, moved_shares, neighbours, select
from fairvl.sources.store import write_store


@pytest.fixture
def store(tmp_path, tools):
    """300 rows, the copies all of one group: no rule can hold its share."""
    group = np.array(["a"] * 150 + ["b"] * 150)
    x = tools.planted(300, 16, spread=2.0)
    x[100:150] = x[:50]
    return write_store(
        tmp_path / "store", ids=[f"n{i}" for i in range(300)], image_vectors=x,
        columns={"group": group, "mixed": np.resize(["a", "b"], 300)},
    )  # fmt: skip


def call(*arguments):
    return CliRunner().invoke(main, ["dedup", *map(str, arguments)])


@pytest.mark.parametrize(
    ("policy", "option", "words"),
    [
        ("fair", "conceps", "Did you mean 'concepts'"),
        ("fair", "swap", "Did you mean 'swaps'"),
        ("semdedup", "swaps", "has no options"),
        ("random", "treshold", "Did you mean 'threshold'"),
        ("fairdedup", "visit", "eligible, visited, first, gate"),
    ],
)
def test_an_unknown_option_is_refused_before_anything_is_written(store, tmp_path, policy, option, words):
    with pytest.raises(InputError, match=rf"unknown option '{option}' of dedup\(\).*{words}"):
        dedup(store, tmp_path / "out", keep=0.5, policy=policy, **{option: "group"})
    assert not (tmp_path / "out").exists()
    found = neighbours(store.image_vectors.read(), threshold=0.9)
    with pytest.raises(InputError, match=rf"unknown option '{option}' of select"):
        select(found, policy=policy, concepts=store.columns("group"), **{option: 1})


def test_options_of_a_policy_still_decide(store, tmp_path):
    keep = dedup(store, tmp_path / "out", threshold=0.9, concepts="group", swaps=False, rule="deficit")
    assert keep.settings["swaps"] is False


def test_a_share_that_moved_clearly_is_told_and_one_that_held_is_not(store, tmp_path):
    told = call(tmp_path / "store", "--threshold", 0.99, "--concepts", "group", "-o", tmp_path / "moved")
    assert told.exit_code == 0, told.output
    found = Findings.read(tmp_path / "moved" / "findings.json")
    after = {g: found.one(metric="representation", arm="after", groups=g).value for g in "ab"}
    assert after["a"] < 0.43
    assert any(f"the share of {g} (group) went from 50.0% to {after[g]:.1%}" in told.stderr for g in "ab")
    assert "--ledger global" in told.stderr
    assert moved_shares(found) in told.stderr
    asked = call(
        tmp_path / "store", "--threshold", 0.99, "--concepts", "group", "--target", "a=1,b=2", "-o", tmp_path / "asked"
    )
    held = call(tmp_path / "store", "--threshold", 0.99, "--concepts", "mixed", "-o", tmp_path / "held")
    for quiet in (asked, held):
        assert quiet.exit_code == 0, quiet.output
        assert "warning" not in quiet.stderr


def test_a_store_against_itself_is_told(store, tmp_path, tools):
    same = call(tmp_path / "store", "--threshold", 0.9, "--against", tmp_path / "store", "-o", tmp_path / "same")
    assert same.exit_code == 0, same.output
    assert "held against itself" in same.stderr
    write_store(tmp_path / "new", ids=["x", "y"], image_vectors=tools.planted(2, 16, seed=5))
    other = call(tmp_path / "new", "--threshold", 0.9, "--against", tmp_path / "store", "-o", tmp_path / "other")
    assert other.exit_code == 0, other.output
    assert "held against itself" not in other.stderr


def test_keep_lists_and_findings_print_in_one_line(store, tmp_path):
    keep = dedup(store, tmp_path / "out", threshold=0.99, concepts="group")
    assert repr(keep) == f"KeepList({int(keep.kept.sum())} of 300 kept, policy 'fair', threshold 0.99)"
    found = Findings.read(tmp_path / "out" / "findings.json")
    assert repr(found).startswith(f"Findings({len(found)} findings: kept_share, reason, representation")
    assert len(repr(found)) < 200
    assert repr(found[:1]) == "Findings(1 finding: kept_share)"
    assert repr(Findings()) == "Findings(0 findings)"
