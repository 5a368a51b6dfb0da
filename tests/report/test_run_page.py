"""The page of a run: what is there is shown, what is not is said."""

from __future__ import annotations

import numpy as np
import pytest

from tests.report.test_page import Reader
from tests.report.test_pictures import compared
from tests.report.test_pseudo_label_rates import record
from usrn_keras.metrics import Provenance, Scores
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.run_page import losses_of, run_page
from usrn_keras.report.run_summary import RunSummary
from usrn_keras.subclasses import SubclassMap

CLASSES = ("road", "<pole>")
SECTIONS = [
    "Scores",
    "Confusion matrix",
    "Pictures",
    "Losses",
    "Pseudo labels",
    "Class balance",
    "About this run",
]


def summary(**changes) -> RunSummary:
    return RunSummary("runs/<a>", CLASSES, np.array([[128, 64, 128], [220, 20, 60]], np.uint8), **changes)


def subclasses() -> SubclassMap:
    return SubclassMap(
        CLASSES, counts=np.array([2, 1]), sizes=np.array([50, 50, 40]), centers=np.zeros((3, 2), "float32"),
        pixels=np.array([1600, 640]), feature_pixels=np.array([100, 40]), inertia=np.ones(2),
        prices=np.zeros(3),
    )  # fmt: skip


def scores(name: str) -> Scores:
    provenance = Provenance("streets", "val", 3, "0" * 16, "whole", "last")
    return Scores(name, CLASSES, [[80, 10], [4, 6]], provenance=provenance)


def metrics(*keys: str) -> list[dict]:
    return [{"step": step, "seconds_per_step": 0.5} | dict.fromkeys(keys, 1 / step) for step in (1, 20, 40)]


def full_summary(**changes) -> RunSummary:
    known = {
        "facts": [("backend", "torch")],
        "recipe": "[data]",
        "scores": [scores("Baseline"), scores("USRN")],
        "training": {
            "Baseline": metrics("loss"),
            "USRN": metrics("loss", "supervised", "self_training", "confident", "gate_open", "val_miou"),
        },
        "pseudo_labels": [record(0), record(40)],
        "has_gate": True,
        "clusters": ClusterReport(subclasses()),
        "images": [compared(mious=[0.25, 0.5]), compared(name="town/1")],
        "measured": 2,
    }
    return summary(**(known | changes))


def small_summary(**changes) -> RunSummary:
    """Without what takes long to draw."""
    return full_summary(**({"training": {}, "clusters": None, "images": []} | changes))


@pytest.fixture(scope="module")
def full_page() -> Reader:
    return Reader(run_page(full_summary()).html())


def html_text(read: Reader) -> str:
    return read.all("main")[0][1]


def headings(read: Reader) -> list[str]:
    return [text for _, text in read.all("h2")]


def notes(read: Reader) -> list[str]:
    return [text for attributes, text in read.all("p") if attributes.get("class") == "note"]


def test_a_run_of_which_everything_is_known(full_page):
    read = full_page
    assert headings(read) == ["In short", *SECTIONS[:-1], "Seconds per step", SECTIONS[-1]]
    assert notes(read) == []
    (subtitle,) = [text for attributes, text in read.all("p") if attributes.get("class") == "subtitle"]
    assert subtitle == "mIoU Baseline 57.6 %, USRN 57.6 % on 3 val images of streets"
    alts = [attributes["alt"] for attributes, _ in read.all("img")]
    assert alts[:5] == [
        f"town/0: {what}" for what in ("image", "label", "Baseline", "USRN", "where they differ")
    ]
    for part in ("losses of Baseline", "losses of USRN", "mIoU on the validation images",
                 "batches of training", "Precision and coverage", "entropy of F",
                 "gate is open over the steps, for each class", "class balance rate"):  # fmt: skip
        assert any(part in alt for alt in alts), part
    assert all(text for _, text in read.all("figcaption"))


def test_the_table_of_the_last_step_holds_the_figures(full_page):
    assert [name for _, name in full_page.all("th")].count("all classes") == 1
    captions = [text for attributes, text in full_page.all("p") if attributes.get("class") == "caption"]
    assert len(captions) == 1 and captions[0].startswith("Step 40, in percent")
    cells = [text for attributes, text in full_page.all("td")]
    road = cells.index("83.3")  # 5 of the 6 pixels with a true class
    assert cells[road : road + 12] == [
        "83.3", "100.0", "50.0", "25.0", "75.0", "25.0", "50.0", "75.0", "75.0", "60.0", "3", "0",
    ]  # fmt: skip


