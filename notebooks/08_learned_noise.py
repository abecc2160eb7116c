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
# # Learned noise: what is a schedule worth?
#
# Every diffusion model has a noise schedule, and most people take the one that comes with the code. Variational diffusion models learn it.
# Is that worth anything? On the roll the answer is exact: what a schedule costs, in nats, follows from the error of the denoiser
# alone, and so does the schedule that costs least.
#
# **The question.** What is a schedule worth, in nats? When does it matter, and when not?
#
# **Afterwards you can**
# - compute the entropy of the data from the errors of 27 denoisers,
# - say what a schedule of $T$ steps costs, without drawing a sample,
# - derive the best schedule, and say why it ends before all is noise,
# - learn where training should look, and say when that pays,
# - name what is worth more than the schedule.
#
# **Time** about 70 minutes to read, and 45 for the exercises, both estimates from a count of words,
# formulas and lines. **You need** notebooks 03 and 04; 06 helps for section 1.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import numpy as np
import torch

from diffusion_edu import (
    checks, evaluate, exact, learned_noise, oracles, plots, pretrained,
    schedules, widgets
)
from diffusion_edu.data import SwissRoll
from diffusion_edu.diffusion import ForwardProcess, per_step, sigma2_optimal

# %% [markdown]
# Noise levels are named by $\lambda = \log \mathrm{SNR}$, as in notebook 07, so that $\bar\alpha = \mathrm{sigmoid}(\lambda)$ by (3.5). The error of the exact denoiser at
# every $\lambda$ comes from a table.

# %%
plots.use_style()
roll, D = SwissRoll(), 2
H, errors = roll.entropy(), learned_noise.exact_errors(roll)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def sigmoid(log_snr):
    return 1 / (1 + np.exp(-log_snr))


# %% [markdown]
# This is where we are going: the distance to $H$ of the bound with the exact denoiser. No network is at work, so all of it is the price of the
# steps. The lowest curve is the best that any schedule can do.

# %% mystnb={"image": {"alt": "The price in nats against the number of steps on logarithmic axes, from 5 to 1000 steps. The curves of the linear, the cosine and the best schedule fall with slope 1, the best one five times below the linear and two and a half times below the cosine. A dotted line, 3.38 over T, lies close to the best one from 50 steps on."}}
LENGTHS = (5, 10, 20, 50, 100, 200, 500, 1000)
named = {"linear": schedules.linear,
         "cosine": schedules.cosine,
         "best": lambda T: learned_noise.optimal_schedule(roll, T)}
prices = {
    name: {T: exact.price(roll, make(T)) for T in LENGTHS
           if name != "linear" or T > 20}
    for name, make in named.items()
}
ax = plots.plt.subplots(figsize=(6.4, 3.6))[1]
for (name, row), colour in zip(
        prices.items(), (plots.DATA, plots.Q, plots.MODEL), strict=True):
    plots.curve(
        list(row), list(row.values()), ax, color=colour, label=name, marker="o",
        markersize=4)
ell = learned_noise.length(errors)[1][-1]
plots.truth(
    LENGTHS, [ell**2 / T for T in LENGTHS], ax, label=f"{ell**2:.2f} / T",
    linestyle=":")
ax.set(xscale="log", yscale="log", xlabel="T, number of steps",
       ylabel="price, nats")
_ = ax.legend()
for T in (10, 20, 50, 1000):
    print(f"T = {T:4}:  cosine {prices['cosine'][T]:.4f} nats,  "
          f"best {prices['best'][T]:.4f}")
assert prices["best"][20] < prices["cosine"][50]
assert all(prices["best"][T] < 0.45 * prices["cosine"][T] for T in LENGTHS)

# %% [markdown]
# Twenty steps of the best schedule cost less than fifty of the cosine. With a thousand steps the difference is half a hundredth of a nat.
#
# ## 1 The entropy from errors alone
#
# Start with a surprise. Whoever knows how well the data can be denoised at every level knows their entropy. Notebook 06 has both halves of the proof.
# Write $p_\lambda$ for the density of the data at the noise level $\lambda$. By (6.21) and (6.19), and with (6.22) for the Fisher information, its divergence from
# noise grows with $\lambda$ as
#
# $$ \frac{d}{d\lambda}\, \mathrm{KL}\big(p_\lambda \,\|\, N(0, I)\big) = \tfrac{D}{2}\, \bar\alpha\, (1 - \mathrm{err}), \qquad
#    \mathrm{err}(\lambda) = \frac{m}{1 - \bar\alpha}. \tag{8.1} $$
#
# - $m = \mathbb{E}|x_0 - \hat x_0|^2 / D$: the error of the exact denoiser at $\lambda$, per dimension, so that $\mathrm{err}$ is the fraction in (3.23).
#
# In terms of the information that $x_t$ holds about $x_0$, this is $dI(x_0; x_t)/d\mathrm{SNR} = \tfrac{D}{2} m$ (Guo, Shamai & Verdú 2005). At
# $\lambda = -\infty$ the divergence is 0. At $\lambda = +\infty$ it is that of the data, $\tfrac{D}{2} \log 2\pi e - H$, since $\mathbb{E}|x_0|^2 = D$. Hence
#
# $$ H = \frac{D}{2} \log 2\pi e - \frac{D}{2} \int_{-\infty}^{\infty} \bar\alpha\, (1 - \mathrm{err})\; d\lambda. \tag{8.2} $$
#
# <details><summary>The step from (6.21) to (8.1)</summary>
#
# (6.21) says $d\mathrm{KL}/d\tau = -I$ with the Fisher information $I$. By (6.19) $\bar\alpha = e^{-2\tau}$, so $d\bar\alpha = -2 \bar\alpha\, d\tau$, and
# $d\bar\alpha = \bar\alpha (1 - \bar\alpha)\, d\lambda$ gives $d\tau = -\tfrac12 (1 - \bar\alpha)\, d\lambda$. With (6.22), $I = D\, \mathrm{SNR}\, (1 - \mathrm{err})$ and
# $\mathrm{SNR}\, (1 - \bar\alpha) = \bar\alpha$.
#
# </details>
#
# Kong, Brekelmans & Ver Steeg (2023) have the same point by point, for $\log p(x)$.
#
# *Check.* How many denoisers does it take? The table has 209 levels, an eighth apart. Take every level, every eighth, and fewer, with the trapezoidal rule:

# %%
table, error = exact.LOG_SNR, exact.error_table(roll)
for step in (1, 8, 16, 32):
    off = learned_noise.entropy(table[::step], error[::step], D) - H
    print(f"{len(table[::step]):4} denoisers, {step / 8:5} apart:  "
          f"H + {off:+.1e} nats")
assert abs(learned_noise.entropy(table[::8], error[::8], D) - H) < 2e-4

# %% mystnb={"image": {"alt": "A smooth hump against log SNR from minus 12 to 14, zero at both ends, with its top of 0.37 near log SNR 4, and 27 dots on it one unit apart."}}
ax = plots.plt.subplots(figsize=(6.4, 2.8))[1]
plots.truth(
    table, 0.5 * D * sigmoid(table) * (1 - error), ax, label="(D/2) ᾱ (1 − err)"
)
ax.fill_between(
    table, 0.5 * D * sigmoid(table) * (1 - error), color=plots.DATA, alpha=0.25)
ax.plot(table[::8], (0.5 * D * sigmoid(table) * (1 - error))[::8], "o",
        color=plots.MODEL, markersize=4, label="27 denoisers")
ax.set(xlabel="log SNR λ", ylabel="nats per unit of λ")
_ = ax.legend()

# %% [markdown]
# Twenty-seven denoisers give $H$ to a ten-thousandth of a nat. The grey area is all that separates the roll from noise, 1.487 nats. With levels four apart the rule
# fails.
#
# Why the plain trapezoidal rule? The integrand is smooth, and it vanishes with all its derivatives at both ends. There the trapezoidal rule converges faster than
# any power of the spacing. The famous Gauss–Legendre rule puts half of its points near the ends, where there is nothing:

# %%
def integrand(log_snr):
    return 0.5 * D * sigmoid(log_snr) * (
        1 - exact.error_at(roll, torch.from_numpy(log_snr)).numpy())


for n in (14, 20, 27):
    even = np.linspace(-12, 14, n)
    nodes, weights = np.polynomial.legendre.leggauss(n)
    rules = np.trapezoid(integrand(even), even), 13 * weights @ integrand(
        1 + 13 * nodes)
    off = [math.log(2 * math.pi * math.e) - value - H for value in rules]
    print(f"{n} levels:  trapezoidal {off[0]:+.5f},  Gauss–Legendre "
          f"{off[1]:+.5f} nats")
assert abs(off[0]) < abs(off[1])

