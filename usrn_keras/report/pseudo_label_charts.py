"""The section of a run's page about its pseudo labels: how many, how confident, how many are correct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usrn_keras.report.curves import Line, Panel, line_chart_svg, panels_svg, recorded
from usrn_keras.report.page import Page
from usrn_keras.report.pseudo_label_rates import PseudoLabelRates
from usrn_keras.report.run_summary import RunSummary

MOST_PANELS = 48  # classes with a chart of their own; the table has them all
# Names of the lines: of what training records, and of the shares that are measured on fixed images.
TRAINING = {
    "confident": "F above gamma",
    "confident_sub": "F_sub above gamma",
    "gate_open": "gate open",
    "gate_dropped": "dropped",
    "label_overridden": "overridden",
}
SHARES = {"confident": "F above gamma", "confident_sub": "F_sub above gamma", "open": "gate open"}
ENTROPIES = {"entropy": "F", "entropy_sub": "F_sub"}
LOST = ("dropped", "overridden")


def pseudo_label_section(page: Page, summary: RunSummary) -> None:
    """Add the section; without records of their quality, what training recorded, and the reason."""
    page.section("Pseudo labels", folded=True)
    training = _training_lines(summary)
    if not summary.pseudo_labels:
        _in_training(page, training)
        reason = "The quality of the pseudo labels was not measured."
        page.note(summary.missing.get("pseudo_labels", reason))
        return
    rates = PseudoLabelRates(summary.pseudo_labels)
    page.text(
        ("The first chart shows the batches of training, all others " if training else "The charts show ")
        + f"{rates.images} unlabelled images, the same at every step, whole and not augmented. "
        + (
            f"{rates.masks} of them have masks, which show the correct labels; training never sees them. "
            if rates.masks
            else "None of them has a mask, so it is unknown which pseudo labels are correct. "
        )
        + summary.pseudo_label_note
    )
    _in_training(page, training)
    shown = [name for name in SHARES if rates.has(name) and (name != "open" or summary.has_gate)]
    _confidence(page, rates, shown)
    _quality(page, rates)
    _entropy(page, rates, gate="open" in shown)
    order = _class_order(summary, rates)
    _per_class(page, summary, rates, order[:MOST_PANELS], gate="open" in shown)
    _last_step(page, summary, rates, order, shown)


def _training_lines(summary: RunSummary) -> list[Line]:
    """The shares that the training of the last model recorded of its own batches."""
    records = list(summary.training.values())[-1] if summary.training else []
    names = {key: name for key, name in TRAINING.items() if key != "gate_open" or summary.has_gate}
    lines = [recorded(records, key, name) for key, name in names.items()]
    return [line for line in lines if line.known()]


def _in_training(page: Page, lines: Sequence[Line]) -> None:
    if not lines:
        return
    known = {line.name for line in lines}
    page.figure(
        line_chart_svg(lines, unit="share of the pixels in a batch", percent=True),
        "Shares of the pixels over the steps, in the batches of training",
        "The batches of training. Above gamma: pixels whose pseudo label is confident enough to be learnt. "
        + "Gate open: F_sub is more confident than F and corrects its label. " * ("gate open" in known)
        + "Dropped: confident before the correction by F_sub, not after it. " * ("dropped" in known)
        + "Overridden: confident, with another label than that of F." * ("overridden" in known),
    )


def _confidence(page: Page, rates: PseudoLabelRates, shown: Sequence[str]) -> None:
    lines = [Line(SHARES[name], rates.steps, rates.overall(name)) for name in shown]
    page.figure(
        line_chart_svg(lines, unit="share of all pixels", percent=True),
        "Shares of the pixels of the fixed images over the steps",
        f"The same shares on the fixed images (gamma = {rates.threshold:g}), comparable from step to step.",
    )


def _quality(page: Page, rates: PseudoLabelRates) -> None:
    if not rates.masks:
        return
    lines = [Line("precision", rates.steps, rates.overall_precision())]
    corrected = rates.has("dropped")
    if corrected:
        lines.append(Line("precision, F alone", rates.steps, rates.overall_precision("own")))
    lines.append(Line("coverage", rates.steps, rates.overall_coverage()))
    if corrected:
        lines.append(Line("coverage, F alone", rates.steps, rates.overall_coverage("own")))
    page.figure(
        line_chart_svg(lines, unit="share", percent=True),
        "Precision and coverage of the pseudo labels over the steps",
        "Precision: share of the pseudo labels above gamma that are correct. Coverage: share of all pixels "
        "that have a correct one. " + (_correction(rates) if corrected else ""),
    )


def _correction(rates: PseudoLabelRates) -> str:
    """The effect of the correction of F's labels, in words."""
    dropped, precision = rates.lost("dropped")[-1].sum(), rates.overall_precision("dropped")[-1]
    wrong = f", {100 * (1 - precision):.0f} % of them wrong" if np.isfinite(precision) else ""
    return (
        "F alone: before the correction by F_sub; where it helps, precision is higher after it. "
        f"At the last step the correction dropped {dropped:,.0f} labels{wrong}."
    )


