"""Log of the metrics of a run as metrics.jsonl and as TensorBoard scalars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from usrn_keras.files import atomic_path, read_json_lines, storage_errors


class MetricsLog:
    """Appends records to `metrics.jsonl` and `tensorboard/STAGE`.

    Args:
        folder: Path of the run folder.
        stage: Name of the stage that the records belong to.

    Example:

    >>> import tempfile
    >>> log = MetricsLog(Path(tempfile.mkdtemp()), "1-baseline")
    >>> log.record({"step": 20, "loss": 1.5})
    >>> log.rewind(0)  # training resumes from step 0: later records are removed
    >>> log.path.read_text()
    ''
    """

    def __init__(self, folder: Path, stage: str):
        self.path = folder / "metrics.jsonl"
        self.stage = stage
        self._board = folder / "tensorboard" / stage
        self._writer = None

    def record(self, numbers: dict[str, float]) -> None:
        """Append one record; the numbers must include `step`."""
        line = json.dumps({"stage": self.stage} | {key: _short(value) for key, value in numbers.items()})
        with storage_errors(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        writer = self._board_writer()
        for key, value in numbers.items():
            if key != "step":
                writer.add_scalar(key, value, int(numbers["step"]))
        writer.flush()

    def rewind(self, step: int) -> None:
        """Remove the records of this stage after `step`, and a line that a crash left incomplete."""
        if not self.path.exists():
            return
        kept = [record for record in self._all() if record["stage"] != self.stage or record["step"] <= step]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def take_over(self, other: MetricsLog) -> None:
        """Replace the records of this stage by those of another run."""
        self.rewind(-1)
        for record in other.records():
            self.record({key: value for key, value in record.items() if key != "stage"})

    def records(self) -> Iterator[dict[str, Any]]:
        """Iterate over the records of this stage; a line that a crash left incomplete is skipped.

        Raises:
            RunError: The file is damaged.
        """
        return (record for record in self._all() if record["stage"] == self.stage)

    def holds(self, step: int, key: str) -> bool:
        """Whether a record of this stage has `key` at `step`."""
        return any(record["step"] == step and key in record for record in self.records())

    def _all(self) -> list[dict[str, Any]]:
        return read_json_lines(self.path, _record)

    def _board_writer(self) -> Any:
        if self._writer is None:
            from tensorboardX import SummaryWriter  # tensorboard's own writer loads TensorFlow

            self._writer = SummaryWriter(str(self._board))
        return self._writer


def _record(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value["stage"], str) or not isinstance(value["step"], int):
        raise TypeError("`stage` must be text and `step` an integer")
    if words := [key for key, number in value.items() if key != "stage" and not _is_number(number)]:
        raise TypeError(f"{', '.join(words)}: not a number")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _short(value: float) -> float:
    return round(value, 6) if isinstance(value, float) else value
