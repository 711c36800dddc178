"""Regions for LXMERT: patch grids, stored tables and folders, a torchvision detector; and files that lie."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fairvl.errors import FusionError  # noqa: E402
from fairvl.sources.fusion import DetectorRegions, PatchRegions, RegionFeatures, build_lxmert, load_fusion, read_regions  # noqa: E402

WIDTH = 6
RNG = np.random.default_rng(0)
BOXES = np.array([[0, 0, 100, 50], [10, 5, 60, 40], [99.5, 2, 100, 3]], np.float32)
FEATURES = RNG.standard_normal((3, WIDTH)).astype(np.float32)


def cell(array):
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()


def row(key="7", width="100", height="50", count="3", boxes=None, features=None):
    boxes = cell(BOXES) if boxes is None else boxes
    features = cell(FEATURES) if features is None else features
    return "\t".join([key, width, height, count, boxes, features])


def table(path, *rows):
    path.write_text("".join(f"{each}\n" for each in rows))
    return path


def test_a_table_in_the_published_layout(tmp_path):
    stored = read_regions(table(tmp_path / "t.tsv", row("7"), "", row("8", features=cell(FEATURES + 1))))
    assert list(stored) == ["7", "8"]
    assert stored.reads_ids
    np.testing.assert_array_equal(stored["7"].features, FEATURES)
    np.testing.assert_allclose(stored["7"].boxes, BOXES / [100, 50, 100, 50], rtol=1e-6)
    np.testing.assert_array_equal(stored(["8", 7])[0].features, FEATURES + 1)
    with pytest.raises(ValueError, match="read-only"):
        stored["7"].boxes[0] = 0


def test_the_ten_columns_and_a_header(tmp_path):
    ten = "\t".join(["COCO_7", "50", "100", "x", "x", "x", "x", "3", cell(BOXES), cell(FEATURES)])
    np.testing.assert_allclose(
        read_regions(table(tmp_path / "ten.tsv", ten))["COCO_7"].boxes, BOXES / [100, 50, 100, 50], rtol=1e-6
    )
    header = "img_id\tfeatures\tboxes\timg_h\timg_w\tnum_boxes"
    moved = "\t".join(["7", cell(FEATURES), cell(BOXES), "50", "100", "3"])
    np.testing.assert_array_equal(read_regions(table(tmp_path / "h.tsv", header, moved))["7"].features, FEATURES)


def test_a_folder_of_npz(tmp_path):
    np.savez(tmp_path / "7.npz", features=FEATURES, boxes=BOXES, image_w=100, image_h=50)
    np.savez(tmp_path / "8.npz", x=FEATURES, bbox=BOXES, image_w=100, image_h=50, num_bbox=3)
    stored = read_regions(tmp_path)
    assert list(stored) == ["7", "8"]
    np.testing.assert_array_equal(stored["7"].boxes, stored["8"].boxes)
    np.savez(tmp_path / "9.npz", features=np.array([{"a": 1}], dtype=object), boxes=BOXES, image_w=100, image_h=50)
    np.savez(tmp_path / "10.npz", features=FEATURES, image_w=100, image_h=50)
    np.savez(tmp_path / "11.npz", features=FEATURES, boxes=BOXES.ravel(), image_w=100, image_h=50)
    (tmp_path / "12.npz").write_bytes(b"PK not a zip")
    stored = read_regions(tmp_path)
    for key, message in (
        ("9", "plain arrays"),
        ("10", "boxes or bbox"),
        ("11", "expected .k, 4."),
        ("12", "plain arrays"),
    ):
        with pytest.raises(FusionError, match=message):
            stored[key]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (row(boxes="@@@"), "not base64"),
        (row(features=cell(FEATURES)[:-3]), "not base64"),
        (row(features=cell(FEATURES.ravel()[:-1])), "same width"),
        (row(boxes=cell(BOXES[:2])), "8 numbers for the corners"),
        (row(count="0"), "0 boxes; expected 1 to"),
        (row(count="-3"), "-3 boxes"),
        (row(count="999999999"), "999999999 boxes"),
        (row(count="three"), "not a whole number"),
        (row(width="0"), "image of 0 x 50"),
        (row(width="80"), "boxes from"),
        (row(boxes=cell(BOXES - 20)), "boxes from -20"),
        (row(boxes=cell(BOXES[:, [2, 3, 0, 1]])), "left before right"),
        (row(boxes=cell(BOXES * np.nan)), "boxes from nan"),
        (row(features=cell(FEATURES * np.inf)), "NaN or infinity"),
    ],
)
def test_rows_that_lie_are_refused_when_read(tmp_path, line, message):
    stored = read_regions(table(tmp_path / "t.tsv", row("6"), line))
    stored["6"]
    with pytest.raises(FusionError, match=message):
        stored["7"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no regions"),
        ([row("7"), row("7")], "again in line 2"),
        ([row("7"), "8\t100\t50"], "line 2 has 3 columns"),
        (["a,b,c"], "1 columns; expected 6 or 10"),
        ([row(" ")], "line 1 has no image id"),
        (["image_id\tboxes\tfeatures", row("7")], "header lacks"),
    ],
)
def test_tables_that_lie_are_refused_at_once(tmp_path, lines, message):
    with pytest.raises(FusionError, match=message):
        read_regions(table(tmp_path / "t.tsv", *lines))


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(FusionError, match="not there"):
        read_regions(tmp_path / "none.tsv")
    (tmp_path / "x.tsv").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(FusionError, match="columns"):
        read_regions(tmp_path / "x.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FusionError, match="holds no regions"):
        read_regions(tmp_path / "empty")


@pytest.mark.parametrize(
    ("features", "boxes", "message"),
    [
        (FEATURES[0], BOXES[:1] / 100, r"expected \[k, d\]"),
        (FEATURES, BOXES[:2] / 100, r"expected \[k, d\]"),
        (FEATURES[:0], BOXES[:0], "at least one region"),
        (FEATURES, BOXES, "Divide pixels"),
    ],
)
def test_regions_in_memory_are_checked(features, boxes, message):
    with pytest.raises(FusionError, match=message):
        RegionFeatures(features, boxes)


def test_an_lxmert_reads_regions_by_id_and_any_number_of_them(tmp_path):
    path = table(tmp_path / "t.tsv", row("7"), row("8", count="1", boxes=cell(BOXES[:1]), features=cell(FEATURES[:1])))
    words = ["a", "man", "dog"]
    model = build_lxmert(words, width=16, heads=2, layers=1, region_width=WIDTH, regions=read_regions(path))
    with torch.no_grad():
        for parameter in model.module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(20)
    texts = ["a man", "a dog"]
    both = model.score(["7", "8"], texts)  # one image has three regions, the other one: padding must not count
    alone = [float(model.score([key], [text])[0]) for key, text in zip(("7", "8"), texts, strict=True)]
    np.testing.assert_allclose(both, alone, atol=1e-5)
    direct = model.score([RegionFeatures(FEATURES, BOXES / [100, 50, 100, 50])], ["a man"])
    assert both[0] == pytest.approx(float(direct[0]), abs=1e-6)
    assert abs(float(model.score(["8"], ["a man"])[0]) - both[0]) > 1e-4
    with pytest.raises(FusionError, match="'9' is not among the 2 images"):
        model.score(["9"], ["a man"])
    with pytest.raises(FusionError, match="found by image id"):
        model.score([Image.new("RGB", (9, 9))], ["a man"])
    with pytest.raises(FusionError, match="3 wide; the model reads 6"):
        model.score([RegionFeatures(FEATURES[:, :3], BOXES / 100)], ["a man"])
    again = load_fusion(f"lxmert:{model.save(tmp_path / 'model')}", regions=str(path))
    assert np.array_equal(again.score(["7", "8"], texts), both)
    bare = load_fusion(f"lxmert:{tmp_path / 'model'}")
    with pytest.raises(FusionError, match="reads RegionFeatures"):
        bare.score([Image.new("RGB", (9, 9))], ["a man"])
    with pytest.raises(FusionError, match="expected a file, or a function"):
        load_fusion(f"lxmert:{tmp_path / 'model'}", regions=3)


def test_patches_are_the_pixels_in_reading_order():
    pixels = RNG.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    (found,) = PatchRegions(image_size=8, grid=2, width=48)([pixels])
    np.testing.assert_allclose(found.features[1], (pixels[:4, 4:] / 127.5 - 1).reshape(-1), atol=1e-6)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    mapped = PatchRegions(image_size=8, grid=2, width=5, seed=1)([pixels, pixels])
    assert mapped[0].features.shape == (4, 5)
    np.testing.assert_array_equal(mapped[0].features, mapped[1].features)
    other = PatchRegions(image_size=8, grid=2, width=5, seed=2)([pixels])[0]
    assert np.abs(other.features - mapped[0].features).max() > 0.1


def test_a_detector_gives_regions_that_do_not_depend_on_their_company():
    source = DetectorRegions(
        "fasterrcnn_mobilenet_v3_large_320_fpn", weights="random", regions=5, num_classes=4, seed=1,
        min_size=64, max_size=96, rpn_pre_nms_top_n_test=50, rpn_post_nms_top_n_test=20,
    )  # fmt: skip
    images = [RNG.integers(0, 256, size=(40 + 9 * i, 60, 3), dtype=np.uint8) for i in range(2)]
    together = source(images)
    for image, each in zip(images, together, strict=True):
        (alone,) = source([image])
        np.testing.assert_array_equal(alone.features, each.features)
        assert each.features.shape[1] == 1024
        assert 1 <= len(each.boxes) <= 5
        assert (each.boxes[:, 2:] >= each.boxes[:, :2]).all()
    model = build_lxmert(["a", "man"], width=16, heads=2, layers=1, region_width=1024, regions=source)
    assert np.isfinite(model.score(images, ["a man", "a man"])).all()
    with pytest.raises(FusionError, match="item 0"):
        source(["x.jpg"])
    for wrong in ({"name": "retinanet_resnet50_fpn"}, {"regions": 0}, {"weights": "/nowhere/w.safetensors"}):
        with pytest.raises(FusionError):
            DetectorRegions(**{"weights": "random", **wrong})
