"""Report of `usrn doctor`: errors that stop training, suggested changes, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras.errors import USRNError

GIB = 2**30


@dataclass(frozen=True)
class DoctorFinding:
    """A suggested change, a note, or an error.

    Args:
        name: Identifier, such as `gpu_unused`.
        message: Description of the finding.
        advice: Command or recipe key that fixes it; may be empty for a note.
        lines: Details, one line each.
        level: `change` if training would work better after a change; `note` for information.
        error: Class of the error that would stop training; None if training can run.
    """

    name: str
    message: str
    advice: str = ""
    lines: Sequence[str] = ()
    level: str = "change"
    error: type[USRNError] | None = None

    @classmethod
    def of(cls, name: str, error: USRNError) -> DoctorFinding:
        """Create a finding from an error that would stop training."""
        return cls(name, error.message, error.hint, error.errors, error=type(error))


@dataclass(frozen=True)
class DoctorSection:
    """Section of the report: facts as text lines and as JSON values, and the findings about them."""

    title: str
    lines: Sequence[str]
    values: Mapping[str, Any] | None
    findings: Sequence[DoctorFinding] = ()


@dataclass(frozen=True)
class DoctorReport:
    """Report of `usrn doctor`.

    Args:
        sections: Sections by JSON key, in display order.
        healthy: Commands to run next if training can run.
        again: Command to run after a change.
        seconds: Duration of the checks in seconds.
    """

    sections: Mapping[str, DoctorSection]
    healthy: Sequence[str]
    again: str
    seconds: float

    @property
    def findings(self) -> list[DoctorFinding]:
        """All findings: errors first, then suggested changes, then notes."""
        found = [finding for section in self.sections.values() for finding in section.findings]
        return sorted(found, key=lambda finding: (finding.error is None, finding.level != "change"))

    @property
    def following(self) -> list[str]:
        """Commands to run next."""
        return [self.again] if self.error else list(self.healthy)

    @property
    def error(self) -> USRNError | None:
        """The first error that would stop training; None if training can run."""
        broken = [finding for finding in self.findings if finding.error]
        if not broken:
            return None
        message = f"training cannot run here: {broken[0].message}"
        others = [finding.message for finding in broken[1:]]
        return broken[0].error(
            message, errors=others, hint="Apply the changes listed above, and run `usrn doctor` again."
        )

    def to_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        error = self.error
        findings = [
            {
                "name": finding.name,
                "level": "broken" if finding.error else finding.level,
                "message": finding.message,
                "advice": finding.advice,
                "lines": list(finding.lines),
            }
            for finding in self.findings
        ]
        return {
            **{name: section.values for name, section in self.sections.items()},
            "findings": findings,
            "trains": error is None,
            "exit_code": error.exit_code if error else 0,
            "next": self.following,
            "seconds": round(self.seconds, 2),
        }


def in_gib(size: int | None) -> str:
    """Format bytes, such as `1.5 GiB`; None is an unknown size."""
    return "memory unknown" if size is None else f"{size / GIB:.1f} GiB"
