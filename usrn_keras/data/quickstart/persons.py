"""Paint persons: legs, trunk, arms and head in clothes of random colours."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.canvas import PERSON
from usrn_keras.data.quickstart.light import rgb

SKIN = [(0.88, 0.7, 0.6), (0.72, 0.52, 0.4), (0.5, 0.34, 0.25), (0.3, 0.2, 0.15)]
HAIR = [(0.1, 0.08, 0.07), (0.3, 0.2, 0.12), (0.6, 0.48, 0.3), (0.55, 0.55, 0.55)]


def paint_person(scene, x: float, z: float) -> None:
    """Paint one person at `(x, z)`."""
    rng = scene.rng
    height = rng.uniform(1.55, 1.9) if rng.random() < 0.85 else rng.uniform(1.0, 1.4)
    person = _Person(scene, x, z, height)
    clothes, trousers = _cloth(rng), _cloth(rng)
    stride = rng.uniform(0.02, 0.28) * rng.choice([-1, 1])
    coat = rng.uniform(0.3, 0.5)  # height of the lower edge of the coat or skirt
    for foot in (-0.06 - stride / 2, 0.06 + stride / 2):
        person.limb((foot, 0.0), (np.sign(foot) * 0.05, 0.5), 0.075, trousers)
    person.part([(-0.11, coat), (0.11, coat), (0.125, 0.81), (-0.125, 0.81)], clothes)
    swing = rng.uniform(-0.14, 0.14)
    for shoulder in (-0.12, 0.12):
        person.limb(
            (shoulder * 1.3 + swing * np.sign(shoulder), 0.45), (shoulder, 0.8), 0.055, clothes * 0.85
        )
    if rng.random() < 0.3:
        bag = np.sign(rng.normal()) * 0.16
        person.part(
            [(bag - 0.06, 0.42), (bag + 0.06, 0.42), (bag + 0.06, 0.62), (bag - 0.06, 0.62)], _cloth(rng)
        )
    person.head(
        rgb(*SKIN[rng.integers(4)]), rgb(*HAIR[rng.integers(4)]) if rng.random() < 0.7 else _cloth(rng)
    )


def _cloth(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour, more often a dull or dark one."""
    grey = rng.uniform(0.05, 0.85)
    colour = grey + rng.uniform(0, 0.9) * (rng.random(3) - 0.5)
    return np.clip(colour, 0.03, 0.95).astype(np.float32)


class _Person:
    """Painter of one person; parts have coordinates (across, up) in units of the body height."""

    def __init__(self, scene, x, z, height):
        self.scene, self.x, self.z, self.height = scene, x, z, height

    def pixels(self, points) -> np.ndarray:
        points = np.asarray(points, float) * self.height
        world = np.stack([points[:, 0] + self.x, points[:, 1], np.full(len(points), self.z)], axis=-1)
        return self.scene.camera.project(world)

    def part(self, points, colour) -> None:
        self.scene.canvas.polygon(self.pixels(points), self.scene.light.lit(colour, self.z, 0.95), PERSON)

    def limb(self, low, high, width, colour) -> None:
        (a, bottom), (b, top) = low, high
        w = width / 2
        self.part([(a - w, bottom), (a + w, bottom), (b + w, top), (b - w, top)], colour)

    def head(self, skin, hair) -> None:
        lit, radius = self.scene.light.lit, self.scene.camera.pixels(0.065 * self.height, self.z)
        crown, face = self.pixels([(0, 0.94), (0.01, 0.915)])
        self.scene.canvas.ellipse(crown, (radius, radius * 1.15), lit(hair, self.z), PERSON)
        self.scene.canvas.ellipse(face, (radius * 0.8, radius), lit(skin, self.z), PERSON)
