"""The page of a run in headless Chromium: accessible by axe-core, and short on a phone.

Needs Chromium, and axe-core: the path of its `axe.min.js` in USRN_AXE, or npm to fetch it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from tests.report.test_pseudo_label_rates import record
from usrn_keras.metrics import Provenance, Scores
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.pictures import PredictedImage
from usrn_keras.report.run_page import run_page
from usrn_keras.report.run_summary import RunSummary
from usrn_keras.subclasses import SubclassMap

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESK = 390, 1280  # pixels of width
SCREEN = 844  # pixels of a phone's height
MOST_SCREENS = 8
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# The result is written into the document, for --dump-dom. Headless Chromium has no narrow windows, so that
# the page is in a frame of the width of the device.
FRAME = """<!DOCTYPE html><html lang="en"><title>frame</title><body><pre id="result"></pre>
<iframe title="page" src="page.html" width="{width}" height="844"></iframe><script>
addEventListener("message", event => {{ result.textContent = JSON.stringify(event.data); }});
</script></body></html>"""
CHECK = """<script src="axe.min.js"></script><script>addEventListener("load", async () => {{
  const root = document.documentElement, height = root.scrollHeight, width = root.scrollWidth;
  document.querySelectorAll("details").forEach(one => {{ one.open = true; }});
  const found = await axe.run(document, {{runOnly: {rules}}});
  const violations = found.violations.map(one => one.id + ": " + one.nodes.map(node => node.html).join(" "));
  parent.postMessage({{height, width, violations, passes: found.passes.length}}, "*");
}});</script>"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> Path:
    """The file `axe.min.js`."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    if named := os.environ.get("USRN_AXE"):
        assert Path(named).is_file(), f"USRN_AXE: {named} is no file"
        return Path(named)
    if shutil.which("npm") is None:
        pytest.skip("axe-core is missing: set USRN_AXE to its axe.min.js, or install npm")
    folder = tmp_path_factory.mktemp("axe")
    got = subprocess.run(
        ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "axe-core"], capture_output=True
    )
    if got.returncode:
        pytest.skip("axe-core is missing: set USRN_AXE to its axe.min.js; npm could not fetch it")
    return folder / "node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def html() -> str:
    return run_page(large_summary()).html()


def large_summary(classes: int = 21, images: int = 12) -> RunSummary:
    """A run of 21 classes with all sections, whose class colours are those of VOC."""
    rng = np.random.default_rng(0)
    names = tuple(f"class number {i}" if i % 5 else "trafficlight" for i in range(classes))
    confusion = rng.integers(0, 300, (classes, classes)) + np.diag(np.arange(classes) ** 2 * 40)
    provenance = Provenance("voc", "val", images, "0" * 16, "whole", "last")
    scores = [
        Scores(name, names, counts, provenance=provenance)
        for name, counts in (
            ("Baseline", confusion),
            ("prototype ensemble", confusion + 900 * np.eye(classes, dtype=int)),
        )
    ]
    stages = [
        Train("baseline", "Baseline", "supervised", 100, "training.baseline_steps", 0.1),
        Train("other", "prototype ensemble", "prototype_ensemble", 200, "training.usrn_steps", 0.1),
    ]
    sums = {"pixels": [80] * classes, "confident": [40] * classes, "confident_sub": [20] * classes,
            "entropy": [9.0] * classes, "entropy_sub": [20.0] * classes, "dropped": [3] * classes,
            "overridden": [0] * classes, "open": [6] * classes}  # fmt: skip
    quality = {"chosen": [4] * classes, "right": [3] * classes}
    labels = [record(step, by_pseudo_label=sums, by_true_class=sums,
                     quality=dict.fromkeys(("corrected", "own", "sub", "dropped"), quality))
              for step in (0, 40)]  # fmt: skip
    subclasses = SubclassMap(
        names, counts=np.ones(classes, int), sizes=np.arange(50, 50 + classes),
        centers=np.zeros((classes, 2), "float32"), pixels=np.arange(800, 800 + classes),
        feature_pixels=np.arange(50, 50 + classes), inertia=np.ones(classes), prices=np.zeros(classes),
    )  # fmt: skip
    maps = rng.integers(0, classes, (images, 30, 40))
    shots = [
        PredictedImage(f"town/a_rather_long_name_of_an_image_{i:06}",
                       rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), maps[i],
                       {"Baseline": maps[i - 1], "prototype ensemble": maps[i - 2]}, [0.5, i / 20])
        for i in range(images)
    ]  # fmt: skip
    training = {
        stage.title: [{"step": step, "loss": 1 / step, "seconds_per_step": 0.5} for step in range(1, 60)]
        for stage in stages
    }
    return RunSummary(
        "runs/a_long_name_of_a_run", names, rng.integers(0, 256, (classes, 3), dtype=np.uint8),
        facts=[("backend", "torch"), ("command", "usrn fit " + "x" * 100)], recipe="[data]\n" + "x" * 200,
        recipe_file="runs/a_long_name_of_a_run/recipe.toml", stages=stages, scores=scores, training=training,
        pseudo_labels=labels, has_gate=True, clusters=ClusterReport(subclasses), images=shots,
        measured=images,
    )  # fmt: skip


def examined(html: str, axe: Path, folder: Path, width: int, *, dark: bool = False) -> dict:
    """The height of the page with its details folded, and the violations with its details open."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')  # it forbids axe-core, too
    html, removed = policy.subn("", html)
    assert removed == 1
    if dark:
        assert "(prefers-color-scheme: dark)" in html
        html = html.replace("(prefers-color-scheme: dark)", "all")
    check = CHECK.format(rules=json.dumps(RULES))
    (folder / "page.html").write_text(html.replace("</body>", f"{check}</body>"), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
    shutil.copy(axe, folder / "axe.min.js")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=120000",
        "--dump-dom", (folder / "frame.html").as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    return json.loads(unescape(re.search(r'<pre id="result">(.*?)</pre>', dom, re.DOTALL)[1]))


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("dark", [False, True])
def test_no_violation_of_wcag_a_or_aa(html, axe, tmp_path, width, dark):
    found = examined(html, axe, tmp_path, width, dark=dark)
    assert found["violations"] == [] and found["passes"] > 20
    assert found["width"] <= width  # nothing but the tables scrolls sideways


def test_the_check_finds_what_is_wrong(html, axe, tmp_path):
    broken = html.replace(' alt="', ' data-alt="').replace("--pale: #5b6068", "--pale: #c0c0c0")
    found = " ".join(examined(broken, axe, tmp_path, DESK)["violations"])
    assert "image-alt" in found and "color-contrast" in found


def test_a_phone_shows_the_essence_in_a_few_screens(html, axe, tmp_path):
    assert examined(html, axe, tmp_path, PHONE)["height"] <= MOST_SCREENS * SCREEN
