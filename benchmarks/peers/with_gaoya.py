"""gaoya: all documents into an index, then each is looked up in it, on all cores.

It verifies what it finds by the signatures.
"""

from measured import run
from union_find import clusters, unite

BATCH = 20_000


def prepare(task):
    import gaoya
    import pyarrow as pa
    import pyarrow.parquet as pq
    from gaoya.minhash import MinHashStringIndex

    def work(task):
        size = task["shingle"]
        index = MinHashStringIndex(
            32, task["threshold"], task["bands"], task["rows"], analyzer="word",
            ngram_range=(size, size), id_container="smallvec",
        )  # fmt: skip
        for ids, texts in batches(task["paths"]):
            index.par_bulk_insert_docs(ids, texts)
        parent = {}
        for ids, texts in batches(task["paths"]):
            for row, others in zip(ids, index.par_bulk_query(texts), strict=True):
                for other in others:
                    if other < row:
                        unite(parent, row, other)
        found = clusters(parent)
        pq.write_table(pa.table(found), task["out"])
        duplicates = len(found["id"]) - len(set(found["cluster"]))
        return {"duplicates": duplicates, "version": gaoya.__version__}

    def batches(paths):
        for path in paths:
            for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["id", "text"]):
                yield batch.column(0).to_pylist(), batch.column(1).to_pylist()

    return work


if __name__ == "__main__":
    run(prepare)
