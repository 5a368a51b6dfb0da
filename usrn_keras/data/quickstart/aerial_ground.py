"""Paint what covers the ground of an aerial scene: fields, water, roads and trees."""

from __future__ import annotations

import cv2
import numpy as np

from usrn_keras.data.quickstart.aerial_canvas import AerialCanvas, draw_mode, draw_tint, rotated, smooth_noise
from usrn_keras.data.quickstart.looks import CLASSES, LOOKS

FIELD = CLASSES.index("field")
ROAD_WIDTH = 20.0  # metres
LINES = {"dashes": (0.0,), "edges": (-8.5, 8.5), "ruts": (-6.0, -3.0, 3.0, 6.0)}  # metres from the centre
SAND = np.array([0.72, 0.66, 0.52], np.float32)


def draw_path(rng: np.random.Generator, size: tuple[int, int], bend: float) -> np.ndarray:
    """Draw a curve across the scene.

    Args:
        rng: Random generator.
        size: Rows and columns of the canvas.
        bend: How far the curve deviates from a straight line, relative to its length.

    Returns:
        Points as complex numbers, column + i row, in pixels.
    """
    rows, columns = size
    centre = complex(columns * rng.uniform(0.25, 0.75), rows * rng.uniform(0.25, 0.75))
    t = np.linspace(-1, 1, 64)
    wave = bend * np.sin(2.2 * t + rng.uniform(0, 2 * np.pi))
    return centre + 0.75 * abs(complex(rows, columns)) * (t + 1j * wave) * np.exp(1j * rng.uniform(0, np.pi))


def paint_fields(canvas: AerialCanvas, rng: np.random.Generator, modes: int) -> None:
    """Paint parcels of up to three looks, which cover the whole scene."""
    size, scale = canvas.mask.shape, canvas.scale
    warp = smooth_noise(rng, size, 60 * scale) * 3
    a, b = rotated(size, (0, 0), rng.uniform(0, np.pi), scale)
    a, b = (a + warp) / rng.uniform(70, 120), b + warp
    wide = rng.uniform(45, 75)
    strip = np.floor(b / wide)
    a += np.float32(0.37) * strip
    patch = np.floor(a)
    parcel = (strip * 5 + patch).astype(np.intp) & 15  # 16 different parcels, repeated
    mode_of = np.array([draw_mode(rng, modes) for _ in range(3)])[rng.integers(0, 3, 16)]
    tints = [np.take(factors, parcel) for factors in zip(*(draw_tint(rng) for _ in range(16)), strict=True)]
    noise = smooth_noise(rng, size, 5 * scale) * 0.25 + smooth_noise(rng, size, 1.5 * scale) * 0.2 + 0.5
    for mode in set(mode_of.tolist()):
        look, mix = LOOKS["field"][mode], noise
        if look.pattern == "rows":
            mix = 0.3 * noise + 0.35 + 0.35 * np.cos(np.float32(2 * np.pi / look.period) * b)
        canvas.paint(np.take(mode_of == mode, parcel), "field", mode, mix, tints)
    border = (b - strip * wide < 1.5) | (a - patch < 0.015)
    canvas.image[...] *= 1 - np.float32(0.28) * border


def paint_water(canvas: AerialCanvas, rng: np.random.Generator, modes: int) -> None:
    """Paint a river or a lake with its bank."""
    size, scale = canvas.mask.shape, canvas.scale
    path = draw_path(rng, size, 0.15)
    radius = rng.uniform(13, 19) + 3 * np.sin(np.linspace(0, 9, 64) + rng.uniform(0, 6))
    if rng.random() < 0.4:  # lake
        path, radius = path[24:40], 1.7 * radius[24:40]
    area = np.zeros(size, np.uint8)
    for bank, value in ((4.0, 1), (0.0, 2)):
        for point, metres in zip(_pixels(path).tolist(), radius, strict=True):
            cv2.circle(area, point, max(1, int((metres + bank) * scale)), value, -1)
    for plane, sand in zip(canvas.image, draw_tint(rng) * SAND, strict=True):
        np.copyto(plane, sand, where=area == 1)
    waves = smooth_noise(rng, size, 2.5 * scale) * 0.35 + smooth_noise(rng, size, 14 * scale) * 0.3 + 0.5
    canvas.paint(area == 2, "water", draw_mode(rng, modes), waves, draw_tint(rng))


