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
# # Flow matching: is it something else?
#
# Newer papers train "flows": join noise and data by straight lines, learn the velocity, and follow it in a few steps. Is that another kind of model?
# On the roll we can say exactly what is new and what is not.
#
# **The question.** Is flow matching something else than diffusion, and what do straight paths buy?
#
# **Afterwards you can**
# - turn a velocity into a denoiser and back, and run a DDPM as a flow without training it again,
# - say what the loss of flow matching weighs, in the terms of the bound, and what its floor is,
# - tell a straight line from a straight flow, and measure the difference,
# - pair noise with data so that few steps are enough, and say what that costs with labels,
# - say how many calls of a network each way needs, after equal seconds of training.
#
# **Time** about 40 minutes to read, and 30 for the exercises, both estimates from a count of words,
# formulas and lines. **You need** notebooks 04 and 07.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import (
    checks, evaluate, exact, flow, likelihood, plots, pretrained, samplers, sde,
    training, widgets
)
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.nets import EpsNet

# %% [markdown]
# The exact denoiser of the roll, the published network of notebook 04, and a network that was trained as a flow, by
# `diffusion-edu train flow --data swiss-roll`.

# %%
plots.use_style()
roll, D = SwissRoll(), 2
H = roll.entropy()
ddpm_model, flow_model = pretrained.load("cosine"), pretrained.load("flow")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(n, seed):
    return torch.randn(n, D, dtype=torch.float64, generator=seeded(seed))


u = flow.velocity(sde.exact_x0_hat(roll))  # (τ, x) → the mean velocity, exact

# %% [markdown]
# This is where we are going. Left: straight lines from noise to data, joined at random. They cross. Right: the paths of the flow that these
# lines define on average. Paths of an ODE cannot cross, and they are not straight.

# %% mystnb={"image": {"alt": "Left, forty straight grey lines from a cloud of noise to the roll; they cross each other everywhere. Right, forty curves from the same noise to the roll, none of which cross; many begin towards the middle and then bend outwards to the nearest arm."}}
eps = normal(40, 1)
paths = torch.stack([x for _, x in flow.path(u, eps, 60, sde.heun)])
left, right = plots.axes_row(2, size=3.2)
straight = torch.stack([eps, roll.sample(40, 2)])
for ax, lines, title in (
        (left, straight, "lines, joined at random"),
        (right, paths, "paths of the flow")):
    ax.plot(lines[:, :, 0], lines[:, :, 1], color=plots.DATA, linewidth=0.8)
    plots.points(lines[0], ax, color=plots.Q, size=8)
    plots.points(lines[-1], ax, color=plots.MODEL, size=8, title=title, limit=3)

# %% [markdown]
# ## 1 Lines, and their mean velocity
#
# Draw a data point $x_0$ and a noise $\varepsilon \sim N(0, I)$, and go from one to the other at an even speed:
#
# $$ x_\tau = (1 - \tau)\, x_0 + \tau\, \varepsilon, \qquad 0 \le \tau \le 1, \qquad \frac{dx_\tau}{d\tau} = \varepsilon - x_0. \tag{10.1} $$
#
# Many lines pass through a point $x$ at $\tau$. The *velocity* of the flow is the mean of their slopes there,
#
# $$ u(\tau, x) = \mathbb{E}\big[ \varepsilon - x_0 \,\big|\, x_\tau = x \big]. \tag{10.2} $$
#
# *Claim.* The ODE $dx/d\tau = u(\tau, x)$ carries the law of the $x_\tau$ along: points that have the law of the data at $\tau = 0$ are noise at $\tau = 1$, and the
# other way round (Lipman et al. 2023; Liu et al. 2023, section 3.1).
#
# <details><summary>Proof: what flows in must flow out</summary>
#
# For any smooth function $\varphi$, $\frac{d}{d\tau} \mathbb{E}\,\varphi(x_\tau) = \mathbb{E}\big[\nabla \varphi(x_\tau) \cdot (\varepsilon - x_0)\big] = \mathbb{E}\big[\nabla \varphi(x_\tau) \cdot u(\tau, x_\tau)\big]$,
# by the tower rule. Points that move by $u$ have the same derivative. So the law $p_\tau$ solves $\partial p_\tau / \partial \tau = -\nabla \cdot (u\, p_\tau)$, the continuity equation, which is the Fokker–Planck
# equation of notebook 07 without noise.
#
# </details>
#
# A mean is learned by least squares, as ever since (0.7):
#
# $$ \mathbb{E}\,\big| \hat u(\tau, x_\tau) - (\varepsilon - x_0) \big|^2, \qquad \tau \text{ uniform in } [0, 1]. \tag{10.3} $$
#
# This is *conditional flow matching* (Lipman et al. 2023). Many texts run $\tau$ the other way, with the data at 1.
#
# **Predict first.** The loss of a network stops falling at 2.9. Is training broken?

# %%
tau = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:-1]
# E|x₀ − x̂₀|²/(D(1 − ᾱ))
error = exact.error_at(roll, 2 * ((1 - tau) / tau).log().clamp(-6, 7))
floor = torch.trapezoid(D * error / flow.scale(tau) ** 2, tau).item()
loss = training.flow_loss()
batches = [
    loss(flow_model, roll.sample(2000, 100 + k).float(), seeded(k))
    for k in range(20)
]
learned, se = evaluate.mean_and_error(
    torch.tensor([batch["loss"] for batch in batches]))