# %% [markdown]
# And if there is no table? A denoiser's error can be sampled. In terms of the noise $\mathbb{E}|\varepsilon - \hat\varepsilon|^2 = D\, \bar\alpha\, \mathrm{err}$, and for the guess
# $\sqrt{1 - \bar\alpha}\, x_t$ of one who takes the data for $N(0, I)$ it is $D\, \bar\alpha$. The integrand of (8.2) is half their difference. Take both from the same
# noise, so that its chance cancels at the two ends, where the guesses agree.

# %%
values = []
for k, log_snr in enumerate(table[::8]):
    bar, x0 = sigmoid(log_snr), roll.sample(2000, 100 + k)
    eps = torch.randn(x0.shape, generator=seeded(k), dtype=x0.dtype)
    xt = bar**0.5 * x0 + (1 - bar) ** 0.5 * eps
    ours, plain = roll.eps_mean(xt, bar), (1 - bar) ** 0.5 * xt
    values.append(
        evaluate.mean_and_error(
            0.5 * ((eps - plain).square() - (eps - ours).square()).sum(-1)))
gained, se = np.array(values).T
found = math.log(2 * math.pi * math.e) - gained.sum()
error_bar = (se**2).sum() ** 0.5
print(f"27 levels, 2,000 points each:  H = {found:.3f} ± {error_bar:.3f},  "
      f"exact {H:.3f} nats")
assert abs(found - H) < 4 * error_bar

# %% [markdown]
# **Exercise: the entropy from errors.** *8 minutes, easy.*
#
# Write (8.2) with the trapezoidal rule. `log_snr` (K,) rises, `error` (K,) is $\mathrm{err}$ there, `dim` is $D$.

# %%
def my_entropy_from_errors(log_snr, error, dim):
    """H in nats, a scalar."""
    return ...


checks.entropy_from_errors(my_entropy_from_errors)

# %% [markdown]
# <details><summary>Hint 1: the entropy from errors</summary>
#
# Two terms: the entropy of the unit Gaussian, and what the data are better than that. `torch.trapezoid(y, x)` integrates.
#
# </details>
#
# <details><summary>Hint 2: the entropy from errors</summary>
#
# $\bar\alpha$ is `log_snr.sigmoid()`, and the integrand $\bar\alpha (1 - \mathrm{err})$ is positive: data that can be denoised have less entropy than noise.
#
# </details>
#
# <details><summary>Solution: the entropy from errors</summary>
#
# ```python
# def my_entropy_from_errors(log_snr, error, dim):
#     """H in nats, a scalar."""
#     gained = torch.trapezoid(log_snr.sigmoid() * (1 - error), log_snr)
#     return 0.5 * dim * math.log(2 * math.pi * math.e) - 0.5 * dim * gained
# ```
#
# </details>

# %% [markdown]
# ## 2 What a step costs
#
# As $T \to \infty$ the bound is an integral over $\lambda$ (6.6), and with the exact denoiser it is $H$: this is (8.2) once more. A chain of $T$ steps is
# a *sum* in its place, and the difference is the price of the schedule. Which sum?
#
# Take a step $t \ge 2$ with the best reverse variance $\sigma_t^{*2}$ of (3.23). In (3.17) the first term and the $-1$ cancel, since
# $\sigma_t^{*2} = \tilde\beta_t + c_t^2 m_t$, and there is left
#
# $$ L_{t-1} = \frac{D}{2} \log \frac{\sigma_t^{*2}}{\tilde\beta_t} = \frac{D}{2} \log\Big( 1 + \frac{c_t^2}{\tilde\beta_t}\, m_t \Big). \tag{8.3} $$
#
# The factor is known from (3.18): $c_t^2 / \tilde\beta_t = \mathrm{SNR}(t{-}1) - \mathrm{SNR}(t)$. So
#
# $$ \begin{aligned}
# L_{t-1} &= \frac{D}{2} \log\Big( 1 + \big( \mathrm{SNR}(t{-}1) - \mathrm{SNR}(t) \big)\, m_t \Big), \\
# L_0 &= \frac{D}{2} \log 2\pi e\, m_1.
# \end{aligned} \tag{8.4} $$
#
# With $L_T$ from (3.6) that is all. Errors in, nats out. `exact.price` adds it up and subtracts $H$.

# %% [markdown]
# **Exercise: what a step costs.** *8 minutes, easy.*
#
# Write (8.4) for all steps at once. `snr` (T,) holds $\mathrm{SNR}(1) > \dots > \mathrm{SNR}(T)$, `mse` (T,) holds $m_1, \dots, m_T$. Return $L_1, \dots, L_{T-1}$.

# %%
def my_step_cost(snr, mse, dim):
    """L_1 … L_{T−1}, (T − 1,), nats."""
    return ...


checks.step_cost(my_step_cost)

# %% [markdown]
# <details><summary>Hint 1: what a step costs</summary>
#
# `snr.diff()` is negative, because SNR falls.
#
# </details>
#
# <details><summary>Hint 2: what a step costs</summary>
#
# The denoiser is asked at the *noisy* end of the step, where one comes from when going backwards: $m_2, \dots, m_T$.
#
# </details>
#
# <details><summary>Solution: what a step costs</summary>
#
# ```python
# def my_step_cost(snr, mse, dim):
#     """L_1 … L_{T−1}, (T − 1,), nats."""
#     return 0.5 * dim * torch.log1p(-snr.diff() * mse[1:])
# ```
#
# </details>

# %% [markdown]
# *Check* with the one function that scores every chain of this course, by sampling, paired with the exact $\log p(x)$:

# %%
x = roll.sample(4000, seed=41)
log_p = roll.log_prob(x)


def sampled_price(schedule, denoiser, seed=7):
    """The same by bound.bound over 4,000 points, with the best σ_t² of the
    exact denoiser, and its standard error."""
    sigma2 = sigma2_optimal(schedule, exact.mse(roll, schedule))
    chain = ForwardProcess(schedule, denoiser, per_step(sigma2))
    return evaluate.gap(evaluate.score_chain(x, chain, seeded(seed)), log_p)


for T in (10, 20):
    s = schedules.cosine(T)
    mean, se = sampled_price(s, oracles.exact_denoiser(roll, s.alpha_bar))
    print(f"cosine, T = {T}:  by (8.4) {exact.price(roll, s):.4f},  "
          f"by sampling {mean:.4f} ± {se:.4f} nats")
    assert abs(mean - exact.price(roll, s)) < 4 * se

# %% [markdown]
# The formula needs no sample.
#
# **Where tutorials slip.** "The bound does not depend on the schedule" (after Kingma et al. 2021, §5.1). True for $T = \infty$ and fixed ends. At finite $T$
# it does, and how much depends on $\sigma_t^2$ as well. Here all schedules start at $\lambda = 10$ and end at $-10$. **Predict first:** which column feels the schedule most?

# %%
# λ_1 … λ_T of a cosine schedule between these ends
def cosine_grid(clean, noise, T):
    ends = [
        2 / math.pi * math.atan(math.exp(-end / 2)) for end in (clean, noise)]
    return -2 * torch.tan(
        math.pi / 2 * torch.linspace(*ends, T, dtype=torch.float64)).log()


def three_prices(log_snr):
    """The price with the best σ_t², with β_t and with β̃_t for t ≥ 2, by (8.4)
    and (3.22)."""
    s = schedules.from_log_snr(log_snr)
    best = sigma2_optimal(s, exact.mse(roll, s))[2:]
    extra = [0.5 * D * (best / v - 1 - (best / v).log()).sum()
             for v in (best, s.beta[2:], s.beta_tilde[2:])]
    return [exact.price(roll, s) + value.item() for value in extra]


print("      T   grid       best σ²         β          β̃")
for T in (10, 1000, 100_000):
    for name, log_snr in {
            "cosine": cosine_grid(10, -10, T),
            "even": torch.linspace(10, -10, T, dtype=torch.float64)}.items():
        row = three_prices(log_snr)
        print(f"{T:7,}   {name:6}" + "".join(f"{value:11.4f}" for value in row))
assert row[0] < 2e-4 and row[2] < 1e-2

# %% [markdown]
# With a hundred thousand steps everything tends to zero, whatever the schedule. With a thousand, $\tilde\beta_t$ makes cosine and even grid differ by a factor of six, and
# the best $\sigma_t^2$ hardly sees the difference. And with ten steps and $\tilde\beta_t$ the bound is a disaster: the term is then
# $\tfrac{D}{2} \Delta\mathrm{SNR}\, m_t$ without a logarithm (3.18), the upper Riemann sum of the integral. **First choose $\sigma_t^2$ well, then think about the schedule.**
#
# **Where tutorials slip.** With $m_{t-1}$ in the place of $m_t$, an index off by one, (8.4) becomes a *lower* sum. It looks like a wonderful model:

