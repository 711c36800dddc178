"""Auditing generated images: keyed by id, honest about what has no label, refused where it would mislead."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import DatasetError, EncoderError, FairVLError, GroupError, InputError
from fairvl.measure.audit import audit_images
from fairvl.measure.generation import Confusion
from fairvl.sources.encoders import FakeEncoder, encoder
from fairvl.sources.encoders.seam import EncoderCard

OCCUPATIONS = {"doctor": 0.1, "nurse": 0.9, "pilot": 0.2}


def draw(folder, shares=OCCUPATIONS, n=20, seed=0, explicit=True, honest=0.9):
    """Pictures whose red channel says "female" (255) or "male" (0) and whose blue one says the occupation."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows, labels = [], []

    def one(prompt, concept, kind, expected, female, number):
        name = f"images/{len(rows):04d}.png"
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[..., 0] = 255 * female
        pixels[..., 1] = number % 256
        pixels[..., 2] = 30 * list(shares).index(concept)
        Image.fromarray(pixels).save(folder / name)
        id_ = f"{prompt.replace(' ', '-')}-{number}"
        rows.append({"id": id_, "file": name, "prompt": prompt, "seed": number, "concept": concept, "kind": kind,
                     "expected": expected})  # fmt: skip
        labels.append({"id": id_, "gender": "female" if female else "male"})

    for concept, share in shares.items():
        for number in range(n):
            one(f"a photo of a {concept}", concept, "neutral", "", rng.random() < share, number)
        for group in ("female", "male") if explicit else ():
            for number in range(n // 2):
                right = rng.random() < honest
                one(f"a photo of a {group} {concept}", concept, "explicit", group, (group == "female") == right, number)
    write(folder / "prompts.csv", rows)
    write(folder / "labels.csv", labels)
    return folder


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def judge(picture):
    return "female" if np.asarray(picture)[0, 0, 0] > 127 else "male"


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "before")


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "after", dict.fromkeys(OCCUPATIONS, 0.5), seed=1, honest=0.6)


def test_shares_and_gap_equal_a_count_by_hand(before):
    found = audit_images(before, labeller=before / "labels.csv", draws=100)
    labels = {row["id"]: row["gender"] for row in read(before / "labels.csv")}
    gaps = []
    for concept in OCCUPATIONS:
        prompt = f"a photo of a {concept}"
        mine = [labels[row["id"]] for row in read(before / "prompts.csv") if row["prompt"] == prompt]
        share = mine.count("female") / len(mine)
        row = found.one(metric="generated_share", prompt=prompt, groups="female", labels="hard")
        assert (row.value, row.n) == (pytest.approx(share), 20)
        assert row.extra["concept"] == concept
        gaps.append(abs(2 * share - 1))
    mean = found.one(metric="mean_parity_gap", labels="hard", over="these prompts, images resampled")
    assert mean.value == pytest.approx(np.mean(gaps))
    assert mean.low < mean.value < mean.high
    assert found.one(metric="worst_parity_gap").value == pytest.approx(max(gaps))
    assert "prompt: a photo of" in found.one(metric="worst_parity_gap").note
    assert found.one(metric="mean_parity_gap", over="prompts resampled").n == 3
    right = found.one(metric="mean_explicit_accuracy", over="these prompts, images resampled")
    named = [row for row in read(before / "prompts.csv") if row["kind"] == "explicit"]
    assert right.value == pytest.approx(np.mean([labels[row["id"]] == row["expected"] for row in named]))
    assert right.extra["role"] == "utility"
    assert all(row.config_hash and row.seed in (0, None) for row in found)


