"""Directions at every point of a code space: linear, signed radial, elliptic radial, ratio. Arrays or tensors.

All work on z-normalised codes ``s`` [n, d] and return unit vectors [n, d]. Exponents are shifted by their largest
before the exponential, because only the direction counts: far from all supports nothing underflows to zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError

FIELDS = ("linear", "signed", "elliptic", "ratio")
TINY = 1e-12


def direction(field: str, s: Any, supports: Any, log_gammas: Any, fallback: Any) -> Any:
    """Unit vectors of a field at points.

    Parameters
    ----------
    field : "linear", "signed", "elliptic" or "ratio"
    s : [n, d]
        Points, an array or a tensor.
    supports : [2 q, d]
        signed, ratio: q positive supports, then q negative ones. elliptic: two or more supports. linear: not used.
    log_gammas : [2 q] or [2 q, d]
        Logarithms of the widths: one for each support, or one for each support and dimension.
    fallback : [d]
        Unit vector where the field vanishes (the centre of an unsigned pair), and the linear direction.

    Returns
    -------
    array or tensor [n, d]

    Notes
    -----
    signed (Tzelepis et al. 2022, ContraCLIP, arXiv 2206.02104; spheres of one width, weights +1 and -1):
    ``g(s) = -2 sum_i alpha_i gamma_i exp(-gamma_i |s - v_i|^2) (s - v_i)``.

    elliptic (D'Inca et al. 2024, arXiv 2311.01573; a sum of one-dimensional bumps, all weights +1):
    ``g_d(s) = -2 sum_i gamma_id exp(-gamma_id (s_d - v_id)^2) (s_d - v_id)``.

    ratio (ours): ``g(s) = sum_+ r_i v_i - sum_- r_i v_i`` with ``r_i`` proportional to ``exp(-gamma_i |s - v_i|^2)``
    and summing to 1 over its own pole. With equal widths it is the gradient of the logarithm of a ratio of two mixtures
    of round bumps, one of each pole. The point itself cancels, so a path does not pull codes together; and where a pole
    has several kinds (dark and light rims of glasses), each point is moved to and from its own kind, which no single
    axis does. With one support a pole it is linear.

    Examples
    --------
    >>> s = np.array([[3.0, 0.0]])
    >>> float(direction("signed", s, np.array([[1.0, 0], [-1.0, 0]]), np.zeros(2), np.array([1.0, 0]))[0, 0])
    -1.0
    """
    if field == "linear":
        return 0 * s + fallback
    log_kernel = {"signed": _signed, "elliptic": _elliptic, "ratio": _ratio}.get(field)
    if log_kernel is None:
        raise InputError(f"field {field!r}; expected one of {', '.join(FIELDS)}.")
    return _unit(log_kernel(s, supports, log_gammas), fallback)


def _signed(s: Any, supports: Any, log_gammas: Any) -> Any:
    half = len(supports) // 2
    away = s[:, None, :] - supports[None]
    exponents = log_gammas[None] - _exp(log_gammas)[None] * (away * away).sum(-1)
    weights = _exp(exponents - _largest(exponents, 1))
    signs = np.where(np.arange(len(supports)) < half, 1.0, -1.0)
    if not isinstance(s, np.ndarray):
        signs = s.new_tensor(signs)
    return -((weights * signs)[:, :, None] * away).sum(1)


def _ratio(s: Any, supports: Any, log_gammas: Any) -> Any:
    half = len(supports) // 2
    away = s[:, None, :] - supports[None]
    exponents = -_exp(log_gammas)[None] * (away * away).sum(-1)
    ways = []
    for side in (slice(None, half), slice(half, None)):
        weights = _exp(exponents[:, side] - _largest(exponents[:, side], 1))
        ways.append((weights / weights.sum(1)[:, None]) @ supports[side])
    return ways[0] - ways[1]


def _elliptic(s: Any, supports: Any, log_gammas: Any) -> Any:
    away = s[:, None, :] - supports[None]
    exponents = log_gammas[None] - _exp(log_gammas)[None] * away * away
    flat = exponents.reshape(len(s), -1)
    weights = _exp(exponents - _largest(flat, 1)[:, :, None])
    return -(weights * away).sum(1)


def _exp(x: Any) -> Any:
    return np.exp(x) if isinstance(x, np.ndarray) else x.exp()


def _largest(x: Any, axis: int) -> Any:
    return x.max(axis=axis, keepdims=True) if isinstance(x, np.ndarray) else x.amax(axis, keepdim=True)


def _unit(g: Any, fallback: Any) -> Any:
    """Rows at unit length; a vanishing row becomes `fallback`, without a NaN in value or gradient."""
    squares = (g * g).sum(-1)[:, None]
    gone = squares <= TINY**2
    if isinstance(g, np.ndarray):
        scaled = g / np.sqrt(np.where(gone, 1.0, squares))
        return np.where(gone, fallback[None], scaled)
    scaled = g / squares.masked_fill(gone, 1.0).sqrt()
    return scaled.masked_fill(gone, 0.0) + gone * fallback[None]
