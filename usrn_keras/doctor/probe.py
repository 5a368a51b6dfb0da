"""Loading each backend in a process of its own, so that a broken one breaks nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from usrn_keras.backend_choice import BACKENDS, is_installed
from usrn_keras.doctor.process import SECONDS, Child, Ended, start
from usrn_keras.progress import SILENT, Progress

CHILD = Path(__file__).with_name("child.py")
ABOUT_GPUS = ("CUDA", "GPU", "NVIDIA", "CUDNN")


@dataclass(frozen=True)
class Device:
    """A device that a backend sees.

    Args:
        kind: `cpu`, `gpu` or `tpu`.
        name: Such as `NVIDIA H200`.
        memory: Bytes that the backend may use of it, where it tells.
        capability: Compute capability of an NVIDIA GPU, such as 9.0.
    """

    kind: str
    name: str
    memory: int | None = None
    capability: str | None = None


@dataclass(frozen=True)
class Probe:
    """What became of loading a backend.

    Args:
        name: The backend.
        installed: Whether it can be found.
        version: As installed, or None.
        error: Why it cannot be loaded, or look at its devices, or compute, in one line; "" where it can.
        loads: Whether it can be loaded.
        seconds: Of a core that it took to load.
        devices: The first is the one that trains.
        flops: Operations per second of a convolution, forward and backward, by type of number; empty
            unless asked for.
        tf32: Whether float32 products may take TF32 on GPUs that have it.
        said: What it said about GPUs while it was loaded.
    """

    name: str
    installed: bool
    version: str | None = None
    error: str = ""
    loads: bool = False
    seconds: float = 0.0
    devices: tuple[Device, ...] = ()
    flops: Mapping[str, float] = field(default_factory=dict)
    tf32: bool = False
    said: tuple[str, ...] = ()

    @property
    def accelerators(self) -> tuple[Device, ...]:
        """Devices other than CPUs."""
        return tuple(device for device in self.devices if device.kind != "cpu")


def probe_backends(chosen: str, *, progress: Progress = SILENT, seconds: float = SECONDS) -> dict[str, Probe]:
    """Load all installed backends at once, and time the chosen one when the others are done.

    Args:
        chosen: The one that training would use, which gets Keras and a convolution.
        progress: Counts backends.
        seconds: Most that one may take.
    """
    installed = [name for name in BACKENDS if is_installed(name)]
    probes = {name: Probe(name, installed=False) for name in BACKENDS}
    with contextlib.ExitStack() as stack:
        children = {name: stack.enter_context(_start(name, name == chosen)) for name in installed}
        with progress.task("loading backends", total=len(installed)) as task:
            # The chosen one last: what it computes is timed while nothing else runs.
            for name in sorted(installed, key=lambda name: name == chosen):
                probes[name] = _probe(name, children[name].finish(seconds))
                task.advance()
    return probes


def _start(name: str, chosen: bool) -> contextlib.AbstractContextManager[Child]:
    return start(CHILD, name, "with_keras" if chosen else "alone", environment={"KERAS_BACKEND": name})


def _probe(name: str, ended: Ended) -> Probe:
    told, version = ended.report, _version(name)
    if told is None:
        return Probe(name, True, version, error=ended.failure)
    errors = [told[key] for key in ("devices_error", "flops_error") if key in told]
    about_gpus = [line for line in ended.lines if any(word in line.upper() for word in ABOUT_GPUS)]
    return Probe(
        name=name,
        installed=True,
        version=version,
        error="; ".join(errors),
        loads=True,
        seconds=told["seconds"],
        devices=tuple(Device(**device) for device in told.get("devices", ())),
        flops=told.get("flops", {}),
        tf32=told["tf32"],
        said=tuple(told["warnings"] or about_gpus),  # a log has the warnings, too
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
