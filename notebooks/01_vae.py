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
# # The variational autoencoder: why a bound, and how loose is it?
#
# Notebook 00 built a ruler: $-\log p(x)$ in nats, with the entropy $H$ of the swiss roll at its lower end. Now comes
# the first model. Its own density of a point, the *likelihood* $p_\theta(x)$, is an integral that nobody can compute in
# general. So it is trained on a number that is never above $\log p_\theta(x)$, a lower bound.
#
# **The question.** Why a bound and not the likelihood? And when a trained model comes out badly, is the model wrong or
# is only the bound loose?
#
# **Afterwards you can**
# - say which of $x$, $z$, $p(x, z)$, $p(x)$ is observed, which can be evaluated, and which is an integral,
# - derive this bound, the ELBO, twice: once as an inequality and once as an identity that names its gap to $\log p_\theta(x)$,
# - tell the two gradients of an expectation apart, and say by how much one is noisier,
# - split a VAE's distance to $H$ into the part that is the model's and the part that is the bound's,
# - explain why its samples fall between the arms of the roll.
#
# **Time** about 75 minutes to read, and 50 for the exercises, both estimates. All cells run in about two minutes on two
# cores. **You need** notebook 00, and an idea of what a neural network is and how it is trained.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import (
    bound, checks, evaluate, gaussian, plots, training, widgets
)
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture
from diffusion_edu.vae import VAE

# %% [markdown]
# Start with the training, because it takes most of a minute. What the loss means is the subject of sections 3 to 6.
# Until then take it on trust that `vae` is a trained model. `trainer.run` trains and hands out the terms of the loss at
# every step; we keep every 200th. `seeded(k)` is a source of random numbers that gives the same ones in every run.

# %%
plots.use_style()
roll = SwissRoll()
H, data = roll.entropy(), roll.sample(50_000, seed=0).float()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


torch.manual_seed(0)
trainer = training.Trainer(VAE(), training.elbo_loss(), data, steps=12_000)
history = {
    step: terms for step, terms in trainer.run(progress=False)
    if step % 200 == 0
}
vae = trainer.model.requires_grad_(False)

# %% [markdown]
# Here is what needs to be explained.

# %% mystnb={"image": {"alt": "Some samples of the VAE lie where no data are. Left: data points along the swiss roll in grey. Right: samples of the trained VAE in orange; most follow the spiral, some lie in the gaps between its arms."}}
left, right = plots.axes_row(2, size=3)
plots.points(roll.sample(3000, seed=1), left, title="data")
_ = plots.points(
    bound.generate(vae, 3000, seeded(0)), right, color=plots.MODEL,
    title="samples of the VAE")

# %% [markdown]
# The model has found the roll. But some of its samples lie between the arms, where there are no data. By the end we
# know where they come from.
#
# ## 1 What is observed, and what can be written down
#
# A *latent-variable model* explains a point $x$ by a cause $z$ that nobody sees. It draws the cause from a fixed
# *prior* and turns it into a point by a *decoder*:
#
# $$ \begin{aligned}
# p_\theta(x, z) &= p(z)\, p_\theta(x \mid z), \\
# p(z) &= N(z; 0, I), \\
# p_\theta(x \mid z) &= N\big(x; \mu_\theta(z), \sigma^2_\theta(z)\big).
# \end{aligned} \tag{1.1} $$
#
# - $x$: a data point, two numbers here. The only thing that is observed.
# - $z$: the latent, two numbers here as well. Never observed.
# - $\mu_\theta(z)$, $\sigma^2_\theta(z)$: a mean and a variance for each coordinate of $x$. They are the outputs of a
#   neural network with parameters $\theta$.
#
# Both factors are Gaussian densities, so the *joint* density of any pair that we make up can be evaluated. And a pair
# can be drawn, first $z$, then $x$. That is all `bound.generate` does. A Gaussian number with mean $m$ and standard
# deviation $\sigma$ is made from one with mean 0 and variance 1:
#
# $$ z = m + \sigma\,\varepsilon, \qquad \varepsilon \sim N(0, 1). \tag{1.1a} $$
#
# In the code `vae.prior()` is $p(z)$ and `vae.p(0, z)` is $p_\theta(x \mid z)$, both as a `Gaussian` with `.mean`, `.var`,
# `.log_prob(...)` and `.sample(...)`, which is (1.1a). The 0 is the number of the level that is made: the library counts
# $x$ as level 0, $z$ as level 1.

# %%
g = seeded(0)
z = vae.prior().sample(g, shape=(3,))
x = vae.p(0, z).sample(g)
log_joint = vae.prior().log_prob(z) + vae.p(0, z).log_prob(x)  # (1.1)
torch.testing.assert_close(x, bound.generate(vae, 3, seeded(0)))
print("log p(x, z) of three pairs: "
      + ", ".join(f"≈ {value:.2f}" for value in log_joint))

# %% [markdown]
# Only $x$ is ever observed; the joint is what we can *write down and evaluate*. This course grew out of four texts: Li (2022),
# Turner (2021), Pan (2024), and lecture slides without an author's name, called *the slides* here. All slip in places, as
# better-known texts do. Where that costs nats, a box says so. The website's page *Where the tutorials slip* lists them all.
#
# ## 2 Maximum likelihood, and an integral
#
# The data come without $z$, so the density of a point has to add up all causes it may have had:
#
# $$ \begin{aligned}
# p_\theta(x) &= \int p_\theta(x, z)\, dz = \int p_\theta(x \mid z)\, p(z)\, dz \\
# &= \mathbb{E}_{p(z)}\big[ p_\theta(x \mid z) \big].
# \end{aligned} \tag{1.2} $$
#
# *Maximum likelihood* wants the parameters under which the data are least surprising. By (0.3) they are also those with
# the smallest KL divergence from the data to the model. With $\mathbb{E}_x$ for the mean over the data,
#
# $$ \begin{aligned}
# \theta^* &= \arg\max_\theta\; \mathbb{E}_{x}\big[ \log p_\theta(x) \big] \\
# &= \arg\max_\theta\; \mathbb{E}_x \log \mathbb{E}_{p(z)}\big[ p_\theta(x \mid z) \big].
# \end{aligned} \tag{1.3} $$
#
# The integrand contains a neural network, so there is no formula for the integral. In two dimensions a grid does it:
# sum (1.2) over $300^2$ values of $z$, each weighted by its prior density. In $d$ dimensions the same grid has
# $300^d$ points. That is what *intractable* means. We chose $d = 2$ so that we can look at the truth. On a grid the
# model is a mixture of Gaussians, one for every $z$, and notebook 00 used the exact density of such mixtures.

# %%
def on_grid(n=300, limit=5.0):
    """The model p_θ(x) of (1.2) with the integral as a sum over an n × n grid
    of z."""
    z = plots.grid(limit, n).float()
    decoder = vae.p(0, z)
    return Mixture(vae.prior().log_prob(z).exp(), decoder.mean, decoder.var)


points, model = roll.sample(100, seed=2), on_grid()
x, log_p = points.float(), model.log_prob(points)
assert (on_grid(n=600).log_prob(points[:20])
        - log_p[:20]).abs().max() < 5e-3, "the grid is fine enough"
print(f"mean over {len(x)} points: log p_θ(x) ≈ {log_p.mean():.2f} nats, "
      f"log p(x) {roll.log_prob(points).mean():.2f} nats")

# %% [markdown]
# ### Naive Monte Carlo
#
# (1.2) is an expectation, so why not average over $K$ draws from the prior?
#
# $$ \log \hat p_K(x) = \log \frac1K \sum_{k=1}^K p_\theta(x \mid z_k), \qquad z_k \sim p(z). \tag{1.4} $$
#
# The average is *unbiased* for $p_\theta(x)$: it is right on average. Its logarithm is too small on average, since the
# log is concave. **Predict first.** How many draws does one point need in two dimensions, and in 32? The first part can be answered
# on the trained decoder, against the grid.

# %% [markdown]
# **Exercise: the naive estimate of log p(x).** *6 minutes, easy.*
#
# Write (1.4). `log_p` holds $\log p_\theta(x \mid z_k)$ for $K$ draws $z_k$ of the prior, along its first axis; the
# other axes are data points. Return $\log \hat p_K(x)$ for each data point. It has to work if all the densities are
# far below the smallest number that a computer can hold.

# %%
def my_log_likelihood(log_p):
    """log p̂_K(x) from log p(x|z_k), k along the first axis."""
    return ...


checks.log_likelihood(my_log_likelihood)

# %% [markdown]
# <details><summary>Hint 1: the naive estimate of log p(x)</summary>
#
# Where does the logarithm stand in (1.4), inside the average over $k$ or outside?
#
# </details>
#
# <details><summary>Hint 2: the naive estimate of log p(x)</summary>
#
# `torch.logsumexp(log_p, 0)` is $\log \sum_k p_\theta(x \mid z_k)$, without underflow. What turns the sum into a
# mean?
#
# </details>
#
# <details><summary>Solution: the naive estimate of log p(x)</summary>
#
# ```python
# def my_log_likelihood(log_p):
#     """log p̂_K(x) from log p(x|z_k), k along the first axis."""
#     return torch.logsumexp(log_p, 0) - math.log(len(log_p))
# ```
#
# </details>