print(f"floor of the loss {floor:.3f},  the trained network's "
      f"≈ {learned:.2f} ± {se:.2f}")
assert abs(learned - floor) < 4 * se

# %% [markdown]
# It is not. The slopes of the lines through one point differ, and no function of the point can tell which it was. What is left is their variance. As $\varepsilon - x_0 = (x_\tau - x_0)/\tau$, it
# is $D\,m/\tau^2$ with $m = \mathbb{E}|x_0 - \hat x_0|^2 / D$ of the exact denoiser, and its mean over $\tau$ is the floor, without a network. The loss of a flow is as silent about
# its quality as the loss of a DDPM (notebook 04, section 6).
#
# ## 2 One prediction, five names
#
# Set $c = \sqrt{(1 - \tau)^2 + \tau^2}$. Then $x_\tau / c$ is a data point times one number plus noise times another, and the squares of the two add up to 1. It is the
# $x_t$ of a diffusion with
#
# $$ \mathrm{SNR} = \Big( \frac{1 - \tau}{\tau} \Big)^2, \qquad \lambda = 2 \log \frac{1 - \tau}{\tau}, \qquad x_\tau = c\, x_t. \tag{10.4} $$
#
# So $u$ is one more name for the one prediction of notebook 04:
#
# $$ \begin{aligned}
# \hat x_0 &= x_\tau - \tau\, u, & \hat\varepsilon &= x_\tau + (1 - \tau)\, u, \\
# u &= \frac{x_\tau - \hat x_0}{\tau} = \frac{\hat\varepsilon - x_\tau}{1 - \tau}, & u &= \frac{\hat v}{c} + \frac{2\tau - 1}{c^2}\, x_\tau.
# \end{aligned} \tag{10.5} $$
#
# *Check*, with the exact denoiser at three times:

# %%
x0, noise = roll.sample(500, 3), normal(500, 4)
for tau_k in (0.1, 0.5, 0.9):
    c, x = flow.scale(tau_k), flow.interpolate(x0, noise, tau_k)
    alpha_bar = sde.sigmoid(flow.log_snr_at(tau_k))
    x0_hat = roll.x0_mean(x / c, alpha_bar)
    eps_hat = roll.eps_mean(x / c, alpha_bar)
    v_hat = alpha_bar**0.5 * eps_hat - (1 - alpha_bar) ** 0.5 * x0_hat
    for other in (
            flow.u_from_x0(x, x0_hat, tau_k),
            flow.u_from_eps(x, eps_hat, tau_k),
            v_hat / c + (2 * tau_k - 1) / c**2 * x):
        torch.testing.assert_close(other, u(tau_k, x), rtol=1e-6, atol=1e-6)
print("four routes to u agree to 1e-6")

# %% [markdown]
# **Exercise: from noise to velocity.** *6 minutes, easy.*
#
# A network has answered $\hat\varepsilon$ at the point $x_t$ of a diffusion, with $\bar\alpha$ given. Return the point $x_\tau$ that belongs to it by (10.4), and the velocity $u$ there.

# %%
def my_velocity(x_t, eps_hat, alpha_bar):
    """x_τ and u, both like x_t."""
    return ...


checks.velocity(my_velocity)

# %% [markdown]
# <details><summary>Hint 1: from noise to velocity</summary>
#
# SNR is $\bar\alpha / (1 - \bar\alpha)$. Its root is the ratio $(1 - \tau)/\tau$. Solve for $\tau$.
#
# </details>
#
# <details><summary>Hint 2: from noise to velocity</summary>
#
# $\tau = \sqrt{1 - \bar\alpha} / (\sqrt{\bar\alpha} + \sqrt{1 - \bar\alpha})$. The point is multiplied by $c$ before (10.5).
#
# </details>
#
# <details><summary>Solution: from noise to velocity</summary>
#
# ```python
# def my_velocity(x_t, eps_hat, alpha_bar):
#     """x_τ and u, both like x_t."""
#     signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
#     tau = noise / (signal + noise)
#     x = ((1 - tau) ** 2 + tau**2) ** 0.5 * x_t
#     return x, (eps_hat - x) / (1 - tau)
# ```
#
# </details>

# %% [markdown]
# Now take one step of Euler from $\tau$ to $\tau' < \tau$. By (10.5)
#
# $$ x_\tau + (\tau' - \tau)\, u = (1 - \tau')\, \hat x_0 + \tau'\, \hat\varepsilon: \tag{10.6} $$
#
# the same mixture as (10.1), with the two guesses in the place of $x_0$ and $\varepsilon$. Divided by $c'$ it is (7.8). **A step of Euler on the flow is a step of DDIM** between
# the same two noise levels, exactly (Gao et al. 2025).

# %% [markdown]
# **Exercise: a step of Euler.** *5 minutes, easy.*
#
# Write the step from $\tau$ to $\tau'$, `tau_next`, with a velocity `u(tau, x)` that can be asked. Then look at it again with (10.6) in mind.

