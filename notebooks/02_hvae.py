# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The hierarchical VAE: what do more levels buy?
#
# The VAE of notebook 01 makes a point from a latent in one leap. A *hierarchical* VAE takes several smaller steps: a
# chain of latents, each made from the next one up. Its bound is the one bound of this course. A VAE is the chain with
# one step, and the diffusion model of notebook 03 is the chain with a thousand.
#
# **The question.** What do more levels buy, in nats? And which of them does a trained model use?
#
# **Afterwards you can**
# - derive the bound for two latents and for $T$, and read it as a function of ten lines,
# - check that function against an exact $\log p_\theta(x)$,
# - say why the "consistency KL" of many tutorials is not the term it stands for, and by how much it is off,
# - find out which levels of a trained model are used, and what each of them is worth.
#
# **Time** about 75 minutes to read, and 50 for the exercises, both estimates. All cells run in about a minute on two
# cores. **You need** notebooks 00 and 01.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import torch

from diffusion_edu import (
    bound, checks, evaluate, gaussian, plots, pretrained, training, widgets
)
from diffusion_edu.data import SwissRoll
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.hvae import HVAE

plots.use_style()

# %% [markdown]
# One level needs minutes of training and three need more, so these models come with the library: chains of 1, 2 and 3 levels,
# each trained from three seeds for 12,000 steps of 512 points (`tools/roll_chains.py`). The VAE of
# notebook 01 had as many. Here is one with three levels.

# %%
roll = SwissRoll()
H, x = roll.entropy(), roll.sample(10_000, seed=2)
trained = {
    (T, seed): pretrained.roll_chain(T, seed) for T in (1, 2, 3)
    for seed in (0, 1, 2)
}
hvae = trained[3, 0]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# The upper row below is the way from data to noise. Each data point $x$, coloured by its place $u$ along the roll, is given a latent
# $z_1$, that one a latent $z_2$, and that one a latent $z_3$. The lower row is the way back: noise becomes a roll in
# three steps, from right to left. In a perfect model the two clouds of each column would agree. In the code
# `hvae.q(t, z)` makes level $t$ from the level below it, and `hvae.p(t, z)` makes level $t$ from the level above.
# Level 0 is $x$.

# %% mystnb={"image": {"alt": "Data become noise in three steps, and noise becomes data. Upper row, left to right: the swiss roll coloured by place, then its latents on levels one, two and three, which look more and more like a round blob. Lower row, right to left: a round Gaussian blob that becomes a spiral in three steps."}}
x_u, u = roll.sample_with_u(4000, seed=3)
up, down = [x_u.float()], [hvae.prior().sample(seeded(4), shape=(4000,))]
for t in (1, 2, 3):
    up.append(hvae.q(t, up[-1]).sample(seeded(t)))
    down.append(hvae.p(3 - t, down[-1]).sample(seeded(t)))
axes = plots.axes_row(4, rows=2)
for t, name in enumerate(["x", "z₁", "z₂", "z₃"]):
    plots.points(
        up[t], axes[t], color=u, title=f"{name} from q" if t else "x, the data",
        limit=3.2, plane=name)
    plots.points(
        down[3 - t], axes[4 + t], color=plots.MODEL, title=f"{name} from p",
        limit=3.2, plane=name)
_ = plots.plt.colorbar(
    axes[0].collections[0], ax=axes[:4], label="u", shrink=0.7)

# %% [markdown]
# ## 1 Two latents, and how to factorise them
#
# A model with two latents is a joint density $p(x, z_1, z_2)$. The product rule splits any joint density, in any order
# and with no assumption. From the top down it reads $p(z_2)\, p(z_1 \mid z_2)\, p(x \mid z_1, z_2)$. We are free to
# assume more, and we do: $x$ depends on $z_1$ alone.
#
# $$ p(x, z_1, z_2) = p(z_2)\, p(z_1 \mid z_2)\, p(x \mid z_1). \tag{2.1} $$
#
# We also need a $q$ that guesses both latents from $x$. Again any order is allowed. We go from the bottom up, and
# again drop one dependence:
#
# $$ q(z_1, z_2 \mid x) = q(z_1 \mid x)\, q(z_2 \mid z_1). \tag{2.2} $$
#
# - $p(z_2) = N(0, I)$: the prior of the top level. It has no parameters.
# - $p(z_1 \mid z_2)$, $p(x \mid z_1)$: two decoders. Each is a Gaussian whose mean and variance come from a network.
# - $q(z_1 \mid x)$, $q(z_2 \mid z_1)$: two encoders, made in the same way.
#
# All have parameters, $\theta$ in $p$ and $\phi$ in $q$. We write them only in $p_\theta(x)$, the model's density of a point;
# $p(x)$ is the data's.
#
# This is the *Markov* choice: each variable speaks only with its neighbours. It is the choice of Turner (2021), and
# we make it because diffusion makes it. Others condition more. The ladder VAE (Sønderby et al. 2016) and its large
# descendants (Vahdat & Kautz 2020; Child 2021) go from the top down in $q$ as well,
# $q(z_2 \mid x)\, q(z_1 \mid z_2, x)$.
#
# ## 2 The bound for two latents
#
# The derivation is (1.5) again with $(z_1, z_2)$ in place of $z$. Integrate the latents out, put $q$ in, and use
# Jensen's inequality:
#
# $$ \begin{aligned}
# \log p_\theta(x) &= \log \iint p(x, z_1, z_2)\, dz_1\, dz_2 \\
# &= \log\, \mathbb{E}_{q(z_1, z_2 \mid x)}\left[ \frac{p(x, z_1, z_2)}{q(z_1, z_2 \mid x)} \right] \\
# &\ge \mathbb{E}_{q(z_1, z_2 \mid x)}\left[ \log \frac{p(x, z_1, z_2)}{q(z_1, z_2 \mid x)} \right].
# \end{aligned} \tag{2.3} $$
#
# So far no factorisation was used: (2.3) holds for every one. Now insert (2.1) and (2.2). The fraction is a product,
# so its log is a sum. Pair each $q$ with the $p$ of *the same variable*:
#
# $$ \begin{aligned}
# \mathrm{ELBO}(x) &= \mathbb{E}_{q(z_1, z_2 \mid x)}\left[ \log \frac{p(x \mid z_1)\, p(z_1 \mid z_2)\, p(z_2)}{q(z_1 \mid x)\, q(z_2 \mid z_1)} \right] \\
# &= \underbrace{\mathbb{E}_q\big[ \log p(x \mid z_1) \big]}_{\text{reconstruction}} + \underbrace{\mathbb{E}_q\left[ \log \frac{p(z_1 \mid z_2)}{q(z_1 \mid x)} \right]}_{\text{consistency}} \\
# &\quad {} + \underbrace{\mathbb{E}_q\left[ \log \frac{p(z_2)}{q(z_2 \mid z_1)} \right]}_{\text{prior matching}}.
# \end{aligned} \tag{2.4} $$
#
# All three expectations are under $q(z_1, z_2 \mid x)$. The middle one asks whether the two ways to make $z_1$ agree:
# from below by the encoder, from above by the decoder. Hence its name.

# %%
torch.manual_seed(0)
two, x8 = HVAE(levels=2).double().requires_grad_(False), roll.sample(8, seed=5)
z1 = two.q(1, x8).sample(seeded(1))
z2 = two.q(2, z1).sample(seeded(2))
# (2.1)
log_p = (two.prior().log_prob(z2) + two.p(1, z2).log_prob(z1)
         + two.p(0, z1).log_prob(x8))
log_q = two.q(1, x8).log_prob(z1) + two.q(2, z1).log_prob(z2)  # (2.2)

reconstruction = two.p(0, z1).log_prob(x8)
consistency = two.p(1, z2).log_prob(z1) - two.q(1, x8).log_prob(z1)
prior = two.prior().log_prob(z2) - two.q(2, z1).log_prob(z2)
# (2.4)
torch.testing.assert_close(reconstruction + consistency + prior, log_p - log_q)

# %% [markdown]
# The middle term is a mean log ratio. It is not the "KL divergence between each inference layer and its prior" that many texts
# make of it. Section 5 is about that.
#
# ## 3 The bound for $T$ levels
#
# Call the data $z_0 = x$. With $T$ latents (2.1) and (2.2) become $p(z_T) \prod_{t=0}^{T-1} p(z_t \mid z_{t+1})$ and
# $\prod_{t=1}^{T} q(z_t \mid z_{t-1})$. The steps of (2.3) and (2.4) do not change. Every latent between the ends
# gives one consistency term:
#
# $$ \begin{aligned}
# \log p_\theta(x) \;\ge\; & \underbrace{\mathbb{E}_q\big[ \log p(x \mid z_1) \big]}_{\text{reconstruction}} \\
# &+ \sum_{t=1}^{T-1} \underbrace{\mathbb{E}_q\big[ \log p(z_t \mid z_{t+1}) - \log q(z_t \mid z_{t-1}) \big]}_{\text{consistency } t} \\
# &+ \underbrace{\mathbb{E}_q\big[ \log p(z_T) - \log q(z_T \mid z_{T-1}) \big]}_{\text{prior matching}}.
# \end{aligned} \tag{2.5} $$
#
# This is the one bound of the course. With $T = 1$ the sum is empty, and what is left is the ELBO (1.9) of the VAE. Only the last level
# meets the prior.

