"""CelebA-HQ, UTKFace and FairFace in their published layouts."""

import gzip
import shutil
from collections import Counter

import pytest
from PIL import Image

import fairvl
from fairvl.errors import DatasetError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "JPEG")


@pytest.fixture
def celeba_hq(tmp_path):
    names = "5_o_Clock_Shadow Male Smiling Young"
    rows = ["0.jpg  -1 1 1 -1", "1.jpg  -1 -1 -1 1", "2.jpg  1 1 -1 1"]
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(["3", names, *rows]) + "\n")
    mapping = ["idx    orig_idx    orig_file", "0 119613 119614.jpg", "1 99094 099095.jpg", "2 200121 200122.jpg"]
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(mapping) + "\n")
    (tmp_path / "list_eval_partition.txt").write_text("119614.jpg 0\n099095.jpg 0\n200122.jpg 2\n000001.jpg 1\n")
    for i in range(3):
        picture(tmp_path / "CelebA-HQ-img" / f"{i}.jpg")
    return tmp_path


def test_celeba_hq_splits_through_the_mapping(celeba_hq):
    train = list(fairvl.load_dataset(f"celeba-hq:{celeba_hq}?attributes=Smiling"))
    assert [record.attributes for record in train] == [
        {"age_group": "old", "gender": "male", "Smiling": "yes"},
        {"age_group": "young", "gender": "female", "Smiling": "no"},
    ]
    assert train[0].image()[:2] == b"\xff\xd8"
    assert [record.id for record in fairvl.load_dataset(f"celeba-hq:{celeba_hq}?split=test")] == ["2.jpg"]
    (celeba_hq / "list_eval_partition.txt").unlink()
    assert len(fairvl.load_dataset(f"celeba-hq:{celeba_hq}?split=all")) == 3
    with pytest.raises(DatasetError, match=r"no list_eval_partition\.txt"):
        fairvl.load_dataset(f"celeba-hq:{celeba_hq}")
    with pytest.raises(DatasetError, match="'Smiling'"):
        fairvl.load_dataset(f"celeba-hq:{celeba_hq}?split=all&attributes=Smilling")


def test_an_image_without_its_original_is_not_put_into_a_split(celeba_hq):
    (celeba_hq / "list_eval_partition.txt").write_text("119614.jpg 0\n")
    with pytest.raises(DatasetError, match=r"099095\.jpg"):
        fairvl.load_dataset(f"celeba-hq:{celeba_hq}")


def test_utkface_reads_file_names_and_lists_those_that_lack_a_part(tmp_path):
    names = ["26_1_2_20170116174525125.jpg.chip.jpg", "part1/61_0_0_20170109142408075.jpg", "40_0_4_20170104.jpg"]
    for name in (*names, "39_1_20170116174525125.jpg.chip.jpg", "120_0_5_2017.jpg"):
        picture(tmp_path / name)
    dataset = fairvl.load_dataset(f"utkface:{tmp_path}")
    found = {record.id: dict(record.attributes) for record in dataset}
    assert found == {
        names[0]: {"age": 26, "age_group": "young", "gender": "female", "race": "asian"},
        names[1]: {"age": 61, "age_group": "old", "gender": "male", "race": "white"},
        names[2]: {"age": 40, "age_group": "old", "gender": "male", "race": "other"},
    }
    assert {problem.id for problem in dataset.problems} == {"39_1_20170116174525125.jpg.chip.jpg", "120_0_5_2017.jpg"}
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="none of 0 images"):
        fairvl.load_dataset(f"utkface:{empty}")
    with pytest.raises(DatasetError, match="no such folder"):
        fairvl.load_dataset(f"utkface:{tmp_path / 'nowhere'}")


HEAD = "file,age,gender,race,service_test"
ROWS = [
    "val/1.jpg,3-9,Male,East Asian,False",
    "val/2.jpg,more than 70,Female,Black,True",
    "val/3.jpg,40-49,Male,White,True",
]


@pytest.mark.parametrize(("zipped", "inner"), [(False, ""), (True, "fairface-img-margin025-trainval")])
def test_fairface(tmp_path, zipped, inner):
    text = "\n".join([HEAD, *ROWS]) + "\n"
    name = tmp_path / ("fairface_label_val.csv" + (".gz" if zipped else ""))
    name.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    for i in (1, 2, 3):
        picture(tmp_path / inner / "val" / f"{i}.jpg")
    found = list(fairvl.load_dataset(f"fairface:{tmp_path}"))
    assert [record.attributes["age_group"] for record in found] == ["young", "old", "old"]
    assert found[0].attributes["age"] == "3-9"
    assert found[1].attributes["race"] == "Black"
    assert found[2].image()[:2] == b"\xff\xd8"
    with pytest.raises(DatasetError, match=r"no fairface_label_train\.csv"):
        fairvl.load_dataset(f"fairface:{tmp_path}?split=all")
    with pytest.raises(DatasetError, match="train and val"):
        fairvl.load_dataset(f"fairface:{tmp_path}?split=test")


def test_fairface_with_an_age_that_is_no_bin(tmp_path):
    (tmp_path / "fairface_label_val.csv").write_text(f"{HEAD}\nval/1.jpg,41,Male,White,True\n")
    with pytest.raises(DatasetError, match="bins of FairFace"):
        fairvl.load_dataset(f"fairface:{tmp_path}")


@pytest.mark.realdata
def test_the_published_labels_of_fairface(realdata, tmp_path):
    for split, n in (("train", 86_744), ("val", 10_954)):
        source = realdata / "fairface-labels" / f"fairface_label_{split}.csv.gz"
        if not source.is_file():
            pytest.skip("real data missing: fairface-labels")
        shutil.copy(source, tmp_path)
        dataset = fairvl.load_dataset(f"fairface:{tmp_path}?split={split}")
        assert len(dataset) == n
        races = Counter(record.attributes["race"] for record in dataset)
        assert len(races) == 7
        with pytest.raises(DatasetError, match="no such file"):
            next(iter(dataset)).image()  # the images are not there, and that is each record's own matter
