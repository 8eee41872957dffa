"""Deletion vectors: what Lance makes of them, and the bytes that Lance itself writes."""

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.dataset.deletion_vectors import deletion_file, deletion_path, encode

SPAN = 1 << 16


def numbers(uri):
    """A fragment of three spans and some."""
    return lance.write_dataset(
        pa.table({"n": np.arange(3 * SPAN + 1000)}), str(uri), enable_stable_row_ids=True
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return numbers(tmp_path_factory.mktemp("lance") / "numbers")


def written_by_lance(dataset, offsets):
    """The bytes of the deletion file that Lance writes."""
    file = dataset.get_fragment(0).delete_rows(offsets).deletion_file
    assert file.file_type == "bitmap"
    return storage.read(f"{dataset.uri}/{deletion_path(0, file)}")


def without(dataset, gone):
    """The numbers that are left when Lance reads a fragment with our file."""
    fragment = dataset.get_fragment(0).metadata
    fragment.deletion_file = deletion_file(dataset.version, int(np.count_nonzero(gone)))
    storage.write(f"{dataset.uri}/{deletion_path(0, fragment.deletion_file)}", encode(gone))
    operation = lance.LanceOperation.Delete([fragment], [], "test")
    committed = lance.LanceDataset.commit(dataset, operation, read_version=dataset.version)
    assert committed.count_rows() == np.count_nonzero(~gone)
    return committed.to_table().column("n").to_numpy()


@st.composite
def masks(draw):
    """Some of the spans have few rows gone, many, all or none."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = st.sampled_from([0, 1e-4, 0.05, 0.0625, 0.5, 1])
    shares = draw(st.lists(share, min_size=4, max_size=4))
    gone = np.concatenate([random.random(SPAN) < share for share in shares])[: 3 * SPAN + 1000]
    gone[draw(st.integers(0, len(gone) - 1))] = True
    gone[draw(st.integers(0, len(gone) - 1))] = False
    return gone


@settings(max_examples=30, deadline=None)
@given(gone=masks())
def test_they_are_the_bytes_that_lance_writes(shared, gone):
    if np.count_nonzero(gone) >= 5000:  # of fewer it makes another format, which it reads, too
        assert encode(gone) == written_by_lance(shared, np.flatnonzero(gone))


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 5000, SPAN])
@pytest.mark.parametrize("first", [0, SPAN - 1, 2 * SPAN])
def test_lance_reads_them(tmp_path, first, count):
    gone = np.zeros(3 * SPAN + 1000, np.bool_)
    gone[first : first + count] = True
    assert (without(numbers(tmp_path / "numbers"), gone) == np.flatnonzero(~gone)).all()
