"""Guidance against exact laws: Bayes' rule, one weight for every prediction, the density of what is sampled."""

import math

import pytest
import torch
from torch.testing import assert_close

from diffusion_edu import ddpm, diffusion, evaluate, guidance, likelihood, nets, schedules, sde, training
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture, exact_denoiser, gaussian

S = schedules.cosine(1000)
BAR = S.alpha_bar
ROLL = SwissRoll(nodes=384)
PARTS = ROLL.thirds()
PLAIN, MIDDLE = exact_denoiser(ROLL, BAR), exact_denoiser(PARTS[1], BAR)
LABELS = guidance.exact_labels(PARTS, BAR)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, dtype=torch.float64, generator=seeded(seed))


def of_middle(x, t):
    return LABELS(x, t)[..., 1]


def labelled_net(labels=3):
    torch.manual_seed(0)
    return nets.EpsNet(2, S, width=16, labels=labels).double().requires_grad_(False)


@pytest.mark.parametrize("t", [50, 400, 900])
def test_a_classifier_and_bayes_give_the_conditional(t):
    """(9.2): at w = 1 the classifier's gradient makes p(x|y) of p(x)."""
    x = normal(300, 2)
    found = guidance.classifier_guided(PLAIN, of_middle, BAR, 1.0)(x, t)
    assert_close(found, MIDDLE(x, t), rtol=0, atol=1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 3.0])
def test_both_kinds_of_guidance_are_one(weight):
    x = normal(200, 2)
    by_pair = guidance.guided(PLAIN, MIDDLE, weight)(x, 300)
    assert_close(guidance.classifier_guided(PLAIN, of_middle, BAR, weight)(x, 300), by_pair, rtol=0, atol=1e-9)
    assert_close(by_pair, (1 - weight) * PLAIN(x, 300) + weight * MIDDLE(x, 300))


def test_the_same_weight_serves_for_every_prediction():
    x, t, w = normal(200, 2), 350, 2.5
    bar = BAR[t]
    plain, given, both = PLAIN(x, t), MIDDLE(x, t), guidance.guided(PLAIN, MIDDLE, w)(x, t)
    eps = [ddpm.eps_from_x0(x, x0, bar) for x0 in (plain, given, both)]
    v = [ddpm.v_from_eps(x, e, bar) for e in eps]
    score = [ddpm.score_from_eps(e, bar) for e in eps]
    for a, b, guided in (eps, v, score):
        assert_close(guided, a + w * (b - a))
    log_p = lambda y: of_middle(y, t)  # noqa: E731
    gradient = guidance.log_p_and_gradient(log_p, x)[1]
    assert_close(eps[2], eps[0] - w * (1 - bar).sqrt() * gradient)  # Dhariwal & Nichol 2021, Algorithm 2
    assert_close(score[2], score[0] + w * gradient)


def test_the_gradient_is_that_of_a_closed_form_and_leaves_nothing_behind():
    x = normal(5, 2)
    value, gradient = guidance.log_p_and_gradient(lambda y: -0.5 * y.square().sum(-1), x)
    assert_close(value, -0.5 * x.square().sum(-1))
    assert_close(gradient, -x)
    assert not value.requires_grad
    assert not x.requires_grad


def test_labels_are_sure_on_clean_points_and_open_in_noise():
    x = torch.cat([p.sample(50, seed=3) for p in PARTS])
    y = torch.arange(3).repeat_interleave(50)
    assert_close(LABELS(x, 0).exp().sum(-1), torch.ones(150, dtype=torch.float64))
    assert (LABELS(x, 0).argmax(-1) == y).double().mean() > 0.9
    assert_close(LABELS(normal(50, 2), 1000).exp(), torch.full((50, 3), 1 / 3, dtype=torch.float64), rtol=0, atol=0.02)


def test_tilted_points_have_the_tilted_law():
    """½N(−1, ½) + ½N(1, ½) on the line: the mean of x under p(x) p(y|x)^w by quadrature."""
    data = Mixture([1.0, 1.0], [[-1.0], [1.0]], [[0.5], [0.5]])
    log_p = lambda x: (2 * x[..., 0] / 0.5).sigmoid().log()  # noqa: E731
    x = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    for w in (0.5, 3.0):
        p = (data.log_prob(x) + w * log_p(x)).exp()
        mean, error = evaluate.mean_and_error(guidance.tilted(data, log_p, w, 20_000, seed=1)[:, 0])
        assert abs(mean - ((p * x[:, 0]).sum() / p.sum()).item()) < 4 * error
    assert guidance.tilted(data, log_p, 2.0, 7).shape == (7, 1)
    with pytest.raises(ValueError, match="weight must not be negative, got -1"):
        guidance.tilted(data, log_p, -1.0, 7)


