"""Findings written by hand that use the whole vocabulary; every number is made up."""

import math

import pytest

from fairvl.findings import Finding, Findings

REPAIRS = ("orthogonal", "calibrated", "random (control)")
LEFT = {"orthogonal": 0.25, "calibrated": 0.18, "random (control)": 0.97}


def _three(metric, unit, before, after, half, *, n, change_half=None, **columns):
    """Before, and after and difference for each repair; `after` maps a repair to its value."""
    extra = columns.pop("extra", {})
    about = [columns.get(name, "") for name in ("groups", "attribute", "order")]
    pair = f"{metric}/{'/'.join(about)}/{sorted(extra.items())}"
    common = {"level": 0.95, "method": "bca", "pair_id": pair, "seed": 7, "config_hash": "c0ffee" * 5, **columns}
    rows = [
        Finding(
            metric, before, unit, n, before - half, before + half, arm="before", extra={**extra, "repair": ""}, **common
        )
    ]
    p, p_adjusted = common.pop("p", None), common.pop("p_adjusted", None)
    for repair, value in after.items():
        tag = {**extra, "repair": repair}
        later = {} if p is None else {"p": min(1.0, p + 0.2), "p_adjusted": min(1.0, p_adjusted + 0.4)}
        rows.append(
            Finding(metric, value, unit, n, value - half, value + half, arm="after", extra=tag, **common, **later)
        )
        change, width = value - before, half * 0.6 if change_half is None else change_half
        rows.append(
            Finding(metric, change, unit, n, change - width, change + width, arm="difference", extra=tag, **common)
        )
    return rows


def full_findings(model="world:clip", damage=1.0, left=LEFT):
    where = {
        "model": model,
        "dataset": "world:portraits?n=5000&bias=0.9&seed=1",
        "suite": "core-v1",
        "suite_version": "1",
    }
    rows = []
    tests = [
        ("career and family", "text-text", 1.41, 0.0003),
        ("science and arts", "text-text", 1.12, 0.002),
        ("leader and assistant", "text-text", 0.87, 0.011),
        ("mechanic faces", "image-text", 1.63, 0.0001),
        ("nurse faces", "image-text", -1.22, 0.001),
        ("doctor texts", "text-image", 0.94, 0.02),
        ("portraits at work", "image-image", 0.55, 0.09),
    ]
    for name, order, d, p in tests:
        rows += _three(
            "effect_size",
            "standard deviations",
            d * damage,
            {r: d * damage * k for r, k in left.items()},
            0.3,
            n=50,
            change_half=0.15,
            order=order,
            attribute="gender",
            p=p,
            p_adjusted=min(1.0, p * 7),
            **where,
            extra={
                "test": name,
                "category": "social",
                "role": "fairness",
                "x": "men",
                "y": "women",
                "a": "left",
                "b": "right",
            },
        )
    for name, d in (("flowers and insects", 1.52), ("glasses and hats", 1.74)):
        rows += _three(
            "effect_size",
            "standard deviations",
            d,
            dict.fromkeys(left, d - 0.02),
            0.25,
            n=50,
            change_half=0.06,
            order="text-text",
            attribute="",
            p=0.0001,
            p_adjusted=0.0007,
            **where,
            extra={"test": name, "category": "control", "role": "diagnostic", "x": "X", "y": "Y", "a": "A", "b": "B"},
        )
    tasks = {"glasses": 0.981, "hat": 0.964, "smile": 0.933, "place": 0.957}
    for task, level in tasks.items():
        rows += _three(
            "accuracy",
            "share",
            level,
            dict.fromkeys(left, level - 0.003),
            0.008,
            n=5000,
            change_half=0.004,
            groups="(all)",
            attribute="gender",
            **where,
            extra={"task": task, "role": "utility"},
        )
        for group, shift, n in (("female", 0.006, 2480), ("male", -0.007, 2495), ("(missing)", -0.05, 25)):
            rows += _three(
                "accuracy",
                "share",
                level + shift,
                dict.fromkeys(left, level + shift * 0.8),
                0.6 / math.sqrt(n),
                n=n,
                groups=group,
                attribute="gender",
                **where,
                extra={"task": task, "role": "fairness"},
            )
        for metric, size in (
            ("accuracy_gap", 0.013),
            ("equalized_odds_difference", 0.031),
            ("equalized_odds_difference_mean", 0.022),
            ("equal_opportunity_difference", 0.027),
        ):
            rows += _three(
                metric,
                "share",
                size,
                {r: size * (0.6 + 0.4 * k) for r, k in left.items()},
                0.009,
                n=5000,
                attribute="gender",
                **where,
                extra={"task": task, "role": "fairness"},
            )
        rows += _three(
            "worst_group_accuracy",
            "share",
            level - 0.007,
            dict.fromkeys(left, level - 0.006),
            0.01,
            n=5000,
            attribute="gender",
            **where,
            extra={"task": task, "role": "fairness"},
        )
    queries = [
        "doctor",
        "nurse",
        "mechanic",
        "teacher",
        "chef",
        "pilot",
        "clerk",
        "gardener",
        "leader",
        "assistant",
        "a person who is good at numbers",
        "a kind person",
        "a strong person",
        "an honest person",
    ]
    for i, query in enumerate(queries):
        skew = 0.69 - 0.045 * i
        rows += _three(
            "max_skew",
            "nats",
            skew,
            {r: skew * (0.2 + 0.8 * k) for r, k in left.items()},
            0.12,
            n=5000,
            attribute="gender",
            **where,
            extra={"query": query, "k": 100, "target": "population", "role": "fairness"},
        )
        if i < 4:
            rows += _three(
                "ndkl",
                "nats",
                0.1 + 0.01 * i,
                {r: 0.1 * k for r, k in left.items()},
                0.02,
                n=5000,
                attribute="gender",
                **where,
                extra={"query": query, "target": "population", "role": "fairness"},
            )
            rows += _three(
                "bias_at_k",
                "share",
                0.3 - 0.15 * i,
                {r: (0.3 - 0.15 * i) * k for r, k in left.items()},
                0.07,
                n=100,
                attribute="gender",
                **where,
                extra={"query": query, "k": 100, "target": "population", "role": "fairness"},
            )
            rows.append(
                Finding(
                    "min_skew",
                    math.nan,
                    "nats",
                    5000,
                    note="a group is absent from the first 100",
                    arm="before",
                    attribute="gender",
                    **where,
                    extra={"query": query, "k": 100, "target": "population", "role": "fairness"},
                )
            )
    rows += _three(
        "mean_max_skew",
        "nats",
        0.40,
        {r: 0.40 * (0.2 + 0.8 * k) for r, k in left.items()},
        0.07,
        n=14,
        groups="(all queries)",
        attribute="gender",
        **where,
        extra={"k": 100, "target": "population", "role": "fairness"},
    )
    for modality, after in (
        ("text", {"orthogonal": 0.52, "calibrated": 0.55, "random (control)": 0.98}),
        ("image", dict.fromkeys(left, 0.991)),
    ):
        rows += _three(
            "probe_accuracy",
            "share",
            0.99,
            {r: after.get(r, 0.99) for r in left},
            0.01,
            n=5000,
            attribute="gender",
            **where,
            extra={"modality": modality, "chance": 0.5, "role": "diagnostic"},
        )
    for label in ("criminal", "thief", "animal"):
        for group, rate in (("female", 0.012), ("male", 0.034)):
            rows += _three(
                "harm_rate",
                "share",
                rate,
                dict.fromkeys(left, rate * 0.9),
                0.006,
                n=2490,
                groups=group,
                attribute="gender",
                **where,
                extra={"label": label, "role": "fairness"},
            )
    rows += _three(
        "slope",
        "per unit",
        -0.0021,
        dict.fromkeys(left, -0.002),
        0.0009,
        n=5000,
        attribute="age",
        **where,
        extra={"task": "glasses", "role": "fairness"},
    )
    rows += _three(
        "recall_at_k",
        "share",
        0.74,
        dict.fromkeys(left, 0.735),
        0.012,
        n=5000,
        change_half=0.006,
        **where,
        extra={"k": 10, "role": "utility"},
    )
    rows.append(Finding("moon_phase", 0.3, "phases", 12, 0.1, 0.5, 0.95, arm="before", **where))
    rows.append(
        Finding(
            "effect_size",
            math.nan,
            "standard deviations",
            8,
            note="all associations are equal",
            arm="before",
            order="text-text",
            attribute="gender",
            **where,
            extra={"test": "constant", "category": "social", "role": "fairness"},
        )
    )
    settings = {
        "name": model,
        "treated_attribute": "gender",
        "encoder": {
            "library": "transformers",
            "name": model,
            "revision": "1",
            "preprocessing": "9f2c" * 8,
            "dim": 128,
            "dtype": "float32",
        },
        "dataset": {"name": where["dataset"], "rows": 5000, "fingerprint": "ab12" * 16},
        "suite": {"name": "core-v1", "version": 1, "banks": ["names-v1", "concepts-v1", "occupations-v2"]},
        "repairs": [{"name": r, "rank": 2, "attribute": "gender"} for r in left],
        "bootstrap": {"draws": 2000, "level": 0.95, "method": "bca"},
        "seed": 7,
        "threads": 1,
        "note": None,
        "empty": {},
    }
    return Findings(rows, settings)


