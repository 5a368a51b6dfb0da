"""What a second head drops over the steps: wrong and right labels, of runs on images whose masks are known.

    python benchmarks/label_signal.py runs/a runs/b

Reads `diagnosis.jsonl` of the last training stage of each run: the pseudo labels of 16 unlabelled images, the
same at every step, whose masks are read for nothing else. Writes a row for each run and step to
benchmarks/results/label_signal.csv; earlier rows of the same run are replaced. Figures are shares in 0..1.

    kept, own_kept        pixels whose label F learns, with and without the correction by F_sub
    right, own_right      labels among them that are correct
    dropped               pixels whose label the correction removes
    dropped_wrong         such pixels whose label was wrong, a share of the pixels with a known class
    dropped_right         such pixels whose label was correct, the same

Without F_sub, as in self-training, the columns that begin with own and dropped are empty. Prints the share of
the batches of training that F learned, the mean of all runs, as a setting of self-training at equal
coverage. `--plot FILE.svg` draws the wrong and the right labels that are dropped, the mean over seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from usrn_keras.evaluation.diagnosis_log import DiagnosisLog
from usrn_keras.report.curves import Line, line_chart_svg
from usrn_keras.report.pseudo_label_rates import PseudoLabelRates
from usrn_keras.runs import Run, open_run
from usrn_keras.runs.log import MetricsLog

RESULTS = Path(__file__).with_name("results") / "label_signal.csv"


def signal(rates: PseudoLabelRates) -> Iterator[dict[str, float]]:
    """The figures of each step."""
    columns = {"kept": rates.overall("confident"), "right": rates.overall_precision()}
    if rates.has("dropped"):
        removed = rates.overall("dropped", "by_true_class")
        wrong = 1 - rates.overall_precision("dropped")
        columns |= {
            "own_kept": rates.overall("confident") + rates.overall("dropped"),
            "own_right": rates.overall_precision("own"),
            "dropped": rates.overall("dropped"),
            "dropped_wrong": removed * np.where(removed > 0, wrong, 0.0),
            "dropped_right": removed * np.where(removed > 0, 1 - wrong, 0.0),
        }
    for place, step in enumerate(rates.steps):
        yield {
            "step": int(step),
            **{name: round(float(values[place]), 5) for name, values in columns.items()},
        }


def rows_of(run: Run, facts: Mapping[str, object]) -> list[dict[str, object]]:
    """The rows of the last training stage of a run."""
    stage = run.stages[-1]
    records = DiagnosisLog(run.stage(stage) / "diagnosis.jsonl").records()
    if not records:
        sys.exit(
            f"{run.path}: {stage} has no record of its pseudo labels; train with evaluation.diagnosis > 0"
        )
    if not run.is_complete(stage):
        sys.exit(f"{run.path}: {stage} is not complete; resume the run first")
    recipe = run.recipe
    named = {
        "run": run.path.name, "method": recipe.training.method, "split": recipe.data.split,
        "seed": recipe.training.seed, "steps": recipe.training.usrn_steps,
    }  # fmt: skip
    return [{**named, **found, **facts} for found in signal(PseudoLabelRates(records))]


def kept_shares(runs: Sequence[Run], points: int = 11) -> np.ndarray:
    """`(points,)` shares of the batches that F learned, at equal intervals of training, the mean of runs.

    Each is the mean of what training recorded within half an interval.
    """
    curves = []
    for run in runs:
        stage, steps = run.stages[-1], run.recipe.training.usrn_steps
        records = [record for record in MetricsLog(run.path, stage).records() if "confident" in record]
        place = np.array([record["step"] for record in records]) / steps * (points - 1)
        share = np.array([record["confident"] for record in records])
        curves.append([share[abs(place - point) <= 0.5].mean() for point in range(points)])
    return np.mean(curves, axis=0)


def drawn(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Draw dropped labels over the steps as SVG; names of runs of one kind begin alike, as `usrn-`."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        for key in ("dropped_wrong", "dropped_right"):
            if row.get(key) not in ("", None):
                name = f"{str(row['run']).partition('-')[0]}: {key.removeprefix('dropped_')}"
                found.setdefault(name, {}).setdefault(int(row["step"]), []).append(float(row[key]))
    if not found:
        sys.exit("--plot: none of the runs has a second head that drops labels")
    lines = [
        Line(name, np.array(list(values)), np.array([np.mean(value) for value in values.values()]))
        for name, values in found.items()
    ]
    return line_chart_svg(lines, unit="labels dropped, of all pixels", percent=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the rows of the runs of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--to", type=Path, default=RESULTS, help="CSV file of the results")
    parser.add_argument("--plot", type=Path, help="SVG file of the dropped labels of these runs")
    options = parser.parse_args(arguments)
    for path in options.runs:
        rows = rows_of(open_run(path), machine.facts())
        others = [row for row in table.read(options.to) if row["run"] != path.name]
        table.write(options.to, [*others, *rows])
    if options.plot:
        names = {path.name for path in options.runs}
        options.plot.write_bytes(drawn(row for row in table.read(options.to) if row["run"] in names))
    curve = ", ".join(f"{share:.4f}" for share in kept_shares([open_run(path) for path in options.runs]))
    print(f"self_training.kept_shares = [{curve}]")


if __name__ == "__main__":
    main()
