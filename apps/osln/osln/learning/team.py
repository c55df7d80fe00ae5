"""What the processes of one training share: parts of a batch, sums over all of it, gradients.

Each process has its part of every batch. Whatever is taken over the batch (the sums of a loss, the statistics
of batch normalization) is taken over all parts, so that every process knows the loss of the whole batch, and
the mean of their gradients is its gradient. The result is that of one process but for the order in which
numbers are added.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import distributed, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of a training; those of the default group of `torch.distributed` if there are several.

    Attributes:
        rank: Of this process, from 0. The first one keeps the state and tells of progress.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> slice:
        """What this process has of so many: parts in the order of the ranks that differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, the same bits in each; gradients go back to all."""
        return values if self.size == 1 else cast(torch.Tensor, _Sum.apply(values))

    def handed(self, value: T) -> T:
        """The value of the first process, in all of them; tensors of it are on the CPU."""
        box: list[Any] = [value]
        if self.size > 1:
            distributed.broadcast_object_list(box, device=torch.device("cpu"))
        return cast(T, box[0])

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Puts the mean of the processes' gradients in the place of each."""
        if self.size == 1:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        # At once: a transfer has a price of its own, whatever its size.
        flat = torch.cat([one.flatten() for one in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


ALONE = Team()


class _Sum(torch.autograd.Function):
    """Sum over the processes. The loss of each depends on the values of all, so gradients are added too."""

    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


class TeamNorm(nn.BatchNorm3d):
    """Batch normalization over the parts of all processes; `normalize_together` makes one of a usual one.

    `torch.nn.SyncBatchNorm` does the same, on GPUs only; this one is tested where there are none.
    """

    team: Team

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, x, y, z), normalized by the statistics of the whole batch in training."""
        if not self.training or self.team.size == 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            # Statistics of bfloat16 in the single precision of the weights.
            wide = x.to(self.weight.dtype)
            variance, mean = torch.var_mean(wide, dim=(0, 2, 3, 4), correction=0)
            own = mean.new_full((1,), x.numel() / x.shape[1])
            total, count = self.team.summed(torch.cat([mean * own, own])).split([len(mean), 1])
            whole_mean = total / count
            # Not the mean square less the squared mean, which loses digits.
            squares = own * (variance + (mean - whole_mean).square())
            whole_variance = self.team.summed(squares) / count
            self._note(whole_mean.detach(), (whole_variance * count / (count - 1)).detach())
            scale = torch.rsqrt(whole_variance + self.eps) * self.weight
            shape = (1, -1, 1, 1, 1)
            moved = torch.addcmul((self.bias - whole_mean * scale).view(shape), wide, scale.view(shape))
            return moved.to(x.dtype)

    def _note(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Lets the statistics that count after the training follow those of a batch."""
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def normalize_together(network: nn.Module, team: Team) -> None:
    """Makes batch normalization of a network, in place, one over the parts of all processes."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm3d):
            # Nothing but `forward` differs, so names and values of the weights stay.
            part.__class__ = TeamNorm
            part.team = team