# %% tags=["hide-output"]
z = vae.prior().sample(seeded(3), shape=(100_000,))
decoder = vae.p(0, z)
log_p_z = torch.stack([decoder.log_prob(one) for one in x])  # (100, 100,000)
Ks = [1, 10, 100, 1000, 10_000, 100_000]
naive = []
for K in Ks:
    # (1.4), for every batch of K draws
    log_p_hat = log_p_z.reshape(100, -1, K).logsumexp(-1) - math.log(K)
    naive.append(evaluate.mean_and_error(log_p_hat.mean(1) - log_p))
    print(f"K = {K:7,}: mean error ≈ {naive[-1][0]:.3f} "
          f"± {naive[-1][1]:.3f} nats")
ess = log_p_z.logsumexp(1).mul(2).sub(log_p_z.mul(2).logsumexp(1)).exp()
print(f"effective sample size of 100,000 draws ≈ {ess.mean():.0f}")
assert naive[0][0] < -100
assert naive[2][0] < -0.1
assert abs(naive[-1][0]) < 0.05
assert ess.mean() < 5000

# %% [markdown]
# One draw is wrong by hundreds of nats. A thousand are needed before the error is a few hundredths of a nat, and that
# for one point in one step of training. The *effective sample size* $(\sum_k w_k)^2 / \sum_k w_k^2$, here with
# $w_k = p_\theta(x \mid z_k)$, says how many draws do the work: it is $K$ if all $w_k$ are equal, and 1 if one of them
# outweighs the rest. (The code computes it from the logs.) It is two in a hundred: only a small patch of the plane of
# $z$ can have made a given $x$.
#
# For the second part of the question we need a truth in many dimensions. Linear-Gaussian models have one. If
# $z \sim N(0, I)$ and $x \mid z \sim N(z, 0.1\, I)$, then $x$ is $z$ plus independent noise, the variances add, and
# $x \sim N(0, 1.1\, I)$. `gaussian.marginal` does this sum. `bound.importance_weighted` is the function of the exercise;
# section 8 explains its name.

# %%
def naive_error(d, K, var=0.1, n=64):
    """The error of (1.4) on n points of the linear-Gaussian model in d
    dimensions, (n,)."""
    g = seeded(K)
    prior = gaussian.Gaussian(
        torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64))
    p_x = gaussian.marginal(prior, 1.0, var)
    x = p_x.sample(g, (n,))
    decoders = gaussian.Gaussian(
        prior.sample(g, (K, n)), torch.full((d,), var, dtype=torch.float64))
    return bound.importance_weighted(decoders.log_prob(x)) - p_x.log_prob(x)


exact_errors = {
    d: [evaluate.mean_and_error(naive_error(d, K)) for K in Ks[:5]]
    for d in (2, 8, 32)
}
for d, errors in exact_errors.items():
    print(f"d = {d:2}: " + ", ".join(
              f"K = {K:,}: {m:.2f} ± {se:.2f}" for K, (m, se) in zip(
                  Ks, errors, strict=False)))
assert exact_errors[2][-1][0] > -0.01 and exact_errors[32][-1][0] < -10

# %% mystnb={"image": {"alt": "Each dimension costs draws: the error of naive Monte Carlo in nats against their number, on a logarithmic axis. In 2 dimensions it vanishes by ten thousand draws, in 8 it is still visible, in 32 it is tens of nats."}}
for (d, errors), color in zip(exact_errors.items(), plots.EXTRA, strict=True):
    ax = plots.curve(
        Ks[:5], [m for m, _ in errors], color=color, label=f"d = {d}",
        error=[se for _, se in errors])
ax.axhline(0, color=plots.TRUTH, linewidth=1.2)
ax.set(xscale="log", yscale="symlog", xlabel="K, draws from the prior",
       ylabel="error of log p(x), nats (linear within ±1)")
ax.set_ylim(-3000, 1)
_ = ax.legend(loc="lower right", ncols=3)

# %% [markdown]
# In two dimensions ten thousand draws are enough. In 32 they still miss by tens of nats, because each dimension
# divides the share of useful draws once more. The estimate fails because it looks in the wrong place.
#
# **Where tutorials slip.** Turner (2021) writes the objective of "MLE using Monte Carlo" as
# $\arg\max_\theta \mathbb{E}_{x,\, z \sim p(z)}[\log p_\theta(x \mid z)]$. That has the log *inside* the average over
# $z$: it is (1.4) with $K = 1$. Maximum likelihood (1.3) has it outside. The two rank models differently. Compare the
# trained decoder with one that ignores $z$ and always answers with the one Gaussian that fits the data best.

# %%
inside = log_p_z.mean()
fit = gaussian.Gaussian(data.mean(0), data.var(0, correction=0))
ignores_z = fit.log_prob(x).mean()
print(f"trained decoder:         log outside ≈ {log_p.mean():.2f}, "
      f"log inside ≈ {inside:.0f} nats")
print(f"decoder that ignores z:  log outside   {ignores_z:.2f}, log inside   "
      f"{ignores_z:.2f} nats")
assert log_p.mean() > ignores_z + 1 and inside < ignores_z - 50

# %% [markdown]
# With the log outside the trained decoder wins by more than a nat. With the log inside it loses by hundreds. In fact no decoder can beat the one that
# ignores $z$ by the second count: for every single $z$, $\mathbb{E}_x \log p_\theta(x \mid z)$ is the fit of one
# Gaussian to all the data, and the best one is the same for each $z$. The slip asks every $z$ to explain every point.
# The likelihood asks that every point be explained by some $z$.
#
# ## 3 The bound
#
# So look in the right place. Let a second distribution $q(z \mid x)$ propose causes for the given $x$. Any $q$
# that is positive wherever the joint is will do. (Jensen's inequality was in notebook 00: the log of a mean is at least the
# mean of the log.)
#
# $$ \begin{aligned}
# \log p_\theta(x) &= \log \int p_\theta(x, z)\, dz \\
# &= \log \int q(z \mid x)\, \frac{p_\theta(x, z)}{q(z \mid x)}\, dz \\
# &= \log \mathbb{E}_{q(z \mid x)}\!\left[ \frac{p_\theta(x, z)}{q(z \mid x)} \right] \\
# &\ge \mathbb{E}_{q(z \mid x)}\!\left[ \log \frac{p_\theta(x, z)}{q(z \mid x)} \right] =: \mathrm{ELBO}(x).
# \end{aligned} \tag{1.5} $$
#
# Line by line: this is (1.2); multiply and divide by $q$; an integral against $q$ is an expectation; Jensen, since the
# log is concave. What comes out is the *evidence lower bound*, ELBO; the evidence is $\log p_\theta(x)$. Now the log is inside, and rightly so:
# the ratio is the same for all $z$ if $q$ is well chosen, and for a constant, log and average commute. Jensen
# does not say how much is lost. A second derivation does. It has no inequality in it:
#
# $$ \begin{aligned}
# \log p_\theta(x) &= \mathbb{E}_{q(z \mid x)}\big[ \log p_\theta(x) \big] \\
# &= \mathbb{E}_{q(z \mid x)}\!\left[ \log \frac{p_\theta(x, z)}{p_\theta(z \mid x)} \right] \\
# &= \mathbb{E}_{q(z \mid x)}\!\left[ \log \frac{p_\theta(x, z)}{q(z \mid x)} \right] + \mathbb{E}_{q(z \mid x)}\!\left[ \log \frac{q(z \mid x)}{p_\theta(z \mid x)} \right] \\
# &= \mathrm{ELBO}(x) + \mathrm{KL}\big( q(z \mid x) \,\|\, p_\theta(z \mid x) \big).
# \end{aligned} \tag{1.6} $$
#
# Line by line: a constant is its own expectation; the product rule, $p(x, z) = p(z \mid x)\, p(x)$; multiply and divide
# by $q$; name the two parts.
#
# Here $p_\theta(z \mid x)$ is the *true posterior*: how likely each cause is once $x$ is known, under the model. The gap
# is the KL divergence from $q$ to it, zero if and only if they are equal. So raising the ELBO in $q$ pulls $q$ towards
# the posterior. Raising it in $\theta$ raises the likelihood, or moves the posterior towards $q$, or does both.

# %% [markdown]
# **Exercise: one draw of the bound.** *15 minutes, medium.*
#
# Write one draw of the ELBO (1.5): the log ratio at one $z \sim q(z \mid x)$. `vae` answers `vae.q(1, x)`, which is
# $q(z \mid x)$, `vae.p(0, z)` and `vae.prior()` with Gaussians, which have `.mean`, `.var` and `.log_prob(...)`. The
# noise comes in as `eps`, of the shape of $x$: make $z$ from it by (1.1a). Return $\log \frac{p(x, z)}{q(z \mid x)}$
# for each data point. **Predict first:** what will your function return, draw by draw, if $q$ is the exact
# posterior?

