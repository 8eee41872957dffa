"""What the benchmarks compare with: each peer is a script that runs in a process of its own.

DuckDB, Polars, Dask and pyarrow come with ``pip install 'dsm-dask[bench]'``. The others ask for
versions that rule each other out, so each has an environment of its own, which is optional::

    python -m venv evidently && evidently/bin/pip install evidently 'pandas<3'
    python -m venv whylogs   && whylogs/bin/pip install whylogs 'pandas<3' 'numpy<2' 'pyarrow<20'
    python -m venv nannyml   && nannyml/bin/pip install nannyml statsmodels
    python -m venv alibi     && alibi/bin/pip install alibi-detect 'pyarrow<20'
    python -m venv duckdb    && duckdb/bin/pip install duckdb==1.4.4 duckdb-ext-httpfs

    python benchmarks/drift.py --peer-python evidently=evidently/bin/python ...

The last one is needed only where DuckDB cannot download its extension for S3. A peer that is not
there is named in the results, with the reason.
"""