# %% [markdown]
# **Exercise: one draw of a consistency term.** *8 minutes, easy.*
#
# Write one draw of consistency $t$ of (2.5), with the sign that it has in the bound. `z` is a list with $z_0 = x, z_1, \dots, z_T$, drawn from $q$; `chain.p(t, z_next)` is
# $p(z_t \mid z_{t+1})$ and `chain.q(t, z_prev)` is $q(z_t \mid z_{t-1})$, both with `.log_prob(...)`. Return one
# number per data point.

# %%
def my_consistency(chain, z, t):
    """One draw of consistency t of the bound (2.5), for a list z of latents
    drawn from q."""
    return ...


checks.consistency(my_consistency)

# %% [markdown]
# <details><summary>Hint 1: one draw of a consistency term</summary>
#
# Two densities of the *same* variable, at the same drawn value. Which variable?
#
# </details>
#
# <details><summary>Hint 2: one draw of a consistency term</summary>
#
# $z_t$ was made from $z_{t-1}$ on the way up, and $z_{t+1}$ was made from this $z_t$. Nothing is averaged here: two
# values of `log_prob`, one minus the other.
#
# </details>
#
# <details><summary>Solution: one draw of a consistency term</summary>
#
# ```python
# def my_consistency(chain, z, t):
#     """One draw of consistency t of the bound (2.5), for a list z of latents
#     drawn from q."""
#     log_p = chain.p(t, z[t + 1]).log_prob(z[t])
#     log_q = chain.q(t, z[t - 1]).log_prob(z[t])
#     return log_p - log_q
# ```
#
# </details>

# %% [markdown]
# Draw the chain from the bottom up, then evaluate the terms in the equation's order.


# %%
def bound_by_hand(x, chain, generator):
    """One sample of each term of (2.5): reconstruction, the list of consistency
    terms, prior matching."""
    T, z = chain.levels, [x]
    for t in range(1, T + 1):
        z.append(chain.q(t, z[t - 1]).sample(generator))

    reconstruction = chain.p(0, z[1]).log_prob(x)
    consistency = [
        chain.p(t, z[t + 1]).log_prob(z[t])
        - chain.q(t, z[t - 1]).log_prob(z[t]) for t in range(1, T)]
    prior = chain.prior().log_prob(z[T]) - chain.q(T, z[T - 1]).log_prob(z[T])
    return reconstruction, consistency, prior


# %% [markdown]
# The function knows nothing about networks. It asks a chain for four things: how many `levels`, and the distributions
# `q(t, z_prev)`, `p(t, z_next)` and `prior()`. The library's `bound.bound` is the same function; it only avoids asking
# for each $q$ twice. With the same noise the two give the same numbers:

# %%
terms = bound.bound(x8, two, seeded(6))
by_hand = bound_by_hand(x8, two, seeded(6))
torch.testing.assert_close(terms.reconstruction, by_hand[0])
torch.testing.assert_close(terms.consistency, torch.stack(by_hand[1]))
torch.testing.assert_close(terms.prior, by_hand[2])
torch.testing.assert_close(
    terms.elbo, by_hand[0] + sum(by_hand[1]) + by_hand[2])

# %% [markdown]
# ## 4 A check against an exact likelihood
#
# What does the inequality (2.5) lose? The identity (1.6) holds for any set of latents, so here too the gap is the KL
# from $q$ to the model's own posterior. Write $z_{1:T}$ for all the latents $z_1, \dots, z_T$. In a Markov chain their
# posterior is $\prod_t p(z_t \mid z_{t-1})$, and the KL splits level by level:
#
# $$ \begin{aligned}
# & \log p_\theta(x) - \mathrm{ELBO}(x) \\
# & \quad = \mathrm{KL}\big( q(z_{1:T} \mid x) \,\|\, p(z_{1:T} \mid x) \big) \\
# & \quad = \sum_{t=1}^{T} \mathbb{E}_{q(z_{t-1} \mid x)}\, \mathrm{KL}\big( q(z_t \mid z_{t-1}) \,\|\, p(z_t \mid z_{t-1}) \big).
# \end{aligned} \tag{2.6} $$
#
# <details><summary>Why the posterior is a chain, and the KL a sum</summary>
#
# By (2.1) the model is a Markov chain from $z_T$ down to $z_0$. A Markov chain read in the other direction is again
# one: given $z_{t-1}$, everything above it is independent of everything below it. Hence
# $p(z_{1:T} \mid z_0) = \prod_t p(z_t \mid z_{t-1})$. Both densities in the KL are now products over $t$, so the log
# ratio is a sum over $t$. The expectation of each summand is first over $z_t$ given $z_{t-1}$, which makes it a KL,
# and then over $z_{t-1}$.
#
# </details>
#
# If every $q(z_t \mid z_{t-1})$ is the exact posterior, the gap is zero. More than that: then
# $\frac{p(x, z_{1:T})}{q(z_{1:T} \mid x)} = p_\theta(x)$ for *every* $z$, so a single draw of the terms must add up to
# $\log p_\theta(x)$. We need a chain whose posteriors are known. Let $p(z_T) = N(0, I)$ and
# $p(z_t \mid z_{t+1}) = N(a_t z_{t+1}, v_t I)$, with other numbers $a_t$, $v_t$ on each level. Every marginal is Gaussian, and so is every posterior. As in notebook
# 01, with $z \sim$ `prior` and $y \mid z \sim N(a z, v)$, `gaussian.marginal(prior, a, v)` is the distribution of $y$ and
# `gaussian.condition(prior, a, v, y)` that of $z$ once $y$ is known.


# %%
class LinearChain:
    """z_T ~ N(0, I), z_t = a_t z_{t+1} + noise, with its exact posteriors as q,
    their variance times `spoil[t]`."""

    a, v = (0.9, 0.8, 0.6), (0.3, 0.5, 0.7)

    def __init__(self, levels, spoil=None):
        one = torch.ones(2, dtype=torch.float64)
        self.levels, self.spoil = levels, spoil or {}
        self.marginals = [Gaussian(0 * one, one)]
        for t in reversed(range(levels)):
            # p(z_t)
            self.marginals.insert(
                0, gaussian.marginal(self.marginals[0], self.a[t], self.v[t]))

    def q(self, t, z_prev):
        exact = gaussian.condition(
            self.marginals[t], self.a[t - 1], self.v[t - 1], z_prev)
        return Gaussian(exact.mean, exact.var * self.spoil.get(t, 1.0))

    def p(self, t, z_next):
        return Gaussian(self.a[t] * z_next, self.v[t] * torch.ones_like(z_next))

    def prior(self):
        return self.marginals[-1]


# %%
class OffByOne(LinearChain):
    def p(self, t, z_next):
        return super().p((t + 1) % self.levels, z_next)


for T in (1, 2, 3):
    chain = LinearChain(T)
    log_px = chain.marginals[0].log_prob(x)
    one_draw = bound.bound(x, chain, seeded(7)).elbo
    print(f"T = {T}: mean log p_θ(x) {log_px.mean():.6f}, mean bound "
          f"{one_draw.mean():.6f} nats")
    # for every point, not only on average
    torch.testing.assert_close(one_draw, log_px, rtol=0, atol=1e-10)
slip = (bound.bound(x, OffByOne(3), seeded(7)).elbo - log_px).abs().mean()
print(f"T = 3 with a decoder's index off by one: a draw is off by {slip:.2f} "
      "nats on average")
assert slip > 0.1

# %% [markdown]
# The bound is the exact log likelihood, draw by draw, to rounding error. Any implementation of (2.5) has to pass this
# test. One with a swapped index does not, because each level has numbers of its own.

# %% [markdown]
# **Exercise: the price of wrong posteriors.** *8 minutes, easy.*
#
# **Predict first.** Every $q(z_t \mid z_{t-1})$ of a chain in `dim` dimensions is the exact posterior, except that
# its variance is multiplied by `factors[t − 1]`. `factors` has one number for each of the $T$ levels, 1 where
# nothing is wrong. Return the gap of the bound in nats, by (2.6), and predict the four numbers of the next cell.

# %%
def my_spoilt_gap(factors, dim):
    """log p_θ(x) − ELBO when level t's variance is wrong by factors[t − 1]."""
    return ...


checks.spoilt_gap(my_spoilt_gap)

# %% [markdown]
# <details><summary>Hint 1: the price of wrong posteriors</summary>
#
# (2.6) is a sum over levels. In each, the two Gaussians have the same mean. What is left of (1.10)?
#
# </details>
#
# <details><summary>Hint 2: the price of wrong posteriors</summary>
#
# With $r$ the ratio of the variances, one dimension of one level costs $\tfrac12 (r - 1 - \log r)$. The variances
# themselves do not matter.
#
# </details>
#
# <details><summary>Solution: the price of wrong posteriors</summary>
#
# ```python
# def my_spoilt_gap(factors, dim):
#     """log p_θ(x) − ELBO when level t's variance is wrong by factors[t − 1]."""
#     return dim / 2 * (factors - 1 - factors.log()).sum()
# ```
#
# </details>

