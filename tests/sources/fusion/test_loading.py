"""load_fusion: folders as transformers writes them, the published ALBEF file, and everything that is neither."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import fairvl  # noqa: E402
from fairvl.errors import FusionError  # noqa: E402
from fairvl.sources.fusion import (  # noqa: E402
    AlbefShape,
    PatchRegions,
    build_albef,
    build_blip,
    build_lxmert,
    build_vilt,
    build_words,
    load_fusion,
    published_names,
)
from fairvl.sources.fusion.albef import shape_of  # noqa: E402

WORDS = ["a", "man", "dog", "ball", "what", "is", "this", "?"]
SMALL = {"width": 16, "heads": 2, "layers": 1, "max_length": 10}
REGIONS = {"lxmert": {"regions": PatchRegions()}}
TEXTS = ["a man", "what is this ?"]


def pictures(n=2):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, size=(50 + 40 * i, 70, 3), dtype=np.uint8)) for i in range(n)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One folder of each family, without our own file: as transformers and its users write them."""
    root = tmp_path_factory.mktemp("models")
    for build in (build_blip, build_lxmert, build_vilt):
        model = build(WORDS, **SMALL)
        (model.save(root / model.family) / "fairvl.json").unlink()
    return root


def published(saved, family, name, folder, **config):
    """A folder that transformers' own class wrote."""
    shutil.copytree(saved / family, folder)
    settings = {"lxmert": transformers.LxmertConfig, "vilt": transformers.ViltConfig, "blip": transformers.BlipConfig}
    module = getattr(transformers, name)(settings[family].from_pretrained(folder, **config)).eval()
    module.save_pretrained(folder)
    return module


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "name", "capabilities"),
    [
        ("blip", "BlipForImageTextRetrieval", {"itc", "itm", "score"}),
        ("blip", "BlipForConditionalGeneration", {"lm", "fill", "answer"}),
        ("blip", "BlipForQuestionAnswering", {"answer"}),
        ("vilt", "ViltForMaskedLM", {"mlm", "fill", "answer"}),
        ("vilt", "ViltForImageAndTextRetrieval", {"itm", "score"}),
        ("lxmert", "LxmertForPreTraining", {"mlm", "itm", "score", "fill", "answer"}),
    ],
)
def test_a_published_class_brings_its_capabilities(saved, tmp_path, family, name, capabilities):
    module = published(saved, family, name, tmp_path / "model")
    model = load_fusion(f"{family}:{tmp_path / 'model'}", **REGIONS.get(family, {}))
    assert model.card.capabilities == capabilities
    assert model.card.max_length == 10
    own, theirs = model.module.state_dict(), module.state_dict()
    assert all(torch.equal(own[key], theirs[key]) for key in theirs)
    assert own.keys() - theirs.keys() <= {"temp"}
    if "itc" in capabilities:
        assert float(model.module.temp) == pytest.approx(0.07)
    if "score" in capabilities:
        assert np.isfinite(model.score(pictures(), TEXTS)).all()


def test_heads_and_the_names_of_their_answers(saved, tmp_path):
    published(saved, "vilt", "ViltForQuestionAnswering", tmp_path / "v", id2label={0: "yes", 1: "no"})
    model = load_fusion(f"vilt:{tmp_path / 'v'}")
    assert model.answers == ("yes", "no")
    assert set(model.answer(pictures(), TEXTS)) <= {"yes", "no"}
    published(saved, "lxmert", "LxmertForQuestionAnswering", tmp_path / "l", num_qa_labels=3)
    bare = load_fusion(f"lxmert:{tmp_path / 'l'}", regions=PatchRegions())
    assert bare.card.capabilities == frozenset()
    with pytest.raises(FusionError, match="has no answer: it offers nothing"):
        bare.answer(pictures(), TEXTS)
    (tmp_path / "answers.txt").write_text("yes\nno\ntwo dogs\n")
    for answers in (["yes", "no", "two dogs"], str(tmp_path / "answers.txt")):
        model = load_fusion(f"lxmert:{tmp_path / 'l'}", regions=PatchRegions(), answers=answers)
        assert model.answers == ("yes", "no", "two dogs")
        assert np.exp(model.answer_scores(pictures(), TEXTS, model.answers)).sum(1) == pytest.approx([1, 1], abs=1e-5)
    with pytest.raises(FusionError, match="2 answers for a head of 3"):
        load_fusion(f"lxmert:{tmp_path / 'l'}", answers=["yes", "no"])


