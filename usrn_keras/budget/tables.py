"""A budget as tables for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from usrn_keras.budget.budget import Budget

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

MARKS = {True: "", False: " no", None: ""}
TERMS = {
    "process": "process",
    "state": "weights, optimizer",
    "gradients": "gradients",
    "activations": "activations",
    "workspace": "workspace, losses, compiler",
    "images": "decoded images",
}


def tables(budget: Budget) -> Group:
    """All tables and the verdict."""
    from rich.console import Group

    return Group(
        _data(budget), _shapes(budget), _parameters(budget), _flops(budget),
        _memory(budget), _sizes(budget), verdict(budget),
    )  # fmt: skip


def verdict(budget: Budget) -> str:
    """Whether it fits, and what would."""
    peak = max(memory.peak for memory in budget.memory.values())
    needs = f"a step of {budget.sizes} needs about {gigabytes(peak)}"
    doubt = "" if budget.measured else " (never measured on such a device)"
    if budget.fits is None:
        return f"Verdict: {needs}{doubt}; how much memory there is, is not told here."
    there = f"there are {gigabytes(budget.device.room)} on this {'GPU' if budget.device.gpu else 'machine'}"
    if budget.fits:
        return f"Verdict: fits. {needs[0].upper()}{needs[1:]}{doubt}; {there}."
    if not budget.advice:
        return f"Verdict: does not fit, nor does any smaller step: {needs}{doubt}; {there}."
    options = " ".join(f"--set {setting}" for setting in budget.advice)
    return f"Verdict: does not fit: {needs}{doubt}; {there}.\nThis would: {options}"


def gigabytes(number: float) -> str:
    """Bytes as gigabytes."""
    return f"{number / 1e9:.2f} GB"


def _table(title: str, *columns: str, left: int = 1) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position < left else "right")
    return table


def _data(budget: Budget) -> Table:
    facts = budget.facts
    table = _table(f"{facts.name} on {budget.device}", "data", "", left=2)
    for part, count in facts.images.items():
        table.add_row(f"{part} images", str(count))
    table.add_row("classes", f"{facts.classes}, {facts.classes_from}")
    table.add_row("subclasses", f"{facts.subclasses}, {facts.subclasses_from}")
    for note in facts.notes:
        table.add_row("note", note)
    return table


def _shapes(budget: Budget) -> Table:
    table = _table("What flows in a step", "tensor", "axes", "shape", left=2)
    for flow in budget.flows:
        table.add_row(flow.name, ", ".join(flow.axes), " x ".join(map(str, flow.shape)))
    return table


def _parameters(budget: Budget) -> Table:
    table = _table("Parameters", "part", "branch", "trained", "moving statistics", left=2)
    for row in budget.parts:
        table.add_row(row.part, row.branch, f"{row.trained:,}", f"{row.followed:,}")
    trained, followed = (sum(getattr(row, name) for row in budget.parts) for name in ("trained", "followed"))
    table.add_row("all", "", f"{trained:,}", f"{followed:,}")
    return table


def _flops(budget: Budget) -> Table:
    table = _table("Operations of a step, 1e9", "method", "labelled", "weak", "strong", "all")
    for method, views in budget.flops.items():
        cells = [
            f"{views[view] / 1e9:,.1f}" if view in views else "" for view in ("labelled", "weak", "strong")
        ]
        table.add_row(method, *cells, f"{sum(views.values()) / 1e9:,.1f}")
    return table


def _memory(budget: Budget) -> Table:
    table = _table("Memory of a step at its worst moment", "", *budget.memory)
    told = {method: asdict(memory) for method, memory in budget.memory.items()}
    for term, name in TERMS.items():
        table.add_row(name, *(gigabytes(told[method][term]) for method in budget.memory))
    table.add_row("all", *(gigabytes(memory.peak) for memory in budget.memory.values()))
    return table


def _sizes(budget: Budget) -> Table:
    """Rows are batches, columns are crops."""
    both = budget.sizes.batch_unlabelled > 0
    crops = list(dict.fromkeys(row.sizes.crop_size for row in budget.table))
    table = _table(
        "Memory by batch and crop, of the larger method; no: does not fit",
        "labelled" + " + unlabelled" * both, *(f"{crop} x {crop}" for crop in crops),
    )  # fmt: skip
    by_size = {(row.sizes.batch_labelled, row.sizes.crop_size): row for row in budget.table}
    for batch in dict.fromkeys(row.sizes.batch_labelled for row in budget.table):
        rows = [by_size[batch, crop] for crop in crops]
        cells = [gigabytes(max(row.peaks.values())) + MARKS[row.fits] for row in rows]
        table.add_row(f"{batch}" + f" + {batch}" * both, *cells)
    return table
