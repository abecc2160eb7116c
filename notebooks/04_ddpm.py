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
# # DDPM: why predict the noise?
#
# Notebook 03 fixed the encoder to noise and ran the chain backwards with the *exact* denoiser. Now a network
# takes its place. Ho et al. (2020) let the network guess the noise $\varepsilon$ and train it with a plain squared
# error. That looks nothing like a bound on a likelihood. It is one, up to a factor per time step, and we shall see
# what the factor is worth.
#
# **The question.** Why does a diffusion model predict the noise, and what does its simple loss have to do with nats?
#
# **Afterwards you can**
# - go from $x_0$ to $\varepsilon$, $v$ and the score and back, and say why they make one loss,
# - derive the weighted $\varepsilon$ loss from the KL terms, constants included,
# - write DDPM training and sampling in ten lines each,
# - say where a network loses nats, and how many, and which part no network could win back,
# - say in which respects a diffusion model is a VAE.
#
# **Time** about 70 minutes to read, and 50 for the exercises, both estimates. All cells run in about two minutes on
# two cores. **You need** notebooks 00 to 03.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import torch

from diffusion_edu import (
    checks, ddpm, diffusion, evaluate, gaussian, nets, plots, samplers,
    schedules, training
)
from diffusion_edu.data import SwissRoll

plots.use_style()

# %% [markdown]
# The training takes most of a minute, so it comes first. Until section 5 take it on trust that `net` is a network
# trained to predict noise: `net.eps_hat(xt, t)` is its guess $\hat\varepsilon$ of the noise in $x_t$, and `net.x0_hat(xt, t)` the
# denoiser that follows from it.

# %%
roll, S = SwissRoll(), schedules.cosine(1000)
H, points = roll.entropy(), roll.sample(200_000, seed=1).float()
ab = S.alpha_bar  # ᾱ_t, t = 0 … T; the number T = 1000 is S.T


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def fresh(seed=0):
    torch.manual_seed(seed)
    return ddpm.DDPM(nets.EpsNet(2, S), S, dim=2)


trainer = training.Trainer(fresh(), training.eps_loss(), points, steps=7000)
list(trainer.run(progress=False))
net = trainer.model.requires_grad_(False)

# %% [markdown]
# This is the goal: the swiss roll un-rolled from noise by a network that has only ever been asked "which noise is in this
# point?".

# %% mystnb={"image": {"alt": "A network that guesses noise un-rolls the roll. From left to right a round cloud of noise at t = 1000 shrinks, bends and becomes the spiral of the swiss roll at t = 0; the points are drawn in blue that turns from dark to light."}}
x_T = torch.randn(5000, 2, generator=seeded(3))
film = dict(
    samplers.reverse_path(net.x0_hat, S, x_T, steps=200, generator=seeded(4)))
for t, ax in zip(
        [1000, 600, 300, 100, 30, 0], plots.axes_row(6, size=1.7), strict=True):
    plots.points(
        film[t][:1200], ax, color=[plots.TIME(0.2 + 0.8 * t / S.T)],
        title=f"t = {t}", size=1.5, limit=3.4)

# %% [markdown]
# ## 1. Four predictions, one loss
#
# A noisy point (3.4) is made of two things, and a network sees only their sum:
#
# $$ x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\; \varepsilon, \qquad \varepsilon \sim N(0, I). \tag{4.1} $$
#
# Given $x_t$, to know $x_0$ is to know $\varepsilon$. The same holds for every other mixture of the two. Two are in use:
#
# $$ \begin{aligned}
# v &= \sqrt{\bar\alpha_t}\; \varepsilon - \sqrt{1 - \bar\alpha_t}\; x_0, \\
# s &= \nabla_{x_t} \log q(x_t \mid x_0) = -\frac{\varepsilon}{\sqrt{1 - \bar\alpha_t}}.
# \end{aligned} \tag{4.2} $$
#
# $s$ is the slope of the log density of $x_t$ if $x_0$ were known, by (3.4). $v$ (Salimans & Ho 2022) has a picture. Write
# $\sqrt{\bar\alpha_t} = \cos\varphi$ and $\sqrt{1 - \bar\alpha_t} = \sin\varphi$. As $\varphi$ turns from 0 to a right
# angle, $x_t = \cos\varphi\, x_0 + \sin\varphi\, \varepsilon$ walks along an arc from data to noise, and $v$ is its
# velocity $dx_t / d\varphi$. So $v$ is about $\varepsilon$ when $x_t$ is nearly clean, and about $-x_0$ when
# $x_t$ is nearly noise. It always asks for the part that cannot be seen.

# %% [markdown]
# **Exercise: from v back to the data.** *8 minutes, easy.*
#
# A network says $\hat v$. Which $\hat x_0$ does it mean? Solve (4.1) and (4.2) for $x_0$, given $x_t$ and $v$. Your
# answer must hold at every noise level, $\bar\alpha_t = 0$ and $1$ included: divide by nothing that can be zero.

# %%
def my_x0_from_v(xt, v, alpha_bar):
    """The x₀ that x_t and v stand for."""
    return ...


checks.x0_from_v(my_x0_from_v)

# %% [markdown]
# <details><summary>Hint 1: from v back to the data</summary>
#
# Two equations, two unknowns, $x_0$ and $\varepsilon$. Or think of the arc: $x_t$ is reached at the angle $\varphi$,
# $v$ is its velocity, and you walk back.
#
# </details>
#
# <details><summary>Hint 2: from v back to the data</summary>
#
# Multiply (4.1) by $\sqrt{\bar\alpha_t}$ and $v$ by $\sqrt{1 - \bar\alpha_t}$, and subtract: $\varepsilon$ cancels,
# and the squares of the roots add up to one.
#
# </details>
#
# <details><summary>Solution: from v back to the data</summary>
#
# ```python
# def my_x0_from_v(xt, v, alpha_bar):
#     """The x₀ that x_t and v stand for."""
#     return alpha_bar**0.5 * xt - (1 - alpha_bar) ** 0.5 * v
# ```
#
# </details>

# %% [markdown]
# The library has the conversions. Here we go round in a circle at three noise levels.

# %%
x0 = roll.sample(1000, seed=2)
eps = torch.randn(1000, 2, dtype=torch.float64, generator=seeded(0))
for t in (1, 300, 999):
    xt = ddpm.noised(x0, eps, ab[t])
    v = ddpm.v_from_eps(xt, eps, ab[t])
    # (4.2)
    torch.testing.assert_close(v, ab[t].sqrt() * eps - (1 - ab[t]).sqrt() * x0)
    torch.testing.assert_close(ddpm.eps_from_v(xt, v, ab[t]), eps)
    torch.testing.assert_close(
        ddpm.x0_from_eps(xt, ddpm.eps_from_x0(xt, x0, ab[t]), ab[t]), x0)
    torch.testing.assert_close(
        ddpm.eps_from_score(ddpm.score_from_eps(eps, ab[t]), ab[t]), eps)

# %% [markdown]
# Now let a network predict one of the four, with some error, and convert. The prediction and the truth satisfy (4.1) with
# the same $x_t$. Subtract: $\sqrt{\bar\alpha_t}\, (x_0 - \hat x_0) = -\sqrt{1 - \bar\alpha_t}\, (\varepsilon - \hat\varepsilon)$. So
# the errors are proportional, and in the same way for $v$ and $s$:
#
# $$ \begin{aligned}
# |\varepsilon - \hat\varepsilon|^2 &= \mathrm{SNR}(t)\, |x_0 - \hat x_0|^2 = \bar\alpha_t\, |v - \hat v|^2 = (1 - \bar\alpha_t)\, |s - \hat s|^2, \\
# \mathrm{SNR}(t) &= \frac{\bar\alpha_t}{1 - \bar\alpha_t}.
# \end{aligned} \tag{4.3} $$
#
# Four predictions, one loss: they differ in the weight each gives to a time step, and in what is easy for a
# network to say. We check (4.3) with a made-up prediction.

# %%
def square(a):
    return a.square().sum(-1)  # |a|² of each point


eps_hat = (
    eps + 0.1 * torch.randn(1000, 2, dtype=torch.float64, generator=seeded(1)))
for t in (1, 300, 999):
    xt, a = ddpm.noised(x0, eps, ab[t]), ab[t]
    error = square(eps - eps_hat)
    torch.testing.assert_close(
        S.snr[t] * square(x0 - ddpm.x0_from_eps(xt, eps_hat, a)), error)
    v_error = ddpm.v_from_eps(xt, eps, a) - ddpm.v_from_eps(xt, eps_hat, a)
    torch.testing.assert_close(a * square(v_error), error)
    s_error = ddpm.score_from_eps(eps, a) - ddpm.score_from_eps(eps_hat, a)
    torch.testing.assert_close((1 - a) * square(s_error), error)

