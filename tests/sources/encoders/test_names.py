"""Names of encoders: accepted forms, typos, options, the missing extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fairvl.errors import EncoderError, MissingExtraError
from fairvl.sources.encoders import load_encoder, names, seam


def test_fake():
    assert load_encoder("fake").card.dim == 16
    assert load_encoder("fake:512").card.dim == 512


@pytest.mark.parametrize("name", ["fake:0", "fake:-1", "fake:many", "fake:99999999", "fake:²"])
def test_fake_with_a_bad_width(name):
    with pytest.raises(EncoderError, match="width from 1 to 65536"):
        load_encoder(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("opn_clip:ViT-B-32/openai", "open_clip"), ("transfomers:x", "transformers"), ("store:dir", "stored")],
)
def test_a_typo_names_the_nearest_prefix_and_the_forms(name, near):
    with pytest.raises(EncoderError, match=f"Did you mean '{near}'.*open_clip:local-dir:PATH.*stored:DIR.*fake:DIM"):
        load_encoder(name)


@pytest.mark.parametrize("name", ["", "ViT-B-32", "open_clip", "open_clip:", "fake:", None, 7])
def test_a_name_without_a_form(name):
    with pytest.raises(EncoderError, match=r"transformers:NAME-OR-PATH"):
        load_encoder(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-32?randm=1", "Did you mean 'random'"),
        ("open_clip:ViT-B-32?random", "expected key=value"),
        ("open_clip:ViT-B-32?random=1&random=2", "each key once"),
        ("open_clip:ViT-B-32?random=one", "whole number"),
        ("open_clip:ViT-B-32?random=1&batch_size=0", "whole number"),
        ("open_clip:ViT-B-32/openai?unsafe_pt=perhaps", "expected 1 or 0"),
        ("fake?device=cuda", "unknown option 'device'"),
    ],
)
def test_options(name, message):
    with pytest.raises(EncoderError, match=message):
        load_encoder(name)


def test_an_option_given_twice():
    with pytest.raises(EncoderError, match="each key once"):
        load_encoder("open_clip:ViT-B-32?random=1", random=2)


def test_world_models_that_are_not_shipped():
    with pytest.raises(EncoderError, match=r"world:absent is not there; this installation ships"):
        load_encoder("world:absent")


def test_world_names_load_the_shipped_folder(transformers_folders, monkeypatch, tmp_path):
    (tmp_path / "world" / "models").mkdir(parents=True)
    (tmp_path / "world" / "models" / "clip").symlink_to(transformers_folders["clip"])
    monkeypatch.setattr(names, "__file__", str(tmp_path / "encoders" / "names.py"))
    card = load_encoder("world:clip").card
    assert (card.library, card.name, card.training_data) == ("transformers", "world:clip", "fairvl world (synthetic)")


@pytest.mark.parametrize(
    ("package", "name"), [("open_clip", "open_clip:RN50/openai"), ("transformers", "transformers:a/b")]
)
def test_a_missing_library_names_the_extra(monkeypatch, package, name):
    def absent(wanted):
        if wanted.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return __import__(wanted)

    monkeypatch.setattr(seam, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"fairvl\[models\]"):
        load_encoder(name)


def test_a_broken_library_is_not_called_missing(monkeypatch):
    def broken(_):
        raise ModuleNotFoundError("No module named 'regex'", name="regex")

    monkeypatch.setattr(seam, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="regex") as caught:
        load_encoder("open_clip:RN50/openai")
    assert not isinstance(caught.value, MissingExtraError)


def test_importing_the_seam_imports_no_heavy_library():
    code = "import sys, fairvl.sources.encoders; print([m for m in ('torch', 'pyarrow', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
