"""datasketch: signatures in several processes, then one index that each document is looked up in
before it is put there. What is found together is a cluster; nothing is verified."""

import functools

from measured import run
from union_find import clusters, unite


def prepare(task):
    import multiprocessing

    import datasketch
    import pyarrow as pa
    import pyarrow.parquet as pq

    scheme = datasketch.MinHash(2).scheme

    def work(task):
        index = datasketch.MinHashLSH(
            num_perm=task["permutations"], params=(task["bands"], task["rows"])
        )
        parent = {}
        signing = functools.partial(sign, size=task["shingle"], permutations=task["permutations"])
        with multiprocessing.get_context("fork").Pool(task["threads"]) as pool:
            for ids, signatures in pool.imap(signing, groups(task["paths"])):
                for row, signature in zip(ids, signatures, strict=True):
                    minhash = datasketch.LeanMinHash(seed=1, hashvalues=signature, scheme=scheme)
                    for other in index.query(minhash):
                        unite(parent, row, other)
                    index.insert(row, minhash, check_duplication=False)
        found = clusters(parent)
        pq.write_table(pa.table(found), task["out"])
        duplicates = len(found["id"]) - len(set(found["cluster"]))
        return {"duplicates": duplicates, "version": datasketch.__version__}

    def groups(paths):
        for path in paths:
            yield from ((path, group) for group in range(pq.read_metadata(path).num_row_groups))

    return work


def sign(place, size, permutations):
    """Ids and signatures of a row group."""
    import numpy as np
    import pyarrow.parquet as pq
    from datasketch import MinHash

    path, group = place
    rows = pq.ParquetFile(path).read_row_group(group, columns=["id", "text"], use_threads=False)
    sets = (shingles(text.encode(), size) for text in rows["text"].to_pylist())
    found = [one.hashvalues for one in MinHash.generator(sets, num_perm=permutations)]
    return rows["id"].to_pylist(), np.stack(found)


def shingles(text, size):
    words = text.split()
    return {b" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))}


if __name__ == "__main__":
    run(prepare)
