"""Initial weights and dropout from a seed, the same on every backend.

The random generators of the backends differ, so that one seed would be three experiments. Therefore NumPy
draws the weights on the host, and dropout and other draws on the device are an integer hash of the seed, the
call and the position.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import initializers, layers, ops

Tensor = Any
TRUNCATED_STDDEV = 0.87962566103423978  # standard deviation of a standard normal truncated at 2
KEYS = (-1640531535, 747796405)  # odd multipliers of the position and of the call
MIXERS = ((16, -2048144789), (13, -1028477387))  # shifts and multipliers of MurmurHash3's finalizer


def draw_weights(model: keras.Model, rng: np.random.Generator) -> keras.Model:
    """Draw the initial weights of a model on the host, from the distributions of its initializers.

    Args:
        model: Model whose weights are drawn, nested models included. Weights with a constant initializer do
            not change.
        rng: Random generator.

    Returns:
        The model.

    Raises:
        TypeError: The type of an initializer is unknown.
    """
    for variable, initializer in _initialized(model):
        values = _drawn(initializer, tuple(variable.shape), rng)
        if values is not None:
            variable.assign(values.astype("float32"))
    return model


def _initialized(layer: keras.Layer) -> Iterator[tuple[keras.Variable, Any]]:
    """List the variables of a layer and of its nested layers, each with its initializer."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _initialized(inner)
        return
    for name in sorted(vars(layer)):
        part, underscore, kind = name.rpartition("_")
        if underscore and kind == "initializer":
            for attribute in (part, f"{part}_kernel", "kernel"):
                variable = getattr(layer, attribute, None)
                if isinstance(variable, keras.Variable):
                    yield variable, getattr(layer, name)
                    break


def _drawn(initializer: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Draw values for a Keras initializer; None if it is not random."""
    if isinstance(initializer, initializers.VarianceScaling):
        fan_in, fan_out = _fans(shape)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = initializer.scale / max(1.0, fans[initializer.mode])
        if initializer.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if initializer.distribution == "truncated_normal":
            return _truncated_normal(rng, shape) * (math.sqrt(variance) / TRUNCATED_STDDEV)
        return rng.standard_normal(shape) * math.sqrt(variance)
    if isinstance(initializer, initializers.TruncatedNormal):
        return initializer.mean + initializer.stddev * _truncated_normal(rng, shape)
    if isinstance(initializer, initializers.RandomNormal):
        return rng.normal(initializer.mean, initializer.stddev, shape)
    if isinstance(initializer, initializers.RandomUniform):
        return rng.uniform(initializer.minval, initializer.maxval, shape)
    if isinstance(initializer, (initializers.Zeros, initializers.Ones, initializers.Constant)):
        return None
    raise TypeError(f"the initial weights of {type(initializer).__name__} cannot be drawn from a seed")


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Compute fan-in and fan-out of a weight as in Keras."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw standard normal numbers; numbers beyond 2 are drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values


@keras.saving.register_keras_serializable(package="usrn_keras")
class SeededDropout(layers.Layer):
    """Dropout of the same elements on every backend, whose state is a variable of the model.

    An element is dropped if a hash of the seed, the number of the call and the position of the element is
    below `rate`. The Dropout of Keras uses the generator of the backend, on PyTorch a global one, which
    checkpoints do not store.

    Args:
        rate: Dropout rate, in [0, 1).
        noise_shape: Shape of the random mask; None for the size of the input, 1 to drop the axis together.
        seed: Seed of the hash; None to draw one from the generator of Python, which
            `keras.utils.set_random_seed` seeds.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:

    >>> dropout = SeededDropout(0.5, seed=0)
    >>> kept = dropout(np.ones((1, 1000), "float32"), training=True)
    >>> 0.4 < float(ops.mean(ops.cast(kept > 0, "float32"))) < 0.6
    True
    """

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be at least 0 and below 1, received {rate}")
        self.rate = rate
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        if rate > 0:  # without, there is no state
            self.seed_generator = keras.random.SeedGenerator(self.seed)  # [seed, number of calls]
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        sizes = list(ops.shape(inputs))
        if self.noise_shape is not None:
            sizes = [size if own is None else own for size, own in zip(sizes, self.noise_shape, strict=True)]
        state = ops.cast(_next(self.seed_generator.state), "int32")
        first = first_position(sizes) if self.noise_shape is None else 0
        kept = _hashes(state, sizes, first) >= round(self.rate * 2**24)
        return inputs * (ops.cast(kept, inputs.dtype) * (1 / (1 - self.rate)))

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def save_own_variables(self, store: Any) -> None:
        """Save the state too, which Keras leaves out of files of weights."""
        if self.rate > 0:
            store["state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        """Load the state; a file without one leaves the layer at its seed."""
        if self.rate > 0 and "state" in store:
            self.seed_generator.state.assign(store["state"][()])

    def get_config(self) -> dict[str, Any]:
        own = {"rate": self.rate, "noise_shape": self.noise_shape, "seed": self.seed}
        return super().get_config() | own


@keras.saving.register_keras_serializable(package="usrn_keras")
class SeededDraws(layers.Layer):
    """Draws uniform numbers, the same on every backend.

    The state, the seed and the number of draws, is a variable: checkpoints and saved models store it. (Saved
    models do not store the state of a `keras.random.SeedGenerator`.)

    Args:
        seed: Seed of the hash.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:

    >>> draws = SeededDraws(0)
    >>> 0.45 < float(ops.mean(draws.uniform((1000,)))) < 0.55
    True
    """

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = int(seed)
        self.state = self.add_weight(
            shape=(2,), initializer=self._start, dtype="int32", trainable=False, name="state"
        )
        self.built = True

    def uniform(self, sizes: Sequence[Any]) -> Tensor:
        """Draw numbers.

        Args:
            sizes: Shape of the result; sizes that are unknown while a graph is traced are tensors.

        Returns:
            float32 tensor of multiples of 2^-24 in [0, 1).
        """
        state = _next(self.state)
        return ops.cast(_hashes(state, list(sizes)), "float32") * 2.0**-24

    def _start(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return ops.convert_to_tensor([self.seed, 0], dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"seed": self.seed}


def _next(variable: keras.Variable) -> Tensor:
    """Return a state, the seed and the number of the call, and count the call."""
    state = variable.value * 1  # a copy, as the variable changes in place
    variable.assign(state + ops.arange(2, dtype=variable.dtype))
    return state


def first_position_alone(sizes: list[Any]) -> int:
    """Position of the first element of a batch in the batch of all processes; 0 where there is one.

    `usrn_keras.stages.devices` replaces this function where there are several.

    Args:
        sizes: Shape of the batch of this process.
    """
    return 0


first_position = first_position_alone


def _hashes(state: Tensor, sizes: list[Any], first: int = 0) -> Tensor:
    """Compute uniform integers of 24 bits; int32 arithmetic wraps around equally on every backend.

    `state` is the seed and the number of the call, `(2,)` int32, and `first` the position of the first one.
    """
    count = math.prod(sizes) if all(isinstance(size, int) for size in sizes) else ops.prod(sizes)
    positions = ops.arange(count, dtype="int32")
    positions = positions + first if first else positions
    bits = positions * KEYS[0] + state[0] + state[1] * KEYS[1]
    for shift, multiplier in MIXERS:
        bits = ops.bitwise_xor(bits, _shifted(bits, shift)) * multiplier
    bits = ops.bitwise_xor(bits, _shifted(bits, 16))
    return ops.reshape(bits & (2**24 - 1), sizes)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right logically, without copies of the sign bit."""
    return ops.right_shift(bits, places) & (2 ** (32 - places) - 1)
