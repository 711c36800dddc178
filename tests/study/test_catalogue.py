"""The catalogue of encoders: the published study's selection, families by both rules, covariates by name."""

import csv
import math
from collections import Counter

import pytest

from fairvl.errors import InputError
from fairvl.study.catalogue import (
    FILTERINGS,
    architecture_family,
    catalogue_models,
    covariates,
    dataset_family,
    find_entry,
    load_catalogue,
)


@pytest.fixture(scope="module")
def study():
    return catalogue_models(paper_2025=True)


def test_the_published_selection_has_127_models_26_datasets_and_55_architectures(study):
    assert len(study) == 127
    assert len({entry.dataset for entry in study}) == 26
    assert len({entry.architecture for entry in study}) == 55
    assert (min(e.params_m for e in study), max(e.params_m for e in study)) == (102.01, 5044.89)
    assert sum(entry.image_tower == "convolution" for entry in study) == 17
    assert sum(entry.source == "Cherti et al. 2023" for entry in study) == 29
    assert sum(entry.dataset == "openai_wit" and entry.pretrained == "openai" for entry in study) == 9


def test_the_two_family_rules_differ_in_one_model(study):
    paper, corrected = Counter(e.dataset_family_paper for e in study), Counter(e.dataset_family for e in study)
    assert (paper["commonpool"], corrected["commonpool"]) == (20, 21)
    assert [e.dataset for e in study if e.dataset_family != e.dataset_family_paper] == ["commonpool_xl_laion_filtered"]
    # the families the study printed; four of its LAION models are unknown
    printed = {
        "commonpool": 20, "datacomp": 13, "openai_wit": 11, "webli": 11, "metaclip": 7, "dfn": 4, "merged2b": 4,
        "yfcc15m": 2, "cc12m": 1, "laion": 58,
    }  # fmt: skip
    assert {name: printed[name] - paper[name] for name in printed} == dict.fromkeys(printed, 0) | {"laion": 4}


def test_architecture_families_are_those_printed_up_to_the_four_unknown_models(study):
    found = Counter(entry.architecture_family for entry in study)
    printed = {"ViT": 86, "Specialized ViT": 10, "ConvNeXt": 9, "ResNet": 8, "EVA": 7, "CoCa": 4, "NLLB-CLIP": 4}
    printed["Hybrid text"] = 3
    assert {name: printed[name] - found[name] for name in printed} == dict.fromkeys(printed, 0) | {"ViT": 4}