@pytest.fixture
def findings():
    """A repaired run with two repairs and the random control."""
    return full_findings()


@pytest.fixture
def unrepaired():
    """The same run before any repair."""
    table = full_findings()
    return Findings([row for row in table if row.arm == "before"], table.settings).with_columns(arm="", pair_id="")


@pytest.fixture
def predictions():
    """Stored predictions only: accuracy by group and its gap, no model."""
    rows = [
        Finding(
            "accuracy",
            0.912,
            "share",
            10954,
            0.907,
            0.917,
            0.95,
            groups="(all)",
            method="cell counts",
            extra={"task": "gender"},
        )
    ]
    for i, group in enumerate(
        ("Black", "East Asian", "Indian", "Latino", "Middle Eastern", "Southeast Asian", "White")
    ):
        value, n = 0.86 + 0.012 * i, 1500 if i else 21
        rows.append(
            Finding(
                "accuracy",
                value,
                "share",
                n,
                value - 0.02,
                value + 0.02,
                0.95,
                groups=group,
                attribute="race",
                method="cell counts",
                dataset="faces.csv",
                extra={"task": "gender", "role": "fairness"},
            )
        )
    rows.append(
        Finding(
            "accuracy_gap",
            0.06,
            "share",
            10954,
            0.04,
            0.08,
            0.95,
            attribute="race",
            method="cell counts",
            dataset="faces.csv",
            extra={"task": "gender", "role": "fairness"},
        )
    )
    return Findings(rows, {"command": "fairvl audit --predictions faces.csv"})


@pytest.fixture
def make_findings():
    """The factory behind `findings`, for variants."""
    return full_findings
