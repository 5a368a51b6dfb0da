"""Compose an aerial scene: place its objects, light it and photograph it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from usrn_keras.data.quickstart import aerial_ground as ground
from usrn_keras.data.quickstart.aerial_canvas import AerialCanvas, smooth_noise
from usrn_keras.data.quickstart.aerial_objects import draw_counts, place_object

SUPERSAMPLING = 2  # scenes are painted at twice the size for smooth edges
METRES = 128.0  # length of the short side of a scene
SHADE = np.array([0.5, 0.44, 0.34], np.float32)  # share of red, green and blue that a shadow takes
AIR = np.array([0.75, 0.8, 0.88], np.float32)  # colour of haze


class AerialScene(NamedTuple):
    """A scene.

    Attributes:
        image: RGB `(height, width, 3)` uint8.
        mask: Class of each pixel, `(height, width)` uint8.
        modes: Look of each pixel within its class, `(height, width)` uint8.
    """

    image: np.ndarray
    mask: np.ndarray
    modes: np.ndarray


def draw_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    modes: int = 4,
    imbalance: float = 40.0,
    complete: bool = False,
) -> AerialScene:
    """Draw one scene.

    Args:
        rng: Random generator.
        size: Height and width in pixels.
        modes: Number of looks of each class.
        imbalance: Expected ratio of the pixels of the largest class to those of the smallest.
        complete: Whether to try to place every class.
    """
    scale = SUPERSAMPLING * min(size) / METRES
    canvas = AerialCanvas.blank((size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), scale)
    # Each part has its own generator, so that the layout changes little with `modes` and `imbalance`.
    count_rng, water_rng, road_rng, tree_rng, object_rng, light_rng = rng.spawn(6)
    counts = draw_counts(count_rng, METRES**2 * max(size) / min(size), modes, imbalance)
    if complete:
        counts = {name: max(1, count) for name, count in counts.items()}
    ground.paint_fields(canvas, rng, modes)
    if rng.random() < 0.3 or counts["boat"]:
        ground.paint_water(canvas, water_rng, modes)
    roads = [ground.paint_road(canvas, road_rng, modes) for _ in range(1 + (road_rng.random() < 0.25))]
    ground.paint_trees(canvas, tree_rng, modes)
    for name, count in {"building": object_rng.integers(3, 8), **counts}.items():
        for _ in range(count):
            place_object(canvas, object_rng, name, modes, roads)
    return _photograph(canvas, light_rng, size)


def _photograph(canvas: AerialCanvas, rng: np.random.Generator, size: tuple[int, int]) -> AerialScene:
    """Reduce the canvas to an image, with sunlight and the exposure, haze, blur and noise of a camera."""

    def reduced(plane: np.ndarray) -> np.ndarray:
        return cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)

    light, shadow = _sunlight(reduced(canvas.height), canvas.scale / SUPERSAMPLING, rng)
    haze = np.float32(rng.uniform(0, 0.12))
    balance = rng.uniform(0.85, 1.15) * rng.normal(1, 0.03, 3)
    planes = []
    for plane, shade, factor, air in zip(canvas.image, SHADE, balance.astype(np.float32), AIR, strict=True):
        lit = np.clip(reduced(plane) * light * (1 - shade * shadow) * factor, 0, 1)
        planes.append(lit + haze * (air - lit))
    image = cv2.GaussianBlur(cv2.merge(planes), (3, 3), rng.uniform(0.3, 0.7))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.006, 0.02))
    image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    centres = np.s_[::SUPERSAMPLING, ::SUPERSAMPLING]
    return AerialScene(image, canvas.mask[centres].copy(), canvas.modes[centres].copy())


def _sunlight(height: np.ndarray, scale: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Compute the light on each pixel from slopes and clouds, and its share of cast shadow, float32.

    Args:
        height: Height above the ground in metres.
        scale: Pixels per metre.
        rng: Generator of the position of the sun and of the clouds.
    """
    angle, drop = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.5)  # metres of height per metre of shadow
    east, south = float(np.cos(angle)), float(np.sin(angle))
    caster = np.zeros_like(height)
    for metres in np.arange(1, 12 / drop):
        move = np.float32([[1, 0, metres * east * scale], [0, 1, metres * south * scale]])
        moved = cv2.warpAffine(height, move, height.shape[::-1], flags=cv2.INTER_LINEAR)
        np.maximum(caster, moved - np.float32(metres * drop), out=caster)
    shadow = np.clip((caster - height) * 2, 0, 1)
    slope = -cv2.Sobel(height, cv2.CV_32F, 1, 0) * east - cv2.Sobel(height, cv2.CV_32F, 0, 1) * south
    clouds = 1 + 0.06 * smooth_noise(rng, height.shape, 70 * scale)
    return np.clip(1 - np.float32(0.028 * scale) * slope, 0.6, 1.35) * clouds, shadow
