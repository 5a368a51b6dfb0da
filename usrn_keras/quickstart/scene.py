"""One street: what stands where, painted from far to near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.quickstart.buildings import paint_end, paint_house
from usrn_keras.quickstart.camera import Camera
from usrn_keras.quickstart.canvas import Canvas
from usrn_keras.quickstart.cars import paint_car
from usrn_keras.quickstart.furniture import paint_lamp, paint_post, paint_sign_post, paint_traffic_light
from usrn_keras.quickstart.ground import paint_ground
from usrn_keras.quickstart.light import Light, draw_light, paint_sky
from usrn_keras.quickstart.noise import Grain
from usrn_keras.quickstart.persons import paint_person
from usrn_keras.quickstart.photograph import photograph
from usrn_keras.quickstart.trees import paint_far_trees, paint_hedge, paint_tree

SUPERSAMPLING = 2  # scenes are painted at twice the size, so that edges come out smooth
# Share of houses, hedges and gaps along the street, and of tree places taken, for each kind of street.
LAYOUTS = {
    "city": (0.92, 0.02, 0.06, 0.1),
    "avenue": (0.7, 0.1, 0.2, 0.6),
    "suburb": (0.45, 0.35, 0.2, 0.35),
    "outskirts": (0.15, 0.35, 0.5, 0.35),
}


@dataclass(frozen=True)
class Street:
    """The plan of a street, in metres; the camera stands at `x = 0`."""

    layout: str
    kerbs: tuple[float, float]
    pavements: tuple[float, float]
    roofline: float
    crossing: float | None

    @property
    def half_width(self) -> float:
        return (self.kerbs[1] - self.kerbs[0]) / 2

    def building_line(self, side: int) -> float:
        """Distance of the houses of a side (-1 left, 1 right) from the camera."""
        return self.kerbs[1] + self.pavements[1] if side > 0 else self.pavements[0] - self.kerbs[0]


@dataclass(frozen=True)
class Scene:
    """All that a painter needs; `thinnest` is one pixel of the final image in pixels of the canvas."""

    rng: np.random.Generator
    camera: Camera
    light: Light
    street: Street
    canvas: Canvas
    grain: Grain
    thinnest: float


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        rng: All chance comes from here.
        size: Height and width in pixels.

    Returns:
        Image `(height, width, 3)` uint8 RGB and mask `(height, width)` uint8 of class ids.
    """
    painted = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    scene = Scene(
        rng,
        _camera(rng, painted),
        draw_light(rng),
        _street(rng),
        Canvas(painted),
        Grain(rng),
        2 * SUPERSAMPLING,
    )
    paint_sky(scene)
    _paint_distance(scene)
    paint_ground(scene)
    for side in (-1, 1):
        _paint_side(scene, side)
    for _, paint, arguments in sorted(_things(scene), key=lambda thing: -thing[0]):
        paint(scene, *arguments)
    return photograph(rng, scene.canvas, size)


def _camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    height, width = size
    return Camera(
        focal=width * rng.uniform(0.55, 1.0),
        horizon=height * rng.uniform(0.38, 0.6),
        vanishing=width * rng.uniform(0.32, 0.68),
        eye=rng.uniform(1.2, 2.6),
        size=size,
    )


def _street(rng: np.random.Generator) -> Street:
    width, at = rng.uniform(6, 12), rng.uniform(0.3, 0.7)
    return Street(
        layout=str(rng.choice(list(LAYOUTS), p=(0.35, 0.25, 0.25, 0.15))),
        kerbs=(-width * at, width * (1 - at)),
        pavements=(rng.uniform(1.5, 5), rng.uniform(1.5, 5)),
        roofline=rng.uniform(5, 20),
        crossing=rng.uniform(6, 25) if rng.random() < 0.3 else None,
    )


def _paint_distance(scene: Scene) -> None:
    """What closes the view: woods, a few far houses, a front across the street."""
    rng = scene.rng
    if rng.random() < 0.5:
        paint_far_trees(scene)
    for depth in np.sort(rng.uniform(70, 130, rng.integers(0, 4)))[::-1]:
        paint_end(scene, float(depth))


def _paint_side(scene: Scene, side: int) -> None:
    """Houses, hedges and gaps along one side, from the far end to behind the camera."""
    rng = scene.rng
    house, hedge, gap, _ = LAYOUTS[scene.street.layout]
    far = rng.uniform(50, 90)
    while far > 1:
        near = far - rng.uniform(6, 16)
        kind = rng.choice(["house", "hedge", "gap"], p=(house, hedge, gap))
        if kind == "house":
            paint_house(scene, side, near, far)
        elif kind == "hedge":
            paint_hedge(scene, side, near, far)
        far = near - float(rng.choice([0.0, 0.0, 3.0]))


def _things(scene: Scene) -> list[tuple]:
    """All that stands in the street, as (depth, painter, its arguments)."""
    return [
        *((z, paint_tree, (x, z)) for x, z in _tree_places(scene)),
        *((z, paint_car, (x, z, yaw)) for x, z, yaw in _car_places(scene)),
        *((z, paint_person, (x, z)) for x, z in _person_places(scene)),
        *_furniture(scene),
    ]


def _tree_places(scene: Scene):
    rng, share = scene.rng, LAYOUTS[scene.street.layout][3]
    for side in (-1, 1):
        line = scene.street.building_line(side)
        for z in np.arange(rng.uniform(6, 14), 60, rng.uniform(7, 12)):
            if rng.random() < share:
                yield side * (line - rng.uniform(0.3, 1.2)), float(z + rng.normal(0, 1))


def _car_places(scene: Scene):
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


def _person_places(scene: Scene):
    """On the pavements, alone or in groups, now and then on the carriageway."""
    rng, street = scene.rng, scene.street
    for _ in range(rng.poisson(1.7)):
        side = rng.choice([-1, 1])
        kerb = street.kerbs[1] if side > 0 else -street.kerbs[0]
        crosses = rng.random() < 0.25
        x = side * (rng.uniform(0, kerb) if crosses else rng.uniform(kerb, street.building_line(side)) + 0.3)
        z = _near(scene, x, 3.0)
        for i in range(rng.choice([1, 1, 2, 3])):
            yield x + 0.6 * i, z + rng.normal(0, 0.3)


def _near(scene: Scene, x: float, spread: float) -> float:
    """A depth at which something at `x` is in the picture, and large more often than small."""
    first = max(4.5, 1.05 * scene.camera.entry(x))
    return float(first * spread ** scene.rng.random())


def _furniture(scene: Scene):
    """Lamps, sign posts, traffic lights and bollards along the kerbs."""
    rng, street = scene.rng, scene.street
    for side in (-1, 1):
        x = side * (0.4 + (street.kerbs[1] if side > 0 else -street.kerbs[0]))
        if rng.random() < 0.5:
            for z in np.arange(_near(scene, x, 2.0), 25, rng.uniform(12, 22)).tolist():
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