# %%
def my_flow_step(u, tau, tau_next, x):
    """x at τ′, like x."""
    return ...


checks.flow_step(my_flow_step)

# %% [markdown]
# <details><summary>Hint 1: a step of Euler</summary>
#
# The velocity is $dx/d\tau$, and $\tau$ falls on the way to the data.
#
# </details>
#
# <details><summary>Hint 2: a step of Euler</summary>
#
# Euler asks for the slope where he stands, at `tau`.
#
# </details>
#
# <details><summary>Solution: a step of Euler</summary>
#
# ```python
# def my_flow_step(u, tau, tau_next, x):
#     """x at τ′, like x."""
#     return x + (tau_next - tau) * u(tau, x)
# ```
#
# </details>

# %%
steps = flow.even_tau(8)  # τ = 1/9, …, 8/9
x_t = normal(1000, 6)
by_ddim = samplers.sample(
    sde.at_log_snr(sde.exact_x0_hat(roll), steps), steps, x_t,
    step=samplers.first_order(samplers.ddim))
x = flow.scale(8 / 9) * x_t
for k in range(8, 0, -1):
    x = sde.euler(u, k / 9, -1 / 9, x)
print("eight steps of Euler and eight of DDIM differ by at most "
      f"{(x - by_ddim).abs().max():.0e}")
assert (x - by_ddim).abs().max() < 1e-10

# %% [markdown]
# So a DDPM *is* a flow. Here is the published network, trained as a DDPM on the cosine schedule, asked for its velocity and run by Euler in even steps of $\tau$, beside DDIM
# in even steps of $t$:

# %%
x_T, true_x = normal(5000, 7).float(), roll.sample(5000, 8)
distance_floor = evaluate.noise_floor(evaluate.energy_distance, roll, 5000)
u_ddpm = flow.velocity_of(ddpm_model)
for calls in (16, 64):
    ways = {"flow": flow.arrive(u_ddpm, x_T, calls)}
    ways["DDIM"] = samplers.sample(
        ddpm_model.x0_hat, ddpm_model.schedule, x_T,
        step=samplers.first_order(samplers.ddim), steps=calls)
    for name, x in ways.items():
        distance = evaluate.energy_distance(x, true_x) / distance_floor
        print(f"{calls} calls, as {name}: energy distance {distance:.1f} "
              "floors, off the roll "
              f"{100 * evaluate.outlier_share(x, roll):.1f} %")

# %% [markdown]
# No retraining, and about the same samples: the grid differs, the function does not.
#
# **Where tutorials slip.** The number of steps is often given as a property of the model, 50 for a flow and 1,000 for a diffusion. It belongs to the sampler.
#
# ## 3 What the loss weighs
#
# Then what is new is the *loss*. Write (10.3) as an integral over $\lambda$. By (10.4) $d\tau = -\tfrac12 \tau (1 - \tau)\, d\lambda$, by (10.5) $\hat u - (\varepsilon - x_0) = (\hat\varepsilon - \varepsilon)/(1 - \tau)$, and
# $\tau / (1 - \tau) = e^{-\lambda/2}$. Together:
#
# $$ \int_0^1 \mathbb{E}\big|\hat u - (\varepsilon - x_0)\big|^2\, d\tau = \int e^{-\lambda/2}\; \tfrac12\, \mathbb{E}\big|\hat\varepsilon - \varepsilon\big|^2\; d\lambda. \tag{10.7} $$
#
# Behind $e^{-\lambda/2}$ stands the integrand of the bound (6.6). So flow matching is the bound, weighted by $1/\sqrt{\mathrm{SNR}}$ (Kingma & Gao 2023). The simple loss of DDPM has
# a weight too: how often its schedule passes by each $\lambda$.

# %% mystnb={"image": {"alt": "The weight relative to the bound against log SNR on a logarithmic axis. The bound is the horizontal line one. Flow matching is a straight falling line, from twenty at log SNR minus 6 to one hundredth at 10. The simple loss with the cosine schedule is a hump with its top at 0, which falls on both sides."}}
lam = torch.linspace(-6, 10, 400, dtype=torch.float64)
# of λ when t is uniform: tan(πt/2T) = e^(−λ/2)
cosine_density = 0.5 / math.pi / torch.cosh(lam / 2)
simple = 2 * cosine_density  # loss 1 = 2 · ½|ε − ε̂|²
ax = plots.plt.subplots(figsize=(6.4, 3))[1]
plots.truth(lam, torch.ones(400), ax, label="the bound")
plots.curve(lam, (-lam / 2).exp(), ax, color=plots.MODEL, label="flow matching")
plots.curve(lam, simple, ax, color=plots.Q, label="simple loss, cosine")
ax.set(xlabel="log SNR λ", ylabel="weight of ½|ε − ε̂|²", yscale="log")
_ = ax.legend()
lhs = torch.trapezoid(D * error / flow.scale(tau) ** 2, tau)
wide = torch.linspace(-14, 14, 4001, dtype=torch.float64)
err = exact.error_at(roll, wide.clamp(-12, 14))
rhs = torch.trapezoid(
    (-wide / 2).exp() * 0.5 * D * wide.sigmoid() * err, wide)
print(f"(10.7) with the exact denoiser: left {lhs:.3f}, right {rhs:.3f}")
assert abs(lhs / rhs - 1) < 2e-3

