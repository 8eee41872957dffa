"""Band files: any range of keys tells the rows that have them, wherever their ids lie."""

import dataclasses

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.duplicates import band_index
from dsm_dask.duplicates.band_files import read_blocks
from dsm_dask.duplicates.band_index import WriteBands
from dsm_dask.duplicates.candidates import maybe_shared
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.duplicates.row_places import MOST, keys_of, limit
from dsm_dask.table import ROW_ID

MINHASH = MinHash(bands=5, rows=2)

near = st.integers(0, 1 << 40).map(lambda first: st.integers(first, first + 300))
far = st.just(st.integers(0, (1 << 50) - 1))
row_ids = st.one_of(near, far).flatmap(lambda ids: st.lists(ids, max_size=90, unique=True))


@dataclasses.dataclass(frozen=True)
class Rows:
    """A partition of texts with any row ids, in batches of 20."""

    ids: tuple[int, ...]
    label = "some rows"
    fingerprint = "f"
    size = 1

    def values_fingerprint(self, columns):
        return repr((columns, self.ids))

    @property
    def texts(self):
        return [f"text number {i} of {len(self.ids)} texts" for i in range(len(self.ids))]

    def read(self, columns, *, encoded=False):
        held = {"text": pa.array(self.texts), ROW_ID: pa.array(self.ids, pa.uint64())}
        batch = pa.record_batch({name: held[name] for name in columns})
        return [batch.slice(start, 20) for start in range(0, batch.num_rows, 20)]


@settings(max_examples=60, deadline=None)
@given(ids=row_ids, most=st.integers(1, 100), ranges=st.integers(1, 5), order=st.booleans())
def test_ranges_of_keys(tmp_path_factory, ids, most, ranges, order):
    folder = str(tmp_path_factory.mktemp("bands"))
    rows = Rows(tuple(sorted(ids) if order else ids))
    before, band_index.BLOCK = band_index.BLOCK, most
    try:
        files = WriteBands("text", MINHASH, (), (folder,), folder)(rows)
    finally:
        band_index.BLOCK = before
    told = read_blocks(files[-1].uri)
    assert told is not None
    assert told[0] == [dataclasses.replace(file, made=False) for file in files]
    assert sum(file.rows for file in files) == len(ids)
    assert all(file.rows <= most for file in files)
    found = []
    for file in files:
        file.check()
        live = np.array(ids[::2], np.uint64)
        gone = file.without(np.sort(live), f"{folder}/gone-{len(found)}")
        for number in range(ranges):
            low, high = limit(number, ranges), limit(number + 1, ranges) - 1
            keys = file.keys_between(low, high)
            assert (keys[:-1] <= keys[1:]).all()
            pairs = [tuple(pair) for pair in file.unpacked(keys).tolist()]
            found += pairs
            left = [tuple(pair) for pair in gone.unpacked(keys).tolist()]
            assert left == [pair for pair in pairs if pair[1] in set(ids[::2])]
            among = file.row_places().among(keys, live)
            assert among.tolist() == [row in set(ids[::2]) for _, row in pairs]
    keys = keys_of(MINHASH.sign(pa.array(rows.texts, pa.string())).keys)
    truth = [(key, row) for row, some in zip(rows.ids, keys.tolist(), strict=True) for key in some]
    assert sorted(found) == sorted(truth)


def test_rows_that_lie_far_apart_take_a_list():
    """Only where a block would be less than half full; the others are cut before."""
    ids = [*range(60), *range(1 << 20, (1 << 20) + 60)]
    block = band_index._Block(MINHASH)
    assert block.room_for(np.array(ids, np.uint64)) == len(ids)
    most = np.array([*range(MOST // 2), *(MOST * 3 + i for i in range(60))], np.uint64)
    assert block.room_for(most) == MOST // 2


numbers = st.lists(st.integers(0, 400).map(lambda n: n * 0x9E3779B97F4A << 16), max_size=300)


@settings(max_examples=100, deadline=None)
@given(runs=st.lists(numbers, min_size=1, max_size=6), number=st.integers(0, 2))
def test_what_is_shared_is_told(runs, number):
    """All keys that come more than once; of a few others that do not, hardly any."""
    low, high = limit(number, 3), limit(number + 1, 3) - 1
    held = [np.array([n % 2**64 for n in run], np.uint64) for run in runs]
    held = [np.sort(run[(run >= low) & (run <= high)]) for run in held]
    records = np.concatenate(held) + np.arange(sum(map(len, held)), dtype=np.uint64) % MOST
    ends = np.cumsum([0, *map(len, held)])
    told = maybe_shared(records, ends, low, high)
    again = np.bincount(np.unique(keys_of(records), return_inverse=True)[1].ravel()) > 1
    shared = again[np.unique(keys_of(records), return_inverse=True)[1].ravel()]
    assert told[shared].all()
    assert (told & ~shared).sum() <= 4 + len(records) // 10
