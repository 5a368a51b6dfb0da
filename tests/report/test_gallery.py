from __future__ import annotations

import numpy as np

from tests.report.test_page import Reader
from tests.report.test_pictures import COLOURS, compared
from usrn_keras.report import gallery
from usrn_keras.report.gallery import highlights, orders_of, picture_section
from usrn_keras.report.page import Page
from usrn_keras.report.run_summary import RunSummary

IMAGES = [
    compared(name=name, mious=mious)
    for name, mious in {"a": [0.5, 0.6], "b": [0.2, 0.1], "c": [None, None], "d": [0.1, 0.4]}.items()
]


def shown(images=IMAGES, **changes) -> Reader:
    page = Page("runs/a")
    summary = RunSummary("runs/a", ("road", "pole", "sky"), COLOURS, images=images, **changes)
    picture_section(page, summary)
    return Reader(page.html())


def test_images_are_sorted_by_score_gain_loss_and_name():
    orders = {name: "".join(image.name for image in order) for name, (_, order) in orders_of(IMAGES).items()}
    assert orders == {"low": "bdac", "high": "adbc", "gain": "dabc", "loss": "badc", "name": "abcd"}
    one = [compared(name="a", mious=[0.5], predictions={"A": IMAGES[0].labels})]
    assert list(orders_of(one)) == ["low", "high", "name"]


def test_every_image_knows_its_place_in_every_order_and_each_order_has_a_rule():
    read = shown(measured=4)
    shots = [attributes for attributes, _ in read.all("details") if attributes.get("class") == "shot"]
    assert [shot["style"] for shot in shots] == [
        "--low:0;--high:2;--gain:2;--loss:0;--name:1;", "--low:1;--high:1;--gain:0;--loss:2;--name:3;",
        "--low:2;--high:0;--gain:1;--loss:1;--name:0;", "--low:3;--high:3;--gain:3;--loss:3;--name:2;",
    ]  # fmt: skip
    buttons = [attributes for attributes, _ in read.all("input")]
    assert [button["value"] for button in buttons] == ["low", "high", "gain", "loss", "name"]
    assert ["checked" in button for button in buttons] == [True, False, False, False, False]
    css = read.all("style")[1][1]
    for button in buttons:
        name = button["value"]
        assert f".gallery:has([value={name}]:checked) .shot {{ order: var(--{name}); }}" in css
    assert not read.all("script")


def test_an_image_is_small_until_it_is_opened():
    read = shown(measured=4)
    summaries = [text for _, text in read.all("summary")]
    assert summaries[0] == "All 4 measured images, sorted by score"
    assert summaries[1] == "b mIoU Baseline 20.0 %, USRN 10.0 %"
    alts = [attributes["alt"] for attributes, _ in read.all("img")]
    assert alts[-5:] == [f"c: {what}" for what in ("image", "USRN", "label", "Baseline", "where they differ")]


def test_telling_images_come_first():
    assert {what: image.name for what, image in highlights(IMAGES).items()} == {
        "Lowest mIoU and largest loss": "b", "Largest gain": "d",
    }  # fmt: skip
    assert list(highlights([IMAGES[0]])) == ["Lowest mIoU and largest gain"]
    assert list(highlights([IMAGES[2]])) == ["First image"]


def test_the_page_stays_below_its_bound_with_any_number_of_images(monkeypatch):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    labels = rng.integers(0, 3, (240, 320))
    predictions = {"A": labels, "B": labels[::-1]}
    many = [compared(name=f"{i:02}", image=noise, labels=labels, predictions=predictions) for i in range(12)]
    sizes, counts = [], []
    for bound in (10_000_000, 1_000_000, 150_000):
        monkeypatch.setattr(gallery, "MOST_BYTES", bound)
        summary = RunSummary("runs/a", ("road", "pole", "sky"), COLOURS, images=many, measured=12)
        shots, side = gallery._shots(summary, orders_of(many))
        assert sum(gallery._bytes([*shot.first, *shot.more]) for shot in shots) <= bound
        sizes.append(side)
        counts.append(len(shots))
    assert sizes[0] == 320 > sizes[1] > sizes[2] == 112
    assert counts[0] == counts[1] == 12 > counts[2] > 0
