"""A lesson for several processes, and functions that processes run: importable where they are started."""

import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, multiprocessing

from osln.learning.fit import Lesson
from osln.learning.team import Team

BATCH = 5
CPU = torch.device("cpu")


@dataclass(kw_only=True)
class Line(Lesson[torch.nn.Linear]):
    """A weight that learns to make 1 of five numbers, of which each process has its part.

    At the step `trouble_at` the process `trouble_rank` gets in trouble: it is "killed", "raises" or finds
    that its loss is "nan"; before that step it notes its number in the file `noted`.
    """

    steps: int = 6
    epoch_steps: int = 2
    seed: int = 0
    device: torch.device = CPU
    learning_rate: float = 0.1
    trouble: str = ""
    trouble_at: int = 3
    trouble_rank: int = 0
    noted: Path | None = None

    def network(self):
        return torch.nn.Linear(1, 1)

    def optimizer(self, network):
        return torch.optim.RAdam(network.parameters())

    def loss(self, network, step):
        if step == self.trouble_at and self.team.rank == self.trouble_rank:
            if self.noted is not None:
                self.noted.write_text(str(os.getpid()))
            if self.trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "raises":
                raise OSError("the disk is full")
        numbers = np.random.default_rng([self.seed, step]).normal(size=(BATCH, 1)).astype(np.float32)
        off = network(torch.from_numpy(numbers[self.team.part(BATCH)])) - 1
        total = self.team.summed(off.square().sum()) / BATCH
        if self.trouble == "nan" and step == self.trouble_at:
            total = total * float("nan")
        return {"total": total, "rank": torch.tensor(float(self.team.rank))}

    def identity(self):
        return {"steps": self.steps}, ()


def in_processes(number: int, work: Callable[[Team], Any], folder: Path) -> list[Any]:
    """What a function of a module gives in each process of a team.

    Args:
        number: Of processes.
        work: Called with the team of the process.
        folder: An empty one, in which they meet.
    """
    multiprocessing.start_processes(_work, (number, work, str(folder)), number)
    return [pickle.loads((folder / f"{rank}").read_bytes()) for rank in range(number)]


def _work(rank: int, number: int, work: Callable[[Team], Any], folder: str) -> None:
    torch.set_num_threads(1)
    where = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=number)
    (Path(folder) / f"{rank}").write_bytes(pickle.dumps(work(Team(rank, number))))
    distributed.destroy_process_group()
