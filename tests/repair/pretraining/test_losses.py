"""The losses against plain loops, and one gradient whatever pieces: on every family."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fairvl.jobs import Share
from fairvl.repair.pretraining.objectives import NO_INFORMATION, contrastive_loss, matching_losses
from fairvl.repair.pretraining.run import prepare

FAMILIES = ("blip", "albef", "lxmert", "vilt")


def lesson_of(model, pairs, **options):
    given = {
        "batch_size": 12, "seed": 0, "weights": {n: 1.0 for n in ("itc", "itm", "mlm", "lm")
                                                 if n in model.card.capabilities},
        "contrast": "batch", "reading": "plain", "mask_rate": 0.3, "probability": lambda step: 0.5, "workers": 1,
        "keep": 2**20,
    } | options  # fmt: skip
    return prepare(model, pairs, np.arange(len(pairs)), **given)


def gradient(lesson, accumulate=1, step=3):
    lesson.model.module.zero_grad(set_to_none=True)
    parts = lesson.learn(step, Share("cpu", accumulate=accumulate))
    found = [p.grad for p in lesson.model.module.parameters() if p.grad is not None]
    return {k: float(v) for k, v in parts.items()}, torch.cat([g.reshape(-1) for g in found])


def test_no_information_is_the_entropy_of_one_right_pair_in_three():
    assert pytest.approx(math.log(3) - 2 / 3 * math.log(2)) == NO_INFORMATION
    logits = torch.tensor([[math.log(2), 0.0]])  # the best constant answer
    assert float(matching_losses(logits, logits, logits)[0]) == pytest.approx(NO_INFORMATION, abs=1e-7)
    for worse in (-1.0, 0.0, 2.0):
        constant = torch.tensor([[worse, 0.0]])
        assert float(matching_losses(constant, constant, constant)[0]) > NO_INFORMATION


def test_contrast_is_the_loop_over_rows_and_columns():
    rng = np.random.default_rng(0)
    image, text = (rng.normal(size=(7, 4)) for _ in range(2))
    same = np.eye(7, dtype=bool)
    same[1, 4] = same[4, 1] = True
    logits, total = 3.0 * image @ text.T, 0.0
    for rows, own in ((logits, same), (logits.T, same.T)):
        for i in range(7):
            chances = np.exp(rows[i]) / np.exp(rows[i]).sum()
            total -= np.mean([np.log(chances[j]) for j in np.flatnonzero(own[i])]) / 14
    tensors = (torch.from_numpy(image), torch.from_numpy(text), torch.tensor(3.0), torch.from_numpy(same))
    assert float(contrastive_loss(*tensors)) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_a_loop_over_samples(family, build, pairs):
    model = build(family)
    lesson = lesson_of(model, pairs)
    with torch.no_grad():
        batch = lesson.batches.batch(3, 0.5)
        table, expected = lesson.batches.texts, {"itm": [], "mlm": [], "lm": []}
        for i, row in enumerate(batch.rows):
            said = pairs.neutral[row] if batch.texts[i] == table.neutral[row] else pairs.captions[row]
            ids, mask = model.tokenize([said])
            inputs = model.inputs([pairs.images[row]])
            if "itm" in lesson.weights:
                other, wrong = batch.rows[batch.wrong_image[i]], batch.wrong_text[i]
                from_row = batch.rows[wrong]
                neutral = batch.texts[wrong] == table.neutral[from_row]
                odd = model.tokenize([(pairs.neutral if neutral else pairs.captions)[from_row]])
                logits = [
                    model.match_logits(model.fuse(inputs, ids, mask)),
                    model.match_logits(model.fuse(model.inputs([pairs.images[other]]), ids, mask)),
                    model.match_logits(model.fuse(inputs, *odd)),
                ]
                chance = [torch.softmax(one, 1)[0] for one in logits]
                expected["itm"].append(-(chance[0][1].log() + chance[1][0].log() + chance[2][0].log()) / 3)
            if "mlm" in lesson.weights:
                width = table.ids.shape[1]
                shown = torch.from_numpy(batch.shown[i : i + 1])
                words = model.word_logits(model.fuse(inputs, shown, mask[:, :width]))[0]
                for place in np.flatnonzero(batch.hidden[i]):
                    expected["mlm"].append(-torch.log_softmax(words[place], 0)[ids[0, place]])
            if "lm" in lesson.weights:
                following = model.next_logits(inputs, ids, mask)[0]
                for place in range(int(mask.sum()) - 1):
                    expected["lm"].append(-torch.log_softmax(following[place], 0)[ids[0, place + 1]])
    found, _ = gradient(lesson)
    for name, losses in expected.items():
        if name in lesson.weights:
            assert found[name] == pytest.approx(float(torch.stack(losses).mean()), abs=2e-5), name
    assert found["loss"] == pytest.approx(sum(found[name] for name in lesson.weights), abs=1e-5)
    assert found["neutral"] == batch.neutral


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reading", ["plain", "masked"])
def test_pieces_have_the_gradient_of_the_whole_batch(family, reading, build, pairs):
    model = build(family)
    lesson = lesson_of(model, pairs, reading=reading)
    whole, one = gradient(lesson)
    for pieces in (3, 5):
        parts, other = gradient(lesson, accumulate=pieces)
        assert parts == pytest.approx(whole, abs=1e-5)
        assert torch.allclose(one, other, atol=1e-5 * float(one.abs().max()))
    assert float(one.norm()) > 0.1


def test_contrast_within_pieces_is_another_loss_and_says_so(build, pairs):
    lesson = lesson_of(build("blip"), pairs, contrast="piece", weights={"itc": 1.0})
    whole, _ = gradient(lesson)
    parts, _ = gradient(lesson, accumulate=4)
    assert whole["itc"] == pytest.approx(math.log(12), abs=0.4)
    assert parts["itc"] == pytest.approx(math.log(3), abs=0.4)


def test_a_masked_reading_needs_three_passes_in_place_of_four(build, pairs, monkeypatch):
    model = build("albef")
    rows = []
    fuse = model.fuse
    monkeypatch.setattr(
        model, "fuse", lambda inputs, ids, mask, **k: rows.append(len(ids)) or fuse(inputs, ids, mask, **k)
    )
    seen = []
    see = model.see
    monkeypatch.setattr(model, "see", lambda inputs: seen.append(len(inputs)) or see(inputs))
    gradient(lesson_of(model, pairs))
    gradient(lesson_of(model, pairs, reading="masked"))
    assert rows == [4 * 12, 3 * 12]
    assert max(seen) <= 12  # the images of a batch are seen once for all objectives
    assert len(seen) == 2


def test_images_that_do_not_fit_in_memory_change_nothing(build, pairs):
    model = build("blip")
    kept, one = gradient(lesson_of(model, pairs))
    decoded, other = gradient(lesson_of(model, pairs, keep=0, workers=3))
    assert kept == decoded
    assert torch.equal(one, other)