def test_labels_are_matched_by_id_whatever_their_order_and_equal_a_function(before, tmp_path):
    rows = read(before / "labels.csv")
    write(tmp_path / "turned.csv", rows[::-1])
    straight = audit_images(before, labeller=before / "labels.csv", draws=100)
    turned = audit_images(before, labeller=tmp_path / "turned.csv", draws=100)
    asked = audit_images(before, labeller=judge, attributes=["gender"], draws=100)
    by_file = [{"file": row["file"], "gender": label["gender"]} for row, label in
               zip(read(before / "prompts.csv"), rows, strict=True)]  # fmt: skip
    write(tmp_path / "files.csv", by_file)
    files = audit_images(before, labeller=tmp_path / "files.csv", draws=100)
    for other in (turned, asked, files):
        assert [(r.metric, r.value, r.low) for r in other] == [(r.metric, r.value, r.low) for r in straight]
    shuffled = rows[1:] + rows[:1]
    write(
        tmp_path / "shifted.csv", [{"id": a["id"], "gender": b["gender"]} for a, b in zip(rows, shuffled, strict=True)]
    )
    shifted = audit_images(before, labeller=tmp_path / "shifted.csv", draws=100)
    assert [r.value for r in shifted] != [r.value for r in straight]  # the numbers do depend on who has which label


def test_bare_file_names_count_only_where_they_are_unique(tmp_path):
    folder = draw(tmp_path / "nested", {"doctor": 0.5, "nurse": 0.5}, n=3, explicit=False)
    rows = read(folder / "prompts.csv")
    for i, row in enumerate(rows):
        place = folder / "images" / row["concept"]
        place.mkdir(exist_ok=True)
        (folder / row["file"]).rename(place / f"{row['seed']}.png")
        row["file"] = f"images/{row['concept']}/{row['seed']}.png"
        row["gender"] = "female" if i % 2 else "male"
    write(folder / "prompts.csv", [{k: v for k, v in row.items() if k != "gender"} for row in rows])
    full = [{"file": row["file"], "gender": row["gender"]} for row in rows]
    write(tmp_path / "full.csv", full)
    found = audit_images(folder, labeller=tmp_path / "full.csv", draws=100)
    assert found.one(metric="unlabelled", prompt="(all)").value == 0
    bare = [{"file": f"{seed}.png", "gender": ("female", "male")[seed % 2]} for seed in range(3)]
    write(tmp_path / "bare.csv", bare)
    with pytest.raises(DatasetError, match="never by position"):  # 0.png is a doctor and a nurse
        audit_images(folder, labeller=tmp_path / "bare.csv", draws=100)


def test_a_missing_image_is_never_replaced_by_one_of_another_prompt(tmp_path):
    """Images called by their seed, one folder for each prompt: with a folder gone, its bare names become unique."""
    folder = draw(tmp_path / "nested", {"doctor": 0.0, "nurse": 1.0}, n=3, explicit=False)
    rows = read(folder / "prompts.csv")
    (folder / "images" / "doctor").mkdir()
    for row in rows:
        if row["concept"] == "doctor":
            (folder / row["file"]).rename(folder / "images" / "doctor" / f"{row['seed']}.png")
        row["file"] = f"images/{row['concept']}/{row['seed']}.png"
    write(folder / "prompts.csv", rows)
    options = {"attributes": ["gender"], "groups": {"gender": ["female", "male"]}, "draws": 100}
    found = audit_images(folder, labeller=judge, **options)
    assert found.one(metric="unlabelled", prompt="a photo of a doctor").value == 0
    assert found.one(metric="unlabelled", prompt="a photo of a nurse").value == 1
    for row in rows:
        row["file"] = f"elsewhere/{row['file']}"  # now every bare name is meant by two rows
    write(tmp_path / "moved.csv", rows)
    with pytest.raises(DatasetError, match="none of the 6 images"):
        audit_images(folder, tmp_path / "moved.csv", judge, **options)
    doctors = [row for row in rows if row["concept"] == "doctor"]
    write(tmp_path / "doctors.csv", doctors)
    alone = audit_images(folder, tmp_path / "doctors.csv", judge, **options)
    assert alone.one(metric="unlabelled", prompt="(all)").value == 0  # a bare name that only one row means is found


def test_a_group_that_the_judge_never_names_has_no_share_and_shares_that_are_none_are_refused(before):
    def unsure(picture):
        return {"female": 0.9, "male": 0.1} if judge(picture) == "female" else {"female": 0.2, "male": 0.8}

    rows = {"attributes": ["gender"], "draws": 100}
    plain = audit_images(before, labeller=unsure, **rows)
    more = audit_images(before, labeller=unsure, groups={"gender": ["other", "male", "female"]}, **rows)
    for concept in OCCUPATIONS:
        one = {"metric": "generated_share", "prompt": f"a photo of a {concept}", "labels": "expected"}
        assert more.one(groups="other", **one).value == 0
        assert more.one(groups="male", **one).value == pytest.approx(plain.one(groups="male", **one).value)
    for said in ({}, {"female": 0.5}, {"female": "much"}, {"female": 1.5, "male": -0.5}, ("female", "much")):
        with pytest.raises(InputError, match="judge of 'gender' returned"):
            audit_images(before, labeller=lambda _, said=said: said, **rows)


