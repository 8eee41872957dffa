"""What the report's tests share: results of a real job, and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MISSING = (
    "There is no Chromium with its driver on this machine. "
    "On Debian and Ubuntu: apt-get install chromium chromium-driver"
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``dsm run --json`` gives for a job over the functions of some packages."""
    from dsm_dask.demo.corpus import write_corpus
    from dsm_dask.engine import Engine
    from dsm_dask.jobs.run import run_job
    from dsm_dask.jobs.spec import load_job

    folder = tmp_path_factory.mktemp("lake")
    (folder / "raw").mkdir()
    write_corpus(
        lambda name, content: (folder / "raw" / name).write_bytes(content),
        files=4,
        max_rows=4000,
        processes=1,
    )
    job = folder / "job.yaml"
    job.write_text(JOB.format(folder=folder))
    with Engine(workers=0) as engine:
        return run_job(load_job(str(job)), engine=engine).to_dict()


JOB = """
name: demo
dataset: {folder}/functions
steps:
  - create: {{sources: ["{folder}/raw/*.parquet"], message: "Link <the> functions"}}
  - profile: {{}}
  - dedup: {{on: [source], drop: true, message: "Drop exact copies"}}
  - tag: {{name: curated}}
  - profile: {{}}
  - log: {{}}
  - diff: {{}}
"""


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with a profile of its own."""
    binary, program = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and program):
        pytest.skip(MISSING)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(program))
    driver.set_script_timeout(20)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page from a file, at some width, and gives the browser that shows it."""
    from page_checks import settle

    def opened(page: str, width: int = 1280, height: int = 900) -> Any:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get_log("browser")
        browser.get(file.as_uri())
        settle(browser)
        return browser

    yield opened
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
