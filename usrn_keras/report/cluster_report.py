"""The result of a clustering: one row per class, and how balanced the sizes are before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.progress import duration
from usrn_keras.subclasses import SubclassMap, class_balance_rate

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("class", "pixels", "share %", "K_c", "feature pixels", "smallest", "largest", "inertia")
NOTES = (
    "K_c: subclasses of the class. smallest, largest: subclass in feature pixels (stride 4).",
    "inertia: mean squared distance of a feature pixel to the centre of its subclass.",
)
ABSENT_NOTE = "Absent classes have no pixel in the labelled images and no subclass."


class ClusterReport:
    """The subclasses of a run in figures.

    Sizes of subclasses are counted in feature pixels. The class balance rate (Eq. 9) is computed from the
    labelled pixels that they represent, so that it is right even if only a part of the feature pixels was
    clustered.

    Args:
        subclasses: Result of the clustering.
        assignment: `balanced`, `free` or `constrained`, the algorithm that `[subclasses]` asks for.
        plain: `(K,)` integers, sizes that plain k-means gives with the same counts; None if it was not
            measured. With `free` the subclasses are plain k-means themselves.
        seconds: Duration of the stage in seconds, features included; None if unknown.
        resumed: Whether the stage was resumed; `seconds` excludes what an interrupted call did.

    Attributes:
        rates: Class balance rates in 0..1 of the classes (`original`), of plain k-means (`plain`) and of
            subclasses of equal size (`balanced`); None for what was not computed.

    Example:

    >>> subclasses = SubclassMap(
    ...     classes=("road", "pole"), counts=np.array([2, 1]), sizes=np.array([50, 50, 50]),
    ...     centers=np.zeros((3, 8), "float32"), pixels=np.array([1600, 800]),
    ...     feature_pixels=np.array([100, 50]), inertia=np.array([0.5, 0.25]), prices=np.zeros(3))
    >>> ClusterReport(subclasses).class_rows()[0]
    ['road', '1,600', '66.7', '2', '100', '50', '50', '0.5']
    """

    def __init__(
        self,
        subclasses: SubclassMap,
        *,
        assignment: str = "balanced",
        plain: np.ndarray | None = None,
        seconds: float | None = None,
        resumed: bool = False,
    ):
        if plain is not None and np.shape(plain) != (subclasses.total,):
            raise ValueError(
                f"`plain` must hold one size for each of the {subclasses.total} subclasses, "
                f"received shape {np.shape(plain)}"
            )
        self.subclasses = subclasses
        self.assignment = assignment
        self.plain = subclasses.sizes if assignment == "free" else plain
        self.seconds = seconds
        self.resumed = resumed

    @property
    def rates(self) -> dict[str, float | None]:
        found, free = self.subclasses, self.assignment == "free"
        return {
            "original": class_balance_rate(found.pixels),
            "plain": None if self.plain is None else class_balance_rate(found.in_label_pixels(self.plain)),
            "balanced": None if free else class_balance_rate(found.in_label_pixels(found.sizes)),
        }

    def order(self) -> np.ndarray:
        """(C,) class ids from the most frequent to the rarest."""
        return np.argsort(-self.subclasses.pixels, kind="stable")

    def class_rows(self) -> list[list[str]]:
        """One row per class, the most frequent first, with the columns of `COLUMNS`."""
        return [self._row(class_id) for class_id in self.order()]

    def total_row(self) -> list[str]:
        """The same columns over all classes."""
        found = self.subclasses
        mean = float((found.inertia * found.feature_pixels).sum() / max(1, found.feature_pixels.sum()))
        return [
            "all", f"{found.pixels.sum():,}", "100.0", f"{found.total:,}", f"{found.feature_pixels.sum():,}",
            f"{found.sizes.min():,}", f"{found.sizes.max():,}", f"{mean:.4g}",
        ]  # fmt: skip

    def rate_line(self) -> str:
        """`class balance rate: original 33.8 % -> plain k-means 96.4 % -> balanced 99.5 %`."""
        names = {"original": "original", "plain": "plain k-means", "balanced": "balanced"}
        parts = [f"{names[key]} {100 * rate:.1f} %" for key, rate in self.rates.items() if rate is not None]
        line = "class balance rate: " + " -> ".join(parts)
        if self.assignment == "free":
            return line + ' (subclasses.assignment = "free": nothing was balanced)'
        return line if self.plain is not None else line + " (plain k-means was not measured)"

    def size_words(self) -> str:
        """`of equal size` where sizes differ by one feature pixel at most, or `sizes 812 to 815`."""
        smallest, largest = self.subclasses.sizes.min(), self.subclasses.sizes.max()
        return "of equal size" if largest - smallest <= 1 else f"sizes {smallest:,} to {largest:,}"

    def time_line(self) -> str:
        """The duration of the stage, in words."""
        if self.seconds is None:
            return "time: not known"
        line = f"time: {duration(self.seconds)} for features, clusters and sublabel maps"
        return line + (", since the last interruption" if self.resumed else "")

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values, shares and rates in 0..1, classes in their own order."""
        return {
            "assignment": self.assignment,
            "seconds": self.seconds,
            "resumed": self.resumed,
            "subclasses": self.subclasses.total,
            "pixels": int(self.subclasses.pixels.sum()),
            "feature_pixels": int(self.subclasses.feature_pixels.sum()),
            "class_balance_rate": self.rates,
            "classes": [self._class_json(class_id) for class_id in range(len(self.subclasses.classes))],
        }

    def _row(self, class_id: int) -> list[str]:
        found = self.subclasses
        name, pixels = found.classes[class_id], found.pixels[class_id]
        if found.counts[class_id] == 0:
            return [name, "absent", "-", "-", "-", "-", "-", "-"]
        sizes = found.sizes[found.of_class(class_id)]
        return [
            name, f"{pixels:,}", f"{100 * self._share(class_id):.1f}", f"{found.counts[class_id]:,}",
            f"{found.feature_pixels[class_id]:,}", f"{sizes.min():,}", f"{sizes.max():,}",
            f"{found.inertia[class_id]:.4g}",
        ]  # fmt: skip

    def _class_json(self, class_id: int) -> dict[str, Any]:
        found = self.subclasses
        own = found.of_class(class_id)
        sizes = found.sizes[own].tolist()
        return {
            "name": found.classes[class_id],
            "absent": not sizes,
            "pixels": int(found.pixels[class_id]),
            "share": self._share(class_id),
            "subclasses": int(found.counts[class_id]),
            "feature_pixels": int(found.feature_pixels[class_id]),
            "smallest": min(sizes, default=None),
            "largest": max(sizes, default=None),
            "inertia": float(found.inertia[class_id]) if sizes else None,
            "sizes": sizes,
            "plain_sizes": None if self.plain is None else np.asarray(self.plain)[own].tolist(),
        }

    def _share(self, class_id: int) -> float:
        return float(self.subclasses.pixels[class_id] / self.subclasses.pixels.sum())


def cluster_table(report: ClusterReport) -> Table:
    """The table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    absent = bool((report.subclasses.counts == 0).any())
    notes = "\n".join([*NOTES, *[ABSENT_NOTE] * absent])
    table = Table(caption=Text(notes), caption_justify="left", collapse_padding=True)
    for i, name in enumerate(COLUMNS):  # headings on two lines, so that the table fits 80 columns
        table.add_column(Text("\n".join(name.split())), justify="right" if i else "left", overflow="fold")
    for row in report.class_rows():
        table.add_row(*map(Text, row))
    table.add_section()
    table.add_row(*map(Text, report.total_row()), style="bold")
    return table
