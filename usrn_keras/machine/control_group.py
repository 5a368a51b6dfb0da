"""Limits that a container or a job scheduler sets: Linux control groups, version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_LIMIT = 2**60  # version 1 writes a number about as large as this where there is none


@dataclass(frozen=True)
class ControlGroup:
    """The groups that this process is in, each of which limits it.

    Args:
        root: Where the system mounts them.
        membership: The file that names the group of this process in each hierarchy.

    Example:

    >>> ControlGroup(membership=Path("/nowhere")).cores() is None   # no groups, no limit
    True
    """

    root: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def cores(self) -> float | None:
        """Cores' worth of time that the process may use, such as 1.5; None without a limit."""
        return min(filter(None, map(_quota, self._folders("cpu"))), default=None)

    def memory(self) -> int | None:
        """Bytes that the process may use together with the others of its groups; None without a limit."""
        return min((limit for limit, _ in self._memory()), default=None)

    def free_memory(self) -> int | None:
        """Bytes of them that are left; what is kept of files can be dropped, and counts as free."""
        return min((max(0, limit - used) for limit, used in self._memory()), default=None)

    def _memory(self) -> Iterator[tuple[int, int]]:
        return filter(None, map(_limit_and_use, self._folders("memory")))

    def _folders(self, controller: str) -> Iterator[Path]:
        """The folders of the groups, from the innermost to the root; in a container some do not exist."""
        for line in _text(self.membership).splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            base = self.root / controller if controllers else self.root
            group = base / path.lstrip("/")
            yield from (group, *(parent for parent in group.parents if parent.is_relative_to(base)))


def _quota(folder: Path) -> float | None:
    parts = _text(folder / "cpu.max").split()  # version 2: "150000 100000", or "max 100000"
    if not parts:
        parts = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota, period = map(int, parts)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _limit_and_use(folder: Path) -> tuple[int, int] | None:
    for limit, used, droppable in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = (int(_text(folder / name)) for name in (limit, used))
        except ValueError:  # there is no such file, or no limit ("max")
            continue
        kept = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
        return (most, now - int(kept.get(droppable, 0))) if most < NO_LIMIT else None
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
