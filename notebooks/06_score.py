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
# # Score: what has a denoiser learned?
#
# Notebook 04 trained a network to name the noise in a point. Its best answer is, up to a factor, the *score*: the slope
# $\nabla \log q(x_t)$ of the log density (4.16). This notebook takes the slope seriously. It asks how the slope can be
# learned from points alone, and what one can do with nothing but a slope.
#
# **The question.** What has a denoiser learned, and is that enough to draw new points?
#
# **Afterwards you can**
# - say what the loss of a DDPM measures, and which part of it no network can remove, in closed form,
# - learn a score in four ways, and say when each of them fails,
# - draw points by Langevin dynamics, and say by how many nats a step of a given size is wrong,
# - follow a density on a grid, and read from a matrix how long a chain needs to forget its start,
# - say why one walks through many levels of noise instead of waiting at one.
#
# **Time** about 85 minutes to read, and 45 for the exercises, both estimates from a count of words,
# formulas and lines. **You need** notebooks 00, 03 and 04.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import numpy as np
import torch

from diffusion_edu import (
    checks, ddpm, evaluate, exact, fokker_planck, langevin, plots, pretrained,
    score, widgets
)
from diffusion_edu.data import SwissRoll
from diffusion_edu.nets import mlp

# %% [markdown]
# The network is the published one, trained as notebook 04 does it. It answers at every noise level $\lambda = \log
# \mathrm{SNR}$, not only at the thousand of its schedule. We shall name noise levels by $\lambda$ throughout:
# $\bar\alpha = \mathrm{sigmoid}(\lambda)$, by (3.5). Large $\lambda$ means clean.

# %%
plots.use_style()
roll, net = SwissRoll(nodes=240), pretrained.load("cosine").eps_net
H, s2, D = SwissRoll().entropy(), roll.variances[0, 0].item(), 2


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def bar(log_snr):
    return 1 / (1 + math.exp(-log_snr))  # ᾱ at λ


# the network's score; the exact one is roll.score(xt, alpha_bar)
def learned(xt, alpha_bar):
    log_snr = math.log(alpha_bar / (1 - alpha_bar))
    return ddpm.score_from_eps(net.at(xt.float(), log_snr).double(), alpha_bar)


# %% [markdown]
# This is where we are going. Both pictures on the right were made from the same start, with 240 evaluations of the exact
# score. All points start at the inner end of the roll. In the middle they follow the score of the clean roll. On the right
# they follow the score of the noisy roll, while the noise is turned down. Sections 8 and 9 explain the difference.

# %% mystnb={"image": {"alt": "Three panels. Left: 2,000 grey points of the swiss roll. Middle: orange points after 240 plain Langevin steps, crowded into the first half turn at the centre. Right: orange points after 240 annealed steps, spread over the whole roll."}}
def var_across(log_snr):  # the variance of x_t across the roll, ᾱ s₀² + 1 − ᾱ
    return log_snr.sigmoid() * s2 + (-log_snr).sigmoid()


levels = torch.linspace(-2, 8, 240, dtype=torch.float64)
start = roll.curve(torch.tensor([0.05]))[0].expand(2000, 2)
plain = langevin.ula(start, roll.score, 0.25 * s2, 240, seeded(1))
annealed = langevin.annealed(
    start, roll.score, levels, 0.25 * var_across(levels), seeded(2))
left, middle, right = plots.axes_row(3, size=2.4)
plots.points(roll.sample(2000, seed=3), left, title="data")
plots.points(plain, middle, plots.MODEL, title="plain Langevin")
_ = plots.points(annealed, right, plots.MODEL, title="annealed")

# %% [markdown]
# ## 1. What the loss measures
#
# Let $\hat s$ be any guess of the score $s = \nabla \log q(x_t)$ at one noise level. How good is it? The natural measure is the mean
# squared error, the *Fisher divergence*. To minimise it is *explicit score matching*:
#
# $$ F(\hat s) = \mathbb{E}_{q(x_t)}\, |\hat s(x_t) - s(x_t)|^2. \tag{6.1} $$
#
# It needs $s$. We have it, because the roll is a mixture of Gaussians. From points alone one does not have it. A DDPM is trained with
# another loss. Divide its squared error in $\varepsilon$ by $1 - \bar\alpha$. With $\hat\varepsilon = -\sqrt{1 - \bar\alpha}\;\hat s$
# it becomes *denoising score matching* (Vincent 2011), where the target is the slope (4.2) for known $x_0$:
#
# $$ \frac{\mathbb{E}\,|\varepsilon - \hat\varepsilon(x_t)|^2}{1 - \bar\alpha} = \mathbb{E}\, \Big| \hat s(x_t) + \frac{\varepsilon}{\sqrt{1 - \bar\alpha}} \Big|^2. \tag{6.2} $$
#
# How far apart are the two? Equation (4.15) split the error in $\varepsilon$ into what cannot be avoided and the excess. Divide it
# by $1 - \bar\alpha$, and the excess is $F$:
#
# $$ \begin{aligned}
# \mathbb{E}\, \Big| \hat s + \frac{\varepsilon}{\sqrt{1 - \bar\alpha}} \Big|^2 &= F(\hat s) + C, \\
# C &= \frac{\mathbb{E}\,\big|\varepsilon - \mathbb{E}[\varepsilon|x_t]\big|^2}{1 - \bar\alpha}.
# \end{aligned} \tag{6.3} $$
#
# $C$ does not depend on $\hat s$. So both losses have the same minimiser, and the same gradient on average. By (4.3) $C$ is the error of the best
# *denoiser*, in other units. With $\mathrm{err}(\lambda) = \mathbb{E}|x_0 - \mathbb{E}[x_0|x_t]|^2 / (D(1 - \bar\alpha))$, the
# fraction in (3.23),
#
# $$ C = D \cdot \mathrm{SNR} \cdot \mathrm{err}(\lambda). \tag{6.4} $$
#
# **The floor of the loss is the denoiser's own error.** Put $\hat s = 0$ in (6.3) to see how large the score itself is. The left side
# is then $D/(1 - \bar\alpha) = D(1 + \mathrm{SNR})$, since $\mathbb{E}|\varepsilon|^2 = D$:
#
# $$ J = \mathbb{E}\,|s|^2 = D\,(1 + \mathrm{SNR}) - D \cdot \mathrm{SNR} \cdot \mathrm{err}(\lambda). \tag{6.5} $$
#
# *Check.* $J$ by integrating $|s|^2 q$ over a grid of the plane, and by (6.5) from the table of `exact`.

# %%
print("   λ         J by the grid       J by (6.5)          C            C/J")
for log_snr in (10.0, 8.0, 4.0, 0.0, -4.0):
    points, cell = roll._grid(bar(log_snr), spacing=0.4)
    q = roll.log_prob(points, bar(log_snr)).exp() * cell
    J = (q @ roll.score(points, bar(log_snr)).square()).sum().item()
    error = exact.error_at(SwissRoll(), log_snr)
    C = score.denoising_floor(error, log_snr, D)
    by_table = score.score_energy(error, log_snr, D)
    print(f"{log_snr:4.0f}   {J:16.5f} {by_table:16.5f} "
          f"{C:14.4f} {C / J:12.4f}")
    assert abs(J / by_table - 1) < 1e-6

# %% [markdown]
# They agree in all digits. Read the last column as noise over signal: the target of denoising score matching is the score plus
# noise whose mean square is $C$. At $\lambda = 10$ the noise has more than two hundred times the energy of the signal. Remember this number.
#
# Now (6.3) with the published network as $\hat s$. The losses are paired: the same points, the same noise.

# %%
x0 = roll.sample(4000, seed=4)
eps = torch.randn(4000, 2, dtype=torch.float64, generator=seeded(5))
print("  λ   denoising   explicit   difference           C")
for log_snr in (8.0, 4.0, 0.0):
    xt = ddpm.noised(x0, eps, bar(log_snr))
    s_hat, s = learned(xt, bar(log_snr)), roll.score(xt, bar(log_snr))
    denoising = score.denoising_loss(s_hat, eps, bar(log_snr))
    explicit = score.explicit_loss(s_hat, s)
    mean, se = evaluate.mean_and_error(denoising - explicit)
    C = score.denoising_floor(exact.error_at(SwissRoll(), log_snr), log_snr, D)
    print(f"{log_snr:3.0f} {denoising.mean():11.4g} {explicit.mean():10.3g} "
          f"{mean:12.4g} ± {se:.2g} {C:10.4g}")
    assert abs(mean - C) < 4 * se and explicit.mean() < 0.05 * C

# %% [markdown]
# The network's own error, the middle column, is a small part of what a training log shows at every level.

# %% [markdown]
# **Exercise: a loss for a score.** *10 minutes, easy.*
#
# Write the loss of (6.2), one number per point, for a score function. `score(xt)` is $\hat s$ at the points $x_t$, shape (n, D).
# Make the noisy points yourself, from $x_0$, $\varepsilon$ and the number $\bar\alpha$, and add the squares over the dimensions.

# %%
def my_denoising_loss(score, x0, eps, alpha_bar):
    """|ŝ(x_t) + ε/√(1−ᾱ)|² at x_t, (n,)."""
    return ...


checks.denoising_loss(my_denoising_loss)

