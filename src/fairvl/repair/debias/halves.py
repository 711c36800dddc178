"""Float16 to float32 and back at memory speed: NumPy converts halves one by one, these in a few whole-array steps.

A half shifted left by 13 bits is a float32 whose exponent is 112 too small; one product with 2**112 sets it right, and
makes subnormal halves what they are. The way back rounds to the nearest even number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UP, DOWN = np.float32(2.0**112), np.float32(2.0**-112)
KEEP = np.int32(-1879056384)  # 0x8fffe000: sign, exponent and mantissa of a half in their places
LARGEST_EXPONENT = 0x7C00  # from here on a half is infinite or no number
SAFE_SQUARE = 65_000.0**2


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Write `halves` into `out` (float32, of the same shape, contiguous): every value exactly, NaN and infinity too."""
    bits = halves.view(np.int16)
    wide = out.view(np.int32)
    np.copyto(wide, bits)
    np.left_shift(wide, 13, out=wide)
    np.bitwise_and(wide, KEEP, out=wide)
    np.multiply(out, UP, out=out)
    if (bits & 0x7FFF).max(initial=0) >= LARGEST_EXPONENT:
        with np.errstate(invalid="ignore"):
            np.copyto(out, halves)


def narrow(rows: NDArray[np.float32], spare: NDArray[np.uint32]) -> NDArray[np.float16]:
    """`rows` as float16, to the nearest; `rows` and `spare` (of its shape) are overwritten. |values| < 65,504 only.

    Below 2**-14, where halves lose digits, a value within 2**-150 of a tie may go to the other neighbour.
    """
    np.multiply(rows, DOWN, out=rows)
    bits: NDArray[Any] = rows.view(np.uint32)
    np.right_shift(bits, 13, out=spare)
    np.bitwise_and(spare, 1, out=spare)
    np.add(spare, 0xFFF, out=spare)
    np.add(bits, spare, out=bits)
    np.right_shift(bits, 13, out=bits)
    np.right_shift(bits, 3, out=spare)
    np.bitwise_and(spare, 0x8000, out=spare)
    np.bitwise_or(bits, spare, out=bits)
    return bits.astype(np.uint16).view(np.float16)