# %%
def my_elbo(x, vae, eps):
    """log p(x, z) − log q(z|x) at the z that the noise eps leads to, one number
    per data point."""
    return ...


checks.elbo(my_elbo)

# %% [markdown]
# <details><summary>Hint 1: one draw of the bound</summary>
#
# In $z = m + \sigma\,\varepsilon$ stand the mean and the *standard deviation* of $q(z \mid x)$. Which densities make up
# the joint?
#
# </details>
#
# <details><summary>Hint 2: one draw of the bound</summary>
#
# By (1.1) the joint is the decoder's density of $x$ times the prior's of $z$. So three logs are added, one of them
# with a minus sign, all at the same $z$.
#
# </details>
#
# <details><summary>Solution: one draw of the bound</summary>
#
# ```python
# def my_elbo(x, vae, eps):
#     """log p(x, z) − log q(z|x) at the z that the noise eps leads to, one number
#     per data point."""
#     q = vae.q(1, x)
#     z = q.mean + q.var.sqrt() * eps
#     return vae.p(0, z).log_prob(x) + vae.prior().log_prob(z) - q.log_prob(z)
# ```
#
# </details>

# %% [markdown]
# ### A model in which everything is exact
#
# Let $z \sim N(0, 1)$ and $x \mid z \sim N(2z, \tfrac12)$. Then $x \sim N(0, 4 + \tfrac12)$, since $2z$ has variance 4.
# For the posterior, look at the log of the joint as a function of $z$. It is a parabola,
# $-\tfrac12 z^2 - (x - 2z)^2 = -\tfrac92 \big(z - \tfrac49 x\big)^2 + \text{const}$, so the posterior is the Gaussian
# $N(\tfrac49 x, \tfrac19)$. The functions `gaussian.marginal` and `gaussian.condition` do this for any such pair. Our
# $q$ is the exact posterior, moved by `shift` and with its variance multiplied by `widen`.

# %%
class Toy:
    """A chain with one latent, as `bound.bound` wants it: levels, q, p,
    prior."""

    levels, a, var = 1, 2.0, 0.5

    def __init__(self, shift=0.0, widen=1.0):
        self.shift, self.widen = shift, widen

    def prior(self):
        return gaussian.Gaussian(
            torch.zeros(1, dtype=torch.float64),
            torch.ones(1, dtype=torch.float64))

    def p(self, t, z):
        return gaussian.Gaussian(self.a * z, torch.full_like(z, self.var))

    def posterior(self, x):
        return gaussian.condition(self.prior(), self.a, self.var, x)

    def q(self, t, x):
        exact = self.posterior(x)
        return gaussian.Gaussian(
            exact.mean + self.shift, self.widen * exact.var)


p_x = gaussian.marginal(Toy().prior(), Toy.a, Toy.var)
x_toy = p_x.sample(seeded(5), (50_000,))

# %% [markdown]
# First `shift = 0` and `widen = 1`: $q$ is the posterior. Then the ratio in (1.5) is $p(x, z)/p(z \mid x) = p(x)$
# whatever $z$ was drawn.

# %%
tight = bound.bound(x_toy, Toy(), seeded(6))
torch.testing.assert_close(
    tight.elbo, p_x.log_prob(x_toy), rtol=1e-12, atol=1e-12)
print("log p(x) minus one-sample ELBO: below 1e-12 at all "
      f"{len(x_toy):,} points")

# %% [markdown]
# Now a $q$ that is off by a known amount. All expectations here have closed forms, so (1.6) can be checked exactly, and
# the sampled bound must agree within its standard error. The cell uses two results ahead of section 5, which derives
# them: the ELBO is $\mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z))$, and `gaussian.kl` is the KL of two
# Gaussians. For the first term, $\mathbb{E}_q (x - a z)^2 = (x - a m)^2 + a^2 v$ if $q = N(m, v)$.

# %%
toy = Toy(shift=0.3, widen=2.0)
q, log_evidence = toy.q(1, x_toy), p_x.log_prob(x_toy)
gap = gaussian.kl(q, toy.posterior(x_toy))
# E_q log p(x|z)
reconstruction = toy.p(0, q.mean).log_prob(
    x_toy) - (toy.a**2 * q.var / (2 * toy.var)).sum(-1)
elbo = reconstruction - gaussian.kl(q, toy.prior())
# (1.6)
torch.testing.assert_close(elbo + gap, log_evidence, rtol=1e-12, atol=1e-12)
sampled, se = evaluate.gap(bound.bound(x_toy, toy, seeded(7)), log_evidence)
print(f"gap by (1.6) {gap[0]:.4f} nats, sampled {sampled:.4f} ± {se:.4f}")
assert abs(sampled - gap[0]) < 4 * se

# %% [markdown]
# **Exercise: is it worse to be too wide or too narrow?** *4 minutes, easy.*
#
# **Predict first.** The posterior is a Gaussian, and $q$ has the right mean, but $r$ times the posterior's variance.
# Put the four values of $r$ in order, from the one with the smallest gap (1.6) to the one with the largest.

# %%
my_lopsided = [...]  # 0.1, 0.5, 2.0 and 10.0, the smallest gap first
checks.lopsided(my_lopsided)

# %% [markdown]
# <details><summary>Hint 1: is it worse to be too wide or too narrow?</summary>
#
# The draws come from $q$. Where do they fall if $q$ is ten times too wide, and where if it is too narrow?
#
# </details>
#
# <details><summary>Hint 2: is it worse to be too wide or too narrow?</summary>
#
# For one dimension the gap is $\tfrac12 (r - 1 - \log r)$. Section 5 derives it.
#
# </details>
#
# <details><summary>Solution: is it worse to be too wide or too narrow?</summary>
#
# ```python
# my_lopsided = [0.5, 2.0, 0.1, 10.0]  # the smallest gap first
# ```
#
# </details>

# %% mystnb={"image": {"alt": "Too wide costs more than too narrow: the gap of the bound in nats against the variance of q relative to the posterior's. The blue dots with error bars follow the black line of the exact KL, which is zero at one, rises slowly to the left and steeply to the right."}}
widths = torch.logspace(-1.5, 1.0, 11, dtype=torch.float64)
sampled = [
    evaluate.gap(
        bound.bound(x_toy[:5000], Toy(widen=w), seeded(8)), log_evidence[:5000])
    for w in widths
]
line = torch.logspace(-1.5, 1.0, 100, dtype=torch.float64)
exact = [
    gaussian.kl(Toy(widen=w).q(1, x_toy[:1]), Toy().posterior(x_toy[:1])).item()
    for w in line
]
ax = plots.truth(line, exact)
ax.errorbar(
    widths, [m for m, _ in sampled], yerr=[2 * e for _, e in sampled], fmt="o",
    color=plots.Q, label="sampled")
ax.set(xscale="log", xlabel="variance of q / variance of the posterior",
       ylabel="log p(x) − ELBO, nats")
_ = ax.legend()

# %% [markdown]
# The error bars vanish where the gap does. And the gap is lopsided: a $q$ ten times too wide costs far more than one
# ten times too narrow. In notebook 00 it was the narrow model that paid more. There the average was over the truth, and
# the model was the second argument of the KL; here the average is over $q$ itself, the first argument. So when a
# Gaussian $q$ has to approximate a posterior that is no Gaussian, it would rather cover too little than too much.
#
# ## 4 The gradient of an expectation
#
# To raise the ELBO in the parameters of $q$ we need the gradient of $\mathbb{E}_{q}[f(z)]$ with respect to the mean
# $m$ and the standard deviation $\sigma$ of $q = N(m, \sigma^2)$. The parameters sit in the distribution that is sampled. There
# are two ways.
#
# *Score function* (Williams 1992). Differentiate the density, and use $\nabla q = q\, \nabla \log q$. (The score of
# notebook 00 was the slope of a log density in the point. This one is the slope in the parameters.)
#
# $$ \nabla\, \mathbb{E}_q[f(z)] = \int f(z)\, \nabla q(z)\, dz = \mathbb{E}_q\big[ f(z)\, \nabla \log q(z) \big]. \tag{1.7} $$
#
# *Reparameterisation* (Kingma & Welling 2014; Rezende et al. 2014). Write $z = m + \sigma\,\varepsilon$ with
# $\varepsilon \sim N(0, 1)$, as in (1.1a). Now the randomness has no parameters, and the gradient goes inside:
#
# $$ \nabla\, \mathbb{E}_q[f(z)] = \mathbb{E}_{\varepsilon}\big[ \nabla f(m + \sigma\,\varepsilon) \big] = \mathbb{E}_\varepsilon\big[ f'(z)\, \nabla(m + \sigma\, \varepsilon) \big]. \tag{1.8} $$