def test_every_entry_is_complete_and_stands_once():
    entries = load_catalogue()
    assert len({entry.model for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.filtering in FILTERINGS
        assert entry.filtering_source
        assert entry.params_m > 0
        assert entry.dataset_size > 0 or math.isnan(entry.dataset_size)
        assert not entry.pool_size < entry.dataset_size, entry.model
        assert find_entry(entry.model) is entry


def test_curation_follows_the_tag_and_holds_both_sides_within_commonpool():
    by_tag = {entry.pretrained: entry for entry in load_catalogue()}
    filtering = {
        "commonpool_m_s128m_b4k": "none",
        "commonpool_m_basic_s128m_b4k": "text rules",
        "commonpool_m_text_s128m_b4k": "text rules",
        "commonpool_m_clip_s128m_b4k": "CLIP score",
        "commonpool_m_laion_s128m_b4k": "CLIP score",
        "commonpool_m_image_s128m_b4k": "learned filter",
        "commonpool_xl_s13b_b90k": "none",
        "commonpool_xl_laion_s13b_b90k": "CLIP score",
        "datacomp_xl_s13b_b90k": "CLIP score",
        "dfn5b": "learned filter",
        "webli": "unknown",
    }
    assert {tag: by_tag[tag].filtering for tag in filtering} == filtering
    assert by_tag["commonpool_m_clip_s128m_b4k"].dataset_size == pytest.approx(0.3 * 128e6)
    assert {e.filtering for e in catalogue_models(dataset_family="commonpool")} >= {"none", "CLIP score"}


def test_a_model_is_found_under_the_names_it_goes_by():
    entry = find_entry("open_clip:ViT-B-32/laion2b_e16")
    assert find_entry("ViT-B-32 laion2b_e16") is find_entry("ViT-B-32/laion2b_e16") is entry
    assert find_entry("RN50-quickgelu/openai") is find_entry("RN50/openai")
    assert find_entry("ViT-B-32/metaclip_400m") is find_entry("ViT-B-32-quickgelu/metaclip_400m")
    assert find_entry("ViT-B-32") is None
    row = covariates(["ViT-L-14 commonpool_xl_laion_s13b_b90k"], rule="paper")[0]
    assert row["model"] == "ViT-L-14 commonpool_xl_laion_s13b_b90k"
    assert row["dataset_family"] == "laion"


def test_an_unknown_model_is_named_and_can_be_skipped():
    with pytest.raises(InputError, match=r"1 of 2 models .*'mine'"):
        covariates(["RN50/cc12m", "mine"])
    assert [row["model"] for row in covariates(["RN50/cc12m", "mine"], missing="skip")] == ["RN50/cc12m"]


def test_filters_narrow_and_refuse_names_that_occur_nowhere():
    assert {e.architecture_family for e in catalogue_models(architecture_family=["EVA", "CoCa"])} == {"EVA", "CoCa"}
    assert all(not e.loadable for e in catalogue_models(loadable=False))
    assert len(catalogue_models(loadable=False)) == 29
    with pytest.raises(InputError, match=r"laoin.*laion"):
        catalogue_models(dataset_family="laoin")
    with pytest.raises(InputError, match="no model"):
        catalogue_models(max_params_m=1)


@pytest.mark.parametrize("call", [lambda: dataset_family(""), lambda: architecture_family("")])
def test_a_missing_name_is_refused(call):
    with pytest.raises(InputError, match="no name"):
        call()


def test_an_unknown_rule_is_refused_and_an_unknown_dataset_is_its_own_family():
    with pytest.raises(InputError, match="corrected"):
        dataset_family("laion2b", rule="papers")
    assert dataset_family("my-scrape") == "my-scrape"
    assert architecture_family("Learning-Net") == "Learning-Net", "'rn' inside a word is no ResNet"


def test_the_published_references_inflate_as_the_design_says(study):
    """Against the single cc12m model the family of LAION pays 47-fold, CommonPool 25-fold; the study warns of both."""
    import fairvl
    from fairvl.findings import Finding, Findings

    rows = [
        Finding("effect_size", float(i % 7), "standard deviations", 2, note="the design only", model=entry.model,
                extra={"test": test})
        for i, entry in enumerate(study)
        for test in "ab"
    ]  # fmt: skip
    found = fairvl.study(
        Findings(rows),
        models=[entry.covariates("paper") for entry in study],
        factors=["params_m", "architecture_family", "dataset_family", "dataset_size"],
        reference={"dataset_family": "cc12m", "architecture_family": "CoCa"},
        draws=100,
        permutations=0,
    )
    inflation = {row.extra["level_name"]: row.value for row in found.where(metric="vif", factor="dataset_family")}
    assert inflation["laion"] == pytest.approx(47, abs=0.5)
    assert inflation["commonpool"] == pytest.approx(25, abs=0.5)
    warned = {row.extra["kind"] for row in found.where(metric="warning")}
    assert {"single-model level", "single-model reference", "collinear"} <= warned


def test_the_stored_table_is_what_the_installed_registry_gives():
    """Names, datasets and selection only: counting the parameters takes a minute."""
    open_clip = pytest.importorskip("open_clip")
    from fairvl.study.catalogue import generate

    if open_clip.__version__ != "3.3.0":
        pytest.skip(f"the table was written with open_clip 3.3.0, here is {open_clip.__version__}")
    found = generate.distinct(open_clip.list_pretrained())
    rows = [(a, t, generate.dataset_of(a, t), generate.in_paper(a, t)) for a, t in found]
    rows += [(*row, True) for row in generate.scaling_laws()]
    with generate.TABLE.open(newline="") as file:
        stored = [
            (r["architecture"], r["pretrained"], r["dataset"], r["paper_2025"] == "1") for r in csv.DictReader(file)
        ]
    assert rows == stored


def test_parameters_are_counted_on_models_without_weights(caplog):
    pytest.importorskip("open_clip")
    from fairvl.study.catalogue import generate

    stored = {entry.architecture: entry for entry in load_catalogue()}
    for name in ("RN50", "roberta-ViT-B-32"):
        params, tower = generate.measure(name)
        assert (float(params), tower) == (stored[name].params_m, stored[name].image_tower)