# %% [markdown]
# <details><summary>Hint 1: a loss for a score</summary>
#
# $x_t$ is (4.1). The score of a Gaussian with variance $1 - \bar\alpha$ around $\sqrt{\bar\alpha}\,x_0$ is the target.
#
# </details>
#
# <details><summary>Hint 2: a loss for a score</summary>
#
# The target is $-(x_t - \sqrt{\bar\alpha}\,x_0)/(1 - \bar\alpha) = -\varepsilon/\sqrt{1 - \bar\alpha}$. It points back to the
# data, against the noise.
#
# </details>
#
# <details><summary>Solution: a loss for a score</summary>
#
# ```python
# def my_denoising_loss(score, x0, eps, alpha_bar):
#     """|ŝ(x_t) + ε/√(1−ᾱ)|² at x_t, (n,)."""
#     xt = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * eps
#     return (score(xt) + eps / (1 - alpha_bar) ** 0.5).square().sum(-1)
# ```
#
# </details>

# %% [markdown]
# **In nats.** The bound sums half the squared error in $\varepsilon$ over steps of $\lambda$ (4.14). Make the steps small, and let
# the levels run from pure noise, where $L_T = 0$, up to a clean end $\lambda_1$. The sum becomes an integral (Kingma et al. 2021):
#
# $$ -\mathrm{ELBO} = L_0 + \tfrac12 \int_{-\infty}^{\lambda_1} \mathbb{E}\,|\varepsilon - \hat\varepsilon|^2\, d\lambda. \tag{6.6} $$
#
# The exact score makes it $H$, if $\lambda_1$ is large. The difference is what $\hat s$ costs. By (6.3) it is
#
# $$ \mathrm{ELBO}_* - \mathrm{ELBO}_{\hat s} = \tfrac12 \int_{-\infty}^{\lambda_1} (1 - \bar\alpha)\, F(\hat s)\, d\lambda. \tag{6.7} $$
#
# So a Fisher divergence is worth $\tfrac12 (1 - \bar\alpha)$ nats per unit of $\lambda$. First check (6.6) for the exact score,
# up to $\lambda_1 = 10$, with $L_0 = \tfrac D2 \log(2\pi e\, \mathrm{mse}_1)$ for the best $\sigma_1^2$.

# %%
upto = exact.LOG_SNR <= 10
lam, error = exact.LOG_SNR[upto], exact.error_table(SwissRoll())[upto]
signal = 1 / (1 + np.exp(-lam))
# E|ε − E[ε|x_t]|² = D ᾱ err, by (6.4)
integral = 0.5 * np.trapezoid(D * signal * error, lam)
L_0 = D / 2 * math.log(2 * math.pi * math.e * (1 - signal[-1]) * error[-1])
print(f"½∫ {integral:.5f} + L₀ {L_0:.5f} = {integral + L_0:.5f} "
      f"nats,  H = {H:.5f}")
assert abs(integral + L_0 - H) < 2e-5

# %% [markdown]
# It is $H$ to a hundred-thousandth of a nat. A perfect network pays 8.5 nats for noise that nobody can predict, and $L_0$ gives 7.2 back.
# Now (6.7) for the published network, level by level.

# %% mystnb={"image": {"alt": "Left, log axis: the network's squared score error relative to that of the zero score rises from hundredths of a per mille at log SNR −10 to several per cent at 10. Right: the same error in nats per unit of log SNR, a hump around 4 of about a thousandth, low on both sides."}}
levels = torch.arange(-10, 10.1, 0.5)
noisy = [
    (ddpm.noised(x0, eps, bar(level)), bar(level)) for level in levels.tolist()
]
# (levels, n)
fisher = torch.stack(
    [score.explicit_loss(learned(xt, a), roll.score(xt, a)) for xt, a in noisy])
energy = score.score_energy(exact.error_at(SwissRoll(), levels), levels, D)
per_unit = 0.5 * (-levels).sigmoid().unsqueeze(-1) * fisher
total, total_se = evaluate.mean_and_error(0.5 * per_unit.sum(0))  # spacing 0.5
share = (fisher[-1].mean() / energy[-1]).item()
print(f"the network costs {total:.4f} ± {total_se:.4f} nats; at λ = 10 its F "
      f"is {share:.0%} of J")
fig, (left, right) = plots.plt.subplots(1, 2, figsize=(9.5, 3.2))
plots.curve(levels, 100 * fisher.mean(1) / energy, left, plots.ERROR)
plots.curve(
    levels, per_unit.mean(1), right, plots.ERROR,
    error=per_unit.std(1) / 4000**0.5)
left.set(yscale="log", xlabel="log SNR", ylabel="F(ŝ) / J, per cent")
_ = right.set(xlabel="log SNR", ylabel="½ (1 − ᾱ) F(ŝ), nats per unit")
assert 0.003 < total < 0.015 and share > 0.03

# %% [markdown]
# The two pictures disagree. As a guess of the score the network is worst where the data are cleanest. In nats that hardly
# counts, because of the factor $1 - \bar\alpha$. What it loses, it loses around $\lambda = 4$, where the arms blur into each other. Suppose that
# a network knew *nothing* beyond $\lambda = 10$, and answered 0. What would (6.7) charge for all of those levels together?

# %%
beyond = np.arange(10, 14.01, 0.125)
ignorance = [
    0.5 * (1 - bar(l)) * score.score_energy(
        exact.error_at(SwissRoll(), l), l, D) for l in beyond.tolist()
]
cost = np.trapezoid(ignorance, beyond)
print(f"the zero score from λ = 10 to 14: {cost:.4f} nats")
assert cost < 0.005

# %% [markdown]
# Four thousandths of a nat. So a score can be quite wrong near the data and its likelihood still be good. For
# Langevin dynamics it is another matter, as section 9 measures.
#
# ## 2. Without adding noise
#
# Denoising score matching learns the score of *noisy* data. Can one learn the score of the data themselves, from points
# alone? Multiply out (6.1). The square of $s$ does not depend on $\hat s$. The cross term can be integrated by parts:
#
# $$ \mathbb{E}\,[\hat s \cdot s] = \int q\; \hat s \cdot \frac{\nabla q}{q}\, dx = \int \hat s \cdot \nabla q\, dx = -\int q\, \nabla \cdot \hat s\, dx,
# \tag{6.8} $$
#
# if $q\,\hat s$ vanishes far out. The score is gone from the right side. This is *implicit score matching* (Hyvärinen 2005):
#
# $$ \mathbb{E}\,\big[ |\hat s|^2 + 2\, \nabla \cdot \hat s \big] = F(\hat s) - J. \tag{6.9} $$
#
# Put $\hat s = s$: then $F = 0$, so $J = -\mathbb{E}\,[\nabla \cdot s]$.
#
# - $\nabla \cdot \hat s = \sum_d \partial \hat s_d / \partial x_d$ is the divergence, the trace of the Jacobian. It costs $D$ backward passes.
#
# For an image that is too many. *Sliced score matching* (Song et al. 2019) looks in one random direction $v$:
#
# $$ \mathbb{E}_v\,\big[\, v \cdot (\nabla \hat s)\, v \,\big] = \nabla \cdot \hat s \quad \text{if } \mathbb{E}\, v v^{\mathsf T} = I. \tag{6.10} $$
#
# One backward pass is enough for $v \cdot (\nabla \hat s)\, v$. The loss is $(v \cdot \hat s)^2 + 2\, v \cdot (\nabla \hat s)\, v$; its first term may as well be
# left as $|\hat s|^2$, the mean of $(v \cdot \hat s)^2$ over $v$. *Check* of (6.9) and (6.10) on the grid. The wrong score $\hat s$ is that of a roll
# with twice the noise. Two directions whose mean $v v^{\mathsf T}$ is $I$ replace the random ones.

# %%
points, cell = roll._grid(bar(4.0), spacing=0.4)
q = roll.log_prob(points, bar(4.0)).exp() * cell
s = roll.score(points, bar(4.0))
thick = SwissRoll(noise=1.0, nodes=96)


def wrong(x):
    return thick.score(x, bar(4.0))


F, J = q @ score.explicit_loss(wrong(points), s), q @ s.square().sum(-1)
directions = [
    torch.tensor(v, dtype=torch.float64).expand_as(points)
    for v in ([1, 1], [1, -1])
]
sliced = sum(q @ score.sliced_loss(wrong, points, v) for v in directions) / 2
print(f"F(ŝ) − J {F - J:.7f}   implicit "
      f"{q @ score.implicit_loss(wrong, points):.7f}   sliced {sliced:.7f}")
torch.testing.assert_close(
    q @ score.implicit_loss(wrong, points), F - J, rtol=1e-6, atol=1e-6)
torch.testing.assert_close(sliced, F - J, rtol=1e-6, atol=1e-6)

# %% [markdown]
# **Where tutorials slip.** (6.10) needs $\mathbb{E}\, v v^{\mathsf T} = I$. If $|\hat s|^2$ stands in full, the minimiser is
# $\mathbb{E}[v v^{\mathsf T}]\, s$, by the same partial integration. Directions of length one have $I/D$, and lead to $s/D$: **half a score** in the plane. Among the multiples
# $a\,s$ of the true score we look for the best. Uniform numbers in the place of normal ones are worse: all $v$ then lie in the same quarter of the
# plane, the matrix is not a multiple of $I$, and the minimiser does not even point the right way.

# %%
# E v·(∇s) v
slope = sum(
    q @ score.along(lambda x: roll.score(x, bar(4.0)), points, v)[1]
    for v in directions) / 2
