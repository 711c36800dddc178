"""Waterbirds and CelebA from folder to report: audit, debias with the paper's own prompts, audit again.

The folders are drawn here in the published layout. A stand-in encoder reads a picture's two halves and mixes words;
its class words lean to the background that usually goes with the class, which is the confounder.
"""

import csv
import zlib

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import BankError
from fairvl.measure.audit import audit
from fairvl.repair.debias import debias
from fairvl.report import report
from fairvl.sources.datasets import load_dataset
from fairvl.sources.encoders import FakeEncoder, encoder
from fairvl.sources.prompts import load_bank

DIM = 48
SHARED, KLASS, PLACE = np.eye(DIM)[:3]
GROUPS = {(0, 0): 60, (0, 1): 60, (1, 0): 25, (1, 1): 25}  # class, place: rows of the test split
TRAINING = {(0, 0): 73, (0, 1): 4, (1, 0): 1, (1, 1): 22}
WORDS = {
    "landbird": -KLASS - 0.9 * PLACE, "waterbird": KLASS + 0.9 * PLACE, "land": -PLACE, "forest": -PLACE,
    "moutain": -PLACE, "wood": -PLACE, "water": PLACE, "ocean": PLACE, "beach": PLACE, "port": PLACE,
    "dark": -KLASS - 0.9 * PLACE, "blond": KLASS + 0.9 * PLACE, "male": -PLACE, "man": -PLACE, "female": PLACE,
    "woman": PLACE,
}  # fmt: skip


def read_texts(texts):
    rows = []
    for text in texts:
        words = text.rstrip(".").split()
        noise = [np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIM) * 0.02 for word in words]
        rows.append(1.5 * SHARED + 0.5 * sum(WORDS.get(word, 0 * SHARED) for word in words) + np.sum(noise, axis=0))
    return np.array(rows, np.float32)


def read_images(images):
    rows = []
    for image in images:
        pixels = np.asarray(image, np.float64)
        noise = pixels[:, :, 2].ravel() / 128 - 1
        left, right = (np.sign(pixels[0, column, 0] - 128) for column in (0, -1))
        rows.append(SHARED + 0.5 * left * KLASS + 0.6 * right * PLACE + np.r_[np.zeros(3), 0.35 * noise[: DIM - 3]])
        rows[-1][1] += 0.35 * noise[-1]
    return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def model():
    return encoder(text_fn=read_texts, image_fn=read_images, card=FakeEncoder(DIM).card)


def picture(klass, place, rng):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0], pixels[:, 4:, 0] = 255 * klass, 255 * place
    pixels[:, :, 2] = rng.integers(0, 256, (8, 8))
    return Image.fromarray(pixels)


def drawn(folder, inner):
    """Rows of (file, class, place, split); pictures for the test split only."""
    rng = np.random.default_rng(0)
    (folder / inner).mkdir(parents=True, exist_ok=True)
    rows = []
    for split, sizes in ((0, TRAINING), (2, GROUPS)):
        for (klass, place), n in sizes.items():
            for _ in range(n):
                name = f"{len(rows) + 1:06d}.png"
                rows.append((name, klass, place, split))
                if split == 2:
                    picture(klass, place, rng).save(folder / inner / name)
    return rows


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    rows = drawn(folder, ".")
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["img_id", "img_filename", "y", "split", "place", "place_filename"])
        writer.writerows((n, name, y, split, place, "-") for n, (name, y, place, split) in enumerate(rows))
    return f"waterbirds:{folder}"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    rows = drawn(folder, "img_align_celeba")
    sign = ("-1", " 1")
    lines = [f"{name} {sign[y]} {sign[1 - place]}" for name, y, place, _ in rows]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(len(rows)), "Blond_Hair Male", *lines]) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {split}\n" for name, _, _, split in rows))
    return f"celeba:{folder}"


def values(findings, arm):
    names = ("accuracy", "worst_group_accuracy", "accuracy_gap", "average_worst_gap", "adjusted_accuracy")
    return {
        name: findings.one(metric=name, arm=arm, **({"groups": "(all)"} if name == "accuracy" else {}))
        for name in names
    }


