"""Polars with the statistics of a profile, in one streaming query over the files."""

import os

from measured import run

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 10


def prepare(task):
    os.environ["POLARS_MAX_THREADS"] = str(task["threads"])
    import polars as pl

    def work(task):
        rows = pl.scan_parquet(task["paths"], storage_options=_storage(task["remote"]))
        schema = rows.collect_schema()
        asked = [one for name, dtype in schema.items() for one in _statistics(pl, name, dtype)]
        found = rows.select(asked).collect(engine="streaming")
        return {"statistics": found.width, "version": pl.__version__}

    return work


def _statistics(pl, name, dtype):
    column = pl.col(name)
    yield column.count().alias(f"{name} count")
    yield column.approx_n_unique().alias(f"{name} distinct")
    yield column.value_counts(sort=True).head(TOP).implode().alias(f"{name} top")
    yield from (column.min().alias(f"{name} min"), column.max().alias(f"{name} max"))
    if dtype == pl.String:
        length = column.str.len_chars()
        yield from (length.min().alias(f"{name} short"), length.max().alias(f"{name} long"))
        yield length.mean().alias(f"{name} length")
        return
    for share in QUANTILES:
        yield column.quantile(share).alias(f"{name} {share}")
    if dtype.is_numeric():
        for statistic in ("mean", "std", "skew", "kurtosis"):
            yield getattr(column, statistic)().alias(f"{name} {statistic}")
        yield (column == 0).sum().alias(f"{name} zeros")
        yield (column < 0).sum().alias(f"{name} negatives")


def _storage(remote):
    if not remote:
        return None
    return {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": os.environ["AWS_REGION"],
        "aws_allow_http": "true",
    }


if __name__ == "__main__":
    run(prepare)
