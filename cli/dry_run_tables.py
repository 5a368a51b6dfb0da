"""Format a budget as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from usrn_keras.progress import duration

if TYPE_CHECKING:
    from usrn_keras.budget.budget import Budget

FITS = {True: "yes", False: "no", None: "unknown"}


def budget_tables(budget: Budget) -> Group:
    """Format all tables and the verdict."""
    return Group(_data(budget), _network(budget), _operations(budget), _batches(budget), verdict(budget))


def verdict(budget: Budget) -> str:
    """Describe the training time, whether a step fits in memory, and settings that would fit."""
    device, lines = budget.device, []
    if budget.hours is not None:
        each = ", ".join(f"{seconds:.3g} s of {stage}" for stage, seconds in budget.seconds.items())
        lines.append(f"Time of all training steps: about {duration(3600 * budget.hours)} (a step: {each}).")
    needs = f"A step of {budget.sizes} needs about {_gigabytes(budget.peak)}"
    if budget.peak is None and budget.failed:
        needs = f"Measuring a step of {budget.failed} ran out of memory"
    elif not budget.measured:
        needs = "No step was measured within the time limit"
    if len(budget.measured) == 1 and not budget.failed:
        lines.append(
            "Only one size was measured, because it took long: memory and time of larger batches are rough, "
            "upper estimates."
        )
    device_name = "GPU" if device["gpu"] else "machine"
    there = "the memory of this device is unknown"
    if device["room"] is not None:
        there = f"{_gigabytes(device['room'])} are available on this {device_name}"
    if budget.fits is None:
        lines.append(f"Verdict: unknown. {needs}; {there}.")
    elif budget.fits:
        lines.append(f"Verdict: fits. {needs}; {there}.")
    else:
        lines.append(f"Verdict: does not fit. {needs}; {there}.")
        options = " ".join(f"--set {setting}" for setting in budget.advice)
        smaller = (
            "No smaller step is known to fit; run the command again with a smaller --set views.crop_size."
        )
        lines.append(f"Settings that would fit: {options}" if options else smaller)
    return "\n".join(lines)


def _gigabytes(number: float | None) -> str:
    return "" if number is None else f"{number / 1e9:.2f} GB"


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position < left else "right")
    return table


def _data(budget: Budget) -> Table:
    facts, device = budget.facts, budget.device
    table = _table(
        f"{facts.name} on {device['backend']}, {'GPU' if device['gpu'] else 'CPU'}", "data", "", left=2
    )
    for part, count in facts.images.items():
        table.add_row(f"{part} images", str(count))
    table.add_row("classes", f"{facts.classes}, {facts.classes_from}")
    table.add_row("subclasses", f"{facts.subclasses}, {facts.subclasses_from}")
    for note in facts.notes:
        table.add_row("note", note)
    return table


def _network(budget: Budget) -> Table:
    table = _table(
        f"Network of {budget.stage}; shapes for a crop of {budget.sizes.crop_size}",
        "part", "branch", "height x width x channels", "trained parameters", "not trained", left=2,
    )  # fmt: skip
    several = len({row["network"] for row in budget.parts}) > 1
    for row in budget.parts:
        branch = row["branch"] + f" of network {row['network'] + 1}" * several
        numbers = (f"{row[name]:,}" for name in ("trained", "not_trained"))
        table.add_row(row["part"], branch, " x ".join(map(str, row["shape"])), *numbers)
    totals = (f"{sum(row[name] for row in budget.parts):,}" for name in ("trained", "not_trained"))
    table.add_row("all", "", "", *totals)
    return table


def _operations(budget: Budget) -> Table:
    views = list(dict.fromkeys(view for found in budget.flops.values() for view in found))
    table = _table("Operations of a step, 1e9", "stage", *views, "all")
    for stage, found in budget.flops.items():
        cells = [f"{found[view] / 1e9:,.1f}" if view in found else "" for view in views]
        table.add_row(stage, *cells, f"{sum(found.values()) / 1e9:,.1f}")
    return table


def _batches(budget: Budget) -> Table:
    measured = " and ".join(
        f"{step.sizes.images} images ({_gigabytes(step.peak)}, {step.seconds:.3g} s)"
        for step in budget.measured
    )
    title = f"Steps of {budget.stage} by batch, from measured steps of {measured or 'no size that fits'}"
    table = _table(title, "labelled + unlabelled", "memory", "seconds", "fits")
    for row in budget.table:
        seconds = "" if row.seconds is None else f"{row.seconds:.3g}"
        batch = f"{row.sizes.batch_labelled} + {row.sizes.batch_unlabelled}"
        table.add_row(batch, _gigabytes(row.peak), seconds, FITS[row.fits])
    return table
