"""Place the objects of an aerial scene: buildings and the rare classes."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.aerial_canvas import AerialCanvas, draw_mode, draw_tint, rotated
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
    mode, ground = draw_mode(rng, modes), CLASSES.index(GROUND.get(name, "field"))
    look = LOOKS[name][mode]
    half_size = np.array(look.size) / 2 * rng.uniform(0.9, 1.1, 2)
    tint = draw_tint(rng)
    if name in FROM_ROAD:
        centres, angles = _beside_road(rng, roads, FROM_ROAD[name], canvas.scale)
    else:
        free = np.flatnonzero(canvas.mask == ground)
        places = rng.choice(free, TRIES) if len(free) else np.empty(0, int)
        centres = np.stack(np.divmod(places, canvas.mask.shape[1])[::-1], axis=1)
        angles = rng.uniform(0, 2 * np.pi, len(places))
    front = 0.8 * half_size[0] * canvas.scale * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    probes = np.stack([centres, centres + front, centres - front]).astype(np.int32)
    inside = ((probes >= 0) & (probes < canvas.mask.shape[::-1])).all(axis=(0, 2))
    columns, rows = np.moveaxis(probes[:, inside], 2, 0)
    fits = (canvas.mask[rows, columns] == ground).all(axis=0)  # a cheap test, which rejects most places
    for centre, angle in zip(probes[0, inside][fits], angles[inside][fits], strict=True):
        if _stamp(canvas, name, mode, half_size, tint, centre, angle, ground):
            return


def _beside_road(rng, roads, distance, scale) -> tuple[np.ndarray, np.ndarray]:
    """Draw places at some distance from the centre of a road, and its direction there."""
    road = roads[int(rng.integers(len(roads)))]
    points = rng.integers(1, len(road), TRIES)
    columns, rows = (road[points] - road[points - 1]).T
    angles = np.arctan2(rows, columns) + np.pi * rng.integers(0, 2, TRIES)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=1) * scale
    return road[points] + rng.uniform(*distance, (TRIES, 1)) * across, angles


def _stamp(canvas, name, mode, half_size, tint, centre, angle, ground) -> bool:
    """Paint an object with its centre at (column, row), if it covers its ground alone."""
    look, (column, row) = LOOKS[name][mode], centre.tolist()
    length, width = half_size.astype(np.float32)
    reach = int(np.hypot(length, width) * canvas.scale) + 2
    top, left = max(0, row - reach), max(0, column - reach)
    part = canvas.window(slice(top, row + reach), slice(left, column + reach))
    a, b = rotated(part.mask.shape, (row - top, column - left), angle, canvas.scale)
    u, v = a / length, b / width
    if look.taper:
        v /= 1 - look.taper * np.clip(0.5 + u / 2, 0, 1) ** 2
    edge = np.abs(u) ** look.power + np.abs(v) ** look.power
    where = edge <= 1
    if (part.mask[where] != ground).any():
        return False
    a, b, u, v, edge = (values[where] for values in (a, b, u, v, edge))
    part.paint(where, name, mode, _pattern(look, a, b, u, v, edge ** (1 / look.power)), tint)
    part.height[where] = look.height * (1 - 0.5 * look.ridge * np.abs(v))
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
