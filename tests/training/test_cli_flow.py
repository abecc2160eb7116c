"""`train flow` on the command line, and what the other commands make of its runs."""

import json

import numpy as np
import pytest
import torch
from test_cli import fails, succeeds

from diffusion_edu import flow
from diffusion_edu.config import Config
from diffusion_edu.samplers import ddim, first_order, sample
from diffusion_edu.training import build, runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("flow") / "run"
    succeeds("train", "flow", "--data", "swiss-roll", "--out", out, "--steps", 3, "--T", 20, "--width", 8)
    return out


def test_a_flow_is_a_ddpm_on_the_schedule_that_is_even_in_tau(run):
    model, config = runs.load(run)
    assert (config.model, config.T, config.schedule, config.loss) == ("flow", 20, None, None)
    assert torch.equal(model.schedule.beta, flow.even_tau(20).beta)


def test_it_is_sampled_by_euler_on_the_flow(run, tmp_path):
    succeeds("sample", run, "--n", 5, "--out", tmp_path / "x.npy", "--sample-steps", 4, "--seed", 2)
    model, _ = runs.load(run)
    x_T = model.chain().prior().sample(torch.Generator().manual_seed(2), shape=(5,))
    expected = sample(model.x0_hat, model.schedule, x_T, step=first_order(ddim), steps=4)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected.numpy(), rtol=1e-5)
    succeeds("sample", run, "--n", 5, "--out", tmp_path / "y.npy", "--sampler", "heun", "--sample-steps", 4)


def test_it_is_scored_by_the_bound_and_by_the_ode(run, capsys):
    capsys.readouterr()
    succeeds("evaluate", run, "--json", "--n", 20, "--ode")
    found = json.loads(capsys.readouterr().out)
    assert found["gap"] > 0
    assert found["ode_gap"] == pytest.approx(found["nll_ode"] - (found["neg_elbo"] - found["gap"]), abs=1e-4)


@pytest.mark.parametrize("option", [["--schedule", "cosine"], ["--loss", "bound"], ["--labels"]])
def test_what_a_flow_does_not_have_is_refused(option, tmp_path, capsys):
    line = fails(capsys, "train", "flow", "--data", "swiss-roll", "--out", tmp_path / "run", *option)
    assert f"{option[0][2:]} is not for a flow on swiss-roll" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_images_have_flows_too(data):
    config = Config("flow", data, width=8, batch=4)
    model = build.build(config)
    loss = build.loss_of(config)(model, torch.zeros(4, model.dim), torch.Generator().manual_seed(0))["loss"]
    loss.backward()
    assert bool(loss.isfinite())
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
