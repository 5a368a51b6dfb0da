"""The plan of a street: how wide it is, what stands along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """A kind of street: shares of its sides that are houses, hedges and gaps, and of tree places taken."""

    house: float
    hedge: float
    gap: float
    trees: float


LAYOUTS = {
    "city": Layout(0.92, 0.02, 0.06, 0.1),
    "avenue": Layout(0.7, 0.1, 0.2, 0.6),
    "suburb": Layout(0.45, 0.35, 0.2, 0.35),
    "outskirts": Layout(0.15, 0.35, 0.5, 0.35),
}
SHARES = (0.35, 0.25, 0.25, 0.15)


@dataclass(frozen=True)
class Street:
    """The plan of a street, in metres; the camera stands at `x = 0`."""

    layout: Layout
    kerbs: tuple[float, float]
    pavements: tuple[float, float]
    roofline: float
    crossing: float | None

    @property
    def half_width(self) -> float:
        """Half the width of the carriageway."""
        return (self.kerbs[1] - self.kerbs[0]) / 2

    def kerb(self, side: int) -> float:
        """Distance of the kerb of a side (-1 left, 1 right) from the camera."""
        return self.kerbs[1] if side > 0 else -self.kerbs[0]

    def building_line(self, side: int) -> float:
        """Distance of the houses of a side from the camera."""
        return self.kerb(side) + self.pavements[side > 0]


def draw_street(rng: np.random.Generator) -> Street:
    """Choose the plan of a street."""
    width, at = rng.uniform(6, 12), rng.uniform(0.3, 0.7)
    return Street(
        layout=LAYOUTS[str(rng.choice(list(LAYOUTS), p=SHARES))],
        kerbs=(-width * at, width * (1 - at)),
        pavements=(rng.uniform(1.5, 5), rng.uniform(1.5, 5)),
        roofline=rng.uniform(5, 20),
        crossing=rng.uniform(6, 25) if rng.random() < 0.3 else None,
    )
