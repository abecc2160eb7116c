"""checks/: solutions and library pass, wrong answers are refused with the sentence that names the mistake."""

import itertools
import linecache
import math
import re

import numpy as np
import pytest
import torch
from exercise_cells import IMPORTS, SHOWN, SOLUTION, WRITTEN, each, each_ordered, each_written, numbers, run, text_of
from shared import generator

from diffusion_edu import (
    bound,
    checks,
    ddpm,
    diffusion,
    evaluate,
    fokker_planck,
    gaussian,
    langevin,
    learned_noise,
    likelihood,
    observations,
    samplers,
    schedules,
    score,
    sde,
)
from diffusion_edu.checks import core
from diffusion_edu.checks.core import CORRECT, ERROR, NOT_ATTEMPTED, WRONG
from diffusion_edu.data import MNIST
from diffusion_edu.images import quality
from diffusion_edu.oracles import Mixture

# --- what is right ---


@each
def test_the_solution_is_correct(item):
    result = item.judge(run(item, SOLUTION[item.name]))
    assert result.status == CORRECT, result
    assert str(result).startswith(f"{item.name}: correct. ")


@each
def test_the_solution_is_correct_whatever_torch_s_default(item):
    torch.set_default_dtype(torch.float64)
    getattr(getattr(item, "values", None), "cache_clear", lambda: None)()  # computed anew under it
    try:
        result = item.judge(run(item, SOLUTION[item.name]))
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.status == CORRECT, result


@each
def test_the_stub_is_not_attempted_and_does_no_harm(item, capsys):
    assert item.judge(run(item, SHOWN[item.name].stub)).status == NOT_ATTEMPTED
    exec(SHOWN[item.name].code, {**IMPORTS[item.notebook], "checks": checks})
    assert capsys.readouterr().out == f"{item.name}: not attempted yet.\n"


class Linear:
    """The linear VAE of a case as `bound.bound` draws from it, with the noise given."""

    levels = 1

    def __init__(self, vae, eps):
        self.vae, self.eps, self.p, self.prior = vae, eps, vae.p, vae.prior

    def q(self, t, x):
        given, eps = self.vae.q(t, x), self.eps

        class Given(gaussian.Gaussian):
            def sample(self, generator=None, shape=()):
                return self.at(eps)

        return Given(given.mean, given.var)


def schedule(beta):
    return schedules.Schedule(beta.double())


def all_t(beta, value):
    return torch.as_tensor(value, dtype=torch.float64).expand(len(beta))


def optimal(beta, t, mse):
    return diffusion.sigma2_optimal(schedule(beta), all_t(beta, mse))[t]


def kl_of_step(beta, t, x0, x0_hat, sigma2):
    s = schedule(beta)
    p = diffusion.reverse_step(s, t, x0, x0_hat, diffusion.per_step(all_t(beta, sigma2)))
    return diffusion.L_term(s, t, x0, x0, p)


def squared_error(eps_net, x0, t, eps, alpha_bar):
    return ddpm.squared_error(x0, t, eps, eps_net, Bars(alpha_bar))


class Replayed:
    """A chain whose q draws the given latents, for `bound.bound`."""

    def __init__(self, chain, z):
        self.chain, self.z, self.levels, self.p, self.prior = chain, z, chain.levels, chain.p, chain.prior

    def q(self, t, z_prev):
        given, latent = self.chain.q(t, z_prev), self.z[t]

        class Given(gaussian.Gaussian):
            def sample(self, generator=None, shape=()):
                return latent

        return Given(given.mean, given.var)


def bits_of_mnist(log_p, dim, width):
    """`MNIST.bits_per_dim` takes a probability of 784 pixels: of fewer, so many copies as fill an image."""
    log_P = log_p.double() + dim * math.log(width)
    return torch.tensor([MNIST.bits_per_dim(-value.item() * MNIST.dim / dim) for value in log_P])


def steps_needed(beta, dim, nats):
    x0 = torch.ones(dim, dtype=torch.float64)
    return next(T for T in range(1, 4000) if schedules.constant(T, beta).L_T(x0) < nats)


def noise_guess(log_prob, xt, alpha_bar):
    xt = xt.requires_grad_()
    return ddpm.eps_from_score(torch.autograd.grad(log_prob(xt).sum(), xt)[0], alpha_bar)


def ddim_between(a, b, x, eps):
    s = schedules.from_snr(torch.tensor([b / (1 - b), a / (1 - a)]))
    return samplers.ddim(s, 2, x, ddpm.x0_from_eps(x, eps, a), torch.zeros_like(x))


def log_prob_of_path(log_snr, div, z):
    """Along a flow that stands still, whose divergence is given; Heun's step is then the trapezoidal rule."""
    at = {level: d.double() for level, d in zip(log_snr.tolist(), div, strict=True)}
    still = likelihood.augmented(lambda level, x: (0 * x, at[level]))
    start = torch.cat([z, 0 * z[..., :1]], dim=-1).double()
    *_, (_, end) = sde.integrate(sde.heun, still, log_snr.double(), start)
    normal = gaussian.Gaussian(torch.zeros_like(z), torch.ones_like(z)).log_prob(z)
    return normal + end[..., -1] + z.shape[-1] / 2 * math.log(sde.sigmoid(log_snr[0].item()))


class Bars:
    """What `squared_error` needs of a schedule."""

    def __init__(self, alpha_bar):
        self.alpha_bar = alpha_bar


def steps_by_the_bound(snr, mse, dim):
    """Each step alone, as the difference of two bounds: with and without its first knot."""
    log_snr, e = snr.double().log(), mse.double() * (1 + snr.double())
    grid = log_snr.flip(0).numpy()
    costs = []
    for t in range(1, len(snr)):
        errors = learned_noise.Errors(grid, e.flip(0).numpy()[None], dim)
        both, one = learned_noise.bound(errors, log_snr[t - 1 : t + 1]), learned_noise.bound(errors, log_snr[t : t + 1])
        costs.append(both - one + 0.5 * dim * (mse[t].double() / mse[t - 1].double()).log())
    return torch.stack(costs)


def price_of_two_blocks(cov, snr):
    """(8.6) from the eigenvalues, D of them at each point."""
    values = torch.linalg.eigvalsh(cov.double())
    return 0.25 * snr**2 * values.shape[-1] * (values.square().mean() - values.mean() ** 2)


def equal_lengths_of(log_snr, g, T):
    along = np.concatenate([[0], np.cumsum((g.sqrt()[1:] + g.sqrt()[:-1]).numpy() / 2 * log_snr.diff().numpy())])
    return torch.from_numpy(np.interp(np.linspace(along[-1], 0, T), along, log_snr.numpy()))


