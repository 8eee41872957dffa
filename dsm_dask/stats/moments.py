"""Mean and standard deviation, from exact sums."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.stats import values

_SMALLEST = -1074
"""Every finite float64 is a whole multiple of two to this power."""
_BLOCK = 1 << 18
"""Rows summed at once: sums of 2^18 products below 2^45 stay exact in 64 bits."""
_LIMB = 22


@codec.state("stats.moments", 1)
@dataclasses.dataclass(frozen=True)
class MomentsState:
    """Exact sums: of the values it is ``total * 2^two * 10^ten``, and of their squares
    ``squares * (2^two * 10^ten)^2``. Infinities are only counted."""

    count: int = 0
    total: int = 0
    squares: int = 0
    two: int = 0
    ten: int = 0
    above: int = 0
    below: int = 0


@dataclasses.dataclass(frozen=True)
class MeanStd:
    """``std`` is that of the sample (divisor n - 1), None for fewer than two values."""

    mean: float | None = None
    std: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean, and standard deviation of the sample: sqrt((Σx² - (Σx)²/n) / (n - 1)), in the units
    of the column.

    The sums are integers, exact at any size: floats are summed as 53-bit integers by exponent (a
    superaccumulator: Kulisch, "Computer Arithmetic and Validity", 2013; Neal, "Fast exact
    summation using small and large superaccumulators", 2015). So nothing cancels or overflows,
    the results are within one unit in the last place of the true values, and they are the same
    bits however the data was cut. At most 1 KB of state.

    NaN and nulls are left out. With infinities the mean is what IEEE 754 says (infinite, or NaN
    when there are both), and the standard deviation is NaN. A standard deviation above the largest
    float64 (1.8e308) is infinite.

    >>> from dsm_dask.fold import run
    >>> run(Moments("x"), [pa.record_batch({"x": [1e300, 1.0, -1e300, 3.0]})]).mean
    1.0
    >>> run(Moments("x"), [pa.record_batch({"x": [1, 2, 3]})])
    MeanStd(mean=2.0, std=1.0)
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return values.kind_of(dtype) in {"integer", "float", "decimal"}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> MomentsState:
        return MomentsState()

    def update(self, state: MomentsState, batch: pa.RecordBatch) -> MomentsState:
        array = values.column(batch, self.column)
        sums = _decimal_sums if pa.types.is_decimal(array.type) else _sums
        for start in range(0, len(array), _BLOCK):
            state = self.merge(state, sums(array.slice(start, _BLOCK)))
        return state

    def merge(self, left: MomentsState, right: MomentsState) -> MomentsState:
        two, ten = min(left.two, right.two), min(left.ten, right.ten)
        total = squares = 0
        for side in (left, right):
            unit = 10 ** (side.ten - ten) << (side.two - two)
            total += side.total * unit
            squares += side.squares * unit**2
        return MomentsState(
            count=left.count + right.count,
            total=total,
            squares=squares,
            two=two,
            ten=ten,
            above=left.above + right.above,
            below=left.below + right.below,
        )

    def finish(self, state: MomentsState) -> MeanStd:
        count = state.count + state.above + state.below
        if not count:
            return MeanStd()
        if state.above or state.below:
            mean = math.nan if state.above and state.below else math.inf
            return MeanStd(-mean if not state.above else mean, math.nan if count > 1 else None)
        unit = 10**-state.ten << -state.two
        mean = state.total / (count * unit)  # true division of integers rounds once
        if count == 1:
            return MeanStd(mean)
        spread = count * state.squares - state.total**2
        return MeanStd(mean, _root(spread, count * (count - 1) * unit**2))


def _root(numerator: int, denominator: int) -> float:
    """Square root of a ratio of integers, to 64 bits before it is rounded to a float."""
    if not numerator:
        return 0.0
    shift = 64 - (numerator.bit_length() - denominator.bit_length()) // 2
    scaled = numerator << 2 * shift if shift > 0 else numerator
    root = math.isqrt(scaled // (denominator if shift > 0 else denominator << -2 * shift))
    try:
        return math.ldexp(float(root), -shift)
    except OverflowError:
        return math.inf


def _sums(array: pa.Array) -> MomentsState:
    numbers = values.present(array)
    if numbers.dtype.kind != "f":
        return _integer_state(numbers)
    above, below = (int(np.count_nonzero(numbers == edge)) for edge in (np.inf, -np.inf))
    if above or below:
        numbers = numbers[np.isfinite(numbers)]
    total, squares = _float_sums(numbers)
    return MomentsState(len(numbers), total, squares, _SMALLEST, 0, above, below)


def _integer_state(numbers: npt.NDArray[Any], ten: int = 0) -> MomentsState:
    if not len(numbers):
        return MomentsState(ten=ten)
    largest = max(abs(int(numbers.min())), abs(int(numbers.max())))
    if largest * largest * len(numbers) < 1 << 63:
        wide = numbers.astype(np.int64, copy=False)
        total, squares = int(wide.sum()), int(np.dot(wide, wide))
    else:
        total, squares = _large_sums(numbers)
    return MomentsState(len(numbers), total, squares, 0, ten)


def _large_sums(numbers: npt.NDArray[Any]) -> tuple[int, int]:
    """Sums of 64-bit integers and of their squares, in limbs of 22 bits."""
    mask = numbers.dtype.type((1 << _LIMB) - 1)
    limbs = [(numbers >> numbers.dtype.type(_LIMB * i)) & mask for i in range(2)]
    limbs.append(numbers >> numbers.dtype.type(2 * _LIMB))
    limbs = [limb.astype(np.int64) for limb in limbs]
    total = sum(int(limb.sum()) << _LIMB * i for i, limb in enumerate(limbs))
    squares = sum(
        int(np.dot(limbs[i], limbs[j])) << _LIMB * (i + j) for i in range(3) for j in range(3)
    )
    return total, squares


def _float_sums(numbers: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Sums of finite floats in units of 2^-1074, and of their squares in the square of that."""
    if not len(numbers):
        return 0, 0
    fractions, exponents = np.frexp(numbers)
    fractions *= 1 << 26
    high = np.rint(fractions)  # 26 bits and a sign, and so is what is left: products are exact
    low = (fractions - high) * (1 << 27)
    first = int(exponents.min())
    bins = exponents - first
    size = int(bins.max()) + 1

    def binned(weights: npt.NDArray[np.float64]) -> list[int]:
        # exact: at most 2^18 whole numbers below 2^35 in each bin
        return [int(x) for x in np.bincount(bins, weights, size)]

    def split(products: npt.NDArray[np.float64]) -> tuple[list[int], list[int]]:
        tops = np.floor(products * 2.0**-27)
        return binned(tops), binned(products - tops * 2.0**27)

    highs, lows = binned(high), binned(low)
    products = [split(high * high), split(high * low), split(low * low)]
    total = squares = 0
    for i in range(size):
        # frexp gives 53 bits after the point, so the unit of this bin is 2^(exponent - 53)
        shift = first + i - 53 - _SMALLEST
        total += _shift((highs[i] << 27) + lows[i], shift)
        part = sum(
            ((top[i] << 27) + rest[i]) << scale
            for (top, rest), scale in zip(products, (54, 28, 0), strict=True)
        )
        squares += _shift(part, 2 * shift)
    return total, squares


def _shift(number: int, by: int) -> int:
    """Subnormals have fewer bits than their bin, all of them above the unit: nothing is lost."""
    return number << by if by >= 0 else number >> -by


def _decimal_sums(array: pa.Array) -> MomentsState:
    """Unscaled integers: in 64 bits where they all fit, as Python integers otherwise."""
    stored = arrays.words(array, np.int64, array.type.bit_width // 64)
    valid = arrays.validity(array)
    stored = stored if valid is None else stored[valid]
    scale = array.type.scale
    if (stored[:, 1:] == (stored[:, :1] >> 63)).all():
        state = _integer_state(np.ascontiguousarray(stored[:, 0]))
    else:
        raw, size = stored.tobytes(), 8 * stored.shape[1]
        parts = range(0, len(raw), size)
        whole = [int.from_bytes(raw[i : i + size], "little", signed=True) for i in parts]
        state = MomentsState(len(whole), sum(whole), sum(x * x for x in whole))
    return dataclasses.replace(state, ten=-scale)
