"""Compiled pieces that all loops over the bytes of texts share: words of 8 bytes, white space,
mixing.

Numba; import this module only where texts are at hand.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_compiled = numba.njit(cache=True, nogil=True)


def _load_word(_context: Any, data: Any, _place: Any) -> Any:
    """The 8 bytes from ``data[place]`` on as a little-endian word. They have to exist."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


load_word: Any = intrinsic(_load_word)


@_compiled
def tail_word(data: Any, place: Any, stop: Any) -> Any:
    """The fewer than 8 bytes from ``place`` to ``stop``, as a little-endian word."""
    if stop >= 8:  # the word that ends there, without what comes before
        return load_word(data, stop - 8) >> np.uint64(8 * (8 - (stop - place)))
    word = np.uint64(0)
    for k in range(stop - place):
        word |= np.uint64(data[place + k]) << np.uint64(8 * k)
    return word


@_compiled
def mixed(x: Any) -> Any:
    """The finaliser of SplitMix64, a bijection of 64-bit words (Steele, Lea, Flood, "Fast
    splittable pseudorandom number generators", OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_compiled
def wide_space(data: Any, at: Any, end: Any) -> int:
    """Bytes of the white space of several bytes that begins here, as Unicode has it (White_Space);
    0 when there is none."""
    first = data[at]
    if first == 0xC2:
        return 2 if at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0) else 0
    if first < 0xE1 or first > 0xE3 or at + 2 >= end:
        return 0
    second, third = data[at + 1], data[at + 2]
    if first == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if first == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x81:
        return 3 if third == 0x9F else 0
    if second != 0x80:
        return 0
    return 3 if 0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
