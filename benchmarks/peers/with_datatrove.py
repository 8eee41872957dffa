"""datatrove: the first three steps of its MinHash pipeline, to clusters; no document is written.

Words are spaCy's, as its pipeline takes them; normalisation, which would change nothing, is off.
"""

from measured import run


def prepare(task):
    import os
    import struct
    import tempfile
    from importlib.metadata import version

    os.environ["DATATROVE_COLORIZE_LOGS"] = "0"
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.utils.text import TextNormConfig

    def work(task):
        words = TextNormConfig(False, False, False, False, False)
        config = MinhashConfig(task["shingle"], task["bands"], task["rows"], norm_config=words)
        with tempfile.TemporaryDirectory(prefix="datatrove-") as home:
            steps = [f"{home}/{name}" for name in ("in", "signatures", "buckets", "clusters")]
            os.mkdir(steps[0])
            for path in task["paths"]:
                os.symlink(path, os.path.join(steps[0], os.path.basename(path)))
            reader = ParquetReader(steps[0], glob_pattern="*.parquet", read_metadata=False)
            files, threads = len(task["paths"]), task["threads"]
            for number, pipeline, tasks in (
                (1, [reader, MinhashDedupSignature(steps[1], config=config)], files),
                (2, [MinhashDedupBuckets(*steps[1:3], config=config)], task["bands"]),
                (3, [MinhashDedupCluster(*steps[2:], config=config, save_cluster_id=True)], 1),
            ):
                logs = f"{home}/logs-{number}"
                LocalPipelineExecutor(
                    pipeline,
                    tasks=tasks,
                    workers=min(threads, tasks),
                    logging_dir=logs,
                    start_method="fork",
                ).run()
            rows, clusters = clustered(steps[3], sorted(task["paths"], key=os.path.basename))
        pq.write_table(pa.table({"id": rows, "cluster": clusters}), task["out"])
        duplicates = len(rows) - len(set(clusters))
        return {"duplicates": duplicates, "version": version("datatrove")}

    def clustered(folder, paths):
        """Ids and clusters, of files that hold a document's number in its file and a cluster."""
        rows, clusters = [], []
        for rank, path in enumerate(paths):
            place = f"{folder}/{rank:06d}.clusters"
            if not os.path.exists(place):
                continue
            with open(place, "rb") as file:
                pairs = list(struct.iter_unpack("<2I", file.read()))
            ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
            rows += [ids[document] for document, _ in pairs]
            clusters += [cluster for _, cluster in pairs]
        return rows, clusters

    return work


if __name__ == "__main__":
    run(prepare)
