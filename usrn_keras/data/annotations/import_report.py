"""What an import of annotations found and wrote, as text and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = 5


@dataclass(frozen=True, eq=False)
class ImportReport:
    """Result of an import.

    Args:
        format: Format of the annotations.
        out: Folder of the masks.
        masks: Written mask files, relative to `out`.
        classes: Class names by id.
        pixels: Number of pixels of each class.
        ignored: Number of pixels without a class.
        unlabelled: Number of pixels of no shape.
        unlabelled_as: What these pixels are: the class `background`, or `ignore`.
        overlapping: Number of pixels of each mask that shapes of several classes cover.
        without_annotation: Images without an annotation.
        without_image: Places of annotations without an image.
        notes: Facts about the source and the drawing, one sentence each.
    """

    format: str
    out: Path
    masks: tuple[str, ...]
    classes: tuple[str, ...]
    pixels: tuple[int, ...]
    ignored: int
    unlabelled: int
    unlabelled_as: str
    overlapping: dict[str, int]
    without_annotation: tuple[str, ...]
    without_image: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        total = max(1, sum(self.pixels) + self.ignored)
        lines = [f"read: {self.format}"]
        lines += [
            f"class {index} {name}: {count:,} pixels ({100 * count / total:.2f} %)"
            for index, (name, count) in enumerate(zip(self.classes, self.pixels, strict=True))
        ]
        lines += [f"without a class (255): {self.ignored:,} pixels"] if self.ignored else []
        lines += [*self.facts(), f"written: {len(self.masks)} masks to {self.out}"]
        return lines

    def facts(self) -> list[str]:
        """Return what was decided, left out or is remarkable, one sentence each."""
        found = []
        if self.unlabelled:
            found.append(
                f"pixels of no shape are {self.unlabelled_as} ({self.unlabelled:,} pixels); "
                + (
                    "`usrn labels import --unlabelled background` makes them background"
                    if self.unlabelled_as == "ignored"
                    else "`usrn labels import --unlabelled ignore` leaves them without a class"
                )
            )
        if self.overlapping:
            found.append(
                f"shapes of different classes overlap in {len(self.overlapping)} images "
                f"({sum(self.overlapping.values()):,} pixels); the later shape covers the earlier one: "
                + _some(self.overlapping)
            )
        if self.without_annotation:
            found.append(
                f"{len(self.without_annotation)} images have no annotation and no mask: "
                + _some(self.without_annotation)
            )
        if self.without_image:
            found.append(
                f"{len(self.without_image)} annotations have no image, and no mask was drawn: "
                + _some(self.without_image)
            )
        return [*found, *self.notes]

    def to_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        return {
            "format": self.format,
            "out": str(self.out),
            "masks": list(self.masks),
            "classes": [
                {"id": index, "name": name, "pixels": count}
                for index, (name, count) in enumerate(zip(self.classes, self.pixels, strict=True))
            ],
            "ignored_pixels": self.ignored,
            "unlabelled_pixels": self.unlabelled,
            "unlabelled": self.unlabelled_as,
            "overlapping_pixels": self.overlapping,
            "without_annotation": list(self.without_annotation),
            "without_image": list(self.without_image),
            "notes": list(self.notes),
        }


def _some(names: Any) -> str:
    names = list(names)
    more = f", ... ({len(names) - SHOWN} more)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
