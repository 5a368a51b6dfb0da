"""A made data set, a network that needs no training, and a progress that stops the work."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from PIL import Image

from usrn_keras.data import Dataset, Sample

CLASSES = ("a", "b", "absent")
SIZES = [(33, 46), (32, 32), (40, 62), (33, 46), (32, 32), (33, 46), (1, 5)]  # odd ones, several


def masks_of(*sizes: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    """Masks of blocks of 5 pixels of the classes 0 and 1 and of ignored ones, out of step with features."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice([0, 0, 0, 1, 255], (-(-h // 5), -(-w // 5))).astype(np.uint8) for h, w in sizes]
    return [
        mask.repeat(5, 0).repeat(5, 1)[: size[0], : size[1]] for mask, size in zip(drawn, sizes, strict=True)
    ]


MASKS = masks_of(*SIZES)  # of the data set that tests share


def write_dataset(folder: Path, masks: list[np.ndarray]) -> Dataset:
    """Images of noise whose brightness tells the class."""
    folder.mkdir(exist_ok=True)
    samples = []
    for index, mask in enumerate(masks):
        image = np.repeat((mask * 40).astype(np.uint8)[..., None], 3, axis=-1)
        image = image + np.random.default_rng(index).integers(0, 30, image.shape, dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"{index}_mask.png")
        samples.append(Sample(f"sub/{index}", folder / f"{index}.png", folder / f"{index}_mask.png"))
    return Dataset("made", CLASSES, np.zeros((3, 3), np.uint8), tuple(samples), (), ())


def colours_at_stride_4(weight: float = 1.0) -> keras.Model:
    """Features of 3 channels: the mean colour, times `weight`."""
    inputs = keras.Input((None, None, 3))
    times = keras.layers.Conv2D(3, 1, use_bias=False)
    model = keras.Model(inputs, times(keras.layers.AveragePooling2D(4)(inputs)))
    times.set_weights([weight * np.eye(3, dtype="float32")[None, None]])
    return model


class Stopped(Exception):
    """The work was stopped."""


class Recorder:
    """A progress that notes tasks and lines, and stops a task after so many steps."""

    def __init__(self, stop_in: str = "", after: int = 0):
        self.stop_in, self.after = stop_in, after
        self.tasks: dict[str, list[int]] = {}  # done before, and after each step
        self.totals: dict[str, int] = {}
        self.lines: list[str] = []

    def task(self, description: str, total: int, done: int = 0):
        self.now, self.tasks[description], self.totals[description] = description, [done], total
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def advance(self, n: int = 1, /, **numbers: float):
        steps = self.tasks[self.now]
        steps.append(steps[-1] + n)
        if self.now == self.stop_in and len(steps) > self.after:
            raise Stopped

    def log(self, line: str):
        self.lines.append(line)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
