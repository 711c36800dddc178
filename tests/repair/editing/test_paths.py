"""Walking along learned paths: length, way back, what is stored, what is refused."""

import json

import numpy as np
import pytest

from fairvl.errors import InputError, SourceError
from fairvl.repair.editing.paths import Field, PathModel
from fairvl.repair.editing.seam import CodeStats, Dipole

RNG = np.random.default_rng(0)
STATS = CodeStats(np.array([5.0, -2, 0, 1]), np.array([0.1, 3, 1, 2]), np.full(4, -9.0), np.full(4, 9.0))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def model(field, reach=9.0):
    axis = unit(np.array([1.0, 1, 0, 0]))
    ends = reach * unit(axis + 0.4 * np.random.default_rng(5).standard_normal((2, 4)))
    if field == "elliptic":
        law = Field(np.stack([np.full(4, -reach), np.full(4, reach)]), np.full((2, 4), -2.0), axis)
    elif field in ("signed", "ratio"):
        law = Field(np.concatenate([ends, -ends]), np.full(4, -4.5), axis)
    else:
        law = Field(np.zeros((0, 4)), np.zeros(0), axis)
    return PathModel(
        field, {"age": law}, STATS, (Dipole("an old person", "a young person", "age"),), "abc", {"seed": 1}
    )


CODES = STATS.restore(RNG.standard_normal((8, 4))).astype(np.float32)


@pytest.mark.parametrize("field", ["linear", "signed", "elliptic", "ratio"])
def test_forward_and_back_ends_within_a_tenth_of_the_way(field):
    paths = model(field)
    there = paths.traverse(CODES, "age", 3.0)
    way = np.linalg.norm(STATS.normalise(there) - STATS.normalise(CODES), axis=1)
    assert (way > 1.0).all()  # it went somewhere
    back = paths.traverse(there, "age", -3.0)
    left = np.linalg.norm(STATS.normalise(back) - STATS.normalise(CODES), axis=1)
    assert (left < 0.1 * 3.0).all(), left


def test_a_path_that_has_reached_its_support_does_not_lead_back():
    """Ways merge at a positive support: what was walked there cannot be told apart any more."""
    near = model("elliptic", reach=1.0)
    back = near.traverse(near.traverse(CODES, "age", 6.0), "age", -6.0)
    assert np.linalg.norm(STATS.normalise(back) - STATS.normalise(CODES), axis=1).max() > 0.1 * 6.0


def test_linear_path_has_exactly_the_length_asked_for_in_normalised_codes():
    strengths = np.array([0.0, 0.1, -1, 2, 3, -4, 0.25, 7], np.float32)
    moved = STATS.normalise(model("linear").traverse(CODES, "age", strengths)) - STATS.normalise(CODES)
    np.testing.assert_allclose(moved, strengths[:, None] * unit(np.array([1.0, 1, 0, 0])), atol=2e-5)


def test_directions_have_unit_length_and_each_row_its_own_strength():
    paths = model("signed")
    np.testing.assert_allclose(np.linalg.norm(paths.direction(CODES, "age"), axis=1), 1)
    together = paths.traverse(CODES, "age", np.linspace(-2, 2, 8))
    alone = np.concatenate([paths.traverse(CODES[i : i + 1], "age", np.linspace(-2, 2, 8)[i]) for i in range(8)])
    np.testing.assert_allclose(together, alone, atol=2e-2)  # shorter ways take fewer, longer steps alone
    np.testing.assert_array_equal(paths.traverse(CODES, "age", 0.0), CODES)


@pytest.mark.parametrize("field", ["linear", "signed", "elliptic", "ratio"])
def test_file_holds_everything(tmp_path, field):
    paths = model(field)
    paths.save(tmp_path / "a.safetensors")
    paths.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = PathModel.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(loaded.traverse(CODES, "age", 1.5), paths.traverse(CODES, "age", 1.5))
    assert (loaded.dipoles, loaded.supervisor, loaded.fingerprint) == (paths.dipoles, "abc", paths.fingerprint)


def test_changed_header_and_foreign_files_are_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    model("signed").save(file)
    whole = file.read_bytes()
    assert whole.count(b"signed") == 1
    file.write_bytes(whole.replace(b"signed", b"linear"))
    with pytest.raises(SourceError, match="header that was changed"):
        PathModel.load(file)
    file.write_text(json.dumps({}))
    with pytest.raises(SourceError, match="not a file of learned paths"):
        PathModel.load(file)
    with pytest.raises(SourceError, match="not a file of learned paths"):
        PathModel.load(tmp_path / "none")


def test_unknown_attribute_and_unusable_codes_are_refused():
    paths = model("signed")
    with pytest.raises(InputError, match="no path was learned for 'hat'; this model has age"):
        paths.path("hat")
    with pytest.raises(InputError, match=r"codes \(2, 3\); expected finite numbers \[n, 4\]"):
        paths.traverse(np.zeros((2, 3)), "age", 1)
    with pytest.raises(InputError, match="expected finite"):
        paths.direction(np.full((2, 4), np.nan), "age")
    with pytest.raises(InputError, match="one finite number"):
        paths.traverse(CODES, "age", [1.0, 2.0])
    with pytest.raises(InputError, match="NaN or infinity"):
        Field(np.full((2, 4), np.nan), np.zeros(2), np.ones(4))