# %% [markdown]
# Our `EpsNet` uses this freedom. It is a plain network of four hidden layers. It sees $x_t$ and, for $t$, $\log \mathrm{SNR}(t)$ with its
# sines and cosines at eight frequencies. Seen from outside it answers with $\hat\varepsilon$. Inside, its last layer says $\hat v$,
# and (4.1) with (4.2) turns it into $\hat\varepsilon = \sqrt{1 - \bar\alpha_t}\, x_t + \sqrt{\bar\alpha_t}\, \hat v$.
# Section 3 says what that is good for.
#
# ## 2. From the KL to the noise
#
# Notebook 03 split the negative bound into $L_T$, the terms $L_{t-1}$ and $L_0$ (3.16). For $t \ge 2$, $L_{t-1}$ is
# the mean over $x_t$ of
#
# $$ \begin{aligned}
# \mathrm{KL}_t &= \mathrm{KL}\big(q(x_{t-1} \mid x_t, x_0) \,\|\, p_\theta(x_{t-1} \mid x_t)\big), \\
# q &= N(\tilde\mu_t, \tilde\beta_t I), \quad p_\theta = N(\mu_\theta, \sigma_t^2 I),
# \end{aligned} \tag{4.4} $$
#
# with the mean and variance of the forward posterior (3.9)
#
# $$ \tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, x_0
#    + \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t, \qquad
#    \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t. \tag{4.5} $$
#
# We follow Turner (2021), equations 3 to 10, and keep what they drop.
#
# **Step 1: the KL is a squared distance.** Both variances are numbers, so the closed form of the KL has one term that knows
# the network and one that does not:
#
# $$ \mathrm{KL}_t = \frac{1}{2\sigma_t^2}\, |\tilde\mu_t - \mu_\theta|^2 + C_t, \qquad
#    C_t = \frac{D}{2} \left( \frac{\tilde\beta_t}{\sigma_t^2} - 1 - \log \frac{\tilde\beta_t}{\sigma_t^2} \right). \tag{4.6} $$
#
# $C_t$ is zero for $\sigma_t^2 = \tilde\beta_t$ and positive otherwise. Tutorials write $C$ and forget it. It is
# the price of a variance that is not $\tilde\beta_t$, paid even by a network that knows $\varepsilon$. (3.17) is the same with
# the distance in $x_0$.
#
# Mind the square, which some texts leave out:

# %%
t, sigma2 = 300, S.beta
xt = ddpm.noised(x0, eps, ab[t])
q = diffusion.q_posterior(S, t, xt, x0)
p = gaussian.Gaussian(ddpm.mean_from_eps(S, t, xt, eps_hat), sigma2[t])
C = ddpm.loss_constant(S, sigma2, dim=2)
distance = (q.mean - p.mean).norm(dim=-1)
# (4.6)
torch.testing.assert_close(
    gaussian.kl(q, p), distance**2 / (2 * sigma2[t]) + C[t])
as_printed = distance / (2 * sigma2[t]) + C[t]
print(f"KL at t = {t}: {gaussian.kl(q, p).mean():.5f} nats; without the "
      f"square: {as_printed.mean():.3f}")
assert as_printed.mean() > 10 * gaussian.kl(q, p).mean()

# %% [markdown]
# **Step 2: put the noise in the place of the data.** Solve (4.1) for $x_0$,
#
# $$ x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t}\; \varepsilon}{\sqrt{\bar\alpha_t}}, \tag{4.7} $$
#
# and insert it in (4.5). Two coefficients have to be tidied up. Almost everything cancels:
#
# $$ \tilde\mu_t = \frac{1}{\sqrt{\alpha_t}} \left( x_t - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}\; \varepsilon \right). \tag{4.8} $$
#
# <details><summary>The algebra of both coefficients</summary>
#
# Use $\bar\alpha_t = \alpha_t \bar\alpha_{t-1}$, so that $\sqrt{\bar\alpha_{t-1}} / \sqrt{\bar\alpha_t} = 1/\sqrt{\alpha_t}$,
# and $\beta_t = 1 - \alpha_t$.
#
# The coefficient of $x_t$ has two parts, one from $x_0$ and one that was there before:
#
# $$ \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{\sqrt{\bar\alpha_t}\, (1 - \bar\alpha_t)} + \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}
#    = \frac{1}{\sqrt{\alpha_t}} \cdot \frac{\beta_t + \alpha_t (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t} . $$
#
# The numerator is $\beta_t + \alpha_t - \alpha_t \bar\alpha_{t-1} = 1 - \bar\alpha_t$. It cancels, and $1/\sqrt{\alpha_t}$ is left.
#
# The coefficient of $\varepsilon$ has one part:
#
# $$ -\frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t} \cdot \frac{\sqrt{1 - \bar\alpha_t}}{\sqrt{\bar\alpha_t}}
#    = -\frac{1}{\sqrt{\alpha_t}} \cdot \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}} . $$
#
# </details>
#
# **Step 3: let the network do what the formula does.** In (4.8) everything is known but $\varepsilon$. So the network
# only has to supply that:
#
# $$ \mu_\theta(x_t, t) = \frac{1}{\sqrt{\alpha_t}} \left( x_t - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}\; \varepsilon_\theta(x_t, t) \right). \tag{4.9} $$
#
# **Where tutorials slip.** Turner (2021) prints the best $\mu_\theta$, after equation 7, without the $\varepsilon$ behind
# the fraction. Then a number is subtracted from a vector: every
# step pushes every point the same way, along the diagonal.

# %%
for t in (1, 2, 300, 1000):
    xt = ddpm.noised(x0, eps, ab[t])
    # (4.8)
    by_hand = (xt - S.beta[t] / (1 - ab[t]).sqrt() * eps) / S.alpha[t].sqrt()
    torch.testing.assert_close(by_hand, diffusion.posterior_mean(S, t, xt, x0))
    torch.testing.assert_close(by_hand, ddpm.mean_from_eps(S, t, xt, eps))
t = 300
xt = ddpm.noised(x0, eps, ab[t])
as_printed = (xt - S.beta[t] / (1 - ab[t]).sqrt()) / S.alpha[t].sqrt()
off = (square(as_printed - diffusion.posterior_mean(S, t, xt, x0)).mean().sqrt()
       / S.beta_tilde[t].sqrt())
print(f"without the ε the mean is off by {off:.2f} standard deviations of "
      f"the step at t = {t}")
assert off > 0.1

# %% [markdown]
# **Exercise: the weight of the noise error.** *12 minutes, medium.*
#
# The bound's term at step $t$ is $w_t |\varepsilon - \hat\varepsilon|^2$ plus a constant. Derive $w_t$ from (4.6)
# and (4.8) before you read (4.10), and write it for any $t$ from 1 to $T$: the same $w_t$ comes out at $t = 1$.
# `sigma2` is the number $\sigma_t^2$.

# %%
def my_noise_weight(beta, t, sigma2):
    """The factor w_t of |ε − ε̂|² in the bound's term at t."""
    return ...


checks.noise_weight(my_noise_weight)

# %% [markdown]
# <details><summary>Hint 1: the weight of the noise error</summary>
#
# By how much do the two means (4.8) and (4.9) differ, if the network errs by $\varepsilon - \hat\varepsilon$?
#
# </details>
#
# <details><summary>Hint 2: the weight of the noise error</summary>
#
# They differ by $\frac{\beta_t}{\sqrt{\alpha_t}\sqrt{1 - \bar\alpha_t}} (\varepsilon - \hat\varepsilon)$. (4.6)
# squares that and divides by $2\sigma_t^2$.
#
# </details>
#
# <details><summary>Solution: the weight of the noise error</summary>
#
# ```python
# def my_noise_weight(beta, t, sigma2):
#     """The factor w_t of |ε − ε̂|² in the bound's term at t."""
#     alpha_bar = (1 - beta).cumprod(0)[t]
#     return beta[t] ** 2 / (2 * sigma2 * (1 - beta[t]) * (1 - alpha_bar))
# ```
#
# </details>

# %% [markdown]
# **Step 4: subtract.** The means (4.8) and (4.9) differ only in $\varepsilon$. Put them in (4.6):
#
# $$ \mathrm{KL}_t = w_t\, |\varepsilon - \varepsilon_\theta(x_t, t)|^2 + C_t, \qquad
#    w_t = \frac{\beta_t^2}{2 \sigma_t^2\, \alpha_t\, (1 - \bar\alpha_t)}. \tag{4.10} $$
#
# And $t = 1$? There $\tilde\beta_1 = 0$ and there is no KL, but a reconstruction, whose mean over $x_1$ is $L_0$. Since $\tilde\mu_1 = x_0$, the same steps lead to the same $w_1$, with another constant:
#
# $$ -\log p_\theta(x_0 \mid x_1) = w_1\, |\varepsilon - \varepsilon_\theta(x_1, 1)|^2 + C_1, \qquad C_1 = \frac{D}{2} \log 2\pi\sigma_1^2. \tag{4.11} $$
#
# **Where tutorials slip.** The slides let $t$ run from 2 to $T$ and so leave this term out. But it is where
# the noise error weighs most, save for the last few steps before $T$, as section 3 shows.
#
# The claim is strong: for each data point and each $t$, the squared error in the noise *is* the bound's term. So we
# check it term by term, at all $T$ times, for three choices of $\sigma_t^2$. For the optimal one we need the exact denoiser's
# error. We draw points at all times at once, since we shall need them again. `unsqueeze(-1)` makes the times (T,) a
# column (T, 1), and `expand` repeats it for n points: each time then goes with a whole row of points. And `.at(eps)` is the point of a Gaussian that the noise
# `eps` leads to, mean plus standard deviation times `eps`.

