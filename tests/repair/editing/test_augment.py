"""A plan becomes so many distinct, verified files, killed or not."""

import csv
import errno
import hashlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fairvl
from fairvl.errors import ConfigMismatchError, DatasetError, InputError, JobError
from fairvl.repair.editing import tables, trying
from fairvl.repair.editing.augment import ShortfallWarning, augment
from fairvl.repair.editing.gate import Gate, SameJudgeWarning, Thresholds
from fairvl.repair.editing.judges import Judge
from fairvl.repair.editing.plan import Plan
from fairvl.repair.editing.provenance import Codec, is_marked_synthetic, read_provenance
from fairvl.repair.editing.seam import LeftOutWarning
from fairvl.repair.editing.strength import AdaptiveStrength
from fairvl.sources.datasets.decode import decode_image

HELPER = Path(__file__).parents[1] / "small_heads.py"
spec = importlib.util.spec_from_file_location("small_heads", HELPER)
heads = sys.modules.setdefault("small_heads", importlib.util.module_from_spec(spec))
spec.loader.exec_module(heads)
HOW = AdaptiveStrength(start=0.5, maximum=2.0, bisections=2, margin=0.4)


def world(n=60, strength=0.85, seed=0, **changes):
    tone, hat = heads.correlated(n, strength, seed)
    images, labels = heads.draw(n, seed, tone, hat)
    return heads.Heads(images, labels, fingerprint=f"heads-{n}-{seed}", **changes)


def gate(**thresholds):
    return Gate([heads.judge("b", fingerprint="fb")], chooser=heads.judge("a", fingerprint="fa"),
                thresholds=Thresholds(structure=None, **thresholds))  # fmt: skip


def run(data, out, **options):
    plan = options.pop("plan", None) or Plan.from_dataset(data, label="hat", attribute="tone")
    settings = {"changes": heads.CHANGES, "strength": HOW, "variants": 2, "block": 8} | options
    return augment(
        data, settings.pop("editor", heads.ToneEditor()), plan, settings.pop("gate", gate()), out, **settings
    )


def opened(path):
    return Image.open(io.BytesIO(Path(path).read_bytes()))


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "lock" not in path.name
    }


def test_exactly_as_many_distinct_verified_files_as_the_plan_asked_for(tmp_path):
    """The released writer of the paper began its file names anew with each batch: 200 edits left 64 files."""
    data = world(90)
    plan = Plan.from_dataset(data, label="hat", attribute="tone")
    assert plan.n > 3 * 8  # many more than a block
    done = run(data, tmp_path / "out", plan=plan)
    files = sorted((tmp_path / "out" / "edited").rglob("*.png"))
    assert len(files) == plan.n == len({path.read_bytes() for path in files})
    rows = read_csv(tmp_path / "out" / "edited.csv")
    assert len({row["file"] for row in rows}) == plan.n
    assert {(tmp_path / "out" / row["file"]) for row in rows} == set(files)
    for request in plan.requests:
        mine = [row for row in rows if (row["hat"], row["tone"]) == (request.label, request.to)]
        assert len(mine) == request.n
    pixels = np.stack([np.asarray(opened(tmp_path / "out" / row["file"])) for row in rows])
    seen = heads.read(pixels)  # every label holds in the pixels
    for name in ("hat", "tone"):
        assert [heads.CLASSES[name][i] for i in seen[name].argmax(axis=1)] == [row[name] for row in rows]
    assert dict(done.counts) == plan.result
    assert len(set(plan.result.values())) <= 2
    balanced = fairvl.load_dataset(done.dataset)
    assert len(list(balanced)) == 90 + plan.n
    assert Plan.from_dataset(balanced, label="hat", attribute="tone").n == 0 if _balanced(done) else True


def _balanced(done):
    by_label = {}
    for (label, _), n in done.counts.items():
        by_label.setdefault(label, set()).add(n)
    return all(len(sizes) == 1 for sizes in by_label.values())


