"""A report as one HTML file that needs nothing else: no scripts, no network, readable on a phone."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from usrn_keras.report.page_style import STYLE

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Browsers are told, too, that nothing is to be fetched or run, whatever stands in the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Picture:
    """A small picture in a row of them.

    Args:
        content: A PNG, JPEG or SVG file.
        alt: What it shows, for those who do not see it.
        caption: Stands below.
    """

    content: bytes
    alt: str
    caption: str


@dataclass
class _Section:
    heading: str
    blocks: list[tuple[str, str]] = field(default_factory=list)  # kind and HTML


class Page:
    """One self-contained HTML page, built from top to bottom.

    Every text is escaped: names of classes, images and runs may hold anything. Blank lines in a text
    separate paragraphs. Figures that follow each other stand side by side where there is room.

    Args:
        title: Heading of the page.
        subtitle: One line below it.

    Raises:
        ValueError: A figure is neither PNG, JPEG nor SVG, or has no `alt`; a row of a table has not as many
            cells as its header.

    Example:

    >>> page = Page("runs/camvid", "USRN beside its Baseline")
    >>> page.section("Scores", "IoU in percent.")
    >>> page.table(["class", "Baseline", "USRN"], [["road <flat>", "81.0", "82.5"]])
    >>> '<th scope="row">road &lt;flat&gt;</th><td>81.0</td>' in page.html()
    True
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title, self.subtitle = title, subtitle
        self._sections = [_Section("")]
        self._tables = 0

    def section(self, heading: str, text: str = "") -> None:
        """Begin a section; `text` says what is in it."""
        self._sections.append(_Section(heading))
        if text:
            self.text(text)

    def text(self, text: str) -> None:
        """Plain paragraphs."""
        self._add("text", _paragraphs(text))

    def note(self, text: str) -> None:
        """A paragraph that stands out: a warning, or what is missing and why."""
        self._add("note", f'<p class="note">{_safe(text)}</p>')

    def figure(self, content: bytes, alt: str, caption: str = "") -> None:
        """A chart or a picture.

        Args:
            content: A PNG, JPEG or SVG file.
            alt: What it shows, for those who do not see it.
            caption: How to read it; stands below.
        """
        self._add("figure", _figure(Picture(content, alt, caption)))

    def pictures(self, heading: str, pictures: Sequence[Picture]) -> None:
        """Pictures that belong together, such as an image and its maps: as many in a row as there is room."""
        figures = "".join(_figure(picture) for picture in pictures)
        self._add("pictures", f'<div class="pictures"><h3>{_safe(heading)}</h3><div>{figures}</div></div>')

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        caption: str = "",
        *,
        means: Iterable[Sequence[str]] = (),
    ) -> None:
        """A table, the first column left, the others right; a wide one scrolls in its own box.

        Args:
            header: Heading of each column.
            rows: Cells of each row; the first one names it.
            caption: Stands above.
            means: Rows below a line, in bold.
        """
        self._tables += 1
        named = caption or self._sections[-1].heading or self.title
        # No <caption>: it would scroll away with a wide table.
        above = f'<p class="caption" id="t{self._tables}">{_safe(caption)}</p>' if caption else ""
        label = f'aria-labelledby="t{self._tables}"' if caption else f'aria-label="{_safe(named)}"'
        head = "".join(f'<th scope="col">{_safe(name)}</th>' for name in header)
        body = _table_body(header, rows) + _table_body(header, means, "means")
        self._add(
            "table",
            f'{above}<div class="scroll" role="region" {label} tabindex="0"><table {label}>'
            f"<thead><tr>{head}</tr></thead>{body}</table></div>",
        )

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Names and values, one pair in a line."""
        pairs = "".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in facts)
        self._add("facts", f"<dl>{pairs}</dl>")

    def legend(self, entries: Iterable[tuple[str, Sequence[int]]]) -> None:
        """What colours mean: names, each with red, green and blue in 0..255."""
        items = []
        for name, colour in entries:
            red, green, blue = map(int, colour)
            items.append(f'<li><i style="background:rgb({red},{green},{blue})"></i>{_safe(name)}</li>')
        self._add("legend", f'<ul class="legend">{"".join(items)}</ul>')

    def details(self, summary: str, text: str) -> None:
        """Text as it is, folded away until somebody opens it."""
        self._add(
            "details", f"<details><summary>{_safe(summary)}</summary><pre>{_safe(text)}</pre></details>"
        )

    def html(self) -> str:
        """The whole page."""
        subtitle = f'<p class="subtitle">{_safe(self.subtitle)}</p>' if self.subtitle else ""
        first, *others = self._sections
        links = "".join(
            f'<li><a href="#s{i}">{_safe(section.heading)}</a></li>' for i, section in enumerate(others, 1)
        )
        sections = "".join(
            f'<section aria-labelledby="s{i}"><h2 id="s{i}">{_safe(section.heading)}</h2>\n'
            f"{_blocks(section)}</section>\n"
            for i, section in enumerate(others, 1)
        )
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_safe(self.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            f"<header><h1>{_safe(self.title)}</h1>{subtitle}</header>\n"
            + (f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n' if len(others) > 1 else "")
            + f"<main>\n{_blocks(first)}{sections}</main>\n</body>\n</html>\n"
        )

    def _add(self, kind: str, html: str) -> None:
        self._sections[-1].blocks.append((kind, html))


def _safe(text: str) -> str:
    """Text as HTML; what no encoding can write, such as half of a surrogate pair, is replaced."""
    return escape(str(text).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}"))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_safe(part.strip())}</p>\n" for part in text.split("\n\n") if part.strip())


def _figure(picture: Picture) -> str:
    if not picture.alt.strip():
        raise ValueError("a figure must have an `alt` text that says what it shows")
    caption = f"<figcaption>{_safe(picture.caption)}</figcaption>" if picture.caption else ""
    return f'<figure><img {_source(picture.content)} alt="{_safe(picture.alt)}">{caption}</figure>\n'


def _source(content: bytes) -> str:
    """The attributes of an image whose file is a part of the page.

    SVG, too, comes as an image: its names cannot clash with those of other figures, and it runs no script.
    """
    if content.startswith(PNG):
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        return f'width="{width}" height="{height}" src="data:image/png;base64,{_base64(content)}"'
    if content.startswith(JPEG):
        return f'src="data:image/jpeg;base64,{_base64(content)}"'
    if content.lstrip().startswith((b"<svg", b"<?xml")):
        return f'class="drawing" src="data:image/svg+xml;base64,{_base64(content)}"'
    raise ValueError(f"a figure must be a PNG, JPEG or SVG file, received {content[:8]!r}...")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _table_body(header: Sequence[str], rows: Iterable[Sequence[str]], name: str = "") -> str:
    lines = []
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row must have the {len(header)} cells of the header, received {list(row)}")
        first, *rest = map(_safe, row)
        lines.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n')
    if not lines:
        return ""
    return f"<tbody{f' class={name}' if name else ''}>\n{''.join(lines)}</tbody>"


def _blocks(section: _Section) -> str:
    """The blocks of a section; figures in a row share a grid."""
    parts = []
    for kind, blocks in itertools.groupby(section.blocks, key=lambda block: block[0]):
        html = "".join(block for _, block in blocks)
        parts.append(f'<div class="figures">{html}</div>\n' if kind == "figure" else f"{html}\n")
    return "".join(parts)
