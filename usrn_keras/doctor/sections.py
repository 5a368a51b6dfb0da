"""The sections of the examination: each gathers facts or is given them, and says what to change."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from packaging.requirements import Requirement

from usrn_keras import __version__, machine
from usrn_keras.backend_choice import BACKENDS, reinstall
from usrn_keras.doctor.findings import Finding, Section
from usrn_keras.errors import BackendError, DataError, OutOfMemoryError, RecipeError, StorageError, USRNError
from usrn_keras.machine import NvidiaGpu

if TYPE_CHECKING:
    from usrn_keras.recipe import Recipe

GB, GIB = 10**9, 2**30
DISTRIBUTION = "usrn-keras"
MODULES = {  # modules that training imports beside the backend, and the package that holds each
    "numpy": "numpy", "pydantic": "pydantic", "cv2": "opencv-python-headless", "PIL": "pillow",
    "h5py": "h5py", "sklearn": "scikit-learn", "numba": "numba",
}  # fmt: skip
SHOWN = ("keras", "numpy", "opencv-python-headless", "scikit-learn", "keras-cv")
OPTIONAL = ("keras-cv", *BACKENDS)  # only some backends and recipes need these
HIDING = ("", "-1", "none", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every GPU
CUDA13_DRIVER, CUDA13_CAPABILITY = 580, 7.5  # the oldest driver and GPUs that CUDA 13 supports
GPU_TAKEN = 0.3  # share of a GPU's memory that others may hold without a note
BFLOAT16_GAIN = 1.2  # times as fast as float32: less is not worth the rounding
THREADS = {"torch": "OMP_NUM_THREADS", "tensorflow": "TF_NUM_INTRAOP_THREADS"}  # JAX reads neither
LITTLE_MEMORY = 3 * GIB  # less does not hold Keras, a backend and a small step
LITTLE_SPACE = 2 * GB  # a run with a ResNet-50 leaves about 1 GB
WRITTEN, CHUNK, WRITE_SECONDS = 64 * 10**6, 8 * 10**6, 2.0  # bytes of a test file, and between two fsyncs
SLOW_DISK = 20 * 10**6  # bytes per second
SPARE = 1.3  # times the rate of training: with a slower input pipeline the device waits now and then
MOST_WORKERS = 8  # more threads that read images seldom help
SIZES_READ = 100  # images whose sizes are read to estimate the space of the features


def versions_section(broken: Mapping[str, str]) -> Section:
    """Packages; `broken` says why modules of `MODULES` cannot be imported."""
    bounds = {}
    for requirement in map(Requirement, _requirements()):  # those of a plain installation, and torch's
        extra = {"extra": "torch" if requirement.name == "torch" else ""}
        if requirement.marker is None or requirement.marker.evaluate(extra):
            bounds[requirement.name] = requirement.specifier
    versions = {name: version(name) for name in (*SHOWN, *MODULES.values(), *BACKENDS, *bounds)}

    def install(names: Sequence[str]) -> str:
        return "pip install " + " ".join(f"'{name}{bounds[name]}'" for name in names)

    found = []
    for module, reason in broken.items():
        if installed := versions[MODULES[module]]:  # what is missing is reported below
            message = f"{MODULES[module]} {installed} cannot be loaded: {reason}"
            advice = f"pip install --force-reinstall {MODULES[module]}"
            found.append(Finding(f"{module}_broken", message, advice, error=BackendError))
    if missing := [name for name in bounds if versions[name] is None and name not in OPTIONAL]:
        message = f"packages that training needs are not installed: {', '.join(missing)}"
        found.append(Finding("packages_missing", message, install(missing), error=BackendError))
    wrong = [n for n, b in bounds.items() if versions[n] and not b.contains(versions[n], prereleases=True)]
    if wrong:
        lines = [f"{name} {versions[name]}, needs {bounds[name]}" for name in wrong]
        message = "packages of a version that usrn-keras was not tested with"
        found.append(Finding("packages_untested", message, install(wrong), lines))
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    lines = [
        f"usrn-keras {__version__}, Python {python}, {system}",
        ", ".join(f"{name} {versions[name] or '(not installed)'}" for name in SHOWN),
    ]
    values = {"usrn_keras": __version__, "python": python, "system": system, "packages": versions}
    return Section("versions", lines, values | {"broken": broken}, found)


def _requirements() -> Sequence[str]:
    try:
        return metadata.requires(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return ()


def version(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def backend_section(chosen: str, source: str, probes: Mapping[str, Mapping[str, Any]]) -> Section:
    """Backends: the `chosen` one, the `source` of that choice, and what became of loading each.

    A probe has `installed`, `version`, `loads`, `error` (of loading it or of computing), CPU `seconds` that
    loading took, and `devices` with `kind`, `name` and `memory`, the one that trains first.
    """
    working = [name for name, probe in probes.items() if probe["loads"] and not probe["error"]]
    others = [name for name in working if name != chosen]
    for_now = f"\nor for now: export KERAS_BACKEND={others[0]}" if others else ""
    probe, found = probes.get(chosen), []
    if probe is None:
        message = f"unknown Keras backend {chosen!r} (from {source}); allowed: {', '.join(BACKENDS)}"
        advice = f"export KERAS_BACKEND={(others or ['jax'])[0]}"
        found.append(Finding("backend_unknown", message, advice, error=BackendError))
    elif not probe["installed"]:
        message = f"the Keras backend {chosen!r} (from {source}) is not installed"
        advice = BACKENDS[chosen].install + for_now
        found.append(Finding("backend_missing", message, advice, error=BackendError))
    elif probe["error"]:
        does = "does not compute" if probe["loads"] else "cannot be loaded"
        message = f"the Keras backend {chosen!r} is installed, but {does}: {probe['error']}"
        found.append(Finding("backend_broken", message, reinstall(chosen) + for_now, error=BackendError))
    lines = [f"{chosen} ({source}); KERAS_BACKEND=NAME usrn ... takes another"]
    for name, other in probes.items():
        label = f"{name} {other['version'] or '(of unknown version)'}"
        if not other["installed"]:
            lines.append(f"{name}: not installed ({BACKENDS[name].install})")
        elif other["error"]:
            lines.append(f"{label}: BROKEN: {other['error']}")
        else:
            devices = ", ".join(
                device["name"] + (f" ({_gib(device['memory'])})" if device["memory"] else "")
                for device in other["devices"]
            )
            lines.append(f"{label}: works, loads in {other['seconds']:.1f} CPU s, sees {devices}")
        if name != chosen and other["error"]:
            used = name == "tensorflow"
            message = f"{label} is installed, but does not work: {other['error']}"
            message += "; Keras loads it beside any backend" * used
            advice = f"{reinstall(name)}, or remove it: pip uninstall {name}"
            found.append(Finding(f"{name}_broken", message, advice, level="change" if used else "note"))
    values = {"chosen": chosen, "source": source, "works": chosen in working, "backends": probes}
    return Section("backend", lines, values, found)


def is_on_accelerator(probe: Mapping[str, Any] | None) -> bool:
    """Whether a backend that was probed trains on a GPU or TPU."""
    return bool(probe and probe["devices"]) and probe["devices"][0]["kind"] != "cpu"


def gpu_section(name: str, probe: Mapping[str, Any] | None, said: Sequence[str]) -> Section:
    """NVIDIA GPUs beside the devices of the chosen backend `name`, and what that `said` about GPUs."""
    gpus, problem, used = machine.nvidia_gpus(), machine.nvidia_problem(), is_on_accelerator(probe)
    found = []
    if problem:
        message = f"there is an NVIDIA device, and no driver that works: {problem}"
        advice = "install the NVIDIA driver and reboot; in a container, start it with docker run --gpus all"
        found.append(Finding("gpu_driver", message, advice))
    for gpu in gpus[:1]:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip()
        if used and gpu.total and gpu.free is not None and gpu.free < (1 - GPU_TAKEN) * gpu.total:
            taken = _gib(gpu.total - gpu.free)
            message = f"other processes hold {taken} of the {_gib(gpu.total)} of {gpu.name}"
            advice = "end them (nvidia-smi lists them), or lower the batch"
            found.append(Finding("gpu_taken", message, advice, level="note"))
        elif not used and probe and probe["loads"] and visible in HIDING:
            message = f"the NVIDIA GPU is hidden from {name}: CUDA_VISIBLE_DEVICES is {visible!r}"
            found.append(Finding("gpu_hidden", message, "unset CUDA_VISIBLE_DEVICES", said[-1:]))
        elif not used and probe and probe["loads"]:
            message = f"there is an NVIDIA GPU ({gpu.name}), and {name} does not see it"
            found.append(Finding("gpu_unused", message, install_for_gpu(name, gpu), said[-1:]))
    lines = [
        f"{gpu.name}, {_gib(gpu.total)}, {_gib(gpu.free)} free, compute capability "
        f"{gpu.capability or 'unknown'}, driver {gpu.driver}"
        for gpu in gpus
    ] or ["an NVIDIA device without a driver that answers" if problem else "no NVIDIA GPU"]
    if probe and probe["devices"]:
        lines.append(f"{name} trains on {probe['devices'][0]['name']}")
    values = {"hardware": bool(gpus or problem), "fault": problem, "gpus": [asdict(gpu) for gpu in gpus]}
    return Section("GPU", lines, values | {"used": used}, found)


def install_for_gpu(name: str, gpu: NvidiaGpu) -> str:
    """The command that installs a backend for a GPU and its driver.

    Example:

    >>> install_for_gpu("jax", NvidiaGpu("GTX 1080", None, None, 6.1, "580.65.06"))
    "pip install 'jax[cuda12]'"
    """
    major = gpu.driver.split(".")[0]
    old_driver = major.isdigit() and int(major) < CUDA13_DRIVER
    old_gpu = gpu.capability is not None and gpu.capability < CUDA13_CAPABILITY
    return BACKENDS[name].install_cuda12 if old_driver or old_gpu else BACKENDS[name].install_gpu


def precision_section(rates: Mapping[str, float], device: Mapping[str, Any], asked: str | None) -> Section:
    """Which `training.precision` suits the device; `asked` is the recipe's.

    `rates` are operations per second of a small training step, by precision. On a CPU always float32: there a
    convolution does not tell how a whole step fares. With AVX512_BF16 one gained 2.2 times on PyTorch and a
    step of ResNet-50 5 %; on JAX 1.1 times, and the step 24 %.
    """
    on_gpu, gain = device["kind"] != "cpu", rates["mixed_bfloat16"] / rates["float32"]
    recommended = "mixed_bfloat16" if on_gpu and gain >= BFLOAT16_GAIN else "float32"
    found = []
    # Somebody may have chosen bfloat16 on a CPU that computes it fast.
    if asked not in (None, recommended) and not (recommended == "float32" and gain >= BFLOAT16_GAIN):
        message = f'training.precision is "{asked}"; bfloat16 is {gain:.1f} times as fast as float32 here'
        found.append(Finding("precision", message, f"--set training.precision={recommended}"))
    shown = ", ".join(f"{name} {rate / 1e9:.3g}" for name, rate in rates.items())
    reason = f"bfloat16 is {gain:.1f} times as fast"
    reason += "" if on_gpu else "; on a CPU that tells little of a whole step: time both before choosing it"
    lines = [
        f"training step of 3x3 convolutions, GFLOP/s: {shown} on {device['name']}",
        f'training.precision = "{recommended}": {reason}',
    ]
    values = {"convolution_flops": rates, "bfloat16_gain": gain, "recommended": recommended}
    return Section("precision", lines, values, found)


def machine_section(load: float, backend: str, on_gpu: bool) -> Section:
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
        found.append(Finding("few_threads", message, f"unset {variable}"))
    if count > usable:  # backends see the affinity, and not the quota of a container
        advice = f"export {variable}={usable}" if variable else f"taskset -c 0-{usable - 1} usrn fit ..."
        message = f"{count} threads would share {usable} cores, and wait for each other"
        found.append(Finding("many_threads", message, advice))
    if free < LITTLE_MEMORY:
        advice = "end other programs, raise the container's limit, or lower views.crop_size and the batches"
        found.append(Finding("little_memory", f"only {_gib(free)} of memory are free", advice))
    lines = [
        f"{usable} of {os.cpu_count()} cores usable; load {load:.1f} in the last minute"
        + "".join(f"; {name}={text}" for name, text in threads.items()),
        f"memory: {_gib(free)} free of {_gib(total)}",
    ]
    values = {"name": machine.processor_name(), "present": os.cpu_count(), "usable": usable, "load": load}
    values |= {"threads": threads, "memory": total, "free_memory": free}
    return Section("cores and memory", lines, values, found)


def pipeline_section(
    source: str, loader: Mapping[str, Any], step: Mapping[str, float] | None, failures: Sequence[Finding] = ()
) -> Section:
    """How many images of `source` per second are read and cut, beside what a training step takes.

    Args:
        source: Which images were read.
        loader: `images_per_second` with `workers` threads, and `batch`: labelled and unlabelled images; empty
            if it failed.
        step: `images_per_second` and `seconds` of a training step of the Baseline; None: not measured.
        failures: Why something could not be measured.
    """
    if not loader:
        return Section("input pipeline", ["does not run"], None, failures)
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
            found.append(Finding("slow_pipeline", message, advice))
    return Section("input pipeline", lines, {"source": source, **loader, "training": step}, found)


def step_failure(reason: str) -> Finding:
    """A training step of the recipe that ended without a result, for this reason."""
    advice = "usrn fit RECIPE --dry-run shows the memory that it takes, and the batches that fit"
    killed = reason.startswith("killed by SIGKILL")  # by the system, where memory runs out
    error = OutOfMemoryError if killed else BackendError
    return Finding("step_failed", f"a training step fails: {reason}", advice, error=error)


def disk_section(folder: Path) -> Section:
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
        found = [Finding("runs_unwritable", message, advice, error=StorageError)]
        line = f"runs: {folder}: CANNOT BE WRITTEN: {reason}"
        values |= {"free": None, "rate": None, "error": reason}
        return Section("disk", [line], {"runs": values}, found)
    found = []
    if free < LITTLE_SPACE:
        message = f"only {free / GB:.1f} GB are free for runs in {folder}"
        found.append(Finding("little_space", message, f"free space there, or {other}"))
    if rate is not None and rate < SLOW_DISK:
        message = f"{folder} is written at {rate / 1e6:.1f} MB/s: checkpoints take long"
        found.append(Finding("slow_disk", message, other, level="note"))
    speed = "" if rate is None else f", written at {rate / 1e6:.0f} MB/s with fsync"
    values |= {"free": free, "rate": rate}
    return Section("disk", [f"runs: {folder}, {free / GB:.1f} GB free{speed}"], {"runs": values}, found)


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
) -> tuple[Recipe | None, Section]:
    """A recipe, None where it cannot be read, its data set, and the space that its features take."""
    from usrn_keras.data import image_size, load_dataset
    from usrn_keras.data.catalog import layout_help
    from usrn_keras.data.dataset import PARTS, Faults
    from usrn_keras.recipe import load_recipe
    from usrn_keras.subclasses.feature_grid import feature_size
    from usrn_keras.subclasses.feature_store import check_space

    faults, found, lines, values = Faults(), [], [], {"source": source, "readable": False, "images": None}
    try:
        recipe = load_recipe(source, list(overrides))
    except RecipeError as error:
        found.append(Finding.of("recipe", error))
        return None, Section("recipe", [f"{source} cannot be read"], values, found)
    values["readable"] = True
    try:
        dataset = load_dataset(recipe.data, faults=faults)
        values["images"] = {part: len(getattr(dataset, part)) for part in PARTS}
        lines.append(f"{source}: {', '.join(f'{n} {part}' for part, n in values['images'].items())} images")
        samples = dataset.labelled[:: -(-len(dataset.labelled) // SIZES_READ) or 1]
        sizes = [feature_size(image_size(sample.image)) for sample in samples]
    except USRNError as error:
        found.append(Finding.of("data", error))
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
            found.append(Finding("features_space", error.message, advice))
    if faults.lines:
        advice = f"usrn data check {source}   (after that, it reads every file)\n{layout_help(recipe.data)}"
        message = "the data set cannot be used"
        found.append(Finding("data", message, advice, faults.lines, error=DataError))
    return recipe, Section("recipe", lines or [f"{source}: its data set cannot be listed"], values, found)


def _gib(size: int | None) -> str:
    return "memory unknown" if size is None else f"{size / GIB:.1f} GiB"