LIBRARY = {
    "noisy_log_prob": lambda x, w, m, v, a: Mixture(w, m, v).log_prob(x, a.item()),
    "noise_guess": noise_guess,
    "paired_gap": lambda p, model: evaluate.mean_and_error(p - model),
    "consistency": lambda chain, z, t: bound.bound(z[0], Replayed(chain, z)).consistency[t - 1],
    "steps_needed": steps_needed,
    "log_normal": lambda x, m, s: gaussian.Gaussian(m, s**2).log_prob(x),
    "log_likelihood": bound.importance_weighted,
    "elbo": lambda x, vae, eps: bound.bound(x, Linear(vae, eps)).elbo,
    "kl": lambda m, v, n, w: gaussian.kl(gaussian.Gaussian(m, v), gaussian.Gaussian(n, w)),
    "middle": lambda m, v, a, s, y: (lambda p: (p.mean, p.var))(gaussian.condition(gaussian.Gaussian(m, v), a, s, y)),
    "jump": lambda b, t, x, e: diffusion.q_marginal(schedule(b), t, x).at(e) if t else x,
    "posterior": lambda b, t, xt, x0: (diffusion.posterior_mean(schedule(b), t, xt, x0), schedule(b).beta_tilde[t]),
    "kl_term": kl_of_step,
    "best_variance": optimal,
    "x0_from_v": ddpm.x0_from_v,
    "noise_weight": lambda b, t, s: ddpm.eps_weight(schedule(b), all_t(b, s))[t],
    "simple_loss": squared_error,
    "ancestral_step": lambda b, t, xt, e, z: ddpm.ancestral_step(schedule(b), t, xt, e, b.double(), z),
    "honest_bits": bits_of_mnist,
    "grey_log_prob": lambda x, m, s: observations.DiscretisedLogistic(m, s).log_prob(x),
    "frechet": quality.frechet_gaussians,
    "denoising_loss": lambda f, x, e, a: score.denoising_loss(f(ddpm.noised(x, e, a)), e, a),
    "ula_step": lambda x, f, h, e: langevin.ula_step(x, f(x), h, e),
    "mala_ratio": langevin.log_ratio,
    "walk_matrix": lambda p, d: torch.from_numpy(fokker_planck.generator(p.double().numpy(), d).toarray()),
    "reverse_drift": lambda a, x, s: sde.reverse_drift(lambda *_: s)(math.log(a / (1 - a)), x),
    "ddim": ddim_between,
    "heun": sde.heun,
    "log_prob": log_prob_of_path,
    "entropy_from_errors": lambda s, e, d: learned_noise.entropy(s.numpy(), e.numpy(), d),
    "step_cost": steps_by_the_bound,
    "price_from_cov": price_of_two_blocks,
    "knots": equal_lengths_of,
    "even_numbers": lambda u, n: (torch.full((n,), u).double() + torch.arange(n).double() / n).frac(),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_has_the_properties_that_learners_are_asked_for(name):
    result = getattr(checks, name).judge(LIBRARY[name])
    assert result.status == CORRECT, result


OTHER_WAYS = {
    "kl": """
def my_kl(mean_q, var_q, mean_p, var_p):
    q = torch.distributions.Normal(mean_q, var_q**0.5)
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(mean_p, var_p**0.5)).sum(dim=-1)""",
    "log_likelihood": """
def my_log_likelihood(log_p):
    top = log_p.max(0).values
    return top + torch.log(torch.exp(log_p - top).mean(0))""",
    "steps_needed": """
def my_steps_needed(beta, dim, nats):
    bar = 1 - math.exp(-2 * nats / dim)
    return math.ceil(math.log(bar) / math.log(1 - beta))""",
    "jump": """
def my_jump(beta, t, x0, eps):
    bar = 1.0
    for s in range(1, t + 1):
        bar = bar * (1 - beta[s])
    return bar**0.5 * x0 + (1 - bar)**0.5 * eps""",
    "noise_weight": """
def my_noise_weight(beta, t, sigma2):
    alpha_bar = torch.cumprod(1 - beta, dim=0)
    factor = beta[t] / ((1 - beta[t]).sqrt() * (1 - alpha_bar[t]).sqrt())
    return float(factor**2 / (2 * sigma2))""",
    "simple_loss": """
def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
    xt = torch.stack([alpha_bar[i] ** 0.5 * x + (1 - alpha_bar[i]) ** 0.5 * e for x, i, e in zip(x0, t, eps)])
    return torch.linalg.vector_norm(eps - eps_net(xt, t), dim=1) ** 2""",
    "posterior": """
def my_posterior(beta, t, xt, x0):
    bar = torch.cumprod(1 - beta, 0)
    if t == 1:
        return x0, 0.0
    precision = 1 / (1 - bar[t - 1]) + (1 - beta[t]) / beta[t]
    mean = (bar[t - 1] ** 0.5 * x0 / (1 - bar[t - 1]) + (1 - beta[t]) ** 0.5 * xt / beta[t]) / precision
    return [mean, 1 / precision]""",
    "grey_log_prob": """
def my_grey_log_prob(x, mean, scale):
    a, b = (x - mean - 1 / 255) / scale, (x - mean + 1 / 255) / scale
    left = a + b < 0  # the side on which F is small; on the other one 1 - F is
    a, b = torch.where(left, a, -b), torch.where(left, b, -a)
    inside = b - torch.nn.functional.softplus(b) + torch.log1p(-torch.exp(a - b)) - torch.nn.functional.softplus(a)
    ends = torch.where(x < 0, (x - mean + 1 / 255) / scale, -(x - mean - 1 / 255) / scale)
    return torch.where(x.abs() == 1, torch.nn.functional.logsigmoid(ends), inside).sum(dim=1)""",
    "variance_table": """
def my_variance_table(x0, x0_hat, edges, beta_tilde, c):
    squares, r = ((x0 - x0_hat) ** 2).flatten(), torch.bucketize(x0_hat, edges).flatten()
    n = len(edges) + 1
    return beta_tilde + c**2 * r.bincount(squares, minlength=n) / r.bincount(minlength=n)""",
    "frechet": """
def my_frechet(mean, cov, mean_2, cov_2):
    values, vectors = torch.linalg.eigh(cov)
    L = vectors * values.clamp(min=0) ** 0.5
    root = torch.linalg.eigvalsh(L.T @ cov_2 @ L).clamp(min=0) ** 0.5
    return torch.dist(mean, mean_2) ** 2 + (cov + cov_2).diagonal().sum() - 2 * root.sum()""",
    "paired_gap": """
def my_paired_gap(log_p, log_p_model):
    d = (log_p - log_p_model).numpy()
    return d.mean(), d.std(ddof=0) / len(d) ** 0.5""",
}


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_other_ways_of_writing_it_are_correct(name):
    item = getattr(checks, name)
    result = item.judge(run(item, OTHER_WAYS[name]))
    assert result.status == CORRECT, result


# --- what is wrong: the solution with one place changed, and a word of the sentence that must come ---

SLIPS = {
    "guided_eps": [
        ("eps + weight", "eps_given + weight", "less 1"),
        ("(eps_given - eps)", "eps_given", "difference of the two"),
        ("eps + weight", "eps - weight", "towards the label"),
        ("eps + weight * (eps_given - eps)", "weight * (eps_given - eps)", "is added to"),
        ("eps + weight * (eps_given - eps)", "eps_given + weight * (eps - eps_given)", "swapped"),
        ("eps + weight * (eps_given - eps)", "(eps + weight * eps_given) / (1 + weight)", "does not average"),
    ],
    "pushed_x0": [
        ("(1 - alpha_bar) /", "(1 - alpha_bar) ** 0.5 /", "comes another"),
        (" / alpha_bar**0.5", "", "not the shrunk one"),
        ("alpha_bar**0.5", "alpha_bar", "divided once"),
        ("x0_hat + weight", "x0_hat - weight", "so does the push"),
        ("(1 - alpha_bar) / alpha_bar**0.5 * gradient", "gradient", "pushed by w"),
        ("weight * ", "", "w is missing"),
    ],
    "put_in": [
        ("(1 - alpha_bar) ** 0.5", "(1 - alpha_bar)", "misprint"),
        ("alpha_bar**0.5 * x0", "alpha_bar * x0", "shrinks by √ᾱ"),
        ("+ (1 - alpha_bar) ** 0.5 * eps", "", "noise is missing"),
        ("noisy, xt)", "x0, xt)", "never seen"),
        ("noisy, xt)", "xt, noisy)", "leaves what is not known"),
        ("alpha_bar**0.5 * x0", "x0", "shrinks by √ᾱ"),
    ],
    "start": [
        ("alpha_bar**0.5 * y", "y", "scale y"),
        ("alpha_bar**0.5 * y", "alpha_bar * y", "not by ᾱ"),
        ("1 + sigma**2", "1 + sigma", "is the variance"),
        ("1 / (1 + sigma**2)", "1 - sigma**2", "sets √(1−ᾱ) = σ"),
        ("1 / (1 + sigma**2)", "1 / sigma**2", "has as much noise"),
    ],
    "log_normal": [
        ("return -(square", "return (square", "falls with the distance"),
        (".sum(-1)", "", "sum over the last axis"),
        (".sum(-1)", ".mean(-1)", "not a mean"),
        ("(2 * std**2)", "(2 * std)", "measured in variances"),
        ("(2 * std**2)", "std**2", "factor ½ in the exponent"),
        ("(x - mean) ** 2", "(x - mean).abs()", "not squared"),
        ("2 * torch.pi * std**2) / 2", "0 * std + 2 * torch.pi) / 2", "log s per dimension is missing"),
    ],
    "noisy_log_prob": [
        ("alpha_bar**0.5 * means", "alpha_bar * means", "by the root of ᾱ"),
        ("alpha_bar**0.5 * means", "means", "also shrinks the curve"),
        ("alpha_bar * var + 1", "var + 1", "shrinks with the data"),
        ("alpha_bar * var + 1 - alpha_bar", "1 - alpha_bar", "own noise ᾱ s² is missing"),
        ("weights.log() + log", "log", "weights are missing"),
        ("torch.logsumexp(weights.log() + log_normal, -1)", "(weights * log_normal).sum(-1)",
         "log stands outside"),
        ("torch.logsumexp(weights.log() + log_normal, -1)", "(weights * log_normal.exp()).sum(-1).log()",
         "torch.logsumexp"),
    ],
    "noise_guess": [
        ("-((1 - alpha_bar) ** 0.5)", "(1 - alpha_bar) ** 0.5", "sign of the score"),
        ("((1 - alpha_bar) ** 0.5)", "(1 - alpha_bar)", "not its variance"),
        ("-((1 - alpha_bar) ** 0.5) * score", "score", "factor −√(1 − ᾱ) is missing"),
        ("((1 - alpha_bar) ** 0.5) * score", "score / (1 - alpha_bar) ** 0.5", "on the wrong side"),
        ("log_prob(xt).sum()", "log_prob(xt).exp().sum()", "slope of the log density"),
        ("(1 - alpha_bar) ** 0.5", "alpha_bar**0.5", "belongs to the noise"),
    ],
    "paired_gap": [
        ("log_p - log_p_model", "log_p_model - log_p", "the truth first"),
        ("log_p - log_p_model", "(log_p - log_p_model).abs()", "keep their signs"),
        (" / len(difference) ** 0.5", "", "spread of single points"),
        ("** 0.5", "", "falls like 1/√n"),
        ("difference.std() /", "difference.var() ** 0.5 * 0 + log_p_model.std() /", "unpaired estimate"),
        ("difference.std() /", "(log_p.var() + log_p_model.var()) ** 0.5 /", "points are the same"),
    ],
    "log_likelihood": [
        ("torch.logsumexp(log_p, 0) - math.log(len(log_p))", "log_p.mean(0)", "not inside"),
        (" - math.log(len(log_p))", "", "log K is missing"),
        ("- math", "+ math", "it was added"),
        ("torch.logsumexp(log_p, 0) - math.log(len(log_p))", "torch.logsumexp(log_p, -1) - math.log(log_p.shape[-1])",
         "lie along the first axis"),
        ("torch.logsumexp(log_p, 0) - math.log(len(log_p))", "log_p.exp().mean(0)", "The log is missing"),
        ("torch.logsumexp(log_p, 0) - math.log(len(log_p))", "log_p.exp().mean(0).log()", "exp(−3000) is zero"),
        ("torch.logsumexp(log_p, 0) - math.log(len(log_p))", "log_p.sum(0)", "log of a product"),
    ],
    "elbo": [
        ("- q.log_prob(z)", "+ q.log_prob(z)", "in the denominator"),
        (" - q.log_prob(z)", "", "denominator log q(z|x) is missing"),
        (" + vae.prior().log_prob(z)", "", "the prior is missing"),
        ("q.var.sqrt()", "q.var", "standard deviation"),
        ("q.mean + q.var.sqrt() * eps", "eps", "a draw of the prior"),
        ("q.mean + q.var.sqrt() * eps", "q.mean", "noise is not used"),
        ("vae.prior().log_prob(z) - q.log_prob(z)", "0.5 * (1 - q.var - q.mean**2 + q.var.log()).sum(-1)",
         "nothing to cancel with"),
        ("return vae.p(0, z).log_prob(x) + vae.prior().log_prob(z) - q",
         "return -vae.p(0, z).log_prob(x) - vae.prior().log_prob(z) + q", "That is the loss"),
    ],
    "pathwise_gradient": [
        ("(slope(z) * eps).mean()", "slope(z).mean()", "multiplied by ε"),
        ("(slope(z) * eps).mean()", "(slope(z) * eps * sigma).mean()", "∂log σ"),
        ("m + sigma * eps", "m + sigma**2 * eps", "not by the variance"),
        ("z = m + sigma * eps", "z = m + 0 * eps", "not at m"),
        ("slope(z).mean(), (slope(z) * eps).mean()", "slope(z).sum(), (slope(z) * eps).sum()", "estimated by a mean"),
        ("(slope(z) * eps).mean()", "slope(z).mean() * eps.mean()", "not the product of the means"),
    ],
    "kl": [
        ("ratio = var_q / var_p", "ratio = var_p / var_q; var_p = var_q", "turned round"),
        (".sum(-1)", ".mean(-1)", "not a mean"),
        (".sum(-1)", "", "sum over the last axis"),
        ("0.5 * (ratio", "(ratio", "factor ½"),
        ("** 2 / var_p", "** 2 / var_q", "variance of p"),
        ("(mean_q - mean_p) ** 2", "(mean_q - mean_p).abs()", "not as |μ − ν|"),
        ("ratio = var_q / var_p", "ratio = var_q**2 / var_p**2; var_p = var_p**2", "variances already"),
        ("- ratio.log()", "+ ratio.log()", "adds to the cost"),
        ("ratio - 1 -", "ratio -", "−1 makes it zero"),
    ],
    "spoilt_gap": [
        ("(factors - 1 - factors.log())", "(factors - 1 - factors.log())[1:]", "factors[0] to level 1"),
        ("factors - 1 - factors.log()", "1 / factors - 1 + factors.log()", "turned round"),
        ("dim / 2", "1 / 2", "Each of the D dimensions"),
        (".sum()", ".mean()", "sum over its levels"),
        ("dim / 2", "dim", "factor ½"),
        (" - factors.log()", "", "log of the ratio"),
        ("return dim", "return -dim", "never negative"),
        ("return dim", "factors = factors.prod(); return dim", "do not multiply"),
    ],
    "consistency": [
        ("log_p - log_q", "log_q - log_p", "p is above and q below"),
        ("log_p - log_q", "-gaussian.kl(chain.q(t, z[t - 1]), chain.p(t, z[t + 1]))", "draws a z_t of its own"),
        ("log_p - log_q", "-gaussian.kl(chain.q(t + 1, z[t]), chain.p(t, z[t + 1]))", "different variables"),
        ("chain.p(t, z[t + 1]).log_prob(z[t])", "chain.p(t - 1, z[t]).log_prob(z[t - 1])", "index of p is shifted"),
        ("chain.q(t, z[t - 1]).log_prob(z[t])", "chain.q(t + 1, z[t]).log_prob(z[t + 1])", "q must be"),
        (" - log_q", "", "grows without limit"),
    ],
    "middle": [
        ("a * z_next / v", "z_next / v", "factor a is missing"),
        ("a * z_next / v", "a**2 * z_next / v", "is a z_{t+1}/v"),
        ("mean / var + ", "", "known from below"),
        ("1 / precision", "precision", "one over it"),
        ("1 / precision", "var + v", "precisions do"),
        ("1 / precision", "1 / (1 / var + a / v)", "is a²/v"),
        ("1 / precision", "a**2 * var + v", "averaged out"),
    ],
    "information": [
        ("torch.logsumexp(log_q, 0) - torch.log(torch.tensor(len(log_q)))", "log_q.mean(0)", "mean of densities"),
        (" - torch.log(torch.tensor(len(log_q)))", "", "log n is missing"),
        ("logsumexp(log_q, 0)", "logsumexp(log_q, 1)", "the rows"),
        ("(log_q.diagonal() - log_aggregate)", "(log_aggregate - log_q.diagonal())", "can only help"),
        ("return (log_q.diagonal()", "return (log_q", "the diagonal"),
        (" - log_aggregate)", ")", "aggregate posterior q(z_t) is missing"),
        ("torch.logsumexp(log_q, 0) -", "log_q.exp().sum(0).log() -", "Take the largest value out"),
    ],
    "jump": [
        ("alpha_bar.sqrt() * x0", "alpha_bar * x0", "root of ᾱ_t multiplies"),
        ("(1 - alpha_bar).sqrt()", "(1 - alpha_bar)", "variance of the noise"),
        ("(1 - beta).cumprod(0)[t]", "(1 - beta)[t]", "That is one step"),
        ("[t]", "[t - 1]", "up to and with α_t"),
        ("(1 - beta).cumprod(0)[t]", "(1 - beta[1:]).cumprod(0)[min(t, len(beta) - 2)]", ""),
        ("(1 - beta).cumprod(0)[t]", "(1 - beta[t]) ** t", "constant β"),
        ("(1 - alpha_bar).sqrt()", "beta[t].sqrt()", "last step's alone"),
        ("(1 - beta).cumprod(0)[t]", "1 - (1 - beta).cumprod(0)[t]", "exchanged"),
    ],
    "steps_needed": [
        ("return T", "return T - 1", "one step more"),
        ("T = 1", "T = 2", ""),
        ("return T", "return T + 1", "One step fewer"),
        ("-dim / 2", "-1", "grows with D"),
        ("-dim / 2", "-dim", "in front of the log is D/2"),
        ("-dim / 2 * math.log(1 - (1 - beta) ** T)", "(1 - beta) ** T", "not nats"),
        ("(1 - beta) ** T", "math.exp(-beta * T)", "limit for small β"),
        ("(1 - beta) ** T", "(1 - beta) ** (T / 2)", "without a root"),
    ],
    "posterior": [
        ("c0 = alpha_bar[t - 1].sqrt()", "c0 = alpha_bar[t].sqrt()", "001 has the same slip"),
        ("c0 = alpha_bar[t - 1].sqrt()", "c0 = alpha_bar[t - 1]", "prior's mean is √ᾱ_{t−1} x₀"),
        ("(1 - beta[t]).sqrt()", "(1 - beta[t])", "likelihood's mean"),
        ("c0 * x0 + ct * xt", "c0 * xt + ct * x0", "exchanged"),
        ("(1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]", "beta[t]", "Two witnesses"),
        ("xt, var", "xt, var.sqrt()", "standard deviation stands"),
        ("var = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])", "var = (1 - alpha_bar[t]) / (1 - alpha_bar[t - 1])",
         "upside down"),
        ("return c0 * x0 + ct * xt, var",
         "v = 1 - alpha_bar[t - 1]; p = 1 / v + (1 - beta[t]) / beta[t]; c0 = alpha_bar[t - 1].sqrt() / v\n    "
         "return (c0 * x0 + (1 - beta[t]).sqrt() * xt / beta[t]) / p, 1 / p", "A sum of precisions divides by"),
    ],
    "kl_term": [
        (".square().sum(-1)", ".norm(dim=-1)", "not squared"),
        (".square().sum(-1)", ".square().mean(-1)", "is a sum"),
        (" + constant", "", "without its constant"),
        ("x0.shape[-1] / 2", "1 / 2", "pays the constant"),
        ("x0.shape[-1] / 2", "1", "in the plane only"),
        ("c**2 /", "c /", "squared as a whole"),
        ("c**2 / (2 * sigma2)", "c**2 / sigma2", "factor ½"),
        ("c**2 / (2 * sigma2)", "c**2 / (2 * sigma2.sqrt())", "divided by the variance"),
        ("c = alpha_bar[t - 1]", "c = alpha_bar[t]", "root of ᾱ_{t−1}"),
        ("(ratio - 1 - ratio.log())", "(1 / ratio - 1 + ratio.log())", "upside down"),
    ],
    "best_variance": [
        ("c**2 * mse", "mse", "with the factor c_t"),
        ("c**2 * mse", "c * mse", "c_t multiplies a distance"),
        ("beta_tilde + ", "", "scatters by β̃_t"),
        ("return beta_tilde +", "return beta[t] +", "not with β_t"),
        (" + c**2 * mse", "", "only if x₀ is known"),
        ("return beta_tilde + c**2 * mse", "return (beta_tilde + c**2 * mse).sqrt()", "standard deviation stands"),
    ],
    "x0_from_v": [
        ("xt - (1", "xt + (1", "The sign of v"),
        ("return alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * v",
         "return (1 - alpha_bar) ** 0.5 * xt - alpha_bar**0.5 * v", "roots are exchanged"),
        ("alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * v", "alpha_bar * xt - (1 - alpha_bar) * v",
         "roots are missing"),
        ("alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * v", "(xt - (1 - alpha_bar) ** 0.5 * v) / alpha_bar**0.5",
         "as if it were ε"),
        ("alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * v", "(1 - alpha_bar) ** 0.5 * xt + alpha_bar**0.5 * v",
         "the other unknown"),
        ("alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * v",
         "(xt - (1 - alpha_bar) ** 0.5 * ((1 - alpha_bar) ** 0.5 * xt + alpha_bar**0.5 * v)) / alpha_bar**0.5",
         "divides by something that is zero"),
    ],
    "noise_weight": [
        ("beta[t] ** 2", "beta[t]", "it is squared"),
        (" * (1 - beta[t])", "", "squared, that is 1/α_t"),
        ("(1 - beta[t])", "alpha_bar", "without a bar"),
        ("(2 * sigma2", "(sigma2", "factor ½"),
        ("2 * sigma2", "2 * sigma2.sqrt()", "twice the variance"),
        ("(1 - alpha_bar))", "(1 - alpha_bar).sqrt())", "in the weight it is squared"),
        ("cumprod(0)[t]", "cumprod(0)[t - 1]", ""),
    ],
    "simple_loss": [
        (".unsqueeze(-1)", "", "unsqueeze(-1)"),
        (".square().sum(-1)", ".square().mean(-1)", "is a sum over the dimensions"),
        (".square().sum(-1)", ".square().sum(-1).mean()", "comes afterwards"),
        (".square().sum(-1)", ".norm(dim=-1)", "norm is not squared"),
        (".square().sum(-1)", ".square()", "sums over the last axis"),
        ("a.sqrt() * x0 + (1 - a).sqrt() * eps", "a * x0 + (1 - a) * eps", "by the roots"),
        ("eps_net(xt, t)", "eps_net(x0, t)", "noisy x_t only"),
        ("(eps - eps_net", "(x0 - eps_net", "target is the noise"),
        ("alpha_bar[t]", "alpha_bar[t - 1]", "shifted by one"),
    ],
    "ancestral_step": [
        (" if t > 1 else mean", "", "would stay in the sample"),
        ("beta[t].sqrt() * z", "beta[t] * z", "a variance stands"),
        ("xt - beta", "xt + beta", "the sign is minus"),
        ("(1 - beta[t]).sqrt()", "alpha_bar.sqrt()", "undoes one α_t"),
        (" / (1 - beta[t]).sqrt()", "", "going back stretches"),
        ("(1 - alpha_bar).sqrt() * eps_hat", "(1 - alpha_bar) * eps_hat", "root of 1 − ᾱ_t"),
        (" * eps_hat", "", "behind the fraction is missing"),
        ("mean + beta[t].sqrt() * z if t > 1 else mean", "mean", "adds fresh noise"),
    ],
    "honest_bits": [
        (" / (dim * math.log(2))", " / dim", "divide by log 2"),
        ("(dim * math.log(2))", "math.log(2)", "divided by D"),
        (" + dim * math.log(width)", "", "volume w^D of a cell"),
        ("dim * math.log(width)", "math.log(width)", "D sides of the length w"),
        ("log_p + dim", "log_p - dim", "not divided"),
        ("return -", "return ", "a code length is −log P"),
        ("-(log_p + dim * math.log(width)) / (dim * math.log(2))",
         "-log_p / (dim * math.log(2)) - math.log(width)", "not the first part alone"),
    ],
    "grey_log_prob": [
        ("torch.where(x == -1, -torch.inf, (x - 1 / 255 - mean) / scale)", "(x - 1 / 255 - mean) / scale",
         "as white takes all above"),
        ("torch.where(x == 1, torch.inf, (x + 1 / 255 - mean) / scale)", "(x + 1 / 255 - mean) / scale",
         "as black takes all below"),
        ("x == -1", "x < -1", "as white takes all above"),
        ("1 / 255", "2 / 255", "these bins overlap"),
        ("1 / 255", "1 / 510", "these bins leave gaps"),
        ("- mean", "+ mean", "The centre is subtracted"),
        ("/ scale", "* scale", "the distance is divided by it"),
        (".sum(-1)", "", "sum over the last axis"),
        (".sum(-1)", ".mean(-1)", "not a mean"),
        (".sum(-1)", ".sum(-1).exp()", "The log is missing"),
        ("(log_phi(high) + log_phi(-low) + log_width)",
         "(torch.sigmoid(high) - torch.sigmoid(low)).log()", "rounds to 0 or to 1"),
        ("(log_phi(high) + log_phi(-low) + log_width)",
         "(torch.sigmoid(high) - torch.sigmoid(low) + 1e-12).log()", "hides that"),
        ("(log_phi(high) + log_phi(-low) + log_width)",
         "(torch.sigmoid(low) - torch.sigmoid(high)).log()", "upper edge minus the one at the lower"),
        ("(log_phi(high) + log_phi(-low) + log_width)",
         "(torch.special.ndtr(high) - torch.special.ndtr(low)).log()", "last step of the DDPM"),
        ("(log_phi(high) + log_phi(-low) + log_width)",
         "(log_phi((x - mean) / scale) + log_phi((mean - x) / scale) - scale.log())", "it has no bins"),
        ("(log_phi(high) + log_phi(-low) + log_width)",
         "(log_phi((x - mean) / scale) + log_phi((mean - x) / scale) - scale.log() + math.log(2 / 255))",
         "even within a bin"),
    ],
    "variance_table": [
        (".square().mean()", ".mean().square()", "First the square"),
        ("(x0 - x0_hat)[r == i].square()", "(x0 - x0_hat).square()", "pixels of the range only"),
        ("bucketize(x0_hat", "bucketize(x0", "nobody knows x₀"),
        (".square().mean()", ".square().sum()", "An expectation is a mean"),
        (".square().mean()", ".square().sum() / x0.numel()", "given that x̂₀ lies in the range"),
        (".square().mean()", ".var(correction=0)", "always too dark"),
        (".square().mean()", ".var()", "torch.var subtracts"),
        (".square().mean()", ".abs().mean()", "The error is squared"),
        ("beta_tilde + ", "", "scatters by β̃_t"),
        ("c**2 *", "c *", "the factor is c_t²"),
        ("c**2 * mse", "mse", "c_t times as much"),
        ("return beta_tilde + c**2 * mse", "return (beta_tilde + c**2 * mse).sqrt()", "standard deviation stands"),
    ],
    "frechet": [
        ("(mean - mean_2).square().sum()", "(mean - mean_2).norm()", "distance of the means is squared"),
        ("(mean - mean_2).square().sum() + ", "", "need not lie in the same place"),
        ("torch.linalg.eigvals(cov @ cov_2).real.clamp(min=0).sqrt().sum()", "(cov @ cov_2).sqrt().trace()",
         "goes entry by entry"),
        (".clamp(min=0).sqrt().sum()", ".sum()", "The root is missing"),
        (".clamp(min=0).sqrt().sum()", ".sum().sqrt()", "not the root of a sum"),
        ("torch.linalg.eigvals(cov @ cov_2).real.clamp(min=0).sqrt().sum()",
         "(cov.diagonal() * cov_2.diagonal()).sqrt().sum()", "how the features go together"),
        ("- 2 * root", "- root", "nothing may be left"),
        ("- 2 * root", "+ 2 * root", "what the two have in common"),
        ("(mean - mean_2).square().sum() + traces", "((mean - mean_2).square().sum() + traces).sqrt()",
         "what papers print"),
        ("torch.linalg.eigvals(cov @ cov_2).real.clamp(min=0).sqrt().sum()",
         "(lambda e, r: (r(*e(cov)) @ r(*e(cov_2))).trace())"
         "(torch.linalg.eigh, lambda v, u: u @ v.sqrt().diag() @ u.T)",
         "the same axes"),
        ("cov.trace() + cov_2.trace() - 2 * root", "(cov - cov_2).square().sum()",
         "takes roots of covariances"),
    ],
    "denoising_loss": [
        ("+ eps /", "- eps /", "points back to the data"),
        (" / (1 - alpha_bar) ** 0.5)", ")", "a slope"),
        (".square().sum(-1)", ".norm(dim=-1)", "squared length"),
        ("eps / (1 - alpha_bar) ** 0.5)", "eps / alpha_bar**0.5)", "belongs to the signal"),
        ("eps / (1 - alpha_bar) ** 0.5)", "eps / (1 - alpha_bar))", "One root too few"),
        ("(score(xt) + eps / (1 - alpha_bar) ** 0.5).square()", "(score(xt) + eps**2 / (1 - alpha_bar))",
         "Only the noise is squared"),
        (".square().sum(-1)", ".square().mean(-1)", "is a sum over the dimensions"),
        (".square().sum(-1)", ".square()", "sums over the last axis"),
        ("score(xt)", "score(x0)", "that of the noisy points"),
        ("alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * eps", "alpha_bar * x0 + (1 - alpha_bar) * eps", "the roots"),
        ("score(xt)", "score(xt).detach()", "the gradient is not"),
    ],
    "ula_step": [
        ("(2 * h) ** 0.5", "h**0.5", "half the temperature"),
        ("h * score(x) + (2 * h) ** 0.5", "h / 2 * score(x) + h**0.5", "step of size h/2"),
        ("h * score(x)", "h / 2 * score(x)", "twice the temperature"),
        ("(2 * h) ** 0.5", "2 * h", "Variances add up"),
        ("x + h", "x - h", "Uphill"),
        ("x + h", "h", "The step starts at x"),
        ("(2 * h) ** 0.5 * eps", "(2 * h) ** 0.5 * torch.rand(eps.shape)", "random numbers of its own"),
    ],
    "mala_ratio": [
        (" + back - log_prob(x) - there", " - log_prob(x)", "their ratio is missing"),
        ("+ back - log_prob(x) - there", "+ there - log_prob(x) - back", "the way back, q(x|y)"),
        ("(4 * h)", "(2 * h)", "variance is 2h"),
        ("x - y - h * score(y)", "x - y - h * score(x)", "with the score there"),
        ("there = -(y - x - h * score(x)).square().sum(-1) / (4 * h)\n    back = -(x - y - h * score(y))",
         "there = -(y - x - h * score(y)).square().sum(-1) / (4 * h)\n    back = -(x - y - h * score(x))",
         "at which it starts"),
        ("log_prob(y) + back - log_prob(x) - there", "(log_prob(y) + back - log_prob(x) - there).exp()",
         "The logarithm is asked for"),
        ("log_prob(y) + back - log_prob(x) - there", "back - there", "densities π are missing"),
    ],
    "walk_matrix": [
        ("(A - torch.diag(A.sum(0)))", "A", "columns must add up to 0"),
        ("A.sum(0)", "A.sum(1)", "stands in column j"),
        ("spacing**2", "spacing", "divides by δ²"),
        ("spacing**2", "spacing**2 / 2", "each neighbour gets half"),
        ("(d / 2).exp(), -1) + torch.diag((-d / 2).exp(), 1)", "d.exp(), -1) + torch.diag((-d).exp(), 1)",
         "half of it for each direction"),
        ("d = log_pi.diff()", "d = -log_pi.diff()", "Uphill is the faster way"),
        ("return (A - torch.diag(A.sum(0)))", "return -(A - torch.diag(A.sum(0)))", "rates are positive"),
        ("d = log_pi.diff()", "d = 0 * log_pi.diff()", "whose rest is uniform"),
    ],
    "reverse_drift": [
        ("2 * score", "score", "the drift of the ODE"),
        ("x + 2", "-x + 2", "the shrinking of x is undone"),
        ("+ 2 * score", "- 2 * score", "points to the data"),
        ("return 0.5", "return -0.5", "Here λ rises"),
        ("0.5 * (1 - alpha_bar)", "(1 - alpha_bar)", "The ½ is missing"),
        ("(1 - alpha_bar)", "(1 - alpha_bar) ** 0.5", "the drift has its square"),
        ("(1 - alpha_bar)", "alpha_bar", "1 − ᾱ, not ᾱ"),
        ("(x + 2 * score)", "2 * score", "linear term is missing"),
    ],
    "ddim": [
        (" + (1 - alpha_bar_next) ** 0.5 * eps_hat", "", "The noise is missing"),
        ("return alpha_bar_next**0.5 * x0_hat + (1 - alpha_bar_next) ** 0.5 * eps_hat", "return x0_hat",
         "mix ε̂ in again"),
        ("+ (1 - alpha_bar_next) ** 0.5", "+ (1 - alpha_bar) ** 0.5", "at the next level too"),
        ("alpha_bar_next**0.5 * x0_hat + (1 - alpha_bar_next) ** 0.5", "alpha_bar_next * x0_hat + (1 - alpha_bar_next)",
         "multiplied by roots"),
        ("alpha_bar_next**0.5 * x0_hat + (1 - alpha_bar_next)", "alpha_bar**0.5 * x0_hat + (1 - alpha_bar)",
         "back to where it came from"),
        ("return alpha_bar_next**0.5 * x0_hat", "return x0_hat", "The data shrink"),
        ("return alpha_bar_next**0.5 * x0_hat + (1 - alpha_bar_next) ** 0.5 * eps_hat",
         "return x0_hat + ((1 - alpha_bar_next) / alpha_bar_next) ** 0.5 * eps_hat", "Euler's step is right"),
        (" / alpha_bar**0.5", "", "divided by √ᾱ"),
    ],
    "heun": [
        ("h / 2 * (k1 + k2)", "h * k1", "Euler's step"),
        ("field(log_snr + h, x + h * k1)", "field(log_snr, x + h * k1)", "that at λ + h"),
        ("field(log_snr + h, x + h * k1)", "field(log_snr + h, x)", "Euler's end"),
        ("h / 2 * (k1 + k2)", "h * k2", "mean of both"),
        ("h / 2 *", "h *", "has a ½"),
        ("x + h * k1)", "x + h / 2 * k1)", "followed for the whole step"),
        ("return x + h / 2 * (k1 + k2)", "return x + h * k1 + h / 2 * k2", "the step starts from x"),
    ],
    "log_prob": [
        (" + lost + D / 2 * log_snr[0].sigmoid().log()", "", "divergence is missing"),
        (" + lost", "", "What was lost on the way"),
        ("+ lost", "- lost", "has that sign"),
        (" + D / 2 * log_snr[0].sigmoid().log()", "", "the point where the path starts"),
        ("+ D / 2", "- D / 2", "shrunken points"),
        ("D / 2 *", "", "Each of the D axes"),
        ("log_snr[0]", "log_snr[-1]", "starts at the clean end"),
        ("return prior + ", "return ", "has a density too"),
        (" + math.log(2 * math.pi)", "", "has the constant"),
    ],
    "entropy_from_errors": [
        ("0.5 * dim * math.log(2 * math.pi * math.e) - ", "-", "The entropy of the"),
        ("math.e) - 0.5", "math.e) + 0.5", "have less entropy"),
        ("log_snr.sigmoid() * ", "", "dSNR = SNR dλ"),
        ("log_snr.sigmoid()", "log_snr.exp()", "SNR (1 − ᾱ) = ᾱ"),
        ("log_snr.sigmoid()", "(-log_snr).sigmoid()", "where data and noise differ"),
        ("(1 - error)", "error", "how much better than for noise"),
        ("- 0.5 * dim", "- dim", "derivative of the information"),
        ("0.5 * dim", "0.5", "Each dimension counts"),
    ],
    "step_cost": [
        ("mse[1:]", "mse[:-1]", "no bound"),
        ("torch.log1p(-snr.diff() * mse[1:])", "-snr.diff() * mse[1:]", "That is the term with"),
        ("-snr.diff()", "snr.diff()", "SNR falls with t"),
        ("0.5 * dim", "0.5", "one dimension's share"),
        ("0.5 * dim", "dim", "Gaussian's KL"),
        ("log1p", "log", "The ratio"),
        ("-snr.diff()", "-snr.log().diff()", "not of its logarithm"),
    ],
    "price_from_cov": [
        (" - cov.shape[-1] * m**2", "", "The D m² is missing"),
        ("cov.shape[-1] * m**2", "m**2", "has D entries"),
        ("cov.square().sum((-2, -1))", "(cov.diagonal(dim1=-2, dim2=-1).sum(-1) ** 2)", "not the square of the"),
        ("cov.square().sum((-2, -1))", "cov.diagonal(dim1=-2, dim2=-1).square().sum(-1)", "off the diagonal count too"),
        ("m = cov.diagonal(dim1=-2, dim2=-1).mean()",
         "m = cov.diagonal(dim1=-2, dim2=-1).mean(-1).square().mean().sqrt()", "serves all x_t"),
        ("snr**2", "snr", "squared: SNR²"),
        ("0.25", "0.5", "triangle under the curve"),
    ],
    "knots": [
        ("root = g.sqrt()", "root = g", "take the root"),
        ("root = g.sqrt()", "root = g * 0 + 1", "only where g is constant"),
        ("np.linspace(along[-1].item(), 0, T)", "np.linspace(0, along[-1].item(), T)", "the knots fall"),
        ("root = g.sqrt()", "root = 1 / g.sqrt()", "The density of the knots"),
        ("root = g.sqrt()", "root = g**2", "not its square"),
        ("np.linspace(along[-1].item(), 0, T)", "np.linspace(along[-1].item(), 0, T + 2)[1:-1]", "the two ends of"),
    ],
    "even_numbers": [
        (" % 1", "", "start again at 0"),
        ("(u + torch.arange(n) / n) % 1", "u + torch.zeros(n)", "shift the i-th"),
        ("(u + torch.arange(n) / n) % 1", "torch.arange(n) / n", "Without u"),
        ("(u + torch.arange(n) / n) % 1", "(torch.arange(n) + u) / n", "stays in the i-th cell"),
        ("torch.arange(n) / n", "(torch.arange(n) + 1) / n", "i runs from 0"),
        ("u + torch.arange(n) / n", "u * torch.arange(n) / n", "does not stretch"),
    ],
    "velocity": [
        ("tau = noise / (signal + noise)", "tau = noise", "add up to 1"),
        ("tau = noise / (signal + noise)", "tau = 1 - alpha_bar", "share of the variance"),
        ("tau = noise / (signal + noise)", "tau = signal / (signal + noise)", "and τ = 1 is noise"),
        ("((1 - tau) ** 2 + tau**2) ** 0.5 * x_t", "x_t", "c times x_t"),
        ("((1 - tau) ** 2 + tau**2) ** 0.5 * x_t", "x_t / ((1 - tau) ** 2 + tau**2) ** 0.5", "other way round"),
        ("(eps_hat - x) / (1 - tau)", "(eps_hat - x) / tau", "distance 1 − τ"),
        ("(eps_hat - x) / (1 - tau)", "(x - eps_hat) / (1 - tau)", "from the data to the noise"),
        ("(eps_hat - x) / (1 - tau)", "eps_hat - x", "time that is left"),
    ],
    "flow_step": [
        ("(tau_next - tau)", "(tau - tau_next)", "is negative"),
        ("u(tau, x)", "u(tau_next, x)", "where he stands"),
        ("(tau_next - tau)", "-tau", "The step stops at τ′"),
        ("(tau_next - tau) * ", "", "multiplied by the step"),
        ("(tau_next - tau)", "tau_next", "from where x is"),
    ],
    "loss_weight": [
        (" * tau / (1 - tau)", "", "not the same clock"),
        ("density * ", "", "density of τ counts"),
        ("tau / (1 - tau)", "(1 - tau) / tau", "Upside down"),
        ("tau / (1 - tau)", "tau * (1 - tau)", "from û to ε̂ is still missing"),
        ("density * tau", "0.5 * density * tau", "in the integrand"),
        ("tau / (1 - tau)", "(tau / (1 - tau)) ** 2", "its root"),
    ],
    "pairs": [
        ("x0.argsort().argsort()", "x0.argsort()", "argsort twice"),
        ("[x0.argsort().argsort()]", "", "belongs to the data"),
        ("eps.sort().values", "eps.sort(descending=True).values", "most expensive"),
        ("eps.sort().values", "eps", "Sort the noise first"),
        ("eps.sort().values[x0.argsort().argsort()]", "eps", "No order was chosen"),
        ("eps.sort().values[x0.argsort().argsort()]", "eps[(x0[:, None] - eps).abs().argmin(1)]", "once only"),
    ],
    "mismatch": [
        (" - math.log(len(means))", "", "not their sum"),
        ("log_k.logsumexp(1) - math.log(len(means))", "log_k.mean(1)", "not the mean of their logs"),
        ("(log_q - log_p)", "log_q", "minus the entropy"),
        ("log_q - log_p", "log_p - log_q", "minus the divergence"),
        ("log_p = -0.5 * (math.log(2 * math.pi) + z**2)", "log_p = -0.5 * (z**2)", "has its constant too"),
        (".mean()", ".sum()", "A mean over the draws"),
        ("    square =", "    variances = variances**2\n    square =", "they are not squared"),
        ("    square =", "    variances = variances.sqrt()\n    square =", "no root is taken"),
    ],
    "stacked_p": [
        ("t < L", "t <= L", "is the decoder of above"),
        ("t < L", "t < L - 1", "has its own steps"),
        ("above(t - L, z)", "above(t, z)", "counts from its own data"),
        ("above(t - L, z)", "above(t - L + 1, z)", "At t = L it is"),
        ("above(t - L, z)", "above(t - L - 1, z)", "decoder of above, level 0"),
    ],
    "latent_bound": [
        ("log_q - elbo_above", "log_q - log_prior - elbo_above", "counted twice"),
        ("- elbo_above", "- log_prior", "the VAE alone"),
        (" + log_q", "", "no bound"),
        ("+ log_q", "- log_q", "in the denominator"),
        ("-log_p_x + log_q - elbo_above", "log_p_x - log_q + elbo_above", "That is the ELBO"),
        ("-log_p_x + log_q", "log_q", "decoder's log p(x|z) is missing"),
        ("- elbo_above", "+ elbo_above", "with a minus"),
    ],
    "leaving_cost": [
        (" - above", "", "are to be credited"),
        ("- above", "+ above", "is subtracted"),
        ("0.5 * ", "", "has a ½"),
        (".sum()", ".mean()", "the sum over what leaves"),
        ("math.log(1 - alpha_bar)", "math.log(alpha_bar)", "is 1 − ᾱ"),
        ("alpha_bar * square - alpha_bar", "alpha_bar * square + 1 - alpha_bar", "v + μ² − 1"),
    ],
}  # fmt: skip
CASES = [(getattr(checks, name), *slip) for name, slips in SLIPS.items() for slip in slips]


@pytest.mark.parametrize(("item", "old", "new", "words"), CASES, ids=[f"{c[0].name}: {c[2][:40]}" for c in CASES])
def test_a_slip_is_refused_and_named(item, old, new, words):
    assert SOLUTION[item.name].count(old) >= 1, "the solution has changed: change this test"
    result = item.judge(run(item, SOLUTION[item.name].replace(old, new)))
    assert result.status == WRONG, result
    assert words in result.text, result


def test_every_exercise_has_at_least_five_slips_with_messages_of_their_own():
    assert set(SLIPS) == {item.name for item in WRITTEN}
    for name, slips in SLIPS.items():
        assert len({words for *_, words in slips if words}) >= 5, name


@each_written
def test_every_known_mistake_is_told_apart_from_the_others(item):
    solution = run(item, SOLUTION[item.name])
    assert len({str(mistake) for mistake in item.mistakes}) == len(item.mistakes) >= 5
    for mistake in item.mistakes:

        def answer(*inputs, mistake=mistake):
            out = mistake.wrong(*inputs)
            if isinstance(out, tuple):  # None stands for any part; take the right one
                return tuple(r if o is None else o for o, r in zip(out, solution(*inputs), strict=True))
            return out

        result = item.judge(answer)
        assert result.status == WRONG
        assert str(mistake) in result.text, result


@each_written
def test_zeros_constants_and_the_input_are_refused(item):
    solution, case = run(item, SOLUTION[item.name]), next(item.inputs())
    fill = lambda out, value: tuple(fill(o, value) for o in out) if isinstance(out, tuple) else 0 * out + value  # noqa: E731
    for value in (0.0, 1.0, 0.5):
        assert item.judge(lambda *a, v=value: fill(solution(*a), v)).status == WRONG
        assert item.judge(lambda *a, v=value: v).status == WRONG
    for position in range(len(case)):
        assert item.judge(lambda *a, i=position: a[i]).status == WRONG
    assert item.judge(lambda *a: a).status == WRONG


# --- predictions ---


@each_ordered
def test_every_other_order_is_refused_with_a_reason(item):
    right = run(item, SOLUTION[item.name])
    messages = set()
    for order in itertools.permutations(right):
        result = item.judge(list(order))
        assert result.status == (CORRECT if list(order) == right else WRONG)
        messages.add(result.text)
    assert item.judge(right[::-1]).text == item.backwards
    reasons = {f"{a!r} comes before {b!r}. {why}" for (a, b), why in item.reasons.items()}
    assert len(messages) - 2 >= min(4, len(right) - 1)
    assert messages <= reasons | {item.backwards, item.judge(right).text}
    assert set(item.reasons) == set(itertools.combinations(right, 2))


@each_ordered
def test_hints_come_before_the_explanation(item, capsys, monkeypatch):
    monkeypatch.setattr(core, "HINTED", set())
    right = run(item, SOLUTION[item.name])
    said = []
    for answer in (["nonsense"], right[::-1], right[::-1], right):
        item(answer)
        said.append(" ".join(capsys.readouterr().out.split()))
    bad, first, second, correct = said
    assert "has each of these once" in bad, "what is no order is told at once"
    assert first == f"{item.name}: {WRONG}. Another order. The hints below help; a second wrong answer is explained."
    assert " ".join(item.backwards.split()) in second
    assert correct.startswith(f"{item.name}: {CORRECT}.")


@each_ordered
def test_an_order_of_other_things_is_refused_in_words(item):
    right = run(item, SOLUTION[item.name])
    for answer in (right[:-1], [*right[:-1], right[0]], right[0], 3, "order", {"a": 1}):
        result = item.judge(answer)
        assert result.status == WRONG
        assert "has each of these once" in result.text


# --- what is said of other trouble ---


def test_an_error_is_told_with_its_line_and_nothing_of_ours():
    code = "def my_kl(mean_q, var_q, mean_p, var_p):\n    ratio = var_q / var_p\n    return ratio.sums()\n"
    result = checks.kl.judge(run(checks.kl, code))
    assert result.status == ERROR
    assert str(result).startswith("kl: stopped by an error. AttributeError: 'Tensor' object has no attribute 'sums'")
    assert "in line 3" in result.text
    linecache.cache["<cell of kl>"] = (len(code), None, code.splitlines(True), "<cell of kl>")  # as IPython does
    assert "in line 3: return ratio.sums()" in checks.kl.judge(run(checks.kl, code)).text
    del linecache.cache["<cell of kl>"]
    assert "Traceback" not in result.text
    assert "core.py" not in result.text


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (lambda a, b: a, ERROR, "TypeError"),
        (lambda *a: exit(), ERROR, "SystemExit"),
        (lambda *a: 1 / 0, ERROR, "ZeroDivisionError: division by zero"),
        (lambda *a: "0.5", WRONG, "returns str"),
        (lambda *a: a[0] * ..., NOT_ATTEMPTED, "still a ..."),
        (lambda *a: torch.tensor(float("nan")).expand(a[0].shape[:-1]), WRONG, "nan comes from 0/0"),
        (3.0, WRONG, "without calling it"),
        (torch.ones(3), WRONG, "without calling it"),
        (..., NOT_ATTEMPTED, ""),
        (None, NOT_ATTEMPTED, ""),
    ],
)
def test_other_trouble_has_a_sentence(answer, status, words):
    result = checks.kl.judge(answer)
    assert result.status == status
    assert words in result.text


