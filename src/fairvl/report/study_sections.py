"""Sections of a study: the models, modality, performance, the tests, published claims, warnings.

The rows come straight from each run: a study has no before and after, so several studies stand one after another.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from ..findings import Finding
from .charts import Axis, Line, bars, forest
from .figures import Figure, Section, left_out, text_of, tip
from .pairing import Comparison, Series
from .study_charts import Dot, HeatCell, HeatRow, caterpillar, decimals, funnel, heat_map, stars, table
from .study_rows import PLAIN, by, by_scope, free, mark_of, reading, runs_with, scope_name
from .vocabulary import listing, percent, plural, spaced

MOST_MODELS = 600
MOST_CLAIMS = 120
MOST_WARNINGS = 40
TOGETHER = "(all)"
LOOKS = (("t1", "dot"), ("t2", "square"), ("t3", "triangle"), ("t4", "diamond"), ("t5", "cross"))
REST = Series(0, "", "other", "t0", "ring")
COLOURS = ("dataset_family", "filtering", "architecture_family")
VERDICTS = {"differs": "≠ differs", "recomputed": "✓ recomputed"}


def models(comparison: Comparison) -> Section | None:
    """Caterpillar of the models' means, and where the variance lies."""
    figures = []
    for rows, suffix in runs_with(comparison, "model_mean"):
        for scope, members in by_scope(rows).items():
            members = sorted(members, key=lambda row: -reading(row))
            shown = (
                members
                if len(members) <= MOST_MODELS
                else [*members[: MOST_MODELS // 2], *members[-MOST_MODELS // 2 :]]
            )
            looks, legend, factor = _looks(members)
            lines = []
            source = _shared_source(shown)
            for row in shown:
                look = looks.get(free(row, factor), REST) if factor else PLAIN
                lines.append(
                    Line(
                        row.model.removeprefix(source),
                        marks=(replace(mark_of(look, row), tip=f"{row.model}: {tip(look, row)}"),),
                    )
                )
            chart = caterpillar(
                lines,
                Axis("mean d over tests"),
                title=f"Mean effect size of each model, {scope_name(scope).lower()}",
                description=f"Caterpillar plot of {len(members)} models from the largest to the smallest mean.",
            )
            caption = "One row per model, the largest mean on top. "
            caption += f"Looks: {spaced(factor)}. " if factor else ""
            caption += left_out(len(members), len(shown), "models", "the first and the last, together").strip()
            title = f"{plural(len(members), 'model')}, {scope_name(scope).lower()}{suffix}"
            figures.append(Figure(title, chart, caption, legend, folded=scope != _first_scope(rows)))
    for rows, suffix in runs_with(comparison, "variance_component"):
        lines = []
        for scope, members in by_scope(rows).items():
            lines.append(Line(scope_name(scope), heading=True))
            names = {"model": "between models", "test": "between tests", "residual": "left over"}
            for row in members:
                share = row.extra.get("share")
                detail = f"{percent(float(share))} of the sum" if isinstance(share, (int, float)) else ""
                name = free(row, "component")
                lines.append(Line(names.get(name, name), detail, (mark_of(PLAIN, row),)))
        chart = bars(
            lines,
            Axis("variance of d"),
            title="Where the variance of d lies",
            description="Bars of the variance between models, between tests, and left over.",
        )
        figures.append(Figure(f"Where the variance lies{suffix}", chart, folded=True))
    if not figures:
        return None
    lead = "Each model’s mean effect size over the tests. Where intervals overlap, the order of models may be chance."
    return Section("study-models", "The models", lead, tuple(figures), "Models")


def _shared_source(rows: list[Finding]) -> str:
    """The "open_clip:" that all names begin with; it would only take room."""
    sources = {row.model.partition(":")[0] for row in rows if ":" in row.model}
    return f"{sources.pop()}:" if len(sources) == 1 and all(":" in row.model for row in rows) else ""


def _first_scope(rows: list[Finding]) -> str:
    return next(iter(by_scope(rows)))


def _looks(rows: list[Finding]) -> tuple[dict[str, Series], tuple[Series, ...], str]:
    """A look per level of the first factor that has some: the five largest levels, and one look for the rest."""
    for factor in COLOURS:
        counts = Counter(free(row, factor) for row in rows if free(row, factor))
        if len(counts) > 1:
            largest = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: len(LOOKS)]]
            looks = {name: Series(0, "", name, *look) for name, look in zip(largest, LOOKS, strict=False)}
            legend = (*looks.values(), *((REST,) if len(counts) > len(looks) else ()))
            return looks, legend, factor
    return {}, (), ""


