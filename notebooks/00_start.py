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
# # Start here: what would a perfect model score?
#
# A *generative model* sees examples and learns to make more of the same kind. This course trains three kinds on one
# small data set, and at the end on images: the variational autoencoder, the hierarchical variational autoencoder, and
# the diffusion model. They turn out to be one kind. To see that, and to believe it, we need to measure. This notebook
# builds the ruler.
#
# **The question.** A model of some data gets a score, a number. How good could that number be at all?
#
# **Afterwards you can**
# - say what a log likelihood in nats means, and what its best possible value is,
# - compute the exact density, its slope and its entropy for our data set at every noise level,
# - tell a sample distance that means something from one that is noise.
#
# **Time** about 30 minutes to read, and 40 for the exercises, both estimates. All cells run within a minute on two
# cores. **You need** Python with PyTorch's tensors, and from mathematics: a probability density, an expectation, also
# a conditional one, Bayes' rule, a variance, an integral and a gradient.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import checks, evaluate, plots
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture

# %% [markdown]
# `diffusion_edu` is the library that comes with the course. The table at the end of each
# notebook says which of them holds which formula.
#
# ## The data
#
# Our data are points in the plane. `scikit-learn` draws them along a spiral, the *swiss roll*, and adds a
# little Gaussian noise. We keep two of its three columns, subtract the mean, and divide by one number, the *scale*.
# Every notebook but 05 uses these points.

# %% mystnb={"image": {"alt": "The data lie around a curve: three thousand grey points along a spiral of one and a half turns, with the exact curve over them as a thin black line."}}
plots.use_style()
roll = SwissRoll()
x = roll.sample(3000, seed=0)
line = roll.curve(torch.linspace(0, 1, 400))
ax = plots.points(x, title="3,000 points and the curve they scatter around")
_ = plots.truth(line[:, 0], line[:, 1], ax, label=None)

# %% [markdown]
# A point is made in two steps. First draw a place along the curve, $u \sim U(0, 1)$, and go to $c(u)$. Then
# add noise of standard deviation $\delta$ in both directions:
#
# $$ x = c(u) + \delta\,\varepsilon, \qquad u \sim U(0, 1), \quad \varepsilon \sim N(0, I). \tag{0.1} $$
#
# - $U(0, 1)$: evenly distributed between 0 and 1. The sign $\sim$ says "is drawn from".
# - $N(0, I)$: the *unit Gaussian*, here two independent numbers with mean 0 and variance 1. In general $N(m, v I)$ has
#   the mean $m$ and, in each direction, the variance $v$. $I$ is the identity matrix.
# - $c(u)$: the raw curve $(\theta \cos\theta, \theta \sin\theta)$ with $\theta = \tfrac{3\pi}{2}(1 + 2u)$, minus its
#   mean, divided by the scale. `scikit-learn` adds noise of standard deviation 0.5 to the raw curve, so $\delta$ is 0.5
#   divided by the scale.
#
# The mean of the raw curve is an integral over $u$ that can be done by parts: $(2, \tfrac{2}{3\pi})$. The library
# subtracts the same.

# %%
print(f"mean  {roll.shift[0]:.4f}, {roll.shift[1]:.4f}     "
      f"scale {roll.scale:.5f}     δ {0.5 / roll.scale:.4f}")
torch.testing.assert_close(
    torch.from_numpy(roll.shift),
    torch.tensor([2.0, 2 / (3 * torch.pi)], dtype=torch.float64))

# %% [markdown]
# The scale is the same for both axes. It makes the variance one, on average over the two
# axes. A large sample must agree. What stands behind ± here, and in the whole course, is
# the *standard error* of the mean: the standard deviation of the $n$ numbers averaged, divided by $\sqrt{n}$. By chance
# alone a mean is off by more than four standard errors less than once in ten thousand times, so we allow four.

# %%
big = roll.sample(200_000, seed=1)
mean, se = evaluate.mean_and_error(big.square().mean(1))
print(f"mean square per axis {mean:.3f} ± {se:.3f}")
assert abs(mean - 1) < 4 * se

# %% [markdown]
# ## The density
#
# We know how a point is made, so we know how likely it is. Write $N(x; m, v I)$ for the density of $N(m, v I)$ at the
# point $x$. Given $u$, the point has the density $N(x; c(u), \delta^2 I)$. Average this over all the places $u$ that it may
# have come from:
#
# $$ p(x) = \int_0^1 N\big(x;\, c(u),\, \delta^2 I\big)\, du. \tag{0.2} $$
#
# Few data sets come with their density. This one does: (0.2) is an integral over one number $u$, and the
# integrand is smooth. Gauss–Legendre quadrature is a good rule for such integrals. It replaces ours by a weighted sum
# over some five hundred values $u_k$, the *nodes*: $p(x) \approx \sum_k w_k\, N(x; c(u_k), \delta^2 I)$.
#
# A weighted sum of Gaussian densities, with weights that add up to one, is called a *mixture* of Gaussians. The library
# makes one with `Mixture(weights, means, variances)`. `SwissRoll` is such a `Mixture`: `roll.weights` holds the $w_k$,
# `roll.means` the $c(u_k)$ and `roll.variances` the $\delta^2$. `roll.log_prob(x)` is $\log p(x)$. Are there enough nodes?
# Twice as many must give the same.

