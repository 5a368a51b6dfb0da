"""One of several processes that train together; a process alone is the first of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras.errors import RanksError

SHOWN_ERRORS, SHOWN_CHARACTERS = 12, 80


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those that train together. Here: alone, so that there is nothing to agree.

    `TorchRanks` and `JaxRanks` in `usrn_keras.backends` do the same for several processes; each of the
    functions must then be called by all of them, in the same order.

    Args:
        rank: Number of this process, from 0.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress; the others only train."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Number of this process and number of processes: its part of each batch."""
        return self.rank, self.world

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is true in any process."""
        return flags

    def gather(self, text: str) -> list[str]:
        """Return the texts of all processes, by their number."""
        return [text]

    def checksums(self, variables: Sequence[Any]) -> list[int]:
        """Return a number for each Keras variable that hardly any other values share; none where alone."""
        return []

    def check_equal(self, variables: Sequence[Any], step: int) -> None:
        """Raise a `RanksError` unless the variables have the same values in all processes.

        Args:
            variables: Keras variables.
            step: Number of completed steps, for the message.
        """
        first, *others = map(json.loads, self.gather(json.dumps(self.checksums(variables))))
        different = [
            (rank, variable.path)
            for rank, theirs in enumerate(others, start=1)
            for variable, one, other in zip(variables, first, theirs, strict=True)
            if one != other
        ]
        if different:
            paths = sorted({path for _, path in different})
            raise RanksError(
                f"step {step}: {len(paths)} variables differ between the processes, such as {paths[0]}",
                errors=[f"process {rank}" for rank in sorted({rank for rank, _ in different})],
                hint="Run the same command again to resume from the last checkpoint, and report it.",
            )

    def check_same(self, what: str, facts: Mapping[str, Any]) -> None:
        """Raise a `RanksError` that names the facts that are not the same in all processes.

        Args:
            what: Name of what the facts describe, such as `recipe`.
            facts: JSON values by name.
        """
        first, *others = map(json.loads, self.gather(json.dumps(facts, default=str)))
        errors = [
            f"{name}: {_short(theirs.get(name))} in process {rank}, {_short(first.get(name))} in process 0"
            for rank, theirs in enumerate(others, start=1)
            for name in sorted({*first, *theirs})
            if theirs.get(name) != first.get(name)
        ]
        if errors:
            more = [f"and {len(errors) - SHOWN_ERRORS} more"] if len(errors) > SHOWN_ERRORS else []
            raise RanksError(
                f"the processes of this run have different {what}s",
                errors=[*errors[:SHOWN_ERRORS], *more],
                hint="Start all of them with the same command, on the same files.",
            )

    def send(self, order: int) -> None:
        """Send a number from the first process to the others, which wait in `receive`."""

    def receive(self) -> int:
        """Wait for a number of the first process."""
        raise RuntimeError("a process alone receives nothing")

    def keep_own_values(self, variables: Sequence[Any]) -> None:
        """Let variables hold values of this process alone, which it may compute with while others do not.

        Args:
            variables: Keras variables.
        """

    def first_position(self, sizes: Sequence[int]) -> int:
        """Position of the first element of a batch that this process computes with in that of all processes.

        Args:
            sizes: Shape of the batch of this process.
        """
        return 0


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


ALONE = Ranks()
