"""Charts are drawn where their numbers say, and say their numbers."""

import re
import xml.etree.ElementTree as ET

import pytest

from segrobust.report.charts import LEFT, RIGHT, SERIES, WIDTH, Line, curve, histogram

SVG = "{http://www.w3.org/2000/svg}"
LINE = Line("rga <a>", [(0, 1.0, None, None), (4, 0.5, 0.4, 0.6), (8, 0.0, 0.0, 0.1)])


def points(svg: str) -> list[tuple[float, float]]:
    path = ET.fromstring(svg).find(f"{SVG}polyline").get("points")
    return [tuple(float(v) for v in pair.split(",")) for pair in path.split()]


def test_a_curve_goes_from_left_to_right_and_from_one_to_zero():
    (x0, y0), (x1, y1), (x2, y2) = points(curve([LINE], "title", "x", "y"))
    assert (x0, x2) == (LEFT, WIDTH - RIGHT)
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y0 < y1 < y2
    assert y1 == pytest.approx((y0 + y2) / 2)


def test_an_interval_is_drawn_where_there_is_one():
    svg = curve([LINE], "title", "x", "y")
    assert svg.count("whisker") == 2


def test_a_chart_can_be_listened_to_and_names_are_escaped():
    root = ET.fromstring(curve([LINE], 'IoU "and" more', "x", "y"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'IoU "and" more. rga <a>: 1.000 at 0, 0.500 at 4, 0.000 at 8'
    assert root.find(f"{SVG}title").text == 'IoU "and" more'


def test_lines_are_told_apart_without_colour():
    svg = curve([Line(str(n), LINE.points) for n in range(SERIES + 3)], "t", "x", "y")
    assert len(set(re.findall(r'polyline class="s\d" points="[^"]*" stroke-dasharray="([^"]*)"', svg))) == SERIES
    assert svg.count("<polyline") == SERIES


def test_a_histogram_counts_every_photo_once_and_one_in_the_last_bin():
    svg = histogram([("clean", [1.0, 0.95, 0.0]), ("rga", [0.05])], "title", "mIoU")
    root = ET.fromstring(svg)
    assert "clean: 1 from 0 to 0.1, 2 from 0.9 to 1; rga: 1 from 0 to 0.1" in root.get("aria-label")
    bars = [rect for rect in root.iter(f"{SVG}rect") if float(rect.get("height")) > 12]
    assert len(bars) == 3
    heights = sorted(float(rect.get("height")) for rect in bars)
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.2)


def test_a_histogram_of_nothing_is_empty_and_no_error():
    ET.fromstring(histogram([("rga", [])], "title", "mIoU"))
