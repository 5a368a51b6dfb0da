"""The checks of `usrn doctor`: each returns facts for the report, and findings.

What may fail, hang or crash runs in worker processes (see `probes`); this process loads no backend.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from usrn_keras import machine
from usrn_keras._version import __version__
from usrn_keras.backend_choice import BACKENDS, is_installed, reinstall
from usrn_keras.doctor.doctor_report import DoctorFinding
from usrn_keras.doctor.probes import CPU
from usrn_keras.errors import BackendError, DataError, OutOfMemoryError, StorageError, USRNError
from usrn_keras.machine import NvidiaGpu
from usrn_keras.progress import Progress
from usrn_keras.worker import Worker, WorkerError

SECONDS = 180.0  # time limit of a worker
TIMED_SECONDS = 1.5  # minimum time of each speed measurement
DISTRIBUTION = "usrn-keras"
MODULES = {  # modules that training imports, and the packages that provide them
    "numpy": "numpy", "pydantic": "pydantic", "cv2": "opencv-python-headless", "PIL": "pillow",
    "h5py": "h5py", "sklearn": "scikit-learn", "numba": "numba",
}  # fmt: skip
EXTRA = {"extra": "torch"}  # the one whose bounds are compared, beside those of a plain installation
OPTIONAL = ("keras-cv", *BACKENDS)  # only some backends and recipes need these
GPU_WORDS = ("CUDA", "GPU", "NVIDIA")
HIDING = ("", "-1", "none", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every GPU
CUDA12_DRIVER, CUDA13_DRIVER, CUDA13_CAPABILITY = 525, 580, 7.5  # the oldest drivers and GPUs of CUDA
BFLOAT16_CAPABILITY = 8.0
THREADS = {"torch": "OMP_NUM_THREADS", "tensorflow": "TF_NUM_INTRAOP_THREADS"}  # JAX reads neither
GIB = 2**30
LITTLE_MEMORY = 3 * GIB  # minimum for Keras, a backend and a small step
LITTLE_SPACE = 2 * GIB  # a run with a ResNet-50 needs about 1 GiB
SPARE = 1.3  # minimum ratio of loading to training speed, below which the device sometimes waits
MAX_WORKERS = 8  # more reading threads rarely help

VARIABLES = {  # TensorFlow logs why it finds no GPU; no backend may reserve all GPU memory
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
Checked = tuple[dict[str, Any], list[DoctorFinding]]


def load_backends(progress: Progress) -> dict[str, dict]:
    """Load all installed backends in parallel, each in a worker.

    Returns:
        `version`, `error` (of loading or computing), `devices`, the training device first, and `said` (its
        last message about GPUs) of each backend, by name.
    """
    backends, names = {}, [name for name in BACKENDS if is_installed(name)]
    with contextlib.ExitStack() as stack, progress.task("loading backends", total=len(names)) as task:
        workers = [stack.enter_context(_worker("load_backend", {"name": name}, name)) for name in names]
        for name, worker in zip(names, workers, strict=True):
            found, error = {"devices": [], "warnings": []}, ""
            try:
                found = worker.result(SECONDS)
            except WorkerError as failure:
                error = failure.reason
            except TimeoutError:
                error = f"it did not finish within {SECONDS:.0f} seconds"
            lines = [*worker.stderr_lines(), *found.pop("warnings")]
            said = [line for line in lines if any(word in line.upper() for word in GPU_WORDS)][-1:]
            backends[name] = {
                "version": version(name) or "(unknown version)",
                "error": error,
                "said": said,
                **found,
            }
            task.advance()
    return backends


def _worker(function: str, order: Mapping[str, Any], backend: str, **options: Any) -> Worker:
    variables = VARIABLES | {"KERAS_BACKEND": backend}
    return Worker(f"usrn_keras.doctor.probes:{function}", order, variables, **options)


def check_versions() -> Checked:
    """Import packages, and compare versions with the bounds of the installed distribution."""
    wanted = []
    with contextlib.suppress(metadata.PackageNotFoundError):  # a checkout that is not installed
        wanted = map(Requirement, metadata.requires(DISTRIBUTION) or ())
    bounds = {one.name: one.specifier for one in wanted if not one.marker or one.marker.evaluate(EXTRA)}
    versions = {name: version(name) for name in ("keras", *MODULES.values(), *bounds)}
    missing = [name for name in bounds if versions[name] is None and name not in OPTIONAL]
    present = [name for name in bounds if versions[name]]
    wrong = [name for name in present if not bounds[name].contains(versions[name], prereleases=True)]

    def install(names: Sequence[str]) -> str:
        return "pip install " + " ".join(f"'{name}{bounds[name]}'" for name in names)

    found = []
    for module, package in MODULES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package raises anything
            if versions[package]:  # missing packages are reported below
                message = f"{package} {versions[package]} cannot be loaded: {type(error).__name__}: {error}"
                advice = f"pip install --force-reinstall {package}"
                found.append(DoctorFinding("package_broken", message, advice, error=BackendError))
    if missing:
        message = f"packages that training needs are not installed: {', '.join(missing)}"
        found.append(DoctorFinding("packages_missing", message, install(missing), error=BackendError))
    if wrong:
        lines = [f"{name} {versions[name]}, needs {bounds[name]}" for name in wrong]
        message = "package versions that usrn-keras is not tested with"
        found.append(DoctorFinding("packages_untested", message, install(wrong), lines))
    system = f"{platform.system()} {platform.machine()}"
    facts = {"usrn-keras": __version__, "Python": platform.python_version(), "system": system}
    return facts | {"packages": versions}, found


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_backend(chosen: str, source: str, backends: Mapping[str, Mapping[str, Any]]) -> Checked:
    """Check that the chosen backend works, and which others do.

    Args:
        chosen: Name of the chosen backend.
        source: Source of that choice, such as `KERAS_BACKEND`.
        backends: Facts about the installed backends, see `load_backends`.
    """
    other = next((name for name, its in backends.items() if name != chosen and not its["error"]), None)
    or_other = f"\nor use another backend: export KERAS_BACKEND={other}" if other else ""
    facts, found = {"chosen": chosen, "chosen_by": source}, []
    for name in dict.fromkeys([chosen, *BACKENDS]):
        its = backends.get(name)
        if name not in BACKENDS:
            message = f"unknown Keras backend {name!r} (from {source}); allowed: {', '.join(BACKENDS)}"
            advice = f"export KERAS_BACKEND={other or 'jax'}"
        elif its is None:
            facts[name] = "not installed"
            message = f"the Keras backend {name!r} (from {source}) is not installed"
            advice = BACKENDS[name].install + or_other
        elif its["error"]:
            facts[name] = f"{its['version']}, DOES NOT WORK"
            message = f"the Keras backend {name!r} is installed, but does not work: {its['error']}"
            advice = reinstall(name) + or_other
        else:
            facts[name] = f"{its['version']}, works on {', '.join(its['devices'])}"
            continue
        if name == chosen:
            found.append(DoctorFinding("backend", message, advice, error=BackendError))
        elif its:
            used = name == "tensorflow"
            message += "; Keras imports it with every backend" * used
            advice = f"{reinstall(name)}\nor remove it: pip uninstall {name}"
            found.append(DoctorFinding(f"{name}_broken", message, advice, note=not used))
    return facts, found


def check_gpu(
    name: str,
    backends: Mapping[str, Mapping[str, Any]],
    gpus: Sequence[NvidiaGpu],
    visible: Sequence[NvidiaGpu] | None = None,
) -> Checked:
    """Compare the GPUs that the NVIDIA driver reports with the devices of the backend `name`.

    Args:
        name: Name of the backend.
        backends: Facts about the installed backends, see `load_backends`.
        gpus: GPUs of the machine.
        visible: GPUs that `CUDA_VISIBLE_DEVICES` leaves to this process; None for all.
    """
    visible = gpus if visible is None else visible
    devices, found = backends.get(name, {}).get("devices", []), []
    if problem := "" if gpus else machine.nvidia_problem():
        message = f"an NVIDIA device is present, but its driver does not work: {problem}"
        advice = "install the NVIDIA driver and reboot; in a container, start it with docker run --gpus all"
        found.append(DoctorFinding("gpu_driver", message, advice))
    if gpus and devices[:1] == [CPU]:
        value, said = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip(), backends[name]["said"]
        if value in HIDING:
            message = f"the NVIDIA GPU is hidden from {name}: CUDA_VISIBLE_DEVICES is {value!r}"
            found.append(DoctorFinding("gpu_hidden", message, "unset CUDA_VISIBLE_DEVICES", said))
        else:
            used = (*visible, *gpus)[0]
            message = f"an NVIDIA GPU is present ({used.name}), but {name} does not find it"
            found.append(DoctorFinding("gpu_unused", message, install_for_gpu(name, used), said))
    hidden = f"; CUDA_VISIBLE_DEVICES hides {len(gpus) - len(visible)} of {len(gpus)}"
    shown = [f"{gpu.name}, {_gib(gpu.total)} GiB, driver {gpu.driver}" for gpu in visible or gpus]
    if shown and len(visible) < len(gpus):
        shown[-1] += hidden
    nvidia = ["driver does not work"] if problem else shown
    return {"nvidia": nvidia, "trains_on": devices[0] if devices else "no device"}, found


def install_for_gpu(name: str, gpu: NvidiaGpu) -> str:
    """Return the command that installs the backend `name` for a GPU and its driver."""
    major = gpu.driver.split(".")[0]
    driver = int(major) if major.isdigit() else CUDA13_DRIVER
    if driver < CUDA12_DRIVER:
        return f"the driver {gpu.driver} is too old: update it to {CUDA12_DRIVER} or newer, and try again"
    old = driver < CUDA13_DRIVER or (gpu.capability or CUDA13_CAPABILITY) < CUDA13_CAPABILITY
    return BACKENDS[name].install_cuda12 if old else BACKENDS[name].install_gpu


def has_bfloat16(devices: Sequence[str], gpus: Sequence[NvidiaGpu]) -> bool:
    """Whether the training device computes bfloat16 in hardware, as far as the system reports it."""
    if devices[:1] == [CPU]:
        return machine.processor_has_bfloat16()
    return all(gpu.capability is None or gpu.capability >= BFLOAT16_CAPABILITY for gpu in gpus)


def check_machine(backend: str, *, on_cpu: bool) -> Checked:
    """Check cores, threads and memory for training on a backend."""
    usable, free = machine.usable_cores(), machine.available_memory()
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else usable
    variable = THREADS.get(backend, "")
    value = os.environ.get(variable, "")
    count = int(value) if on_cpu and value.isdigit() and int(value) else allowed
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
        found.append(DoctorFinding("little_memory", f"only {_gib(free)} GiB of memory is free", advice))
    facts = {"processor": machine.processor_name(), "usable_cores": usable}
    facts["threads"] = {name: os.environ[name] for name in THREADS.values() if name in os.environ}
    return facts | {"memory_GiB": _gib(machine.total_memory()), "free_memory_GiB": _gib(free)}, found


def check_disk(folder: Path) -> Checked:
    """Check that the run folder, or its nearest existing parent, has space and can be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    other = "choose a folder on another disk: usrn fit RECIPE --run FOLDER"
    try:
        free = shutil.disk_usage(existing).free
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        message = f"the run folder {folder} cannot be written: {error.strerror or error}"
        finding = DoctorFinding("runs_unwritable", message, other, error=StorageError)
        return {"run_folder": str(folder), "free_GiB": None}, [finding]
    found = []
    if free < LITTLE_SPACE:
        message = f"only {_gib(free)} GiB of disk space is free for runs in {folder}"
        found.append(DoctorFinding("little_space", message, f"free disk space, or {other}"))
    return {"run_folder": str(folder), "free_GiB": _gib(free)}, found


