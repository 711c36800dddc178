"""`fairvl dedup` on the command line."""

import json

import numpy as np
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.repair.dedup import read_kept
from fairvl.sources.store import write_store


def call(*arguments):
    return CliRunner().invoke(main, ["dedup", *map(str, arguments)])


def test_a_store_is_pruned_to_half(tmp_path, tools):
    group = np.random.default_rng(0).choice(["woman", "man"], 200, p=[0.3, 0.7])
    write_store(
        tmp_path / "store", ids=[f"n{i}" for i in range(200)], image_vectors=tools.planted(200, 16, spread=0.6),
        columns={"gender": group},
    )  # fmt: skip
    done = call(tmp_path / "store", "--keep", 0.5, "--concepts", "gender", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    assert "100 of 200 kept" in done.stderr
    assert len(read_kept(tmp_path / "out" / "keep.parquet")) == 100
    found = json.loads(done.stdout)["findings"]
    assert {row["groups"] for row in found if row["attribute"] == "gender" and row["arm"] == "after"} == {
        "man",
        "woman",
    }
    given = call(
        tmp_path / "store", "--keep", 0.5, "--concepts", "gender", "--target", "woman=1,man=1", "-o", tmp_path / "even"
    )
    assert given.exit_code == 0, given.output


def test_mistakes_are_one_line_and_exit_two(tmp_path, tools):
    write_store(tmp_path / "store", ids=list("abcd"), image_vectors=tools.planted(4, 8))
    for arguments, words in (
        (["-o", tmp_path / "o"], "exactly one"),
        (["--keep", 0.5, "--concepts", "gendre", "-o", tmp_path / "o"], "no column 'gendre'"),
        (["--keep", 0.5, "--target", "a=b", "-o", tmp_path / "o"], "LABEL=SHARE"),
    ):
        failed = call(tmp_path / "store", *arguments)
        assert failed.exit_code == 2
        assert words in failed.stderr
    assert call(tmp_path / "none", "--keep", 0.5, "-o", tmp_path / "o").exit_code == 2
