from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from usrn_keras.errors import RunError
from usrn_keras.report import Comparison, Scores

CLASSES = ("pole", "sky", "road")
BASELINE = Scores("Baseline", CLASSES, [[2, 0, 8], [0, 30, 0], [0, 0, 60]])
USRN = Scores("USRN", CLASSES, [[5, 0, 5], [0, 30, 0], [0, 0, 60]])


def rendered(comparison: Comparison) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(comparison.rich())
    return console.file.getvalue()


def test_markdown_sorts_by_share_marks_rare_classes_and_shows_the_difference():
    assert Comparison([BASELINE, USRN]).markdown().splitlines() == [
        "| class | pixels % | Baseline | USRN |",
        "| :-- | --: | --: | --: |",
        "| road | 60.0 | 88.2 | 92.3 (+4.1) |",
        "| sky | 30.0 | 100.0 | 100.0 (+0.0) |",
        "| pole \\* | 10.0 | 20.0 | 50.0 (+30.0) |",
        "| **mIoU** |  | 69.4 | 80.8 (+11.4) |",
        "| **mIoU of rare classes \\*** |  | 20.0 | 50.0 (+30.0) |",
        "| **pixel accuracy** |  | 92.0 | 95.0 (+3.0) |",
        "| **mean class accuracy** |  | 73.3 | 83.3 (+10.0) |",
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
    assert "| a\\|b |" in Comparison([scores]).markdown()


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
    assert "(" not in comparison.markdown()


def test_warns_of_runs_that_saw_different_pixels():
    other = Scores("Other", CLASSES, np.diag([1, 1, 1]))
    assert any("do not compare" in note for note in Comparison([BASELINE, other]).notes())
    assert not any("do not compare" in note for note in Comparison([BASELINE, USRN]).notes())


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
    assert refused.value.faults == ("Other: a",)
    with pytest.raises(RunError, match="nothing to compare"):
        Comparison([])
