"""A run on disk whose USRN reads the class off the red value, and whose Baseline always says `road`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.conftest import RECIPE
from tests.evaluation.networks import convolution, red_reader
from usrn_keras.data import load_dataset
from usrn_keras.methods.find import stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import start_run

VAL = ("town/0", "town/1", "village/2")
IGNORED = 255


def make_data(root: Path, classes: str = "road\npole\nsky\n") -> np.ndarray:
    """A folder data set; returns the labels of the val images, (3, 20, 24), upper rows ignored."""
    rng = np.random.default_rng(0)
    reds = rng.choice(3, size=(3, 20, 24), p=[0.7, 0.1, 0.2])
    labels = np.where(rng.random(reds.shape) < 0.8, reds, 0)
    labels[:, :3] = IGNORED
    blank = np.zeros((20, 24))
    for name in ("a", "b"):
        write(root / f"masks/{name}.png", blank)
    for name in ("a", "b", "c"):
        write(root / f"images/{name}.png", np.stack([blank] * 3, axis=-1))
    for name, red, label in zip(VAL, reds, labels, strict=True):
        write(root / f"images/{name}.png", np.stack([0 * red, 0 * red, red], axis=-1))
        write(root / f"masks/{name}.png", label)
    (root / "classes.txt").write_text(classes)
    (root / "val.txt").write_text("".join(f"{name}\n" for name in VAL))
    return labels


def write(path: Path, values: np.ndarray, dtype: type = np.uint8) -> None:
    """A PNG file of values; colours are BGR."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values.astype(dtype))


def make_run(folder: Path, classes: str = "road\npole\nsky\n") -> np.ndarray:
    """`folder/run`, `folder/data` and `folder/recipe.toml`; returns the labels of the val images."""
    labels = make_data(folder / "data", classes)
    (folder / "recipe.toml").write_text(
        RECIPE.format(root=folder / "data").replace("workers = 1", 'workers = 1\nval = "val.txt"')
    )
    recipe = load_recipe(str(folder / "recipe.toml"))
    with start_run(folder / "run", recipe, load_dataset(recipe.data), stages_of(recipe)) as run:
        red_reader(3).save(run.path / "model.keras")
        (run.path / "1-baseline").mkdir()
        convolution(np.zeros((1, 1, 3, 3)), np.array([1, 0, 0])).save(run.path / "1-baseline/model.keras")
    return labels
