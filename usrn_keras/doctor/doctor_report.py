"""Report of `usrn doctor`: errors that stop training, suggested changes, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras.errors import USRNError

LEVELS = ("broken", "change", "note")


@dataclass(frozen=True)
class DoctorFinding:
    """An error, a suggested change, or a note.

    Args:
        name: Identifier, such as `gpu_unused`.
        message: Description of the finding.
        advice: Commands or recipe keys that fix it, one per line; may be empty for a note.
        lines: Details, one line each.
        error: Class of the error that would stop training; None if training can run.
        note: Whether the finding is for information only.
    """

    name: str
    message: str
    advice: str = ""
    lines: Sequence[str] = ()
    error: type[USRNError] | None = None
    note: bool = False

    @property
    def level(self) -> str:
        """`broken` if training cannot run, `change` if it would work better after a change, or `note`."""
        return "broken" if self.error else "note" if self.note else "change"


@dataclass(frozen=True)
class DoctorReport:
    """Report of `usrn doctor`.

    Args:
        sections: Facts by section and name, in display order; JSON values, whose names end with the unit.
        findings: Errors first, then suggested changes, then notes.
        following: Commands to run next.
        seconds: Duration of the checks in seconds.
    """

    sections: Mapping[str, Mapping[str, Any]]
    findings: Sequence[DoctorFinding]
    following: Sequence[str]
    seconds: float

    @property
    def error(self) -> USRNError | None:
        """The first error that would stop training; None if training can run."""
        broken = [finding for finding in self.findings if finding.error]
        if not broken:
            return None
        return broken[0].error(
            f"training cannot run here: {broken[0].message}",
            errors=[finding.message for finding in broken[1:]],
            hint="Apply the changes listed above, and run `usrn doctor` again.",
        )

    def to_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        keys = ("name", "level", "message", "advice", "lines")
        return {
            **self.sections,
            "findings": [{key: getattr(finding, key) for key in keys} for finding in self.findings],
            "trains": self.error is None,
            "exit_code": self.error.exit_code if self.error else 0,
            "next": self.following,
            "seconds": round(self.seconds, 2),
        }
