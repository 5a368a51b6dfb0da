from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.report.test_cluster_report import subclass_map
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.size_chart import DPI, INCHES, _draw, size_chart_png

PALETTE = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250]], np.uint8)


def drawn(report: ClusterReport):
    from matplotlib.figure import Figure

    figure = Figure()
    _draw(figure, report, PALETTE / 255)
    return figure.axes


def bars(axes) -> list[tuple[float, tuple]]:
    return [(bar.get_height(), bar.get_facecolor()[:3]) for bar in axes.patches]


def test_png_of_the_size_and_the_colours_of_the_present_classes():
    picture = Image.open(io.BytesIO(size_chart_png(ClusterReport(subclass_map()), PALETTE)))
    assert picture.size == (int(INCHES[0] * DPI), int(INCHES[1] * DPI))
    colours = {tuple(colour[:3]) for colour in np.asarray(picture).reshape(-1, 4)}
    assert {(250, 10, 10), (10, 10, 250)} <= colours
    assert (10, 250, 10) not in colours  # the absent class


def test_bars_above_are_the_classes_and_below_the_subclasses():
    above, below = drawn(ClusterReport(subclass_map()))
    red, blue = tuple(PALETTE[0] / 255), tuple(PALETTE[2] / 255)
    assert bars(above) == [(48_016 / 64_016, blue), (16_000 / 64_016, red)]
    assert bars(below) == [(1001 / 4001, blue), (1000 / 4001, blue), (1000 / 4001, blue), (1000 / 4001, red)]
    assert [label.get_text() for label in above.get_xticklabels()] == ["road", "pole"]
    assert [label.get_text() for label in below.get_xticklabels()] == ["road (3)", "pole (1)"]
    assert (above.get_yscale(), below.get_yscale()) == ("log", "log")
    assert above.get_ylim() == below.get_ylim()


def test_titles_say_the_balance_rates():
    above, below = drawn(ClusterReport(subclass_map(), plain=np.array([1000, 2500, 500, 1])))
    assert above.get_title() == "Before: 2 classes and 1 without a pixel, class balance rate 33.8 %"
    assert below.get_title() == "After: 4 subclasses of equal size, class balance rate 100.0 %"
    (legend,) = below.get_legend().get_texts()
    assert legend.get_text() == "plain k-means, class balance rate 46.0 %"
    (dots,) = below.get_lines()
    np.testing.assert_allclose(dots.get_ydata() * 4001, [2500, 500, 1, 1000])


def test_unequal_sizes_are_said():
    _, below = drawn(ClusterReport(subclass_map(sizes=np.array([812, 815, 813, 812]))))
    assert below.get_title() == "After: 4 subclasses, sizes 812 to 815, class balance rate 99.9 %"


def test_free_assignment_is_titled_as_what_it_is():
    _, below = drawn(ClusterReport(subclass_map(), assignment="free"))
    assert below.get_title().startswith("After: 4 subclasses by plain k-means")
    assert below.get_legend() is None


@pytest.mark.parametrize("name", ["$x_1$ lane", "traffic light", "道路"])
def test_any_class_name_is_plain_text(name):
    report = ClusterReport(subclass_map(classes=(name, "train", "road")), plain=np.array([0, 2, 3, 0]))
    assert size_chart_png(report, PALETTE)[1:4] == b"PNG"


def test_names_below_keep_their_distance():
    counts = np.array([1, 1, 97])
    report = ClusterReport(
        subclass_map(
            counts=counts, sizes=np.full(99, 100), pixels=np.array([1600, 1700, 160_000]),
            feature_pixels=100 * counts, inertia=np.ones(3),
        )
    )  # fmt: skip
    _, below = drawn(report)
    assert [label.get_text() for label in below.get_xticklabels()] == ["road (97)", "train (1)"]


def test_pyplot_and_its_state_are_left_alone():
    code = (
        "import sys, numpy as np\n"
        "from tests.report.test_size_chart import PALETTE, subclass_map, ClusterReport, size_chart_png\n"
        "assert 'matplotlib' not in sys.modules\n"
        "size_chart_png(ClusterReport(subclass_map()), PALETTE)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
