"""How good is a model? Its bound against the exact entropy, its samples against the exact density.

Every sample distance is meaningless without its noise floor: what it says of two sets of true points of
the same size. Distances are biased V-statistics (never negative), so floors are positive too.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .bound import Bound, Chain, bound, check_points, importance_weighted, log_weights
from .data import Data
from .ddpm import DDPM
from .diffusion import ForwardProcess, L_term, q_marginal
from .gaussian import Gaussian
from .images.ddpm import ImageDDPM
from .likelihood import log_prob_in_steps, log_prob_ode, with_divergence, with_estimated_divergence
from .oracles import Mixture
from .sde import learned_score, probability_flow

Metric = Callable[[Tensor, Tensor], float]


def _mean_over_pairs(x: Tensor, y: Tensor, of_distance: Callable[[Tensor], Tensor]) -> float:
    """The mean over all pairs of a function of their distance, in blocks that fit memory."""
    rows = max(1, 4_000_000 // len(y))
    total = sum(of_distance(torch.cdist(block, y)).double().sum() for block in x.split(rows))
    return float(total) / (len(x) * len(y))


def _two_sample(x: Tensor, y: Tensor, kernel: Callable[[Tensor], Tensor]) -> float:
    """E k(x, x') + E k(y, y') − 2 E k(x, y) over all pairs."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must be (n, D) and (m, D), got {tuple(x.shape)} and {tuple(y.shape)}")
    check_points(x, "x")
    check_points(y, "y")
    x, y = x.float(), y.float()
    return _mean_over_pairs(x, x, kernel) + _mean_over_pairs(y, y, kernel) - 2 * _mean_over_pairs(x, y, kernel)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|x − y| − E|x − x'| − E|y − y'| between points (n, D) and (m, D) (Székely & Rizzo 2013).
    Raises ValueError on shapes that do not fit."""
    return _two_sample(x, y, torch.neg)


def mmd2(x: Tensor, y: Tensor, bandwidths: tuple[float, ...] = (0.1, 0.3, 1.0)) -> float:
    """Squared maximum mean discrepancy with the mean of Gaussian kernels exp(−|x−y|²/2h²)
    (Gretton et al. 2012, eq. 5). Raises ValueError on shapes that do not fit."""

    def kernel(distance: Tensor) -> Tensor:
        square = distance.square()
        total = sum((torch.exp(square / (-2 * h * h)) for h in bandwidths), square.new_zeros(()))
        return total / len(bandwidths)

    return _two_sample(x, y, kernel)


def sliced_wasserstein2(x: Tensor, y: Tensor, directions: int = 200, seed: int = 0) -> float:
    """√ of the mean over random directions of the squared 2-Wasserstein distance of the projections, for
    equal numbers of points (Bonneel et al. 2015). Raises ValueError if x and y differ in shape."""
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"x and y must both be (n, D), got {tuple(x.shape)} and {tuple(y.shape)}")
    check_points(x, "x")
    check_points(y, "y")
    w = torch.randn(x.shape[1], directions, generator=torch.Generator().manual_seed(seed))
    w = w / w.norm(dim=0)
    difference = (x.float() @ w).sort(dim=0).values - (y.float() @ w).sort(dim=0).values
    return math.sqrt(difference.square().mean().item())


def wasserstein1(x: Tensor, y: Tensor) -> float:
    """∫ |F − G| between the distribution functions of numbers x (n,) and y (m,): how far, on average, probability has
    to be moved along the line. Raises ValueError unless both are one-dimensional, finite and not empty."""
    for name, values in (("x", x), ("y", y)):
        if values.ndim != 1 or not len(values) or not bool(values.isfinite().all()):
            raise ValueError(f"{name} must be (n,), finite and not empty, got shape {tuple(values.shape)}")
    edges = torch.cat([x, y]).double().sort().values
    F, G = (torch.searchsorted(v.double().sort().values, edges[:-1], right=True) / len(v) for v in (x, y))
    return ((F - G).abs() * edges.diff()).sum().item()


METRICS: dict[str, Metric] = {
    "energy distance": energy_distance,
    "MMD²": mmd2,
    "sliced W₂": sliced_wasserstein2,
}


@functools.cache
def true_distances(metric: Metric, data: Mixture, n: int, repeats: int = 4, seed: int = 10_000) -> tuple[float, ...]:
    """The metric of `repeats` pairs of independent sets of n true points; kept once computed."""
    pairs = [(data.sample(n, seed + 2 * i), data.sample(n, seed + 2 * i + 1)) for i in range(repeats)]
    return tuple(metric(x, y) for x, y in pairs)


def noise_floor(metric: Metric, data: Mixture, n: int, repeats: int = 4, seed: int = 10_000) -> float:
    """The metric's mean over `repeats` pairs of independent sets of n true points."""
    return sum(true_distances(metric, data, n, repeats, seed)) / repeats