# |a s|² + 2 v·(∇ a s) v, and with the same directions, half as long in square
for a in (1.0, 0.5):
    right, slip = a**2 * J + 2 * a * slope, a**2 * J + 2 * a * slope / D
    print(f"ŝ = {a} s:   loss {right:8.3f}   with directions of length one "
          f"{slip.round(decimals=3) + 0.0:8.3f}")
v = torch.rand(100_000, 2, generator=seeded(6))
print("E v vᵀ for uniform numbers:",
      [[round(x, 2) for x in row] for row in (v.T @ v / len(v)).tolist()])
torch.testing.assert_close(slope, -J, rtol=1e-6, atol=1e-6)
assert slip < -0.24 * J and right > -0.76 * J

# %% [markdown]
# The correct loss prefers $s$, the other one $s/2$. A training curve shows nothing of it.
#
# **Four losses, three noise levels.** A small network learns the score at *one* level by 600 steps of 256 points (at $\lambda = 0$ 300 do), with each loss, from two
# starts. Its answer is divided by the width of the roll at that level, so that it speaks in numbers near one. The table says
# how much of $J$ is left: 0 % is perfect, 100 % is what $\hat s = 0$ scores. **Predict first:** the losses have the same minimiser. Will they
# learn the same?

# %%
losses = {
    "explicit": lambda f, xt, eps, v, a: score.explicit_loss(
        f(xt), roll.score(xt, a)),
    "denoising": lambda f, xt, eps, v, a: score.denoising_loss(f(xt), eps, a),
    "implicit": lambda f, xt, eps, v, a: score.implicit_loss(f, xt),
    "sliced": lambda f, xt, eps, v, a: score.sliced_loss_vr(f, xt, v),
}
clean = roll.sample(50_000, seed=7).float()


def train(loss, log_snr, seed, steps, batch=256, peak=1e-2):
    torch.manual_seed(seed)
    net, g, a = mlp([2, 64, 64, 64, 2]), seeded(seed), bar(log_snr)
    scale = var_across(torch.tensor(log_snr)).sqrt()
    optimiser = torch.optim.Adam(net.parameters(), peak, fused=True)
    for k in range(steps):
        optimiser.param_groups[0]["lr"] = peak * min(1, (k + 1) / 50) * 0.5 * (
            1 + math.cos(math.pi * k / steps))
        x = clean[torch.randint(len(clean), (batch,), generator=g)]
        eps, v = torch.randn(2, batch, 2, generator=g)
        value = loss(
            lambda x: net(x) / scale, ddpm.noised(x, eps, a), eps, v, a
        ).mean() * scale**2
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return lambda x: (net(x.float()) / scale).double().detach()


# %% [markdown]
# The test is the same for all: the explicit loss at 4,000 fresh points.

# %%
left_over = {}
print("share of J that is left, two starts\n   λ  "
      + "".join(f"{name:>17}" for name in losses))
for log_snr, steps in ((0.0, 300), (4.0, 600), (10.0, 600)):
    xt = ddpm.noised(x0, eps, bar(log_snr))
    s = roll.score(xt, bar(log_snr))
    for name, loss in losses.items():
        fits = [train(loss, log_snr, seed, steps)(xt) for seed in (1, 2)]
        energy = s.square().sum(-1).mean()
        left_over[name, log_snr] = [
            (score.explicit_loss(fit, s).mean() / energy).item() for fit in fits
        ]
    row = [" and ".join(f"{v:.1%}" for v in left_over[name, log_snr])
           for name in losses]
    print(f"≈ {log_snr:3.0f} " + "".join(f"{cell:>17}" for cell in row))
assert min(left_over["denoising", 10.0]) > 0.9
assert max(left_over["implicit", 10.0]) < 0.5
assert max(left_over["denoising", 0.0]) < 0.02
assert max(max(left_over["explicit", l]) for l in (0.0, 4.0, 10.0)) < 0.5

# %% [markdown]
# At much noise all four are good. At $\lambda = 4$ the three that do not know the answer are behind the one that does. At $\lambda = 10$ denoising
# has learned *nothing*: it scores what 0 scores. The other three are fine. The reason is the number to remember: there the target is more
# than two hundred parts noise to one part score. The minimiser is the same. What differs is how many points it takes to see it. Eight times the
# batch is not yet enough:

# %%
xt = ddpm.noised(x0, eps, bar(10.0))
s = roll.score(xt, bar(10.0))
J = s.square().sum(-1).mean()
more = score.explicit_loss(
    train(losses["denoising"], 10.0, 1, 600, batch=2048)(xt), s).mean() / J
near = score.explicit_loss(roll.score(xt, bar(8.0)), s).mean() / J
print(f"≈ denoising at λ = 10 with 2,048 points a step: {more:.0%} of J")
print(f"the exact score of λ = 8 in its place: {near:.2%} of J")
assert more > 0.9 and near < 0.01

# %% [markdown]
# Yet the published network, trained with this very loss, had less than a tenth of $J$ left at $\lambda = 10$. It is one network for all levels, and the score of
# $\lambda = 8$, where the target is seven times less noisy, would do almost perfectly at $\lambda = 10$. And in nats, (6.7), nothing much was at stake. Why is denoising used all the same? It
# needs no derivative of the network, so it is the cheapest, and at the levels that the bound weighs it is good.
#
# ## 3. What the slope says about the data
#
# Tweedie's formula (0.7) turns a score into a guess of the clean point. One more derivative tells how sure that guess is (Efron 2011):
#
# $$ \begin{aligned}
# \mathbb{E}[x_0 \mid x_t] &= \frac{x_t + (1 - \bar\alpha)\, s}{\sqrt{\bar\alpha}}, \\
# \mathrm{Cov}[x_0 \mid x_t] &= \frac{1 - \bar\alpha}{\bar\alpha} \big( I + (1 - \bar\alpha)\, \nabla s \big).
# \end{aligned} \tag{6.11} $$
#
# <details><summary>Proof of the second line</summary>
#
# Write $p(x_0 \mid x_t) \propto p(x_0)\, \exp\!\big( {-\tfrac{|x_t - \sqrt{\bar\alpha} x_0|^2}{2(1 - \bar\alpha)}} \big)$ as a family in
# $\eta = x_t \sqrt{\bar\alpha} / (1 - \bar\alpha)$: it is $h(x_0) \exp(\eta \cdot x_0 - A(\eta))$, where $h$ collects what does not contain $x_t$,
# and $A(\eta) = \log q(x_t) + \tfrac{|x_t|^2}{2(1 - \bar\alpha)}$ up to a constant. The mean of such a family is $\nabla_\eta A$ and its covariance is
# $\nabla_\eta \nabla_\eta A$. With $\partial x_t / \partial \eta = (1 - \bar\alpha)/\sqrt{\bar\alpha}$ these are
#
# $$ \nabla_\eta A = \frac{1 - \bar\alpha}{\sqrt{\bar\alpha}} \Big( s + \frac{x_t}{1 - \bar\alpha} \Big), \qquad
#    \nabla_\eta \nabla_\eta A = \frac{(1 - \bar\alpha)^2}{\bar\alpha} \Big( \nabla s + \frac{I}{1 - \bar\alpha} \Big). $$
#
# </details>
#
# So a denoiser knows more than a point. The derivative of the *learned* score is one backward pass per dimension away.

# %% mystnb={"image": {"alt": "The swiss roll in pale grey with fourteen noisy points in blue. An arrow leads from each to its guessed clean point in orange, around which an ellipse of two standard deviations lies along the nearest arm, long where two arms compete."}}
a = bar(3.0)
xt = ddpm.noised(
    roll.sample(14, seed=11),
    torch.randn(14, 2, dtype=torch.float64, generator=seeded(12)), a)
jacobian = torch.stack([
    torch.autograd.functional.jacobian(lambda z: learned(z[None], a)[0], z)
    for z in xt
])
cov = score.x0_cov_from_hessian(0.5 * (jacobian + jacobian.mT), a)
guess = score.x0_from_score(xt, learned(xt, a), a)
torch.testing.assert_close(
    score.x0_from_score(xt, roll.score(xt, a), a), roll.x0_mean(xt, a))
off = (cov - roll.x0_cov(xt, a)).flatten(1).norm(dim=1) / roll.x0_cov(
    xt, a).flatten(1).norm(dim=1)
print("covariance by the network against the exact one, relative: "
      f"{off.median():.2f} in the median")
ax = plots.density(
    roll.log_prob(plots.grid(n=200)), plots.axes_row(1, size=4.5)[0])
circle = torch.linspace(0, 2 * math.pi, 60, dtype=torch.float64)
values, axes = torch.linalg.eigh(cov)
for x, m, e, w in zip(xt, guess, values, axes, strict=True):
    ellipse = m + 2 * (
        e.clamp(min=0).sqrt() * torch.stack([circle.cos(), circle.sin()], -1)
    ) @ w.T
    ax.plot(*ellipse.T, color=plots.MODEL)
    ax.annotate(
        "", m.tolist(), x.tolist(),
        arrowprops={"arrowstyle": "->", "color": plots.Q, "lw": 0.8})
_ = plots.points(xt, ax, plots.Q, size=14)

# %% [markdown]
# Where two arms compete the ellipse is long: the point may have come from either. Elsewhere it lies along one arm. `Mixture.x0_cov` has the
# exact covariances. Over all $x_t$ their trace must be the denoiser's error, $D (1 - \bar\alpha)\, \mathrm{err}(\lambda)$:

