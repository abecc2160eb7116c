"""A training step on a GPU as one CUDA graph: captured once, then replayed.

A step of a small network is some thousand small kernels. Python starts them one by one, and the GPU waits for it. A
graph starts them all at once. Nothing in it may be read by Python, and no number that Python has computed may change:

- the random numbers come from one generator on the device, whose state is part of the checkpoint;
- the learning rates and the decay of the average are tensors that are filled before each replay;
- the schedule lies on the device;
- the values are checked in the first steps, which are not captured (`gaussian.holds`), and the loss and the
  parameters every hundred steps (`runs.stop_if_diverged`).

So a run on a GPU is not the run on a CPU with the same seed. Resumed, it goes on with the same random numbers; that
it ends in the same bits is not promised, since the first steps after it are not captured and sums may be taken in
another order.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from ..ddpm import DDPM
from ..schedules import Schedule
from .trainer import M, Trainer, learning_rate, step_generator

WARM_UP = 3  # steps that run before the capture


@contextmanager
def _side_stream():
    """Work on a stream of its own, as what is captured later must not be tied to the usual one."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        yield
    torch.cuda.current_stream().wait_stream(side)


def capture(step: Callable[[], Tensor], generator: torch.Generator) -> tuple[Callable[[], None], Tensor]:
    """Captures a step without running it: what replays it, and the tensor that it writes its answer to. Raises
    RuntimeError if the step does what no graph can hold."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        answer = step()
    return graph.replay, answer


class CapturedTrainer(Trainer[M]):
    """A trainer whose steps are replays of a graph, on CUDA and in one process. Settings and errors are Trainer's. If
    the model can't be captured, one line says so and each step is started by Python."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        device = self.data.device
        self.generator = torch.Generator(device).manual_seed(step_generator(self.seed, 0).initial_seed())
        self.rates = [torch.zeros((), device=device) for _ in self.optimisers]
        self.decay = torch.zeros((), device=device)
        for part in self.model.modules():
            if isinstance(part, DDPM):
                part.schedule = Schedule(part.schedule.beta.to(device))
        self.names: tuple[str, ...] = ()
        self._start()

    def _start(self) -> None:
        """Ready for the steps before a capture: the optimisers read their learning rates from tensors."""
        self.replay: Callable[[], None] | None = None
        self.capture_at = self.step + WARM_UP
        for (optimiser, _), rate in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0].update(lr=rate, capturable=True)

    def one_step(self) -> dict[str, Tensor]:
        """One gradient step; returns the loss's named terms."""
        for rate, (_, peak) in zip(self.rates, self.optimisers, strict=True):
            rate.fill_(learning_rate(self.step, self.steps, peak))
        self.decay.fill_(self._decay())
        if self.replay is None and self.step == self.capture_at:
            self._capture()
        if self.replay is not None:
            self.replay()
        else:
            with self._aside():
                self.answer = self._whole_step()
        self.step += 1
        return dict(zip(self.names, self.answer.clone(), strict=True))

    def _capture(self) -> None:
        self.model.zero_grad()
        kept = self.generator.get_state()
        try:
            self.replay, self.answer = capture(self._whole_step, self.generator)
        except RuntimeError as e:
            self.generator = torch.Generator(self.data.device)  # the old one belongs to the graph that failed
            self.generator.set_state(kept)
            reason = str(e).splitlines()[0]
            print(f"this step can't be captured as a CUDA graph, it runs without: {reason}", file=sys.stderr)

    def _aside(self) -> AbstractContextManager:
        return _side_stream() if self.data.is_cuda else nullcontext()

    def _whole_step(self) -> Tensor:
        """Gradients, optimisers and the average, all on the device; the loss's terms in one tensor."""
        terms = self._work()
        with torch.no_grad():
            averages: list[Tensor] = [*self.ema.parameters()]
            parameters: list[Tensor] = [*self.model.parameters()]
            torch._foreach_mul_(averages, self.decay)  # pyright: ignore[reportPrivateImportUsage]
            parts = torch._foreach_mul(parameters, 1 - self.decay)  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_add_(averages, [*parts])  # pyright: ignore[reportPrivateImportUsage]
        self.names = tuple(terms)
        return torch.stack(list(terms.values()))

    def _generator(self, shard: int) -> torch.Generator:
        return self.generator

    def state_dict(self) -> dict:
        """That of Trainer, and the state of the random numbers."""
        return {**super().state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Goes on from what `state_dict` gave; from a CPU's checkpoint with random numbers of its own."""
        super().load_state_dict(state)
        if "generator" in state:
            self.generator.set_state(state["generator"])
        else:
            self.generator.manual_seed(step_generator(self.seed, self.step).initial_seed())
        self._start()
