"""The one bound: a Markov chain of latents, read backwards.

    log p(x) ≥ E_q [ log p(x|z₁) ]                                       reconstruction
             + Σ_{t=1}^{T−1} E_q [ log p(z_t|z_{t+1}) − log q(z_t|z_{t−1}) ]   consistency
             + E_q [ log p(z_T) − log q(z_T|z_{T−1}) ],   z₀ = x         prior matching

A VAE is a chain with T = 1, a hierarchical VAE has a few levels, a diffusion model a
thousand; nothing in this file knows which it is scoring. Each term is a log ratio at
sampled latents, so each is an unbiased estimate, in nats per data point.
"""

import math
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from .gaussian import holds


class Distribution(Protocol):
    """What the bound needs of q and p, and their mean: `gaussian.Gaussian` is one."""

    @property
    def mean(self) -> Tensor: ...

    def log_prob(self, x: Tensor) -> Tensor: ...

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor: ...


class Chain(Protocol):
    """A model of x with latents z₁ … z_T, where T = `levels` and z₀ = x."""

    @property
    def levels(self) -> int: ...

    def q(self, t: int, z_prev: Tensor) -> Distribution:
        """q(z_t | z_{t−1}) for t = 1 … T."""
        ...

    def p(self, t: int, z_next: Tensor) -> Distribution:
        """p(z_t | z_{t+1}) for t = 0 … T−1; t = 0 is the decoder p(x | z₁)."""
        ...

    def prior(self) -> Distribution:
        """p(z_T) of one data point, shape (D,)."""
        ...


@dataclass(frozen=True)
class Bound:
    """The terms of the bound, nats per data point; their sum is the ELBO.

    reconstruction (...), consistency (T − 1, ...), prior (...), for x of shape (..., D).
    """

    reconstruction: Tensor
    consistency: Tensor
    prior: Tensor

    @property
    def elbo(self) -> Tensor:
        return self.reconstruction + self.consistency.sum(0) + self.prior

    def mean(self) -> dict[str, float]:
        """Each named term averaged over the data points, consistency_1 … consistency_{T−1} included."""
        terms = {"reconstruction": self.reconstruction.mean().item()}
        terms |= {f"consistency_{t}": c.mean().item() for t, c in enumerate(self.consistency, start=1)}
        return terms | {"prior": self.prior.mean().item()}


def bound(x: Tensor, chain: Chain, generator: torch.Generator | None = None) -> Bound:
    """One sample of every term of the bound for each data point of x, shape (..., D).

    Source: Kingma & Welling 2014, eq. 3 (T = 1); Sohl-Dickstein et al. 2015, eq. 10 (any T).
    Raises ValueError if x is not floating point or holds a NaN.
    """
    check_points(x)
    z_prev, log_p, log_q = x, [], []
    for t in range(1, chain.levels + 1):
        q = chain.q(t, z_prev)
        z = q.sample(generator)
        log_q.append(q.log_prob(z))  # log q(z_t | z_{t−1})
        log_p.append(chain.p(t - 1, z).log_prob(z_prev))  # log p(z_{t−1} | z_t)
        z_prev = z
    reconstruction, *log_p_between = log_p
    consistency = [p - q for p, q in zip(log_p_between, log_q[:-1], strict=True)]
    return Bound(
        reconstruction=reconstruction,
        consistency=torch.stack(consistency) if consistency else reconstruction.new_zeros(0, *x.shape[:-1]),
        prior=chain.prior().log_prob(z) - log_q[-1],
    )


def log_weights(
    x: Tensor, chain: Chain, K: int, generator: torch.Generator | None = None, chunk: int = 100_000
) -> Tensor:
    """K independent samples of log w = log p(x, z) − log q(z|x) per data point, shape (K, ...).

    At most `chunk` chains are held in memory at a time.
    Raises ValueError if K < 1.
    """
    if K < 1:
        raise ValueError(f"K, the number of importance samples, must be at least 1, got {K}")
    at_once = max(1, min(K, chunk // max(1, x[..., 0].numel())))
    sizes = [at_once] * (K // at_once) + [K % at_once] * (K % at_once > 0)
    return torch.cat([bound(x.expand(k, *x.shape), chain, generator).elbo for k in sizes])


def importance_weighted(log_w: Tensor) -> Tensor:
    """log (1/K) Σ_k w_k from the K log weights along the first axis: a lower bound on log p(x) in
    expectation, which rises to it with K (Burda et al. 2016, eq. 8). Nats per data point."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def generate(chain: Chain, n: int, generator: torch.Generator | None = None) -> Tensor:
    """n samples of the model, (n, D): z_T from the prior, then down the chain to x, decoder noise included.

    Raises ValueError if n < 1.
    """
    if n < 1:
        raise ValueError(f"n, the number of samples, must be at least 1, got {n}")
    z = chain.prior().sample(generator, shape=(n,))
    for t in reversed(range(chain.levels)):
        z = chain.p(t, z).sample(generator)
    return z


class Model(nn.Module):
    """A model that `bound` scores: VAE, HVAE and DDPM."""

    def chain(self) -> Chain:
        """The model as a chain for `bound`; one that is a chain is its own."""
        return cast(Chain, self)

    def generate(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n samples, (n, D), down the whole chain, see `bound.generate`."""
        return generate(self.chain(), n, generator)


def check_points(x: Tensor, name: str = "x") -> None:
    """ValueError unless x is a tensor of finite floating-point data points (..., D), at least one of them."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 1:
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} must be a floating-point tensor (..., D), got {got}")
    if x.numel() == 0:
        raise ValueError(f"{name} must hold at least one point, got none")
    finite = torch.isfinite(x).all(-1)
    if not holds(finite):
        broken = f"{int((~finite).sum()):,} of {finite.numel():,} points"
        raise ValueError(f"{name} must be finite, got a NaN or an infinity in {broken}")
