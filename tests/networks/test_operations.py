from __future__ import annotations

from types import SimpleNamespace

import keras
import pytest
from keras import layers

from tests.networks.tiny_branches import CLASSES, DECODER_CHANNELS, SUBCLASSES, tiny_branches
from usrn_keras.networks.decoders.psanet import Gather
from usrn_keras.networks.operations import call_flops, forward_flops, layer_calls, part_passes, step_flops
from usrn_keras.networks.two_branch import ForwardPass


def model_of(*stack: layers.Layer, channels: int = 3) -> keras.Model:
    x = image = keras.Input((None, None, channels))
    for layer in stack:
        x = layer(x)
    return keras.Model(image, x)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(5, 3, padding="same"), 2 * 9 * 4 * 5 * 48),
        (layers.Conv2D(5, 3, padding="valid"), 2 * 9 * 4 * 5 * 4 * 6),
        (layers.Conv2D(5, 3, strides=2, padding="same"), 2 * 9 * 4 * 5 * 12),
        (layers.Conv2D(5, 3, dilation_rate=2, padding="same"), 2 * 9 * 4 * 5 * 48),
        (layers.Conv2D(6, 3, groups=2, padding="same"), 2 * 9 * 2 * 6 * 48),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), 2 * 9 * 4 * 2 * 48),
        (layers.SeparableConv2D(5, 3, padding="same"), 2 * (9 * 4 + 4 * 5) * 48),
        (layers.Conv2DTranspose(5, 2, strides=2), 2 * 4 * 4 * 5 * 48),
        (layers.Dense(5), 2 * 4 * 5 * 48),
        (layers.BatchNormalization(), 0),
    ],
)
def test_each_layer_by_hand(layer, expected):
    assert forward_flops(model_of(layer, channels=4), 6, 8) == expected


def test_attention_by_hand():
    """Point-wise: 12 x 12 pairs of 4 channels."""
    image, weights = keras.Input((3, 4, 4)), keras.Input((3, 4, 12))
    model = keras.Model([image, weights], Gather()([image, weights]))
    found, _ = layer_calls(model, [keras.KerasTensor((1, 3, 4, 4)), keras.KerasTensor((1, 3, 4, 12))])
    assert [call_flops(call) for call in found] == [2 * 12 * 12 * 4]


def test_a_model_within_a_model_is_counted_each_time_it_is_called():
    inner = model_of(layers.Conv2D(3, 1))
    image = keras.Input((None, None, 3))
    assert forward_flops(keras.Model(image, inner(inner(image))), 4, 4) == 2 * forward_flops(inner, 4, 4)


def test_published_figures():
    """Multiply-adds at 224 x 224 with their top: 3.8e9 (He et al. 2016), 0.569e9 (Howard et al. 2017)."""
    options = {"weights": None, "include_top": False, "input_shape": (None, None, 3)}
    resnet, mobilenet = keras.applications.ResNet50(**options), keras.applications.MobileNet(**options)
    assert forward_flops(resnet, 224, 224) / 2e9 == pytest.approx(3.86, abs=0.01)
    assert forward_flops(mobilenet, 224, 224) / 2e9 == pytest.approx(0.568, abs=0.001)


def method(*networks, passes: list[tuple]) -> SimpleNamespace:
    """What the counter reads of a method: `view images network heads gradient pooled ...` of each pass."""
    return SimpleNamespace(
        networks=[SimpleNamespace(F=branch, F_sub=sub_branch) for branch, sub_branch in networks],
        other_flops=lambda *sizes: {},
        forward_passes=tuple(
            ForwardPass(view, images, heads, network, *rest) for view, images, network, heads, *rest in passes
        ),
    )


BOTH = ("F", "F_sub")
USRN = [
    ("labelled", "labelled", 0, BOTH, True, False),
    ("weak", "unlabelled", 0, BOTH, False, True),
    ("strong", "unlabelled", 0, BOTH, True, True),
]


