"""Dask DataFrame: describe, approximate distinct counts and quantiles, on a cluster that is up."""

from measured import run

QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]


def prepare(task):
    import dask
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=task["threads"], threads_per_worker=1, dashboard_address="127.0.0.1:0"
    )
    Client(cluster)

    def work(task):
        rows = dd.read_parquet(task["paths"])
        numeric = [n for n, kind in rows.dtypes.items() if pd.api.types.is_numeric_dtype(kind)]
        times = [n for n, kind in rows.dtypes.items() if kind.kind == "M"]
        asked = [rows[numeric].describe(), rows[numeric].quantile(QUANTILES), rows.count()]
        asked += [rows[name].quantile(QUANTILES) for name in times]
        asked += [rows[name].nunique_approx() for name in rows.columns]
        others = [name for name in rows.columns if name not in numeric]
        asked += [extreme for n in others for extreme in (rows[n].min(), rows[n].max())]
        return {"statistics": len(dask.compute(*asked)), "version": dask.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
