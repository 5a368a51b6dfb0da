"""What all tests share: the backend, unless KERAS_BACKEND names one, and few threads."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # starts fastest and compiles nothing
os.environ.setdefault("OMP_NUM_THREADS", "1")  # arrays are tiny; more threads only wait for each other
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from PIL import Image

from usrn_keras.interrupts import SIGNALS

RECIPE = """
[data]
dataset = "folder"
root = "{root}"
workers = 1
[network]
backbone = "keras/mobilenet"
weights = "none"
width = 0.25
backbone_end = "conv_pw_7_relu"
aspp_rates = [2]
aspp_channels = 8
low_level_channels = 4
decoder_channels = 8
[views]
crop_size = 32
long_side = 48
[training]
baseline_steps = 4
usrn_steps = 4
batch_labelled = 2
batch_unlabelled = 2
log_every = 1
checkpoint_seconds = 1
"""


@pytest.fixture(scope="session", autouse=True)
def plain_programs():
    """Let JAX compile without most optimizations, which take longer than a program of a test runs."""
    _optimize_programs(False)


@pytest.fixture
def optimized_programs(plain_programs):
    """Let JAX compile as in training, in one test."""
    _optimize_programs(True)
    yield
    _optimize_programs(False)


def _optimize_programs(optimize: bool) -> None:
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        jax.config.update("jax_disable_most_optimizations", not optimize)


@pytest.fixture
def recipe_file(tmp_path):
    return make_recipe(tmp_path)


@pytest.fixture
def foreground_signals():
    """Signals as in the foreground of a shell: `nohup pytest &` starts with SIGINT and SIGHUP ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def make_recipe(folder: Path) -> Path:
    """`recipe.toml` in a folder, and `data`: two classes, three masks, two images without, one val image."""
    root = folder / "data"
    for name in ("images", "masks", "lists"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(6):
        mask = np.zeros((40, 48), np.uint8)
        mask[10:20, 5 * index : 5 * index + 12] = 1
        image = (mask[..., None] * 120 + rng.integers(0, 90, (40, 48, 3))).astype(np.uint8)
        Image.fromarray(image).save(root / f"images/{index}.png")
        if index not in (3, 4):
            Image.fromarray(mask).save(root / f"masks/{index}.png")
    (root / "classes.txt").write_text("road\ncar\n")
    (root / "val.txt").write_text("5\n")
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(root=root).replace("workers = 1", 'workers = 1\nval = "val.txt"'))
    return path