# %% [markdown]
# Towards noise the two part. $\hat\varepsilon$ is easy there and the simple loss gives it no weight, so the network's $\hat x_0$ at the first step back means nothing (notebook 05). Flow matching asks for $u$,
# and at $\tau = 1$ that is $\varepsilon - \mathbb{E}\,x_0$: the mean of the data has to be learned. A sampler of few steps begins there. *Check*: tell the DDPM this one answer. The mean of the roll is 0, so $u(1, x) = x$.

# %%
def told(tau, x):
    return x if tau == 1 else u_ddpm(tau, x)


for calls in (2, 4, 8):
    fields = {
        "DDPM": u_ddpm, "DDPM, told": told, "flow": flow.velocity_of(flow_model)
    }
    ends = {name: flow.arrive(u, x_T, calls) for name, u in fields.items()}
    far = {name: evaluate.energy_distance(x, true_x) / distance_floor
           for name, x in ends.items()}
    print(f"{calls} calls, floors: "
          + ",  ".join(f"{name} {d:.1f}" for name, d in far.items()))
    assert far["DDPM, told"] < 1.1 * far["flow"]
    assert far["DDPM"] > 1.5 * far["flow"]

# %% [markdown]
# With that one answer the DDPM is as good as the flow. The whole difference comes from pure noise.

# %% [markdown]
# **Exercise: the weight of a loss.** *10 minutes, medium.*
#
# Generalise (10.7). A flow is trained on $|\hat u - u|^2$ with $\tau$ drawn from a density $\pi(\tau)$, `density` at the times `tau` (n,). Return the weight of $\tfrac12 \mathbb{E}|\hat\varepsilon - \varepsilon|^2\, d\lambda$ at each, (n,).

# %%
def my_loss_weight(tau, density):
    """The weight relative to the bound, (n,)."""
    return ...


checks.loss_weight(my_loss_weight)

# %% [markdown]
# <details><summary>Hint 1: the weight of a loss</summary>
#
# The mean over $\tau$ is $\int \pi(\tau) \dots d\tau$. Everything else is as in (10.7).
#
# </details>
#
# <details><summary>Hint 2: the weight of a loss</summary>
#
# With $\pi = 1$ it must be $e^{-\lambda/2} = \tau/(1 - \tau)$.
#
# </details>
#
# <details><summary>Solution: the weight of a loss</summary>
#
# ```python
# def my_loss_weight(tau, density):
#     """The weight relative to the bound, (n,)."""
#     return density * tau / (1 - tau)
# ```
#
# </details>

# %% [markdown]
# What does this weight cost in nats? The likelihood of a flow needs nothing new. Its ODE is (7.6) in another clock, so (7.11) scores it. Both networks have the same size and were trained for
# 16,000 steps, one training each. (The DDPM drew half of its $t$ evenly in $\lambda$ above $-2$, so near the data it had more weight than the curve shows.)

# %%
x, gaps = roll.sample(2000, 9), {}
for name, model in {
        "DDPM, simple loss": ddpm_model, "flow": flow_model}.items():
    field = sde.probability_flow(sde.learned_score(model))
    clean = (1 - 1e-6) * model.schedule.log_snr[1].item()
    ode = likelihood.log_prob_ode(
        likelihood.with_divergence(field), x, clean, -8.0, rtol=1e-5)
    gaps[name] = roll.log_prob(x) - ode.log_p
    print("{:18} −log p − H ≈ {:.4f} ± {:.4f} nats".format(
              name, *evaluate.mean_and_error(gaps[name])))
    assert gaps[name].mean() < 0.03
difference = evaluate.mean_and_error(gaps["flow"] - gaps["DDPM, simple loss"])
print("flow − DDPM, paired ≈ {:.4f} ± {:.4f} nats".format(*difference))

# %% [markdown]
# Both are about a hundredth of a nat from the truth. The weight of a loss says where a network is *pushed* to be good. A network that is large enough and trained for long is good
# everywhere, and then the weight hardly matters. In section 6, after thirty seconds, we look again with three seeds.
#
# ## 4 Straight lines, bent paths
#
# Euler is exact on a straight path that is passed at an even speed. The lines (10.1) are straight, and that is the usual argument for flow matching. But the sampler does not follow the lines, it follows
# $u$. How straight are its paths? Liu et al. (2023) measure
#
# $$ S = \int_0^1 \mathbb{E}\, \big| u(\tau, x_\tau) - (\varepsilon - x_0) \big|^2\, d\tau \tag{10.8} $$
#
# along the paths of the flow, where $x_0$ is now the end of the path that began at $\varepsilon$. $S = 0$ means that one step is exact. **Predict first:** the same flow can be drawn as $x_\tau$ or as $x_t = x_\tau / c$, at the angle
# $\phi = \arctan \tau/(1 - \tau)$. Which picture is straighter?

