"""What can be found in a data set: faults, which must be mended, and notes, which one should know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = 20  # findings of one kind that a person is shown


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its name for machines, its title for people."""

    name: str
    title: str


LAYOUT = Kind("layout", "lists, folders and names that do not fit together")
UNREADABLE_IMAGE = Kind("unreadable_image", "images that cannot be read")
UNREADABLE_MASK = Kind("unreadable_mask", "masks that cannot be read")
SIZE_MISMATCH = Kind("size_mismatch", "masks of another size than their image")
MASK_VALUES = Kind("mask_values", "masks with values that are no class")
SUSPICIOUS_MASK = Kind("suspicious_mask", "masks whose values are allowed, but look wrong")
ALL_IGNORED = Kind("all_ignored", "masks without a single pixel of a class")
CLASS_NOT_LABELLED = Kind("class_not_labelled", "classes that no labelled mask shows")
DUPLICATE_ACROSS = Kind("duplicate_across_splits", "the same picture in several splits")
CASE_COLLISION = Kind("case_collision", "names that differ only in upper and lower case")

CLASS_NOT_MEASURED = Kind("class_not_measured", "classes that no mask to measure on shows")
DUPLICATE_WITHIN = Kind(
    "duplicate_within_split", "the same picture several times in training or in one split"
)
ORIENTATION = Kind("orientation", "images turned by EXIF whose masks are not")
MASK_WITHOUT_IMAGE = Kind("mask_without_image", "masks that no image goes with")
SMALL_IMAGE = Kind("small_image", "images much smaller than the crop")
MIXED_SIZES = Kind("mixed_sizes", "images of several sizes")

FAULTS = (
    *(LAYOUT, UNREADABLE_IMAGE, UNREADABLE_MASK, SIZE_MISMATCH, MASK_VALUES, SUSPICIOUS_MASK),
    *(ALL_IGNORED, CLASS_NOT_LABELLED, DUPLICATE_ACROSS, CASE_COLLISION),
)
NOTES = (*(CLASS_NOT_MEASURED, DUPLICATE_WITHIN, ORIENTATION, MASK_WITHOUT_IMAGE, SMALL_IMAGE, MIXED_SIZES),)


@dataclass(frozen=True)
class DataFinding:
    """One thing that was found.

    Args:
        kind: One of `FAULTS` or `NOTES`.
        message: What it is: file, value, what is allowed.
        advice: What to do about it.
        files: The files concerned.
    """

    kind: Kind
    message: str
    advice: str = ""
    files: tuple[Path, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether training could not, or should not, begin before it is mended."""
        return self.kind in FAULTS

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "kind": self.kind.name,
            "fault": self.is_fault,
            "message": self.message,
            "advice": self.advice,
            "files": [str(path) for path in self.files],
        }


def listing(findings: Iterable[DataFinding], kind: Kind, shown: int = SHOWN) -> list[str]:
    """The findings of a kind as lines: title and count, the first of them, and under each group of
    equal advice what to do.

    Example:

    >>> print("\\n".join(listing([Finding(LAYOUT, "the list val.txt does not exist", "Write it.")], LAYOUT)))
    lists, folders and names that do not fit together: 1
      the list val.txt does not exist
      -> Write it.
    """
    own = [finding for finding in findings if finding.kind == kind]
    lines = [f"{kind.title}: {len(own)}"]
    by_advice: dict[str, list[str]] = {}
    for finding in own[:shown]:
        by_advice.setdefault(finding.advice, []).append(finding.message)
    for advice, messages in by_advice.items():
        lines += [f"  {message}" for message in messages]
        first, *rest = advice.splitlines() or [""]
        lines += [f"  -> {first}"] * bool(first) + [f"     {line}" for line in rest]
    if len(own) > shown:
        lines.append(f"  and {len(own) - shown} more; --json lists all")
    return lines