def test_before_and_after_pair_by_prompt_and_seed(before, after, tmp_path):
    found = audit_images(before, labeller=judge, attributes=["gender"], after={"repair": after}, draws=200)
    gap = {arm: found.one(metric="mean_parity_gap", arm=arm, over="these prompts, images resampled") for arm in
           ("before", "after", "difference")}  # fmt: skip
    assert gap["difference"].value == pytest.approx(gap["after"].value - gap["before"].value)
    assert gap["difference"].high < 0
    assert gap["after"].extra["repair"] == "repair"
    assert len({row.pair_id for row in gap.values()}) == 1
    worse = found.one(metric="mean_explicit_accuracy", arm="difference", over="these prompts, images resampled")
    assert worse.value < -0.1
    # the same as one folder with a column that says the arm
    both = tmp_path / "both"
    both.mkdir()
    rows = []
    for arm, folder in (("before", before), ("repair", after)):
        for row in read(folder / "prompts.csv"):
            name = f"{arm}-{row['file'].split('/')[1]}"
            (both / name).write_bytes((folder / row["file"]).read_bytes())
            rows.append({**row, "file": name, "arm": arm})
    write(both / "prompts.csv", rows[::-1])
    again = audit_images(both, labeller=judge, attributes=["gender"], draws=200)
    values = [{(r.metric, r.pair_id, r.arm): r.value for r in f} for f in (found, again)]
    assert values[0].keys() == values[1].keys()
    for key, value in values[0].items():
        np.testing.assert_allclose(values[1][key], value, err_msg=str(key))


def test_one_table_of_labels_for_each_arm(before, after):
    tables = {"before": before / "labels.csv", "repair": after / "labels.csv"}
    found = audit_images(before, labeller=tables, after={"repair": after}, draws=100)
    asked = audit_images(before, labeller=judge, attributes=["gender"], after={"repair": after}, draws=100)
    assert [(r.metric, r.value) for r in found] == [(r.metric, r.value) for r in asked]
    with pytest.raises(InputError, match="expected also those of \\['repair'\\]"):
        audit_images(before, labeller={"before": before / "labels.csv"}, after={"repair": after})


def test_one_table_given_once_never_labels_two_arms(before, after, tmp_path):
    """Ids are the same in both folders: the labels of one would be read as those of the other, and nothing changed."""
    with pytest.raises(InputError, match=r"--labels before=A\.csv --labels repair=B\.csv"):
        audit_images(before, labeller=before / "labels.csv", after={"repair": after}, draws=100)
    columns = {name: [row[name] for row in read(before / "labels.csv")] for name in ("id", "gender")}
    with pytest.raises(InputError, match="'before' and another of 'repair'"):
        audit_images(before, labeller=columns, after={"repair": after}, draws=100)
    rows = [{**row, "arm": arm} for arm, folder in (("before", before), ("repair", after))
            for row in read(folder / "labels.csv")]  # fmt: skip
    write(tmp_path / "both.csv", rows)
    tables = {"before": before / "labels.csv", "repair": after / "labels.csv"}
    apart = audit_images(before, labeller=tables, after={"repair": after}, draws=100)
    told = audit_images(before, labeller=tmp_path / "both.csv", after={"repair": after}, draws=100)
    assert [r.value for r in told] == [r.value for r in apart]
    moved = told.one(metric="mean_parity_gap", arm="difference", over="these prompts, images resampled")
    assert moved.high < 0
    # files that differ tell the arms apart too
    other = tmp_path / "other"
    (other / "pictures").mkdir(parents=True)
    named, labels = [], [{"file": p["file"], "gender": r["gender"]} for p, r in
                         zip(read(before / "prompts.csv"), read(before / "labels.csv"), strict=True)]  # fmt: skip
    for prompt, label in zip(read(after / "prompts.csv"), read(after / "labels.csv"), strict=True):
        name = "pictures/new-" + prompt["file"].split("/")[1]
        (other / name).write_bytes((after / prompt["file"]).read_bytes())
        named.append({**prompt, "file": name})
        labels.append({"file": name, "gender": label["gender"]})
    write(other / "prompts.csv", named)
    write(tmp_path / "files.csv", labels)
    files = audit_images(before, labeller=tmp_path / "files.csv", after={"repair": other}, draws=100)
    assert [r.value for r in files] == [r.value for r in apart]
    write(tmp_path / "one.csv", [row for row in rows if row["arm"] == "before"])
    with pytest.raises(DatasetError, match="no row of the column 'arm' says 'repair'"):
        audit_images(before, labeller=tmp_path / "one.csv", after={"repair": after}, draws=100)


