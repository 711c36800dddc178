"""How small an effect a permutation test of given sizes can see, and how small its p can get at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ..errors import InputError
from .permutation import Tail, check_tail, smallest_p, two_sample_ps

PowerMethod: TypeAlias = Literal["auto", "noncentral t", "simulation"]

_SMALL_SIDE = 10  # below it the grid of attainable p-values decides, so power is simulated
_SIMULATION_LIMIT = 200_000  # splits counted exactly in a simulation; else 999 random ones


@dataclass(frozen=True)
class Power:
    """Chance that a test of these sizes finds an effect, and what bounds it.

    `effect_size` is the expected association effect size (SD over both sides), `shift` the same as a difference of
    means in standard deviations within a side. `alpha` is the level per test, Bonferroni's correction for `tests` made.
    `p_floor` is the smallest p the sizes allow in this tail; above `alpha` no data can be significant, and `attainable`
    is False.
    """

    power: float
    effect_size: float
    shift: float
    n_x: int
    n_y: int
    alpha: float
    tests: int
    tail: str
    p_floor: float
    attainable: bool
    method: str
    note: str = ""


def power(
    effect_size: float,
    n_x: int,
    n_y: int,
    *,
    alpha: float = 0.05,
    tests: int = 1,
    tail: Tail = "two-sided",
    ddof: int = 1,
    method: PowerMethod = "auto",
    simulations: int = 2000,
    seed: int = 0,
) -> Power:
    """Chance that a permutation test of `n_x` + `n_y` units reaches `alpha` when the true effect size is `effect_size`.

    Associations are supposed normal with equal spread on both sides. Units are what is exchangeable: base words where
    stimuli are sentences.

    Parameters
    ----------
    effect_size
        Expected association effect size, in SDs over both sides together; below its bound (2 for equal large sets).
    n_x, n_y
        Units of the two sides.
    alpha, tests
        Level, and over how many tests it is corrected (Bonferroni, the first step of Holm): the p to reach is
        ``alpha / tests``.
    tail, ddof
        As the test.
    method
        "noncentral t" approximates the permutation test by Student's; "simulation" runs exact tests on drawn
        associations; "auto" simulates below 10 units a side.
    simulations, seed
        For "simulation".

    Raises
    ------
    InputError
        Sizes below 1 (2 in all), an effect size beyond its bound, alpha outside (0, 1).

    Examples
    --------
    >>> round(power(0.8, 20, 20).power, 2)
    0.76
    >>> found = power(1.5, 6, 6, tests=3406)
    >>> found.power, found.attainable
    (0.0, False)
    """
    level = _check_design(n_x, n_y, alpha, tests, tail)
    if ddof not in (0, 1):
        raise InputError(f"ddof={ddof!r}; expected 1 or 0.")
    if method not in get_args(PowerMethod):
        raise InputError(f"method={method!r}; expected one of {get_args(PowerMethod)}.")
    shift = shift_of(effect_size, n_x, n_y, ddof)
    floor = smallest_p(n_x, n_y, tail)
    if method == "auto":
        method = "simulation" if min(n_x, n_y) < _SMALL_SIDE else "noncentral t"
    if floor > level:
        chance = 0.0
    elif method == "simulation":
        chance = _simulated(shift, n_x, n_y, level, tail, simulations, seed)
    else:
        chance = _student(shift, n_x, n_y, level, tail)
    return _answer(chance, effect_size, shift, (n_x, n_y), level, tests, tail, method)


def minimum_detectable_effect(
    n_x: int,
    n_y: int,
    *,
    target_power: float = 0.8,
    alpha: float = 0.05,
    tests: int = 1,
    tail: Tail = "two-sided",
    ddof: int = 1,
    method: PowerMethod = "auto",
    simulations: int = 2000,
    seed: int = 0,
) -> Power:
    """The smallest effect size that a test of these sizes finds with `target_power`; negative for tail="less".

    Parameters and errors as `power`. NaN in `effect_size` when no effect can be found: the smallest attainable p is
    above the level, or the bound of the effect size is reached first.

    Examples
    --------
    >>> round(minimum_detectable_effect(20, 20).effect_size, 2)
    0.83
    >>> minimum_detectable_effect(4, 4, tests=26).note
    'the smallest p of 4 + 4 units is 0.0286; 0.00192 cannot be reached'
    """
    level = _check_design(n_x, n_y, alpha, tests, tail)
    if not 0 < target_power < 1:
        raise InputError(f"target_power={target_power}; expected a number between 0 and 1.")
    if method == "auto":
        method = "simulation" if min(n_x, n_y) < _SMALL_SIDE else "noncentral t"

    upward: Tail = "greater" if tail == "less" else tail

    def chance(shift: float) -> float:
        if method == "simulation":
            return _simulated(shift, n_x, n_y, level, upward, simulations, seed)
        return _student(shift, n_x, n_y, level, upward)

    shift = math.nan
    if smallest_p(n_x, n_y, tail) <= level:
        low, high = 0.0, 1.0
        while chance(high) < target_power and high < 64:
            low, high = high, 2 * high
        if chance(high) >= target_power:
            for _ in range(30 if method == "noncentral t" else 14):
                middle = (low + high) / 2
                low, high = (low, middle) if chance(middle) >= target_power else (middle, high)
            shift = high
    reached = math.nan if math.isnan(shift) else chance(shift)
    shift = -shift if tail == "less" else shift
    found = math.nan if math.isnan(shift) else effect_size_of(shift, n_x, n_y, ddof)
    return _answer(reached, found, shift, (n_x, n_y), level, tests, tail, method)


def detectable_correlation(n: int, *, target_power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest correlation that a two-sided test on n units finds with `target_power`, by Fisher's z.

    ``tanh((z(1 - alpha / 2) + z(power)) / sqrt(n - 3))``; 1 for fewer than 4 units, which can find nothing.

    Raises
    ------
    InputError
        A power or alpha outside (0, 1), or a power below alpha.

    Examples
    --------
    >>> [round(detectable_correlation(n), 2) for n in (9, 36, 100)]
    [0.82, 0.45, 0.28]
    """
    from scipy.special import ndtri

    if not 0 < alpha <= target_power < 1:
        raise InputError(f"alpha={alpha}, target_power={target_power}; expected 0 < alpha <= power < 1.")
    if n < 4:
        return 1.0
    return math.tanh(float(ndtri(1 - alpha / 2) + ndtri(target_power)) / math.sqrt(n - 3))