# %%
trace = roll.x0_cov(ddpm.noised(x0, eps, a), a).diagonal(dim1=1, dim2=2).sum(-1)
mean, se = evaluate.mean_and_error(trace)
by_table = D * (1 - a) * exact.error_at(SwissRoll(), 3.0)
print(f"E tr Cov[x₀|x_t] = {mean:.4f} ± {se:.4f},   by the table "
      f"{by_table:.4f}")
assert abs(mean - by_table) < 4 * se

# %% [markdown]
# ## 4. Drawing with the slope alone
#
# Suppose that all we have of a density $\pi$ is its score $s = \nabla \log \pi$. Let a point walk uphill and shake it at the same time:
#
# $$ dx = s(x)\, d\tau + \sqrt{2}\; dW. \tag{6.12} $$
#
# This is *Langevin dynamics*. $dW$ is Gaussian noise with variance $d\tau$ per axis. In steps of a size $h$ it becomes the *unadjusted Langevin
# algorithm*, ULA:
#
# $$ x' = x + h\, s(x) + \sqrt{2h}\; \varepsilon. \tag{6.13} $$
#
# *Claim.* If points that obey (6.12) have the density $p$, then $p$ changes by the *Fokker–Planck equation*
#
# $$ \frac{\partial p}{\partial \tau} = -\nabla \cdot \big( p\, \nabla \log \pi \big) + \Delta p, \tag{6.14} $$
#
# and $\pi$ does not change: for $p = \pi$ the right side is $-\nabla \cdot \nabla \pi + \Delta \pi = 0$. The drift pulls the points together as much as
# the noise spreads them.
#
# - $\Delta p = \sum_d \partial^2 p / \partial x_d^2$ is the Laplacian, the divergence of the gradient.
#
# <details><summary>Proof of (6.14)</summary>
#
# Take a smooth function $f$ that vanishes far out, and one step (6.13). To first order in $h$,
#
# $$ \mathbb{E} f(x') = \mathbb{E} f(x) + h\, \mathbb{E}\,[s \cdot \nabla f] + \tfrac12\, 2h\, \mathbb{E}\,[\Delta f], $$
#
# because $\mathbb{E}\,\varepsilon = 0$ and $\mathbb{E}\,\varepsilon \varepsilon^{\mathsf T} = I$. Divide by $h$ and let it go to 0:
#
# $$ \int f\, \frac{\partial p}{\partial \tau}\, dx = \int p\, \big( s \cdot \nabla f + \Delta f \big)\, dx = \int f\, \big( {-\nabla \cdot (p\, s)} + \Delta p \big)\, dx, $$
#
# by parts, as in (6.8). It holds for every $f$, so the functions that multiply $f$ are equal.
#
# </details>

# %% [markdown]
# **Exercise: one Langevin step.** *6 minutes, easy.*
#
# Write (6.13). `score` is a function of the points, $h$ a number, `eps` standard normal noise like $x$.

# %%
def my_ula_step(x, score, h, eps):
    """x after one unadjusted Langevin step."""
    return ...


checks.ula_step(my_ula_step)

# %% [markdown]
# <details><summary>Hint 1: one Langevin step</summary>
#
# The drift is proportional to the time $h$, the noise to its root: variances add up, not deviations.
#
# </details>
#
# <details><summary>Hint 2: one Langevin step</summary>
#
# The $\sqrt2$ of (6.12) belongs to the noise: its variance per axis is $2h$.
#
# </details>
#
# <details><summary>Solution: one Langevin step</summary>
#
# ```python
# def my_ula_step(x, score, h, eps):
#     """x after one unadjusted Langevin step."""
#     return x + h * score(x) + (2 * h) ** 0.5 * eps
# ```
#
# </details>

# %% [markdown]
# *Check.* For $f = |x|^2$ the proof says that $\mathbb{E}|x|^2$ changes at the rate $2\,\mathbb{E}\,[s \cdot x] + 2D$. Under $\pi$ it must not
# change, so $\mathbb{E}\,[s \cdot x] = -D$. On the grid, for the clean roll:

# %%
points, cell = roll._grid(1.0, spacing=0.4)
q = roll.log_prob(points).exp() * cell
print(f"E[s·x] = {q @ (roll.score(points) * points).sum(-1):.8f}")
torch.testing.assert_close(
    q @ (roll.score(points) * points).sum(-1), torch.tensor(-2.0).double(),
    rtol=0, atol=1e-6)

# %% [markdown]
# ## 5. What a step is wrong by
#
# (6.13) is not (6.12), and $\pi$ does not quite stand still under it. By how much is it wrong? Look across the roll, where it is
# nearly a straight strand of width $s_0$ (the $\delta$ of notebook 00), that is $N(0, s_0^2)$, and the score is $-x/s_0^2$. The step is then linear,
# $x' = (1 - h/s_0^2)\, x + \sqrt{2h}\,\varepsilon$. Its variance $v$ comes to rest where $v = (1 - h/s_0^2)^2\, v + 2h$. Solve for $v$, with
# $c = h/s_0^2$:
#
# $$ v = \frac{s_0^2}{1 - c/2}, \qquad 0 < c < 2. \tag{6.15} $$
#
# The strand is too wide. In nats: $\log \pi$ across it is $-x^2/(2 s_0^2)$ and a constant, so
#
# $$ \mathbb{E} \log \pi + H = -\tfrac12 \Big( \frac{v}{s_0^2} - 1 \Big) = -\tfrac12 \Big( \frac{1}{1 - c/2} - 1 \Big). \tag{6.16} $$
#
# $\mathbb{E} \log \pi + H$ is how we judge samples in this notebook: the mean exact log density, less its true value $-H$. **Its target is 0.** Below 0
# the points scatter too much. Above 0 they lie too close to the ridge, and that is as wrong. **Predict first:** for which $c$ is
# it $-0.1$ nats? We start at true points, so that nothing but the step's own error is seen.

# %%
n, sizes = 8_000, (0.1, 0.2, 0.4, 0.8, 1.2)
truth, unadjusted = roll.sample(n, seed=13), []
print(" c     ULA: E log π + H          (6.16)")
for c in sizes:
    x = langevin.ula(
        truth, roll.score, c * s2, steps=int(4 / c) + 2, generator=seeded(14))
    unadjusted.append(evaluate.mean_and_error(roll.log_prob(x) + H))
    (mean, se), theory = unadjusted[-1], langevin.ula_bias(s2, c * s2)
    print(f"{c:.1f}   {mean:8.3f} ± {se:.3f}   {theory:12.3f}")
    assert abs(mean - theory) < 4 * se

# %% [markdown]
# Theory and measurement agree within their errors, though the roll is neither straight nor infinitely long. The bias is about
# $-c/4$ for small $c$. It is first order: half the step, half the error, twice the work.
#
# **The cure.** Take the step as a *proposal*, and accept it with a probability that makes $\pi$ stand still exactly. The step proposes $y$ from
# $q(y \mid x) = N(y;\, x + h\, s(x),\, 2h I)$. Accept with
#
# $$ \mathrm{acc}(x, y) = \min\Big( 1,\; \frac{\pi(y)\, q(x \mid y)}{\pi(x)\, q(y \mid x)} \Big), \tag{6.17} $$
#
# and stay at $x$ otherwise. Then $\pi(x)\, q(y|x)\, \mathrm{acc}(x, y) = \min\big( \pi(x) q(y|x),\, \pi(y) q(x|y) \big)$. This is the same with $x$ and $y$ exchanged. So under
# $\pi$ as many points go from $x$ to $y$ as come back. That is *detailed balance*, and it holds for every $h$. The result is the *Metropolis-adjusted
# Langevin algorithm*, MALA (Roberts & Tweedie 1996). It needs $\pi$ itself, up to a factor, and not only its slope.

# %% [markdown]
# **Exercise: accept or refuse.** *14 minutes, medium.*
#
# Return the logarithm of the fraction in (6.17), shape (n,). `log_prob` and `score` are functions of points. `x` are the points before
# and `y` the proposals, both (n, D).

# %%
def my_mala_ratio(x, y, log_prob, score, h):
    """log [π(y) q(x|y)] − log [π(x) q(y|x)], (n,)."""
    return ...


checks.mala_ratio(my_mala_ratio)

# %% [markdown]
# <details><summary>Hint 1: accept or refuse</summary>
#
# Four terms. The two of $\pi$ are calls of `log_prob`. The two of $q$ have the same variance, so their constants cancel.
#
# </details>
#
# <details><summary>Hint 2: accept or refuse</summary>
#
# $\log q(y|x) = -|y - x - h\,s(x)|^2 / (4h)$ and a constant: the variance is $2h$, and a Gaussian divides by twice that. For the way
# back exchange $x$ and $y$, in the score too.
#
# </details>
#
# <details><summary>Solution: accept or refuse</summary>
#
# ```python
# def my_mala_ratio(x, y, log_prob, score, h):
#     """log [π(y) q(x|y)] − log [π(x) q(y|x)], (n,)."""
#     there = -(y - x - h * score(x)).square().sum(-1) / (4 * h)
#     back = -(x - y - h * score(y)).square().sum(-1) / (4 * h)
#     return log_prob(y) + back - log_prob(x) - there
# ```
#
# </details>

