"""Reports: one self-contained HTML file, from results only.

>>> page = profile_page({"rows": 2, "columns": {}}, title="Two rows")
>>> page.splitlines()[0], "<title>Two rows" in page
('<!doctype html>', True)
"""

from dsm_dask.report.html import profile_page, run_page

__all__ = ["profile_page", "run_page"]
