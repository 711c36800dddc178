"""The page of a study: every section, numbers equal to the JSON, few models and many, hostile names, claims."""

import json
import math
import re
from itertools import pairwise

import pytest

from fairvl.findings import Finding, Findings
from fairvl.report import report
from fairvl.report.packing import pack
from fairvl.study.cells import Cell
from fairvl.study.claims import Claim, Evidence, check_claims, claim_findings

D = "standard deviations"
ORDERS = ("text-text", "image-image", "image-text", "text-image")
TOPICS = {"social": ("Race", "Age"), "control": ("Flower-Insect",)}
MINUS, THIN = "\u2212", "\u202f"


def row(metric, value, unit, n, half=0.1, *, order="", model="", p=None, p_adjusted=None, note="", **extra):
    ends = (None, None, None) if math.isnan(value) or half is None else (value - half, value + half, 0.95)
    note = note or ("undefined" if ends[0] is None else "")
    return Finding(
        metric, value, unit, n, *ends, p=p, p_adjusted=p_adjusted, order=order, model=model, note=note, extra=extra
    )


def study_findings(models=12, name="open_clip:net-{}/t"):
    """Hand-written rows in the vocabulary of `fairvl.study`; every number is made up."""
    rows = []
    for k, scope in enumerate(("social", "control", "all")):
        for i, factor in enumerate(("dataset_family", "params_m")):
            share = 0.512 - 0.2 * i - 0.1 * k
            for kind, part in (("marginal", 1.0), ("unique", 0.5)):
                rows.append(
                    row("variance_share", share * part, "share of variance", models, 0.09, p=0.001, p_adjusted=0.002,
                        scope=scope, factor=factor, kind=kind, rank=i + 1, raw=share * part)
                )  # fmt: skip
        for kind in ("marginal", "adjusted"):
            for i, level in enumerate(("laion", "commonpool", "cc12m")):
                rows.append(
                    row("contrast", 0.31 - 0.27 * i, D, models, p=0.02, p_adjusted=0.06, scope=scope, kind=kind,
                        factor="dataset_family", level_name=level, against="grand mean", estimator="closed form",
                        model_count=1 if level == "cc12m" else 5)
                )  # fmt: skip
            rows.append(
                row("coefficient", -0.044, "d per standard deviation of ln params_m", models, p=0.3, p_adjusted=0.3,
                    scope=scope, kind=kind, factor="params_m", term="ln params_m", model_count=models)
            )  # fmt: skip
        rows.append(
            row("filtering_contrast", -0.123, D, models, scope=scope, kind="within families", level_name="(all)",
                factor="filtering", model_count=6, unfiltered_count=4, p=0.2)
        )  # fmt: skip
        for i in range(models):
            family = ("laion", "commonpool", "cc12m")[i % 3]
            mean = 0.9 - 1.3 * i / models - 0.01 * k
            rows.append(
                row("model_mean", mean, D, 22, model=name.format(i), scope=scope, rank=i + 1, dataset_family=family)
            )
        for part, share in (("model", 0.2), ("test", 0.5), ("residual", 0.3)):
            rows.append(
                row("variance_component", share, "variance of d", models, scope=scope, component=part, share=share)
            )
    for scope, topics in TOPICS.items():
        for j, order in enumerate(ORDERS):
            rows.append(row("order_mean", 0.4 + 0.1 * j, D, models, order=order, scope=scope, factor="order"))
            rows.append(row("order_variance", 0.05 + 0.01 * j, "variance of d", models, 0.02, order=order, scope=scope))
            for i, topic in enumerate((*topics, "(all)")):
                r = 0.61 - 0.4 * i - 0.2 * j
                for kind in ("pearson", "partial"):
                    rows.append(
                        row("correlation", r, "correlation", models, p=0.004, p_adjusted=0.03 if i else 0.2,
                            order=order, scope=scope, topic=topic, score="average of 38", kind=kind)
                    )  # fmt: skip
                if topic != "(all)":
                    rows.append(
                        row("test_mean", 0.3 * j - 0.2 * i, D, models, order=order, test=topic.lower(), topic=topic,
                            category=scope, scope=scope, stimuli=16.0 * (i + 1), sd=0.2,
                            null_sd=0.5 / math.sqrt(i + 1))
                    )  # fmt: skip
        for metric, value, unit in (
            ("order_mean_difference", 0.07, D),
            ("order_variance_ratio", 1.4, "ratio"),
            ("steiger", -0.11, "difference of correlations"),
        ):
            rows.append(
                row(metric, value, unit, models, p=0.04, p_adjusted=0.12, order=ORDERS[0], versus=ORDERS[1],
                    scope=scope, score="average of 38")
            )  # fmt: skip
    for level, count in (("laion", 5), ("commonpool", 6), ("cc12m", 1)):
        rows.append(row("level_size", count, "models", count, None, factor="dataset_family", level_name=level))
        rows.append(row("vif", 1.2 * count, "ratio", models, None, factor="dataset_family", level_name=level))
    rows.append(
        row("warning", 1, "warnings", 1, None, kind="single-model level", factor="dataset_family", level_name="cc12m",
            note="dataset_family: one model each at cc12m")
    )  # fmt: skip
    return Findings(rows, {"study": 1, "models": models, "seed": 0})


