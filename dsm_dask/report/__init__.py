"""Reports: one self-contained HTML file, from results only.

>>> page = profile_page({"rows": 2, "columns": {}}, title="Two rows")
>>> page.splitlines()[0], "<title>Two rows" in page
('<!doctype html>', True)
"""

from dsm_dask.report.html import (
    check_page,
    dedup_page,
    drift_page,
    issues_page,
    profile_page,
    run_page,
    series_page,
    slices_page,
)

__all__ = [
    "check_page", "dedup_page", "drift_page", "issues_page", "profile_page", "run_page",
    "series_page", "slices_page",
]  # fmt: skip