# %% mystnb={"image": {"alt": "Mean log density plus entropy against step size c from 0.05 to 1.3. The exact bias, a black line, bends down from 0 to −0.9. Blue ULA points with error bars lie on it; green MALA points lie on the line at 0."}}
adjusted = [
    langevin.mala(
        truth[:4000], roll.log_prob, roll.score, c * s2, 12, seeded(15))
    for c in sizes
]
fixed = [evaluate.mean_and_error(roll.log_prob(x) + H) for x, _ in adjusted]
for c, (mean, se), (_, rate) in zip(sizes, fixed, adjusted, strict=True):
    print(f"c = {c:.1f}:  MALA E log π + H = {mean:6.3f} ± {se:.3f}, "
          f"accepted {rate:.2f}")
    assert abs(mean) < 4 * se
fine = torch.linspace(0.02, 1.3, 100, dtype=torch.float64)
ax = plots.truth(fine, -0.5 * (1 / (1 - fine / 2) - 1), label="(6.16)")
for name, found, colour in (
        ("ULA", unadjusted, plots.Q), ("MALA", fixed, plots.EXTRA[0])):
    means, errors = np.array(found).T
    ax.errorbar(
        sizes, means, 2 * errors, fmt="o", color=colour,
        label=f"{name}, ± 2 standard errors")
ax.axhline(0, color=plots.DATA, linewidth=1)
ax.set(xlabel="step size c = h / s₀²", ylabel="E log π + H, nats")
_ = ax.legend(loc="lower left")

# %% [markdown]
# MALA stays at zero for every step size. It pays by refusing: at $c = 1.2$ about three proposals in ten.
#
# Now let it move. Set the step $c$, then the number of steps, or press Play. Turn MALA on and off. The black line is the theory on a straight strand, step by
# step. **Predict first:** what happens just below $c = 2$? And does a start at the inner end show in the number on the right?

# %%
widgets.langevin_walk(SwissRoll(nodes=192), c=0.8, k=20)

# %% [markdown]
# The noise is the same for every $c$, so that you can follow a point. Near $c = 2$ the strand bursts. From the inner end the number is right after a few steps, and the
# picture is not. Section 8 comes back to that.
#
# **Where tutorials slip.** Three mistakes that are found in public code, each for 60 steps from 4,000 true points with $c = 0.2$. Some texts
# write $\tfrac{\epsilon}{2} s + \sqrt{\epsilon}\,\varepsilon$: that is (6.13) with $h = \epsilon/2$. To mix the two, $h\, s + \sqrt{h}\,\varepsilon$, halves the
# temperature. To write `torch.rand` for `torch.randn` pushes all points one way. The last column is the share of points whose density is
# lower than that of 999 in 1,000 data points.

# %%
def walk(noise):
    x, g = truth[:4000], seeded(16)
    for _ in range(60):
        x = x + 0.2 * s2 * roll.score(x) + noise(x, g)
    return x


def normal(x, g):
    return (0.4 * s2) ** 0.5 * torch.randn(x.shape, dtype=x.dtype, generator=g)


slips = {"√2h ε": normal,
         "√h ε": lambda x, g: normal(x, g) / 2**0.5,
         "uniform": lambda x, g: (0.4 * s2) ** 0.5 * torch.rand(
             x.shape, dtype=x.dtype, generator=g)}
floor, mean = evaluate.noise_floor(evaluate.energy_distance, roll, 4000), {}
print("noise    E log π + H   energy / floor   share off")
for name, noise in slips.items():
    x = walk(noise)
    mean[name] = roll.log_prob(x).mean() + H
    distance = evaluate.energy_distance(x, roll.sample(4000, seed=17)) / floor
    print(f"{name:8} {mean[name]:11.3f} {distance:15.1f} "
          f"{evaluate.outlier_share(x, roll):14.4f}")
assert mean["√h ε"] > 0.15 and distance > 50

# %% [markdown]
# With $\sqrt{h}$ the points look *better* than data: closer to the ridge, none off. (6.15) with half the noise foretells $+0.22$. With uniform noise they slide along the roll to
# one side, four hundred times the distance of two true sets, and the share off the roll sees nothing. One number is not enough to judge samples.
#
# ## 6. The density itself, on a grid
#
# (6.14) can be solved without points. Cut the axis into cells of width $\delta$, and let probability jump between neighbours, from cell $j$ to cell $i$ at
# the rate
#
# $$ \begin{aligned}
# A_{ij} &= \frac{1}{\delta^2} \sqrt{\frac{\pi_i}{\pi_j}} \quad (i \text{ next to } j), \\
# A_{jj} &= -\sum_{i \ne j} A_{ij}, \qquad \frac{dp}{d\tau} = A\, p.
# \end{aligned} \tag{6.18} $$
#
# The columns of $A$ add up to 0, so no probability is lost. And $A_{ij} \pi_j = \sqrt{\pi_i \pi_j}/\delta^2 = A_{ji} \pi_i$: detailed balance again, at any
# $\delta$. So $\pi$ stands still exactly, on the coarsest grid too. As $\delta \to 0$ it becomes (6.14), with an error of order $\delta^2$.

# %% [markdown]
# **Exercise: a walk between cells.** *12 minutes, medium.*
#
# Write $A$ of (6.18) for one axis, as a full matrix (n, n). `log_pi` holds $\log \pi$ in the n cells, `spacing` is $\delta$. Nothing leaves at the two ends.

# %%
def my_walk_matrix(log_pi, spacing):
    """A (n, n) with dp/dτ = A p."""
    return ...


checks.walk_matrix(my_walk_matrix)

# %% [markdown]
# <details><summary>Hint 1: a walk between cells</summary>
#
# $A_{ij}$ takes probability *from* column $j$ *to* row $i$. Only the two diagonals beside the main one are filled by the rates.
#
# </details>
#
# <details><summary>Hint 2: a walk between cells</summary>
#
# With `d = log_pi.diff()`, the rates up are $e^{d/2}/\delta^2$. They stand below the main diagonal: `torch.diag(up, -1)`. Then
# subtract the sum of each column from its diagonal entry.
#
# </details>
#
# <details><summary>Solution: a walk between cells</summary>
#
# ```python
# def my_walk_matrix(log_pi, spacing):
#     """A (n, n) with dp/dτ = A p."""
#     d = log_pi.diff()
#     A = torch.diag((d / 2).exp(), -1) + torch.diag((-d / 2).exp(), 1)
#     return (A - torch.diag(A.sum(0))) / spacing**2
# ```
#
# </details>

# %% [markdown]
# The *forward process* of diffusion is of this kind. Take $\pi = N(0, I)$, with the score $-x$. Then (6.12) is $dx = -x\, d\tau + \sqrt2\, dW$. A point that starts at $x_0$ is at
# time $\tau$ distributed like (3.4), with
#
# $$ \bar\alpha = e^{-2\tau}. \tag{6.19} $$
#
# So we know the answer, $q(x_t)$, and can measure the grid's error. In two dimensions the axes do not know of each other. A density in $n \times n$ cells then
# evolves by one small matrix from both sides, and no error is made in time:
#
# $$ p(\tau) = E\, p(0)\, E^{\mathsf T}, \qquad E = e^{\tau A}. \tag{6.20} $$

# %%
def on_grid(n, half=3.6):
    axis = np.linspace(-half, half, n)
    cells = torch.cartesian_prod(torch.from_numpy(axis), torch.from_numpy(axis))
    return (axis, (axis[1] - axis[0]) ** 2,
            lambda a=1.0: roll.log_prob(cells, a).exp().numpy().reshape(n, n))


taus = (0.005, 0.02, 0.1, 0.5)
print("sum of |grid − exact| over the plane\ncells      "
      + "".join(f"τ = {tau:<9}" for tau in taus))
for n in (75, 150, 300):
    axis, area, density = on_grid(n)
    start = density()
    wrong_by = [
        area * np.abs(
            fokker_planck.forward(start, axis, t) - density(math.exp(-2 * t))
        ).sum() for t in taus]
    print(f"{n:3}²       " + "".join(f"{e:<13.1e}" for e in wrong_by))
    assert fokker_planck.forward(start, axis, 0.1).min() > 0
assert max(wrong_by[1:]) < 1e-3

# %% [markdown]
# Twice the cells, a quarter of the error, until the edge of the grid shows in the last column: it cuts off a little of the cloud. With 300 cells per axis the grid is right to a thousandth from $\tau = 0.02$ on. How many points would a histogram need for that?

# %%
tau, n = 0.1, 60
edges = np.linspace(-4, 4, n + 1)
centres = torch.from_numpy((edges[1:] + edges[:-1]) / 2)
exact_q = roll.log_prob(
    torch.cartesian_prod(centres, centres), math.exp(-2 * tau)
).exp().numpy().reshape(n, n)
for count in (10_000, 100_000, 1_000_000):
    x = roll.sample(count, seed=18)
    xt = ddpm.noised(
        x, torch.randn(x.shape, dtype=x.dtype, generator=seeded(19)),
        math.exp(-2 * tau)).numpy()
    share = np.histogram2d(*xt.T, bins=[edges, edges], density=True)[0]
    print(f"{count:9,} points, {n}² bins: "
          f"{np.abs(share - exact_q).sum() * (edges[1] - edges[0]) ** 2:.3f}")
assert (np.abs(share - exact_q).sum() * (edges[1] - edges[0]) ** 2
        > 20 * wrong_by[2])

# %% [markdown]
# A million points are a hundred times worse than the grid. But that is the plane. With ten cells per axis, a digit of 784 pixels would need $10^{784}$ of them. In high
# dimension only the points are left, and the score that moves them.

