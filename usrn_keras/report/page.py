"""A report as one HTML file that needs nothing else: no scripts, no network, readable on a phone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2

from usrn_keras.report.page_parts import Picture, Point, ShadedCell, Shot

TEMPLATES = Path(__file__).parent / "templates"


class Page:
    """One self-contained HTML page, built from top to bottom.

    Every text is escaped: names of classes, images and runs may contain anything. Blank lines in a text
    separate paragraphs. Figures that follow each other are drawn side by side where there is room.

    Args:
        title: Heading of the page.
        subtitle: One line below the heading.

    Raises:
        ValueError: A row of a table has not as many cells as its header.

    Example:

    >>> page = Page("runs/camvid", "self-training beside supervised")
    >>> page.section("Scores", "IoU in percent.")
    >>> page.table(["class", "supervised"], [["road <flat>", "81.0"]])
    >>> '<th scope="row">road &lt;flat&gt;</th><td>81.0</td>' in page.html()
    True
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title, self.subtitle = title, subtitle
        self._sections: list[tuple[str, bool, list[tuple[str, dict[str, Any]]]]] = [("", False, [])]
        self._tables = 0

    def section(self, heading: str, text: str = "", *, folded: bool = False) -> None:
        """Begin a section; `text` introduces it. A folded one shows its heading until the reader opens it."""
        self._sections.append((heading, folded, []))
        if text:
            self.text(text)

    def text(self, text: str) -> None:
        """Plain paragraphs."""
        self._add("text", paragraphs=[part.strip() for part in text.split("\n\n") if part.strip()])

    def note(self, text: str) -> None:
        """A highlighted paragraph: a warning, or what is missing and why."""
        self._add("note", text=text)

    def figure(self, content: bytes, alt: str, caption: str = "") -> None:
        """A chart or a picture; the arguments are those of `Picture`."""
        self._add("figure", picture=Picture(content, alt, caption))

    def pictures(self, heading: str, pictures: Sequence[Picture]) -> None:
        """Pictures that belong together, such as an image and its maps: as many in a row as there is room."""
        self._add("pictures", heading=heading, pictures=pictures)

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        caption: str = "",
        *,
        means: Iterable[Sequence[str]] = (),
    ) -> None:
        """A table, the first column left-aligned, the others right; a wide one scrolls in its own box.

        Args:
            header: Heading of each column.
            rows: Cells of each row; the first one names it.
            caption: Text above the table.
            means: Rows below a line, in bold.
        """
        self._tables += 1
        rows, means = list(rows), list(means)
        for row in (*rows, *means):
            if len(row) != len(header):
                raise ValueError(
                    f"a row must have the {len(header)} cells of the header, received {list(row)}"
                )
        name = self._sections[-1][0] or self.title
        self._add(
            "table", header=header, rows=rows, means=means, caption=caption, name=name, number=self._tables
        )

    def points(self, heading: str, points: Sequence[Point]) -> None:
        """A list of sentences, each with the command that follows from it, if any."""
        self._add("points", heading=heading, points=points)

    def matrix(self, corner: str, names: Sequence[str], rows: Sequence[Sequence[ShadedCell]]) -> None:
        """A square table of shaded cells that scrolls in its own box.

        Args:
            corner: What the rows are.
            names: Names of the rows, and of the columns.
            rows: Cells of each row.
        """
        self._add("matrix", corner=corner, names=names, rows=rows, name=self._sections[-1][0])

    def gallery(
        self, summary: str, orders: Sequence[tuple[str, str]], shots: Sequence[Shot], text: str
    ) -> None:
        """Images in an order that the reader chooses, folded away; each is enlarged when it is selected.

        Args:
            summary: What is folded away.
            orders: Name and label of each order, the default first.
            shots: The images in the default order.
            text: How to use the gallery.
        """
        self._add("gallery", summary=summary, orders=orders, shots=shots, text=text)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Names and values, one pair in a line."""
        self._add("facts", facts=list(facts))

    def legend(self, entries: Iterable[tuple[str, Sequence[int]]]) -> None:
        """The meaning of colours: names, each with red, green and blue in 0..255."""
        self._add("legend", entries=[(name, [int(part) for part in colour]) for name, colour in entries])

    def details(self, summary: str, text: str) -> None:
        """Preformatted text, folded away until the reader opens it."""
        self._add("details", summary=summary, text=text)

    def html(self) -> str:
        """The whole page."""
        sections = [
            (heading, folded, [(kind, [block for _, block in group]) for kind, group in _by_kind(blocks)])
            for heading, folded, blocks in self._sections
        ]
        template = _environment().get_template("page.html")
        return template.render(title=self.title, subtitle=self.subtitle, sections=sections)

    def _add(self, kind: str, **block: Any) -> None:
        self._sections[-1][-1].append((kind, block))


def _by_kind(blocks: list[tuple[str, dict[str, Any]]]) -> Iterable[tuple[str, Iterable]]:
    return itertools.groupby(blocks, key=lambda block: block[0])


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: Any) -> Any:
    """Replace characters that no encoding can write, such as half of a surrogate pair."""
    if type(value) is not str:
        return value
    return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
