"""Images per second of the input pipeline, beside the same pipeline in Pillow.

    python benchmarks/pipeline.py --camvid PATH/camvid --csv benchmarks/results/pipeline.csv

Two settings: 480 x 360 JPEG, crop 320 (CamVid; without --camvid, drawn scenes of that size), and 1024 x 2048
PNG, crop 720 (frames of the first setting enlarged, with noise, so that a file is as large as one of
Cityscapes). `labelled`: an image and its mask, weak view. `unlabelled`: an image, its weak and strong view.

Methods:
  usrn-keras           `Batches`; the strong view is left to the training step, as by default
  usrn-keras cpu       the same, and then the strong view by `strong_view` on this CPU
  usrn-keras keras_cv  `Batches` with views.strong = "keras_cv"
  pillow               what the official code does on the host: benchmarks/pillow_pipeline.py

The methods take turns in every round. Rates are images per CPU second (all threads of the process) and per
second of the clock; ratios are those of the CPU rates to Pillow's in the same round: median, and range.
How long a training step waits for its batch is what benchmarks/idle_share.py measures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import cv2
import keras
import numpy as np
import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from benchmarks.options import add_row_options
from benchmarks.pillow_pipeline import PillowPipeline
from usrn_keras.data import Batches, Sample, WeakView
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.quickstart import make_quickstart
from usrn_keras.data.views.keras_cv_view import KerasCVView
from usrn_keras.strong_view import StrongView, strong_view

METHODS = {
    "labelled": ("usrn-keras", "pillow"),
    "unlabelled": ("usrn-keras", "usrn-keras cpu", "usrn-keras keras_cv", "pillow"),
}
BATCH = 4
NOISE = 1.5  # standard deviation; a PNG of 1024 x 2048 is then 2 to 3 MB


@dataclass(frozen=True)
class Setting:
    """Files and the sizes of their views."""

    name: str
    samples: tuple[Sample, ...]
    crop: int
    long_side: int


def small_setting(folder: Path, camvid: Path | None, files: int) -> Setting:
    """480 x 360 JPEG: CamVid's, or drawn ones."""
    if camvid:
        images = sorted((camvid / "images" / "train").glob("*.jpg"))[:files]
        samples = [Sample(i.stem, i, camvid / "labels" / "train" / f"{i.stem}.png") for i in images]
        return Setting("camvid 480x360 crop 320", tuple(samples), 320, 400)
    root = make_quickstart(folder / "drawn", labelled=files, unlabelled=1, val=1, size=(360, 480))
    names = (root / "lists" / "labelled.txt").read_text().split()
    samples = [Sample(n, root / "images" / f"{n}.jpg", root / "masks" / f"{n}.png") for n in names]
    return Setting("drawn 480x360 crop 320", tuple(samples), 320, 400)


