"""The page docs/first-audit.md: figures from findings, words from page.md.j2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fairvl import Finding, Findings

SMALL = 30
REPAIRS = ("orthogonal", "random (control)")
HELD_OUT = "home and workshop classes: Girl and Boy (held out)"


def write(
    texts: Findings, faces: Mapping[str, Findings], scenes: Findings, emoji: tuple[Findings, Findings],
    untrained: tuple[Findings, Findings], training: Mapping[str, Any], seconds: Mapping[str, float],
    tones: Sequence[str],
) -> str:  # fmt: skip
    """Markdown of the whole page."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    return environment.get_template("page.md.j2").render(
        text=_texts(texts), face=_faces(faces), scene=_scenes(scenes), emoji=_emoji(emoji, untrained, tones),
        training=training, times=", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()),
    )  # fmt: skip


def number(row: Finding, digits: int = 2, percent: bool = False, unit: str = " %") -> str:
    """Value with its interval, "0.64 (−0.02 to 1.08)"; shares as per cent."""

    def text(value: float) -> str:
        rounded = round(100 * value, 1) if percent else round(value, digits)
        return f"{rounded + 0.0:.{1 if percent else digits}f}".replace("-", "−")  # + 0.0: no negative zero

    shown = text(row.value) + (unit if percent else "")
    return shown if row.low is None or row.high is None else f"{shown} ({text(row.low)} to {text(row.high)})"


def ps(row: Finding) -> str:
    """Raw and corrected p-value."""

    def text(p: float | None) -> str:
        return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"

    return text(row.p) if row.p_adjusted is None else f"{text(row.p)} / {text(row.p_adjusted)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def _texts(found: Findings) -> dict[str, Any]:
    test = "home and workshop classes: women and men"

    def effect(name: str, arm: str, repair: str = "") -> Finding:
        repair = repair or ("" if name == test else REPAIRS[0])
        return found.one(metric="effect_size", test=name, arm=arm, repair=repair)

    rows = []
    for name, label in ((test, "Woman, Girl and Man, Boy"), (HELD_OUT, "Girl and Boy, unseen by the repair")):
        first = effect(name, "before")
        rows.append([label, "before", number(first), f"{first.p:.3f}", ""])
        for repair in REPAIRS:
            after, change = effect(name, "after", repair), effect(name, "difference", repair)
            rows.append([label, repair, number(after), f"{after.p:.3f}", number(change)])
    costs = []
    for repair in REPAIRS:
        same = found.one(metric="same_nearest_neighbour", repair=repair, arm="after")
        kept, least = (found.one(metric=m, repair=repair).value for m in ("retained_norm", "smallest_retained_norm"))
        costs.append([repair, number(same, percent=True), str(same.n), f"{kept:.4f}", f"{least:.4f}"])
    named = [
        [r.groups, *(f"{found.one(metric='lean', groups=r.groups, repair=repair).value:+.4f}".replace("-", "−")
                     for repair in ("", *REPAIRS))] for r in found.where(metric="lean", repair="")
    ]  # fmt: skip

    def lean(pair: str, arm: str) -> Finding:
        return found.one(metric="mean_absolute_lean", test=pair, arm=arm, repair="orthogonal")

    cosines = [found.one(metric="cosine", arm=arm, repair="orthogonal").value for arm in ("before", "after")]
    return {
        "before": number(effect(test, "before")), "before_p": f"{effect(test, 'before').p:.3f}",
        "change": number(effect(test, "difference", "orthogonal")), "n": effect(test, "before").n,
        "table": table(["attributes", "repair", "d (95 %)", "p", "paired difference (95 %)"], rows),
        "left": f"{100 * found.one(metric='held_out_spread_left', repair='orthogonal').value:.0f} %",
        "cosines": [f"{value:.3f}" for value in cosines], "things": lean("fitted pair", "before").n,
        "fitted_before": number(lean("fitted pair", "before"), 4),
        "fitted_after": number(lean("fitted pair", "after"), 4),
        "unseen_before": number(lean("held-out pair", "before"), 4),
        "unseen_after": number(lean("held-out pair", "after"), 4),
        "unseen_change": number(lean("held-out pair", "difference"), 4),
        "cost": table(["repair", "same neighbour (95 %)", "n", "length kept, mean", "length kept, least"], costs),
        "named": table(["class", "before", *REPAIRS], named),
    }  # fmt: skip