def mean_log_prob(x: Tensor, data: Mixture) -> float:
    """The mean exact log density of the points x (n, D), nats; true points give −H. Raises ValueError if x holds none
    or one that is not finite, as all scores do."""
    check_points(x, "x")
    return data.log_prob(x.double()).mean().item()


@functools.cache
def off_threshold(data: Mixture, quantile: float = 0.001, n: int = 100_000, seed: int = 20_000) -> float:
    """The log density that a share `quantile` of true points fall below, from n of them; kept once computed."""
    return data.log_prob(data.sample(n, seed)).quantile(quantile).item()


def outlier_share(x: Tensor, data: Mixture, quantile: float = 0.001) -> float:
    """The share of the points x (n, D) whose exact log density lies below the `quantile` of true points':
    for true points it is `quantile`."""
    check_points(x, "x")
    return (data.log_prob(x.double()) < off_threshold(data, quantile)).double().mean().item()


def compare_samples(x: Tensor, data: Mixture, seed: int = 30_000) -> dict[str, float]:
    """Each distance of x (n, D) from a fresh true set, as a multiple of its noise floor; the mean exact log
    density; and the share off the data."""
    truth = data.sample(len(x), seed)
    ratios = {name: f(x, truth) / noise_floor(f, data, len(x)) for name, f in METRICS.items()}
    return ratios | {"mean log p": mean_log_prob(x, data), "share off": outlier_share(x, data)}


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean of values (n,) and its standard error."""
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


@torch.no_grad()
def score_chain(
    x: Tensor, chain: Chain, generator: torch.Generator | None = None, block: int = 5000, progress: bool = False
) -> Bound:
    """`bound.bound` without gradients, in blocks of points: every term for every point of x (n, D)."""
    blocks = tqdm(x.split(block), desc="bound, in blocks", disable=not progress)
    parts = [bound(part, chain, generator) for part in blocks]
    return Bound(
        torch.cat([b.reconstruction for b in parts]),
        torch.cat([b.consistency for b in parts], dim=1),
        torch.cat([b.prior for b in parts]),
    )


def gap(b: Bound, log_p: Tensor) -> tuple[float, float]:
    """E[log p(x) − ELBO] and its standard error, nats, over the same points. With the model's own log p it is the gap,
    the bound's looseness; with the data's it is the distance to H, far less noisy than −ELBO − H, because the noise
    of x cancels."""
    return mean_and_error(log_p.double() - b.elbo.double())


@torch.no_grad()
def terms_by_t(
    x: Tensor,
    chain: ForwardProcess,
    per_t: int = 100,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """L₀, L₁, …, L_{T−1}, L_T of a diffusion model on x (n, D), each averaged over its own `per_t` of the points, and
    their standard errors; both (T + 1,), nats, float64. The points are dealt out like cards, so the terms together see
    them all if per_t · T ≥ n. With a thousand steps that is a thousand small means, whose errors hardly matter in the
    sum. Raises ValueError if per_t is not in 2 … n."""
    if not 2 <= per_t <= len(x):
        raise ValueError(f"per_t must be in 2 … {len(x)}, the number of points, got {per_t}")
    order = torch.arange(chain.schedule.T * per_t) % len(x)
    order = torch.randperm(len(x), generator=generator)[order].split(per_t)
    terms = []
    for t, chosen in enumerate(tqdm(order, desc="terms of the bound", disable=not progress), start=1):
        x0 = x[chosen]
        xt = q_marginal(chain.schedule, t, x0).sample(generator)
        terms.append(L_term(chain.schedule, t, x0, xt, chain.p(t - 1, xt)).double())
    summary = [mean_and_error(term) for term in (*terms, chain.schedule.L_T(x).double())]
    means, errors = torch.tensor(summary, dtype=torch.float64).T
    return means, errors


@torch.no_grad()
def importance_gain(
    x: Tensor, chain: Chain, K: int, generator: torch.Generator | None = None, chunk: int = 2000
) -> tuple[float, float]:
    """How many nats the bound gains by K importance samples, E[log (1/K) Σ w_k − (1/K) Σ log w_k] over x (n, D), and
    its standard error. Points differ by tens of nats, their gains by a few: the bound on all points and the gain on
    some give −log p more exactly than importance sampling on those alone. At most `chunk` chains at a time."""
    log_w = torch.cat([log_weights(part, chain, K, generator, chunk) for part in x.split(max(1, chunk // K))], dim=1)
    return mean_and_error(importance_weighted(log_w.double()) - log_w.double().mean(0))


def report(
    chain: Chain, data: Data, n: int = 10_000, seed: int = 1_000_000, K: int = 0, progress: bool = False
) -> dict[str, float]:
    """The bound's terms on n fresh points in nats, `neg_elbo` and its standard error; on the swiss roll also
    `entropy` and the paired `gap` with its standard error; on images `bits_per_dim`, and with K > 0 `iw_nll`, the
    importance-weighted −log P: the bound on all n less the gain by K samples on 200 of them. A diffusion model of
    images is scored by `terms_by_t`, n/100 of the images for each t."""
    x = data.sample_test(n, seed)
    x, generator, out = x.to(chain.prior().mean), torch.Generator().manual_seed(seed), dict[str, float](n=n)
    if data.shape and isinstance(chain, ForwardProcess):
        terms = _diffusion_terms(x, chain, generator, progress)
    else:
        b = score_chain(x, chain, generator, block=1000 if x.shape[1] > 100 else 5000, progress=progress)
        named = {"reconstruction": b.reconstruction, "consistency": b.consistency.sum(0), "prior": b.prior}
        terms = {name: mean_and_error(value.double()) for name, value in {**named, "neg_elbo": -b.elbo}.items()}
    for name, (value, error) in terms.items():
        out[name], out[f"{name}_se"] = value, error
    if data.shape is None:
        out["entropy"] = data.entropy()
        out["gap"], out["gap_se"] = gap(b, data.log_prob(x.double()).to(b.elbo.device))
        return out
    if K:
        some = torch.randperm(len(x), generator=generator)[:200]  # the first of MNIST's test images are the easier ones
        gain, error = importance_gain(x[some], chain, K, generator)
        out["K"], out["iw_nll"] = K, out["neg_elbo"] - gain
        out["iw_nll_se"] = math.hypot(out["neg_elbo_se"], error)
    return out | {"bits_per_dim": data.bits_per_dim(out["neg_elbo"])}


def ode_report(model: DDPM, data: Data, n: int = 10_000, seed: int = 1_000_000) -> dict[str, float]:
    """`nll_ode`, the −log p of n fresh points by the network's probability flow, in nats, with its standard error.

    On the roll the divergence is exact, and `ode_gap` is the paired distance to the truth. Of images n/100 are taken,
    as `image_log_p` says; of grey levels `nll_ode` is an upper bound on −log P, and `ode_bits_per_dim` on the bits.
    """
    x = data.sample_test(n, seed).double()
    if data.shape is None:
        flow = with_divergence(probability_flow(learned_score(model)))
        ends = _ends(model)
        log_p = torch.cat([log_prob_ode(flow, part, *ends, rtol=1e-5).log_p for part in x.split(1000)])
        return _with_error("nll_ode", -log_p) | _with_error("ode_gap", data.log_prob(x) - log_p)
    out = _with_error("nll_ode", -image_log_p(model, x[: max(2, n // 100)], torch.Generator().manual_seed(seed)))
    return out | {"ode_bits_per_dim": data.bits_per_dim(out["nll_ode"])}


def image_log_p(model: DDPM, x: Tensor, generator: torch.Generator, steps: int = 100) -> Tensor:
    """log p of images x (n, D), float64, by the network's probability flow, its divergence estimated with random signs,
    in steps of Heun even in log SNR: (n,), nats.

    An ImageDDPM's grey levels become points by the chain's own first step, and p(x₀|x₁) takes them back. On average
    that is a bound: log P ≥ E_q[log p(x₀|x₁) + log p_ode(x₁) − log q(x₁|x₀)].
    """

    def signs(x: Tensor) -> Tensor:
        return torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1

    y, kept = x, 0.0
    if isinstance(model, ImageDDPM):
        blurred = Gaussian(x, 1 / model.schedule.snr[1])  # q of y = x₁/√ᾱ₁, whose density the flow gives
        y = blurred.sample(generator)
        last = model.chain().p(0, (model.schedule.alpha_bar[1].sqrt() * y).float())
        kept = last.log_prob(x.float()).double() - blurred.log_prob(y)
    flow = with_estimated_divergence(probability_flow(learned_score(model)), signs)
    return log_prob_in_steps(flow, y, torch.linspace(*_ends(model), steps + 1, dtype=torch.float64)) + kept


def _ends(model: DDPM) -> tuple[float, float]:
    """The λ between which a model's flow is followed: from its cleanest level to where next to nothing is left."""
    log_snr = model.schedule.log_snr
    return (1 - 1e-6) * log_snr[1].item(), max(log_snr[-1].item(), math.log(5e-4 / model.dim))


def _with_error(name: str, values: Tensor) -> dict[str, float]:
    """The mean of values (n,) under that name, and its standard error under the name with _se."""
    mean, error = mean_and_error(values)
    return {name: mean, f"{name}_se": error}


def _diffusion_terms(
    x: Tensor, chain: ForwardProcess, generator: torch.Generator, progress: bool
) -> dict[str, tuple[float, float]]:
    """The bound's terms under the names that `report` gives them, each with its standard error."""
    means, errors = terms_by_t(x, chain, max(2, len(x) // 100), generator, progress)

    def total(part: slice, sign: int) -> tuple[float, float]:
        return sign * means[part].sum().item(), errors[part].square().sum().sqrt().item()

    return {
        "reconstruction": total(slice(1), -1),
        "consistency": total(slice(1, -1), -1),
        "prior": total(slice(-1, None), -1),
        "neg_elbo": total(slice(None), 1),
    }
