"""The same kind of job in Python, for when a step depends on what an earlier one found.

python jobs/curate.py s3://lake/reviews 's3://lake/raw/*.parquet' text
"""

from __future__ import annotations

import sys

import dsm_dask as dsm


def curate(dataset: str, sources: str, column: str) -> None:
    """Link the files, and drop exact duplicates only if there are enough of them to matter."""
    with dsm.Engine() as engine:
        dsm.create(dataset, sources, engine=engine, message="Linked by jobs/curate.py")
        found = dsm.dedup(dataset, column, engine=engine)
        print(f"{found.duplicates:,} of {found.rows:,} rows repeat an earlier {column}")
        if found.duplicates > found.rows // 100:
            curated = dsm.dedup(dataset, column, engine=engine, drop=True, message="Exact copies")
            dsm.tag(f"{dataset}@{curated.version}", "curated")
        for version in dsm.log(dataset).versions:
            print(version.version, version.job, f"{version.rows:,} rows", version.message)


if __name__ == "__main__":
    curate(*sys.argv[1:4])