# %% [markdown]
# **Exercise: the reparameterised gradient.** *10 minutes, medium.*
#
# Write (1.8) for $q = N(m, \sigma^2)$ in one dimension, without automatic differentiation. `slope(z)` is $f'(z)$, `eps`
# holds $n$ draws of $\varepsilon$. Return the two estimates of the gradient of $\mathbb{E}_q[f(z)]$, first with
# respect to $m$, then with respect to $\sigma$, each a mean over the draws.

# %%
def my_pathwise_gradient(slope, m, sigma, eps):
    """The gradients of E f(m + σ ε) with respect to m and to σ, each a mean
    over the draws."""
    return ..., ...


checks.pathwise_gradient(my_pathwise_gradient)

# %% [markdown]
# <details><summary>Hint 1: the reparameterised gradient</summary>
#
# First make $z$. Then what are $\partial z / \partial m$ and $\partial z / \partial \sigma$?
#
# </details>
#
# <details><summary>Hint 2: the reparameterised gradient</summary>
#
# $\partial_m z = 1$ and $\partial_\sigma z = \varepsilon$. The chain rule multiplies each with $f'(z)$.
#
# </details>
#
# <details><summary>Solution: the reparameterised gradient</summary>
#
# ```python
# def my_pathwise_gradient(slope, m, sigma, eps):
#     """The gradients of E f(m + σ ε) with respect to m and to σ, each a mean
#     over the draws."""
#     z = m + sigma * eps
#     return slope(z).mean(), (slope(z) * eps).mean()
# ```
#
# </details>

# %% [markdown]
# For a Gaussian, $\partial_m \log q = \varepsilon/\sigma$ and $\partial_m z = 1$. (1.7) needs only values of $f$. (1.8) needs
# its slope. Test both on a term of the ELBO, $f(z) = \log N(x; 2z, \tfrac12 I)$ in $d$ dimensions, at the first
# coordinate of $m$. With $\mathbb{E}_q f = \text{const} - \sum_i \big[ (x_i - 2m_i)^2 + 4 \sigma_i^2 \big]$ the true
# gradient is $4(x_1 - 2m_1)$.

# %%
def gradients(d, n=100_000, x=1.0, m=0.2, sigma=0.3):
    """The true gradient by m₁, and n draws of each estimate: reparameterised,
    score function, with a baseline."""
    eps = torch.randn(n, d, dtype=torch.float64, generator=seeded(d))
    z = m + sigma * eps
    f = gaussian.Gaussian(
        2 * z, torch.full((d,), 0.5, dtype=torch.float64)
    ).log_prob(torch.tensor(x))
    slope, e = 4 * (x - 2 * z[:, 0]), eps[:, 0]  # ∂f/∂z₁
    # f less a baseline: the mean of the other draws
    f0 = (f - f.mean()) * n / (n - 1)
    return 4 * (x - 2 * m), (slope, f * e / sigma, f0 * e / sigma)


for d in (1, 100):
    truth, estimators = gradients(d)
    for mean, se in map(evaluate.mean_and_error, estimators):
        assert abs(mean - truth) < 4 * se, "unbiased"
    a, b, c = (draws.var().item() for draws in estimators)
    print(f"d = {d:3}: variance: reparameterised {a:.1f}, score function "
          f"{b:,.0f}, with baseline {c:,.0f}")
    assert c > 4 * a

# %% [markdown]
# All are unbiased. The score function's variance grows with $d$, because every coordinate of $f$ shakes the estimate
# of every gradient. The slope's variance does not depend on $d$, because this $f$ is a sum over coordinates. Subtracting the
# mean of $f$ over the other draws as a *baseline* is allowed, since $\mathbb{E}_q[\nabla \log q] = 0$. It helps a lot and is not enough.
# The score function remains the way out where $f$ has no slope or $z$ is discrete.
#
# `Gaussian.sample` returns $m + \sigma\,\varepsilon$, so automatic differentiation of a sampled bound *is* (1.8).

# %%
m = torch.tensor([0.2], dtype=torch.float64, requires_grad=True)
sigma = torch.tensor([0.3], dtype=torch.float64)
z = gaussian.Gaussian(m, sigma**2).sample(seeded(9), (1000,))
f = gaussian.Gaussian(2 * z, torch.full_like(sigma, 0.5)).log_prob(
    torch.ones(1, dtype=torch.float64))
(by_autograd,) = torch.autograd.grad(f.mean(), m)
# (1.8), f' averaged over draws
torch.testing.assert_close(by_autograd, 4 * (1 - 2 * z.detach()).mean(0))

# %% [markdown]
# ## 5 The two terms
#
# Split the joint in (1.5) by (1.1), $p_\theta(x, z) = p_\theta(x \mid z)\, p(z)$. The log becomes
# $\log p_\theta(x \mid z) + \log \frac{p(z)}{q(z \mid x)}$, and the mean of the second part under $q$ is minus a KL:
#
# $$ \mathrm{ELBO}(x) = \underbrace{\mathbb{E}_{q(z \mid x)}\big[ \log p_\theta(x \mid z) \big]}_{\text{reconstruction}} \;-\; \underbrace{\mathrm{KL}\big( q(z \mid x) \,\|\, p(z) \big)}_{\text{prior matching}}. \tag{1.9} $$
#
# The first asks that $x$ can be read off from $z$. The second charges for every nat by which $q$ departs from the
# prior. A VAE takes $q_\phi(z \mid x) = N\big(z; \mu_\phi(x), \sigma_\phi^2(x)\big)$ from a second network, the
# *encoder*, with parameters $\phi$. Then the KL needs no sampling.

# %% [markdown]
# **Exercise: the KL of two Gaussians.** *15 minutes, medium.*
#
# Write $\mathrm{KL}(q \,\|\, p)$ for two Gaussians with independent dimensions. Derive it from the definition,
# $\mathbb{E}_q[\log q - \log p]$, before you read (1.10). All four inputs have the shape (...,
# D). A data point is a vector: return one number for each, with the shape (...).

# %%
def my_kl(mean_q, var_q, mean_p, var_p):
    """KL(q ‖ p) in nats, summed over the last axis."""
    return ...


checks.kl(my_kl)

# %% [markdown]
# <details><summary>Hint 1: the KL of two Gaussians</summary>
#
# Write the two log densities under each other and subtract. Which of the squares has a known mean under $q$?
#
# </details>
#
# <details><summary>Hint 2: the KL of two Gaussians</summary>
#
# $\mathbb{E}_q(z - \mu)^2 = v$, and with $z - \nu = (z - \mu) + (\mu - \nu)$ also
# $\mathbb{E}_q(z - \nu)^2 = v + (\mu - \nu)^2$. Dimensions add up.
#
# </details>
#
# <details><summary>Solution: the KL of two Gaussians</summary>
#
# ```python
# def my_kl(mean_q, var_q, mean_p, var_p):
#     """KL(q ‖ p) in nats, summed over the last axis."""
#     ratio = var_q / var_p
#     moved = (mean_q - mean_p) ** 2 / var_p
#     return 0.5 * (ratio - 1 - ratio.log() + moved).sum(-1)
# ```
#
# </details>

# %% [markdown]
# For each dimension, with $q = N(\mu, v)$ and $p = N(\nu, w)$,
#
# $$ \mathrm{KL}(q \,\|\, p) = \frac12 \left[ \frac{v}{w} - 1 - \log\frac{v}{w} + \frac{(\mu - \nu)^2}{w} \right], \tag{1.10} $$
#
# and dimensions add up, because the densities factorise.
#
# <details><summary>Derivation of (1.10)</summary>
#
# The log ratio of the two densities is
# $\log\frac{q(z)}{p(z)} = -\tfrac12 \log v - \tfrac{(z - \mu)^2}{2v} + \tfrac12 \log w + \tfrac{(z - \nu)^2}{2w}$;
# the terms $\tfrac12 \log 2\pi$ cancel. Take the expectation under $q$. By definition $\mathbb{E}_q (z - \mu)^2 = v$,
# so the second term becomes $-\tfrac12$. For the last write $z - \nu = (z - \mu) + (\mu - \nu)$ and square; the mixed
# term has mean zero, so $\mathbb{E}_q (z - \nu)^2 = v + (\mu - \nu)^2$. Together:
# $-\tfrac12 \log\tfrac{v}{w} - \tfrac12 + \tfrac{v + (\mu - \nu)^2}{2w}$, which is (1.10).
#
# </details>

# %%
mu = torch.tensor([0.5, -1.0])
v = torch.tensor([0.2, 3.0])
nu = torch.tensor([0.0, 1.0])
w = torch.tensor([1.0, 0.5])
by_hand = 0.5 * (v / w - 1 - (v / w).log() + (mu - nu) ** 2 / w).sum()  # (1.10)
q, p = gaussian.Gaussian(mu, v), gaussian.Gaussian(nu, w)
torch.testing.assert_close(by_hand, gaussian.kl(q, p))
z = q.sample(seeded(10), (200_000,))
mean, se = evaluate.mean_and_error(q.log_prob(z) - p.log_prob(z))
print(f"KL by (1.10) {by_hand:.4f}, as a mean log ratio {mean:.4f} "
      f"± {se:.4f} nats")
