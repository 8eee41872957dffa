"""The bare scan: every column decoded by pyarrow on two threads, and thrown away."""

from measured import run


def prepare(task):
    import os

    import pyarrow as pa
    import pyarrow.dataset as pads
    import pyarrow.fs as pafs

    remote = task["remote"]
    pa.set_cpu_count(task["threads"])
    store = pafs.LocalFileSystem()
    if remote:
        store = pafs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])

    def work(task):
        paths = [path.removeprefix("s3://") for path in task["paths"]]
        options = pads.ParquetFragmentScanOptions(pre_buffer=remote)
        data = pads.dataset(paths, format="parquet", filesystem=store)
        scanner = data.scanner(use_threads=True, fragment_scan_options=options)
        return {"rows": sum(batch.num_rows for batch in scanner.to_batches())}

    return work


if __name__ == "__main__":
    run(prepare)
