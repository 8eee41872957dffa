"""Mean and standard deviation, from exact sums; skewness and kurtosis."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values

_SMALLEST = -1074
"""Every finite float64 is a whole multiple of two to this power."""
_BLOCK = 1 << 18
"""Rows summed at once: sums of 2^18 products below 2^45 stay exact in 64 bits."""
_LIMB = 22


@codec.state("stats.central", 1)
@dataclasses.dataclass(frozen=True)
class Central:
    """Mean of finite values times 2^-power, all of which are at most 1 in size, and sums of the
    powers 2 to 4 of the differences from it."""

    count: int
    power: int
    mean: float
    second: float
    third: float
    fourth: float


@codec.state("stats.moments", 2)
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
    central: Central | None = None


@dataclasses.dataclass(frozen=True)
class MeanStd:
    """``std`` is that of the sample (divisor n - 1), None for fewer than two values. ``skewness``
    and ``kurtosis`` (0 for a normal distribution) are those of the population, as in SciPy; None
    for constant columns, and where rounding would leave no digit of them."""

    mean: float | None = None
    std: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean, and standard deviation of the sample: sqrt((Σx² - (Σx)²/n) / (n - 1)), in the units
    of the column; skewness m3 / m2^1.5 and excess kurtosis m4 / m2² - 3, mk = Σ(x - mean)^k / n.

    The sums are integers, exact at any size: floats are summed as 53-bit integers by exponent (a
    superaccumulator: Kulisch, "Computer Arithmetic and Validity", 2013; Neal, "Fast exact
    summation using small and large superaccumulators", 2015). So nothing cancels or overflows,
    the results are within one unit in the last place of the true values, and they are the same
    bits however the data was cut. At most 1 KB of state.

    Powers 3 and 4 are summed as floats about the mean of each batch and merged by the formulas of
    Pébay ("Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
    statistical moments", Sandia report, 2008), scaled so that nothing overflows: about 10 digits,
    fewer when the mean is many standard deviations from zero.

    NaN and nulls are left out. With infinities the mean is what IEEE 754 says (infinite, or NaN
    when there are both), and the standard deviation is NaN. A standard deviation above the largest
    float64 (1.8e308) is infinite.

    >>> from dsm_dask.fold import run
    >>> run(Moments("x"), [pa.record_batch({"x": [1e300, 1.0, -1e300, 3.0]})]).mean
    1.0
    >>> run(Moments("x"), [pa.record_batch({"x": [1, 2, 3]})])
    MeanStd(mean=2.0, std=1.0, skewness=0.0, kurtosis=-1.5)
    """

    takes_encoded = True

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
        column = columns.of(batch, self.column)
        ordered, decimals = column.ordered, column.kind == "decimal"
        for start in range(0, len(ordered), _BLOCK):
            numbers = ordered[start : start + _BLOCK]
            found = MomentsState() if decimals else _sums(numbers)
            state = self.merge(state, dataclasses.replace(found, central=_central(numbers)))
        for start in range(0, len(column.plain) if decimals else 0, _BLOCK):
            state = self.merge(state, _decimal_sums(column.plain.slice(start, _BLOCK)))
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
            central=_joined(left.central, right.central),
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
        std = _root(spread, count * (count - 1) * unit**2)
        return MeanStd(mean, std, *_shape(state.central, mean, std))

    def same(self, left: MeanStd, right: MeanStd, rows: pa.RecordBatch) -> bool:
        """Mean and standard deviation equal, the rest within what rounding may do."""
        exact = [(values.to_json(r.mean), values.to_json(r.std)) for r in (left, right)]
        pairs = [(left.skewness, right.skewness), (left.kurtosis, right.kurtosis)]
        return exact[0] == exact[1] and all(_near(a, b) for a, b in pairs)


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


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-3)


def _central(ordered: npt.NDArray[Any]) -> Central | None:
    from dsm_dask.stats import sums

    numbers = ordered[_finite(ordered)]
    if not len(numbers):
        return None
    largest = max(abs(float(numbers[0])), abs(float(numbers[-1])))
    power = math.frexp(largest)[1] if largest else -1000  # zeros are at home at any scale
    # a subnormal scale would lose digits, and an infinite one all of them
    scale = math.ldexp(1.0, -min(max(power, -1000), 1022))
    found = sums.central_sums(numbers, scale)
    return Central(len(numbers), min(max(power, -1000), 1022), *map(float, found))


def _finite(ordered: npt.NDArray[Any]) -> slice:
    """Which of sorted numbers are finite."""
    if ordered.dtype.kind != "f":
        return slice(0, len(ordered))
    first = int(np.searchsorted(ordered, -np.inf, "right"))
    return slice(first, int(np.searchsorted(ordered, np.inf, "left")))


def _joined(left: Central | None, right: Central | None) -> Central | None:
    if left is None or right is None:
        return left or right
    power = max(left.power, right.power)
    one, other = _scaled(left, power), _scaled(right, power)
    n, m = left.count, right.count
    total = n + m
    gap = other.mean - one.mean
    share = gap / total
    second = one.second + other.second + gap * share * n * m
    third = one.third + other.third + gap * share * share * n * m * (n - m)
    third += 3 * share * (n * other.second - m * one.second)
    fourth = one.fourth + other.fourth + gap * share**3 * n * m * (n * n - n * m + m * m)
    fourth += 6 * share * share * (n * n * other.second + m * m * one.second)
    fourth += 4 * share * (n * other.third - m * one.third)
    return Central(total, power, one.mean + share * m, second, third, fourth)


def _scaled(side: Central, power: int) -> Central:
    unit = math.ldexp(1.0, side.power - power)
    return Central(
        side.count,
        power,
        side.mean * unit,
        side.second * unit**2,
        side.third * unit**3,
        side.fourth * unit**4,
    )


def _shape(
    central: Central | None, mean: float, std: float | None
) -> tuple[float | None, float | None]:
    """Skewness and excess kurtosis, where the differences from the mean have digits left."""
    if central is None or not std or not math.isfinite(std) or std < 1e-9 * abs(mean):
        return None, None
    variance = central.second / central.count
    if variance < 1e-60:  # of values at most 1: the powers may have underflowed
        return None, None
    third, fourth = central.third / central.count, central.fourth / central.count
    return _rounded(third / variance**1.5), _rounded(fourth / variance**2 - 3)


def _rounded(number: float) -> float:
    """To 8 digits: the rest depends on the cut."""
    return (float(f"{number:.8g}") if abs(number) >= 1 else round(number, 8)) + 0.0


def _sums(ordered: npt.NDArray[Any]) -> MomentsState:
    if ordered.dtype.kind != "f":
        return _integer_state(ordered)
    finite = _finite(ordered)
    numbers = ordered[finite]
    total, squares = _float_sums(numbers)
    above, below = len(ordered) - finite.stop, finite.start
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
    from dsm_dask.stats import sums

    total = squares = 0
    found = sums.float_sums(numbers.view(np.uint64))
    for exponent in np.flatnonzero(found.any(axis=1)).tolist():
        high, low, *parts = found[exponent].tolist()
        # subnormals share the unit of the smallest normal exponent
        shift = max(exponent, 1) - 1
        total += ((high << 32) + low) << shift
        aa, ab, bb = ((parts[i] << 32) + parts[i + 1] for i in (0, 2, 4))
        squares += ((aa << 54) + (ab << 28) + bb) << 2 * shift
    return total, squares


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