assert abs(mean - by_hand) < 4 * se

# %% [markdown]
# ## 6 The loss in code
#
# `bound.bound` computes the two terms from one sample of $z$ per point, and their sum, `.elbo`. It takes any chain of
# latents $z_1, \dots, z_T$ that are made one from the other (notebook 02); a VAE is the chain with $T = 1$. By hand,
# with the same noise:

# %%
fresh = roll.sample(10_000, seed=11)
x = fresh.float()
b = bound.bound(x, vae, seeded(12))
q = vae.q(1, x)  # the encoder
z = q.sample(seeded(12))  # reparameterised
torch.testing.assert_close(b.reconstruction, vae.p(0, z).log_prob(x))
torch.testing.assert_close(b.prior, vae.prior().log_prob(z) - q.log_prob(z))
neg_elbo, neg_elbo_se = evaluate.mean_and_error(-b.elbo)
print(", ".join(f"{name} ≈ {value:.3f}" for name, value in b.mean().items()))
print(f"−ELBO ≈ {neg_elbo:.3f} ± {neg_elbo_se:.3f} nats; H = {H:.3f}")
assert H < neg_elbo < 2.2

# %% [markdown]
# The prior term is the negative of the KL, as a sampled log ratio. Why sample what (1.10) gives exactly? One reason
# is that longer chains have no closed form in general. The other is a surprise. Draw the noise 100 times for each of
# 500 points and look at the variance that it makes.

# %%
many = x[:500].expand(100, 500, 2)
kl = gaussian.kl(vae.q(1, x[:500]), vae.prior())
terms = bound.bound(many, vae, seeded(13))
sampled_kl = terms.elbo.var(0).mean()
closed_kl = (terms.reconstruction - kl).var(0).mean()
print(f"variance of the one-sample ELBO: KL sampled ≈ {sampled_kl:.2f}, "
      f"KL in closed form ≈ {closed_kl:.2f}")
assert sampled_kl < closed_kl

# %% [markdown]
# The sampled KL is noisy, and yet the ELBO with it is the quieter one. Section 3 says why: for a perfect $q$ the sum
# of all the logs is the constant $\log p_\theta(x)$. The noise of one term cancels the noise of the other. A KL in
# closed form has no noise to cancel with.
#
# The training that ran at the start minimised the negative mean of `b.elbo` over batches of 512 points, with Adam, the
# usual kind of gradient descent. This is what happened:

# %% mystnb={"image": {"alt": "The terms are large and of opposite sign, their sum is small. Over twelve thousand steps the negative ELBO falls towards the black line of the entropy and flattens above it; the reconstruction term and the KL both rise in the first steps and then change little."}}
steps = list(history)
series = {name: [history[step][name].item() for step in steps]
          for name in ("loss", "reconstruction", "prior")}
ax = plots.curve(steps, series["loss"], color=plots.MODEL, label="−ELBO")
plots.curve(
    steps, [-r for r in series["reconstruction"]], ax, color=plots.EXTRA[0],
    label="−reconstruction")
plots.curve(
    steps, [-k for k in series["prior"]], ax, color=plots.Q,
    label="KL(q ‖ prior)")
ax.axhline(H, color=plots.TRUTH, linewidth=1.2, label="H")
ax.set(xlabel="training step", ylabel="nats per data point", ylim=(-4, 6))
_ = ax.legend(ncols=4)

# %% [markdown]
# The two terms are large and of opposite sign. The KL goes up to about four nats: that is what $z$ costs. The
# reconstruction gains more than that. It is 2.5 nats in the end, and −2.8 for the decoder of section 2 that ignores
# $z$.
#
# ## 7 What if one term is missing?
#
# The slides ask what the KL term, the "regulariser", is for. Leave out one term at a time and train for a short while. Beside
# them go a run with both terms and a run whose decoder has its variance fixed to one. With that, $-\log p(x \mid z)$ is
# half a squared error plus a constant, the reconstruction loss of many tutorials. (`score_chain` is `bound.bound`
# without gradients.)
#
# **Predict first.** What will $q$ look like without the KL? What without the reconstruction?

# %%
class UnitVariance(VAE):
    def p(self, t, z_next):
        mean = self.decoder(z_next).mean
        # p(x|z) = N(μ_θ(z), I)
        return gaussian.Gaussian(mean, torch.ones_like(mean))


def kl_only(model, x, generator):
    return {"loss": -bound.bound(x, model, generator).prior.mean()}


def briefly(model, loss, steps=1000):
    torch.manual_seed(1)
    short = training.Trainer(model(), loss, data, steps=steps)
    list(short.run(progress=False))
    return short.model.requires_grad_(False)


# %% tags=["hide-output"]
runs = {
    "both terms": briefly(VAE, training.elbo_loss()),
    "reconstruction only": briefly(VAE, training.elbo_loss(kl_weight=0.0)),
    "KL only": briefly(VAE, kl_only, steps=300),
    "decoder variance 1": briefly(UnitVariance, training.elbo_loss()),
}
minus_elbo, spread = {}, {}
for name, short in runs.items():
    scored = evaluate.score_chain(x, short, seeded(14))
    minus_elbo[name] = -scored.elbo.mean().item()
    spread[name] = short.q(1, x).var.sqrt().mean().item()
    print(f"{name:19}: reconstruction ≈ {scored.reconstruction.mean():.2f}, "
          f"KL ≈ {-scored.prior.mean():.2f}, "
          f"−ELBO ≈ {minus_elbo[name]:.2f} nats; mean std of q "
          f"≈ {spread[name]:.4f}")
short = runs["reconstruction only"]
q = short.q(1, x[:500])
q = gaussian.Gaussian(q.mean, 9 * q.var)  # wider than its posterior, for (1.12)
z = q.sample(seeded(28), (1000,))
log_w = (
    short.prior().log_prob(z) + short.p(0, z).log_prob(x[:500]) - q.log_prob(z))
print("reconstruction only: −log p_θ(x) "
      f"≈ {-bound.importance_weighted(log_w).mean():.2f} nats")
assert minus_elbo["both terms"] < 2.5 < min(
    minus_elbo[name] for name in list(runs)[1:])
assert minus_elbo["reconstruction only"] > 2.84
assert spread["reconstruction only"] < 0.01
assert abs(spread["KL only"] - 1) < 0.05
assert abs(minus_elbo["decoder variance 1"] - 2.84) < 0.06

# %% [markdown]
# Only the run with both terms does clearly better than the unit Gaussian, 2.84 nats. Each panel
# shows one draw from $q(z \mid x)$ for each of 3,000 data points, coloured by the place $u$ along the roll.

# %% mystnb={"image": {"alt": "Without one of the terms the latent copies the data or forgets them. Three panels of latent space, points coloured by position along the roll. Both terms: colours in order, filling a disc of radius about two. Reconstruction only: a sharp, thin, coloured spiral. KL only: one round cloud with all colours mixed."}}
x_u, u = roll.sample_with_u(3000, seed=15)
for name, ax in zip(list(runs)[:3], plots.axes_row(3, size=2.7), strict=True):
    plots.points(
        runs[name].q(1, x_u.float()).sample(seeded(16)), ax, color=u,
        title=name, limit=3.2, plane="z")
_ = plots.plt.colorbar(ax.collections[0], ax=ax, label="u", shrink=0.7)

# %% [markdown]
# - *Reconstruction only.* The standard deviations of $q$ go to the smallest value that the library allows, $e^{-6}$.
#   These are the point distributions that the slides warn of. The roll is copied into $z$ as it is, and the reconstruction
#   term has no upper limit. As a model of $x$ it is worthless: almost all of the prior's mass lies off the thread
#   that the decoder knows, the KL charges for that, and even its likelihood falls below that of the unit Gaussian, 2.84 nats.
# - *KL only.* The best $q(z \mid x)$ is $N(0, I)$ for every $x$: "similar $q$s", in the words of the slides. Then $z$ knows
#   nothing about $x$, and the decoder was never asked anything.
# - *Decoder variance 1.* It scores as the unit Gaussian does, $\log 2\pi + 1 = 2.84$. A decoder whose noise is as
#   broad as the data has nothing to gain from $z$, so $q$ falls back on the prior almost entirely. The decoder's
#   variance sets the exchange rate between the two terms. It has to be learned, or at least chosen with care (Rybkin
#   et al. 2021). Learned, it can make the likelihood of a finite training set as large as one likes, by a narrow Gaussian on
#   each of its points. So every score here is on fresh points.
#
# ### A weight on the KL, and posterior collapse
#
# Between "with" and "without" lies a weight. The *β-VAE* (Higgins et al. 2017) counts the KL $\beta$ times; only
# $\beta = 1$ gives the bound. Call the mean KL the *rate*, what $z$ costs, and minus the reconstruction the *distortion*. Their sum is
# $-\mathrm{ELBO}$, so whatever $\beta$ was, no model lies below the line rate + distortion = $H$ (Alemi et al. 2018).
# **Predict first.** Which $\beta$ comes nearest to the line? What is the rate for $\beta = 1.25$?

