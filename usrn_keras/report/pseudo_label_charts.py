"""The section of a run's page about its pseudo labels: how many, how sure, how right."""

from __future__ import annotations

import numpy as np

from usrn_keras.report.curves import Line, Panel, line_chart_svg, panels_svg, recorded
from usrn_keras.report.page import Page
from usrn_keras.report.rates import Rates
from usrn_keras.report.run_summary import RunStory

WITHOUT_GATE = {
    "off": " The gate is off in this run: F_sub corrects every label.",
    "closed": " The gate is closed in this run: F learns its own labels, and F_sub corrects none.",
    "unused": " F learns no pseudo labels in this run; this is what they would be.",
}
MOST_PANELS = 48  # classes with a chart of their own; the table has them all
STAGE = "3-usrn"


def pseudo_label_section(page: Page, story: RunStory) -> None:
    """Add the section; without a diagnosis, what training itself recorded, and why there is no more."""
    page.section("Pseudo labels")
    if not story.diagnosis:
        _while_training(page, story)
        page.note(story.missing.get("diagnosis", "The pseudo labels were not diagnosed."))
        return
    rates = Rates(story.diagnosis)
    masks = (
        f"{rates.masks} of them have masks, which tell right labels from wrong; training never sees them."
        if rates.masks
        else "None of them has a mask, so nobody knows which pseudo labels are right."
    )
    page.text(
        "The first chart shows what training saw in its own batches. All others are about "
        f"{rates.images} unlabelled images, the same at every step, whole and not augmented. {masks}"
        + WITHOUT_GATE.get(story.gate, "")
    )
    _while_training(page, story)
    _confidence(page, story, rates)
    _quality(page, rates)
    _entropy(page, story, rates)
    _per_class(page, story, rates)
    _last_step(page, story, rates)


def _while_training(page: Page, story: RunStory) -> None:
    """What the training loop recorded of its own batches."""
    names = {
        "confident": "F above gamma", "confident_sub": "F_sub above gamma", "gate_open": "gate open",
        "gate_dropped": "dropped by the correction",
    }  # fmt: skip
    if not _has_gate(story):
        del names["gate_open"]
    lines = [recorded(story.metrics.get(STAGE, []), key, name) for key, name in names.items()]
    lines = [line for line in lines if line.known()]
    if lines:
        page.figure(
            line_chart_svg(lines, unit="share of the pixels in a batch", percent=True),
            "Shares of the pixels over the steps, as training saw them",
            "What training saw in its own batches. Above gamma: pixels whose pseudo label is sure enough to "
            "be learnt. "
            + ("Gate open: F_sub is surer than F, so it corrects F's label. " if _has_gate(story) else "")
            + "Dropped: sure before the correction, not after it.",
        )


def _has_gate(story: RunStory) -> bool:
    return story.gate not in WITHOUT_GATE


def _confidence(page: Page, story: RunStory, rates: Rates) -> None:
    lines = [
        Line("F above gamma", rates.steps, rates.overall("confident")),
        Line("F_sub above gamma", rates.steps, rates.overall("confident_sub")),
    ]
    if _has_gate(story):
        lines.append(Line("gate open", rates.steps, rates.overall("open")))
    page.figure(
        line_chart_svg(lines, unit="share of all pixels", percent=True),
        "Shares of the pixels of the fixed images over the steps",
        f"The same shares on the fixed images (gamma = {rates.threshold:g}), comparable from step to step.",
    )


def _quality(page: Page, rates: Rates) -> None:
    if not rates.masks:
        return
    lines = [
        Line("precision", rates.steps, rates.overall_precision()),
        Line("precision, F alone", rates.steps, rates.overall_precision("own")),
        Line("coverage", rates.steps, rates.overall_coverage()),
        Line("coverage, F alone", rates.steps, rates.overall_coverage("own")),
    ]
    dropped = rates.lost("dropped")[-1].sum()
    wrong = 1 - rates.overall_precision("dropped")[-1]
    page.figure(
        line_chart_svg(lines, unit="share", percent=True),
        "Precision and coverage of the pseudo labels over the steps",
        "Precision: of the pseudo labels above gamma, how many are right. Coverage: of all pixels, how many "
        "have a right one. F alone: before F_sub's correction; where F_sub helps, precision lies above that. "
        + (
            f"At the last step the correction dropped {dropped:,.0f} labels"
            + (f", {100 * wrong:.0f} % of them wrong." if np.isfinite(wrong) else ".")
            if dropped
            else "At the last step the correction dropped no label."
        ),
    )


