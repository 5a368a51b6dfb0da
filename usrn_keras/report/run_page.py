"""The page of a run: its scores, how training went, and a description of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usrn_keras.report.comparison import Comparison
from usrn_keras.report.confusion_table import confusion_section
from usrn_keras.report.curves import Line, line_chart_svg, recorded
from usrn_keras.report.gallery import picture_section
from usrn_keras.report.page import Page
from usrn_keras.report.pseudo_label_charts import pseudo_label_section
from usrn_keras.report.run_summary import RunSummary
from usrn_keras.report.size_chart import size_charts_svg
from usrn_keras.report.verdict import verdict

# Terms of the objective that methods report under these names; without any, the whole objective is drawn.
LOSSES = {
    "supervised": "F, labelled",
    "supervised_sub": "F_sub, labelled",
    "self_training": "F, unlabelled",
    "self_training_sub": "F_sub, unlabelled",
    "pseudo": "F, pseudo masks",
    "pseudo_sub": "F_sub, pseudo masks",
    "supervised_2": "network 2, labelled",
    "cross": "F, labels of network 2",
    "cross_2": "network 2, labels of F",
}


def run_page(summary: RunSummary) -> Page:
    """Build the page of a run from whatever is known of it.

    Example:

    >>> import numpy as np
    >>> summary = RunSummary("runs/camvid", ("road",), np.zeros((1, 3), "uint8"))
    >>> "The run has not been evaluated yet." in run_page(summary).html()
    True
    """
    page = Page(summary.name, _headline(summary))
    if points := verdict(summary):
        page.section("In short")
        for heading, found in points.items():
            page.points(heading, found)
    _scores(page, summary)
    if summary.scores:
        confusion_section(page, summary.scores[-1])
    picture_section(page, summary)
    _losses(page, summary)
    pseudo_label_section(page, summary)
    _class_balance(page, summary)
    _speed(page, summary)
    page.section("About this run", folded=True)
    page.facts(summary.facts)
    if summary.recipe:
        page.details("The recipe", summary.recipe)
    return page


def _headline(summary: RunSummary) -> str:
    reached = ", ".join(f"{scores.name} {100 * scores.miou:.1f} %" for scores in summary.scores)
    if not reached:
        return "A run of usrn-keras"
    provenance = summary.scores[0].provenance
    where = (
        f" on {provenance.images:,} {provenance.split} images of {provenance.dataset}" if provenance else ""
    )
    return f"mIoU {reached}{where}"


def _scores(page: Page, summary: RunSummary) -> None:
    page.section("Scores")
    if not summary.scores:
        page.note(summary.missing.get("scores", "The run has not been evaluated yet."))
        return
    comparison = Comparison(summary.scores)
    page.table(comparison.header, comparison.class_rows(), means=comparison.mean_rows())
    page.text("\n\n".join(comparison.notes()))


def _losses(page: Page, summary: RunSummary) -> None:
    page.section("Losses", folded=True)
    found = False
    for name, records in summary.training.items():
        lines = losses_of(records)
        if not any(line.known() for line in lines):
            continue
        found = True
        terms = "cross-entropy" if len(lines) == 1 else "cross-entropy of each term"
        several = (
            "Losses on unlabelled images are measured on the model's own pseudo labels; they may rise while "
            "more pixels become confident enough to count."
        )
        page.figure(
            line_chart_svg(lines, unit=f"{name}: {terms}"),
            f"The losses of {name} over the steps of training",
            f"The loss of {name} on its training images: lower is better, and a flat line means that nothing "
            "more is learnt at this learning rate. " + several * (len(lines) > 1),
        )
    lines = [recorded(records, "val_miou", name, means=False) for name, records in summary.training.items()]
    if any(line.known() for line in lines):
        page.figure(
            line_chart_svg([line for line in lines if line.known()], unit="mIoU on val", percent=True),
            "mIoU on the validation images over the steps of training",
            "mIoU on the validation images, measured during training: higher is better.",
        )
    if not found:
        page.note("No losses are recorded yet.")


def losses_of(records: Sequence[Mapping[str, float]]) -> list[Line]:
    """The terms of the objective that training recorded, or the whole objective without terms."""
    lines = [recorded(records, key, name) for key, name in LOSSES.items()]
    return [line for line in lines if line.known()] or [recorded(records, "loss", "loss")]


def _class_balance(page: Page, summary: RunSummary) -> None:
    page.section("Class balance", folded=True)
    if summary.clusters is None:
        page.note(summary.missing.get("clusters", "The run has no subclasses yet."))
        return
    page.text(
        f"The classes of the labelled images are divided into {summary.clusters.subclasses.total:,} "
        f"subclasses ({summary.clusters.size_words()}), so that F_sub is trained on balanced classes. "
        + summary.clusters.rate_line().capitalize()
        + "."
    )
    for (svg, what), caption in zip(
        size_charts_svg(summary.clusters, summary.palette),
        (
            "Before: the share of the labelled pixels of each class, on a logarithmic axis. Bars of very "
            "different height mean that rare classes are hard to learn.",
            "After: the shares of the subclasses, in the same colours; in parentheses their number in each "
            "class. Bars of equal height are balanced.",
        ),
        strict=True,
    ):
        page.figure(svg, what, caption)


def _speed(page: Page, summary: RunSummary) -> None:
    lines = [recorded(records, "seconds_per_step", name) for name, records in summary.training.items()]
    # The first step compiles the program and would flatten the rest of the curve.
    lines = [Line(line.name, line.steps[1:], line.values[1:]) for line in lines if len(line.steps) > 1]
    if not lines:
        return
    page.section("Seconds per step", folded=True)
    page.figure(
        line_chart_svg(lines, unit="seconds per step"),
        "Duration of a training step in seconds, over the steps",
        "Duration of a training step: lower is faster. The first record, in which the backend compiles, is "
        "left out. Methods differ in the branches and views that a step computes.",
    )
