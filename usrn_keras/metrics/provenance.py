"""Where a figure comes from: what must stand beside it for two figures to be comparable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Which images a model was measured on, and how.

    Args:
        dataset: Name of the data set.
        split: `val` or `test`.
        images: Number of images measured.
        fingerprint: `Dataset.fingerprint()`, the hash of its lists; figures of other lists do not compare.
        mode: How the images were predicted, such as `whole` or `slide`; `masks` for masks from files.
        checkpoint: `last` or `best`; empty for masks from files.

    Example:

    >>> Provenance("camvid", "val", 101, "4d51ba8f8d2e3a90", "whole", "last").line()
    'camvid val, 101 images, lists 4d51ba8f8d2e3a90, mode whole, checkpoint last'
    """

    dataset: str
    split: str
    images: int
    fingerprint: str
    mode: str
    checkpoint: str

    def line(self) -> str:
        """All of it in one line, to stand under a table."""
        images = f"{self.images:,} image" + ("s" if self.images != 1 else "")
        parts = [f"{self.dataset} {self.split}", images, f"lists {self.fingerprint}", f"mode {self.mode}"]
        return ", ".join([*parts, *([f"checkpoint {self.checkpoint}"] if self.checkpoint else [])])

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Provenance:
        """What `to_json` wrote."""
        return cls(**value)
