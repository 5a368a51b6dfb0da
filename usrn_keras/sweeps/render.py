"""A table as text: for a terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from usrn_keras._version import NUMERICS
from usrn_keras.printable import spreadsheet_cell
from usrn_keras.report.text_tables import Columns, markdown_table
from usrn_keras.sweeps.outline import Outline
from usrn_keras.sweeps.result import CELL, TableResult
from usrn_keras.sweeps.spec import IOU, Figure, find_figure

if TYPE_CHECKING:
    from rich.console import Group

TICK = "x"


def grid(result: TableResult) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table: name, ticks, then for each split its figures and the paper's mIoU."""
    spec, splits = result.plan.spec, result.plan.splits
    header = [spec.title, *spec.marks]
    for split in splits:
        prefix = f"{split.replace('_', '/')} " if len(splits) > 1 else ""
        header += [f"{prefix}{find_figure(name).title}" for name in result.figures]
        header += [f"{prefix}paper"] if _has_paper(result, split) else []
    rows = []
    for row in spec.rows:
        cells = [row.name, *(TICK if mark in row.marks else "" for mark in spec.marks)]
        for split in splits:
            cells += [cell(result, row.name, split, name) for name in result.figures]
            if _has_paper(result, split):
                paper = result.paper(row.name, split)
                cells.append("-" if paper is None else f"{paper:.1f}")
        rows.append(cells)
    return header, rows


def _has_paper(result: TableResult, split: str) -> bool:
    return any(result.paper(row.name, split) is not None for row in result.plan.spec.rows)


def cell(result: TableResult, row: str, split: str, name: str) -> str:
    """A figure as text: mean ± deviation, its difference to the reference row, and how many seeds it has."""
    found, figure = result.over_seeds(row, split, name), find_figure(name)
    if found is None:
        return "-"
    seeds, text = int(found["seeds"]), _mean(found, figure)
    if figure.compared and found["difference_seeds"] > 0:
        pairs = int(found["difference_seeds"])
        fewer = "" if pairs == seeds else f", {pairs} of {seeds} seeds"
        text += f" ({_mean(found, figure, 'difference_', sign='+')}{fewer})"
    if seeds < len(result.plan.seeds):
        text += f" [{seeds} of {len(result.plan.seeds)} seeds]"
    return text


def _mean(found: Mapping[str, float], figure: Figure, prefix: str = "", sign: str = "") -> str:
    """Mean ± deviation, without the deviation of a single seed."""
    mean, deviation = (figure.scale * found[f"{prefix}{name}"] for name in ("mean", "deviation"))
    # `+ 0.0` makes a zero of the negative zero that -0.04 is rounded to.
    text = f"{round(mean, figure.decimals) + 0.0:{sign}.{figure.decimals}f}"
    return text if pd.isna(deviation) else f"{text} ± {deviation:.{figure.decimals}f}"


def footnotes(result: TableResult) -> list[str]:
    """How to read the table, what is missing, and where it comes from; one paragraph each."""
    spec, seeds = result.plan.spec, result.plan.seeds
    named = ", ".join(map(str, seeds))
    over = f"Mean ± standard deviation over seeds {named}" if len(seeds) > 1 else f"Seed {named}"
    lines = [
        spec.about,
        f"{over}, in percent. In parentheses: the difference to {spec.reference}, seed by seed. "
        "rare: classes with a smaller share of the pixels than the median class.",
    ]
    if any(_has_paper(result, split) for split in result.plan.splits):
        lines.append("paper: as published, with its backbone, crops and number of steps.")
    lines += result.plan.notes
    lines += [f"One run, with this recipe: {', '.join(rows)}." for rows in _equal_rows(result)]
    if gaps := result.gaps:
        lines.append(f"Missing: {', '.join(gaps)}.")
    lines += [f"{name} failed: {why.splitlines()[0]}" for name, why in result.failures.items()]
    return [*lines, *result.notes, *filter(None, [result.provenance])]