def checked_claims():
    cells = (Cell("Age", "text-text", 0.5, 0.1, 3), Cell("Race", "text-text", -0.5, 0.1, 3))
    claims = [
        Claim("a", "rows in all", 7, 0, recipe="rows"),
        Claim("b", "mean d of Age", 0.5, 2, recipe="mean", arguments={"topic": "Age"}),
        Claim("c", "share above zero", 78.86, 2, "percent"),
    ]
    return claim_findings(check_claims(claims, Evidence(cells)))


def written(findings, tmp_path):
    return report(findings, tmp_path / "study.html").read_text(encoding="utf-8")


def charts(html, kind):
    return re.findall(rf'<svg class="chart {kind}".*?</svg>', html, re.S)


def texts(markup, look):
    return [
        re.sub(r"<title>.*?</title>", "", t) for t in re.findall(rf'<text class="{look}"[^>]*>(.*?)</text>', markup)
    ]


def plain(value, digits=2):
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def stored(html):
    """The findings that the page embeds, unpacked without the package's own reader."""
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])["runs"][0]
    names = [json.loads(column["name"]) for column in data["columns"]]
    rows = []
    for i, order in enumerate(data["order"]):
        found = {}
        for j in data["orders"][order]:
            column = data["columns"][j]
            found[names[j]] = json.loads(column["texts"][column.get("index", [0] * len(data["order"]))[i]])
        rows.append(found)
    return rows


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return written(study_findings() + checked_claims(), tmp_path_factory.mktemp("study"))


def test_a_study_has_its_sections_and_none_of_an_audit(page):
    ids = re.findall(r'<section id="([^"]+)"', page)
    expected = ["explains", "models", "orders", "performance", "tests", "claims", "warnings"]
    assert ids == [*(f"study-{name}" for name in expected), "methods", "settings", "findings"]
    assert "Study of 12 models" in page
    assert "Dataset family goes with 51.2" in page
    assert "Nothing was repaired" not in page
    assert "Models trained on filtered data lie 0.12 below" in page


def test_every_chart_of_a_study_has_a_title_and_a_description_and_no_nan(page):
    found = re.findall(r'<svg class="chart.*?</svg>', page, re.S)
    assert len(found) >= 15
    for chart in found:
        assert re.search(r"<svg[^>]*><title>.+?</title><desc>.+?</desc>", chart)
        assert not re.search(r'="[^"]*\b(nan|inf)\b', chart)


