"""MODELS.toml: what is read, and which mistakes are named before anything starts."""

import re
from pathlib import Path

import pytest

from fairvl.errors import InputError
from fairvl.study.sweep import ModelEntry, read_models, sweep
from fairvl.study.sweep.encoding import said


@pytest.fixture
def write(tmp_path):
    def to(text, name="MODELS.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return to


def test_ids_covariates_and_free_columns(write):
    models = read_models(
        write(
            '[[model]]\nencoder = "open_clip:ViT-B-32/openai"\n\n[[model]]\nid = "mine"\nencoder = "fake:8"\n'
            'dataset = "world"\ndataset_size = 5000\nparams_m = 1.5\nfiltering = "none"\nlab = "ours"\ncheckpoint = 3\n'
        )
    )
    assert [m.id for m in models] == ["open_clip:ViT-B-32/openai", "mine"]
    assert models[1].covariates == {
        "dataset": "world", "dataset_size": 5000, "params_m": 1.5, "filtering": "none", "lab": "ours", "checkpoint": 3,
    }  # fmt: skip


def test_the_models_csv_of_a_sweep_is_a_list_of_models(tmp_path, write, toy):
    path = write('[[model]]\nid = "=a"\nencoder = "fake:8"\ndataset = "x, y"\ndataset_size = 7\nlab = "z"\n'
                 '[[model]]\nencoder = "fake:4"\n')  # fmt: skip
    sweep(path, tmp_path / "out", suite=toy.registry(), draws=100, permutations=199)
    text = (tmp_path / "out/models.csv").read_text()
    assert text.startswith(
        "model,dataset,dataset_family,dataset_size,filtering,architecture,architecture_family,params_m,"
    )
    again = read_models(tmp_path / "out/models.csv")
    assert [m.encoder for m in again] == ["fake:8", "fake:4"]
    assert again[0].covariates["dataset_size"] == 7
    assert again[0].id == "'=a"  # a cell that a spreadsheet would run stays quoted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[model]]\nencoder = "fake"\ndatset = "x"', "unknown key 'datset'. Did you mean 'dataset'"),
        ('[[model]]\nencodr = "fake"', "Did you mean 'encoder'"),
        ('[[model]]\nmodel = "fake"\nencoder = "fake"', "Did you mean 'id'"),
        ('[[model]]\nencoder = "opn_clip:ViT-B-32/openai"', "Did you mean 'open_clip'"),
        ('[[model]]\nid = "x"', "no encoder"),
        ("[[model]]\nencoder = 5", "encoder is 5; expected a text"),
        ('[[model]]\nencoder = "world:"', "'world:' names a kind and nothing of it. Expected one of: world:clip"),
        ('[[model]]\nencoder = "stored"', "nothing of it. Expected one of: stored:DIR"),
        ('[model]\nencoder = "fake"', "double brackets"),
        ('[[models]]\nencoder = "fake"', "Did you mean [[model]]"),
        ('[[model]]\nencoder = "fake"\n[[model]]\nencoder = "fake"', "the id 'fake' stands 2 times"),
        ('[[model]]\nencoder = "fake"\nparams_m = "big"', "params_m is 'big'; expected millions of parameters"),
        ('[[model]]\nencoder = "fake"\ndataset_size = 0', "expected a number of pairs, above 0"),
        ('[[model]]\nencoder = "fake"\nparams_m = true', "params_m is True"),
        ('[[model]]\nencoder = "fake"\nfiltering = 3', "filtering is 3; expected a text"),
        ('[[model]]\nencoder = "fake"\nlist = [1]', "list holds list"),
        ('[[model]]\nencoder = "fake"\nid = ""', "expected a short text"),
        ("model = 3", "double brackets"),
        ("", "no models"),
        ("[[model", "not TOML"),
    ],
)
def test_a_mistake_is_named_before_anything_starts(write, tmp_path, text, says):
    with pytest.raises(InputError) as caught:
        sweep(write(text), tmp_path / "out")
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_another_kind_or_no_encoder_is_named(tmp_path, toy):
    with pytest.raises(InputError, match=r"absent.toml: cannot be read"):
        read_models(tmp_path / "absent.toml")
    with pytest.raises(InputError, match=r"\.toml or \.csv"):
        read_models("MODELS.yaml")
    with pytest.raises(InputError, match="'m' is int"):
        sweep({"m": 3}, tmp_path, suite=toy.registry())
    with pytest.raises(InputError, match="no models"):
        sweep({}, tmp_path, suite=toy.registry())
    with pytest.raises(InputError, match="stands 2 times"):
        sweep([ModelEntry("a", "fake"), ModelEntry("a", "fake:8")], tmp_path, suite=toy.registry())


def test_the_catalogue_gives_models_with_covariates():
    models = read_models("catalogue:dataset_family=commonpool&filtering=none&max_params_m=200")
    assert len(models) >= 3
    assert all(m.encoder.startswith("open_clip:") and m.covariates["dataset_family"] == "commonpool" for m in models)
    assert all(m.covariates["params_m"] <= 200 for m in models)
    both = read_models("catalogue:dataset_family=cc12m,yfcc15m")
    assert {m.covariates["dataset_family"] for m in both} == {"cc12m", "yfcc15m"}
    for query, says in (("datset_family=laion", "Did you mean 'dataset_family'"), ("max_params_m=x", "a number"),
                        ("dataset_family=lion", "not in the catalogue"), ("loadable=perhaps", "1 or 0")):  # fmt: skip
        with pytest.raises(InputError, match=says):
            read_models(f"catalogue:{query}")


def test_the_documented_filters_find_models():
    root = Path(__file__).parents[3]
    texts = [root / "docs" / "sweep.md", *(root / "src" / "fairvl" / "cli").glob("*.py")]
    if not all(path.is_file() for path in texts):
        pytest.skip("the documentation is not part of an installation")
    found = [query for path in texts for query in re.findall(r"'(catalogue:\w+=[^']+)'", path.read_text("utf-8"))]
    assert len(found) >= 2
    assert all(len(read_models(query)) > 0 for query in found)


def test_published_models_bring_the_covariates_of_the_catalogue(write):
    names = ["open_clip:ViT-B-32/openai", "open_clip:RN50/cc12m", "fake:8"]
    lists = "".join(f'[[model]]\nencoder = "{name}"\n' for name in names)
    models = read_models(write(lists + 'dataset = "toy"\n'))
    assert models[0].covariates["dataset"] == models[0].covariates["dataset_family"] == "openai_wit"
    assert models[1].covariates["params_m"] == pytest.approx(102.01, abs=0.01)
    assert models[2].covariates == {"dataset": "toy"}
    renamed = read_models(write('[[model]]\nencoder = "open_clip:RN50/cc12m"\ndataset_family = "ours"\n'))
    assert renamed[0].covariates["dataset_family"] == "ours"
    assert renamed[0].covariates["dataset"] == "cc12m"


def test_a_surplus_cell_is_named_by_its_row(write):
    table = "model,encoder,dataset\na,fake:8,x\nb,fake:9,x, y\n"
    with pytest.raises(InputError, match="row 2 has more cells than the header"):
        read_models(write(table, "m.csv"))
    assert read_models(write(table.replace("x, y", '"x, y"'), "m.csv"))[1].covariates["dataset"] == "x, y"


def test_a_reason_keeps_what_helps_at_its_end():
    long = "word " * 100 + "Did you mean this?"
    assert said(InputError(long)).endswith("Did you mean this?")
    assert len(said(InputError(long * 2))) == 600
