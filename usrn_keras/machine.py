"""What this machine and its containers grant: cores, memory, NVIDIA GPUs. Loads no backend."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC, CGROUP, PCI_DEVICES = Path("/proc"), Path("/sys/fs/cgroup"), Path("/sys/bus/pci/devices")
DEVICE_FILES = tuple(map(Path, ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")))
FIELDS = ("name", "memory.total", "memory.free", "compute_cap", "driver_version")
SECONDS = 10  # a driver that hangs must not hang us


def usable_cores() -> int:
    """Cores that this process may use, within its affinity and the quota of its container; at least 1."""
    import joblib  # takes 0.2 s to import

    return joblib.cpu_count()


def processor_name() -> str:
    """Name of the processor, or "" where the system does not report it."""
    lines = _text(PROC / "cpuinfo").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def processor_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; True where the system does not report them."""
    text = _text(PROC / "cpuinfo")
    return not text or "bf16" in text


def matrix_product_rate(size: int = 768, seconds: float = 0.15) -> float:
    """Floating-point operations per second of a float32 matrix product: the best of several."""
    import numpy as np  # `usrn doctor` also runs where it is broken

    a = np.ones((size, size), np.float32)
    best, spent = 0.0, 0.0
    a @ a
    while spent < seconds:
        started = time.perf_counter()
        a @ a
        took = time.perf_counter() - started
        best, spent = max(best, 2 * size**3 / took), spent + took
    return best


def total_memory() -> int:
    """Bytes of memory of the machine, or of the container where that has less."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _cgroup_memory())])


def available_memory() -> int:
    """Bytes that this process can still take without swapping, within its container and `ulimit -v`."""
    left = [limit - used for limit, used in _cgroup_memory()]
    process = psutil.Process()
    if hasattr(psutil, "RLIMIT_AS"):  # Linux and FreeBSD
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        left += [limit - process.memory_info().vms] * (limit != psutil.RLIM_INFINITY)
    return max(0, min([psutil.virtual_memory().available, *left]))


def process_memory() -> int:
    """Bytes of memory that this process holds now."""
    return psutil.Process().memory_info().rss


def peak_memory() -> int:
    """Bytes that this process has held at most since it started, or since `forget_peak_memory`."""
    # Of this process alone: `ru_maxrss` begins with what the process was that started this one.
    for line in _text(PROC / "self/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    # Kilobytes everywhere but on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak_memory() -> bool:
    """Set the peak to what is held now; False where the system (not Linux, a sandbox) cannot."""
    try:
        (PROC / "self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _cgroup_memory() -> Iterator[tuple[int, int]]:
    """Limit and use in bytes of every control group (version 1 or 2) that limits this process.

    Cached file contents that the kernel can drop do not count as used. A group above may be the one with the
    limit, as in the jobs of a scheduler; in a container some of the folders do not exist.
    """
    for line in _text(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base = CGROUP / "memory" if controllers else CGROUP
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        group = base / path.lstrip("/")
        for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(base))):
            limit, used = (_text(folder / f"memory.{name}").strip() for name in names)
            if limit.isdigit() and used.isdigit() and int(limit) < 2**60:  # about 2**63: no limit
                kinds = dict(row.split() for row in _text(folder / "memory.stat").splitlines())
                droppable = kinds.get("total_inactive_file" if controllers else "inactive_file", 0)
                yield int(limit), int(used) - int(droppable)


@dataclass(frozen=True)
class NvidiaGpu:
    """A GPU that the NVIDIA driver reports.

    Args:
        name: Name of the model, such as `NVIDIA H200`.
        total, free: Bytes of its memory; None where the driver does not report them.
        capability: Compute capability, such as 9.0; None where the driver does not report it.
        driver: Version of the driver, such as `580.65.06`.
    """

    name: str
    total: int | None
    free: int | None
    capability: float | None
    driver: str


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver has made a device file; quick, and asks no driver."""
    return any(path.exists() for path in DEVICE_FILES)


def nvidia_gpus(device: str = "") -> list[NvidiaGpu]:
    """GPUs that the NVIDIA driver reports; none where `nvidia_problem` has something to say.

    Args:
        device: Index or UUID of the GPU to report; empty: all.
    """
    return _nvidia_smi(device)[0]


def visible_gpus() -> list[NvidiaGpu]:
    """NVIDIA GPUs that `CUDA_VISIBLE_DEVICES` leaves to this process, in its order; all if it is not set."""
    return list(gpus_by_identifier().values())


def gpus_by_identifier() -> dict[str, NvidiaGpu]:
    """`visible_gpus` by what `CUDA_VISIBLE_DEVICES` calls them: index or UUID."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return {str(index): gpu for index, gpu in enumerate(nvidia_gpus())}
    found: dict[str, NvidiaGpu] = {}
    for device in map(str.strip, visible.split(",")):
        gpus = nvidia_gpus(device) if device and not device.startswith("-") else []
        if not gpus:  # CUDA ignores what follows an invalid one
            break
        found[device] = gpus[0]
    return found


def nvidia_problem() -> str:
    """Why the driver reports no GPU although the machine has one; "" if it reports one or there is none."""
    gpus, problem = _nvidia_smi("")
    return problem if not gpus and (has_nvidia_gpu() or _is_on_pci_bus()) else ""


def _nvidia_smi(device: str) -> tuple[list[NvidiaGpu], str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [], "there is no nvidia-smi: the driver is not installed"
    query = [tool, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    query += [f"--id={device}"] * bool(device)
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"nvidia-smi: {error}"
    rows = [[cell.strip() for cell in row] for row in csv.reader(done.stdout.splitlines())]
    gpus = [_gpu(*row) for row in rows if len(row) == len(FIELDS)]
    if done.returncode == 0 and gpus:
        return gpus, ""
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return [], f"nvidia-smi: {last[0] if last else f'exit code {done.returncode}'}"


def _gpu(name: str, total: str, free: str, capability: str, driver: str) -> NvidiaGpu:
    """A row of nvidia-smi; figures that an old driver does not know are `[N/A]`."""
    sizes = [int(size) * 2**20 if size.isdigit() else None for size in (total, free)]
    known = capability.replace(".", "", 1).isdigit()
    return NvidiaGpu(name, *sizes, float(capability) if known else None, driver)


def _is_on_pci_bus() -> bool:
    return any(
        _text(device / "vendor").strip() == "0x10de" and _text(device / "class").startswith("0x03")
        for device in PCI_DEVICES.glob("*")
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