# %%
finer = SwissRoll(nodes=1024)
difference = (roll.log_prob(x) - finer.log_prob(x)).abs().max()
print(f"{len(roll.weights)} against {len(finer.weights)} nodes: "
      f"log p differs by less than 1e-9: {difference < 1e-9}")
assert difference < 1e-9

# %% mystnb={"image": {"alt": "The samples lie where the density is high. Left: the exact density as a grey spiral, darkest at the inner end. Right: grey sample points over the same density, paler."}}
grid = plots.grid()
left, right = plots.axes_row(2, size=3)
plots.density(roll.log_prob(grid), left, title="exact density p(x)")
plots.density(roll.log_prob(grid), right).images[0].set_alpha(0.3)
_ = plots.points(
    x[:1000], right, size=3, alpha=1, title="the samples over it, paler")

# %% [markdown]
# The inner end is the darkest, that is the densest part. Equal steps in $u$ are equal angles, and an angle spans less
# of the curve where the radius is small, so points crowd there.
#
# A density must integrate to one. A sum over a fine grid is enough to check.

# %%
fine = plots.grid(limit=3.0, n=600)
cell = (6.0 / 599) ** 2
total = roll.log_prob(fine).exp().sum() * cell
print(f"integral of the density: {total:.6f}")
torch.testing.assert_close(
    total, torch.tensor(1.0, dtype=torch.float64), rtol=1e-6, atol=0)

# %% [markdown]
# ## Nats
#
# A model is a density $p_\theta$ of its own; $\theta$ stands for the numbers in it that are learned, its parameters.
# $\log p_\theta(x)$ is the *log likelihood* of the point $x$, and $-\log p_\theta(x)$ says how surprising the point is to
# the model. We score a model by its mean surprise over data points. With the natural logarithm the unit is the *nat*.
# Lower is better.
#
# What is the best score? Compare a model with the truth $p$. $\mathbb{E}_x$ is the mean over data points, $x \sim p$. Add
# $\log p(x)$ and subtract it again:
#
# $$ \mathbb{E}_x[-\log p_\theta(x)] = \underbrace{\mathbb{E}_x[-\log p(x)]}_{H} + \underbrace{\mathbb{E}_x\!\left[\log \frac{p(x)}{p_\theta(x)}\right]}_{\mathrm{KL}(p \,\|\, p_\theta)\; \ge\; 0}. \tag{0.3} $$
#
# <details><summary>Why the second term cannot be negative</summary>
#
# The logarithm is concave: it bends downwards. Jensen's inequality says that for such a function the mean of the
# function is at most the function of the mean, $\mathbb{E}[\log w] \le \log \mathbb{E}[w]$, with equality only if $w$ is
# constant. Take $w = \tfrac{p_\theta}{p}$. Then
# $-\mathbb{E}_x[\log \tfrac{p_\theta}{p}] \ge -\log \mathbb{E}_x[\tfrac{p_\theta}{p}] = -\log \int p_\theta(x)\, dx = 0$.
# It is zero only if the two densities are equal.
#
# </details>
#
# So no model can come below the *entropy* $H$ of the data, and only the truth reaches it. The distance to $H$
# is the Kullback–Leibler divergence from the truth to the model, KL for short. For most data nobody knows $H$. Here we
# can compute it as an integral over the plane. We can also estimate it as a mean over samples, which is called a Monte
# Carlo estimate. They must agree.

# %%
H = roll.entropy()
surprise = -roll.log_prob(big)
mean, se = evaluate.mean_and_error(surprise)
print(f"H by quadrature {H:.4f} nats,   by Monte Carlo {mean:.4f} ± {se:.4f}")
assert abs(mean - H) < 4 * se

# %% [markdown]
# The simplest model is a Gaussian. In one dimension, with mean $m$ and standard deviation $\sigma$, its density is
#
# $$ N(x; m, \sigma^2) = \frac{1}{\sqrt{2\pi}\, \sigma} \exp\!\Big({-\frac{(x - m)^2}{2 \sigma^2}}\Big). \tag{0.3a} $$
#
# In $N(x; m, \sigma^2 I)$ the point $x$ has $D$ coordinates. Each is such a Gaussian, independent of the others. Densities
# then multiply, and their logs add.
#
# Now you. An exercise like the next one asks you to put something in the place of `...` and to run the cell, which
# tells you what is right or wrong with it. `checks.progress()` shows what you have done. It is kept in a small file
# on your own machine.