def _faces(faces: Mapping[str, Findings]) -> dict[str, Any]:
    gender = next(iter(faces.values()))

    def accuracy(found: Findings, attribute: str) -> list[Finding]:
        return list(found.where(metric="accuracy", attribute=attribute))

    by_race = [
        [r.groups, f"{r.n:,}", *(number(found.one(metric="accuracy", attribute="race", groups=r.groups), percent=True)
                                 for found in faces.values())] for r in accuracy(gender, "race")
    ]  # fmt: skip
    everybody = [number(found.one(metric="accuracy", groups="(all)"), percent=True) for found in faces.values()]
    by_race.append(["everybody", f"{gender[0].n:,}", *everybody])
    by_age = [[r.groups, number(r, percent=True), f"{r.n:,}"] for a in ("age", "gender") for r in accuracy(gender, a)]
    worst = []
    for found in faces.values():
        label = f"{found[0].extra['task']}: {found[0].model}"
        for attribute in ("race", "gender", "age"):
            row = found.one(metric="worst_group_accuracy", attribute=attribute)
            gap = found.one(metric="accuracy_gap", attribute=attribute)
            gap_text = f"{number(gap, percent=True, unit=' points')}: {gap.groups}"
            worst.append([label, f"{attribute}: {row.groups}", number(row, percent=True), f"{row.n:,}", gap_text])
            label = ""
        for attribute in ("gender & race", "age & race", "age & gender & race"):
            cells = accuracy(found, attribute)
            large = [r for r in cells if r.n >= SMALL]
            row = min(large, key=lambda r: r.value)
            few = f"{len(cells) - len(large)} of {len(cells)} cells below {SMALL}" if len(cells) > len(large) else ""
            worst.append(["", f"{attribute}: {row.groups}", number(row, percent=True), f"{row.n:,}", few])
    heads = [f"{found[0].extra['task']}: {found[0].model}" for found in faces.values()]
    black = gender.one(metric="accuracy", attribute="race", groups="Black")
    return {
        "overall": everybody[0], "black": number(black, percent=True),
        "by_race": table(["perceived race", "n", *heads], by_race),
        "by_age": table(["group", "accuracy (95 %)", "n"], by_age),
        "worst": table(["predictions", "group", "accuracy (95 %)", "n", "gap to the best, or cells left out"], worst),
    }  # fmt: skip


def _scenes(found: Findings) -> dict[str, Any]:
    matched = {r.extra["test"]: r for r in found.where(metric="matched_difference")}
    rows = []
    for r in found.where(metric="effect_size"):
        pair = matched.get(r.extra["test"])
        inside = [number(pair, 4), ps(pair)] if pair else ["", ""]
        rows.append([str(r.extra["test"]), str(r.extra["category"]), number(r), ps(r), str(r.n), *inside])
    head = ["test", "kind", "d (95 %)", "p / Holm", "n scenarios", "within scenarios (cosine)", "p / Holm"]
    return {
        "table": table(head, rows),
        "probes": _probes(found), "n": next(iter(matched.values())).n,
    }  # fmt: skip


def _probes(found: Findings) -> str:
    return " and ".join(
        f"{r.attribute.replace('_', ' ')} {number(r, percent=True)} (chance {_chance(r)}, n = {r.n})"
        for r in found.where(metric="probe_accuracy")
    )


def _chance(row: Finding) -> str:
    return f"{100 * float(row.extra['chance'] or 0):.0f} %"


def _emoji(
    trained: tuple[Findings, Findings], untrained: tuple[Findings, Findings], tones: Sequence[str]
) -> dict[str, Any]:
    (found, concepts), (found_untrained, concepts_untrained) = trained, untrained
    place = {"(all)": -1} | {tone: code for code, tone in enumerate(tones)}
    accuracy = []
    for task in ("gender", "skin_tone"):
        for r in sorted(concepts.where(task=task), key=lambda r: place.get(r.groups, 9)):
            group = f"largest gap: {r.groups}" if r.metric == "accuracy_gap" else r.groups
            name = f"{task.replace('_', ' ')} (chance {_chance(r)})"
            other = concepts_untrained.where(task=task, metric="accuracy", groups=r.groups)
            without = number(other[0], percent=True) if other else ""
            shown = number(r, percent=True, unit=" points" if r.metric == "accuracy_gap" else " %")
            accuracy.append([name, group, shown, without, str(r.n)])
    tests = [
        [str(r.extra["test"]), str(r.extra["category"]), r.order, number(r), ps(r),
         number(found_untrained.one(metric="effect_size", test=str(r.extra["test"]), order=r.order)), str(r.n)]
        for r in found.where(metric="effect_size")
    ]  # fmt: skip
    skew = [
        [r.attribute.replace("_", " "), number(r),
         number(found_untrained.one(metric="mean_max_skew", attribute=r.attribute)), str(r.n)]
        for r in found.where(metric="mean_max_skew")
    ]  # fmt: skip
    overall = [number(concepts.one(task=task, groups="(all)"), percent=True) for task in ("gender", "skin_tone")]
    return {
        "gender": overall[0], "tone": overall[1], "units": concepts[0].extra["units"], "probes": _probes(found),
        "probes_untrained": _probes(found_untrained),
        "accuracy": table(["zero-shot task", "group", "accuracy (95 %)", "untrained", "n images"], accuracy),
        "tests": table(["association test", "kind", "order", "d (95 %)", "p / Holm", "untrained d", "n units"], tests),
        "skew": table(["attribute", "mean MaxSkew (95 %)", "untrained", "n images"], skew),
    }  # fmt: skip
