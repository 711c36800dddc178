"""The user's own pictures: found by name, held against hashes, read whatever their mode; and never half real."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import BankError, DatasetError
from fairvl.sources.datasets.decode import decode_image
from fairvl.sources.stimuli import image_key, load_registry, stimuli_manifest
from fairvl.sources.stimuli.manifests import read_picture_list

TOPICS = {"insect-flower": ("flower", "insect"), "race": ("european-american", "african-american")}


def picture(seed, mode="RGB", kind="PNG", **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def copies(tmp_path):
    """35 flowers, 35 insects, 6 + 6 faces and the 50 OASIS pictures, in the published folders."""
    number = 0
    for folder, sides in TOPICS.items():
        for side in sides:
            (tmp_path / folder / side).mkdir(parents=True)
            for i in range(35 if folder == "insect-flower" else 6):
                number += 1
                (tmp_path / folder / side / f"{side}-{i}.png").write_bytes(picture(number))
    (tmp_path / "oasis").mkdir()
    for pole in ("pleasant", "unpleasant"):
        for name, _ in read_picture_list(f"oasis:{pole}", None, "test").files:
            number += 1
            (tmp_path / "oasis" / f"{name}.jpg").write_bytes(picture(number, kind="JPEG"))
    return tmp_path


def test_own_copies_take_the_place_of_stand_ins_pair_by_pair(copies):
    registry = load_registry("eat26", images=copies)
    flowers = registry.case("flower-insect", "image-image")
    assert not flowers.stand_in
    assert flowers.x.labels[:3] == ("flower-0", "flower-1", "flower-10")  # sorted
    assert [len(side) for side in flowers.sides] == [35, 35, 25, 25]
    assert flowers.a.labels[0] == "Dog 6"  # the order of the manifest
    assert flowers.x.image(0) == (copies / "insect-flower/flower/flower-0.png").read_bytes()
    assert flowers.x.keys[0] == image_key(flowers.x.image(0))
    gender = registry.case("gender", "image-text")
    assert gender.stand_in
    assert registry.case("gender", "image-image").stand_in  # its targets are, its attributes are not
    assert not registry.case("gender", "image-image").a.stand_in
    assert registry.fingerprint != load_registry("eat26").fingerprint


def test_the_contamination_that_stand_ins_lack_is_flagged(copies):
    found = {flag.split(":")[0] for flag in load_registry("eat26", images=copies).case("race", "image-image").flags}
    assert {"KKK rally 1", "KKK rally 2", "Baby 1", "Siblings 1"} <= found


def test_a_pair_is_never_half_real(copies):
    shutil.rmtree(copies / "insect-flower" / "insect")
    case = load_registry("eat26", images=copies).case("flower-insect", "image-text")
    assert case.x.stand_in
    assert case.y.stand_in
    missing = load_registry("eat26", images=copies, stand_ins=False).case("flower-insect", "image-text").missing
    assert "'flower pictures': the other side" in missing
    assert "'insect pictures': not in" in missing


def test_one_missing_picture_is_named(copies):
    (copies / "oasis" / "Lake 9.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 25 .*Lake 9"):
        load_registry("eat26", images=copies)


def test_a_folder_with_another_number_of_pictures_is_refused(copies):
    (copies / "race" / "african-american" / "one-more.png").write_bytes(picture(99))
    with pytest.raises(DatasetError, match=r"7 pictures; the published set 'african-american' has 6"):
        load_registry("eat26", images=copies)


def test_blanks_case_and_suffix_of_names_do_not_matter(copies):
    (copies / "oasis" / "Lake 9.jpg").rename(copies / "oasis" / "lake 9 .JPG")
    (copies / "oasis" / "Dog 6.jpg").write_bytes(picture(7, kind="WEBP", lossless=True))
    (copies / "oasis" / "Dog 6.jpg").rename(copies / "oasis" / "Dog 6.webp")
    case = load_registry("eat26", images=copies).case("flower-insect", "image-image")
    assert case.a.labels[:2] == ("Dog 6", "Lake 9")
    assert decode_image(case.a.image(0)).mode == "RGB"


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP")]
)
def test_modes_of_the_published_pictures_are_read(copies, mode, kind):
    (copies / "oasis" / "Dog 6.jpg").write_bytes(picture(3, mode, kind))
    case = load_registry("eat26", images=copies).case("flower-insect", "image-image")
    assert decode_image(case.a.image(0)).mode == "RGB"


def test_turned_pictures_stand_upright(copies):
    turned = Image.Exif()
    turned[0x0112] = 6
    (copies / "oasis" / "Dog 6.jpg").write_bytes(picture(3, kind="JPEG", exif=turned))
    case = load_registry("eat26", images=copies).case("flower-insect", "image-image")
    assert decode_image(case.a.image(0)).size == (12, 10)  # stored as 10 x 12


def test_two_files_of_one_name_are_refused(copies):
    (copies / "oasis" / "Dog 6.png").write_bytes(picture(5))
    with pytest.raises(DatasetError, match="Dog 6"):
        load_registry("eat26", images=copies)


def test_the_users_manifest_is_held_against_every_picture(copies):
    path = stimuli_manifest(copies, source="a test", licence="its terms")
    first = path.read_bytes()
    assert stimuli_manifest(copies, source="a test", licence="its terms").read_bytes() == first
    verified = load_registry("eat26", images=copies)
    assert not verified.case("race", "image-text").x.unverified
    changed = copies / "race" / "european-american" / "european-american-3.png"
    changed.write_bytes(picture(1234))
    with pytest.raises(DatasetError, match="another file"):
        load_registry("eat26", images=copies)
    path.unlink()
    unverified = load_registry("eat26", images=copies)  # without it nobody can tell
    assert unverified.case("race", "image-text").x.unverified
    before, after = (r.case("race", "image-text").x.keys for r in (verified, unverified))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True] * 3 + [False] + [True] * 2


def test_a_picture_that_the_users_manifest_lacks_is_refused(copies):
    stimuli_manifest(copies)
    (copies / "race" / "european-american" / "european-american-3.png").rename(
        copies / "race" / "european-american" / "other.png"
    )
    with pytest.raises(DatasetError, match=r"not in stimuli\.toml"):
        load_registry("eat26", images=copies)


def test_a_file_that_changes_after_loading_is_noticed(copies):
    side = load_registry("eat26", images=copies).case("race", "image-text").x
    path = copies / "race" / "european-american" / "european-american-0.png"
    path.write_bytes(picture(77))
    with pytest.raises(DatasetError, match="changed"):
        side.image(0)
    path.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        side.image(0)


def test_broken_and_enormous_pictures_are_refused(copies):
    path = copies / "race" / "european-american" / "european-american-0.png"
    whole = path.read_bytes()
    for data, why in ((whole[:-80], "european-american-0.png"), (b"", "empty"), (bomb(), "pixels")):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=why):
            load_registry("eat26", images=copies)
        with pytest.raises(DatasetError, match=why):
            stimuli_manifest(copies)
    assert not (copies / "stimuli.toml").exists()  # nothing half-written


def test_links_out_of_the_folder_are_not_followed(copies, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(picture(5))
    path = copies / "race" / "european-american" / "european-american-0.png"
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(DatasetError, match="leads out"):
        load_registry("eat26", images=copies)


@pytest.mark.parametrize(
    "row",
    [
        'name = "../../etc/passwd"\nsha256 = "{hash}"', 'name = "/etc/passwd"\nsha256 = "{hash}"',
        'name = "C:\\\\x.png"\nsha256 = "{hash}"', 'name = "a.png"\nsha256 = "12"', 'name = "a.png"',
        'name = 3\nsha256 = "{hash}"',
        'name = "a.png"\nsha256 = "{hash}"\n[[files]]\nname = "a.png"\nsha256 = "{hash}"', 'nmae = "a.png"',
    ],
)  # fmt: skip
def test_a_hostile_manifest_of_the_user_is_refused(copies, row):
    (copies / "stimuli.toml").write_text("[[files]]\n" + row.replace("{hash}", "0" * 64))
    with pytest.raises(BankError):
        load_registry("eat26", images=copies)


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        load_registry("eat26", images=tmp_path / "absent")
    with pytest.raises(DatasetError, match="no such folder"):
        load_registry("eat26", emoji=tmp_path / "absent")
    with pytest.raises(DatasetError, match="no pictures"):
        stimuli_manifest(tmp_path)
    with pytest.raises(DatasetError, match=r"png72\.zip"):
        load_registry("eat26", emoji=tmp_path)
    (tmp_path / "png72.zip").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_registry("eat26", emoji=tmp_path)


def test_an_empty_folder_leaves_every_stand_in(tmp_path):
    assert load_registry("eat26", images=tmp_path).fingerprint == load_registry("eat26").fingerprint


@pytest.mark.realdata
def test_emoji_are_a_second_stand_in(realdata):
    folder = realdata / "noto-emoji-72"
    if not folder.is_dir():
        pytest.skip("real data missing: noto-emoji-72")
    registry = load_registry("eat26", emoji=folder)
    assert not [case for case in registry.cases if case.missing]
    for case in registry.cases:
        assert case.stand_in == ("image" in case.order)
        for side in (side for side in case.sides if side.modality == "image"):
            assert side.source.startswith("noto-emoji")
            assert len(set(side.keys)) == len(side)
            assert decode_image(side.image(0)).mode == "RGB"
    assert [len(registry.case(test, "image-text").x) for test in ("race", "gender", "age")] == [6, 16, 6]


def bomb():
    """A PNG whose header declares 60,000 x 60,000 pixels."""
    import struct
    import zlib

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
