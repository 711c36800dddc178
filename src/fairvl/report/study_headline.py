"""What a study says, in plain words and no more."""

from __future__ import annotations

import math

from ..findings import Finding
from .pairing import Comparison
from .study_rows import SCOPES, factor_name, rows_of, scope_name, share_text
from .study_sections import TOGETHER
from .study_words import STUDY
from .summary import Card, Headline
from .vocabulary import interval_text, number, percent, plural, value_text

SIGNIFICANT = 0.05


def is_study(comparison: Comparison) -> bool:
    """Whether the first run is a study: most of its metrics are about models, not of one model."""
    return any(row.metric in STUDY for row in comparison.runs[0].findings)


def study_headline(comparison: Comparison) -> Headline:
    """Headline, cards and sentences of the first run."""
    run = comparison.runs[0]
    shares, means, checked = rows_of(run, "variance_share"), rows_of(run, "model_mean"), rows_of(run, "claim")
    count = len({row.model for row in means}) or max((row.n for row in shares), default=0)
    text, sentences, cards = "", [], []
    if count:
        cards.append(Card("Models", f"{count}", _tests(rows_of(run, "test_mean"))))
    if shares:
        text, sentence, card = _factor(shares, count)
        sentences.append(sentence)
        cards.append(card)
    for part in (_filtering(rows_of(run, "filtering_contrast")), _performance(rows_of(run, "correlation"))):
        if part is not None:
            sentences.append(part[0])
            cards.append(part[1])
    if checked:
        differ = sum(row.extra.get("verdict") == "differs" for row in checked)
        told = sum(row.extra.get("verdict") in ("differs", "recomputed") for row in checked)
        said = f"{differ} of {told} published numbers that can be recomputed differ from what their own cells give"
        detail = f"of {told} that can be recomputed, {len(checked)} in all"
        cards.append(Card("Published numbers that differ", f"{differ}", detail, "bad" if differ else "good"))
        if text:
            sentences.append(f"{said}.")
        text = text or said
    if noted := rows_of(run, "warning"):
        sentences.append(f"{plural(len(noted), 'warning')} about the design: read them before the numbers.")
    if not text:
        text = f"A study of {plural(count, 'model')}" if count else f"{plural(len(run.findings), 'finding')} of a study"
    return Headline(f"{text}.", tuple(sentences), tuple(cards[-4:]))


def _tests(rows: list[Finding]) -> str:
    return f"{plural(len(rows), 'test')} of association" if rows else "each is one observation"


def _first(rows: list[Finding]) -> list[Finding]:
    """Rows of the first scope that occurs: social tests before all others."""
    present = {str(row.extra.get("scope") or "") for row in rows}
    scope = next((name for name in SCOPES if name in present), "")
    return [row for row in rows if str(row.extra.get("scope") or "") in (scope, "")]


def _factor(rows: list[Finding], count: int) -> tuple[str, str, Card]:
    alone = [r for r in _first(rows) if r.extra.get("kind") == "marginal" and math.isfinite(r.value)]
    if not alone:
        return (
            f"A study of {plural(count, 'model')}",
            "No share of variance could be estimated.",
            Card("Factor", "none", ""),
        )
    top = max(alone, key=lambda row: row.value)
    scope = scope_name(str(top.extra.get("scope") or "")).lower()
    name, p = factor_name(str(top.extra.get("factor"))), top.p if top.p_adjusted is None else top.p_adjusted
    ends = share_text(top).removeprefix(percent(top.value)).strip()
    card = Card(f"Explained by {name}", percent(top.value), f"of the variance between models, {scope} {ends}".rstrip())
    if p is None or p > SIGNIFICANT:
        text = f"No factor clearly explains how {plural(count, 'model')} differ in bias"
        return text, f"The largest share, {share_text(top)}, goes with {name} ({scope}); it may be chance.", card
    text = (
        f"{name.capitalize()} goes with {percent(top.value)} of the variance in bias between {plural(count, 'model')}"
    )
    sentence = f"On {scope}, {name} alone explains {share_text(top)} of the variance between the models’ mean d."
    rest = [
        r for r in _first(rows) if r.extra.get("kind") == "unique" and r.extra.get("factor") == top.extra.get("factor")
    ]
    if rest and math.isfinite(rest[0].value):
        sentence = sentence.removesuffix(".") + f", and {share_text(rest[0])} beyond all other factors."
    return text, sentence, card


def _filtering(rows: list[Finding]) -> tuple[str, Card] | None:
    for kind in ("within families", "adjusted", "marginal"):
        for row in _first(rows):
            if row.extra.get("kind") == kind and math.isfinite(row.value):
                clear = row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)
                ends = f" ({interval_text(row)})" if interval_text(row) else ""
                side = "above" if row.value > 0 else "below"
                said = (
                    f"Models trained on filtered data lie {number(abs(row.value))} {side} "
                    f"unfiltered ones in d{ends}, {kind}" + ("." if clear else "; the difference may be nothing.")
                )
                return said, Card("Filtered minus unfiltered", value_text(row), f"difference in d, {kind}{ends}")
    return None


def _performance(rows: list[Finding]) -> tuple[str, Card] | None:
    cells = [r for r in _first(rows) if r.extra.get("kind") == "pearson" and math.isfinite(r.value)]
    single = [r for r in cells if r.extra.get("topic") != TOGETHER]
    if not single:
        return None
    held = [r for r in single if _clear(r)]
    scope, top = scope_name(str(single[0].extra.get("scope") or "")).lower(), max(single, key=lambda r: abs(r.value))
    where = f"{top.extra.get('topic')}, {top.order}".rstrip(", ")
    ends = f" ({interval_text(top)})" if interval_text(top) else ""
    said = (
        f"d goes with downstream performance in {len(held)} of {len(single)} cells of {scope} after correction; the "
        f"strongest is r = {number(top.value)}{ends} in {where}."
    )
    return said, Card("Strongest correlation with performance", f"r = {number(top.value)}", f"{where}{ends}")


def _clear(row: Finding) -> bool:
    p = row.p if row.p_adjusted is None else row.p_adjusted
    return p is not None and p <= SIGNIFICANT