# %% [markdown]
# **Exercise: the log density of a Gaussian.** *8 minutes, easy.*
#
# Write $\log N(x; m, \sigma^2 I)$ in nats, from (0.3a). `x` has the shape (..., D), `mean` (D,), and `std` is $\sigma$, a
# tensor that holds one number. A data point is a vector: return one number for each, of the shape (...).

# %%
def my_log_normal(x, mean, std):
    """log N(x; mean, std² I) in nats, one number per data point."""
    return ...


checks.log_normal(my_log_normal)

# %% [markdown]
# <details><summary>Hint 1: the log density of a Gaussian</summary>
#
# First one dimension. The log of (0.3a) has no exponential left. Which three terms does it have?
#
# </details>
#
# <details><summary>Hint 2: the log density of a Gaussian</summary>
#
# $-\tfrac12 \log 2\pi$, $-\log \sigma$ and $-\tfrac{(x - m)^2}{2 \sigma^2}$. The logs of the dimensions add: each of the three
# terms is summed over the last axis, so the first two count $D$ times.
#
# </details>
#
# <details><summary>Solution: the log density of a Gaussian</summary>
#
# ```python
# def my_log_normal(x, mean, std):
#     """log N(x; mean, std² I) in nats, one number per data point."""
#     square = (x - mean) ** 2 / (2 * std**2)
#     return -(square + torch.log(2 * torch.pi * std**2) / 2).sum(-1)
# ```
#
# </details>

# %% [markdown]
# How does a model fare that knows almost nothing? Take the Gaussian with the right mean and variance, $N(0, I)$. Only
# $\mathbb{E}|x|^2$ is needed, the mean of $x_1^2 + x_2^2$. It is 2, since the variance is one per axis:
#
# $$ \begin{aligned}
# \mathbb{E}[-\log N(x; 0, I)] &= \tfrac{D}{2} \log 2\pi + \tfrac12 \mathbb{E}|x|^2 \\
# &= \log 2\pi + 1 \qquad (D = 2).
# \end{aligned} \tag{0.4} $$

# %%
from diffusion_edu.gaussian import Gaussian

unit = Gaussian(
    torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))
know_nothing = math.log(2 * math.pi) + 1
print(f"unit Gaussian {know_nothing:.4f} nats,   from the samples "
      f"{-unit.log_prob(big).mean():.3f}")
print(f"between knowing nothing and perfection: {know_nothing - H:.3f} nats")
assert abs(-unit.log_prob(big).mean().item() - know_nothing) < 0.01

# %% [markdown]
# These two numbers are the ends of the ruler. How much is a nat? Take a model that knows the curve exactly but believes in too much noise, or in too
# little. It is a mixture like our data, with other variances.

# %% [markdown]
# **Exercise: is it worse to be too sure or too unsure?** *4 minutes, easy.*
#
# **Predict first.** Four models of the roll: three know the curve exactly, but believe in half, twice and three
# times the true noise $\delta$; one is the unit Gaussian. Order them by their distance to $H$, the best first.

# %%
my_too_sure = [...]  # 'noise × ½', 'noise × 2', 'noise × 3', 'unit Gaussian'
checks.too_sure(my_too_sure)

# %% [markdown]
# <details><summary>Hint 1: is it worse to be too sure or too unsure?</summary>
#
# By (0.3) the distance is a mean of $\log p/p_\theta$ over *true* points. Which model gives some true points a very
# low density?
#
# </details>
#
# <details><summary>Hint 2: is it worse to be too sure or too unsure?</summary>
#
# Across the curve, a true point lies $\delta$ away, typically. In units of the model's noise that is 2, ½ or ⅓, and half
# its square is the price; the width of the Gaussian costs its logarithm.
#
# </details>
#
# <details><summary>Solution: is it worse to be too sure or too unsure?</summary>
#
# ```python
# # the best first
# my_too_sure = ['noise × 2', 'noise × 3', 'noise × ½', 'unit Gaussian']
# ```
#
# </details>

# %% mystnb={"image": {"alt": "Twice the noise costs a fifth of the ruler, four times the noise more than half. Three models as orange dots on an axis in nats, to the right of the black line at the entropy, where the truth is; the unit Gaussian is the furthest."}}
scores = {}
for factor in (2, 4):
    blurred = Mixture(roll.weights, roll.means, factor**2 * roll.variances)
    scores[f"right curve, noise × {factor}"] = -blurred.log_prob(
        big[:50_000]).mean().item()
scores["unit Gaussian"] = know_nothing
_ = plots.ruler(scores, H)