# %% mystnb={"image": {"alt": "Two panels with the same twenty-five paths from noise to the roll. Left, as x of tau: the paths run in towards the centre and out again, in hooks. Right, as x of t: nearly straight short strokes from the noise to the nearest arm."}}
eps = normal(2000, 10)
along = list(flow.path(u, eps, 60, sde.heun))
taus = torch.tensor([k for k, _ in along], dtype=torch.float64)
x_tau = torch.stack([x for _, x in along])
x_t = x_tau / flow.scale(taus)[:, None, None]
angle = torch.atan2(taus, 1 - taus) / (math.pi / 2)
for name, clock, points in (
        ("x_τ against τ", taus, x_tau), ("x_t against φ", angle, x_t)):
    h, moved, chord = -clock.diff(), -points.diff(dim=0), points[0] - points[-1]
    S = ((moved / h[:, None, None] - chord).square().sum(-1).mean(-1) * h).sum()
    longer = moved.norm(dim=-1).sum() / chord.norm(dim=-1).sum()
    print(f"{name}: S = {S:.2f}, length {longer:.2f} chords, standard "
          f"deviation half way {points[30].std():.2f}")
for ax, points, title in zip(
        plots.axes_row(2, size=3.2), (x_tau, x_t), ("x_τ", "x_t"), strict=True):
    ax.plot(
        points[:, :25, 0], points[:, :25, 1], color=plots.MODEL, linewidth=0.9)
    plots.points(
        points[-1, :25], ax, color=plots.MODEL, size=8, title=title, limit=3)
assert flow.straightness(u, eps, 60, sde.heun) > 3 * S

# %% [markdown]
# The linear path is the *crooked* one. Half way the cloud of $x_\tau$ has shrunk to 0.7 of its width, because noise and data partly cancel there, and then it is blown up again. Divided by $c$ the
# same flow is four times straighter, with paths that are hardly longer than their chords.
#
# **Where tutorials slip.** "The path of the VP diffusion is curved, that of flow matching is straight". What is straight is a line between one noise and
# one data point, and no sampler travels on it.
#
# And straightness in a drawing does not say how many calls are needed. Euler in $\tau$ is DDIM on another grid, and in section 2 the two needed about as many.
#
# Try it. Choose the number of steps. **Predict first:** where does a single step end? Then let the lines go to the flow's own ends, which section 5 makes use of.

# %%
widgets.flow_steps(SwissRoll(nodes=256), steps=4)

# %% [markdown]
# ## 5 Other pairs
#
# Nothing in (10.1) to (10.6) asked that $x_0$ and $\varepsilon$ be independent. Any law of the *pair* with the right marginals gives a flow from noise to data. If lines do not cross, the velocity is the slope of the one
# line through each point, the floor of the loss is 0, and one step of Euler is exact. (The score is then no longer $-\hat\varepsilon/\tau$: that was Bayes' rule for independent pairs.)
#
# Two ways to better pairs.
#
# - *Minibatch optimal transport*: within each batch, put the $\varepsilon$ in the order with the least $\sum |\varepsilon - x_0|^2$ (Pooladian et al. 2023; Tong et al. 2024).
# - *Rectified flow*: run a trained flow from many $\varepsilon$, and take each with its own end as a pair. Then train again (Liu et al. 2023).

# %%
data, noise = roll.sample(4096, 11), normal(4096, 12)
own = flow.arrive(u, noise[:2048], 60, sde.heun)
rows = {
    "independent": noise - data,
    "optimal in chunks of 16": flow.ot_pairs(data, noise, 16) - data,
    "optimal in chunks of 64": flow.ot_pairs(data, noise, 64) - data,
    "optimal in chunks of 256": flow.ot_pairs(data, noise, 256) - data,
    "the exact flow's own ends": noise[:2048] - own,
    "… and their best order": flow.ot_pairs(own, noise[:2048], 2048) - own,
}
for name, gap in rows.items():
    print(f"{name:28} E|ε − x₀|² = {gap.square().sum(-1).mean():.3f}")
assert (rows["the exact flow's own ends"].square().mean()
        < 1.01 * rows["… and their best order"].square().mean())

# %% [markdown]
# Small chunks come a long way, and a surprise stands in the last two rows: the flow of *independent* pairs already joins noise and data almost as cheaply as any map could. What rectifying can gain here is
# speed along the path, and not better pairs.

# %% [markdown]
# **Exercise: pairs of least cost.** *10 minutes, medium.*
#
# In one dimension no assignment problem has to be solved. Return `eps` (n,) in the order in which $\sum |\varepsilon_i - x_{0,i}|^2$ is least, for data `x0` (n,).

# %%
def my_pairs(x0, eps):
    """The noise in its best order, (n,)."""
    return ...


checks.pairs(my_pairs)

# %% [markdown]
# <details><summary>Hint 1: pairs of least cost</summary>
#
# Take two data points and two noises. When does exchanging the noises help?
#
# </details>
#
# <details><summary>Hint 2: pairs of least cost</summary>
#
# The smallest goes to the smallest. `x0.argsort().argsort()` are the ranks of the data.
#
# </details>
#
# <details><summary>Solution: pairs of least cost</summary>
#
# ```python
# def my_pairs(x0, eps):
#     """The noise in its best order, (n,)."""
#     return eps.sort().values[x0.argsort().argsort()]
# ```
#
# </details>