# %% [markdown]
# Now make one posterior wrong on purpose, with a variance twice too large. By (1.10) the KL in (2.6) is then
# $\tfrac12(2 - 1 - \log 2)$ per dimension, whichever level is spoilt, and two spoilt levels cost twice as much.

# %%
cost = 2 * 0.5 * (2 - 1 - torch.tensor(2.0).log())  # two dimensions
for spoil in ({1: 2.0}, {2: 2.0}, {3: 2.0}, {1: 2.0, 3: 2.0}):
    chain = LinearChain(3, spoil)
    gap, se = evaluate.mean_and_error(
        chain.marginals[0].log_prob(x) - bound.bound(x, chain, seeded(8)).elbo)
    print(f"spoilt at {list(spoil)}: gap {gap:.3f} ± {se:.3f}, by (2.6) "
          f"{len(spoil) * cost:.3f} nats")
    assert abs(gap - len(spoil) * cost) < 4 * se

# %% [markdown]
# ### A VAE with a learned prior
#
# Read (2.5) once more, from the first level's point of view. Everything above $z_1$ is a model of $z_1$ with a density
# of its own, $p(z_1) = \int p(z_1 \mid z_2) \cdots p(z_T)\, dz_{2:T}$. In (2.5) set the reconstruction and
# $-\log q(z_1 \mid x)$ aside. What is left is the bound of *that* model on $\log p(z_1)$, and by (1.6) it is
# $\log p(z_1)$ less a KL:
#
# $$ \begin{aligned}
# \mathrm{ELBO}(x) = {} & \mathbb{E}_q\big[ \log p(x \mid z_1) \big] - \mathrm{KL}\big( q(z_1 \mid x) \,\|\, p(z_1) \big) \\
# & - \mathbb{E}_{q(z_1 \mid x)}\, \mathrm{KL}\big( q(z_{2:T} \mid z_1) \,\|\, p(z_{2:T} \mid z_1) \big).
# \end{aligned} \tag{2.7} $$
#
# The first two terms are the ELBO (1.9) of a VAE whose prior is $p(z_1)$. So this is what more levels can buy: *a VAE
# with a learned prior in place of* $N(0, I)$. Notebook 01 ended with the mismatch between the prior and the aggregate
# posterior. More levels let the prior move towards the aggregate posterior. The last term is what they cost when the
# upper encoders are not exact. In the linear chain they are, so there (2.7) holds draw by draw without it:

# %%
chain = LinearChain(3)
# the first draw that `bound` makes from this seed
z1 = chain.q(1, x).sample(seeded(7))
terms = bound.bound(x, chain, seeded(7))
# log p(z₁) − log q(z₁|x)
as_a_vae = chain.marginals[1].log_prob(z1) - chain.q(1, x).log_prob(z1)
torch.testing.assert_close(terms.consistency.sum(0) + terms.prior, as_a_vae)

# %% [markdown]
# ## 5 The consistency term is not a KL
#
# Written as a cost, to be made small, the consistency term of level $t$ is
#
# $$ C_t = \mathbb{E}_{q(z_{t-1}, z_t, z_{t+1} \mid x)}\big[ \log q(z_t \mid z_{t-1}) - \log p(z_t \mid z_{t+1}) \big]. \tag{2.8} $$
#
# **Where tutorials slip.** Li (2022), and widely read tutorials too, print instead
#
# $$ C_t' = \mathbb{E}_{q(z_{t-1}, z_{t+1} \mid x)}\, \mathrm{KL}\big( q(z_t \mid z_{t-1}) \,\|\, p(z_t \mid z_{t+1}) \big). \tag{2.9} $$
#
# Look at where $z_t$ comes from. In (2.8) the
# three latents are one draw of the chain: $z_{t+1}$ was made *from this* $z_t$. The KL in (2.9) draws its own $z_t$
# from $q(z_t \mid z_{t-1})$, without looking at $z_{t+1}$. That would be right if $z_t$ and $z_{t+1}$ were independent
# given $z_{t-1}$. Under $q$ they are neighbours, and they are not.

# %% [markdown]
# A chain of three scalars shows the size of it. Let $\alpha = 0.7$ and
#
# $$ \begin{aligned}
# x &\sim N(1, \tfrac14), & q(z_t \mid z_{t-1}) &= N(\sqrt\alpha\, z_{t-1}, 1 - \alpha), \\
# p(z_2) &= N(0, 1), & p(z_1 \mid z_2) &= N(0.8\, z_2, 0.3).
# \end{aligned} \tag{2.10} $$
#
# Let the decoder $p(x \mid z_1)$ be the best possible one, the exact reverse of the first encoder.


# %%
class ScalarChain:
    """The chain (2.10) with z of shape (..., 1)."""

    levels, a = 2, 0.7**0.5
    data = Gaussian(
        torch.ones(1, dtype=torch.float64),
        torch.full((1,), 0.25, dtype=torch.float64))

    def q(self, t, z_prev):
        return Gaussian(self.a * z_prev, torch.full_like(z_prev, 0.3))

    def p(self, t, z_next):
        if t == 0:
            # q(x | z₁)
            return gaussian.condition(self.data, self.a, 0.3, z_next)
        return Gaussian(0.8 * z_next, torch.full_like(z_next, 0.3))

    def prior(self):
        return Gaussian(0 * self.data.mean, 4 * self.data.var)  # N(0, 1)


# %% [markdown]
# **Predict first.** Both are averages over a million draws of the same chain. Will they differ by a hundredth of a nat, a
# tenth, or more?

# %% tags=["hide-output"]
scalar = ScalarChain()
x1 = scalar.data.sample(seeded(9), shape=(1_000_000,))
z1 = scalar.q(1, x1).sample(seeded(10))
z2 = scalar.q(2, z1).sample(seeded(11))
true = scalar.q(1, x1).log_prob(z1) - scalar.p(1, z2).log_prob(z1)  # (2.8)
printed = gaussian.kl(scalar.q(1, x1), scalar.p(1, z2))  # (2.9)
for name, cost in {"(2.8), the term": true, "(2.9), the KL": printed}.items():
    print("{:16} {:.4f} ± {:.4f} nats".format(
              name, *evaluate.mean_and_error(cost)))

# %% [markdown]
# Two thirds of a nat. Monte Carlo is not even needed. Everything is a linear combination of the constant 1 and three
# independent unit normals $\varepsilon_0, \varepsilon_1, \varepsilon_2$. Write each variable as its four coefficients;
# then the mean square of any combination is the sum of its squared coefficients. All variances in (2.8) and (2.9) are
# 0.3, so the logs cancel and only mean squares remain:

# %%
one, e0, e1, e2 = torch.eye(4, dtype=torch.float64)
X = one + 0.5 * e0
Z1 = 0.7**0.5 * X + 0.3**0.5 * e1
Z2 = 0.7**0.5 * Z1 + 0.3**0.5 * e2


def mean_square(v):
    return v.square().sum()


exact_true = (
    (mean_square(Z1 - 0.8 * Z2) - mean_square(Z1 - 0.7**0.5 * X)) / (2 * 0.3))
exact_printed = mean_square(0.7**0.5 * X - 0.8 * Z2) / (2 * 0.3)
print(f"exact: (2.8) {exact_true:.4f}, (2.9) {exact_printed:.4f}, difference "
      f"{exact_printed - exact_true:.4f} nats")
for cost, exact in ((true, exact_true), (printed, exact_printed)):
    mean, se = evaluate.mean_and_error(cost)
    assert abs(mean - exact) < 4 * se
# (2.11)
torch.testing.assert_close(
    exact_printed - exact_true,
    torch.tensor(0.8 * 0.7**0.5, dtype=torch.float64))

# %% [markdown]
# The difference has a closed form too. Only the product of $z_1$ and $z_2$ in
# $\log p(z_1 \mid z_2) = -\frac{(z_1 - 0.8\, z_2)^2}{2 \cdot 0.3} + \text{const}$ can notice whether the two were drawn
# together, and it does so through their covariance given $x$:
#
# $$ \begin{aligned}
# C_1' - C_1 &= \frac{0.8}{0.3}\, \mathrm{Cov}_q(z_1, z_2 \mid x) \\
# &= \frac{0.8}{0.3}\, \sqrt\alpha\, (1 - \alpha) = 0.8 \sqrt{0.7}.
# \end{aligned} \tag{2.11} $$
#
# There is a shorter argument that $C_t$ cannot be a KL: a KL is never negative, and $C_t$ can be. With the best decoder
# there is, $p(z_t \mid z_{t+1}) = q(z_t \mid z_{t+1})$, its mean is $I(z_{t-1}; z_t) - I(z_t; z_{t+1})$. That is negative
# where the level above remembers more than the level below told, as here.

# %%
q_z1 = gaussian.marginal(scalar.data, scalar.a, 0.3)  # q(z₁), x averaged out
best = (scalar.q(1, x1).log_prob(z1)
        - gaussian.condition(q_z1, scalar.a, 0.3, z2).log_prob(z1))
