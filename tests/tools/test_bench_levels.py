"""The table of other ways to train the chains, which notebook 02 reads: whole, and a part of it trained again."""

import pytest
import torch

from bench import levels
from diffusion_edu import evaluate, pretrained
from diffusion_edu.gaussian import Gaussian, condition, marginal

TABLE = pretrained.table("levels")


def test_the_table_is_whole():
    wanted = [(n, seed) for n in levels.RUNS for seed in levels.SEEDS.get(n, (0, 1, 2))]
    assert [(row["chain"], int(row["seed"])) for row in TABLE] == wanted


@pytest.mark.parametrize("name", ["plain", "plain, free bits"])
def test_a_chain_trained_again_is_as_good(name):
    """Other machines round otherwise: within the scatter of the seeds."""
    row = next(row for row in TABLE if row["chain"] == name)
    found = levels.score(name, levels.train(name, 0))
    assert float(found["distance"]) == pytest.approx(float(row["distance"]), abs=0.15)
    used, known = ([float(nats) for nats in of["information"].split()] for of in (found, row))
    assert used == pytest.approx(known, abs=0.5)


def test_with_exact_posteriors_one_draw_from_the_top_down_is_log_p():
    """Linear decoders z₁ = 0.8 z₂ + noise, x = 0.9 z₁ + noise: q(z₂|x) is the posterior, and so is the product
    q(z₁|z₂, x) of N(z₁; x/0.9, 0.3/0.81), as x sees it, and p(z₁|z₂)."""
    one = torch.ones(2, dtype=torch.float64)

    class Linear(levels.TopDown):
        def prior(self):
            return Gaussian(0 * one, one)

        def p(self, t, z_next):
            return Gaussian((0.9, 0.8)[t] * z_next, (0.3, 0.5)[t] * one)

        def q(self, t, z_prev):
            if t == 1:
                return Gaussian(z_prev / 0.9, 0.3 / 0.81 * one)
            return condition(self.prior(), 0.72, 0.81 * 0.5 + 0.3, 0.9 * z_prev)  # the mean it is given is x/0.9

    model, x = Linear(), levels.ROLL.sample(50, seed=3)
    log_p = marginal(marginal(model.prior(), 0.8, 0.5), 0.9, 0.3).log_prob(x)
    for seed in (0, 1):
        torch.testing.assert_close(model.log_ratio(x, torch.Generator().manual_seed(seed)), log_p)


def test_a_cost_below_the_free_nats_gives_no_gradient_and_warm_up_starts_without_the_costs():
    x, g = levels.ROLL.sample(100, seed=4).float(), torch.Generator()
    model = levels.plain_chain()
    free = levels.free_bits_loss(free=1e6)(model, x, g.manual_seed(0))["loss"]
    warm = levels.warm_up_loss(2)
    start, half, end = (warm(model, x, g.manual_seed(0))["loss"].item() for _ in range(3))
    b = evaluate.score_chain(x, model, g.manual_seed(0))
    assert start == pytest.approx(-b.reconstruction.mean().item(), rel=1e-5)
    assert end == pytest.approx(-b.elbo.mean().item(), rel=1e-5)
    assert half == pytest.approx((start + end) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(free, model.decoders[1].parameters().__next__(), allow_unused=True)
    assert gradient is None or gradient.abs().max() == 0
    assert (
        torch.autograd.grad(
            levels.free_bits_loss(free=-1e6)(model, x, g.manual_seed(0))["loss"], next(model.decoders[1].parameters())
        )[0]
        .abs()
        .max()
        > 0
    )
