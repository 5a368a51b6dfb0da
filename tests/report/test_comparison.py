from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from usrn_keras.errors import RunError
from usrn_keras.metrics import Provenance, Scores
from usrn_keras.report import Comparison, comparison_csv, comparison_markdown, comparison_table

CLASSES = ("pole", "sky", "road")
BASELINE = Scores("Baseline", CLASSES, [[2, 0, 8], [0, 30, 0], [0, 0, 60]])
USRN = Scores("USRN", CLASSES, [[5, 0, 5], [0, 30, 0], [0, 0, 60]])
VAL = Provenance("camvid", "val", 101, "4d51ba8f", "whole", "last")


def run(name: str, provenance: Provenance | None = VAL, boundary=None) -> Scores:
    return Scores(name, CLASSES, BASELINE.confusion, boundary=boundary, provenance=provenance)


def rendered(comparison: Comparison, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(comparison_table(comparison))
    return console.file.getvalue()


def test_markdown_sorts_by_share_marks_rare_classes_and_shows_the_difference():
    assert comparison_markdown(Comparison([BASELINE, USRN])).splitlines() == [
        "| class | pixels % | Baseline | USRN |",
        "| :-- | --: | --: | --: |",
        "| road | 60.0 | 88.2 | 92.3 (+4.1) |",
        "| sky | 30.0 | 100.0 | 100.0 (+0.0) |",
        "| pole \\* | 10.0 | 20.0 | 50.0 (+30.0) |",
        "| **mIoU** |  | 69.4 | 80.8 (+11.4) |",
        "| **mIoU of rare classes \\*** |  | 20.0 | 50.0 (+30.0) |",
        "| **pixel accuracy** |  | 92.0 | 95.0 (+3.0) |",
        "| **mean class accuracy** |  | 73.3 | 83.3 (+10.0) |",
        "| **frequency-weighted IoU** |  | 84.9 | 90.4 (+5.4) |",
        "",
        "IoU in percent. \\* rare: a smaller share of the pixels than the median class. "
        "In parentheses: the difference to Baseline.",
    ]


def test_terminal_table_holds_the_same_rows():
    comparison = Comparison([BASELINE, USRN])
    text = rendered(comparison)
    for row in [comparison.header, *comparison.class_rows(), *comparison.mean_rows()]:
        assert any(all(cell in line for cell in row) for line in text.splitlines()), row


def test_names_are_not_markup():
    scores = Scores("[red]runs/A", ["a|b", "[bold]c"], [[1, 0], [0, 1]])
    assert "[red]runs/A" in rendered(Comparison([scores]))
    assert "[bold]c" in rendered(Comparison([scores]))
    assert "| a\\|b |" in comparison_markdown(Comparison([scores]))


def test_absent_classes_have_no_figure():
    scores = Scores("A", ["road", "train"], [[9, 1], [0, 0]])
    comparison = Comparison([scores, scores])
    assert comparison.class_rows()[1] == ["train", "absent", "-", "-"]
    assert any("Absent" in note for note in comparison.notes())


def test_a_tiny_loss_is_not_shown_as_minus_zero():
    scores = [Scores("A", ["all", "b"], np.diag([9999, 1])), Scores("B", ["all", "b"], [[9998, 1], [0, 1]])]
    assert Comparison(scores).class_rows()[0][-1] == "100.0 (+0.0)"


def test_one_run_needs_no_difference():
    comparison = Comparison([BASELINE])
    assert "(" not in comparison_markdown(comparison)


def test_warns_of_runs_that_saw_different_pixels():
    other = Scores("Other", CLASSES, np.diag([1, 1, 1]))
    assert any("do not compare" in note for note in Comparison([BASELINE, other]).notes())
    assert not any("do not compare" in note for note in Comparison([BASELINE, USRN]).notes())


def test_runs_of_one_origin_share_one_line_below_the_table():
    comparison = Comparison([run("A"), run("B")])
    line = "camvid val, 101 images, lists 4d51ba8f, mode whole, checkpoint last"
    assert comparison.notes()[1:] == [line]
    assert comparison.warnings() == []
    assert comparison_markdown(comparison).endswith(f"In parentheses: the difference to A.\n\n{line}")
    assert rendered(comparison).splitlines()[-1] == line
    assert comparison_csv(comparison).endswith(f"# {line}\n")


def test_runs_of_several_origins_have_a_line_each():
    best = replace(VAL, checkpoint="best")
    assert Comparison([run("A"), run("B", best), run("C", None)]).notes()[1:] == [
        f"A: {VAL.line()}",
        "B: camvid val, 101 images, lists 4d51ba8f, mode whole, checkpoint best",
        "C: not recorded",
    ]


def test_warns_of_other_lists_even_on_the_same_pixels():
    comparison = Comparison([run("A"), run("B", replace(VAL, fingerprint="9e0c11f2"))])
    warning = (
        "Warning: the lists of images differ (4d51ba8f, 9e0c11f2): trained or measured on different images."
    )
    assert comparison.warnings() == comparison.to_json()["warnings"] == [warning]
    for text in (comparison_markdown(comparison), comparison_csv(comparison), rendered(comparison)):
        assert warning in text


def test_boundary_miou_has_a_row_only_where_it_was_measured():
    assert not any("boundary" in row[0] for row in Comparison([run("A")]).mean_rows())
    comparison = Comparison([run("A"), run("B", boundary=[[1, 2], [3, 4], [1, 4]])])
    assert comparison.mean_rows()[-1] == ["boundary mIoU", "", "-", "50.0"]


def test_csv_has_a_row_for_each_class_and_mean():
    text = comparison_csv(Comparison([run("A, #1"), run("B", boundary=[[1, 2], [3, 4], [1, 4]])]))
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    kinds = [(row["kind"], row["name"]) for row in rows]
    assert kinds == [("class", name) for name in ("road", "sky", "pole")] + [
        ("mean", "mIoU"),
        ("mean", "mIoU of rare classes"),
        ("mean", "pixel accuracy"),
        ("mean", "mean class accuracy"),
        ("mean", "frequency-weighted IoU"),
        ("mean", "boundary mIoU"),
    ]
    pole, miou = rows[2], rows[3]
    assert (pole["pixels"], pole["pixel_share"], pole["rare"]) == ("10", "0.1", "1")
    assert (pole["A, #1"], pole["B"], pole["B boundary"]) == ("0.2", "0.2", "0.5")
    assert float(miou["B"]) == BASELINE.miou and miou["pixels"] == miou["B boundary"] == ""
    assert "A, #1 boundary" not in pole and rows[-1]["A, #1"] == ""


def test_csv_of_absent_classes_has_empty_cells_and_no_nan():
    scores = Scores("A", ["road", "train"], [[9, 1], [0, 0]])
    assert comparison_csv(Comparison([scores])).splitlines()[:3] == [
        '"kind","name","pixels","pixel_share","rare","A"',
        '"class","road",10,1.0,0,0.9',
        '"class","train",0,0.0,0,""',
    ]


def test_json_and_back():
    comparison = Comparison([run("A"), run("B", replace(VAL, split="test"), [[1, 2], [3, 4], [1, 4]])])
    again = Comparison.from_json(json.loads(json.dumps(comparison.to_json(), allow_nan=False)))
    assert comparison_csv(again) == comparison_csv(comparison)
    assert comparison_markdown(again) == comparison_markdown(comparison)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_runs_that_do_not_fit_the_terminal_stand_in_a_table_below(width):
    names = [f"runs/camvid_seed{i}_usrn" for i in range(7)]
    comparison = Comparison([run(name) for name in names])
    lines = rendered(comparison, width).splitlines()
    assert max(map(len, lines)) <= width
    poles = [line for line in lines if "pole *" in line]
    assert sum(line.count("20.0") for line in poles) == len(names)
    assert len(poles) == sum("mIoU  " in line for line in lines) == {60: 7, 80: 4, 120: 2}[width]
    assert "…" not in "".join(lines)


def test_json_has_fractions_in_the_classes_own_order():
    value = json.loads(json.dumps(Comparison([BASELINE, USRN]).to_json(), allow_nan=False))
    assert value["classes"] == list(CLASSES)
    assert value["pixel_share"] == [0.1, 0.3, 0.6]
    assert value["rare"] == [True, False, False]
    assert value["runs"][1]["iou"][0] == 0.5


def test_refuses_other_classes_and_nothing():
    other = Scores("Other", ["a"], [[1]])
    with pytest.raises(RunError, match="same classes") as refused:
        Comparison([BASELINE, other])
    assert refused.value.errors == ("Other: a",)
    with pytest.raises(RunError, match="nothing to compare"):
        Comparison([])