def test_the_guided_flow_and_its_divergence_are_those_of_the_guided_score():
    w, x = 2.0, normal(100, 2)
    plain, given = sde.exact_score(ROLL), sde.exact_score(PARTS[1])
    score = lambda log_snr, x: (1 - w) * plain(log_snr, x) + w * given(log_snr, x)  # noqa: E731
    by_autograd = likelihood.with_divergence(sde.probability_flow(score))
    flow = guidance.guided_flow(likelihood.exact_flow(ROLL), likelihood.exact_flow(PARTS[1]), w)
    for log_snr in (-3.0, 0.0, 4.0):
        for got, expected in zip(flow(log_snr, x), by_autograd(log_snr, x), strict=True):
            assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_the_density_along_a_guided_flow_of_gaussians():
    """Plain N(0, 1), given N(0, v): the guided score is linear, and so is the flow; where d log σ/dλ =
    ½(1−ᾱ)(1 − (1−w) − w/V), the law at the end is N(0, σ²)."""
    v, w, n = 0.2, 2.0, 4000
    plain, given = gaussian([0.0, 0.0], [1.0, 1.0]), gaussian([0.0, 0.0], [v, v])
    flow = guidance.guided_flow(likelihood.exact_flow(plain), likelihood.exact_flow(given), w)
    grid = torch.linspace(-12, 12, 301, dtype=torch.float64)
    x, log_p = guidance.sample_with_density(flow, normal(n, 2), grid)
    fine = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    bar = fine.sigmoid()
    slope = 0.5 * (1 - bar) * w * (1 - 1 / (bar * v + 1 - bar))
    var = (2 * torch.trapezoid(slope, fine)).exp().item() / sde.sigmoid(12.0)
    assert var != pytest.approx(v, rel=0.3)
    assert x.var().item() == pytest.approx(var, rel=4 * math.sqrt(2 / (2 * n)))
    assert_close(log_p, gaussian([0.0, 0.0], [var, var]).log_prob(x), rtol=0, atol=1e-3)


def test_points_come_back_at_the_scale_of_clean_ones():
    """A grid that ends at λ = 2, where ᾱ = 0.88: x is x_λ/√ᾱ, and its density that of x."""
    data = gaussian([0.0, 0.0], [0.2, 0.2])
    grid = torch.linspace(-12, 2, 201, dtype=torch.float64)
    x, log_p = guidance.sample_with_density(likelihood.exact_flow(data), normal(4000, 2), grid)
    bar = sde.sigmoid(2.0)
    var = 0.2 + (1 - bar) / bar
    assert x.var().item() == pytest.approx(var, rel=4 * math.sqrt(2 / 8000))
    assert_close(log_p, gaussian([0.0, 0.0], [var, var]).log_prob(x), rtol=0, atol=1e-3)


def test_at_weight_one_the_law_is_the_conditional_and_at_two_it_is_not():
    z, grid = normal(300, 2, seed=7), torch.linspace(-8.7, 11.6, 121, dtype=torch.float64)
    flows = likelihood.exact_flow(ROLL), likelihood.exact_flow(PARTS[1])
    x, log_p = guidance.sample_with_density(guidance.guided_flow(*flows, 1.0), z, grid)
    assert abs((log_p - PARTS[1].log_prob(x)).mean().item()) < 0.005
    x, log_p = guidance.sample_with_density(guidance.guided_flow(*flows, 2.0), z, grid)
    points = ROLL.sample(50_000, 5)
    log_z = (2 * of_middle(points, 0)).exp().mean().log()
    off, error = evaluate.mean_and_error(log_p - (ROLL.log_prob(x) + 2 * of_middle(x, 0) - log_z))
    assert off - 4 * error > 0.3


