"""A table of runs as text: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from usrn_keras.report.csv_text import csv_text

if TYPE_CHECKING:
    from rich.console import Group

    from usrn_keras.sweeps.result import Place, Summary, TableResult

TITLES = {
    "miou": "mIoU",
    "rare_miou": "rare mIoU",
    "boundary_miou": "boundary mIoU",
    "class_balance_rate": "balance %",
    "subclasses": "subclasses",
    "peak_memory": "memory GB",
}
SCALES = {"subclasses": 1.0, "peak_memory": 1e-9}  # others are shares
COMPARED = ("miou", "rare_miou", "boundary_miou")
TICK = "x"


def grid(result: TableResult) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the table: name, ticks, then for each split its figures and the paper's mIoU."""
    spec, splits = result.plan.spec, result.plan.splits
    header = [spec.title, *spec.marks]
    for split in splits:
        prefix = f"{split.replace('_', '/')} " if len(splits) > 1 else ""
        header += [f"{prefix}{TITLES[name]}" for name in result.figures]
        header += [f"{prefix}paper"] if _has_paper(result, split) else []
    rows = []
    for row in spec.rows:
        cells = [row.name, *(TICK if mark in row.marks else "" for mark in spec.marks)]
        for split in splits:
            place = (row.name, split)
            cells += [_cell(result, place, name) for name in result.figures]
            cells += [_percent(result.paper(place))] if _has_paper(result, split) else []
        rows.append(cells)
    return header, rows


def reading(result: TableResult) -> list[str]:
    """How the table is to be read, what is missing, and where it comes from."""
    spec, seeds = result.plan.spec, result.plan.seeds
    named = ", ".join(map(str, seeds))
    over = f"Mean ± standard deviation over seeds {named}" if len(seeds) > 1 else f"Seed {named}"
    lines = [
        f"{over}, in percent. In parentheses: the difference to {spec.reference}, seed by seed. "
        "rare: classes with a smaller share of the pixels than the median class."
    ]
    if any(_has_paper(result, split) for split in result.plan.splits):
        lines.append("paper: as published, with its backbone, crops and number of steps.")
    lines += [f"One run, with this recipe: {', '.join(rows)}." for rows in _equal_rows(result)]
    if gaps := result.gaps:
        lines.append(f"Not there: {', '.join(gaps)}.")
    lines += [f"{name} failed: {why.splitlines()[0]}" for name, why in result.failures.items()]
    return [spec.about, *lines, *([result.provenance] if result.provenance else [])]


def _equal_rows(result: TableResult) -> list[list[str]]:
    """Rows that differ in nothing, such as gates of a recipe whose terms have none."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in result.plan.spec.rows:
        keys = tuple(cell.run.key for cell in result.plan.cells if cell.row == row.name)
        found.setdefault(keys, []).append(row.name)
    return [rows for keys, rows in found.items() if keys and len(rows) > 1]


def markdown(result: TableResult) -> str:
    """The table in GitHub's Markdown, its reading below."""
    header, rows = grid(result)
    rule = [":--", *["--:"] * (len(header) - 1)]
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, rule, *rows)
    ]
    return "\n".join([*lines, *(f"\n{line}" for line in reading(result))])


def rich(result: TableResult) -> Group:
    """The table for a terminal, in several parts below each other where it is too narrow for one."""
    from rich.console import Group
    from rich.text import Text

    from usrn_keras.report.columns import Columns

    header, rows = grid(result)
    table = Columns(header, [rows[:-1], rows[-1:]] if len(rows) > 1 else [rows], fixed=1)
    return Group(table, *(Text(line) for line in reading(result)))


def csv(result: TableResult) -> str:
    """A line for each row, split, seed and figure, and for the IoU of each class; shares in 0..1."""
    lines: list[Sequence] = [["row", "split", "seed", "figure", "value", "run", "seconds"]]
    for (row, split, seed), cell in result.cells.items():
        values = {**cell.figures, **{f"iou {name}": iou for name, iou in cell.ious.items()}}
        lines += [
            [row, split, seed, name, value, cell.folder, round(cell.seconds)]
            for name, value in values.items()
        ]
    return csv_text(lines, reading(result))


def _cell(result: TableResult, place: Place, figure: str) -> str:
    summary = result.summary(place, figure)
    if summary is None:
        return "-"
    scale = SCALES.get(figure, 100.0)
    digits = 0 if figure == "subclasses" else 1
    text = f"{scale * summary.mean:.{digits}f}"
    if summary.deviation is not None:
        text += f" ± {scale * summary.deviation:.{digits}f}"
    if figure in COMPARED and (difference := result.difference(place, figure)) is not None:
        fewer = "" if difference.seeds == summary.seeds else f", {difference.seeds} of {summary.seeds} seeds"
        text += f" ({_signed(difference, scale)}{fewer})"
    if summary.seeds < len(result.plan.seeds):
        text += f" [{summary.seeds} of {len(result.plan.seeds)} seeds]"
    return text


def _signed(difference: Summary, scale: float) -> str:
    text = f"{round(scale * difference.mean, 1) + 0.0:+.1f}"
    return text if difference.deviation is None else f"{text} ± {scale * difference.deviation:.1f}"


def _has_paper(result: TableResult, split: str) -> bool:
    return any(result.paper((row.name, split)) is not None for row in result.plan.spec.rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