def orders(comparison: Comparison) -> Section | None:
    """d and its variance by modality order, and their paired comparisons."""
    figures = []
    for rows, suffix in runs_with(comparison, "order_mean", "order_variance"):
        body = []
        for scope, members in by_scope(rows).items():
            for order, found in by(members, "order").items():
                by_metric = {row.metric: row for row in found}
                texts = [text_of(by_metric[m]) if m in by_metric else "" for m in ("order_mean", "order_variance")]
                body.append((order, scope_name(scope), *texts, f"{found[0].n}"))
        caption = "Targets first: image-text has images as targets and texts as attributes."
        chart = table(("Order", "Tests", "Mean d (interval)", "Variance between models (interval)", "Models"), body,
                      caption=caption, numbers=(4,))  # fmt: skip
        figures.append(Figure(f"By modality order{suffix}", chart))
    pairs = (
        ("order_mean_difference", "Differences between orders", Axis("difference in mean d"), None),
        ("order_variance_ratio", "Ratios of variances", Axis("ratio", include=(1.0,), zero=False), 1.0),
    )
    for metric, title, axis, reference in pairs:
        for rows, suffix in runs_with(comparison, metric):
            lines = []
            for scope, members in by_scope(rows).items():
                lines.append(Line(scope_name(scope), heading=True))
                for row in members:
                    sign = "−" if metric.endswith("difference") else "/"
                    name = f"{row.order} {sign} {free(row, 'versus')}"
                    lines.append(Line(name, f"{plural(row.n, 'model')}", (mark_of(PLAIN, row),), reference=reference))
            chart = forest(lines, axis, title=title, description=f"Forest plot: {title.lower()}, paired over models.")
            caption = "The same models and the topics that both orders have."
            figures.append(Figure(title + suffix, chart, caption, folded=metric != pairs[0][0]))
    if not figures:
        return None
    lead = "Does bias differ between texts and images? The same models answered in every order, so they are paired."
    return Section("study-orders", "Modality", lead, tuple(figures), "Modality")


def performance(comparison: Comparison) -> Section | None:
    """Heat map of correlations with downstream scores, and Steiger's tests."""
    figures: list[Figure] = []
    for rows, suffix in runs_with(comparison, "correlation"):
        for score, of_score in by(rows, "score").items():
            kinds = by(of_score, "kind")
            for kind in sorted(kinds, key=lambda kind: (kind != "pearson", kind)):
                figures.append(_heat(kinds[kind], score, kind, suffix, folded=bool(figures)))
    for rows, suffix in runs_with(comparison, "steiger"):
        lines = []
        for scope, members in by_scope(rows).items():
            lines.append(Line(scope_name(scope), heading=True))
            for row in members:
                name, score = f"{row.order} − {free(row, 'versus')}", free(row, "score")
                lines.append(Line(name, f"{score}, {plural(row.n, 'model')}".lstrip(", "), (mark_of(PLAIN, row),)))
        chart = forest(
            lines,
            Axis("difference of correlations"),
            title="Do orders differ in how bias goes with performance?",
            description="Forest plot of differences between dependent correlations.",
        )
        figures.append(Figure(f"Differences between the orders’ correlations{suffix}", chart, folded=True))
    if not figures:
        return None
    lead = (
        "Whether better models are more biased ones. n is the number of models. Social and control tests stand apart: "
        "knowing that flowers are pleasant is competence, the same about people is not."
    )
    return Section("study-performance", "Bias and performance", lead, tuple(figures), "Performance")


def _heat(rows: list[Finding], score: str, kind: str, suffix: str, *, folded: bool) -> Figure:
    order_names = list(by(rows, "order"))
    body: list[HeatRow] = []
    scopes = by_scope(rows)
    apart = any(scope in ("social", "control") for scope in scopes)
    for scope, members in scopes.items():
        topics = by(members, "topic")
        if apart and scope == "all":  # its topics stand above already
            topics = {name: found for name, found in topics.items() if name == TOGETHER}
        if not topics:
            continue
        body.append(HeatRow(scope_name(scope)))
        for topic in sorted(topics, key=lambda name: name == TOGETHER):
            cells = {row.order: _heat_cell(row) for row in topics[topic]}
            name = "mean over topics" if topic == TOGETHER else topic
            body.append(HeatRow(name, tuple(cells.get(order) for order in order_names), strong=topic == TOGETHER))
    sizes = sorted({row.n for row in rows})
    span = " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1])))
    title = f"{kind.capitalize()} correlation of d with {score or 'performance'}"
    chart = heat_map(
        body,
        [name or "all orders" for name in order_names],
        title=title,
        description="Heat map of correlations by topic and modality order; stars after correction.",
    )
    held = sorted({free(row, "controls") for row in rows if free(row, "controls")})
    caption = (
        f"n = {span} models. * p < 0.05, ** p < 0.01, *** p < 0.001, all after correction over the cells; ° below "
        "0.05 only before it. " + (f"Held fixed: {'; '.join(held)}." if held else "")
    )
    return Figure(title + suffix, chart, caption.strip(), folded=folded)


def _heat_cell(row: Finding) -> HeatCell:
    if math.isnan(row.value):
        return HeatCell(row.value, "undefined", row.note)
    judged = row.p if row.p_adjusted is None else row.p_adjusted
    mark = stars(judged)
    if not mark and row.p is not None and row.p < 0.05:
        mark = "°"
    return HeatCell(row.value, f"{decimals(row.value, 2)}{mark}", tip(PLAIN, row))