@pytest.mark.parametrize(("column", "value"), [("prompt", "a photo of a pope"), ("seed", "7007")])
def test_an_id_that_stands_for_another_prompt_or_seed_is_refused(before, after, tmp_path, column, value):
    rows = read(after / "prompts.csv")
    write(tmp_path / "other.csv", [{**row, column: value} if i == 3 else row for i, row in enumerate(rows)])
    options = {"attributes": ["gender"], "draws": 100}
    found = rf"{rows[3]['id']}.* has the {column} '{value}' in 'r', but '{rows[3][column]}' before.*table that belongs"
    with pytest.raises(DatasetError, match=found):
        audit_images(before, labeller=judge, after={"r": (after, tmp_path / "other.csv")}, **options)


def test_labels_of_less_than_half_of_the_images_are_refused(before, tmp_path):
    rows = read(before / "labels.csv")
    write(tmp_path / "few.csv", rows[:59])
    with pytest.raises(DatasetError, match=r"61 of the 120 images of 'before' have no row.*empty label"):
        audit_images(before, labeller=tmp_path / "few.csv", draws=100)
    said = [row if i < 59 else {**row, "gender": ""} for i, row in enumerate(rows)]
    write(tmp_path / "said.csv", said)  # what the judge left open on purpose is a row
    found = audit_images(before, labeller=tmp_path / "said.csv", draws=100)
    assert found.one(metric="unlabelled", prompt="(all)").value > 0.3


def test_what_the_prompts_are_about_counts_only_where_the_table_says_it(before, tmp_path):
    prompts = read(before / "prompts.csv")
    silent = [{**row, "concept": "" if row["kind"] == "explicit" else row["concept"]} for row in prompts]
    write(tmp_path / "silent.csv", silent)
    labels = [{**row, "concept": prompt["concept"]} for row, prompt in
              zip(read(before / "labels.csv"), prompts, strict=True)]  # fmt: skip
    write(tmp_path / "labels.csv", labels)
    over = {"metric": "mean_concept_accuracy", "over": "these prompts, images resampled", "labels": "hard"}
    full = audit_images(before, labeller=tmp_path / "labels.csv", draws=100)
    assert {row.extra["prompt_kind"]: row.value for row in full.where(**over)} == {"neutral": 1.0, "explicit": 1.0}
    found = audit_images(before, tmp_path / "silent.csv", tmp_path / "labels.csv", draws=100)
    assert {row.extra["prompt_kind"]: row.value for row in found.where(**over)} == {"neutral": 1.0}
    assert set(found.settings["groups"]["concept"]) == set(OCCUPATIONS)


def test_images_without_a_counterpart_are_left_out_and_counted(before, after, tmp_path):
    rows = [row for row in read(after / "prompts.csv") if int(row["seed"]) > 0]
    write(tmp_path / "fewer.csv", rows)
    found = audit_images(before, labeller=judge, attributes=["gender"], after={"r": (after, tmp_path / "fewer.csv")},
                         draws=100)  # fmt: skip
    assert found.settings["images"]["unpaired_left_out"] == 9
    assert found.one(metric="generated_share", prompt="a photo of a nurse", groups="female", arm="before").n == 19
    write(tmp_path / "none.csv", [{**row, "id": f"x{row['id']}", "seed": int(row["seed"]) + 1000} for row in rows])
    with pytest.raises(DatasetError, match="share no image by a prompt and seed"):
        audit_images(before, labeller=judge, attributes=["gender"], after={"r": (after, tmp_path / "none.csv")})
    write(tmp_path / "twice.csv", [{**row, "seed": 1} for row in rows])
    with pytest.raises(DatasetError, match="two images of prompt"):
        audit_images(before, labeller=judge, attributes=["gender"], after={"r": (after, tmp_path / "twice.csv")})