def test_the_page_stays_closed_to_the_network(page):
    assert not re.search(r"https?://|url\(|@import", page.replace("http-equiv", ""))
    assert " style=" not in page


def test_the_embedded_findings_are_the_findings(page):
    assert stored(page) == (study_findings() + checked_claims()).records()


def test_the_caterpillar_shows_every_model_with_the_numbers_of_the_json(page):
    """Gate 34: labels and numbers of the chart against the JSON in the same file."""
    means = [r for r in stored(page) if r["metric"] == "model_mean" and r["scope"] == "social"]
    means.sort(key=lambda r: -r["value"])
    chart = charts(page, "caterpillar")[0]
    assert texts(chart, "label") == [r["model"].removeprefix("open_clip:") for r in means]
    assert texts(chart, "value") == [f"{plain(r['value'])} ({plain(r['low'])} to {plain(r['high'])})" for r in means]
    xs = [float(x) for x in re.findall(r'class="mark [^"]*" (?:cx|x)="([\d.]+)"', chart)]
    assert len(xs) > 4
    assert len(charts(page, "caterpillar")) == 3


def test_variance_bars_show_the_shares_of_the_json(page):
    shares = [r for r in stored(page) if r["metric"] == "variance_share"]
    ends = {
        (r["scope"], r["factor"], r["kind"]): f"{plain(100 * r['value'], 1)}{THIN}% "
        f"({plain(100 * r['low'], 1)} to {plain(100 * r['high'], 1)})"
        for r in shares
    }
    told = texts(charts(page, "bars")[0], "value")
    assert sorted(told) == sorted(ends.values())
    assert f'<td data-v="0.512">51.2{THIN}%</td>' in page, "the table of findings writes shares in percent too"
    assert told[:2] == [ends["social", "dataset_family", kind] for kind in ("marginal", "unique")]


def test_contrasts_carry_their_numbers_their_models_and_the_dagger(page):
    chart = charts(page, "forest")[0]
    rows = [r for r in stored(page) if r["metric"] in ("contrast", "coefficient") and r["scope"] == "social"]
    numbers = [f"{plain(r['value'])} ({plain(r['low'])} to {plain(r['high'])})" for r in rows]
    assert sorted(t for t in texts(chart, "value") if "(" in t) == sorted(numbers)
    assert "1 model \u2020" in texts(chart, "detail")
    assert texts(chart, "detail").count("5 models") == 2
    assert "ln parameters (millions)" in texts(chart, "label")


def test_the_heat_map_stars_only_what_survives_correction(page):
    chart = charts(page, "heat")[0]
    cells = [r for r in stored(page) if r["metric"] == "correlation" and r["kind"] == "pearson"]
    expected = [plain(r["value"]) + ("*" if r["p_adjusted"] < 0.05 else "\u00b0") for r in cells]
    told = texts(chart, "value ink") + texts(chart, "value strong")
    assert sorted(told) == sorted(expected)
    assert any(text.endswith("\u00b0") for text in told)
    assert any(text.endswith("*") for text in told)
    assert texts(chart, "tick") == list(ORDERS)


def test_orders_and_claims_stand_in_tables_with_the_numbers_of_the_json(page):
    tables = re.findall(r'<table class="score">.*?</table>', page, re.S)
    by_caption = {re.search(r"<caption>(.*?)</caption>", t)[1]: t for t in tables}
    orders = next(t for caption, t in by_caption.items() if caption.startswith("Targets first"))
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", orders.split("<tbody>")[1])
    first = next(r for r in stored(page) if r["metric"] == "order_mean")
    assert cells[:3] == ["text-text", "Social tests", f"{plain(first['value'])} (0.30 to 0.50)"]
    claims = next(t for caption, t in by_caption.items() if "published number" in caption)
    assert "1 differ, 1 recomputed and 1 not recomputable (rows unpublished)" in claims
    body = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", claims.split("<tbody>")[1])
    assert body[:4] == ["rows in all", "7", "6", "\u2260 differs"]
    assert body[5:9] == ["mean d of Age", "0.50", "0.50", "\u2713 recomputed"]
    assert body[10:14] == ["share above zero", "78.86", "", "\u2013 not recomputable (rows unpublished)"]


