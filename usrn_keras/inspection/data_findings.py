"""Findings in a data set: errors, which must be fixed, and notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = 20  # listed findings of one kind


@dataclass(frozen=True)
class Kind:
    """Kind of finding.

    Attributes:
        name: Name in JSON output.
        title: Title in text output.
    """

    name: str
    title: str


LAYOUT = Kind("layout", "lists, folders and names that do not match")
UNREADABLE_IMAGE = Kind("unreadable_image", "images that cannot be read")
UNREADABLE_MASK = Kind("unreadable_mask", "masks that cannot be read")
SIZE_MISMATCH = Kind("size_mismatch", "masks whose size differs from their image")
MASK_VALUES = Kind("mask_values", "masks with values that are not classes")
SUSPICIOUS_MASK = Kind("suspicious_mask", "masks with allowed but suspicious values")
ALL_IGNORED = Kind("all_ignored", "masks without a single pixel of a class")
CLASS_NOT_LABELLED = Kind("class_not_labelled", "classes that no labelled mask shows")
DUPLICATE_ACROSS = Kind("duplicate_across_splits", "the same image in several splits")
CASE_COLLISION = Kind("case_collision", "names that differ only in upper and lower case")

CLASS_NOT_MEASURED = Kind("class_not_measured", "classes that no val or test mask shows")
DUPLICATE_WITHIN = Kind("duplicate_within_split", "the same image several times in training or in one split")
ORIENTATION = Kind("orientation", "images rotated by EXIF whose masks are not")
MASK_WITHOUT_IMAGE = Kind("mask_without_image", "masks without an image")
SMALL_IMAGE = Kind("small_image", "images much smaller than the crop")
MIXED_SIZES = Kind("mixed_sizes", "images of several sizes")
DARK_IMAGES = Kind("dark_images", "16-bit images that use few of their values")
FILES_LEFT_OUT = Kind("files_left_out", "files that are not used")
LIST_NOTE = Kind("list_note", "lines of lists that name other masks")
FILE_WARNING = Kind("file_warning", "files that are read, but are not as usual")

ERRORS = (
    *(LAYOUT, UNREADABLE_IMAGE, UNREADABLE_MASK, SIZE_MISMATCH, MASK_VALUES, SUSPICIOUS_MASK),
    *(ALL_IGNORED, CLASS_NOT_LABELLED, DUPLICATE_ACROSS, CASE_COLLISION),
)
NOTES = (
    *(CLASS_NOT_MEASURED, DUPLICATE_WITHIN, ORIENTATION, MASK_WITHOUT_IMAGE, SMALL_IMAGE, MIXED_SIZES),
    *(DARK_IMAGES, FILES_LEFT_OUT, LIST_NOTE, FILE_WARNING),
)


@dataclass(frozen=True)
class DataFinding:
    """A finding in a data set.

    Args:
        kind: Kind of the finding, one of `ERRORS` or `NOTES`.
        message: Description: file, value received, values allowed.
        advice: How to fix it.
        files: Files that the finding is about.
    """

    kind: Kind
    message: str
    advice: str = ""
    files: tuple[Path, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether the finding must be fixed before training."""
        return self.kind in ERRORS

    def to_json(self) -> dict[str, Any]:
        """Convert the finding to JSON values."""
        return {
            "kind": self.kind.name,
            "fault": self.is_error,
            "message": self.message,
            "advice": self.advice,
            "files": [str(path) for path in self.files],
        }


def listing(findings: Iterable[DataFinding], kind: Kind, shown: int = SHOWN) -> list[str]:
    """Format the findings of one kind: title and count, then the first findings, grouped by advice.

    Example:

    >>> finding = DataFinding(LAYOUT, "the list val.txt does not exist", "Create it.")
    >>> print("\\n".join(listing([finding], LAYOUT)))
    lists, folders and names that do not match: 1
      the list val.txt does not exist
      -> Create it.
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