def _entropy(page: Page, story: RunStory, rates: Rates) -> None:
    lines = [
        Line("F", rates.steps, rates.overall("entropy")),
        Line("F_sub", rates.steps, rates.overall("entropy_sub")),
    ]
    page.figure(
        line_chart_svg(lines, unit="mean normalised entropy"),
        "Mean normalised entropy of F and of F_sub over the steps",
        "How unsure each branch is: 0 is certain, 1 knows nothing."
        + (
            " The gate opens at the pixels where F_sub is at most as unsure as F, so it stays shut while the "
            "line of F_sub lies far above."
            if _has_gate(story)
            else ""
        ),
    )


def _per_class(page: Page, story: RunStory, rates: Rates) -> None:
    """Small charts, a class each."""
    order = class_order(story, rates)[:MOST_PANELS]
    note = " The thin grey line is that of all classes."
    if len(order) < len(story.classes):
        note += f" The {MOST_PANELS} most frequent classes; the table has all."

    def chart(
        what: str, of_class: np.ndarray, of_all: np.ndarray, caption: str, top: float | None = None
    ) -> None:
        panels = [Panel(Line("all classes", rates.steps, of_all), None)]
        panels += [Panel(Line(story.marked(i), rates.steps, of_class[:, i]), story.palette[i]) for i in order]
        page.figure(panels_svg(panels, top=top), f"{what} over the steps, for each class", caption + note)

    chart(
        "Share of pixels above gamma", rates.share("confident"), rates.overall("confident"),
        "Above gamma: of the pixels with this pseudo label, how many are sure enough to be learnt.",
    )  # fmt: skip
    if _has_gate(story):
        chart(
            "Share of pixels where the gate is open", rates.share("open"), rates.overall("open"),
            "Gate open: of the pixels with this pseudo label, how many F_sub decides.",
        )  # fmt: skip
    if rates.masks:
        chart(
            "Precision of the pseudo labels", rates.precision(), rates.overall_precision(),
            "Precision: of the labels above gamma of this class, how many are right.", top=1.0,
        )  # fmt: skip
        chart(
            "Coverage of the pseudo labels", rates.coverage(), rates.overall_coverage(),
            "Coverage: of the pixels truly of this class, how many have a right label above gamma. Where it "
            "stays at 0, pseudo labels never teach the class.", top=1.0,
        )  # fmt: skip


def _last_step(page: Page, story: RunStory, rates: Rates) -> None:
    """Everything at the last step, in figures."""
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "pseudo %": (_of_all(rates.pixels()), np.ones(1)),
        "F above gamma": (rates.share("confident"), rates.overall("confident")),
        "F_sub above gamma": (rates.share("confident_sub"), rates.overall("confident_sub")),
        **({"gate open": (rates.share("open"), rates.overall("open"))} if _has_gate(story) else {}),
        "entropy F": (rates.share("entropy"), rates.overall("entropy")),
        "entropy F_sub": (rates.share("entropy_sub"), rates.overall("entropy_sub")),
    }
    if rates.masks:
        columns = {"true %": (_of_all(rates.pixels("by_true_class")), np.ones(1))} | columns
        columns["precision"] = rates.precision(), rates.overall_precision()
        columns["precision, F alone"] = rates.precision("own"), rates.overall_precision("own")
        columns["coverage"] = rates.coverage(), rates.overall_coverage()
    rows = [
        [story.marked(i), *(_cell(of[-1, i]) for of, _ in columns.values()), *_lost(rates, i)]
        for i in class_order(story, rates)
    ]
    everything = [
        "all classes",
        *(_cell(all_[-1]) for _, all_ in columns.values()),
        *_lost(rates, slice(None)),
    ]
    page.table(
        ["class", *columns, "dropped", "overridden"],
        rows,
        f"Step {rates.steps[-1]:,}, in percent of the pixels with this pseudo label; coverage, of the pixels "
        "truly of this class. Dropped and overridden: pixels of stride 8, by F's own label.",
        means=[everything],
    )


def class_order(story: RunStory, rates: Rates) -> list[int]:
    """Class ids from the most frequent to the rarest: of the scores, or of what is known of the images."""
    if story.scores:
        pixels = story.scores[0].pixels
    else:
        pixels = rates.pixels("by_true_class" if rates.masks else "by_pseudo_label")[-1]
    return np.argsort(-pixels, kind="stable").tolist()


def _of_all(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.maximum(1, pixels.sum(axis=1, keepdims=True))


def _lost(rates: Rates, which: int | slice) -> list[str]:
    return [f"{np.sum(rates.lost(name)[-1][which]):,.0f}" for name in ("dropped", "overridden")]


def _cell(value: float) -> str:
    return f"{100 * value:.1f}" if np.isfinite(value) else "-"
