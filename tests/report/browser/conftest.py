"""A real Chromium without a window, that tells what a page asked for and complained about."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_parts import NoisePictures, full_results
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from segrobust.benchmark.results import to_json
from segrobust.report.write import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def found(variable: str, names: tuple[str, ...]) -> str:
    """A program from the environment or the path; its absence is a failure, since these tests are the proof."""
    named = os.environ.get(variable)
    program = named or next((path for name in names if (path := shutil.which(name))), None)
    if not program or not Path(program).exists():
        pytest.fail(
            f"no {names[0]} (${variable} is {named!r}); "
            f"apt-get install chromium chromium-driver, or name it in ${variable}"
        )
    return program


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium, with its network and console written down."""
    options = webdriver.ChromeOptions()
    options.binary_location = found("CHROMIUM", BROWSERS)
    profile = tmp_path_factory.mktemp("profile")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900",
                 "--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, Service(found("CHROMEDRIVER", ("chromedriver",))))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written report with everything in it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "results.json").write_text(to_json(full_results()))
    write_report(folder, NoisePictures())
    return folder / "report.html"


@pytest.fixture
def page(browser: webdriver.Chrome, report: Path) -> webdriver.Chrome:
    """The report, opened from disk, after forgetting what the browser did before."""
    browser.get("about:blank")
    for log in ("performance", "browser"):
        browser.get_log(log)
    browser.set_window_size(1200, 900)
    browser.get(report.as_uri())
    return browser


@pytest.fixture
def requested(page: webdriver.Chrome) -> Callable[[], list[str]]:
    """Reads every address that was asked for since the report was opened."""

    def read() -> list[str]:
        messages: list[dict[str, Any]] = [
            json.loads(entry["message"])["message"] for entry in page.get_log("performance")
        ]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    return read