# %%
s = schedules.cosine(50)
m, snr = exact.mse(roll, s)[1:], s.snr[1:]
# L₀ + L_T − H, as D/2 = 1
ends = exact.price(roll, s) - torch.log1p(-snr.diff() * m[1:]).sum().item()
print(f"distance to H:  right {exact.price(roll, s):+.3f},  with m of the "
      f"clean end {ends + torch.log1p(-snr.diff() * m[:-1]).sum():+.3f} nats")
assert ends + torch.log1p(-snr.diff() * m[:-1]).sum() < 0

# %% [markdown]
# Better than the truth, which no bound can be. The ruler catches it at once.
#
# ## 3 The price of a small step
#
# Let a step be small. It goes from $\mathrm{SNR}$ to $\mathrm{SNR} + \delta$. By (8.4) it costs $\tfrac{D}{2} \log(1 + \delta m) = \tfrac{D}{2} (\delta m - \tfrac12 \delta^2 m^2 + \dots)$. Infinitely many
# tiny steps would have cost $\tfrac{D}{2} \int m = \tfrac{D}{2} (\delta m + \tfrac12 \delta^2 m' + \dots)$, with $m' = dm/d\mathrm{SNR}$. The difference, with $\delta = \mathrm{SNR}\, \Delta\lambda$, is the price of
# the step:
#
# $$ g(\lambda)\, \Delta\lambda^2, \qquad g = -\frac{D}{4}\, \mathrm{SNR}^2 \Big( m^2 + \frac{dm}{d\mathrm{SNR}} \Big). \tag{8.5} $$
#
# The derivative of the error has a meaning of its own: $dm/d\mathrm{SNR} = -\mathbb{E} \operatorname{tr} C^2 / D$, where $C = \operatorname{Cov}(x_0 \mid x_t)$ is the
# covariance of what $x_0$ may still be (Guo, Wu, Shamai & Verdú 2011; Payaró & Palomar 2009). And $D m = \mathbb{E} \operatorname{tr} C$. So
#
# $$ g = \tfrac14\, \mathrm{SNR}^2\, \big( \mathbb{E} \operatorname{tr} C^2 - D\, m^2 \big) \;\ge 0. \tag{8.6} $$
#
# Read it as a variance: $g$ is $\tfrac{D}{4} \mathrm{SNR}^2$ times the variance of the eigenvalues of $C$, over all directions and all $x_t$. The reverse step has
# *one* $\sigma_t^2$ for all of them. **A step costs nats because one variance must serve for all these eigenvalues.** For $N(0, vI)$ all posteriors are the same ball, and a step of any size is free.

# %% [markdown]
# **Exercise: the price density.** *10 minutes, medium.*
#
# Write (8.6). `cov` (n, D, D) are covariances $C$ at $n$ points $x_t$, which stand for the expectation; `snr` is a number.

# %%
def my_price_from_cov(cov, snr):
    """g, a scalar, nats per squared unit of λ."""
    return ...


checks.price_from_cov(my_price_from_cov)

# %% [markdown]
# <details><summary>Hint 1: the price density</summary>
#
# $\operatorname{tr} C^2 = \sum_{ij} C_{ij}^2$ for a symmetric matrix. And $m$ is the mean of *all* diagonal entries, over points and dimensions.
#
# </details>
#
# <details><summary>Hint 2: the price density</summary>
#
# `cov.square().sum((-2, -1)).mean()` is the first term. The diagonal is `cov.diagonal(dim1=-2, dim2=-1)`.
#
# </details>
#
# <details><summary>Solution: the price density</summary>
#
# ```python
# def my_price_from_cov(cov, snr):
#     """g, a scalar, nats per squared unit of λ."""
#     m = cov.diagonal(dim1=-2, dim2=-1).mean()
#     return 0.25 * snr**2 * (
#         cov.square().sum((-2, -1)).mean() - cov.shape[-1] * m**2)
# ```
#
# </details>

# %% [markdown]
# *Check.* (8.5) takes the slope of the table, `price_density`. (8.6) takes covariances of 2,000 points. Do they agree?

# %%
def covariances(log_snr, n, seed):
    """Cov(x₀|x_t) at n points x_t, (n, 2, 2)."""
    bar, x0 = float(sigmoid(log_snr)), roll.sample(n, seed)
    xt = bar**0.5 * x0 + (1 - bar) ** 0.5 * torch.randn(
        x0.shape, generator=seeded(seed), dtype=x0.dtype)
    return roll.at_noise(bar).x0_cov(xt, bar)


for log_snr in (0.0, 3.0, 6.0):
    C, snr = covariances(log_snr, 2000, seed=5), math.exp(log_snr)
    square, m = C.square().sum((-2, -1)), C.diagonal(dim1=-2, dim2=-1).mean(-1)
    by_cov, se = evaluate.mean_and_error(
        0.25 * snr**2 * (square - D * m.mean() * (2 * m - m.mean())))
    by_slope = learned_noise.price_density(errors, np.array([log_snr])).item()
    print(f"λ = {log_snr:.0f}:  by the slope {by_slope:.4f},  by covariances "
          f"{by_cov:.4f} ± {se:.4f}")
    assert abs(by_cov - by_slope) < 4 * se

# %% mystnb={"image": {"alt": "Left, the price density g against log SNR: one peak of 0.16 at log SNR 2.9, next to nothing below minus 3 and above 9. Right, 40 ellipses on the roll show the posterior covariance at log SNR 2.9: most are thin and lie along the roll, those between two arms are round and large."}}
fine = np.linspace(-6, 11, 400)
g = learned_noise.price_density(errors, fine)
figure, (left, right) = plots.plt.subplots(
    1, 2, figsize=(8.4, 3.4), width_ratios=(1.5, 1))
plots.truth(fine, g, left, label=None)
left.fill_between(fine, g, color=plots.ERROR, alpha=0.2)
left.set(xlabel="log SNR λ", ylabel="g, nats per unit² of λ")
bar = float(sigmoid(2.9))
x0 = roll.sample(40, 5)
xt = bar**0.5 * x0 + (1 - bar) ** 0.5 * torch.randn(
    x0.shape, generator=seeded(5), dtype=x0.dtype)
plots.points(roll.sample(3000, 9), right, alpha=0.3)
turn = torch.linspace(0, 2 * math.pi, 40, dtype=torch.float64)
circle = torch.stack([turn.cos(), turn.sin()])
for mean, C in zip(roll.x0_mean(xt, bar), roll.x0_cov(xt, bar), strict=True):
    right.plot(
        *(mean[:, None] + torch.linalg.cholesky(C) @ circle), color=plots.ERROR,
        linewidth=0.8)
right.set(title="what x₀ may be, at λ = 2.9")
print(f"g is largest at λ = {fine[g.argmax()]:.1f}")

# %% [markdown]
# A step is dear at $\lambda \approx 3$. There the noise is about a quarter wide. Some $x_t$ lie on an arm of the roll, and their posterior is a thin line along it. Others
# lie between two arms, and theirs covers both. One $\sigma_t^2$ fits neither. At the two ends steps are free: in pure noise nothing
# is known anywhere, and at the clean end every posterior is the same small ball, because the roll is smooth where it is thicker than the noise.

# %% [markdown]
# ## 4 The best schedule
#
# $T$ small steps cost about $\sum_t g(\lambda_t)\, \Delta\lambda_t^2$. Which steps cost least? Give each step the *length* $\ell_t = \sqrt{g}\, \Delta\lambda$. The lengths
# add up to $\ell = \int \sqrt g\, d\lambda$, wherever the knots lie, and the price is $\sum_t \ell_t^2$. A sum of squares with a given sum is least if all are
# equal:
#
# $$ \int_{\lambda_t}^{\lambda_{t-1}} \sqrt g\; d\lambda = \frac{\ell}{T} \quad \text{for every step}, \tag{8.7} $$
#
# $$ \text{price} \approx \sum_t \Big( \frac{\ell}{T} \Big)^2 = \frac{\ell^2}{T}. \tag{8.8} $$
#
# The best schedule walks at constant speed, if speed is measured in $\sqrt g$: steps are wide where they are cheap. One number, $\ell^2$, says what
# a data set asks of any schedule. For the roll it is 3.38. (Williams et al. 2024 find schedules as such paths too, with another cost; Watson et al. 2021 search them by
# dynamic programming.)

# %% [markdown]
# **Exercise: the best knots.** *12 minutes, medium.*
#
# Write (8.7). `log_snr` (n,) is a fine grid, rising, `g` (n,) the price density there. Return $\lambda_1 > \dots > \lambda_T$, with $\lambda_1$ at the last point of the
# grid and $\lambda_T$ at its first: $T - 1$ steps of equal length.

