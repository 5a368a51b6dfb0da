"""What padding costs: sizes to compile for, area, and changed predictions.

    python benchmarks/padding.py sizes
    python benchmarks/padding.py colours --run RUN --model baseline --every 3

`sizes` compares rules that round sides up: for made-up lists of image sizes, the number of padded sizes and
the area that padding adds. `colours` cuts the val images of a run to sides that are multiples of 32, pads
them in several ways further than necessary, and prints the mIoU and the share of pixels whose prediction
changes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from usrn_keras.data.batches.padding import IMAGE_MEAN, padded_side

Size = tuple[int, int]


def voc_sizes(count: int = 1448, uniform: bool = False) -> list[Size]:
    """As in VOC: long side 500; half of the short sides 375, a quarter 333 or 334, the others 250 to 500."""
    rng = np.random.default_rng(0)
    short = rng.choice([375, 333, 334, 0], count, p=[0.5, 0.22, 0.04, 0.24])
    short = np.where((short == 0) | uniform, rng.integers(250, 501, count), short)
    upright = rng.random(count) < 0.25
    return [(500, int(side)) if up else (int(side), 500) for side, up in zip(short, upright, strict=True)]


def coco_sizes(count: int = 2000) -> list[Size]:
    """As in COCO: long side 640; a third of the short sides 480, a quarter 427, the others 360 to 640."""
    rng = np.random.default_rng(0)
    short = rng.choice([480, 427, 0], count, p=[0.35, 0.25, 0.4])
    short = np.where(short == 0, rng.integers(360, 641, count), short)
    upright = rng.random(count) < 0.3
    return [(640, int(side)) if up else (int(side), 640) for side, up in zip(short, upright, strict=True)]


def photo_sizes(count: int = 2000) -> list[Size]:
    """Short sides 256 to 1000, equally often in every octave, aspect ratios 1 to 1.8."""
    rng = np.random.default_rng(0)
    short = np.exp(rng.uniform(np.log(256), np.log(1000), count))
    long = short * rng.uniform(1, 1.8, count)
    return [(int(h), int(w)) for h, w in zip(short, long, strict=True)]


SIZES = {
    "VOC": voc_sizes(),
    "VOC, any short side": voc_sizes(uniform=True),
    "COCO": coco_sizes(),
    "photographs": photo_sizes(),
    "360 x 480": [(360, 480)],
    "720 x 960": [(720, 960)],
    "1024 x 2048": [(1024, 2048)],
    "1080 x 1920": [(1080, 1920)],
    "3000 x 4000": [(3000, 4000)],
}


def multiples(step: int, fine_until: int = 0) -> Callable[[int], int]:
    """Rounds up to multiples of `step`, up to `fine_until` to those of 32."""
    return lambda side: side + -side % (32 if side <= fine_until else step)


RULES = {
    "multiples of 32": multiples(32),
    "32 to 256, then 64": multiples(64, fine_until=256),
    "32 to 256, then 128": multiples(128, fine_until=256),
    "usrn-keras": padded_side,
}


def sizes() -> None:
    print(f"{'padded sizes, added area':24}", *(f"{name:>19}" for name in RULES))
    for name, listed in SIZES.items():
        cells = []
        for rule in RULES.values():
            padded = [(rule(height), rule(width)) for height, width in listed]
            added = np.prod(padded, axis=1).sum() / np.prod(listed, axis=1).sum() - 1
            cells.append(f"{len(set(padded)):>10} {added:>7.1%}")
        print(f"{name:24}", *(f"{cell:>19}" for cell in cells))


def padded(image: np.ndarray, size: Size, how: str) -> np.ndarray:
    """An image extended below and to the right to `size`."""
    height, width = image.shape[:2]
    border = {"reflected": cv2.BORDER_REFLECT_101, "last row and column": cv2.BORDER_REPLICATE}
    colour = {"mean of image": np.rint(cv2.mean(image)).tolist(), "mean of ImageNet": IMAGE_MEAN}
    rows, columns = size[0] - height, size[1] - width
    kind, value = border.get(how, cv2.BORDER_CONSTANT), colour.get(how, (0, 0, 0))
    return cv2.copyMakeBorder(image, 0, rows, 0, columns, kind, value=value)


HOW = ("mean of image", "mean of ImageNet", "reflected", "last row and column")


def colours(options: argparse.Namespace) -> None:
    from usrn_keras.data import load_dataset
    from usrn_keras.data.batches.whole_images import read_whole
    from usrn_keras.evaluation.forward import Forward
    from usrn_keras.evaluation.predictor import pixel_answers
    from usrn_keras.metrics import Scores, confusion_matrix
    from usrn_keras.networks import load_segmenter
    from usrn_keras.runs import open_run

    run = open_run(options.run)
    dataset = load_dataset(run.recipe.data)
    network = load_segmenter(run.model_file(options.model or run.models[-1]))
    ids = Forward(network, pixel_answers(flip=False, answer="ids"))
    height, width = options.size
    items = list(read_whole(dataset.val[:: options.every], dataset, workers=0, ahead=1))
    images = [np.ascontiguousarray(item.image[:height, :width]) for item in items]
    labels = [item.labels[:height, :width] for item in items]

    def predict(size: Size, how: str) -> Iterator[np.ndarray]:
        return (ids(padded(image, size, how)[None])[0, :height, :width] for image in images)

    def miou(predictions: Sequence[np.ndarray]) -> float:
        counts = map(confusion_matrix, labels, predictions, [len(dataset.classes)] * len(labels))
        return Scores("", dataset.classes, sum(counts)).miou

    without = list(predict((height, width), "reflected"))
    print(f"{height} x {width}, {len(images)} images: mIoU {miou(without):.2%}")
    for extra in options.extra:
        size = (height + extra[0], width + extra[1])
        for how in HOW:
            found = list(predict(size, how))
            changed = np.mean([a != b for a, b in zip(found, without, strict=True)])
            print(
                f"to {size[0]} x {size[1]}, {how}: mIoU {miou(found):.2%}, changed {changed:.2%}", flush=True
            )


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("sizes", "colours"))
    parser.add_argument("--run", type=Path, help="folder of a run, needed by `colours`")
    parser.add_argument("--model", help="model of --run, such as baseline; default: the last one")
    parser.add_argument("--every", type=int, default=1, help="take every Nth val image")
    parser.add_argument(
        "--size", type=int, nargs=2, default=[352, 480], help="height and width that images are cut to"
    )
    options = parser.parse_args(given)
    options.extra = [(32, 32), (96, 32), (160, 32)]
    if options.what == "colours" and not options.run:
        parser.error("colours needs --run")
    sizes() if options.what == "sizes" else colours(options)


if __name__ == "__main__":
    main()
