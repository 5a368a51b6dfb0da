"""Names of others on a terminal and in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usrn_keras.printable import from_spreadsheet, has_control_characters, printable, spreadsheet_cell
from usrn_keras.progress import PlainProgress
from usrn_keras.report.text_tables import csv_text


@given(st.text())
def test_no_control_character_is_printed_and_other_text_is_kept(text):
    shown = printable(text)
    assert not has_control_characters(shown.replace("\t", "").replace("\n", ""))
    if not has_control_characters(text):
        assert shown == text


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\x9b31m", "right\u202eleft", "bell\x07", "a\rb"])
def test_what_moves_a_cursor_is_shown_as_escapes(name):
    stream = io.StringIO()
    PlainProgress(stream).log(name)
    assert "\\" in stream.getvalue() and not has_control_characters(stream.getvalue().rstrip("\n"))


@given(st.text())
def test_cells_come_back_and_no_cell_is_a_formula(text):
    cell = spreadsheet_cell(text)
    assert from_spreadsheet(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_csv_tables_hold_no_formulas():
    text = csv_text([["class", "IoU"], ['=HYPERLINK("x")', 0.5], ["-road", -1.5]])
    assert list(csv.reader(io.StringIO(text)))[1:] == [['\'=HYPERLINK("x")', "0.5"], ["'-road", "-1.5"]]
