"""The texts that deduplication is measured on, with what is known of them: the same for a seed.

Documents of 200 to 400 made-up words, of a vocabulary in which the word of rank r is as frequent as
1/r. One in ten is a copy of an earlier document, two in ten are one with words replaced, so that
the Jaccard similarity of their 5-word shingles is anything from 0.5 to 0.98. Each word follows from
the number of its document and its place alone, so documents are made in any order, and the first
files of a corpus are a corpus.
"""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

SHINGLE = 5
"""Words in a shingle."""
VOCABULARY = 50_000
SHORTEST, LONGEST = 200, 400
"""Words of a document."""
LEAST, MOST = 0.5, 0.98
"""Similarities of edited copies."""
ORIGINAL, COPY, EDITED = 0, 1, 2
SHARES = (0.7, 0.1, 0.2)
"""... of the documents."""
BLOCK, GROUP = 2_000, 10_000
"""Documents made at a time, and in a row group."""
_STEPS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Each copy with its original, and the Jaccard similarity of their shingles."""

    source: Ints
    copy: Ints
    similarity: npt.NDArray[np.float64]

    def where(self, chosen: npt.NDArray[np.bool_]) -> Pairs:
        return Pairs(self.source[chosen], self.copy[chosen], self.similarity[chosen])


class Corpus:
    """Documents by number. ``kind`` is that of each, ``source`` the original that a copy is of."""

    def __init__(self, documents: int, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.documents = documents
        self.kind = rng.choice(3, documents, p=SHARES)
        self.kind[0] = ORIGINAL
        self.source = _earlier(self.kind, rng.random(documents))
        lengths = rng.integers(SHORTEST, LONGEST + 1, documents)
        self.length: Ints = lengths[self.source]
        self._aim = rng.uniform(LEAST, MOST, documents)
        self._words = _words(rng)
        ranks = np.exp(np.arange(_STEPS) / _STEPS * np.log(VOCABULARY))
        self._by_chance = (ranks - 1).astype(np.int32)
        self._seed = np.uint64(rng.integers(1 << 62))

    def words(self, start: int, stop: int) -> tuple[npt.NDArray[np.int32], Ints]:
        """Words of a run of documents as numbers, and where each document begins, and the end."""
        return self._words_of(np.arange(start, stop))

    def _words_of(self, ids: Ints) -> tuple[npt.NDArray[np.int32], Ints]:
        starts = np.concatenate([[0], np.cumsum(self.length[ids])])
        own = np.repeat(self.source[ids], self.length[ids])
        place = np.arange(starts[-1]) - np.repeat(starts[:-1], self.length[ids])
        found = self._drawn(own, place)
        edited = np.flatnonzero(self.kind[ids] == EDITED)
        which, places = self._edits(ids[edited])
        fresh = self._drawn(ids[edited][which], places)
        here = starts[edited][which] + places
        found[here] = np.where(fresh == found[here], (fresh + 1) % VOCABULARY, fresh)
        return found, starts

    def _drawn(self, document: Ints, place: Ints) -> npt.NDArray[np.int32]:
        """The word at the quantile that follows from document and place."""
        return self._by_chance[self._mixed(document, place) >> np.uint64(44)]

    def _mixed(self, document: Ints, place: Ints) -> U64:
        """SplitMix64."""
        x = (document.astype(np.uint64) << np.uint64(10)) + place.astype(np.uint64) + self._seed
        x *= _ODD
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        return x

    def _edits(self, ids: Ints) -> tuple[Ints, Ints]:
        """Which words of edited copies are not their originals': (number in ``ids``, place).

        A word alone changes five shingles, one of the first four as many as its number. With c of n
        changed, the similarity is (n - c) / (n + c).
        """
        shingles, aim = self.length[ids] - SHINGLE + 1, self._aim[ids]
        changed = np.round(shingles * (1 - aim) / (1 + aim)).astype(np.int64)
        inside, rest = np.divmod(changed, SHINGLE)
        at_start = np.flatnonzero(rest)
        which = np.repeat(np.arange(len(ids)), inside)
        number = np.arange(len(which)) - np.repeat(np.cumsum(inside) - inside, inside)
        free = 2 * SHINGLE - 1  # from there on a word is far from both the start and the first edit
        slot = ((shingles - free) // np.maximum(inside, 1))[which]
        chance = (self._mixed(ids[which], number + LONGEST) >> np.uint64(40)).astype(np.int64)
        places = free + slot * number + chance % (slot - SHINGLE + 1)
        return np.concatenate([at_start, which]), np.concatenate([rest[at_start] - 1, places])

    def texts(self, start: int, stop: int) -> pa.Array:
        """Words with a space between them."""
        words, starts = self.words(start, stop)
        words[starts[1:] - 1] += VOCABULARY  # the last one has no space after it
        joined = self._words.take(pa.array(words))
        _, raw, data = joined.buffers()
        offsets = np.frombuffer(raw, np.int32)[starts]
        return pa.StringArray.from_buffers(stop - start, pa.py_buffer(offsets.tobytes()), data)

    def shingles(self, ids: Ints) -> tuple[U64, Ints]:
        """Different shingles of some documents, as (number in ``ids`` << 44 | hash), ascending, and
        how many each document has. Up to a million documents."""
        words, starts = self._words_of(ids)
        wide = words.astype(np.uint64)
        ends = len(wide) - SHINGLE + 1
        hashed = np.zeros(ends, np.uint64)
        for step in range(SHINGLE):
            hashed = (hashed + wide[step : step + ends] + np.uint64(1)) * _ODD
            hashed ^= hashed >> np.uint64(29)
        document = np.repeat(np.arange(len(ids)), np.diff(starts))
        whole = document[:ends] == document[SHINGLE - 1 :]
        keys = document[:ends][whole].astype(np.uint64) << _BITS | hashed[whole] >> np.uint64(20)
        keys.sort()
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
        return keys, np.bincount((keys >> _BITS).astype(np.int64), minlength=len(ids))

    def jaccard(self, left: Ints, right: Ints) -> npt.NDArray[np.float64]:
        """Similarity of pairs of documents, from the sets of their shingles."""
        found = [np.empty(0)]
        for start in range(0, len(left), BLOCK):
            one, of_one = self.shingles(left[start : start + BLOCK])
            two, of_two = self.shingles(right[start : start + BLOCK])
            merged = np.sort(np.concatenate([one, two]))
            shared = merged[1:][merged[1:] == merged[:-1]] >> _BITS
            both = np.bincount(shared.astype(np.int64), minlength=len(of_one))
            found.append(both / (of_one + of_two - both))
        return np.concatenate(found)

    def pairs(self, documents: int) -> Pairs:
        """All copies among the first documents, with their originals."""
        copies = np.flatnonzero(self.kind[:documents] != ORIGINAL)
        blocks = [copies[i : i + BLOCK] for i in range(0, len(copies), BLOCK)]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            alike = list(threads.map(lambda ids: self.jaccard(self.source[ids], ids), blocks))
        return Pairs(self.source[copies], copies, np.concatenate([np.empty(0), *alike]))


_ODD = np.uint64(0x9E3779B97F4A7C15)
_BITS = np.uint64(44)


def _earlier(kind: Ints, chance: npt.NDArray[np.float64]) -> Ints:
    """For each copy an original before it; for an original itself."""
    originals = np.flatnonzero(kind == ORIGINAL)
    before = np.cumsum(kind == ORIGINAL)
    drawn = originals[np.minimum((chance * before).astype(np.int64), before - 1)]
    return np.where(kind == ORIGINAL, np.arange(len(kind)), drawn)


def _words(rng: np.random.Generator) -> pa.Array:
    """The vocabulary with a space after each word, then without; frequent words are shorter."""
    letters = rng.integers(ord("a"), ord("z") + 1, (2 * VOCABULARY, 10), dtype=np.uint8)
    sizes = np.minimum(2 + np.log2(np.arange(2 * VOCABULARY) + 1) / 2, 10).astype(int)
    spelled = [bytes(row[:n]).decode() for row, n in zip(letters, sizes.tolist(), strict=True)]
    words = list(dict.fromkeys(spelled))[:VOCABULARY]
    return pa.array([*(word + " " for word in words), *words])


def generate(corpus: Corpus, folder: Path, files: int, start: int, stop: int) -> tuple[Path, ...]:
    """Write some documents as zstd Parquet with columns ``id`` and ``text``."""
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.linspace(start, stop, files + 1).astype(int).tolist()
    paths = tuple(folder / f"part-{index:03d}.parquet" for index in range(files))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda i: _write(corpus, paths[i], edges[i], edges[i + 1]), range(files)))
    return paths


def _write(corpus: Corpus, path: Path, start: int, stop: int) -> None:
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for first in range(start, stop, GROUP):
            blocks = [
                _block(corpus, schema, block, min(block + BLOCK, stop))
                for block in range(first, min(first + GROUP, stop), BLOCK)
            ]
            writer.write_table(pa.Table.from_batches(blocks, schema))


def _block(corpus: Corpus, schema: pa.Schema, start: int, stop: int) -> pa.RecordBatch:
    columns = [pa.array(np.arange(start, stop)), corpus.texts(start, stop)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
