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
# # SDE and ODE: what happens between the steps?
#
# A diffusion model takes a thousand steps because notebook 03 cut the noise into a thousand pieces. Cut it finer and
# finer, and a differential equation is left. It can be run backwards with noise or without. Without noise it gives
# $\log p(x)$ of every point, not a bound on it.
#
# **The question.** What happens between the steps, and how few steps will do?
#
# **Afterwards you can**
# - take the limit of the chain, and say how fast it comes,
# - run the process backwards as a stochastic or as an ordinary differential equation, and say why both are right,
# - derive DDIM, and name the order of a sampler by measuring it,
# - compute $\log p(x)$ by an ODE to a thousandth of a nat, for the exact score and for a learned one,
# - say which sampler reaches the truth with the fewest calls of the network.
#
# **Time** about 60 minutes to read, and 40 for the exercises, both estimates from a count of words,
# formulas and lines. **You need** notebooks 00, 03 and 04; notebook 06 helps.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import (
    checks, evaluate, likelihood, plots, pretrained, samplers, sampling,
    schedules, sde, widgets
)
from diffusion_edu.data import SwissRoll
from diffusion_edu.exact import price
from diffusion_edu.oracles import gaussian

# %% [markdown]
# Two scores are at hand at every noise level: the exact one of the roll, and that of the network that notebook 04 trains, in its
# published form. Noise levels are named by $\lambda = \log \mathrm{SNR}$, so that $\bar\alpha = \mathrm{sigmoid}(\lambda)$ by (3.5).

# %%
plots.use_style()
roll, model = SwissRoll(), pretrained.load("cosine")
exact_score, learned_score = sde.exact_score(roll), sde.learned_score(model)
H = roll.entropy()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(n, seed, dim=2):
    return torch.randn(n, dim, dtype=torch.float64, generator=seeded(seed))


def even(start, end, steps):
    return torch.linspace(start, end, steps + 1, dtype=torch.float64)


# %% [markdown]
# This is where we are going. The same three points of noise go back to the roll three times. Only the noise on the way
# differs. Time runs from light to dark.

# %% mystnb={"image": {"alt": "Three panels with the roll in grey and three paths from points of noise to the roll. Left, full noise: the paths wander about the whole plane before they settle on the roll. Middle, less noise: they wander less. Right, no noise: three short smooth curves."}}
def noisy(eta, seed):
    """A step of Euler and Maruyama with its own noise, for `sde.integrate`."""
    generator = seeded(seed)
    return lambda drift, log_snr, h, x: sde.euler_maruyama(
        drift, log_snr, h, x,
        torch.randn(x.shape, dtype=x.dtype, generator=generator), eta)


for eta, ax in zip((1.0, 0.4, 0.0), plots.axes_row(3, size=2.6), strict=True):
    walk = sde.integrate(
        noisy(eta, seed=3), sde.reverse_drift(exact_score, eta),
        even(-3, 8, 1500), normal(3, seed=12))
    log_snr, path = zip(*walk, strict=True)
    plots.density(roll.log_prob(plots.grid(n=100)), ax).images[0].set_alpha(0.5)
    for i in range(3):
        one = torch.stack([x[i] for x in path])
        plots.points(one, ax, color=log_snr, cmap=plots.TIME, size=1.5, alpha=1)
        plots.points(
            one[[0, -1]], ax, color=[plots.Q, plots.ERROR], size=30, alpha=1,
            title=f"η = {eta:g}", zorder=5)

# %% [markdown]
# Blue is where a path starts, red where it ends. With noise a point may end anywhere. Without noise it takes a short and smooth way,
# and the end depends on the start alone. Section 3 shows that the *cloud* of all ends is the same in the three panels.
#
# ## 1 The limit of the chain
#
# A step of the chain is $x_t = \sqrt{1 - \beta_t}\, x_{t-1} + \sqrt{\beta_t}\, \varepsilon$ (3.2). Let $T$ grow, and let
# $T \beta_t$ follow one function $\beta(u)$ of the time $u = t/T$. A step then lasts $du = 1/T$, its shrinking is
# $\sqrt{1 - \beta_t} \approx 1 - \tfrac12 \beta\, du$, and its noise has the variance $\beta\, du$. In the limit this is a stochastic differential
# equation (Song et al. 2021, eq. 11):
#
# $$ dx = -\tfrac12 \beta(u)\, x\, du + \sqrt{\beta(u)}\; dW. \tag{7.1} $$
#
# - $dW$: what a Brownian motion adds in the time $du$, a Gaussian with mean zero and variance $du$, independent of all before.
#
# The signal that is kept follows from the logarithm of $\bar\alpha_t = \prod_s (1 - \beta_s)$:
#
# $$ \begin{aligned}
# \log \bar\alpha_t = \sum_{s \le t} \log(1 - \beta_s) &= -\sum_{s \le t} \beta_s - \tfrac12 \sum_{s \le t} \beta_s^2 - \dots \\
# &\longrightarrow\; -\int_0^u \beta.
# \end{aligned} \tag{7.2} $$
#
# The second sum has $T$ terms of size $1/T^2$. So $\log \bar\alpha_T$ is off by $\tfrac{1}{2T} \int \beta^2$: an error of first order in $1/T$.
# *Check* with the linear schedule, $\beta(u) = 0.1 + 19.9\, u$, for which $\tfrac12 \int \beta^2 = 67.0$:

# %%
expected = 0.5 * (0.1**2 + 0.1 * 19.9 + 19.9**2 / 3)
for T in (100, 1000, 10_000):
    u = torch.arange(T + 1, dtype=torch.float64) / T
    off = (
        schedules.linear(T).alpha_bar.log() + 0.1 * u + 9.95 * u**2).abs().max()
    print(f"T = {T:6,}:  largest error of log ᾱ {off:.4f},  "
          f"times T {off * T:.2f}   (limit {expected:.2f})")
assert abs(off * T - expected) < 0.002 * expected

# %% [markdown]
# Ten times more steps, a tenth of the error. The cosine schedule has a limit too, but its $\beta(u)$ grows without end as
# $u \to 1$, and the library cuts $\beta_t$ off at 0.999. It is easier to choose another clock.
#
# ## 2 Log SNR as the clock
#
# By (7.2) $\beta\, du = -d \log \bar\alpha$. With $\bar\alpha = \mathrm{sigmoid}(\lambda)$ the derivative is $d\bar\alpha / d\lambda = \bar\alpha (1 - \bar\alpha)$, so
#
# $$ \beta\, du = -(1 - \bar\alpha)\, d\lambda. \tag{7.3} $$
#
# Put this in (7.1). Towards noise $\lambda$ falls, so a step lasts $|d\lambda| = -d\lambda$, and that is the variance of $dW$:
#
# $$ dx = -\tfrac12 (1 - \bar\alpha)\, x\, |d\lambda| + \sqrt{1 - \bar\alpha}\; dW. \tag{7.4} $$
#
# The schedule is gone. There is only one forward process. A schedule says at which $\lambda$ we stop to look: it is a *grid*
# on the axis of $\lambda$. Kingma et al. (2021) make the same point about the bound. Here are the grids of twenty
# steps:

# %% mystnb={"image": {"alt": "Four rows of about twenty ticks on the axis of log SNR. The linear and the sigmoid schedule reach from minus 10 to about 4, the cosine schedule is dense around 0 and ends at 5, the last row is even from minus 6 to 10."}}
grids = {name: schedules.SCHEDULES[name](1000).respaced(20)[0].log_snr[1:]
         for name in ("linear", "cosine", "sigmoid")}
