"""cleanlab: label issues by every filter, and scores of labels, from Parquet files to Parquet.

``filters``: the first is timed, from reading to writing; the others are for comparison. ``threads``
is cleanlab's ``n_jobs``; ``batched`` takes its version for little memory, which has no filters.
"""

from measured import run


def prepare(task):
    import warnings

    import cleanlab
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    warnings.simplefilter("ignore")

    def read(paths):
        table = pa.concat_tables(
            [pq.read_table(path, columns=["label", "probs"]) for path in paths]
        )
        lists = table["probs"].combine_chunks()
        return table["label"].to_numpy(), lists.values.to_numpy().reshape(len(lists), -1)

    def flags(labels, probabilities):
        if task.get("batched"):
            places = find_label_issues_batched(labels, probabilities, verbose=False, n_jobs=1)
            return np.isin(np.arange(len(labels)), places)
        rule = task["filters"][0]
        return find_label_issues(labels, probabilities, filter_by=rule, n_jobs=task["threads"])

    def work(task):
        labels, probabilities = read(task["paths"])
        found = flags(labels, probabilities)
        scores = get_label_quality_scores(labels, probabilities, method=task["methods"][0])
        pq.write_table(pa.table({"issue": found, "score": scores}), task["out"])
        return {"issues": int(found.sum()), "version": cleanlab.__version__}

    def compared(task):
        """Flags and scores of every filter and method, untimed."""
        labels, probabilities = read(task["paths"])
        columns = {
            rule: find_label_issues(labels, probabilities, filter_by=rule, n_jobs=1)
            for rule in task["filters"]
        }
        for method in task["methods"]:
            columns[method] = get_label_quality_scores(labels, probabilities, method=method)
        pq.write_table(pa.table(columns), task["out"])
        return {"version": cleanlab.__version__}

    return compared if task.get("compare") else work


if __name__ == "__main__":
    run(prepare)