# %% tags=["hide-output"]
betas = {beta: briefly(VAE, training.elbo_loss(kl_weight=beta))
         for beta in (0.5, 0.8, 1.25)}
plane = {}
for beta, short in sorted((betas | {1.0: runs["both terms"]}).items()):
    scored = evaluate.score_chain(x, short, seeded(14))
    plane[beta] = (
        -scored.prior.mean().item(), -scored.reconstruction.mean().item())
    print(f"β = {beta:4}: rate ≈ {plane[beta][0]:5.2f}, distortion "
          f"≈ {plane[beta][1]:5.2f}, sum ≈ {sum(plane[beta]):.2f} nats")
rate, distortion = -b.prior.mean().item(), -b.reconstruction.mean().item()
print("`vae`, 12,000 steps with β = 1: distortion + 1.25 · rate "
      f"≈ {distortion + 1.25 * rate:.2f} nats")
assert plane[0.5][0] > plane[0.8][0] + 1 > plane[1.0][0] + 2
assert plane[1.25][0] < 0.01
assert sum(plane[1.0]) < min(sum(plane[beta]) for beta in betas) - 0.2
assert distortion + 1.25 * rate < plane[1.25][1] - 0.05

# %% mystnb={"image": {"alt": "No model lies below the line where rate and distortion add up to H. The dots for four weights of the KL lie above it, distortion against rate in nats: the larger the weight, the smaller the rate, down to zero. The model trained for longer lies closest to the line."}}
_, ax = plots.plt.subplots()
plots.truth([0, 12], [H, H - 12], ax, label="rate + distortion = H")
ax.plot(*zip(*plane.values(), strict=True), "o", color=plots.EXTRA[0],
        label="1,000 steps")
for beta, (r, d) in plane.items():
    ax.annotate(f"β = {beta:g}", (r, d), (6, 4), textcoords="offset points")
ax.plot(rate, distortion, "o", color=plots.MODEL, label="12,000 steps, β = 1")
ax.set(xlabel="rate: KL(q ‖ prior), nats",
       ylabel="distortion: −reconstruction, nats", xlim=(-0.3, 13))
_ = ax.legend()

# %% [markdown]
# A small $\beta$ buys reconstruction, and the sum gets worse. With $\beta = 1.25$ the rate is zero: $q(z \mid x)$ is
# the prior whatever $x$ is, and the decoder ignores $z$. This is *posterior collapse*. It is not the best there is:
# by the same count the longer trained `vae` scores lower. Training has not found that. (One training for each $\beta$.)
#
# ## 8 How loose is the bound?
#
# Back to the `vae` that was trained for longer. Its negative ELBO lies above $H$. By (0.3) and (1.6) the distance has
# two parts:
#
# $$ \begin{aligned}
# \mathbb{E}_x[-\mathrm{ELBO}(x)] - H &= \underbrace{\mathrm{KL}\big( p(x) \,\|\, p_\theta(x) \big)}_{\text{the model is wrong}} \\
# &\quad {} + \underbrace{\mathbb{E}_x\, \mathrm{KL}\big( q(z \mid x) \,\|\, p_\theta(z \mid x) \big)}_{\text{the bound is loose}}.
# \end{aligned} \tag{1.11} $$
#
# To tell them apart without a grid, tighten the bound: average $K$ ratios before taking the log. This is the bound of
# the *importance-weighted autoencoder*, IWAE (Burda et al. 2016):
#
# $$ \begin{aligned}
# \mathrm{IWAE}_K(x) &= \mathbb{E}\!\left[ \log \frac1K \sum_{k=1}^K w_k \right], \\
# w_k &= \frac{p_\theta(x, z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z \mid x).
# \end{aligned} \tag{1.12} $$
#
# - $w_k$: the importance weights. Their mean is unbiased for $p_\theta(x)$, so Jensen makes (1.12) a lower bound for
#   each $K$.
# - $K = 1$ is the ELBO. With $K$ the bound rises to $\log p_\theta(x)$ (Burda et al. 2016, theorem 1).
#
# It is the naive estimate (1.4), with draws from where the posterior is. We measure the distance to the exact
# $\log p(x)$ of the same points, as notebook 00 advised.

# %%
points = roll.sample(1000, seed=17)
log_truth, log_p = roll.log_prob(points), model.log_prob(points)
# (1000, 1000): draws by points
log_w = bound.log_weights(points.float(), vae, 1000, seeded(18)).double()
iwae = {}
for K in (1, 10, 100, 1000):
    # (1.12), every batch of K draws
    estimate = bound.importance_weighted(log_w.reshape(K, -1, 1000)).mean(0)
    iwae[K] = evaluate.mean_and_error(log_truth - estimate)
    print(f"K = {K:4}: distance to H ≈ {iwae[K][0]:.3f} "
          f"± {iwae[K][1]:.3f} nats")
wrong = evaluate.mean_and_error(log_truth - log_p)
loose = evaluate.mean_and_error(log_p - log_w.mean(0))
print(f"by the grid: the model is wrong by ≈ {wrong[0]:.3f} "
      f"± {wrong[1]:.3f} nats,")
print(f"             the bound is loose by ≈ {loose[0]:.3f} "
      f"± {loose[1]:.3f} nats")
assert iwae[1][0] > iwae[10][0] > iwae[100][0] > iwae[1000][0] > wrong[0] - 0.01
assert loose[0] < wrong[0]
assert iwae[1000][0] - wrong[0] < 0.03
assert iwae[1][0] - iwae[10][0] > 0.5 * loose[0]
torch.testing.assert_close(wrong[0] + loose[0], iwae[1][0])  # (1.11)

# %% mystnb={"image": {"alt": "Importance weighting removes the looseness, and nothing more. Negative bound in nats against K: the blue curve falls from K = 1 and flattens by K = 100 on the dashed orange line of the model's exact likelihood, which stays well above the black line of the entropy."}}
means, errors = zip(*iwae.values(), strict=True)
ax = plots.curve(
    list(iwae), H + torch.tensor(means), error=errors, label="−IWAE", marker="o"
)
ax.axhline(
    H + wrong[0], color=plots.MODEL, linestyle="--",
    label="−log likelihood of the model, by the grid")
ax.axhline(H, color=plots.TRUTH, linewidth=1.2, label="H")
ax.set(xscale="log", xlabel="K, draws from q per point",
       ylabel="nats per data point", ylim=(H - 0.02, None))
_ = ax.legend()

# %% [markdown]
# The curve starts at the ELBO and comes down to within a few hundredths of a nat of the model's exact likelihood, the
# dashed line. Ten draws of $q$ remove most of the looseness. From there down to $H$ no bound helps: the model itself
# is wrong.
#
# ### Approximation and amortisation
#
# The looseness has two causes. The posterior may not be a Gaussian with independent dimensions: the *approximation*
# gap. And one encoder answers for all $x$, where each could have a better $q$ of its own: the *amortisation* gap (Cremer et al. 2018).
# To part them, improve the mean and log variance of $q$ for each of 300 points by itself, with 400 steps of Adam that
# start at the encoder's answer. **Predict first.** Which gap is larger?

# %% tags=["hide-output"]
few, evidence = points[:300].float(), log_p[:300]


def looseness(mean, log_var, eps):
    """log p_θ(x) − ELBO(x) of the few points with q = N(mean, exp(log_var)),
    eps (draws, 300, 2)."""
    # (1.1a)
    q = gaussian.Gaussian(mean, log_var.exp())
    z = mean + (log_var / 2).exp() * eps
    return evidence - (
        vae.prior().log_prob(z) + vae.p(0, z).log_prob(few) - q.log_prob(z)
    ).double().mean(0)


q = vae.q(1, few)
g = seeded(30)
eps = torch.randn(4000, 300, 2, generator=seeded(29))
own = q.mean.clone().requires_grad_(), q.var.log().requires_grad_()
adam = torch.optim.Adam(own, lr=0.02)
for step in range(400):
    adam.param_groups[0]["lr"] = 0.02 * (1 - step / 400)
    adam.zero_grad()
    looseness(*own, torch.randn(16, 300, 2, generator=g)).sum().backward()
    adam.step()
with torch.no_grad():
    by_encoder = looseness(q.mean, q.var.log(), eps)
    by_own = looseness(*own, eps)
amortised = evaluate.mean_and_error(by_encoder - by_own)
print("loose by ≈ {:.3f} ± {:.3f} nats at these points: ".format(
          *evaluate.mean_and_error(by_encoder)),
      end="")
print(f"approximation ≈ {by_own.mean():.3f}, amortisation "
      f"≈ {amortised[0]:.3f} ± {amortised[1]:.3f}")
assert amortised[0] > 3 * amortised[1] and by_own.mean() > 2 * amortised[0]

