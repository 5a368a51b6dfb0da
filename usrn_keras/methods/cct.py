"""Cross-consistency training (CCT): auxiliary decoders agree on perturbed features with the main decoder."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import bootstrapped_pixels, consistency, cross_entropy, sigmoid_ramp
from usrn_keras.methods.base import Method
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, labelled_images
from usrn_keras.networks.perturbations import adversarial_shift, draw_shape, perturb
from usrn_keras.networks.seeded import SeededDraws
from usrn_keras.networks.shuffle_decoder import ShuffleDecoder, shuffle_decode
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import CCTOptions

STRIDE = 4  # of the decoder features
SHUFFLES = 2  # from there to the size of the image


@keras.saving.register_keras_serializable(package="usrn_keras")
class CCT(Method):
    """Cross-consistency training (CVPR 2020, arXiv 2003.09005).

    Auxiliary decoders `a_k` are trained to give perturbed features the probabilities that F gives the
    features `z` as they are:

        L = CE(x, y) + weight * exp(-5 (1 - t)^2) * mean over k of mean (softmax a_k(perturb_k(z(u))) - p)^2
        p = softmax F(u), without gradient;  t = min(progress / ramp, 1)

    The mean is over images, pixels and classes at full size. Its gradient trains the auxiliary decoders and
    everything of F before the classifier, which learns from the masks alone.

    `z` are the decoder features of F, the input of its classifier, as in the code of the authors, whose
    encoder ends with the context module, and in that of CPS for DeepLabv3+. An auxiliary decoder is a
    `ShuffleDecoder`. Perturbations are described in `usrn_keras.networks.perturbations`; each decoder draws
    its own. Memory holds the activations of one auxiliary decoder at a time; they are computed again in the
    backward pass.

    With `supervised="abce"` CE is the mean over the pixels that are not confident yet, see
    `usrn_keras.losses.bootstrapped_pixels`. The labelled and the unlabelled images are batches of their own.

    Unlike the official code, F is the network of the recipe, with bilinear upsampling in place of pixel
    shuffles; `p` has no dropout; a window is cut out of the foreground as a whole; and the adversarial
    perturbation is not 0.

    Args:
        networks: The network; its F is trained.
        decoders: Number of auxiliary decoders by perturbation.
        weight: Weight of the consistency after its ramp.
        ramp: Share of training in which the weight grows.
        supervised: Loss on masks, `ce` or `abce`.
        seed: Seed of the auxiliary decoders and of the perturbations; None to draw one from the generator of
            Python, which `keras.utils.set_random_seed` seeds.
        **kwargs: Arguments of `Method`: `ignore_index`.

    A batch is a dict as for `SelfTraining`, without a strong view, and with `progress`, the completed share
    of training, a float32 of one element. `Batches` makes it.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> model = CCT([Network(branch)], decoders={"drop": 1, "vat": 1})
    >>> batch = {"labelled": images, "weak": images, "labels": labels, "progress": np.float32(0.5)}
    >>> sorted(model.loss_terms(batch))
    ['consistency', 'loss', 'supervised']
    """

    method_name = "cct"
    title = "CCT"
    Options = CCTOptions
    inputs = BatchSpec(unlabelled=True, progress=True)
    forward_passes = (
        ForwardPass("labelled", "labelled", ("F",)),
        ForwardPass("weak", "unlabelled", ("F",)),
    )

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        decoders: Mapping[str, int],
        weight: float = 30.0,
        ramp: float = 0.1,
        supervised: str = "ce",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(networks, **kwargs)
        self.decoders = {name: int(count) for name, count in decoders.items()}
        self.weight = weight
        self.ramp = ramp
        self.supervised = supervised
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.draws = SeededDraws(self.seed)
        self.perturbed_by = [name for name, count in self.decoders.items() for _ in range(count)]
        classifier, rng = self.networks[0].F.classifier, np.random.default_rng(self.seed)
        channels, classes = classifier.input_shape[-1], classifier.output_shape[-1]
        self.auxiliary = [ShuffleDecoder(channels, classes, SHUFFLES) for _ in self.perturbed_by]
        for decoder in self.auxiliary:
            decoder.draw_weights(rng)

    def other_flops(
        self, batch_labelled: int, batch_unlabelled: int, height: int, width: int
    ) -> dict[str, int]:
        decoder = self.auxiliary[0]
        pixels = batch_unlabelled * (height // STRIDE) * (width // STRIDE)
        forward = 2 * pixels * decoder.products
        # A backward pass, and the forward pass that it repeats; the direction of VAT takes three more.
        vat = 3 * self.decoders.get("vat", 0)
        return {"auxiliary decoders": forward * (4 * len(self.auxiliary) + vat)}

    def loss_parts(self) -> list[LossPart]:
        branch = self.networks[0].F
        before = [v for part in (branch.stem, branch.tail, branch.decoder) for v in part.trainable_variables]
        own = [variable for decoder in self.auxiliary for variable in decoder.trainable_variables]
        return [
            LossPart("labelled", self.labelled, branch.trainable_variables, ("supervised",)),
            LossPart("unlabelled", self.unlabelled, [*before, *own], ("consistency",)),
        ]

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss on masks."""
        logits = self.networks[0].logits(labelled_images(batch))["F"]
        counted = batch["labels"] != self.ignore_index
        if self.supervised == "abce":
            counted = bootstrapped_pixels(logits, batch["labels"], counted, batch["progress"])
        loss = cross_entropy(logits, batch["labels"], counted)
        return {"loss": loss, "supervised": loss}, self.labelled_context(logits)

    def unlabelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the consistency of the auxiliary decoders with F."""
        network = self.networks[0]
        features = ops.cast(network.features(ops.cast(batch["weak"], "float32"))["F"], "float32")
        with no_gradient():
            logits = network.classify({"F": ops.stop_gradient(features)}, training=False)["F"]
            probabilities = ops.stop_gradient(ops.softmax(self.upsample(logits), axis=-1))
            foreground = ops.cast(ops.argmax(logits, axis=-1) != 0, "float32")
        losses = [
            self._consistency(name, features, foreground, probabilities, decoder)
            for name, decoder in zip(self.perturbed_by, self.auxiliary, strict=True)
        ]
        mean = sum(losses) / len(losses)
        weight = self.weight * sigmoid_ramp(batch["progress"], self.ramp)
        return {"loss": weight * mean, "consistency": mean}, {}

    def _consistency(
        self,
        name: str,
        features: Tensor,
        foreground: Tensor,
        probabilities: Tensor,
        decoder: ShuffleDecoder,
    ) -> Tensor:
        """Consistency of one auxiliary decoder, whose activations are not stored."""
        weights = [ops.convert_to_tensor(weight) for weight in decoder.weight_list]
        draw, shape = None, draw_shape(name, features)
        if shape is not None:
            draw = self.draws.uniform(shape)
        if name == "vat":
            draw = adversarial_shift(features, draw, lambda some: shuffle_decode(some, *weights))

        @keras.remat
        def loss(features: Tensor, *weights: Tensor) -> Tensor:
            perturbed = perturb(name, features, draw, foreground)
            return consistency(shuffle_decode(perturbed, *weights), probabilities)

        return loss(features, *weights)

    def get_config(self) -> dict[str, Any]:
        own = ("decoders", "weight", "ramp", "supervised", "seed")
        return super().get_config() | {name: getattr(self, name) for name in own}