# %%
n = 300
# (T, n): each point's own
times = torch.arange(1, S.T + 1).unsqueeze(-1).expand(-1, n)
x0_all = roll.sample(n, seed=6)
eps_all = torch.randn(S.T, n, 2, dtype=torch.float64, generator=seeded(5))
# (T, n, 2)
xt_all = diffusion.q_marginal(S, times, x0_all.expand(S.T, n, 2)).at(eps_all)
exact_all = torch.stack(
    [roll.eps_mean(xt_all[t - 1], float(ab[t])) for t in range(1, S.T + 1)])
noise_left = square(eps_all - exact_all).mean(-1)  # E|ε − E[ε|x_t]|² at each t
# by (4.3), per dimension
x0_mse = torch.cat([torch.zeros(1), noise_left / S.snr[1:] / 2])
exact_sigma2 = diffusion.sigma2_optimal(S, x0_mse)
sigmas = {"β": diffusion.sigma2_beta(S),
          "β̃": diffusion.sigma2_beta_tilde(S),
          "optimal": exact_sigma2}

# %%
for sigma2 in sigmas.values():
    w, C = ddpm.eps_weight(S, sigma2), ddpm.loss_constant(S, sigma2, dim=2)
    for t in range(1, S.T + 1):
        xt, target = xt_all[t - 1], exact_all[t - 1]
        p = diffusion.reverse_step(
            S, t, xt, ddpm.x0_from_eps(xt, target, ab[t]),
            diffusion.per_step(sigma2))
        term = diffusion.L_term(S, t, x0_all, xt, p)
        torch.testing.assert_close(
            w[t] * square(eps_all[t - 1] - target) + C[t], term, rtol=1e-7,
            atol=1e-8)
print(f"{len(sigmas)} × {S.T} terms agree, t = 1 included")

# %% [markdown]
# The same holds for a random $t$ per data point and for the trained network. This is what training sees.

# %%
t = torch.randint(1, S.T + 1, (1000,), generator=seeded(2))
eps32 = torch.randn(1000, 2, generator=seeded(3))
batch = points[:1000]
kl_form = diffusion.sampled_term(batch, t, eps32, net.chain(S.beta))
eps_form = ddpm.weighted_loss(batch, t, eps32, net.eps_hat, S, S.beta)
# single precision
torch.testing.assert_close(eps_form, kl_form, rtol=1e-3, atol=1e-3)

# %% [markdown]
# **Step 5: leave the weight out.** Ho et al. train with
#
# $$ L_\text{simple} = \mathbb{E}_{x_0, \varepsilon,\; t \sim U\{1 \dots T\}}\, |\varepsilon - \varepsilon_\theta(x_t, t)|^2. \tag{4.12} $$

# %% [markdown]
# **Exercise: the loss of DDPM.** *12 minutes, medium.*
#
# Write what stands under the expectation in (4.12), for a batch: $n$ points `x0` (n, D) with noises `eps`, each with
# a time of its own in `t` (n,), integers. `alpha_bar` has the length $T + 1$. Ask the network, `eps_net(xt, t)`, and
# return $|\varepsilon - \hat\varepsilon|^2$ for each point, (n,).

# %%
def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
    """|ε − ε̂(x_t, t)|² for each point of a batch, (n,)."""
    return ...


checks.simple_loss(my_simple_loss)

# %% [markdown]
# <details><summary>Hint 1: the loss of DDPM</summary>
#
# `alpha_bar[t]` has the shape (n,), one number per point. The points are (n, D).
#
# </details>
#
# <details><summary>Hint 2: the loss of DDPM</summary>
#
# `alpha_bar[t].unsqueeze(-1)` is a column, (n, 1), which multiplies each row of `x0`. $|\cdot|^2$ is a sum of
# squares over the dimensions.
#
# </details>
#
# <details><summary>Solution: the loss of DDPM</summary>
#
# ```python
# def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
#     """|ε − ε̂(x_t, t)|² for each point of a batch, (n,)."""
#     a = alpha_bar[t].unsqueeze(-1)
#     xt = a.sqrt() * x0 + (1 - a).sqrt() * eps
#     return (eps - eps_net(xt, t)).square().sum(-1)
# ```
#
# </details>

# %% [markdown]
# This is no longer the bound. What was left out?
#
# ## 3. What the weights weigh
#
# For $\sigma_t^2 = \tilde\beta_t$ the weight is a statement about the signal-to-noise ratio:
#
# $$ \begin{aligned}
# w_t &= \frac12 \left( \frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1 \right), \qquad\text{so by (4.3)} \\
# \mathrm{KL}_t &= \frac12 \big( \mathrm{SNR}(t-1) - \mathrm{SNR}(t) \big)\, |x_0 - \hat x_0|^2 .
# \end{aligned} \tag{4.13} $$
#
# <details><summary>Proof</summary>
#
# With $\sigma_t^2 = \tilde\beta_t$ the weight is $\beta_t / (2 \alpha_t (1 - \bar\alpha_{t-1}))$. On the other side
#
# $$ \frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1 = \frac{1 - \bar\alpha_t}{\alpha_t (1 - \bar\alpha_{t-1})} - 1
#    = \frac{1 - \bar\alpha_t - \alpha_t + \bar\alpha_t}{\alpha_t (1 - \bar\alpha_{t-1})} = \frac{\beta_t}{\alpha_t (1 - \bar\alpha_{t-1})}. $$
#
# </details>
#
# If the steps are small, the ratio is near one, and $r - 1 \approx \log r$. Then, for both choices of $\sigma_t^2$,
#
# $$ w_t \approx \tfrac12 \big( \log \mathrm{SNR}(t-1) - \log \mathrm{SNR}(t) \big). \tag{4.14} $$
#
# So the bound is half the squared error in $\varepsilon$, summed over equal steps *in log SNR*. The simple loss sums it over equal
# steps in $t$. That is the whole difference (Kingma et al. 2021).

# %%
by_snr = 0.5 * (S.snr[1:-1] / S.snr[2:] - 1)
# (4.13)
torch.testing.assert_close(ddpm.eps_weight(S, sigmas["β̃"])[2:], by_snr)
t = torch.arange(50, 801)
small_steps = 0.5 * (S.log_snr[t - 1] - S.log_snr[t])  # (4.14)
for name in ("β", "β̃"):
    ratio = ddpm.eps_weight(S, sigmas[name])[t] / small_steps
    print(f"σ² = {name:2}: w_t over (4.14), t = 50 … 800: {ratio.min():.3f} "
          f"to {ratio.max():.3f}")
    assert 0.95 < ratio.min() and ratio.max() < 1.05

# %% [markdown]
# On the left the weights. On the right what each step costs in nats, with the exact denoiser: $w_t\, \mathbb{E}|\varepsilon -
# \mathbb{E}[\varepsilon|x_t]|^2 + C_t$. With the same $\sigma_t^2$ no network has less on average.

# %% mystnb={"image": {"alt": "The bound weighs the ends, the simple loss all alike. Left, log axes: the weight of the noise error against t falls from about one half at t = 1 to a few thousandths in the middle and climbs steeply to several hundred at t = 1000; with the small variance it starts higher. Right, log axes: the exact denoiser's nats per step fall from about one at t = 2 to almost nothing at t = 1000; with the small variance the first steps cost a little more."}}
fig, (left, right) = plots.plt.subplots(1, 2, figsize=(9.5, 3.4))
ticks = torch.arange(1, S.T + 1)
colours = (plots.Q, plots.EXTRA[1], plots.MODEL)
for (name, sigma2), colour, line in zip(
        sigmas.items(), colours, ("-", "-", "--"), strict=True):
    w = ddpm.eps_weight(S, sigma2)[1:]
    C = ddpm.loss_constant(S, sigma2, dim=2)[1:]
    plots.curve(ticks, w, left, colour, label=f"σ² = {name}", linestyle=line)
    plots.curve(
        ticks[1:], (w * noise_left + C)[1:], right, colour, linestyle=line)
left.axhline(1, color=plots.DATA, linestyle=":", label="simple loss")
left.set(
    xscale="log", yscale="log", xlabel="t", ylabel="weight of |ε − ε̂|², nats")
right.set(
    xscale="log", yscale="log", xlabel="t", ylabel="$L_{t-1}$, t ≥ 2, nats")
_ = left.legend()

# %%
w = ddpm.eps_weight(S, S.beta)
print(f"w at t = 1, 10, 100, 500, 1000: {w[1]:.3f}, {w[10]:.3f}, "
      f"{w[100]:.4f}, {w[500]:.4f}, {w[1000]:.0f}")
print(f"w at t = 1 over w at t = 500: {w[1] / w[500]:.0f}")
assert w[1000] > 100 and w[1] > 100 * w[500]

