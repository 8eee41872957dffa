"""Polars: ids of the rows that stay, by a hash of a column or by the column itself."""

import os

from measured import run


def prepare(task):
    os.environ["POLARS_MAX_THREADS"] = str(task["threads"])
    import polars as pl

    def work(task):
        rows = pl.scan_parquet(task["paths"])
        key = pl.col(task["column"])
        if task["by_hash"]:
            key = key.hash()
        kept = rows.select("id", key.alias("key")).unique("key", keep="any")
        found = kept.select("id").collect(engine="streaming")
        return {"kept": found.height, "version": pl.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
