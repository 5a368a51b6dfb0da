"""A segmentation branch: stem, tail, decoder and classifier, each a functional model.

Two branches share a part if both have the same object.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from usrn_keras.backends import run_graph
from usrn_keras.networks.layer_groups import groups_by_depth


@keras.saving.register_keras_serializable(package="usrn_keras")
class Branch(layers.Layer):
    """One branch of the two-branch network, F or F_sub.

    Args:
        stem: Model from images `(batch, height, width, bands)` in 0..255 to low-level features at stride 4.
        tail: Model from low-level features to the deepest features, or to a list of feature maps that ends
            with them.
        decoder: Model from `[low, high]`, or `[low, *maps]`, to decoder features at stride 4.
        classifier: Model from decoder features to logits.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> branch.segmenter()(keras.ops.zeros((1, 64, 64, 3))).shape
    (1, 64, 64, 3)
    """

    def __init__(
        self,
        stem: keras.Model,
        tail: keras.Model,
        decoder: keras.Model,
        classifier: keras.Model,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.stem = stem
        self.tail = tail
        self.decoder = decoder
        self.classifier = classifier
        self.built = True

    def features(self, low: Any, high: Any, training: bool | None = None) -> Any:
        """Compute the decoder features.

        Args:
            low: Output of the stem.
            high: Output of the tail, one feature map or a list.
            training: Whether batch normalisation uses the statistics of the batch and dropout is active.

        Returns:
            `(batch, height/4, width/4, channels)`.
        """
        return run_graph(self.decoder, [low, high], training=training)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Compute the logits at stride 4, `(batch, height/4, width/4, classes)` float32."""
        low = run_part(self.stem, images, training)
        high = run_part(self.tail, low, training)
        return run_graph(self.classifier, self.features(low, high, training=training), training=training)

    def backbone_variables(self) -> list[keras.Variable]:
        """Trainable variables of the backbone, which have the learning-rate multiplier."""
        return [*self.stem.trainable_variables, *self.tail.trainable_variables]

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return self.stem.inputs[0].shape[-1]

    def backbone_groups(self) -> list[list[keras.Variable]]:
        """Trainable variables of the backbone in 12 groups by depth, the deepest first, for `layer_decay`."""
        return groups_by_depth([self.stem, self.tail])

    def feature_model(self) -> keras.Model:
        """Build a functional model from images to the decoder features that USRN clusters."""
        images = keras.Input((None, None, self.bands), name="images")
        return keras.Model(images, self._symbolic_features(images), name="features")

    def segmenter(self) -> keras.Model:
        """Build the functional model for inference and export, which shares the weights of the branch.

        Returns:
            A model from images `(batch, height, width, bands)` in 0..255, with a height and width divisible
            by 32, to logits `(batch, height, width, classes)` float32.
        """
        images = keras.Input((None, None, self.bands), name="images")
        logits = self.classifier(self._symbolic_features(images))
        return keras.Model(images, upsample(4)(logits), name="segmenter")

    def _symbolic_features(self, images: keras.KerasTensor) -> keras.KerasTensor:
        low = self.stem(images)
        return self.decoder(keras.tree.flatten([low, self.tail(low)]))

    def get_config(self) -> dict[str, Any]:
        parts = ("stem", "tail", "decoder", "classifier")
        serialize = keras.saving.serialize_keras_object
        return super().get_config() | {part: serialize(getattr(self, part)) for part in parts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Branch:
        parts = ("stem", "tail", "decoder", "classifier")
        built = {part: keras.saving.deserialize_keras_object(config[part]) for part in parts}
        return cls(**(config | built))


def run_part(part: keras.Model, inputs: Any, training: bool | None) -> Any:
    """Run the stem or the tail of a branch; one that is not trainable runs in inference mode.

    Args:
        part: The part.
        inputs: Its input.
        training: Whether the branch is being trained.
    """
    return run_graph(part, inputs, training=training and part.trainable)


def upsample(factor: int) -> layers.Layer:
    """Build a layer that upsamples logits bilinearly by an integer factor, in float32."""
    layer = layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32", name="full_size")
    layer.build((None, None, None, None))  # otherwise Keras would build the model again symbolically
    return layer
