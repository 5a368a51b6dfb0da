"""The whole examination, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras.doctor.findings import CHANGE, Finding, Section
from usrn_keras.errors import USRNError


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Args:
        sections: By their names for machines, in the order in which they are shown.
        healthy: Commands that tell or do more, where training can run.
        again: The command where it cannot.
        seconds: That it took.
    """

    sections: Mapping[str, Section]
    healthy: Sequence[str]
    again: str
    seconds: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What breaks training first, then what should be changed, then notes."""
        found = [finding for section in self.sections.values() for finding in section.findings()]
        return tuple(sorted(found, key=lambda finding: (not finding.breaks, finding.level != CHANGE)))

    @property
    def following(self) -> tuple[str, ...]:
        """What to do next."""
        return (self.again,) if self.error else tuple(self.healthy)

    @property
    def error(self) -> USRNError | None:
        """What training would stop with first; None where it can run."""
        broken = [finding for finding in self.findings if finding.breaks]
        if not broken:
            return None
        message = f"training cannot run here: {broken[0].message}"
        others = [finding.message for finding in broken[1:]]
        return broken[0].error(message, faults=others, hint="Change what is listed above, and run it again.")

    def lines(self) -> list[str]:
        """The sections, then what to change, what is worth knowing, and what to do next."""
        lines = []
        for section in self.sections.values():
            lines += [section.title, *(f"  {line}" for line in section.lines())]
        changes = [finding for finding in self.findings if finding.breaks or finding.level == CHANGE]
        notes = [finding for finding in self.findings if finding not in changes]
        lines += _listed("worth knowing", notes) if notes else []
        lines += _listed("what to change", changes) if changes else ["what to change: nothing"]
        return [*lines, "next", *(f"  {command}" for command in self.following)]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        error = self.error
        return {
            **{name: section.to_json() for name, section in self.sections.items()},
            "findings": [finding.to_json() for finding in self.findings],
            "trains": error is None,
            "exit_code": error.exit_code if error else 0,
            "next": list(self.following),
            "seconds": round(self.seconds, 2),
        }


def _listed(title: str, findings: Sequence[Finding]) -> list[str]:
    lines = [title]
    for number, finding in enumerate(findings, start=1):
        first, *rest = finding.shown()
        broken = "BROKEN: " * finding.breaks
        lines += [f"  {number}. {broken}{first}", *(f"   {line}" for line in rest)]
    return lines