# %% [markdown]
# Three things to see.
#
# The weights fall from one half to a few thousandths. The same error costs 160 times more nats at the first step, where the noise is smallest and
# the last digits of the data are decided, than in the middle of the chain. The right panel does not say where a network can win: these nats the
# exact denoiser pays too. Section 6 measures what a network adds.
#
# At the far end the weight climbs to hundreds, because the last steps of the cosine schedule are not small: $\beta_T$ is
# 0.999. There $x_t$ is nothing but noise and $\varepsilon$ is nearly $x_t$ itself. A network would have to copy its input to four
# digits. That is easy to say in $v$ and hard in $\varepsilon$, and is why our `EpsNet` speaks $v$ inside: the copy is made by the formula.
#
# And with $\sigma_t^2 = \tilde\beta_t$ the first steps cost visibly more. We come back to that in section 8.
#
# ## 4. What the simple loss teaches
#
# Both losses are sums of squared errors, one for each $t$. A squared error is smallest for the conditional mean. For every
# prediction $\hat\varepsilon(x_t)$
#
# $$ \mathbb{E}\,|\varepsilon - \hat\varepsilon|^2 = \underbrace{\mathbb{E}\,\big|\varepsilon - \mathbb{E}[\varepsilon|x_t]\big|^2}_{\text{cannot be avoided}}
#    + \underbrace{\mathbb{E}\,\big|\mathbb{E}[\varepsilon|x_t] - \hat\varepsilon\big|^2}_{\text{excess}}, \tag{4.15} $$
#
# because the cross term vanishes: given $x_t$, the mean of $\varepsilon - \mathbb{E}[\varepsilon|x_t]$ is zero. So all weights, and no
# weights, have the *same* minimiser, as long as the network is free to choose each $t$ on its own. By Tweedie's formula,
# which notebook 00 proved, the minimiser is the score of the noisy data:
#
# $$ \varepsilon^*(x_t, t) = \mathbb{E}[\varepsilon \mid x_t] = -\sqrt{1 - \bar\alpha_t}\; \nabla \log q(x_t). \tag{4.16} $$
#
# A network that is trained on the targets $s$ of (4.2), slopes for *known* $x_0$, learns their mean, the slope for
# unknown $x_0$. This is denoising score matching (Vincent 2011). We check (4.16) with autograd, and (4.15) by bending
# the exact answer in three ways and pairing the losses.

# %%
t = 200
xt = xt_all[t - 1].clone().requires_grad_()
(slope,) = torch.autograd.grad(roll.log_prob(xt, float(ab[t])).sum(), xt)
torch.testing.assert_close(ddpm.eps_from_score(slope, ab[t]), exact_all[t - 1])
for name, bend in {
        "× 0.9": lambda e: 0.9 * e,
        "+ 0.1": lambda e: e + 0.1,
        "turned": lambda e: e.flip(-1)}.items():
    bent = bend(exact_all[99:300])  # t = 100 … 300
    extra = square(eps_all[99:300] - bent) - square(
        eps_all[99:300] - exact_all[99:300])
    excess = square(exact_all[99:300] - bent)
    # one number per data point
    mean, se = evaluate.mean_and_error((extra - excess).mean(0))
    print(f"{name:7} adds {extra.mean():.3f}; (4.15) says "
          f"{excess.mean():.3f}; difference {mean:+.3f} ± {se:.3f}")
    assert abs(mean) < 4 * se and extra.mean() > 0

# %% [markdown]
# ## 5. Training, written out
#
# Here is all of DDPM's training (Ho et al. 2020, Algorithm 1). The loop is in plain PyTorch. The words of the algorithm stand
# in the comments.

# %%
def train(eps_net, steps, until, batch=512, peak=5e-3):
    """The first `until` of `steps` training steps."""
    optimiser = torch.optim.Adam(
        eps_net.parameters(), lr=peak, betas=(0.9, 0.99), fused=True)
    signal, noise = ab.sqrt().float(), (1 - ab).sqrt().float()
    for step in range(until):
        g = training.step_generator(seed=0, step=step)
        # x₀ from the data
        x0 = points[torch.randint(len(points), (batch,), generator=g)]
        # t uniform over 1 … T
        t = torch.randint(1, S.T + 1, (batch,), generator=g)
        eps = torch.randn(x0.shape, generator=g)  # ε ~ N(0, I)
        # (4.1)
        xt = signal[t].unsqueeze(-1) * x0 + noise[t].unsqueeze(-1) * eps
        loss = (eps - eps_net(xt, t)).square().sum(-1).mean()  # (4.12)
        # up in 100 steps, then down to 0
        optimiser.param_groups[0]["lr"] = training.learning_rate(
            step, steps, peak)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()  # repeat
    return eps_net


# %% [markdown]
# Three remarks. The generator is made from `(seed, step)`, so a batch is a function of the step alone. The learning
# rate decays to zero. Without that the last batches would shake the weights, and a mean over recent weights would be needed. And a
# step touches one $t$ per point, not the chain: (4.1) jumps to any $t$ at once.
#
# `training.Trainer` takes the same steps. After fifty of them the two agree to rounding.

# %%
by_hand = train(fresh().eps_net, steps=2000, until=50)
trainer = training.Trainer(
    fresh(), training.eps_loss(training.uniform_t), points, steps=2000)
for _ in range(50):
    trainer.one_step()
for a, b in zip(
        by_hand.parameters(), trainer.model.eps_net.parameters(), strict=True):
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)

# %% [markdown]
# So `net`, trained at the start, took seven thousand steps of the loop above, with other times.
#
# In words, after Turner (2021):
#
# - A training step works on one term of the bound, at one random $t$. All terms share one network.
# - It needs a data point, a time and a noise. From these, $x_t$ is one line (4.1).
# - The forward posterior (4.5) says where $x_{t-1}$ should lie if $x_0$ is known.
# - The reverse step should put its Gaussian there without knowing $x_0$. The KL (4.4) measures how well it does.
# - All the reverse step lacks is the noise. So the network names the noise.
#
# ## 6. Learned against exact
#
# What should the network have learned? (4.16), which we have. Each arrow is the mean noise in the point at its foot, so it
# points away from the data. Black is the exact $\mathbb{E}[\varepsilon|x_t]$ at points drawn from
# $q(x_t)$, orange is `net`'s answer over it. Where you see no black, the two agree.

# %% mystnb={"image": {"alt": "The network has all but learned the exact field. Four panels, t = 30, 100, 300, 700: arrows of the exact noise in black with the learned ones in orange over them, on the pale grey density. At t = 300 and 700 the orange hides the black; at t = 30 and 100 thin black edges show at some points."}}
for t, ax in zip([30, 100, 300, 700], plots.axes_row(4, size=2.5), strict=True):
    where = xt_all[t - 1][:70]
    plots.density(
        roll.log_prob(plots.grid(n=100), float(ab[t])), ax
    ).images[0].set_alpha(0.4)
    plots.field(where, exact_all[t - 1][:70], ax, plots.TRUTH, scale=14)
    plots.field(
        where, net.eps_hat(where.float(), t), ax, plots.MODEL, title=f"t = {t}",
        scale=14)

# %% [markdown]
# The eye finds little. The excess of (4.15) can be measured at every $t$, without the noise of $\varepsilon$, because the exact answer is known.
# Multiplied by $w_t$ it is in nats, and summed over $t$ it is
# what the network adds to the negative bound:
#
# $$ \sum_{t=1}^{T} w_t\; \mathbb{E}\,\big|\mathbb{E}[\varepsilon|x_t] - \varepsilon_\theta(x_t, t)\big|^2. \tag{4.17} $$

# %%
def excess_at_all_t(model):
    # (T, n)
    return square(model.eps_hat(xt_all.float(), times).double() - exact_all)


def network_adds(model, sigma2):
    nats = ddpm.eps_weight(S, sigma2)[1:].unsqueeze(-1) * excess_at_all_t(model)
    return (nats.mean(1), nats.sum(0).mean().item(),
            nats.sum(0).std().item() / n**0.5)


per_step, added, added_se = network_adds(net, S.beta)
print(f"the network adds ≈ {added:.3f} ± {added_se:.3f} nats, "
      f"of them ≈ {per_step[:100].sum():.3f} at t ≤ 100")
assert added < 0.1 and per_step[:100].sum() > 0.3 * added

# %% mystnb={"image": {"alt": "Nearly all of the loss cannot be avoided. Left, log axes: the network's excess squared error against t in red, far below the grey curve of the noise that cannot be avoided except at the very end. Right, log axes: the same excess times the weight, in nats per step, largest at t = 1 and falling."}}
fig, (left, right) = plots.plt.subplots(1, 2, figsize=(9.5, 3.4))
plots.curve(
    ticks, noise_left, left, plots.DATA,
    label="E|ε − E[ε|xₜ]|², cannot be avoided")
plots.curve(
    ticks, excess_at_all_t(net).mean(1), left, plots.ERROR,
    label="excess of the network")
plots.curve(ticks, per_step, right, plots.ERROR)
left.set(xscale="log", yscale="log", xlabel="t", ylabel="squared error of ε̂",
         ylim=(1e-5, 10))
right.set(xscale="log", yscale="log", xlabel="t",
          ylabel="excess × weight, nats per step", ylim=(1e-7, 1e-2))
_ = left.legend(loc="lower left")

