"""CCT: what its parts promise. Golden values are in the tests of its losses, perturbations and decoder."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.methods.build_method import compiled_step
from tests.methods.handmade import handmade_batch, handmade_branches
from tests.tools import builds_networks_of_a_recipe, fill
from usrn_keras.data import load_dataset
from usrn_keras.errors import RecipeError
from usrn_keras.methods import CCT, Network, labelled_images, stages_of
from usrn_keras.networks.seeded import SeededDropout
from usrn_keras.optimizers import SGD
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.method_options import CCT_PERTURBATIONS
from usrn_keras.stages import build

pytestmark = pytest.mark.every_backend

ONE_OF_EACH = dict.fromkeys(CCT_PERTURBATIONS, 1)
OFFICIAL = dict(zip(CCT_PERTURBATIONS, (6, 6, 2, 2, 2, 6, 6), strict=True))


def make(decoders: dict[str, int] = ONE_OF_EACH, **options) -> CCT:
    method = CCT([Network(handmade_branches()[0])], decoders=decoders, **({"seed": 0} | options))
    fill(method.variables)
    return method


def batch_of(number: int, progress: float = 0.05) -> dict[str, np.ndarray]:
    return handmade_batch(number) | {"progress": np.float32(progress)}


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(ops.convert_to_numpy(value)) for name, value in terms.items()}


def value_of(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.stop_gradient(tensor)))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(np.float64(logits) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_the_objective_of_masking_decoders():
    """Two decoders without random draws, against NumPy: predictions at full size, foreground at stride 4."""
    method, batch = make({"context_masking": 1, "object_masking": 1}, weight=7.0, ramp=0.2), batch_of(0)
    network, weak = method.networks[0], ops.convert_to_tensor(np.float32(batch["weak"]))
    features = network.features(weak)["F"]
    logits = network.classify({"F": features})["F"]
    foreground = np.float32(value_of(logits).argmax(-1) != 0)[..., None]
    assert 0 < foreground.mean() < 1
    target = softmax(value_of(method.upsample(logits)))
    differences = []
    for decoder, mask in zip(method.auxiliary, (foreground, 1 - foreground), strict=True):
        found = softmax(value_of(decoder(features * ops.convert_to_tensor(mask))))
        assert found.shape == target.shape == (*batch["weak"].shape[:3], 3)
        differences.append(np.mean((found - target) ** 2))
    terms = values_of(method.loss_terms(batch))
    assert terms["consistency"] == pytest.approx(np.mean(differences), rel=1e-5)
    weight = 7.0 * np.exp(-5 * (1 - 0.05 / 0.2) ** 2)
    assert terms["loss"] == pytest.approx(terms["supervised"] + weight * np.mean(differences), rel=1e-5)


def test_the_mean_over_decoders():
    """Each decoder counts once: two copies of one give the consistency of one."""
    single, double = make({"object_masking": 1}), make({"object_masking": 2})
    for decoder in double.auxiliary:
        decoder.set_weights(single.auxiliary[0].get_weights())
    found = [values_of(method.loss_terms(batch_of(0)))["consistency"] for method in (single, double)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_the_classifier_learns_from_the_masks_alone():
    method = make()
    labelled, unlabelled = method.loss_parts()
    classifier = {id(variable) for variable in method.networks[0].F.classifier.trainable_variables}
    assert classifier and not classifier & {id(variable) for variable in unlabelled.trains}
    decoders = {id(variable) for one in method.auxiliary for variable in one.trainable_variables}
    assert not decoders & {id(variable) for variable in labelled.trains}
    weights = [step_of(method_of(weight))[-1] for weight in (0.0, 30.0)]
    np.testing.assert_array_equal(*weights)


def method_of(weight: float) -> CCT:
    return make({"drop": 1}, weight=weight)


def step_of(method: CCT) -> list[np.ndarray]:
    """All weights after a step; those of the classifier are the last ones."""
    compiled_step(method, SGD(0.1))(batch_of(0))
    branch = method.networks[0].F
    last = branch.classifier.trainable_variables
    first = [variable for variable in method.trainable_variables if id(variable) not in set(map(id, last))]
    return [np.array(ops.convert_to_numpy(variable.value)) for variable in (*first, *last)]


def test_activations_that_are_computed_again_change_nothing(monkeypatch):
    found = step_of(make())
    monkeypatch.setattr(keras, "remat", lambda function: function)
    for ours, theirs in zip(found, step_of(make()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_each_decoder_and_each_step_draws_anew():
    """The state of the draws is a variable; the same state gives the same terms."""
    method, batch = make({"drop": 2}), batch_of(0)
    method.auxiliary[1].set_weights(method.auxiliary[0].get_weights())
    single = make({"drop": 1})
    single.auxiliary[0].set_weights(method.auxiliary[0].get_weights())
    both = values_of(method.loss_terms(batch))["consistency"]
    first, second, third = (values_of(single.loss_terms(batch))["consistency"] for _ in range(3))
    assert len({first, second, third}) == 3
    assert both == pytest.approx((first + second) / 2, rel=1e-5)
    assert any(variable is method.draws.state for variable in method.non_trainable_variables)


def test_predictions_without_foreground():
    """Then a cut-out leaves the features, and the features of the foreground are 0."""
    method = make({"cutout": 1, "context_masking": 1})
    kernel, bias = method.networks[0].F.classifier.get_weights()
    method.networks[0].F.classifier.set_weights([kernel, bias + np.float32([100, 0, 0])])
    terms = values_of(method.loss_terms(batch_of(0)))
    assert all(np.isfinite(value) for value in terms.values())


def test_the_target_has_no_dropout():
    """The classifier's dropout is a step of the labelled images alone."""
    branch = handmade_branches()[0]
    features = keras.Input((None, None, branch.classifier.input_shape[-1]))
    dropped = SeededDropout(0.9, seed=0)(features)
    branch.classifier = keras.Model(features, keras.layers.Conv2D(3, 1)(dropped))
    method = CCT([Network(branch)], decoders={"object_masking": 1}, seed=0)
    fill(method.variables)
    found = [values_of(method.loss_terms(batch_of(0))) for _ in range(2)]
    assert found[0]["consistency"] == found[1]["consistency"]
    assert found[0]["supervised"] != found[1]["supervised"]


