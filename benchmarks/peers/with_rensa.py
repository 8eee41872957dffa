"""rensa: R-MinHash over the full sets, and a flag for each document that resembles one that came
before it or with it in a batch. It says which documents are duplicates, not of what.
"""

from measured import run

BATCH = 20_000


def prepare(task):
    from importlib.metadata import version

    import pyarrow as pa
    import pyarrow.parquet as pq
    import rensa

    def work(task):
        permutations = task["bands"] * task["rows"]
        index = rensa.RMinHashLSH(task["threshold"], permutations, task["bands"])
        flagged, first = [], 0
        for path in task["paths"]:
            for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["id", "text"]):
                sets = [shingles(text, task["shingle"]) for text in batch.column(1).to_pylist()]
                matrix = rensa.RMinHash.digest_matrix_from_token_sets(sets, permutations, 42)
                flags = index.insert_matrix_and_query_duplicate_flags(matrix, first)
                ids = batch.column(0).to_pylist()
                flagged += [row for row, flag in zip(ids, flags, strict=True) if flag]
                first += len(ids)
        pq.write_table(pa.table({"flagged": pa.array(flagged, pa.int64())}), task["out"])
        return {"duplicates": len(flagged), "version": version("rensa")}

    return work


def shingles(text, size):
    words = text.split()
    return [" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))]


if __name__ == "__main__":
    run(prepare)