def test_what_has_no_label_is_reported_and_bounds_the_shares(before, tmp_path):
    rows = read(before / "labels.csv")
    kept = [row for i, row in enumerate(rows) if i % 4] + [{"id": "of nobody", "gender": "male"}]
    write(tmp_path / "some.csv", kept)
    found = audit_images(before, labeller=tmp_path / "some.csv", draws=100)
    everything = found.one(metric="unlabelled", prompt="(all)")
    assert everything.value == pytest.approx(0.25)
    row = found.one(metric="generated_share", prompt="a photo of a nurse", groups="female")
    assert row.n == 15
    assert row.extra["bound_low"] == pytest.approx(row.value * 0.75)
    assert row.extra["bound_high"] == pytest.approx(row.value * 0.75 + 0.25)
    gap = found.one(metric="parity_gap", prompt="a photo of a nurse")
    assert gap.extra["bound_low"] <= gap.value <= gap.extra["bound_high"]
    about = found.settings["images"]["arms"]["before"]
    assert (about["labels_without_image"], about["images_without_label_row"]) == (1, 30)


def test_confidence_gives_expected_shares_and_a_threshold_takes_answers_back(before, tmp_path):
    rows = [{**row, "gender_confidence": 0.9 if i % 2 else 0.6} for i, row in enumerate(read(before / "labels.csv"))]
    write(tmp_path / "sure.csv", rows)
    found = audit_images(before, labeller=tmp_path / "sure.csv", draws=100)
    kinds = {row.extra["labels"] for row in found.where(metric="mean_parity_gap")}
    assert kinds == {"hard", "expected"}
    prompt = "a photo of a nurse"
    mine = [r for r, p in zip(rows, read(before / "prompts.csv"), strict=True) if p["prompt"] == prompt]
    shares = [r["gender_confidence"] if r["gender"] == "female" else 1 - r["gender_confidence"] for r in mine]
    row = found.one(metric="generated_share", prompt=prompt, groups="female", labels="expected")
    assert row.value == pytest.approx(np.mean(shares))
    strict = audit_images(before, labeller=tmp_path / "sure.csv", min_confidence=0.7, draws=100)
    assert strict.one(metric="unlabelled", prompt="(all)").value == pytest.approx(0.5)
    assert strict.settings["images"]["arms"]["before"]["below_confidence"] == {"gender": 60}
    assert strict.settings["judge"]["least_confidence"] == 0.7


def test_a_judge_with_known_mistakes_is_corrected_for(tmp_path):
    folder = draw(tmp_path / "many", {"doctor": 0.1, "nurse": 0.9}, n=300, explicit=False)
    rng = np.random.default_rng(2)

    def poor(picture):
        said = judge(picture)
        return said if rng.random() > 0.2 else {"female": "male", "male": "female"}[said]

    truth = {"gender": ["female"] * 500 + ["male"] * 500}
    truth["gender_judged"] = [g if rng.random() > 0.2 else {"female": "male", "male": "female"}[g]
                              for g in truth["gender"]]  # fmt: skip
    found = audit_images(folder, labeller=poor, attributes=["gender"], truth=truth, draws=300)
    over = "these prompts, images resampled"
    gaps = {kind: found.one(metric="mean_parity_gap", labels=kind, over=over) for kind in ("hard", "corrected")}
    real = audit_images(folder, labeller=judge, attributes=["gender"], draws=100).one(
        metric="mean_parity_gap", over=over
    )
    assert gaps["hard"].high < real.value
    assert gaps["corrected"].low < real.value < gaps["corrected"].high
    rate = found.one(metric="judge_rate", groups="female judged male")
    assert rate.value == pytest.approx(0.2, abs=0.05)
    assert rate.n == 500
    same = audit_images(folder, labeller=judge, attributes=["gender"], draws=100,
                        truth={"gender": Confusion([[400, 100, 0], [100, 400, 0]], ("female", "male"))})  # fmt: skip
    assert len(same.where(labels="corrected")) > 0
    with pytest.raises(InputError, match="nearly singular"):
        audit_images(folder, labeller=judge, attributes=["gender"],
                     truth={"gender": Confusion([[51, 49, 0], [49, 51, 0]], ("female", "male"))})  # fmt: skip