def _equal_rows(result: TableResult) -> list[list[str]]:
    """Rows with the same recipe, such as a row that sets what the recipe has already."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in result.plan.spec.rows:
        keys = tuple(cell.run.key for cell in result.plan.cells if cell.row == row.name)
        found.setdefault(keys, []).append(row.name)
    return [rows for keys, rows in found.items() if keys and len(rows) > 1]


def as_markdown(result: TableResult) -> str:
    """The table in GitHub's Markdown, its footnotes below."""
    return markdown_table(*grid(result), notes=footnotes(result))


def as_csv(result: TableResult) -> str:
    """The frame of the result as CSV: shares in 0..1, strings in quotes; footnotes as lines `# NOTE`."""
    frame = result.frame.map(lambda cell: spreadsheet_cell(cell) if isinstance(cell, str) else cell)
    text = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    return text + "".join(f"# {' '.join(note.split())}\n" for note in footnotes(result))


def as_json(result: TableResult) -> dict[str, Any]:
    """All figures as JSON values, for each seed and over seeds."""
    plan = result.plan
    seeds: dict[tuple[str, str], dict[str, Any]] = {}
    for (row, split, seed), lines in result.frame.groupby(CELL, sort=False):
        seeds.setdefault((row, split), {})[str(seed)] = _seed_json(lines)
    return {
        "table": plan.spec.name,
        "title": plan.spec.title,
        "recipe": plan.recipe,
        "reference": plan.spec.reference,
        "numerics": NUMERICS,
        "provenance": result.provenance,
        "rows": [
            _row_json(result, row.name, split) | {"seeds": seeds.get((row.name, split), {})}
            for row in plan.spec.rows
            for split in plan.splits
        ],
        "gaps": result.gaps,
        "failures": dict(result.failures),
        "notes": list(result.notes),
    }


def _row_json(result: TableResult, row: str, split: str) -> dict[str, Any]:
    paper, found = result.paper(row, split), {n: result.over_seeds(row, split, n) for n in result.figures}
    return {
        "row": row,
        "split": split,
        "paper_miou": None if paper is None else paper / 100,
        "paper_iou": {name: iou / 100 for name, iou in result.paper_iou(row, split).items()},
        "over_seeds": {name: _summary_json(one) for name, one in found.items()},
        "difference": {name: _summary_json(one, "difference_") for name, one in found.items()},
    }


def _seed_json(lines: pd.DataFrame) -> dict[str, Any]:
    values = {name: _none_for_nan(value) for name, value in zip(lines["figure"], lines["value"], strict=True)}
    ious = {name.removeprefix(IOU): value for name, value in values.items() if name.startswith(IOU)}
    figures = {name: value for name, value in values.items() if not name.startswith(IOU)}
    first = lines.iloc[0]
    return {**figures, "iou": ious, "run": first["run"], "seconds": float(first["seconds"])}


def _summary_json(found: pd.Series | None, prefix: str = "") -> dict[str, Any] | None:
    if found is None or pd.isna(found[f"{prefix}mean"]):
        return None
    mean, deviation, seeds = (found[f"{prefix}{part}"] for part in ("mean", "deviation", "seeds"))
    return {"mean": float(mean), "deviation": _none_for_nan(deviation), "seeds": int(seeds)}


def _none_for_nan(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def as_rich(result: TableResult) -> Group:
    """The table for a terminal, in several parts below each other where it is too narrow for one."""
    header, rows = grid(result)
    return _group(header, [rows[:-1], rows[-1:]] if len(rows) > 1 else [rows], footnotes(result))


def outline_as_rich(outline: Outline) -> Group:
    """The runs of a table and what is left to do of each, for a terminal."""
    text = f"{len(outline.runs)} runs for {len(outline.plan.cells)} cells; {outline.duration}"
    return _group(["run", "rows", "to do"], [[list(run) for run in outline.runs], []], [text, *outline.notes])


def outline_as_json(outline: Outline) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "table": outline.plan.spec.name,
        "cells": len(outline.plan.cells),
        "runs": [dict(zip(("run", "rows", "to_do"), run, strict=True)) for run in outline.runs],
        "seconds": outline.seconds or None,
    }


def _group(header: Sequence[str], sections: Sequence[list[list[str]]], notes: Sequence[str]) -> Group:
    from rich.console import Group
    from rich.text import Text

    return Group(Columns(header, sections, fixed=1), *map(Text, notes))