# %% [markdown]
# **What optimal pairs cost with labels.** Now let each data point have a label $y$, its third of the roll, and pair within batches as before, whatever the labels. A conditional flow learns to carry
# $q(\varepsilon | y)$, the noise that the assignment gives to label $y$, to $p(x | y)$. But one samples with $\varepsilon \sim N(0, I)$. A flow is one-to-one, and a KL divergence does not change
# under a one-to-one map. So the samples of a *perfect* network miss $p(x|y)$ by exactly
#
# $$ \mathrm{KL}\big( N(0, I) \,\|\, q(\varepsilon | y) \big). \tag{10.9} $$
#
# A histogram of ten by ten cells, each with a hundredth of $N(0, I)$, gives a number that is not above it. A cell with fewer than three points is counted as if it had three:

# %%
labelled, place = roll.sample_with_u(102_400, seed=13)
label, drawn = (3 * place).long().clamp(max=2), normal(102_400, 14)
borders = torch.distributions.Normal(0.0, 1.0).icdf(
    torch.linspace(0, 1, 11)[1:-1])
borders = torch.cat(
    [torch.tensor([-9.0]), borders, torch.tensor([9.0])]).double()


def at_least(noise):
    share = torch.histogramdd(noise, bins=[borders, borders])[0] / len(noise)
    return -(100 * share.clamp(min=3 / len(noise))).log().mean().item()


paired = flow.ot_pairs(labelled, drawn, 64)
by_label = {
    k: flow.ot_pairs(labelled[label == k], drawn[label == k], 64)
    for k in range(3)
}
for k, name in enumerate(("inner", "middle", "outer")):
    print(f"{name:7} third: pairs across labels at least "
          f"{at_least(paired[label == k]):.2f} nats off, within the label "
          f"{at_least(by_label[k]):.2f}")
    assert at_least(paired[label == k]) > 1 > 0.02 > at_least(by_label[k])

# %% [markdown]
# Nats, not hundredths. The remedy is to pair within each label. With a label for every picture, a caption say, there is nobody to pair with, and minibatch transport has to go.
#
# **One step.** Rectify the published flow: 20,000 pairs of its own, and 2,000 steps on them. One training.

# %%
start = torch.randn(20_000, D, generator=seeded(15))
pairs = torch.cat(
    [flow.arrive(flow.velocity_of(flow_model), start, 40, sde.heun), start],
    dim=1)
torch.manual_seed(0)
schedule = flow.even_tau(1000)
trainer = training.Trainer(
    DDPM(EpsNet(D, schedule), schedule, D), training.flow_loss(), pairs,
    steps=2000)
history = [terms["loss"].item() for _, terms in trainer.run(progress=False)]
rectified = trainer.ema.requires_grad_(False)
print(f"loss of the last 100 steps ≈ {sum(history[-100:]) / 100:.4f}; "
      f"with independent pairs the floor was {floor:.2f}")
for calls in (1, 2, 8):
    for name, model in {"flow": flow_model, "rectified": rectified}.items():
        x = flow.arrive(flow.velocity_of(model), x_T, calls)
        distance = evaluate.energy_distance(x, true_x) / distance_floor
        print(f"{calls} calls, {name:9}: energy distance ≈ {distance:6.1f} "
              "floors, off the roll "
              f"≈ {100 * evaluate.outlier_share(x, roll):4.1f} %")
assert sum(history[-100:]) / 100 < 0.05 * floor

# %% mystnb={"image": {"alt": "Left, five thousand points that the flow makes in one step: a small blob at the centre of the roll. Right, those of the rectified network in one step: the whole roll."}}
shown = {"flow, one step": flow_model, "rectified, one step": rectified}
for ax, (name, model) in zip(
        plots.axes_row(2, size=3), shown.items(), strict=True):
    plots.points(
        flow.arrive(flow.velocity_of(model), x_T[:3000], 1), ax,
        color=plots.MODEL, title=name)

# %% [markdown]
# One call. The flow of independent pairs answers with the mean of the data, as (10.2) says it must at $\tau = 1$. The rectified network was told where each noise goes. One in ten of its points still falls beside the roll.
#
# ## 6 Equal seconds
#
# Which of all these reaches the truth with the fewest calls? Six trainings, each for thirty seconds of one core, three seeds, by `python tools/bench/flows.py`. "rectified, exact" learns the pairs that the *exact* flow makes, "rectified, own" those of the network "flow". The DDPM has the library's default loss.

# %%
NETS = ("ddpm", "flow", "ot 512", "ot 64", "rectified, exact", "rectified, own")
table = pretrained.table("flow-nets")
print(f"{'':18}steps         S   E|ε − x₀|²   −log p − H of three seeds")
for net in NETS:
    mine = [row for row in table if row["net"] == net]
    S, cost, gap = (
        torch.tensor([float(row[key]) for row in mine])
        for key in ("straightness", "transport", "gap"))
    steps = sum(int(row["steps"]) for row in mine) // len(mine)
    print(f"{net:16} {steps:6,} {S.mean():9.4f} {cost.mean():12.4f} "
          f"{gap.mean():12.4f}, {gap.min():.4f} … {gap.max():.4f}")

# %% [markdown]
# "rectified" paths are straight, $S = 0.0001$, and those of the optimal pairs nearly so. The last column says what each training is worth in nats, the mean and the range. Now the samples:

