"""Paint road and pavement (one class): surfaces of several kinds, markings, shadows."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.quickstart.canvas import ROAD, smooth_noise
from usrn_keras.data.quickstart.light import rgb

SURFACES = {
    "asphalt": (rgb(0.3, 0.3, 0.32), 0.05),
    "worn": (rgb(0.5, 0.49, 0.47), 0.06),
    "concrete": (rgb(0.63, 0.61, 0.56), 0.04),
    "cobbles": (rgb(0.42, 0.38, 0.36), 0.07),
    "brick": (rgb(0.55, 0.38, 0.31), 0.06),
    "sand": (rgb(0.66, 0.58, 0.44), 0.05),
}
JOINTS = {"concrete": 3.0, "cobbles": 0.35, "brick": 0.5}  # metres between the joints of a surface


def paint_ground(scene) -> None:
    """Paint everything below the horizon: carriageway, pavements, kerbs, markings, shadows."""
    x, z = scene.camera.ground()
    left, right = scene.street.kerbs
    road = _surface(scene, ["asphalt", "asphalt", "worn", "worn", "concrete", "cobbles"], x, z)
    pavement = _surface(scene, ["concrete", "worn", "brick", "sand", "asphalt"], x, z)
    on_road = (x > left) & (x < right)
    albedo = np.where(on_road[..., None], road, pavement)
    kerb = (np.abs(x - left) < 0.15) | (np.abs(x - right) < 0.15)
    albedo[kerb] = albedo[kerb] * 0.5 + 0.33
    _markings(scene, albedo, x, z)
    albedo *= _shadows(scene, x, z)[..., None]
    _wetness(scene, albedo)
    colours = scene.light.lit(albedo, z)
    everywhere = np.ones(x.shape, bool)
    scene.canvas.paint(slice(scene.camera.ground_row, None), slice(None), everywhere, colours, ROAD)


def _surface(scene, kinds, x, z) -> np.ndarray:
    rng, grain = scene.rng, scene.grain
    kind = str(rng.choice(kinds))
    colour, roughness = SURFACES[kind]
    colour = colour * rng.uniform(0.75, 1.2) * (1 + rng.normal(0, 0.04, 3).astype(np.float32))
    rough = roughness * grain(x, z) + 0.05 * grain(x, z, per_metre=1.5)
    if kind in JOINTS:
        step = JOINTS[kind] * rng.uniform(0.8, 1.3)
        row = np.floor(z / step)
        joint = ((x / step + 0.5 * (row % 2)) % 1 < 0.12) | ((z / step) % 1 < 0.12)
        rough = rough - 0.09 * (joint & (z < 45 * step))
    return np.clip(colour * (1 + 2.2 * rough[..., None]), 0, 1).astype(np.float32)


def _markings(scene, albedo, x, z) -> None:
    """Paint lane lines and zebra crossings, worn according to the grain."""
    rng, (left, right) = scene.rng, scene.street.kerbs
    worn = scene.grain(x, z, per_metre=3.0) < rng.uniform(0.3, 1.4)
    paint = rgb(0.9, 0.9, 0.87) if rng.random() < 0.8 else rgb(0.9, 0.72, 0.2)
    lines = np.zeros(x.shape, bool)
    if rng.random() < 0.75:
        dashes = (z % 6 < rng.uniform(2, 4)) | (rng.random() < 0.25)
        lines |= (np.abs(x - (left + right) / 2) < 0.09) & dashes
    if rng.random() < 0.4:
        lines |= (np.abs(x - left - 0.5) < 0.07) | (np.abs(x - right + 0.5) < 0.07)
    if scene.street.crossing is not None:
        start = scene.street.crossing
        lines |= (z > start) & (z < start + 3) & (x > left) & (x < right) & (x % 1.1 < 0.55)
    albedo[lines & worn] = paint


def _shadows(scene, x, z) -> np.ndarray:
    """Compute the shadow of the houses on the side of the sun, and of trees outside the image."""
    rng, side = scene.rng, scene.light.sun_side
    if side == 0:
        return np.ones(x.shape, np.float32)
    reach = rng.uniform(-0.3, 1.0) * scene.street.half_width
    steps = scene.grain(z, np.zeros_like(z), per_metre=0.12) * 1.5
    shaded = side * x > reach + steps
    if rng.random() < 0.35:
        shaded |= scene.grain(x, z, per_metre=1.2) > 0.8
    return np.where(shaded, rng.uniform(0.45, 0.65), 1.0).astype(np.float32)


def _wetness(scene, albedo) -> None:
    """Paint puddles that reflect the sky."""
    rng = scene.rng
    if rng.random() < 0.8:
        return
    shape = albedo.shape[:2]
    share = np.clip(smooth_noise(rng, (4 * shape[0], shape[1]), 3)[::4] * 0.4 + 0.1, 0, 0.6)[..., None]
    albedo *= 1 - share
    albedo += share * np.minimum(scene.light.haze / scene.light.colour, 1.2)
