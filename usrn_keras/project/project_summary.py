"""Summary of a created project as table, text and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.data.formats.lists import Lists
from usrn_keras.metrics.scores import rare_classes
from usrn_keras.project.class_names import Scheme
from usrn_keras.project.mask_kinds import shown
from usrn_keras.project.proposal import Proposal
from usrn_keras.project.recipe_text import time_line

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("class", "mask value", "pixels %", "labelled images", "val images", "rare", "K_c")
NOTES = (
    "pixels: share of the labelled pixels with a class.",
    "rare: share below the median. K_c: proposed number of subclasses.",
)


@dataclass(frozen=True, eq=False)
class Project:
    """A created project.

    Args:
        recipe: Path of the recipe.
        rule: Naming rule of images and masks.
        scheme: Mapping from mask values to classes.
        parts: Lists of the images of each part.
        pixels: Labelled pixels of each class, shape `(classes,)`.
        images: Number of images that show each class, shape `(classes,)`, by part.
        proposal: Proposed sizes, steps and subclasses.
        fingerprint: Fingerprint of the lists.
        assumptions: Assumptions, one sentence each.
        notes: Notes about the files, one sentence each.
        commands: Commands to run next.
    """

    recipe: Path
    rule: str
    scheme: Scheme
    parts: Lists
    pixels: np.ndarray
    images: dict[str, np.ndarray]
    proposal: Proposal
    fingerprint: str
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in the labelled pixels, 0..1 of shape `(classes,)`."""
        return self.pixels / self.pixels.sum()

    @property
    def rare(self) -> np.ndarray:
        """Classes that are rare in the labelled masks, bool of shape `(classes,)`."""
        return rare_classes(self.pixels)

    def rows(self) -> list[list[str]]:
        """Return one row per class, the most frequent first, with the columns `COLUMNS`."""
        return [self._row(int(i)) for i in np.argsort(-self.pixels, kind="stable")]

    def rich(self) -> Table:
        """Format the table for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=Text("\n".join(NOTES)), caption_justify="left", collapse_padding=True)
        for i, name in enumerate(COLUMNS):
            table.add_column(Text("\n".join(name.split())), justify="right" if i else "left", overflow="fold")
        for row in self.rows():
            table.add_row(*map(Text, row))
        return table

    def lines(self) -> list[str]:
        """Return the lines below the table."""
        parts, proposal = self.parts, self.proposal
        now, then = (f"{100 * rate:.1f} %" for rate in proposal.rates)
        counts = [f"{len(names)} {part}" for part, names in asdict(parts).items()]
        return [
            f"images: {', '.join(counts)}; fingerprint of the lists {self.fingerprint}",
            f"names: {self.rule}; masks: {self.scheme.kind}",
            f"class balance rate: {now} of the classes, {then} expected for {proposal.counts.sum()} "
            "subclasses",
            f"training: {proposal.network.name}, crops of {proposal.crop_size} from images of "
            f"{proposal.long_side}, batches of {proposal.batch} + {proposal.batch}, "
            f"{proposal.baseline_steps} + {proposal.usrn_steps} steps",
            f"time: {time_line(proposal)}",
            *(f"note: {note}" for note in self.notes),
            *(f"assumed: {assumption}" for assumption in self.assumptions),
            f"written: {self.recipe}",
            "next:",
            *(f"  {command}" for command in self.commands),
        ]

    def to_json(self) -> dict[str, Any]:
        """Convert the summary to JSON values; classes in the order of their ids, shares and rates in 0..1."""
        proposal = self.proposal
        return {
            "recipe": str(self.recipe),
            "mask_kind": self.scheme.kind,
            "naming": self.rule,
            "classes": [self._class_json(i) for i in range(len(self.pixels))],
            "images": {part: len(names) for part, names in asdict(self.parts).items()},
            "fingerprint": self.fingerprint,
            "class_balance_rate": {"now": proposal.rates[0], "expected": proposal.rates[1]},
            "subclasses": int(proposal.counts.sum()),
            "seconds": proposal.seconds,
            "memory": proposal.memory,
            "notes": list(self.notes),
            "assumptions": list(self.assumptions),
            "next": list(self.commands),
        }

    def _row(self, i: int) -> list[str]:
        absent = self.pixels[i] == 0
        return [
            self.scheme.classes[i], self._value(i), "absent" if absent else f"{100 * self.shares[i]:.2f}",
            str(self.images["labelled"][i]), str(self.images["val"][i]), "rare" if self.rare[i] else "",
            str(self.proposal.counts[i]),
        ]  # fmt: skip

    def _value(self, i: int) -> str:
        return shown(int(self.scheme.values[i]), self.scheme.coloured)

    def _class_json(self, i: int) -> dict[str, Any]:
        value = int(self.scheme.values[i])
        return {
            "name": self.scheme.classes[i],
            "value": self.scheme.palette[i].tolist() if self.scheme.coloured else value,
            "pixels": int(self.pixels[i]),
            "share": float(self.shares[i]),
            "images": {part: int(images[i]) for part, images in self.images.items()},
            "rare": bool(self.rare[i]),
            "subclasses": int(self.proposal.counts[i]),
        }
