"""The page of a run: what it reached, how it got there, and what it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usrn_keras.report.comparison import Comparison
from usrn_keras.report.curves import Line, line_chart_svg, recorded
from usrn_keras.report.page import Page
from usrn_keras.report.pictures import PredictedImage, difference_legend, pictures_of
from usrn_keras.report.pseudo_label_charts import pseudo_label_section
from usrn_keras.report.run_summary import RunStory
from usrn_keras.report.size_chart import size_charts_svg

LOSSES = {
    "supervised": "F, labelled",
    "supervised_sub": "F_sub, labelled",
    "self_training": "F, unlabelled",
    "self_training_sub": "F_sub, unlabelled",
}
STAGES = {"1-baseline": "Baseline", "3-usrn": "USRN"}


def run_page(story: RunStory) -> Page:
    """The page of a run, with whatever is known of it.

    Example:

    >>> story = RunStory("runs/camvid", ("road",), np.zeros((1, 3), "uint8"))
    >>> "The run is not measured yet." in run_page(story).html()
    True
    """
    page = Page(story.name, _headline(story))
    _scores(page, story)
    _pictures(page, story)
    _losses(page, story)
    pseudo_label_section(page, story)
    _class_balance(page, story)
    _speed(page, story)
    page.section("What this run is")
    page.facts(story.facts)
    if story.recipe:
        page.details("The whole recipe", story.recipe)
    return page


def _headline(story: RunStory) -> str:
    reached = ", ".join(f"{scores.name} {100 * scores.miou:.1f} %" for scores in story.scores)
    if not reached:
        return "A run of usrn-keras"
    provenance = story.scores[0].provenance
    where = (
        f" on {provenance.images:,} {provenance.split} images of {provenance.dataset}" if provenance else ""
    )
    return f"mIoU {reached}{where}"


def _scores(page: Page, story: RunStory) -> None:
    page.section("Scores")
    if not story.scores:
        page.note(story.missing.get("scores", "The run is not measured yet."))
        return
    comparison = Comparison(story.scores)
    page.table(comparison.header, comparison.class_rows(), means=comparison.mean_rows())
    page.text("\n\n".join(comparison.notes()))


def _pictures(page: Page, story: RunStory) -> None:
    page.section("Pictures")
    rows = [*story.fixed, *story.worst]
    if not rows:
        page.note(story.missing.get("pictures", "There are no pictures."))
        return
    models = list(rows[0].predictions)
    rare = ", ".join(story.classes[i] for i in np.flatnonzero(story.rare))
    page.text(
        "Each map shows one class per colour; pixels without a class are white. "
        + (f"A white line with a black edge surrounds the rare classes ({rare})." if rare else "")
    )
    page.legend([(story.marked(i), story.palette[i]) for i in range(len(story.classes))])
    page.text("The last picture of each row shows where the models differ." if len(models) > 1 else "")
    page.legend(difference_legend(models))
    _picture_rows(page, story, "Images spread evenly over the list, the same in every report.", story.fixed)
    last = models[-1]
    _picture_rows(page, story, f"The images with the lowest mIoU of {last}, the worst first.", story.worst)
    if not story.worst:
        page.note(story.missing.get("worst", "Which images went worst is not known."))


def _picture_rows(page: Page, story: RunStory, what: str, rows: Sequence[PredictedImage]) -> None:
    if rows:
        page.text(what)
    for row in rows:
        page.pictures(row.heading(), pictures_of(row, story.palette, story.rare))


def _losses(page: Page, story: RunStory) -> None:
    page.section("Losses")
    found = False
    for stage, name in STAGES.items():
        lines = losses_of(story, stage)
        if any(line.known() for line in lines):
            found = True
            terms = "cross-entropy" if len(lines) == 1 else "cross-entropy of each term"
            page.figure(
                line_chart_svg(lines, unit=f"{name}: {terms}"),
                f"The losses of {name} over the steps of training",
                f"How wrong {name} still is on what it trains on: lower is better, and a flat line has "
                "nothing left to learn at this rate. "
                + ("" if len(lines) == 1 else "Losses on unlabelled images are about its own pseudo labels; "
                   "they may rise while more pixels become confident enough to count."),
            )  # fmt: skip
    validation = [_line(story, stage, "val_miou", name, means=False) for stage, name in STAGES.items()]
    if any(line.known() for line in validation):
        page.figure(
            line_chart_svg([line for line in validation if line.known()], unit="mIoU on val", percent=True),
            "mIoU on the validation images over the steps of training",
            "mIoU on the validation images while training went on: higher is better.",
        )
    if not found:
        page.note("No losses are recorded yet.")


def losses_of(story: RunStory, stage: str) -> list[Line]:
    """The terms of the objective that a stage recorded; of the Baseline its one loss."""
    lines = [_line(story, stage, key, name) for key, name in LOSSES.items()]
    known = [line for line in lines if line.known()]
    return known or [_line(story, stage, "loss", "loss")]


def _line(story: RunStory, stage: str, key: str, name: str, *, means: bool = True) -> Line:
    return recorded(story.metrics.get(stage, []), key, name, means=means)


def _class_balance(page: Page, story: RunStory) -> None:
    page.section("Class balance")
    if story.clusters is None:
        page.note(story.missing.get("clusters", "The run has no subclasses yet."))
        return
    page.text(
        "Each class of the labelled images was cut into subclasses of about equal size, so that F_sub "
        "learns from balanced classes. " + story.clusters.rate_line().capitalize() + "."
    )
    for (svg, what), caption in zip(
        size_charts_svg(story.clusters, story.palette),
        (
            "Before: the share of the labelled pixels that each class has, on a logarithmic axis. Bars of "
            "very different height are what makes rare classes hard to learn.",
            "After: the shares of the subclasses, in the same colours; in parentheses how many a class has. "
            "Bars of equal height are balanced.",
        ),
        strict=True,
    ):
        page.figure(svg, what, caption)


def _speed(page: Page, story: RunStory) -> None:
    lines = [_line(story, stage, "seconds_per_step", name) for stage, name in STAGES.items()]
    # The first step compiles, and would flatten all that comes after it.
    lines = [Line(line.name, line.steps[1:], line.values[1:]) for line in lines if len(line.steps) > 1]
    if not lines:
        return
    page.section("Seconds per step")
    page.figure(
        line_chart_svg(lines, unit="seconds per step"),
        "Seconds that a step of training took, over the steps",
        "What a step of training took: lower is faster. The first record, in which the backend compiles, is "
        "left out. A step of USRN has two branches and three views.",
    )
