"""The claims checker: pooled moments against the rows behind them, verdicts, and what one altered cell does."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError, SourceError
from fairvl.findings import Findings
from fairvl.study.catalogue import catalogue_models
from fairvl.study.cells import (
    Cell,
    Coefficient,
    CorrelationCell,
    attainable_p,
    correlation_p,
    critical_correlation,
    pool,
    read_cells,
    read_coefficients,
    read_correlations,
    reduction,
    significant,
)
from fairvl.study.claims import (
    DIFFERS,
    RECOMPUTED,
    UNCHECKED,
    UNPUBLISHED,
    VERDICTS,
    Claim,
    Evidence,
    check_claims,
    claim_findings,
    load_claims,
    read_evidence,
)

TOPICS, ORDERS = ("Age", "Race", "Flower-Insect"), ("text-text", "image-image")


@pytest.fixture(scope="module")
def rows():
    """The rows of a small study: topic x order -> effect sizes."""
    random = np.random.default_rng(3)
    keys = [(topic, order) for topic in TOPICS for order in ORDERS]
    return {key: random.normal(0.3 * i - 0.4, 0.2 + 0.1 * i, size=30 + 10 * i) for i, key in enumerate(keys)}


@pytest.fixture(scope="module")
def cells(rows):
    return tuple(Cell(*key, float(d.mean()), float(d.std(ddof=1)), len(d)) for key, d in rows.items())


@pytest.fixture(scope="module")
def evidence(cells):
    old = tuple(replace(cell, sd=1.3 * cell.sd) for cell in cells)
    correlations = tuple(CorrelationCell(c.topic, c.order, 0.1 * i, c.n, i > 2) for i, c in enumerate(cells))
    return Evidence(cells, old, correlations, (Coefficient("size", 0.5, 0.1, 5.0, 5.7e-7),))


def test_pooled_moments_are_those_of_the_rows(rows, cells):
    everything = np.concatenate(list(rows.values()))
    pooled = pool(cells)
    assert (pooled.n, pooled.mean) == (len(everything), pytest.approx(everything.mean(), abs=1e-14))
    assert pooled.variance == pytest.approx(everything.var(ddof=1), rel=1e-12)
    inside = sum(((d - d.mean()) ** 2).sum() for d in rows.values()) / (len(everything) - len(rows))
    assert pooled.within == pytest.approx(inside, rel=1e-12)
    race = np.concatenate([d for (topic, _), d in rows.items() if topic == "Race"])
    assert pool(cells, topic="Race").sd == pytest.approx(race.std(ddof=1), rel=1e-12)
    assert pool(cells, topic="Race", order="text-text").variance == pytest.approx(rows["Race", "text-text"].var(ddof=1))


def test_a_reduction_is_negative_where_the_variance_rose(cells):
    wider = [replace(cell, sd=2 * cell.sd) for cell in cells]
    assert 0 < reduction(wider, cells) < 1
    assert reduction(cells, wider) < 0
    assert reduction(cells, cells) == 0


def test_one_row_has_no_variance():
    with pytest.raises(InputError, match="1 cells with 1 rows"):
        pool([Cell("Age", "text-text", 0.0, 0.0, 1)])
    with pytest.raises(InputError, match="'Agee'"):
        pool([Cell("Age", "text-text", 0.0, 1.0, 9)], topic="Agee")


@pytest.mark.parametrize(("n", "printed"), [(131, 0.1716), (262, 0.1212), (393, 0.0989)])
def test_critical_correlations(n, printed):
    assert critical_correlation(n) == pytest.approx(printed, abs=5e-5)
    assert correlation_p(critical_correlation(n), n) == pytest.approx(0.05, abs=1e-12)


def test_p_of_a_correlation_is_scipys():
    random = np.random.default_rng(0)
    x = random.normal(size=40)
    y = 0.4 * x + random.normal(size=40)
    found = stats.pearsonr(x, y)
    assert correlation_p(found.statistic, 40) == pytest.approx(found.pvalue, rel=1e-9)
    assert correlation_p(-1.0, 40) == 0
    with pytest.raises(InputError, match="between -1 and 1"):
        correlation_p(1.1, 40)
    with pytest.raises(InputError, match="at least 3"):
        critical_correlation(2)


def test_an_exact_p_is_a_multiple_of_one_partition():
    """Gate 8: printed exact p times C(2n, n) is an integer; one that cannot be is told apart."""
    from fairvl.measure.association import association_test

    rng = np.random.default_rng(5)
    for n in (4, 5, 6):
        x, y, a, b = (rng.normal(size=(n, 8)) for _ in range(4))
        p = association_test(x, y, a, b, seed=0).p
        assert attainable_p(p, n) == pytest.approx(p, abs=1e-12)
        assert p * math.comb(2 * n, n) == pytest.approx(round(p * math.comb(2 * n, n)), abs=1e-6)
    assert attainable_p(0.0, 4) == 1 / 70, "never 0"
    assert attainable_p(1e-300, 600) > 0
    claims = [
        Claim("whole", "", 17 / 924, 6, recipe="exact_p", arguments={"p": 17 / 924, "n": 6}),
        Claim("between", "", 17.5 / 924, 6, recipe="exact_p", arguments={"p": 17.5 / 924, "n": 6}),
    ]
    assert list(verdicts(claims, Evidence()).values()) == [RECOMPUTED, DIFFERS]
    with pytest.raises(InputError, match="at least one"):
        attainable_p(0.5, 0)


def test_corrections_only_take_stars_away():
    cells = [CorrelationCell("t", str(i), r, 131) for i, r in enumerate((0.9, 0.2, -0.19, 0.18, 0.05))]
    counts = [significant(cells, correction=c).sum() for c in ("none", "bh", "holm", "by")]
    assert counts == [4, 4, 1, 1]
    p = [correlation_p(cell.r, 131) for cell in cells]
    assert counts[1] == (stats.false_discovery_control(p) < 0.05).sum()
    assert significant(cells, n=20).sum() == 1, "the n given replaces that of the cells"
    with pytest.raises(InputError, match="bonferroni"):
        significant(cells, correction="bonferroni")


def claims_of(evidence):
    """One claim per recipe, printed as the evidence has it."""
    recipes = {
        "rows": {}, "models": {}, "tests": {}, "cells": {}, "positive_cells": {}, "mean": {"topic": "Race"},
        "sd": {"topic": "Race"}, "variance": {}, "reduction": {"order": "text-text"},
        "correlation": {"topic": "Race", "order": "text-text"}, "mean_correlation": {"topic": "Race"},
        "stars": {"sign": "positive"}, "significant_correlations": {"correction": "holm"},
        "wald_p": {"term": "size"}, "significant_terms": {"prefix": "size"}, "consistent_z": {},
    }  # fmt: skip
    blank = [Claim(name, name, 0.0, 3, recipe=name, arguments=arguments) for name, arguments in recipes.items()]
    return [replace(checked.claim, printed=round(checked.value, 3)) for checked in check_claims(blank, evidence)]


def verdicts(claims, evidence):
    return {checked.claim.id: checked.verdict for checked in check_claims(claims, evidence)}


def test_a_faithful_print_is_recomputed_and_an_altered_cell_changes_the_verdicts(evidence):
    claims = claims_of(evidence)
    assert set(verdicts(claims, evidence).values()) == {RECOMPUTED}
    position = next(i for i, c in enumerate(evidence.cells) if (c.topic, c.order) == ("Race", "text-text"))
    altered = list(evidence.cells)
    altered[position] = replace(altered[position], mean=altered[position].mean + 0.3)
    found = verdicts(claims, replace(evidence, cells=tuple(altered)))
    assert {name for name, verdict in found.items() if verdict == DIFFERS} >= {"mean", "sd", "variance", "reduction"}
    assert found["rows"] == found["correlation"] == RECOMPUTED, "what does not rest on that mean stays"
    altered = list(evidence.correlations)
    altered[position] = replace(altered[position], r=-altered[position].r)
    found = verdicts(claims, replace(evidence, correlations=tuple(altered)))
    assert found["correlation"] == found["mean_correlation"] == DIFFERS, "a lost sign"
    assert found["mean"] == RECOMPUTED


def test_rounding_decides_agreement(evidence):
    rows = sum(cell.n for cell in evidence.cells)
    claims = [
        Claim("half", "", rows + 0.5, 0, recipe="rows"),
        Claim("more", "", rows + 0.51, 0, recipe="rows"),
        Claim("tolerant", "", rows + 3, 0, recipe="rows", tolerance=3),
    ]
    assert list(verdicts(claims, evidence).values()) == [RECOMPUTED, DIFFERS, RECOMPUTED]


def test_what_no_cell_can_tell_and_what_was_not_given_are_told_apart():
    claims = [Claim("share", "share of rows above 0", 0.8, 2), Claim("rows", "", 10, 0, recipe="rows")]
    assert list(verdicts(claims, Evidence()).values()) == [UNPUBLISHED, UNCHECKED]


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (Claim("a", "", 1, 0, recipe="meen"), "recipe 'meen'"),
        (Claim("a", "", 1, 0, recipe="mean", arguments={"topc": "Race"}), "topc"),
        (Claim("a", "", 1, 0, recipe="correlation", arguments={"topic": "Race", "order": "sideways"}), "sideways"),
        (Claim("a", "", 1, 0, recipe="mean_correlation", arguments={"topic": "Weight"}), "Weight"),
        (Claim("a", "", 1, 0, recipe="wald_p", arguments={"term": "colour"}), "colour"),
    ],
)
def test_a_claim_that_cannot_be_asked_says_why(evidence, claim, said):
    with pytest.raises(InputError, match=said):
        check_claims([claim], evidence)


def test_claims_become_findings_that_survive_a_file(evidence, tmp_path):
    claims = [*claims_of(evidence), Claim("share", "share of rows above 0", 0.8, 2)]
    checked = check_claims(claims, evidence)
    table = Findings.read(claim_findings(checked).write(tmp_path / "claims.json"))
    assert len(table) == len(claims)
    for row, item in zip(table, checked, strict=True):
        assert row.metric == "claim"
        assert (row.extra["claim"], row.extra["printed"]) == (item.claim.id, item.claim.printed)
        assert row.extra["verdict"] == item.verdict
        assert row.value == item.value or (math.isnan(row.value) and item.verdict == UNPUBLISHED)
        assert item.verdict in VERDICTS


def test_the_built_in_claims_are_complete_and_what_needs_no_tables_is_checked():
    claims = load_claims()
    assert len({claim.id for claim in claims}) == len(claims) > 40
    assert all(claim.text and claim.source for claim in claims)
    found = verdicts(claims, Evidence(models=catalogue_models(paper_2025=True)))
    assert found["commonpool-models"] == DIFFERS
    assert found["commonpool-models-by-rule"] == found["datasets"] == found["largest"] == RECOMPUTED
    assert found["share-positive"] == UNPUBLISHED
    assert found["rows"] == UNCHECKED


def test_malformed_fact_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match="ghate-2025"):
        load_claims("ghate")
    with pytest.raises(SourceError, match="no such file"):
        load_claims(tmp_path / "none.toml")
    path = tmp_path / "claims.toml"
    for text, said in (
        ("[[claim]]\nid = 'a'", "printed"),
        ("claim = 3", "malformed"),
        ("[[claim]\n", "malformed"),
        ("[[claim]]\nid = 'a'\ntext = ''\nprinted = 1\ndecimals = 0\n" * 2, "twice"),
    ):
        path.write_text(text)
        with pytest.raises(SourceError, match=said):
            load_claims(path)


def test_tables_of_cells_are_read_under_either_names(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("cat,order,m,sd,n\nInsect-Flower,all text,1.2,0.3,131\nRace,image as target,-0.1,0.8,131\n")
    cells = read_cells(path)
    assert cells[0] == Cell("Flower-Insect", "text-text", 1.2, 0.3, 131)
    assert cells[1].order == "image-text"
    path.write_text("topic,order,r,starred\nRace,image-text,-0.3,1\nAge,image-text,0.0,0\n")
    assert read_correlations(path, cells=cells) == (
        CorrelationCell("Race", "image-text", -0.3, 131, True),
        CorrelationCell("Age", "image-text", 0.0, 0, False),
    )
    path.write_text("term,coef,se,z,p\nsize,0.5,0.1,5.0,0.001\nVar,0.2,,,\n")
    terms = read_coefficients(path)
    assert terms[0] == Coefficient("size", 0.5, 0.1, 5.0, 0.001)
    assert math.isnan(terms[1].z)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat,order,m,sd\nRace,all text,1,1\n", r"no column \['n'\]"),
        ("cat,order,m,sd,n\nRace,all text,high,1,9\n", "high"),
        ("cat,order,m,sd,n\nRace,all text,1,1,9.5\n", "n is 9.5"),
        ("cat,order,m,sd,n\nRace,all text,1,1,9\nRace,all text,1,1,9\n", "twice"),
    ],
)
def test_a_malformed_table_of_cells_is_refused(tmp_path, text, said):
    (tmp_path / "cells.csv").write_text(text)
    with pytest.raises(SourceError, match=said):
        read_cells(tmp_path / "cells.csv")


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(SourceError, match="none of"):
        read_evidence(tmp_path)
