"""The HTML file: complete, closed, safe, small, deterministic, and readable without scripts."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fairvl.errors import FindingsError
from fairvl.findings import Finding, Findings
from fairvl.report import report
from fairvl.report.packing import pack

VOID = {"meta", "link", "input", "br", "hr", "img"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "]]>",
    "\u2028",
    "&lt;b&gt;",
    "' onmouseover='x",
]


class Page(HTMLParser):
    """Text, tags and embedded data of a page; notes unbalanced tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words, self.scripts, self.problems = [], [], [], [], []
        self.feed(text)
        self.problems += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"/{tag} at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts.append((self.open[-1], data))
        else:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page_of(findings, tmp_path, **options):
    return report(findings, tmp_path / "out.html", **options).read_text(encoding="utf-8")


def test_every_section_is_there_and_the_tags_balance(findings, tmp_path):
    page = Page(page_of(findings, tmp_path))
    assert page.problems == []
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert {"before-after", "association", "groups", "ranking", "leakage", "harms", "trends", "utility", "other",
            "methods", "settings", "findings", "headline", "data"} <= ids  # fmt: skip
    for words in ("Gender bias fell by", "perceived", "all associations are equal", "Moon phase", "k = 100",
                  "population", "9f2c9f2c", "c0ffeec0ffee", "A test instrument", "How to read this"):  # fmt: skip
        assert words in page.text, words
    assert sum(tag == "svg" and attrs.get("role") == "img" for tag, attrs in page.tags) >= 10


def test_every_chart_has_a_title_and_a_description(findings, tmp_path):
    html = page_of(findings, tmp_path)
    charts = re.findall(r'<svg class="chart.*?</svg>', html, re.S)
    assert charts
    assert all(re.search(r"<svg[^>]*><title>.+?</title><desc>.+?</desc>", chart) for chart in charts)


def test_no_number_in_a_chart_is_nan(findings, unrepaired, tmp_path):
    for table in (findings, unrepaired):
        for chart in re.findall(r'<svg class="chart.*?</svg>', page_of(table, tmp_path), re.S):
            assert not re.search(r'="[^"]*\b(nan|inf)\b', chart)


def test_missing_sections_vanish(predictions, tmp_path):
    page = Page(page_of(predictions, tmp_path))
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert "groups" in ids
    assert not ids & {"before-after", "association", "ranking", "leakage", "harms", "trends", "other"}
    assert "\u2020 fewer than 30 images" in page.text
    assert "A test instrument" not in page.text


