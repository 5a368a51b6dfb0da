"""Paint a street from far to near, and photograph it (roll, exposure, lens, sensor)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from usrn_keras.data.quickstart.buildings import paint_end, paint_house
from usrn_keras.data.quickstart.camera import Camera
from usrn_keras.data.quickstart.canvas import Grain, SceneCanvas, smooth_noise
from usrn_keras.data.quickstart.ground import paint_ground
from usrn_keras.data.quickstart.light import Light, draw_light, paint_sky
from usrn_keras.data.quickstart.street import Street, draw_street, things
from usrn_keras.data.quickstart.trees import paint_far_trees, paint_hedge


def photograph(
    rng: np.random.Generator, canvas: SceneCanvas, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Convert a canvas to an RGB image `(height, width, 3)` uint8 and a mask `(height, width)` uint8."""
    image, mask = _roll(rng, canvas.image, canvas.mask)
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    image *= (1 + 0.05 * smooth_noise(rng, size, 6, 4))[..., None]
    return _sense(rng, _expose(rng, image)), mask


def _roll(rng, image, mask):
    """Rotate image and mask by a few degrees about the centre, as by a camera that is not level."""
    height, width = mask.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 1.2), 1.04)
    image = cv2.warpAffine(
        image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    mask = cv2.warpAffine(mask, turn, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return image, mask


def _expose(rng, image):
    """Apply exposure, white balance, tone curve and a slight blur of the lens."""
    balance = rng.uniform(0.85, 1.15) * (1 + rng.normal(0, 0.04, 3).astype(np.float32))
    image = np.clip(image * balance.astype(np.float32), 0, 1) ** rng.uniform(0.8, 1.15)
    sigma = rng.uniform(0.3, 0.65)
    return cv2.GaussianBlur(image, (5, 5), sigma)


def _sense(rng, image):
    """Add sensor noise, which grows with brightness, and convert to eight bits."""
    level = rng.uniform(0.004, 0.016)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * level * (0.5 + np.sqrt(np.clip(image, 0, 1)))
    return np.round(np.clip(image + noise, 0, 1) * 255).astype(np.uint8)


SUPERSAMPLING = 2  # scenes are painted at twice the size for smooth edges
THINNEST = 1.8  # least width of poles in pixels of the final image; thinner poles would have gaps


@dataclass(frozen=True)
class Scene:
    """State of the painters; `thinnest` is the least width of a pole in pixels of the canvas."""

    rng: np.random.Generator
    camera: Camera
    light: Light
    street: Street
    canvas: SceneCanvas
    grain: Grain
    thinnest: float


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        rng: Random generator.
        size: Height and width in pixels.

    Returns:
        RGB image `(height, width, 3)` uint8 and mask `(height, width)` uint8 of class ids.
    """
    painted = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    scene = Scene(
        rng=rng,
        camera=_camera(rng, painted),
        light=draw_light(rng),
        street=draw_street(rng),
        canvas=SceneCanvas(painted),
        grain=Grain(rng),
        thinnest=THINNEST * SUPERSAMPLING,
    )
    paint_sky(scene)
    _paint_distance(scene)
    paint_ground(scene)
    for side in (-1, 1):
        _paint_side(scene, side)
    for _, paint, arguments in sorted(things(scene), key=lambda thing: -thing[0]):
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


def _paint_distance(scene: Scene) -> None:
    """Paint the background: woods, or fronts across the end of the street."""
    rng = scene.rng
    if rng.random() < 0.5:
        paint_far_trees(scene)
    for depth in np.sort(rng.uniform(70, 130, rng.integers(0, 4)))[::-1]:
        paint_end(scene, float(depth))


def _paint_side(scene: Scene, side: int) -> None:
    """Paint houses, hedges and gaps along one side, from the far end to the camera."""
    rng = scene.rng
    layout = scene.street.layout
    far = rng.uniform(50, 90)
    while far > 1:
        near = far - rng.uniform(6, 16)
        kind = rng.choice(["house", "hedge", "gap"], p=(layout.house, layout.hedge, layout.gap))
        if kind == "house":
            paint_house(scene, side, near, far)
        elif kind == "hedge":
            paint_hedge(scene, side, near, far)
        far = near - float(rng.choice([0.0, 0.0, 3.0]))
