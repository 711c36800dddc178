"""A corpus of captions: the same bytes whatever kills or schedules it, by id, with hostile rows."""

import io
import json
import signal
import subprocess
import sys
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairvl.errors import ConfigMismatchError, DatasetError, InputError
from fairvl.repair.captions import captions, neutralize
from fairvl.sources.captions import caption_group, restore
from fairvl.sources.captions.spans import Span

HOSTILE = {
    "plain": "A man ties his shoe while she waits.",
    "empty": "",
    "blank": "   ",
    "none": None,
    "long": "A woman walks her dog. " * 450,
    "one word": "man" * 3400,
    "apostrophes": "he's " * 2000,
    "quotes": '"' * 10_000,
    "ticks": "a'" * 5000,
    "angles": "<" * 10_000,
    "emoji": "A boy 👦🏽 and 👩‍🚀 her rocket 🚀",
    "right to left": "رجل يركب دراجة and a man",
    "marks": "\u202ea man\u202c and \u200fhis dog",
    "mixed": "Ein Mann und a woman avec son chien",
    "html": '<p class="man">A <b>man</b> &amp; his dog</p><img alt="woman" src="https://x.org/her/man.jpg">',
    "decomposed": "her fiance\u0301e",
    "control": "a man\x00his\x07dog",
    "tabs": "a man\this dog\nher cat",
}


def parquet(path, rows):
    ids = list(rows)
    pq.write_table(pa.table({"id": ids, "caption": [rows[id_] for id_ in ids]}), path, row_group_size=5)
    return f"parquet:{path}"


def table(folder, name):
    return {
        row["id"]: row for path in sorted((folder / name).glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    }


def all_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("lock",)
    }


def test_hostile_captions_are_rewritten_or_left_and_can_all_be_restored(tmp_path):
    run = captions(parquet(tmp_path / "c.parquet", HOSTILE), tmp_path / "out", rows_per_shard=4)
    rows = table(tmp_path / "out", "captions")
    assert list(rows) == list(HOSTILE)
    spans = {}
    for path in sorted((tmp_path / "out" / "spans").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            row.pop("why")
            spans.setdefault(row.pop("id"), []).append(Span(**row))
    for id_, row in rows.items():
        original = HOSTILE[id_]
        if original is None or not original.strip():
            assert row["text"] in (original, None)
            assert row["group"] == "unknown"
        else:
            assert row["text"] == neutralize(original).text
            assert restore(row["text"], spans.get(id_, [])) == original
    assert run.summary["empty"] == 3
    assert run.summary["captions"] == len(HOSTILE)
    assert sum(run.summary["rules"].values()) == sum(map(len, spans.values()))
    assert rows["html"]["text"] == HOSTILE["html"].replace("<b>man", "<b>person").replace("his", "their")
    assert rows["right to left"]["text"].endswith("and a person")
    assert rows["emoji"]["text"] == "A child 👦🏽 and 👩‍🚀 their rocket 🚀"
    assert rows["decomposed"]["text"] == "their partner"
    assert rows["mixed"]["text"] == "Ein Mann und a person avec son chien"


KILL_AT_KTH_REPLACE = """
import os, signal, sys
from fairvl.repair.captions import captions
count, replace = 0, os.replace
def counted(a, b):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)
os.replace = counted
captions(sys.argv[1], sys.argv[2], rows_per_shard=7, sample=5)
"""


@pytest.mark.parametrize("k", [pytest.param(1, marks=pytest.mark.slow), 6, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, k):
    rows = {f"c{i}": f"A {'man' if i % 2 else 'woman'} with {i} dogs and his hat" for i in range(28)}
    source = parquet(tmp_path / "c.parquet", rows)
    captions(source, tmp_path / "b", rows_per_shard=7, sample=5)
    command = [sys.executable, "-c", KILL_AT_KTH_REPLACE, source, str(tmp_path / "a"), str(k)]
    died = subprocess.run(command, check=False)
    assert died.returncode == -signal.SIGKILL  # power: the kill landed
    assert not (tmp_path / "a" / "summary.json").exists() or k > 19
    captions(source, tmp_path / "a", rows_per_shard=7, sample=5)
    assert all_files(tmp_path / "a") == all_files(tmp_path / "b")


def test_engines_and_workers_give_the_same_bytes(tmp_path):
    source = parquet(tmp_path / "c.parquet", {f"c{i}": f"A man and {i} women" for i in range(20)})
    captions(source, tmp_path / "a", rows_per_shard=6)
    captions(source, tmp_path / "b", rows_per_shard=6, workers=2)
    first = captions(source, tmp_path / "c", rows_per_shard=6, engine="shard:0/2")
    assert not first.complete
    captions(source, tmp_path / "c", rows_per_shard=6, engine="shard:1/2")
    wanted = [name for name in all_files(tmp_path / "a") if not name.startswith(".jobs")]
    assert len(wanted) == 4 * 3 + 2
    for other in ("b", "c"):
        assert {name: all_files(tmp_path / other)[name] for name in wanted} == {
            name: all_files(tmp_path / "a")[name] for name in wanted
        }


def test_another_lexicon_is_refused_in_the_same_folder(tmp_path):
    source = parquet(tmp_path / "c.parquet", {"1": "An old man"})
    captions(source, tmp_path / "out")
    with pytest.raises(ConfigMismatchError, match="lexicon"):
        captions(source, tmp_path / "out", lexicon="age-en")


def test_webdataset_shards_give_what_parquet_gives(tmp_path):
    rows = {"0001": "A man and his dog", "0002": "A king size bed", "0003": "She waves"}
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for key, text in rows.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{key}.txt")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    captions(f"webdataset:{tmp_path / '00000.tar'}", tmp_path / "tar")
    captions(parquet(tmp_path / "c.parquet", rows), tmp_path / "parquet")
    assert table(tmp_path / "tar", "captions") == table(tmp_path / "parquet", "captions")


def test_masks_instead_of_neutral_words(tmp_path):
    captions(parquet(tmp_path / "c.parquet", {"1": "A man and his dog"}), tmp_path / "out", masked="[MASK]")
    assert table(tmp_path / "out", "captions")["1"]["text"] == "A [MASK] and [MASK] dog"


def test_images_with_several_captions_get_a_group(tmp_path):
    texts = {"a": ["A man", "He runs", "A runner", "A man runs"], "b": ["A woman", "A person"], "c": ["A bus"],
             "d": ["A man", "A woman"]}  # fmt: skip
    rows = [(image, text) for image, listed in texts.items() for text in listed]
    path = tmp_path / "c.csv"
    path.write_text("id,image,caption\n" + "".join(f"{i},{image},{text}\n" for i, (image, text) in enumerate(rows)))
    run = captions(path, tmp_path / "out", image="image")
    found = {row["image"]: row["group"] for row in pq.read_table(tmp_path / "out" / "images.parquet").to_pylist()}
    assert found == {"a": "male", "b": "neutral", "c": "unknown", "d": "mixed"}
    assert run.summary["images"] == {"male": 1, "mixed": 1, "neutral": 1, "unknown": 1}


def labelled(path, shift):
    genders = ["man", "woman", "woman", "man", "man", "woman", "man", "woman", "woman", "woman", "man"] * 8
    lines = []
    for i in range(len(genders)):
        caption = genders[(i + shift) % len(genders)]
        lines.append(f"{i},{genders[i]},A {caption} with a hat\n")
    path.write_text("id,gender,caption\n" + "".join(lines))
    return path


def test_captions_shifted_by_one_against_their_labels_are_refused(tmp_path):
    run = captions(labelled(tmp_path / "own.csv", 0), tmp_path / "own", label="gender")
    assert run.summary["alignment"]["own"] == 1.0
    for shift in (1, -1):
        with pytest.raises(DatasetError, match="misaligned by one"):
            captions(labelled(tmp_path / f"{shift}.csv", shift), tmp_path / f"out{shift}", label="gender")
        assert not (tmp_path / f"out{shift}" / "summary.json").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,caption\n1,A man\n1,A boy\n", "duplicate"),
        ("id,caption\n1,A man\n,A boy\n", "no id"),
        ("caption\nA man\n", "never by position"),
        ("id,name\n1,A man\n", "no column of captions"),
        ("id,caption\n1,\n2,\n", "none of 2 records has a caption"),
    ],
)
def test_tables_that_cannot_be_keyed_are_refused(tmp_path, content, says):
    path = tmp_path / "c.csv"
    path.write_text(content)
    with pytest.raises(DatasetError, match=says):
        captions(path, tmp_path / "out")


