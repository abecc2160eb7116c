"""Muon against the singular value decomposition, and against its update rule written out in float64."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from diffusion_edu.training import optimisers
from diffusion_edu.training.optimisers import Muon, orthogonalised

SHAPES = [(5, 5), (4, 9), (9, 4), (1, 7), (32, 3)]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_singular_vectors_stay_and_the_values_come_near_one(shape):
    g = normal(*shape)
    u, _, v = torch.linalg.svd(g, full_matrices=False)
    inside = u.T @ orthogonalised(g) @ v.T
    assert_close(inside, torch.diag(inside.diagonal()), atol=1e-9, rtol=0)
    assert 0.6 < inside.diagonal().min()
    assert inside.diagonal().max() < 1.3
    assert_close(u @ inside @ v, orthogonalised(g))  # nothing outside the span of g


def test_small_singular_values_are_lifted_too():
    u, _, v = torch.linalg.svd(normal(6, 6))
    values = torch.tensor([1, 0.5, 0.2, 0.05, 0.01, 1 / 250], dtype=torch.float64)
    lifted = (u.T @ orthogonalised(u @ values.diag() @ v) @ v.T).diagonal()
    assert 0.6 < lifted.min()
    assert lifted.max() < 1.3


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_size_of_the_gradient_does_not_matter(scale):
    assert_close(orthogonalised(scale * normal(4, 6)), orthogonalised(normal(4, 6)))


def test_nothing_comes_of_nothing():
    assert_close(orthogonalised(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_float32_follows_float64():
    assert_close(orthogonalised(normal(16, 40).float()).double(), orthogonalised(normal(16, 40)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (4, 2, 3, 3), (20, 2, 3, 3)])
def test_three_steps_are_those_of_the_rule(shape):
    """B_k = μ B_{k−1} + (1 − μ) g_k; the step is along the orthogonal part of μ B_k + (1 − μ) g_k."""
    p = nn.Parameter(normal(*shape))
    muon, expected, average = Muon([p], lr=0.1, momentum=0.9), p.detach().clone(), torch.zeros(shape).double()
    rows, columns = shape[0], p[0].numel()
    for k in range(3):
        p.grad = normal(*shape, seed=k + 1)
        average = 0.9 * average + 0.1 * p.grad
        muon.step()
        along = orthogonalised((0.9 * average + 0.1 * p.grad).reshape(rows, columns)).reshape(shape)
        expected = expected - 0.1 * max(1, (rows / columns) ** 0.5) * along
        assert_close(p.detach(), expected)


def test_parameters_without_a_gradient_stay():
    p = nn.Parameter(torch.ones(2, 2))
    Muon([p]).step()
    assert_close(p.detach(), torch.ones(2, 2))


def test_least_squares_come_out():
    """min |W A − B|² with a known W, badly conditioned on purpose."""
    w, a = normal(4, 6), normal(6, 200, seed=1) * torch.tensor([10, 5, 1, 1, 0.3, 0.1]).double()[:, None]
    p = nn.Parameter(torch.zeros(4, 6).double())
    muon, steps = Muon([p]), 2400  # of 600, rounding decides whether it comes as close
    for k in range(steps):
        muon.param_groups[0]["lr"] = 0.1 * (1 - k / steps)
        p.grad = (p.detach() - w) @ a @ a.T
        muon.step()
    assert_close(p.detach(), w, atol=5e-3, rtol=0)


def test_matrices_go_to_muon_and_the_rest_to_adam():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.GroupNorm(1, 3), nn.Linear(3, 4))
    (adam, adam_peak), (muon, muon_peak) = optimisers.muon(model, 1e-3)
    assert (adam_peak, muon_peak) == (1e-3, optimisers.MUON_LR)
    shapes = [[tuple(p.shape) for g in o.param_groups for p in g["params"]] for o in (adam, muon)]
    assert shapes == [[(3,), (3,), (3,), (4,)], [(3, 2, 3, 3), (4, 3)]]
    ((alone, peak),) = optimisers.adam(model, 1e-3)
    assert peak == 1e-3
    assert len(alone.param_groups[0]["params"]) == 6


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"two axes or more, got the shapes \[\(3,\)\]"):
        Muon([nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3, 3))])


def test_matrices_of_one_shape_are_made_orthogonal_together_as_each_alone():
    shapes = ((5, 3), (5, 3), (3, 5), (5, 3, 1, 1), (2, 7))
    together, alone = ([nn.Parameter(normal(*shape, seed=i)) for i, shape in enumerate(shapes)] for _ in range(2))
    optimisers_of = [Muon(together), *(Muon([p]) for p in alone)]
    for step in range(3):
        for i, (p, q) in enumerate(zip(together, alone, strict=True)):
            p.grad = q.grad = normal(*p.shape, seed=100 + 10 * step + i)
        for optimiser in optimisers_of:
            optimiser.step()
    for p, q in zip(together, alone, strict=True):
        assert_close(p, q, rtol=1e-12, atol=1e-12)
