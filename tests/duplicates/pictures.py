"""Pictures and their hashes: all near pairs, and the components of those."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def picture(seed: int, size=(48, 40)) -> Image.Image:
    """Soft shapes, no two seeds alike."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def stored(image: Image.Image, kind: str = "png", **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def near(hashes, distance):
    differing = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    return np.argwhere(np.triu(differing <= distance, 1))


def labels(pairs, rows):
    left, right = np.array(list(pairs), int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(left)), (left, right)), (rows, rows))
    return connected_components(graph, directed=False)[1]


def same(one, other) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def gallery(rows: int = 120) -> list[bytes]:
    """Pictures, each stored once, and again in other ways or as it was."""
    random = np.random.default_rng(1)
    found = []
    for row in range(rows):
        source = int(random.integers(0, rows // 2)) if row % 2 else row
        image = picture(source, (64, 64))
        shapes = (
            lambda image: stored(image),
            lambda image: stored(image, "jpeg", quality=70),
            lambda image: stored(image.resize((90, 50))),
        )
        found.append(shapes[int(random.integers(0, 3)) if row % 2 else 0](image))
    return found


def write(folder, values, count: int, **more) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": values, **more})
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    for number in range(count):
        piece = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(piece, folder / f"{number:03}.parquet")
    return str(folder)
