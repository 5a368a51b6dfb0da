"""The page in a real browser: what a user sees after a photo is dropped, and that nothing else is loaded."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from tests.serving.chromium import chromium
from tests.serving.photos import PALETTE, photo, served
from usrn_keras.serving.upload_limits import UploadLimits

pytestmark = pytest.mark.slow
SHOWN = "!document.getElementById('result').hidden"
REFUSED = "!document.getElementById('error').hidden"
OVERLAY = """(() => {
  const canvas = document.getElementById('overlay');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.height, canvas.width, [...pixels]];
})()"""


@pytest.fixture(scope="module")
def server():
    with served(limits=UploadLimits(megabytes=2, megapixels=0.01)) as server:
        yield server


@pytest.fixture
def tab(server, tmp_path):
    """The page, before a photo."""
    with chromium(tmp_path / "profile") as tab:
        tab.call("Page.navigate", url=server.url)
        tab.wait("document.querySelectorAll('#chips li').length === 4")
        yield tab


def text(tab, name: str) -> str:
    return tab.run(f"document.getElementById('{name}').innerText")


def overlay(tab) -> np.ndarray:
    height, width, pixels = tab.run(OVERLAY)
    return np.array(pixels, np.uint8).reshape(height, width, 4)


def test_a_dropped_photo(server, tab, tmp_path):
    image, content = photo(20, 30)
    (tmp_path / "wood <b>.png").write_bytes(content)
    ids = image.argmax(axis=-1)
    tab.drop(tmp_path / "wood <b>.png")
    tab.wait(SHOWN)
    assert text(tab, "title") == "wood <b>.png"
    assert "30 \N{MULTIPLICATION SIGN} 20 pixels" in text(tab, "size")
    assert text(tab, "absent") == "Not in the photo: grey."
    rows = text(tab, "rows").split()
    shares = np.bincount(ids.ravel()) / ids.size
    first = int(shares.argmax())
    assert rows[0] == ("red", "green", "blue")[first] and rows[1] == f"{100 * shares[first]:.1f}"
    np.testing.assert_array_equal(overlay(tab)[..., :3], PALETTE[ids])
    status = text(tab, "status")
    assert status.startswith("wood <b>.png is segmented: 3 of 4 classes") and "mean confidence" in status

    tab.run("document.querySelector('#rows button').click()")  # one class alone
    alone = overlay(tab)
    assert (alone[ids == first, 3] == 255).all() and (alone[ids != first, 3] < 40).all()

    tab.run("document.getElementById('stage').focus()")
    tab.key("ArrowRight", 39)
    name = ("red", "green", "blue")[ids[10, 15]]
    assert f"{name}, confidence" in text(tab, "readout") and "column 15, row 10" in text(tab, "readout")
    tab.key("ArrowRight", 39)
    assert "column 16, row 10" in text(tab, "readout")

    tab.run("document.querySelector('[value=confidence]').click()")
    assert tab.run("document.getElementById('overlay').style.opacity") == "0.9"
    tab.run("const o = document.getElementById('opacity'); o.value = 20; o.dispatchEvent(new Event('input'))")
    assert tab.run("document.getElementById('overlay').style.opacity") == "0.2"

    assert tab.run("document.getElementById('download').download") == "wood <b>_mask.png"
    own = [url for url in tab.addresses() if not url.startswith("blob:")]
    assert all(url.startswith(server.url) for url in own) and len(own) == 3
    assert tab.complaints() == []


def test_the_downloaded_mask(tab, tmp_path):
    image, content = photo(6, 9)
    (tmp_path / "wood.png").write_bytes(content)
    tab.choose("#file", tmp_path / "wood.png")
    tab.wait(SHOWN)
    folder = tmp_path / "downloads"
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    tab.run("document.getElementById('download').click()")
    while not (folder / "wood_mask.png").exists():
        tab.run("new Promise((done) => setTimeout(done, 50))")
    found = cv2.imread(str(folder / "wood_mask.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(found, PALETTE[image.argmax(axis=-1)])


def test_what_the_page_says_of_photos_that_are_refused(tab, tmp_path):
    cases = {
        "cut.jpg": (photo(suffix=".jpg")[1][:-90], "cut.jpg cannot be read as an image: it is truncated"),
        "notes.txt": (b"no photo", "notes.txt cannot be read as an image"),
        "large.png": (cv2.imencode(".png", np.zeros((200, 300)))[1].tobytes(), "limit is 0.01 megapixels"),
        "huge.png": (os.urandom(2_100_000), "huge.png has 2.1 MB; the limit is 2 MB."),
    }
    for name, (content, sentence) in cases.items():
        (tmp_path / name).write_bytes(content)
        tab.run("document.getElementById('error').hidden = true")
        tab.choose("#file", tmp_path / name)
        tab.wait(REFUSED)
        assert sentence in text(tab, "error")
    (tmp_path / "good.png").write_bytes(photo()[1])
    tab.choose("#file", tmp_path / "good.png")
    tab.wait(SHOWN)
    assert not tab.run(REFUSED)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(tab, tmp_path, width):
    (tmp_path / f"{'w' * 120}.png").write_bytes(photo(8, 90)[1])
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    tab.drop(tmp_path / f"{'w' * 120}.png", x=100)
    tab.wait(SHOWN)
    assert tab.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_server_that_has_ended(tab, tmp_path):
    (tmp_path / "wood.png").write_bytes(photo()[1])
    limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    tab.call("Network.emulateNetworkConditions", offline=True, **limits)
    tab.choose("#file", tmp_path / "wood.png")
    tab.wait(REFUSED)
    assert text(tab, "error").startswith("The server does not answer.")
