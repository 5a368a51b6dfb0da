"""A table as wide as the terminal: columns that do not fit stand in another table below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

NAME_WIDTH = 16  # longer headings are folded where the figures below are narrower
FRAME = 3  # what a column takes beside its text


class Columns:
    """Rows of text under headings, for `rich`.

    Args:
        header: Heading of each column.
        sections: Groups of rows; a line stands between two, and the last one is bold.
        fixed: Columns at the left that every part repeats.

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
        """What each column needs, with its frame."""
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
