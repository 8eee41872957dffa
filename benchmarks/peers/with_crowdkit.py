"""crowd-kit: Dawid-Skene, from a Parquet file of answers (a column an annotator) to one of
confidences."""

from measured import run


def prepare(task):
    import crowdkit
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from crowdkit.aggregation import DawidSkene

    def work(task):
        table = pa.concat_tables([pq.read_table(path) for path in task["paths"]])
        wide = table.to_pandas().set_index("id")
        answers = wide.stack().dropna().reset_index()
        answers.columns = ["task", "worker", "label"]
        answers = answers.astype({"label": "int64"})
        found = DawidSkene(n_iter=task["rounds"]).fit_predict_proba(answers).sort_index()
        top = pd.DataFrame({"label": found.idxmax(axis=1), "confidence": found.max(axis=1)})
        pq.write_table(pa.Table.from_pandas(top), task["out"])
        return {"answers": len(answers), "version": crowdkit.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
