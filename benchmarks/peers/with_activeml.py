"""scikit-activeml: uncertainty of rows by its three measures, from Parquet files to Parquet.

``in_memory`` of what it finds: seconds for the measures alone.
"""

import time

from measured import run


def prepare(task):
    import pyarrow as pa
    import pyarrow.parquet as pq
    import skactiveml
    from skactiveml.pool import uncertainty_scores

    measures = {
        "least_confidence": "least_confident",
        "margin": "margin_sampling",
        "entropy": "entropy",
    }

    def work(task):
        lists = pa.concat_tables([pq.read_table(path, columns=["probs"]) for path in task["paths"]])
        lists = lists["probs"].combine_chunks()
        probabilities = lists.values.to_numpy().reshape(len(lists), -1)
        began = time.perf_counter()
        found = {
            name: uncertainty_scores(probabilities, method=method)
            for name, method in measures.items()
        }
        seconds = time.perf_counter() - began
        pq.write_table(pa.table(found), task["out"])
        return {"in_memory": seconds, "version": skactiveml.__version__}

    return work


if __name__ == "__main__":
    run(prepare)