# %%
def my_knots(log_snr, g, T):
    """λ_1 … λ_T, (T,), falling, with the same ∫√g between neighbours."""
    return ...


checks.knots(my_knots)

# %% [markdown]
# <details><summary>Hint 1: the best knots</summary>
#
# First the length from the first point of the grid to every other: add up $\sqrt g\, \Delta\lambda$. Then ask where that length has the values $\ell, \dots, 0$, evenly
# spaced.
#
# </details>
#
# <details><summary>Hint 2: the best knots</summary>
#
# `torch.cumulative_trapezoid(y, x)` adds up, and leaves out the first point, whose value is 0. `np.interp(wanted, along, log_snr)` reads the curve backwards.
#
# </details>
#
# <details><summary>Solution: the best knots</summary>
#
# ```python
# def my_knots(log_snr, g, T):
#     """λ_1 … λ_T, (T,), falling, with the same ∫√g between neighbours."""
#     root = g.sqrt()
#     along = torch.cat([root[:1] * 0, torch.cumulative_trapezoid(root, log_snr)])
#     return np.interp(np.linspace(along[-1].item(), 0, T), along, log_snr)
# ```
#
# </details>

# %% [markdown]
# (8.7) leaves the two ends open. `optimal_schedule` starts from it and lets a minimiser move all knots, ends included, on the exact price (8.4). How good are simpler
# rules? A cosine, an even grid and equal lengths, each between its own best two ends:

# %%
from scipy.optimize import minimize


def best_ends(rule, T):
    """The least price over the two ends of rule(clean, noise, T), which gives
    λ_1 … λ_T."""

    def price(ends):
        if ends[0] <= ends[1]:
            return math.inf
        knots = torch.as_tensor(rule(*ends, T))
        return float(learned_noise.bound(errors, knots)) - H

    return minimize(price, [7.0, -1.0], method="Nelder-Mead").fun


def lengths(clean, noise, T):
    return learned_noise.equal_lengths(errors, T, clean, noise)


print("               between its own best ends           the best of all")
print("   T   cosine   cosine    even  lengths    price   ℓ²/T  "
      "price · T   λ_1 … λ_T")
for T in (10, 20, 50, 200, 1000):
    plain = exact.price(roll, schedules.cosine(T))
    ends, even, equal = (
        best_ends(rule, T) for rule in (cosine_grid, np.linspace, lengths))
    best = learned_noise.optimal_schedule(roll, T)
    price = exact.price(roll, best)
    span = f"{best.log_snr[1]:.1f} … {best.log_snr[-1]:.1f}"
    print(f"{T:4}   {plain:.4f}   {ends:.4f}  {even:.4f}   {equal:.4f}   "
          f"{price:.4f} {ell**2 / T:.4f} {T * price:10.2f}   {span}")
    assert price <= equal < 1.005 * price and price < even < ends < plain

# %% [markdown]
# - With ten steps nine tenths of the gain over the cosine lie in its two *ends*. With a thousand it is less than half.
# - Equal lengths are within half a per cent of the best.
# - With few steps the best schedule costs less than $\ell^2/T$. It saves the way near the ends, and wide steps are cheaper than $g\, \Delta\lambda^2$.
#
# *Check* with the library's bound, by sampling. And with the *learned* network of notebook 04, as it is. It was trained with the cosine schedule, but
# it can be asked at any $\lambda$:

# %%
model = pretrained.load("cosine")


def network_at(schedule):
    """The network's x̂₀(x_t, t) for another schedule."""
    return lambda xt, t: model.x0_hat_at(
        xt.float(), schedule.log_snr[t].item()).to(xt)


for name in ("cosine", "best"):
    for T in (10, 20):
        s = named[name](T)
        mean, se = sampled_price(s, oracles.exact_denoiser(roll, s.alpha_bar))
        learned, learned_se = sampled_price(s, network_at(s))
        print(f"{name:6}, T = {T}:  (8.4) {exact.price(roll, s):.4f},  "
              f"sampled {mean:.4f} ± {se:.4f},  network {learned:.3f} "
              f"± {learned_se:.3f}")
        assert abs(mean - exact.price(roll, s)) < 4 * se
        assert abs(learned - exact.price(roll, s)) < 4 * learned_se + 0.02

# %% [markdown]
# The network takes the better schedule without any training, and gains as much as the exact denoiser does: nearly all of the price belongs to the data.
#
# Now place the knots yourself. The bars are the prices of the steps, the dotted line is $\ell^2/T$. **Predict first:** where will the ten best knots lie, and will
# they reach the noise?

# %%
widgets.knot_explorer(roll, T=10)

# %% [markdown]
# The best ten knots stop at $\lambda_T = 0.8$, with signal and noise nearly in balance. Notebook 03 let $\bar\alpha_T$ go to zero so that $x_T$ is noise. Is this
# not a mistake? Split the last term as in (3.25):

# %%
aggregate = exact.aggregate_table(roll)
for name in ("best", "cosine"):
    s = named[name](10)
    noise = 1 - s.alpha_bar[-1].item()
    L_T = 0.5 * D * (s.alpha_bar[-1].item() + noise - 1 - math.log(noise))
    wasted = np.interp(s.log_snr[-1].item(), table, aggregate)
    print(f"{name:6}  λ_T = {s.log_snr[-1]:5.2f}:  L_T = {L_T:.3f} nats,  "
          f"of these KL(q(x_T) ‖ N) {wasted:.3f}")
    assert wasted < 0.04 and (name == "cosine" or L_T > 1)

# %% [markdown]
# The best schedule has $L_T = 1.17$ nats, but only 0.035 of them are lost. The rest is information about $x_0$, which the later terms need not bring
# any more. What the bound pays for is $\mathrm{KL}(q(x_T) \| N(0, I))$, of the *aggregate*, and at $\lambda = 0.8$ the roll already looks very much like a Gaussian.
# With only ten steps it is cheaper to accept that loss than to spend a step on it. More steps, and $\lambda_T$ moves down.
#
# **And $\sigma_t^2$?** The knots were chosen for the best one. With another they may be far from the best:

# %%
for name, log_snr in {
        "cosine": cosine_grid(10, -10, 1000),
        "even": torch.linspace(10, -10, 1000).double(),
        "best": named["best"](1000).log_snr[1:]}.items():
    row = three_prices(log_snr)
    print(f"T = 1000, {name:6}:  best σ² {row[0]:.4f},  β {row[1]:.4f},  "
          f"β̃ {row[2]:.3f} nats")
assert row[2] > 3 * three_prices(torch.linspace(10, -10, 1000).double())[2]

# %% [markdown]
# With $\tilde\beta_t$ the plain even grid is much better than the "best" one, whose wide steps at the clean end are free only with the best $\sigma_t^2$. And that mistake costs a
# hundred times more than the choice of the schedule.

# %% [markdown]
# ## 5 What it does to samples
#
# A bound is not a sample. Draw 4,000 points with the exact denoiser down both chains, with the best $\sigma_t^2$; as always the last step takes the mean.
# **Predict first:** the best schedule starts its way back from $N(0, I)$ although $q(x_T)$ is not quite that. Which column will see it?

# %%
from diffusion_edu import samplers

truth = roll.sample(4000, seed=9)
floor = evaluate.noise_floor(evaluate.energy_distance, roll, 4000, repeats=2)
print("                  energy distance/floor   E log p + H   share off")
seen = {}
for T in (10, 20, 50):
    for name in ("cosine", "best"):
        s = named[name](T)
        step = samplers.first_order(
            samplers.ancestral(lambda s: sigma2_optimal(s, exact.mse(roll, s))))
        x_T = torch.randn(4000, D, generator=seeded(5), dtype=torch.float64)
        y = samplers.sample(
            oracles.exact_denoiser(roll, s.alpha_bar), s, x_T, step=step,
            generator=seeded(6))
        seen[name, T] = (
            evaluate.energy_distance(y, truth) / floor,
            evaluate.mean_log_prob(y, roll) + H, evaluate.outlier_share(y, roll)
        )
        print(f"{name:6}, T = {T} {seen[name, T][0]:20.1f} "
              f"{seen[name, T][1]:17.2f} {seen[name, T][2]:13.4f}")
assert seen["cosine", 10][2] > 0.02 > 5 * seen["best", 10][2]

# %% [markdown]
# With ten steps of the cosine, four points in a hundred fall beside the roll, and the roll is too thick ($-$). With the best schedule hardly any does: most of its
# steps lie where the arms part. It leaves the roll a little too thin instead ($+$), since the last step takes the mean at $\lambda_1 = 5.8$. The early end is not seen in the energy
# distance, whose chance at 4,000 points is as large as all differences here. And all of them fade as $T$ grows.