# %% [markdown]
# The label behind each dot is its distance to $H$. Twice the noise costs about a fifth of the whole ruler, four
# times the noise more than half of it. (The axis says −bound, here $-\log p_\theta(x)$ itself.)
#
# ## The truth at every noise level
#
# Diffusion models add noise to data. Write $x_0$ for a clean point and $x_t$ for a noisy one; $t$ will count steps of
# noise, here it is only a name. With a signal share $\bar\alpha$ between 1 (clean) and 0 (noise only),
#
# $$ x_t = \sqrt{\bar\alpha}\, x_0 + \sqrt{1 - \bar\alpha}\;\varepsilon, \qquad \varepsilon \sim N(0, I). \tag{0.5} $$
#
# The roots are there for the variances. Those of independent numbers add, and here they add up to
# $\bar\alpha + 1 - \bar\alpha = 1$ if $x_0$ has variance one. So $x_t$ has it too.
#
# Put (0.1) into (0.5). Then $x_t = \sqrt{\bar\alpha}\, c(u)$ plus two independent noises, the data's own,
# $\sqrt{\bar\alpha}\, \delta\, \varepsilon'$, and the added one, $\sqrt{1 - \bar\alpha}\, \varepsilon$. Together they are one
# Gaussian noise of variance $\bar\alpha \delta^2 + 1 - \bar\alpha$. So $x_t$ is again a point on a curve, a smaller one, plus
# Gaussian noise:
#
# $$ p(x_t) = \int_0^1 N\big(x_t;\, \sqrt{\bar\alpha}\, c(u),\, (\bar\alpha \delta^2 + 1 - \bar\alpha) I\big)\, du. \tag{0.6} $$
#
# `roll.log_prob(xt, alpha_bar)` is its log.
#
# In the computer (0.6) is a weighted sum, as (0.2) was. Far from the data each density in it is smaller than any number
# a computer can hold. So densities are added by their logs: `torch.logsumexp` returns $\log \sum_k e^{l_k}$ from the
# logs $l_k$, and stays finite.

# %% [markdown]
# **Exercise: the density at every noise level.** *15 minutes, medium.*
#
# Write (0.6) as a sum. The clean data come from $K$ places `means` (K, D), chosen with probability `weights` (K,),
# plus noise of variance `var` (a number). `alpha_bar` is $\bar\alpha$. Return $\log p(x_t)$ in nats for points `xt`
# (..., D). It has to stay finite far away from the data.

# %%
def my_noisy_log_prob(xt, weights, means, var, alpha_bar):
    """log p(x_t) of a mixture of Gaussians after noise was added, one number
    per point."""
    return ...


checks.noisy_log_prob(my_noisy_log_prob)

# %% [markdown]
# <details><summary>Hint 1: the density at every noise level</summary>
#
# Compare with (0.6), letter by letter. What stands for $c(u)$, for the average over $u$, and for $\delta^2$?
#
# </details>
#
# <details><summary>Hint 2: the density at every noise level</summary>
#
# Make all distances with `xt.unsqueeze(-2) - ...`, of the shape (..., K, D). The log of a weighted sum of
# exponentials is `torch.logsumexp(log_weights + log_densities, -1)`.
#
# </details>
#
# <details><summary>Solution: the density at every noise level</summary>
#
# ```python
# def my_noisy_log_prob(xt, weights, means, var, alpha_bar):
#     """log p(x_t) of a mixture of Gaussians after noise was added, one number
#     per point."""
#     total = alpha_bar * var + 1 - alpha_bar
#     # (..., K)
#     square = (xt.unsqueeze(-2) - alpha_bar**0.5 * means).square().sum(-1)
#     D = means.shape[-1]
#     log_normal = -square / (2 * total) - D / 2 * torch.log(2 * torch.pi * total)
#     return torch.logsumexp(weights.log() + log_normal, -1)
# ```
#
# </details>

# %% mystnb={"image": {"alt": "Noise takes the arms first, then the shape: in five panels from clean to noisy the exact density of the swiss roll blurs, shrinks and becomes a round Gaussian blob."}}
levels = [1.0, 0.98, 0.8, 0.4, 0.01]
for alpha_bar, ax in zip(levels, plots.axes_row(5, size=1.9), strict=True):
    plots.density(roll.log_prob(grid, alpha_bar), ax, title=f"ᾱ = {alpha_bar}")