def test_a_network_is_told_the_label():
    net, x = labelled_net(), normal(4, 2)
    t = torch.tensor([1, 10, 500, 1000])
    none = net(x, t)
    answers = [net(x, t, label=torch.full((4,), y)) for y in range(4)]
    assert torch.equal(answers[3], none)
    for i, a in enumerate(answers):
        assert all(not torch.equal(a, b) for b in answers[i + 1 :])
    mixed = net(x, t, label=torch.tensor([0, 1, 2, 3]))
    assert_close(mixed, torch.stack([answers[i][i] for i in range(4)]))


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_a_guided_model_is_a_model(weight):
    """Its ε̂, x̂₀ and x̂₀ at any λ are those of guidance, and its σ_t² are those of the model."""
    net, x, t = labelled_net(), normal(6, 2), torch.full((6,), 300)
    model = ddpm.DDPM(net, S, 2)
    model.sigma2.mul_(0.5)
    guided = guidance.guided_model(model, 2, weight)
    given = net(x, t, label=torch.full((6,), 2))
    assert_close(guided.eps_hat(x, 300), net(x, t) + weight * (given - net(x, t)))
    x0 = [ddpm.x0_from_eps(x, e, BAR[300]) for e in (net(x, t), given)]
    assert_close(guided.x0_hat(x, 300), x0[0] + weight * (x0[1] - x0[0]))
    assert_close(guided.x0_hat_at(x, S.log_snr[300].item()), guided.x0_hat(x, 300), rtol=1e-4, atol=1e-4)
    assert torch.equal(guided.sigma2, model.sigma2)
    assert guided.chain().p(299, x).mean.shape == x.shape


def test_a_label_that_the_network_does_not_know_is_refused():
    model = ddpm.DDPM(labelled_net(), S, 2)
    for label in (-1, 3):
        with pytest.raises(ValueError, match=rf"label must be one that the network knows, 0 … 2; got {label}"):
            guidance.guided_model(model, label)
    with pytest.raises(ValueError, match="none, since the network was trained without"):
        guidance.guided_model(ddpm.DDPM(labelled_net(0), S, 2), 0)


def test_the_loss_drops_the_share_of_labels_that_it_says():
    class Spy(nets.EpsNet):
        def forward(self, xt, t, label=None):
            seen.append(label)
            return super().forward(xt, t, label)

    seen: list = []
    model = ddpm.DDPM(Spy(2, S, width=16, labels=3), S, 2)
    x = torch.cat([normal(4000, 2), torch.full((4000, 1), 1.0, dtype=torch.float64)], dim=-1).float()
    plain = training.eps_loss()(model, x[:, :-1], seeded(1))["loss"]
    for drop in (0.0, 0.25, 1.0):
        loss = training.label_loss(drop=drop)(model, x, seeded(0))["loss"]
        share = (seen[-1] == 3).double().mean().item()
        assert share == pytest.approx(drop, abs=4 * math.sqrt(drop * (1 - drop) / 4000) + 1e-9)
        assert bool(((seen[-1] == 3) | (seen[-1] == 1)).all())
        assert loss.item() == pytest.approx(plain.item(), rel=0.2)


def test_a_classifier_gives_probabilities_and_its_loss_is_their_cross_entropy():
    torch.manual_seed(0)
    net = nets.NoisyClassifier(2, 3, S, width=16)
    x = normal(50, 2).float()
    assert_close(net(x, 7).exp().sum(-1), torch.ones(50))
    assert_close(net(x, 7), net(x, torch.full((50,), 7)))
    with torch.no_grad():
        net.net[-1].weight.zero_()
        net.net[-1].bias.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
    y = torch.tensor([0.0, 1.0, 2.0, 2.0]).repeat(25)[:, None]
    loss = training.label_error()(net, torch.cat([normal(100, 2).float(), y], dim=-1), seeded(0))["loss"]
    expected = -(math.log(0.2) + math.log(0.3) + 2 * math.log(0.5)) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_classifier_is_asked_about_noisy_points():
    """At t = T nothing of x₀ is left: with points far out, what it sees has unit variance all the same."""

    class Spy(nets.NoisyClassifier):
        def forward(self, xt, t):
            seen.append(xt)
            return super().forward(xt, t)

    seen: list = []
    x = torch.cat([torch.full((2000, 2), 30.0), torch.zeros(2000, 1)], dim=-1)
    last = lambda schedule, n, generator: torch.full((n,), 1000)  # noqa: E731
    training.label_error(last)(Spy(2, 3, S, width=8), x, seeded(0))
    expected = diffusion.q_marginal(S, 1000, x[:, :-1])
    assert (seen[0] - expected.mean).var().item() == pytest.approx(1.0, rel=0.1)
    assert seen[0].mean().item() == pytest.approx(expected.mean.mean().item(), abs=0.1)