# %% [markdown]
# Left: the largest excess lies around $t = 100$, where the arms of the roll begin to blur into each other and
# the noise level decides which arm a point belongs to. But for the last few steps, the excess is a small part of the grey curve. A training
# loss shows the sum of grey and red, so **the loss that one watches during training is almost all grey**. It tells next to nothing about
# how good the network is. Right: in nats the first steps count, each one for itself; the range around $t = 100$ counts because it has many steps.
#
# ## 7. Weighted or simple?
#
# The bound is the score on our ruler. So surely one should train on the bound? Or take times where the bound has its weight? Four kinds of
# training, 2,000 steps each, with the same three seeds (`tools/roll_losses.py`). They differ in how $t$ is drawn and whether $w_t$ is used:
#
# | name | draws $t$ | weight |
# | --- | --- | --- |
# | simple | uniform in $t$ | 1, the loss (4.12) |
# | weighted | uniform in $t$ | $w_t$, the bound (4.10) |
# | log SNR | uniform in $\log$ SNR, from $-2$ up: `training.log_snr_t` | 1, which by (4.14) is about the bound too |
# | mixed | half uniform in $t$, half in $\log$ SNR: `training.mixed_t`, as for `net` | 1 |
#
# Beside them stands a network that has learned *nothing*: its parameters are 0, so it says $\hat v = 0$ to everything.
#
# **Predict first.** Which one adds the fewest nats to the bound, and which has the best samples?

# %%
from diffusion_edu import pretrained

draws = {"simple": training.uniform_t,
         "log SNR": training.log_snr_t,
         "mixed": training.mixed_t}
nothing = fresh().requires_grad_(False)
for parameter in nothing.parameters():
    parameter.zero_()
rivals = {"nothing": [nothing]}
rivals |= {
    name: [pretrained.roll_loss(name, seed) for seed in range(3)]
    for name in (*draws, "weighted")
}

# %% tags=["hide-output"]
for name, draw in draws.items():
    t = draw(S, 100_000, seeded(0))
    print(f"{name:8} t ≤ 10: {(t <= 10).double().mean():.3f}   t ≤ 200: "
          f"{(t <= 200).double().mean():.3f} of the draws")
truth = roll.sample(5000, seed=8)
floor = evaluate.noise_floor(evaluate.energy_distance, roll, 5000)
adds, off = {}, {}
for name, models in rivals.items():
    adds[name] = [network_adds(model, S.beta)[1] for model in models]
    x = samplers.sample(
        models[0].x0_hat, S, x_T, steps=100, generator=seeded(4))
    off[name] = evaluate.outlier_share(x, roll)
    print(f"{name:9} adds", ", ".join(f"≈ {nats:.3f}" for nats in adds[name]),
          end=" nats")
    print(f"   off the roll ≈ {100 * off[name]:.1f} %   energy distance "
          f"≈ {evaluate.energy_distance(x, truth) / floor:.1f} floors")
print(f"over the {n} points each sum has a standard error of "
      f"≈ {network_adds(rivals['mixed'][0], S.beta)[2]:.3f} nats")
assert all(
    abs(nats / adds["nothing"][0] - 1) < 0.1 for nats in adds["weighted"])
assert off["weighted"] > 0.5
assert max(adds["mixed"]) < min(adds["simple"] + adds["log SNR"])
assert max(adds["simple"] + adds["log SNR"]) < 0.2

# %% [markdown]
# The network that was trained on the bound itself has **learned nothing**, with each of the three seeds: its bound is that of
# $\hat v = 0$. The aim was right, by (4.10). What fails is the gradient. The network answers in $v$, so by (4.3) its
# error has the weight $w_t \bar\alpha_t$. In the last steps $\bar\alpha_t$ is almost zero, and the hundreds are gone. Where does the
# gradient come from, then? At $\hat v = 0$ it is $-2 w_t \bar\alpha_t v$ per draw.

# %% mystnb={"image": {"alt": "The weighted network has learned nothing. Log axes: nats per step that each network adds at each t. The curve of the weighted network lies on that of the one that has learned nothing, ten to a hundred times above the others between t = 10 and 300. Of the other three, simple is the highest at the first steps and log SNR at the last."}}
a = ab[1:, None, None]
# E|v|² and E|E[v|x_t]|²
v, v_mean = (
    square(ddpm.v_from_eps(xt_all, e, a)).mean(-1) for e in (eps_all, exact_all)
)
push = (w * ab)[1:].square() * v
print(f"share of E|gradient|² at t ≤ 10: {push[:10].sum() / push.sum():.2f}, "
      f"at t ≥ 990: {push[989:].sum() / push.sum():.0e}")
print("share of E|v|² that x_t tells at t ≤ 10: "
      f"{v_mean[:10].sum() / v[:10].sum():.2f}")
assert push[:10].sum() > 0.8 * push.sum()
assert v_mean[:10].sum() < 0.05 * v[:10].sum()

styles = {"nothing": (plots.DATA, 5),
          "weighted": (plots.EXTRA[1], 1),
          "simple": (plots.MODEL, 1)}
styles |= {"log SNR": (plots.Q, 1), "mixed": (plots.EXTRA[0], 1)}
ax = None
for name, (colour, width) in styles.items():
    per_step = network_adds(rivals[name][0], S.beta)[0]
    ax = plots.curve(ticks, per_step, ax, colour, label=name, linewidth=width)
ax.set(xscale="log", yscale="log", xlabel="t",
       ylabel="excess × weight, nats per step", ylim=(1e-7, 0.1))
_ = ax.legend(ncols=2, loc="lower left")

# %% [markdown]
# From the first ten steps, which get one draw in a hundred. There $v$ is nearly $\varepsilon$, and $x_t$ tells next to nothing of
# it. So nearly all of the gradient is noise that nobody can predict, and what could be learned at the other times
# is lost in it.
#
# The log SNR network has nearly the same aim, but draws the important times more often instead of weighing them more: an
# average over many draws is quiet. It never looks at $\log \mathrm{SNR} < -2$, and pays for that at the end. The mixed network draws half and
# half, gives up little anywhere, and adds the fewest nats, whatever the seed. That is why it is the library's default. Whether simple
# or log SNR comes second depends on the seed.
#
# The samples tell less. Among these three the share off the roll differs little, and the
# energy distance cannot tell any of them from true points. At the first steps an error moves a point by less than the roll is thick.
# On images Ho et al. got the better code length from the bound and the better samples from the simple loss.
#
# ## 8. The distance to H, split
#
# Now the ruler. A model's distance to $H$, where $p$ is the data's own density, has two parts. The chain has $T$ steps and Gaussian reverse
# steps, and even the exact denoiser pays for that. Its bound is $\mathrm{ELBO}_*$ here, the network's $\mathrm{ELBO}_\theta$. The rest
# is the network's:
#
# $$ \underbrace{\mathbb{E}[\log p(x) - \mathrm{ELBO}_\theta]}_{\text{distance to } H} =
#    \underbrace{\mathbb{E}[\log p(x) - \mathrm{ELBO}_*]}_{T \text{ steps, } \sigma_t^2} +
#    \underbrace{\mathbb{E}[\mathrm{ELBO}_* - \mathrm{ELBO}_\theta]}_{\text{the network, (4.17)}}. \tag{4.18} $$
#
# We score both denoisers with the one bound of notebook 02, on the same points with the same noise and the same
# $\sigma_t^2$. Then nearly everything random cancels in the difference. The network has its own optimal variances, fitted on training points.

# %%
from diffusion_edu.oracles import exact_denoiser

training.fit_sigma2(net, points)  # puts them in net.sigma2


def learned(xt, t):
    return net.x0_hat(xt.float(), t).to(xt)


x = roll.sample(1000, seed=1_000_000)
log_p, exact = roll.log_prob(x), exact_denoiser(roll, ab)
chain_exact, chain_net = (
    diffusion.ForwardProcess(S, denoiser, net.variance)
    for denoiser in (exact, learned))
b_exact, b_net = (
    evaluate.score_chain(x, chain, seeded(7))
    for chain in (chain_exact, chain_net))

# %%
_, added, added_se = network_adds(net, net.sigma2)
difference, difference_se = evaluate.mean_and_error(b_exact.elbo - b_net.elbo)
for name, b in {"exact": b_exact, "network": b_net}.items():
    mean, se = evaluate.gap(b, log_p)
    print(f"{name:8} distance to H ≈ {mean:.3f} ± {se:.3f} nats")
print(f"network − exact, paired ≈ {difference:.3f} ± {difference_se:.3f} "
      f"nats;   by (4.17) ≈ {added:.3f} ± {added_se:.3f}")
assert abs(difference - added) < 4 * (difference_se + added_se)
assert evaluate.gap(b_net, log_p)[0] < 0.1

# %% [markdown]
# Two routes to one number: the difference of two bounds, each a sum of a thousand log ratios, and the sum of a thousand squared errors against the
# exact field. The second has the smaller error, since the noise of the targets is not in it. The chain itself loses less than a hundredth of a nat,
# as notebook 03 found at $T = 1000$. The rest, the larger part, is what `net` has not learned yet. Here and below each ± is one standard error
# over the points; another training moves the network's part.
#
# And the variance? The same network, three times.