grids["even"] = sampling.even_grid(model.schedule, dim=2, steps=20).log_snr[1:]
ax = plots.plt.subplots(figsize=(6.4, 1.9))[1]
for row, (name, ticks) in enumerate(grids.items()):
    ax.plot(ticks, torch.full_like(ticks, -row), "|",
            color=plots.TRUTH if name == "even" else plots.Q, markersize=13)
ax.set(xlabel="log SNR λ  (noise on the left, clean data on the right)",
       xlim=(-12, 11), ylim=(-3.6, 0.6))
ax.set_yticks([0, -1, -2, -3], grids)
_ = ax.grid(False)

# %% [markdown]
# With few steps, the linear schedule takes half of them below $\lambda = -3$, where little of the data is left to see. And all three leave
# the way from $\lambda \approx 4$ to clean data to one last stride. There the noise is still $\sigma = e^{-2} \approx 0.14$ wide, twice as wide as the
# roll's own. The even grid starts where hardly anything of the data is left, at $\tfrac{D}{2} \mathrm{SNR} = 0.0025$ nats by (3.7), and ends where
# the network's training ended.
#
# ## 3 Backwards, with noise or without
#
# *Claim.* For any $\eta \ge 0$ this equation, run towards the data ($d\lambda > 0$), has at every $\lambda$ the same law $p_\lambda$ as the forward
# process:
#
# $$ dx = \tfrac12 (1 - \bar\alpha) \big( x + (1 + \eta^2)\, s \big)\, d\lambda + \eta \sqrt{1 - \bar\alpha}\; dW. \tag{7.5} $$
#
# - $s = \nabla \log p_\lambda(x)$: the score, by (4.16) nothing but the best guess of the noise: $s = -\mathbb{E}[\varepsilon \mid x] / \sqrt{1 - \bar\alpha}$.
# - $\eta = 1$: the *reverse SDE* (Anderson 1982). $\eta = 0$: the *probability-flow ODE* (Maoutsa, Reich & Opper 2020; Song et al. 2021, eq. 13),
#
# $$ \frac{dx}{d\lambda} = \tfrac12 (1 - \bar\alpha)(x + s) = \tfrac12 \sqrt{\bar\alpha}\, \big( \hat x_0 - \sqrt{\bar\alpha}\, x \big). \tag{7.6} $$
#
# The second form puts $s = (\sqrt{\bar\alpha}\, \hat x_0 - x)/(1 - \bar\alpha)$ in its place, with $\hat x_0 = \mathbb{E}[x_0 \mid x]$.
#
# <details><summary>Proof: noise is a drift along the score</summary>
#
# The density of a process $dx = f\, du + g\, dW$ obeys the Fokker–Planck equation
# $\partial p / \partial u = -\nabla \cdot (f p) + \tfrac12 g^2 \Delta p$, proved as (6.14). For (7.4), where $-\lambda$ is the time, it reads
#
# $$ -\frac{\partial p}{\partial \lambda} = \tfrac12 (1 - \bar\alpha) \big[ \nabla \cdot (x p) + \Delta p \big]. $$
#
# Now the one trick: $\nabla p = p\, \nabla \log p = p\, s$, so $\Delta p = \nabla \cdot (p\, s)$. Spreading by noise and a drift along $-s$ change the
# density in the same way. So $\Delta p = (1 + \eta^2)\, \nabla \cdot (p\, s) - \eta^2 \Delta p$, and
#
# $$ \begin{aligned}
# \frac{\partial p}{\partial \lambda} = &-\nabla \cdot \Big[ \tfrac12 (1 - \bar\alpha) \big( x + (1 + \eta^2) s \big) p \Big] \\
# &+ \tfrac12 \eta^2 (1 - \bar\alpha) \Delta p.
# \end{aligned} $$
#
# This is the Fokker–Planck equation of (7.5), with $\lambda$ as the time.
#
# </details>
#
# *Check.* Send 1,000 points from $\lambda = -6$, where $p_\lambda$ is as good as $N(0, I)$, to $\lambda = 8$. If the law is right, the mean of
# $\log p_8(x)$ is minus the entropy of $p_8$:

# %%
def arrive(drift, eta, n, clean, steps):
    *_, (_, x) = sde.integrate(
        noisy(eta, seed=2), drift, even(-6, clean, steps), normal(n, seed=1))
    return x


bar8 = sde.sigmoid(8.0)
for eta in (0.0, 0.5, 1.0):
    x = arrive(
        sde.reverse_drift(exact_score, eta), eta, n=1000, clean=8, steps=400)
    mean, se = evaluate.mean_and_error(
        roll.log_prob(x, bar8) + roll.entropy(bar8))
    print(f"η = {eta:3}:  E log p + H = {mean:+.3f} ± {se:.3f} nats")
    assert abs(mean) < 4 * se

# %% [markdown]
# Three different processes, one law. Now move the noise yourself. The points start from the same places for every $\eta$, and the same random numbers are
# on the way. **Predict first:** what will change in the line on the right when $\eta$ goes from 0 to 1, and what in the paths?

# %%
widgets.reverse_paths(SwissRoll(nodes=256), eta=0.5, i=80)

# %% [markdown]
# The paths change altogether, the line does not, but for the chance of 150 points and, at large $\eta$, the error of 160 steps.

# %% [markdown]
# **Exercise: the drift backwards.** *8 minutes, easy.*
#
# Write the drift of the reverse SDE ($\eta = 1$) towards clean data, per unit of $\lambda$. `alpha_bar` is $\bar\alpha$, `score` is $s$ at the
# points `x`.

# %%
def my_reverse_drift(alpha_bar, x, score):
    """The drift of the reverse SDE in λ at the points x (n, D), like x."""
    return ...


checks.reverse_drift(my_reverse_drift)

# %% [markdown]
# <details><summary>Hint 1: the drift backwards</summary>
#
# (7.5) with $\eta = 1$. Which sign does the term in $x$ have? Forwards the points shrink.
#
# </details>
#
# <details><summary>Hint 2: the drift backwards</summary>
#
# Backwards in time the points stretch, $+x$, and the score counts *twice*: once to undo the spreading, and once more because
# the noise on the way back spreads again.
#
# </details>
#
# <details><summary>Solution: the drift backwards</summary>
#
# ```python
# def my_reverse_drift(alpha_bar, x, score):
#     """The drift of the reverse SDE in λ at the points x (n, D), like x."""
#     return 0.5 * (1 - alpha_bar) * (x + 2 * score)
# ```
#
# </details>

# %% [markdown]
# **Where tutorials slip.** Three mistakes are common, here with the exact score and 200 steps. Look at all three columns. **Predict
# first:** which of the mistakes draws the *sharpest* points?

# %%
def drift_of(a, b):
    """½(1 − ᾱ)(a x + b ∇log q): a = 1, b = 2 for the SDE, b = 1 for the ODE."""
    return lambda log_snr, x: 0.5 * sde.sigmoid(-log_snr) * (
        a * x + b * exact_score(log_snr, x))


drifts = {
    "SDE, right": (sde.reverse_drift(exact_score), 1),
    "SDE, half the score": (drift_of(1, 1), 1),
    "SDE, x with the wrong sign": (drift_of(-1, 2), 1),
    "ODE, right": (sde.probability_flow(exact_score), 0),
    "ODE, the score of the SDE": (drift_of(1, 2), 0),
}
truth = roll.sample(2000, seed=9)
floor = evaluate.noise_floor(evaluate.energy_distance, roll, 2000)
print("                            energy distance/floor   "
      "E log p + H   share off")
