"""A table of scores to make queues of."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def table_of(rows: int, seed: int = 1) -> pa.Table:
    """A table with columns of scores, some null, some tied."""
    random = np.random.default_rng(seed)
    labels = random.choice(["cat", "dog", "emu"], rows, p=[0.8, 0.15, 0.05])
    predicted = np.where(random.random(rows) < 0.8, labels, "cat")
    return pa.table(
        {
            "id": [f"r{row}" for row in range(rows)],
            "text": [f"text of row {row}\n<b>" + "x " * 40 for row in range(rows)],
            "y": pa.array(labels, mask=random.random(rows) < 0.05),
            "label_quality": pa.array(
                random.random(rows).astype(np.float32), mask=random.random(rows) < 0.1
            ),
            "neighbour_agreement": random.integers(0, 6, rows).astype(np.float32) / 5,
            "neighbour_label": predicted,
            "outlier_score": random.random(rows).astype(np.float32),
            "predicted_label": predicted,
            "predicted_probability": random.uniform(0.4, 1, rows).astype(np.float32),
        }
    )


def write(folder, table: pa.Table, count: int = 1) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    for number in range(count):
        piece = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(piece, folder / f"{number:03}.parquet", row_group_size=100)
    return str(folder)