# %% [markdown]
# The arms blur into each other until only a round Gaussian is left.
#
# With the density come two functions that diffusion models learn. The *score* is the gradient of its log with respect
# to the point, $\nabla \log p(x_t)$. It points to where the data are denser. (The name is unlucky: it has nothing to do
# with a model's score in nats.) The other function is the best guess of the noise: the mean of $\varepsilon$ over all the
# ways in which this $x_t$ may have come about, $\mathbb{E}[\varepsilon \mid x_t]$. No other guess has a smaller mean
# squared error. By Tweedie's formula (Efron 2011) it is the score up to a factor:
#
# $$ \mathbb{E}[\varepsilon \mid x_t] = -\sqrt{1 - \bar\alpha}\; \nabla \log p(x_t). \tag{0.7} $$
#
# <details><summary>Proof of (0.7)</summary>
#
# Write $p(x_t) = \int p(x_0)\, N(x_t; \sqrt{\bar\alpha} x_0, (1-\bar\alpha) I)\, dx_0$ and differentiate under the
# integral. Each Gaussian contributes the factor $-(x_t - \sqrt{\bar\alpha} x_0)/(1 - \bar\alpha)$, which by (0.5) is
# $-\varepsilon/\sqrt{1 - \bar\alpha}$. Dividing by $p(x_t)$ turns the integral into an average over
# $p(x_0 \mid x_t)$, so $\nabla \log p(x_t) = -\mathbb{E}[\varepsilon \mid x_t]/\sqrt{1 - \bar\alpha}$.
#
# </details>

# %% [markdown]
# **Exercise: the best guess of the noise.** *8 minutes, medium.*
#
# Write (0.7). `log_prob(xt)` returns $\log p(x_t)$ for points (..., D), and you know nothing else of the density:
# take its slope with automatic differentiation. Return $\mathbb{E}[\varepsilon \mid x_t]$, of the shape of `xt`.

# %%
def my_noise_guess(log_prob, xt, alpha_bar):
    """E[ε|x_t] from the log density of x_t."""
    return ...


checks.noise_guess(my_noise_guess)

# %% [markdown]
# <details><summary>Hint 1: the best guess of the noise</summary>
#
# `torch.autograd.grad(y, x)` gives the slope of one number `y`, so take the sum over the points. Which factor does (0.7)
# put in front of it, and with which sign?
#
# </details>
#
# <details><summary>Hint 2: the best guess of the noise</summary>
#
# `xt = xt.clone().requires_grad_()`, then `(score,) = torch.autograd.grad(log_prob(xt).sum(), xt)`. The factor is
# minus the standard deviation of the noise in (0.5).
#
# </details>
#
# <details><summary>Solution: the best guess of the noise</summary>
#
# ```python
# def my_noise_guess(log_prob, xt, alpha_bar):
#     """E[ε|x_t] from the log density of x_t."""
#     xt = xt.clone().requires_grad_()
#     (score,) = torch.autograd.grad(log_prob(xt).sum(), xt)
#     return -((1 - alpha_bar) ** 0.5) * score
# ```
#
# </details>

# %% [markdown]
# The library has the score as a formula. Automatic differentiation of the log density must give the same.
# Five points have five log densities. Each depends on its own point only, so the slope of their sum holds the
# slopes of all.