# %% [markdown]
# Most of the looseness stays even with a $q$ for each point: the posterior is bent or has two humps, and no such
# Gaussian fits. (Adam may stop at a $q$ that is not the best, so the approximation is at most this.)
#
# ## 9 The prior and the aggregate posterior
#
# To sample the VAE we draw $z$ from the prior. The decoder was not trained on such $z$. It was trained on draws from
# the *aggregate posterior*, the average of $q$ over the data:
#
# $$ q(z) = \mathbb{E}_x\big[ q(z \mid x) \big] \approx \frac1n \sum_{i=1}^n q(z \mid x_i). \tag{1.13} $$
#
# The slides put the trouble in one line: $p(z) \ne \frac1n \sum_i q(z \mid x_i)$. How many nats is this inequality worth?
# Follow the two stories of the pair $(x, z)$. The encoder's is $p(x)\, q(z \mid x)$, the model's is
# $p(z)\, p_\theta(x \mid z)$. The distance to $H$ is the KL divergence between the two, and the product rule splits
# the encoder's story either way. By $x$ first, it gives (1.11). By $z$ first,
# $p(x)\, q(z \mid x) = q(z)\, q(x \mid z)$, it gives another split (compare Hoffman & Johnson 2016). Here $q(x \mid z)$
# says which data points were encoded to this $z$, and how often:
#
# $$ \begin{aligned}
# \mathbb{E}_x[-\mathrm{ELBO}(x)] - H &= \mathbb{E}_{p(x)\, q(z \mid x)}\!\left[ \log \frac{p(x)\, q(z \mid x)}{p(z)\, p_\theta(x \mid z)} \right] \\
# &= \underbrace{\mathrm{KL}\big( q(z) \,\|\, p(z) \big)}_{\text{prior mismatch}} \\
# &\quad {} + \underbrace{\mathbb{E}_{q(z)}\, \mathrm{KL}\big( q(x \mid z) \,\|\, p_\theta(x \mid z) \big)}_{\text{the decoder's own error}}.
# \end{aligned} \tag{1.14} $$
#
# A finite average as in (1.13) is a mixture of Gaussians, so its density is known.

# %%
q = vae.q(1, roll.sample(5000, seed=19).float())
aggregate = Mixture(torch.ones(5000), q.mean, q.var)  # (1.13)
z = vae.q(1, x).sample(seeded(20))  # draws from q(z)
mismatch, mismatch_se = evaluate.mean_and_error(
    aggregate.log_prob(z).double() - vae.prior().log_prob(z))
distance, _ = evaluate.gap(b, roll.log_prob(fresh))
print(f"distance to H ≈ {distance:.3f} nats = mismatch ≈ {mismatch:.3f} "
      f"± {mismatch_se:.3f}",
      end="")
print(f" + decoder ≈ {distance - mismatch:.3f}")
assert 0.4 * distance < mismatch < distance

# %% [markdown]
# About half of the distance to $H$ or more is the mismatch alone. It stays if the decoder becomes perfect. (With $n$
# finite the logarithm of the average (1.13) is on average a little too small, so the number errs to the low side.)
#
# Left, draws from the aggregate posterior, coloured by the place $u$ along the roll. Right, $q(z)/p(z)$
# in grey, white where no code lies. The red points are draws from the *prior* whose decoded $x$ lands off the roll.

# %% mystnb={"image": {"alt": "Stray samples come from the seams of the aggregate posterior. Left: draws from it, the roll spread out to fill a disc, in order of colour, with an empty seam between neighbouring windings. Right: the ratio of q(z) to the prior in grey; the red points, prior draws that decode off the roll, trace the pale seam."}}
z_prior = vae.prior().sample(seeded(21), shape=(10_000,))
# 999 of 1,000 true points lie above
floor = roll.log_prob(roll.sample(100_000, seed=20)).quantile(0.001)
off = roll.log_prob(vae.p(0, z_prior).sample(seeded(22)).double()) < floor
left, right = plots.axes_row(2, size=3.4)
plots.points(
    vae.q(1, x_u.float()).sample(seeded(16)), left, color=u,
    title="draws from q(z)", limit=2.5, plane="z")
plots.plt.colorbar(
    left.collections[0], ax=left, label="u, place along the roll", shrink=0.6)
grid = plots.grid(2.5, n=100)
log_ratio = aggregate.log_prob(grid) - vae.prior().log_prob(grid)
# twice p(z) and more: black
plots.density(log_ratio.clamp(max=math.log(2)), right, limit=2.5, plane="z")
title = "q(z)/p(z); red: decodes off the roll"
_ = plots.points(
    z_prior[off][:1000], right, color=plots.ERROR, size=3, limit=2.5,
    title=title, plane="z")

# %% [markdown]
# The encoder has wound the roll up so that it nearly fills the disc of the prior. It cannot fill it: neighbouring
# windings belong to different arms, and between them runs a seam where no data point has its code. The prior knows
# nothing of the seam. A $z$ drawn there is decoded to something between two arms. The red points trace the seam.
#
# Sort the prior's draws by $\log q(z)/p(z)$, and count.

# %%
order = (aggregate.log_prob(z_prior) - vae.prior().log_prob(z_prior)).argsort()
shares = [off[fifth].double().mean().item() for fifth in order.chunk(5)]
print("share off the roll, by fifths from thin q(z) to dense: "
      + ", ".join(f"≈ {share:.3f}" for share in shares))
assert shares[0] > 0.25
assert shares[0] > sum(shares[1:])
assert shares[0] > 5 * max(shares[3:])

# %% [markdown]
# Most of the stray samples come from the fifth of the prior where the aggregate posterior is thinnest.
#
# Walk there yourself. Drag the orange dot in the plane of $z$, click, press arrow keys, or move the sliders. On the
# right the decoder answers with its mean and with ellipses of one and two of its standard deviations. The squares are
# the data points whose codes lie close to $z$. **Predict first:** take $z$ from one winding of blue codes to the next,
# across a seam. Does $x$ jump from arm to arm? And how wide will the decoder say it is on the way?

# %%
widgets.latent_explorer(vae, roll.sample(800, seed=27), roll)

# %% [markdown]
# A network is a continuous function of $z$, so $x$ cannot jump. It crosses the gap, and for a while the squares light up
# on both sides of it and $x$ is on neither. On the way the ellipses grow, but not enough to reach both arms: the decoder
# was hardly ever asked here, and does not know that it should be unsure. In numbers, for the tenth of the prior's draws
# with the thinnest $q(z)/p(z)$ and for the denser half:

# %%
decoded = vae.p(0, z_prior)
mean_off = roll.log_prob(decoded.mean.double()) < floor
std = decoded.var.sqrt().mean(1)
for name, part in {
        "thinnest tenth": order[:1000], "denser half": order[5000:]}.items():
    print(f"{name:14}: decoded mean off the roll "
          f"≈ {mean_off[part].double().mean():.3f}, "
          f"std ≈ {std[part].mean():.3f}")
print(f"neighbouring arms are {2 * math.pi / roll.scale:.2f} apart")
assert (mean_off[order[:1000]].double().mean() > 0.5 > 0.02
        > mean_off[order[5000:]].double().mean())
assert 1.2 * std[order[5000:]].mean() < std[order[:1000]].mean() < 0.45

# %% [markdown]
# So draw $z$ from the aggregate posterior instead: take a data point, encode it, draw, decode.

# %%
samples = {
    "data": roll.sample(10_000, seed=23),
    "z from q(z)": vae.p(0, vae.q(1, x).sample(seeded(24))).sample(seeded(25)),
    "z from the prior": bound.generate(vae, 10_000, seeded(26)),
}
outlier_share = {}
for name, points in samples.items():
    exact = roll.log_prob(points.double())
    # what evaluate.outlier_share does
    outlier_share[name] = (exact < floor).double().mean().item()
    print(f"{name:16}: off the roll ≈ {outlier_share[name]:.3f}, mean exact "
          f"log p(x) ≈ {exact.mean():.2f} nats")
assert outlier_share["data"] < 0.003
assert 2.5 * outlier_share["z from q(z)"] < outlier_share["z from the prior"]

# %% [markdown]
# The same decoder strays several times less often. This is how to read the slogan of the slides, "VAEs are good for
# reconstruction, but not good at generating": reconstruction starts from $q(z)$, generation from $p(z)$.
# What is bad is the mismatch, and there are ways to shrink it: a prior that is learned (Tomczak & Welling 2018),
# a second model for $z$ (Dai & Wipf 2019), more levels (notebook 02). A diffusion model has almost none by
# construction (notebook 03).
#
# ## 10 The ruler

# %% mystnb={"image": {"alt": "The VAE has gone most of the way to the truth. The ruler in nats: the unit Gaussian far to the right, the VAE's ELBO well below it, its importance-weighted bound with a thousand draws further left, the entropy as a black line at the left end."}}
rows = {"unit Gaussian": math.log(2 * math.pi) + 1, "VAE, ELBO": H + iwae[1][0]}
rows["VAE, IWAE K = 1000"] = H + iwae[1000][0]
_ = plots.ruler(
    rows, H,
    errors={name: iwae[1][1] for name in rows if name.startswith("VAE")})

