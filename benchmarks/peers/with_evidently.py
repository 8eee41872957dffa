"""Evidently: its preset of data drift, each column by the method that it chooses itself."""

from measured import run


def prepare(task):
    import evidently
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    def work(task):
        kinds = DataDefinition(
            numerical_columns=task["numeric"], categorical_columns=task["categorical"]
        )
        frames = [
            pd.concat([pd.read_parquet(path, columns=task["columns"]) for path in task[side]])
            for side in ("current", "reference")
        ]
        sides = [Dataset.from_pandas(frame, data_definition=kinds) for frame in frames]
        found = Report([DataDriftPreset()]).run(*sides).dict()
        return {"metrics": len(found["metrics"]), "version": evidently.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