def _entropy(page: Page, rates: PseudoLabelRates, gate: bool) -> None:
    lines = [
        Line(branch, rates.steps, rates.overall(name))
        for name, branch in ENTROPIES.items()
        if rates.has(name)
    ]
    if not lines:
        return
    page.figure(
        line_chart_svg(lines, unit="mean normalised entropy"),
        f"Mean normalised entropy of {' and of '.join(line.name for line in lines)} over the steps",
        "How uncertain each branch is: 0 is certain, 1 is a uniform distribution."
        + " The gate opens at the pixels where F_sub is at most as uncertain as F, so it stays closed while "
        "the line of F_sub is far above." * gate,
    )


def _per_class(
    page: Page, summary: RunSummary, rates: PseudoLabelRates, order: Sequence[int], gate: bool
) -> None:
    """Small charts, one for each class."""
    note = " The thin grey line is that of all classes."
    if len(order) < len(summary.classes):
        note += f" The {MOST_PANELS} most frequent classes; the table has all."

    def chart(what: str, of_class: np.ndarray, of_all: np.ndarray, caption: str, **options: float) -> None:
        panels = [Panel(Line("all classes", rates.steps, of_all), None)]
        for i in order:
            panels.append(Panel(Line(summary.marked(i), rates.steps, of_class[:, i]), summary.palette[i]))
        page.figure(panels_svg(panels, **options), f"{what} over the steps, for each class", caption + note)

    chart(
        "Share of pixels above gamma", rates.share("confident"), rates.overall("confident"),
        "Above gamma: share of the pixels with this pseudo label that are confident enough to be learnt.",
    )  # fmt: skip
    if gate:
        chart(
            "Share of pixels where the gate is open", rates.share("open"), rates.overall("open"),
            "Gate open: share of the pixels with this pseudo label that F_sub decides.",
        )  # fmt: skip
    if rates.masks:
        chart(
            "Precision of the pseudo labels", rates.precision(), rates.overall_precision(),
            "Precision: share of the labels of this class above gamma that are correct.", top=1.0,
        )  # fmt: skip
        chart(
            "Coverage of the pseudo labels", rates.coverage(), rates.overall_coverage(),
            "Coverage: share of the pixels truly of this class that have a correct label above gamma. Where "
            "it stays at 0, pseudo labels never teach the class.", top=1.0,
        )  # fmt: skip


def _last_step(
    page: Page, summary: RunSummary, rates: PseudoLabelRates, order: Sequence[int], shown: Sequence[str]
) -> None:
    """All figures of the last step as a table."""
    entropies = {name: f"entropy {branch}" for name, branch in ENTROPIES.items() if rates.has(name)}
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if rates.masks:
        columns["true %"] = (_of_all(rates.pixels("by_true_class")), np.ones(1))
    columns["pseudo %"] = (_of_all(rates.pixels()), np.ones(1))
    for name, heading in ({name: SHARES[name] for name in shown} | entropies).items():
        columns[heading] = rates.share(name), rates.overall(name)
    if rates.masks:
        columns["precision"] = rates.precision(), rates.overall_precision()
        if rates.has("dropped"):
            columns["precision, F alone"] = rates.precision("own"), rates.overall_precision("own")
        columns["coverage"] = rates.coverage(), rates.overall_coverage()
    lost = {name: rates.lost(name)[-1] for name in LOST if rates.has(name)}
    rows = [
        [
            summary.marked(i),
            *(_cell(of_class[-1, i]) for of_class, _ in columns.values()),
            *(f"{pixels[i]:,.0f}" for pixels in lost.values()),
        ]
        for i in order
    ]
    totals = [
        "all classes",
        *(_cell(of_all[-1]) for _, of_all in columns.values()),
        *(f"{pixels.sum():,.0f}" for pixels in lost.values()),
    ]
    note = " Dropped and overridden: pixels of stride 8, by F's own label." if lost else ""
    page.table(
        ["class", *columns, *lost],
        rows,
        f"Step {rates.steps[-1]:,}, in percent of the pixels with this pseudo label; coverage, of the pixels "
        f"truly of this class.{note}",
        means=[totals],
    )


def _class_order(summary: RunSummary, rates: PseudoLabelRates) -> list[int]:
    """Class ids from the most frequent to the rarest, by the scores or by the fixed images."""
    if summary.scores:
        pixels = summary.scores[0].pixels
    else:
        pixels = rates.pixels("by_true_class" if rates.masks else "by_pseudo_label")[-1]
    return np.argsort(-pixels, kind="stable").tolist()


def _of_all(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.maximum(1, pixels.sum(axis=1, keepdims=True))


def _cell(value: float) -> str:
    return f"{100 * value:.1f}" if np.isfinite(value) else "-"
