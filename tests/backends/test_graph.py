"""The order of a graph, what may be overwritten, and padding and dead taps counted by hand."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from tests.tools import tiny_branches
from usrn_keras.backends.graph import padding_taps, plan_of, run, same_padding


def own_of(model: keras.Model, layer: type) -> list[bool]:
    return [step.in_place for step in plan_of(model).steps if isinstance(step.layer, layer)]


@pytest.mark.parametrize("decoder", ["deeplab_v3_plus", "pspnet", "psanet"])
def test_networks_are_plain_graphs(decoder):
    branch, _ = tiny_branches(decoder=decoder, psa_mask=3, psa_channels=4)
    models = [branch.segmenter(), branch.feature_model()]
    for model in [*models, branch.stem, branch.tail, branch.decoder, branch.classifier]:
        assert plan_of(model) is not None, model.name


def test_a_plan_is_made_once():
    model = tiny_branches()[0].stem
    assert plan_of(model) is plan_of(model)


def test_what_is_no_plain_graph_has_no_plan():
    images = keras.Input((4, 4, 2))
    two = keras.Model(images, [layers.ReLU()(images), layers.Rescaling(2.0)(images)])
    fixed = keras.Model(images, layers.BatchNormalization()(images, training=True))
    operation = keras.Model(images, keras.ops.abs(images))
    for model in (two, fixed, operation, layers.ReLU()):
        assert plan_of(model) is None


@pytest.mark.parametrize(
    ("before", "own"),
    [
        (lambda: layers.Conv2D(3, 1), True),
        (lambda: layers.BatchNormalization(), True),
        (lambda: layers.Dropout(0.5), False),  # while not training, its result is its input
        (lambda: layers.Activation("linear"), False),
        (lambda: layers.ZeroPadding2D(0), False),
    ],
)
def test_only_what_a_layer_made_is_overwritten(before, own):
    images = keras.Input((4, 4, 2))
    assert own_of(keras.Model(images, layers.ReLU()(before()(images))), layers.ReLU) == [own]


def test_the_input_is_not_overwritten():
    images = keras.Input((4, 4, 2))
    assert own_of(keras.Model(images, layers.ReLU()(images)), layers.ReLU) == [False]


def test_what_is_read_twice_is_not_overwritten():
    images = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1)(images)
    assert own_of(keras.Model(images, layers.Add()([layers.ReLU()(x), x])), layers.ReLU) == [False]
    x = layers.Conv2D(3, 1)(images)
    assert own_of(keras.Model(images, layers.Add()([x, x])), layers.Add) == [False]


def test_results_are_forgotten_after_their_last_reader():
    """A diamond: x -> a, b -> a + b; the graph's own result stays."""
    images = keras.Input((4, 4, 2))
    x = layers.Rescaling(2.0)(images)
    model = keras.Model(images, layers.Add()([layers.Rescaling(3.0)(x), layers.Rescaling(5.0)(x)]))
    plan = plan_of(model)
    freed = [number for step in plan.steps for number in step.free]
    assert sorted(freed) == [0, 1, 2, 3] and plan.output == 4
    assert plan.steps[-1].listed and set(plan.steps[-1].free) == {2, 3}

    def operation(step, given):
        return sum(given) if step.listed else step.layer.scale * given[0]

    assert run(plan, [1.0], operation) == 2 * 3 + 2 * 5


def test_a_result_of_the_graph_that_is_read_again_is_kept():
    images = keras.Input((4, 4, 2))
    x = layers.Rescaling(2.0)(images)
    whole = keras.Model(images, layers.Rescaling(3.0)(x))
    half = keras.Model(images, x)
    for model, expected in ((whole, 6.0), (half, 2.0)):
        assert run(plan_of(model), [1.0], lambda step, given: step.layer.scale * given[0]) == expected


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ({"pixels": 8, "taps": 3, "stride": 1}, (1, 1)),
        ({"pixels": 8, "taps": 3, "stride": 2}, (0, 1)),  # windows begin at 0, 2, 4, 6; the last ends at 8
        ({"pixels": 7, "taps": 3, "stride": 2}, (1, 1)),
        ({"pixels": 8, "taps": 2, "stride": 1}, (0, 1)),
        ({"pixels": 8, "taps": 7, "stride": 2}, (2, 3)),
        ({"pixels": 8, "taps": 3, "stride": 1, "dilation": 6}, (6, 6)),
        ({"pixels": 8, "taps": 2, "stride": 1, "dilation": 2}, (1, 1)),
        ({"pixels": 9, "taps": 1, "stride": 3}, (0, 0)),
        ({"pixels": 1, "taps": 3, "stride": 2}, (1, 1)),
    ],
)
def test_same_padding(side, expected):
    assert same_padding(**side) == expected


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({"kernel_size": 3, "dilation_rate": 18}, (8, 8), (1, 1)),
        ({"kernel_size": 3, "dilation_rate": 7}, (8, 8), (0, 0)),  # from one edge it reaches the other
        ({"kernel_size": 3, "dilation_rate": 8}, (8, 8), (1, 1)),
        ({"kernel_size": 3, "dilation_rate": 8}, (8, 9), (1, 0)),
        ({"kernel_size": 5, "dilation_rate": 4}, (8, 4), (1, 2)),
        ({"kernel_size": 3}, (1, 2), (1, 0)),
        ({"kernel_size": 1}, (1, 1), (0, 0)),
        ({"kernel_size": (15, 3)}, (6, 6), (2, 0)),
        ({"kernel_size": 2, "dilation_rate": 9}, (4, 4), (0, 0)),  # an even kernel has no centre
        ({"kernel_size": 3, "strides": 2}, (1, 1), (0, 0)),
        ({"kernel_size": 3, "dilation_rate": 3, "padding": "valid"}, (7, 7), (0, 0)),
    ],
)
def test_dead_taps(options, size, expected):
    assert padding_taps(layers.Conv2D(4, **({"padding": "same"} | options)), size) == expected
