"""Outcomes of attacks, kept in a file so that a campaign can be resumed, and their counts as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """Outcome of one attack.

    Attributes:
        unit: What is done or skipped as a whole when a campaign is resumed, such as `kills 3`.
        kind: What was attacked and how, such as `kill in 1-baseline`.
        backend: Backend of Keras; `-` if none computes.
        case: Description by which the attack can be repeated.
        problem: What was lost; "" if nothing was.
        seed: Seed of the random choices.
        commit: Commit of the attacked code.
    """

    unit: str
    kind: str
    backend: str
    case: str
    problem: str
    seed: int = 0
    commit: str = ""


Key = tuple[str, str, int]  # unit, backend, seed


class Summary:
    """Outcomes of attacks by kind and backend.

    Args:
        *records: Files with an outcome in each line, which are read; outcomes are appended to the first.
            Without files they are kept in memory.
        seed: Seed of the random choices.
        commit: Commit of the attacked code.
    """

    def __init__(self, *records: Path, seed: int = 0, commit: str = ""):
        self.seed, self.commit = seed, commit
        self._record = records[0] if records else None
        self._units = read_outcomes(records)

    def is_done(self, unit: str, backend: str) -> bool:
        """Whether a unit was attacked before, with the same seed, and nothing of it was lost."""
        known = self._units.get((unit, backend, self.seed), [])
        return bool(known) and not any(one.problem for one in known)

    def of(self, prefix: str, backend: str) -> list[Outcome]:
        """Outcomes of the units of a backend whose names begin with a prefix."""
        return [one for one in self._outcomes if one.unit.startswith(prefix) and one.backend == backend]

    def add(self, kind: str, backend: str, case: str, problem: str, *, unit: str = "") -> None:
        """Count an attack; see `Outcome`. Without a unit the case is one."""
        self.add_all(unit or f"{kind} {case}", backend, [(kind, case, problem)])

    def add_all(self, unit: str, backend: str, attacks: Sequence[tuple[str, str, str]]) -> None:
        """Count the attacks of a unit, `(kind, case, problem)` each; they replace its earlier outcomes."""
        new = [Outcome(unit, kind, backend, *rest, self.seed, self.commit) for kind, *rest in attacks]
        self._units[unit, backend, self.seed] = new
        if self._record is not None:
            at = datetime.now().isoformat(sep=" ")
            with open(self._record, "a+") as file:  # in one piece, since several campaigns may append
                file.seek(max(0, file.seek(0, 2) - 1))
                file.write("" if file.read() in ("", "\n") else "\n")  # after what a killed campaign left
                file.write("".join(json.dumps(asdict(one) | {"time": at}) + "\n" for one in new))

    @property
    def _outcomes(self) -> list[Outcome]:
        return [one for unit in self._units.values() for one in unit]

    @property
    def lost(self) -> list[Outcome]:
        """The attacks that lost something."""
        return [one for one in self._outcomes if one.problem]

    def markdown(self) -> str:
        """The table in Markdown, with every loss below it."""
        lines = ["| attack | backend | tried | survived | lost |", "| :-- | :-- | --: | --: | --: |"]
        groups = dict.fromkeys((one.kind, one.backend) for one in self._outcomes)
        for kind, backend in sorted(groups, key=lambda group: group[::-1]):
            here = [one for one in self._outcomes if (one.kind, one.backend) == (kind, backend)]
            lines.append(f"| {kind} | {backend} | {_counts(here)} |")
        lines.append(f"| all | | {_counts(self._outcomes)} |")
        lines += [f"\nLost, {one.kind}, {one.backend}: {one.case}: {one.problem}" for one in self.lost]
        return "\n".join(lines)


def _counts(outcomes: Sequence[Outcome]) -> str:
    lost = sum(bool(one.problem) for one in outcomes)
    return f"{len(outcomes)} | {len(outcomes) - lost} | {lost}"


def read_outcomes(files: Sequence[Path]) -> dict[Key, list[Outcome]]:
    """Read the outcomes of campaigns by unit; where a unit was attacked again, its last outcomes count.

    A file that does not exist holds none; a part of a line is what a killed campaign left.
    """
    by_unit: dict[Key, dict[str, list[Outcome]]] = {}
    for file in files:
        for line in file.read_text().splitlines() if file.exists() else []:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            at = values.pop("time")
            one = Outcome(**values)
            by_unit.setdefault((one.unit, one.backend, one.seed), {}).setdefault(at, []).append(one)
    return {key: times[max(times)] for key, times in by_unit.items()}
