"""Where and when something was measured, for a row of results."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path


def facts(commit: str | None = None) -> dict[str, object]:
    """Columns `hardware`, `load`, `threads`, `commit` and `date`. `commit` is asked of git unless given."""
    return {
        "hardware": ", ".join([cpu_name(), *gpu_names()]),
        "load": round(os.getloadavg()[0], 1),  # of the last minute, this benchmark included
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "commit": commit or commit_of_checkout(),
        "date": time.strftime("%Y-%m-%d"),
    }


def cpu_name() -> str:
    """Such as `2 x AMD EPYC`: the cores that this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} x {names[0] if names else platform.machine()}"


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs, none if there is no driver."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()


def commit_of_checkout() -> str:
    """Short hash, with `-dirty` if tracked files have changed.

    Raises:
        RuntimeError: This is not a checkout of git.
    """
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent)
    if found.returncode:
        raise RuntimeError(f"git does not say the commit ({found.stderr.strip()}); name it with --commit")
    return found.stdout.strip()