@torch.no_grad()
def test_vilt_images_keep_their_ratio_like_its_own_processor(saved, tmp_path):
    module = published(saved, "vilt", "ViltForMaskedLM", tmp_path / "v")
    processor = transformers.ViltImageProcessorPil(size={"shortest_edge": 32}, size_divisor=8)
    processor.save_pretrained(tmp_path / "v")
    model = load_fusion(f"vilt:{tmp_path / 'v'}")
    images = pictures(3)
    given = processor(images, return_tensors="pt")
    inputs = model.inputs(images)
    assert inputs["pixels"].shape == given["pixel_values"].shape
    assert len({tuple(size) for size in inputs["grid"].tolist()}) == 3
    torch.testing.assert_close(inputs["pixels"], given["pixel_values"].float(), atol=1e-5, rtol=1e-5)
    ids, mask = model.tokenize([*TEXTS, "a dog"])
    own = module(input_ids=ids, attention_mask=mask, **given).logits
    torch.testing.assert_close(model.word_logits(model.fuse(inputs, ids, mask)), own, atol=1e-5, rtol=1e-4)
    together = model.fill(images, ["a [MASK]"] * 3, ["dog", "man"])
    alone = [model.fill([image], ["a [MASK]"], ["dog", "man"])[0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    again = load_fusion(f"vilt:{model.save(tmp_path / 'again')}")
    assert np.array_equal(again.fill(images, ["a [MASK]"] * 3, ["dog", "man"]), together)


def test_a_repository_is_read_at_one_commit_that_the_card_names(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    for family in ("blip", "lxmert", "vilt"):
        repository = tmp_path / f"models--org--{family}"
        shutil.copytree(saved / family, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "v1").write_text(commit)
        model = load_fusion(f"{family}:org/{family}?revision=v1", **REGIONS.get(family, {}))
        assert (model.card.name, model.card.revision) == (f"{family}:org/{family}", commit)
        local = load_fusion(f"{family}:{saved / family}", **REGIONS.get(family, {}))
        assert np.array_equal(model.score(pictures(), TEXTS), local.score(pictures(), TEXTS))
        with pytest.raises(FusionError, match=rf"configuration of org/{family} cannot be loaded"):
            load_fusion(f"{family}:org/{family}?revision=v2")
    model = build_blip(WORDS, **SMALL).with_answers(["man", "dog"])
    own = tmp_path / "models--org--headed"
    model.save(own / "snapshots" / commit)
    (own / "refs").mkdir()
    (own / "refs" / "main").write_text(commit)
    assert load_fusion("blip:org/headed").answers == ("man", "dog")
    with pytest.raises(FusionError, match=r"'blip' .*expected 'vilt'\. Load it as blip:org/blip"):
        load_fusion("vilt:org/blip?revision=v1")


def test_checkpoints_of_another_family_are_named(saved, tmp_path):
    for family in ("blip", "lxmert", "vilt"):
        for other in ("blip", "lxmert", "vilt", "albef", "generative"):
            if other != family:
                with pytest.raises(FusionError, match=rf"type '{family}'.*expected '{other}'|Load it as {family}:"):
                    load_fusion(f"{other}:{saved / family}")
    folder = build_albef(WORDS, **SMALL).save(tmp_path / "albef")
    with pytest.raises(FusionError, match=r"checkpoint of type 'albef'; expected 'blip'\. Load it as albef:"):
        load_fusion(f"blip:{folder}")
    shutil.copytree(saved / "vilt", tmp_path / "clip")
    (tmp_path / "clip" / "config.json").write_text(json.dumps({"model_type": "clip", "architectures": ["CLIPModel"]}))
    with pytest.raises(FusionError, match=r"'clip' \(CLIPModel\).*load_encoder\('transformers:"):
        load_fusion(f"vilt:{tmp_path / 'clip'}")
    (tmp_path / "clip" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(FusionError, match="AutoModelForImageTextToText has no class"):
        load_fusion(f"generative:{tmp_path / 'clip'}")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lxmrt:x", {}, "Did you mean 'lxmert'"),
        ("lxmert", {}, "not understood"),
        ("lxmert:", {}, "not understood"),
        (3, {}, "fusion model name 3"),
        ("blip:/nowhere/at/all", {}, "neither a folder that exists nor a repository"),
        ("albef:/nowhere/at/all", {}, "neither a folder nor a file"),
        ("blip:{blip}?revision=abc", {}, "belongs to hub repositories"),
        ("blip:{blip}", {"colour": 1}, "unknown option 'colour'"),
        ("blip:{blip}?batch_size=0", {}, "expected a whole number"),
        ("blip:{blip}", {"max_length": 99}, "expected 3 to 10"),
        ("blip:{blip}", {"max_length": 2}, "expected 3 to 10"),
        ("vilt:{vilt}?device=toaster", {}, "device 'toaster' cannot be used"),
        ("blip:{blip}", {"regions": "x"}, "unknown option 'regions'"),
    ],
)
def test_names_and_options_that_mean_nothing(saved, name, options, message):
    if isinstance(name, str):
        name = name.replace("{blip}", str(saved / "blip")).replace("{vilt}", str(saved / "vilt"))
    with pytest.raises(fairvl.FairVLError, match=message):
        load_fusion(name, **options)


def damaged(saved, tmp_path, family="blip"):
    return shutil.copytree(saved / family, tmp_path / "damaged")


def test_folders_that_lack_something(saved, tmp_path):
    for name, message in (
        ("config.json", "lacks config.json"),
        ("model.safetensors", "lacks model.safetensors"),
        ("tokenizer.json", "lacks a tokenizer"),
        ("preprocessor_config.json", "preprocessor_config.json: not there"),
    ):
        folder = damaged(saved, tmp_path)
        (folder / name).unlink()
        with pytest.raises(FusionError, match=message):
            load_fusion(f"blip:{folder}")
        shutil.rmtree(folder)


def test_files_that_are_not_whole(saved, tmp_path):
    whole = (saved / "blip" / "model.safetensors").read_bytes()
    for name, content, message in (
        ("model.safetensors", b"", "empty .safetensors"),
        (
            "model.safetensors",
            whole[:5000],
            "weights of .* cannot be loaded",
        ),
        ("config.json", b"{", "not readable JSON"),
        ("config.json", b"[1]", "holds no JSON object"),
        ("preprocessor_config.json", b'{"size": {"longest": 3}}', "image settings with size"),
        ("tokenizer.json", b"{}", "tokenizer of .* cannot be loaded"),
    ):
        folder = damaged(saved, tmp_path)
        (folder / name).write_bytes(content)
        with pytest.raises(FusionError, match=message):
            load_fusion(f"blip:{folder}")
        shutil.rmtree(folder)


def test_weights_that_do_not_fill_the_model(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = damaged(saved, tmp_path)
    state = load_file(folder / "model.safetensors")
    save_file({key: value for key, value in state.items() if key != "itm_head.bias"}, folder / "model.safetensors")
    with pytest.raises(FusionError, match=r"1 tensors are missing or of another shape, first itm_head\.bias"):
        load_fusion(f"blip:{folder}")
    save_file({**state, "itm_head.bias": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(FusionError, match=r"itm_head\.bias|mismatch"):
        load_fusion(f"blip:{folder}")
    build_words([*WORDS, "one", "two", "three", "four"], 10).tokenizer.save_pretrained(folder)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(FusionError, match="ids up to 16, the model 15 word embeddings"):
        load_fusion(f"blip:{folder}")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BlipModel"]}))
    with pytest.raises(FusionError, match=r"architectures \['BlipModel'\].*expected one of BlipForImageTextRetrieval"):
        load_fusion(f"blip:{folder}")


def test_pickles_only_when_asked_and_code_never(saved, tmp_path):
    from safetensors.torch import load_file

    folder = damaged(saved, tmp_path, "lxmert")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(FusionError, match=r"pytorch_model\.bin is pickled.*pickled=1"):
        load_fusion(f"lxmert:{folder}")
    model = load_fusion(f"lxmert:{folder}?pickled=1")
    assert torch.equal(model.module.state_dict()["cls.predictions.bias"], state["cls.predictions.bias"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    code = {"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil"}}
    for kind in ("lxmert", "evil"):
        (folder / "config.json").write_text(json.dumps({**config, **code, "model_type": kind}))
        for family in ("generative", "lxmert"):
            with suppress(FusionError):
                load_fusion(f"{family}:{folder}?pickled=1")
    assert not (tmp_path / "ran").exists()


# the position ids are left out, as checkpoints written by newer versions of transformers do
TINY = AlbefShape(
    image_size=32, patch_size=16, width=64, vision_layers=1, heads=1, text_layers=1, fusion_layers=2, hidden=48,
    vocabulary=13, positions=20, projection=8, queue=16,
)  # fmt: skip


def albef_state():
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.arange(size[1])[None]
        if name.endswith("position_ids")
        else torch.randn(size, generator=generator) / 5
        for name, size in published_names(TINY).items()
    }
    last = "text_encoder.cls.predictions"
    state[f"{last}.decoder.weight"] = state["text_encoder.bert.embeddings.word_embeddings.weight"]
    state[f"{last}.decoder.bias"] = state[f"{last}.bias"]
    return state


def test_a_published_albef_file(tmp_path):
    from safetensors.torch import save_file

    state = albef_state()
    assert shape_of(state) == TINY
    save_file({key: value.clone() for key, value in state.items()}, tmp_path / "ALBEF.safetensors")
    torch.save({"model": state, "epoch": 29, "config": {"lr": 1e-4}}, tmp_path / "ALBEF.pth")
    tokenizer = build_words(WORDS, 20).tokenizer
    tokenizer.save_pretrained(tmp_path / "bert")
    safe = load_fusion(f"albef:{tmp_path / 'ALBEF.safetensors'}", tokenizer=tokenizer, max_length=10)
    with pytest.raises(FusionError, match=r"is pickled.*pickled=1"):
        load_fusion(f"albef:{tmp_path / 'ALBEF.pth'}", tokenizer=tokenizer)
    loose = load_fusion(f"albef:{tmp_path / 'ALBEF.pth'}?pickled=1&max_length=10", tokenizer=str(tmp_path / "bert"))
    assert safe.card.capabilities == {"score", "fill", "answer", "itc", "itm", "mlm"}
    assert np.array_equal(safe.score(pictures(), TEXTS), loose.score(pictures(), TEXTS))
    assert safe.card.image_size == (32, 32)
    with pytest.raises(FusionError, match="comes without a tokenizer"):
        load_fusion(f"albef:{tmp_path / 'ALBEF.safetensors'}")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(FusionError, match="ALBEF state without"):
        load_fusion(f"albef:{tmp_path / 'other.safetensors'}", tokenizer=tokenizer)


def test_the_published_shape_follows_from_the_published_tensors():
    state = {name: torch.empty(size, device="meta") for name, size in published_names().items()}
    assert shape_of(state) == AlbefShape()


class Bomb:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_pickle_with_code_is_not_run(tmp_path, capsys):
    torch.save({"model": albef_state(), "x": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(FusionError, match="cannot be loaded"):
        load_fusion(f"albef:{tmp_path / 'bomb.pth'}?pickled=1", tokenizer=build_words(WORDS, 20).tokenizer)
    assert "code ran" not in capsys.readouterr().out


def test_albef_folders_that_do_not_fit(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = build_albef(WORDS, **SMALL).save(tmp_path / "albef")
    ours = json.loads((folder / "fairvl.json").read_text())
    (folder / "fairvl.json").write_text(json.dumps({**ours, "shape": {**ours["shape"], "width": 32}}))
    with pytest.raises(FusionError, match="of another shape"):
        load_fusion(f"albef:{folder}")
    (folder / "fairvl.json").write_text(json.dumps({**ours, "shape": {"size": 3}}))
    with pytest.raises(FusionError, match=r"shape of .* cannot be loaded"):
        load_fusion(f"albef:{folder}")
    (folder / "fairvl.json").write_text(json.dumps(ours))
    state = load_file(folder / "model.safetensors")
    state["words.predictions.decoder.weight"] = state["words.predictions.decoder.weight"] + 1
    save_file(state, folder / "model.safetensors")
    with pytest.raises(FusionError, match="the same parameter"):
        load_fusion(f"albef:{folder}")
