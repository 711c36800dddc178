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
INFINITE = 0x7C00  # the bits from here on are infinity or no number
LARGEST = 65_504.0


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> float:
    """Write `halves` into `out` (float32, of the same shape, contiguous): every value exactly, NaN and infinity too.

    Returns the largest size of a value; infinity where one is not finite.
    """
    bits = halves.view(np.int16)
    wide = out.view(np.int32)
    np.copyto(wide, bits)
    np.left_shift(wide, 13, out=wide)
    np.bitwise_and(wide, KEEP, out=wide)
    np.multiply(out, UP, out=out)
    positive, negative = bits.max(initial=0), halves.view(np.uint16).max(initial=0)
    largest = max(int(positive), int(negative) & 0x7FFF if negative > 0x7FFF else 0)
    if largest >= INFINITE:
        with np.errstate(invalid="ignore"):
            np.copyto(out, halves)
        return np.inf
    return float(np.uint16(largest).view(np.float16))


def narrow(rows: NDArray[np.float32], spare: NDArray[np.uint32], out: NDArray[np.float16]) -> None:
    """Write `rows` into `out`, to the nearest; `rows` and `spare` (of its shape) are overwritten. |values| < 65,504.

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
    np.copyto(out.view(np.uint16), bits, casting="unsafe")