def test_an_augmented_set_is_balanced(tmp_path):
    assert _balanced(run(world(40), tmp_path / "out"))


def test_originals_and_edits_pass_one_codec_and_pairs_lie_row_by_row(tmp_path):
    data = world(30)
    done = run(data, tmp_path / "out", codec="jpeg:80")
    for row in read_csv(tmp_path / "out" / "metadata.csv"):
        data_ = (tmp_path / "out" / row["file"]).read_bytes()
        with Image.open(io.BytesIO(data_)) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (32, 32), "RGB")
            assert image.quantization == opened(tmp_path / "out" / "original/00000/00000.jpg").quantization
        assert is_marked_synthetic(data_) == (row["kind"] == "edited") == read_provenance(data_)["synthetic"]
    edited, unedited = read_csv(tmp_path / "out" / "edited.csv"), read_csv(tmp_path / "out" / "unedited.csv")
    assert [row["source"] for row in edited] == [row["source"] for row in unedited]
    assert all(a["tone"] != b["tone"] and a["hat"] == b["hat"] for a, b in zip(edited, unedited, strict=True))
    first = fairvl.load_dataset(done.unedited)
    shown = np.stack([np.asarray(decode_image(record.image())) for record in first])
    assert [heads.CLASSES["tone"][i] for i in heads.read(shown)["tone"].argmax(axis=1)] == [r["tone"] for r in unedited]


def test_every_image_says_where_it_comes_from(tmp_path):
    import pyarrow.parquet as pq

    data = world(40)
    run(data, tmp_path / "out", editor=heads.ToneEditor(spoils=0.3), retries=0, variants=4)
    table = pq.read_table(tmp_path / "out" / "provenance.parquet").to_pylist()
    kept = [row for row in table if row["accepted"]]
    assert len(table) > len(kept) > 0  # rejected ones stand there too, with scores
    assert all(row["reasons"] and row["b.tone"] is not None for row in table if not row["accepted"])
    for row in kept:
        told = read_provenance((tmp_path / "out" / row["edited_file"]).read_bytes())
        for key in ("source", "label", "from", "to", "strength", "seed", "attempt", "editor", "fairvl", "b.tone"):
            assert told[key] == pytest.approx(row[key]) if isinstance(row[key], float) else told[key] == row[key]
        assert told["change"] == {"instruction": "darker skin", "sign": 1.0 if row["to"] == "dark" else -1.0}
        assert row["b.tone"] >= 0.1
        assert row["fairvl"] == fairvl.__version__
    record = json.loads((tmp_path / "out" / "augmentation.json").read_text())
    for request in record["requests"]:
        tried = [row for row in table if (row["label"], row["to"]) == (request["label"], request["to"])]
        assert request["tried"] == len(tried)
        assert request["accepted"] == sum(row["accepted"] for row in tried) == request["wanted"]
        assert request["low"] <= request["yield"] <= request["high"]
        assert sum(request["reasons"].values()) >= request["tried"] - request["accepted"]


@pytest.mark.filterwarnings("ignore:.*edits are missing")
def test_the_gate_keeps_out_what_an_editor_spoils(tmp_path):
    """An editor that takes the hat off in half of its edits: without the gate half of the labels would be wrong."""
    data = world(60, 0.9)
    plan = Plan.from_dataset(data, {("hat", "light"): 20}, label="hat", attribute="tone")
    spoils = heads.ToneEditor(spoils=0.5)
    options = {"plan": plan, "editor": spoils, "retries": 0, "variants": 1, "allow_short": True}
    open_gate = run(data, tmp_path / "open", gate=gate(label_margin=-1.0, kept=0.0), **options)
    shut = run(data, tmp_path / "shut", **options)
    wrong = {}
    for name in ("open", "shut"):
        rows = read_csv(tmp_path / name / "edited.csv")
        pixels = np.stack([np.asarray(opened(tmp_path / name / row["file"])) for row in rows])
        wrong[name] = (heads.read(pixels)["hat"].argmax(axis=1) == 0).mean()
    assert wrong["open"] > 0.3
    assert wrong["shut"] == 0
    assert shut.requests[0]["reasons"]["label lost"] > 3
    assert open_gate.requests[0]["tried"] <= shut.requests[0]["tried"]