def effect_size_of(shift: float, n_x: int, n_y: int, ddof: int = 1) -> float:
    """Expected effect size of a difference of means of `shift` within-side standard deviations.

    ``shift / sqrt((N - 2 + shift**2 n_x n_y / N) / (N - ddof))``: the union of both sides spreads by the shift itself,
    which is why effect sizes saturate.

    Examples
    --------
    >>> round(effect_size_of(1.0, 20, 20), 3)
    0.901
    """
    n = n_x + n_y
    return shift / math.sqrt((n - 2 + shift**2 * n_x * n_y / n) / (n - ddof))


def shift_of(effect_size: float, n_x: int, n_y: int, ddof: int = 1) -> float:
    """The inverse of `effect_size_of`.

    Examples
    --------
    >>> round(shift_of(effect_size_of(1.7, 12, 9), 12, 9), 9)
    1.7
    """
    n = n_x + n_y
    rest = 1 - effect_size**2 * n_x * n_y / (n * (n - ddof))
    if not rest > 0:
        bound = math.sqrt(n * (n - ddof) / (n_x * n_y))
        raise InputError(
            f"effect_size={effect_size}; with {n_x} + {n_y} units it lies between {-bound:.3f} and {bound:.3f}."
        )
    return effect_size * math.sqrt((n - 2) / (n - ddof) / rest)


def _check_design(n_x: int, n_y: int, alpha: float, tests: int, tail: Tail) -> float:
    """The level per test."""
    check_tail(tail)
    if min(n_x, n_y) < 1 or n_x + n_y < 3:
        raise InputError(f"{n_x} + {n_y} units; expected one or more a side and three in all.")
    if not 0 < alpha < 1:
        raise InputError(f"alpha={alpha}; expected a number between 0 and 1.")
    if tests < 1:
        raise InputError(f"tests={tests}; expected at least 1.")
    return alpha / tests


def _student(shift: float, n_x: int, n_y: int, level: float, tail: Tail) -> float:
    from scipy.special import nctdtr, stdtrit

    freedom = n_x + n_y - 2
    noncentrality = shift * math.sqrt(n_x * n_y / (n_x + n_y))
    if tail == "less":
        noncentrality = -noncentrality
    critical = float(stdtrit(freedom, 1 - (level / 2 if tail == "two-sided" else level)))
    # scipy gives NaN where the noncentral t's lower tail is too small for it: that tail is 0
    found = 1 - np.nan_to_num(float(nctdtr(freedom, noncentrality, critical)))
    if tail == "two-sided":
        found += np.nan_to_num(float(nctdtr(freedom, noncentrality, -critical)))
    return float(min(max(found, 0.0), 1.0))


def _simulated(shift: float, n_x: int, n_y: int, level: float, tail: Tail, simulations: int, seed: int) -> float:
    if simulations < 1:
        raise InputError(f"simulations={simulations}; expected at least 1.")
    rng = np.random.default_rng(seed)
    x, y = rng.normal(shift, 1, (simulations, n_x)), rng.normal(size=(simulations, n_y))
    exact = math.comb(n_x + n_y, n_x) <= _SIMULATION_LIMIT
    method: Any = "auto" if exact else "saddlepoint" if min(n_x, n_y) >= 8 else "sample"
    draws = max(999, math.ceil(20 / level))
    p = np.array([found.p for found in two_sample_ps(x, y, tail=tail, method=method, draws=draws, seed=seed)])
    return float((p <= level * (1 + 1e-9)).mean())


def _answer(
    chance: float,
    effect_size: float,
    shift: float,
    sizes: tuple[int, int],
    level: float,
    tests: int,
    tail: Tail,
    method: str,
) -> Power:
    floor = smallest_p(*sizes, tail)
    note = ""
    if floor > level:
        note = f"the smallest p of {sizes[0]} + {sizes[1]} units is {floor:.3g}; {level:.3g} cannot be reached"
    elif math.isnan(chance):
        note = "no effect size below its bound is found that often"
    return Power(chance, effect_size, shift, *sizes, level, tests, tail, floor, floor <= level, method, note)