# %% [markdown]
# ## 6 Learning where to look
#
# Variational diffusion models learn their schedule, but not with (8.7). In continuous time the bound does not depend on the schedule; what does is the *noise of its
# estimate*. Training draws $\lambda$ from a density $p$ and takes $r(\lambda)/p(\lambda)$, with $r = \tfrac12 |\varepsilon - \hat\varepsilon|^2$. The mean is the bound
# whatever $p$ is. The variance has two parts:
#
# $$ \operatorname{Var}\Big[\frac{r}{p}\Big] = \underbrace{\int \frac{\mathbb{E}[r]^2}{p}\, d\lambda - \Big( \int \mathbb{E}[r]\, d\lambda \Big)^2}_{\text{across } \lambda}
#    + \underbrace{\int \frac{\operatorname{Var}[r]}{p}\, d\lambda}_{\text{within}}. \tag{8.9} $$
#
# Minimise the whole over $p$ (Cauchy–Schwarz): the best density is
#
# $$ p(\lambda) \propto \sqrt{\mathbb{E}[r^2]}. \tag{8.10} $$
#
# A learned schedule is nothing else: $\gamma$ maps a uniform $u$ to a noise level, so it is the quantile function of $p$. We learn it as 24 bins. The mean of $r/p$ does not
# depend on $p$, so the gradient of the variance is that of
#
# $$ \mathbb{E}_{\lambda \sim p} \Big[ \frac{r^2}{p^2} \Big] = \int \frac{\mathbb{E}[r^2]}{p}\, d\lambda, \qquad
#    \nabla = -\,\mathbb{E}_{\lambda \sim p} \Big[ \frac{r^2}{p^2}\, \nabla \log p \Big]. \tag{8.11} $$
#
# No gradient goes through the denoiser: `second_moment_loss` needs only the losses that training has anyway.

# %%
LOW, HIGH = -12.0, 10.0
points = roll.sample(50_000, seed=5).float()


def losses(log_snr, generator):
    """½|ε − ε̂|² of the network at λ (n,), one point and one noise each,
    (n,)."""
    i = torch.randint(len(points), (len(log_snr),), generator=generator)
    x0 = points[i]
    eps = torch.randn(x0.shape, generator=generator)
    bar = log_snr.sigmoid().unsqueeze(-1)
    with torch.no_grad():
        eps_hat = model.eps_net.at(
            (bar.sqrt() * x0 + (1 - bar).sqrt() * eps).float(), log_snr)
    return 0.5 * (eps - eps_hat).square().sum(-1).double()


gamma, generator = learned_noise.Bins(LOW, HIGH, K=24), seeded(77)
optimiser = torch.optim.Adam(gamma.parameters(), lr=0.02)
for _ in range(1500):
    log_snr = gamma.quantile(learned_noise.low_discrepancy(128, generator))
    loss = learned_noise.second_moment_loss(
        losses(log_snr, generator), gamma.log_density(log_snr))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %% [markdown]
# Compare with the best density, which is known here, and with the usual ones. First $\mathbb{E}[r]$ and $\mathbb{E}[r^2]$ on a grid:

# %%
# middles of 88 cells
grid = torch.arange(LOW + 0.125, HIGH, 0.25, dtype=torch.float64)
draws = torch.stack(
    [losses(level.expand(4000), seeded(k)) for k, level in enumerate(grid)])
first, second = draws.mean(1), draws.square().mean(1)
mean = 0.25 * first.sum()
# −log ᾱ = 0.1 u + 9.95 u² for the linear schedule (7.2)
b = torch.log1p((-grid).exp())
densities = {
    "linear, u uniform": (-grid).sigmoid() / (0.01 + 39.8 * b).sqrt(),
    "cosine, u uniform": 1 / (grid / 2).cosh(),
    "λ uniform": torch.ones_like(grid),
    "∝ ᾱ": grid.sigmoid(),
    "24 learned bins": gamma.log_density(grid).detach().exp(),
    "the best, (8.10)": second.sqrt(),
}
variance = {}
print(f"mean {mean:.2f} nats        total   across  within   sd of a batch "
      "of 512: free, even")
for name, p in densities.items():
    p = (p / p.sum() / 0.25).clamp(min=1e-12)
    total, across = (
        0.25 * (moment / p).sum() - mean**2 for moment in (second, first**2))
    variance[name] = total
    print(f"{name:18} {total:8.0f} {across:8.1f} {total - across:7.0f} "
          f"{math.sqrt(total / 512):26.2f} "
          f"{math.sqrt((total - across) / 512):6.2f}")
assert variance["24 learned bins"] < 1.05 * variance["the best, (8.10)"]

# %% [markdown]
# The learned bins are at the optimum, up to a few percent. They reduce the variance of the cosine by a factor of nearly twenty. And so does the simplest formula
# $p \propto \bar\alpha$: as soon as one knows where the loss is, there is nothing left to learn. Look at the learned $\gamma$:

# %% mystnb={"image": {"alt": "Left, four densities of log SNR: cosine, a bell around 0; the 24 learned bins, a staircase that rises near 0 and stays about level to 10; the best density, a smooth curve through the stairs. Right, the learned gamma, log SNR against u, nearly straight but for the noisy end."}}
figure, (left, right) = plots.plt.subplots(1, 2, figsize=(8.4, 3))
for name, colour in {
        "cosine, u uniform": plots.Q,
        "24 learned bins": plots.MODEL,
        "the best, (8.10)": plots.TRUTH}.items():
    p = densities[name] / densities[name].sum() / 0.25
    plots.curve(
        grid, p, left, color=colour, label=name,
        drawstyle="steps-mid" if "bins" in name else "default")
left.set(xlabel="log SNR λ", ylabel="density p")
left.legend(loc="upper left", fontsize=8)
u = torch.linspace(0.001, 0.999, 300, dtype=torch.float64)
plots.curve(u, gamma.quantile(u), right, color=plots.MODEL, label="learned")
plots.curve(
    u, 2 * torch.tan(math.pi / 2 * u).log(), right, color=plots.Q,
    label="cosine")
right.set(xlabel="u", ylabel="log SNR", ylim=(-12, 10.5))
_ = right.legend()

# %% [markdown]
# The last column of the table is for numbers that are spread evenly within a batch. Kingma et al. (2021, §5.3) draw one $u$ and shift it:
#
# $$ u_i = (u + i/n) \bmod 1, \qquad i = 0, \dots, n - 1. \tag{8.12} $$
#
# Each $u_i$ alone is uniform, but together they miss no part of the axis. They take away the variance *across* $\lambda$, and nothing of that within.

# %% [markdown]
# **Exercise: numbers of low discrepancy.** *5 minutes, easy.*
#
# Write (8.12). `u` is a number in $[0, 1)$.

# %%
def my_even_numbers(u, n):
    """n numbers in [0, 1), (n,)."""
    return ...


checks.even_numbers(my_even_numbers)

# %% [markdown]
# <details><summary>Hint 1: numbers of low discrepancy</summary>
#
# `torch.arange(n)` holds the $i$.
#
# </details>
#
# <details><summary>Hint 2: numbers of low discrepancy</summary>
#
# What lies beyond 1 comes back at 0: `% 1`.
#
# </details>
#
# <details><summary>Solution: numbers of low discrepancy</summary>
#
# ```python
# def my_even_numbers(u, n):
#     """n numbers in [0, 1), (n,)."""
#     return (u + torch.arange(n) / n) % 1
# ```
#
# </details>

# %%
def batch_sd(quantile, density, spread, batches=200, n=512):
    """The standard deviation of the mean of r/p over a batch, measured over
    many batches."""
    generator = seeded(3)
    numbers = [
        learned_noise.low_discrepancy(n, generator) if spread
        else torch.rand(n, generator=generator).double() for _ in range(batches)
    ]
    log_snr = quantile(torch.cat(numbers))
    return (losses(log_snr, generator) / density(log_snr)).reshape(
        batches, n).mean(1).std().item()


ends = [2 / math.pi * math.atan(math.exp(-end / 2)) for end in (HIGH, LOW)]
width = ends[1] - ends[0]
cosine = (
    lambda u: -2 * torch.tan(math.pi / 2 * (ends[0] + width * u)).log(),
    lambda s: 1 / (s / 2).cosh() / (2 * math.pi * width))
for name, pair in {
        "cosine": cosine,
        "learned": (
            gamma.quantile, lambda s: gamma.log_density(s).detach().exp()
        )}.items():
    free, even = (batch_sd(*pair, spread) for spread in (False, True))
    print(f"{name:8} sd of a batch: free numbers {free:.2f}, "
          f"even numbers {even:.2f}")