def test_the_funnel_holds_every_test_and_reaches_both_sides(page):
    chart = charts(page, "funnel-chart")[0]
    tests = [r for r in stored(page) if r["metric"] == "test_mean"]
    assert chart.count("<g>") == len(tests)
    assert chart.count('class="funnel"') == 2
    assert "16 stimuli" in chart
    ticks = [float(t.replace(MINUS, "-")) for t in texts(chart, "tick")]
    assert min(ticks) <= -0.5


@pytest.mark.parametrize("models", [3, 46, 47, 700])
def test_few_models_and_many_fit(models, tmp_path):
    html = written(study_findings(models), tmp_path)
    chart = charts(html, "caterpillar")[0]
    assert chart.count("<g>") == min(models, 600)
    height = float(re.search(r'viewBox="0 0 960 (\d+)"', chart)[1])
    assert height < 1700
    spots = [float(y) for y in re.findall(r'<text class="label" x="0" y="([\d.]+)"', chart)]
    assert min(b - a for a, b in pairwise(spots)) >= 16.9, "labels do not lie on each other"
    assert ("Shown: the first and the last, together 600 of 700 models" in html) == (models == 700)
    assert len(html.encode()) < 4_000_000


def test_a_study_of_claims_alone_says_so(tmp_path):
    html = written(checked_claims(), tmp_path)
    assert "1 of 2 published numbers that can be recomputed differ from what their own cells give" in html
    assert re.findall(r'<section id="(study-[^"]+)"', html) == ["study-claims"]


def test_undefined_numbers_stay_undefined(tmp_path):
    rows = [
        row("variance_share", math.nan, "share of variance", 4, scope="social", factor="size", kind="marginal",
            note="no variance"),
        row("contrast", math.nan, D, 4, scope="social", factor="size", kind="marginal", level_name="x", note="aliased"),
        row("correlation", math.nan, "correlation", 3, scope="social", topic="Age", order="text-text", score="s",
            kind="pearson", note="three models"),
        row("test_mean", math.nan, D, 1, test="t", order="text-text", note="one model"),
    ]  # fmt: skip
    html = written(Findings(rows), tmp_path)
    assert "undefined: no variance" in html
    assert "undefined: aliased" in html
    assert texts(charts(html, "heat")[0], "value ink") == ["undefined"]
    assert not re.search(r'="[^"]*\bnan\b', html)


def test_no_factor_is_named_when_none_is_clear(tmp_path):
    rows = [row("variance_share", 0.1, "share of variance", 9, p=0.4, p_adjusted=0.8, scope="social", factor="size",
                kind="marginal")]  # fmt: skip
    html = written(Findings(rows), tmp_path)
    assert "No factor clearly explains how 9 models differ in bias" in html


def test_names_that_are_markup_stay_text(tmp_path):
    html = written(study_findings(5, name="<script>alert({})</script>&amp;"), tmp_path)
    assert "<script>alert" not in html
    assert html.count("<script") == 2


def test_two_studies_stand_one_after_another(tmp_path):
    path = report([study_findings(5), study_findings(7)], tmp_path / "two.html", names=["one", "two"])
    html = path.read_text(encoding="utf-8")
    assert len(charts(html, "caterpillar")) == 6
    assert "5 models, social tests: one" in html
    assert "7 models, social tests: two" in html


def test_an_audit_is_no_study(unrepaired, tmp_path):
    html = written(unrepaired, tmp_path)
    assert "study-" not in html.split("<script")[0].split("</style>")[1]


def test_packing_holds_a_study(tmp_path):
    assert len(json.dumps(pack(study_findings(400)))) < 400_000