# %% mystnb={"image": {"alt": "Two rows of four panels at times 0, 0.02, 0.1 and 0.5. Above, the density on the grid in grey: the roll blurs into a round cloud. Below, 2,000 blue points doing the same."}}
axis, area, density = on_grid(300)
x = roll.sample(2000, seed=20)
noise = torch.randn(2000, 2, dtype=torch.float64, generator=seeded(21))
panels = plots.axes_row(4, size=2.0, rows=2)
for tau, above, below in zip(
        (0.0, 0.02, 0.1, 0.5), panels[:4], panels[4:], strict=True):
    p = fokker_planck.forward(density(), axis, tau)
    ax = plots.density(
        np.log(np.maximum(p, 1e-300)).ravel(), above, title=f"τ = {tau}",
        limit=3.6)
    ax.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4))
    plots.points(
        ddpm.noised(x, noise, math.exp(-2 * tau)), below, plots.Q, size=1.5)

# %% [markdown]
# The same on a coarser grid, to be moved: the density, points, and how far both are from $N(0, I)$ in nats. The dashed line is explained in the next section.

# %%
widgets.density_film(SwissRoll(nodes=192), i=20)

# %% [markdown]
# ## 7. How fast the noise wins
#
# The KL divergence of $p$ from $\pi$ falls along (6.14), and its slope is known. *De Bruijn's identity* (Stam 1959):
#
# $$ \frac{d}{d\tau}\, \mathrm{KL}(p \,\|\, \pi) = -I, \qquad I = \mathbb{E}_p\, \big| \nabla \log p - \nabla \log \pi \big|^2. \tag{6.21} $$
#
# <details><summary>Proof</summary>
#
# Write (6.14) as $\partial p/\partial\tau = \nabla \cdot \big( p\, \nabla \log \tfrac p\pi \big)$: the same two terms, collected. Then
#
# $$ \frac{d}{d\tau} \int p \log \frac p\pi\, dx = \int \frac{\partial p}{\partial \tau} \log \frac p\pi\, dx + \int \frac{\partial p}{\partial\tau}\, dx
#    = -\int p\, \Big| \nabla \log \frac p\pi \Big|^2 dx, $$
#
# by parts in the first integral. The second is 0, because $p$ keeps its mass.
#
# </details>
#
# $I$ is a Fisher divergence (6.1) again: how wrong the score of $\pi$ would be for $p$. For the forward process the score of $\pi = N(0, I)$ is $-x$,
# and $I = \mathbb{E}|s + x|^2$. Multiply out. With $\mathbb{E}\,[s \cdot x] = -D$, as in section 4, and $\mathbb{E}|x|^2 = D$ for our data, it is $J - D$. By
# (6.5)
#
# $$ I = D \cdot \mathrm{SNR} \cdot \big( 1 - \mathrm{err}(\lambda) \big). \tag{6.22} $$
#
# So the slope of the KL is fixed by the denoiser's error. In notebook 03 the split (3.25) had two parts at every noise level, and the module `exact` computes them by
# integrating $1 - \mathrm{err}$, after Guo, Shamai and Verdú (2005). **De Bruijn's identity is that relation, seen from the noise.** With
# $d\lambda = -2\, d\tau / (1 - \bar\alpha)$ by (6.19), the slope in $\lambda$ is $\tfrac12 (1 - \bar\alpha)\, I$. *Check*, with the KL from the exact
# entropies on both sides of a level:

# %%
def kl_from_noise(log_snr):  # E log q − E log N(x; 0, I), as E|x|² = D
    return D / 2 * math.log(2 * math.pi * math.e) - roll.entropy(bar(log_snr))


def clock(log_snr):  # τ at λ, as ᾱ = e^{−2τ}
    return 0.5 * math.log1p(math.exp(-log_snr))


print("  λ       KL       ΔKL/Δλ     ½(1−ᾱ) I")
for log_snr in (8.0, 4.0, 2.0, 0.0):
    quotient = (
        (kl_from_noise(log_snr + 0.02) - kl_from_noise(log_snr - 0.02)) / 0.04)
    information = fokker_planck.relative_fisher(
        exact.error_at(SwissRoll(), log_snr), log_snr, D)
    slope = 0.5 * (1 - bar(log_snr)) * information
    print(f"{log_snr:4.0f}  {kl_from_noise(log_snr):8.5f}  "
          f"{quotient:10.6f}  {slope:10.6f}")
    assert abs(quotient / slope - 1) < 5e-4

# %% [markdown]
# *Predict first:* the KL falls from 1.49 nats to 0. Where is it steepest in $\tau$, and where in $\lambda$?

# %% mystnb={"image": {"alt": "Left: KL from the standard normal against tau, falling steeply from 1.49 nats at 0 to about 0.05 at 0.15; four dashed tangents with slope minus I touch it. Right: the same KL against log SNR, an S from 0 to 1.49 between −1 and 9."}}
fine = torch.linspace(-4, 10, 80).tolist()
kl = [kl_from_noise(l) for l in fine]
fig, (left, right) = plots.plt.subplots(1, 2, figsize=(9.5, 3.2))
plots.truth([clock(l) for l in fine], kl, left, label="KL(q(x_t) ‖ N(0, I))")
for log_snr in (5.0, 4.0, 3.0, 2.0):
    information = fokker_planck.relative_fisher(
        exact.error_at(SwissRoll(), log_snr), log_snr, D)
    span, name = np.array([-0.012, 0.012]), "slope −I" if log_snr == 2 else None
    tangent = kl_from_noise(log_snr) - information * span
    left.plot(clock(log_snr) + span, tangent, "--", color=plots.Q, linewidth=2,
              label=name)
plots.truth(fine, kl, right)
print(f"KL at the start {kl[-1]:.3f}, at τ = {clock(0.5):.2f}: "
      f"{kl_from_noise(0.5):.3f} nats")
left.set(xlabel="τ", ylabel="nats", xlim=(-0.005, 0.15), ylim=(0, 1.55))
right.set(xlabel="log SNR", ylabel="nats")
_ = left.legend()

# %% [markdown]
# In $\tau$ the KL is steepest at the start, in $\lambda$ where the arms merge. The noise wins fast. At $\tau = 0.24$, where signal and noise are nearly in balance, a fiftieth of a nat is left of the roll, seen as a whole. The forward process is Langevin
# dynamics towards $N(0, I)$, and it forgets in a time of about one.
#
# ## 8. How long until the start is forgotten?
#
# Langevin dynamics towards the *roll* is another matter. The same matrix tells. Put $\log \pi = \log p$ of the roll in (6.18), on a grid of the plane. With
# $\sqrt{\pi}$ on either side $A$ becomes symmetric, so its eigenvalues are real: $0$, $-\mu_1$, $-\mu_2$, and so on down. What is left
# of the start is
#
# $$ p(\tau) - \pi = \sum_{k \ge 1} a_k\, e^{-\mu_k \tau}\, \pi\, \varphi_k, \tag{6.23} $$
#
# and after a while only the slowest term counts. ($\pi \varphi_k$ are the eigenvectors, $a_k$ says how much of each the start holds.) $1/\mu_1$ is the *relaxation time*, and $\mu_1$ the *spectral gap*. For $N(0, v)$ it is $v$. What would one guess for the roll? A strand of length
# $L$ without branches has $\mu_1 = \pi^2/L^2$, here with the number $\pi$, like a rod that conducts heat. **Predict first:** a step that is right across the strand has
# $h = s_0^2/4$. How many such steps must a point take along it?

# %%
def log_pi_on_grid(alpha_bar, per_sd=3, half=2.1):
    sd = (alpha_bar * s2 + 1 - alpha_bar) ** 0.5
    axis = np.arange(
        -(half * alpha_bar**0.5 + 4 * sd), half * alpha_bar**0.5 + 4 * sd,
        sd / per_sd)
    cells = torch.cartesian_prod(torch.from_numpy(axis), torch.from_numpy(axis))
    return axis, roll.log_prob(cells, alpha_bar).numpy().reshape(
        len(axis), len(axis)), sd / per_sd


times = {}
for per_sd in (2, 3):
    axis, log_pi, spacing = log_pi_on_grid(1.0, per_sd)
    times[per_sd] = fokker_planck.relaxation_times(log_pi, spacing)[0]
    in_steps = times[per_sd] / (s2 / 4)
    print(f"{len(axis)}² cells: relaxation time "
          f"{times[per_sd]:.2f} = {in_steps:,.0f} steps of s₀²/4")
steps_along = roll.curve(torch.linspace(0, 1, 20_001)).diff(dim=0)
L = steps_along.norm(dim=1).sum().item()
print(f"a thin rod of the same length, L = {L:.2f}: "
      f"L²/π² = {L**2 / math.pi**2:.2f}")
assert abs(times[2] / times[3] - 1) < 0.02

# %% [markdown]
# Fourteen thousand steps to forget, by a factor $e$, where on the roll a point began. Two grids agree to a half per cent, and the thin rod explains most of it. Now the same
# at other noise levels, with a step that suits each: $h = \tfrac14 (\bar\alpha s_0^2 + 1 - \bar\alpha)$.

# %% mystnb={"image": {"alt": "Log axes: relaxation time against log SNR, about 1 up to 0, 2.5 at 4, then a steep rise to 18.7 above 6. A second curve, the number of Langevin steps, rises from 5 to almost 14,000."}}
some = [-2.0, 0.0, 1.0, 2.0, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 10.0]
relax = [
    fokker_planck.relaxation_times(*log_pi_on_grid(bar(l))[1:])[0] for l in some
]
steps = [t / (var_across(torch.tensor(l)).item() / 4)
         for t, l in zip(relax, some, strict=True)]