# %% [markdown]
# Even numbers save a quarter of the standard deviation with the cosine, and nothing with the learned $\gamma$, which leaves no variance across. They are substitutes.
#
# **Does it pay?** A quiet estimate is not yet a better network. `python tools/bench/learned_noise.py` trained networks of notebook 04's size, 3,000 steps each, three seeds,
# and measured the nats that they add in continuous time (4.17). A network that has learned nothing, $\hat v = 0$, adds 1.487. The noise of the measurement is below 0.001 where
# the numbers are small.

# %%
trained = {}
for row in pretrained.table("learned_noise"):
    trained.setdefault(
        (row["weight"], row["density"], row["numbers"], row["peak_lr"]), []
    ).append(float(row["added"]))
print("weight   density   numbers  learning rate   nats added, one seed each")
for (weight, density, numbers, lr), added in trained.items():
    print(f"{weight:8} {density:9} {numbers:8} {lr:13}   "
          + "  ".join(f"{value:.3f}" for value in added))
bound_learned = trained["bound", "learned", "free", "0.005"]
simple = trained["simple", "cosine", "free", "0.005"]
assert min(trained["bound", "cosine", "free", "0.005"]) > 1 > 10 * max(
    *bound_learned, *simple)

# %% [markdown]
# - With the bound's own weight, $r/p$, the density decides everything. With the cosine the network learns next to nothing. A lower learning rate does not help, nor do
#   even numbers. With a learned $\gamma$ the same loss, with the same mean, works.
# - With the *simple* loss, weight 1 (4.12), the cosine is as good as the learned $\gamma$ with weights. Dropping the weights was the other cure for the same disease.
# - For $\lambda$ uniform the two losses are one and the same, but for a constant factor that Adam ignores. So these two rows show the scatter of training. They are worse by a
#   factor of two or three: half of their draws lie below $\lambda = -1$, where there is little to learn.
# - Even numbers add nothing to a learned $\gamma$, as (8.9) says.
#
# Is the explanation right, that a few large weights drown the rest? Count where the second moment of $r/p$ comes from:
#
# %%
for name in ("cosine, u uniform", "24 learned bins"):
    p = densities[name] / densities[name].sum() / 0.25
    weights, clean = second / p, grid > 7
    print(f"{name:18}  {0.25 * p[clean].sum():.1%} of the draws are above "
          f"λ = 7, and {weights[clean].sum() / weights.sum():.0%} of "
          "the second moment")

# %% [markdown]
# With the cosine, two draws of a hundred rule the gradient, and at the clean end, where they lie, the loss is mostly noise that no network can remove.
#
# **Where tutorials slip.** A network for $\gamma$ that may move its end points is not trained by (8.11): the variance is least if the two ends meet. The ends are trained by the
# bound, through $L_0$ and $L_T$, as in section 4.

# %% [markdown]
# ## 7 Beyond one number per step
#
# (8.6) says what a schedule fights against: one $\sigma_t^2$ for all directions and all $x_t$. So there are two ways on. Give the *noise* a schedule for each dimension, or the
# reverse *variance* more freedom.
#
# **Two Gaussian dimensions, one broad and one narrow.** One $\sigma_t^2$ for both against one for each:

# %%
wide, narrow = oracles.gaussian([0.0], [1.99]), oracles.gaussian([0.0], [0.01])
both = oracles.gaussian([0.0, 0.0], [1.99, 0.01])
for T in (10, 50):
    s = schedules.cosine(T)
    each = exact.price(wide, s) + exact.price(narrow, s)
    best = exact.price(both, learned_noise.optimal_schedule(both, T))
    print(f"T = {T}:  one σ² {exact.price(both, s):.3f}, on the best "
          f"schedule {best:.3f} nats;  a σ² for each < 1e-6: "
          f"{abs(each) < 1e-6}")
    assert abs(each) < 1e-6

# %% [markdown]
# A variance per dimension costs nothing here, on any schedule. No schedule can do that.
#
# **Two scales.** Two independent dimensions, *lumps* that separate at much noise and a *comb* that separates at little. Each has its own $\sigma_t^2$ now. Should each have its own
# schedule too? With one schedule for both the densities add up, and by the triangle inequality for vectors $(\sqrt{g_1}, \sqrt{g_2})$
#
# $$ \Big( \int \sqrt{g_1 + g_2}\; d\lambda \Big)^2 \;\ge\; \Big( \int \sqrt{g_1}\, d\lambda \Big)^2 + \Big( \int \sqrt{g_2}\, d\lambda \Big)^2, \tag{8.13} $$
#
# with equality if $g_1$ and $g_2$ are proportional. Left stands the price of a shared schedule, times $T$, and right that of two.

# %% mystnb={"image": {"alt": "Two price densities against log SNR: that of the lumps has a peak at 1.4, that of the comb a higher one at 6 and a low one near 1.5. Ticks below mark ten knots for each alone and ten shared ones, which lie in two groups."}}
def line(places, variance):
    """A mixture on the line with E|x|² = 1."""
    places = torch.tensor(places, dtype=torch.float64)
    scale = (places.square().mean() + variance).sqrt()
    return oracles.Mixture(
        torch.ones(len(places)), (places / scale).unsqueeze(1),
        (variance / scale**2).expand(len(places), 1))


lumps = line([-1.0, 1.0], 0.09)
comb = line([(k - 7.5) / 4.6 for k in range(16)], 0.0009)
shared = learned_noise.exact_errors(lumps, comb)
ax, fine = plots.plt.subplots(figsize=(6.4, 3))[1], np.linspace(-5, 11, 500)
rows = [("lumps", (lumps,), plots.Q), ("comb", (comb,), plots.MODEL),
        ("shared", (lumps, comb), plots.TRUTH)]
for row, (name, data, colour) in enumerate(rows):
    own = learned_noise.exact_errors(*data)
    if len(data) == 1:
        plots.curve(
            fine, learned_noise.price_density(own, fine), ax, color=colour,
            label=name)
    ax.plot(learned_noise.best_log_snr(own, 10),
            np.full(10, -0.012 * (row + 1)), "|", color=colour, markersize=9)
ax.set(xlabel="log SNR λ", ylabel="g; ticks: ten knots")
_ = ax.legend()
for T in (5, 10, 20, 50):
    one = (learned_noise.bound(
               shared, torch.from_numpy(learned_noise.best_log_snr(shared, T))
           ).item() - lumps.entropy() - comb.entropy())
    two = sum(exact.price(data, learned_noise.optimal_schedule(data, T))
              for data in (lumps, comb))
    print(f"T = {T:2}:  one schedule {one:.3f},  one for each {two:.3f} "
          f"nats:  saves {1 - two / one:.0%}")
    assert two < 0.8 * one

# %% [markdown]
# A fifth or more is saved. It can never be more than half with two scales, since $\sqrt{g_1 + g_2} \le \sqrt{g_1} + \sqrt{g_2}$. And the roll? Its two axes have the same scale. Let one run ahead of the other by
# $\delta$ in $\lambda$, which is as if the roll were stretched along it, and give each its own $\sigma_t^2$. The same points and the same noise serve for all $\delta$:

# %%
def axes_price(knots, delta, n=6000):
    """The price with a σ_t² for each axis, of the roll with axis 0 ahead by δ
    in log SNR, and each point's share of its error, (T, n)."""
    stretch = torch.tensor(
        [math.exp(delta / 4), math.exp(-delta / 4)], dtype=torch.float64)
    total = 0.5 * torch.log1p(
        (knots[-1] + torch.tensor([0.5, -0.5]) * delta).exp()).sum().item() - H
    shares = []
    for t, log_snr in enumerate(knots.tolist()):
        bar = float(sigmoid(log_snr))
        x0 = roll.sample(n, 200 + t) * stretch
        nodes = roll.at_noise(float(sigmoid(log_snr)))
        data = oracles.Mixture(
            nodes.weights, nodes.means * stretch, nodes.variances * stretch**2)
        xt = bar**0.5 * x0 + (1 - bar) ** 0.5 * torch.randn(
            x0.shape, generator=seeded(t), dtype=x0.dtype)
        c = data.x0_cov(xt, bar).diagonal(dim1=-2, dim2=-1)
        one, rise = (1.0, knots[t - 1].exp() - knots[t].exp()) if t else (
            0.0, 2 * math.pi * math.e / stretch**2)
        total += 0.5 * (one + rise * c.mean(0)).log().sum().item()
        shares.append(0.5 * (rise * c / (one + rise * c.mean(0))).sum(-1))
    return total, torch.stack(shares)


