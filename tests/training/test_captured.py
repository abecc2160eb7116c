"""The captured step as far as a CPU can run it: nothing in it waits for the device, and it is the step of Trainer."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from diffusion_edu import gaussian
from diffusion_edu.config import Config
from diffusion_edu.ddpm import DDPM
from diffusion_edu.training import build, captured, runs
from diffusion_edu.training.captured import CapturedTrainer
from diffusion_edu.training.latent import LatentDDPM
from diffusion_edu.training.optimisers import muon
from diffusion_edu.training.parallel import ALONE, Processes
from diffusion_edu.training.trainer import Trainer

STEPS = [
    Config("ddpm", "swiss-roll"),
    Config("ddpm", "swiss-roll", schedule="learned"),
    Config("ddpm", "mnist", width=16),
    Config("ddpm", "mnist", width=16, labels=True),
    Config("ddpm", "mnist", width=16, loss="bound"),
    Config("flow", "mnist", width=16),
    Config("latent", "mnist", width=16),
    Config("ddpm", "mnist", width=16, loss="min-snr"),
    Config("vae", "mnist", width=8),
    Config("hvae", "mnist", width=8),
    Config("hvae", "mnist-binary", width=8),
]


class FromTheHost(TorchDispatchMode):
    """Notes every operation that takes a vector of the CPU to make a tensor of the device."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        into = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        if any(x.device.type == "cpu" and x.ndim for x in into) and any(x.device.type == "meta" for x in made):
            self.noted.append(str(func))
        return out


class OnDevice:
    """Stands for a generator of the device that has no numbers."""

    device = torch.device("meta")


@pytest.fixture
def no_numbers(monkeypatch):
    """The device "meta", whose tensors have shapes and no values: whatever reads one raises an error, as it would while
    a graph is captured."""
    monkeypatch.setattr(gaussian, "captured", lambda x: True)
    for name in ("rand", "randn", "randint"):
        real = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, real=real, generator=None, **k: real(*a, **k))


def step_on_meta(config, schedule_too=True):
    """One gradient step of the model on that device; the operations that would copy from the CPU."""
    model = build.build(config).to("meta")
    for part in model.modules():
        if isinstance(part, DDPM) and schedule_too:
            object.__setattr__(part.schedule, "beta", part.schedule.beta.to("meta"))  # its checks would read it
    optimiser, peak = muon(model, 0.1)[1]
    optimiser.param_groups[0]["lr"] = torch.tensor(peak, device="meta")
    with FromTheHost() as copies:
        batch = torch.zeros(8, (2 if config.data == "swiss-roll" else 784) + bool(config.labels), device="meta")
        batch = model.codes(batch) if isinstance(model, LatentDDPM) else batch
        build.loss_of(config)(model, batch, OnDevice())["loss"].backward()
        optimiser.step()
    return copies.noted


@pytest.mark.parametrize("config", STEPS, ids=lambda c: f"{c.model} {c.data} {c.schedule} {c.loss} {c.labels}")
def test_a_step_neither_reads_the_device_nor_copies_to_it(no_numbers, config):
    assert step_on_meta(config) == []


def test_what_would_wait_for_the_device_is_noticed(no_numbers, monkeypatch):
    assert step_on_meta(STEPS[0], schedule_too=False) != []
    monkeypatch.setattr(gaussian, "captured", lambda x: False)
    with pytest.raises(RuntimeError, match="meta"):
        step_on_meta(STEPS[0])


class Plain(Trainer):
    """A trainer with the random numbers of a captured one."""

    def _generator(self, shard):
        return self.generator


def trainers(kind, config, seed=3):
    kept = build.trainer_class
    build.trainer_class = lambda device, processes: kind
    try:
        return build.trainer(config)
    finally:
        build.trainer_class = kept


def replayed(monkeypatch):
    """Replays that are calls of the step: what a graph does, but for the speed. Returns the list of them."""
    calls = []

    def capture(step, generator):
        answer = torch.zeros(1)

        def replay():
            new = step()
            calls.append(answer.resize_(new.shape).copy_(new))

        return replay, answer

    monkeypatch.setattr(captured, "capture", capture)
    return calls


@pytest.mark.parametrize("model", ["ddpm", "vae"])
def test_replays_come_to_the_parameters_of_a_plain_trainer(monkeypatch, model):
    calls = replayed(monkeypatch)
    config = Config(model, "swiss-roll", steps=40, batch=32, width=16)
    quick, plain = trainers(CapturedTrainer, config), trainers(Plain, config)
    plain.generator = torch.Generator().manual_seed(quick.generator.initial_seed())
    for (step, ours), (_, theirs) in zip(quick.run(False), plain.run(False), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5, msg=f"{name} at step {step}")
    assert len(calls) == 40 - captured.WARM_UP
    for kind in ("model", "ema"):
        for ours, theirs in zip(getattr(quick, kind).parameters(), getattr(plain, kind).parameters(), strict=True):
            assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_resumed_it_goes_on_with_the_same_random_numbers(tmp_path, monkeypatch):
    replayed(monkeypatch)
    config = Config("ddpm", "swiss-roll", steps=20, batch=16, width=8)
    whole, first = trainers(CapturedTrainer, config), trainers(CapturedTrainer, config)
    for _ in whole.run(False):
        pass
    while first.step < 9:
        first.one_step()
    runs.save(tmp_path / "checkpoint.pt", first.state_dict())
    second = trainers(CapturedTrainer, config)
    second.load_state_dict(runs.read_checkpoint(tmp_path / "checkpoint.pt"))
    for _ in second.run(False):
        pass
    assert torch.equal(second.generator.get_state(), whole.generator.get_state())
    for ours, theirs in zip(second.ema.parameters(), whole.ema.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_checkpoints_go_from_a_cpu_to_a_gpu_and_back(monkeypatch):
    replayed(monkeypatch)
    config = Config("ddpm", "swiss-roll", steps=12, batch=16, width=8)
    here, there, back = trainers(Trainer, config), trainers(CapturedTrainer, config), trainers(Trainer, config)
    for trainer, before, steps in ((here, None, 4), (there, here, 8), (back, there, 12)):
        if before is not None:
            trainer.load_state_dict(before.state_dict())
        while trainer.step < steps:
            assert trainer.one_step()["loss"].isfinite()
    assert there.generator.initial_seed() != trainers(CapturedTrainer, config).generator.initial_seed()
    assert isinstance(back.optimisers[0][0].param_groups[0]["lr"], float)


def test_a_step_that_cannot_be_captured_runs_all_the_same(monkeypatch, capsys):
    def refuse(step, generator):
        generator.manual_seed(0)  # a failed capture may leave anything
        raise RuntimeError("operation not permitted when stream is capturing\nand more lines")

    config = Config("ddpm", "swiss-roll", steps=10, batch=16, width=8)
    monkeypatch.setattr(captured, "capture", refuse)
    slow = trainers(CapturedTrainer, config)
    losses = [terms["loss"] for _, terms in slow.run(False)]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "this step can't be captured as a CUDA graph, it runs without: operation not permitted when stream is capturing"
    ]
    replayed(monkeypatch)
    assert torch.equal(
        torch.stack(losses), torch.stack([t["loss"] for _, t in trainers(CapturedTrainer, config).run(False)])
    )


def test_one_gpu_takes_the_captured_step_and_nothing_else_does():
    assert build.trainer_class("cuda", ALONE) is CapturedTrainer
    assert build.trainer_class("cuda:1", ALONE) is CapturedTrainer
    assert build.trainer_class("cuda:1", Processes(1, 2, 1)) is Trainer
    assert build.trainer_class("cpu", ALONE) is Trainer
