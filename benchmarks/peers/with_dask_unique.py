"""Dask DataFrame: ids of the rows that ``drop_duplicates`` leaves, on threads."""

from measured import run


def prepare(task):
    import dask
    import dask.dataframe as dd

    dask.config.set(scheduler="threads", num_workers=task["threads"])

    def work(task):
        rows = dd.read_parquet(task["paths"], columns=["id", task["column"]])
        kept = rows.drop_duplicates(subset=[task["column"]])["id"].compute()
        return {"kept": len(kept), "version": dask.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