below, above = (
    0.5 * (q.var / 0.3).log().item()
    for q in (q_z1, gaussian.marginal(q_z1, scalar.a, 0.3)))
mean, se = evaluate.mean_and_error(best)
print(f"C₁ with the best decoder: {mean:.4f} ± {se:.4f} nats; "
      f"I(x; z₁) − I(z₁; z₂) = {below:.4f} − {above:.4f}")
assert best.mean() < -0.1 and abs(mean - (below - above)) < 4 * se

# %% [markdown]
# ### The KL that is one
#
# There is a genuine KL in the bound. It compares what the decoder says of $z_t$ with what $q$ knows of it from *both*
# sides, $q(z_t \mid z_{t+1}, x)$. By Bayes' rule and the Markov property
#
# $$ q(z_t \mid z_{t+1}, x) = \frac{q(z_{t+1} \mid z_t)\, q(z_t \mid x)}{q(z_{t+1} \mid x)}. \tag{2.12} $$
#
# In (2.10) both densities in the numerator are Gaussians, seen as functions of $z_t$. Their product is a Gaussian again, and
# its precision, one over the variance, is the sum of theirs: precisions add.

# %% [markdown]
# **Exercise: a latent seen from both sides.** *20 minutes, medium.*
#
# Write (2.12) for Gaussians, without the library's `condition`. From below,
# $z_t \sim N(\texttt{mean}, \texttt{var})$. From above, $z_{t+1} \mid z_t \sim N(a\, z_t, v)$ was drawn and is
# `z_next`. Return the mean and the variance of $z_t$ given both. Notebook 03 will live on this function.

# %%
def my_middle(mean, var, a, v, z_next):
    """The mean and the variance of q(z_t | z_{t+1}, x)."""
    return ..., ...


checks.middle(my_middle)

# %% [markdown]
# <details><summary>Hint 1: a latent seen from both sides</summary>
#
# The log of (2.12), as a function of $z_t$, is a parabola: a sum of two squares. Its curvature is minus the
# precision, one over the variance.
#
# </details>
#
# <details><summary>Hint 2: a latent seen from both sides</summary>
#
# Precisions add: $\frac{1}{\texttt{var}} + \frac{a^2}{v}$. So do means multiplied with their precisions:
# $\frac{\texttt{mean}}{\texttt{var}} + \frac{a\, z_{t+1}}{v}$.
#
# </details>
#
# <details><summary>Solution: a latent seen from both sides</summary>
#
# ```python
# def my_middle(mean, var, a, v, z_next):
#     """The mean and the variance of q(z_t | z_{t+1}, x)."""
#     precision = 1 / var + a**2 / v
#     return (mean / var + a * z_next / v) / precision, 1 / precision
# ```
#
# </details>

# %% [markdown]
# Now solve (2.12), with $t = 1$, for $q(z_1 \mid x)$. Its log is
# $\log q(z_1 \mid z_2, x) - \log q(z_2 \mid z_1) + \log q(z_2 \mid x)$. Put this into (2.8):
#
# $$ \begin{aligned}
# C_1 = {} & \underbrace{\mathbb{E}_{q(z_2 \mid x)}\, \mathrm{KL}\big( q(z_1 \mid z_2, x) \,\|\, p(z_1 \mid z_2) \big)}_{\text{a true KL}} \\
# & - \underbrace{\mathbb{E}_q\left[ \log \frac{q(z_2 \mid z_1)}{q(z_2 \mid x)} \right]}_{I_q(z_1;\, z_2 \mid x)}.
# \end{aligned} \tag{2.13} $$
#
# The second part is a mutual information: what $z_2$ still tells about $z_1$ when $x$ is known. It is zero only if the
# two are independent given $x$. It does not vanish from the bound; it moves up into the prior term. There it turns
# $q(z_2 \mid z_1)$ into $q(z_2 \mid x)$, so that the *sum* has a form made of KLs alone:
#
# $$ \begin{aligned}
# & C_1 + \mathbb{E}_q\, \mathrm{KL}\big( q(z_2 \mid z_1) \,\|\, p(z_2) \big) \\
# & \quad = \mathbb{E}_q\, \mathrm{KL}\big( q(z_1 \mid z_2, x) \,\|\, p(z_1 \mid z_2) \big) \\
# & \qquad {} + \mathrm{KL}\big( q(z_2 \mid x) \,\|\, p(z_2) \big).
# \end{aligned} \tag{2.14} $$
#
# For $T$ levels the same regrouping gives one KL for each middle level and one at the top,
#
# $$ \begin{aligned}
# & \sum_{t=1}^{T-1} \mathbb{E}_q\, \mathrm{KL}\big( q(z_t \mid z_{t+1}, x) \,\|\, p(z_t \mid z_{t+1}) \big) \\
# & \quad {} + \mathrm{KL}\big( q(z_T \mid x) \,\|\, p(z_T) \big).
# \end{aligned} \tag{2.15} $$
#
# Check (2.13) and (2.14) on the scalar chain. Given $x$, $z_1$ is a Gaussian "prior" with the "observation" $z_2$, so
# `gaussian.condition` is (2.12).

# %%
# q(z₁ | z₂, x), (2.12)
posterior = gaussian.condition(scalar.q(1, x1), scalar.a, 0.3, z2)
q_z2 = gaussian.marginal(scalar.q(1, x1), scalar.a, 0.3)  # q(z₂ | x)
kl_both = gaussian.kl(posterior, scalar.p(1, z2)).mean()
# ½ log(variance of z₂ without z₁ / with z₁)
information = 0.5 * (q_z2.var / 0.3).log().mean()
print(f"KL {kl_both:.4f} − information "
      f"{information:.4f} = {kl_both - information:.4f}, C₁ exactly "
      f"{exact_true:.4f} nats")
assert abs(kl_both - information - exact_true) < 0.002  # (2.13)

left = true + gaussian.kl(scalar.q(2, z1), scalar.prior())
right = (
    gaussian.kl(posterior, scalar.p(1, z2)) + gaussian.kl(q_z2, scalar.prior()))
for name, side in {"left": left, "right": right}.items():
    print("{:5} side of (2.14): {:.4f} ± {:.4f} nats".format(
              name, *evaluate.mean_and_error(side)))
difference, se = evaluate.mean_and_error(left - right)
assert abs(difference) < 4 * se

# %% [markdown]
# So a KL for each level exists, and each is a fair target for training a decoder. The price is that we must know
# $q(z_t \mid z_{t+1}, x)$. With encoders that are networks nobody does. There are two ways out. The top-down models of
# section 1 define $q(z_t \mid z_{t+1}, x)$ to begin with. Diffusion makes every $q$ linear and Gaussian, so that
# (2.12) is one line of algebra.
#
# A wrong term may break the bound. A KL of two *different* latents, $\mathrm{KL}(q(z_2 \mid z_1) \,\|\, p(z_1 \mid z_2))$, is easy to
# write by accident when encoders and decoders sit in two lists. Then $\log q(z_1 \mid x)$ is missing, nothing charges a narrow encoder, and the
# sum has no upper limit.
#
# ### On the trained model
#
# Here are both, for each middle level of `hvae`.

# %%
z, excess = [x.float()], 0.0
for t in (1, 2, 3):
    z.append(hvae.q(t, z[-1]).sample(seeded(20 + t)))
for t in (1, 2):
    q, p = hvae.q(t, z[t - 1]), hvae.p(t, z[t + 1])
    true, printed = q.log_prob(z[t]) - p.log_prob(z[t]), gaussian.kl(q, p)
    print("level {}: C ≈ {:.2f} ± {:.2f},".format(
              t, *evaluate.mean_and_error(true)),
          end="  ")
    print("printed KL ≈ {:.2f} ± {:.2f} nats".format(
              *evaluate.mean_and_error(printed)))
    excess += (printed - true).mean().item()
print(f"the printed bound is lower by ≈ {excess:.2f} nats")
assert excess > 2

# %% [markdown]
# Together the two levels are off by more than two nats, more than the whole ruler. Whoever trains or reports with (2.9) is not looking at this model's bound.
#
# ## 6 The bound against the number of levels
#
# Now the question of the title. The three chains of 1, 2 and 3 levels have latents in two dimensions, and each had the same number
# of steps. One level is a VAE. The distance to $H$ is $\mathbb{E}_x[\log p(x) - \mathrm{ELBO}(x)]$ over the same 10,000
# fresh points for all, paired with the data's exact $\log p(x)$ (notebook 00). Beside it stands the distance of the
# importance-weighted bound (1.12) with $K = 100$, over the first 1,000 of the points. **Predict first.** Does the distance fall with every level? By how much?

# %% tags=["hide-output"]
log_px, distance, iwae = roll.log_prob(x), {}, {}
for (T, seed), model in trained.items():
    distance[T, seed] = evaluate.gap(
        evaluate.score_chain(x.float(), model, seeded(30)), log_px)
    log_w = bound.log_weights(x[:1000].float(), model, 100, seeded(31))
    iwae[T, seed] = evaluate.mean_and_error(
        log_px[:1000] - bound.importance_weighted(log_w))
