"""Looks at everything: versions, backends, GPUs, precision, cores, images, disks, a recipe."""

from __future__ import annotations

import os
import time
from shlex import quote

from usrn_keras.backend_choice import chosen_backend
from usrn_keras.doctor.backend import BackendSection
from usrn_keras.doctor.findings import Section
from usrn_keras.doctor.gpu import GpuSection
from usrn_keras.doctor.installation import look_at_installation, try_packages
from usrn_keras.doctor.probe import probe_backends
from usrn_keras.doctor.report import Diagnosis
from usrn_keras.doctor.request import Request
from usrn_keras.machine.cores import look_at_cores
from usrn_keras.machine.nvidia import look_for_nvidia
from usrn_keras.progress import SILENT, Progress


def diagnose(request: Request | None = None, *, progress: Progress = SILENT) -> Diagnosis:
    """Look at this machine, and at a recipe.

    Every installed backend is loaded in a process of its own. This process loads none, but for a recipe
    whose strong views keras-cv makes.

    Args:
        request: None: the machine alone.
        progress: Told about what takes long.

    Example:

    >>> print("\\n".join(diagnose().lines()))   # doctest: +SKIP
    """
    request = request or Request()
    started = time.monotonic()
    cores = look_at_cores()  # first: its load is that of others
    chosen, source = chosen_backend()
    with try_packages() as packages:
        backend = BackendSection(chosen, source, probe_backends(chosen, progress=progress))
        installation = look_at_installation(packages.finish())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    sections: dict[str, Section] = {
        "versions": installation,
        "backend": backend,
        "gpu": GpuSection(look_for_nvidia(), backend.probe, visible),
    }
    if not installation.broken:
        from usrn_keras.doctor.measured import measured_sections

        sections |= measured_sections(request, backend, cores, progress)
    again = f"{_command('doctor', request)}  # again, when that is changed"
    return Diagnosis(sections, _following(request), again, time.monotonic() - started)


def _following(request: Request) -> list[str]:
    """Commands that tell or do more."""
    if request.recipe is None:
        return [
            "usrn doctor RECIPE   # the same for your own images and settings",
            "usrn fit quickstart  # train on drawn scenes, to see that all works",
        ]
    fit = _command("fit", request)
    return [
        f"{_command('data check', request)}  # every fault of the images and masks",
        f"{fit} --dry-run  # shapes, memory, and the batches that fit",
        fit,
    ]


def _command(verb: str, request: Request) -> str:
    """A verb with the recipe as it was given."""
    words = [request.recipe] if request.recipe else []
    words += [word for text in request.overrides for word in ("--set", text)]
    if request.run_dir and verb != "data check":
        words += ["--run", str(request.run_dir)]
    return " ".join(["usrn", verb, *map(quote, words)])