def test_retries_rescue_edits(tmp_path):
    data = world(60, 0.9)
    plan = Plan.from_dataset(data, {("hat", "light"): 15}, label="hat", attribute="tone")
    once = run(data, tmp_path / "a", plan=plan, editor=heads.ToneEditor(spoils=0.5), retries=0, variants=9)
    again = run(data, tmp_path / "b", plan=plan, editor=heads.ToneEditor(spoils=0.5), retries=3, variants=9)
    assert again.requests[0]["tried"] < once.requests[0]["tried"]
    assert again.requests[0]["accepted"] == once.requests[0]["accepted"] == plan.n


def test_a_copy_of_an_edit_is_never_counted_twice(tmp_path):
    """The editor is deterministic: a second edit of one source at one strength has the same pixels."""
    data = world(12, 1.0)
    hats = sum(label == "hat" for label in data.labels["hat"])
    plan = Plan.from_counts({("hat", "dark"): hats, ("hat", "light"): 0}, {("hat", "light"): 2 * hats},
                            label="hat", attribute="tone")  # fmt: skip
    with pytest.raises(JobError, match=r"same pixels as another edit"):
        run(data, tmp_path / "out", plan=plan, variants=3, retries=0, strength=1.5, originals="none")
    assert len(list((tmp_path / "out" / "edited").rglob("*.png"))) == hats


def test_a_plan_beyond_the_pool_is_an_error_before_any_edit(tmp_path):
    data = world(20)
    plan = Plan.from_dataset(data, "aggravate", label="hat", attribute="tone")
    editor = heads.ToneEditor()
    with pytest.raises(InputError, match=r"wanted, \d+ sources.*larger"):
        run(data, tmp_path / "out", plan=plan, editor=editor, variants=1)
    assert editor.decoded == 0
    assert not (tmp_path / "out").exists()
    with pytest.warns(ShortfallWarning) as told:
        done = run(data, tmp_path / "short", plan=plan, variants=1, allow_short=True)
    assert [word in str(one.message) for one, word in zip(told, ("too small", "are missing"), strict=True)] == [
        True
    ] * 2
    assert done.short == plan.n - sum(one["accepted"] for one in done.requests) > 0
    larger = heads.Heads(*heads.draw(200, 9), fingerprint="pool")
    done = run(data, tmp_path / "full", plan=plan, pool=larger)
    assert done.short == 0


def test_an_editor_that_does_nothing_ends_in_an_error_that_says_why(tmp_path):
    data = world(20)
    with pytest.raises(JobError, match=r"0 of \d+ after \d+ candidates \(.*not flipped"):
        run(data, tmp_path / "out", editor=heads.ToneEditor(ignores=1.0))


