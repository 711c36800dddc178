"""VQAv2, GQA, NLVR2 and Flickr30K in their published layouts, and every way in which such files can be wrong."""

from __future__ import annotations

import json

import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import load_dataset
from fairvl.sources.datasets.vl_tasks import human_answers

QUESTIONS = [
    {"image_id": 42, "question": "What is the woman holding?", "question_id": 42000},
    {"image_id": 42, "question": "How many dogs?", "question_id": 42001},
    {"image_id": 73, "question": "Is the man running?", "question_id": 73000},
]
ANSWERS = {42000: ["racket"] * 7 + ["tennis racket"] * 3, 42001: ["2"] * 10, 73000: ["yes"] * 10}


def annotations():
    return [
        {
            "question_type": "what is", "multiple_choice_answer": ANSWERS[q["question_id"]][0], "answer_type": "other",
            "image_id": q["image_id"], "question_id": q["question_id"],
            "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": i + 1}
                        for i, a in enumerate(ANSWERS[q["question_id"]])],
        }
        for q in reversed(QUESTIONS)  # their order differs: ids decide
    ]  # fmt: skip


def vqa(place, make_png, questions=QUESTIONS, notes=None):
    notes = annotations() if notes is None else notes
    (place / "val2014").mkdir(parents=True)
    for image in (42, 73):
        (place / f"val2014/COCO_val2014_{image:012d}.jpg").write_bytes(make_png(image))
    (place / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"questions": questions}))
    (place / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": notes}))
    return f"vqav2:{place}"


def test_vqav2_joins_questions_and_answers_by_id(tmp_path, make_png):
    dataset = load_dataset(vqa(tmp_path, make_png) + "?group=gender-en")
    records = {record.id: record for record in dataset}
    assert list(records) == ["42000", "42001", "73000"]
    first = records["42000"]
    assert first.caption == "What is the woman holding?"
    assert first.attributes["answer"] == "racket"
    assert human_answers(first.attributes["answers"]) == tuple(ANSWERS[42000])
    assert first.attributes["group"] == "female"
    assert records["42001"].attributes["group"] == "unknown"
    assert human_answers(records["42001"].attributes["answers"]) == ("2",) * 10
    assert records["73000"].image() == make_png(73)
    assert "group" not in next(iter(load_dataset(f"vqav2:{tmp_path}"))).attributes


def test_the_test_split_of_vqav2_has_no_answers(tmp_path, make_png):
    (tmp_path / "v2_OpenEnded_mscoco_test2015_questions.json").write_text(json.dumps({"questions": QUESTIONS}))
    (record, *_) = load_dataset(f"vqav2:{tmp_path}?split=test")
    assert "answer" not in record.attributes
    with pytest.raises(DatasetError, match="no such file"):
        record.image()


def test_annotations_misaligned_by_one_are_caught(tmp_path, make_png):
    notes = annotations()
    images = [note["image_id"] for note in notes]
    for note, image in zip(notes, images[1:] + images[:1], strict=True):
        note["image_id"] = image
    with pytest.raises(DatasetError, match=r"about image 42 .* and about 73"):
        load_dataset(vqa(tmp_path, make_png, notes=notes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda q, n: n.pop(), "different questions .1 stand in one only, such as 42000"),
        (lambda q, n: n.append(n[0]), "stands twice"),
        (lambda q, n: q.append(q[0]), "stands twice"),
        (lambda q, n: n[0].update(answers="yes"), "no list of answers"),
        (lambda q, n: q[0].pop("question"), "question is None"),
        (lambda q, n: q[0].update(image_id="../../etc"), "whole number"),
    ],
)
def test_other_faults_of_vqav2_are_named(tmp_path, make_png, change, said):
    questions, notes = [dict(q) for q in QUESTIONS], annotations()
    change(questions, notes)
    for note in notes:
        if said == "whole number" and note["question_id"] == 42000:
            note["image_id"] = "../../etc"
    with pytest.raises(DatasetError, match=said):
        load_dataset(vqa(tmp_path, make_png, questions, notes))


def gqa(place, make_png, table=None, name="val_balanced_questions.json"):
    (place / "images").mkdir(parents=True)
    (place / "images/2405722.jpg").write_bytes(make_png(1))
    table = table or {
        "05515938": {"imageId": "2405722", "question": "Who is holding the bat?", "answer": "boy",
                     "fullAnswer": "The boy is.", "types": {"structural": "query", "semantic": "rel"}},
        "05515939": {"imageId": "2405722", "question": "Is he tall?", "answer": "yes", "fullAnswer": "Yes.",
                     "types": {}},
    }  # fmt: skip
    (place / name).write_text(json.dumps(table))
    return f"gqa:{place}"


def test_gqa_reads_questions_by_id(tmp_path, make_png):
    one, two = load_dataset(gqa(tmp_path, make_png) + "?group=gender-en")
    assert (one.id, one.caption, one.attributes["answer"]) == ("05515938", "Who is holding the bat?", "boy")
    assert one.attributes["type"] == "query"
    assert two.attributes == {
        "image_id": "2405722", "answer": "yes", "full_answer": "Yes.", "type": None, "group": "male",
    }  # fmt: skip
    assert one.image() == make_png(1)
    with pytest.raises(DatasetError, match=r"no val_all_questions\.json"):
        load_dataset(f"gqa:{tmp_path}?questions=all")
    with pytest.raises(DatasetError, match="balanced or all"):
        load_dataset(f"gqa:{tmp_path}?questions=some")


def test_an_image_name_that_leaves_the_folder_is_a_problem_and_no_record(tmp_path, make_png):
    table = {"1": {"imageId": "../x", "question": "a?"}, "2": {"imageId": "2405722", "question": "b?"}}
    dataset = load_dataset(gqa(tmp_path, make_png, table))
    assert [record.id for record in dataset] == ["2"]
    assert "leaves the folder" in dataset.problems[0].reason