half_way = math.pi / SwissRoll().scale  # half the distance of two arms
print("  λ   relaxation time      steps   half-way to the next arm")
for l in (0.0, 2.0, 4.0, 5.0, 6.0, 8.0):
    away = (bar(l) / var_across(torch.tensor(l)).item()) ** 0.5 * half_way
    print(f"{l:3.0f} {relax[some.index(l)]:17.2f} "
          f"{steps[some.index(l)]:10,.0f} {away:15.1f} widths")
ax = plots.curve(
    some, relax, color=plots.TRUTH, label="relaxation time 1/μ₁", marker="o")
name = "in Langevin steps of a quarter of the width²"
plots.curve(some, steps, ax, plots.Q, label=name, marker="s", linestyle="--")
ax.set(yscale="log", xlabel="log SNR", ylabel="time, or number of steps",
       ylim=(0.5, 1e5))
_ = ax.legend(loc="upper left")
assert relax[some.index(4.0)] < 3 < 15 < relax[some.index(6.0)]

# %% [markdown]
# Between $\lambda = 6$ and $\lambda = 4$ the gap opens. At $\lambda = 6$ the middle between two arms is five widths away, at $\lambda = 4$ three. Then a point now and then crosses to the next arm, and need not walk along its own. At
# $\lambda = 2$ forty steps do what takes fourteen thousand on the clean roll.
#
# Does a bad start show? We follow the exact density of plain Langevin on the grid, by implicit steps
# $p \leftarrow (I - \delta\tau\, A)^{-1} p$, from two starts: the standard normal, and a small cloud at the inner end.

# %% mystnb={"image": {"alt": "Log axes: KL from the roll against the number of Langevin steps. From the standard normal it is below 0.1 nats after about 15 steps and then falls slowly; from the inner end it stays above 1 nat up to about 1,000 steps. After 10,000 steps both fall in parallel, along a dashed black line."}}
def cloud(axis, centre, var):  # N(centre, var I) on the cells of axis × axis
    p = np.exp(
        ((axis[:, None] - centre[0]) ** 2 + (axis - centre[1]) ** 2).ravel()
        / (-2 * var))
    return p / p.sum()


axis, log_pi, spacing = log_pi_on_grid(1.0, per_sd=2, half=2.7)
A = fokker_planck.generator(log_pi, spacing)
log_pi = (log_pi - np.log(np.exp(log_pi).sum())).ravel()
inner = roll.curve(torch.tensor([0.05]))[0].numpy()
laws = np.stack([cloud(axis, (0, 0), 1.0), cloud(axis, inner, s2)], axis=1)
tau = 0.0
rows = []
plan = [(5e-4, 10), (5e-3, 10), (0.05, 10)]
for dt, k in [pair for pair in plan for _ in range(4)] + [(0.25, 12)] * 10:
    laws, tau = fokker_planck.implicit_steps(laws, A, dt, k), tau + dt * k
    rows.append([
        tau / (s2 / 4),
        *(laws * (np.log(np.maximum(laws, 1e-300)) - log_pi[:, None])).sum(0)
    ])
rows = np.array(rows)
for step, normal_start, inner_start in rows[[3, 7, 11, 21]]:
    print(f"after {step:8,.0f} steps: KL from N(0, I) {normal_start:.3f}, "
          f"from the inner end {inner_start:.3f} nats")
ax = plots.curve(rows[:, 0], rows[:, 1], color=plots.Q, label="from N(0, I)")
plots.curve(rows[:, 0], rows[:, 2], ax, plots.ERROR, label="from the inner end")
line = rows[-1, 2] * np.exp(
    2 * (rows[-1, 0] - rows[-9:, 0]) * (s2 / 4) / times[2])
plots.truth(rows[-9:, 0], 1.3 * line, ax, label="rate 2μ₁", linestyle="--")
ax.set(xscale="log", yscale="log", xlabel="Langevin steps of s₀²/4",
       ylabel="KL(p(τ) ‖ roll), nats")
_ = ax.legend()

# %% [markdown]
# From the inner end, after sixteen hundred steps eight tenths of a nat are still to go. From $N(0, I)$ the picture is kinder, and misleading: after fifteen steps every point sits on the nearest arm, and
# the normal cloud covers all arms at once. What is wrong is how much lies where, less than a tenth of a nat. The tail is equally slow: both fall at the rate $2\mu_1$. A demonstration that starts from
# $N(0, I)$ on such data **hides that Langevin dynamics does not mix**. And each point on its own looks right: $\log p$ says so, the score says so. Both are local.

# %%
floor = evaluate.noise_floor(evaluate.energy_distance, roll, 2000)
distance = evaluate.energy_distance(plain, roll.sample(2000, seed=17)) / floor
print("240 steps from the inner end, as in the picture at the top:")
print(f"share off the roll {evaluate.outlier_share(plain, roll):.4f}, "
      f"energy distance / floor {distance:.0f}")
assert evaluate.outlier_share(plain, roll) < 0.02 and distance > 100

# %% [markdown]
# ## 9. Many levels instead of one
#
# At $\lambda = -2$ any start is forgotten within a few steps. At $\lambda = 8$ the picture is sharp, but points hardly move along the roll. So start at much noise and
# turn it down, with a few steps at every level. How many points go to each arm is settled early, at levels where that takes few steps. This is *annealed Langevin dynamics* (Song & Ermon 2019):
#
# $$ \begin{aligned}
# x &\leftarrow x + h_\lambda\, s(x, \lambda) + \sqrt{2 h_\lambda}\; \varepsilon, \quad \lambda \text{ rising}, \\
# h_\lambda &= c\, \big( \bar\alpha s_0^2 + 1 - \bar\alpha \big).
# \end{aligned} \tag{6.24} $$
#
# Between two levels the points are scaled by the ratio of the $\sqrt{\bar\alpha}$. We take 200 levels with one step each, $c = \tfrac14$, from $N(0, I)$. The last step leaves
# the bias (6.16) of $-0.07$ nats. Twenty MALA steps on the clean roll remove it. Each needs the score at two points, so it is 240 evaluations in all. Plain
# Langevin gets as many. We judge three sets of 4,000 points, each against its own true set.

# %%
levels = torch.linspace(-2, 8, 200, dtype=torch.float64)
floor = evaluate.noise_floor(evaluate.energy_distance, roll, 4000)
seeds = range(3)


def judge(name, sets, calls):
    rows = []
    for seed, x in enumerate(sets):
        distance = evaluate.energy_distance(
            x, roll.sample(4000, seed=999 + seed)) / floor
        rows.append((
            distance, roll.log_prob(x).mean().item() + H,
            evaluate.outlier_share(x, roll)
        ))
    mean = np.mean(rows, 0)
    spread = f"({min(rows)[0]:.1f} to {max(rows)[0]:.1f})"
    print(f"{name:20} {calls:5} {mean[0]:8.2f} {spread:13} {mean[1]:11.3f} "
          f"{mean[2]:11.4f}")
    return mean


noise = [torch.randn(4000, 2, dtype=torch.float64, generator=seeded(seed))
         for seed in seeds]
bare = [
    langevin.annealed(
        x, roll.score, levels, 0.25 * var_across(levels), seeded(10 + i))
    for i, x in enumerate(noise)
]
polished = [
    langevin.mala(x, roll.log_prob, roll.score, 0.5 * s2, 20, seeded(20 + i))[0]
    for i, x in enumerate(bare)
]
plain = langevin.ula(
    torch.cat(noise), roll.score, 0.25 * s2, 240, seeded(30)).split(4000)
print("points               calls   energy / floor      "
      "E log p + H   share off")
true = judge("true points", [roll.sample(4000, seed=seed) for seed in seeds], 0)
by_plain = judge("plain, from N(0, I)", plain, 240)
by_levels = judge("annealed", bare, 200)
best = judge("annealed, then MALA", polished, 240)

# %%
se = (roll.log_prob(roll.sample(12_000, seed=23)).std() / 12_000**0.5).item()
print(f"standard error of E log p + H with 12,000 points: {se:.3f}")
assert best[0] < 1.5 < by_plain[0] and abs(best[1]) < 4 * se
assert abs(by_levels[1] - langevin.ula_bias(s2, 0.25 * s2)) < 0.08
assert by_levels[1] < -4 * se

# %% [markdown]
# With 240 evaluations the samples are at the floor: as near to a true set as another true set is. The range in brackets is that of the three sets, and true points show how wide it is. Plain Langevin, with as many and from the kind
# start, is several times further away. Before MALA, annealing leaves what (6.16) says, and about half as much again for the noise of the last level.
#
# **With the network.** It has only a score, no density, so there is no MALA. Small last steps have to do: 180 levels, then 60 steps at the last level with $c = 0.05$.

# %%
slow = torch.cat([
    torch.linspace(-2, 8, 180, dtype=torch.float64),
    torch.full((60,), 8.0, dtype=torch.float64)
])
c = torch.cat([torch.full((180,), 0.25), torch.full((60,), 0.05)]).double()
nets = [
    langevin.annealed(x, learned, slow, c * var_across(slow), seeded(40 + i))
    for i, x in enumerate(noise)
]
by_net = judge("≈ published network", nets, 240)
assert by_net[0] < 2 and -0.15 < by_net[1] < 0

