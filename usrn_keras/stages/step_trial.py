"""Measure training steps of a recipe at two batch sizes on made-up images. Runs in a child process."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from usrn_keras.backends import COMPILES, CompiledStep, prepare_backend, release_memory, without_program_cache
from usrn_keras.backends.device_memory import PeakMemory, training_device
from usrn_keras.budget.budget import MeasuredStep
from usrn_keras.budget.step_sizes import StepSizes, measured_sizes
from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.methods import Method
from usrn_keras.networks.operations import PARTS, part_passes, step_flops
from usrn_keras.recipe import Recipe, build_recipe
from usrn_keras.recipe.bands import Bands, parse_bands
from usrn_keras.stages.backbone_features import computed_features, parts_of_a_step
from usrn_keras.stages.build import build_method
from usrn_keras.stages.memory_advice import step_sizes, training_stages
from usrn_keras.subclasses import SubclassMap
from usrn_keras.subclasses.sublabel_maps import write_sublabels

IMAGES = 4  # made-up images of each kind; larger batches take them several times
BATCHES_AHEAD = 6  # made ahead and under way, as in training
LONG_SECONDS = 10  # a first step of more is not repeated where nothing is compiled
LARGER_SECONDS = 60  # if the smaller batch took more with compilation, the larger one is not measured


def try_steps(order: dict[str, Any], send: Callable[[dict], None]) -> dict[str, Any]:
    """Build the networks of a recipe, count operations, and measure steps of the most expensive stage.

    Args:
        order: `recipe`, its values; `name`, its name; `subclasses`, their number in each class; `folder`,
            an empty folder for made-up images.
        send: Called with `network`, what is known without a step; then with the sizes to `try` and the
            `step` that was measured, for the smaller batch and for the larger one.

    Returns:
        `out_of_memory`: the error of the step that ran out of memory, or "".
    """
    prepare_backend()
    _end_this_process_first()
    recipe, counts = build_recipe(order["recipe"], order["name"]), order["subclasses"]
    dataset = made_up_data(
        Path(order["folder"]), recipe.views.crop_size, counts, parse_bands(recipe.data.bands)
    )
    subclasses = made_up_subclasses(counts)
    device = asdict(training_device())  # before the networks take memory
    method, network = most_expensive(recipe, dataset, subclasses)
    send({"network": network | {"device": device}})
    release_memory()  # of the other methods

    def measure(sizes: StepSizes) -> None:
        send({"try": asdict(sizes)})
        send({"step": asdict(_measure(method, recipe, dataset, subclasses, sizes))})

    smaller, larger = measured_sizes(step_sizes(recipe))
    started = time.perf_counter()
    try:
        with without_program_cache():  # compiling takes memory, too
            measure(smaller)
        if time.perf_counter() - started < LARGER_SECONDS:
            measure(larger)
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        return {"out_of_memory": f"{type(error).__name__}: {error}"}
    return {"out_of_memory": ""}


def most_expensive(
    recipe: Recipe, dataset: Dataset, subclasses: SubclassMap
) -> tuple[Method, dict[str, Any]]:
    """Compile the method of the training stage whose step has most operations, and describe its networks.

    Args:
        recipe: Recipe to build.
        dataset, subclasses: Data with the number of classes and of subclasses of the recipe.

    Returns:
        The method, and `flops`, `stage` and `parts` as a `Budget` has them, and `trainable`, a number.
    """
    sizes = step_sizes(recipe)
    methods, flops = {}, {}
    for stage in training_stages(recipe):
        method = build_method(recipe, stage, dataset, subclasses, pretrained=False)
        batches = (sizes.batch_labelled, sizes.batch_unlabelled)
        parts = parts_of_a_step(recipe)
        flops[stage.title] = step_flops(method, *batches, sizes.crop_size, sizes.crop_size, parts)
        methods[stage.title] = method
    title = max(flops, key=lambda stage: sum(flops[stage].values()))
    method = methods[title]
    parts, trainable = _parts(method, sizes.crop_size), _count(method.trainable_variables)
    return method, {"flops": flops, "stage": title, "parts": parts, "trainable": trainable}


def made_up_data(folder: Path, size: int, counts: Sequence[int], bands: Bands | None = None) -> Dataset:
    """Write a data set of noise into a folder: images, masks and sublabels of `size` x `size` pixels.

    Args:
        folder: Folder of the files.
        size: Height and width in pixels.
        counts: Number of subclasses of each class; pixels are of classes with subclasses.
        bands: Bands of the images; None for red, green and blue.
    """
    rng = np.random.default_rng(0)
    present, classes = np.flatnonzero(counts), len(counts)
    first_subclass = np.cumsum([0, *counts])[:-1]
    samples = []
    if bands is not None:  # the files are RGB: their bands are read several times
        bands = replace(bands, numbers=tuple(place % 3 + 1 for place in range(bands.count)), total=None)
    for index in range(IMAGES):
        files = (folder / f"{kind}{index}.png" for kind in ("image", "mask", "sublabels"))
        sample = Sample(str(index), *files, bands=bands)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(sample.image)
        mask = rng.choice(present, (size, size))
        Image.fromarray(mask.astype(np.uint8)).save(sample.mask)
        write_sublabels(sample.sublabels, first_subclass[mask], sum(counts))
        samples.append(sample)
    palette, samples = np.zeros((classes, 3), np.uint8), tuple(samples)
    return Dataset("made up", tuple(map(str, range(classes))), palette, samples, samples, ())


def made_up_subclasses(counts: Sequence[int]) -> SubclassMap:
    """Make subclasses of which only the number in each class is known."""
    nothing, total = np.zeros(len(counts)), sum(counts)
    return SubclassMap(
        tuple(map(str, range(len(counts)))), np.array(counts), sizes=np.zeros(total),
        centers=np.zeros((total, 1)), pixels=nothing, feature_pixels=nothing, inertia=nothing,
        prices=np.zeros(total),
    )  # fmt: skip


def _measure(
    method: Method, recipe: Recipe, dataset: Dataset, subclasses: SubclassMap, sizes: StepSizes
) -> MeasuredStep:
    """Run two steps at one batch size and time the second; a long step that compiles nothing runs once."""
    batch = {"batch_labelled": sizes.batch_labelled, "batch_unlabelled": sizes.batch_unlabelled}
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=batch)})
    if "sublabels" not in method.batch_keys:
        labelled = tuple(replace(sample, sublabels=None) for sample in dataset.labelled)
        dataset = replace(dataset, labelled=labelled, unlabelled=labelled)
    batches = build_batches(
        recipe, dataset, pseudo=dataset.unlabelled, spec=method.inputs, parents=subclasses.parents,
        **computed_features(recipe, method),
    )  # fmt: skip
    step, memory = CompiledStep(method), PeakMemory()
    held = memory.peak()
    with contextlib.closing(batches.iterate(0, BATCHES_AHEAD)) as stream:
        seconds = _seconds(step, next(stream))
        peak = first_peak = memory.peak()
        if COMPILES or seconds < LONG_SECONDS:
            memory = PeakMemory()
            seconds = _seconds(step, next(stream))
            peak = memory.peak()
    return MeasuredStep(sizes, peak, round(seconds, 4), first_peak, held)


def _seconds(step: CompiledStep, batch: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    float(step(batch)["loss"])  # waits for the device
    return time.perf_counter() - started


def _parts(method: Method, crop: int) -> list[dict[str, Any]]:
    """Each part of the networks once, with the shape that it has in the first view that passes through it."""
    rows: dict[int, dict[str, Any]] = {}
    counted: set[int] = set()  # parts of several networks may share layers
    for one in part_passes(method, crop, crop):
        network = method.networks[one.network]
        model = getattr(network.F_sub if one.branch == "F_sub" else network.F, one.part)
        # Seeds of dropout are variables, too, of integers.
        rest = [variable for variable in model.non_trainable_variables if "float" in variable.dtype]
        if id(model) not in rows:
            row = {"network": one.network, "branch": one.branch, "part": one.part, "shape": one.shape}
            for name, variables in (("trained", model.trainable_variables), ("not_trained", rest)):
                row[name] = _count([variable for variable in variables if id(variable) not in counted])
            counted |= {id(variable) for variable in model.variables}
            rows[id(model)] = row
        known = rows[id(model)]
        if known["branch"] != one.branch:  # one view needs F alone, another one both branches
            known["branch"] = "both"
    return sorted(rows.values(), key=lambda row: (row["network"], PARTS.index(row["part"])))


def _count(variables: list[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _end_this_process_first() -> None:
    """Where memory runs out, let Linux end this process and none of the user's others."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