def test_a_judge_of_pictures_is_measured_on_labelled_pictures(before, tmp_path):
    (tmp_path / "truth").mkdir()
    rows = []
    for i, row in enumerate(read(before / "labels.csv")):
        (tmp_path / "truth" / f"{i}.png").write_bytes((before / f"images/{i:04d}.png").read_bytes())
        rows.append({"file": f"{i}.png", "gender": row["gender"]})
    write(tmp_path / "truth.csv", rows)
    found = audit_images(before, labeller=judge, attributes=["gender"], draws=100,
                         truth=f"folder:{tmp_path / 'truth'}?metadata={tmp_path / 'truth.csv'}")  # fmt: skip
    assert found.one(metric="judge_rate", groups="female judged female").value == 1.0
    assert found.settings["confusion"]["gender"]["n"] == len(rows)


def seeing(name="colour eye"):
    """An encoder that sees the red channel and reads "woman" or "female"."""

    def images(pictures):
        return np.array([[1.0, 0.2] if judge(p) == "female" else [0.2, 1.0] for p in pictures])

    def texts(sentences):
        said = [any(word in s for word in ("woman", "female")) for s in sentences]
        return np.array([[1.0, 0.2] if female else [0.2, 1.0] for female in said])

    return encoder(image_fn=images, text_fn=texts, card=EncoderCard(library="callable", name=name, weights="v1", dim=2))


def test_zero_shot_labels_come_with_probabilities_and_never_from_the_audited_model(before):
    eye = seeing()
    found = audit_images(before, labeller=eye, fidelity=seeing("another eye"), audited=FakeEncoder(8).card, draws=100)
    asked = audit_images(before, labeller=judge, attributes=["gender"], draws=100)
    over = "these prompts, images resampled"
    assert found.one(metric="mean_parity_gap", labels="hard", over=over).value == pytest.approx(
        asked.one(metric="mean_parity_gap", over=over).value
    )
    assert found.where(metric="mean_parity_gap", labels="expected")
    fidelity = found.one(metric="mean_prompt_fidelity", over=over)
    assert fidelity.unit == "cosine"
    assert -1 <= fidelity.low <= fidelity.value <= fidelity.high <= 1
    assert found.settings["judge"]["encoder"]["name"] == "colour eye"
    assert found.settings["judge"]["notes"] == []
    with pytest.raises(EncoderError, match="judge colour eye is the model under audit"):
        audit_images(before, labeller=eye, audited=eye)
    with pytest.raises(EncoderError, match="fidelity encoder colour eye is the model"):
        audit_images(before, labeller=judge, attributes=["gender"], fidelity=eye, audited=eye.card.as_dict())
    allowed = audit_images(before, labeller=eye, audited=eye, allow_same_encoder=True, draws=100)
    assert "it was allowed" in allowed.settings["judge"]["notes"][0]
    unchecked = audit_images(before, labeller=eye, draws=100)
    assert "not checked" in unchecked.settings["judge"]["notes"][0]


def test_several_attributes_their_crossing_and_what_the_prompt_is_about(before, tmp_path):
    prompts = {row["id"]: row for row in read(before / "prompts.csv")}
    rows = [
        {**row, "age": "old" if i % 3 else "young",
         "concept": prompts[row["id"]]["concept"] if i % 10 else "pilot"}
        for i, row in enumerate(read(before / "labels.csv"))
    ]  # fmt: skip
    write(tmp_path / "more.csv", rows)
    found = audit_images(before, labeller=tmp_path / "more.csv", draws=100)
    assert {row.attribute for row in found.where(metric="mean_total_variation")} == {
        "gender",
        "age",
        "age & gender",
    } or {row.attribute for row in found.where(metric="mean_total_variation")} == {"gender", "age", "gender & age"}
    assert not found.where(metric="generated_share", attribute="concept")
    over = "these prompts, images resampled"
    right = found.one(metric="mean_concept_accuracy", prompt_kind="neutral", over=over)
    assert 0.85 < right.value < 1
    one = audit_images(before, labeller=tmp_path / "more.csv", attributes=["age"], crossings=1, draws=100)
    assert {row.attribute for row in one} == {"age"}


