"""How far a profile is from the exact results, which DuckDB counts.

The rank error of a quantile v at share p: how far p is from the ranks that v has, between the share
of values below v and the share up to v, with one value to spare for the interpolation between two.
"""

from measured import run


def prepare(task):
    import duckdb

    connection = duckdb.connect()

    def work(task):
        connection.execute(
            "CREATE OR REPLACE VIEW rows_ AS SELECT * FROM read_parquet($paths)".replace(
                "$paths", repr(task["paths"])
            )
        )
        return {name: _column(connection, name, told) for name, told in task["profile"].items()}

    return work


def _column(connection, name, told):
    probabilities = sorted(told["quantiles"], key=float)
    kind = connection.execute(f'SELECT typeof("{name}") FROM rows_ LIMIT 1').fetchone()[0]
    kind = "DOUBLE" if kind == "FLOAT" else kind
    ranks = "".join(
        f', count(*) FILTER ("{name}" < CAST(? AS {kind})), '
        f'count(*) FILTER ("{name}" <= CAST(? AS {kind}))'
        for _ in probabilities
    )
    points = [value for p in probabilities for value in [told["quantiles"][p]] * 2]
    count, distinct, *found = connection.execute(
        f'SELECT count("{name}"), count(DISTINCT "{name}"){ranks} FROM rows_', points
    ).fetchone()
    errors = [
        max(0.0, (low - 1) / count - float(p), float(p) - (high + 1) / count)
        for p, low, high in zip(probabilities, found[::2], found[1::2], strict=True)
    ]
    return {
        "rank_error": max(errors, default=None),
        "distinct": distinct,
        "distinct_error": abs(told["distinct"] - distinct) / distinct,
    }


if __name__ == "__main__":
    run(prepare, warm=False)