def test_unreadable_images_are_counted_and_others_are_made_to_fit(tmp_path):
    """Grey, transparent, 16-bit, large and oblong images all become RGB of the model's side."""
    data = world(40)
    images = {}
    for i, mode in enumerate(("L", "RGBA", "I;16", "wide", "large", "broken")):
        file = io.BytesIO()
        picture = Image.fromarray(data.images[i])
        if mode == "I;16":
            picture = Image.fromarray((np.asarray(picture.convert("L")).astype(np.uint16)) * 257)
        elif mode == "wide":
            picture = picture.resize((64, 32))
        elif mode == "large":
            picture = picture.resize((301, 301))
        elif mode != "broken":
            picture = picture.convert(mode)
        picture.save(file, "PNG")
        images[i] = file.getvalue()[:60] if mode == "broken" else file.getvalue()
    data = world(40, broken=images)
    with pytest.warns(LeftOutWarning, match=r"1 of the real images are not .*h00005.*truncated"):
        done = run(data, tmp_path / "out", variants=3)
    told = json.loads((tmp_path / "out" / "augmentation.json").read_text())["left out"]["originals"]
    assert [name for name, _ in told] == ["h00005"]
    assert len(list((tmp_path / "out" / "original").rglob("*.png"))) == 39
    assert {opened(path).size for path in (tmp_path / "out").rglob("*.png")} == {(32, 32)}
    assert done.short == 0
    for name, left in (("refuse", 2), ("pad", 1)):
        with pytest.warns(LeftOutWarning, match=f"{left} of the real images"):
            run(data, tmp_path / name, variants=3, fit=name)
    assert len(list((tmp_path / "refuse" / "original").rglob("*.png"))) == 38
    assert len(list((tmp_path / "pad" / "original").rglob("*.png"))) == 39


def test_files_that_no_run_made_are_never_written_among(tmp_path):
    """A folder of the user's own, with a table of the name that a run writes, keeps every byte."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "metadata.csv").write_text("file,hat\na.png,hat\n")
    with pytest.raises(InputError, match=r"holds files that no run of augment made \(metadata.csv"):
        run(world(20), mine)
    assert [path.name for path in mine.iterdir()] == ["metadata.csv"]
    assert (mine / "metadata.csv").read_text() == "file,hat\na.png,hat\n"
    (tmp_path / "empty").mkdir()
    assert run(world(20), tmp_path / "empty").short == 0
    assert run(world(20), tmp_path / "empty").short == 0  # its own run goes on


def test_a_judge_that_names_the_groups_otherwise_is_found_before_any_edit(tmp_path):
    typo = Judge("typo", {"tone": ("light", "drak"), "hat": heads.CLASSES["hat"]}, heads.read)
    with pytest.raises(InputError, match=r"'typo' knows no tone 'dark'; it has light, drak"):
        run(world(20), tmp_path / "out", gate=Gate([heads.judge("a"), typo]))
    assert not (tmp_path / "out").exists()


def test_edits_towards_the_wrong_pole_are_told_as_such(tmp_path):
    swapped = {"dark": heads.CHANGES["light"], "light": heads.CHANGES["dark"]}
    with pytest.raises(JobError, match="does its change lead to the other pole"):
        run(world(20), tmp_path / "out", changes=swapped, retries=0)


def test_mistakes(tmp_path):
    data, out = world(20), tmp_path / "out"
    with pytest.raises(InputError, match=r"no path or instruction turns tone into '(dark|light)'"):
        run(data, out, changes={"green": "greener"})
    with pytest.raises(InputError, match="code_space"):
        run(data, out, changes=dict.fromkeys(("dark", "light"), lambda codes, strength: codes))
    with pytest.raises(InputError, match="expected a path or an instruction"):
        run(data, out, changes=dict.fromkeys(("dark", "light"), 7))
    with pytest.raises(InputError, match="sign"):
        run(data, out, changes=dict.fromkeys(("dark", "light"), ("darker", 2)))
    with pytest.raises(InputError, match="names no label"):
        run(data, out, plan=Plan.from_counts({("hat", "dark"): 3, ("hat", "light"): 1}))
    with pytest.raises(InputError, match="balanced already"):
        run(data, out, plan=Plan.from_counts([[1, 1]], label="hat", attribute="tone"))
    with pytest.raises(InputError, match="no record has both"):
        run(data, out, plan=Plan.from_dataset(data, label="beard", attribute="tone"))
    with pytest.raises(InputError, match="codec 'tiff'"):
        run(data, out, codec="tiff")
    with pytest.raises(DatasetError, match="_confidence"):
        run(data, out, labeller="model-x")
    stiff = heads.ToneEditor()
    stiff.capabilities = frozenset()
    with pytest.raises(InputError, match="cannot: continuous"):
        run(data, out, editor=stiff)
    assert not out.exists()
    with pytest.warns(SameJudgeWarning, match="supervised"):
        run(data, out, supervisors=["fb"])
    with pytest.raises(ConfigMismatchError, match="seed"):
        run(data, out, seed=5)


def test_pseudo_labels_are_used_only_when_sure(tmp_path):
    data = world(60)
    sure = [i % 2 * 0.98 for i in range(60)]
    labelled = heads.Heads(data.images, {**data.labels, "tone_confidence": sure}, fingerprint="pseudo")
    done = run(labelled, tmp_path / "out", labeller="model-x", min_confidence=0.9, variants=9)
    sources = {row["source"] for row in read_csv(tmp_path / "out" / "edited.csv")}
    assert sources <= {f"h{i:05d}" for i in range(1, 60, 2)}
    assert done.short == 0


def test_reconstructed_originals_and_none(tmp_path):
    data = world(20)
    run(data, tmp_path / "a", originals="reconstructed")
    first = (tmp_path / "a" / "original/00000/00000.png").read_bytes()
    assert read_provenance(first)["reconstructed"]
    assert is_marked_synthetic(first)
    run(data, tmp_path / "b", originals="none")
    assert not (tmp_path / "b" / "original").exists()
    assert {row["kind"] for row in read_csv(tmp_path / "b" / "metadata.csv")} == {"edited"}


def test_a_full_disk_leaves_nothing_half_written_and_the_run_goes_on(tmp_path, monkeypatch):
    data, real = world(60), tables.write_file
    run(data, tmp_path / "whole")
    left = [40]

    def full(path, content):
        left[0] -= 1
        if left[0] < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    module = sys.modules[augment.__module__]
    monkeypatch.setattr(module, "write_file", full)
    with pytest.raises(JobError, match="No space left"):
        run(data, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.read_bytes() == b"half"]
    assert not (tmp_path / "out" / "metadata.csv").exists()
    left[0] = 60
    with pytest.raises(JobError, match="finished shards do"):
        run(data, tmp_path / "out")
    monkeypatch.undo()
    run(data, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


SCRIPT = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("test_augment", {test!r})
test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test)
class Slow(test.heads.ToneEditor):
    def decode(self, state):
        time.sleep({pause})
        return super().decode(state)
test.run(test.world(60), {out!r}, editor=Slow())
"""


