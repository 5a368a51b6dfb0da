from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import pytest
from PIL import Image

from usrn_keras.report.page import Page
from usrn_keras.report.page_parts import Picture, Point, ShadedCell, Shot

NASTY = "<script>alert('x')</script> & \"quoted\" \ud800 \0"
VOID = {"meta", "img", "input"}


def png(size: tuple[int, int] = (5, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


class Reader(HTMLParser):
    """Every element with its attributes and text; elements must be closed as they were opened."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict, str]] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), ""))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        for index in self._open:
            tag, attributes, text = self.elements[index]
            self.elements[index] = tag, attributes, text + data

    def all(self, tag: str) -> list[tuple[dict, str]]:
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


def shot(text: str) -> Shot:
    return Shot(text, text, [Picture(png(), text)], [Picture(png(), text, text)], {"name": 0})


def full_page(text: str = "plain") -> Page:
    page = Page(text, text)
    page.text(text)
    for _ in range(2):
        page.section(text, text)
        page.note(text)
        page.figure(png(), text, text)
        page.pictures(text, [Picture(png(), text, text)])
        page.table([text, text], [[text, text]], text, means=[[text, text]])
        page.points(text, [Point(text), Point(text, text)])
        page.matrix(text, [text], [[ShadedCell(text, (0, 0, 90), 0.5)]])
        page.gallery(text, [("name", text)], [shot(text)], text)
        page.facts([(text, text)])
        page.details(text, text)
        page.legend([(text, (1, 2, 3))])
    return page


def test_every_text_is_escaped_everywhere():
    read = Reader(full_page(NASTY).html())
    assert not read.all("script")
    shown = NASTY.replace("\ud800", "?").replace("\0", "\ufffd")
    for tag in (
        "title",
        "h1",
        "h2",
        "h3",
        "p",
        "a",
        "th",
        "td",
        "dt",
        "dd",
        "li",
        "figcaption",
        "summary",
        "pre",
        "code",
        "b",
        "span",
        "label",
    ):
        assert shown.strip() in [text.strip() for _, text in read.all(tag)], tag
    assert all(attributes["alt"] == shown for attributes, _ in read.all("img"))
    assert {tag for tag, *_ in read.elements} == {tag for tag, *_ in Reader(full_page().html()).elements}


def test_the_page_needs_nothing_else_and_fits_a_phone():
    html = full_page().html()
    read = Reader(html)
    assert html.startswith("<!DOCTYPE html>")
    assert "http://" not in html and "https://" not in html and "@import" not in html and "url(" not in html
    assert all(attributes["src"].startswith("data:image/") for attributes, _ in read.all("img"))
    metas = {
        attributes.get("name") or attributes.get("http-equiv"): attributes
        for attributes, _ in read.all("meta")
    }
    assert metas["viewport"]["content"] == "width=device-width, initial-scale=1"
    assert metas["Content-Security-Policy"]["content"].startswith("default-src 'none'")
    assert read.all("html")[0][0]["lang"] == "en"
    assert "prefers-color-scheme: dark" in read.all("style")[0][1]
    html.encode("utf-8")


def test_sections_have_headings_links_and_names():
    page = Page("runs/a")
    page.section("Scores")
    page.section("Losses", "One paragraph.\n\nAnother one.")
    read = Reader(page.html())
    ids = {attributes["id"]: text for attributes, text in read.all("h2")}
    assert list(ids.values()) == ["Scores", "Losses"]
    assert [ids[attributes["aria-labelledby"]] for attributes, _ in read.all("section")] == [
        "Scores",
        "Losses",
    ]
    assert [ids[attributes["href"][1:]] for attributes, _ in read.all("a")] == ["Scores", "Losses"]
    assert [text for _, text in read.all("p")] == ["One paragraph.", "Another one."]


def test_a_table_names_its_rows_and_columns():
    page = Page("runs/a")
    page.table(["class", "Baseline", "USRN"], [["road", "1", "2"]], means=[["mIoU", "3", "4"]])
    read = Reader(page.html())
    scopes = [(attributes["scope"], text) for attributes, text in read.all("th")]
    assert scopes == [
        ("col", "class"),
        ("col", "Baseline"),
        ("col", "USRN"),
        ("row", "road"),
        ("row", "mIoU"),
    ]
    assert [text for _, text in read.all("td")] == ["1", "2", "3", "4"]
    assert [attributes for attributes, _ in read.all("tbody")] == [{}, {"class": "means"}]
    (box,) = [attributes for attributes, _ in read.all("div")]
    assert box == {"class": "scroll", "role": "region", "aria-label": "runs/a", "tabindex": "0"}


def test_a_caption_stands_above_the_box_that_scrolls_and_names_the_table():
    page = Page("runs/a")
    for caption in ("first", "second"):
        page.table(["class"], [["road"]], caption)
    read = Reader(page.html())
    captions = {attributes["id"]: text for attributes, text in read.all("p")}
    assert list(captions.values()) == ["first", "second"]
    for tag in ("div", "table"):
        named = [attributes["aria-labelledby"] for attributes, _ in read.all(tag)]
        assert [captions[name] for name in named] == ["first", "second"]


def test_figures_in_a_row_share_a_grid_and_keep_their_content():
    page = Page("runs/a")
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
    page.figure(png((7, 4)), "a picture", "how to read it")
    page.figure(svg, "a drawing")
    page.text("between")
    page.figure(svg, "a drawing")
    read = Reader(page.html())
    assert [attributes["class"] for attributes, _ in read.all("div")] == ["figures", "figures"]
    first, second, _ = [attributes for attributes, _ in read.all("img")]
    assert (first["width"], first["height"], first["alt"]) == ("7", "4", "a picture")
    assert base64.b64decode(first["src"].removeprefix("data:image/png;base64,")) == png((7, 4))
    assert base64.b64decode(second["src"].removeprefix("data:image/svg+xml;base64,")) == svg
    assert [text for _, text in read.all("figcaption")] == ["how to read it"]


@pytest.mark.parametrize(
    ("content", "alt", "message"),
    [(b"GIF89a", "x", "must be a PNG, JPEG or SVG"), (png(), " ", "must have an `alt`")],
)
def test_figures_nobody_can_see_are_refused(content, alt, message):
    with pytest.raises(ValueError, match=message):
        Page("runs/a").figure(content, alt)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"the 2 cells of the header, received \['road'\]"):
        Page("runs/a").table(["class", "IoU"], [["road"]])


def test_an_empty_page_is_a_page():
    read = Reader(Page("runs/a").html())
    assert read.all("h1")[0][1] == "runs/a"
    assert not read.all("nav") and not read.all("section")