def large_setting(folder: Path, small: Setting, files: int, size: tuple[int, int] = (1024, 2048)) -> Setting:
    """1024 x 2048 PNG and grey masks: the middle of the small images, enlarged."""
    rng, samples = np.random.default_rng(0), []
    for sample in small.samples[:files]:
        image, mask = cv2.imread(str(sample.image)), np.array(Image.open(sample.mask))
        above = (len(mask) - mask.shape[1] // 2) // 2
        rows = np.s_[above : above + mask.shape[1] // 2]
        image = cv2.resize(image[rows], size[::-1], interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + rng.normal(0, NOISE, image.shape), 0, 255).round().astype(np.uint8)
        mask = cv2.resize(mask[rows], size[::-1], interpolation=cv2.INTER_NEAREST)
        made = Sample(sample.name, folder / f"{sample.name}.png", folder / f"{sample.name}_mask.png")
        cv2.imwrite(str(made.image), image)
        cv2.imwrite(str(made.mask), mask)
        samples.append(made)
    return Setting(f"enlarged {size[1]}x{size[0]} crop 720", tuple(samples), 720, 2048)


def ours(setting: Setting, kind: str, method: str, keep: bool) -> Callable[[int], object]:
    """A function that makes the views of a step, of `BATCH` images."""
    weak = {"crop_size": setting.crop, "long_side": setting.long_side}
    batches = Batches(
        labelled=setting.samples,
        unlabelled=setting.samples,
        batch_labelled=BATCH,
        batch_unlabelled=BATCH,
        weak_labelled=WeakView(**weak),
        weak_unlabelled=WeakView(**weak, scale=(0.8, 2.0)),
        strong=StrongView(),
        strong_on_host=KerasCVView() if method == "usrn-keras keras_cv" else None,
        seed=0,
        cache_bytes=2**32 if keep else 0,
    )
    if kind == "labelled":
        return batches._labelled_arrays
    if method != "usrn-keras cpu":
        return batches._unlabelled_arrays

    def with_strong_view(step: int) -> np.ndarray:
        arrays = batches._unlabelled_arrays(step)
        return keras.ops.convert_to_numpy(strong_view(arrays["weak"], arrays["strong_parameters"]))

    return with_strong_view


def pillow(setting: Setting, kind: str, keep: bool) -> Callable[[int], object]:
    """The same for Pillow."""
    pipeline = PillowPipeline(setting.crop, setting.long_side, keep)

    def step_of(step: int) -> list[np.ndarray]:
        views = []
        for index in range(step * BATCH, (step + 1) * BATCH):
            sample, rng = setting.samples[index % len(setting.samples)], np.random.default_rng([step, index])
            files = (sample.image, sample.mask) if kind == "labelled" else (sample.image,)
            views.append(getattr(pipeline, kind)(rng, *files))
        return [np.stack(parts) for parts in zip(*views, strict=True)]

    return step_of


def seconds(step_of: Callable[[int], object], steps: range, threads: int) -> tuple[float, float]:
    """CPU and clock seconds of the steps; one thread is the caller's own."""
    cpu, clock = time.process_time(), time.perf_counter()
    for _ in ordered_map(step_of, steps, workers=threads if threads > 1 else 0, ahead=4):
        pass
    return time.process_time() - cpu, time.perf_counter() - clock


def measure(setting: Setting, kind: str, keep: bool, threads: int, rounds: int, steps: int) -> Iterator[dict]:
    """A row for each method."""
    makers = {
        method: pillow(setting, kind, keep) if method == "pillow" else ours(setting, kind, method, keep)
        for method in METHODS[kind]
    }
    for step_of in makers.values():  # caches are filled and graphs traced first
        seconds(step_of, range(-(-len(setting.samples) // BATCH)), 1)
    taken = {method: [] for method in makers}
    for number in range(rounds):
        for method, step_of in makers.items():
            taken[method].append(seconds(step_of, range(number * steps, (number + 1) * steps), threads))
    peer = np.array(taken["pillow"])
    for method, times in taken.items():
        rates, ratios = steps * BATCH / np.array(times), (peer / times)[:, 0]
        yield {
            "setting": setting.name,
            "kind": kind,
            "cache": "on" if keep else "off",
            "loader_threads": threads,
            "method": method,
            "images": rounds * steps * BATCH,
            "rounds": rounds,
            **table.spread("images_per_cpu_second", [*rates[:, 0]], 1),
            "images_per_second": round(float(np.median(rates[:, 1])), 1),
            **table.spread("ratio_to_pillow", [*ratios], 2),
        }


def versions() -> str:
    """Versions of the libraries that are measured."""
    keras_backend = f"keras {keras.__version__} ({keras.backend.backend()})"
    return f"opencv {cv2.__version__}, pillow {PIL.__version__}, numpy {np.__version__}, {keras_backend}"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder of CamVid with images/train and labels/train")
    parser.add_argument("--settings", nargs="+", choices=("small", "large"), default=["small", "large"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--steps", nargs=2, type=int, default=[10, 3], help="batches of 4 in a round: small, large"
    )
    parser.add_argument("--files", type=int, default=16, help="image files of each setting")
    add_row_options(parser)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"small": small_setting(Path(scratch), options.camvid, options.files)}
        if "large" in options.settings:
            settings["large"] = large_setting(Path(scratch), settings["small"], options.files)
        steps = dict(zip(("small", "large"), options.steps, strict=True))
        for name, kind, keep, threads in product(options.settings, METHODS, (False, True), options.threads):
            rows = measure(settings[name], kind, keep, threads, options.rounds, steps[name])
            table.publish(rows, {"versions": versions(), **machine.facts(options.commit)}, options.csv)


if __name__ == "__main__":
    main()