def test_bootstrapped_cross_entropy_drops_confident_pixels():
    """Late in the training, pixels of a probability above 0.9 count no longer."""
    batch, terms = batch_of(0, progress=1.0), {}
    for supervised in ("ce", "abce"):
        method = make({"drop": 1}, supervised=supervised)
        kernel, bias = method.networks[0].F.classifier.get_weights()
        method.networks[0].F.classifier.set_weights([3 * kernel, bias])
        terms[supervised] = values_of(method.loss_terms(batch))
        logits = value_of(method.upsample(labelled_logits(method, batch)))
    labels, valid = np.where(batch["labels"] == 255, 0, batch["labels"]), batch["labels"] != 255
    probabilities = np.take_along_axis(softmax(logits), labels[..., None], -1)[..., 0]
    threshold = 1 / 3 + (0.9 - 1 / 3) * (1 - np.exp(-5))
    kept = valid & (probabilities < threshold)
    assert 0.1 < (valid & ~kept).sum() / valid.sum() < 0.9
    assert terms["ce"]["supervised"] == pytest.approx(-np.log(probabilities[valid]).mean(), rel=1e-4)
    assert terms["abce"]["supervised"] == pytest.approx(-np.log(probabilities[kept]).mean(), rel=1e-4)


def labelled_logits(method: CCT, batch: dict[str, np.ndarray]):
    return method.networks[0].logits(labelled_images(batch))["F"]


@builds_networks_of_a_recipe
def test_a_recipe_builds_the_decoders_of_its_seed(recipe_file):
    """The official numbers by default; the weights are drawn from `training.seed`."""
    weights = []
    for overrides in ([], [], ["training.seed=1"], ["cct.drop=1", "cct.vat=0"]):
        recipe = load_recipe(str(recipe_file), ["training.method=cct", *overrides])
        method = build.build_method(recipe, stages_of(recipe)[-1], load_dataset(recipe.data))
        weights.append([weight for decoder in method.auxiliary for weight in decoder.get_weights()])
        decoders = method.decoders
    assert [len(found) / 5 for found in weights] == [30, 30, 30, 23]
    assert decoders == OFFICIAL | {"drop": 1, "vat": 0}
    for one, again in zip(weights[0], weights[1], strict=True):
        np.testing.assert_array_equal(one, again)
    assert not np.array_equal(weights[0][0], weights[2][0])


def test_usrn_on_top_is_refused():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["training.method=cct", "training.with_usrn=true"])
    assert "with_usrn: must be false with training.method = 'cct'" in " ".join(caught.value.errors)