def test_a_run_of_which_nothing_is_known_says_so():
    missing = {key: f"no {key}" for key in ("scores", "pictures", "pseudo_labels", "clusters")}
    read = Reader(run_page(summary(missing=missing)).html())
    assert headings(read) == [name for name in SECTIONS if name != "Confusion matrix"]
    assert notes(read) == [
        "no scores", "no pictures", "No losses are recorded yet.", "no pseudo_labels", "no clusters",
    ]  # fmt: skip
    assert not read.all("img")


def test_images_without_known_scores_are_shown_and_the_rest_is_missed():
    read = Reader(
        run_page(
            small_summary(
                images=[compared()],
                measured=9,
                pseudo_labels=[],
                missing={"pseudo_labels": "nobody", "images": "older version"},
            )
        ).html()
    )
    assert notes(read)[0] == "older version"
    assert "First image: town/0" in [text for _, text in read.all("h3")]
    assert "1 of 9 measured images, sorted by score" in [text for _, text in read.all("summary")]


def test_without_masks_nobody_knows_what_is_right():
    bare = record(0, masks=0)
    read = Reader(run_page(small_summary(pseudo_labels=[bare])).html())
    assert "None of them has a mask" in " ".join(text for _, text in read.all("p"))
    assert not any("Precision" in attributes["alt"] for attributes, _ in read.all("img"))
    assert "precision" not in [text for _, text in read.all("th")]


def test_without_a_gate_none_is_mentioned():
    html = run_page(small_summary(has_gate=False, pseudo_label_note="F_sub corrects every label.")).html()
    assert any("F_sub corrects every label." in text for _, text in Reader(html).all("p"))
    for words in ("gate is open", "gate open", "Gate open", "gate opens", "gate dropped"):
        assert words not in html


def test_with_a_gate_it_is():
    html = run_page(small_summary(has_gate=True)).html()
    assert all(words in html for words in ("gate is open", "gate open", "gate opens"))


def test_a_method_without_a_second_branch():
    sums = {"pixels": [8, 0], "confident": [4, 0], "entropy": [2.0, 0.0]}
    quality = {"corrected": {"chosen": [4, 0], "right": [3, 0]}}
    plain = record(0, by_pseudo_label=sums, by_true_class=sums | {"pixels": [5, 1]}, quality=quality)
    html = run_page(
        small_summary(
            pseudo_labels=[plain],
            has_gate=False,
            scores=[scores("supervised"), scores("self-training")],
            training={"supervised": metrics("loss"), "self-training": metrics("supervised", "confident")},
        )
    ).html()
    read = Reader(html)
    assert not [word for word in ("F_sub", "USRN", "Baseline", "correction") if word in html]
    alts = [attributes["alt"] for attributes, _ in read.all("img")]
    assert "The losses of self-training over the steps of training" in alts
    assert "Mean normalised entropy of F over the steps" in alts
    last = [text for attributes, text in read.all("th") if attributes["scope"] == "col"][-7:]
    assert last == [
        "class", "true %", "pseudo %", "F above gamma", "entropy F", "precision", "coverage",
    ]  # fmt: skip


def test_a_supervised_run_has_one_score_and_one_prediction():
    one = compared()
    one = compared(predictions={"Baseline": one.predictions["Baseline"]})
    alone = small_summary(
        scores=[scores("Baseline")], pseudo_labels=[], images=[one],
        missing={"pseudo_labels": "A supervised run has no pseudo labels."},
    )  # fmt: skip
    read = Reader(run_page(alone).html())
    assert "A supervised run has no pseudo labels." in notes(read)
    assert [attributes["alt"] for attributes, _ in read.all("img")][-1] == "town/0: where it is wrong"
    assert "mIoU of Baseline is 57.6 %; there is no other model to compare with." in html_text(read)


def test_losses_are_the_terms_that_were_recorded():
    terms = metrics("loss", "supervised", "self_training_sub")
    assert [line.name for line in losses_of(terms)] == ["F, labelled", "F_sub, unlabelled"]
    (line,) = losses_of(metrics("loss"))
    assert line.steps.tolist() == [1, 20, 40] and line.values[0] == 1