for label, found in {"−ELBO": distance, "−IWAE": iwae}.items():
    for T in (1, 2, 3):
        three = ", ".join(f"≈ {found[T, seed][0]:.3f}" for seed in (0, 1, 2))
        print(f"{label}, T = {T}: distance to H of three "
              f"trainings {three} nats",
              end=",  ")
        print(f"each ± {max(found[T, seed][1] for seed in (0, 1, 2)):.3f} "
              "over the points")
best, worst = (
    {T: pick(distance[T, seed][0] for seed in (0, 1, 2)) for T in (1, 2, 3)}
    for pick in (min, max))
assert max(worst[2], worst[3]) < best[1] - 0.1
assert all(iwae[key][0] < distance[key][0] for key in distance)
three_levels, two_levels = (
    [iwae[T, seed][0] for seed in (0, 1, 2)] for T in (3, 2))
assert max(two_levels) < 0.6 * min(iwae[1, seed][0] for seed in (0, 1, 2))
assert sum(three_levels) < sum(two_levels)

# %% mystnb={"image": {"alt": "The second level buys the most. Distance to H against the number of levels, one dot per training: those of the ELBO and of the importance-weighted bound fall by more than half from one level to two; at three levels they lie about as high as at two, or a little lower."}}
_, ax = plots.plt.subplots()
for label, found, color in (
        ("ELBO", distance, plots.MODEL),
        ("importance-weighted, K = 100", iwae, plots.EXTRA[0])):
    keys = sorted(found)
    where = [T + 0.08 * (seed - 1) for T, seed in keys]
    ax.errorbar(
        where, [found[k][0] for k in keys], [2 * found[k][1] for k in keys],
        fmt="o", color=color, label=label)
ax.set(xlabel="levels T, 12,000 steps each", ylabel="distance to H, nats",
       xticks=[1, 2, 3], ylim=(0, None))
_ = ax.legend()

# %% [markdown]
# The second level buys about two tenths of a nat, with every seed. The importance-weighted distance falls by more than half too. It is
# closer to the model's own $\log p_\theta(x)$, so the model has become better and not only the bound tighter: it has
# a better prior for $z_1$. The third level makes the model a little better still, by the importance-weighted bound. How
# much of that the ELBO keeps depends on the seed: one more encoder has to be right (2.6). One level is about as far from $H$ as the VAE of notebook 01.
#
# A longer chain can always do what a shorter one does:
# put a level $q(z_{T+1} \mid z_T) = N(a z_T, (1 - a^2) I)$ on top, and the same Gaussian back down as
# $p(z_T \mid z_{T+1})$. Then $p(z_T)$ is still $N(0, I)$ and the new $q$ is its exact posterior, so by (2.6) nothing
# is lost. Where one scores no better, training is to blame.
#
# On the course's ruler:

# %% mystnb={"image": {"alt": "Two and three levels are nearer to H than one. The ruler in nats per data point: the unit Gaussian far right, the VAE with one level, and the chains with two and three levels near the entropy's black line."}}
models = {T: trained[T, 0] for T in (1, 2, 3)}
entries = {"unit Gaussian": float(torch.tensor(2 * torch.pi).log()) + 1}
entries |= {
    f"HVAE, {T} levels" if T > 1 else "VAE, 1 level": H + distance[T, 0][0]
    for T in models
}
_ = plots.ruler(entries, H)

# %% [markdown]
# ## 7 Which levels are used?
#
# A level that its encoder fills with pure noise costs nothing and buys nothing. This is *posterior collapse*: training
# has found a $q(z_t \mid z_{t-1})$ that does not depend on $z_{t-1}$. The single terms of (2.5) do not show it: one
# near zero can belong to a level that does nothing or to one that works well. Two numbers do.
#
# The first is what a level knows about the one below, the mutual information
#
# $$ \begin{aligned}
# I_q(z_{t-1}; z_t) &= \mathbb{E}_q\big[ \log q(z_t \mid z_{t-1}) - \log q(z_t) \big], \\
# q(z_t) &= \mathbb{E}_{q(z_{t-1})}\big[ q(z_t \mid z_{t-1}) \big].
# \end{aligned} \tag{2.16} $$
#
# $q(z_t)$ is the aggregate posterior (1.13) of level $t$, a mixture over many draws of $z_{t-1}$. A level is collapsed
# if and only if its information is zero.
#
# The second is what the levels above $t$ are worth. By (2.7) they are a prior for $z_t$. So take them away, put the
# best Gaussian with a diagonal covariance in their place, and see how many nats the bound loses.

# %% [markdown]
# **Exercise: what a level knows.** *15 minutes, hard.*
#
# Estimate (2.16) from $n$ draws. $z_t^{(j)}$ was made from $z_{t-1}^{(j)}$, and `log_q[i, j]` is
# $\log q(z_t^{(j)} \mid z_{t-1}^{(i)})$: each latent under each encoder's Gaussian, its own on the diagonal. Take
# the mean over $i$ for the aggregate posterior $q(z_t)$. Return one number, in nats.

# %%
def my_information(log_q):
    """I(z_{t−1}; z_t) in nats from log q(z_t of point j | z_{t−1} of point i),
    (n, n)."""
    return ...


checks.information(my_information)

# %% [markdown]
# <details><summary>Hint 1: what a level knows</summary>
#
# (2.16) is a mean over draws $j$ of two logs, one minus the other. The first is on the diagonal.
#
# </details>
#
# <details><summary>Hint 2: what a level knows</summary>
#
# The second is the log of a mean density over $i$, for each column $j$: `logsumexp` over the first axis, less
# $\log n$.
#
# </details>
#
# <details><summary>Solution: what a level knows</summary>
#
# ```python
# def my_information(log_q):
#     """I(z_{t−1}; z_t) in nats from log q(z_t of point j | z_{t−1} of point i),
#     (n, n)."""
#     log_aggregate = (
#         torch.logsumexp(log_q, 0) - torch.log(torch.tensor(len(log_q))))
#     return (log_q.diagonal() - log_aggregate).mean()
# ```
#
# </details>

# %%
from diffusion_edu.oracles import Mixture


def aggregates(model, x, x_mix, generator):
    """Draws z₀ = x, z₁ … z_T of q, and at them log q(z_t|z_{t−1}) and log
    q(z_t), t = 1 … T; q(z_t) is made from x_mix."""
    z, z_mix, log_q, log_aggregate = [x], x_mix, [], []
    for t in range(1, model.levels + 1):
        q, q_mix = model.q(t, z[-1]), model.q(t, z_mix)
        z, z_mix = [*z, q.sample(generator)], q_mix.sample(generator)
        log_q.append(q.log_prob(z[-1]))
        log_aggregate.append(
            Mixture(torch.ones(len(z_mix)), q_mix.mean, q_mix.var).log_prob(
                z[-1]))
    return z, log_q, log_aggregate


def information(model, x, x_mix, generator):
    """I(z_{t−1}; z_t) for t = 1 … T, and KL(q(z_T) ‖ p(z_T)), nats."""
    z, log_q, log_aggregate = aggregates(model, x, x_mix, generator)
    # (2.16)
    nats = [(given - alone).mean().item() for given, alone in zip(
                log_q, log_aggregate, strict=True)]
    return (
        nats, (log_aggregate[-1] - model.prior().log_prob(z[-1])).mean().item())


# %% [markdown]
# (`information` errs upwards, because a mixture of $n$ draws is too thin between them. The exercise's
# estimate, with each draw in its own mixture, never exceeds $\log n$.) For the second number the levels above are cut off:


# %%
class Cut:
    """The first `levels` levels of a model, with one Gaussian, fitted to q(z)
    on x, in place of those above."""

    def __init__(self, model, levels, x, generator):
        self.levels, self.q, self.p, z = levels, model.q, model.p, x
        for t in range(1, levels + 1):
            z = model.q(t, z).sample(generator)
        self.top = Gaussian(z.mean(0), z.var(0))

    def prior(self):
        return self.top


# %% [markdown]
# For contrast we train a *plain* chain of three levels, for a short while. Its networks return the mean itself, those of
# `HVAE` a step that is added to their input, $q(z_t \mid z_{t-1}) = N(z_{t-1} + \mu_\phi(z_{t-1}),\, \sigma_\phi^2(z_{t-1}))$. So `HVAE` starts with every level close to a copy of the one
# below, and the plain chain starts with every level forgetting it.

# %%
from diffusion_edu.nets import GaussianNet

plain = HVAE(levels=3)
torch.manual_seed(0)
plain.encoders = torch.nn.ModuleList(
    GaussianNet(2, 2, log_var=v) for v in (-4.0, -2.0, -2.0))
plain.decoders = torch.nn.ModuleList(
    GaussianNet(2, 2, log_var=-2.0) for _ in range(3))
points = roll.sample(100_000, seed=1).float()
trainer = training.Trainer(
    plain, training.elbo_loss(), points, steps=1000, batch=256)
list(trainer.run(progress=False))
plain = trainer.model.requires_grad_(False)

# %% [markdown]
# Now both numbers, for the plain chain and for two of the others.

# %%
chains = {"plain, 3 levels": plain,
          "HVAE, 2 levels": models[2],
          "HVAE, 3 levels": models[3]}
