"""The tables of the paper on CamVid, every seed and class of them a row of a CSV file.

    python benchmarks/camvid.py --camvid data/camvid --weights WEIGHTS.h5 --jobs 2

trains what is missing of the tables `main`, `components` and `controls` with the recipe `camvid_1_16` on each
of --splits, writes benchmarks/results/camvid_TABLE.csv and .md after each table. It can be stopped at any
moment; the same command goes on. Nothing is chosen on the test images that it measures.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # depthwise convolutions

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine
from usrn_keras.backend_choice import chosen_backend
from usrn_keras.progress import for_terminal
from usrn_keras.tables import TableResult, load_table, make_table
from usrn_keras.tables.plan import make_plan

RESULTS = Path(__file__).with_name("results")
RECIPE = "camvid_1_16"


def rows(result: TableResult, facts: dict[str, object]) -> Iterator[dict[str, object]]:
    """A row for each figure of each seed, shares in 0..1, with where and how it was measured."""
    keys = {(cell.row, cell.split, cell.seed): cell.run.key for cell in result.plan.cells}
    for (row, split, seed), cell in result.cells.items():
        values = {**cell.figures, **{f"iou {name}": iou for name, iou in cell.ious.items()}}
        for figure, value in values.items():
            yield {
                "table": result.plan.spec.name, "row": row, "split": split, "seed": seed, "figure": figure,
                "value": value, "seconds": round(cell.seconds), "run": keys[row, split, seed], **facts,
            }  # fmt: skip


def write(result: TableResult, facts: dict[str, object]) -> None:
    """Write the CSV file and the Markdown table of a result, in the place of those of an earlier one."""
    found = list(rows(result, facts))
    if not found:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    stem = RESULTS / f"camvid_{result.plan.spec.name}"
    stem.with_suffix(".csv").write_text(text.getvalue(), encoding="utf-8")
    stem.with_suffix(".md").write_text(result.markdown() + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the tables that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--camvid", required=True, help="folder of CamVid")
    parser.add_argument("--weights", default="imagenet", help="of the MobileNet")
    parser.add_argument("--tables", default="main,components,controls", help="by commas")
    parser.add_argument("--splits", default="1_16,1_8", help="by commas")
    parser.add_argument("--seeds", default="0,1,2", help="by commas")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of usrn fit")
    parser.add_argument("--folder", default="runs/tables/camvid", help="where the runs go")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    options = parser.parse_args(arguments)
    overrides = [f"data.root={options.camvid}", f"network.weights={options.weights}", *options.set]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    backend, _ = chosen_backend()
    for name in options.tables.split(","):
        plan = make_plan(
            load_table(name),
            RECIPE,
            overrides,
            seeds=seeds,
            splits=options.splits.split(","),
            backend=backend,
        )
        with for_terminal() as progress:
            result = make_table(plan, options.folder, jobs=options.jobs, progress=progress)
        write(result, {"backend": backend, **machine.facts()})
        print(result.markdown(), flush=True)


if __name__ == "__main__":
    main()
