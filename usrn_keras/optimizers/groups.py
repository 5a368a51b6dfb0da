"""Combine several optimizers, each of which updates its own group of variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from usrn_keras.optimizers.learning_rates import schedule_of


@keras.saving.register_keras_serializable(package="usrn_keras")
class GroupedOptimizer(keras.optimizers.Optimizer):
    """Delegates to one optimizer per group of variables.

    A method with several networks may need several optimizers, such as GCT, which trains its task networks
    with SGD and its flaw detector with Adam. The combined optimizer is compiled, saved and resumed like any
    other optimizer.

    Args:
        optimizers: Optimizer of each group, by the name of the group. The first optimizer updates all
            variables that belong to no group.
        name: Name of the optimizer.
        **kwargs: Arguments of `keras.optimizers.Optimizer`; those that change gradients (clipping, weight
            decay, accumulation) belong to the single optimizers.

    Example:

    >>> import numpy as np
    >>> task, detector = keras.Variable([1.0]), keras.Variable([1.0])
    >>> optimizer = GroupedOptimizer({
    ...     "task": keras.optimizers.SGD(0.1), "detector": keras.optimizers.SGD(0.01)})
    >>> optimizer.assign_groups({"detector": [detector]})
    >>> optimizer.apply([np.ones(1, "float32"), np.ones(1, "float32")], [task, detector])
    >>> [round(float(variable[0]), 3) for variable in (task, detector)]
    [0.9, 0.99]
    """

    def __init__(
        self,
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        name: str = "grouped",
        **kwargs: Any,
    ):
        if not optimizers:
            raise ValueError("`optimizers` must have at least one optimizer, received none")
        first = next(iter(optimizers.values()))
        super().__init__(learning_rate=schedule_of(first), name=name, **kwargs)
        self.optimizers = dict(optimizers)
        self._group_of: dict[int, str] = {}

    def assign_groups(self, groups: Mapping[str, Iterable[keras.Variable]]) -> None:
        """Assign variables to groups. Call before `build`.

        Args:
            groups: Variables of each group by its name. Other variables belong to the first group.

        Raises:
            ValueError: The optimizer is built already, or a group is unknown.
        """
        if self.built:
            raise ValueError("`assign_groups` must be called before the optimizer is built")
        if unknown := [name for name in groups if name not in self.optimizers]:
            raise ValueError(f"`groups` must be among {', '.join(self.optimizers)}, received {unknown}")
        self._group_of |= {id(variable): name for name, group in groups.items() for variable in group}

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        for name, optimizer in self.optimizers.items():
            optimizer.build([variable for variable in variables if self._name(variable) == name])

    @property
    def variables(self) -> list[keras.Variable]:
        """Own variables and those of every group: the variables that a checkpoint stores."""
        return [*super().variables, *(v for one in self.optimizers.values() for v in one.variables)]

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        self.build(list(trainable_variables))
        for name, optimizer in self.optimizers.items():
            pairs = [
                (gradient, variable)
                for gradient, variable in zip(grads, trainable_variables, strict=True)
                if self._name(variable) == name
            ]
            if pairs:
                optimizer.apply(*map(list, zip(*pairs, strict=True)))
        self._iterations.assign_add(1)

    def _name(self, variable: keras.Variable) -> str:
        return self._group_of.get(id(variable), next(iter(self.optimizers)))

    def get_config(self) -> dict[str, Any]:
        optimizers = {
            name: keras.optimizers.serialize(optimizer) for name, optimizer in self.optimizers.items()
        }
        return {"name": self.name, "optimizers": optimizers}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GroupedOptimizer:
        optimizers = {
            name: keras.optimizers.deserialize(one, custom_objects)
            for name, one in config["optimizers"].items()
        }
        return cls(**(config | {"optimizers": optimizers}))