def test_a_parquet_row_without_id_is_refused(tmp_path):
    pq.write_table(pa.table({"id": ["1", None], "caption": ["A man", "A boy"]}), tmp_path / "c.parquet")
    with pytest.raises(DatasetError, match="no id"):
        captions(f"parquet:{tmp_path / 'c.parquet'}", tmp_path / "out")


def test_settings_that_make_no_sense_are_refused(tmp_path):
    source = parquet(tmp_path / "c.parquet", {"1": "A man"})
    with pytest.raises(InputError, match="rows_per_shard"):
        captions(source, tmp_path / "out", rows_per_shard=0)
    with pytest.raises(InputError, match="masked"):
        captions(source, tmp_path / "out", masked=" ")
    for wrong in (None, 3, b"a man"):
        with pytest.raises(InputError, match="expected text"):
            neutralize([wrong])
        with pytest.raises(InputError, match="expected text"):
            caption_group(wrong)


def test_the_sample_is_seeded_and_independent_of_shards(tmp_path):
    source = parquet(tmp_path / "c.parquet", {f"c{i}": f"A man with {i} dogs" for i in range(40)})
    captions(source, tmp_path / "a", rows_per_shard=40, sample=5)
    captions(source, tmp_path / "b", rows_per_shard=3, sample=5)
    captions(source, tmp_path / "c", rows_per_shard=3, sample=5, seed=1)
    texts = [(tmp_path / name / "sample.tsv").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0].splitlines()) == 6


def test_the_command_writes_what_the_function_writes(tmp_path):
    from click.testing import CliRunner

    from fairvl.cli import main

    source = parquet(tmp_path / "c.parquet", {"1": "A man and his dog", "2": "A bus"})
    done = CliRunner().invoke(main, ["captions", source, "-o", str(tmp_path / "cli"), "--json"])
    assert done.exit_code == 0, done.output
    captions(source, tmp_path / "python")
    assert all_files(tmp_path / "cli") == all_files(tmp_path / "python")
    assert json.loads(done.stdout.splitlines()[0])["changed"] == 1