def paint_road(canvas: AerialCanvas, rng: np.random.Generator, modes: int) -> np.ndarray:
    """Paint a road with its markings, and return the points of its centre line that are on the canvas."""
    mode, scale = draw_mode(rng, modes), canvas.scale
    path = draw_path(rng, canvas.mask.shape, 0.06)
    along = np.gradient(path)
    across = 1j * along / np.abs(along) * scale
    area, marks = np.zeros((2, *canvas.mask.shape), np.uint8)
    _line(area, _pixels(path), ROAD_WIDTH * scale)
    pattern = LOOKS["road"][mode].pattern
    if pattern == "joints":
        for ends in _pixels(np.stack([path - 10 * across, path + 10 * across], axis=1))[::2]:
            _line(marks, ends, 0.8 * scale)
    for offset in LINES.get(pattern, ()):
        points = _pixels(path + offset * across)
        step = 1 if pattern == "dashes" else len(points)
        for first in range(0, len(points) - 1, 2 * step):
            _line(marks, points[first : first + step + 1], 1.3 * scale)
    noise = 1 + 0.04 * smooth_noise(rng, canvas.mask.shape, 1.2 * scale)
    canvas.paint(
        area > 0, "road", mode, marks.astype(np.float32), (factor * noise for factor in draw_tint(rng))
    )
    np.copyto(canvas.height, 0.6, where=area > 0)
    rows, columns = canvas.mask.shape
    return path[(path.imag >= 0) & (path.imag < rows) & (path.real >= 0) & (path.real < columns)]


def _pixels(points: np.ndarray) -> np.ndarray:
    """Convert complex numbers to pixels, `(..., 2)` int32."""
    return np.stack([points.real, points.imag], axis=-1).round().astype(np.int32)


def _line(area: np.ndarray, points: np.ndarray, width: float) -> None:
    cv2.polylines(area, [points], False, 1, max(1, round(width)))


def paint_trees(canvas: AerialCanvas, rng: np.random.Generator, modes: int) -> None:
    """Paint woods and single trees that stand in fields; crowns may hang over roads and water."""
    size, scale = canvas.mask.shape, canvas.scale
    mode = draw_mode(rng, modes)
    look = LOOKS["tree"][mode]
    spacing = look.period * 0.75 * scale
    grid = np.mgrid[0 : size[0] : spacing, 0 : size[1] : spacing].reshape(2, -1).T
    places = (grid + rng.uniform(0, spacing * 0.9, grid.shape)).astype(np.int32)
    places = np.unique(places[(places < size).all(axis=1)], axis=0)
    seeds = np.ones(size, np.uint8)
    seeds[tuple(places.T)] = 0
    distance, nearest = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    order = np.zeros(len(places) + 1, np.int32)
    order[nearest[tuple(places.T)]] = np.arange(len(places))  # OpenCV numbers the crowns in its own order
    density = smooth_noise(rng, size, 45 * scale)[tuple(places.T)] + rng.normal(0, 0.25, len(places))
    exists = (density > np.quantile(density, rng.uniform(0.65, 0.85))) | (rng.random(len(places)) < 0.03)
    exists &= canvas.mask[tuple(places.T)] == FIELD
    radius = look.period / 2 * scale * rng.uniform(0.75, 1.1, len(places)) * exists
    nearest = order[nearest]
    radius = radius.astype(np.float32)[nearest]
    where = distance < radius
    shades = rng.normal(1, 0.08, len(places)).astype(np.float32)[nearest]
    leaves = smooth_noise(rng, size, 1.5 * scale) * 0.4 + 0.5
    canvas.paint(where, "tree", mode, leaves, (factor * shades for factor in draw_tint(rng)))
    domes = np.float32(look.height) * np.sqrt(
        1 - 0.9 * np.where(where, distance, 0) ** 2 / np.maximum(radius, 1) ** 2
    )
    np.copyto(canvas.height, domes, where=where)
