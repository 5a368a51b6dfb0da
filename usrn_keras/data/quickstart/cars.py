"""Paint cars: a side outline extruded to the width of a car, rotated and projected."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.canvas import CAR
from usrn_keras.data.quickstart.light import rgb

# Outline from the tail along the roof to the nose, as (length, height) in metres.
OUTLINES = {
    "hatch": [(0, 0.3), (0, 0.85), (0.35, 1.42), (2.1, 1.45), (2.9, 0.95), (3.9, 0.8), (4.0, 0.3)],
    "saloon": [(0, 0.3), (0, 0.9), (0.7, 0.95), (1.3, 1.4), (2.5, 1.42), (3.3, 0.95), (4.5, 0.8), (4.6, 0.3)],
    "tall": [(0, 0.35), (0, 1.0), (0.2, 1.75), (2.9, 1.78), (3.5, 1.1), (4.4, 1.0), (4.5, 0.35)],
    "van": [(0, 0.4), (0, 1.2), (0.02, 2.2), (3.6, 2.25), (4.4, 1.3), (5.0, 1.1), (5.1, 0.4)],
}
SHARES = (0.34, 0.32, 0.2, 0.14)
PAINTS = [
    (0.9, 0.9, 0.9),
    (0.07, 0.07, 0.08),
    (0.5, 0.52, 0.55),
    (0.25, 0.27, 0.3),
    (0.6, 0.08, 0.08),
    (0.1, 0.2, 0.5),
] * 2
PAINTS += [(0.85, 0.7, 0.1), (0.15, 0.4, 0.25), (0.75, 0.4, 0.12), (0.6, 0.5, 0.38), (0.4, 0.6, 0.72)]
GLASS, RUBBER, METAL = rgb(0.13, 0.16, 0.2), rgb(0.06, 0.06, 0.06), rgb(0.55, 0.55, 0.55)


def paint_car(scene, x: float, z: float, yaw: float) -> None:
    """Paint one car with its middle at `(x, z)`; yaw 0 shows its tail, in radians to the right."""
    rng = scene.rng
    outline = np.array(OUTLINES[str(rng.choice(list(OUTLINES), p=SHARES))]) * rng.uniform(0.92, 1.08)
    body = rgb(*PAINTS[rng.integers(len(PAINTS))]) * rng.uniform(0.8, 1.15)
    car = _Car(scene, outline, x, z, yaw, body)
    car.shadow()
    car.shell()
    for side in (-1, 1):
        car.side(side)


class _Car:
    """Painter of one car, whose axes are across, up, along."""

    def __init__(self, scene, outline, x, z, yaw, body):
        self.scene, self.outline, self.body = scene, outline, body
        self.middle, self.depth = np.array([x, 0.0, z]), z
        self.belt = 0.62 * outline[:, 1].max()  # height of the lower edge of the windows
        self.length = outline[:, 0].max()
        self.turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])

    def pixels(self, points) -> np.ndarray:
        """Project points `(n, 3)` of the car (across, up, along) in metres to pixels `(n, 2)`."""
        points = np.asarray(points, float) - [0, 0, self.length / 2]
        return self.scene.camera.project(points @ self.turn.T + self.middle)

    def fill(self, points, colour, glowing=False) -> None:
        shade = self.scene.light.glowing if glowing else self.scene.light.lit
        self.scene.canvas.polygon(self.pixels(points), shade(colour, self.depth), CAR)

    def half_width(self, height: float) -> float:
        return 0.86 if height <= self.belt + 0.1 else 0.7

    def shadow(self) -> None:
        ends = (-0.3, self.length + 0.3)
        corners = [(-1.1, 0, ends[0]), (1.1, 0, ends[0]), (1.1, 0, ends[1]), (-1.1, 0, ends[1])]
        self.scene.canvas.darken(self.pixels(corners), 0.45)

    def shell(self) -> None:
        """Paint tail, panes, roof and nose: a strip across the car for each visible edge of the outline."""
        edges = list(zip(self.outline[:-1], self.outline[1:], strict=True))
        strips = [self.strip(start, end) for start, end in edges]
        for i in sorted(range(len(edges)), key=lambda i: -self.distance(strips[i])):
            if _area(self.pixels(strips[i])) >= 0:
                continue
            start, end = edges[i]
            steep = abs(end[1] - start[1]) > 0.25
            self.fill(strips[i], self.body * (0.8 if steep else 1.08))
            if steep and (start[1] > self.belt - 0.1 or end[1] > self.belt + 0.15):
                self.fill(_inset(strips[i], 0.82), GLASS * self.scene.rng.uniform(0.7, 2.0))
            if i in (0, len(edges) - 1):
                self.lamps(start, end, tail=i == 0)

    def strip(self, start, end) -> np.ndarray:
        a, b = self.half_width(start[1]), self.half_width(end[1])
        return np.array(
            [(-a, start[1], start[0]), (a, start[1], start[0]), (b, end[1], end[0]), (-b, end[1], end[0])]
        )

    def distance(self, corners) -> float:
        return float((corners.mean(axis=0) - [0, 0, self.length / 2]) @ self.turn[2])

    def lamps(self, start, end, tail) -> None:
        low, high = sorted((start[1], end[1]))
        at = start[0] if tail else end[0]
        colour = rgb(0.8, 0.05, 0.03) if tail else rgb(1, 0.97, 0.85)
        top, bottom = high - 0.05, high - 0.3 * (high - low) - 0.05
        for left, right in ((-0.82, -0.5), (0.5, 0.82)):
            box = [(left, bottom, at), (right, bottom, at), (right, top, at), (left, top, at)]
            self.fill(box, colour, glowing=self.scene.light.lamps)
        plate = [
            (-0.28, low + 0.1, at),
            (0.28, low + 0.1, at),
            (0.28, low + 0.24, at),
            (-0.28, low + 0.24, at),
        ]
        self.fill(plate, rgb(0.85, 0.85, 0.75))

    def side(self, side: int) -> None:
        """Paint a side if it is visible: door, windows, wheels."""
        wall = np.array([(side * self.half_width(up), up, along) for along, up in self.outline])
        if side * _area(self.pixels(wall)) <= 0:
            return
        self.fill(wall, self.body * 0.9)
        high = self.outline[self.outline[:, 1] > self.belt + 0.15]
        low = np.array([(high[-1, 0] + 0.45, self.belt), (max(high[0, 0] - 0.25, 0.15), self.belt)])
        band = np.concatenate([high - [0, 0.1], low])
        self.fill([(side * 0.78, up, along) for along, up in band], GLASS)
        for along in (0.19 * self.length, 0.8 * self.length):
            self.wheel(side, along)

    def wheel(self, side: int, along: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        for radius, colour in ((0.33, RUBBER), (0.18, METAL)):
            rim = [(side * 0.87, 0.33 + radius * np.sin(a), along + radius * np.cos(a)) for a in angle]
            self.fill(rim, colour)


def _area(pixels: np.ndarray) -> float:
    """Twice the signed area of a polygon; the sign is the orientation, and thus the visible face."""
    x, y = pixels.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def _inset(corners: np.ndarray, factor: float) -> np.ndarray:
    centre = corners.mean(axis=0)
    return centre + (corners - centre) * factor