def check_recipe(order: Mapping[str, Any], backend: str, *, bfloat16: bool) -> Checked:
    """Read a recipe, list its data set, and time its input pipeline and a training step, in a worker.

    Args:
        order: See `probes.try_recipe`.
        backend: Name of the chosen backend.
        bfloat16: Whether the training device computes bfloat16 in hardware.
    """
    facts, found, order = {"recipe": order["recipe"]}, [], {"seconds": TIMED_SECONDS, **order}
    with _worker("try_recipe", order, backend, on_message=facts.update) as worker:
        try:
            facts |= worker.result(SECONDS)
        except TimeoutError:
            message = f"a training step took more than {SECONDS:.0f} seconds and was not timed"
            found.append(DoctorFinding("step_not_timed", message, note=True))
        except WorkerError as error:
            message = f"a trial of {order['recipe']} fails: {error.reason}"
            killed = error.code == -signal.SIGKILL  # by the system, usually out of memory
            kind = OutOfMemoryError if killed else BackendError
            advice = "`usrn fit RECIPE --dry-run` shows the memory it needs, and batches that fit"
            found.append(DoctorFinding("step_failed", message, advice, error=kind))
        except USRNError as error:
            advice = f"usrn data check {order['recipe']}  (reads every file)\n" * isinstance(error, DataError)
            advice += error.hint
            found.append(DoctorFinding("recipe", error.message, advice, error.errors, type(error)))
    if space := facts.pop("features_space", None):
        found.append(DoctorFinding("features_space", *space))
    if facts.get("precision") == "mixed_bfloat16" and not bfloat16:
        message = "training.precision is mixed_bfloat16, which this device does not compute in hardware"
        found.append(DoctorFinding("precision", message, "--set training.precision=float32"))
    rate, needed = facts.get("loader_images_per_second"), facts.get("step_images_per_second")
    if needed and rate < SPARE * needed:
        message = f"training waits for images: {rate:.0f} images/s are read, and {needed:.0f} are needed"
        most = min(MAX_WORKERS, machine.usable_cores())
        smaller = "store the images as JPEG, no larger than views.long_side x views.scale_labelled[1]"
        advice = f"--set data.workers={most}" if facts["loader_workers"] < most else smaller
        found.append(DoctorFinding("slow_pipeline", message, advice))
    return facts, found


def _gib(size: int | None) -> float | None:
    return None if size is None else round(size / GIB, 1)
