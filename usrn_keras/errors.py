"""The errors of the package. Each class has its own exit code, listed in `usrn --help`."""

from __future__ import annotations

from collections.abc import Sequence


class USRNError(Exception):
    """Base class of the errors that the command line prints without a traceback.

    Args:
        message: Error message: what is wrong, the value received, and what is allowed.
        errors: List of errors, one line each, if there are several at once.
        hint: Next step for the user.
    """

    exit_code = 1

    def __init__(self, message: str, *, errors: Sequence[str] = (), hint: str = ""):
        super().__init__(message)
        self.message = message
        self.errors = tuple(errors)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {error}" for error in self.errors)]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class RecipeError(USRNError):
    """The recipe is missing, is not valid TOML, or has unknown keys or invalid values."""

    exit_code = 3


class DataError(USRNError):
    """Images, masks or lists cannot be read or are inconsistent."""

    exit_code = 4


class WeightsError(USRNError):
    """Weights or checkpoints do not fit the network."""

    exit_code = 5


class RunError(USRNError):
    """The run folder belongs to another recipe, is locked, or is incomplete."""

    exit_code = 6


class BackendError(USRNError):
    """A required backend, package or device is missing."""

    exit_code = 7


class DivergedError(USRNError):
    """The loss is not finite. The last valid checkpoint is kept."""

    exit_code = 8


class StorageError(USRNError):
    """The disk is full or not writable. Complete files are kept."""

    exit_code = 9


class ExportError(USRNError):
    """The model cannot be exported, or the exported model gives other outputs."""

    exit_code = 10


class OutOfMemoryError(USRNError):
    """Memory ran out. The last valid checkpoint is kept."""

    exit_code = 11


class RanksError(USRNError):
    """Processes that train together have different recipes, data or weights, or one of them has died."""

    exit_code = 13


class ServerError(USRNError):
    """The page cannot be served: its port is in use, or may not be used."""

    exit_code = 14


class IncompleteTableError(USRNError):
    """Some runs of a table failed. The other runs are complete."""

    exit_code = 12


class SchedulerError(USRNError):
    """Worker processes cannot be reached, or died again and again. Complete chunks are kept."""

    exit_code = 15
