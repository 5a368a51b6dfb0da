"""What an export costs: mIoU, size and time of each form of a network, in a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("model", "mIoU", "change", "MB", "ms/image", "note")


@dataclass(frozen=True)
class CheckedModel:
    """Measurements of one model.

    Attributes:
        name: `keras`, an export format, or the name of a smaller copy such as `onnx int8`.
        path: File or folder.
        miou: Mean IoU in 0..1; None if the model was not made.
        bytes: Size of the file or folder in bytes; 0 if it was not made.
        milliseconds: Median time of one image, decoded and padded, in milliseconds; None if it was not made.
        note: How it was made, or why not; may be empty.
    """

    name: str
    path: str
    miou: float | None
    bytes: int
    milliseconds: float | None
    note: str = ""


@dataclass(frozen=True)
class ScoreCheck:
    """Scores of the network of a run in Keras and in its exported forms, on the same images.

    Attributes:
        dataset: Name of the data set.
        split: `val` or `test`.
        images: Number of images.
        models: The Keras model first.
        notes: What to know about the measurement.
    """

    dataset: str
    split: str
    images: int
    models: tuple[CheckedModel, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; mIoU in 0..1, and its change against the Keras model."""
        models = [{**asdict(model), "change": self._change(model)} for model in self.models]
        return {**asdict(self), "models": models}

    def rows(self) -> list[list[str]]:
        """One row for each model, in the order of `COLUMNS`."""
        return [self._row(model) for model in self.models]

    def _row(self, model: CheckedModel) -> list[str]:
        if model.miou is None:
            return [model.name, "-", "-", "-", "-", model.note]
        change = "" if model is self.models[0] else f"{100 * self._change(model):+.2f}"
        numbers = [f"{100 * model.miou:.2f}", change, f"{model.bytes / 1e6:.2f}", f"{model.milliseconds:.1f}"]
        return [model.name, *numbers, model.note]

    def _change(self, model: CheckedModel) -> float | None:
        return None if model.miou is None else model.miou - self.models[0].miou


def score_table(check: ScoreCheck) -> Table:
    """The table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{check.images} {check.split} images of {check.dataset}")
    notes = Text("\n".join(check.notes))
    table = Table(title=title, caption=notes, title_justify="left", caption_justify="left")
    for name in COLUMNS:
        side = "left" if name in ("model", "note") else "right"
        table.add_column(Text(name), justify=side, overflow="fold")
    for row in check.rows():
        table.add_row(*map(Text, row))
    return table
