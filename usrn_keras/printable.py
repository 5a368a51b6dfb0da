"""Text from files of others, made safe to print on a terminal and to open in a spreadsheet."""

from __future__ import annotations

import re

# C0 and C1 control characters but tab and line feed, and what changes the direction of the text around it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FORMULA = re.compile("[=+\\-@\t\r]")


def printable(text: str) -> str:
    """Replace control characters, which could change what a terminal shows, by their escape sequences.

    Example:

    >>> printable("road\\x1b[2J")
    'road\\\\x1b[2J'
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def has_control_characters(text: str) -> bool:
    """Whether a name contains control characters, tab and line feed included.

    Example:

    >>> has_control_characters("road"), has_control_characters("ro\\tad")
    (False, True)
    """
    return bool(_CONTROL.search(text)) or "\t" in text or "\n" in text


def spreadsheet_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula; `from_spreadsheet` removes it.

    Example:

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("road")
    ("'=1+1", 'road')
    """
    return f"'{text}" if _FORMULA.match(text.lstrip("'")) else text


def from_spreadsheet(cell: str) -> str:
    """Return the text of `spreadsheet_cell`.

    Example:

    >>> [from_spreadsheet(spreadsheet_cell(text)) for text in ("=1", "'=1", "'a", "road")]
    ['=1', "'=1", "'a", 'road']
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell.lstrip("'")) else cell
