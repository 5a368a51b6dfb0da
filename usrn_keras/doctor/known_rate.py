"""What training took in an earlier run, from its metrics."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

SHOWN = 20  # of the latest records


@dataclass(frozen=True)
class KnownRate:
    """The pace of training.

    Args:
        run: The run folder.
        stage: Such as `3-usrn`.
        images_per_second: Median of the latest records.
    """

    run: str
    stage: str
    images_per_second: float

    def line(self) -> str:
        """The pace in a line."""
        return f"training takes {self.images_per_second:.3g} images/s ({self.run}, {self.stage})"


def known_rate(run_dir: Path) -> KnownRate | None:
    """The pace of the last stage that the run's `metrics.jsonl` tells of; None without one."""
    try:
        lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    records = [record for line in lines if "images_per_second" in (record := _record(line))]
    if not records:
        return None
    stage = records[-1]["stage"]
    # The first record of a stage is that of a compilation.
    rates = [record["images_per_second"] for record in records if record["stage"] == stage][1:]
    return KnownRate(str(run_dir), stage, statistics.median(rates[-SHOWN:])) if rates else None


def _record(line: str) -> dict:
    try:
        return json.loads(line)
    except json.JSONDecodeError:  # a line under way
        return {}
