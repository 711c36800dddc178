"""A shard is done if and only if its manifest verifies."""

import json

import pytest

from fairvl.errors import JobError
from fairvl.jobs import run_job

CONFIG = {"v": 1}


@pytest.fixture
def done(tmp_path, stage):
    out = tmp_path / "out"
    run_job(out, stage.SPECS, stage.work, config=CONFIG, workers=0)
    return out


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE = {
    "flipped bit": lambda out: flip_a_bit(out / "squares/3.txt"),
    "truncated": lambda out: (out / "squares/3.txt").write_text("9"),
    "longer": lambda out: (out / "squares/3.txt").write_text("9" * 2000),
    "output gone": lambda out: (out / "squares/3.txt").unlink(),
    "output is a folder": lambda out: ((out / "squares/3.txt").unlink(), (out / "squares/3.txt").mkdir()),
    "manifest gone": lambda out: (out / ".jobs/job/shards/00003.json").unlink(),
    "manifest empty": lambda out: (out / ".jobs/job/shards/00003.json").write_text(""),
    "manifest a list": lambda out: (out / ".jobs/job/shards/00003.json").write_text("[]"),
    "manifest not UTF-8": lambda out: (out / ".jobs/job/shards/00003.json").write_bytes(b"\xff\xfe{"),
    "another version": lambda out: edit(out / ".jobs/job/shards/00003.json", version=99),
    "another spec": lambda out: edit(out / ".jobs/job/shards/00003.json", spec={"x": 4}),
    "another configuration": lambda out: edit(out / ".jobs/job/shards/00003.json", config_hash="0"),
    "no outputs key": lambda out: edit(out / ".jobs/job/shards/00003.json", outputs=None),
    "leaves the folder": lambda out: edit(
        out / ".jobs/job/shards/00003.json", outputs={"../x": {"bytes": 0, "sha256": ""}}
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_shard_is_computed_again_and_only_that(done, stage, tree, name):
    before = tree(done)
    DAMAGE[name](done)
    if name == "output is a folder":
        (done / "squares/3.txt").rmdir()
    run = run_job(done, stage.SPECS, stage.work, config=CONFIG, workers=0)
    assert run.computed == (3,)
    assert tree(done) == before


def test_quick_verification_hashes_small_files_and_sizes_large_ones(tmp_path):
    def big(spec, folder):
        (folder / "big.bin").write_bytes(bytes(3 << 20))
        (folder / "small.bin").write_bytes(bytes(10))

    out = tmp_path / "out"
    run_job(out, [{}], big, config=CONFIG, workers=0)
    flip_a_bit(out / "big.bin")
    assert run_job(out, [{}], big, config=CONFIG, workers=0, verify="quick").computed == ()
    assert run_job(out, [{}], big, config=CONFIG, workers=0, verify="full").computed == (0,)
    flip_a_bit(out / "small.bin")
    assert run_job(out, [{}], big, config=CONFIG, workers=0, verify="quick").computed == (0,)


def test_a_changed_input_makes_its_shard_pending(tmp_path):
    for x in range(3):
        (tmp_path / f"in-{x}.txt").write_text(f"content {x}")

    def copy(spec, folder):
        (folder / f"out-{spec['x']}.txt").write_text((tmp_path / f"in-{spec['x']}.txt").read_text().upper())

    def run():
        inputs = lambda spec: [tmp_path / f"in-{spec['x']}.txt"]  # noqa: E731
        return run_job(tmp_path / "out", [{"x": x} for x in range(3)], copy, config={}, workers=0, inputs=inputs)

    assert run().computed == (0, 1, 2)
    assert run().computed == ()
    (tmp_path / "in-1.txt").write_text("changed 1")
    assert run().computed == (1,)
    assert (tmp_path / "out/out-1.txt").read_text() == "CHANGED 1"


def test_a_missing_input_is_an_error_with_the_shard_named(tmp_path, stage):
    with pytest.raises(JobError, match=r"shard 0 of 6.*FileNotFoundError"):
        run_job(tmp_path, stage.SPECS, stage.work, config={}, workers=0, inputs=lambda spec: [tmp_path / "nowhere"])


def test_two_shards_must_not_write_one_file(tmp_path):
    def same(spec, folder):
        (folder / "same.txt").write_text(str(spec["x"]))

    with pytest.raises(JobError, match=r"shard 1 of 2.*same\.txt, which belongs to shard 0"):
        run_job(tmp_path, [{"x": 0}, {"x": 1}], same, config={}, workers=0)
    assert (tmp_path / "same.txt").read_text() == "0"


def test_a_job_file_that_vanished_is_not_guessed(done, stage):
    (done / ".jobs/job/job.json").unlink()
    with pytest.raises(JobError, match="missing, though shards are there"):
        run_job(done, stage.SPECS, stage.work, config=CONFIG, workers=0)