used, worth, x_mix = {}, {}, roll.sample(10_000, seed=40).float()
for name, model in chains.items():
    used[name], _ = information(model, x[:2000].float(), x_mix, seeded(41))
    whole = evaluate.score_chain(x.float(), model, seeded(42)).elbo
    cuts = [Cut(model, t, x_mix, seeded(43)) for t in range(1, model.levels)]
    without = [evaluate.score_chain(x.float(), cut, seeded(42)) for cut in cuts]
    worth[name] = [(whole - terms.elbo).mean().item() for terms in without]
    print(f"{name}: distance to H ≈ {(log_px - whole).mean():.3f} nats")
    print("    information of level 1, 2, …:  "
          + ", ".join(f"≈ {nats:.2f}" for nats in used[name]))
    print("    worth of the levels above them: "
          + ", ".join(f"≈ {nats:.2f}" for nats in worth[name]))
assert used["plain, 3 levels"][1] < 0.1 < 0.5 < min(used["HVAE, 3 levels"])
assert abs(worth["plain, 3 levels"][0]) < 0.1
assert 10 * worth["HVAE, 3 levels"][1] < used["HVAE, 3 levels"][2]
assert min(worth["HVAE, 2 levels"][0], worth["HVAE, 3 levels"][0]) > 1.7 * (
    distance[1, 0][0] - distance[2, 0][0])

# %% mystnb={"image": {"alt": "The upper levels of the plain chain know nothing. Mutual information between neighbouring levels against the level, for three chains: the plain chain has a few nats on level one and zero above. The chains that start near the identity have a nat or more on every level, falling upwards."}}
ax = None
for (name, nats), color in zip(
        used.items(), (plots.ERROR, plots.Q, plots.EXTRA[2]), strict=True):
    ax = plots.curve(
        range(1, len(nats) + 1), nats, ax, color=color, label=name, marker="o")
ax.set(xlabel="level t", ylabel="$I(z_{t-1}; z_t)$, nats", xticks=range(1, 4),
       ylim=(-0.1, None))
_ = ax.legend()

# %% [markdown]
# In the plain chain the first level tells about $x$ and the others tell nothing. Cut them off and the bound does not
# change: it is a VAE with two idle levels. At the start the second decoder can make nothing of $z_2$. Whatever $z_2$ says
# about $z_1$ is then only a cost, so the second encoder learns to be silent. Now the second decoder has nothing to
# learn from. Levels that start near the identity are understood from the first step on.
#
# In the other chains every level is used. But to know something is not yet to be worth something. The top level of three knows
# more than two nats about its neighbour, and is worth less than a tenth of that: $q(z_2)$ is closer to a Gaussian, and the level above
# hands a Gaussian on as a Gaussian. Most of the nats that the hierarchy earns, it earns near the data.
#
# The levels above $z_1$ are worth twice what the second level bought. A VAE that is trained alone shapes its codes to fit
# $N(0, I)$. The first level of a chain has not: it was trained to lean on what is above.
#
# ### Warm-up and free bits
#
# Two other remedies leave the networks alone. *Warm-up* lets the weight of all terms but the reconstruction rise from 0
# to 1, here in the first half of the training (Sønderby et al. 2016). *Free bits* charge a level only for what it costs above a fixed number, here half a
# nat, so that silence saves nothing (Kingma et al. 2016). `tools/bench/levels.py` trained the plain chain with each, 1,000 steps
# and three seeds. **Predict first.** Which wakes the upper levels?

# %% tags=["hide-output"]
ways = {}
for row in pretrained.table("levels"):
    nats = [abs(float(value)) for value in row["information"].split()]
    ways.setdefault(row["chain"], []).append((float(row["distance"]), nats))
for name, trainings in ways.items():
    if not name.startswith("top-down"):
        print(f"{name:18} information " + ";  ".join(
                  ", ".join(f"≈ {value:.2f}" for value in nats)
                  for _, nats in trainings))
        print(f"{'':18} distance to H "
              + ", ".join(f"≈ {found:.2f}" for found, _ in trainings) + " nats")
assert max(nats[1] for _, nats in ways["plain"]) < 0.1 < 0.5 < min(
    nats[2] for _, nats in ways["plain, free bits"])
assert min(nats[1] for _, nats in ways["plain, warm-up"]) < 0.1 < max(
    nats[1] for _, nats in ways["plain, warm-up"])
assert max(found for found, _ in ways["near the identity"]) < min(
    found for found, _ in ways["plain, free bits"])

# %% [markdown]
# Warm-up fills the first level, and wakes the second in one training of three. That fits the bound: what $z_2$ gains, in $\log p(z_1 \mid z_2)$, and
# what it costs have the same weight, so the trade that silences it stays as it was. Free bits keep all levels in use, whatever the seed. In one
# training of three they gain nothing by it. Chains that start near the identity use every level too, and come a little nearer to $H$ with each seed.
#
# ## 8 Samples, and the top of the chain
#
# Notebook 01 found that VAE samples fall between the arms because the decoder is asked about $z$ that it never saw:
# the prior is not the aggregate posterior. In the prior term of the chain, add $\log q(z_T)$ and subtract it again. The
# term splits in two:
#
# $$ \begin{aligned}
# & \mathbb{E}_q\, \mathrm{KL}\big( q(z_T \mid z_{T-1}) \,\|\, p(z_T) \big) \\
# & \quad = I_q(z_{T-1}; z_T) + \mathrm{KL}\big( q(z_T) \,\|\, p(z_T) \big).
# \end{aligned} \tag{2.17} $$
#
# The last part is the mismatch, now at the top level.

# %%
threshold = roll.log_prob(roll.sample(200_000, seed=20_000)).quantile(0.001)


def off_roll(points):
    """Which points lie off the roll: exact density below that of 999 in 1,000
    true points."""
    return roll.log_prob(points.double()) < threshold


off, mismatch = {}, {}
for T in models:
    off[T] = (
        off_roll(bound.generate(models[T], 10_000, seeded(51))).double().mean())
    _, mismatch[T] = information(models[T], x[:2000].float(), x_mix, seeded(52))
    print(f"T = {T}: share of samples off the roll ≈ {off[T]:.3f}, mismatch "
          f"at the top ≈ {mismatch[T]:.2f} nats")
assert 0.01 < off[3] < off[1]
assert mismatch[3] < 0.3 * mismatch[1]

# %% [markdown]
# The VAE above, the chain of three below:

# %% mystnb={"image": {"alt": "With three levels the top matches its prior, and fewer samples stray. VAE above, three-level HVAE below. Left: the top latent of data points coloured by place along the roll; for the VAE a coil with gaps, for the HVAE a round cloud. Middle: round clouds drawn from the prior, in black. Right: samples in grey, with those off the roll in red; the HVAE has fewer."}}
axes = plots.axes_row(3, rows=2, size=2.8)
for row, T in ((0, 1), (3, 3)):
    top, samples = x_u.float(), bound.generate(models[T], 4000, seeded(53))
    for t in range(1, T + 1):
        top = models[T].q(t, top).sample(seeded(53 + t))
    noise = models[T].prior().sample(seeded(57), shape=(4000,))
    plots.points(
        top, axes[row], color=u, title=f"aggregate posterior, T = {T}",
        limit=3.5, plane="top z")
    plots.points(
        noise, axes[row + 1], color=plots.TRUTH, alpha=0.3, title="prior",
        limit=3.5, plane="top z")
    plots.points(samples, axes[row + 2])
    plots.points(
        samples[off_roll(samples)], axes[row + 2], color=plots.ERROR, size=4,
        title="samples; red: off the roll")

# %% [markdown]
# With three levels the mismatch at the top has all but gone. Still three in a hundred samples lie off the roll, thirty times too many. Matching the
# prior at the top is not enough. The next section shows where the rest goes wrong.
#
# ## 9 What each level controls
#
# Take three data points and encode them up to level $t$. Hold $z_t$ fixed and draw everything below it anew, many
# times. What stays the same is what $z_t$ knows.

# %% mystnb={"image": {"alt": "The higher the level that is held, the less it fixes. Three panels over the grey roll, each with three data points as black crosses and three hundred redrawn points for each in its own colour. With z one held the points stay close to their crosses. With z two held they spread further, with z three furthest."}}
def downwards(model, t, z, generator):
    """x drawn from p(x | z_t = z), through every level below t."""
    for s in reversed(range(t)):
        z = model.p(s, z).sample(generator)
    return z


three = roll.curve([0.25, 0.6, 0.9]).float()
z, axes = three, plots.axes_row(3, size=3)
for t in (1, 2, 3):
    z = hvae.q(t, z).sample(seeded(60 + t))
    redrawn = downwards(hvae, t, z.repeat_interleave(300, 0), seeded(70))
    plots.points(x[:3000], axes[t - 1], color="#dddddd")
    plots.points(
        redrawn, axes[t - 1],
        color=[c for c in (*plots.EXTRA[:2], plots.Q) for _ in range(300)],
        size=4)
    plots.points(
        three, axes[t - 1], color=plots.TRUTH, size=60, marker="X", alpha=1,
        title=f"z{'₁₂₃'[t - 1]} held")

