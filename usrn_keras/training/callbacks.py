"""Callbacks between training steps."""

from __future__ import annotations

from typing import Protocol


class Callback(Protocol):
    """Called after selected steps, for example to evaluate on validation images."""

    def resume(self, step: int) -> None:
        """Restore the callback's records to the step that training resumes from; its weights are loaded."""

    def due(self, step: int) -> bool:
        """Whether to call `after_step` after this step."""

    def after_step(self, step: int) -> None:
        """Run after a step; its weights are loaded, and its checkpoint is written."""
