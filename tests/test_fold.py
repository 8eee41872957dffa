"""Products, merge order and fingerprints of Folds."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given, settings

from dsm_dask.fold import Fold, Product, fingerprint, merge_all, run, update_all
from dsm_dask.stats.count import Count
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.quantiles import Quantiles
from dsm_dask.testing.folds import batches, check_bounded, check_laws


@dataclasses.dataclass(frozen=True)
class Order:
    """Remembers how it was merged."""

    columns = ()

    def init(self):
        return ""

    def update(self, state, batch):
        return state + str(batch.num_rows)

    def merge(self, left, right):
        return f"({left}{right})"

    def finish(self, state):
        return state


@dataclasses.dataclass(frozen=True)
class Mutating:
    """Breaks the law that merge changes nothing."""

    columns = ()

    def init(self):
        return [0]

    def update(self, state, batch):
        return [state[0] + batch.num_rows]

    def merge(self, left, right):
        left[0] += right[0]
        return left

    def finish(self, state):
        return state[0]


@dataclasses.dataclass(frozen=True)
class Growing(Mutating):
    """Breaks the law that a state is bounded."""

    def init(self):
        return []

    def update(self, state, batch):
        return state + batch.column(0).to_pylist()

    def merge(self, left, right):
        return left + right


def sample(rows):
    return pa.record_batch({"x": list(range(rows))})


def test_merging_is_a_balanced_tree_in_order():
    assert merge_all(Order(), list("abcdefg")) == "(((ab)(cd))((ef)g))"
    assert merge_all(Order(), ["a"]) == "a"
    assert merge_all(Order(), []) == ""
    assert update_all(Order(), [sample(1), sample(2)]) == "12"


@settings(max_examples=20, deadline=None)
@given(batches({"x": pa.float64(), "y": pa.string()}))
def test_a_product_is_a_fold(cut):
    both = Product((Count("x"), Extremes("y"), Moments("x")))
    assert isinstance(both, Fold)
    assert both.columns == ("x", "y")
    check_laws(both, cut)
    assert run(both, cut)[1] == run(Extremes("y"), cut)


def test_fingerprints_name_the_computation():
    folds = [Count("x"), Count("y"), Extremes("x"), Quantiles("x"), Quantiles("x", (0.5,))]
    assert len({fingerprint(fold) for fold in folds}) == len(folds)
    assert fingerprint(Quantiles("x", (0.5,))) == fingerprint(Quantiles("x", (0.5,)))


def test_the_suite_finds_what_breaks_a_law():
    with pytest.raises(AssertionError):
        check_laws(Mutating(), [sample(1), sample(2)])
    with pytest.raises(AssertionError, match="bytes of state"):
        check_bounded(Growing(), {"x": pa.int64()})
    with pytest.raises(AssertionError):
        check_laws(Order(), [sample(1), sample(2), sample(3)])
