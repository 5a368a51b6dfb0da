"""Where and when something was measured, for a row of results."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Literal

from usrn_keras.machine.cores import look_at_cores
from usrn_keras.machine.nvidia import look_for_nvidia


def facts(commit: str | None = None) -> dict[str, object]:
    """Columns `hardware`, `load`, `threads`, `commit` and `date`. `commit` is asked of git unless given."""
    cores = look_at_cores()
    processor = f"{cores.usable} x {cores.name or platform.machine()}"
    return {
        "hardware": ", ".join([processor, *(gpu.name for gpu in look_for_nvidia().gpus)]),
        "load": round(os.getloadavg()[0], 1),  # of the last minute, this benchmark included
        "threads": os.environ.get("OMP_NUM_THREADS", ""),  # as asked for; empty: as the libraries like
        "commit": commit or commit_of_checkout(),
        "date": time.strftime("%Y-%m-%d"),
    }


def default_device() -> Literal["cpu", "gpu"]:
    """`gpu` if the driver shows one."""
    return "gpu" if look_for_nvidia().gpus else "cpu"


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