def test_a_forgotten_return_is_named():
    code = SOLUTION["kl"].replace("return", "answer =")
    assert "Is there a `return` missing?" in checks.kl.judge(run(checks.kl, code)).text


def test_an_exercise_raised_as_not_implemented_is_not_attempted():
    def my_kl(mean_q, var_q, mean_p, var_p):
        raise NotImplementedError

    assert checks.kl.judge(my_kl).status == NOT_ATTEMPTED


@pytest.mark.parametrize("body", ["pass", "...", '"""To do."""', '"""To do."""; return None', "return ..., ..."])
def test_an_empty_function_is_not_attempted(body):
    code = f"def my_kl(mean_q, var_q, mean_p, var_p):\n    {body}"
    assert checks.kl.judge(run(checks.kl, code)).status == NOT_ATTEMPTED


def test_changing_an_argument_is_refused():
    code = SOLUTION["kl"].replace("ratio = var_q", "mean_q -= mean_p; mean_p = 0\n    ratio = var_q")
    assert "changes its argument mean_q in place" in checks.kl.judge(run(checks.kl, code)).text
    code = SOLUTION["consistency"].replace("return", "z[0] *= 2\n    return")
    assert "changes its argument z in place" in checks.consistency.judge(run(checks.consistency, code)).text


def test_random_numbers_of_its_own_are_named():
    code = SOLUTION["elbo"].replace("* eps", "* torch.randn_like(eps)")
    result = checks.elbo.judge(run(checks.elbo, code))
    assert result.status == WRONG
    assert "it draws random numbers of its own" in result.text
    code = SOLUTION["kl"] + " + 1e-9 * torch.randn(())"
    assert checks.kl.judge(run(checks.kl, code)).status == CORRECT  # below rounding: nobody can tell