def test_targets_by_attribute_and_population(before):
    shares = audit_images(before, labeller=before / "labels.csv", target={"gender": {"female": 0.3, "male": 0.7}},
                          draws=100)  # fmt: skip
    row = shares.one(metric="generated_share", prompt="a photo of a doctor", groups="female")
    gap = shares.one(metric="total_variation", prompt="a photo of a doctor")
    assert gap.value == pytest.approx(abs(row.value - 0.3))
    assert gap.extra["target"] == "given (female 0.3, male 0.7)"
    plain = audit_images(before, labeller=before / "labels.csv", target={"female": 0.3, "male": 0.7}, draws=100)
    assert plain.one(metric="total_variation", prompt="a photo of a doctor").value == gap.value
    pool = audit_images(before, labeller=before / "labels.csv", target="population", draws=100)
    assert pool.one(metric="total_variation", prompt="a photo of a doctor").value != gap.value


def test_equal_seeds_give_equal_bytes(before):
    one, two = (audit_images(before, labeller=before / "labels.csv", draws=100, seed=3) for _ in range(2))
    other = audit_images(before, labeller=before / "labels.csv", draws=100, seed=4)
    assert one.to_json() == two.to_json() != other.to_json()


def test_broken_and_missing_files_are_unlabelled_and_told(before, tmp_path):
    folder = tmp_path / "hurt"
    (folder / "images").mkdir(parents=True)
    for path in (before / "images").iterdir():
        (folder / "images" / path.name).write_bytes(path.read_bytes())
    (folder / "prompts.csv").write_bytes((before / "prompts.csv").read_bytes())
    (folder / "images" / "0000.png").write_bytes(b"not a picture")
    (folder / "images" / "0001.png").unlink()
    (folder / "images" / "stranger.png").write_bytes((before / "images/0003.png").read_bytes())
    for labeller, attributes in ((before / "labels.csv", None), (judge, ["gender"])):
        found = audit_images(folder, labeller=labeller, attributes=attributes, draws=100)
        about = found.settings["images"]["arms"]["before"]
        assert (about["missing_files"], about["files_without_a_row"], about["broken"]["count"]) == (1, 1, 1)
        row = found.one(metric="unlabelled", prompt="a photo of a doctor")
        assert row.value == pytest.approx(2 / 20)


def test_a_prompt_with_one_image_is_measured_without_inventing_an_interval(before, tmp_path):
    rows = read(before / "prompts.csv")
    lone = [row for row in rows if row["prompt"] != "a photo of a pilot"]
    lone.append(next(row for row in rows if row["prompt"] == "a photo of a pilot"))
    write(tmp_path / "one.csv", lone)
    found = audit_images(before, tmp_path / "one.csv", before / "labels.csv", draws=100)
    row = found.one(metric="generated_share", prompt="a photo of a pilot", groups="female")
    assert (row.n, row.note) == (1, "one image")
    assert row.high - row.low > 0.7


