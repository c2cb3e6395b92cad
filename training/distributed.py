"""One training on several processes: `torchrun --nproc-per-node 2 -m cli …` learns what one process learns.

Every process draws the same order of rows from the same seed, takes its share of each batch, and adds its gradients to those
of the others. A share's loss is weighted by its rows, so that the sum is the gradient of the whole batch, whatever its size,
and the figures differ from those of one process by rounding only (and by dropout, which each process draws for itself).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from contracts.errors import ConfigurationError


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress: only the first does."""
        return self.rank == 0

    def share(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
        """This process's rows of a batch and the weight of their mean loss in the batch's mean loss.

        Every process must take part in every step: one for whom no row is left computes the first with weight 0.

        Args:
            rows: [n] or [n, …], n ≥ 1; the same in all processes.

        Returns:
            Its part, in turn [k] or [k, …], k ≥ 1, and the weight k / n.
        """
        mine = rows[self.rank :: self.size]
        return (mine, len(mine) / len(rows)) if len(mine) else (rows[:1], 0.0)

    def attach(self, model: nn.Module) -> None:
        """Sum each gradient over the processes as soon as `backward` has made it."""
        if self.size == 1:
            return
        for weight in model.parameters():
            if weight.requires_grad:
                weight.register_post_accumulate_grad_hook(_sum_gradient)  # type: ignore[no-untyped-call]

    def total(self, value: float) -> float:
        """A number summed over the processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return float(tensor)

    def gathered(self, mine: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
        """Answers of all processes in the order of the rows that :meth:`share` dealt out.

        Args:
            mine: [k, C] of this process.
            rows: n, of all processes.

        Returns:
            [n, C], the same in all processes.
        """
        if self.size == 1:
            return mine
        longest = -(-rows // self.size)
        padded = torch.zeros(longest, mine.shape[1], device=self.device)
        padded[: len(mine)] = torch.from_numpy(mine).to(self.device)
        parts = [torch.zeros_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        result = np.zeros((rows, mine.shape[1]), dtype=np.float32)
        for rank, part in enumerate(parts):
            places = np.arange(rank, rows, self.size)
            result[places] = part[: len(places)].cpu().numpy()
        return result

    def wait(self) -> None:
        """Until all are here: what the first wrote may be read afterwards."""
        if self.size > 1:
            distributed.barrier()


def _sum_gradient(weight: Tensor) -> None:
    if weight.grad is not None:
        distributed.all_reduce(weight.grad)


@contextmanager
def joined_world(device: str = "auto") -> Iterator[World]:
    """The world that torchrun's variables describe; without them a world of one process.

    Args:
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one. On a GPU the processes talk by NCCL, else by gloo.

    Raises:
        ConfigurationError: if `cuda` is wanted and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        message = "--device: cuda is wanted and torch sees no GPU, expected cpu or auto"
        raise ConfigurationError(message)
    gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if size == 1:
        yield World(device=place)
        return
    if gpu:
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield World(rank, size, place)
    finally:
        distributed.destroy_process_group()