# %% [markdown]
# Held at $z_1$, the copies stay near their data point. Held at $z_2$, they spread along the arm. Held at $z_3$, they
# spread much further, and some fall between the arms.
#
# ### One level at a time
#
# Now sample the model itself. No data point is encoded; the chain starts at the top, with a $z_3$ from the prior. Each
# button draws one level anew and keeps those above it. The orange fan shows 200 ways to go on below the levels that
# are held. Behind it lie the codes of data points in blue and the data in grey. **Predict first:** which of the three
# latents decides most of where $x$ lands? And what is left to the last decoder when all three are held?

# %%
widgets.hvae_ladder(hvae, x[:400])

# %% [markdown]
# The fan narrows from level to level.
# How the decision is shared out can be counted. The *law of total variance* says that a variance is the mean of the
# variance once $z$ is known, plus the variance of the mean once $z$ is known. Applied level by level, with variances
# summed over both axes, it gives
#
# $$ \begin{aligned}
# \mathrm{Var}(x) &= (V_4 - V_3) + (V_3 - V_2) + (V_2 - V_1) + V_1, \\
# V_4 &= \mathrm{Var}(x), \\
# V_t &= \mathbb{E}_{p(z_t)} \mathrm{Var}(x \mid z_t) \quad (t = 1, 2, 3),
# \end{aligned} \tag{2.18} $$
#
# and no summand is negative. $V_{t+1} - V_t$ is what $z_t$ decides, $V_1$ the noise of the last decoder. We estimate
# each $V_t$ from 400 fans of the model.

# %%
V = {4: bound.generate(hvae, 20_000, seeded(94)).var(0).sum()}
z = hvae.prior().sample(seeded(95), shape=(400,))
for t in (3, 2, 1):
    fans = downwards(hvae, t, z.repeat_interleave(200, 0), seeded(96)).reshape(
        400, 200, 2)
    V[t] = fans.var(1).sum(-1).mean()  # E Var(x | z_t)
    z = hvae.p(t - 1, z).sample(seeded(96 + t))
    print(f"z{t} decides ≈ {(V[t + 1] - V[t]) / V[4]:.2f} of the variance; "
          f"held, x spreads by ≈ {V[t].sqrt():.2f}")
print(f"the last decoder decides ≈ {V[1] / V[4]:.2f} of it; the roll is "
      f"{2**0.5 * roll.noise / roll.scale:.2f} thick")
assert V[4] - V[3] > 0.5 * V[4]
assert V[3] - V[2] > 2 * (V[2] - V[1]) > 4 * V[1]

# %% [markdown]
# The top level decides four fifths: the side of the plane. The second narrows that down to a stretch of an arm or
# two, the first to a spot on one. The last decoder adds the thickness of the roll, and some more.
#
# Back to latents of real data, now of all the points, and with the share of the redrawn ones off the roll:

# %%
z, moved, share = x.float(), {}, {}
for t in (1, 2, 3):
    z = hvae.q(t, z).sample(seeded(80 + t))
    redrawn = downwards(hvae, t, z, seeded(90))
    moved[t] = (redrawn - x).square().sum(1).mean().sqrt()
    share[t] = off_roll(redrawn).double().mean()
    print(f"z{t} held: root mean square distance ≈ {moved[t]:.2f}, "
          f"off the roll ≈ {share[t]:.3f}")
unrelated = (x[:5000] - x[5000:]).square().sum(1).mean().sqrt()
print(f"two unrelated data points: {unrelated:.2f}. Samples from the prior: "
      f"off the roll ≈ {off[3]:.3f}")
assert moved[1] < moved[2] < moved[3] < unrelated
assert share[1] < 0.05
assert share[3] > 0.6 * off[3]

# %% [markdown]
# From the latents $z_1$ of real data almost everything lands on the roll. From $z_3$ of real data about as much goes
# astray as from the prior itself. So the top is right, and the decoders between are not.
#
# ### The distance, level by level
#
# How many nats is each of them off? The distance to $H$ is the KL from the encoder's story of all variables,
# $p(x)\, q(z_1 \mid x) \cdots q(z_T \mid z_{T-1})$, to the model's, as in (1.14). A Markov chain can be read from either
# end. Read the encoder's from the top, as the model's is written:
#
# $$ \begin{aligned}
# & \mathbb{E}_x[\log p(x) - \mathrm{ELBO}(x)] = \mathrm{KL}\big( q(z_T) \,\|\, p(z_T) \big) \\
# & \quad {} + \sum_{t=0}^{T-1} \mathbb{E}_{q(z_{t+1})}\, \mathrm{KL}\big( q(z_t \mid z_{t+1}) \,\|\, p(z_t \mid z_{t+1}) \big).
# \end{aligned} \tag{2.19} $$
#
# The best decoder $q(z_t \mid z_{t+1})$ averages over all the data that lead to $z_{t+1}$. By Bayes' rule it is
# $q(z_{t+1} \mid z_t)\, q(z_t) / q(z_{t+1})$, and `aggregates` has these three; $q(z_0) = p(x)$ is exact. With $T = 1$ this is (1.14).

# %%
def level_split(model, x, log_px, generator):
    """The parts of (2.19) from the top down, each with its standard error,
    nats."""
    z, log_q, log_aggregate = aggregates(model, x, x_mix.to(x), generator)
    log_aggregate = [log_px, *log_aggregate]
    parts = [log_aggregate[-1] - model.prior().log_prob(z[-1])]
    for t in reversed(range(model.levels)):
        # log q(z_t | z_{t+1})
        best = log_q[t] + log_aggregate[t] - log_aggregate[t + 1]
        parts.append(best - model.p(t, z[t + 1]).log_prob(z[t]))
    return [evaluate.mean_and_error(part) for part in parts]


# %% [markdown]
# The linear chain is the test again. With exact posteriors and data drawn from the chain itself all parts are zero. Then let the decoder of $z_1$
# claim twice its variance. By (1.10) its part alone becomes $\tfrac12 - 1 + \log 2 = 0.193$ nats for two dimensions.


# %%
class WideDecoder(LinearChain):
    def p(self, t, z_next):
        p = super().p(t, z_next)
        return Gaussian(p.mean, 2 * p.var) if t == 1 else p


x_lin = LinearChain(3).marginals[0].sample(seeded(97), (11_000,))
x_mix, own = x_lin[1000:], LinearChain(3).marginals[0].log_prob(x_lin[:1000])
for chain, exact in (
        (LinearChain(3), [0, 0, 0, 0]), (WideDecoder(3), [0, 0, 0.193, 0])):
    parts = level_split(chain, x_lin[:1000], own, seeded(98))
    print(f"{type(chain).__name__:12}: z₃, z₂, z₁, x: " + ", ".join(
              f"{round(mean, 2) + 0.0:.2f} ± {se:.2f}" for mean, se in parts))
    assert all(
        abs(mean - true) < 4 * se + 0.02
        for (mean, se), true in zip(parts, exact, strict=True))

# %% [markdown]
# The nine chains. **Predict first.** One level pays for its prior and for its decoder: which costs more? And where do three
# levels pay?

# %% tags=["hide-output"]
x_mix, split = roll.sample(10_000, seed=98).float(), {}
for (T, seed), model in trained.items():
    parts = level_split(model, x[:2000].float(), log_px[:2000], seeded(99))
    split[T, seed] = [mean for mean, _ in parts]
    names = [f"z{t}" for t in range(T, 0, -1)] + ["x"]
    print(f"T = {T}: " + ", ".join(
              f"{name} ≈ {nats:.3f}" for name, nats in zip(
                  names, split[T, seed], strict=True)),
          end="")
    print(f"; sum ≈ {sum(split[T, seed]):.3f} nats, "
          f"each ± {max(se for _, se in parts):.3f} over the points")
assert all(
    split[1, seed][0] > split[1, seed][1] > max(split[3, seed])
    for seed in (0, 1, 2))

# %% [markdown]
# With one level the prior costs more than the decoder, whatever the seed. With three, no part is as large as either of the two. But the
# mismatch between prior and aggregate posterior has not gone away. It is dealt out over the chain: each decoder is one Gaussian, the best
# one is not, and in the first figure $p$ fills the hole that $q(z_2)$ has. The smaller a step, the nearer the best decoder comes to a Gaussian. That
# needs many more levels, and many more levels need a cheaper way to train them.
#
# ### From the top down
#
# Large models draw $z_2$ first, from $q(z_2 \mid x)$, and then $z_1$ from $q(z_1 \mid z_2, x)$. From the bottom up $z_1$ is drawn without a look at $z_2$,
# so the decoder $p(z_1 \mid z_2)$ has to follow. From the top down $q$ sees what $p$ sees: combine the encoder's Gaussian with $p(z_1 \mid z_2)$
# by (2.12), precisions add. `tools/bench/levels.py` trained this with two levels, for as many steps as the others.
# **Predict first.** Does it win?

# %% tags=["hide-output"]
ways["bottom-up"] = [
    (distance[2, seed][0], iwae[2, seed][0]) for seed in (0, 1, 2)
]
for name in ("top-down", "top-down, own network"):
    rows = [row for row in pretrained.table("levels") if row["chain"] == name]
    ways[name] = [(float(row["distance"]), float(row["iwae"])) for row in rows]