@pytest.mark.parametrize("sharing", ["none", "low", "low_high"])
def test_a_step_of_usrn_counts_shared_parts_once(sharing):
    branch, sub_branch = tiny_branches(sharing)
    found = step_flops(method((branch, sub_branch), passes=USRN), 2, 3, 64, 64)
    shared = {"none": (), "low": ("stem",), "low_high": ("stem", "tail")}[sharing]
    parts = {"stem": (64, 64), "tail": (16, 16)}
    once = sum(forward_flops(getattr(branch, part), *parts[part]) for part in shared)
    both = forward_flops(branch.segmenter(), 64, 64) + forward_flops(sub_branch.segmenter(), 64, 64) - once
    # The classifiers of the unlabelled images run at stride 8 instead of 4.
    unlabelled = both - 3 * (2 * DECODER_CHANNELS * (CLASSES + SUBCLASSES) * 8 * 8)
    assert found == {"labelled": 2 * 3 * both, "weak": 3 * unlabelled, "strong": 3 * 3 * unlabelled}


def test_a_head_that_a_view_does_not_need_is_not_counted():
    branch, sub_branch = tiny_branches("none")
    f_alone = [
        ("labelled", "labelled", 0, ("F",), True, False),
        ("weak", "unlabelled", 0, BOTH, False, False),
    ]
    found = step_flops(method((branch, sub_branch), passes=f_alone), 2, 8, 64, 32)
    of_f, of_f_sub = (forward_flops(one.segmenter(), 64, 32) for one in (branch, sub_branch))
    assert found == {"labelled": 2 * 3 * of_f, "weak": 8 * (of_f + of_f_sub)}


def test_two_networks_on_one_view_add_up():
    first, second = tiny_branches("none")
    passes = [("labelled", "labelled", network, ("F",), True, False) for network in (0, 1)]
    found = step_flops(method((first, None), (second, None), passes=passes), 1, 0, 32, 32)
    assert found == {"labelled": 3 * sum(forward_flops(one.segmenter(), 32, 32) for one in (first, second))}


def test_views_in_one_batch_and_perturbed_features_are_counted():
    """Two views pass twice; features that a decoder also gets perturbed pass decoder and classifier twice."""
    branch, _ = tiny_branches("none")
    passes = [
        ("strong", "unlabelled", 0, ("F",), True, False, 2),
        ("labelled and weak", "both", 0, ("F",), True, False, 1, True),
    ]
    found = step_flops(method((branch, None), passes=passes), 2, 3, 64, 64)
    once, backbone = (
        forward_flops(branch.segmenter(), 64, 64),
        forward_flops(branch.stem, 64, 64) + forward_flops(branch.tail, 16, 16),
    )
    assert found == {"strong": 3 * 2 * 3 * once, "labelled and weak": 5 * 3 * (2 * once - backbone)}


def test_shapes_of_the_parts():
    found = part_passes(method(tiny_branches("low"), passes=USRN), 64, 64)
    assert [(one.view, one.part, one.branch, one.shape) for one in found if one.view != "weak"] == [
        ("labelled", "stem", "both", (16, 16, 32)),
        ("labelled", "tail", "F", (4, 4, 128)),
        ("labelled", "tail", "F_sub", (4, 4, 128)),
        ("labelled", "decoder", "F", (16, 16, DECODER_CHANNELS)),
        ("labelled", "decoder", "F_sub", (16, 16, DECODER_CHANNELS)),
        ("labelled", "classifier", "F", (16, 16, CLASSES)),
        ("labelled", "classifier", "F_sub", (16, 16, SUBCLASSES)),
        ("strong", "stem", "both", (16, 16, 32)),
        ("strong", "tail", "F", (4, 4, 128)),
        ("strong", "tail", "F_sub", (4, 4, 128)),
        ("strong", "decoder", "F", (16, 16, DECODER_CHANNELS)),
        ("strong", "decoder", "F_sub", (16, 16, DECODER_CHANNELS)),
        ("strong", "classifier", "F", (8, 8, CLASSES)),
        ("strong", "classifier", "F_sub", (8, 8, SUBCLASSES)),
    ]


def test_an_unknown_kernel_is_not_counted_as_zero():
    with pytest.raises(TypeError, match="cannot count the operations of TimeDistributed 'strange'"):
        forward_flops(model_of(layers.TimeDistributed(layers.Conv1D(2, 3), name="strange")), 8, 8)


def test_a_model_that_is_not_functional_is_rejected():
    class Plain(keras.Model):
        def call(self, images):
            return images

    model = model_of(Plain(name="plain"))
    with pytest.raises(TypeError, match="received the Plain 'plain'"):
        forward_flops(model, 8, 8)
