"""Take a picture of a page: python docs/images/screenshot.py PAGE.html PICTURE.png [--dark]

Needs selenium (in the extra "test") and Chromium with its driver.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true", help="as with a dark desktop")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--scale", type=float, default=1, help="2 for a sharp picture")
    parser.add_argument("--at", default="", help="scroll to the element with this id first")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="screenshot-") as folder:
        args.picture.write_bytes(take(args, folder))


def take(args: argparse.Namespace, folder: str) -> bytes:
    """The PNG of the part of the page that is in view."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        send = driver.execute_cdp_cmd
        scheme = "dark" if args.dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        send("Emulation.setEmulatedMedia", {"features": features})
        screen = {"width": args.width, "height": args.height, "mobile": args.width < 600}
        screen["deviceScaleFactor"] = args.scale
        send("Emulation.setDeviceMetricsOverride", screen)
        driver.get(args.page.resolve().as_uri())
        if args.at:
            script = "document.getElementById(arguments[0]).scrollIntoView()"
            driver.execute_script(script, args.at)
        frames = "const done = arguments[0]; setTimeout(() => requestAnimationFrame(done), 300)"
        driver.execute_async_script(frames)
        return base64.b64decode(send("Page.captureScreenshot", {"format": "png"})["data"])
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
