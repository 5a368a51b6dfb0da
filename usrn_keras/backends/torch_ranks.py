"""PyTorch: several processes that train together, each on its part of every batch.

Each computes the gradients of its images. Counts of valid pixels and statistics of batches are those of the
whole batch, so that the mean over the processes of losses and gradients is that of one process with all
images.
"""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import torch
import torch.distributed as dist

from usrn_keras.losses import divisors
from usrn_keras.ranks import ALONE, Ranks, find_launch

Tensor = torch.Tensor
# A process waits while the first one clusters and evaluates; the launcher notices processes that died.
LONGEST_WAIT = datetime.timedelta(days=7)
POLL_SECONDS = 0.02

_joined: list[Ranks] = [ALONE]


def current_ranks() -> Ranks:
    """The processes that this one has joined; `ALONE` before `join`."""
    return _joined[0]


def join(ranks: Ranks, *, local_statistics: bool = False) -> Ranks:
    """Connect to the other processes, which do the same, and let losses count the pixels of all of them.

    Args:
        ranks: Place of this process, see `usrn_keras.ranks.launched_ranks`.
        local_statistics: Whether batch normalisation uses the images of each process alone.

    Returns:
        The connected ranks; `ALONE` for one process.
    """
    if ranks.world == 1:
        return ALONE
    os.environ.update(find_launch().variables())  # where torch.distributed looks for them
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
    # Flags and numbers of the host do not wait for kernels.
    host = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
    joined = TorchRanks(ranks.rank, ranks.world, host, local_statistics)
    _joined[0] = joined
    divisors.at_least_one = joined.count_at_least_one
    return joined


def leave(*, failed: bool = False) -> None:
    """Disconnect from the other processes.

    Args:
        failed: Whether this process ends with an error.
    """
    if _joined[0] is not ALONE:
        _joined[0] = ALONE
        divisors.at_least_one = divisors.one_process_at_least_one
        dist.destroy_process_group()


@dataclass(frozen=True)
class TorchRanks(Ranks):
    """Processes that are connected; see `Ranks`.

    Args:
        rank: Number of this process, from 0.
        world: Number of processes.
        host_group: Group of `torch.distributed` for tensors in host memory.
        local_statistics: Whether batch normalisation uses the images of each process alone.
    """

    host_group: Any = field(default=None, repr=False)
    local_statistics: bool = False

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        found = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.host_group)
        return tuple(map(bool, found.tolist()))

    def gather(self, text: str) -> list[str]:
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, text, group=self.host_group)
        return found

    def checksums(self, variables: Sequence[keras.Variable]) -> list[int]:
        return torch.stack([_checksum(variable.value.detach()) for variable in variables]).tolist()

    def first_position(self, sizes: Sequence[int]) -> int:
        return self.rank * math.prod(sizes)

    def send(self, order: int) -> None:
        dist.broadcast(torch.tensor([order]), src=0, group=self.host_group)

    def receive(self) -> int:
        order = torch.zeros(1, dtype=torch.int64)
        work = dist.broadcast(order, src=0, group=self.host_group, async_op=True)
        while not work.is_completed():  # within Python, so that Ctrl-C is heard
            time.sleep(POLL_SECONDS)
        work.wait()
        return int(order)

    def count_at_least_one(self, count: Tensor) -> Tensor:
        """Mean over the processes of a count; the total is at least 1."""
        total = count.detach().clone()
        dist.all_reduce(total)
        return total.clamp(min=1) / self.world

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, all at once."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Means over the processes of several tensors, all at once."""
        flat = self.mean(torch.cat([tensor.reshape(-1) for tensor in tensors]))
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for tensor, part in zip(tensors, parts, strict=True)]

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes of a tensor."""
        values = values.clone()
        dist.all_reduce(values)
        return values / self.world

    def batch_norm(
        self, x: Tensor, scale: Tensor | None, offset: Tensor | None, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise a batch by the statistics of the batches of all processes, which have the same size.

        Args:
            x: Batch `(batch, channels, height, width)`.
            scale: Scale `(channels,)`, or None.
            offset: Offset `(channels,)`, or None.
            epsilon: Added to the variance.

        Returns:
            The normalised batch, and mean and inverse standard deviation of the whole batch, `(channels,)`.
        """
        return _GlobalBatchNorm.apply(x, scale, offset, epsilon, self)


class _GlobalBatchNorm(torch.autograd.Function):
    """Batch normalisation in float32 with the statistics of all processes."""

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        scale: Tensor | None,
        offset: Tensor | None,
        epsilon: float,
        ranks: TorchRanks,
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = x.float()
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        found = [torch.empty_like(torch.stack([mean, variance])) for _ in range(ranks.world)]
        dist.all_gather(found, torch.stack([mean, variance]))
        means, variances = torch.stack(found, dim=1)
        mean = means.mean(0)
        deviation = ((variances + (means - mean).square()).mean(0) + epsilon).rsqrt()
        normal = (values - _shaped(mean)) * _shaped(deviation)
        context.save_for_backward(normal, scale, deviation)
        context.ranks, context.has_offset, context.dtype = ranks, offset is not None, x.dtype
        result = normal if scale is None else normal * _shaped(scale)
        result = result if offset is None else result + _shaped(offset)
        context.mark_non_differentiable(mean, deviation)
        return result.to(x.dtype), mean, deviation

    @staticmethod
    def backward(context: Any, upstream: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        normal, scale, deviation = context.saved_tensors
        upstream = upstream.float()
        by_offset = upstream.sum(dim=(0, 2, 3))
        by_scale = (upstream * normal).sum(dim=(0, 2, 3))
        pixels = upstream.numel() // upstream.shape[1]
        both = context.ranks.mean(torch.stack([by_offset, by_scale])) / pixels
        factor = deviation if scale is None else deviation * scale
        by_x = (upstream - _shaped(both[0]) - normal * _shaped(both[1])) * _shaped(factor)
        own_scale = None if scale is None else by_scale
        return by_x.to(context.dtype), own_scale, by_offset if context.has_offset else None, None, None


def _shaped(values: Tensor) -> Tensor:
    return values.reshape(1, -1, 1, 1)


def _checksum(values: Tensor) -> Tensor:
    """A number that equal tensors share, and hardly any others: the sum of their bits as integers."""
    values = values.contiguous()
    bits = values.view(torch.int32) if values.dtype == torch.float32 else values
    return bits.to(torch.int64).sum()