# %% [markdown]
# The network is at the floor too. Its points scatter a little: the last level still has noise, $1 - \bar\alpha$ is a sixteenth of $s_0^2$, and the
# last steps have their bias. Why stop at $\lambda = 8$? Section 1 found the network's score worst where the data are cleanest, and (6.7) hardly charged for it. We
# let true points of a level walk there, once with the exact score and once with the network's, with the same noise.

# %%
cost = {}
for log_snr in (8.0, 10.0):
    a, h = bar(log_snr), 0.2 * var_across(torch.tensor(log_snr)).item()
    x = ddpm.noised(
        roll.sample(8000, seed=50),
        torch.randn(8000, 2, dtype=torch.float64, generator=seeded(51)), a)
    exact_walk = langevin.ula(
        x, lambda y, a=a: roll.score(y, a), h, 30, seeded(52))
    net_walk = langevin.ula(x, lambda y, a=a: learned(y, a), h, 30, seeded(52))
    cost[log_snr], se = evaluate.mean_and_error(
        roll.log_prob(exact_walk, a) - roll.log_prob(net_walk, a))
    print(f"λ = {log_snr:2.0f}: the network's score lowers E log q by "
          f"{cost[log_snr]:.3f} ± {se:.3f} nats")
assert abs(cost[8.0]) < 0.015 and cost[10.0] > 3 * total

# %% [markdown]
# At $\lambda = 8$ the network does what the exact score does. At $\lambda = 10$ its error costs ten times what the whole network costs the bound. **Whether a score is good
# depends on what it is for:** the bound weighs its error by $1 - \bar\alpha$, and a walk that ends on clean data does not.
#
# Is that a good sampler? It took 240 calls, and a schedule of levels that knows the width of the data. The ancestral sampler of notebook 04 needs about a hundred. Its step takes a
# point of one level to the next one. A Langevin step moves points within a level, and so corrects the errors of the level before. What if a step did both? That is a question about what
# happens *between* two levels, and about differential equations.

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** Two scores have the same denoising loss at $\lambda = 10$, up to half a per cent. Are they equally good?
#
# <details><summary>Yes, the loss is the Fisher divergence.</summary>
#
# **No.** It is the Fisher divergence plus $C$, and at $\lambda = 10$ the constant is more than two hundred times all there is to learn.
#
# </details>
#
# <details><summary>One may be perfect and the other know nothing.</summary>
#
# **Yes.** $J$ itself is less than half a per cent of $C$. Subtract the floor (6.4), or compare with another $\hat s$ on the same noise.
#
# </details>
#
# <details><summary>Yes, because both have the same minimiser.</summary>
#
# **No.** Only the losses share a minimiser. How near each score is to it, the sum does not show.
#
# </details>
#
# **Question.** Samples by ULA have $\mathbb{E} \log p + H = +0.2$ nats. What is wrong?
#
# <details><summary>Nothing: their likelihood is higher than the data's.</summary>
#
# **No.** Typical points of the roll have a mean log density of $-H$. Points on the ridge have more, and are not typical.
#
# </details>
#
# <details><summary>The step is too large.</summary>
#
# **No.** A large step scatters the points (6.16), and the number falls below 0.
#
# </details>
#
# <details><summary>Too little noise is added, as with √h for √2h.</summary>
#
# **Yes.** The chain then runs at a lower temperature and crowds onto the ridge.
#
# </details>
#
# **Question.** MALA is exact for every step size. Why not take a very large one?
#
# <details><summary>It refuses nearly everything, and the points stand still.</summary>
#
# **Yes.** The law is right, but the chain does not move. Neither does it mix any faster along the roll.
#
# </details>
#
# <details><summary>The bias comes back.</summary>
#
# **No.** Detailed balance holds for every $h$.
#
# </details>
#
# <details><summary>The score becomes inaccurate.</summary>
#
# **No.** The score is a function of the point. It knows no step.
#
# </details>
#
# **Question.** Why does annealing need so few steps?
#
# <details><summary>It uses larger steps at the end.</summary>
#
# **No.** Its last steps are as small as plain Langevin's. Its first ones are large.
#
# </details>
#
# <details><summary>It starts from noise and not from a point.</summary>
#
# **No.** At the top both pictures started at one point. Section 8 started plain Langevin from $N(0, I)$, and its tail was as slow.
#
# </details>
#
# <details><summary>Where mass must move far, it moves at noise levels at which that is fast.</summary>
#
# **Yes.** The relaxation time is 1.3 at $\lambda = 2$ and 18.7 on the clean roll. The levels below only sharpen.
#
# </details>

# %% [markdown]
# ## Project: a corrector
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Put one Langevin step after each step of an ancestral or DDIM sampler (`samplers.py`), at the noise level that was just reached. Song et al. (2021) call it a predictor with a
# corrector. Does it help, when the calls are counted honestly?
#
# - A generator that yields the points after each pair of steps, with the step size $h_\lambda$ as a function of the level.
# - Energy distance over its floor, $\mathbb{E} \log p + H$ and the share off the roll, for 20, 50, 100 and 200 calls, three seeds, with the exact score and with the network.
# - The same number of calls without corrector beside it.
# - On Gaussian data, where every step is linear, mean and variance compared with their recursion.
# - One paragraph: which error does the corrector remove, and which does it add?

# %% [markdown]
# ## Recap
#
# - Denoising score matching is the Fisher divergence plus the denoiser's own error (6.3), (6.4). A Fisher divergence costs $\tfrac12(1 - \bar\alpha)$ nats per unit of $\lambda$ (6.7).
# - Implicit and sliced score matching need no noise, but derivatives (6.9), (6.10). Near the data they learn what denoising cannot see.
# - An unadjusted Langevin step of size $c\, s_0^2$ costs $\tfrac12 \big( 1/(1 - c/2) - 1 \big)$ nats (6.16). Accepting and refusing makes it exact (6.17).
# - The density obeys the Fokker–Planck equation (6.14). On a grid it is a walk with detailed balance (6.18), and its spectrum says how long to wait.
# - The KL falls at the rate $I$ (6.21), which is the denoiser's error once more (6.22).
# - Annealing turns fourteen thousand steps into two hundred (6.24).
# - How good a score is depends on its use: near the data the bound hardly charges for an error, Langevin dynamics does.
#
# | symbol | code | file |
# | --- | --- | --- |
# | $F(\hat s)$, (6.1) | `explicit_loss` | `score.py` |
# | (6.2) | `denoising_loss` | `score.py` |
# | (6.9), (6.10) | `implicit_loss`, `sliced_loss`, `sliced_loss_vr` | `score.py` |
# | $\nabla \cdot \hat s$ | `divergence`, `along` | `score.py` |
# | $C$, $J$ | `denoising_floor`, `score_energy` | `score.py` |
# | (6.11) | `x0_from_score`, `x0_cov_from_hessian` | `score.py` |
# | $\mathrm{err}(\lambda)$ | `error_at` | `exact.py` |
# | (6.13), (6.17) | `ula_step`, `mala_step`, `log_ratio` | `langevin.py` |
# | (6.15), (6.16) | `ula_variance`, `ula_bias` | `langevin.py` |
# | (6.24) | `annealed` | `langevin.py` |
# | $A$ | `generator` | `fokker_planck.py` |
# | (6.20) | `forward` | `fokker_planck.py` |
# | $1/\mu_1$ | `relaxation_times` | `fokker_planck.py` |
# | $I$ | `relative_fisher` | `fokker_planck.py` |
#
# **The way on.** Levels that are walked through one by one ask for a limit: infinitely many of them. Then the forward chain and its reverse are stochastic differential
# equations, a deterministic path has the same densities, and it gives $\log p(x)$ exactly. That is notebook 07.
#
# **References**
#
# - Efron (2011), *Tweedie's formula and selection bias*, [doi:10.1198/jasa.2011.tm11181](https://doi.org/10.1198/jasa.2011.tm11181)
# - Guo, Shamai, Verdú (2005), *Mutual information and minimum mean-square error in Gaussian channels*,
#   [arXiv:cs/0412108](https://arxiv.org/abs/cs/0412108)
# - Hyvärinen (2005), *Estimation of non-normalized statistical models by score matching*,
#   [jmlr.org/papers/v6/hyvarinen05a](https://jmlr.org/papers/v6/hyvarinen05a.html)
# - Kingma, Salimans, Poole, Ho (2021), *Variational diffusion models*, [arXiv:2107.00630](https://arxiv.org/abs/2107.00630)
# - Roberts, Tweedie (1996), *Exponential convergence of Langevin distributions and their discrete approximations*,
#   [doi:10.2307/3318418](https://doi.org/10.2307/3318418)
# - Song, Ermon (2019), *Generative modeling by estimating gradients of the data distribution*, [arXiv:1907.05600](https://arxiv.org/abs/1907.05600)
# - Song, Garg, Shi, Ermon (2019), *Sliced score matching*, [arXiv:1905.07088](https://arxiv.org/abs/1905.07088)
# - Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole (2021), *Score-based generative modeling through stochastic differential equations*,
#   [arXiv:2011.13456](https://arxiv.org/abs/2011.13456)
# - Stam (1959), *Some inequalities satisfied by the quantities of information of Fisher and Shannon*,
#   [doi:10.1016/S0019-9958(59)90348-1](https://doi.org/10.1016/S0019-9958(59)90348-1)
# - Vincent (2011), *A connection between score matching and denoising autoencoders*,
#   [doi:10.1162/NECO_a_00142](https://doi.org/10.1162/NECO_a_00142)