# %%
CALLS = (1, 2, 4, 8, 16, 32, 64)
found = {}
for row in pretrained.table("flows"):
    found.setdefault(
        (row["net"], row["sampler"], int(row["calls"])), []
    ).append([float(row[key]) for key in ("energy", "log_p", "off")])
SHOWN = [
    ("ddpm", way) for way in ("ancestral", "ancestral-2m", "ddim", "euler")
]
SHOWN += [("flow", "euler"), ("flow", "heun")]
SHOWN += [(net, "euler")
          for net in ("ot 512", "ot 64", "rectified, exact", "rectified, own")]
mean = {key: torch.tensor(rows).mean(0) for key, rows in found.items()}


def short(value):
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


print("energy distance in floors / per cent off (true points 0.1), "
      "mean of three seeds")
print(f"{'calls':24}" + "".join(f"{n:<8}" for n in CALLS))
for net, way in SHOWN:
    cells = [mean.get((net, way, n)) for n in CALLS]
    print(f"{net + ', ' + way:24}" + "".join(
              ("" if c is None else f"{short(c[0])}/{short(100 * c[2])}").ljust(
                  8) for c in cells))

# %% [markdown]
# How many calls are enough? Ask the first column alone, and then both:

# %%
def calls_to(net, way, energy, off):
    """The first number of calls with an energy distance and a share off that
    are no larger."""
    rows = {n: mean[net, way, n] for n in CALLS if (net, way, n) in mean}
    good = [n for n, row in rows.items() if row[0] <= energy and row[2] <= off]
    return good[0] if good else None


print("calls until the energy distance is 2 floors, and until at most 2 % "
      "are off as well")
for net, way in SHOWN:
    print(f"{net + ', ' + way:24}{calls_to(net, way, 2, 1)!s:>18}"
          f"{calls_to(net, way, 2, 0.02)!s:>30}")
assert calls_to("rectified, own", "euler", 2, 1) == 1
assert calls_to("ot 64", "euler", 2, 1) == 2
assert calls_to("flow", "euler", 2, 1) == 16
assert calls_to("ddpm", "ddim", 2, 1) == 32
assert calls_to("ddpm", "ancestral-2m", 2, 0.02) == 16
assert calls_to("ot 512", "euler", 2, 1) is None

# %% mystnb={"image": {"alt": "Two panels against the number of calls, 1 to 64, on logarithmic axes, for seven networks and samplers. Left, the energy distance over its floor: the rectified network lies in the grey band of true sets from one call on, optimal pairs of 64 from two, the others come down into it between eight and thirty-two calls; optimal pairs of 512 stay at four. Right, the share off the roll falls for all but the last."}}
axes = plots.plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")[1]
COLOURS = [
    plots.DATA, plots.Q, plots.EXTRA[0], None, plots.MODEL, None,
    plots.EXTRA[1], plots.EXTRA[2], plots.ERROR, plots.TRUTH
]
for (net, way), colour in zip(SHOWN, COLOURS, strict=True):
    if colour is not None:
        rows = torch.stack([mean[net, way, n] for n in CALLS])
        for ax, column in zip(axes, (0, 2), strict=True):
            plots.curve(
                CALLS, rows[:, column].clamp(min=1e-4), ax, color=colour,
                label=f"{net}, {way}", marker="o", markersize=3)
for ax, label in zip(
        axes, ("energy distance / floor", "share off the roll"), strict=True):
    ax.set(xlabel="calls of the network", ylabel=label, xscale="log",
           yscale="log", xticks=CALLS, xticklabels=CALLS)
    ax.minorticks_off()