found = {}
for name, (drift, eta) in drifts.items():
    x = arrive(drift, eta, n=2000, clean=9, steps=200) / sde.sigmoid(9.0) ** 0.5
    found[name] = (
        evaluate.energy_distance(x, truth) / floor,
        evaluate.mean_log_prob(x, roll) + H, evaluate.outlier_share(x, roll))
    print(f"{name:28} {found[name][0]:12.1f} {found[name][1]:21.2f} "
          f"{found[name][2]:13.4f}")
assert found["ODE, the score of the SDE"][2] == 0
assert found["ODE, the score of the SDE"][0] > 100

# %% [markdown]
# With the score of the SDE in the ODE, not one point is off the roll, and $\log p$ is better than that of true points. The
# points have collapsed onto the ridge of the density. **More likely than the truth is wrong too:** the target of
# $\mathbb{E} \log p + H$ is 0, not a large number. The column to the left sees the collapse, the one to the right does not.
#
# **Where tutorials slip.** Names slip as well. Anderson (1982) has the reverse SDE. The ODE is often credited to him; Song et al. (2021) name Maoutsa et al. (2020).

# %% [markdown]
# ## 4 DDIM is one step of Euler
#
# A sampler of the course has waited since notebook 04 for its derivation: `ddim` makes the films of the README. Write (7.6) with
# the noise $\varepsilon = -\sqrt{1 - \bar\alpha}\, s$, and stretch the space so that the signal does not shrink:
#
# $$ \begin{aligned}
# y &= \frac{x}{\sqrt{\bar\alpha}}, \qquad \sigma = \sqrt{\frac{1 - \bar\alpha}{\bar\alpha}} = e^{-\lambda/2}: \\
# \frac{dy}{d\sigma} &= \varepsilon(x, \lambda).
# \end{aligned} \tag{7.7} $$
#
# <details><summary>The algebra</summary>
#
# $d\bar\alpha/d\lambda = \bar\alpha(1 - \bar\alpha)$, so $\frac{d}{d\lambda} \bar\alpha^{-1/2} = -\tfrac12 (1 - \bar\alpha)\, \bar\alpha^{-1/2}$. By the product rule and (7.6)
#
# $$ \begin{aligned}
# \frac{dy}{d\lambda} &= \bar\alpha^{-1/2} \Big[ \tfrac12 (1 - \bar\alpha)(x + s) - \tfrac12 (1 - \bar\alpha) x \Big] \\
# &= \tfrac12\, \bar\alpha^{-1/2} (1 - \bar\alpha)\, s = -\tfrac12\, \sigma\, \varepsilon,
# \end{aligned} $$
#
# and $d\sigma / d\lambda = -\tfrac12 \sigma$. Divide.
#
# </details>
#
# The slope *is* the noise. A step of Euler takes it as fixed on the way from $\sigma$ to the next $\sigma'$.

# %% [markdown]
# **Exercise: a step of DDIM.** *8 minutes, medium.*
#
# Take that step of Euler in $y$, and come back to $x$, before you read (7.8): from $x$ at $\bar\alpha$ to the next level, where $\bar\alpha$ is
# `alpha_bar_next`. `eps_hat` is the network's guess of the noise.

# %%
def my_ddim(alpha_bar, alpha_bar_next, x, eps_hat):
    """x at the next noise level, like x."""
    return ...


checks.ddim(my_ddim)

# %% [markdown]
# <details><summary>Hint 1: a step of DDIM</summary>
#
# $y' = y + (\sigma' - \sigma)\, \hat\varepsilon$, with $y = x/\sqrt{\bar\alpha}$, and $x' = \sqrt{\bar\alpha'}\, y'$. That is an answer. Which terms can be
# collected?
#
# </details>
#
# <details><summary>Hint 2: a step of DDIM</summary>
#
# $y - \sigma \hat\varepsilon$ is $x$ without its noise, over $\sqrt{\bar\alpha}$: a guess of the data point. Then $\sqrt{\bar\alpha'} \sigma' \hat\varepsilon$ mixes the *same*
# noise in again. None is drawn.
#
# </details>
#
# <details><summary>Solution: a step of DDIM</summary>
#
# ```python
# def my_ddim(alpha_bar, alpha_bar_next, x, eps_hat):
#     """x at the next noise level, like x."""
#     x0_hat = (x - (1 - alpha_bar) ** 0.5 * eps_hat) / alpha_bar**0.5
#     return alpha_bar_next**0.5 * x0_hat + (1 - alpha_bar_next) ** 0.5 * eps_hat
# ```
#
# </details>

# %% [markdown]
# Collected, the step reads
#
# $$ \begin{aligned}
# x' &= \sqrt{\bar\alpha'}\; \hat x_0 + \sqrt{1 - \bar\alpha'}\; \hat\varepsilon, \\
# \hat x_0 &= \frac{x - \sqrt{1 - \bar\alpha}\, \hat\varepsilon}{\sqrt{\bar\alpha}}.
# \end{aligned} \tag{7.8} $$
#
# This is DDIM (Song, Meng & Ermon 2021, eq. 12 with $\sigma = 0$): guess the data and the noise, and mix the two anew at the next level.
#
# And the chain's own step? It takes $\hat x_0$ as fixed in the reverse *SDE*, and solves the rest exactly. For with a fixed $\hat x_0$ the score is
# that of data in a single point, and the way back from $x_t$ is the posterior of notebook 03: mean $\tilde\mu_t$, variance $\tilde\beta_t$ (3.9). So
# `ancestral` with $\tilde\beta_t$ and `ddim` are two solvers of (7.5), for $\eta = 1$ and $\eta = 0$. Both claims in one cell: a wide stride from
# $\lambda = -1$ to $\lambda = 1$, against a thousand tiny steps with the same $\hat x_0$.

# %%
# λ at t = 1 and t = 2
knots = schedules.from_log_snr(torch.tensor([1.0, -1.0]))
start = torch.full((4000, 1), 0.7).double()
x0_hat = torch.full((4000, 1), -0.4).double()
eps = normal(4000, 5, dim=1)


def frozen_score(log_snr, x):
    return (sde.sigmoid(log_snr) ** 0.5 * x0_hat - x) / sde.sigmoid(-log_snr)


*_, (_, flowed) = sde.integrate(
    sde.heun, sde.probability_flow(frozen_score), even(-1, 1, 1000), start)
torch.testing.assert_close(
    flowed, samplers.ddim(knots, 2, start, x0_hat, eps), rtol=0, atol=1e-6)
*_, (_, walked) = sde.integrate(
    noisy(1, seed=6), sde.reverse_drift(frozen_score), even(-1, 1, 1000), start)
stride = samplers.ancestral(lambda s: s.beta_tilde)(
    knots, 2, start, x0_hat, eps)
print(f"ODE: {flowed[0].item():.4f} by small steps, "
      f"{samplers.ddim(knots, 2, start, x0_hat, eps)[0].item():.4f} by DDIM")
for name, x in {
        "SDE, small steps": walked, "one stride with β̃": stride}.items():
    print(f"{name:18}  mean {x.mean():.3f},  variance {x.var():.3f}")
assert abs(walked.mean() - stride.mean()) < 0.05
assert abs(walked.var() / stride.var() - 1) < 0.1

