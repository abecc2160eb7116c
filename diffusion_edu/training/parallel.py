"""One run on several processes, on one machine or more, as torchrun starts them.

    torchrun --nproc-per-node 2 -m diffusion_edu train ddpm --data digits --out runs/ddpm

The batch of a step is made of shards, each with noise of its own. N processes take 1/N of the shards each, and
PyTorch's DistributedDataParallel averages their gradients. So the shards say what is computed and the processes only
who computes it: 1, 2 and 4 processes come to the same parameters, but for the order of a sum.

The first process alone reads and writes files, shows progress and prints. The processes talk through gloo on CPUs,
through NCCL on GPUs; the latter has not been run yet.
"""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

Answer = TypeVar("Answer")
PATIENCE = timedelta(minutes=10)  # how long a process waits for the others


@dataclass(frozen=True)
class Processes:
    """How many processes there are and which of them this is; `local` counts those of this machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    def share(self, shards: int) -> range:
        """Which of the shards are this process's. Raises ValueError if they cannot be shared evenly."""
        if shards % self.size:
            raise ValueError(f"{shards} shards for {self.size} processes: --shards must be a multiple of {self.size}")
        each = shards // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def on_rank_zero(self, work: Callable[[], Answer]) -> Answer:
        """Runs `work` in the process of rank 0 and returns its answer in all of them. If it raises an error, only that
        process raises it; the others exit with code 2 and print nothing."""
        if self.size == 1:
            return work()
        answer, error = None, None
        if self.rank == 0:
            try:
                answer = work()
            except Exception as e:
                error = e
        box = [answer, error is None]
        distributed.broadcast_object_list(box)
        if error is not None:
            raise error
        if not box[1]:
            raise SystemExit(2)
        return box[0]

    def mean(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each named number, averaged over the processes. All of them must call this."""
        if self.size == 1:
            return terms
        values = torch.stack(list(terms.values()))
        distributed.all_reduce(values)
        return dict(zip(terms, values / self.size, strict=True))


ALONE = Processes()


def from_environment() -> Processes:
    """What torchrun says in RANK, WORLD_SIZE and LOCAL_RANK; without it, one process. ValueError if it is no number."""
    names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    said = {name: os.environ.get(name, default) for name, default in names.items()}
    if not all(value.isdecimal() for value in said.values()):
        raise ValueError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers, got {', '.join(said.values())}")
    return Processes(*map(int, said.values()))


@contextmanager
def connected(processes: Processes, device: str) -> Iterator[str]:
    """Connects the processes and yields the device of this one. `device` is "cpu" or "cuda".

    Raises ValueError if there is no GPU for this process or if another process is lost; what other processes than the
    first raise says which one it was.
    """
    if processes.size == 1:
        yield device
        return
    if device == "cuda":
        if processes.local >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise ValueError(f"{count} GPUs for more processes: give --nproc-per-node {count}, or --device cpu")
        torch.cuda.set_device(processes.local)
        device = f"cuda:{processes.local}"
    try:
        distributed.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl", timeout=PATIENCE)
        yield device
    except (ValueError, OSError, MemoryError) as e:
        if processes.rank == 0:
            raise
        raise ValueError(f"process {processes.rank}: {e}") from e
    except RuntimeError as e:
        if not isinstance(e, distributed.DistError) and "gloo" not in str(e):
            raise
        raise ValueError(f"process {processes.rank}: another process is lost ({str(e).splitlines()[0]})") from e
    finally:
        _free_frames(sys.exception())
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _free_frames(error: BaseException | None) -> None:
    """Frees what the failed calls still hold, DistributedDataParallel above all. If that is freed after the process
    group, it ends gloo's thread while holding the interpreter's lock, for which the thread may be waiting: the process
    then hangs for ever."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
