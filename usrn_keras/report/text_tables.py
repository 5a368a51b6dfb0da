"""Tables as text: for a terminal of any width, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from usrn_keras.printable import spreadsheet_cell

NAME_WIDTH = 16  # longer headings are folded where the figures below are narrower
FRAME = 3  # characters that a column takes beside its text


class Columns:
    """A table for `rich` as wide as the terminal: columns that do not fit follow in another table below.

    Args:
        header: Heading of each column.
        sections: Groups of rows, separated by a line; the last group is bold.
        fixed: Number of columns at the left that every part repeats.

    Example:

    >>> table = Columns(["class", "A", "B"], [[["road", "81.0", "82.5"]]], fixed=1)
    >>> list(table.parts(20))
    [[1], [2]]
    """

    def __init__(self, header: Sequence[str], sections: Sequence[Sequence[Sequence[str]]], *, fixed: int):
        self.header, self.sections, self.fixed = header, sections, fixed

    def parts(self, width: int) -> Iterator[list[int]]:
        """The columns beside the fixed ones, cut into parts that fit into `width` characters."""
        left = width - 1 - sum(self._widths()[: self.fixed])
        part, taken = [], 0
        for column, needed in enumerate(self._widths()[self.fixed :], self.fixed):
            if part and taken + needed > left:
                yield part
                part, taken = [], 0
            part.append(column)
            taken += needed
        yield part

    def _widths(self) -> list[int]:
        """Characters that each column needs, frame included."""
        widths = []
        for column, name in enumerate(self.header):
            cells = max((len(row[column]) for rows in self.sections for row in rows), default=0)
            widths.append(max(cells, min(len(name), NAME_WIDTH)) + FRAME)
        return widths

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in self.parts(options.max_width):
            yield self._table([*range(self.fixed), *part])

    def _table(self, columns: Sequence[int]) -> Table:
        table = Table()
        for column in columns:
            table.add_column(
                Text(self.header[column]),
                justify="right" if column else "left",
                overflow="fold",
                no_wrap=column < self.fixed,
            )
        for rows in self.sections:
            style = "bold" if rows is self.sections[-1] else None
            table.add_section()
            for row in rows:
                table.add_row(*(Text(row[column]) for column in columns), style=style)
        return table


def markdown_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    means: Iterable[Sequence[str]] = (),
    notes: Iterable[str] = (),
) -> str:
    """A table in GitHub's Markdown, with the names of `means` in bold and `notes` as paragraphs below.

    Example:

    >>> print(markdown_table(["class", "A"], [["pole *", "20.0"]], [["mIoU", "69.4"]], ["In percent."]))
    | class | A |
    | :-- | --: |
    | pole \\* | 20.0 |
    | **mIoU** | 69.4 |
    <BLANKLINE>
    In percent.
    """
    rule = [":--", *["--:"] * (len(header) - 1)]
    names, *body = [list(map(_escaped, row)) for row in (header, *rows)]
    bold = [[f"**{_escaped(name)}**", *map(_escaped, rest)] for name, *rest in means]
    lines = ["| " + " | ".join(row) + " |" for row in (names, rule, *body, *bold)]
    return "\n".join([*lines, *(f"\n{_escaped(note)}" for note in notes)])


def csv_text(rows: Iterable[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """`rows` as CSV, each of `notes` as a line `# NOTE` below.

    Strings are always in quotes, so that no name is taken for a comment or a number:
    `pandas.read_csv(file, comment="#")` reads it back. None becomes an empty cell. A string that a
    spreadsheet would run as a formula gets an apostrophe before it.

    Example:

    >>> print(csv_text([["class", "IoU"], ["road", 0.5], ["pole", None]], ["val"]), end="")
    "class","IoU"
    "road",0.5
    "pole",""
    # val
    """
    buffer = io.StringIO()
    safe = ([spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(safe)
    return buffer.getvalue() + "".join(f"# {' '.join(note.split())}\n" for note in notes)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("*", "\\*")
