"""Place the objects of an aerial scene: buildings and the rare classes."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.aerial_canvas import AerialCanvas, draw_tint, rotated
from usrn_keras.data.quickstart.looks import CLASSES, LOOKS, RARE, Look

LARGEST = 0.45  # share of the pixels of the largest class, field
GROUND = {"car": "road", "boat": "water"}  # class that an object stands on; all others: field
FROM_ROAD = {"car": (4.7, 4.7), "building": (26.0, 34.0)}  # distance from the centre line in metres
TRIES = 40


def draw_counts(rng: np.random.Generator, area: float, modes: int, imbalance: float) -> dict[str, int]:
    """Draw the number of objects of each rare class.

    Args:
        rng: Random generator.
        area: Area of the scene in square metres.
        modes: Number of looks of each class.
        imbalance: Expected ratio of the pixels of the largest class to those of the smallest.
    """
    counts = {}
    for name, share in RARE.items():
        object_area = np.mean([0.85 * look.size[0] * look.size[1] for look in LOOKS[name][:modes]])
        counts[name] = int(rng.poisson(LARGEST / imbalance * share * area / object_area))
    return counts


def place_object(
    canvas: AerialCanvas, rng: np.random.Generator, name: str, modes: int, roads: list[np.ndarray]
) -> None:
    """Paint an object of a random look at a random place; none if there is no room.

    Args:
        canvas: Canvas to paint on.
        rng: Random generator.
        name: Class of the object.
        modes: Number of looks of each class.
        roads: Centre lines, `(points, 2)` in pixels. Cars drive on them, buildings stand beside them.
    """
    mode, ground = int(rng.integers(modes)), CLASSES.index(GROUND.get(name, "field"))
    look, shape = LOOKS[name][mode], canvas.mask.shape
    length, width = np.array(look.size) / 2 * rng.uniform(0.9, 1.1, 2)
    if name in FROM_ROAD:
        road = roads[int(rng.integers(len(roads)))]
        points = rng.integers(1, len(road), TRIES)
        column, row = (road[points] - road[points - 1]).T
        angles = np.arctan2(row, column) + np.pi * rng.integers(0, 2, TRIES)
        across = np.stack([-np.sin(angles), np.cos(angles)], axis=1) * canvas.scale
        centres = road[points] + rng.uniform(*FROM_ROAD[name], (TRIES, 1)) * across
    else:
        free = np.flatnonzero(canvas.mask == ground)
        rows, columns = np.divmod(rng.choice(free, TRIES) if len(free) else np.full(TRIES, -1), shape[1])
        centres, angles = np.stack([columns, rows], axis=1), rng.uniform(0, 2 * np.pi, TRIES)
    front = 0.8 * length * canvas.scale * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    probes = np.stack([centres, centres + front, centres - front]).astype(np.int32)  # rejects most tries
    inside = ((probes >= 0) & (probes < shape[::-1])).all(axis=(0, 2))
    columns, rows = np.moveaxis(probes[:, inside], 2, 0)
    fits = (canvas.mask[rows, columns] == ground).all(axis=0)
    for centre, angle in zip(probes[0, inside][fits], angles[inside][fits], strict=True):
        if _stamp(canvas, draw_tint(rng), name, mode, (length, width), centre, angle, ground):
            return


def _stamp(canvas, tint, name, mode, half_size, centre, angle, ground) -> bool:
    """Paint an object with its centre at (column, row), if it covers its ground alone."""
    look, (length, width), (column, row) = LOOKS[name][mode], half_size, centre.tolist()
    reach = int(np.hypot(length, width) * canvas.scale) + 2
    top, left = max(0, row - reach), max(0, column - reach)
    part = canvas.window(slice(top, row + reach), slice(left, column + reach))
    a, b = rotated(part.mask.shape, (row - top, column - left), angle, canvas.scale)
    u, v = a / np.float32(length), b / np.float32(width)
    if look.taper:
        v /= 1 - look.taper * np.clip(0.5 + u / 2, 0, 1) ** 2
    edge = np.abs(u) ** look.power + np.abs(v) ** look.power
    where = edge <= 1
    if (part.mask[where] != ground).any():
        return False
    u, v, edge = u[where], v[where], edge[where] ** (1 / look.power)
    part.paint(where, name, mode, _pattern(look, a[where], b[where], u, v, edge), tint)
    part.height[where] = look.height * _roof(look.roof, v, edge)
    return True


def _pattern(look: Look, a, b, u, v, edge) -> np.ndarray:
    """Share of the accent at points `a` along and `b` across an object in metres, `u` and `v` in -1..1."""
    if look.pattern == "rows":
        return 0.5 + 0.5 * np.cos(2 * np.pi * a / look.period)
    if look.pattern == "grid":
        return (np.minimum(a % look.period, b % look.period) < 0.2 * look.period).astype(np.float32)
    if look.pattern == "rim":
        return (edge > 0.78).astype(np.float32)
    if look.pattern == "deck":
        return ((np.abs(v) < 0.55) & (u > -0.8) & (u < 0.35)).astype(np.float32)
    if look.pattern == "glass":
        window = ((u > 0.1) & (u < 0.45)) | ((u > -0.85) & (u < -0.6))
        return (window & (np.abs(v) < 0.8)).astype(np.float32)
    return np.full(a.shape, 0.5, np.float32)


def _roof(roof: str, v, edge) -> np.ndarray:
    """Height of the upper side, relative to that of the object."""
    return 1 - 0.5 * np.abs(v) if roof == "gable" else np.ones_like(edge)
