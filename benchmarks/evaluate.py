"""Images per second of the evaluation on each backend, and seconds until the first image.

    python benchmarks/evaluate.py --camvid PATH/camvid --backends torch,jax,tensorflow \\
        --csv benchmarks/results/evaluate.csv
    python benchmarks/evaluate.py --camvid PATH/camvid --run runs/camvid --sizes camvid,voc

Each backend is a process of its own; they take turns in every round. A pass evaluates the val images of
CamVid (without --camvid: drawn scenes of that size): reading, padding, the network, the confusion matrix and
Boundary IoU. With --sizes voc the images are resized to sizes as in VOC, long side 500.

`start_seconds` is the time until the process has its network, of which `load_seconds` go to the network;
`first_seconds` is the time of the first image of each of the `shapes` that images are padded to, compilation
included. Rates are those of the passes after that: median and range. `network_share` is the share of their
time in which the main thread waits for the network; threads did not hide the rest.

The network is that of --run, or --backbone with random weights: as fast, but with an mIoU of chance.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # of this process, which reads --run

import cv2

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.contestants import BACKENDS
from benchmarks.options import add_device_option, add_row_options, names
from benchmarks.padding import voc_sizes
from benchmarks.worker import Worker
from usrn_keras.data.decoding.mask_files import read_raw

CLASSES = 11  # of CamVid; drawn scenes have fewer, which changes next to nothing
SETTINGS = ("model", "backbone", "batch", "workers", "mode", "window", "device")

Files = list[tuple[Path, Path]]


def camvid_files(camvid: Path, count: int) -> Files:
    """Images and masks of val."""
    images = sorted((camvid / "images" / "val").glob("*.jpg"))[:count]
    return [(image, camvid / "labels" / "val" / f"{image.stem}.png") for image in images]


def drawn_files(folder: Path, count: int) -> Files:
    """Aerial scenes, 360 x 480 as CamVid's."""
    from usrn_keras.data.quickstart import make_quickstart

    root = make_quickstart(folder / "drawn", labelled=1, unlabelled=1, val=count, size=(360, 480))
    names = (root / "lists" / "val.txt").read_text().split()
    return [(root / "images" / f"{name}.jpg", root / "masks" / f"{name}.png") for name in names]


def voc_files(folder: Path, files: Files) -> Files:
    """The same images at sizes as in VOC."""
    made = []
    for (image, mask), (height, width) in zip(files, voc_sizes(len(files)), strict=True):
        target = folder / f"{image.stem}.jpg", folder / f"{image.stem}.png"
        pixels = cv2.resize(cv2.imread(str(image)), (width, height), interpolation=cv2.INTER_AREA)
        labels = read_raw(mask).values
        cv2.imwrite(str(target[0]), pixels)
        cv2.imwrite(str(target[1]), cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST))
        made.append(target)
    return made


def measure(options: argparse.Namespace, sizes: str, files: Files) -> Iterator[dict[str, object]]:
    """A row for each backend."""
    images, masks = ([str(path) for path in paths] for paths in zip(*files, strict=True))
    given = {key: getattr(options, key) for key in SETTINGS}
    given |= {"images": images, "masks": masks, "classes": CLASSES}
    with ExitStack() as stack:
        workers, firsts = {}, {}
        for backend in options.backends:  # one after the other: only one compiles at a time
            environment = devices.variables(options.device) | {"KERAS_BACKEND": backend}
            workers[backend] = stack.enter_context(Worker("evaluation_pass.py", given, environment))
            firsts[backend] = workers[backend].call("first")
        answers = {backend: [] for backend in options.backends}
        for _, backend in itertools.product(range(options.rounds), options.backends):
            answers[backend].append(workers[backend].call("passes", 1))
    for backend, found in answers.items():
        yield {
            "backend": backend,
            "sizes": sizes,
            "images": len(files),
            "rounds": options.rounds,
            "network": "of a run" if options.model else options.backbone,
            **{key: given[key] for key in ("batch", "workers", "mode")},
            "start_seconds": round(workers[backend].start_seconds, 2),
            "first_seconds": round(firsts[backend]["seconds"], 2),
            "shapes": firsts[backend]["shapes"],
            **rates(found, len(files)),
            "peak_memory_gb": round(max(answer["peak_memory"] for answer in found) / 1e9, 3),
            "miou": round(found[-1]["miou"], 5),
            **workers[backend].facts,
        }


def rates(answers: Sequence[dict], images: int) -> dict[str, float]:
    """Columns of images per second, and of the share of the time that the network took."""
    seconds = [answer["seconds"][0] for answer in answers]
    shares = [answer["network_seconds"][0] / answer["seconds"][0] for answer in answers]
    return {
        **table.spread("images_per_second", [images / each for each in seconds], 2),
        **table.spread("network_share", shares),
    }


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder of CamVid with images/val and labels/val")
    parser.add_argument("--run", type=Path, help="folder of the run that trained the network")
    parser.add_argument("--model", help="model of --run, such as baseline; default: the last one")
    parser.add_argument("--backbone", default="keras/resnet50", help="backbone of the network without --run")
    parser.add_argument("--backends", type=names(BACKENDS), default=["torch"], help="comma-separated")
    add_device_option(parser)
    parser.add_argument(
        "--sizes", type=names(("camvid", "voc")), default=["camvid"], help="sizes of images, comma-separated"
    )
    parser.add_argument("--images", type=int, default=101, help="number of images")
    parser.add_argument("--batch", type=int, default=1, help="images predicted at once")
    parser.add_argument("--workers", type=int, default=2, help="threads that read, and as many that count")
    parser.add_argument("--mode", choices=("whole", "slide"), default="whole")
    parser.add_argument("--window", type=int, default=320, help="side of the windows of --mode slide")
    parser.add_argument("--rounds", type=int, default=5, help="passes over all images")
    add_row_options(parser)
    options = parser.parse_args(given)
    options.model = str(model_file(parser, options)) if options.run else None
    return options


def model_file(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Path:
    """The weights of --model of --run."""
    from usrn_keras.errors import RunError
    from usrn_keras.runs import open_run  # loads Keras

    try:
        run = open_run(options.run)
        return run.model_file(options.model or run.models[-1])
    except RunError as error:
        parser.error(f"--run: {error}")


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    facts = machine.facts(options.commit)  # the commit and the load before the measurement
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        few = options.images
        files = camvid_files(options.camvid, few) if options.camvid else drawn_files(folder, few)
        for sizes in options.sizes:
            listed = files if sizes == "camvid" else voc_files(folder, files)
            table.publish(measure(options, sizes, listed), facts, options.csv)


if __name__ == "__main__":
    main()
