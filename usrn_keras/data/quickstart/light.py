"""Weather and time of day: colours at a distance, and the sky."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from usrn_keras.data.quickstart.canvas import SKY, smooth_noise

KINDS = ("sun", "clouds", "overcast", "haze", "dusk", "night")
SHARES = (0.25, 0.24, 0.22, 0.08, 0.13, 0.08)


def rgb(*levels: float) -> np.ndarray:
    """Create a colour from three levels in 0..1."""
    return np.array(levels, np.float32)


@dataclass(frozen=True)
class Light:
    """Light of a scene; colours are RGB in 0..1.

    Attributes:
        kind: One of `KINDS`.
        colour: Colour of a white surface.
        haze: Colour at a large distance.
        sight: Distance in metres at which 63 % of a colour is haze.
        sun_side: Side of the sun, -1 or 1; 0 without shadows.
        lamps: Whether windows and lamps are lit.
    """

    kind: str
    colour: np.ndarray
    haze: np.ndarray
    sight: float
    sun_side: int
    lamps: bool

    def lit(self, albedo: np.ndarray, depth, facing: float = 1.0) -> np.ndarray:
        """Colour of a surface `(..., 3)` at a depth; `facing` is 1 towards the light."""
        return self.glowing(albedo * (self.colour * facing), depth)

    def glowing(self, colour: np.ndarray, depth) -> np.ndarray:
        """Colour of a light source."""
        clear = np.exp(np.asarray(depth, np.float32) * np.float32(-1 / self.sight))[..., None]
        return (colour - self.haze) * clear + self.haze

    def facing(self, side: int) -> float:
        """Brightness of a wall on a side of the street (-1 left, 1 right, 0 across it)."""
        if self.sun_side == 0:
            return 0.9
        return {0: 0.85, self.sun_side: 0.6, -self.sun_side: 1.1}[side]


def draw_light(rng: np.random.Generator) -> Light:
    """Draw weather and time of day."""
    kind = str(rng.choice(KINDS, p=SHARES))
    side = int(rng.choice([-1, 1]))
    level = rng.uniform(0.85, 1.15)
    looks = {
        "sun": (rgb(1.15, 1.1, 1.0), rgb(0.75, 0.85, 0.95), 260, side),
        "clouds": (rgb(1.0, 1.0, 1.0), rgb(0.78, 0.83, 0.9), 220, side),
        "overcast": (rgb(0.72, 0.75, 0.78), rgb(0.72, 0.75, 0.78), 130, 0),
        "haze": (rgb(0.85, 0.83, 0.8), rgb(0.83, 0.82, 0.79), 45, 0),
        "dusk": (rgb(0.62, 0.47, 0.42), rgb(0.62, 0.45, 0.42), 150, side),
        "night": (rgb(0.27, 0.29, 0.36), rgb(0.2, 0.2, 0.27), 140, 0),
    }
    colour, haze, sight, sun = looks[kind]
    tint = 1 + rng.normal(0, 0.05, 3).astype(np.float32)
    lamps = kind in ("dusk", "night")
    return Light(kind, colour * level * tint, haze * tint, sight * rng.uniform(0.7, 1.4), sun, lamps)


def paint_sky(scene) -> None:
    """Paint the sky down to the horizon: a gradient to the zenith, and clouds."""
    rng, light, canvas = scene.rng, scene.light, scene.canvas
    height, width = scene.camera.ground_row, canvas.mask.shape[1]
    zenith, cloud, cover = {
        "sun": (rgb(0.2, 0.42, 0.8), rgb(1, 1, 1), -1.6),
        "clouds": (rgb(0.3, 0.52, 0.85), rgb(0.97, 0.97, 0.98), 0.1),
        "overcast": (rgb(0.62, 0.65, 0.7), rgb(0.86, 0.87, 0.88), 0.0),
        "haze": (rgb(0.8, 0.82, 0.84), rgb(0.93, 0.92, 0.9), -0.3),
        "dusk": (rgb(0.3, 0.3, 0.52), rgb(0.95, 0.55, 0.35), -0.3),
        "night": (rgb(0.07, 0.08, 0.17), rgb(0.3, 0.27, 0.3), -0.6),
    }[light.kind]
    zenith = zenith * (1 + rng.normal(0, 0.12, 3).astype(np.float32))
    up = np.clip(1 - np.arange(height, dtype=np.float32) / max(scene.camera.horizon, 1), 0, 1)[:, None, None]
    sky = light.haze * (1 - up**0.6) + zenith * up**0.6
    # Clouds are wider than high, so the field is drawn at half the width and stretched.
    field = smooth_noise(rng, (height, width // 2), int(rng.integers(2, 5)), octaves=4)
    field = cv2.resize(field, (width, height))[..., None]
    share = np.clip((field + cover) * rng.uniform(0.6, 1.6), 0, 0.9)
    canvas.image[:height] = sky + (cloud * (0.9 + 0.06 * field) - sky) * share
    canvas.mask[:height] = SKY
