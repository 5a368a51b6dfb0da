"""The paper's tables on CamVid: every seed and class is a row of a CSV file.

    python benchmarks/camvid.py --camvid data/camvid --weights WEIGHTS.h5 --jobs 2 --small

Trains what the tables `main` and `controls` of the recipe `camvid_1_16` lack, and writes
benchmarks/results/camvid_TABLE.csv and .md, also when it is interrupted. Run the same command again to
resume: runs under way continue from their checkpoints if their folder is still there. A run that is in a CSV
file with today's settings (the path of --weights among them) and today's numerics is not trained again,
whichever machine it was measured on. --splits, --seeds and --rows choose what to train now; known results of
the others stay in the tables. Results of other settings are never overwritten: --suffix _OTHER gives them
files of their own.

The tables measure test images; choose nothing by them. The table `screening` measures val, to choose by it:
`benchmarks/by_drive.py` measures its runs on unlabelled images too. --small halves the images and takes fewer
steps, for two cores; its results are camvid_small_TABLE.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

os.environ.setdefault("KERAS_BACKEND", "torch")  # depthwise convolutions

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, small_camvid, table
from usrn_keras._version import NUMERICS
from usrn_keras.backend_choice import chosen_backend
from usrn_keras.files import atomic_path
from usrn_keras.progress import terminal_progress
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import Cell, Plan, make_plan
from usrn_keras.sweeps.render import as_markdown
from usrn_keras.sweeps.result import COLUMNS, TableResult, collect, known_cells
from usrn_keras.sweeps.spec import load_table
from usrn_keras.sweeps.sweep import make_table

RESULTS = Path(__file__).with_name("results")
RECIPE = "camvid_1_16"
SPLITS = ("1_16", "1_8")
SEEDS = (0, 1, 2)
ON_VAL = ("screening",)  # tables to choose by
TABLES = ("main", "controls")

Line = dict[str, str]  # of the CSV file
CellName = tuple[str, str, int]  # row, split, seed


def lines(result: TableResult, facts: Mapping[str, object]) -> Iterator[Line]:
    """Yield a line for each figure of each seed, shares in 0..1, with where and how it was measured."""
    planned = {cell.place: cell.run for cell in result.plan.cells}
    for found in result.frame.to_dict("records"):
        run = planned[found["row"], found["split"], found["seed"]]
        line = {
            "table": result.plan.spec.name, "row": found["row"], "split": found["split"],
            "seed": found["seed"], "figure": found["figure"],
            "value": "" if math.isnan(found["value"]) else found["value"],
            "seconds": round(found["seconds"]), "run": run.key, "model": run.model,
            "numerics": found["numerics"], "measured": result.provenance, **facts,
        }  # fmt: skip
        yield {name: str(value) for name, value in line.items()}


def result_files(stem: Path, plan: Plan) -> list[Path]:
    """The existing CSV files of all tables, that of the plan last."""
    start, _, _ = stem.name.rpartition(plan.spec.name)
    others = [stem.with_name(f"{start}{name}.csv") for name in TABLES]
    own = stem.with_name(f"{stem.name}.csv")
    return [file for file in [*(file for file in others if file != own), own] if file.exists()]


def validate_nothing_is_lost(plan: Plan, stem: Path) -> None:
    """Exit if the CSV file of a table has results that the plan lacks and would overwrite."""
    file = stem.with_name(f"{stem.name}.csv")
    planned = {_run_of(cell) for cell in plan.cells}
    lost = {_cell_name(line) for line in table.read(file) if _run_in(line) not in planned}
    if lost:
        named = ", ".join(f"{row} {split} seed {seed}" for row, split, seed in sorted(lost))
        sys.exit(
            f"{file} has results of other settings, or of other numerics than {NUMERICS}, which would be "
            f"lost: {named}. Write to other files with --suffix _OTHER, or move the file away."
        )


def kept_lines(files: Iterable[Path], plan: Plan) -> list[Line]:
    """Lines of earlier results, of this and of other tables, that hold for the runs of a plan."""
    known: dict[tuple[str, str, str], dict[str, Line]] = {}  # run, figure
    for file in files:
        for line in table.read(file):
            known.setdefault(_run_in(line), {})[line["figure"]] = line
    return [
        {**line, "table": plan.spec.name, "row": cell.row, "split": cell.split}
        for cell in plan.cells
        for line in known.get(_run_of(cell), {}).values()
    ]


def _run_of(cell: Cell) -> tuple[str, str, str]:
    """Key, model and numerics of the run of a cell."""
    return cell.run.key, cell.run.model, str(NUMERICS)


def _run_in(line: Line) -> tuple[str, str, str]:
    """The same of a line."""
    return line["run"], line["model"], line["numerics"]


def _cell_name(line: Line) -> CellName:
    return line["row"], line["split"], int(line["seed"])


def frame_of(kept: Sequence[Line]) -> pd.DataFrame:
    """The lines as the frame of a `TableResult`."""
    frame = pd.DataFrame(kept, columns=COLUMNS).replace({"value": {"": "nan"}})
    return frame.astype({"value": float, "seed": int, "seconds": float, "numerics": int})


def without(plan: Plan, known: pd.DataFrame) -> Plan:
    """The plan without the cells that a frame has."""
    places = known_cells(known)
    return replace(plan, cells=tuple(cell for cell in plan.cells if cell.place not in places))


def part(plan: Plan, splits: Sequence[str], seeds: Sequence[int], rows: Sequence[str] = ()) -> Plan:
    """The plan restricted to some of its splits, seeds and rows; empty `rows`: all rows."""
    cells = (cell for cell in plan.cells if cell.split in splits and cell.seed in seeds)
    return replace(plan, cells=tuple(cell for cell in cells if not rows or cell.row in rows))


def result_of(plan: Plan, found: Sequence[Line]) -> TableResult:
    """The table of lines of a CSV file."""
    measured = sorted({f"{line['measured']}, images of {line['images']}" for line in found})
    return TableResult(plan, frame_of(found), provenance="; ".join(measured))


def write(plan: Plan, found: Sequence[Line], stem: Path) -> TableResult:
    """Write the CSV file and the Markdown table; earlier ones are replaced."""
    result = result_of(plan, found)
    if found:
        table.write(stem.with_name(f"{stem.name}.csv"), found)  # older lines may have fewer columns
        with atomic_path(stem.with_name(f"{stem.name}.md")) as new:
            new.write_text(as_markdown(result) + "\n", encoding="utf-8")
    return result


def measure(
    plan: Plan, asked: Plan, stem: Path, folder: Path, jobs: int, facts: Mapping[str, object]
) -> TableResult:
    """Train and measure what is asked for and in no CSV file; an interruption writes what is done."""
    missing = without(asked, frame_of(kept_lines(result_files(stem, plan), plan)))
    try:
        if missing.cells:
            with terminal_progress() as progress:
                make_table(missing, folder, jobs=jobs, progress=progress)
    finally:
        kept = kept_lines(result_files(stem, plan), plan)  # again: another process may have written meanwhile
        new = without(missing, frame_of(kept))
        result = write(plan, [*kept, *lines(collect(new, Family(folder)), facts)], stem)
    return result


def plan_of(
    name: str,
    overrides: Sequence[str],
    options: argparse.Namespace,
    backend: str,
    measured: Sequence[Line] = (),
) -> Plan:
    """All cells of a table, including those that were `measured` earlier and are not asked for now."""
    seeds = dict.fromkeys([*SEEDS, *options.seeds, *(int(line["seed"]) for line in measured)])
    splits = dict.fromkeys(
        [*usual_splits(name, options.small), *options.splits, *(line["split"] for line in measured)]
    )
    own = [*(small_camvid.OF_TABLE.get(name, ()) if options.small else ())]
    own += ["evaluation.split=val"] if name in ON_VAL else []
    return make_plan(
        load_table(name), RECIPE, [*overrides, *own], seeds=[*seeds], splits=[*splits], backend=backend
    )


def usual_splits(name: str, small: bool) -> tuple[str, ...]:
    """Splits of a table without --splits."""
    return small_camvid.SPLITS.get(name, SPLITS) if small else SPLITS


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--camvid", required=True, help="folder of CamVid")
    parser.add_argument("--weights", default="imagenet", help="weights of the MobileNet: imagenet, or a file")
    parser.add_argument("--tables", type=names, default=TABLES, help="tables, comma-separated")
    parser.add_argument("--splits", type=names, default=(), help="splits, comma-separated")
    parser.add_argument("--seeds", type=numbers, default=SEEDS, help="seeds, comma-separated")
    parser.add_argument("--rows", type=rows, default=(), help="rows, separated by semicolons; default: all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in usrn fit")
    parser.add_argument("--suffix", default="", help="appended to the names of the files of results")
    parser.add_argument("--folder", default="runs/tables/camvid", help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at a time")
    parser.add_argument("--small", action="store_true", help="halve the images, take fewer steps")
    options = parser.parse_args(arguments)
    if other := [setting for setting in options.set if setting.startswith("evaluation.")]:
        parser.error(f"--set {other[0]}: the CSV files hold figures as the recipe measures them")
    return options


def names(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def rows(text: str) -> list[str]:
    return [row for row in text.split(";") if row]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the tables that the command line names."""
    options = parsed(arguments)
    camvid, folder, name, images = Path(options.camvid), Path(options.folder), "camvid", "480 x 360"
    settings = [f"network.weights={options.weights}"]
    if options.small:
        camvid, images = small_camvid.halved(camvid, folder.with_name("camvid_small")), "240 x 180"
        name = "camvid_small"
        settings += small_camvid.SETTINGS
    overrides = [f"data.root={camvid}", *settings, *options.set]
    backend, _ = chosen_backend()
    for table_name in options.tables:
        stem = RESULTS / f"{name}_{table_name}{options.suffix}"
        measured = table.read(stem.with_name(f"{stem.name}.csv"))
        plan = plan_of(table_name, overrides, options, backend, measured)
        splits = options.splits or usual_splits(table_name, options.small)
        asked = part(plan, splits, options.seeds, options.rows)
        facts = {"images": images, "backend": backend, **machine.facts()}
        validate_nothing_is_lost(plan, stem)
        result = measure(plan, asked, stem, folder, options.jobs, facts)
        print(as_markdown(result), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt as interrupt:
        sys.exit(str(interrupt))
