"""The truth, at every noise level: mixtures of Gaussians stay mixtures when noise is added.

If x₀ ~ Σ_k w_k N(m_k, v_k) and x_t = √ᾱ x₀ + √(1−ᾱ) ε, then

    p(x_t) = Σ_k w_k N(x_t; √ᾱ m_k, ᾱ v_k + 1 − ᾱ)

and its log, its gradient (the score), E[x₀|x_t] and E[ε|x_t] are finite sums. One Gaussian is a
mixture with K = 1; a curve smeared by noise is an integral over components, and Gauss–Legendre
quadrature turns it into a finite mixture without visible error (see data.SwissRoll).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .gaussian import LOG_2PI

MOST_TERMS = 2e9  # points of a grid times components: about half a minute
Denoiser = Callable[..., Tensor]  # (x_t, t) → the predicted x₀, like x_t


class Mixture:
    """Σ_k w_k N(m_k, diag v_k), exact before and after diffusion. Sums run in float64;
    results come back in the dtype of the points passed in, so pass float64 to keep it.

    weights: (K,), positive, normalised here. means: (K, D). variances: (K, D) or broadcastable.
    Raises ValueError on shapes that do not fit and on weights or variances that are not positive.
    """

    def __init__(self, weights, means, variances):
        as64 = lambda a: torch.as_tensor(a, dtype=torch.float64)  # noqa: E731
        weights, means, variances = as64(weights), as64(means), as64(variances)
        if means.ndim != 2 or weights.shape != means.shape[:1]:
            raise ValueError(
                f"means must be (K, D) and weights (K,), got {tuple(means.shape)} and {tuple(weights.shape)}"
            )
        if not bool((weights > 0).all()) or not bool((variances > 0).all()):
            raise ValueError("weights and variances must be positive")
        self.weights = weights / weights.sum()
        self.means = means
        self.variances = variances.expand(means.shape)

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n points, (n, D), float64, a function of the seed alone."""
        generator = torch.Generator().manual_seed(seed)
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        eps = torch.randn(n, self.dim, dtype=torch.float64, generator=generator)
        return self.means[k] + self.variances[k].sqrt() * eps

    def at_noise(self, alpha_bar: float) -> "Mixture":
        """A mixture with the same law of x_t at this ᾱ, perhaps of fewer components."""
        return self

    def log_prob(self, xt: Tensor, alpha_bar: float = 1.0) -> Tensor:
        """log p(x_t) at noise level ᾱ (1: clean data), shape (...), nats per data point."""
        return self._by_chunks(lambda x: self._log_joint(x, alpha_bar).logsumexp(-1), xt, alpha_bar)

    def x0_mean(self, xt: Tensor, alpha_bar: float) -> Tensor:
        """E[x₀ | x_t], shape (..., D): per component the Gaussian posterior mean, averaged with p(k | x_t)."""

        def chunk(x):
            gain = alpha_bar**0.5 * self.variances / self._var(alpha_bar)  # (K, D)
            r = self._log_joint(x, alpha_bar).softmax(-1)  # p(k | x_t)
            return r @ (self.means * (1 - alpha_bar**0.5 * gain)) + x * (r @ gain)

        return self._by_chunks(chunk, xt, alpha_bar)

    def score(self, xt: Tensor, alpha_bar: float = 1.0) -> Tensor:
        """∇ log p(x_t), shape (..., D): the average over p(k | x_t) of (√ᾱ m_k − x_t)/(ᾱ v_k + 1 − ᾱ)."""

        def chunk(x):
            precision = 1 / self._var(alpha_bar)
            r = self._log_joint(x, alpha_bar).softmax(-1)
            return r @ (alpha_bar**0.5 * self.means * precision) - x * (r @ precision)

        return self._by_chunks(chunk, xt, alpha_bar)

    def x0_cov(self, xt: Tensor, alpha_bar: float) -> Tensor:
        """Cov[x₀ | x_t], shape (..., D, D): within the components, plus between their posterior means."""

        def chunk(x):
            gain = self.variances * alpha_bar**0.5 / self._var(alpha_bar)  # (K, D)
            r = self._log_joint(x, alpha_bar).softmax(-1)  # p(k | x_t), (n, K)
            mean = self.means * (1 - alpha_bar**0.5 * gain) + x.unsqueeze(1) * gain  # E[x₀ | x_t, k], (n, K, D)
            centred = mean - (r.unsqueeze(-1) * mean).sum(1, keepdim=True)
            within = r @ (self.variances * (1 - alpha_bar**0.5 * gain))
            return within.diag_embed() + torch.einsum("nk,nki,nkj->nij", r, centred, centred)

        return self._by_chunks(chunk, xt, alpha_bar)

    def score_divergence(self, xt: Tensor, alpha_bar: float = 1.0) -> tuple[Tensor, Tensor]:
        """∇ log p(x_t), (..., D), and its divergence ∇·∇ log p(x_t), (...): with s_k the score of component k,
        ∇·s = E_k[|s_k|² − Σ_d 1/v_d] − |E_k s_k|²."""

        def chunk(x):
            precision = 1 / self._var(alpha_bar)
            r = self._log_joint(x, alpha_bar).softmax(-1)
            score, divergence = [], -(r @ precision.sum(-1))
            for m, x_d, p in zip(self.means.T, x.T, precision.T, strict=True):  # a third of the time of (n, K, D)
                s_k = (alpha_bar**0.5 * m - x_d.unsqueeze(-1)) * p
                score.append((r * s_k).sum(-1))
                spread = (s_k - score[-1].unsqueeze(-1)).square()  # never a difference of large squares
                divergence += (r * spread).sum(-1)
            return torch.stack([*score, divergence], dim=-1)

        both = self._by_chunks(chunk, xt, alpha_bar)
        return both[..., :-1], both[..., -1]

    def conditional(self, known: Tensor) -> "Mixture":
        """p(the other coordinates | those that are known) for `known` (D,), NaN where a coordinate is not known: the
        same components in fewer dimensions, weighted by how well each explains what is known.

        Raises ValueError if `known` is not (D,) or if none or all of its coordinates are NaN.
        """
        known = torch.as_tensor(known, dtype=torch.float64)
        if known.shape != (self.dim,) or not 0 < int(known.isnan().sum()) < self.dim:
            raise ValueError(
                f"known must be ({self.dim},) with some coordinates NaN and some not, got {known.tolist()}"
            )
        free = known.isnan()
        mean, var = self.means[:, ~free], self.variances[:, ~free]
        log_w = self.weights.log() - 0.5 * ((known[~free] - mean) ** 2 / var + var.log()).sum(-1)
        weights = (log_w - log_w.max()).exp().clamp(min=torch.finfo(torch.float64).tiny)  # exp must not end at 0
        return Mixture(weights, self.means[:, free], self.variances[:, free])

    def eps_mean(self, xt: Tensor, alpha_bar: float) -> Tensor:
        """E[ε | x_t] = −√(1−ᾱ) ∇ log p(x_t), shape (..., D) (Tweedie; Efron 2011)."""
        return -((1 - alpha_bar) ** 0.5) * self.score(xt, alpha_bar)

    def entropy(self, alpha_bar: float = 1.0) -> float:
        """H = −∫ p log p in nats, for D = 1 or 2, by the trapezoidal rule on a grid of half the
        smallest standard deviation: for sums of Gaussians its error is beyond float64.

        Raises ValueError for D > 2.
        """
        points, cell = self._grid(alpha_bar, spacing=0.5)
        log_p = self.log_prob(points, alpha_bar)
        return -(log_p.exp() * log_p).sum().item() * cell

    def x0_mse(self, alpha_bar: float, spacing: float = 0.4) -> float:
        """The exact denoiser's error E|x₀ − E[x₀|x_t]|²/D at ᾱ in (0, 1), by the trapezoidal rule on a grid of
        `spacing` times the smallest standard deviation of x_t, for D = 1 or 2 (ValueError else).

        At much noise as E|x₀|² − E|E[x₀|x_t]|², at little as (1−ᾱ)/ᾱ (D − E|E[ε|x_t]|²): neither subtracts
        nearly equal numbers.
        """
        points, cell = self._grid(alpha_bar, spacing)
        p = cell * self.log_prob(points, alpha_bar).exp()
        second = lambda guess: (p @ guess.square()).sum().item() / self.dim  # noqa: E731
        if alpha_bar < 0.5:
            square = (self.weights @ (self.means**2 + self.variances)).sum().item() / self.dim
            return square - second(self.x0_mean(points, alpha_bar))
        return (1 - alpha_bar) / alpha_bar * (1 - second(self.eps_mean(points, alpha_bar)))

    def _grid(self, alpha_bar: float, spacing: float) -> tuple[Tensor, float]:
        """Points (n, D) that cover x_t, `spacing` of its smallest standard deviations apart, and their cell's size."""
        if self.dim > 2:
            raise ValueError(f"a grid covers D = 1 or 2 dimensions, not D = {self.dim}")
        sd = self._var(alpha_bar).sqrt()
        low = (alpha_bar**0.5 * self.means - 8 * sd).amin(0)
        high = (alpha_bar**0.5 * self.means + 8 * sd).amax(0)
        step = sd.min().item() * spacing
        terms = math.prod((b - a) / step for a, b in zip(low.tolist(), high.tolist(), strict=True)) * len(self.weights)
        if terms > MOST_TERMS:
            raise ValueError(
                f"a grid this fine has {terms:.0e} terms, more than {MOST_TERMS:.0e}: the smallest standard deviation "
                f"is {sd.min():.2g}. Take the mean of log_prob over many points of sample instead, or more noise"
            )
        axes = [torch.arange(a, b, step, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        cell = math.prod((axis[1] - axis[0]).item() for axis in axes)
        return torch.cartesian_prod(*axes).reshape(-1, self.dim), cell

    def _var(self, alpha_bar: float) -> Tensor:
        return alpha_bar * self.variances + (1 - alpha_bar)

    def _log_joint(self, x: Tensor, alpha_bar: float) -> Tensor:
        """log w_k + log N(x; √ᾱ m_k, ᾱ v_k + 1 − ᾱ), (n, K), the square written out as matrix products."""
        var, mean = self._var(alpha_bar), alpha_bar**0.5 * self.means
        quadratic = x**2 @ (1 / var).T - 2 * x @ (mean / var).T + (mean**2 / var).sum(-1)
        return self.weights.log() - 0.5 * (quadratic + (LOG_2PI + var.log()).sum(-1))

    def _by_chunks(self, fn, xt: Tensor, alpha_bar: float) -> Tensor:
        if not 0 <= alpha_bar <= 1:
            raise ValueError(f"alpha_bar must lie in [0, 1], got {alpha_bar}")
        if xt.shape[-1] != self.dim:
            raise ValueError(f"xt must have shape (..., {self.dim}), got {tuple(xt.shape)}")
        flat = xt.reshape(-1, self.dim).to("cpu", torch.float64)
        # Below a megabyte: it is faster, and called a thousand times by a bound, large ones leave gigabytes unreturned
        out = torch.cat([fn(x) for x in flat.split(max(1, 100_000 // len(self.means)))])
        return out.reshape((*xt.shape[:-1], *out.shape[1:])).to(xt)


def gaussian(mean, variance) -> Mixture:
    """N(mean, diag variance) as a mixture of one, with `mean` and `variance` of shape (D,)."""
    mean = torch.as_tensor(mean, dtype=torch.float64)
    return Mixture(torch.ones(1), mean[None], torch.as_tensor(variance, dtype=torch.float64).expand(mean.shape)[None])


def exact_denoiser(data: Mixture, alpha_bar: Tensor) -> Denoiser:
    """The best possible denoiser (x_t, t) → E[x₀|x_t] at the noise levels `alpha_bar` (T + 1,).

    t is an integer, or an integer per data point (n,). At a number λ = log SNR it is data.x0_mean(x_t, sigmoid(λ)).
    """

    def x0_hat(xt: Tensor, t: int | Tensor) -> Tensor:
        if not isinstance(t, Tensor) or t.ndim == 0:
            return data.x0_mean(xt, float(alpha_bar[int(t)]))
        out = torch.empty_like(xt)
        for one in t.unique():
            out[t == one] = data.x0_mean(xt[t == one], float(alpha_bar[one]))
        return out

    return x0_hat