def breaking(before, tmp_path):
    """Ways to get it wrong: what is passed, the error, its words."""
    good, rows, labels = before / "labels.csv", read(before / "prompts.csv"), read(before / "labels.csv")
    (tmp_path / "empty").mkdir()

    def table(name, changed):
        write(tmp_path / name, changed)
        return tmp_path / name

    def changed(column, value, only=None):
        return [{**r, column: value} if only is None or i == only else r for i, r in enumerate(rows)]

    yield (tmp_path / "nowhere", None, good), {}, DatasetError, "no such folder"
    yield (tmp_path / "empty", None, good), {}, DatasetError, "holds no image"
    yield (before, tmp_path / "absent.csv", good), {}, DatasetError, "no such table"
    no_prompt = [{k: v for k, v in r.items() if k != "prompt"} for r in rows]
    yield (before, table("a.csv", no_prompt), good), {}, DatasetError, "no column 'prompt'"
    keyless = [{"prompt": r["prompt"]} for r in rows]
    yield (before, table("b.csv", keyless), good), {}, DatasetError, "neither 'id' nor 'file'"
    yield (before, table("c.csv", [*rows, rows[0]]), good), {}, DatasetError, "duplicate ids"
    yield (before, table("d.csv", changed("kind", "neutrl", 0)), good), {}, DatasetError, "Did you mean 'neutral'"
    yield (before, table("e.csv", changed("expected", "")), good), {}, DatasetError, "no column says which group"
    wrong = [{**r, "expected": "femle" if r["expected"] else ""} for r in rows]
    yield (before, table("f.csv", wrong), good), {}, GroupError, "unknown expected group 'femle'.*Did you mean 'female'"
    elsewhere = changed("file", "elsewhere.png")
    elsewhere = [{**r, "id": f"x{i}"} for i, r in enumerate(elsewhere)]
    yield (before, table("g.csv", elsewhere), good), {}, DatasetError, "none of the .* images that g.csv lists"
    twice = changed("file", rows[0]["file"], 1)
    yield (before, table("n.csv", twice), good), {}, DatasetError, "are of one file, '0000.png'"
    strangers = [{**r, "id": f"x{i}"} for i, r in enumerate(labels)]
    yield (before, None, table("h.csv", strangers)), {}, DatasetError, "never by position"
    yield (before, None, table("i.csv", [*labels, labels[0]])), {}, DatasetError, "duplicate ids"
    yield (before, None, table("j.csv", [{"gender": r["gender"]} for r in labels])), {}, DatasetError, "whose it is"
    one = [{**r, "gender": "male"} for r in labels]
    neutral = table("k.csv", [r for r in rows if r["kind"] == "neutral"])
    yield (before, neutral, table("l.csv", one)), {}, GroupError, "Name all groups"
    sure = [{**r, "gender_confidence": 1.5} for r in labels]
    yield (before, None, table("m.csv", sure)), {}, DatasetError, "from 0 to 1"
    yield (before, None, good), {"attributes": ["gendr"]}, DatasetError, "Did you mean 'gender'"
    yield (before, None, good), {"target": {"gender": {"female": 1, "x": 1}}}, GroupError, "unknown group label"
    yield (before, None, good), {"min_confidence": 2}, InputError, "from 0 to 1"
    yield (before, None, good), {"truth": {"gender": ["male"]}}, DatasetError, "gender_judged"
    yield (before, None, None), {}, InputError, "no labeller"
    yield (before, None, 7), {}, InputError, "the labeller is a int"
    yield (before, None, judge), {"attributes": ["a", "b"]}, InputError, "one function for the attributes"
    yield (before, None, judge), {}, InputError, r"attributes=\['gender'\]"
    yield (before, None, good), {"after": {"before": before}}, InputError, "a name of its own"
    yield (before, None, "fak:8"), {}, EncoderError, "Did you mean 'fake'"


def test_every_mistake_is_told_with_what_to_do(before, tmp_path):
    count = 0
    for args, options, error, words in breaking(before, tmp_path):
        with pytest.raises(error, match=words) as caught:
            audit_images(*args, draws=100, **options)
        assert isinstance(caught.value, FairVLError)
        count += 1
    assert count == 26


def test_all_male_images_have_a_gap_of_one_once_the_groups_are_named(before, tmp_path):
    rows = [{**r, "gender": "male"} for r in read(before / "labels.csv")]
    write(tmp_path / "male.csv", rows)
    write(tmp_path / "neutral.csv", [r for r in read(before / "prompts.csv") if r["kind"] == "neutral"])
    found = audit_images(before, tmp_path / "neutral.csv", tmp_path / "male.csv", draws=100,
                         groups={"gender": ["female", "male"]})  # fmt: skip
    gap = found.one(metric="mean_parity_gap", over="these prompts, images resampled")
    assert gap.value == gap.high == 1.0
    assert 0.8 < gap.low < 1.0
    skew = found.one(metric="mean_image_min_skew", over="these prompts, images resampled")
    assert skew.value == -np.inf
    assert skew.low is None
    json.loads(found.to_json())
