"""The report says what results.json says, in both forms, and trusts no name in it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from report_parts import HOSTILE, NoisePictures, full_results
from scored import FACTS, prompts, row, run_of

from segrobust.benchmark.checks import CHECKS
from segrobust.benchmark.results import aggregate, to_json
from segrobust.errors import UsageError
from segrobust.report.page import html, markdown
from segrobust.report.story import findings_lines, verdict
from segrobust.report.write import read_results, write_report

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements in order, whether they nest, ids, images, and the text of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and "/" not in (self.get_starttag_text() or "")[-2:]:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def results():
    return full_results()


@pytest.fixture(scope="module")
def page(results):
    return Page(html(results, NoisePictures()))


def cell(results, attack, **wanted):
    wanted = {"target": "nano", "defence": "none", "protocol": "annotation", "adaptive": False} | wanted
    return next(c for c in results["cells"] if c["attack"] == attack and all(c[k] == v for k, v in wanted.items()))


def test_the_page_has_what_a_report_must_have(page):
    text = " ".join(page.text)
    for title in ("Threat model", "The worst numbers", "Curves", "Photos: worst, median, best", "By prompt type",
                  "By size of the mask", "By target", "By defence", "Paired differences", "Checks that look",
                  "cost", "How it was measured", "How to reproduce it", "Licences", "Limits", "Failures"):  # fmt: skip
        assert title in text, title
    assert FACTS.command in text
    assert "Apache-2.0" in text
    assert "the photographer's own" in text
    assert "Only twelve photos were at hand." in text
    assert "few-photos" in text


def test_both_forms_show_the_numbers_of_results(results, page):
    found = cell(results, "rga")["all"]["miou"]
    shown = f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    assert shown in " ".join(page.text)
    assert shown in markdown(results)
    assert f"{cell(results, 'ask')['all']['asr50']['value'] * 100:.0f} %" in markdown(results)


def test_every_protocol_has_tables_of_its_own(results):
    text = markdown(results)
    for protocol in ("annotation", "clean", "everything"):
        assert f"## photos: {protocol}" in text
    part = text.partition("## photos: everything")[2].partition("\n## ")[0]
    assert "matched mIoU" in part
    assert "ASR" not in part


def test_defences_show_no_attack_the_unaware_and_the_adaptive(results):
    rows = [line for line in markdown(results).splitlines() if line.startswith("| jpeg-q75")]
    scores = [cell(results, "clean", defence="jpeg-q75"), cell(results, "rga", defence="jpeg-q75"),
              cell(results, "rga", defence="jpeg-q75", adaptive=True)]  # fmt: skip
    places = [rows[0].index(f"{score['all']['miou']['value']:.3f}") for score in scores]
    assert places == sorted(places)


def test_hostile_names_are_text(results, page):
    assert not [attrs for attrs in page.all("img") if attrs["src"] == "x"]
    assert HOSTILE in "".join(page.text)
    rows = [line for line in markdown(results).splitlines() if "onerror" in line and line.startswith("|")]
    assert rows
    assert all(line.count(" | ") == 7 for line in rows)


def test_nothing_comes_from_elsewhere(page):
    assert not [
        a for _, a in page.elements if any(re.match(r"(https?:)?//", v or "") for k, v in a.items() if k != "xmlns")
    ]
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for attrs in page.all("img"))
    assert not [attrs for attrs in page.all("script") if "src" in attrs]
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]


def test_it_can_be_listened_to(page):
    assert page.all("html")[0]["lang"] == "en"
    assert all(attrs["alt"] for attrs in page.all("img"))
    assert len(page.all("img")) == 6  # two photos, three panels each; the third is said to be missing
    assert all(attrs["aria-label"] for attrs in page.all("svg"))
    assert all(attrs.get("scope") for attrs in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [attrs["aria-label"] for attrs in page.all("div") if attrs.get("role") == "region"]
    assert len(regions) == len(set(regions)) == len(page.all("table"))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in page.all("a")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_contrast_is_enough_in_light_dark_and_print(results):
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for what a chart is made of (1.4.11)."""
    style = html(results, NoisePictures()).partition("<style>")[2].partition("</style>")[0]
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert len(schemes) == 3
    for scheme in schemes:
        for name, colour in scheme.items():
            for ground in ("paper", "box"):
                light, dark = sorted((luminance(colour), luminance(scheme[ground])), reverse=True)
                least = 0 if name in ("paper", "box", "line") else 3 if re.fullmatch(r"c\d", name) else 4.5
                assert (light + 0.05) / (dark + 0.05) >= least, (name, ground, colour)