# %% [markdown]
# ## 5 Orders: how fast does the error fall?
#
# A solver has *order* $k$ if $N$ steps leave an error of about $C / N^k$. Twice the steps then divide it by $2^k$. The classics: Euler takes
# the slope at the start, and has order 1. Heun averages the slopes at both ends, and has order 2:
#
# $$ \begin{aligned}
# k_1 &= f(\lambda, x), \qquad k_2 = f(\lambda + h,\, x + h k_1), \\
# x' &= x + \tfrac{h}{2} (k_1 + k_2).
# \end{aligned} \tag{7.9} $$
#
# Runge and Kutta's step (`rk4`) has four slopes and order 4. A slope costs a call of the network, so the price of a step is 1, 2 or 4 calls. The
# multistep idea of (4.20) has order 2 for *one* call (Lu et al. 2022): it remembers the last $\hat x_0$.

# %% [markdown]
# **Exercise: a step of Heun.** *10 minutes, medium.*
#
# Write (7.9) for any `field(log_snr, x)`.

# %%
def my_heun(field, log_snr, h, x):
    """x at λ + h, like x."""
    return ...


checks.heun(my_heun)

# %% [markdown]
# <details><summary>Hint 1: a step of Heun</summary>
#
# First a whole step of Euler, only to have a place at which to ask for the second slope.
#
# </details>
#
# <details><summary>Hint 2: a step of Heun</summary>
#
# The second slope is that at the *new* λ and the new place. The step starts from the old `x`, with the mean of the two slopes.
#
# </details>
#
# <details><summary>Solution: a step of Heun</summary>
#
# ```python
# def my_heun(field, log_snr, h, x):
#     """x at λ + h, like x."""
#     k1 = field(log_snr, x)
#     k2 = field(log_snr + h, x + h * k1)
#     return x + h / 2 * (k1 + k2)
# ```
#
# </details>

# %% [markdown]
# *Measure.* Send 300 points along the exact flow from $\lambda = -6$ to 8 with five solvers, and compare with scipy's `solve_ivp`, an adaptive
# solver that is asked for eleven digits. All solvers run through the library's one loop, `reverse_path`.

# %% mystnb={"image": {"alt": "Median error against the number of calls on logarithmic axes, for 25 to 400 calls. Euler and DDIM fall with slope 1, DDIM-2M and Heun with slope 2, RK4 with slope 4. Euler lies four times below DDIM."}}
x_T, denoise = normal(300, seed=3), sde.exact_x0_hat(roll)
right, _ = likelihood.solve(
    sde.probability_flow(exact_score), x_T, -6.0, 8.0, rtol=1e-11)