@each
def test_judging_leaves_the_global_random_numbers_alone(item):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    texts = [item.judge(run(item, SOLUTION[item.name])).text for _ in range(2)]
    assert torch.equal(before, torch.get_rng_state())
    assert texts[0] == texts[1]


def test_single_precision_where_double_was_given_is_named():
    code = SOLUTION["kl"].replace("ratio = var_q / var_p", "ratio = (var_q / var_p).float()")
    single = checks.kl.judge(run(checks.kl, code.replace("mean_q - mean_p", "mean_q.float() - mean_p.float()")))
    assert single.status in (CORRECT, WRONG)
    assert single.status == CORRECT or "float32 although" in single.text or "float64" in single.text


def test_what_a_property_puts_in_the_place_of_an_input_is_shown():
    code = SOLUTION["x0_from_v"].replace("return ", "return alpha_bar / alpha_bar * (") + ")"
    result = checks.x0_from_v.judge(run(checks.x0_from_v, code))
    assert "A correct answer is −v where there is no signal." in result.text
    assert re.search(r"^With xt = \[[^=]*\]; v = \[[^=]*\]; alpha_bar = 0$", result.text, re.M), result


def test_a_mistake_beyond_the_collection_is_shown_with_the_input():
    result = checks.kl.judge(lambda m, v, n, w: 3 * gaussian.kl(gaussian.Gaussian(m, v), gaussian.Gaussian(n, w)))
    assert "With mean_q = [" in result.text
    assert re.search(r"It gives [\d.]+; right is [\d.]+", result.text)
    assert "This equals" not in result.text


