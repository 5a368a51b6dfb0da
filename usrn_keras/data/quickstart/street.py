"""Draw the plan of a street: its width, and the positions of trees, cars, persons and street furniture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.quickstart.cars import paint_car
from usrn_keras.data.quickstart.furniture import paint_lamp, paint_post, paint_sign_post, paint_traffic_light
from usrn_keras.data.quickstart.persons import paint_person
from usrn_keras.data.quickstart.trees import paint_tree


@dataclass(frozen=True)
class StreetLayout:
    """Type of a street: shares of houses, hedges and gaps along its sides, and of occupied tree places."""

    house: float
    hedge: float
    gap: float
    trees: float


LAYOUTS = {
    "city": StreetLayout(0.92, 0.02, 0.06, 0.1),
    "avenue": StreetLayout(0.7, 0.1, 0.2, 0.6),
    "suburb": StreetLayout(0.45, 0.35, 0.2, 0.35),
    "outskirts": StreetLayout(0.15, 0.35, 0.5, 0.35),
}
SHARES = (0.35, 0.25, 0.25, 0.15)


@dataclass(frozen=True)
class Street:
    """The plan of a street, in metres; the camera is at `x = 0`."""

    layout: StreetLayout
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
    """Draw the plan of a street."""
    width, at = rng.uniform(6, 12), rng.uniform(0.3, 0.7)
    return Street(
        layout=LAYOUTS[str(rng.choice(list(LAYOUTS), p=SHARES))],
        kerbs=(-width * at, width * (1 - at)),
        pavements=(rng.uniform(1.5, 5), rng.uniform(1.5, 5)),
        roofline=rng.uniform(5, 20),
        crossing=rng.uniform(6, 25) if rng.random() < 0.3 else None,
    )


def things(scene) -> list[tuple]:
    """List all objects in the street as (depth, painter, arguments of the painter)."""
    return [
        *((z, paint_tree, (x, z)) for x, z in _tree_places(scene)),
        *((z, paint_car, (x, z, yaw)) for x, z, yaw in _car_places(scene)),
        *((z, paint_person, (x, z)) for x, z in _person_places(scene)),
        *_furniture(scene),
    ]


def _tree_places(scene) -> Iterator[tuple[float, float]]:
    rng, share = scene.rng, scene.street.layout.trees
    for side in (-1, 1):
        line = scene.street.building_line(side)
        for z in np.arange(rng.uniform(6, 14), 45, rng.uniform(7, 12)):
            if rng.random() < share:
                yield side * (line - rng.uniform(0.3, 1.2)), float(z + rng.normal(0, 1))


def _car_places(scene) -> Iterator[tuple[float, float, float]]:
    """Draw positions of cars: parked along the kerbs, driving in both directions, rarely turning."""
    rng, (left, right) = scene.rng, scene.street.kerbs
    for x, yaw in ((left + 1.1, np.pi), (right - 1.1, 0.0)):
        z, share = rng.uniform(6, 14), rng.choice([0.0, 0.25, 0.6])
        while z < 40:
            if rng.random() < share:
                yield x, z, yaw + rng.normal(0, 0.03)
            z += rng.uniform(5.5, 8)
    middle = (left + right) / 2
    for x, yaw in ((middle - 1.7, np.pi), (middle + 1.7, 0.0)):
        if rng.random() < 0.45:
            yield x, rng.uniform(8, 35), yaw + rng.normal(0, 0.08)
    if rng.random() < 0.15:
        yield rng.uniform(left, right), rng.uniform(9, 25), rng.choice([-1, 1]) * rng.uniform(0.9, 2.0)


def _person_places(scene) -> Iterator[tuple[float, float]]:
    """Draw positions of persons: on the pavements, alone or in groups, sometimes on the road."""
    rng, street = scene.rng, scene.street
    for _ in range(rng.poisson(1.7)):
        side = int(rng.choice([-1, 1]))
        kerb = street.kerb(side)
        crosses = rng.random() < 0.25
        x = side * (rng.uniform(0, kerb) if crosses else rng.uniform(kerb, kerb + 1.5) + 0.3)
        z = _near(scene, x, 2.2)
        for i in range(rng.choice([1, 1, 2, 2])):
            yield x + 0.6 * i, z + rng.normal(0, 0.3)


def _near(scene, x: float, spread: float) -> float:
    """Draw a depth at which an object at `x` is visible, more often near than far."""
    first = max(4.5, 1.05 * scene.camera.entry(x))
    return float(first * spread ** scene.rng.random())


def _furniture(scene) -> Iterator[tuple]:
    """Draw positions of lamps, sign posts, traffic lights and bollards along the kerbs."""
    rng, street = scene.rng, scene.street
    for side in (-1, 1):
        x = side * (street.kerb(side) + 0.4)
        if rng.random() < 0.5:
            for z in np.arange(_near(scene, x, 2.0), 22, rng.uniform(12, 22)).tolist():
                yield z, paint_lamp, (x, z)
        for _ in range(rng.poisson(0.8)):
            z = _near(scene, x, 2.2)
            yield z, paint_sign_post, (x, z)
        if rng.random() < 0.15:
            z = _near(scene, x, 2.0)
            yield z, paint_traffic_light, (x, z)
        if rng.random() < 0.1:
            for z in np.arange(_near(scene, x, 1.1), 20, rng.uniform(2, 3.5)).tolist():
                yield z, paint_post, (x + side * 0.1, z, 1.0, 0.14)