# %%
alpha_bar = 0.8
eps = torch.randn(
    5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
xt = (alpha_bar**0.5 * roll.sample(5, seed=2)
      + (1 - alpha_bar) ** 0.5 * eps).requires_grad_()
(slope,) = torch.autograd.grad(roll.log_prob(xt, alpha_bar).sum(), xt)
torch.testing.assert_close(slope, roll.score(xt, alpha_bar))
torch.testing.assert_close(
    -((1 - alpha_bar) ** 0.5) * slope, roll.eps_mean(xt, alpha_bar))

# %% [markdown]
# As arrows, each panel at its own scale, the score is a wind that blows towards the data. With much noise, on the left, it blows towards the
# middle. With little noise, on the right, it blows towards the nearest arm. A diffusion model that generates follows it
# from noise to data, and adds a little noise at each step.

# %% mystnb={"image": {"alt": "The score points to where the data are denser. Black arrows over the density: at low signal all point to the centre, at intermediate levels they begin to bend, at high signal they point to the nearest arm of the spiral."}}
coarse = plots.grid(limit=2.0, n=15)
for alpha_bar, ax in zip(
        [0.1, 0.8, 0.97], plots.axes_row(3, size=2.7), strict=True):
    plots.density(roll.log_prob(grid, alpha_bar), ax)
    plots.field(
        coarse, roll.score(coarse, alpha_bar), ax, plots.TRUTH,
        f"score at ᾱ = {alpha_bar}")

# %% [markdown]
# The entropy, too, is known at every level. Noise is also measured by the *signal-to-noise ratio*
# $\mathrm{SNR} = \bar\alpha/(1 - \bar\alpha)$, or its log. Solving for $\bar\alpha$ gives the sigmoid of log SNR,
# $\bar\alpha = 1/(1 + e^{-\log \mathrm{SNR}})$. From right to left, from clean to noisy, the entropy
# rises from $H$ to (0.4).

# %% mystnb={"image": {"alt": "The less noise, the lower the entropy: against log SNR it falls smoothly from the unit Gaussian's 2.838 nats to the data's 1.351 nats."}}
log_snr = torch.linspace(-6, 10, 17, dtype=torch.float64)
entropies = [roll.entropy(a.item()) for a in log_snr.sigmoid()]
ax = plots.truth(log_snr, entropies, marker=".")
ax.axhline(
    know_nothing, color=plots.DATA, linestyle="--", label="the unit Gaussian")
ax.axhline(H, color=plots.DATA, linestyle=":", label="H, the clean roll")
ax.set(xlabel="log SNR = log ᾱ/(1 − ᾱ)", ylabel="entropy, nats")
_ = ax.legend(loc="center left")

# %%
print(f"log SNR = 10: {entropies[-1]:.3f}   0: {roll.entropy(0.5):.3f}   −6: "
      f"{entropies[0]:.3f} nats;   clean, H: {H:.3f}")
assert all(
    a > b for a, b in zip(entropies[:-1], entropies[1:], strict=True)
), "it falls from each SNR to the next"
assert abs(entropies[0] - know_nothing) < 0.001

# %% [markdown]
# ## Comparing samples, and the noise floor
#
# A model that gives samples but no density has no score in nats. Then one compares two clouds of points. Three distances
# are common:
#
# - the *energy distance* (Székely & Rizzo 2013): how much further two points are from each other if they come from
#   different clouds than if they come from the same,
# - the *maximum mean discrepancy*, MMD² (Gretton et al. 2012): the same with a Gaussian kernel in place of the
#   distance, so that only near neighbours count,
# - the *sliced Wasserstein distance* $W_2$ (Bonneel et al. 2015): project both clouds onto a line, sort them, take the
#   root mean square of the differences; over many lines.
#
# In the limit of many points each is zero if and only if the distributions are equal. With a finite number they are
# not zero even for two samples of the *same* distribution. The mean over pairs of true samples is the *noise floor*. Single
# pairs scatter around it, so a distance says nothing without its floor and the floor's spread. Behind ± stands in this
# section the standard deviation over eight sets.
#
# **Predict first.** Two true samples of 500 points, or of 2,000: which pair is further apart, and by how much?

# %% tags=["hide-output"]
pairs, floors, seen = 8, {}, {}
for name, metric in evaluate.METRICS.items():
    few, many = (
        torch.tensor(evaluate.true_distances(metric, roll, n, pairs))
        for n in (500, 2000))
    floors[name], seen["true points", name] = many.mean(), many / many.mean()
    print(f"{name:16} 500 points {few.mean():.1e}, 2,000 {many.mean():.1e} "
          f"± {many.std():.1e}, ratio {few.mean() / many.mean():.1f}")
    assert few.mean() > many.mean() > 0

# %% [markdown]
# The floor falls with the number of points: the first two distances about like $1/n$, the third, which is a root, like
# $1/\sqrt{n}$. So we report a distance as a multiple of the floor at the same number of points.
#
# What do the distances see? Here is the roll with twice the noise, a flaw of a fifth of the ruler. Then two with
# something missing: the outer tenth of the curve, and all but its inner third. Of each we draw eight samples of 2,000 points.

# %%
place = roll.weights.cumsum(0)  # u at the nodes
parts = {"outer tenth missing": place < 0.9, "inner third only": place < 1 / 3}
flawed = {"true points": roll,
          "noise × 2": Mixture(roll.weights, roll.means, 4 * roll.variances)}
flawed |= {
    k: Mixture(roll.weights[part], roll.means[part], roll.variances[part])
    for k, part in parts.items()
}
for name, data in flawed.items():
    sets = [data.sample(2000, seed) for seed in range(100, 100 + pairs)]
    for key, metric in evaluate.METRICS.items():
        if data is not roll:
            seen[name, key] = torch.stack([
                metric(x, roll.sample(2000, 200 + i)) / floors[key]
                for i, x in enumerate(sets)
            ])
    seen[name, "mean log p"] = torch.tensor(
        [evaluate.mean_log_prob(x, roll) for x in sets])
    seen[name, "share off"] = torch.tensor(
        [evaluate.outlier_share(x, roll) for x in sets])
    rows = {key: values for (of, key), values in seen.items() if of == name}
    print(f"{name:20}",
          ",  ".join(
              f"{key} {v.mean():.3g} ± {v.std():.2g}" for key, v in rows.items()
          ))

# %%
assert seen["noise × 2", "MMD²"].min() > seen["true points", "MMD²"].max()
assert seen["noise × 2", "energy distance"].mean() < 2
assert seen["noise × 2", "share off"].min() > 0.05
for name in parts:
    assert (seen[name, "energy distance"].min()
            > seen["true points", "energy distance"].max())
    assert seen[name, "share off"].mean() < 0.004
    assert seen[name, "mean log p"].mean() > -H

# %% [markdown]
# The first three numbers are multiples of the floor. The other two only a known density can
# give. *Mean log p* is the mean of the exact log density over the samples; for true points it is $-H$. *Share off* is
# the share of samples where the true density is lower than at 999 of 1,000 true points.
#
# No single number sees everything. Twice the noise is within the scatter of true pairs for the energy distance and for
# $W_2$. MMD² separates it from every true pair, because its kernels are as narrow as the roll is thick. Mean log p
# and share off see it best: a tenth of the points lie off the roll. But these two look only at the points that are there. With
# a tenth of the roll missing, or two thirds, mean log p is *better* than the truth's and hardly a point lies off; the energy distance sees both at once.
#
# ## The ruler
#
# For most models of this course $\log p_\theta(x)$ cannot be computed, only a number that it is never below: a lower
# *bound*, which notebook 01 derives. So from now on every model gets one number, the mean of $-\text{bound}$ in nats, and
# a place between the two ends of the ruler.
#
# One last trick makes the ruler sharp. To estimate a model's distance to $H$, do not subtract $H$ from the mean of
# $-\log p_\theta(x)$. Take the difference to the exact $\log p(x)$ *of the same points*, point by point, as the
# expectation in (0.3) is written. The points' own spread cancels.

# %% [markdown]
# **Exercise: a sharp ruler.** *6 minutes, easy.*
#
# A model's distance to $H$, paired. `log_p` and `log_p_model` hold $\log p(x)$ and $\log p_\theta(x)$ of the same
# $n$ data points. Return the estimate of $\mathrm{KL}(p \,\|\, p_\theta)$ and its standard error.

# %%
def my_paired_gap(log_p, log_p_model):
    """The mean of log p(x) − log p_θ(x) over the points, and its standard
    error."""
    return ..., ...


checks.paired_gap(my_paired_gap)

# %% [markdown]
# <details><summary>Hint 1: a sharp ruler</summary>
#
# Make one number per point first. (0.3) says which.
#
# </details>
#
# <details><summary>Hint 2: a sharp ruler</summary>
#
# The standard error of a mean is the standard deviation of the numbers that are averaged, divided by $\sqrt{n}$.
# Those numbers are the differences.
#
# </details>
#
# <details><summary>Solution: a sharp ruler</summary>
#
# ```python
# def my_paired_gap(log_p, log_p_model):
#     """The mean of log p(x) − log p_θ(x) over the points, and its standard
#     error."""
#     difference = log_p - log_p_model
#     return difference.mean(), difference.std() / len(difference) ** 0.5
# ```
#
# </details>

# %% [markdown]
# How much does it help? Take a model that is nearly right, with a fifth too much noise.

# %%
nearly = Mixture(roll.weights, roll.means, 1.2**2 * roll.variances)
from_H = -nearly.log_prob(big[:10_000]) - H
paired = roll.log_prob(big[:10_000]) - nearly.log_prob(big[:10_000])
for name, values in {"minus H": from_H, "paired": paired}.items():
    mean, se = evaluate.mean_and_error(values)
    print(f"{name:8} {mean:.4f} ± {se:.4f} nats")
assert paired.std() < 0.5 * from_H.std()

# %% [markdown]
# The paired one has the smaller error. The closer a model follows $\log p(x)$, the more it
# gains.

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** A model scores 1.20 nats on 10,000 fresh points of the roll. The entropy of the roll is 1.35 nats. What happened?
#
# <details><summary>Something is wrong with the number.</summary>
#
# **Yes.** No density can score below $H$, except by the error of the mean. Perhaps the model's density does not
# integrate to one, or a log or a constant is missing.
#
# </details>
#
# <details><summary>The model is better than the truth.</summary>
#
# **No.** Lower is better, so it looks like a record. But by (0.3) the score is $H$ plus a KL divergence, and that is
# never negative.
#
# </details>
#
# <details><summary>It is the Monte Carlo error.</summary>
#
# **No.** A score from a sample may lie a little below $H$. But the error of a mean over 10,000 points is about a
# hundredth of a nat here, not 0.15.
#
# </details>
#
# <details><summary>The model has memorised its training data.</summary>
#
# **No.** That makes the score on the training points too good. These points are fresh, and a model that memorised
# others scores badly on them.
#
# </details>
#
# **Question.** The energy distance of 2,000 samples from 2,000 true points is twice its noise floor. What do you conclude?
#
# <details><summary>The model is nearly perfect.</summary>
#
# **No.** Near the floor sounds like near the truth. But the roll with twice the noise, a fifth of the ruler away
# from the truth, scores like that as well.
#
# </details>
#
# <details><summary>The model is wrong by a factor of two.</summary>
#
# **No.** A multiple of the floor is not a multiple of a flaw: with more points the floor falls, and the same model
# is at a larger multiple.
#
# </details>
#
# <details><summary>Not much: flaws of tenths of a nat can look like that.</summary>
#
# **Yes.** True pairs scatter as far. The exact log density of the samples, another distance, or
# more points would say more.
#
# </details>
#
# <details><summary>Nothing: a distance between samples never says anything.</summary>
#
# **No.** Compare it with its floor: it says something if the number of points is large enough for the flaw.
#
# </details>
#
# **Question.** The noise is strong, ᾱ = 0.1. Far from the centre, which way does the score point?
#
# <details><summary>To the nearest arm of the roll.</summary>
#
# **No.** That holds at little noise. At ᾱ = 0.1 the arms have blurred into one round cloud, and no arm is near.
#
# </details>
#
# <details><summary>Towards the middle.</summary>
#
# **Yes.** The density is nearly a round Gaussian, and its log falls away from the middle in all directions.
#
# </details>
#
# <details><summary>To where the point came from.</summary>
#
# **No.** One $x_t$ may have come from many $x_0$. The score is a mean over all of them (0.7).
#
# </details>
#
# <details><summary>Away from the data.</summary>
#
# **No.** That is the direction of the noise. The score has the opposite sign:
# $\nabla \log p = -\mathbb{E}[\varepsilon \mid x_t]/\sqrt{1 - \bar\alpha}$.
#
# </details>
#
# **Question.** Why is the paired estimate of a model's distance to H the sharper one?
#
# <details><summary>It uses twice as many numbers.</summary>
#
# **No.** There are two numbers per point, but it is the same number of points. What helps is that the two move
# together.
#
# </details>
#
# <details><summary>It leaves out the points that the model gets wrong.</summary>
#
# **No.** No point is left out. Those points carry the distance.
#
# </details>
#
# <details><summary>H is only known approximately.</summary>
#
# **No.** $H$ is known to many digits here. The noise is in the mean of $-\log p_\theta$ over a sample.
#
# </details>
#
# <details><summary>The points' own spread cancels in the difference.</summary>
#
# **Yes.** A point in a thin place is surprising for the truth and for a good model alike. Only what the two disagree
# about is left.
#
# </details>

# %% [markdown]
# ## Project: A data set with a ruler of its own
#
# *60 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Make a density of your own in the plane, as a `Mixture`: a ring, two moons, your initials. Compute its entropy
# twice, draw it at five noise levels with its score, and put four wrong models on its ruler: too sure, too unsure,
# moved, and with a part missing. Which flaw costs the most nats, and which one would you have found by eye? Keep the
# density. Notebooks 03 and 04 run on it.
#
# - The density integrates to one on a grid, and its mean and variance per axis are near 0 and 1.
# - H by quadrature and by Monte Carlo agree within four standard errors.
# - Each wrong model's distance to H is paired, with its standard error, and shown on one ruler.
# - At least one distance between samples is given as a multiple of its noise floor, beside the nats.
# - One paragraph on the flaw for which eye and nats disagree.

# %% [markdown]
# ## Recap
#
# - A model's mean $-\log p_\theta(x)$ is at least the data's entropy $H$; the excess is a KL divergence (0.3).
# - For the swiss roll, $p$, $H$, the score and $\mathbb{E}[\varepsilon \mid x_t]$ are exact at every noise level
#   (0.2), (0.6), (0.7).
# - Sample distances need a noise floor and its spread; some flaws of tenths of a nat hide in it. Mean log p and share off see
#   points that are wrong, not points that are missing.
#
# | symbol | code | file |
# | --- | --- | --- |
# | $p(x)$, $p(x_t)$ | `SwissRoll.log_prob` | `data.py`, `oracles.py` |
# | $H$ | `Mixture.entropy` | `oracles.py` |
# | $\nabla \log p(x_t)$ | `Mixture.score` | `oracles.py` |
# | $\mathbb{E}[\varepsilon \mid x_t]$ | `Mixture.eps_mean` | `oracles.py` |
# | $c(u)$ | `SwissRoll.curve` | `data.py` |
# | $N(x; \mu, v)$ | `Gaussian.log_prob` | `gaussian.py` |
# | noise floor | `noise_floor`, `true_distances` | `evaluate.py` |
#
# **The way on.** Notebook 01 builds the first model, a variational autoencoder, and asks why it is trained on a bound
# and not on the likelihood itself.
#
# **References**
#
# - Bonneel, Rabin, Peyré, Pfister (2015), *Sliced and Radon Wasserstein barycenters of measures*,
#   [doi:10.1007/s10851-014-0506-3](https://doi.org/10.1007/s10851-014-0506-3)
# - Efron (2011), *Tweedie's formula and selection bias*,
#   [doi:10.1198/jasa.2011.tm11181](https://doi.org/10.1198/jasa.2011.tm11181)
# - Gretton et al. (2012), *A kernel two-sample test*,
#   [jmlr.org/papers/v13/gretton12a](https://jmlr.org/papers/v13/gretton12a.html)
# - Székely, Rizzo (2013), *Energy statistics*,
#   [doi:10.1016/j.jspi.2013.03.018](https://doi.org/10.1016/j.jspi.2013.03.018)