knots20 = learned_noise.optimal_schedule(roll, 20).log_snr[1:]
ahead = {delta: axes_price(knots20, delta) for delta in (0.0, -2.0, 2.0)}
print(f"T = 20, both axes alike: {ahead[0.0][0]:.3f} nats")
for delta in (-2.0, 2.0):
    paired = ahead[delta][1] - ahead[0.0][1]
    se = (paired.var(dim=1).sum() / paired.shape[1]).sqrt()
    print(f"one axis ahead by {delta:+.0f}: changes the price by "
          f"{ahead[delta][0] - ahead[0.0][0]:+.3f} ± {se:.3f}")

# %% [markdown]
# A hundredth of a nat or so in one direction, and a loss in the other, where two scales saved a fifth. **Separate schedules pay for separate scales.** In continuous time they do not pay even then. The
# pair of errors $(m_1, m_2)$, as a function of $(\mathrm{SNR}_1, \mathrm{SNR}_2)$, is the gradient of one function,
#
# $$ \tfrac12\, m_d = \frac{\partial}{\partial\, \mathrm{SNR}_d}\, I(x_0; x_t), \tag{8.14} $$
#
# so the integral along a path depends on its two ends alone (Payaró & Palomar 2009). *Check* with three lumps in the plane, which tie the two axes together. The straight path against one on which
# the first axis runs ahead by 3:

# %%
three = oracles.Mixture(
    [0.2, 0.5, 0.3], [[-1.0, 0.5], [0.3, 0.1], [1.0, -0.9]],
    [[0.03, 0.02], [0.05, 0.04], [0.06, 0.01]])


x3 = three.sample(20_000, seed=1)
e3 = torch.randn(20_000, 2, generator=seeded(2), dtype=torch.float64)


def errors_at(snr):
    """(m_1, m_2) at two SNRs (2,): the data stretched by their roots, at SNR
    1."""
    data = oracles.Mixture(
        three.weights, three.means * snr.sqrt(), three.variances * snr)
    return data.x0_cov(0.5**0.5 * (x3 * snr.sqrt() + e3), 0.5).diagonal(
        dim1=-2, dim2=-1).mean(0) / snr


gained = {}
for name, delta in {"straight": 0.0, "one ahead": 3.0}.items():
    way = torch.linspace(-7, 5, 61, dtype=torch.float64)
    # zero at both ends
    bend = delta / 2 * torch.sin(math.pi * (way + 7) / 12) ** 2
    snr = torch.stack([way + bend, way - bend], dim=1).exp()
    m = torch.stack([errors_at(s) for s in snr])
    gained[name] = 0.5 * ((m[1:] + m[:-1]) / 2 * snr.diff(dim=0)).sum().item()
    print(f"{name:10} information gained on the way: {gained[name]:.3f} nats")
assert abs(gained["straight"] - gained["one ahead"]) < 0.01

# %% [markdown]
# So a fixed schedule per pixel gains nothing in continuous time with the exact denoiser. Sahoo et al. (2024) gain with noise that depends on the *data point*, which (8.14) does not cover, and a
# poor denoiser may prefer one path to another.
#
# **A full covariance.** Now free the reverse step: the best variance at each $x_t$ is $\sigma^2(t, x_t)$, and the best Gaussian has the whole matrix $C$. Its term is
#
# $$ L_{t-1} = \tfrac12\, \mathbb{E} \log \det\big( I + \Delta \mathrm{SNR}\; C \big). \tag{8.15} $$

# %%
def freer_prices(knots, n=2000):
    """The price with σ²(t), σ²(t, x_t) and the full matrix, each a mean over n
    points for each t, (3,)."""
    total = torch.full(
        (3,), -0.5 * D * (-knots[-1]).sigmoid().log().item() - H,
        dtype=torch.float64)
    for t, log_snr in enumerate(knots.tolist()):
        C = covariances(log_snr, n, seed=900 + t)
        v = 0.5 * C.diagonal(dim1=-2, dim2=-1).sum(-1)
        I = torch.eye(D, dtype=torch.float64)
        rise = ((knots[t - 1].exp() - knots[t].exp()) if t
                else 2 * math.pi * math.e)
        one = 1.0 if t else 0.0  # L₀ is log det(2πe C)
        total += torch.stack([
            (one + rise * v.mean()).log(), (one + rise * v).log().mean(),
            0.5 * torch.logdet(one * I + rise * C).mean()
        ])
    return total


print("                  σ²(t)   σ²(t, x_t)   the matrix C,   nats above H")
for name, T in (("cosine", 10), ("best", 10), ("best", 20)):
    row = freer_prices(named[name](T).log_snr[1:])
    print(f"{name:6}, T = {T}  {row[0]:8.3f} {row[1]:10.3f} {row[2]:12.3f}")
assert row[2] < 0.5 * row[0]

# %% [markdown]
# The matrix is worth more than the schedule: with it ten steps of the *cosine* are cheaper than ten of the best schedule without. And together they leave 0.08 nats, not re-optimised. A variance
# that depends on $x_t$, but is a number, helps little: the posteriors differ in *shape*.

# %% [markdown]
# ## 8 A learned schedule in training
#
# Can a network find its schedule while it learns? The error $\mathrm{err}(\lambda)$ is all that (8.4) needs, and training sees a sample of it in every draw. So let 37 bins along $\lambda$ learn
# $\mathrm{err}$, by least squares, beside the network. At the end `best_log_snr` chooses the $T$ knots for it, ends included. They are kept in the checkpoint, and every sampler and `evaluate`
# take them:
#
# ```
# diffusion-edu train ddpm --data swiss-roll --schedule learned --T 50 --out RUN
# diffusion-edu evaluate RUN
# ```
#
# `python tools/bench/learned_schedules.py` compared it with the cosine: networks of the same size, the same seconds of one core, two seeds. On the roll the
# bound is computed by (8.4) from the exact error and what the network adds to it, with an error of 0.0005; on the images it is sampled. Trainings were short: 10 and 15 seconds, and four minutes of a small network on MNIST.
# The third row of each group asks what was learned. It has the same network and the same two ends, but between them the knots of a stretched cosine.

# %%
groups = {}
for row in pretrained.table("learned_schedules"):
    groups.setdefault((row["data"], int(row["T"]), row["schedule"]), []).append(
        row)
print("swiss-roll: nats above H, others: bits per dimension; "
      "two trainings, λ_1 … λ_T")
for (data, T, schedule), rows in groups.items():
    values = ",  ".join(
        f"{float(row['value']):.4f} ± {float(row['se']):.4f}" for row in rows)
    name = "its ends alone" if schedule == "ends" else schedule
    print(f"{data:10} {T:4} {name:14} {values}   {rows[0]['clean']} … "
          f"{rows[0]['noise']}")
average = {
    key: np.mean([float(row["value"]) for row in rows])
    for key, rows in groups.items()
}
assert (average["swiss-roll", 50, "learned"]
        < 0.6 * average["swiss-roll", 50, "cosine"]
        < 0.6 * average["swiss-roll", 50, "ends"])
assert average["digits", 50, "learned"] < min(
    average["digits", 50, "cosine"], average["digits", 50, "ends"]) - 0.01
assert average["mnist", 50, "learned"] < average["mnist", 50, "cosine"] - 0.2
assert average["mnist", 50, "ends"] - average["mnist", 50, "learned"] < 0.1 * (
    average["mnist", 50, "cosine"] - average["mnist", 50, "learned"])
behind = average["mnist", 1000, "learned"] - average["mnist", 1000, "cosine"]
behind_se = sum(
    float(row["se"]) ** 2 for name in ("cosine", "learned")
    for row in groups["mnist", 1000, name]) ** 0.5 / 2
print(f"MNIST, T = 1000: learned − cosine = {behind:.3f} ± {behind_se:.3f} "
      "bits, mean of two trainings")
assert abs(behind) < 4 * behind_se
assert abs(
    average["swiss-roll", 1000, "learned"]
    - average["swiss-roll", 1000, "cosine"]) < 0.003
print("noise at the clean end of the cosine, T = 50: "
      f"{127.5 * math.exp(-schedules.cosine(50).log_snr[1] / 2):.1f} of "
      "255 grey levels")

# %% [markdown]
# With fifty steps the learned schedule halves the distance to $H$ on the roll, saves a few hundredths of a bit on every pixel of the digits, and four to five tenths of a bit on MNIST. With a thousand steps the two differ
# by less than three thousandths of a nat on the roll, once in either direction: what is left is the network's own error. On the digits they cannot be told apart, and on MNIST hardly: there the cosine is ahead by a fiftieth of a bit, less than two standard errors. The learned schedule ends early too. And as these networks were trained for seconds, their error in pure noise is large, which makes it end
# even earlier than the exact one.
#
# **The ends or what lies between?** On the roll and on the digits these ends with the cosine's knots are worse than the plain cosine. They suit only the learned knots: with ends of its own the cosine had most of the
# gain in section 4. On MNIST the ends alone have nearly all of it. The clean end is the likely reason.
# Most pixels of MNIST are exactly black, and the cosine of fifty steps stops where the noise still has a standard deviation of five grey levels. So a rule for images with many flat pixels: with few steps, look at $\lambda_1$ first.
#
# ## 9 When does a schedule matter?

