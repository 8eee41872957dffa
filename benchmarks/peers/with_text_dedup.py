"""text-dedup: its MinHash command over a dataset of Hugging Face's, in this process so that the
clusters can be had; hashes by xxh3, its faster way. Nothing is verified."""

from measured import run


def prepare(task):
    import os
    import tempfile
    from importlib.metadata import version

    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    home = tempfile.TemporaryDirectory(prefix="text-dedup-")
    os.environ["HF_HOME"] = home.name
    import pyarrow as pa
    import pyarrow.parquet as pq
    from text_dedup import minhash

    def work(task):
        with tempfile.TemporaryDirectory(dir=home.name) as folder:
            inputs = os.path.join(folder, "in")
            os.mkdir(inputs)
            for path in task["paths"]:
                os.symlink(path, os.path.join(inputs, os.path.basename(path)))
            options = {
                "path": "parquet", "data_files": f"{inputs}/*.parquet", "split": "train",
                "cache_dir": f"{folder}/cache", "output": f"{folder}/out", "column": "text",
                "num_proc": task["threads"], "ngram": task["shingle"],
                "num_perm": task["bands"] * task["rows"], "b": task["bands"], "r": task["rows"],
                "threshold": task["threshold"], "hash_func": "xxh3",
            }  # fmt: skip
            given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
            minhash.main(given, standalone_mode=False)
        found = minhash.uf
        numbers = [row for path in task["paths"] for row in pq.read_table(path)["id"].to_pylist()]
        rows = sorted(found.parent)
        clusters = [found.find(row) for row in rows]
        ids = {"id": [numbers[row] for row in rows], "cluster": [numbers[row] for row in clusters]}
        pq.write_table(pa.table(ids), task["out"])
        duplicates = len(rows) - len(set(clusters))
        return {"duplicates": duplicates, "version": version("text-dedup")}

    return work


if __name__ == "__main__":
    run(prepare)
