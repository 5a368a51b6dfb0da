"""Where, when and at which commit something is measured: columns of a row of results."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Literal

from usrn_keras.machine import nvidia_gpus, processor_name, usable_cores


def facts(commit: str | None = None) -> dict[str, object]:
    """Columns `hardware`, `load`, `threads`, `commit` and `date`; `commit` is that of git by default."""
    processor = f"{usable_cores()} x {processor_name() or platform.machine()}"
    return {
        "hardware": ", ".join([processor, *(gpu.name for gpu in nvidia_gpus())]),
        "load": round(os.getloadavg()[0], 1),  # of the last minute, this benchmark included
        "threads": os.environ.get("OMP_NUM_THREADS", ""),  # as set; empty: the libraries decide
        "commit": commit or commit_of_checkout(),
        "date": time.strftime("%Y-%m-%d"),
    }


def default_device() -> Literal["cpu", "gpu"]:
    """`gpu` if the driver shows one."""
    return "gpu" if nvidia_gpus() else "cpu"


def commit_of_checkout() -> str:
    """Short hash, with `-dirty` if tracked files have changed.

    Raises:
        RuntimeError: This is not a checkout of git.
    """
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent)
    if found.returncode:
        raise RuntimeError(f"git reports no commit ({found.stderr.strip()}); name it with --commit")
    return found.stdout.strip()
