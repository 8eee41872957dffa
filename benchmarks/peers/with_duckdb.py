"""DuckDB's SUMMARIZE, whose counts of distinct values and quantiles are approximate."""

import glob
import os
import sys
from urllib.parse import urlsplit

from measured import run

PACKAGED = "lib/python*/site-packages/duckdb_ext/extensions/*/*/httpfs.duckdb_extension"


def prepare(task):
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {task['threads']}")
    if task["remote"]:
        reach_s3(connection)

    def work(task):
        found = connection.execute("SUMMARIZE SELECT * FROM read_parquet(?)", [task["paths"]])
        return {"columns": len(found.fetchall()), "version": duckdb.__version__}

    return work


def reach_s3(connection):
    """Load the extension for S3, from a package if there is one, and give it the environment."""
    packaged = glob.glob(os.path.join(sys.prefix, PACKAGED))
    if packaged:
        connection.execute(f"LOAD '{packaged[0]}'")
    else:
        connection.execute("INSTALL httpfs; LOAD httpfs")
    keys = [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]]
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{keys[0]}', SECRET '{keys[1]}', "
        f"REGION '{os.environ['AWS_REGION']}', ENDPOINT '{endpoint}', "
        "URL_STYLE 'path', USE_SSL false)"
    )


if __name__ == "__main__":
    run(prepare)
