"""Waterbirds and CelebA folders in their published layout, and every way in which such a folder can be wrong."""

from __future__ import annotations

import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import Dataset, decode_image, load_dataset

BIRD_ROWS = [  # img_id, img_filename, y, split, place, place_filename
    (1, "001.Albatross/a.jpg", 1, 0, 1, "/o/ocean/1.jpg"),
    (2, "001.Albatross/b.jpg", 1, 0, 0, "/f/forest/1.jpg"),
    (3, "002.Wren/c.jpg", 0, 0, 0, "/f/forest/2.jpg"),
    (4, "002.Wren/d.jpg", 0, 0, 0, "/f/forest/3.jpg"),
    (5, "002.Wren/e.jpg", 0, 1, 1, "/o/ocean/2.jpg"),
    (6, "001.Albatross/f.jpg", 1, 2, 0, "/f/forest/4.jpg"),
    (7, "002.Wren/g.jpg", 0, 2, 1, "/o/ocean/3.jpg"),
]
HEAD = "img_id,img_filename,y,split,place,place_filename"


def waterbirds(place, make_png, rows=BIRD_ROWS, head=HEAD):
    for number, row in enumerate(rows):
        target = place / str(row[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(make_png(number))
    (place / "metadata.csv").write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return f"waterbirds:{place}"


ATTRIBUTES = ["Bald", "Blond_Hair", "Male", "Smiling"]
FACES = [  # name, values, split
    ("000001.jpg", "-1  1 -1  1", 0),
    ("000002.jpg", "-1 -1  1 -1", 0),
    ("000003.jpg", "-1 -1 -1  1", 0),
    ("000004.jpg", " 1 -1  1  1", 1),
    ("000005.jpg", "-1  1  1 -1", 2),
    ("000006.jpg", "-1 -1 -1 -1", 2),
]


def celeba(place, make_png, faces=FACES, inner="img_align_celeba"):
    (place / inner).mkdir(parents=True)
    for number, (name, _, _) in enumerate(faces):
        (place / inner / name).write_bytes(make_png(number))
    lines = [str(len(faces)), " ".join(ATTRIBUTES), *(f"{name} {values}" for name, values, _ in faces)]
    (place / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (place / "list_eval_partition.txt").write_text("".join(f"{name} {split}\n" for name, _, split in faces))
    return f"celeba:{place}"


def test_waterbirds_says_bird_place_and_group_of_the_test_split(tmp_path, make_png):
    dataset = load_dataset(waterbirds(tmp_path, make_png))
    assert isinstance(dataset, Dataset)
    assert [(record.id, dict(record.attributes)) for record in dataset] == [
        ("001.Albatross/f.jpg", {"bird": "waterbird", "place": "land", "group": "waterbird on land"}),
        ("002.Wren/g.jpg", {"bird": "landbird", "place": "water", "group": "landbird on water"}),
    ]
    assert next(iter(dataset)).image() == make_png(5)
    assert dataset.training_counts == {
        "group": {"landbird on land": 2, "waterbird on land": 1, "waterbird on water": 1}
    }


def test_every_split_can_be_had(tmp_path, make_png):
    name = waterbirds(tmp_path, make_png)
    assert [len(load_dataset(f"{name}?split={split}")) for split in ("train", "val", "test", "all")] == [4, 1, 2, 7]
    rows = list(load_dataset(f"{name}?split=all"))
    assert [row.attributes["split"] for row in rows] == ["train"] * 4 + ["val"] + ["test"] * 2
    recoded = load_dataset(name, recode={"group": {"waterbird on land": "odd"}})
    assert recoded.training_counts == {}  # the names in which they were counted are gone
    assert load_dataset(name, recode={"place": {"land": "dry"}}).training_counts["group"]["landbird on land"] == 2


@pytest.mark.parametrize("inner", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba_says_hair_gender_and_group(tmp_path, make_png, inner):
    name = celeba(tmp_path, make_png, inner=inner)
    dataset = load_dataset(f"{name}?attributes=Smiling")
    assert [(record.id, dict(record.attributes)) for record in dataset] == [
        ("000005.jpg", {"hair": "blond", "gender": "male", "group": "blond hair, male", "Smiling": "no"}),
        ("000006.jpg", {"hair": "dark", "gender": "female", "group": "dark hair, female", "Smiling": "no"}),
    ]
    assert decode_image(next(iter(dataset)).image()).size == (5, 4)
    assert dataset.training_counts == {"group": {"blond hair, female": 1, "dark hair, female": 1, "dark hair, male": 1}}
    assert len(load_dataset(f"{name}?split=all&limit=3")) == 3


def test_the_fingerprint_follows_labels_and_files_and_not_the_place(tmp_path, make_png):
    here, there = load_dataset(waterbirds(tmp_path / "a", make_png)), load_dataset(waterbirds(tmp_path / "b", make_png))
    assert here.fingerprint == there.fingerprint
    changed = [*BIRD_ROWS[:-1], (*BIRD_ROWS[-1][:4], 0, "x")]
    assert load_dataset(waterbirds(tmp_path / "c", make_png, changed)).fingerprint != here.fingerprint
    assert load_dataset(f"waterbirds:{tmp_path / 'a'}?split=val").fingerprint != here.fingerprint


def test_a_picture_that_is_missing_keeps_its_row_and_says_so(tmp_path, make_png):
    name = waterbirds(tmp_path, make_png)
    (tmp_path / "002.Wren/g.jpg").unlink()
    dataset = load_dataset(name)
    assert len(dataset) == 2
    with pytest.raises(DatasetError):
        list(dataset)[1].image()


def test_a_name_that_leaves_the_folder_is_a_problem_and_no_record(tmp_path, make_png):
    name = waterbirds(tmp_path, make_png)
    text = (tmp_path / "metadata.csv").read_text().replace("002.Wren/g.jpg", "../outside.jpg")
    (tmp_path / "metadata.csv").write_text(text)
    dataset = load_dataset(name)
    assert [record.id for record in dataset] == ["001.Albatross/f.jpg"]
    assert [problem.id for problem in dataset.problems] == ["../outside.jpg"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("img_filename,y,", "img_filename,label,", "no column 'y'"),
        (",place,", ",location,", "no column 'place'"),
        ("g.jpg,0,2,1", "g.jpg,2,2,1", r"row 7 has y 2; expected 0 \(landbird\), 1 \(waterbird\)"),
        ("g.jpg,0,2,1", "g.jpg,0.5,2,1", "row 7 has y 0.5"),
        ("g.jpg,0,2,1", "g.jpg,0,3,1", "has split 3"),
        ("g.jpg,0,2,1", "g.jpg,0,2,", "has place None"),
        ("002.Wren/g.jpg", "", "no img_filename"),
        ("002.Wren/g.jpg", "001.Albatross/f.jpg", "duplicate ids"),
    ],
)
def test_wrong_metadata_is_refused_with_the_row(tmp_path, make_png, old, new, says):
    name = waterbirds(tmp_path, make_png)
    text = (tmp_path / "metadata.csv").read_text()
    assert old in text
    (tmp_path / "metadata.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=says):
        load_dataset(name)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("list_attr_celeba.txt", "Blond_Hair", "Blonde_Hair", "no attribute 'Blond_Hair'. Did you mean 'Blonde_Hair'"),
        ("list_attr_celeba.txt", "6\n", "7\n", "line 1 says 7 images, 6 follow"),
        ("list_attr_celeba.txt", "6\n", "", "number of images in line 1"),
        ("list_attr_celeba.txt", "000004.jpg  1 -1", "000004.jpg  1", "line 6: expected a file name and 4 values"),
        ("list_attr_celeba.txt", "000004.jpg  1 -1", "000004.jpg  0 -1", "with others among them"),
        ("list_attr_celeba.txt", "000004.jpg", "000009.jpg", "list different images"),
        ("list_attr_celeba.txt", "000004.jpg", "\xff".encode("latin-1"), "not text"),
        ("list_eval_partition.txt", "000004.jpg 1", "000004.jpg 4", "line 4"),
        ("list_eval_partition.txt", "000004.jpg 1\n", "", "list different images"),
    ],
)
def test_wrong_celeba_files_are_refused_with_the_line(tmp_path, make_png, file, old, new, says):
    name = celeba(tmp_path, make_png)
    data = (tmp_path / file).read_bytes()
    assert old.encode() in data
    (tmp_path / file).write_bytes(data.replace(old.encode(), new if isinstance(new, bytes) else new.encode(), 1))
    with pytest.raises(DatasetError, match=says):
        load_dataset(name)


def test_unusable_requests_are_refused(tmp_path, make_png):
    birds = waterbirds(tmp_path / "birds", make_png)
    faces = celeba(tmp_path / "faces", make_png)
    for name, says in [
        (f"{birds}?split=dev", "split='dev'"),
        (f"{birds}?attributes=x", "no option 'attributes'"),
        (f"{faces}?attributes=Smile", "no attribute 'Smile'. Did you mean 'Smiling'"),
        (f"waterbirds:{tmp_path / 'absent'}", "no such folder"),
        (f"waterbirds:{tmp_path / 'faces'}", r"no metadata\.csv"),
        (f"celeba:{tmp_path / 'birds'}", r"no list_attr_celeba\.txt"),
    ]:
        with pytest.raises(DatasetError, match=says):
            load_dataset(name)
    only_training = waterbirds(tmp_path / "train", make_png, BIRD_ROWS[:3])
    with pytest.raises(DatasetError, match=r"no row of the split 'test'; there are \{'train': 3\}"):
        load_dataset(only_training)
