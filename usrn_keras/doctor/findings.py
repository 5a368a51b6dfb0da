"""What the doctor finds: what breaks training, what should be changed, what is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from usrn_keras.errors import USRNError

CHANGE, NOTE = "change", "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        name: For machines, such as `gpu_unused`.
        message: What it is.
        advice: A command or a key of the recipe that mends it; may be empty for a note.
        lines: Details, one line each.
        level: `change`: training works, and would work better; `note`: worth knowing.
        error: What training would stop with; None: it can run.
    """

    name: str
    message: str
    advice: str = ""
    lines: tuple[str, ...] = ()
    level: str = CHANGE
    error: type[USRNError] | None = None

    @property
    def breaks(self) -> bool:
        """Whether training cannot run before it is mended."""
        return self.error is not None

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "name": self.name,
            "level": "broken" if self.breaks else self.level,
            "message": self.message,
            "advice": self.advice,
            "lines": list(self.lines),
        }

    def shown(self, most: int = 20) -> list[str]:
        """The finding as lines, the advice last.

        Example:

        >>> Finding("slow_disk", "the disk is slow", "use another").shown()
        ['the disk is slow', '  -> use another']
        """
        details = list(self.lines[:most])
        if len(self.lines) > most:
            details.append(f"and {len(self.lines) - most} more; --json lists all")
        first, *rest = self.advice.splitlines() or [""]
        advice = [f"  -> {first}", *(f"     {line}" for line in rest)] if first else []
        return [self.message, *(f"  - {line}" for line in details), *advice]


class Section(Protocol):
    """A part of the examination: facts for people, for machines, and what they mean."""

    @property
    def title(self) -> str: ...

    def lines(self) -> list[str]: ...

    def to_json(self) -> Mapping[str, Any]: ...

    def findings(self) -> list[Finding]: ...
