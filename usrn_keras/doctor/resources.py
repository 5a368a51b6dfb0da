"""Sections on the machine and the recipe: cores and memory, input pipeline, disk, data set."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from usrn_keras import machine
from usrn_keras.doctor.doctor_report import GIB, DoctorFinding, DoctorSection, in_gib
from usrn_keras.errors import BackendError, DataError, OutOfMemoryError, RecipeError, StorageError, USRNError

if TYPE_CHECKING:
    from usrn_keras.recipe import Recipe

GB = 10**9
THREADS = {"torch": "OMP_NUM_THREADS", "tensorflow": "TF_NUM_INTRAOP_THREADS"}  # JAX reads neither
LITTLE_MEMORY = 3 * GIB  # less does not hold Keras, a backend and a small step
LITTLE_SPACE = 2 * GB  # a run with a ResNet-50 leaves about 1 GB
WRITTEN, CHUNK, WRITE_SECONDS = 64 * 10**6, 8 * 10**6, 2.0  # bytes of a test file, and between two fsyncs
SLOW_DISK = 20 * 10**6  # bytes per second
SPARE = 1.3  # times the rate of training: with a slower input pipeline the device waits now and then
MOST_WORKERS = 8  # more threads that read images seldom help
SIZES_READ = 100  # images whose sizes are read to estimate the space of the features


def machine_section(load: float, backend: str, on_gpu: bool) -> DoctorSection:
    """Cores, threads and memory; `load` is that of other processes in the last minute, in cores."""
    usable, free, total = machine.usable_cores(), machine.available_memory(), machine.total_memory()
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else usable
    threads = {name: os.environ[name] for name in THREADS.values() if name in os.environ}
    variable = THREADS.get(backend, "")
    value = threads.get(variable, "")
    count = int(value) if value.isdigit() and int(value) and not on_gpu else allowed
    found = []
    if count < usable:
        message = f"{variable}={value} holds {backend} to {value} of {usable} cores"
        found.append(DoctorFinding("few_threads", message, f"unset {variable}"))
    if count > usable:  # backends see the affinity, and not the quota of a container
        advice = f"export {variable}={usable}" if variable else f"taskset -c 0-{usable - 1} usrn fit ..."
        message = f"{count} threads would share {usable} cores, and wait for each other"
        found.append(DoctorFinding("many_threads", message, advice))
    if free < LITTLE_MEMORY:
        advice = "end other programs, raise the container's limit, or lower views.crop_size and the batches"
        found.append(DoctorFinding("little_memory", f"only {in_gib(free)} of memory are free", advice))
    lines = [
        f"{usable} of {os.cpu_count()} cores usable; load {load:.1f} in the last minute"
        + "".join(f"; {name}={text}" for name, text in threads.items()),
        f"memory: {in_gib(free)} free of {in_gib(total)}",
    ]
    values = {"name": machine.processor_name(), "present": os.cpu_count(), "usable": usable, "load": load}
    values |= {"threads": threads, "memory": total, "free_memory": free}
    return DoctorSection("cores and memory", lines, values, found)


def pipeline_section(
    source: str,
    loader: Mapping[str, Any],
    step: Mapping[str, float] | None,
    failures: Sequence[DoctorFinding] = (),
) -> DoctorSection:
    """How many images of `source` per second are read and cut, beside what a training step takes.

    Args:
        source: Which images were read.
        loader: `images_per_second` with `workers` threads, and `batch`: labelled and unlabelled images; empty
            if it failed.
        step: `images_per_second` and `seconds` of a training step of the Baseline; None: not measured.
        failures: Why something could not be measured.
    """
    if not loader:
        return DoctorSection("input pipeline", ["does not run"], None, failures)
    rate, workers, images = loader["images_per_second"], loader["workers"], loader["batch"]
    found = [*failures]
    lines = [
        f"{rate:.0f} images/s with {workers} worker{'s' * (workers != 1)} ({source}): feeds a step of "
        f"{images[0]} + {images[1]} images every {sum(images) / rate:.2f} s",
    ]
    if step:
        takes = step["images_per_second"]
        lines.append(f"a training step of the Baseline takes {step['seconds']:.3g} s: {takes:.3g} images/s")
        if rate < SPARE * takes:
            message = f"{rate:.0f} images/s are read, training takes {takes:.0f}: it waits for images"
            most = min(MOST_WORKERS, machine.usable_cores())
            smaller = "keep image files no larger than views.long_side x views.scale_labelled[1], as JPEG"
            advice = f"--set data.workers={most}" if workers < most else smaller
            found.append(DoctorFinding("slow_pipeline", message, advice))
    return DoctorSection("input pipeline", lines, {"source": source, **loader, "training": step}, found)


def step_failure(reason: str) -> DoctorFinding:
    """A training step of the recipe that ended without a result, for this reason."""
    advice = "usrn fit RECIPE --dry-run shows the memory that it takes, and the batches that fit"
    killed = reason.startswith("killed by SIGKILL")  # by the system, where memory runs out
    error = OutOfMemoryError if killed else BackendError
    return DoctorFinding("step_failed", f"a training step fails: {reason}", advice, error=error)


def disk_section(folder: Path) -> DoctorSection:
    """The folder of runs, or the nearest one above it that exists: whether it can be written, how fast."""
    folder = folder.expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    other, values = "choose another disk: usrn fit RECIPE --run DIR", {"folder": str(folder), "error": ""}
    try:
        free = shutil.disk_usage(existing).free
        # Has no name where the system can do that: nothing stays, even if we are killed.
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            rate = _write_rate(file.fileno(), min(WRITTEN, free // 4))
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "choose another folder: usrn fit RECIPE --run DIR, or work in another one"
        message = f"{folder} (runs) cannot be written: {reason}"
        found = [DoctorFinding("runs_unwritable", message, advice, error=StorageError)]
        line = f"runs: {folder}: CANNOT BE WRITTEN: {reason}"
        values |= {"free": None, "rate": None, "error": reason}
        return DoctorSection("disk", [line], {"runs": values}, found)
    found = []
    if free < LITTLE_SPACE:
        message = f"only {free / GB:.1f} GB are free for runs in {folder}"
        found.append(DoctorFinding("little_space", message, f"free space there, or {other}"))
    if rate is not None and rate < SLOW_DISK:
        message = f"{folder} is written at {rate / 1e6:.1f} MB/s: checkpoints take long"
        found.append(DoctorFinding("slow_disk", message, other, level="note"))
    speed = "" if rate is None else f", written at {rate / 1e6:.0f} MB/s with fsync"
    values |= {"free": free, "rate": rate}
    return DoctorSection("disk", [f"runs: {folder}, {free / GB:.1f} GB free{speed}"], {"runs": values}, found)


def _write_rate(file: int, most: int) -> float | None:
    """Bytes per second; a slow disk is left alone after some seconds."""
    chunk = os.urandom(CHUNK)  # zeros would be packed by some file systems
    written, started, spent = 0, time.perf_counter(), 0.0
    while written + CHUNK <= most and spent < WRITE_SECONDS:
        written += os.write(file, chunk)
        os.fsync(file)
        spent = time.perf_counter() - started
    return written / spent if written else None


def recipe_section(
    source: str, overrides: Sequence[str], run_dir: Path | None
) -> tuple[Recipe | None, DoctorSection]:
    """A recipe, None where it cannot be read, its data set, and the space that its features take."""
    from usrn_keras.data import image_size, load_dataset
    from usrn_keras.data.catalog import layout_help
    from usrn_keras.data.dataset import PARTS, ErrorList
    from usrn_keras.recipe import load_recipe
    from usrn_keras.subclasses.feature_grid import feature_size
    from usrn_keras.subclasses.feature_store import check_space

    faults, found, lines, values = ErrorList(), [], [], {"source": source, "readable": False, "images": None}
    try:
        recipe = load_recipe(source, list(overrides))
    except RecipeError as error:
        found.append(DoctorFinding.of("recipe", error))
        return None, DoctorSection("recipe", [f"{source} cannot be read"], values, found)
    values["readable"] = True
    try:
        dataset = load_dataset(recipe.data, faults=faults)
        values["images"] = {part: len(getattr(dataset, part)) for part in PARTS}
        lines.append(f"{source}: {', '.join(f'{n} {part}' for part, n in values['images'].items())} images")
        samples = dataset.labelled[:: -(-len(dataset.labelled) // SIZES_READ) or 1]
        sizes = [feature_size(image_size(sample.image)) for sample in samples]
    except USRNError as error:
        found.append(DoctorFinding.of("data", error))
        sizes = []
    if sizes:
        rows = sum(height * width for height, width in sizes) * len(dataset.labelled) // len(sizes)
        try:
            space = check_space(
                run_dir or Path("runs") / recipe.name, rows, recipe.network.decoder_channels, stored=0
            )
            lines.append(f"features of the labelled images: at most {space}")
        except StorageError as error:
            advice = "free space, --run DIR on another disk, or --set subclasses.rows_per_image=2000"
            found.append(DoctorFinding("features_space", error.message, advice))
    if faults.lines:
        advice = f"usrn data check {source}   (after that, it reads every file)\n{layout_help(recipe.data)}"
        message = "the data set cannot be used"
        found.append(DoctorFinding("data", message, advice, faults.lines, error=DataError))
    return recipe, DoctorSection(
        "recipe", lines or [f"{source}: its data set cannot be listed"], values, found
    )
