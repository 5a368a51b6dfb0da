"""What the README says was measured is what stands in the files of results."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"<!-- (benchmarks/results/\S+\.md) -->\n((?:\|.*\n)+)")


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_tables_of_the_readme_are_those_of_the_results():
    """A table below `<!-- benchmarks/results/NAME.md -->` is that file's, row by row."""
    tables = MARK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(tables) == 2
    for source, table in tables:
        assert rows_of(table) == rows_of((ROOT / source).read_text(encoding="utf-8")), source