print("distance to H of the bound, and importance-weighted, nats")
for name in ("bottom-up", "top-down", "top-down, own network"):
    print(
        f"{name:22}",
        ";  ".join(f"≈ {far:.3f}, ≈ {tight:.3f}" for far, tight in ways[name]))
below, *above = (
    [far - tight for far, tight in ways[name]]
    for name in ("bottom-up", "top-down", "top-down, own network"))
assert min(far for far, _ in ways["top-down"]) > 0.05 + max(
    far for far, _ in ways["bottom-up"])
assert min(map(min, above)) > 1.3 * max(below)

# %% [markdown]
# It loses, most of it by looseness, the difference of the two numbers. Nor does a network for $q(z_1 \mid z_2, x)$ help. Perhaps
# this is why: given $x$, the model's own latents are a chain from
# the *bottom* up, $p(z_1 \mid x)\, p(z_2 \mid z_1)$, by (2.6). And a point of the roll says nearly all about its $z_1$, so $z_2$ has little to add. An image
# leaves more open: there the top-down chains won (Vahdat & Kautz 2020).

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** The mean consistency cost C of a level comes out as −0.2 nats. What do you do?
#
# <details><summary>Look for the bug: a KL cannot be negative.</summary>
#
# **No.** A KL cannot, but (2.8) is a mean log ratio under $q$, and no KL.
#
# </details>
#
# <details><summary>Nothing. The decoder sees z above and may be surer than the encoder.</summary>
#
# **Yes.** $q(z_t \mid z_{t-1})$ has not seen $z_{t+1}$, which was made from this $z_t$. With the best decoder the
# cost is $I(z_{t-1}; z_t) - I(z_t; z_{t+1})$, of either sign.
#
# </details>
#
# <details><summary>Discard the model: its bound is above log p_θ(x).</summary>
#
# **No.** The sum of all terms is a lower bound (2.5). A single term may have either sign.
#
# </details>
#
# <details><summary>Conclude that the level has collapsed.</summary>
#
# **No.** A collapsed level has a cost near zero, and so has one that works well. Only the information (2.16) tells.
#
# </details>
#
# **Question.** In the bound for T levels, which density is compared with the prior p(z_T)?
#
# <details><summary>q(z_T | x)</summary>
#
# **No.** That is the prior's partner after the regrouping (2.15). In (2.5) the level below is given.
#
# </details>
#
# <details><summary>q(z_t | z_{t−1}), for every t</summary>
#
# **No.** Li (2022) prints it so. But only the last level meets the prior.
#
# </details>
#
# <details><summary>p(z_{T−1} | z_T)</summary>
#
# **No.** That is the decoder of the level below. It is paired with $q(z_{T-1} \mid z_{T-2})$.
#
# </details>
#
# <details><summary>q(z_T | z_{T−1})</summary>
#
# **Yes.** Each $q$ is paired with the $p$ of the same variable, and $z_T$ was drawn from $q(z_T \mid z_{T-1})$.
#
# </details>
#
# **Question.** Why do the upper levels of the plain chain end up unused?
#
# <details><summary>At the start, what they say is only a cost.</summary>
#
# **Yes.** The decoder above can make nothing of $z_2$ yet, so the encoder learns to be silent, and then there is
# nothing to learn from.
#
# </details>
#
# <details><summary>They have too few parameters.</summary>
#
# **No.** Their parameters are as many as the levels that are used in the other chains.
#
# </details>
#
# <details><summary>A VAE with one level is already perfect.</summary>
#
# **No.** It is not: two and three levels that start near the identity come nearer to $H$.
#
# </details>
#
# <details><summary>The bound punishes long chains.</summary>
#
# **No.** A longer chain can do all that a shorter one does: with exact posteriors (2.6) loses nothing.
#
# </details>
#
# **Question.** All posteriors of a chain are exact but for levels 1 and 3, whose variances are twice too large. How large is the
# gap?
#
# <details><summary>As large as for one level, since the chain is one density.</summary>
#
# **No.** The KL of two chains is a sum over levels (2.6), each with its own ratio.
#
# </details>
#
# <details><summary>That of one level with a variance four times too large.</summary>
#
# **No.** Ratios do not multiply across levels; the KLs add.
#
# </details>
#
# <details><summary>Twice that of one spoilt level.</summary>
#
# **Yes.** Each level costs ½ (2 − 1 − log 2) per dimension, and the costs add.
#
# </details>
#
# <details><summary>Zero, because the means are right.</summary>
#
# **No.** A wrong variance alone makes a KL, by its ratio and its log.
#
# </details>

# %% [markdown]
# ## Project: A chain that goes down in q as well
#
# *150 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Section 9 has the numbers of one top-down chain, $q(z_2 \mid x)\, q(z_1 \mid z_2, x)$, which lost. Build a better one with two levels. Derive
# its bound from (2.3), which holds for every factorisation. Every middle term is now a true KL. Train it with the
# steps of the two-level chain, and compare.
#
# - The bound is derived from (2.3) with every expectation under the right q.
# - The code passes the test of section 4: with exact posteriors each draw is log p_θ(x), to rounding error.
# - Distance to H, information and worth of both levels beside those of the Markov chain, with standard errors, equal steps.
# - Samples and the share off the roll at equal numbers of points.
# - One paragraph: what did the KL form buy, and what did it cost?

# %% [markdown]
# ## Recap
#
# - A joint density may be factorised as one likes (2.1), (2.2). For the Markov chain the bound is reconstruction,
#   consistency of each level, and prior matching (2.5). One function of ten lines computes it for any chain.
# - Its gap is a KL that adds up level by level (2.6). With exact posteriors every single draw equals $\log p_\theta(x)$.
# - More levels are a VAE with a learned prior (2.7).
# - The consistency term (2.8) is a mean log ratio and can be negative. The KL that tutorials print (2.9) ignores that
#   $z_t$ and $z_{t+1}$ are drawn together. On the scalar chain it is 0.70 in place of 0.03 nats.
# - The genuine KL conditions on $x$ (2.13). Level by level it differs from $C_t$ by a mutual information; in the sum
#   nothing is left over (2.15).
# - A level is used if its encoder says something about the level below (2.16). Levels that start near the identity are
#   used; plain ones collapse.
# - The variance of a sample splits over the levels (2.18), and so does the distance to $H$ (2.19).
#
# | symbol | code | file |
# | --- | --- | --- |
# | $q(z_t \mid z_{t-1})$ | `HVAE.q` | `hvae.py` |
# | $p(z_t \mid z_{t+1})$ | `HVAE.p` | `hvae.py` |
# | $p(z_T)$ | `HVAE.prior` | `hvae.py` |
# | (2.5), one draw of each term | `bound` | `bound.py` |
# | the three kinds of term | `Bound.reconstruction`, `Bound.consistency`, `Bound.prior` | `bound.py` |
# | distance to $H$, paired with $\log p(x)$ | `gap` | `evaluate.py` |
# | the importance-weighted bound | `log_weights`, `importance_weighted` | `bound.py` |
# | $q(z_t \mid z_{t+1}, x)$ of a linear Gaussian pair | `condition` | `gaussian.py` |
# | training on $-\mathrm{ELBO}$ | `Trainer`, `elbo_loss` | `losses.py`, `trainer.py` |
#
# Slips of other texts in these formulas are on the website's page *Where the tutorials slip*.
#
# **The way on.** Every level of this notebook learned its own $q$, and much of the trouble came from there: levels
# that collapse, a posterior $q(z_t \mid z_{t+1}, x)$ that nobody knows. Notebook 03 stops learning $q$. It fixes every
# step up the chain to adding a little noise, takes a thousand of them, and calls the same `bound`.
#
# **References**
#
# - Burda, Grosse, Salakhutdinov (2016), *Importance weighted autoencoders*,
#   [arXiv:1509.00519](https://arxiv.org/abs/1509.00519)
# - Child (2021), *Very deep VAEs generalize autoregressive models and can outperform them on images*,
#   [arXiv:2011.10650](https://arxiv.org/abs/2011.10650)
# - Hoffman, Johnson (2016), *ELBO surgery: yet another way to carve up the variational evidence lower bound*,
#   [approximateinference.org](http://approximateinference.org/accepted/HoffmanJohnson2016.pdf)
# - Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling (2016), *Improving variational inference with inverse
#   autoregressive flow*, [arXiv:1606.04934](https://arxiv.org/abs/1606.04934)
# - Li (2022), *Deep Learning 21: Diffusion Models (1)*, blog,
#   [ireneli.eu](https://ireneli.eu/2022/11/08/deep-learning-21-diffusion-models-1/)
# - Sønderby et al. (2016), *Ladder variational autoencoders*, [arXiv:1602.02282](https://arxiv.org/abs/1602.02282)
# - Turner (2021), *Diffusion models as a kind of VAE*, blog
# - Vahdat, Kautz (2020), *NVAE: a deep hierarchical variational autoencoder*,
#   [arXiv:2007.03898](https://arxiv.org/abs/2007.03898)
