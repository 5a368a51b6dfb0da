"""Collecting every fault of a data set before complaining once."""

from __future__ import annotations

from usrn_keras.errors import DataError

SHOWN = 20


class Faults:
    """What is wrong with a data set, one line each; the error names the first 20 and counts the rest.

    Example:

    >>> faults = Faults()
    >>> faults.raise_if_any("the data set `x` cannot be used")   # nothing was added: passes
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add one fault."""
        self._lines.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """Every fault."""
        return tuple(self._lines)

    def raise_if_any(self, message: str, *, hint: str = "") -> None:
        """Raise a `DataError` that holds all faults, or return when there are none."""
        if not self._lines:
            return
        shown = self._lines[:SHOWN]
        if len(self._lines) > SHOWN:
            shown.append(f"and {len(self._lines) - SHOWN} more")
        raise DataError(message, faults=shown, hint=hint)
