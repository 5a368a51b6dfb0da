"""Paint street furniture: poles (lamps, posts, bollards) with signs and traffic lights."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.canvas import POLE, SIGN
from usrn_keras.data.quickstart.light import rgb

METALS = [(0.16, 0.17, 0.18), (0.1, 0.13, 0.12), (0.15, 0.22, 0.19), (0.8, 0.8, 0.78), (0.66, 0.68, 0.7)]
RED, WHITE, BLUE, GREEN = (
    rgb(0.8, 0.08, 0.1),
    rgb(0.93, 0.93, 0.9),
    rgb(0.08, 0.25, 0.65),
    rgb(0.05, 0.4, 0.25),
)
YELLOW, BLACK = rgb(0.95, 0.75, 0.1), rgb(0.07, 0.07, 0.07)
# By kind: corners of the outline (4 is a rectangle), border, face, width and height in metres.
SIGNS = {
    "limit": (20, RED, WHITE, 0.7, 0.7),
    "ban": (20, RED, RED, 0.65, 0.65),
    "order": (20, WHITE, BLUE, 0.65, 0.65),
    "warning": (3, RED, WHITE, 0.9, 0.8),
    "yield": (-3, RED, WHITE, 0.9, 0.8),
    "stop": (8, WHITE, RED, 0.75, 0.75),
    "priority": (-4, WHITE, YELLOW, 0.75, 0.75),
    "parking": (4, WHITE, BLUE, 0.6, 0.75),
    "arrow": (4, WHITE, GREEN, 1.5, 0.45),
    "works": (4, BLACK, YELLOW, 0.9, 0.6),
}


def paint_post(scene, x: float, z: float, height: float, width: float) -> np.ndarray:
    """Paint a pole, at least `scene.thinnest` wide; returns its colour."""
    metal = rgb(*METALS[scene.rng.integers(len(METALS))]) * scene.rng.uniform(0.8, 1.15)
    half = max(width / 2, 0.5 * scene.thinnest * z / scene.camera.focal)
    corners = np.array([(x - half, 0, z), (x + half, 0, z), (x + half, height, z), (x - half, height, z)])
    scene.canvas.polygon(scene.camera.project(corners), scene.light.lit(metal, z, 0.9), POLE)
    return metal


def paint_lamp(scene, x: float, z: float) -> None:
    """Paint a street lamp: a tall pole, an arm over the road, and a head that glows at night."""
    rng, camera, canvas, light = scene.rng, scene.camera, scene.canvas, scene.light
    height, reach = rng.uniform(4.0, 8.0), -np.sign(x) * rng.uniform(0.2, 1.6)
    metal = paint_post(scene, x, z, height, rng.uniform(0.1, 0.18))
    thick = max(0.08, scene.thinnest * z / camera.focal)
    arm = [
        (x, height - thick, z),
        (x + reach, height + 0.2 - thick, z),
        (x + reach, height + 0.2, z),
        (x, height, z),
    ]
    canvas.polygon(camera.project(np.array(arm)), light.lit(metal, z), POLE)
    head = camera.project(np.array([x + reach, height + 0.15, z]))
    size = camera.pixels(0.3, z), camera.pixels(0.12, z)
    canvas.ellipse(
        head, size, light.glowing(rgb(1, 0.93, 0.7), z) if light.lamps else light.lit(metal, z), POLE
    )


def paint_sign_post(scene, x: float, z: float) -> None:
    """Paint a pole with one or two signs."""
    rng = scene.rng
    top = rng.uniform(2.2, 3.2)
    paint_post(scene, x, z, top, rng.uniform(0.08, 0.12))
    paint_sign(scene, x, top - 0.3, z)
    if rng.random() < 0.3:
        paint_sign(scene, x, top - 1.05, z)


def paint_sign(scene, x: float, y: float, z: float) -> None:
    """Paint one sign with its centre at `(x, y, z)`: border, face and mark."""
    rng = scene.rng
    corners, border, face, width, height = SIGNS[str(rng.choice(list(SIGNS)))]
    fade = rng.uniform(0.75, 1.1)
    half = (
        np.array([width, height]) / 2 * rng.uniform(0.95, 1.4) * [rng.uniform(0.6, 1.0), 1.0]
    )  # seen at an angle
    ring = _outline(corners)
    for scale, colour in ((1.0, border), (0.78, face)):
        _flat(scene, ring * scale * half, x, y, z, colour * fade)
    if rng.random() < 0.7:
        mark = np.array([(-0.4, -0.12), (0.4, -0.12), (0.4, 0.12), (-0.4, 0.12)])[:, :: rng.choice([-1, 1])]
        _flat(scene, mark * half, x, y, z, WHITE if face is not WHITE else BLACK)


def paint_traffic_light(scene, x: float, z: float) -> None:
    """Paint a traffic light, whose box has the class sign, on its pole."""
    rng = scene.rng
    top = rng.uniform(3.0, 3.8)
    paint_post(scene, x, z, top - 0.5, rng.uniform(0.11, 0.16))
    box = _outline(4) * np.array([0.24, 0.6])
    _flat(scene, box, x, top - 0.5, z, BLACK if rng.random() < 0.7 else YELLOW * 0.8)
    lamp = int(rng.integers(3))
    for i, colour in enumerate((rgb(1, 0.1, 0.05), rgb(1, 0.7, 0.1), rgb(0.1, 0.9, 0.5))):
        lens = _outline(20) * 0.15 + [0, 0.37 - 0.37 * i]
        _flat(scene, lens, x, top - 0.5, z, colour if i == lamp else colour * 0.25, glowing=i == lamp)


def _outline(corners: int) -> np.ndarray:
    """Outline in -1..1 as (across, up); 4 is upright, a negative number has a corner at the bottom."""
    if corners == 4:
        return np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    turn = -np.pi / 2 if corners < 0 else np.pi / 2 + (np.pi / corners if corners % 2 == 0 else 0)
    angle = turn + 2 * np.pi * np.arange(abs(corners)) / abs(corners)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _flat(scene, points, x, y, z, colour, glowing=False) -> None:
    world = np.stack([points[:, 0] + x, points[:, 1] + y, np.full(len(points), z)], axis=-1)
    shade = scene.light.glowing if glowing else scene.light.lit
    scene.canvas.polygon(scene.camera.project(world), shade(np.asarray(colour, np.float32), z), SIGN)
