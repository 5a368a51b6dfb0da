from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from html import unescape

import numpy as np
import pytest

from usrn_keras.report import curves
from usrn_keras.report.curves import Line, Panel, line_chart_svg, panels_svg, recorded, smoothed
from usrn_keras.report.figure import new_figure

STEPS = np.arange(0, 101, 10)
NOTHING = Line("nothing", STEPS, np.full(len(STEPS), np.nan))


def texts(svg: bytes) -> list[str]:
    """What is written in a chart; letters are drawn, but matplotlib notes each text in a comment."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    return [unescape(str(node.text)).strip() for node in ET.fromstring(svg, parser).iter(ET.Comment)]


def test_a_chart_of_shares_is_in_percent_and_names_its_lines():
    svg = line_chart_svg(
        [Line("F above gamma", STEPS, STEPS / 200), Line("gate open", STEPS, STEPS / 400)],
        unit="share of all pixels", percent=True,
    )  # fmt: skip
    written = texts(svg)
    assert {"F above gamma", "gate open", "share of all pixels", "step of training"} <= set(written)
    assert {"0 %", "20 %", "40 %"} <= set(written)
    assert (
        max(float(text[:-2]) for text in written if text.endswith(" %")) <= 60
    )  # what is there fills the chart


def test_a_single_line_needs_no_legend():
    assert "loss" not in texts(line_chart_svg([Line("loss", STEPS, STEPS / 7)], unit="cross-entropy"))


@pytest.mark.parametrize(
    "names",
    [
        ("F", "F_sub"),
        ("F above gamma", "dropped by the correction of F_sub"),
        ("a", "prototype ensemble " * 9),
    ],
)
def test_no_name_is_cut_off_in_the_legend(names):
    with new_figure((curves.WIDTH, curves.HEIGHT), dpi=72) as figure:
        axes = figure.subplots()
        for name in names:
            axes.plot([0, 1], [0, 1], label=name)
        curves._legend(figure)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    written = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert written == [name.strip() for name in names]


def test_the_same_chart_is_the_same_file_on_a_clear_ground():
    first, second = (line_chart_svg([Line("loss", STEPS, STEPS / 7)]) for _ in range(2))
    assert first == second
    assert b"fill: #ffffff" not in first


def test_records_over_few_steps_go_into_the_next():
    steps, losses = (1, 20, 40, 42, 60, 80, 83), (9.0, 2.0, 1.0, 5.0, 1.0, 3.0, 8.0)
    records = [{"step": step, "loss": loss} for step, loss in zip(steps, losses, strict=True)]
    line = recorded([*records, {"step": 90, "val_miou": 0.5}], "loss", "F")
    assert line.steps.tolist() == [1, 20, 40, 60, 80]
    means = [9, 2, 1, (2 * 5 + 18 * 1) / 20, (20 * 3 + 3 * 8) / 23]  # the last one has no next
    np.testing.assert_allclose(line.values, means)
    assert recorded(records, "loss", "F", means=False).values.tolist() == list(losses)
    assert not recorded(records, "val_miou", "F").known()


def test_long_lines_are_means_of_neighbours():
    steps, values = smoothed(np.arange(1000), np.tile([0.0, 1.0], 500))
    assert len(steps) == len(values) == curves.MOST_POINTS
    assert set(values.tolist()) == {0.5} and steps[0] == 1.5
    odd = smoothed(np.arange(500), np.arange(500))
    assert odd[0].tolist() == odd[1].tolist() == [2 * i + 0.5 for i in range(250)]
    assert smoothed(np.arange(501), np.arange(501))[0][-1] == 499  # parts of 3; the last one is 498 to 500
    few = smoothed(STEPS, STEPS)
    assert few[0].tolist() == STEPS.tolist()


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_a_small_chart_for_each_class(count):
    panels = [Panel(Line(f"class {i}", STEPS, STEPS / (100 + i)), (250, 250, 10 * i)) for i in range(count)]
    written = texts(panels_svg(panels))
    assert [text for text in written if text.startswith("class")] == [f"class {i}" for i in range(count)]
    assert "100 %" in written


def test_a_class_with_nothing_says_so():
    every, empty = Panel(Line("all", STEPS, STEPS / 100), None), Panel(NOTHING, (0, 0, 0))
    assert texts(panels_svg([every, empty])).count("none") == 1
    assert "none" in texts(panels_svg([empty]))


def test_a_value_without_neighbours_is_a_dot():
    values = np.array([np.nan, 0.5, np.nan, 0.2, 0.3, np.nan, 0.9])
    assert curves._alone(values).tolist() == [False, True, False, False, False, False, True]
    assert curves._alone(np.array([0.5])).tolist() == [True]


@pytest.mark.parametrize(
    "name", ["$x_1$ lane", "a name that goes on and on", "averylongnamewithoutanyspaces", "<b>&"]
)
def test_any_name_is_plain_text_and_fits(name):
    title = next(
        text for text in texts(panels_svg([Panel(Line(name, STEPS, STEPS), None)])) if text[:2] == name[:2]
    )
    assert len(title) <= curves.LONGEST_NAME


def test_a_run_of_one_step_and_values_of_zero_can_be_drawn():
    one = np.array([1])
    assert "0 %" in texts(line_chart_svg([Line("gate open", one, np.zeros(1))], percent=True))
    assert "0 %" in texts(panels_svg([Panel(Line("gate open", np.zeros(1), np.zeros(1)), None)]))


def test_pyplot_is_left_alone():
    code = (
        "import sys, numpy as np\n"
        "from usrn_keras.report.curves import Line, line_chart_svg\n"
        "line_chart_svg([Line('loss', np.arange(3), np.arange(3))])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_records_take_little_time():
    """The time grows with the number of records, not with its square."""
    records = [{"step": 20 * i + 1, "loss": 1 / (i + 1)} for i in range(100_000)]
    started = time.process_time()
    line = recorded(records, "loss", "F")
    assert len(line.steps) == 100_000 and time.process_time() - started < 5
