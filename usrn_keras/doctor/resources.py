"""Sections about the machine and the recipe: cores and memory, input pipeline, disk, data set."""

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
LITTLE_MEMORY = 3 * GIB  # minimum for Keras, a backend and a small step
LITTLE_SPACE = 2 * GB  # a run with a ResNet-50 needs about 1 GB
WRITTEN, CHUNK, WRITE_SECONDS = 64 * 10**6, 8 * 10**6, 2.0  # bytes of a test file, and between two fsyncs
SLOW_DISK = 20 * 10**6  # bytes per second
SPARE = 1.3  # minimum ratio of loading to training speed, below which the device sometimes waits
MAX_WORKERS = 8  # more reading threads rarely help
SIZES_READ = 100  # images whose sizes are read to estimate the space of the features


def machine_section(load: float, backend: str, on_gpu: bool) -> DoctorSection:
    """Check cores, threads and memory.

    Args:
        load: Load of other processes in the last minute, in cores.
        backend: Name of the chosen backend.
        on_gpu: Whether the backend trains on a GPU or TPU.
    """
    usable, free, total = machine.usable_cores(), machine.available_memory(), machine.total_memory()
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else usable
    threads = {name: os.environ[name] for name in THREADS.values() if name in os.environ}
    variable = THREADS.get(backend, "")
    value = threads.get(variable, "")
    count = int(value) if value.isdigit() and int(value) and not on_gpu else allowed
    found = []
    if count < usable:
        message = f"{variable}={value} limits {backend} to {value} of {usable} cores"
        found.append(DoctorFinding("few_threads", message, f"unset {variable}"))
    if count > usable:  # backends read the affinity, but not the CPU quota of a container
        advice = f"export {variable}={usable}" if variable else f"taskset -c 0-{usable - 1} usrn fit ..."
        message = f"{count} threads would share {usable} cores and slow each other down"
        found.append(DoctorFinding("many_threads", message, advice))
    if free < LITTLE_MEMORY:
        advice = "stop other programs, raise the container's limit, or reduce views.crop_size and the batches"
        found.append(DoctorFinding("little_memory", f"only {in_gib(free)} of memory is free", advice))
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
    """Compare the speed of the input pipeline with that of training.

    Args:
        source: Description of the images that were read.
        loader: Values `images_per_second`, `workers` and `batch` (labelled and unlabelled images); empty if
            the pipeline failed.
        step: Values `images_per_second` and `seconds` of a training step of the Baseline; None without one.
        failures: Findings about failed measurements.
    """
    if not loader:
        return DoctorSection("input pipeline", ["failed"], None, failures)
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
            message = (
                f"the input pipeline reads {rate:.0f} images/s, but training needs {takes:.0f}: "
                "training waits for images"
            )
            most = min(MAX_WORKERS, machine.usable_cores())
            smaller = "store the images as JPEG, no larger than views.long_side x views.scale_labelled[1]"
            advice = f"--set data.workers={most}" if workers < most else smaller
            found.append(DoctorFinding("slow_pipeline", message, advice))
    return DoctorSection("input pipeline", lines, {"source": source, **loader, "training": step}, found)


def step_failure(reason: str) -> DoctorFinding:
    """Create the finding about a training step that failed for this reason."""
    advice = "`usrn fit RECIPE --dry-run` shows the memory it needs, and batches that fit"
    killed = reason.startswith("killed by SIGKILL")  # by the system, usually out of memory
    error = OutOfMemoryError if killed else BackendError
    return DoctorFinding("step_failed", f"a training step fails: {reason}", advice, error=error)


def disk_section(folder: Path) -> DoctorSection:
    """Check whether the folder of runs, or its nearest existing parent, is writable, and how fast."""
    folder = folder.expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    other, values = "choose another disk: usrn fit RECIPE --run FOLDER", {"folder": str(folder), "error": ""}
    try:
        free = shutil.disk_usage(existing).free
        # An unnamed file if supported, so that nothing remains even if the process is killed.
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            rate = _write_rate(file.fileno(), min(WRITTEN, free // 4))
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "choose another folder: usrn fit RECIPE --run FOLDER"
        message = f"{folder} (runs) cannot be written: {reason}"
        found = [DoctorFinding("runs_unwritable", message, advice, error=StorageError)]
        line = f"runs: {folder}: CANNOT BE WRITTEN: {reason}"
        values |= {"free": None, "rate": None, "error": reason}
        return DoctorSection("disk", [line], {"runs": values}, found)
    found = []
    if free < LITTLE_SPACE:
        message = f"only {free / GB:.1f} GB of disk space is free for runs in {folder}"
        found.append(DoctorFinding("little_space", message, f"free disk space, or {other}"))
    if rate is not None and rate < SLOW_DISK:
        message = f"{folder} is written at {rate / 1e6:.1f} MB/s: writing checkpoints is slow"
        found.append(DoctorFinding("slow_disk", message, other, level="note"))
    speed = "" if rate is None else f", written at {rate / 1e6:.0f} MB/s with fsync"
    values |= {"free": free, "rate": rate}
    return DoctorSection("disk", [f"runs: {folder}, {free / GB:.1f} GB free{speed}"], {"runs": values}, found)


def _write_rate(file: int, most: int) -> float | None:
    """Measure the write speed in bytes per second, for at most `WRITE_SECONDS`."""
    chunk = os.urandom(CHUNK)  # some file systems compress zeros
    written, started, spent = 0, time.perf_counter(), 0.0
    while written + CHUNK <= most and spent < WRITE_SECONDS:
        written += os.write(file, chunk)
        os.fsync(file)
        spent = time.perf_counter() - started
    return written / spent if written else None


def recipe_section(
    source: str, overrides: Sequence[str], run_dir: Path | None
) -> tuple[Recipe | None, DoctorSection]:
    """Check a recipe, its data set, and the disk space for its features; the recipe is None if unreadable."""
    from usrn_keras.data import image_size, load_dataset
    from usrn_keras.data.catalog import layout_help
    from usrn_keras.data.dataset import PARTS, ErrorList
    from usrn_keras.recipe import load_recipe
    from usrn_keras.subclasses.feature_grid import feature_size
    from usrn_keras.subclasses.feature_store import check_space

    layout, found, lines, values = ErrorList(), [], [], {"source": source, "readable": False, "images": None}
    try:
        recipe = load_recipe(source, list(overrides))
    except RecipeError as error:
        found.append(DoctorFinding.of("recipe", error))
        return None, DoctorSection("recipe", [f"{source} cannot be read"], values, found)
    values["readable"] = True
    try:
        dataset = load_dataset(recipe.data, errors=layout)
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
            advice = (
                "free disk space, use --run FOLDER on another disk, or --set subclasses.rows_per_image=2000"
            )
            found.append(DoctorFinding("features_space", error.message, advice))
    if layout.lines:
        advice = f"usrn data check {source}   (reads every file)\n{layout_help(recipe.data)}"
        message = "the data set cannot be used"
        found.append(DoctorFinding("data", message, advice, layout.lines, error=DataError))
    return recipe, DoctorSection(
        "recipe", lines or [f"{source}: its data set cannot be listed"], values, found
    )
