"""Images to label next, chosen by `usrn suggest` and at random: the scores of a Baseline trained on them.

    python benchmarks/suggest.py --camvid data/camvid --weights WEIGHTS.h5 --seeds 0,1,2

For each seed, the Baseline of 23 labelled images of small CamVid (the table `proof`, split 1/16) is trained,
or found in the folder of --baselines. Each chooser names 23 of the 344 unlabelled images; with their masks,
a Baseline is trained from the pretrained weights on the 46 images with the same steps, and scored on the
test images. A row for each seed and chooser goes to benchmarks/results/suggest.csv as soon as it is measured.
Run the same command again to resume: rows of the same settings are skipped, a run under way continues from
its checkpoint.

Choosers: `none`, the Baseline of the 23 images; `random`, and `random_b` for another draw; `suggest`, what
`usrn suggest` names; `uncertain`, the highest scores alone; `different`, one image of each of 23 groups of
equal size, whatever its score.
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")  # depthwise convolutions

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, small_camvid, table
from benchmarks.by_drive import figures
from benchmarks.camvid import RECIPE, names, numbers
from usrn_keras._version import NUMERICS
from usrn_keras.backend_choice import chosen_backend
from usrn_keras.clustering import BalancedKMeans
from usrn_keras.data import Dataset, load_dataset
from usrn_keras.data.formats.lists import Lists
from usrn_keras.data.split import class_pixels, split_folder
from usrn_keras.evaluation.next_images import (
    Models,
    labelled_pixels,
    measure_images,
    suggest_images,
)
from usrn_keras.evaluation.uncertainty import ImageUncertainty, class_weights
from usrn_keras.metrics import Scores
from usrn_keras.progress import Progress, terminal_progress
from usrn_keras.recipe import Recipe, build_recipe
from usrn_keras.runs import open_run
from usrn_keras.stages import fit
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import PlannedRun, make_plan
from usrn_keras.sweeps.spec import load_table

RESULTS = Path(__file__).with_name("results") / "suggest.csv"
SPLIT, ROW = "1_16", "Baseline"
CHOOSERS = ("none", "random", "suggest", "uncertain", "different", "random_b")
USUAL = ("none", "random", "suggest")
KEY = ("seed", "chooser", "count", "run", "numerics")  # one measurement


def planned_baseline(overrides: Sequence[str], seed: int) -> PlannedRun:
    """The run on the labelled images of the split alone, as the table `proof` plans it."""
    backend, _ = chosen_backend()
    plan = make_plan(load_table("proof"), RECIPE, overrides, seeds=[seed], splits=[SPLIT], backend=backend)
    return next(cell.run for cell in plan.cells if cell.row == ROW)


def trained(planned: PlannedRun, folders: Iterable[Path], progress: Progress) -> Path:
    """The folder of a run, complete in one of the folders or trained now in the last."""
    families = [Family(folder) for folder in folders]
    for family in families:
        if family.is_done(planned):
            return family.folder(planned)
    fit(planned.recipe, families[-1].folder(planned), progress=progress, log=progress.log)
    return families[-1].folder(planned)


def choose(chooser: str, run: Path, dataset: Dataset, count: int, seed: int, progress: Progress) -> list[str]:
    """Names of unlabelled images.

    Args:
        chooser: One of `CHOOSERS` but `none`.
        run: Folder of the run whose model is uncertain.
        dataset: Its data set.
        count: Number of images.
        seed: Seed of the draw and of the clustering.
        progress: Progress, which counts images.
    """
    samples = dataset.unlabelled
    if chooser.startswith("random"):
        generator = np.random.default_rng([seed, zlib.crc32(chooser.encode())])
        drawn = generator.choice(len(samples), count, replace=False)
        return [samples[index].name for index in sorted(drawn)]
    if chooser == "suggest":
        suggestion, _ = suggest_images([run], count, seed=seed, progress=progress)
        return [sample.name for sample in suggestion.samples]
    weights = class_weights(labelled_pixels(dataset, progress))
    found = measure_images(Models([run]), samples, weights, progress)
    pick = most_uncertain if chooser == "uncertain" else most_typical
    return [samples[index].name for index in pick(found, count, seed)]


def most_uncertain(found: Sequence[ImageUncertainty], count: int, seed: int) -> list[int]:
    """The indices of the highest scores; the seed has no effect."""
    return sorted(range(len(found)), key=lambda index: -found[index].score)[:count]


def most_typical(found: Sequence[ImageUncertainty], count: int, seed: int) -> list[int]:
    """The index of the image nearest to the center of each of `count` groups of similar images."""
    features = np.stack([one.features for one in found])
    groups = BalancedKMeans(count, random_state=seed).fit(features)
    distances = ((features - groups.cluster_centers_[groups.labels_]) ** 2).sum(axis=1)
    members = [np.flatnonzero(groups.labels_ == group) for group in range(count)]
    return [int(group[distances[group].argmin()]) for group in members]


def with_more_labels(recipe: Recipe, dataset: Dataset, more: Sequence[str], folder: Path) -> Recipe:
    """The recipe with a larger list of labelled images, which is written to `folder`."""
    labelled = [*(sample.name for sample in dataset.labelled), *more]
    unlabelled = [sample.name for sample in dataset.unlabelled if sample.name not in set(more)]
    parts = {part: tuple(sample.name for sample in getattr(dataset, part)) for part in ("val", "test")}
    with split_folder(folder, Lists(tuple(labelled), tuple(unlabelled), **parts), "benchmarks/suggest.py"):
        pass
    values = recipe.model_dump()
    return build_recipe({**values, "data": {**values["data"], "split": str(folder)}}, recipe.name)


def rare_share(dataset: Dataset, scores: Scores) -> float:
    """Share of the labelled pixels that are of classes rare in the test images, in 0..1."""
    pixels = class_pixels(dataset.labelled, dataset).sum(axis=0)
    return round(float(pixels[scores.rare].sum() / pixels.sum()), 5)


def measure(
    chooser: str, planned: PlannedRun, options: argparse.Namespace, progress: Progress
) -> dict[str, object]:
    """Choose, train and score; the columns of a row but those of the machine."""
    folder = Path(options.folder).absolute()
    first = trained(planned, [*map(Path, options.baselines), folder], progress)
    dataset = load_dataset(planned.recipe.data)
    seed, recipe, more = planned.recipe.training.seed, planned.recipe, []
    if chooser == "none":
        run = first
    else:
        more = choose(chooser, first, dataset, options.count, seed, progress)
        run = folder / f"{chooser}{options.count}-seed{seed}-{planned.key}"
        recipe = with_more_labels(recipe, dataset, more, folder / "splits" / run.name)
        fit(recipe, run, progress=progress, log=progress.log)
    results = open_run(run).results
    scores = Scores.from_json(results["scores"][-1])
    dataset = load_dataset(recipe.data)
    return {
        "labelled": len(dataset.labelled), "steps": recipe.training.baseline_steps, **figures(scores),
        "rare_share": rare_share(dataset, scores), "images": results["images"], "backend": results["backend"],
        "chosen": " ".join(more),
    }  # fmt: skip


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--camvid", required=True, help="folder of CamVid, at its full size")
    parser.add_argument("--weights", default="imagenet", help="weights of the MobileNet: imagenet, or a file")
    parser.add_argument("--seeds", type=numbers, default=(0, 1, 2), help="seeds, comma-separated")
    parser.add_argument("--choosers", type=names, default=USUAL, help=f"of {', '.join(CHOOSERS)}")
    parser.add_argument("--count", type=int, default=23, help="number of images to choose")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in usrn fit")
    parser.add_argument("--folder", default="runs/suggest", help="folder of the runs")
    parser.add_argument("--baselines", action="append", default=[], help="folder with runs of table proof")
    parser.add_argument("--results", type=Path, default=RESULTS, help="CSV file of the rows")
    options = parser.parse_args(arguments)
    if unknown := set(options.choosers) - set(CHOOSERS):
        parser.error(f"--choosers {','.join(sorted(unknown))}: choose from {', '.join(CHOOSERS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the seeds and choosers that are asked for and have no row yet, seed by seed."""
    options = parsed(arguments)
    camvid = small_camvid.halved(Path(options.camvid), Path(options.folder).with_name("camvid_small"))
    overrides = [f"data.root={camvid}", f"network.weights={options.weights}", *small_camvid.SETTINGS]
    for seed in options.seeds:
        planned = planned_baseline([*overrides, *options.set], seed)
        for chooser in options.choosers:
            count = 0 if chooser == "none" else options.count
            key = dict(zip(KEY, (seed, chooser, count, planned.key, NUMERICS), strict=True))
            wanted = {name: str(value) for name, value in key.items()}
            if any(wanted.items() <= row.items() for row in table.read(options.results)):
                print(f"seed {seed}, {chooser}: measured already", flush=True)
                continue
            with terminal_progress() as progress:
                found = measure(chooser, planned, options, progress)
            row = {**key, **found, **machine.facts()}
            table.append(options.results, row)
            print(*(f"{name} {row[name]}" for name in (*KEY[:3], "miou", "rare_miou")), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt as interrupt:
        sys.exit(str(interrupt))
