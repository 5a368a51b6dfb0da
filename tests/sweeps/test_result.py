"""What a table shows: means, deviations, paired differences, gaps, the paper's figures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tests.sweeps.made import made_plan, made_result
from usrn_keras._version import NUMERICS
from usrn_keras.sweeps.render import as_csv, as_json, as_markdown, as_rich, footnotes
from usrn_keras.sweeps.table_page import as_html

MIOUS = {
    ("A", 0): 40.0, ("A", 1): 50.0, ("A", 2): 60.0,
    ("B", 0): 43.0, ("B", 1): 52.0, ("B", 2): 61.0,
}  # fmt: skip


@pytest.fixture
def result():
    return made_result(made_plan("A", "B"), MIOUS)


def test_differences_are_paired_by_seed(result):
    """Seeds differ by 10, the rows by 2 +- 1: the pairing is what shows it."""
    found = result.summary.loc["B", "1_32", "miou"]
    assert found["deviation"] == pytest.approx(np.std([43, 52, 61], ddof=1) / 100)
    assert (found["difference_mean"], found["difference_deviation"]) == pytest.approx((0.02, 0.01))
    assert np.isnan(result.summary.loc["A", "1_32", "miou"]["difference_mean"])
    assert "| B | 52.0 ± 9.0 (+2.0 ± 1.0) | 26.0 ± 4.5 (+1.0 ± 0.5) |" in as_markdown(result)


def test_a_single_seed_has_no_deviation():
    result = made_result(made_plan("A", "B", seeds=(0,)), {("A", 0): 40.0, ("B", 0): 39.96})
    assert "| B | 40.0 (+0.0) |" in as_markdown(result)
    assert "Seed 0, in percent." in as_markdown(result)


def test_gaps_are_marked_and_left_out_of_the_pairs():
    plan = made_plan("A", "B")
    known = {key: value for key, value in MIOUS.items() if key not in {("B", 1), ("A", 2)}}
    result = made_result(plan, known, {"b-1_32-seed1-12345678": "error of its\nown"})
    assert result.gaps == ["A 1_32 seed 2", "B 1_32 seed 1"]
    assert result.summary.loc["B", "1_32", "miou"]["difference_seeds"] == 1  # seed 0 alone has both
    text = as_markdown(result)
    assert "| B | 52.0 ± 12.7 (+3.0, 1 of 2 seeds) [2 of 3 seeds] |" in text
    assert "Missing: A 1_32 seed 2, B 1_32 seed 1." in text and "seed1-12345678 failed: error of its" in text


def test_a_difference_says_of_how_many_seeds_it_is():
    result = made_result(
        made_plan("A", "B"), {("A", 0): 60, ("A", 1): 62, **{("B", i): x for i, x in enumerate((50, 52, 80))}}
    )
    assert "| B | 60.7 ± 16.8 (-10.0 ± 0.0, 2 of 3 seeds) |" in as_markdown(result).replace(
        " | 30.3 ± 8.4 (-5.0 ± 0.0, 2 of 3 seeds)", ""
    )
    cells = "<td>61.0 ± 1.4 [2 of 3 seeds]</td><td>60.7 ± 16.8 (-10.0 ± 0.0, 2 of 3 seeds)</td>"
    assert f'<th scope="row">road</th>{cells}' in as_html(result)


def test_rows_that_ask_for_the_same_are_named():
    plan = made_plan("A", "B", seeds=(0,))
    same = [replace(cell, run=plan.cells[0].run) for cell in plan.cells]
    result = made_result(replace(plan, cells=tuple(same)), {("A", 0): 40.0, ("B", 0): 40.0})
    assert "One run, with this recipe: A, B." in footnotes(result)
    assert not any("One run" in line for line in footnotes(made_result(plan, MIOUS)))


def test_nothing_done_is_a_table_of_gaps():
    result = made_result(made_plan("A", "B"), {})
    assert "| A | - |" in as_markdown(result) and len(result.gaps) == 6
    assert "<table" in as_html(result)


def test_the_papers_row_stands_beside():
    plan = made_plan("A", "B", paper={"voc": {"1_32": {"B": 68.6}}})
    text = as_markdown(made_result(plan, MIOUS))
    assert text.splitlines()[0] == "| Made | mIoU | rare mIoU | paper |"
    assert text.splitlines()[2].endswith("| - |") and text.splitlines()[3].endswith("| 68.6 |")
    assert "as published" in text
    elsewhere = made_plan("A", "B", recipe="cityscapes_1_8", paper={"voc": {"1_32": {"B": 68.6}}})
    assert "paper" not in as_markdown(made_result(elsewhere, MIOUS))


def test_json_holds_every_seed(result):
    told = json.loads(json.dumps(as_json(result), allow_nan=False))
    (row,) = [row for row in told["rows"] if row["row"] == "B"]
    assert row["over_seeds"]["miou"]["mean"] == pytest.approx(0.52)
    assert row["difference"]["miou"] == pytest.approx({"mean": 0.02, "deviation": 0.01, "seeds": 3})
    assert row["seeds"]["1"]["iou"] == {"road": 0.52, "pole": None} and row["seeds"]["1"]["run"] == "run-B-1"


def test_csv_has_a_line_for_each_figure_and_class(result):
    lines = [line for line in as_csv(result).splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    assert len(rows) == 6 * 4 and {row["numerics"] for row in rows} == {str(NUMERICS)}
    (found,) = [r for r in rows if (r["row"], r["seed"], r["figure"]) == ("B", "1", "iou road")]
    assert float(found["value"]) == pytest.approx(0.52)


def test_the_terminal_shows_it_whole(result):
    console = Console(width=100, file=io.StringIO())
    console.print(as_rich(result))
    assert "52.0 ± 9.0 (+2.0 ± 1.0)" in console.file.getvalue()


def test_the_page_shows_seeds_and_classes(result):
    html = as_html(result)
    assert "mIoU in percent of each row, split 1/32: A 50.0, B 52.0" in html
    assert '<th scope="row">road</th><td>50.0 ± 10.0</td><td>52.0 ± 9.0 (+2.0 ± 1.0)</td>' in html
    assert "run-B-1" in html


def test_a_class_may_have_a_column_of_its_own():
    plan = made_plan("A", "B", figures=["miou", "iou road", "iou pole", "subclasses"])
    text = as_markdown(made_result(plan, MIOUS))
    assert text.splitlines()[0] == "| Made | mIoU | road IoU | pole IoU |"  # no run has subclasses
    assert "| B | 52.0 ± 9.0 (+2.0 ± 1.0) | 52.0 ± 9.0 (+2.0 ± 1.0) | - |" in text


def test_notes_are_in_every_form():
    result = made_result(made_plan("A", "B"), MIOUS, notes=("Runs are not used: a.",))
    assert "Runs are not used: a." in as_markdown(result) and "Runs are not used: a." in as_html(result)
    assert "# Runs are not used: a." in as_csv(result).splitlines()
    assert as_json(result)["notes"] == ["Runs are not used: a."]


def test_every_class_may_have_a_column_of_its_own():
    plan = made_plan("A", "B", figures=["miou", "iou *"])
    assert as_markdown(made_result(plan, MIOUS)).splitlines()[0] == "| Made | mIoU | road IoU | pole IoU |"


def test_the_papers_classes_stand_beside():
    plan = made_plan("A", "B", paper_iou={"voc": {"1_32": {"B": {"road": 84.1}}}})
    result = made_result(plan, MIOUS)
    assert "<td>52.0 ± 9.0 (+2.0 ± 1.0); paper 84.1</td>" in as_html(result)
    (row,) = [row for row in as_json(result)["rows"] if row["row"] == "B"]
    assert row["paper_iou"] == pytest.approx({"road": 0.841})
