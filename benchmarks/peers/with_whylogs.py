"""whylogs: the profile of a data frame."""

from measured import run


def prepare(task):
    import pandas as pd
    import whylogs

    def work(task):
        frames = [pd.read_parquet(path) for path in task["paths"]]
        view = whylogs.log(pd.concat(frames)).profile().view()
        return {"columns": len(view.to_pandas()), "version": whylogs.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