@pytest.mark.parametrize(("data", "bank"), [("birds", "paper-waterbirds"), ("faces", "paper-celeba")])
def test_the_papers_repair_lifts_the_worst_group_and_the_report_shows_it(data, bank, model, request, tmp_path):
    name, suite = request.getfixturevalue(data), "waterbirds" if data == "birds" else "celeba"
    operator = debias(model, attribute="place", method="calibrated", bank=bank, subspace="span", lam=1000.0)
    found = audit(model, dataset=name, suite=suite, operator=operator, draws=200)
    before, after, change = (values(found, arm) for arm in ("before", "after", "difference"))
    assert before["worst_group_accuracy"].value < 0.6
    assert after["worst_group_accuracy"].value > before["worst_group_accuracy"].value + 0.2
    assert change["worst_group_accuracy"].low > 0
    assert change["accuracy_gap"].value < -0.2
    by_group = {row.groups: row for row in found.where(metric="accuracy", attribute="group", arm="after")}
    assert {row.n for row in by_group.values()} == {60, 25}
    worst = min(row.value for row in by_group.values())
    assert after["worst_group_accuracy"].value == pytest.approx(worst)
    assert after["average_worst_gap"].value == pytest.approx(after["accuracy"].value - worst)
    counts = load_dataset(name).training_counts["group"]
    assert sorted(counts.values()) == sorted(TRAINING.values())
    expected = sum(n * by_group[group].value for group, n in counts.items()) / 100
    assert after["adjusted_accuracy"].value == pytest.approx(expected)
    assert abs(before["adjusted_accuracy"].value - before["accuracy"].value) > 0.05
    assert all(f"{group} {n}" in after["adjusted_accuracy"].note for group, n in counts.items())
    report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Worst-group accuracy" in page
    assert "Adjusted accuracy" in page


def test_the_papers_operator_is_the_papers_formula(model):
    bank = load_bank("paper-waterbirds")
    unit = {text: row / np.linalg.norm(row) for text in bank.plan().texts for row in read_texts([text]).astype(float)}
    spurious = np.stack([unit[text] for text in bank.prompts("spurious").texts])
    pairs = bank.pairs()
    basis = np.linalg.svd(spurious, full_matrices=False)[2]
    m = sum(np.outer(unit[a] - unit[b], unit[a] - unit[b]) for a, b in zip(pairs.left, pairs.right, strict=True)) / 20
    expected = (np.eye(DIM) - basis.T @ basis) @ np.linalg.inv(np.eye(DIM) + 1000.0 * m)
    operator = debias(model, attribute="place", method="calibrated", bank=bank, subspace="span")
    np.testing.assert_allclose(operator.matrix(), expected, atol=1e-6)
    assert operator.card.n_prompts == 8
    assert operator.card.n_pairs == 20
    assert not any("landbird" in text for text in operator.card.prompts)  # classes and candidates are not removed


def test_the_papers_generative_form_uses_pairs_of_professions_alone(model):
    operator = debias(model, method="calibration", bank="paper-professions", lam=500.0)
    assert operator.card.n_pairs == 80
    assert operator.card.prompts == ()
    male, female = (read_texts([f"A photo of a {word} nurse."]) for word in ("male", "female"))
    assert np.linalg.norm(operator(male) - operator(female)) < 0.1 * np.linalg.norm(male - female)


@pytest.mark.parametrize(
    ("bank", "options", "says"),
    [
        ("paper-waterbirds", {"method": "leace"}, "without the values"),
        ("paper-waterbirds", {"method": "circle"}, "without the values"),
        ("paper-waterbirds", {"method": "orthogonal", "subspace": "span", "bypass": True}, "a bypass needs"),
        ("paper-waterbirds", {"method": "orthogonal"}, "subspace='span'"),
        ("paper-professions", {"method": "orthogonal", "subspace": "span"}, "no spurious prompts"),
    ],
)
def test_what_a_papers_bank_cannot_give_is_refused(model, bank, options, says):
    with pytest.raises(BankError, match=says):
        debias(model, bank=bank, **options)
