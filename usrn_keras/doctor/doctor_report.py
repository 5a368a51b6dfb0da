"""What `usrn doctor` finds: what breaks training, what should be changed, what is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras.errors import USRNError

GIB = 2**30


@dataclass(frozen=True)
class DoctorFinding:
    """One thing to change, or to know.

    Args:
        name: Identifier, such as `gpu_unused`.
        message: What was found.
        advice: Command or recipe key that fixes it; may be empty for a note.
        lines: Details, one line each.
        level: `change`: training works, and would work better; `note`: worth knowing.
        error: Error that training would stop with; None: it can run.
    """

    name: str
    message: str
    advice: str = ""
    lines: Sequence[str] = ()
    level: str = "change"
    error: type[USRNError] | None = None

    @classmethod
    def of(cls, name: str, error: USRNError) -> DoctorFinding:
        """An error that training would stop with, as a finding."""
        return cls(name, error.message, error.hint, error.faults, error=type(error))


@dataclass(frozen=True)
class DoctorSection:
    """A part of the examination: facts as text and as JSON values, and what they mean."""

    title: str
    lines: Sequence[str]
    values: Mapping[str, Any] | None
    findings: Sequence[DoctorFinding] = ()


@dataclass(frozen=True)
class DoctorReport:
    """All that was found.

    Args:
        sections: Parts by their JSON keys, in the order in which they are shown.
        healthy: Commands to run next where training can run.
        again: Command to run after a change.
        seconds: Time that the examination took.
    """

    sections: Mapping[str, DoctorSection]
    healthy: Sequence[str]
    again: str
    seconds: float

    @property
    def findings(self) -> list[DoctorFinding]:
        """What breaks training first, then what should be changed, then notes."""
        found = [finding for section in self.sections.values() for finding in section.findings]
        return sorted(found, key=lambda finding: (finding.error is None, finding.level != "change"))

    @property
    def following(self) -> list[str]:
        """Commands to run next."""
        return [self.again] if self.error else list(self.healthy)

    @property
    def error(self) -> USRNError | None:
        """The error that training would stop with first; None where it can run."""
        broken = [finding for finding in self.findings if finding.error]
        if not broken:
            return None
        message = f"training cannot run here: {broken[0].message}"
        others = [finding.message for finding in broken[1:]]
        return broken[0].error(message, faults=others, hint="Change what is listed above, and run it again.")

    def to_json(self) -> dict[str, Any]:
        """The sections, `findings`, `trains`, `exit_code`, `next` and `seconds` as JSON values."""
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
    """Bytes in words, such as `1.5 GiB`; None is a size that is not known."""
    return "memory unknown" if size is None else f"{size / GIB:.1f} GiB"