# %% [markdown]
# The VAE has gone most of the way from knowing nothing to the truth. Of what is left, by the one count (1.11) less
# than half is the looseness of the bound and the rest is the model. By the other count (1.14) about half or more is
# the prior's mismatch. The two counts cut the same distance in two ways; they do not add up.
# All this is one training.

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** A trained VAE, a data point x and some z are given. Which density can be evaluated without an integral?
#
# <details><summary>The likelihood p(x).</summary>
#
# **No.** It is the number one wants. But it is the integral (1.2) over all $z$.
#
# </details>
#
# <details><summary>The true posterior p(z | x).</summary>
#
# **No.** It looks like a simple ratio, $p(x, z)/p(x)$. Its denominator is the integral (1.2).
#
# </details>
#
# <details><summary>The joint p(x, z).</summary>
#
# **Yes.** It is the prior's density times the decoder's (1.1), both Gaussians.
#
# </details>
#
# <details><summary>The aggregate posterior q(z).</summary>
#
# **No.** It is a mean over the data's density, an integral. Its estimate (1.13) is a finite sum, but takes many
# data points.
#
# </details>
#
# **Question.** Suppose q(z | x) is exactly the model's posterior. By how much do single draws of the ELBO at one x scatter?
#
# <details><summary>Not at all.</summary>
#
# **Yes.** $p(x, z)/p(z \mid x) = p(x)$ for every $z$. One draw gives the evidence.
#
# </details>
#
# <details><summary>As much as the reconstruction term does.</summary>
#
# **No.** That term does scatter. But the log ratio of prior and $q$ scatters the opposite way.
#
# </details>
#
# <details><summary>It depends on the number of draws, like 1/√K.</summary>
#
# **No.** That is true of any mean of noisy numbers. These numbers have no noise.
#
# </details>
#
# <details><summary>It cannot be said without knowing the decoder.</summary>
#
# **No.** It can: (1.6) holds for every decoder.
#
# </details>
#
# **Question.** You train only the encoder for a while, and the ELBO rises by 0.1 nats. What became of log p(x)?
#
# <details><summary>It rose by 0.1 nats.</summary>
#
# **No.** The bound rose, and it bounds $\log p(x)$ from below. But $\log p_\theta(x)$ does not contain the encoder.
#
# </details>
#
# <details><summary>It rose by less than 0.1 nats.</summary>
#
# **No.** It did not move at all: $\theta$ is as it was.
#
# </details>
#
# <details><summary>It fell, because the two terms work against each other.</summary>
#
# **No.** Reconstruction and KL pull in opposite directions, but in the ELBO. The likelihood depends on the decoder
# and the prior only.
#
# </details>
#
# <details><summary>Nothing. The bound became tighter.</summary>
#
# **Yes.** By (1.6) the gap, the KL from $q$ to the posterior, has shrunk by 0.1 nats.
#
# </details>
#
# **Question.** Some samples of the VAE lie between the arms of the roll. What is the main reason?
#
# <details><summary>The decoder adds noise to each sample.</summary>
#
# **No.** That noise is right: the roll has a thickness. But the decoded means in the holes lie between the arms
# already.
#
# </details>
#
# <details><summary>The prior draws z where no data point has its code.</summary>
#
# **Yes.** The aggregate posterior has seams that the prior does not have (1.14). The decoder was hardly ever asked
# there.
#
# </details>
#
# <details><summary>Two latent dimensions are too few.</summary>
#
# **No.** The roll is itself a curve with noise in two dimensions.
#
# </details>
#
# <details><summary>The ELBO is only a bound.</summary>
#
# **No.** The bound is loose, but that is not the reason: drawn from $q(z)$, the same decoder strays several times less
# often.
#
# </details>

# %% [markdown]
# ## Project: A VAE without holes?
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Section 9 finds the prior's mismatch to be half of the distance to $H$ or more. Shrink it. Ideas: a prior that is a
# mixture with learned means, a prior fitted to the aggregate posterior after training, a $q$ with a full covariance,
# weights on the KL that change during training. Report what became of each of the terms in (1.11) and in (1.14).
#
# - The change is stated as a change of p(z), of q or of the training, with the equation that it touches.
# - The score is a lower bound on log p(x) still, and a check shows it (on a model with known evidence, as Toy).
# - Both splits, (1.11) and (1.14), before and after, paired with the exact log p(x), with standard errors.
# - The share of samples off the roll, before and after, at the same number of points.
# - One paragraph on what did not get better, and why.

# %% [markdown]
# ## Recap
#
# - Only $x$ is observed. The joint can be evaluated (1.1), the likelihood is an integral over $z$ (1.2), and its log
#   stands outside the average (1.3).
# - Draws from the prior miss the $z$ that matter, and miss them more in more dimensions (1.4).
# - $\log p_\theta(x) = \mathrm{ELBO}(x) + \mathrm{KL}\big(q(z \mid x) \,\|\, p_\theta(z \mid x)\big)$: a bound (1.5),
#   with a gap that has a name (1.6).
# - Both gradients of an expectation are unbiased (1.7), (1.8). For a sum over coordinates the reparameterised one does not get
#   noisier with the dimension.
# - The ELBO is reconstruction minus KL to the prior (1.9), (1.10). Each without the other is useless.
# - The distance to $H$ splits into a wrong model and a loose bound (1.11); importance weighting removes the second
#   (1.12). It also splits into prior mismatch and decoder error (1.14).
# - Samples between the arms come from holes of the aggregate posterior (1.13).
#
# | symbol | code | file |
# | --- | --- | --- |
# | $q_\phi(z \mid x)$, $p_\theta(x \mid z)$, $p(z)$ | `VAE.q`, `VAE.p`, `VAE.prior` | `vae.py` |
# | the terms of $\mathrm{ELBO}(x)$ | `bound`, `Bound` | `bound.py` |
# | $\log w_k$, $\mathrm{IWAE}_K$ | `log_weights`, `importance_weighted` | `bound.py` |
# | $x \sim p_\theta$ | `generate` | `bound.py` |
# | $m + \sigma\,\varepsilon$ | `Gaussian.sample` | `gaussian.py` |
# | $\mathrm{KL}(q \,\|\, p)$ | `kl` | `gaussian.py` |
# | $p(x)$, $p(z \mid x)$ of a linear-Gaussian pair | `marginal`, `condition` | `gaussian.py` |
# | $-\mathrm{ELBO}$ as a loss | `elbo_loss`, `Trainer` | `losses.py`, `trainer.py` |
# | $q(z)$ | `Mixture` | `oracles.py` |
# | distance to $H$ | `gap` | `evaluate.py` |
# | share off the roll | `outlier_share` | `evaluate.py` |
#
# **The way on.** One level of latents has to do two things at once: follow the roll, and look like a Gaussian.
# Notebook 02 puts more levels between the two, and scores them with the same function `bound.bound`.
#
# **References**
#
# - *Diffusion Models*, lecture slides without an author's name
# - Alemi et al. (2018), *Fixing a broken ELBO*, [arXiv:1711.00464](https://arxiv.org/abs/1711.00464)
# - Burda, Grosse, Salakhutdinov (2016), *Importance weighted autoencoders*,
#   [arXiv:1509.00519](https://arxiv.org/abs/1509.00519)
# - Cremer, Li, Duvenaud (2018), *Inference suboptimality in variational autoencoders*,
#   [arXiv:1801.03558](https://arxiv.org/abs/1801.03558)
# - Dai, Wipf (2019), *Diagnosing and enhancing VAE models*, [arXiv:1903.05789](https://arxiv.org/abs/1903.05789)
# - Higgins et al. (2017), *β-VAE: learning basic visual concepts with a constrained variational framework*, ICLR
# - Hoffman, Johnson (2016), *ELBO surgery: yet another way to carve up the variational evidence lower bound*, NIPS
#   workshop on advances in approximate Bayesian inference
# - Kingma, Welling (2014), *Auto-encoding variational Bayes*, [arXiv:1312.6114](https://arxiv.org/abs/1312.6114)
# - Li (2022), *Deep Learning 21: Diffusion Models (1)*, blog,
#   [ireneli.eu](https://ireneli.eu/2022/11/08/deep-learning-21-diffusion-models-1/)
# - Rezende, Mohamed, Wierstra (2014), *Stochastic backpropagation and approximate inference in deep generative
#   models*, [arXiv:1401.4082](https://arxiv.org/abs/1401.4082)
# - Rybkin, Daniilidis, Levine (2021), *Simple and effective VAE training with calibrated decoders*,
#   [arXiv:2006.13202](https://arxiv.org/abs/2006.13202)
# - Tomczak, Welling (2018), *VAE with a VampPrior*, [arXiv:1705.07120](https://arxiv.org/abs/1705.07120)
# - Turner (2021), *Diffusion models as a kind of VAE*, blog
# - Williams (1992), *Simple statistical gradient-following algorithms for connectionist reinforcement learning*,
#   [doi:10.1007/BF00992696](https://doi.org/10.1007/BF00992696)
