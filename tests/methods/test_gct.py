"""GCT against values of the official code, and what its parts promise."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.methods.handmade import handmade_branches, second_branch
from tests.methods.logit_networks import LogitNetwork
from tests.methods.rival_golden import rival_golden
from tests.methods.test_contract import larger_batch_of
from tests.tools import builds_networks_of_a_recipe, fill, gradients, poly
from usrn_keras.backends import CompiledStep
from usrn_keras.data import load_dataset
from usrn_keras.errors import RecipeError
from usrn_keras.losses import sigmoid_ramp
from usrn_keras.methods import GCT, Network, gct, stages_of
from usrn_keras.optimizers import SGD, GroupedOptimizer
from usrn_keras.recipe import load_recipe
from usrn_keras.stages import build

pytestmark = pytest.mark.every_backend

CHANNELS = 4  # of the golden logits


def make(**options) -> GCT:
    networks = [Network(handmade_branches()[0]), Network(second_branch())]
    method = GCT(networks, detector_width=4, **({"seed": 0} | options))
    fill(method.variables)
    return method


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(ops.convert_to_numpy(value)) for name, value in terms.items()}


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(np.float64(logits) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.fixture
def golden_terms(monkeypatch):
    """Terms of the golden logits, of which image 0 is labelled.

    The flaws of the targets are given, and for the networks the detector is a weight of each class.
    """
    golden = rival_golden("gct")

    def terms(logits_l, logits_r, flaws=(golden["raw_flaw_l"], golden["raw_flaw_r"]), **options) -> dict:
        found = list(flaws)

        def detect(detector, images, probabilities):
            if found:
                return ops.convert_to_tensor(found.pop(0))
            weights = ops.convert_to_tensor(golden["detector_weights"][:, None])
            return ops.matmul(probabilities, weights)[..., 0]

        monkeypatch.setattr(gct, "detect_flaws", detect)
        method = make(**options)
        method.networks = [LogitNetwork(CHANNELS, [block, block]) for block in (0, 1)]
        method.upsample = keras.layers.Identity()
        logits = ops.concatenate([logits_l, logits_r], axis=-1)
        labels = golden["labels"][:1].astype("int32")
        progress = np.float32(0.04)
        return method.loss_terms(
            {"labelled": logits[:1], "weak": logits[1:], "labels": labels, "progress": progress}
        )

    return terms


def test_values_and_gradients_of_the_official_code(golden_terms):
    """The official code moves one network at a time; each gradient is that of its own objective."""
    golden = rival_golden("gct")
    logits = [golden["logits_l"], golden["logits_r"]]
    ramp = float(golden["ramp_used"])
    assert float(ops.convert_to_numpy(sigmoid_ramp(0.04, 0.1))) == pytest.approx(ramp, rel=1e-5)
    found = values_of(golden_terms(*logits, detector_weight=0.0))
    for end, side in (("", "l"), ("_2", "r")):
        assert found[f"supervised{end}"] == pytest.approx(float(golden[f"{side}_task_loss"]), rel=1e-5)
        assert found[f"correction{end}"] == pytest.approx(float(golden[f"{side}_fc_loss"]), abs=1e-7)
        consistency = 100 * ramp * found[f"consistency{end}"]
        assert consistency == pytest.approx(float(golden[f"{side}_dc_loss"]), rel=1e-5)
    total = float(golden["task_objective_l"] + golden["task_objective_r"])
    assert found["loss"] == pytest.approx(total, rel=1e-5)

    def loss(logits_l, logits_r):
        return golden_terms(logits_l, logits_r, detector_weight=0.0)["loss"]

    for side, gradient in zip("lr", gradients(loss, logits), strict=True):
        expected = golden[f"grad_{side}"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient / scale, expected / scale, atol=1e-5, err_msg=side)


def test_ramp_of_the_official_code():
    golden = rival_golden("gct/ramp")
    for (step, total), expected in zip(golden["steps_total"].T, golden["values"], strict=True):
        found = sigmoid_ramp(step / total if total else 0.0, 1.0 if total else 0.0)
        assert float(ops.convert_to_numpy(found)) == pytest.approx(float(expected), rel=1e-5)


def test_both_networks_learn_where_both_are_wrong(golden_terms):
    """The golden values have no such pixel; with a lower threshold there are some."""
    golden = rival_golden("gct")
    found = values_of(golden_terms(golden["logits_l"], golden["logits_r"], threshold=0.05))
    both = (golden["handled_flaw_l"] > 0.05) & (golden["handled_flaw_r"] > 0.05)
    assert 0 < both.mean() < 1
    for end, side in (("", "l"), ("_2", "r")):
        flaws = softmax(golden[f"logits_{side}"]) @ golden["detector_weights"]
        assert found[f"correction{end}"] == pytest.approx(np.mean(both * flaws**2), rel=1e-4)


def test_the_loss_and_gradient_of_the_detector_of_the_official_code(golden_terms):
    """Of the labelled image alone, the mean of both networks; here both have the same flaws."""
    golden = rival_golden("gct")
    logits = golden["logits_l"]

    def loss(flaws):
        both = ops.concatenate([flaws, 5 * ops.ones_like(flaws)])
        return golden_terms(logits, logits, flaws=(both, both))["detector"]

    flaws = golden["detector/flawmap"]
    assert float(ops.convert_to_numpy(loss(flaws))) == pytest.approx(float(golden["detector/loss"]), rel=1e-5)
    (found,) = gradients(loss, [flaws])
    scale = np.abs(golden["detector/grad"]).max()
    np.testing.assert_allclose(found / scale, golden["detector/grad"] / scale, atol=1e-5)


def test_each_part_trains_its_own_network():
    """The detector stays as it is while the networks learn through it."""
    method = make()
    groups = [part.trains for part in method.loss_parts()]
    own = [method.detector.trainable_variables, *(one.F.trainable_variables for one in method.networks)]
    assert [[id(v) for v in group] for group in groups] == [[id(v) for v in group] for group in own]


def weights_after_a_step(optimizer: keras.optimizers.Optimizer, **options) -> tuple[GCT, list[np.ndarray]]:
    """Weights of the detector, then of both networks."""
    method = make(**options)
    optimizer = method.wrap_optimizer(optimizer)
    optimizer.build(method.trainable_variables)
    method.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "torch")
    CompiledStep(method)(larger_batch_of(0))
    variables = [*method.detector.trainable_variables, *method.networks[0].trainable_variables]
    return method, [np.array(ops.convert_to_numpy(v.value)) for v in variables]


def test_the_detector_has_an_optimizer_of_its_own():
    """A first step of Adam moves a weight by its learning rate, whatever the gradient."""
    start = [np.array(ops.convert_to_numpy(v.value)) for v in make().detector.trainable_variables]
    method, found = weights_after_a_step(SGD(poly(0.01, 100)), detector_rate=0.003)
    moves = [np.abs(now - before) for now, before in zip(found, start, strict=False)]
    np.testing.assert_allclose(np.median(np.concatenate([move.ravel() for move in moves])), 0.003, rtol=1e-2)
    assert isinstance(method.optimizer, GroupedOptimizer)
    detector = method.optimizer.optimizers["detector"]
    assert float(detector._learning_rate(50)) == pytest.approx(0.003 * 0.5**0.9, rel=1e-5)
    assert method.optimizer.optimizers["networks"].momentum == 0.9


def test_the_weight_of_the_detector_moves_no_network():
    results = [weights_after_a_step(SGD(0.01), detector_weight=weight)[1] for weight in (1.0, 100.0)]
    detector = len(make().detector.trainable_variables)
    for one, two in zip(*(result[detector:] for result in results), strict=True):
        np.testing.assert_array_equal(one, two)


def test_two_networks_are_needed():
    with pytest.raises(ValueError, match="`networks` must be two networks, received 1"):
        GCT([Network(handmade_branches()[0])])


@builds_networks_of_a_recipe
@pytest.mark.parametrize("start", ["imagenet", "baseline"])
def test_networks_of_a_recipe_share_the_backbone_weights_alone(recipe_file, start):
    overrides = ["training.method=gct", f"training.start={start}", "views.crop_size=64"]
    recipe = load_recipe(str(recipe_file), overrides)
    method = build.build_method(recipe, stages_of(recipe)[-1], load_dataset(recipe.data))
    one, two = (network.F for network in method.networks)
    if start == "baseline":
        config = keras.saving.serialize_keras_object(one)
        baseline = keras.saving.deserialize_keras_object(config)
        fill(baseline.variables, seed=5)
        method.start_from(build.Start(baseline, None))
        for ours, theirs in zip(one.variables, baseline.variables, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    for part in ("stem", "tail"):
        for ours, theirs in zip(getattr(one, part).variables, getattr(two, part).variables, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    kernels = [branch.classifier.get_weights()[0] for branch in (one, two)]
    assert not np.array_equal(*kernels)
    assert method.detector_width == 64


def test_crops_that_are_too_small_and_usrn_on_top_are_refused():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["training.method=gct", "training.with_usrn=true", "views.crop_size=32"])
    errors = " ".join(caught.value.errors)
    assert "views.crop_size: must be at least 64 with training.method = 'gct', received 32" in errors
    assert "with_usrn: must be false with training.method = 'gct'" in errors
