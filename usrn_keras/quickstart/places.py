"""Where trees, cars, persons and street furniture stand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from usrn_keras.quickstart.cars import paint_car
from usrn_keras.quickstart.furniture import paint_lamp, paint_post, paint_sign_post, paint_traffic_light
from usrn_keras.quickstart.persons import paint_person
from usrn_keras.quickstart.trees import paint_tree


def things(scene) -> list[tuple]:
    """All that stands in the street, as (depth, painter, its arguments)."""
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
    """Parked along the kerbs, driving in both directions, now and then turning across."""
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
    """On the pavements, alone or in groups, now and then on the carriageway."""
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
    """A depth at which something at `x` is in the picture, and large more often than small."""
    first = max(4.5, 1.05 * scene.camera.entry(x))
    return float(first * spread ** scene.rng.random())


def _furniture(scene) -> Iterator[tuple]:
    """Lamps, sign posts, traffic lights and bollards along the kerbs."""
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