# %%
rows = {
    "few steps: cosine → best, T = 10": (
        prices["cosine"][10], prices["best"][10]),
    "many steps: cosine → best, T = 1000": (
        prices["cosine"][1000], prices["best"][1000]),
    "the reverse variance: β̃ → best, cosine, T = 1000": (
        three_prices(schedules.cosine(1000).log_snr[1:])[2],
        prices["cosine"][1000]),
    "a matrix in its place: best schedule, T = 10": tuple(
        freer_prices(named["best"](10).log_snr[1:])[[0, 2]].tolist()),
    "density of training, the bound's weight: cosine → learned": (
        np.mean(trained["bound", "cosine", "free", "0.005"]),
        np.mean(bound_learned)),
    "density of training, weight 1: λ uniform → cosine": (
        np.mean(trained["simple", "uniform", "free", "0.005"]),
        np.mean(simple)),
}
print(f"{'what is changed, nats above H or added':60} before   after   gain")
for name, (before, after) in rows.items():
    print(f"{name:60} {before:6.3f} {after:7.3f} {before - after:6.3f}")

# %% [markdown]
# **A schedule matters** when steps are few: half a nat at ten steps. It matters as a *density* for training if the bound's own weights are kept: then without it nothing is learned. **It does not
# matter** at a thousand steps, with the best $\sigma_t^2$ and the simple loss: half a hundredth of a nat. And before any of it come the reverse variance, for three quarters of a nat,
# and, for few steps, its shape.
#
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** A denoiser's error is known at all noise levels. What else is known?
#
# <details><summary>The entropy of the data, and the price of every schedule.</summary>
#
# **Yes.** The first by (8.2), the second by (8.4).
#
# </details>
#
# <details><summary>The entropy only if the schedule is known too.</summary>
#
# **No.** The integral (8.2) runs over all $\lambda$. A schedule would only say where to stop and look.
#
# </details>
#
# <details><summary>Only how well this denoiser denoises.</summary>
#
# **No.** If it is the exact one, its error is a property of the data.
#
# </details>
#
# **Question.** On which data is every schedule free, apart from $L_T$?
#
# <details><summary>On a round Gaussian.</summary>
#
# **Yes.** For $N(0, vI)$ all posteriors are one ball, so $g = 0$ (8.6), and one $\sigma_t^2$ says all.
#
# </details>
#
# <details><summary>On any Gaussian.</summary>
#
# **No.** A broad and a narrow axis have different posteriors. Section 7 has one that costs half a nat, unless each axis has its own variance.
#
# </details>
#
# <details><summary>On none.</summary>
#
# **No.** $g$ is a variance, and a variance can be zero.
#
# </details>
#
# **Question.** The best schedule of ten steps has $L_T = 1.17$ nats. Is $x_T$ far from the prior?
#
# <details><summary>Yes, by 1.17 nats.</summary>
#
# **No.** $L_T$ is the mean over $x_0$ of a divergence of $q(x_T \mid x_0)$. Most of it is information about $x_0$.
#
# </details>
#
# <details><summary>No, by 0.035 nats.</summary>
#
# **Yes.** That is the divergence of the aggregate $q(x_T)$ from $N(0, I)$ (3.25), and that alone is lost.
#
# </details>
#
# <details><summary>It depends on the network.</summary>
#
# **No.** $q$ has no network. Both numbers belong to the data and to the schedule.
#
# </details>
#
# **Question.** You train with the simple loss and a thousand steps, and want a better bound. What do you change first?
#
# <details><summary>The schedule</summary>
#
# **No.** At a thousand steps it is worth half a hundredth of a nat.
#
# </details>
#
# <details><summary>The reverse variance, if it is β̃ₜ</summary>
#
# **Yes.** That is worth three quarters of a nat, without any training.
#
# </details>
#
# <details><summary>The random numbers, to those of low discrepancy</summary>
#
# **No.** They quiet the estimate across $\lambda$, and a good density has already done that.
#
# </details>

# %% [markdown]
# ## Project: A schedule that knows its data
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# The best knots of this notebook are best for one $\sigma_t^2$. With the matrix of (8.15) every step is cheaper, and so the best knots are others. Find them for the roll at $T = 5$ and 10.
#
# - The price density of a step with the full matrix, derived as in section 3: which moment of $C$ takes the place of its spread? (The step's cost is $\tfrac12 \mathbb{E} \log\det$; expand
#   it to second order in $\delta$, and compare with the integral.)
# - A table of that density, by sampling, with its standard error.
# - Knots by (8.7), the price by (8.15), paired with that of this notebook's knots.
# - One sentence on what is left: why is it not zero?

# %% [markdown]
# ## Recap
#
# - The entropy of the data is an integral of the denoiser's error (8.2), and 27 denoisers are enough.
# - A step with the best $\sigma_t^2$ costs $\tfrac{D}{2} \log(1 + \Delta\mathrm{SNR}\, m_t)$ (8.4), so every schedule has a price without sampling.
# - Small steps cost $g\, \Delta\lambda^2$, and $g$ is the spread of the posterior covariance (8.6).
# - The best schedule makes equal steps of $\int\!\sqrt g\, d\lambda$ and costs $\ell^2/T$ (8.8). It ends early, because only the aggregate's divergence from the prior is lost.
# - A learned $\gamma$ is a density for training (8.10). It decides everything with the bound's weights, and nothing over the cosine with weight 1.
# - At finite $T$ a schedule per dimension pays for data with separate scales (8.13). A full covariance of the reverse step is worth more.
#
# | symbol | code | file |
# | --- | --- | --- |
# | $\mathrm{err}$, $m$ | `error_at`, `mse` | `exact.py` |
# | the same, as a table for schedules | `Errors`, `exact_errors` | `learned_noise.py` |
# | $H$ from errors (8.2) | `entropy` | `learned_noise.py` |
# | $L_0 + \dots + L_T$ (8.4), less $H$ | `bound` | `learned_noise.py` |
# | the price of a schedule | `price` | `exact.py` |
# | $g$ (8.6), $\int\!\sqrt g$ | `price_density`, `length` | `learned_noise.py` |
# | the best knots (8.7) | `equal_lengths`, `best_log_snr`, `optimal_schedule` | `learned_noise.py` |
# | $p$, a learned $\gamma$, (8.11), (8.12) | `Bins`, `second_moment_loss`, `low_discrepancy` | `learned_noise.py` |
# | $C = \operatorname{Cov}(x_0 \mid x_t)$ | `x0_cov` | `oracles.py` |
# | the schedule learned with a network | `LearnedNoise`, `fit_schedule` | `noise.py` |
#
# **The way on.** All of this was about *how much* noise. The next notebooks ask where the samples go: steering them, and other paths than those of noise.
#
# **References**
#
# - Guo, Shamai, Verdú (2005), *Mutual information and minimum mean-square error in Gaussian channels*, [arXiv:cs/0412108](https://arxiv.org/abs/cs/0412108)
# - Guo, Wu, Shamai, Verdú (2011), *Estimation in Gaussian noise: properties of the minimum mean-square error*, [arXiv:1004.3332](https://arxiv.org/abs/1004.3332)
# - Kingma, Salimans, Poole, Ho (2021), *Variational diffusion models*, [arXiv:2107.00630](https://arxiv.org/abs/2107.00630)
# - Kong, Brekelmans, Ver Steeg (2023), *Information-theoretic diffusion*, [arXiv:2302.03792](https://arxiv.org/abs/2302.03792)
# - Payaró, Palomar (2009), *Hessian and concavity of mutual information, differential entropy, and entropy power in linear vector Gaussian channels*,
#   [arXiv:0903.1945](https://arxiv.org/abs/0903.1945)
# - Sahoo, Gokaslan, De Sa, Kuleshov (2024), *Diffusion models with learned adaptive noise*, [arXiv:2312.13236](https://arxiv.org/abs/2312.13236)
# - Watson, Ho, Norouzi, Chan (2021), *Learning to efficiently sample from diffusion probabilistic models*, [arXiv:2106.03802](https://arxiv.org/abs/2106.03802)
# - Williams, Campbell, Doucet, Syed (2024), *Score-optimal diffusion schedules*, [arXiv:2412.07877](https://arxiv.org/abs/2412.07877)