def test_the_page_is_closed_to_the_network(findings, tmp_path):
    page = Page(page_of(findings, tmp_path))
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    for kind, code in page.scripts:
        if not code.startswith('{"runs"'):
            digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
            assert f"{'style' if kind == 'style' else 'script'}-src 'sha256-{digest}'" in policy
    for tag, attrs in page.tags:
        assert "style" not in attrs, "the policy would refuse an inline style"
        assert not any(name.startswith("on") for name in attrs)
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "action"):
            assert attrs.get(name, "#").startswith("#")
    assert not re.search(r"url\(|@import|https?://", "".join(code for kind, code in page.scripts if kind == "style"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives_as_text_everywhere(text, findings, tmp_path):
    where = dict.fromkeys(("groups", "attribute", "dataset", "model", "suite", "order", "method", "note"), text)
    free = {
        "test": text,
        "task": text,
        "query": text,
        "label": text,
        "x": text,
        "repair": text,
        "modality": text,
        text: text,
    }
    rows = [
        replace(r, **where, extra={**free, "category": text, "chance": 0.5}, arm=arm, metric=metric, unit=unit)
        for r in findings[:1]
        for arm in ("before", "after", "difference")
        for metric, unit in (("effect_size", text), ("accuracy", "share"), ("max_skew", "nats"), ("harm_rate", "share"),
                             ("probe_accuracy", "share"), ("slope", text), (text, text))
    ]  # fmt: skip
    table = Findings(rows, {text: {text: [text, {text: text}]}, "treated_attribute": text, "name": text})
    html = page_of(table, tmp_path, title=text)
    page = Page(html)
    assert page.problems == []
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not any(tag == "img" for tag, _ in page.tags)
    assert " ".join(text.split()) in page.text
    assert html.count("</script>") == 2
    data = next(code for _, code in page.scripts if code.startswith('{"runs"'))
    assert "<" not in data
    assert unpack(json.loads(data)["runs"][0])["findings"] == table.records()


def unpack(run):
    """What page.js does, written again: the findings file as text, then parsed."""
    records = []
    for row, order in enumerate(run["order"]):
        columns = [run["columns"][i] for i in run["orders"][order]]
        cells = [(c["name"], c["texts"][c.get("index", {row: 0})[row]]) for c in columns]
        records.append("{" + ",".join(f"{name}:{text}" for name, text in cells) + "}")
    return json.loads(run["head"] + "[" + ",".join(records) + "]}")


def test_packed_findings_unpack_to_the_same_numbers(findings):
    assert unpack(pack(findings)) == json.loads(findings.to_json())
    size = len(json.dumps(pack(findings)))
    assert size < len(findings.to_json()) / 2


def test_packing_keeps_what_a_browser_would_round():
    rows = [
        Finding("a", 1.0, "u", 1, note="x", seed=2**63 - 1, extra={"k": 2**53 + 1, "flag": True, "one": 1}),
        Finding("b", 0.1 + 0.2, "u", 1, note="x"),
        Finding("c", math.nan, "u", 0, note="x", extra={"k": 1.0}),
    ]
    texts = {t for c in pack(Findings(rows))["columns"] for t in c["texts"]}
    assert {str(2**63 - 1), str(2**53 + 1), "0.30000000000000004", "true", "1", "1.0", "null"} <= texts


def test_equal_findings_give_equal_bytes(make_findings, tmp_path):
    first = report(make_findings(), tmp_path / "a")
    second = report(make_findings(), tmp_path / "b")
    assert first.name == "report.html"
    assert first.read_bytes() == second.read_bytes()
    assert str(tmp_path) not in first.read_text(encoding="utf-8")


def many(count):
    metrics = (
        ("effect_size", "nats"),
        ("accuracy", "share"),
        ("max_skew", "nats"),
        ("harm_rate", "share"),
        ("moon", "u"),
    )
    rows = []
    for i in range(count):
        value = abs(math.sin(i)) / 3
        metric, unit = metrics[i % 5]
        query = f"a photo of a person who is number {i % 97}"
        rows.append(
            Finding(
                metric, value, unit, 1000 + i, value - 0.1, value + 0.1, 0.95, "bca", value, min(1.0, 3 * value),
                groups=f"group {i % 37} & band {i % 9}", attribute=f"attribute {i % 11}", seed=i,
                config_hash="c0ffee" * 5, model="open_clip:ViT-B-32/laion2b", dataset="folder:here",
                pair_id=f"pair-{i // 3}",
                arm=("before", "after", "difference")[i % 3], note="fewer than 30 images" if i % 4 == 0 else "",
                extra={"task": f"task number {i % 53}", "query": query, "repair": "orthogonal" if i % 3 else ""},
            )
        )  # fmt: skip
    return Findings(rows, {"name": "many"})


def test_thousands_of_findings_stay_under_three_megabytes_and_none_is_lost(tmp_path):
    table = many(5000)
    html = page_of(table, tmp_path)
    assert len(html.encode()) < 3_000_000
    shown = re.search(
        r"The table shows the first ([\d,]+) of 5,000 findings; the JSON download holds all of them", html
    )
    assert html.count("<tr>") >= int(shown[1].replace(",", "")) > 300
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1]
    assert unpack(json.loads(data)["runs"][0])["findings"] == table.records()


def test_several_runs_stand_side_by_side(make_findings, tmp_path):
    runs = [make_findings(model="open_clip:A"), make_findings(model="open_clip:B", damage=0.5)]
    page = Page(page_of(runs, tmp_path))
    assert page.problems == []
    assert "Comparison of 2 runs" in page.text
    for label in ("open_clip:A: before", "open_clip:B: after orthogonal"):
        assert label in page.text
    assert [a["download"] for t, a in page.tags if t == "a" and "data-run" in a] == [
        "findings-open_clip-A.json",
        "findings-open_clip-B.json",
    ]


def test_runs_may_be_files_and_take_given_names(findings, predictions, tmp_path):
    paths = [
        findings.write(tmp_path / "one" / "findings.json"),
        predictions.write(tmp_path / "two" / "findings.parquet"),
    ]
    page = Page(page_of(paths, tmp_path, names=["first", "first"]))
    assert "first (1)" in page.text
    assert "first (2)" in page.text
    assert "two" in Page(page_of(paths, tmp_path)).text


@pytest.mark.parametrize(("findings", "options", "message"), [
    (Findings(), {}, "no finding to report"),
    ([], {}, "no finding to report"),
    ("nowhere.json", {}, "no such file"),
    ([Findings([Finding("a", 1, "u", 1, note="x")])], {"names": ["a", "b"]}, "2 names for 1 run"),
])  # fmt: skip
def test_what_cannot_be_reported_is_refused_and_leaves_nothing(findings, options, message, tmp_path):
    with pytest.raises(FindingsError, match=message):
        report(findings, tmp_path / "out.html", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_also_the_verb(findings, tmp_path):
    import fairvl.report.check  # importing a submodule must not hide the verb

    assert fairvl.report(findings, tmp_path).is_file()


@pytest.mark.parametrize(
    ("metric", "extra"),
    [("accuracy", {"task": "t"}), ("harm_rate", {"label": "l"}), ("max_skew", {"query": "q"}), ("own_metric", {})],
)
@pytest.mark.parametrize("count", [8, 12])
def test_charts_without_room_are_named_and_counted(tmp_path, metric, extra, count):
    rows = [
        Finding(
            f"{metric}_{i}" if metric == "own_metric" else metric, 0.5, "share", 50, 0.4, 0.6, 0.95,
            groups="g", attribute=f"attribute{i}", extra=extra,
        )
        for i in range(count)
    ]  # fmt: skip
    text = Page(report(Findings(rows), tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert (f"{count - 8} of {count} charts are left out" in text) == (count > 8)