# %%
fresh_x = roll.sample(1500, seed=2_000_000)
table = {}
for name, sigma2 in {
        "β̃": sigmas["β̃"], "β": S.beta, "optimal": net.sigma2}.items():
    b = evaluate.score_chain(fresh_x.float(), net.chain(sigma2), seeded(8))
    table[f"DDPM, σ² = {name}"] = evaluate.gap(b, roll.log_prob(fresh_x))
    print("σ² = {:8} distance to H ≈ {:.3f} ± {:.3f} nats".format(
              name, *table[f"DDPM, σ² = {name}"]))
assert table["DDPM, σ² = β̃"][0] > 0.5 and table["DDPM, σ² = β"][0] < 0.12

# %% [markdown]
# $\tilde\beta_t$ is the variance of $x_{t-1}$ when $x_0$ is *known*. The reverse step does not know it. At the first steps the
# noise is smaller than the roll is thick, so the data look locally flat, and the uncertainty about $x_0$ makes
# the true reverse variance about $\beta_t$. A model that claims $\tilde\beta_t$ is too sure of itself. It pays about a nat, close to the price that notebook 03
# found without any network. That is many times what the network's errors cost, and the same network with another number in the place
# of $\sigma_t^2$ gets it back. The optimal variance is worth little beyond $\beta_t$ here.
#
# ## 9. Sampling
#
# Sampling is the chain read backwards (Ho et al. 2020, Algorithm 2). From noise, for $t = T, \dots, 1$:
#
# $$ x_{t-1} = \mu_\theta(x_t, t) + \sigma_t z, \qquad z \sim N(0, I), \quad z = 0 \text{ at } t = 1. \tag{4.19} $$

# %% [markdown]
# **Exercise: one step back.** *12 minutes, medium.*
#
# Write one step of sampling, (4.19) with (4.9), for $\sigma_t^2 = \beta_t$. `eps_hat` is what the network says at
# $x_t$, `z` is standard normal noise. Mind the last step.

# %%
def my_ancestral_step(beta, t, xt, eps_hat, z):
    """x_{t−1} from x_t, with σ_t² = β_t."""
    return ...


checks.ancestral_step(my_ancestral_step)

# %% [markdown]
# <details><summary>Hint 1: one step back</summary>
#
# First the mean (4.9), then the noise. $\sigma_t$ is a standard deviation.
#
# </details>
#
# <details><summary>Hint 2: one step back</summary>
#
# At $t = 1$ the mean is the answer: noise added there would stay in the sample.
#
# </details>
#
# <details><summary>Solution: one step back</summary>
#
# ```python
# def my_ancestral_step(beta, t, xt, eps_hat, z):
#     """x_{t−1} from x_t, with σ_t² = β_t."""
#     alpha_bar = (1 - beta).cumprod(0)[t]
#     x0_part = xt - beta[t] / (1 - alpha_bar).sqrt() * eps_hat
#     mean = x0_part / (1 - beta[t]).sqrt()
#     return mean + beta[t].sqrt() * z if t > 1 else mean
# ```
#
# </details>

# %% [markdown]
# Written out, and against the library's loop, which goes through $\hat x_0$ and (4.5) instead of (4.9):

# %%
g, xt = seeded(11), x_T[:200]
for t in range(S.T, 0, -1):
    z = torch.randn(xt.shape, generator=g) if t > 1 else torch.zeros_like(xt)
    mean = ddpm.mean_from_eps(S, t, xt, net.eps_hat(xt, t))  # (4.9)
    torch.testing.assert_close(
        mean, diffusion.posterior_mean(S, t, xt, net.x0_hat(xt, t)), rtol=1e-3,
        atol=1e-4)
    xt = mean + S.beta[t].sqrt().float() * z  # (4.19)
whole = samplers.sample(net.x0_hat, S, x_T[:200], generator=seeded(11))
print("largest difference of the two loops below 0.01: "
      f"{bool((xt - whole).abs().max() < 0.01)}")
assert (xt - whole).abs().max() < 0.01

# %% [markdown]
# Because (4.1) jumps over steps, so can sampling: take 200 of the times and the schedule that steps between them. That made the film
# at the top. Its last picture, against the data:

# %% mystnb={"image": {"alt": "By eye the samples are data. Two thousand true points of the swiss roll in grey and two thousand samples of the network in orange; the two spirals look the same, with a stray orange point or two between the arms."}}
left, right = plots.axes_row(2, size=3)
plots.points(truth[:2000], left, title="data")
_ = plots.points(
    film[0][:2000], right, color=plots.MODEL, title="network, 200 steps")

# %%
seen = evaluate.compare_samples(film[0], roll)
print("network:  ",
      ",   ".join(f"{key} ≈ {value:.3f}" for key, value in seen.items()))
print(f"perfect:   distances 1 on average,   mean log p {-H:.3f},   "
      "share off 0.001")
assert seen["energy distance"] < 4
assert seen["share off"] < 0.03
assert abs(seen["mean log p"] + H) < 0.5

# %% [markdown]
# By two of the distances the samples are as good as fresh data. MMD², whose kernels are as narrow as the roll is thick (notebook 00), sees a flaw, and so do the mean
# log density and the share off the roll: points
# between the arms that the data would hardly ever put there. A missing part would escape these last two.
#
# How many steps does it take? Only the times at which the network is asked differ.
#
# **A better step.** From $t$ to $t - 1$ a step takes $\hat x_0$ as fixed, while in truth it goes on changing. How, its values at $t + 1$ and
# at $t$ say. So continue it on a straight line, in $\lambda = \log \mathrm{SNR}$, to the middle of the step, and take the step with
#
# $$ \hat x_0(t) + \frac{\lambda_{t-1} - \lambda_t}{2\,(\lambda_t - \lambda_{t+1})} \big( \hat x_0(t) - \hat x_0(t + 1) \big), \tag{4.20} $$
#
# where $t + 1$, $t$ and $t - 1$ stand for neighbours among the times that are visited. The last step, to infinite SNR, is left as it
# was. The network is asked no more often than before (Lu et al. 2022). With steps
# even in log SNR its error falls like one over their number squared, the plain step's like one over their number: the library's
# tests measure both on Gaussian data. In the library it is `ancestral-2m`, with $\sigma_t^2 = \tilde\beta_t$. **Predict
# first:** what does it win with 10 steps, and what with 100? In each place of the table stand the share off the roll and the mean $\log p$.

# %% tags=["hide-output"]
from diffusion_edu.sampling import SAMPLERS

print(f"{'steps:':14}       10              30             100")
found = {}
for name, how in {
        "ancestral": "σ² = β",
        "ancestral-small": "β̃",
        "ancestral-2m": "β̃ and (4.20)"}.items():
    for steps in (10, 30, 100):
        x = samplers.sample(
            net.x0_hat, S, x_T, step=SAMPLERS[name].step, steps=steps,
            generator=seeded(4))
        found[name, steps] = evaluate.outlier_share(
            x, roll), evaluate.mean_log_prob(x, roll)
    print(f"{how:14}",
          "   ".join(
              f"≈ {100 * off:.1f} %, ≈ {log_p:.2f}"
              for (who, _), (off, log_p) in found.items() if who == name))
for steps in (10, 30):
    assert (found["ancestral-2m", steps][0] < found["ancestral-small", steps][0]
            < found["ancestral", steps][0])
assert min(found["ancestral-2m", 30][1], found["ancestral-small", 30][1]) > -H

# %% [markdown]
# Thirty steps give the shape, more of them bring the last points back to the roll. With few steps the better one leaves fewer points
# between the arms; with a hundred there is hardly anything to win. And the mean log density shows a
# fault that the share does not see: above $-H$, as with $\tilde\beta$ and 30 steps, the samples' roll is thinner than the data's. The last
# stride adds no noise. It takes each point to the middle of where it might have come from, and (4.20) does not change this last step.
#
# ### Other schedules, replayed
#
# To take fewer steps is to skip times. Which noise levels are skipped is the schedule's doing. So here are three networks like `net`,
# one per schedule, that come with the library, each trained for 16,000 steps. `cosine` and `linear` have $T = 1000$. `short` is a
# schedule of many public toy models: a hundred small steps that stop at $\bar\alpha_T = 0.6$, long before $x_T$ is noise. Its $\beta_t$
# rises along a sigmoid from $10^{-5}$ to $10^{-2}$. (The short schedule of notebook 03 ends at the same $\bar\alpha_T$ with a constant
# $\beta$.)
#
# The film shows runs of the reverse process (4.19) with 5, 10, 30 and 100 steps. On the left the network, on the right the exact denoiser,
# from the same $x_T$ and with the same noise in each step. Nothing in it is drawn by hand: every frame is a state of a real run. Its clock is log SNR, which means the same for every schedule. At each moment you see
# the latest state that a run has reached.
#
# **Predict first.** With five steps, which schedule leaves most points off the roll? Whose fault is it, the network's or the steps'? And `short`
# starts from $N(0, I)$ although its $x_T$ ought to know something of $x_0$. Will you see that?

