"""Records of the quality of pseudo labels: one line of JSON per measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from usrn_keras.files import atomic_path, read_json_lines, storage_errors


class DiagnosisLog:
    """Append records to a file, the `diagnosis.jsonl` of a training stage.

    Args:
        path: Path of the file.

    Example:

    >>> import tempfile
    >>> log = DiagnosisLog(Path(tempfile.mkdtemp()) / "diagnosis.jsonl")
    >>> log.append({"step": 20, "images": 16})
    >>> log.rewind(10)  # training resumes from step 10: later records are removed
    >>> log.records()
    []
    """

    def __init__(self, path: Path):
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Append one record; its keys must include `step`."""
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def rewind(self, step: int) -> None:
        """Remove the records after `step`, and a line that a crash left incomplete."""
        if not self.path.exists():
            return
        kept = [record for record in self.records() if record["step"] <= step]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def holds(self, step: int) -> bool:
        """Whether there is a record of `step`."""
        return any(record["step"] == step for record in self.records())

    def records(self) -> list[dict[str, Any]]:
        """All records in order; a line that a crash left incomplete is skipped.

        Raises:
            RunError: The file is damaged.
        """
        return read_json_lines(self.path, _record)


def _record(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value["step"], int):
        raise TypeError("`step` must be an integer")
    return value
