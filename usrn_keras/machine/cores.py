"""How many cores this process may use, and how busy they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.machine.control_group import ControlGroup


@dataclass(frozen=True)
class Cores:
    """Cores.

    Args:
        present: Of the machine.
        allowed: That this process may run on (its affinity).
        quota: Cores' worth of time that a container grants, such as 1.5; None without a limit.
        load: Processes that wanted a core in the last minute, on average; None where it is not told.
        name: The processor's, or "".
        bfloat16: Whether it has instructions for products of bfloat16.
    """

    present: int
    allowed: int
    quota: float | None = None
    load: float | None = None
    name: str = ""
    bfloat16: bool = False

    @property
    def usable(self) -> int:
        """Threads that find a core, at least 1."""
        return max(1, int(min(self.allowed, self.quota or self.allowed)))


def look_at_cores(group: ControlGroup | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> Cores:
    """The cores as they are.

    Args:
        group: Limits; None: those of this process.
        cpuinfo: What the system tells of the processor.

    Example:

    >>> look_at_cores().usable >= 1
    True
    """
    present = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    name, flags = _processor(cpuinfo)
    bfloat16 = bool({"avx512_bf16", "amx_bf16", "bf16"} & flags)
    return Cores(present, allowed, (group or ControlGroup()).cores(), load, name, bfloat16)


def _processor(cpuinfo: Path) -> tuple[str, set[str]]:
    """Name and flags of the first core."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return "", set()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return facts.get("model name", ""), set((facts.get("flags") or facts.get("Features", "")).split())