def tests(comparison: Comparison) -> Section | None:
    """Funnel of stimuli against d, and every test's mean over models."""
    figures = []
    for rows, suffix in runs_with(comparison, "test_mean"):
        look = {"control": Series(0, "", "control tests", "t3", "triangle")}
        social = Series(0, "", "social tests", "t1", "dot")
        dots = []
        for row in rows:
            size = _number(row, "stimuli")
            series = look.get(free(row, "category"), social if free(row, "category") else PLAIN)
            if size > 0 and math.isfinite(row.value):
                told = replace(mark_of(series, row), tip=f"{_test_name(row)}: {tip(series, row)}; {size:g} stimuli")
                dots.append(Dot(told, size, _number(row, "sd"), _number(row, "null_sd")))
        if dots:
            used = {dot.mark.series for dot in dots}
            chart = funnel(
                dots,
                Axis("mean d over models"),
                title="Stimuli against effect size",
                description=f"Funnel of {len(dots)} tests: number of stimuli against mean effect size.",
            )
            caption = (
                "The line through a mark is one standard deviation between models on either side. Between the dashed "
                "lines lies the d of 95 in 100 models when labels mean nothing: few stimuli scatter widely."
            )
            legend = tuple(series for series in (social, look["control"]) if series in used)
            figures.append(Figure(f"Funnel: stimuli against d{suffix}", chart, caption, legend))
        lines: list[Line] = []
        for scope, members in by_scope(rows).items():
            lines.append(Line(scope_name(scope), heading=True))
            lines += [Line(_test_name(row), f"{plural(row.n, 'model')}", (mark_of(PLAIN, row),)) for row in members]
        chart = forest(
            lines, Axis("mean d over models"), title="Mean of each test", description="Forest plot of tests."
        )
        figures.append(Figure(f"Each test over the models{suffix}", chart, folded=bool(dots)))
    if not figures:
        return None
    lead = "The tests themselves: how large d is on average, how much it rests on, and how that compares with chance."
    return Section("study-tests", "The tests", lead, tuple(figures), "Tests")


def _number(row: Finding, name: str) -> float:
    value = row.extra.get(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _test_name(row: Finding) -> str:
    name = free(row, "test") or free(row, "topic") or "test"
    return f"{name} ({row.order})" if row.order else name


def claims(comparison: Comparison) -> Section | None:
    """Published numbers beside recomputed ones, with verdicts."""
    figures = []
    for rows, suffix in runs_with(comparison, "claim"):
        place = {"differs": 0, "recomputed": 1}
        rows = sorted(rows, key=lambda row: place.get(free(row, "verdict"), 2))
        body = []
        for row in rows[:MOST_CLAIMS]:
            digits, printed = row.extra.get("decimals"), row.extra.get("printed")
            digits = digits if isinstance(digits, int) else 2
            shown = decimals(float(printed), digits) if isinstance(printed, (int, float)) else str(printed or "")
            value = "" if math.isnan(row.value) else _recomputed(row.value, digits)
            verdict = free(row, "verdict")
            why = row.note.removeprefix(verdict).lstrip("; ")
            body.append((free(row, "statement"), shown, value, VERDICTS.get(verdict, f"– {verdict}"), why))
        counts = Counter(free(row, "verdict") for row in rows)
        words = {"differs": "differ"}
        told = listing([f"{count} {words.get(verdict, verdict)}" for verdict, count in counts.items()])
        head = ("Statement", "Printed", "Recomputed", "Verdict", "Remark")
        chart = table(head, body, caption=f"{plural(len(rows), 'published number')}: {told}.", numbers=(1, 2))
        caption = left_out(len(rows), len(body), "claims", "the first").strip()
        figures.append(Figure(f"Published beside recomputed{suffix}", chart, caption))
    if not figures:
        return None
    lead = (
        "Numbers as a publication prints them, and what its own cells give. Where a number rests on rows that were not "
        "published, nobody can recompute it, and the table says so."
    )
    return Section("study-claims", "Published claims", lead, tuple(figures), "Claims")


def _recomputed(value: float, digits: int) -> str:
    """Two decimals more than were printed, unless they are zeros."""
    text = decimals(value, digits + 2)
    return decimals(value, digits) if text.endswith("00") else text


def warnings(comparison: Comparison) -> Section | None:
    """What a reader must know about the design."""
    figures = []
    for rows, suffix in runs_with(comparison, "warning"):
        body = [(free(row, "kind"), spaced(free(row, "factor")), row.note) for row in rows[:MOST_WARNINGS]]
        chart = table(
            ("Warning", "Factor", "What it means here"), body, caption="Limits of this design, found in the data."
        )
        figures.append(
            Figure(f"{plural(len(rows), 'warning')}{suffix}", chart, left_out(len(rows), len(body), "warnings").strip())
        )
    if not figures:
        return None
    lead = "What in the population of models limits the answers above."
    return Section("study-warnings", "Warnings", lead, tuple(figures), "Warnings")
