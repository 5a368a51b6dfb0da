"""`run_graph` computes what the Keras model computes: results, moving statistics, gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tests.tools import fill, gradients
from usrn_keras.backends import run_graph
from usrn_keras.networks import build_branches
from usrn_keras.networks.decoders.decoder_options import DecoderOptions, FeatureMaps, find_decoder

pytestmark = pytest.mark.every_backend

PARTS = {
    "stem": [(2, 32, 64, 3)],
    "tail": [(2, 8, 16, 32)],
    "decoder": [(2, 8, 16, 32), (2, 2, 4, 256)],
    "classifier": [(2, 8, 16, 256)],
}


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def statistics(model) -> list[np.ndarray]:
    return [values_of(variable.value) for variable in model.non_trainable_variables]


@pytest.fixture(scope="module")
def branch():
    options = {"width": 0.25, "weights": "none", "dropout": 0.0, "classifier_dropout": 0.0}
    branch, _ = build_branches("keras/mobilenet", classes=3, **options)
    fill(branch.variables)
    return branch


def one(layer, shape: tuple[int, ...] = (6, 7, 4)) -> keras.Model:
    """A model of one layer."""
    images = keras.Input(shape)
    return keras.Model(images, layer(images))


def everything() -> keras.Model:
    """A small graph with each operation that has a way of its own on some backend, and two that have none."""
    images = keras.Input((32, 48, 3))
    x = layers.Rescaling(1 / 2, offset=-0.5)(images)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="valid")(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    low = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=6, use_bias=False)(low)  # no tap but the centre
    x = layers.Add()([low, layers.BatchNormalization()(x)])
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=2, activation="relu")(x)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    pooled = layers.UpSampling2D((4, 6), interpolation="bilinear")(pooled)
    x = layers.LayerNormalization()(layers.Concatenate()([low, pooled, layers.AveragePooling2D(1)(x)]))
    x = layers.Conv2D(5, 1)(layers.Conv2D(6, (3, 2), padding="valid")(x))
    return keras.Model(images, layers.UpSampling2D(2, interpolation="bilinear")(x))


SINGLE = {
    "conv of an even kernel": lambda: layers.Conv2D(5, 2, padding="same"),
    "dilated conv of an even kernel": lambda: layers.Conv2D(5, 2, padding="same", dilation_rate=2),
    "grouped conv": lambda: layers.Conv2D(4, 3, padding="same", groups=2),
    "strided valid conv": lambda: layers.Conv2D(5, 3, strides=3),
    "dilated valid conv": lambda: layers.Conv2D(5, 3, dilation_rate=2),
    "kernel wider than the map": lambda: layers.Conv2D(5, (15, 3), padding="same"),
    "rates of two axes": lambda: layers.Conv2D(5, 3, padding="same", dilation_rate=(9, 2)),
    "conv with softmax": lambda: layers.Conv2D(5, 1, activation="softmax"),
    "depthwise with multiplier": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    "dilated depthwise": lambda: layers.DepthwiseConv2D(3, padding="same", dilation_rate=3),
    "batch norm without scale": lambda: layers.BatchNormalization(scale=False),
    "batch norm without centre": lambda: layers.BatchNormalization(center=False, epsilon=1e-5),
    "frozen batch norm": lambda: layers.BatchNormalization(trainable=False),
    "leaky relu": lambda: layers.ReLU(negative_slope=0.1),
    "relu to 2": lambda: layers.ReLU(max_value=2),
    "softmax": lambda: layers.Activation("softmax"),
    "max pooling valid": lambda: layers.MaxPooling2D(2, strides=1),
    "nearest upsampling": lambda: layers.UpSampling2D(2),
    "rescaling by channel": lambda: layers.Rescaling([1.0, 2.0, 3.0, 4.0], offset=[0.0, 1.0, 2.0, 3.0]),
}


def check(model: keras.Model, inputs: list[np.ndarray]) -> None:
    """Results and statistics in both modes, and the gradient by the inputs while training."""
    given = [keras.ops.convert_to_tensor(array) for array in inputs]
    given = given if len(given) > 1 else given[0]
    expected, found = model(given, training=False), run_graph(model, given, training=False)
    np.testing.assert_allclose(values_of(found), values_of(expected), atol=scaled(expected, 1e-5))

    start = [np.array(value) for value in model.get_weights()]
    expected, moved = values_of(model(given, training=True)), statistics(model)
    model.set_weights(start)
    found = run_graph(model, given, training=True)
    np.testing.assert_allclose(values_of(found), expected, atol=scaled(expected, 2e-3))
    for ours, theirs in zip(statistics(model), moved, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=scaled(theirs, 2e-3))
    model.set_weights(start)


def check_gradients(model: keras.Model, inputs: list[np.ndarray]) -> None:
    """By the inputs, which every operation passes on; batch normalisation by its batch on both sides."""
    weights = keras.ops.convert_to_tensor(
        random(values_of(model(inputs if len(inputs) > 1 else inputs[0])).shape, seed=9)
    )
    start = [np.array(value) for value in model.get_weights()]

    def loss(call):
        def of(*tensors):
            with keras.StatelessScope():  # statistics of a traced step are nobody's
                result = call(list(tensors) if len(tensors) > 1 else tensors[0])
                return keras.ops.mean(result * weights)

        return gradients(of, inputs)

    expected = loss(lambda given: model(given, training=True))
    found = loss(lambda given: run_graph(model, given, training=True))
    model.set_weights(start)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, atol=scaled(theirs, 5e-3))


def scaled(values, share: float) -> float:
    """A share of the largest value: sums in another order differ by that, not by a share of themselves."""
    return share * max(1e-30, float(np.abs(values_of(values)).max(initial=0)))


@pytest.mark.parametrize("name", ["pspnet", "psanet"])
def test_decoders_with_layers_of_our_own(name):
    options = DecoderOptions(decoder_channels=6, psp_bins=[1, 2], psa_channels=4, psa_mask=5)
    decoder = find_decoder(name)(FeatureMaps(3, 8, 8), options, "decoder")
    fill(decoder.variables)
    inputs = [random((2, 8, 12, 3)), random((2, 4, 6, 8), seed=1)]
    check(decoder, inputs)
    low = keras.ops.convert_to_tensor(inputs[0])
    expected, found = (
        gradients(lambda high, call=call: objective(call, low, high), inputs[1:])
        for call in (decoder, lambda given, training: run_graph(decoder, given, training))
    )
    assert np.abs(expected[0]).max() > 0
    np.testing.assert_allclose(found[0], expected[0], atol=scaled(expected[0], 5e-3))


def objective(call, low, high):
    """A scalar of a decoder in training mode; low-level features that only give a size have no gradient."""
    with keras.StatelessScope():
        return keras.ops.mean(keras.ops.square(call([low, high], training=True)))


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_branch(branch, part):
    inputs = [random(shape, seed) for seed, shape in enumerate(PARTS[part])]
    if part == "stem":
        inputs = [np.clip(128 + 60 * inputs[0], 0, 255)]
    model = getattr(branch, part)
    check(model, inputs)
    check_gradients(model, inputs)


def test_every_operation():
    model, inputs = everything(), [random((2, 32, 48, 3))]
    fill(model.variables)
    check(model, inputs)
    check_gradients(model, inputs)


@pytest.mark.parametrize("kind", SINGLE)
def test_single_layers(kind):
    model, inputs = one(SINGLE[kind]()), [3 * random((3, 6, 7, 4))]
    fill(model.variables)
    check(model, inputs)
    check_gradients(model, inputs)


def test_gradients_of_parameters(branch):
    """Those of every kernel, scale and offset, through the whole branch."""
    torch = pytest.importorskip("torch")
    if keras.backend.backend() != "torch":
        pytest.skip("the other backends differentiate operations of Keras itself")
    model = everything()
    fill(model.variables)
    image, found = random((2, 32, 48, 3)), []
    for call in (model, lambda given, training: run_graph(model, given, training)):
        model.zero_grad()
        result = call(keras.ops.convert_to_tensor(image), training=True)
        (result * torch.tensor(random(tuple(result.shape), seed=9))).mean().backward()
        found.append([values_of(variable.value.grad) for variable in model.trainable_variables])
    for variable, theirs, ours in zip(model.trainable_variables, *found, strict=True):
        largest = max(scaled(theirs, 1), 1e-4)  # a bias before batch normalisation has none but rounding
        np.testing.assert_allclose(ours, theirs, atol=5e-3 * largest, err_msg=variable.path)


def read_twice() -> keras.Model:
    """A result that a ReLU reads, and an Add after it."""
    images = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1)(images)
    return keras.Model(images, layers.Add()([layers.ReLU()(x), x]))


def seen_through(layer) -> keras.Model:
    """As `read_twice`, but the ReLU reads it through a layer that hands its input on."""
    images = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1)(images)
    return keras.Model(images, layers.Add()([layers.ReLU()(layer(x)), x]))


def relu_then_add() -> keras.Model:
    """A sum whose first part is what a ReLU keeps for its gradient."""
    images = keras.Input((4, 4, 2))
    parts = [layers.ReLU()(layers.Conv2D(3, 1)(images)), layers.Conv2D(3, 1)(images)]
    return keras.Model(images, layers.Add()(parts))


def conv_with_relu_then_add() -> keras.Model:
    images = keras.Input((4, 4, 2))
    parts = [layers.Conv2D(3, 1, activation="relu")(images), layers.Conv2D(3, 1)(images)]
    return keras.Model(images, layers.Add()(parts))


def chain(*after) -> keras.Model:
    """Layers that may overwrite, on the result of a convolution."""
    images = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1)(images)
    for layer in after:
        x = layer(x)
    return keras.Model(images, x)


OVERWRITING = {
    "read twice": read_twice,
    "through dropout": lambda: seen_through(layers.Dropout(0.0)),
    "through linear": lambda: seen_through(layers.Activation("linear")),
    "through no padding": lambda: seen_through(layers.ZeroPadding2D(0)),
    "relu, then add": relu_then_add,
    "relu twice": lambda: chain(layers.ReLU(6), layers.ReLU()),
    "softmax, then relu": lambda: chain(layers.Activation("softmax"), layers.ReLU()),
    "conv with relu, then relu to 6": lambda: chain(layers.Conv2D(3, 1, activation="relu"), layers.ReLU(6)),
    "conv with relu, then add": conv_with_relu_then_add,
    "normalised, then relu": lambda: chain(layers.BatchNormalization(), layers.ReLU()),
}


@pytest.mark.parametrize("kind", OVERWRITING)
def test_nothing_is_overwritten_that_is_still_needed(kind):
    model, inputs = OVERWRITING[kind](), [random((2, 4, 4, 2))]
    fill(model.variables)
    check(model, inputs)
    check_gradients(model, inputs)
    given = keras.ops.convert_to_tensor(inputs[0])
    run_graph(model, given, training=True)
    np.testing.assert_array_equal(values_of(given), inputs[0])


def test_a_relu_of_the_input_leaves_the_input():
    images = keras.Input((4, 4, 2))
    model, given = keras.Model(images, layers.ReLU()(images)), random((1, 4, 4, 2))
    tensor = keras.ops.convert_to_tensor(given.copy())
    np.testing.assert_array_equal(values_of(run_graph(model, tensor, training=False)), given.clip(0))
    np.testing.assert_array_equal(values_of(tensor), given)


def test_bytes_are_taken():
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, layers.Rescaling(1 / 255)(images))
    given = np.full((1, 4, 4, 3), 51, "uint8")
    np.testing.assert_allclose(values_of(run_graph(model, given, training=False)), 0.2, rtol=1e-6)


def test_what_is_no_plain_graph_is_called():
    """Two outputs have no plan; the result is the model's own list."""
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, [layers.ReLU()(images), layers.Rescaling(2.0)(images)])
    given = random((1, 4, 4, 3))
    first, second = run_graph(model, keras.ops.convert_to_tensor(given), training=False)
    np.testing.assert_array_equal(values_of(first), given.clip(0))
    np.testing.assert_array_equal(values_of(second), 2 * given)