calls, errors = (24, 48, 96, 192, 384), {}
for name in ("euler", "ddim", "ddim-2m", "heun", "rk4"):
    step, cost, _ = sampling.SAMPLERS[name]
    for n in calls:
        knots = schedules.from_log_snr(even(8, -6, n // cost))
        path = dict(
            samplers.reverse_path(
                sde.at_log_snr(denoise, knots), knots, x_T, step=step))
        errors.setdefault(name, []).append((path[1] - right).norm(dim=-1))
order = {name: torch.log2(e[-2].median() / e[-1].median()).item()
         for name, e in errors.items()}
ax = plots.plt.subplots(figsize=(6.4, 3.6))[1]
for (name, e), colour in zip(
        errors.items(),
        (plots.MODEL, plots.Q, plots.EXTRA[2], *plots.EXTRA[:2]), strict=True):
    ax.loglog(calls, [v.median() for v in e], "o-", color=colour,
              label=f"{name}: order {order[name]:.2f}")
ax.set(xlabel="calls of the denoiser", ylabel="median error at λ = 8",
       xticks=calls, xticklabels=calls)
_ = (ax.minorticks_off(), ax.legend())
for name, k in {
        "euler": 1, "ddim": 1, "ddim-2m": 2, "heun": 2, "rk4": 4}.items():
    assert abs(order[name] - k) < 0.1

# %% [markdown]
# The slopes are 1, 1, 2, 2 and 4, as promised. And two methods of the same order are not equally good: plain Euler in $\lambda$ has a quarter of
# DDIM's error at the same price.
#
# Why the *median*? At some places two arms of the roll pull equally hard. A path that passes such a watershed on the wrong
# side ends far off, however small the error before was. A few such points rule the mean and hide the order:

# %%
for name, e in errors.items():
    orders = -torch.stack([v.square().mean().sqrt().log2() for v in e]).diff()
    print(f"{name:8} order by the root mean square:",
          "  ".join(f"{k:5.2f}" for k in orders))

# %% [markdown]
# Where noise is added on the way there is no single right end, and what counts is the *law* of the ends: its *weak* order. For Gaussian data
# every step is linear, $x \to a x + b\, \varepsilon$, so the variance follows a recursion, $V \to a^2 V + b^2$, and no sampling is needed.

# %%
data = gaussian([0.0], [0.05])
one = torch.ones(1, 1, dtype=torch.float64)
none = torch.zeros(1, 1, dtype=torch.float64)


def wrong_by(name, steps):
    """|V/V* − 1| at λ = 5, V* the variance of p_λ, for a sampler whose steps
    are even in λ from −6."""
    knots = schedules.from_log_snr(even(5, -6, steps))
    denoiser = sde.at_log_snr(sde.exact_x0_hat(data), knots)
    step = sampling.SAMPLERS[name].step
    v = (data.variances * knots.alpha_bar[-1] + 1 - knots.alpha_bar[-1]).item()
    for t in range(len(knots.beta) - 1, 1, -1):
        a, _ = step(knots, t, one, denoiser, none, None)
        b, _ = step(knots, t, none, denoiser, one, None)
        v = a.item() ** 2 * v + b.item() ** 2
    return abs(
        v
        / (data.variances * knots.alpha_bar[1] + 1 - knots.alpha_bar[1]).item()
        - 1)


for name, k in {
        "euler-maruyama": 1, "ancestral-small": 1, "ddim": 1, "euler": 1,
        "heun": 2}.items():
    coarse, fine = wrong_by(name, 400), wrong_by(name, 800)
    print(f"{name:16} variance off by {fine:.1e} after 800 steps,  "
          f"weak order {math.log2(coarse / fine):.2f}")
    assert abs(math.log2(coarse / fine) - k) < 0.05

# %% [markdown]
# ## 6 A round trip
#
# The ODE runs in both directions. Data go to noise, and the noise comes back to the very same data. It is an encoder without a network of its own. Here
# is where the points of the roll go. The colour says where along the roll a point was drawn.

# %% mystnb={"image": {"alt": "Three panels of the same points, coloured by their place along the roll: the roll, and at log SNR 1 and minus 8 a round cloud in which the colours run along a thick spiral, with sharp edges where one turn meets the next."}}
flow = sde.probability_flow(exact_score)
x, u = roll.sample_with_u(2000, seed=11)
middle, _ = likelihood.solve(flow, x, 10.0, 1.0)
z, there = likelihood.solve(flow, middle, 1.0, -8.0)
for part, title, ax in zip(
        (x, middle, z), ("λ = 10", "λ = 1", "λ = −8"),
        plots.axes_row(3, size=2.6), strict=True):
    plots.points(
        part, ax, color=u, cmap="viridis", alpha=0.9, size=4, title=title,
        limit=3)
back, calls = likelihood.round_trip(flow, x[:500], 10.0, -8.0)
off, moved = (
    (a - x[:500]).square().mean().sqrt().item() for a in (back, z[:500]))
print(f"back after {calls} calls, off by {off:.0e};  on its way a point "
      f"moves by {moved:.2f} per axis")
assert off < 1e-4 and calls <= 400

# %% [markdown]
# The flow hardly moves a point, a third of a standard deviation on average: the roll grows thicker until its turns meet. The sharp edges between
# the colours are the watersheds of section 5. And the points come back to their places, to a root mean square of about a hundred-thousandth.
#
# ## 7 log p(x), and no bound
#
# *Claim.* Where points move by $dx/d\lambda = f(\lambda, x)$, the density along a path changes by the divergence of $f$ alone (Chen et al. 2018, theorem 1):
#
# $$ \begin{aligned}
# \frac{d}{d\lambda} \log p_\lambda\big(x(\lambda)\big) &= -\nabla \cdot f, \\
# \nabla \cdot f &= \tfrac12 (1 - \bar\alpha)\, (D + \nabla \cdot s).
# \end{aligned} \tag{7.10} $$
#
# Where the flow spreads out, the density falls. Follow a clean point $x$ from $\lambda_1$ to its noise $z$ at $\lambda_T$, and add up what was lost on the way. If
# $\lambda_1$ is so high that no noise is left to see, and $\lambda_T$ so low that $p_\lambda$ is $N(0, I)$,
#
# $$ \begin{aligned}
# \log p(x) = \log N(z; 0, I) &+ \int_{\lambda_1}^{\lambda_T} \nabla \cdot f \; d\lambda \\
# &+ \frac{D}{2} \log \bar\alpha_{\lambda_1}.
# \end{aligned} \tag{7.11} $$
#
# The path starts at $\sqrt{\bar\alpha_{\lambda_1}}\, x$. The last term undoes this shrinking.
#
# <details><summary>Proof: one line of the chain rule</summary>
#
# Without noise the Fokker–Planck equation is $\partial p / \partial \lambda = -\nabla \cdot (f p) = -f \cdot \nabla p - p\, \nabla \cdot f$. Along a path
# $\frac{d}{d\lambda} \log p = \frac1p \big( \frac{\partial p}{\partial \lambda} + f \cdot \nabla p \big) = -\nabla \cdot f$. For $\lambda \to \infty$, $p(x) = p_\lambda(\sqrt{\bar\alpha}\, x)\, \bar\alpha^{D/2}$.
#
# </details>
#
# *Check.* Integrate the pair $(x, \int \nabla \cdot f\, d\lambda)$ with `solve_ivp`, and compare with the exact log density of 1,000 points.

# %%
x = roll.sample(1000, seed=12)
log_p = roll.log_prob(x)
ode = likelihood.log_prob_ode(
    likelihood.exact_flow(roll), x, clean=13.0, noise=-8.0)
error = ode.log_p - log_p
mean, rms = error.mean(), error.square().mean().sqrt()
print(f"{ode.calls} calls:  mean error below 1e-4: {abs(mean) < 1e-4},  "
      f"root mean square below 1e-3: {rms < 1e-3}")
assert abs(mean) < 1e-4 and rms < 1e-3

# %% [markdown]
# No bound, no importance samples: the log density itself. What is in the formula, and what does it cost to forget a part?

# %%
prior = -0.5 * (ode.z.square() + math.log(2 * math.pi)).sum(-1)
# the integral; D/2 = 1
gained = ode.log_p - prior - math.log(sde.sigmoid(13.0))
# the integral of ½(1−ᾱ)D alone
plain = math.log1p(math.exp(-13.0)) - math.log1p(math.exp(8.0))
for name, value in {
    "−log p, exact": log_p,
    "(7.11)": ode.log_p,
    "the divergence forgotten": prior,
    "the divergence with the wrong sign": prior - gained,
    "the D in (7.10) forgotten": prior + gained - plain,
}.items():
    print(f"{name:36} {-value.mean():8.3f} nats")

# %% [markdown]
# **Exercise: log p from a path.** *12 minutes, medium.*
#
# A path from $\lambda_1$ to $\lambda_T$ has been followed. `log_snr` (N + 1,) are the levels it passed, falling; `div` (N + 1, n) is
# $\nabla \cdot f$ there; `z` (n, D) is where it ended. Return $\log p(x)$ of the clean points, (n,), with the trapezoidal rule for the integral.

# %%
def my_log_prob(log_snr, div, z):
    """log p of the clean points from which the paths started, (n,), nats."""
    return ...


checks.log_prob(my_log_prob)

# %% [markdown]
# <details><summary>Hint 1: log p from a path</summary>
#
# (7.11) has three terms. `torch.trapezoid(div, log_snr, dim=0)` integrates along the path, in its direction.
#
# </details>
#
# <details><summary>Hint 2: log p from a path</summary>
#
# λ falls along the path, so the integral of a positive divergence is negative; the trapezoidal rule sees that by itself. The last term has
# $\bar\alpha$ at the clean end, `log_snr[0]`.
#
# </details>
#
# <details><summary>Solution: log p from a path</summary>
#
# ```python
# def my_log_prob(log_snr, div, z):
#     """log p of the clean points from which the paths started, (n,), nats."""
#     D = z.shape[-1]
#     prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
#     lost = torch.trapezoid(div, log_snr, dim=0)
#     return prior + lost + D / 2 * log_snr[0].sigmoid().log()
# ```
#
# </details>

# %% [markdown]
# In two dimensions the divergence costs two derivatives. An image has hundreds, so there one *estimates* the trace (Hutchinson 1989): for random signs $v$,
#
# $$ \mathbb{E}_v\Big[ v^\top \frac{\partial f}{\partial x}\, v \Big] = \operatorname{tr} \frac{\partial f}{\partial x} = \nabla \cdot f. \tag{7.12} $$
#
# One derivative is enough, and the mean is right. **Predict first:** how much does $\log p(x)$ of one point scatter, in nats? Usually one $v$ is drawn
# for the whole path (Grathwohl et al. 2019), because an adaptive solver cannot follow a function that changes at every call.

# %%
def signs(x, generator):
    return torch.randint(0, 2, x.shape, generator=generator).double() * 2 - 1


def scatter(probe, steps, n=300):
    """The standard deviation per point of log p with estimated traces, by
    Heun."""
    estimate = likelihood.with_estimated_divergence(flow, probe)
    return (likelihood.log_prob_in_steps(estimate, x[:n], even(12, -8, steps))
            - log_p[:n]).std()


generator, v = seeded(4), signs(x[:300], seeded(3))
for steps in (50, 100):
    kept = scatter(lambda x: v, steps)
    fresh = scatter(lambda x: signs(x, generator), steps)
    print(f"{steps:3} steps of Heun: one v for the path {kept:.2f} nats, "
          f"a fresh v for each call {fresh:.2f}")
assert kept > 1 > 3 * fresh

# %% [markdown]
# With one $v$ the error is as large as the entropy of the data, and more steps do not help. The mean over many points is still right, but slow. So on images
# take fixed steps and a fresh $v$ for each call: then the errors average out along the path.

# %% [markdown]
# ## 8 Three numbers for one network
#
# Put the learned score into the flow, and (7.11) is the exact log density of *that flow's* samples. So a network has two
# likelihoods, and neither of them is the data's:
#
# - the ODE's, by (7.11);
# - the SDE's, of which we have the chain's bound. As $T \to \infty$ the steps cost nothing, and by (4.17) what is left is what the network adds,
#
# $$ \text{gap} = \tfrac12 \int (1 - \bar\alpha)\; \mathbb{E}\big| s_\theta - s \big|^2 \, d\lambda \quad \text{nats}. \tag{7.13} $$
#
# We pair both with the exact $\log p(x)$ of the same points, so that the spread of the data does not count. **Predict first:** the bound is a bound,
# the ODE is none. Is the ODE's distance to the truth the smaller one?

# %%
x = roll.sample(6000, seed=14)
log_p = roll.log_prob(x)
# no network is asked above its λ₁
clean = model.schedule.log_snr[1].item() - 1e-3
learned_flow = likelihood.with_divergence(sde.probability_flow(learned_score))
ode = likelihood.log_prob_ode(learned_flow, x, clean, noise=-8.0, rtol=1e-5)
print(f"−log p, exact: {-log_p.mean():.4f}     by the network's ODE: "
      f"{-ode.log_p.mean():.4f}, {ode.calls} calls")
gap, se = evaluate.mean_and_error(log_p - ode.log_p)
print(f"the ODE's distance to the truth:           {gap:.4f} ± {se:.4f} nats")
assert se < 0.002 and 0 < gap < 0.02

# %%
levels, added = even(-8, clean, 80), []
for i, log_snr in enumerate(levels.tolist()):
    bar = sde.sigmoid(log_snr)
    xt = bar**0.5 * x + (1 - bar) ** 0.5 * normal(6000, seed=100 + i)
    off = learned_score(log_snr, xt) - exact_score(log_snr, xt)
    # the integrand of (7.13)
    added.append(0.5 * (1 - bar) * off.square().sum(-1))
bound_gap, bound_se = evaluate.mean_and_error(
    torch.trapezoid(torch.stack(added), levels, dim=0))
print(f"the bound's, without steps, by (7.13):     {bound_gap:.4f} "
      f"± {bound_se:.4f} nats")
chain_gap = bound_gap + price(roll, model.schedule)
print(f"the bound's in 1000 steps of the cosine:   {chain_gap:.4f} nats, "
      f"{chain_gap - bound_gap:.4f} of them for the steps")
assert bound_se < 0.002
assert gap > bound_gap - 2 * se
assert bound_gap < chain_gap < 0.02

# %% [markdown]
# It is not. The ODE's is rather the larger, by about two standard errors. That is no contradiction. With the exact score the SDE and the ODE are two views of one
# law. With a learned score they are two *models*, and the bound says nothing about the second (Song et al. 2021b).
#
# **Where tutorials slip.** The number by the ODE is often called "the exact likelihood of the model". It is exact for the ODE alone, and samples are
# mostly drawn from the SDE. For images it is a bound again, since noise was added to their grey levels.
#
# What costs more than the network is the thousand steps. In continuous time they are free.
#
# Where does the network's flow go wrong? Ask (7.11) on a grid, and subtract the exact log density wherever there are data:

# %% mystnb={"image": {"alt": "Left, the exact density of the roll. Middle, the density that the network's flow has, which looks the same. Right, the difference of the log densities on the roll: pale patches of a tenth of a nat along the middle, stronger red and blue at its edges and ends."}}
points = plots.grid(n=90)
exact_log_p = roll.log_prob(points)
seen = likelihood.log_prob_ode(
    learned_flow, points, clean, noise=-8.0, rtol=1e-4).log_p
axes = plots.axes_row(3, size=2.6)
plots.density(exact_log_p, axes[0], title="exact")
plots.density(seen, axes[1], title="the network's flow")
difference = torch.where(
    exact_log_p > -6, seen - exact_log_p, torch.nan).reshape(90, 90).T
picture = axes[2].imshow(
    difference, extent=(-2.4, 2.4) * 2, origin="lower", cmap="coolwarm",
    vmin=-0.5, vmax=0.5)
axes[2].set(title="difference of log p", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
axes[2].grid(False)
_ = plots.plt.colorbar(picture, ax=axes[2], shrink=0.8, label="nats")

# %% [markdown]
# ## 9 Which sampler, with how many calls?
#
# All is ready for the question of the beginning: how few steps will do? The table was measured beforehand, by `python tools/bench/samplers.py` in
# half an hour: ten thousand points, three sets of noise, the network and the exact score, and every sampler of the library, some in steps even in
# $t$, some in steps even in $\lambda$. A test computes a part of it again.
#
# Three columns judge. They see different faults: the energy distance sees mass in the wrong place, $\mathbb{E} \log p + H$ a roll that is too thick ($-$) or
# too thin ($+$), the share off the roll sees strays. A sampler is *at the truth* if none of the three can tell its ten thousand points from true
# ones. The limits are the energy distance of the worst of six true sets, and three standard errors of a true set for the other two; two
# standard errors of the measurement are granted.

# %%
measured, CALLS = sampling.measured(), (8, 12, 20, 52, 100, 200)
LIMITS = 2.1, 3 * log_p.std().item() / 100, 0.001 + 3 * (0.001 / 10_000) ** 0.5


def at_the_truth(row):
    return all(
        abs(value) - 2 * se < limit
        for (value, se), limit in zip(row, LIMITS, strict=True))


print("limits: energy/floor {:.1f},  |E log p + H| {:.3f},  "
      "share off {:.4f}".format(*LIMITS))
print("E log p + H with the network, its error in thousandths; *: "
      "all columns at the truth")
print(f"{'calls':17}" + "".join(f"{n:^11}" for n in CALLS))
for (score, name, where), row in measured.items():
    if score == "cosine":
        cells = ((
                     f"{row[n][1][0]:+7.3f}({1000 * row[n][1][1]:.0f})"
                     f"{'*' * at_the_truth(row[n])}") for n in CALLS)
        print(f"{name}, {where[:1].replace('l', 'λ')}".ljust(19)
              + "".join(cell.ljust(11) for cell in cells))

# %% mystnb={"image": {"alt": "Three panels against the number of calls, for six samplers. Left, the energy distance over its floor: all but Euler start high and come down into the band of true sets by 52 calls. Middle, E log p plus H: curves from above and from below come to zero. Right, the share off the roll falls to a few per thousand; ODE samplers stay a little higher."}}
SHOWN = {
    ("ancestral-small", "t"): plots.DATA,
    ("ancestral-2m", "log SNR"): plots.ERROR,
    ("ddim", "t"): plots.Q,
    ("ddim-2m", "log SNR"): plots.EXTRA[2],
    ("euler", "log SNR"): plots.MODEL,
    ("heun", "log SNR"): plots.EXTRA[0],
}
axes = plots.plt.subplots(1, 3, figsize=(9.6, 3.8), layout="constrained")[1]
labels = "energy distance / floor", "E log p + H, nats", "share off the roll"
for column, (ax, label) in enumerate(zip(axes, labels, strict=True)):
    for (name, where), colour in SHOWN.items():
        value, error = torch.tensor(
            [measured["cosine", name, where][n][column] for n in CALLS]).T
        plots.curve(
            CALLS, value, ax, color=colour, label=f"{name}, {where}",
            error=error, marker="o", markersize=3)
    ax.set(xlabel="calls of the network", ylabel=label, xscale="log",
           xticks=CALLS, xticklabels=CALLS)
    ax.minorticks_off()
axes[0].set(yscale="log")
axes[0].axhspan(0.37, LIMITS[0], color=plots.TRUTH, alpha=0.1)
axes[1].axhspan(-LIMITS[1], LIMITS[1], color=plots.TRUTH, alpha=0.1)
axes[2].axhspan(0.0003, LIMITS[2], color=plots.TRUTH, alpha=0.1)
plots.truth(CALLS, [0] * 6, axes[1], label=None)
axes[1].set(ylim=(-0.6, 0.3))
axes[2].set(yscale="log")
_ = axes[0].figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %% [markdown]
# Grey bands: what true sets do. Four things can be read off.
#
# - **With 20 calls or fewer nobody is at the truth,** and the order of the samplers turns round on the way. At 8 calls plain Euler on the even
#   grid is the best in all three columns; at 52 it is not.
# - **The winner is `ancestral-2m` on the even grid:** the SDE with noise, and a continued $\hat x_0$. It is at the truth with 52 calls, as the only
#   one. Euler–Maruyama follows with 100. All samplers with steps even in $t$ need more than 200.
# - **Noise repairs.** With 200 calls the ODE samplers still leave three or four points in a thousand off the roll, the SDE samplers on the same grid
#   one or two. An ODE carries the network's mistakes to the end. Fresh noise, and the score's pull after it, corrects some of them.
# - **A single column is a bad judge.** `ancestral-small` in $t$ has a good energy distance and a perfect share off at 100 calls, and its roll is too
#   thin by a seventh of a nat.
#
# Is the network to blame for the rest? The same question with the exact score:

# %%
for score, name, where in measured:
    if score == "exact":
        pair = [
            next(
                (n for n in CALLS if at_the_truth(measured[s, name, where][n])),
                None) for s in ("exact", "cosine")]
        print(f"{name + ', ' + where:26} calls with the exact score: "
              f"{pair[0]!s:>4},  with the network: {pair[1]!s:>4}")
rows = {(name, where): row for (s, name, where), row in measured.items()
        if s == "cosine"}
assert [sampler for sampler, row in rows.items() if at_the_truth(row[52])] == [
    ("ancestral-2m", "log SNR")
]
assert not any(
    at_the_truth(row[n]) for (_, where), row in rows.items() for n in CALLS
    if n <= 20 or where == "t")

# %% [markdown]
# In part. With the exact score the winner needs no more than 20 calls, and the ODE samplers are at the truth too, with 52 or 100: there is no
# mistake to carry on. The steps even in $t$ need 200 or more even so. That is the steps' own fault.

# %% [markdown]
# ## 10 The same two questions for images
#
# `mnist-ddpm` of notebook 05 has 784 dimensions instead of two. The functions are the same. What is missing is the exact density to compare with.
#
# **How many calls?** Each sampler drew two thousand images, beforehand, by `python tools/bench/mnist_samplers.py`. Their Fréchet distance (5.5) is divided
# by its floor, what unseen real images get.

# %%
print("Fréchet distance over its floor, and coverage; real images "
      "have 1 and 0.96")
print(f"{'2,000 images, one noise':24}"
      + "".join(f"{n} calls".rjust(15) for n in (10, 20, 50)))
found = {(row["sampler"], row["grid"], int(row["calls"])): row
         for row in pretrained.table("mnist-samplers")}
for name, where in dict.fromkeys((name, where) for name, where, _ in found):
    rows = [found[name, where, calls] for calls in (10, 20, 50)]
    cells = (f"{float(row['frechet']):9.1f}, {float(row['coverage']):.2f}"
             for row in rows)
    print(f"{name + ', ' + where:24}" + "".join(cells))
ratio = {key: float(row["frechet"]) for key, row in found.items()}
assert min((ratio[key], key) for key in ratio if key[2] == 10)[1][:2] == (
    "ancestral-2m", "log SNR")
assert min((ratio[key], key) for key in ratio if key[2] == 50)[1][:2] == (
    "ancestral-2m", "t")
assert all(
    ratio["ancestral-2m", "t", n] < ratio[name, "t", n]
    for name in ("ancestral-small", "ddim") for n in (20, 50))

# %% [markdown]
# - **With ten calls the even grid of log SNR wins by far. With fifty it does not:** then `ancestral-2m` in even steps of $t$ is ahead. On the roll the winner was on the even grid. Which grid is best depends on
#   the data and on the number of calls. Notebook 08 asks what a grid is worth.
# - **Second order pays on images too:** with twenty or fifty calls `ancestral-2m` is ahead of every sampler of first order on its own grid.
# - **With fifty calls the samplers without noise are behind.** Whether the network's mistakes are to blame, as on the roll, or the steps, cannot be told here: there is no exact score to compare with.
#
# **How many nats?** (7.11) gives a density, and grey levels have a probability (5.1). Two ways lead from one to the other.
#
# - *Uniform noise.* Add to each pixel a uniform number as wide as a level, and take the density of the result times the volume of a cell. By Jensen's inequality that
#   is a bound (Theis et al. 2016). Most papers do so.
# - *The chain's own first step.* Blur the image to $x_1$ as $q(x_1 | x_0)$ does, and go back to grey levels by the chain's own $p(x_0 | x_1)$. That is a bound too, for
#   the same reason as (1.5):
#
# $$ -\log P(x_0) \le \mathbb{E}_q \big[ \log q(x_1 | x_0) - \log p(x_0 | x_1) - \log p_{\mathrm{ode}}(x_1) \big]. \tag{7.14} $$
#
# **Predict first.** By how much do they differ?

# %%
rows = pretrained.table("mnist-likelihood")
nats = {name: torch.tensor([float(row[name]) for row in rows])
        for name in ("chain", "flow", "uniform")}
for name, by in {
        "chain": "the chain, 1000 steps",
        "flow": "the flow, by (7.14)",
        "uniform": "the flow, uniform noise"}.items():
    bits = nats[name].mean() / (784 * math.log(2))
    mean, se = evaluate.mean_and_error(nats[name] - nats["chain"])
    print(f"{by:24} {bits:.3f} bits per pixel" + (
              f",   {mean:+6.1f} ± {se:.1f} nats beside the chain"
              if name != "chain" else ""))
width = 2 / 255
variance = math.exp(-pretrained.load("mnist-ddpm").schedule.log_snr[1])
black = (0.5 * math.log(2 * math.pi * variance) + width**2 / 12 / (2 * variance)
         - math.log(width))
print(f"a pixel that is surely black: {black:.2f} nats with uniform noise")
assert abs((nats["flow"] - nats["chain"]).mean()) < 12
assert (nats["uniform"] - nats["chain"]).mean() > 400

# %% [markdown]
# With the chain's own first step the flow and the chain agree within the error of fifty images. With uniform noise the same flow needs nearly twice as
# many bits. It is no worse a model: its last step is missing. At $\lambda_1$ a pixel that is surely black is still a Gaussian with
# the standard deviation of most of a level, and only $p(x_0 | x_1)$ knows that black is exactly black. Four pixels in five are black (notebook 05), and so many times 0.78 nats
# are about what the table shows. `diffusion-edu evaluate RUN --ode` uses (7.14). A likelihood by an ODE is comparable only with its way of making grey levels into points named.
#
# On the command line all of them are at hand, by the names of the table:
#
# ```
# diffusion-edu sample RUN --n 10000 --out x.npy --sampler heun --sample-steps 26
# diffusion-edu evaluate RUN --ode
# ```
#
# The first draws with 26 steps of two calls each; the second adds $-\log p$ by (7.11) to the bound.
#
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** Why does the score count twice in the reverse SDE, and once in the ODE?
#
# <details><summary>The reverse SDE has to go twice as fast.</summary>
#
# **No.** Both pass the same laws at the same $\lambda$.
#
# </details>
#
# <details><summary>Once to undo the spreading, once more for the noise of the way back.</summary>
#
# **Yes.** Noise spreads as a drift along $-s$ does. Whoever adds noise on the way back must add the same drift along $+s$ (7.5).
#
# </details>
#
# <details><summary>It is a matter of convention.</summary>
#
# **No.** With one score too few the samples lie off the roll, with one too many they collapse onto its ridge. Section 3 has both.
#
# </details>
#
# **Question.** A sampler's points have $\mathbb{E} \log p + H = +0.18$ nats. Is that good?
#
# <details><summary>Yes: they are more likely than true points.</summary>
#
# **No.** True points have 0. More is a roll that is too thin.
#
# </details>
#
# <details><summary>No: the target is 0.</summary>
#
# **Yes.** Points on the ridge alone would have the highest value of all, and none of the roll's width.
#
# </details>
#
# <details><summary>It depends on the number of calls.</summary>
#
# **No.** A sampler may need many calls to reach it, but the target is the same for all of them.
#
# </details>
#
# **Question.** You replace the solver of (7.11) by one with larger errors. What happens to $-\log p$?
#
# <details><summary>It rises: a worse solver gives a looser bound.</summary>
#
# **No.** (7.11) is not a bound. Its errors have either sign.
#
# </details>
#
# <details><summary>It may go either way.</summary>
#
# **Yes.** So a number by an ODE comes with its tolerance, and one halves the tolerance once to see that it stays.
#
# </details>
#
# <details><summary>Nothing: an ODE has one solution.</summary>
#
# **No.** A solver takes steps, and with wide ones $\log p$ of a point may be far off.
#
# </details>
#
# **Question.** Which of these needs no fresh noise and one call per step?
#
# <details><summary>Heun on the flow</summary>
#
# **No.** It draws no noise, but asks for two slopes (7.9).
#
# </details>
#
# <details><summary>DDIM</summary>
#
# **Yes.** It is one step of Euler, in $\sigma$ (7.7).
#
# </details>
#
# <details><summary>Euler–Maruyama</summary>
#
# **No.** It needs one call, but draws fresh noise in each step.
#
# </details>

# %% [markdown]
# ## Project: A better grid
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# The table takes steps even in $t$ or in $\lambda$. Neither was chosen for the roll. Find a grid of twenty values of $\lambda$ on which some sampler of
# the library comes closer to the truth than `ancestral-2m` on the even one. Ideas: denser where the score changes fast; a clean end earlier than
# $\lambda = 10$; the grid of Karras et al. (2022), even in $\sigma^{1/7}$.
#
# - The grid is a `Schedule`, made by `schedules.from_log_snr`, with the rule that made it.
# - All three columns of section 9 for 20 calls, exact and learned score side by side, three sets of noise.
# - One sentence on the sign of $\mathbb{E} \log p + H$: what does your grid do to the thickness of the roll, and why?
# - The same grid on `SwissRoll(noise=1.0)` with the exact score: was it the sampler or the roll?

# %% [markdown]
# ## Recap
#
# - The chain is a solver of an SDE (7.1), with an error of order $1/T$. In the clock $\lambda$ (7.4) the schedule is only a grid.
# - Backwards there is a family of processes with one law (7.5): noise can be traded for a drift along the score. Without noise it is an ODE (7.6).
# - DDIM is a step of Euler in $\sigma$ (7.7), the ancestral step with $\tilde\beta$ solves the SDE with $\hat x_0$ fixed.
# - Orders are measured: 1, 2 and 4, by the median.
# - The ODE gives $\log p$ itself (7.11), to a thousandth of a nat with the exact score. Of a network it is the likelihood of its ODE, which is another model than
#   its SDE.
# - Of the samplers, a multistep solver of the SDE on an even grid of $\lambda$ needs the fewest calls on the roll.
# - For grey levels a density becomes a bound by the chain's own first step (7.14). Uniform noise in its place nearly doubles the bits.
#
# | symbol | code | file |
# | --- | --- | --- |
# | $\bar\alpha = \mathrm{sigmoid}(\lambda)$ | `sigmoid` | `sde.py` |
# | $s = \nabla \log p_\lambda$ | `exact_score`, `learned_score` | `sde.py` |
# | (7.5), (7.6) | `reverse_drift`, `probability_flow` | `sde.py` |
# | (7.8) | `ddim` | `samplers.py` |
# | steps of order 1, 2, 4 | `euler`, `heun`, `rk4`, `euler_maruyama`, `integrate` | `sde.py` |
# | adaptive solver | `solve`, `round_trip` | `likelihood.py` |
# | $\nabla \cdot f$, exact and estimated (7.12) | `exact_flow`, `with_divergence`, `with_estimated_divergence` | `likelihood.py` |
# | $\log p(x)$ (7.11) | `log_prob_ode`, `log_prob_in_steps` | `likelihood.py` |
# | the samplers and their price | `SAMPLERS`, `even_grid`, `measured` | `sampling.py` |
# | (7.14) | `image_log_p` | `evaluate.py` |
#
# **The way on.** The grid of $\lambda$ was even, for want of a better reason. What is a good one, and what is a schedule worth in nats? That question
# is answered by learning the noise. The ODE leads on to flow matching, which learns its velocity directly.
#
# **References**
#
# - Anderson (1982), *Reverse-time diffusion equation models*,
#   [doi:10.1016/0304-4149(82)90051-5](https://doi.org/10.1016/0304-4149(82)90051-5)
# - Chen, Rubanova, Bettencourt, Duvenaud (2018), *Neural ordinary differential equations*, [arXiv:1806.07366](https://arxiv.org/abs/1806.07366)
# - Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud (2019), *FFJORD: free-form continuous dynamics for scalable reversible generative models*,
#   [arXiv:1810.01367](https://arxiv.org/abs/1810.01367)
# - Hutchinson (1989), *A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines*,
#   [doi:10.1080/03610918908812806](https://doi.org/10.1080/03610918908812806)
# - Karras, Aittala, Aila, Laine (2022), *Elucidating the design space of diffusion-based generative models*,
#   [arXiv:2206.00364](https://arxiv.org/abs/2206.00364)
# - Kingma, Salimans, Poole, Ho (2021), *Variational diffusion models*, [arXiv:2107.00630](https://arxiv.org/abs/2107.00630)
# - Lu, Zhou, Bao, Chen, Li, Zhu (2022), *DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models*,
#   [arXiv:2211.01095](https://arxiv.org/abs/2211.01095)
# - Maoutsa, Reich, Opper (2020), *Interacting particle solutions of Fokker–Planck equations through gradient–log–density estimation*,
#   [arXiv:2006.00702](https://arxiv.org/abs/2006.00702)
# - Song, Durkan, Murray, Ermon (2021b), *Maximum likelihood training of score-based diffusion models*, [arXiv:2101.09258](https://arxiv.org/abs/2101.09258)
# - Song, Meng, Ermon (2021), *Denoising diffusion implicit models*, [arXiv:2010.02502](https://arxiv.org/abs/2010.02502)
# - Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole (2021), *Score-based generative modeling through stochastic differential equations*,
#   [arXiv:2011.13456](https://arxiv.org/abs/2011.13456)
# - Theis, van den Oord, Bethge (2016), *A note on the evaluation of generative models*, [arXiv:1511.01844](https://arxiv.org/abs/1511.01844)
