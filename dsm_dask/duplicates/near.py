"""Near duplicates of texts: MinHash, exact verification, clusters.

1. Each partition leaves a band file (:mod:`dsm_dask.duplicates.band_index`); a dataset keeps them,
   so only partitions that are new are hashed.
2. Rows that share a band key are candidates (:mod:`dsm_dask.duplicates.candidates`).
3. Candidates are compared by the exact Jaccard similarity of their shingles, unless that is turned
   off (:mod:`dsm_dask.duplicates.verify`).
4. What is connected is a cluster; one row of it stays (:mod:`dsm_dask.duplicates.clusters`).

Clusters and survivors are the same however the table is cut, and whatever is retried.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.duplicates.band_files import BandFile, Counts
from dsm_dask.duplicates.band_index import WriteBands, with_bands
from dsm_dask.duplicates.borderline import described_pairs, weakest
from dsm_dask.duplicates.candidates import RANGE, Candidates, candidates
from dsm_dask.duplicates.clusters import LARGEST, Clusters, decide, name_of
from dsm_dask.duplicates.components import LIMIT, PIECE
from dsm_dask.duplicates.conclude import Ends, carry_out, check_ends
from dsm_dask.duplicates.damage import TRIES, gave_up
from dsm_dask.duplicates.indexes import describe, index_name
from dsm_dask.duplicates.known_bands import KnownBands
from dsm_dask.duplicates.largest import described
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.duplicates.places import Places
from dsm_dask.duplicates.result import Deduplicated, IndexUse
from dsm_dask.duplicates.rule import Rule
from dsm_dask.duplicates.settled import Listing, Settled
from dsm_dask.duplicates.shingles import check_text
from dsm_dask.duplicates.since import Since, since
from dsm_dask.duplicates.untouched import Untouched, untouched
from dsm_dask.duplicates.verify import HOME, Verified, strongest, verify
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.table import Table, check_columns

UNSPACED_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Near:
    """What near duplicates are, and which row of a cluster stays."""

    minhash: MinHash = dataclasses.field(default_factory=MinHash)
    threshold: float = 0.8
    """Least Jaccard similarity of a pair; what verification holds candidates to."""
    verify: bool = True
    rule: Rule = dataclasses.field(default_factory=Rule)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON, and in the lineage of a commit."""
        return {
            "threshold": self.threshold,
            **self.minhash.to_dict(),
            "verify": self.verify,
            "keep": self.rule.keep,
            "prefer": self.rule.prefer,
        }


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What one task holds at most, about; results do not depend on it."""

    keys: int = RANGE
    """Band keys."""
    edges: int = LIMIT
    """Different edges; when there are more, components are found by rounds."""
    home: int = HOME
    """Rows whose shingles are compared."""
    piece: int = PIECE
    """Rows of clusters that are decided on."""


def dedup_near(
    table: Table,
    on: str,
    near: Near | None = None,
    *,
    engine: Engine,
    against: Sequence[Table] = (),
    drop: bool = False,
    columns: bool = False,
    out: str | None = None,
    scratch: str | None = None,
    message: str = "",
    dry_run: bool = False,
    largest: int = LARGEST,
    cut: int | None = None,
    bounds: Bounds | None = None,
) -> Deduplicated:
    """Find rows of ``table`` of which the texts in column ``on`` are nearly the same.

    ``against`` are other tables with a column of that name: rows of ``table`` that resemble one of
    theirs are duplicates, theirs are never dropped. ``drop`` commits a version without the
    duplicates, ``columns`` one with :data:`dsm_dask.duplicates.conclude.COLUMNS` next to the data
    (datasets only). ``out`` keeps a table of decisions as Parquet files in that folder. ``largest``
    clusters are described, with ``cut`` characters of each text when that is given. What passes
    between tasks goes to ``scratch``; else to a temporary folder when all workers are on this
    machine and it has room; else beside the dataset, or beside ``out``.
    """
    near = near or Near()
    near = dataclasses.replace(near, rule=dataclasses.replace(near.rule, column=on))
    tables = (table, *against)
    ends = Ends(drop, columns, out, scratch, message, dry_run)
    _check(tables, on, near, ends)
    spec = {
        "on": [on], "method": "minhash", **near.to_dict(),
        "against": [name_of(other) for other in against],
    }  # fmt: skip

    def search(place: Places, run: str, decisions: str | None) -> tuple[Deduplicated, Clusters]:
        job = _Run(tables, on, near, place, run, engine, bounds or Bounds(), dry_run)
        return job.found(decisions, largest, cut)

    return carry_out(tables, spec, search, ends, engine)


def _check(tables: Sequence[Table], on: str, near: Near, ends: Ends) -> None:
    for table in tables:
        check_columns(table, [on])
        check_text(table, on)
    if not 0 < near.threshold <= 1:
        raise UsageError(
            f"A threshold of {near.threshold} is no similarity.", valid="Above 0, up to 1."
        )
    check_ends(tables, near.rule, ends)


@dataclasses.dataclass(frozen=True)
class _Searched:
    """The band files of each table, the candidates among them that are new, and what stands of an
    earlier run."""

    files: Sequence[Sequence[BandFile]]
    pairs: Candidates
    changed: Since
    stand: Untouched
    made: int = 0
    """How many band files this run wrote."""


@dataclasses.dataclass(frozen=True)
class _Run:
    """One run: tables (the data first), what is looked for, and where things go."""

    tables: tuple[Table, ...]
    on: str
    near: Near
    place: Places
    run: str
    engine: Engine
    bounds: Bounds
    dry_run: bool = False
    """Whether nothing may be kept, not even beside the other tables."""

    def found(
        self, decisions: str | None, largest: int, cut: int | None
    ) -> tuple[Deduplicated, Clusters]:
        mark = self.engine.mark()
        near, work, bounds = self.near, self.place.work, self.bounds
        searched = self._searched()
        files, pairs = searched.files, searched.pairs
        verified = self._verified(searched, keep=not mark.skipped) if near.verify else Verified()
        connecting = verified.edges if near.verify else (*pairs.edges, *pairs.same)
        clusters = decide(
            [*connecting, *pairs.copies], self.tables,
            rule=near.rule, reason="minhash", engine=self.engine,
            folder=storage.join(work, "clusters"), run=self.run,
            decisions=decisions, largest=largest, limit=bounds.edges, piece=bounds.piece,
        )  # fmt: skip
        every = list(itertools.chain(*files))
        size = sum(file.size for file in every)
        found = Deduplicated(
            rows=sum(file.rows for file in files[0]),
            clusters=clusters.clusters,
            duplicates=clusters.duplicates,
            on=(self.on,),
            method="minhash",
            largest=described(clusters.largest, self.tables, (self.on,), self.engine, cut),
            key_bytes=sum(file.size for file in files[0]),
            parameters=near.to_dict(),
            sizes=clusters.sizes,
            similarities=clusters.similarities,
            against=clusters.against,
            checked=sum(one.checked for one in verified.groups) if near.verify else None,
            accepted=sum(one.accepted for one in verified.groups) if near.verify else None,
            index=IndexUse(len(every), searched.made, size, verified.compared),
            left_out={"unread": verified.unread} if verified.unread else None,
            notes=(*self._notes(files[0]), *_unread(verified.unread)),
        )
        if cut is not None and near.verify:
            weak = weakest(connecting, self.engine)
            shown = described_pairs(
                weak, verified.refused, self.tables, (self.on,), self.engine, cut
            )
            found = dataclasses.replace(found, borderline=shown)
        return found, clusters

    def _searched(self) -> _Searched:
        """The band files of each table, and the candidates. A file that is damaged, or that someone
        removed meanwhile, is made again."""
        damaged: frozenset[str] = frozenset()
        made: set[str] = set()
        for _ in range(TRIES):
            files = [
                self._hashed(number, table, damaged) for number, table in enumerate(self.tables)
            ]
            made |= {file.uri for some in files for file in some if file.made}
            found = self._changes(files)
            if not found.pairs.damaged:
                return dataclasses.replace(found, made=len(made))
            damaged |= frozenset(found.pairs.damaged)
        raise gave_up(found.pairs.damaged)

    def _changes(self, files: Sequence[Sequence[BandFile]]) -> _Searched:
        """What is new since an earlier run, and the groups of that one that stand; or all there is
        to find."""
        keys, work, engine = self.bounds.keys, self.place.work, self.engine
        pairs_held = max(1, keys // 2)
        changed = Since({})
        if self.near.verify:
            changed = since(self._settled, files, pairs=pairs_held, engine=engine)
        if changed.groups is not None:
            pairs = candidates(
                changed.new, work, engine=engine, keys=keys, old=changed.old, opened=changed.opened
            )
            edges = (*pairs.edges, *pairs.same)
            stand: Untouched | None = Untouched()
            if not pairs.damaged:
                stand = untouched(changed, edges, self._settled, pairs=pairs_held, engine=engine)
            if stand is not None:
                return _Searched(files, pairs, changed, stand)
        every = [(table, file) for table, some in enumerate(files) for file in some]
        pairs = candidates(every, work, engine=engine, keys=keys, measured=self.near.verify)
        return _Searched(files, pairs, changed, Untouched())

    def _verified(self, searched: _Searched, *, keep: bool) -> Verified:
        """All groups, and what was refused among them; the outcome is kept, if all could be
        read."""
        pairs, stand, minhash = searched.pairs, searched.stand, self.near.minhash
        mark = self.engine.mark()
        found = verify(
            (*stand.candidates, *pairs.edges, *pairs.same), self.tables, self.on, minhash.shingles,
            minhash.normalise, self.near.threshold, storage.join(self.place.work, "verify"),
            engine=self.engine, settled=self._settled, known=stand.joined, home=self.bounds.home,
            limit=self.bounds.edges,
        )  # fmt: skip
        groups = (*stand.groups, *found.groups)
        if keep and not mark.skipped:
            self._settled.save(Listing(searched.changed.seen, groups))
        refused = strongest((*stand.refused, *found.refused))
        edges = tuple(file for file in (*stand.edges, *found.edges) if file.edges)
        return dataclasses.replace(found, groups=groups, edges=edges, refused=refused)

    @property
    def _settled(self) -> Settled:
        """Where groups are kept: beside a dataset, by threshold and other tables."""
        table, work = self.tables[0], storage.join(self.place.work, "settled")
        if not isinstance(table, Dataset):
            return Settled(work, work, self.run, None)
        others = [other.uri for other in self.tables[1:]]
        about = repr((3, self.near.threshold, others)).encode()
        name = f"verified-{hashlib.blake2b(about, digest_size=6).hexdigest()}"
        index = index_name(self.near.minhash, self.on)
        folder = storage.join(self.place.kept, "index", index, name)
        known = storage.join(table.uri, "_dsm", "index", index, name)
        return Settled(folder, work, self.run, known)

    def _hashed(self, number: int, table: Table, damaged: frozenset[str]) -> list[BandFile]:
        """The band files of a table: its own, kept beside it, where it is a dataset."""
        name = index_name(self.near.minhash, self.on)
        here = storage.join(self.place.kept, "index", name)
        known, folders = [here], [here]
        told = KnownBands(here, {})
        if isinstance(table, Dataset):
            own = storage.join(table.uri, "_dsm", "index", name)
            known = list(dict.fromkeys([own, here]))
            told = KnownBands.load(own)
            if not self.dry_run:
                folders = known
                describe(own, {"method": "minhash", "on": self.on, **self.near.minhash.to_dict()})
        if not told.told:  # one request, instead of two for each partition of a first run
            known = with_bands(known)
        worker = WriteBands(
            self.on, self.near.minhash, tuple(known), tuple(folders), self.place.work, number,
            damaged,
        )  # fmt: skip
        partitions = table.partitions()
        found = [told.of(worker, partition) for partition in partitions]
        rest = [i for i, files in enumerate(found) if files is None]
        made = self.engine.map_partitions(worker, [partitions[i] for i in rest], label="Hashing")
        if len(made) < len(rest):  # some could not be read
            return [file for files in (*found, *made) for file in files or ()]
        for i, files in zip(rest, made, strict=True):
            found[i] = files
        every = [files or [] for files in found]
        if isinstance(table, Dataset) and not self.dry_run:
            told.save(worker, partitions, every)
        return [file for files in every for file in files]

    def _notes(self, files: Sequence[BandFile]) -> tuple[str, ...]:
        counts = sum((file.counts for file in files), Counts())
        minhash, found = self.near.minhash, []
        texts = sum(file.rows for file in files) - counts.empty - counts.nulls
        none = counts.empty + counts.nulls
        if none and not minhash.match_empty:
            found.append(
                f"{none:,} texts are empty or null: they are duplicates of nothing "
                "(--match-empty makes them duplicates of each other)."
            )
        if counts.short:
            found.append(
                f"{counts.short:,} texts are shorter than a shingle ({minhash.shingles}): they "
                "match only texts that are the same."
            )
        if counts.unspaced > UNSPACED_SHARE * texts:
            found.append(
                f"{counts.unspaced:,} of {texts:,} texts have next to no spaces, as in Chinese, "
                "Japanese or Thai: word shingles see few and long words there. Use --shingle "
                "char:8 or so."
            )
        return tuple(found)


def _unread(rows: int) -> tuple[str, ...]:
    """The remark on candidates that a skipped partition holds."""
    if not rows:
        return ()
    return (
        f"{rows:,} texts could not be read, and were compared with nothing: copies aside, they are "
        "duplicates of nothing.",
    )
