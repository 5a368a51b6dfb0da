"""Images per second of the evaluation on each backend, and what comes before the first one.

    python benchmarks/evaluate.py --camvid PATH/camvid --backends torch,jax,tensorflow \\
        --csv benchmarks/results/evaluate.csv
    python benchmarks/evaluate.py --camvid PATH/camvid --run runs/camvid --sizes camvid,voc

Each backend is a process of its own; they take turns in every round. A pass evaluates the val images of
CamVid (without --camvid, drawn scenes of that size): reading, padding, the network, the confusion matrix and
Boundary IoU. With --sizes voc the images are resized to sizes as in VOC, long side 500.

`start_seconds` are those of the process until the network is there, `load_seconds` of them go to the network;
`first_seconds` are those of the first image of each of the `shapes` that images are padded to, compilation
among them. Rates are those of the passes after that: median, and range. `network_share` of their time the
main thread waits for the network; the rest is what threads have not hidden.

The network is that of --run, or --backbone with drawn weights: as fast, but with an mIoU of chance.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import devices, machine, table
from benchmarks.padding import voc_sizes
from benchmarks.worker import Worker
from usrn_keras.data.mask_files import read_raw

BACKENDS = ("torch", "jax", "tensorflow")
CLASSES = 11  # of CamVid; drawn scenes have fewer, which changes next to nothing
SETTINGS = ("model", "backbone", "batch", "workers", "mode", "window", "device")

Files = list[tuple[Path, Path]]


def camvid_files(camvid: Path, count: int) -> Files:
    """Images and masks of val."""
    images = sorted((camvid / "images" / "val").glob("*.jpg"))[:count]
    return [(image, camvid / "labels" / "val" / f"{image.stem}.png") for image in images]


def drawn_files(folder: Path, count: int) -> Files:
    """Street scenes, 360 x 480 as CamVid's."""
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
            environment = devices.variables(options.device, "float32") | {"KERAS_BACKEND": backend}
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
    parser.add_argument("--run", type=Path, help="folder of a run, whose network is taken")
    parser.add_argument("--model", choices=("usrn", "baseline"), default="usrn", help="of --run")
    parser.add_argument("--backbone", default="keras/resnet50", help="without --run")
    parser.add_argument("--backends", type=_names(BACKENDS), default=["torch"], help="by commas")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="default: gpu if the driver shows one")
    parser.add_argument("--sizes", type=_names(("camvid", "voc")), default=["camvid"], help="by commas")
    parser.add_argument("--images", type=int, default=101, help="how many")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="threads that read, and as many that count")
    parser.add_argument("--mode", choices=("whole", "slide"), default="whole")
    parser.add_argument("--window", type=int, default=320, help="of --mode slide")
    parser.add_argument("--rounds", type=int, default=5, help="passes over all images")
    parser.add_argument("--commit", help="of what is measured, where git cannot say it")
    parser.add_argument("--csv", type=Path, help="append rows to this file")
    options = parser.parse_args(given)
    folder = {"usrn": "", "baseline": "1-baseline"}[options.model]
    options.model = str(options.run / folder / "model.keras") if options.run else None
    if options.model and not Path(options.model).is_file():
        parser.error(f"--run: there is no {options.model}")
    options.device = options.device or machine.default_device()
    return options


def _names(allowed: Sequence[str]):
    def names(value: str) -> list[str]:
        found = value.split(",")
        if unknown := [name for name in found if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; allowed: {', '.join(allowed)}")
        return found

    return names


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    facts = machine.facts(options.commit)  # the commit and the load before the measurement
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        few = options.images
        files = camvid_files(options.camvid, few) if options.camvid else drawn_files(folder, few)
        for sizes in options.sizes:
            for row in measure(options, sizes, files if sizes == "camvid" else voc_files(folder, files)):
                row |= facts
                print(row, flush=True)
                if options.csv:
                    table.append(options.csv, row)


if __name__ == "__main__":
    main()
