"""All methods side by side on the world's model, lambda on held-out pairs, and the front they leave."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.audit import load_suite
from fairvl.repair.debias import compare_methods, debias
from fairvl.repair.debias.choosing import choose_lambda, pair_gap
from fairvl.repair.debias.comparison import Point
from fairvl.repair.debias.front import draw_front
from fairvl.repair.debias.material import attribute_texts
from fairvl.sources.encoders import load_encoder
from fairvl.stats.estimate import Estimate


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("world:vectors")


@pytest.fixture(scope="module")
def comparison(encoder):
    return compare_methods(encoder, methods=("orthogonal", "calibrated", "circle", "random"), draws=100)


def test_repairs_are_fairer_at_no_cost_and_the_control_is_not(comparison):
    places = {point.method: point for point in comparison.points}
    before = places["as it is"]
    for method in ("orthogonal", "calibrated", "circle"):
        assert places[method].bias.value < 0.5 * before.bias.value
        assert places[method].utility.value > before.utility.value - 0.02
    assert abs(places["random"].bias.value - before.bias.value) < 0.2 * before.bias.value
    assert "random" not in comparison.front
    assert comparison.front


def test_nobody_on_the_front_is_beaten_and_everybody_else_is(comparison):
    for point in comparison.points:
        beaten = any(
            other.bias.value <= point.bias.value
            and other.utility.value >= point.utility.value
            and (other.bias.value, other.utility.value) != (point.bias.value, point.utility.value)
            for other in comparison.points
        )
        assert point.front != beaten


def test_table_findings_and_picture_say_the_same(comparison):
    table, picture = comparison.table(), ElementTree.fromstring(comparison.svg())
    text = "".join(picture.itertext())
    for point in comparison.points:
        line = next(line for line in table.splitlines() if f" {point.method} " in f"{line} ")
        assert f"{point.bias.value:.3f} [{point.bias.low:.3f}, {point.bias.high:.3f}]" in line
        assert line.lstrip().startswith("*") == point.front
        assert point.method in text
        repair = "" if point.operator is None else point.method
        row = comparison.findings.one(metric="repair_bias", repair=repair)
        assert (row.value, row.low, row.high) == (point.bias.value, point.bias.low, point.bias.high)
        assert comparison.findings.one(metric="repair_utility", repair=repair).extra["front"] == point.front
    other = comparison.findings.where(metric="mean_max_skew", attribute="age_group", arm="difference")
    assert len(other) == 4  # bias on attributes that were not treated stands beside


def test_lambda_is_chosen_without_a_text_that_the_suite_measures_with(encoder):
    suite = load_suite("core").texts()
    pairs = attribute_texts("gender", None, encoder, pairs=True).pairs
    used = pairs[0].left
    operator = debias(encoder, method="calibrated", lam="auto", never=[*suite, used])
    fitted = {text for pair in operator.card.pairs for text in pair}
    assert fitted
    assert not fitted & {*suite, used}
    assert any("held-out" in note for note in operator.card.notes)
    assert any("the evaluation uses them" in note for note in operator.card.notes)
    same = debias(encoder, method="calibrated", lam="auto", never=[*suite, used])
    assert same.fingerprint == operator.fingerprint


def test_a_chosen_lambda_is_near_the_best_on_new_pairs_and_follows_what_is_planted():
    def pairs(rng, n, bend):
        content = rng.normal(size=(n, 64)) / 8
        mark = basis[0] + bend * rng.normal(size=(n, 2)) @ basis[1:3]
        return content + basis[3] - 0.3 * mark, content + basis[3] + 0.3 * mark

    chosen = {}
    for bend in (0.0, 0.6):
        rng = np.random.default_rng(3)
        basis = np.linalg.qr(rng.normal(size=(64, 4)))[0].T
        left, right = pairs(rng, 40, bend)
        prompts = np.stack([basis[3] - 0.3 * basis[0], basis[3] + 0.3 * basis[0]])
        choice = choose_lambda(prompts, left, right, [f"c{i // 2}" for i in range(40)], subspace="centred")
        new = pairs(rng, 400, bend)
        from fairvl.repair.debias import CalibratedProjection

        path = CalibratedProjection(subspace="centred").path(prompts, left, right, choice.lams)
        costs = np.array([pair_gap(o, *new) for o in path]) + choice.loss.mean(axis=0)
        at = int(np.flatnonzero(choice.lams == choice.lam)[0])
        assert costs[at] <= costs.min() + 0.05
        chosen[bend] = choice.lam
    assert chosen[0.6] > chosen[0.0]  # pairs that bend need the calibration; straight ones do not


def test_without_images_it_compares_on_texts_alone():
    class TextsOnly:
        def __init__(self, inner):
            self.inner, self.card = inner, inner.card
            self.texts = inner.texts

        def encode_texts(self, texts):
            return self.inner.encode_texts(texts)

    found = compare_methods(
        TextsOnly(load_encoder("world:vectors")), methods=("orthogonal", "random"), draws=100, lam=10.0
    )
    assert (found.bias_name, found.utility_name) == ("mean |effect size|", "geometry kept")
    places = {point.method: point for point in found.points}
    assert places["as it is"].utility.value == pytest.approx(1.0)
    assert 0.5 < places["orthogonal"].utility.value < 1.0
    assert places["orthogonal"].bias.value < places["as it is"].bias.value


def test_unusable_requests_are_refused(encoder):
    with pytest.raises(InputError, match="methods"):
        compare_methods(encoder, methods=("erase",))
    with pytest.raises(InputError, match="strength"):
        debias(encoder, method="orthogonal", lam="auto")
    with pytest.raises(InputError, match="fitted on prompts"):
        debias(encoder, method="orthogonal", references="world:portraits?n=10")
    with pytest.raises(InputError, match="different ones"):
        debias(encoder, attribute=["gender", "gender"])
    with pytest.raises(InputError, match="banks"):
        debias(encoder, attribute=["gender", "age"], bank=["debias-gender"])
    with pytest.raises(InputError, match="holds contents"):
        choose_lambda(np.eye(4)[:1], np.eye(4)[1:2], np.eye(4)[2:3], ["one"])


def test_a_picture_of_equal_points_and_undefined_ones_is_whole():
    value, nothing = Estimate(0.5, 0.5, 0.5, 3), Estimate(math.nan)
    points = [Point("a<b", value, value, True, None), Point("none", nothing, value, False, None)]
    picture = ElementTree.fromstring(draw_front(points, "bias & more", "use"))
    assert "a<b" in "".join(picture.itertext())
    assert "none" not in "".join(picture.itertext())
