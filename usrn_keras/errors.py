"""Every error a user can meet, each with its own exit code (listed in `usrn --help`)."""

from __future__ import annotations

from collections.abc import Sequence


class USRNError(Exception):
    """Base of the errors that the command line prints without a traceback.

    Args:
        message: What is wrong, the value received, what is allowed.
        faults: When several things are wrong at once, one line for each.
        hint: What to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, faults: Sequence[str] = (), hint: str = ""):
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {fault}" for fault in self.faults)]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class RecipeError(USRNError):
    """A recipe that is missing, is no TOML, or holds unknown keys or wrong values."""

    exit_code = 3


class DataError(USRNError):
    """Images, masks or lists that cannot be read or do not fit together."""

    exit_code = 4


class WeightsError(USRNError):
    """Weights or checkpoints that do not fit the network."""

    exit_code = 5


class RunError(USRNError):
    """A run folder that belongs to another recipe, is locked, or is not complete."""

    exit_code = 6


class BackendError(USRNError):
    """A backend, package or device that is needed and missing."""

    exit_code = 7


class DivergedError(USRNError):
    """A loss that is not finite; the last good checkpoint is kept."""

    exit_code = 8


class StorageError(USRNError):
    """A disk that is full or cannot be written; what was complete before stays."""

    exit_code = 9


class ExportError(USRNError):
    """A model that cannot be exported, or whose export does not agree with it."""

    exit_code = 10


class OutOfMemoryError(USRNError):
    """Memory that ran out in training; the last good checkpoint is kept."""

    exit_code = 11


class IncompleteTableError(USRNError):
    """A table with gaps: some of its runs failed, the others are done."""

    exit_code = 12
