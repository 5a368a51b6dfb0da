"""Sections about the installation: package versions, backends, GPUs, precision."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

from usrn_keras import machine
from usrn_keras._version import __version__
from usrn_keras.backend_choice import BACKENDS, reinstall
from usrn_keras.doctor.doctor_report import DoctorFinding, DoctorSection, in_gib
from usrn_keras.errors import BackendError
from usrn_keras.machine import NvidiaGpu

DISTRIBUTION = "usrn-keras"
MODULES = {  # modules that training imports, and the packages that provide them
    "numpy": "numpy", "pydantic": "pydantic", "cv2": "opencv-python-headless", "PIL": "pillow",
    "h5py": "h5py", "sklearn": "scikit-learn", "numba": "numba",
}  # fmt: skip
SHOWN = ("keras", "numpy", "opencv-python-headless", "scikit-learn", "keras-cv")
OPTIONAL = ("keras-cv", *BACKENDS)  # only some backends and recipes need these
HIDING = ("", "-1", "none", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide every GPU
CUDA13_DRIVER, CUDA13_CAPABILITY = 580, 7.5  # the oldest driver and GPUs that CUDA 13 supports
GPU_TAKEN = 0.3  # share of GPU memory that other processes may use without a note
BFLOAT16_GAIN = 1.2  # minimum speed-up over float32 that justifies lower precision


def versions_section(broken: Mapping[str, str]) -> DoctorSection:
    """Check package versions.

    Args:
        broken: Reasons why modules of `MODULES` cannot be imported, by module.
    """
    bounds = {}
    for requirement in map(Requirement, _requirements()):  # of a plain installation, and of torch
        extra = {"extra": "torch" if requirement.name == "torch" else ""}
        if requirement.marker is None or requirement.marker.evaluate(extra):
            bounds[requirement.name] = requirement.specifier
    versions = {name: version(name) for name in (*SHOWN, *MODULES.values(), *BACKENDS, *bounds)}

    def install(names: Sequence[str]) -> str:
        return "pip install " + " ".join(f"'{name}{bounds[name]}'" for name in names)

    found = []
    for module, reason in broken.items():
        if installed := versions[MODULES[module]]:  # missing packages are reported below
            message = f"{MODULES[module]} {installed} cannot be loaded: {reason}"
            advice = f"pip install --force-reinstall {MODULES[module]}"
            found.append(DoctorFinding(f"{module}_broken", message, advice, error=BackendError))
    if missing := [name for name in bounds if versions[name] is None and name not in OPTIONAL]:
        message = f"packages that training needs are not installed: {', '.join(missing)}"
        found.append(DoctorFinding("packages_missing", message, install(missing), error=BackendError))
    wrong = [n for n, b in bounds.items() if versions[n] and not b.contains(versions[n], prereleases=True)]
    if wrong:
        lines = [f"{name} {versions[name]}, needs {bounds[name]}" for name in wrong]
        message = "package versions that usrn-keras is not tested with"
        found.append(DoctorFinding("packages_untested", message, install(wrong), lines))
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    lines = [
        f"usrn-keras {__version__}, Python {python}, {system}",
        ", ".join(f"{name} {versions[name] or '(not installed)'}" for name in SHOWN),
    ]
    values = {"usrn_keras": __version__, "python": python, "system": system, "packages": versions}
    return DoctorSection("versions", lines, values | {"broken": broken}, found)


def _requirements() -> Sequence[str]:
    try:
        return metadata.requires(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return ()


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def backend_section(chosen: str, source: str, probes: Mapping[str, Mapping[str, Any]]) -> DoctorSection:
    """Check the backends.

    Args:
        chosen: Name of the chosen backend.
        source: Source of that choice, such as `KERAS_BACKEND`.
        probes: Facts about each backend: `installed`, `version`, `loads`, `error` (of loading or computing),
            CPU `seconds` of loading, and `devices` with `kind`, `name` and `memory`; the first device trains.
    """
    working = [name for name, probe in probes.items() if probe["loads"] and not probe["error"]]
    others = [name for name in working if name != chosen]
    for_now = f"\nor use another backend: export KERAS_BACKEND={others[0]}" if others else ""
    probe, found = probes.get(chosen), []
    if probe is None:
        message = f"unknown Keras backend {chosen!r} (from {source}); allowed: {', '.join(BACKENDS)}"
        advice = f"export KERAS_BACKEND={(others or ['jax'])[0]}"
        found.append(DoctorFinding("backend_unknown", message, advice, error=BackendError))
    elif not probe["installed"]:
        message = f"the Keras backend {chosen!r} (from {source}) is not installed"
        advice = BACKENDS[chosen].install + for_now
        found.append(DoctorFinding("backend_missing", message, advice, error=BackendError))
    elif probe["error"]:
        failure = "fails to compute" if probe["loads"] else "cannot be loaded"
        message = f"the Keras backend {chosen!r} is installed, but {failure}: {probe['error']}"
        found.append(
            DoctorFinding("backend_broken", message, reinstall(chosen) + for_now, error=BackendError)
        )
    lines = [f"{chosen} ({source}); KERAS_BACKEND=NAME usrn ... selects another"]
    for name, other in probes.items():
        label = f"{name} {other['version'] or '(unknown version)'}"
        if not other["installed"]:
            lines.append(f"{name}: not installed ({BACKENDS[name].install})")
        elif other["error"]:
            lines.append(f"{label}: BROKEN: {other['error']}")
        else:
            devices = ", ".join(
                device["name"] + (f" ({in_gib(device['memory'])})" if device["memory"] else "")
                for device in other["devices"]
            )
            lines.append(f"{label}: works, loads in {other['seconds']:.1f} CPU s, sees {devices}")
        if name != chosen and other["error"]:
            used = name == "tensorflow"
            message = f"{label} is installed, but does not work: {other['error']}"
            message += "; Keras imports it with every backend" * used
            advice = f"{reinstall(name)}, or remove it: pip uninstall {name}"
            found.append(DoctorFinding(f"{name}_broken", message, advice, level="change" if used else "note"))
    values = {"chosen": chosen, "source": source, "works": chosen in working, "backends": probes}
    return DoctorSection("backend", lines, values, found)


def is_on_accelerator(probe: Mapping[str, Any] | None) -> bool:
    """Whether a probed backend trains on a GPU or TPU."""
    return bool(probe and probe["devices"]) and probe["devices"][0]["kind"] != "cpu"


def gpu_section(name: str, probe: Mapping[str, Any] | None, said: Sequence[str]) -> DoctorSection:
    """Compare the NVIDIA GPUs with the devices of the chosen backend.

    Args:
        name: Name of the chosen backend.
        probe: Facts about the backend; None if it is unknown.
        said: Messages of the backend about GPUs.
    """
    gpus, problem, used = machine.nvidia_gpus(), machine.nvidia_problem(), is_on_accelerator(probe)
    found = []
    if problem:
        message = f"an NVIDIA device is present, but its driver does not work: {problem}"
        advice = "install the NVIDIA driver and reboot; in a container, start it with docker run --gpus all"
        found.append(DoctorFinding("gpu_driver", message, advice))
    for gpu in gpus[:1]:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip()
        if used and gpu.total and gpu.free is not None and gpu.free < (1 - GPU_TAKEN) * gpu.total:
            taken = in_gib(gpu.total - gpu.free)
            message = f"other processes use {taken} of the {in_gib(gpu.total)} of {gpu.name}"
            advice = "stop them (nvidia-smi lists them), or reduce the batch"
            found.append(DoctorFinding("gpu_taken", message, advice, level="note"))
        elif not used and probe and probe["loads"] and visible in HIDING:
            message = f"the NVIDIA GPU is hidden from {name}: CUDA_VISIBLE_DEVICES is {visible!r}"
            found.append(DoctorFinding("gpu_hidden", message, "unset CUDA_VISIBLE_DEVICES", said[-1:]))
        elif not used and probe and probe["loads"]:
            message = f"an NVIDIA GPU is present ({gpu.name}), but {name} does not find it"
            found.append(DoctorFinding("gpu_unused", message, install_for_gpu(name, gpu), said[-1:]))
    lines = [
        f"{gpu.name}, {in_gib(gpu.total)}, {in_gib(gpu.free)} free, compute capability "
        f"{gpu.capability or 'unknown'}, driver {gpu.driver}"
        for gpu in gpus
    ] or ["an NVIDIA device without a working driver" if problem else "no NVIDIA GPU"]
    if probe and probe["devices"]:
        lines.append(f"{name} trains on {probe['devices'][0]['name']}")
    values = {"hardware": bool(gpus or problem), "fault": problem, "gpus": [asdict(gpu) for gpu in gpus]}
    return DoctorSection("GPU", lines, values | {"used": used}, found)


def install_for_gpu(name: str, gpu: NvidiaGpu) -> str:
    """Return the command that installs a backend for a GPU and its driver.

    Example:

    >>> install_for_gpu("jax", NvidiaGpu("GTX 1080", None, None, 6.1, "580.65.06"))
    "pip install 'jax[cuda12]'"
    """
    major = gpu.driver.split(".")[0]
    old_driver = major.isdigit() and int(major) < CUDA13_DRIVER
    old_gpu = gpu.capability is not None and gpu.capability < CUDA13_CAPABILITY
    return BACKENDS[name].install_cuda12 if old_driver or old_gpu else BACKENDS[name].install_gpu


def precision_section(
    rates: Mapping[str, float], device: Mapping[str, Any], asked: str | None
) -> DoctorSection:
    """Recommend a `training.precision` for the device.

    On a CPU float32 is always recommended, because the speed of a convolution does not predict that of a
    whole step: with AVX512_BF16 a convolution was 2.2 times as fast on PyTorch, but a step of ResNet-50
    only 5 % faster; on JAX 1.1 times, and the step 24 %.

    Args:
        rates: Operations per second of a small training step, by precision.
        device: Training device with `kind` and `name`.
        asked: Precision of the recipe; None without a recipe.
    """
    on_gpu, gain = device["kind"] != "cpu", rates["mixed_bfloat16"] / rates["float32"]
    recommended = "mixed_bfloat16" if on_gpu and gain >= BFLOAT16_GAIN else "float32"
    found = []
    # Accept bfloat16 on a CPU that supports it in hardware.
    if asked not in (None, recommended) and not (recommended == "float32" and gain >= BFLOAT16_GAIN):
        message = f'training.precision is "{asked}"; bfloat16 is {gain:.1f} times as fast as float32 here'
        found.append(DoctorFinding("precision", message, f"--set training.precision={recommended}"))
    shown = ", ".join(f"{name} {rate / 1e9:.3g}" for name, rate in rates.items())
    reason = f"bfloat16 is {gain:.1f} times as fast"
    reason += "" if on_gpu else "; on a CPU this does not predict the speed of a whole step: time both"
    lines = [
        f"training step of 3x3 convolutions, GFLOP/s: {shown} on {device['name']}",
        f'training.precision = "{recommended}": {reason}',
    ]
    values = {"convolution_flops": rates, "bfloat16_gain": gain, "recommended": recommended}
    return DoctorSection("precision", lines, values, found)
