"""The report in a real browser, from disk: silent, alone, whole, sortable, on any screen and on paper."""

import base64
import zlib
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.slow


def scroll_through(page: webdriver.Chrome) -> None:
    page.execute_script("window.scrollTo(0, document.body.scrollHeight)")


def test_no_complaint_in_the_console(page):
    scroll_through(page)
    assert page.get_log("browser") == []


def test_nothing_is_asked_for_but_the_file_itself(page, report, requested):
    scroll_through(page)
    urls = [url for url in requested() if not url.startswith("data:")]
    assert urls == [report.as_uri()]


def test_a_page_that_asks_for_more_would_be_seen(page, tmp_path, requested):
    (tmp_path / "bad.html").write_text('<img src="http://127.0.0.1:9/x.png"><script>nonsense()</script>')
    page.get((tmp_path / "bad.html").as_uri())
    assert any(url.startswith("http://127.0.0.1:9/") for url in requested())
    assert any("nonsense" in entry["message"] for entry in page.get_log("browser"))


def test_every_image_loads_and_has_a_text(page):
    images = page.find_elements(By.TAG_NAME, "img")
    assert len(images) == 6
    for image in images:
        assert page.execute_script("return arguments[0].complete && arguments[0].naturalWidth > 0", image)
        assert image.get_attribute("alt")
    assert len(page.find_elements(By.CSS_SELECTOR, "svg.chart")) == 2
    for chart in page.find_elements(By.CSS_SELECTOR, "svg.chart"):
        assert chart.size["height"] > 100


def column(page: webdriver.Chrome, table: int, place: int) -> list[str]:
    script = """return Array.from(document.querySelectorAll("table.sortable")[arguments[0]].tBodies[0].rows)
                .map(row => row.cells[arguments[1]].dataset.sort)"""
    found: list[str] = page.execute_script(script, table, place)
    return found


def test_every_column_of_every_table_sorts_both_ways(page):
    tables = page.find_elements(By.CSS_SELECTOR, "table.sortable")
    assert len(tables) > 10
    for number, table in enumerate(tables):
        for place, button in enumerate(table.find_elements(By.CSS_SELECTOR, "thead button")):
            before = sorted(column(page, number, place))
            page.execute_script("arguments[0].click()", button)
            rising = column(page, number, place)
            page.execute_script("arguments[0].click()", button)
            falling = column(page, number, place)
            assert sorted(rising) == sorted(falling) == before
            there = [value for value in rising if value]
            assert rising == there + [""] * (len(rising) - len(there))  # what is empty stays at the end
            values = [float(v) for v in there] if all(_is_number(v) for v in there) else there
            if values and isinstance(values[0], float):
                assert values == sorted(values)
                assert [float(v) for v in falling if v] == sorted(values, reverse=True)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_sorting_by_keyboard_is_said_aloud(page):
    button = page.find_elements(By.CSS_SELECTOR, "#worst thead button")[6]
    page.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    header = button.find_element(By.XPATH, "..")
    assert header.get_attribute("aria-sort") == "ascending"
    said = page.find_element(By.ID, "said").get_attribute("textContent")
    assert said.startswith("sorted by score")
    scores = [float(value) for value in column(page, 0, 6)]
    assert scores == sorted(scores)
    assert len(set(scores)) > 2


@pytest.mark.parametrize("width", [360, 412, 768, 1600])
def test_the_page_itself_never_scrolls_sideways(page, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.execute_script("return window.innerWidth") == width
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        sizes = page.execute_script(
            "return Array.from(document.querySelectorAll('p, dd, li')).filter(e => e.offsetParent)"
            ".map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(sizes) >= 14
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_follows_the_readers_scheme(page, scheme, dark):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        red = int(colour.partition("(")[2].partition(",")[0])
        assert (red < 60) == dark
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_prints_with_every_table_unfolded(page, tmp_path: Path):
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF")
    assert len(zlib.compress(pdf)) > 20_000
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = page.execute_script(
            "return Array.from(document.querySelectorAll('.scroll')).map(e => getComputedStyle(e).overflowX)"
        )
        assert set(hidden) == {"visible"}
        assert page.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