def test_the_verdict_names_attack_budget_model_numbers_and_interval(results):
    text = verdict(results)
    score = cell(results, "rga")["all"]["miou"]
    assert text.startswith("rga within 8/255 breaks nano: on 12 photos of photos the mIoU goes from 0.90 to 0.28")
    assert f"(95 %: {score['low']:.2f} to {score['high']:.2f})" in text
    assert "100 % fail" in text


@pytest.mark.parametrize(
    ("left", "word"), [(0.1, "breaks"), (0.49, "hurts"), (0.6, "dents"), (0.9, "cannot be told from noise on")]
)
def test_the_verb_follows_the_numbers(left, word):
    rows = []
    for n in range(4):
        hit = [left] + [0.6] * 3 if word == "hurts" else [left] * 4
        rows += [row("clean", [0.95] * 4, str(n)), row("noise", [0.9] * 4, str(n)), row("rga", hit, str(n))]
    assert f" {word} nano:" in verdict(aggregate(rows, FACTS))


def test_a_run_without_any_score_has_a_report(results):
    empty = aggregate([replace(row("rga", [0.1]), state="failed", error="no masks", item={}, made={})], FACTS)
    assert "no verdict" in verdict(empty)
    Page(html(empty, NoisePictures()))
    assert "no masks" in markdown(empty)
    Page(html(aggregate([], FACTS), NoisePictures()))


def test_everything_alone_has_a_report():
    rows = [one for one in run_of(3) if one.protocol == "everything"]
    found = aggregate(rows, FACTS)
    assert "matched mIoU goes from 1.00 to 0.30" in verdict(found)
    Page(html(found, NoisePictures()))


def test_errors_of_checks_stand_under_the_verdict(results):
    rows = [row("clean", [0.9]), row("rga", [0.1], made=row("rga", [0.1]).made | {"linf_255": 9})]
    text = html(aggregate(rows, FACTS), NoisePictures())
    assert "Do not quote these numbers yet: the checks found 1 error." in text
    silent = aggregate([row("clean", [0.9], str(n), item=prompts([0.9])) for n in range(20)], FACTS)
    assert f"{len(CHECKS)} checks looked, and none of them found anything" in html(silent, NoisePictures())


def test_many_findings_of_one_check_are_one_group_with_one_advice():
    rows = [row("rga", [0.1], made=row("rga", [0.1]).made | {"linf_255": 9}, surrogate=f"m{n}") for n in range(5)]
    found = aggregate(rows, FACTS)
    assert sum(finding["id"] == "budget-on-disk" for finding in found["checks"]) == 5
    text = html(found, NoisePictures())
    assert text.count("measure the file") == 1
    assert "<summary>and 2 more</summary>" in text
    assert markdown(found).count("outside the budget") == 5
    (line,) = [line for line in findings_lines(found) if "budget-on-disk" in line]
    assert line.endswith("(photos, rga made on m0), and 4 more")


def test_the_report_is_written_beside_the_results_and_the_same_every_time(results, tmp_path):
    (tmp_path / "results.json").write_text(to_json(results))
    write_report(tmp_path, NoisePictures())
    first = [(tmp_path / name).read_bytes() for name in ("report.html", "report.md")]
    write_report(tmp_path, NoisePictures())
    assert [(tmp_path / name).read_bytes() for name in ("report.html", "report.md")] == first


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), ("{", "no JSON"), ("[]", "holds something else"),
     ('{"schema": "segrobust.results/1"}', "holds segrobust.results/1, and a report needs segrobust.results/2")],
)  # fmt: skip
def test_a_folder_without_such_results_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_results(tmp_path)
