"""Row maps that go wrong."""

import pytest
from dsm_trials import Doubled, Short, objects, parquet

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.write import create
from dsm_dask.errors import PartitionFailed, UnknownColumn


@pytest.mark.parametrize(
    ("row_map", "kind"),
    [(Short(), PartitionFailed), (Doubled(column="b"), UnknownColumn)],
    ids=["rows", "column"],
)
@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_commits_nothing(tmp_path, engine, row_map, kind, copy):
    ds = str(tmp_path / "ds")
    source = parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]})
    create(ds, source, engine=engine, copy=copy)
    versions = objects(f"{ds}/_versions")
    with pytest.raises(kind):
        add_columns(ds, row_map, engine=engine)
    assert objects(f"{ds}/_versions") == versions