axes[0].axhspan(0.4, 2, color=plots.TRUTH, alpha=0.1)
_ = axes[0].figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %% [markdown]
# (Heun takes one call more than the head of its column says.)
#
# - **The flow of independent pairs and the DDPM are the same object.** Samplers of first order need 16 calls on the flow (Euler) and 32 on the DDPM (DDIM, Euler). From two to sixteen calls the DDPM is the worse one, for want of
#   the one answer of section 3.
# - **The sampler counts for more than the path.** The DDPM with `ancestral-2m` is at two floors with 8 calls, with DDIM it needs 32.
# - **Pairs count most.** Chunks of 64 reach two floors in two calls, rectified networks in one. What it costs stands in the first table: the network's own pairs carry its own mistakes along, about a hundredth of a nat, and rectifying begins
#   with a training that is not counted in the thirty seconds.
# - **The assignment has its price too.** With chunks of 512 it eats nine tenths of the seconds. Better pairs, and a network that has hardly begun: a nat from the truth.
# - **One column is not enough.** With few calls the energy distance is at its floor while some per cent of the points lie off the roll. By both columns the DDPM's sampler of second order is as quick as the optimal pairs, and the
#   exact flow's pairs win with four.
#
#
# On the command line a flow is one more model:
#
# ```
# diffusion-edu train flow --data swiss-roll --out runs/flow
# diffusion-edu sample runs/flow --n 10000 --out x.npy --sample-steps 16
# diffusion-edu evaluate runs/flow --ode
# ```
#
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** The loss of a flow has stopped at 2.86. How good is the network?
#
# <details><summary>Bad: the squared error is larger than the variance of the data.</summary>
#
# **No.** Most of it is the variance of the slopes of the lines that cross in a point.
#
# </details>
#
# <details><summary>It cannot be told from this number alone.</summary>
#
# **Yes.** The floor of this data set is about 2.86. Only the excess over it says something, and it is small beside the noise of a batch.
#
# </details>
#
# <details><summary>Perfect: lower is impossible.</summary>
#
# **No.** A batch may lie below the floor by chance, and a network above it by an amount that no plot shows.
#
# </details>
#
# **Question.** A paper says that a flow needs 50 steps where diffusion needs 1,000. What made the difference?
#
# <details><summary>The straight path.</summary>
#
# **No.** With the same network Euler on the flow and DDIM are the same step (10.6).
#
# </details>
#
# <details><summary>Mostly the sampler that each is run with.</summary>
#
# **Yes.** A thousand steps is the ancestral sampler with one step for each $t$. The same network by DDIM, or by a sampler of second order, needs no more than the flow.
#
# </details>
#
# <details><summary>The loss.</summary>
#
# **No.** It matters with few calls, through one answer at pure noise (section 3).
#
# </details>
#
# **Question.** After rectifying, the loss falls to nearly zero. What does the flow's likelihood do?
#
# <details><summary>It gets better: the network knows every path.</summary>
#
# **No.** It learned the pairs of another network, or of a solver. Their mistakes are its data now.
#
# </details>
#
# <details><summary>It cannot get better than that of the pairs it was trained on.</summary>
#
# **Yes.** Rectifying buys calls, not nats. The table of section 6 has both.
#
# </details>
#
# <details><summary>It is no longer defined.</summary>
#
# **No.** The ODE is as good an ODE as before, and (7.11) applies.
#
# </details>

# %% [markdown]
# ## Project: How far can pairs go?
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Minibatch transport with chunks of 64 costs little and already saves calls. Find out how its gain depends on the chunk, the batch and the dimension.
#
# - $\mathbb{E}|\varepsilon - x_0|^2$ and the seconds of the assignment against the chunk, from 8 to 1,024.
# - Networks for three chunks at equal seconds, three seeds, with the calls to the floor.
# - The same costs for scikit-learn's digits in 64 dimensions: how much of the independent cost is left with a chunk of 64, and why?
# - One sentence for someone who wants to train on a million captioned pictures.

# %% [markdown]
# ## Recap
#
# - The velocity (10.2) is the denoiser in other words (10.5). A DDPM runs as a flow with no retraining, and Euler is DDIM (10.6).
# - The loss of flow matching is the bound weighted by $1/\sqrt{\mathrm{SNR}}$ (10.7). Its floor is not zero.
# - Straight lines do not make straight paths. Drawn as $x_t$ the same flow is four times straighter than as $x_\tau$ (10.8).
# - Pairs make the difference: with optimal pairs or a flow's own ends, one to four calls are enough. Across labels, optimal pairs cost nats (10.9).
#
# | symbol | code | file |
# | --- | --- | --- |
# | $x_\tau$, $c$, $\lambda(\tau)$ | `interpolate`, `scale`, `log_snr_at`, `tau_at` | `flow.py` |
# | $u$ from $\hat x_0$, $\hat\varepsilon$, and back (10.5) | `u_from_x0`, `u_from_eps`, `x0_from_u`, `eps_from_u` | `flow.py` |
# | $u(\tau, x)$ of a denoiser, of a network | `velocity`, `velocity_of` | `flow.py` |
# | from noise to data in steps | `path`, `arrive`, `even_tau` | `flow.py` |
# | the loss (10.3) | `flow_loss` | `training/losses.py` |
# | $S$ (10.8) | `straightness` | `flow.py` |
# | pairs | `ot_pairs` | `flow.py` |
#
# **The way on.** A flow carries noise to data of the same dimension. Images have many dimensions and little in most of them. The next notebook puts a diffusion behind an autoencoder.
#
# **References**
#
# - Gao, Hoogeboom, Heek, De Bortoli, Murphy, Salimans (2025), *Diffusion meets flow matching: two sides of the same coin*,
#   [diffusionflow.github.io](https://diffusionflow.github.io/)
# - Kingma, Gao (2023), *Understanding diffusion objectives as the ELBO with simple data augmentation*, [arXiv:2303.00848](https://arxiv.org/abs/2303.00848)
# - Lipman, Chen, Ben-Hamu, Nickel, Le (2023), *Flow matching for generative modeling*, [arXiv:2210.02747](https://arxiv.org/abs/2210.02747)
# - Liu, Gong, Liu (2023), *Flow straight and fast: learning to generate and transfer data with rectified flow*, [arXiv:2209.03003](https://arxiv.org/abs/2209.03003)
# - Pooladian, Ben-Hamu, Domingo-Enrich, Amos, Lipman, Chen (2023), *Multisample flow matching: straightening flows with minibatch couplings*,
#   [arXiv:2304.14772](https://arxiv.org/abs/2304.14772)
# - Tong, Fatras, Malkin, Huguet, Zhang, Rector-Brooks, Wolf, Bengio (2024), *Improving and generalizing flow-based generative models with minibatch optimal transport*,
#   [arXiv:2302.00482](https://arxiv.org/abs/2302.00482)
