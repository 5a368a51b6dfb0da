"""Train a recipe's method for two steps at two batch sizes on made-up images. Runs in a child process."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from usrn_keras.backends import COMPILES, CompiledStep, prepare_backend, release_memory, without_program_cache
from usrn_keras.backends.device_memory import PeakMemory, training_device
from usrn_keras.budget.extrapolation import MeasuredStep
from usrn_keras.budget.out_of_memory import ran_out_of_memory
from usrn_keras.budget.step_sizes import StepSizes, measured_sizes
from usrn_keras.data import Dataset, Sample
from usrn_keras.data.recipe_batches import build_batches
from usrn_keras.methods import Method, stages_of
from usrn_keras.networks.operations import PARTS, part_passes, step_flops
from usrn_keras.recipe import Recipe, build_recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.stages.build import build_method
from usrn_keras.stages.memory_advice import step_sizes
from usrn_keras.subclasses import SubclassMap
from usrn_keras.subclasses.sublabel_maps import write_sublabels

IMAGES = 4  # made-up images of each kind; larger batches take them several times
BATCHES_AHEAD = 6  # made ahead and under way, as in training
LONG_SECONDS = 10  # a first step of more is not repeated where nothing is compiled


def try_steps(order: dict[str, Any], send: Callable[[dict], None]) -> dict[str, Any]:
    """Build what a recipe trains, count its operations, and measure steps of its most expensive stage.

    Args:
        order: `recipe`, its values; `name`, its name; `classes`, their names;
            `subclasses`, their number in each class.
        send: Called with `network`, what is known without a step; then with the sizes to `try` and the
            `step` that was measured, for the smaller batch and for the larger one.

    Returns:
        `out_of_memory`: the error of the step that ran out of memory, or "".
    """
    prepare_backend()
    _end_this_process_first()
    recipe = build_recipe(order["recipe"], order["name"])
    with tempfile.TemporaryDirectory() as folder:
        dataset = made_up_data(Path(folder), recipe.views.crop_size, order["classes"], order["subclasses"])
        subclasses = made_up_subclasses(order["classes"], order["subclasses"])
        sizes = step_sizes(recipe)
        network = {"device": asdict(training_device())}
        method, found = most_expensive(recipe, dataset, subclasses, sizes)
        send({"network": network | found})
        release_memory()  # of the other methods
        for tried in measured_sizes(sizes):
            send({"try": asdict(tried)})
            try:
                with without_program_cache():  # compiling takes memory, too
                    step = _measure(method, recipe, dataset, subclasses, tried)
            except Exception as error:
                if not ran_out_of_memory(error):
                    raise
                return {"out_of_memory": f"{type(error).__name__}: {error}"}
            send({"step": asdict(step)})
    return {"out_of_memory": ""}


def most_expensive(
    recipe: Recipe, dataset: Dataset, subclasses: SubclassMap, sizes: StepSizes
) -> tuple[Method, dict[str, Any]]:
    """The compiled method of the training stage whose step has most operations, and what is known of it.

    Args:
        recipe: Recipe to build.
        dataset, subclasses: Data with the number of classes and of subclasses of the recipe.
        sizes: Of a step, as in the recipe.

    Returns:
        The method, and `flops`, `stage` and `parts` as a `Budget` has them, and `trainable`, a number.
    """
    crop, flops, chosen = sizes.crop_size, {}, None
    for stage in stages_of(recipe):
        if not isinstance(stage, Train):
            continue
        method = build_method(recipe, stage, dataset, subclasses, pretrained=False)
        views = step_flops(method, sizes.batch_labelled, sizes.batch_unlabelled, crop, crop)
        if all(sum(views.values()) > sum(others.values()) for others in flops.values()):
            chosen, title = method, stage.title
        flops[stage.title] = views
    trainable = _count(chosen.trainable_variables)
    return chosen, {"flops": flops, "stage": title, "parts": _parts(chosen, crop), "trainable": trainable}


def made_up_data(folder: Path, size: int, classes: list[str], counts: list[int]) -> Dataset:
    """A data set of noise: images, masks and sublabels of `size` x `size` pixels, written into a folder."""
    rng = np.random.default_rng(0)
    present = np.flatnonzero(counts)
    first_subclass = np.cumsum([0, *counts])[:-1]
    samples = []
    for index in range(IMAGES):
        sample = Sample(
            str(index), *(folder / f"{kind}{index}.png" for kind in ("image", "mask", "sublabels"))
        )
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(sample.image)
        mask = rng.choice(present, (size, size))
        Image.fromarray(mask.astype(np.uint8)).save(sample.mask)
        write_sublabels(sample.sublabels, first_subclass[mask], sum(counts))
        samples.append(sample)
    palette = np.zeros((len(classes), 3), np.uint8)
    return Dataset("made up", tuple(classes), palette, tuple(samples), tuple(samples), ())


def made_up_subclasses(classes: list[str], counts: list[int]) -> SubclassMap:
    """Subclasses of which only the number in each class is known."""
    nothing, total = np.zeros(len(classes)), sum(counts)
    return SubclassMap(
        tuple(classes), np.array(counts), sizes=np.zeros(total), centers=np.zeros((total, 1)),
        pixels=nothing, feature_pixels=nothing, inertia=nothing, prices=np.zeros(total),
    )  # fmt: skip


def _measure(
    method: Method, recipe: Recipe, dataset: Dataset, subclasses: SubclassMap, sizes: StepSizes
) -> MeasuredStep:
    """Two steps at one batch size, the second one timed; a long step that needs no compiler is made once."""
    batch = {"batch_labelled": sizes.batch_labelled, "batch_unlabelled": sizes.batch_unlabelled}
    training = recipe.training.model_copy(update=batch)
    recipe = recipe.model_copy(update={"training": training})
    if not method.inputs.sublabels:
        labelled = tuple(replace(sample, sublabels=None) for sample in dataset.labelled)
        dataset = replace(dataset, labelled=labelled)
    unlabelled = method.inputs.unlabelled
    batches = build_batches(recipe, dataset, unlabelled=unlabelled, parents=subclasses.parents)
    memory, step = PeakMemory(), CompiledStep(method)
    with contextlib.closing(batches.iterate(0, BATCHES_AHEAD)) as stream:
        seconds = _seconds(step, next(stream))
        if COMPILES or seconds < LONG_SECONDS:
            seconds = _seconds(step, next(stream))
    return MeasuredStep(sizes, memory.peak() or 0, round(seconds, 4))


def _seconds(step: CompiledStep, batch: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    float(step(batch)["loss"])  # waits for the device
    return time.perf_counter() - started


def _parts(method: Method, crop: int) -> list[dict[str, Any]]:
    """Each part of the networks once, with the shape that it has in the first view that passes through it."""
    rows: dict[int, dict[str, Any]] = {}
    for one in part_passes(method, crop, crop):
        network = method.networks[one.network]
        model = getattr(network.F_sub if one.branch == "F_sub" else network.F, one.part)
        # Seeds of dropout are variables, too, of integers.
        rest = [variable for variable in model.non_trainable_variables if "float" in variable.dtype]
        row = {"network": one.network, "branch": one.branch, "part": one.part, "shape": one.shape}
        row |= {"trained": _count(model.trainable_variables), "not_trained": _count(rest)}
        known = rows.setdefault(id(model), row)
        if known["branch"] != one.branch:  # one view needs F alone, another one both branches
            known["branch"] = "both"
    return sorted(rows.values(), key=lambda row: (row["network"], PARTS.index(row["part"])))


def _count(variables: list[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _end_this_process_first() -> None:
    """Where memory runs out, let Linux end this process and none of the user's others."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
