"""One of several processes that train together; a process alone is the first of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those that train together. Here: alone, so that there is nothing to agree.

    `usrn_keras.backends.torch_ranks.TorchRanks` does the same for several processes; each of its functions
    must then be called by all of them, in the same order.

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

    def check_equal(self, variables: Sequence[Any], step: int) -> None:
        """Raise a `RanksError` unless the variables have the same values in all processes.

        Args:
            variables: Keras variables.
            step: Number of completed steps, for the message.
        """

    def check_same(self, what: str, text: str) -> None:
        """Raise a `RanksError` unless a text is the same in all processes.

        Args:
            what: Name of what the text describes, such as `recipe`.
            text: The text.
        """

    def send(self, order: int) -> None:
        """Send a number from the first process to the others, which wait in `receive`."""

    def receive(self) -> int:
        """Wait for a number of the first process."""
        raise RuntimeError("a process alone receives nothing")


ALONE = Ranks()