NLVR2 = [
    {"identifier": "dev-850-0-0", "sentence": "The left image shows two dogs.", "label": "True", "writer": 1},
    {"identifier": "dev-850-1-0", "sentence": "The left image shows two dogs.", "label": "False"},
    {"identifier": "dev-850-0-1", "sentence": "A man stands.", "label": "False"},
]


def nlvr2(place, make_png, lines=NLVR2):
    (place / "dev").mkdir(parents=True)
    for base in ("dev-850-0", "dev-850-1"):
        for side in (0, 1):
            (place / f"dev/{base}-img{side}.png").write_bytes(make_png(side))
    (place / "dev.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return f"nlvr2:{place}"


def test_nlvr2_has_two_images_and_says_which_examples_share_a_sentence(tmp_path, make_png):
    records = list(load_dataset(nlvr2(tmp_path, make_png) + "?group=gender-en"))
    sentences = [record.attributes["sentence"] for record in records]
    assert sentences[0] == sentences[1] != sentences[2]
    assert [record.attributes["label"] for record in records] == ["True", "False", "False"]
    assert records[0].image() == make_png(0)
    assert (tmp_path / records[0].attributes["right_image"]).read_bytes() == make_png(1)
    assert records[2].attributes["group"] == "male"


def test_train_images_of_nlvr2_lie_in_numbered_folders(tmp_path, make_png):
    (tmp_path / "images/train/31").mkdir(parents=True)
    (tmp_path / "images/train/31/train-5-0-img0.png").write_bytes(make_png(3))
    line = {"identifier": "train-5-0-2", "sentence": "A dog.", "label": "True", "directory": 31}
    (tmp_path / "train.json").write_text(json.dumps(line))
    (record,) = load_dataset(f"nlvr2:{tmp_path}?split=train")
    assert record.image() == make_png(3)


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "line 1: not JSON"), ("[1]", "a list"), ('{"identifier": "dev-1", "sentence": "a"}', "dev-850-0-0"),
     ('{"identifier": "dev-1-0-0"}', "sentence is None")],
)  # fmt: skip
def test_broken_lines_of_nlvr2_are_named(tmp_path, line, said):
    (tmp_path / "dev.json").write_text(line)
    with pytest.raises(DatasetError, match=said):
        load_dataset(f"nlvr2:{tmp_path}")


def flickr(place, make_png):
    (place / "flickr30k-images").mkdir(parents=True)
    images = []
    for number, split in ((1, "test"), (2, "test"), (3, "train")):
        (place / f"flickr30k-images/{number}.jpg").write_bytes(make_png(number))
        texts = (
            ["A man runs.", "He runs fast.", "A runner.", "A man in red.", "Someone runs."]
            if number == 1
            else ["A dog."]
        )
        images.append(
            {"sentids": list(range(len(texts))), "imgid": number, "split": split, "filename": f"{number}.jpg",
             "sentences": [{"tokens": t.lower().split(), "raw": t, "imgid": number, "sentid": i}
                           for i, t in enumerate(texts)]}
        )  # fmt: skip
    (place / "dataset_flickr30k.json").write_text(json.dumps({"images": images, "dataset": "flickr30k"}))
    return f"flickr30k:{place}"


def test_flickr30k_gives_a_record_per_caption_of_its_split(tmp_path, make_png):
    records = list(load_dataset(flickr(tmp_path, make_png) + "?group=gender-en"))
    assert [record.id for record in records] == ["1.jpg#0", "1.jpg#1", "1.jpg#2", "1.jpg#3", "1.jpg#4", "2.jpg#0"]
    assert {record.attributes["image"] for record in records[:5]} == {"1.jpg"}
    assert {record.attributes["group"] for record in records[:5]} == {"male"}  # of the image, not of each caption
    assert records[5].image() == make_png(2)
    assert len(load_dataset(f"flickr30k:{tmp_path}?split=train")) == 1
    with pytest.raises(DatasetError, match="no record of the split 'val'"):
        load_dataset(f"flickr30k:{tmp_path}?split=val")


@pytest.mark.parametrize("scheme", ["vqav2", "gqa", "nlvr2", "flickr30k"])
def test_an_absent_folder_file_or_split_is_named(tmp_path, scheme):
    with pytest.raises(DatasetError, match="no such folder"):
        load_dataset(f"{scheme}:{tmp_path}/nowhere")
    with pytest.raises(DatasetError, match="layout in which the benchmark is published"):
        load_dataset(f"{scheme}:{tmp_path}")
    with pytest.raises(DatasetError, match="split='nonsense'; expected one of"):
        load_dataset(f"{scheme}:{tmp_path}?split=nonsense")


def test_files_that_are_not_json_or_of_another_layout_are_named(tmp_path):
    path = tmp_path / "dataset_flickr30k.json"
    path.write_text("<html>")
    with pytest.raises(DatasetError, match="not JSON"):
        load_dataset(f"flickr30k:{tmp_path}")
    path.write_text("[]")
    with pytest.raises(DatasetError, match="no list 'images'"):
        load_dataset(f"flickr30k:{tmp_path}")
    with pytest.raises(DatasetError, match="no list of answers"):
        human_answers("yes")


def test_the_fingerprint_follows_the_content(tmp_path, make_png):
    name = vqa(tmp_path, make_png)
    before = load_dataset(name).fingerprint
    assert load_dataset(name).fingerprint == before
    (tmp_path / "val2014/COCO_val2014_000000000042.jpg").write_bytes(b"other")
    assert load_dataset(name).fingerprint != before
    assert load_dataset(name + "?group=gender-en").fingerprint != load_dataset(name).fingerprint
