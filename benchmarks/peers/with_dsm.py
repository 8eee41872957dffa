"""Ours as a peer: drift between files, in one process on one core."""

from measured import run


def prepare(task):
    import dsm_dask as dsm
    from dsm_dask.engine import Engine
    from dsm_dask.sources.parquet import open_parquet

    engine = Engine(workers=0)

    def work(task):
        sides = [open_parquet(task[side], map_=engine.map) for side in ("reference", "current")]
        found = dsm.drift(*sides, columns=task["columns"], engine=engine)
        return {"columns": len(found.columns)}

    return work


if __name__ == "__main__":
    run(prepare)
