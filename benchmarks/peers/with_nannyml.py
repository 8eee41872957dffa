"""NannyML: univariate drift of the current data, taken as one chunk."""

from measured import run


def prepare(task):
    import nannyml
    import pandas as pd

    def work(task):
        reference, current = (
            pd.concat([pd.read_parquet(path, columns=task["columns"]) for path in task[side]])
            for side in ("reference", "current")
        )
        found = nannyml.UnivariateDriftCalculator(
            column_names=task["columns"],
            continuous_methods=["wasserstein", "jensen_shannon"],
            categorical_methods=["l_infinity", "jensen_shannon"],
            chunk_number=1,
        )
        result = found.fit(reference).calculate(current)
        return {"columns": len(result.to_df().columns), "version": nannyml.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