def test_a_run_that_is_killed_goes_on_to_the_same_bytes(tmp_path):
    run(world(60), tmp_path / "whole")
    out = tmp_path / "out"
    script = SCRIPT.format(test=__file__, out=str(out), pause=0.05)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
        began, before = time.monotonic(), len(list((out / "edited").rglob("*.png")))
        while len(list((out / "edited").rglob("*.png"))) <= before + 5 and time.monotonic() - began < 60:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (out / "augmentation.json").exists()
    run(world(60), out)
    assert contents(out) == contents(tmp_path / "whole")
    made = run(world(60), out)  # a finished run makes nothing again
    assert made.requests == run(world(60), tmp_path / "whole").requests


def test_seeds_decide_the_sources_and_nothing_else_does(tmp_path):
    first = contents(run(world(60), tmp_path / "a").folder)
    again = contents(run(world(60), tmp_path / "b").folder)
    other = contents(run(world(60), tmp_path / "c", seed=1).folder)
    assert first == again
    assert first["edited.csv"] != other["edited.csv"]


def test_the_codec_is_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(Codec().encode(image, synthetic=True)))), image)
    assert read_provenance(Codec("jpeg").encode(image, {"a": 1}, synthetic=False))["a"] == 1
    plain = io.BytesIO()
    Image.fromarray(image).save(plain, "PNG")
    assert read_provenance(plain.getvalue()) == {}
    assert not is_marked_synthetic(plain.getvalue())
    assert trying.FACTORS[0] == 1.0