# %% [markdown]
# **Exercise: which schedule stands five steps best?** *6 minutes, medium.*
#
# **Predict first.** Five evenly spaced steps, with the exact denoiser. The schedules are `schedules.linear(1000)`,
# `schedules.cosine(1000)` and, as `short`, `schedules.sigmoid(100, 1e-5, 1e-2)`, which stops at
# $\bar\alpha_T = 0.6$. Order the three by the share of samples off the roll, the best first. To reason it out,
# compute for each the width $\sqrt{(1 - \bar\alpha_t)/\bar\alpha_t}$ of the noise before the last of the five
# strides, at $t = T/5$.

# %%
# 'linear', 'cosine', 'short', the fewest off the roll first
my_five_steps = [...]
checks.five_steps(my_five_steps)

# %% [markdown]
# <details><summary>Hint 1: which schedule stands five steps best?</summary>
#
# After the last stride no step can repair anything. How much noise has it to remove?
#
# </details>
#
# <details><summary>Hint 2: which schedule stands five steps best?</summary>
#
# `schedule.respaced(5)[0].log_snr[1]` is the log SNR before the last stride; the width is $e^{-\log SNR/2}$.
# Neighbouring arms of the roll are about 0.9 apart.
#
# </details>
#
# <details><summary>Solution: which schedule stands five steps best?</summary>
#
# ```python
# my_five_steps = ['short', 'cosine', 'linear']  # the fewest off the roll first
# ```
#
# </details>

# %%
from diffusion_edu import widgets

trained = {name: pretrained.load(name) for name in pretrained.NAMES}
reverse = widgets.reverse_film(trained, roll, shown=200)
reverse

# %% [markdown]
# Press Play once for each schedule. The large points leave trails. Then compare the ends at 5 and at 100 steps, and read the line of text. With the
# field switched on, stop between log SNR 0 and 5, where the roll appears. Near the points the arrows of both sides agree. Far from the roll, where
# no training point ever was, they need not.
#
# Here are all twelve ends, of 500 points each. The width is $\sqrt{(1 - \bar\alpha_t)/\bar\alpha_t} = e^{-\log \mathrm{SNR}/2}$ at the last step's $t$: how much noise,
# in units of the data, is left for one stride. The distances at the bottom are on the cards of the three models, each of one training, ± one standard error over
# 10,000 fresh points.

# %%
off = {key: run.outlier_share for key, run in reverse.runs.items()}
for (name, steps), share in off.items():
    width = trained[name].schedule.respaced(steps)[0].log_snr[1].div(-2).exp()
    print(f"{name:6} {steps:4} steps   width {width:.3f}   off the roll: "
          f"exact ≈ {100 * share['exact']:.1f} %,   "
          f"learned ≈ {100 * share['learned']:.1f} %")
print(f"the arms are {2 * torch.pi / roll.scale:.2f} apart")
for name, card in {name: pretrained.card(name) for name in trained}.items():
    start = gaussian.LOG_2PI + 1 - roll.entropy(card["alpha_bar_T"])  # (3.8)
    print(f"{name:6}  ᾱ_T = {card['alpha_bar_T']:<8.2g} KL(q(x_T) ‖ N(0, I)) "
          f"{abs(start):.3f},   distance to H {card['gap']:.3f} "
          f"± {card['gap_se']:.3f} nats")
five = [off[name, 5]["exact"] for name in ("linear", "cosine", "short")]
# the steps' fault, in this order
assert five[0] > 2 * five[1] and five[1] > 2 * five[2] > 0.02
# and hardly the network's
assert all(
    abs(share["exact"] - share["learned"]) < 0.06 for share in off.values())
assert all(off[name, 100]["learned"] < 0.03 for name in trained)
# the same last stride
assert abs(off["linear", 10]["exact"] - off["cosine", 5]["exact"]) < 0.06

# %% [markdown]
# Five steps of the linear schedule leave about half of the points off the roll, and the exact denoiser does no better than the network. The steps are
# even in $t$, and the last one has to cross from a noise nearly as wide as the arms are apart to clean data. There $\mathbb{E}[x_0|x_t]$ is a mean
# over two or three arms, and lies between them. The cosine schedule's last stride is half as wide. Give the linear one ten steps, and it has the same
# stride and about the same loss. The last stride of `short` is thinner than the roll. With a hundred steps all three end on the roll.
#
# So the schedule that is too short *wins* when steps are few. It spends none of them on high noise, where every cloud looks the same. And what does
# it pay for its start? In the film, nothing that one could see. Its $q(x_T)$ is so nearly $N(0, I)$ that (3.8) is a fiftieth of a nat, as notebook 03 found. Its
# distance to $H$ is the largest of the three all the same: that fiftieth, and a hundred steps instead of a thousand. Once more the eye and the nats disagree, and
# both are right about what they measure.
#
# ## 10. All models on one ruler
#
# The last table takes the VAE and the chain of three levels from notebook 02, of 12,000 steps each. All numbers are
# paired with the exact $\log p(x)$ of the same 1,500 points, and each is of one training.

# %%
for name, levels in {"VAE": 1, "HVAE, 3 levels": 3}.items():
    b = evaluate.score_chain(
        fresh_x.float(), pretrained.roll_chain(levels), seeded(8))
    table[name] = evaluate.gap(b, roll.log_prob(fresh_x))
for name, (mean, se) in table.items():
    print(f"{name:18} −bound ≈ {H + mean:.3f},   distance to H ≈ {mean:.3f} "
          f"± {se:.3f} nats")
print(f"{'the truth':18} H = {H:.3f}")
assert (table["VAE"][0] - 0.1 > table["HVAE, 3 levels"][0] > 0.05
        + table["DDPM, σ² = β"][0])

# %% mystnb={"image": {"alt": "A thousand steps almost reach the truth, unless they are too sure. Negative bounds in nats of VAE, HVAE, and DDPM with three variances, as orange dots to the right of the black line at the entropy. DDPM with the small variance is the furthest out, then the VAE, then the chain of three levels; the other two DDPM dots sit almost on the line."}}
entries = {name: H + mean for name, (mean, _) in table.items()}
_ = plots.ruler(
    entries, H, errors={name: se for name, (_, se) in table.items()})

# %% [markdown]
# One bound has scored all five rows. Three levels are nearer to $H$ than one, as notebook 02 has it, and a thousand small steps almost reach the truth.
# But a thousand steps with the wrong variance are worse than the VAE. A few of them, the first, are then too sure of
# themselves, and that costs more than all else.
#
# ## 11. Is it a VAE?
#
# Turner (2021) asks this at the end. With everything measured, the answer can be concrete.
#
# **It is one**, in three respects. There is a generative model that turns latents into data with a network: the film at the top. There is
# an inference model that turns data into latents: (4.1). And the objective is the ELBO, by the very function that scored
# the VAE: `score_chain` has scored all five rows of the ruler.
#
# **It is not one**, in four.
#
# - *Nothing in q is learned.* So there is no encoder to collapse or to fool the decoder, and the targets of all terms are known in closed form. That
#   is what made (4.10) possible.
# - *The last latent knows nothing of the data.* A VAE's encoder has to learn to spread its codes like the prior, and leaves holes. Here noise
#   spreads them: the match is perfect up to $L_T$, and samples cannot start in a hole.
# - *Every latent has the size of the data.* Nothing is compressed. A VAE may use fewer dimensions.
# - *All levels share one network*, told apart by $t$. The HVAE has a pair of networks per level.

# %%
def count(model):
    return sum(p.numel() for p in model.parameters())


hvae = pretrained.roll_chain(3)


L_T = S.L_T(roll.sample(1000, seed=12)).mean()
print(f"L_T {L_T:.1e} nats:  what x_T still knows of x_0")
print(f"parameters: HVAE {count(hvae):,} for 3 levels, DDPM {count(net):,} "
      f"for {S.T} levels")
assert L_T < 1e-6 and count(net) < count(hvae)

