"""MinHash: rows that share a band of minima are candidates for being alike.

For a random order of all shingles, the probability that two sets have the same smallest one is
their Jaccard similarity s (Broder, "On the resemblance and containment of documents", 1997). The
orders here are ``a x + b`` modulo 2^32 with odd a, of the upper half of each shingle's 64-bit hash.
The minima are cut into bands of r; two texts share at least one of b bands with probability
1 - (1 - s^r)^b (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.shingles import Shingles, buffers
from dsm_dask.errors import UsageError

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

RECALL = 0.995
"""Of pairs right at the threshold, the share that must become candidates; of 128 permutations below
a threshold of 0.041 even bands of one row find fewer."""

MOST_PERMUTATIONS = 4096
UNSPACED = 32
"""A text of words of more bytes than this on average has next to no spaces."""


@dataclasses.dataclass(frozen=True)
class Signed:
    """What was computed of some texts."""

    keys: U64
    """Band keys, of shape (rows, bands); 0 for texts without shingles."""
    digests: U64
    """Of shape (rows, 2): the same for texts of the same shingles."""
    units: npt.NDArray[np.int64]
    """Words or characters; 0 for an empty text, -1 for null."""
    unspaced: npt.NDArray[np.bool_]
    """Whether a text has very long words."""


@dataclasses.dataclass(frozen=True)
class MinHash:
    """How band keys are made: they are comparable when all of this is the same.

    >>> minhash = MinHash(Shingles("word", 2), bands=4, rows=2)
    >>> keys = minhash.sign(pa.array(["a b c", "a  b c", "x y z"])).keys
    >>> bool((keys[0] == keys[1]).all()), bool((keys[0] == keys[2]).any())
    (True, False)
    """

    shingles: Shingles = dataclasses.field(default_factory=Shingles)
    bands: int = 21
    rows: int = 6
    normalise: Normalise = dataclasses.field(default_factory=Normalise)
    seed: int = 1
    match_empty: bool = False
    """Whether texts without shingles, and nulls, are duplicates of each other."""

    def __post_init__(self) -> None:
        if self.bands < 1 or self.rows < 1 or self.bands * self.rows > MOST_PERMUTATIONS:
            raise UsageError(
                f"{self.bands} bands of {self.rows} rows cannot be used.",
                valid=f"Both are 1 or more, their product at most {MOST_PERMUTATIONS}.",
            )

    @property
    def name(self) -> str:
        """The same for the same computation, in file names."""
        told = [f"minhash/1 {self.shingles} {self.bands}x{self.rows} seed {self.seed}"]
        told += [*self.normalise.steps, "empty" if self.match_empty else ""]
        digest = hashlib.blake2b(" ".join(told).encode(), digest_size=6).hexdigest()
        shape = f"{self.shingles.unit}{self.shingles.size}-{self.bands}x{self.rows}"
        return f"minhash-{shape}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """As in JSON."""
        return {
            "shingle": str(self.shingles),
            "bands": self.bands,
            "rows": self.rows,
            "permutations": self.bands * self.rows,
            "seed": self.seed,
            "normalise": list(self.normalise.steps),
            "match_empty": self.match_empty,
        }

    def sign(self, texts: pa.Array) -> Signed:
        """Band keys of a column of texts."""
        from dsm_dask.duplicates import text_kernels

        data, offsets, valid = buffers(self.normalise.apply(texts))
        rows = len(offsets) - 1
        keys = np.zeros((rows, self.bands), np.uint64)
        digests, units = np.zeros((rows, 2), np.uint64), np.zeros(rows, np.int64)
        text_kernels.sign(
            data, offsets, valid, self.shingles.code, self.shingles.size,
            *_orders(self.bands * self.rows, self.seed), self.rows, keys, digests, units,
        )  # fmt: skip
        long = (np.diff(offsets) > UNSPACED * units) & (units > 0)
        return Signed(keys, digests, units, long & (self.shingles.unit == "word"))


@functools.lru_cache(maxsize=8)
def _orders(count: int, seed: int) -> tuple[U32, U32]:
    """Odd factors and addends, filled up to whole blocks of lanes. Never changed: keys are kept."""
    lanes = -(-count // 64) * 64
    x = np.arange(1, 2 * lanes + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x ^= np.uint64(seed * 0xD6E8FEB86659FD93 % (1 << 64))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    high = ((x ^ (x >> np.uint64(31))) >> np.uint64(32)).astype(np.uint32)
    return high[:lanes] | np.uint32(1), high[lanes:].copy()


def bands_for(threshold: float, permutations: int, *, verify: bool = True) -> tuple[int, int]:
    """(bands, rows) for a threshold of similarity, of at most ``permutations`` minima.

    When candidates are verified, a false one costs time only: as many rows as still find
    :data:`RECALL` of the pairs right at the threshold (one row when nothing does). When they are
    not, the bands and rows with the least sum of both errors, the false candidates below the
    threshold and the missed ones above it, each integrated over all similarities, as datasketch's
    ``MinHashLSH`` chooses them.

    >>> bands_for(0.8, 128), bands_for(0.8, 128, verify=False)
    ((21, 6), (9, 13))
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"A threshold of {threshold} is no similarity.", valid="Above 0, up to 1.")
    if not 1 <= permutations <= MOST_PERMUTATIONS:
        raise UsageError(
            f"{permutations} permutations cannot be used.", valid=f"1 to {MOST_PERMUTATIONS}."
        )
    if verify:
        fitting = [
            rows for rows in range(1, permutations + 1)
            if found_at(threshold, permutations // rows, rows) >= RECALL
        ]  # fmt: skip
        rows = max(fitting, default=1)
        return permutations // rows, rows
    options = [
        (_errors(threshold, bands, rows), bands, rows)
        for bands in range(1, permutations + 1)
        for rows in range(1, permutations // bands + 1)
    ]
    _, bands, rows = min(options)
    return bands, rows


def found_at(similarity: Any, bands: int, rows: int) -> Any:
    """Probability that two texts of a similarity share a band.

    >>> round(found_at(0.8, 21, 6), 4)
    0.9983
    """
    return 1 - (1 - similarity**rows) ** bands


def _errors(threshold: float, bands: int, rows: int) -> float:
    """Half of both areas, by the rectangle rule at steps of 0.001, as datasketch takes them."""
    below = np.arange(0.0, threshold, 0.001) + 0.0005
    above = np.arange(threshold, 1.0, 0.001) + 0.0005
    false = found_at(below, bands, rows).sum()
    missed = (1 - found_at(above, bands, rows)).sum()
    return float(0.0005 * (false + missed))