def test_parts_may_come_stacked_in_one_tensor():
    right = lambda slope, m, s, eps: torch.stack([slope(m + s * eps).mean(), (slope(m + s * eps) * eps).mean()])  # noqa: E731
    assert checks.pathwise_gradient.judge(right).status == CORRECT
    wrong = checks.pathwise_gradient.judge(lambda slope, m, s, eps: right(slope, m, s, eps * s / s**2))
    assert wrong.status == WRONG
    log_s = checks.pathwise_gradient.judge(lambda slope, m, s, eps: right(slope, m, s, eps) * torch.stack([s / s, s]))
    assert "Part 2 equals the gradient with respect to log σ. " in log_s.text
    assert (
        "returns one tensor, and 2 are wanted"
        in checks.pathwise_gradient.judge(lambda slope, m, s, eps: torch.zeros(3)).text
    )


def test_a_long_list_of_latents_is_shown_by_its_shape():
    z = [torch.zeros(3, 2)] * 4
    assert core.shown(z) == "(4 tensors of shape (3, 2))"
    assert core.shown(z[:1]) == "[[[0, 0], [0, 0], [0, 0]]]"
    assert core.shown([0.5, "a", torch.zeros(2)]) == "[0.5, 'a', [0, 0]]"


def test_a_message_shows_the_input_that_the_property_asks_for():
    far = checks.noisy_log_prob.judge(
        lambda xt, w, m, v, a: (w * torch.exp(Mixture(w, m, v).log_prob(xt, a.item()).unsqueeze(-1))).sum(-1).log()
    )
    assert "With xt = about 100 in each coordinate; weights" in far.text


@each_written
def test_what_stands_instead_of_an_input_names_one(item):
    names = set(next(item.inputs()))
    for p in item.properties:
        for part in filter(None, p.instead.split("; ")):
            name, _, value = part.partition(" = ")
            assert name in names and value and " = " not in value, part  # noqa: PT018


@each_written
def test_equations_that_are_pointed_to_exist(item):
    known = {
        n for number in numbers() if number <= item.notebook for n in re.findall(r"\\tag\{([\w.]+)\}", text_of(number))
    }
    assert {mistake.equation for mistake in item.mistakes} <= known


def test_random_inputs_are_a_function_of_the_seed():
    a, b = core.Draw(3), core.Draw(3)
    assert torch.equal(a.betas(), b.betas())
    assert not torch.equal(a.normal(4), core.Draw(4).normal(4))
    beta = core.Draw(1, torch.float32).betas()
    assert beta.dtype == torch.float32
    assert beta[0] == 0
    assert math.isclose(core.Draw(2).normal(20_000).std().item(), 1, abs_tol=0.03)
    assert generator(0).initial_seed() == 0