# %% [markdown]
# That text closes with three open questions. Each has been answered since.
#
# 1. *Can it be multi-scale?* Yes: cascades of diffusion models from coarse to fine (Ho et al. 2022), and forward processes
#    that drop dimensions or blur as they go (Jing et al. 2022; Hoogeboom & Salimans 2023).
# 2. *Can it live in the latent space of an autoencoder?* Yes. Latent diffusion (Rombach et al. 2022; Vahdat et al. 2021) became
#    the standard for images: the autoencoder buys back the compression that the third point above gave up.
# 3. *Can the forward process be learned?* Yes. Variational diffusion models (Kingma et al. 2021) learn the SNR curve, and (4.14) says what
#    there is to gain: with small steps the bound is an integral over log SNR, so the curve's shape drops out and only its two ends matter. Learning it serves
#    the variance of training. A forward process whose mean is a network, as Turner has in mind, came later (Bartosh et al. 2024).

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** The training loss stopped falling long ago, at a value far from zero. What does it say about the network?
#
# <details><summary>It has learned all it can.</summary>
#
# **No.** The curve looks flat because nearly all of it cannot be avoided. What the network still gets wrong is a
# small part under it.
#
# </details>
#
# <details><summary>It is too small.</summary>
#
# **No.** A larger network cannot get below $\mathbb{E}|\varepsilon - \mathbb{E}[\varepsilon|x_t]|^2$ either.
#
# </details>
#
# <details><summary>Next to nothing: most of the loss is noise that nobody could predict.</summary>
#
# **Yes.** (4.15) splits it. Compare with the exact field, or with the bound, to see the excess.
#
# </details>
#
# <details><summary>The learning rate is too low.</summary>
#
# **No.** It may be too low, but this value does not show it.
#
# </details>
#
# **Question.** Should a network predict ε, x₀, v or the score?
#
# <details><summary>They stand for one another; the weights and what is easy to say differ.</summary>
#
# **Yes.** Given $x_t$, each fixes the other three. Our network says $v$ inside, because at the ends that is the part
# that cannot be seen.
#
# </details>
#
# <details><summary>ε, because only then is the loss a bound.</summary>
#
# **No.** DDPM does so. But each of the four gives the same bound, with another weight per $t$ (4.3).
#
# </details>
#
# <details><summary>x₀, because that is what one wants.</summary>
#
# **No.** At much noise $\hat x_0$ is a mean of everything, at little noise it is almost $x_t$, and its last digits
# decide the bound.
#
# </details>
#
# <details><summary>The score, because sampling needs it.</summary>
#
# **No.** Sampling needs any of the four. The score's scale grows without limit as $\bar\alpha_t \to 1$.
#
# </details>
#
# **Question.** The network trained on the bound itself, with t uniform, has the worst bound of four. Why?
#
# <details><summary>The bound is the wrong aim.</summary>
#
# **No.** The log SNR network has nearly the same aim, and does well.
#
# </details>
#
# <details><summary>Its gradient is noise from the first ten steps.</summary>
#
# **Yes.** There $v$ cannot be predicted, and $w_t \bar\alpha_t$ is large. The network has learned nothing: $\hat v = 0$
# scores the same. Drawing the first steps more often is better than weighing them more.
#
# </details>
#
# <details><summary>Ho et al. showed that the weights are wrong.</summary>
#
# **No.** Their samples were better without. The weights are exactly those of the bound (4.10).
#
# </details>
#
# <details><summary>It was trained for fewer steps.</summary>
#
# **No.** All had the same number of steps and the same batches of data.
#
# </details>
#
# **Question.** Which choice cost a trained DDPM the most nats in this notebook?
#
# <details><summary>The size of the network.</summary>
#
# **No.** What the network adds is about a hundredth of a nat (4.17).
#
# </details>
#
# <details><summary>The simple loss in place of the bound.</summary>
#
# **No.** It gives away some hundredths of a nat at the first steps.
#
# </details>
#
# <details><summary>T = 1000 instead of more steps.</summary>
#
# **No.** At $T = 1000$ the chain itself loses less than a hundredth of a nat.
#
# </details>
#
# <details><summary>The variance β̃ in the reverse step.</summary>
#
# **Yes.** About a nat, paid in the first steps, and won back by putting another number in its place.
#
# </details>

# %% [markdown]
# ## Project: Fewer steps
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# With ten steps a twentieth or more of the network's samples lies off the roll, with (4.20) a few in a hundred. Bring that
# below one in a hundred, with the same network and ten calls of it. Ideas: times that are even in log SNR instead of $t$,
# another $\sigma_t^2$ for long strides, no fresh noise (Song, Meng & Ermon 2021; `samplers.ddim`), a correction that uses
# two calls per stride. Then say what your sampler does to the bound, if it has one.
#
# - The sampler is a `step` or a choice of times that `samplers.reverse_path` can run, with its equation.
# - With all T steps it gives samples as good as the notebook's: nothing was broken on the way.
# - The share off the roll for 5, 10, 30 and 100 calls, learned and exact denoiser side by side, 5,000 points.
# - On Gaussian data, where every step is linear, mean and variance of the samples are compared with theory.
# - One paragraph: whose fault is what is left, the steps' or the network's?

# %% [markdown]
# ## Recap
#
# - Given $x_t$, the predictions $x_0$, $\varepsilon$, $v$ and score are one. Their squared errors differ by a factor per $t$ (4.3).
# - The bound's term at $t$ is $w_t |\varepsilon - \varepsilon_\theta|^2 + C_t$, exactly (4.10), (4.11).
# - The bound is the squared error summed evenly over log SNR, the simple loss sums it evenly over $t$ (4.14). Both are minimised by
#   $\mathbb{E}[\varepsilon|x_t]$, the score up to a factor (4.16).
# - What the network adds to the distance to $H$ is a weighted sum of its distances from the exact field (4.17), which has no noise of $\varepsilon$ in it.
# - The choice of $\sigma_t^2$ can cost more nats than all the learning.
#
# DDPM in ten lines, and where each stands:
#
# ```
# train:   repeat                                         Trainer.run
#            x₀ ~ data,  t ~ draw,  ε ~ N(0, I)           Trainer.one_step, mixed_t
#            x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε                   q_marginal
#            step down ∇ |ε − ε_θ(x_t, t)|²               squared_error
# sample:  x_T ~ N(0, I)                                  reverse_path
#          for t = T, …, 1
#            z ~ N(0, I), or 0 at t = 1
#            μ = (x_t − β_t/√(1−ᾱ_t) ε_θ(x_t, t)) / √α_t  mean_from_eps
#            x_{t−1} = μ + σ_t z                          ancestral_step
#          return x₀                                      sample
# ```
#
# | symbol | code | file |
# | --- | --- | --- |
# | $\varepsilon \leftrightarrow x_0, v, s$ | `x0_from_eps`, `v_from_eps`, `score_from_eps` | `ddpm.py` |
# | $\varepsilon_\theta(x_t, t)$ | `EpsNet`, `eps_hat` | `nets.py`, `ddpm.py` |
# | $\mu_\theta$ | `mean_from_eps` | `ddpm.py` |
# | $w_t$, $C_t$ | `eps_weight`, `loss_constant` | `ddpm.py` |
# | $L_{t-1}$, $L_0$ | `L_term`, `sampled_term`, `weighted_loss` | `diffusion.py`, `ddpm.py` |
# | $L_\text{simple}$ | `squared_error`, `eps_loss` | `ddpm.py`, `losses.py` |
# | $\sigma_t^2$ | `sigma2_beta`, `sigma2_beta_tilde`, `sigma2_optimal` | `diffusion.py` |
# | $\mathbb{E}[\varepsilon \mid x_t]$ | `Mixture.eps_mean` | `oracles.py` |
# | $t \sim$ | `uniform_t`, `mixed_t` | `losses.py` |
# | (4.19), (4.20) | `ancestral_step`, `reverse_path`, `second_order` | `ddpm.py`, `samplers.py` |
#
# Slips of other texts in these formulas are on the website's page *Where the tutorials slip*.
#
# **The way on.** Notebook 05 takes the three models of this course to images, and the bound with them. Beyond the course the score (4.16)
# leads to Langevin dynamics and to stochastic differential equations, log SNR (4.14) to variational diffusion models
# with a learned schedule, and the few steps of section 9 to faster samplers. Each of them ends on the same ruler.
#
# **References**
#
# - Bartosh, Vetrov, Naesseth (2024), *Neural flow diffusion models*, [arXiv:2404.12940](https://arxiv.org/abs/2404.12940)
# - Ho, Jain, Abbeel (2020), *Denoising diffusion probabilistic models*, [arXiv:2006.11239](https://arxiv.org/abs/2006.11239)
# - Ho, Saharia, Chan, Fleet, Norouzi, Salimans (2022), *Cascaded diffusion models for high fidelity image generation*,
#   [arXiv:2106.15282](https://arxiv.org/abs/2106.15282)
# - Hoogeboom, Salimans (2023), *Blurring diffusion models*, [arXiv:2209.05557](https://arxiv.org/abs/2209.05557)
# - Jing, Corso, Berlinghieri, Jaakkola (2022), *Subspace diffusion generative models*,
#   [arXiv:2205.01490](https://arxiv.org/abs/2205.01490)
# - Kingma, Salimans, Poole, Ho (2021), *Variational diffusion models*, [arXiv:2107.00630](https://arxiv.org/abs/2107.00630)
# - Lu, Zhou, Bao, Chen, Li, Zhu (2022), *DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models*,
#   [arXiv:2211.01095](https://arxiv.org/abs/2211.01095)
# - Rombach, Blattmann, Lorenz, Esser, Ommer (2022), *High-resolution image synthesis with latent diffusion models*,
#   [arXiv:2112.10752](https://arxiv.org/abs/2112.10752)
# - Salimans, Ho (2022), *Progressive distillation for fast sampling of diffusion models*, [arXiv:2202.00512](https://arxiv.org/abs/2202.00512)
# - Song, Meng, Ermon (2021), *Denoising diffusion implicit models*, [arXiv:2010.02502](https://arxiv.org/abs/2010.02502)
# - Turner (2021), *Diffusion models as a kind of VAE*, blog
# - Vahdat, Kreis, Kautz (2021), *Score-based generative modeling in latent space*, [arXiv:2106.05931](https://arxiv.org/abs/2106.05931)
# - Vincent (2011), *A connection between score matching and denoising autoencoders*,
#   [doi:10.1162/NECO_a_00142](https://doi.org/10.1162/NECO_a_00142)
# - *Diffusion Models*, lecture slides without an author's name
