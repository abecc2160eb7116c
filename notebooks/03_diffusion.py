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
# # Diffusion is a hierarchical VAE whose q is fixed to noise
#
# Notebook 02 stacked latents, $x \to z_1 \to \dots \to z_T$, learned an encoder for each level, and scored the whole chain
# with one function, `bound`. Now nothing is learned in the encoder. Each level adds a little Gaussian noise.
#
# **The question.** What if $q$ is fixed to noise? How many nats does the bound then lose, and where?
#
# **Afterwards you can**
# - name the three restrictions that turn a hierarchical VAE into a diffusion model,
# - jump to any noise level in one step, and say when a schedule is long enough,
# - score a diffusion model with the bound of notebook 02, and regroup its terms into KL divergences, step by step,
# - say which of the two groupings is less noisy, and why the usual answer is only half of it,
# - choose the variance of the reverse step, and say what a wrong choice costs.
#
# There is no network in this notebook. A *denoiser* is a function that guesses the data point $x_0$ from its noisy version
# $x_t$. The roll's density is known at every noise level, so the best possible denoiser is known too:
# $\mathbb{E}[x_0 \mid x_t]$, from (0.5) and (0.7). What this exact denoiser loses, no training can win back.
#
# **Time** about 100 minutes to read, and 65 for the exercises, both estimates. All cells run in about two minutes on
# two cores. The end of section 5 is a good place for a break. **You need** notebooks 00 to 02.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import (
    checks, diffusion, evaluate, exact, gaussian, oracles, plots, samplers,
    schedules, widgets
)
from diffusion_edu.bound import bound
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture, exact_denoiser

# %% [markdown]
# The exact denoiser is asked several million times below. A quadrature with 320 nodes instead of 512 makes it
# faster. The log density changes in the eighth decimal place.

# %%
plots.use_style()
roll, x = SwissRoll(nodes=320), SwissRoll().sample(2000, seed=1)
log_p = roll.log_prob(x)
torch.testing.assert_close(log_p, SwissRoll().log_prob(x), atol=1e-7, rtol=0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# This is where we are going: noise goes in on the left, the swiss roll comes out on the right. Section 9 explains the
# cell below word by word.

# %% mystnb={"image": {"alt": "The exact denoiser turns noise into the roll. From left to right a round Gaussian cloud contracts, curls up and ends as the swiss roll."}}
cosine = schedules.cosine(1000)
denoiser = exact_denoiser(roll, cosine.alpha_bar)
x_T = torch.randn(3000, 2, dtype=torch.float64, generator=seeded(10))
backward = dict(
    samplers.reverse_path(
        denoiser, cosine, x_T, steps=200, generator=seeded(11)))
times = [1000, 600, 300, 150, 50, 0]
for t, ax in zip(times, plots.axes_row(6, size=1.7), strict=True):
    plots.points(
        backward[t], ax, color=plots.MODEL, title=f"t = {t}", size=1, limit=3.4)

# %% [markdown]
# ## 1 Three restrictions
#
# A Markovian hierarchical VAE has an encoder $q(z_t \mid z_{t-1})$ and a decoder $p(z_{t-1} \mid z_t)$ for each level. Three
# restrictions make it a diffusion model (Sohl-Dickstein et al. 2015; Luo 2022).
#
# **First, every latent has the dimension of the data.** So a latent is a point in the same space, and we write $x_t$ for $z_t$
# and $x_0$ for the data point. The encoder's joint distribution is
#
# $$ q(x_{1:T} \mid x_0) = \prod_{t=1}^{T} q(x_t \mid x_{t-1}). \tag{3.1} $$
#
# **Second, the encoder is not learned.** Each level shrinks the point a little and adds Gaussian noise:
#
# $$ \begin{aligned}
# q(x_t \mid x_{t-1}) &= N\big(x_t;\, \sqrt{\alpha_t}\, x_{t-1},\, \beta_t I\big), \\
# \alpha_t &= 1 - \beta_t, \quad 0 < \beta_t < 1.
# \end{aligned} \tag{3.2} $$
#
# - $\beta_t$: the variance of the noise added at step $t$. The list $\beta_1, \dots, \beta_T$ is the *schedule*.
# - $\alpha_t$: the share of the variance that is kept. If $x_{t-1}$ has variance one per axis, so has $x_t$, because
#   $\alpha_t \cdot 1 + \beta_t = 1$. The process is *variance preserving*.
#
# **Third, the schedule is chosen so that the last latent is noise,** whatever the data point was:
#
# $$ q(x_T \mid x_0) \approx N(0, I) = p(x_T). \tag{3.3} $$
#
# Here is the library's version of (3.2), against the formula by hand. `cosine` is one of the usual schedules, with
# $T = 1000$; section 3 compares them. Its tensors have the length $T + 1$, so that `cosine.beta[t]` is $\beta_t$. Entry 0
# stands for clean data: $\beta_0 = 0$.

# %%
step = diffusion.q_step(cosine, 300, x)
torch.testing.assert_close(step.mean, (1 - cosine.beta[300]).sqrt() * x)
torch.testing.assert_close(step.var, cosine.beta[300])

# %% [markdown]
# ## 2 The forward process in one jump
#
# *Claim.* To get $x_t$ from $x_0$ the $t$ steps need not be taken. With $\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t$,
#
# $$ \begin{aligned}
# q(x_t \mid x_0) &= N\big(x_t;\, \sqrt{\bar\alpha_t}\, x_0,\, (1 - \bar\alpha_t) I\big), \\
# x_t &= \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\;\varepsilon.
# \end{aligned} \tag{3.4} $$
#
# <details><summary>Proof: a sum of independent Gaussians</summary>
#
# By induction. For $t = 1$, (3.4) is (3.2), because $\bar\alpha_1 = \alpha_1$ and $1 - \bar\alpha_1 = \beta_1$. Suppose it holds for $t - 1$:
# $x_{t-1} = \sqrt{\bar\alpha_{t-1}}\, x_0 + \sqrt{1 - \bar\alpha_{t-1}}\;\varepsilon'$. One more step adds fresh noise $\varepsilon''$:
#
# $$ x_t = \sqrt{\alpha_t}\, x_{t-1} + \sqrt{\beta_t}\;\varepsilon'' = \sqrt{\alpha_t \bar\alpha_{t-1}}\; x_0 + \sqrt{\alpha_t (1 - \bar\alpha_{t-1})}\;\varepsilon' + \sqrt{\beta_t}\;\varepsilon''. $$
#
# The first coefficient is $\sqrt{\bar\alpha_t}$. The two noises are independent Gaussians with mean zero, so their sum is
# one Gaussian with mean zero, and their variances add:
#
# $$ \alpha_t (1 - \bar\alpha_{t-1}) + \beta_t = \alpha_t - \bar\alpha_t + 1 - \alpha_t = 1 - \bar\alpha_t. $$
#
# </details>

# %% [markdown]
# **Exercise: to x_t in one jump.** *8 minutes, easy.*
#
# Write (3.4), starting from the schedule. `beta` is $(\beta_0 = 0, \beta_1, \dots, \beta_T)$, of length $T + 1$, so
# that `beta[t]` is $\beta_t$. Return the $x_t$ that the point $x_0$ and the noise $\varepsilon$ lead to, for any $t$
# from 0 to $T$.

# %%
def my_jump(beta, t, x0, eps):
    """x_t from x₀ and the noise ε, in one step."""
    return ...


checks.jump(my_jump)

# %% [markdown]
# <details><summary>Hint 1: to x_t in one jump</summary>
#
# $\bar\alpha_t$ is a product over all steps up to $t$. `torch.cumprod` makes all of them at once.
#
# </details>
#
# <details><summary>Hint 2: to x_t in one jump</summary>
#
# With `beta[0] = 0` the product starts at 1, and `(1 - beta).cumprod(0)[t]` is $\bar\alpha_t$, with nothing shifted.
# Signal and noise are multiplied by *roots*.
#
# </details>
#
# <details><summary>Solution: to x_t in one jump</summary>
#
# ```python
# def my_jump(beta, t, x0, eps):
#     """x_t from x₀ and the noise ε, in one step."""
#     alpha_bar = (1 - beta).cumprod(0)[t]
#     return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
# ```
#
# </details>

# %% [markdown]
# The share of signal against noise is the *signal-to-noise ratio*, a ratio of variances. Its logarithm, log SNR, was an axis
# in notebook 00 already.
#
# $$ \mathrm{SNR}(t) = \frac{\bar\alpha_t}{1 - \bar\alpha_t}. \tag{3.5} $$
#
# *Check.* Take one point 20,000 times through a schedule of 100 single steps. `forward_path` hands out $(t, x_t)$ step by step.
# Compare the mean and standard deviation of the cloud with (3.4), up to four standard errors.

# %% mystnb={"image": {"alt": "One hundred single steps do what (3.4) says. Against t from 0 to 100, the simulated signal factor falls from 1 to 0 and the simulated noise standard deviation rises from 0 to 1. Thin black theory lines run through both."}}
start = torch.tensor([1.5, 0.0], dtype=torch.float64).expand(20_000, 2)
linear100 = schedules.linear(100)
walk = torch.stack(
    [xt for _, xt in diffusion.forward_path(start, linear100, seeded(0))])
mean, spread = walk[:, :, 0].mean(1) / 1.5, walk.std(1).mean(1)
a_bar = linear100.alpha_bar
torch.testing.assert_close(
    mean, a_bar.sqrt(), atol=4 / 1.5 / 20_000**0.5, rtol=0)
torch.testing.assert_close(
    spread.square(), 1 - a_bar, atol=4 / 20_000**0.5, rtol=0)

ax = plots.curve(
    range(101), mean, linewidth=5, alpha=0.5,
    label="signal: mean of the cloud / x₀")
plots.curve(
    range(101), spread, ax, color=plots.DATA, linewidth=5, alpha=0.5,
    label="noise: standard deviation")
plots.truth(range(101), a_bar.sqrt(), ax, label="√ᾱₜ and √(1 − ᾱₜ)")
plots.truth(range(101), (1 - a_bar).sqrt(), ax, label=None)
ax.set(xlabel="t", ylabel="factor")
_ = ax.legend()

# %% [markdown]
# Signal and noise trade places, and the squares of the two curves always add up to one.
#
# Mind the bar when you read other texts. The slides use one constant $\beta$ and write $\alpha_t$ for $(1 - \beta)^t$, which is our $\bar\alpha_t$:

# %%
constant = schedules.constant(100, beta=0.05)
torch.testing.assert_close(
    constant.alpha_bar, 0.95 ** torch.arange(101, dtype=torch.float64))
print(f"at t = 20: our α {constant.alpha[20]:.3f}, our ᾱ, the slides' α, "
      f"{constant.alpha_bar[20]:.3f}")

# %% [markdown]
# Here is the forward process on the roll: the exact density in grey, from (0.6), and points that took single steps, in blue.

# %% mystnb={"image": {"alt": "The fine structure goes first. Blue points over the exact density in grey: the roll blurs, loses its arms and becomes a round cloud."}}
forward = dict(
    diffusion.forward_path(roll.sample(3000, seed=2), cosine, seeded(1)))
for t, ax in zip(times[::-1], plots.axes_row(6, size=1.7), strict=True):
    plots.density(
        roll.log_prob(plots.grid(n=100), cosine.alpha_bar[t].item()), ax
    ).images[0].set_alpha(0.4)
    plots.points(forward[t][:500], ax, color=plots.Q, title=f"t = {t}", size=2)

# %% [markdown]
# The fine structure goes first. At $t = 300$ the outer arm has faded, at $t = 600$ a round cloud is left.
#
# Now let it move. **Predict first:** at which $t$ can you no longer tell the roll from a round cloud? How many nats is the
# KL divergence from $N(0, I)$ of $q(x_t \mid x_0)$, the cloud that *one* data point makes, at that $t$? Press Play, or drag $t$.

# %%
widgets.forward_film(x, cosine)

# %% [markdown]
# Every frame is an exact draw from (3.4). The points keep their own $\varepsilon$ from frame to frame, so that you can follow one. The eye
# loses the roll long before the nats do. At $t = 600$ the cloud looks round, but given $x_0$ the point $x_{600}$ still differs from pure noise
# (`q_marginal` is (3.4) in the library):

# %%
nats_600 = gaussian.kl(
    diffusion.q_marginal(cosine, 600, x),
    gaussian.Gaussian(torch.zeros(2), torch.ones(2))).mean()
print(f"KL(q(x_600|x₀) ‖ N(0, I)): {nats_600:.3f} nats")
assert nats_600 > 0.3

# %% [markdown]
# The distribution $q(x_t)$ of all points and the distribution $q(x_t \mid x_0)$ of one are two things. Section 3 will need both.
#
# ## 3 When is the end noise?
#
# Restriction (3.3) is an approximation. Its error has a name and a unit:
#
# $$ \begin{aligned}
# L_T &= \mathrm{KL}\big(q(x_T \mid x_0) \,\|\, N(0, I)\big) \\
# &= \tfrac12 \Big[ \bar\alpha_T |x_0|^2 - D\, \bar\alpha_T - D \log(1 - \bar\alpha_T) \Big].
# \end{aligned} \tag{3.6} $$
#
# It is the KL of two Gaussians (1.10) with variances $1 - \bar\alpha_T$ and 1. Our data are standardised: $\mathbb{E}|x_0|^2 = D$.
# So the first two terms cancel on average:
#
# $$ \mathbb{E}_{x_0}[L_T] = -\tfrac{D}{2} \log(1 - \bar\alpha_T) = \tfrac{D}{2} \log\big(1 + \mathrm{SNR}(T)\big). \tag{3.7} $$
#
# With $D = 2$ that is just $-\log(1 - \bar\alpha_T)$. **Predict first.** The slides say that $q(x_T \mid x_0) \to N(0, I)$ since $\beta \ll 1$.
# Take $\beta = 0.01$. How far from noise is the end after 10, 100 and 1,000 steps?

# %% [markdown]
# **Exercise: how long must a schedule be?** *10 minutes, medium.*
#
# Which $T$ makes the end noise? For a constant $\beta$ and standardised data in `dim` dimensions
# ($\mathbb{E}|x_0|^2 = D$), return the smallest $T$ with $\mathbb{E}[L_T]$ below `nats`. Then use it: how many steps
# does $\beta = 0.01$ need for 0.01 nats in the plane? And for 784 pixels?

# %%
def my_steps_needed(beta, dim, nats):
    """The smallest T for which the mean L_T of a constant schedule is below
    `nats`."""
    return ...


checks.steps_needed(my_steps_needed)

# %% [markdown]
# <details><summary>Hint 1: how long must a schedule be?</summary>
#
# (3.7) has the mean of $L_T$ as a function of $\bar\alpha_T$. What is $\bar\alpha_T$ for a constant $\beta$?
#
# </details>
#
# <details><summary>Hint 2: how long must a schedule be?</summary>
#
# $-\tfrac{D}{2} \log(1 - (1 - \beta)^T)$ falls with $T$. Count up until it is small enough, or solve for $T$ and
# round up.
#
# </details>
#
# <details><summary>Solution: how long must a schedule be?</summary>
#
# ```python
# def my_steps_needed(beta, dim, nats):
#     """The smallest T for which the mean L_T of a constant schedule is below
#     `nats`."""
#     T = 1
#     while -dim / 2 * math.log(1 - (1 - beta) ** T) >= nats:
#         T += 1
#     return T
#
#
# # 459 steps of 0.01 for 0.01 nats in the plane; 1,053 for 784 pixels
# ```
#
# </details>

# %% tags=["hide-output"]
def second_moment(data):
    return (data.weights[:, None] * (data.means**2 + data.variances)).sum()


def mean_L_T(schedule, data=roll):
    """E[L_T]: (3.6) is linear in |x₀|², so one point with the right square is
    enough."""
    return schedule.L_T(
        torch.stack([second_moment(data).sqrt(), torch.zeros(())])).item()


for T in (10, 100, 1000):
    s = schedules.constant(T, beta=0.01)
    print(f"T = {T:4}   ᾱ_T = {s.alpha_bar[-1]:.5f}   "
          f"E[L_T] = {mean_L_T(s):.5f} nats")
    torch.testing.assert_close(
        mean_L_T(s), -math.log(1 - s.alpha_bar[-1].item()), atol=1e-9, rtol=1e-6
    )

# %% [markdown]
# **Where tutorials slip.** A small $\beta$ does not make the end noise. It does the opposite. What is needed is $\bar\alpha_T \to 0$,
# and with a constant $\beta$ that is $(1 - \beta)^T \approx e^{-\beta T}$, so $\beta T \gg 1$. A small $\beta$ serves another purpose: it makes
# each *reverse* step nearly Gaussian, as section 8 measures. Small steps, and many of them.
#
# The other schedules in use: *linear* in $t$ (Ho et al. 2020), *sigmoid* in $t$, and *cosine*, which is made by choosing
# $\bar\alpha_t$ as a squared cosine (Nichol & Dhariwal 2021). In Ho et al.'s paper $\beta_t$ rises from $\beta_1 = 10^{-4}$ to
# $\beta_T = 0.02$, with $T = 1000$. The figure keeps these ends and changes only $T$.

# %% mystnb={"image": {"alt": "A fixed beta needs several hundred steps, the cosine schedule ten. E[L_T] in nats against T from 10 to 2,000, both axes logarithmic: constant, linear and sigmoid schedules with fixed beta lie on one curve that starts above two nats and falls steeply only after several hundred steps; cosine is far below one thousandth at every T."}}
lengths = [10, 30, 100, 300, 1000, 2000]
fixed = {"constant": {"beta": 0.01},
         "linear": {"beta_1": 1e-4, "beta_T": 0.02},
         "sigmoid": {"beta_1": 1e-4, "beta_T": 0.02},
         "cosine": {}}
ends = {k: [mean_L_T(schedules.make_schedule(k, T, **v)) for T in lengths]
        for k, v in fixed.items()}
for (name, values), color, width in zip(
        ends.items(), (plots.Q, plots.MODEL, *plots.EXTRA[:2]),
        (7, 4, 1.5, 1.5), strict=True):
    ax = plots.curve(lengths, values, color=color, label=name, linewidth=width)
ax.set(xscale="log", yscale="log", xlabel="T", ylabel="E[L_T], nats")
ax.legend()
print(
    "T = 100: ", ", ".join(f"{k} {v[2]:.2g}" for k, v in ends.items()), "nats")
assert all(v[2] > 0.3 for k, v in ends.items() if k != "cosine")
assert ends["cosine"][2] < 1e-3
enough = next(
    T for T in range(10, 1001, 10)
    if mean_L_T(schedules.linear(T, 1e-4, 0.02)) < 1e-3)
print(f"linear is below 0.001 nats from T = {enough} on, cosine already at "
      f"T = 10: {ends['cosine'][0]:.1e} nats")

# %% [markdown]
# Three schedules lie on one curve. Their $\beta_t$ have the same mean, and for small $\beta_t$ only the sum counts: $\bar\alpha_T \approx e^{-\sum_t \beta_t}$.
#
# The $\beta$ of the paper was chosen for $T = 1000$. With $T = 100$ the same numbers leave nearly half a nat. The
# cosine schedule is defined by $\bar\alpha$ and is long enough at any $T$. From here on the library's `linear(T)` scales $\beta$ with
# $1/T$, which keeps $\bar\alpha_T$.
#
# ### A schedule that is too short
#
# Public tutorials exist whose schedule ends at $\bar\alpha_T = 0.6$ and which then start from $N(0, I)$ all the same. How bad is it? We
# have the exact denoiser, so the schedule alone is to blame for what we see. Two data sets: our standardised roll, and the
# same roll the way such tutorials scale it, divided by 10 and not centred.
#
# To sample, draw $x_T$ from $N(0, I)$ and go down level by level. `samplers.sample` does that with the reverse steps of the next
# section; take it on trust for one more page.
#
# What counts for the samples is the marginal $q(x_T) = \mathbb{E}_{x_0} q(x_T \mid x_0)$: is *that* $N(0, I)$? By (0.3) its KL
# divergence from the prior is the mean of $-\log N(x_T; 0, I)$, as in (0.4), minus the entropy $H(x_T)$, which is known at every
# noise level (notebook 00):
#
# $$ \begin{aligned}
# \mathrm{KL}\big(q(x_T) \,\|\, N(0, I)\big) &= \tfrac{D}{2} \log 2\pi + \tfrac12 \mathbb{E}|x_T|^2 - H(x_T), \\
# \mathbb{E}|x_T|^2 &= \bar\alpha_T\, \mathbb{E}|x_0|^2 + (1 - \bar\alpha_T) D.
# \end{aligned} \tag{3.8} $$

# %% mystnb={"image": {"alt": "The eye does not see the short schedule. Orange samples over grey data: standardised roll with the short schedule, roll divided by ten with the short schedule, roll divided by ten with the cosine schedule. In all three the samples follow the curve; the eye sees hardly any difference."}}
def kl_from_prior(data, a_bar):
    """KL(q(x_t) ‖ N(0, I)) at noise level ᾱ, (3.8) for D = 2, nats."""
    return (math.log(2 * math.pi)
            + 0.5 * (a_bar * second_moment(data).item() + 2 * (1 - a_bar))
            - data.entropy(a_bar))


shift = torch.from_numpy(roll.shift)
tenth = Mixture(
    roll.weights, (roll.means * roll.scale + shift) / 10,
    roll.variances * (roll.scale / 10) ** 2)
short = schedules.constant(100, beta=1 - 0.6 ** (1 / 100))
s100 = schedules.cosine(100)
ratio = []
cases = [("standardised, ᾱ_T = 0.6", roll, short),
         ("/10, ᾱ_T = 0.6", tenth, short), ("/10, cosine", tenth, s100)]
for (name, data, s), ax in zip(cases, plots.axes_row(3, size=2.6), strict=True):
    y = samplers.sample(
        exact_denoiser(data, s.alpha_bar), s, x_T, generator=seeded(12))
    true = data.sample(3000, seed=13)
    end = s.alpha_bar[-1].item()
    limit = 1.3 * data.means.abs().max().item()
    floor = evaluate.noise_floor(evaluate.energy_distance, data, 3000)
    ratio.append(evaluate.energy_distance(y, true) / floor)
    print(f"{name:24} E[L_T] {mean_L_T(s, data):.3f}, KL(q(x_T) ‖ N(0, I)) "
          f"{kl_from_prior(data, end):.3f} nats,"
          f" energy distance {ratio[-1]:.1f} × floor")
    plots.points(true, ax, size=1, limit=limit)
    plots.points(
        y, ax, color=plots.MODEL, title=name, size=1, limit=limit
    ).tick_params(labelleft=True)
assert ratio[1] > 4 and ratio[0] < 3 and ratio[2] < 3

# %% [markdown]
# **What the numbers say.** On the standardised roll $L_T$ is 0.9 nats, and the samples are at the noise floor. On the small, uncentred roll $L_T$ is
# *smaller*, and the samples are almost eight floors away, four times as far as with a full schedule. So it is not $L_T$ that the
# samples see, but (3.8), the marginal. The reverse process starts at a point of $N(0, I)$ that belongs to no $x_0$ in particular. All that counts is whether the
# cloud of all $x_T$ looks like the prior. The standardised roll has mean 0 and variance 1 per axis, so after a little blurring it does. The small
# roll has a variance below one half per axis, its $x_T$ is narrower than the prior and off the centre, so too many samples start far out.
# The picture hardly shows it. The points lie on the curve, but not in the right shares along it.
#
# Two lessons: standardise the data, and make $\bar\alpha_T$ so small that it would not matter. What the rest of $L_T$ is, section 9 will say.
#
# Now choose schedules yourself. **Predict first.** Take $\beta_1$ of the paper's schedule ten times as large: what changes at the end $x_T$, and
# what at the first step? Then set $T$ to 100: which of the three curves shows that $x_T$ is no longer noise?

# %%
paper = schedules.linear(1000, 1e-4, 0.02)
more = schedules.linear(1000, 1e-3, 0.02)
# log 10 = 2.3
assert 0.5 < mean_L_T(more) / mean_L_T(paper) < 1
assert 2.2 < paper.log_snr[1] - more.log_snr[1] < 2.4
assert 0.36 < schedules.linear(100, 1e-4, 0.02).alpha_bar[-1] < 0.37
widgets.schedule_explorer(roll)

# %% [markdown]
# The end feels only $\sum_t \beta_t$, to which $\beta_1$ adds little: $L_T$ falls by less than half. The first step feels $\beta_1$ alone, and log SNR starts
# lower by $\log 10$. With $T = 100$ the curve of $\beta$ against $t/T$ is the same as before. $\bar\alpha$ tells: it stops at 0.36. The
# last two buttons repeat the cases of the figure above, and the text line says what (3.8) leaves of $L_T$ for the samples to pay.
#
# ## 4 The way back
#
# The generative model runs the chain backwards, from $x_T$ to $x_0$. Its true reverse step $q(x_{t-1} \mid x_t)$ depends on the data and is
# not Gaussian. But *given* $x_0$ it is. It is the "latent seen from both sides" of notebook 02, (2.12), with
# $q(x_{t-1} \mid x_0)$ from below and $q(x_t \mid x_{t-1})$ from above. Here it is called the *forward posterior*:
#
# $$ q(x_{t-1} \mid x_t, x_0) = N\big(x_{t-1};\, \tilde\mu_t(x_t, x_0),\, \tilde\beta_t I\big), $$
#
# $$ \begin{aligned}
# \tilde\mu_t(x_t, x_0) &= \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, x_0 + \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t, \\
# \tilde\beta_t &= \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t.
# \end{aligned} \tag{3.9} $$
#
# <details><summary>Derivation: prior times likelihood, and complete the square</summary>
#
# Given $x_0$, think of $x_{t-1}$ as unknown, with prior $q(x_{t-1} \mid x_0) = N(\sqrt{\bar\alpha_{t-1}}\, x_0,\, 1 - \bar\alpha_{t-1})$ from (3.4). We observe
# $x_t$, with likelihood $q(x_t \mid x_{t-1}) = N(\sqrt{\alpha_t}\, x_{t-1},\, \beta_t)$ from (3.2). By Bayes' rule the posterior is proportional to
# their product. Its logarithm, as a function of $x_{t-1}$, is
#
# $$ -\frac12 \left[ \frac{(x_{t-1} - \sqrt{\bar\alpha_{t-1}}\, x_0)^2}{1 - \bar\alpha_{t-1}} + \frac{(x_t - \sqrt{\alpha_t}\, x_{t-1})^2}{\beta_t} \right] + \text{const}. $$
#
# That is a parabola in $x_{t-1}$, so the posterior is Gaussian. The factor of $-\tfrac12 x_{t-1}^2$ is its precision:
#
# $$ \frac{1}{\tilde\beta_t} = \frac{1}{1 - \bar\alpha_{t-1}} + \frac{\alpha_t}{\beta_t} = \frac{\beta_t + \alpha_t - \bar\alpha_t}{(1 - \bar\alpha_{t-1})\, \beta_t} = \frac{1 - \bar\alpha_t}{(1 - \bar\alpha_{t-1})\, \beta_t}, $$
#
# where $\alpha_t \bar\alpha_{t-1} = \bar\alpha_t$ and $\alpha_t + \beta_t = 1$ were used. The factor of $x_{t-1}$ is precision times mean:
#
# $$ \tilde\mu_t = \tilde\beta_t \left[ \frac{\sqrt{\bar\alpha_{t-1}}\, x_0}{1 - \bar\alpha_{t-1}} + \frac{\sqrt{\alpha_t}\, x_t}{\beta_t} \right] = \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, x_0 + \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t. $$
#
# </details>

# %% [markdown]
# **Exercise: the forward posterior.** *15 minutes, medium.*
#
# Write $q(x_{t-1} \mid x_t, x_0)$, (3.9): return its mean $\tilde\mu_t$ and its variance $\tilde\beta_t$, for any
# $t$ from 1 to $T$. Derive it yourself first: a prior from (3.4), a likelihood from (3.2), and Bayes' rule.
# `beta[t]` is $\beta_t$. **Predict first:** what must it return at $t = 1$?

# %%
def my_posterior(beta, t, xt, x0):
    """The mean and the variance of x_{t−1} when x_t and x₀ are known."""
    return ..., ...


checks.posterior(my_posterior)

# %% [markdown]
# <details><summary>Hint 1: the forward posterior</summary>
#
# Seen from $x_{t-1}$, there are two Gaussian witnesses: $x_0$ with variance $1 - \bar\alpha_{t-1}$, and
# $x_t/\sqrt{\alpha_t}$ with variance $\beta_t/\alpha_t$. Their precisions add.
#
# </details>
#
# <details><summary>Hint 2: the forward posterior</summary>
#
# The precision is $\frac{1}{1 - \bar\alpha_{t-1}} + \frac{\alpha_t}{\beta_t}$. At $t = 1$ its first part is
# infinite: use the tidied form (3.9), which has no such division.
#
# </details>
#
# <details><summary>Solution: the forward posterior</summary>
#
# ```python
# def my_posterior(beta, t, xt, x0):
#     """The mean and the variance of x_{t−1} when x_t and x₀ are known."""
#     alpha_bar = (1 - beta).cumprod(0)
#     c0 = alpha_bar[t - 1].sqrt() * beta[t] / (1 - alpha_bar[t])
#     ct = (1 - beta[t]).sqrt() * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
#     var = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]
#     return c0 * x0 + ct * xt, var
# ```
#
# </details>

# %% [markdown]
# `gaussian.condition` knows nothing of diffusion. It adds precisions and precision-weighted means. Three routes must agree: that function,
# (3.9) by hand, and the library.

# %%
t = 300
ab_prev, ab, alpha, beta = (
    v.item() for v in (
        cosine.alpha_bar[t - 1], cosine.alpha_bar[t], cosine.alpha[t],
        cosine.beta[t]))
xt = diffusion.q_marginal(cosine, t, x).sample(seeded(2))
posterior = gaussian.condition(
    diffusion.q_marginal(cosine, t - 1, x), alpha**0.5, beta, xt)
by_hand = (ab_prev**0.5 * beta * x + alpha**0.5 * (1 - ab_prev) * xt) / (1 - ab)
library = diffusion.q_posterior(cosine, t, xt, x)
torch.testing.assert_close(posterior.mean, by_hand)
torch.testing.assert_close(library.mean, by_hand)
torch.testing.assert_close(posterior.var, library.var)

# %% [markdown]
# The product of the derivation can be seen. Dashed in grey is the prior $q(x_{t-1} \mid x_0)$, dashed in green the likelihood of $x_t$, in blue the
# posterior. A chain of 20 steps makes the circles large enough. **Predict first.** Two witnesses say where $x_{t-1}$ was, $x_0$ and $x_t$. At which $t$ does
# the posterior believe $x_0$ more: at small $t$, at large $t$, or at both? Drag $x_0$ and $x_t$, or move them with the arrow keys.

# %%
s20 = schedules.cosine(20)
for name, s in {
        "cosine, 20 steps": s20,
        "cosine": cosine,
        "linear": schedules.linear(1000)}.items():
    # x₀'s share of the precision 1/β̃ₜ: β̃ₜ/(1 − ᾱₜ₋₁) = βₜ/(1 − ᾱₜ)
    from_x0 = s.beta / (1 - s.alpha_bar)
    print(f"{name:16} x₀'s share: t = 1 {from_x0[1]:.3f}, "
          f"lowest {from_x0[1:].min():.3f}, T − 10 {from_x0[-11]:.3f}, "
          f"T {from_x0[-1]:.3f}")
    assert from_x0[1] > 0.999 and from_x0[1:].min() < 0.3
widgets.posterior_explorer(s20, x[:400], t=8)

# %% [markdown]
# At $t = 1$, always: the prior is a point, and no $x_1$ can move it. At $t = T$ it depends on the schedule, because $x_0$'s share of the precision is
# $\beta_t / (1 - \bar\alpha_t)$, and at the end that is $\beta_T$. The cosine's last step is nearly all noise, so $x_T$ says
# nothing of $x_{T-1}$; the linear's last step is small, and $x_T$ says nearly all. In between, most of the precision comes from $x_t$: the posterior
# stays close to it and leans towards $x_0$. Two witnesses are better than one, so the blue circle of 1σ is smaller than both dashed ones.
#
# The case $t = 1$ is a check of (3.9): if you know $x_0$, then $x_0$ is what you know, so $\tilde\mu_1 = x_0$. The slides print
# $\sqrt{\bar\alpha_t}$ where $\sqrt{\bar\alpha_{t-1}}$ belongs, and there the factor is $\sqrt{1 - \beta}$.
#
# The same case has a trap. $\tilde\beta_1 = 0$: the posterior is a point, and has no density. (Turner (2021) offers $\sigma_t^2 = \tilde\beta_t$ for the decoder
# and does not mention it. A decoder with variance 0 has an infinite loss.) So the decoder at $t = 1$ needs a variance of its own. The library's
# `sigma2_beta_tilde` puts $\tilde\beta_2$ there.

# %%
c0, ct = diffusion.posterior_mean_coefficients(constant)
printed = constant.alpha_bar[1].sqrt() * 0.05 / (1 - constant.alpha_bar[1])
print(f"factor of x₀ at t = 1: {c0[1]:.4f}, as the slides print it "
      f"{printed:.4f};   β̃₁ = {constant.beta_tilde[1]:.1f}")
torch.testing.assert_close(printed, constant.alpha[1].sqrt())
assert diffusion.sigma2_beta_tilde(constant)[1] == constant.beta_tilde[2] > 0

# %% [markdown]
# The model has no $x_0$. It has a *denoiser*, a function $\hat x_0(x_t, t)$ that guesses it. The reverse step puts the guess where
# the forward posterior has the truth:
#
# $$ p(x_{t-1} \mid x_t) = N\big(x_{t-1};\, \tilde\mu_t(x_t, \hat x_0(x_t, t)),\, \sigma_t^2 I\big), \qquad t = 1, \dots, T. \tag{3.10} $$
#
# - $\hat x_0(x_t, t)$: the denoiser. Here the exact one, $\mathbb{E}[x_0 \mid x_t]$. From notebook 04 on, a network.
# - $\sigma_t^2$: the variance of the reverse step. Section 8 is about its choice. Until then $\sigma_t^2 = \beta_t$.
#
# ## 5 The same function scores it
#
# This is the moment the last two notebooks prepared. A chain has $q(z_t \mid z_{t-1})$, which is (3.2), $p(z_{t-1} \mid z_t)$, which is
# (3.10), and a prior $N(0, I)$. The bound (2.5) for $T$ levels, with $z_t = x_t$:
#
# $$ \log p(x_0) \ge \mathbb{E}_q \Big[ \underbrace{\log p(x_0 \mid x_1)}_{\text{reconstruction}} + \sum_{t=1}^{T-1} \underbrace{\log \frac{p(x_t \mid x_{t+1})}{q(x_t \mid x_{t-1})}}_{\text{consistency}} + \underbrace{\log \frac{p(x_T)}{q(x_T \mid x_{T-1})}}_{\text{prior matching}} \Big]. \tag{3.11} $$
#
# `ForwardProcess` presents (3.2) and (3.10) as such a chain. `bound` is the function of notebook 02, unmodified. It does not know that it
# scores a diffusion model, and 1,000 levels are as good to it as three.

# %%
chain = diffusion.ForwardProcess(
    cosine, denoiser, diffusion.per_step(cosine.beta))
with torch.no_grad():
    b = bound(x, chain, seeded(3))
for name, term in {
        "reconstruction": b.reconstruction,
        "consistency, 999 levels": b.consistency.sum(0),
        "prior matching": b.prior,
        "ELBO": b.elbo}.items():
    mean, se = evaluate.mean_and_error(term)
    print(f"{name:24} {mean:8.3f} ± {se:.3f} nats")
distance, se = evaluate.gap(b, log_p)
print(f"distance to H, paired    {distance:8.4f} ± {se:.4f} nats")
assert -4 * se < distance < 0.03

# %% [markdown]
# About 0.02 nats: $\mathbb{E}[\log p(x) - \mathrm{ELBO}]$ with the $\log p(x)$ of the data, so wrong model and loose
# bound together (1.11). Each ± is one standard error over the points. The best VAE of notebook 01 was several tenths from $H$. A thousand levels of *noise*, with nothing learned in the
# encoder, give a bound that is almost the log likelihood itself, if the denoiser is exact.
#
# Do not read meaning into the single terms. "Prior matching" in (3.11) compares $N(0, I)$ with $q(x_T \mid x_{T-1})$, one step, and not with
# $q(x_T \mid x_0)$. If $x_T$ is noise, the term is $\tfrac{D}{2} \log \beta_T$ on average. The cosine schedule's last $\beta_T$ is 0.999, so here it
# is nearly zero. The linear schedule's is 0.02: a narrow step, and a term of $\log 0.02 = -3.9$ nats, although its $x_T$ is noise to four digits.
# There is a better way to cut the sum.
#
# ## 6 Regrouping by Bayes' rule
#
# Collect (3.11) by steps. Step $t$ has the forward density $q(x_t \mid x_{t-1})$ and the reverse density $p(x_{t-1} \mid x_t)$:
#
# $$ \mathrm{ELBO} = \mathbb{E}_q \Big[ \log p(x_T) + \sum_{t=2}^{T} \log \frac{p(x_{t-1} \mid x_t)}{q(x_t \mid x_{t-1})} + \log \frac{p(x_0 \mid x_1)}{q(x_1 \mid x_0)} \Big]. \tag{3.12} $$
#
# The ratio compares densities of *different* variables, $x_{t-1}$ above and $x_t$ below. Bayes' rule turns $q$ around:
#
# $$ q(x_t \mid x_{t-1}) = \frac{q(x_{t-1} \mid x_t)\, q(x_t)}{q(x_{t-1})}. $$
#
# Of no use: $q(x_t)$ is an average over all data, which one knows for the roll but not for real data, and $q(x_{t-1} \mid x_t)$ is not
# Gaussian. But the chain is Markov. Given $x_{t-1}$, the next point does not care about $x_0$, so
# $q(x_t \mid x_{t-1}) = q(x_t \mid x_{t-1}, x_0)$. Now turn it around with everything conditioned on $x_0$. (Not at $t = 1$, where the
# posterior is a point. That step stays as it is.)
#
# $$ q(x_t \mid x_{t-1}) = \frac{q(x_{t-1} \mid x_t, x_0)\, q(x_t \mid x_0)}{q(x_{t-1} \mid x_0)}, \qquad t \ge 2. \tag{3.13} $$
#
# All three densities on the right are known, from (3.9) and (3.4). Put it into the sum of (3.12):
#
# $$ \sum_{t=2}^{T} \log \frac{p(x_{t-1} \mid x_t)}{q(x_t \mid x_{t-1})} = \sum_{t=2}^{T} \log \frac{p(x_{t-1} \mid x_t)}{q(x_{t-1} \mid x_t, x_0)} + \sum_{t=2}^{T} \big[ \log q(x_{t-1} \mid x_0) - \log q(x_t \mid x_0) \big]. $$
#
# The last sum telescopes. Each $\log q(x_t \mid x_0)$ enters once with plus and once with minus, except at the ends:
#
# $$ \sum_{t=2}^{T} \big[ \log q(x_{t-1} \mid x_0) - \log q(x_t \mid x_0) \big] = \log q(x_1 \mid x_0) - \log q(x_T \mid x_0). \tag{3.14} $$
#
# Its first term cancels the $q(x_1 \mid x_0)$ that (3.12) has in its last fraction. Its second joins $\log p(x_T)$. What is left:
#
# $$ -\mathrm{ELBO} = \mathbb{E}_q \Big[ \underbrace{\log \frac{q(x_T \mid x_0)}{p(x_T)}}_{\ell_T} + \sum_{t=2}^{T} \underbrace{\log \frac{q(x_{t-1} \mid x_t, x_0)}{p(x_{t-1} \mid x_t)}}_{\ell_{t-1}} \underbrace{- \log p(x_0 \mid x_1)}_{\ell_0} \Big]. \tag{3.15} $$
#
# So far this holds for *every single path*, before any average. `bound` and `forward_path` draw the same path from the same seed. On a
# chain of 30 steps the two sums must agree to the last digits:

# %%
s30 = schedules.cosine(30)
chain30 = diffusion.ForwardProcess(
    s30, exact_denoiser(roll, s30.alpha_bar), diffusion.per_step(s30.beta))
path = [xt for _, xt in diffusion.forward_path(x, s30, seeded(4))]
# ℓ_T
total = (diffusion.q_marginal(s30, 30, x).log_prob(path[30])
         - chain30.prior().log_prob(path[30]))
for t in range(2, 31):  # ℓ_{t−1}
    q = diffusion.q_posterior(s30, t, path[t], x)
    total += q.log_prob(path[t - 1]) - chain30.p(t - 1, path[t]).log_prob(
        path[t - 1])
total -= chain30.p(0, path[1]).log_prob(x)  # ℓ_0
torch.testing.assert_close(total, -bound(x, chain30, seeded(4)).elbo)

# %% [markdown]
# Now the averages $L = \mathbb{E}_q[\ell]$. In $\ell_{t-1}$, hold $x_t$ and $x_0$ and average over $x_{t-1}$. That is a KL divergence, and both sides are
# Gaussians:
#
# $$ \begin{aligned}
# L_T &= \mathrm{KL}\big(q(x_T \mid x_0) \,\|\, p(x_T)\big), \\
# L_{t-1} &= \mathbb{E}_{q(x_t \mid x_0)} \mathrm{KL}\big(q(x_{t-1} \mid x_t, x_0) \,\|\, p(x_{t-1} \mid x_t)\big), \\
# L_0 &= -\mathbb{E}_{q(x_1 \mid x_0)} \log p(x_0 \mid x_1).
# \end{aligned} \tag{3.16} $$
#
# Unlike the tutorials' "consistency KL" (2.9), this one is right. There, $z_t$ was drawn without a look at the $z_{t+1}$ that the other
# side depends on. Here $q(x_{t-1} \mid x_t, x_0)$ conditions on $x_t$, all that the other side depends on.
#
# `closed_form_terms` evaluates (3.16), with a fresh $x_t$ for each term: $L_0, L_1, \dots, L_T$ down the rows, one column per data
# point. Two groupings, one number?

# %%
n = 1000
terms = diffusion.closed_form_terms(x[:n], chain, seeded(5))
estimates = {
    "log ratios (3.11)": -b.elbo[:n], "closed forms (3.16)": terms.sum(0)
}
estimates["difference"] = (
    estimates["log ratios (3.11)"] - estimates["closed forms (3.16)"])
for name, values in estimates.items():
    mean, se = evaluate.mean_and_error(values)
    print(f"{name:20} {mean:7.3f} ± {se:.3f} nats")
assert abs(mean) < 4 * se  # of the last one, the difference

# %% [markdown]
# One number.
#
# The variances of both Gaussians in each KL are fixed numbers, so the KL is a squared distance of the means plus a constant. Which?

# %% [markdown]
# **Exercise: what one step costs.** *15 minutes, medium.*
#
# Write the KL of step $t \ge 2$ in (3.16) as a function of the guess $\hat x_0$. Both Gaussians have the mean
# $\tilde\mu_t$ of (3.9), one with $x_0$ and one with $\hat x_0$ in it, and $x_t$ drops out. Derive it from (1.10)
# before you read (3.17). Return nats for each data point, constant included. `sigma2` is the number
# $\sigma_t^2$.

# %%
def my_kl_term(beta, t, x0, x0_hat, sigma2):
    """KL(q(x_{t−1}|x_t, x₀) ‖ p(x_{t−1}|x_t)) for t ≥ 2, nats per data
    point."""
    return ...


checks.kl_term(my_kl_term)

# %% [markdown]
# <details><summary>Hint 1: what one step costs</summary>
#
# By how much do the two means differ? Only the factor of $x_0$ in (3.9) matters.
#
# </details>
#
# <details><summary>Hint 2: what one step costs</summary>
#
# With $c_t$ for the factor of $x_0$ in (3.9), put the variances $\tilde\beta_t$ and $\sigma_t^2$ and the distance
# $c_t (x_0 - \hat x_0)$ into (1.10). Its first three terms are the same in each dimension.
#
# </details>
#
# <details><summary>Solution: what one step costs</summary>
#
# ```python
# def my_kl_term(beta, t, x0, x0_hat, sigma2):
#     """KL(q(x_{t−1}|x_t, x₀) ‖ p(x_{t−1}|x_t)) for t ≥ 2, nats per data
#     point."""
#     alpha_bar = (1 - beta).cumprod(0)
#     c = alpha_bar[t - 1].sqrt() * beta[t] / (1 - alpha_bar[t])
#     ratio = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t] / sigma2
#     constant = x0.shape[-1] / 2 * (ratio - 1 - ratio.log())
#     return c**2 / (2 * sigma2) * (x0 - x0_hat).square().sum(-1) + constant
# ```
#
# </details>

# %% [markdown]
# The means (3.9) and (3.10) differ only in $x_0$ against $\hat x_0$. Call the factor that both have there
# $c_t = \sqrt{\bar\alpha_{t-1}}\, \beta_t / (1 - \bar\alpha_t)$. Then (1.10) gives
#
# $$ \mathrm{KL} = \frac{c_t^2}{2\sigma_t^2} \big|x_0 - \hat x_0\big|^2 + \frac{D}{2} \Big( \frac{\tilde\beta_t}{\sigma_t^2} - 1 - \log \frac{\tilde\beta_t}{\sigma_t^2} \Big). \tag{3.17} $$
#
# With $\sigma_t^2 = \tilde\beta_t$ the constant is zero, and the factor has a beautiful form (Kingma et al. 2021):
#
# $$ \mathrm{KL} = \tfrac12 \big( \mathrm{SNR}(t-1) - \mathrm{SNR}(t) \big) \big|x_0 - \hat x_0\big|^2 \qquad (\sigma_t^2 = \tilde\beta_t). \tag{3.18} $$
#
# <details><summary>From (3.17) to (3.18)</summary>
#
# With $\tilde\beta_t$ from (3.9),
#
# $$ \frac{c_t^2}{\tilde\beta_t} = \frac{\bar\alpha_{t-1} \beta_t^2}{(1 - \bar\alpha_t)^2} \cdot \frac{1 - \bar\alpha_t}{(1 - \bar\alpha_{t-1})\, \beta_t} = \frac{\bar\alpha_{t-1}\, \beta_t}{(1 - \bar\alpha_t)(1 - \bar\alpha_{t-1})}. $$
#
# And the difference of the two ratios is
#
# $$ \frac{\bar\alpha_{t-1}}{1 - \bar\alpha_{t-1}} - \frac{\bar\alpha_t}{1 - \bar\alpha_t} = \frac{\bar\alpha_{t-1} - \bar\alpha_t}{(1 - \bar\alpha_{t-1})(1 - \bar\alpha_t)}, \qquad \bar\alpha_{t-1} - \bar\alpha_t = \bar\alpha_{t-1} (1 - \alpha_t) = \bar\alpha_{t-1}\, \beta_t. $$
#
# </details>
#
# **Where tutorials slip.** The slides' training recipe differentiates
# $\mathrm{KL}(q(x_{\tau-1} \mid x_0) \,\|\, p(x_{\tau-1} \mid x_\tau))$; it must be $q(x_{\tau-1} \mid x_\tau, x_0)$.
# The next cell tests (3.18) with an arbitrary wrong guess, and computes the recipe's KL.

# %%
guess, factors = torch.zeros_like(x), {}
for t in (2, 100, 900):
    xt = diffusion.q_marginal(cosine, t, x).sample(seeded(6))
    p = diffusion.reverse_step(
        cosine, t, xt, guess, diffusion.per_step(cosine.beta_tilde))
    right = diffusion.L_term(cosine, t, x, xt, p)
    factors[t] = 0.5 * (cosine.snr[t - 1] - cosine.snr[t])
    torch.testing.assert_close(right, factors[t] * (x - guess).square().sum(-1))
    p = diffusion.reverse_step(
        cosine, t, xt, denoiser(xt, t), diffusion.per_step(cosine.beta))
    slip = gaussian.kl(diffusion.q_marginal(cosine, t - 1, x), p).mean()
    kl = gaussian.kl(diffusion.q_posterior(cosine, t, xt, x), p).mean()
    print(f"t = {t:3}: factor {factors[t]:10.4f},   KL with the exact "
          f"denoiser {kl:.5f} nats, with the slides' q(x_τ₋₁|x₀) {slip:.2f}")
    assert slip > kl
assert factors[2] > 1000 * factors[100] > 1000 * factors[900]

# %% [markdown]
# The factor falls by many orders of magnitude along the chain. The recipe's KL compares a wide cloud with a narrow step. It
# is more than twice too large at $t = 2$, and more than a hundred thousand times at $t = 900$.
#
# Averaged over the data, the terms need to know only one thing of the denoiser, its mean squared error
# $\mathrm{mse}_t = \mathbb{E}|x_0 - \hat x_0(x_t, t)|^2 / D$. That of the exact denoiser is a function of log SNR, the same for every
# schedule, and `exact.mse` has it in a table, with no sampling. With (3.17) it gives each term.

# %% mystnb={"image": {"alt": "The nats sit at the first steps. The terms L_{t-1} in nats against t, both axes logarithmic, for the cosine and the linear schedule. Both fall from almost one nat at t = 2 to about a millionth at t = 1000; the linear schedule falls faster. L_T is a dot at the right end, L_0 is given in the legend."}}
def expected_terms(schedule, sigma2, mse):
    """E[L₁] … E[L_{T−1}] from (3.17), for D = 2, nats."""
    c, _ = diffusion.posterior_mean_coefficients(schedule)
    ratio = (schedule.beta_tilde / sigma2)[2:]
    return (c**2 * mse / sigma2)[2:] + ratio - 1 - ratio.log()


linear = schedules.linear(1000)
mse = {s: exact.mse(roll, s) for s in (cosine, linear)}
sampled, se = evaluate.mean_and_error(terms[1:-1].sum(0))
expected = expected_terms(cosine, cosine.beta, mse[cosine]).sum()
print(f"cosine: Σ L_{{t−1}} {expected:.3f} nats, from the samples above "
      f"{sampled:.3f} ± {se:.3f}")
assert abs(sampled - expected) < 4 * se

for (name, s), color in zip(
        {"cosine": cosine, "linear": linear}.items(),
        (plots.MODEL, plots.EXTRA[0]), strict=True):
    # −E log N(x₀; x̂₀, β₁ I)
    L0 = math.log(2 * math.pi * s.beta[1]) + (mse[s][1] / s.beta[1]).item()
    ax = plots.curve(
        range(2, 1001), expected_terms(s, s.beta, mse[s]), color=color,
        label=f"{name}: L₀ = {L0:.2f} nats")
    ax.plot(1000, mean_L_T(s), "D", color=color,
            label=f"{name}: L_T = {mean_L_T(s):.1e} nats")
    share = expected_terms(s, s.beta, mse[s])[:99].sum() / expected_terms(
        s, s.beta, mse[s]).sum()
    print(f"{name}: the steps t = 2 … 100 carry {share:.0%} of Σ L_{{t−1}}")
ax.set(xscale="log", yscale="log", xlabel="t", ylabel="$L_{t-1}$, nats")
_ = ax.legend()

# %% [markdown]
# The nats sit at small $t$, where the noise is faint. $L_0$ is negative: it is minus the logarithm of a density, and a narrow density is
# larger than one. The steps up to 100 carry most of the sum, although they are a tenth of the chain. These nats the exact denoiser pays, so they do not say
# where training can win any; notebook 04 measures that.
#
# ## 7 Which grouping is quieter?
#
# Turner (2021) says that the manipulation is made "to reduce the variance". **Predict first.** Which of the two estimates above has less noise, per term and
# in total?

# %% [markdown]
# **Exercise: which estimate of the whole bound is quietest?** *4 minutes, medium.*
#
# **Predict first.** The whole bound of a chain of a thousand steps, with a good denoiser, is estimated in three
# ways: log ratios (3.11) along one path; KLs (3.16) with a fresh $x_t$ in each; KLs along one path. Order them by
# their standard deviation per data point, the quietest first.

# %%
# 'log ratios, one path', 'KLs, a fresh x_t each', 'KLs, one path'
my_quietest = [...]
checks.quietest(my_quietest)

# %% [markdown]
# <details><summary>Hint 1: which estimate of the whole bound is quietest?</summary>
#
# A single KL is quieter than a single log ratio. But a sum also has covariances, (3.19).
#
# </details>
#
# <details><summary>Hint 2: which estimate of the whole bound is quietest?</summary>
#
# What is the sum of all log ratios along one path, if each reverse step is the true one? And on a path that strays,
# do the KLs of neighbouring steps err in the same direction?
#
# </details>
#
# <details><summary>Solution: which estimate of the whole bound is quietest?</summary>
#
# ```python
# # the quietest first
# my_quietest = ['log ratios, one path', 'KLs, a fresh x_t each', 'KLs, one path']
# ```
#
# </details>

# %% [markdown]
# First per term. One consistency term of (3.11) and one KL of (3.16), each as it varies over points and paths:

# %% mystnb={"image": {"alt": "Term by term the KLs are quieter. Standard deviation of single terms in nats against t, both axes logarithmic: the log ratios stay near 1.4 nats at all t; the KLs start near 0.5 and fall to below a hundred-thousandth."}}
ratio_std, kl_std = b.consistency.std(1), terms[1:-1].std(1)
ax = plots.curve(
    range(1, 1000), ratio_std, color=plots.Q, label="one log ratio of (3.11)")
plots.curve(
    range(2, 1001), kl_std, ax, color=plots.MODEL, label="one KL of (3.16)")
ax.set(
    xscale="log", yscale="log", xlabel="t", ylabel="standard deviation, nats")
ax.legend()
print(f"log ratio / KL: {ratio_std[0] / kl_std[0]:.1f} at the first step, "
      f"{(ratio_std / kl_std).median():.0f} at the median step")
assert (ratio_std / kl_std).median() > 100

# %% [markdown]
# Term by term the KLs win, everywhere, and typically by a factor of hundreds. That must be so. The KL is the average of the log ratio over
# $x_{t-1}$ at fixed $x_t, x_0$, and averaging part of the noise away can only reduce the variance. Training draws a random $t$ and looks at
# one term. It wants this grouping.
#
# Now the whole chain. We compare each estimate with the exact $\log p(x)$ of the same points, so that the spread of the data does not count.
# The closed forms come twice: with a fresh $x_t$ per term, as `closed_form_terms` has them, and along one path, as `bound` walks it.

# %%
def kl_along_path(x, chain, generator):
    """The terms of (3.16) at the x_t of one path per point, (T + 1, n)."""
    schedule = chain.schedule
    steps = diffusion.forward_path(x, schedule, generator)
    rows = [diffusion.L_term(schedule, t, x, xt, chain.p(t - 1, xt))
            for t, xt in steps if t > 0]
    return torch.stack([*rows, schedule.L_T(x)])


n_path = 500
along = kl_along_path(x[:n_path], chain, seeded(3))
whole = {"log ratios, one path": -b.elbo,
         "KLs, a fresh x_t each": terms.sum(0),
         "KLs, one path": along.sum(0)}
noise = {}
for name, values in whole.items():
    paired = log_p[: len(values)] + values
    noise[name] = paired.std(), values.std()
    print("{:22} distance to H {:7.4f} ± {:.4f} nats,".format(
              name, *evaluate.mean_and_error(paired)),
          end="  ")
    print("standard deviation per point {:.2f}, without log p(x) {:.2f}".format(
              *noise[name]))
(paired, alone), *kls = noise.values()
print("KLs over log ratios:",
      ", ".join(
          f"{p / paired:.0f} paired, {a / alone:.1f} without" for p, a in kls))
assert all(p > 4 * paired and a > 1.5 * alone for p, a in kls)

# %% [markdown]
# The order is reversed. Paired with the exact $\log p(x)$, the log ratios of the whole chain are about eight times quieter than the KLs with fresh points, and
# more than twenty times quieter than the KLs along a path. Without it, as on all other data, the points' own spread is in each, and two and five times are left. How can a thousand noisy terms have a quiet sum?
#
# $$ \operatorname{Var}\Big[\sum_t X_t\Big] = \sum_t \operatorname{Var}[X_t] + \sum_{r \ne t} \operatorname{Cov}[X_r, X_t]. \tag{3.19} $$

# %%
for name, rows in {
        "log ratios": b.consistency, "KLs, one path": along[1:-1]}.items():
    alone, together = rows.var(1).sum().sqrt(), rows.sum(0).std()
    print(f"{name:14} root of the summed variances {alone:6.2f} nats,  "
          f"standard deviation of the sum {together:5.2f} nats")
assert b.consistency.sum(0).std() < 0.1 * b.consistency.var(1).sum().sqrt()

# %% [markdown]
# If the log ratios were independent their sum would scatter by about 45 nats. It scatters by little more than one, and much of that is the data's own. The noise
# of one term is taken back by the others. The KLs do the opposite: along a path their errors have the same sign and add up.
#
# The reason is a second telescope. Suppose the reverse step were the true one, $p(x_{t-1} \mid x_t) = q(x_{t-1} \mid x_t)$. Then Bayes' rule
# *without* $x_0$, the one of no use above, gives for each path
#
# $$ \sum_{t=1}^{T} \log \frac{q(x_{t-1} \mid x_t)}{q(x_t \mid x_{t-1})} = \sum_{t=1}^{T} \log \frac{q(x_{t-1})}{q(x_t)} = \log q(x_0) - \log q(x_T), \tag{3.20} $$
#
# and with the prior, $\mathrm{ELBO} = \log q(x_0) + \log \frac{p(x_T)}{q(x_T)}$ on every single path. Here $q(x_0)$ is the density of the data,
# which we know as the exact $\log p(x)$. The second term is zero if the end is noise. No
# variance is left at all: the estimate *is* the exact log density. The KL of (3.16) averages $x_{t-1}$ away in each term, and with it the very noise that
# would have cancelled the noise of the next term.
#
# The exact denoiser on the roll comes close to (3.20), but the true reverse step is not quite Gaussian. Gaussian data are the case
# where it is. Take $x_0 \sim N(0, \tfrac14 I)$. Precisions add, so given $x_t$ the variance of $x_0$ is
# $\mathrm{mse}_t = 1 / \big(4 + \tfrac{\bar\alpha_t}{1 - \bar\alpha_t}\big)$. The reverse variance that goes with it is the subject of section 8:

# %%
normal = oracles.gaussian([0.0, 0.0], 0.25)
exact_mse = 1 / (4 + s100.snr)
variance = diffusion.per_step(diffusion.sigma2_optimal(s100, exact_mse))
normal_chain = diffusion.ForwardProcess(
    s100, exact_denoiser(normal, s100.alpha_bar), variance)
y = normal.sample(1000, seed=3)
ratios = (
    normal.log_prob(y) - evaluate.score_chain(y, normal_chain, seeded(7)).elbo)
kls = (normal.log_prob(y)
       + diffusion.closed_form_terms(y, normal_chain, seeded(7)).sum(0))
print("log p(x) less the log ratios below 1e-4 at every point: "
      f"{bool((ratios.abs() < 1e-4).all())};   KLs scatter by "
      f"{kls.std():.2f} nats")
assert (ratios.abs() < 1e-4).all() and kls.std() > 0.5

# %% [markdown]
# With log ratios every path returns $\log p(x)$ of its own point. With KLs, as noisy as before.
#
# So Turner's sentence is true per term and false for the sum. Training looks at one random term and wants the KLs. Evaluation adds up the
# chain and wants the log ratios, paired with the exact $\log p(x)$ of the same points where one has it. The better the denoiser, the larger
# the advantage. From here on all distances to $H$ are measured that way.
#
# ## 8 The variance of the reverse step
#
# What should $\sigma_t^2$ be? Only $\log p(x_{t-1} \mid x_t)$ contains it. It is the log density of a Gaussian (3.10), so on average over the
# forward process the step $t$ costs
#
# $$ \begin{aligned}
# \mathbb{E}\big[-\log p(x_{t-1} \mid x_t)\big] &= \frac{D}{2} \Big[ \log 2\pi\sigma_t^2 + \frac{\sigma_t^{*2}}{\sigma_t^2} \Big], \\
# \sigma_t^{*2} &= \tfrac1D\, \mathbb{E}\big|x_{t-1} - \tilde\mu_t(x_t, \hat x_0)\big|^2.
# \end{aligned} \tag{3.21} $$

# %% [markdown]
# **Exercise: the best variance of the reverse step.** *12 minutes, medium.*
#
# Step $t$ of the reverse process has a denoiser with mean squared error $\mathrm{mse}_t$ per dimension. Which
# $\sigma_t^2$ costs the fewest nats? Set the derivative of (3.21) to zero. Then write the result with $\beta_t$,
# $\bar\alpha_t$ and $\mathrm{mse}_t$: (3.9) says where $x_{t-1}$ lies, given $x_t$ and $x_0$. It must hold at
# $t = 1$, too.

# %%
def my_best_variance(beta, t, mse):
    """The σ_t² that minimises (3.21), for a denoiser with mean squared error
    mse per dimension."""
    return ...


checks.best_variance(my_best_variance)

# %% [markdown]
# <details><summary>Hint 1: the best variance of the reverse step</summary>
#
# The minimum of $\log \sigma^2 + m/\sigma^2$ is at $\sigma^2 = m$. What is $m$ here?
#
# </details>
#
# <details><summary>Hint 2: the best variance of the reverse step</summary>
#
# $x_{t-1}$ scatters around $\tilde\mu_t(x_t, x_0)$ with $\tilde\beta_t$. The guess moves that mean by
# $c_t (x_0 - \hat x_0)$. The two are uncorrelated, so their squares add.
#
# </details>
#
# <details><summary>Solution: the best variance of the reverse step</summary>
#
# ```python
# def my_best_variance(beta, t, mse):
#     """The σ_t² that minimises (3.21), for a denoiser with mean squared error
#     mse per dimension."""
#     alpha_bar = (1 - beta).cumprod(0)
#     c = alpha_bar[t - 1].sqrt() * beta[t] / (1 - alpha_bar[t])
#     beta_tilde = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]
#     return beta_tilde + c**2 * mse
# ```
#
# </details>

# %% [markdown]
# The best $\sigma_t^2$ is $\sigma_t^{*2}$: set the derivative to zero. It has two parts. Around $\tilde\mu_t(x_t, x_0)$ the point $x_{t-1}$ scatters
# with variance $\tilde\beta_t$, by (3.9). The guess moves that mean by $c_t\, (x_0 - \hat x_0)$. The two are uncorrelated, so
# $\sigma_t^{*2} = \tilde\beta_t + c_t^2\, \mathrm{mse}_t$. Any other variance costs, in nats per step,
#
# $$ \frac{D}{2} \big( \rho_t - 1 - \log \rho_t \big), \qquad \rho_t = \sigma_t^{*2} / \sigma_t^2. \tag{3.22} $$
#
# Ho et al. 2020 offer two choices that need no estimate, $\beta_t$ and $\tilde\beta_t$. Where does the best lie? Since
# $\beta_t - \tilde\beta_t = \beta_t\, (\bar\alpha_{t-1} - \bar\alpha_t) / (1 - \bar\alpha_t) = \bar\alpha_{t-1} \beta_t^2 / (1 - \bar\alpha_t)$, and that is
# $(1 - \bar\alpha_t)\, c_t^2$,
#
# $$ \sigma_t^{*2} = \tilde\beta_t + (\beta_t - \tilde\beta_t)\, \frac{\mathrm{mse}_t}{1 - \bar\alpha_t}. \tag{3.23} $$
#
# The fraction says how far from $\tilde\beta_t$ to $\beta_t$ one must go. It is 0 if $x_0$ is known, and 1 for data that are $N(0, I)$. For all other data of
# variance one it lies between.

# %% mystnb={"image": {"alt": "At both ends beta is the right variance. The fraction of the way from beta tilde to beta against log SNR: a black line that is one at both ends and dips to about 0.6 near log SNR 4. Orange dots sampled from 1,500 points, with error bars, scatter around it."}}
d100 = exact_denoiser(roll, s100.alpha_bar)
mse[s100] = exact.mse(roll, s100)
sampled = diffusion.denoising_error(
    roll.sample(1500, seed=20), s100, d100, seeded(22))
c, _ = diffusion.posterior_mean_coefficients(s100)
noise_var = 1 - s100.alpha_bar
# (3.23)
by_hand = s100.beta_tilde[1:] + (
    (s100.beta - s100.beta_tilde) * mse[s100] / noise_var)[1:]
torch.testing.assert_close(by_hand, (s100.beta_tilde + c**2 * mse[s100])[1:])
torch.testing.assert_close(
    by_hand, diffusion.sigma2_optimal(s100, mse[s100])[1:])
fraction = mse[cosine] / (1 - cosine.alpha_bar)
ax = plots.truth(cosine.log_snr[1:], fraction[1:])
dots = (sampled / noise_var)[1:]
ax.errorbar(
    s100.log_snr[1:], dots, 2 * dots / math.sqrt(1500), fmt=".",
    color=plots.MODEL, label="1,500 points, ± 2 standard errors")
ax.set(xlabel="log SNR", ylabel="(σ*² − β̃) / (β − β̃)", ylim=(0, 1.15),
       xlim=(-8, 10.5))
ax.legend()
print(f"at the first step {fraction[1]:.3f}, "
      f"lowest {fraction[1:].min():.2f}, at the last {fraction[-1]:.3f}")
assert fraction[1:].min() < 0.8 and fraction[1] > 0.99 and fraction[-1] > 0.99

# %% [markdown]
# At both ends the fraction is nearly one and $\sigma_t^2 = \beta_t$ is right. On the left there is hardly any signal, and $x_t$ is nearly a unit Gaussian. On the right the
# noise is fainter than the roll is thick, so $x_0$ is spread out evenly around $x_t$. In between, the noise is wider than the roll is thick. The denoiser
# then knows the place across the roll, but not along it. One direction of two is
# uncertain, and the fraction falls towards one half. $\tilde\beta_t$ alone, a fraction of zero, is right nowhere.
#
# What does it cost? (3.22) answers without new sampling: it needs only $\mathrm{mse}_t$. To trust it, measure once. With the same seed the
# paths are the same for each choice of $\sigma_t^2$, so the differences are sharp.

# %%
def price(schedule, sigma2, mse):
    """What σ² costs beyond the best, (3.22) summed over t = 1 … T, for D = 2,
    nats."""
    rho = (diffusion.sigma2_optimal(schedule, mse) / sigma2)[1:]
    return (rho - 1 - rho.log()).sum().item()


choices = {
    "β": s100.beta,
    "β̃": diffusion.sigma2_beta_tilde(s100),
    "best": diffusion.sigma2_optimal(s100, mse[s100]),
}
chains = {k: diffusion.ForwardProcess(s100, d100, diffusion.per_step(v))
          for k, v in choices.items()}
elbo = {k: evaluate.score_chain(x, chain, seeded(8)).elbo
        for k, chain in chains.items()}
for name, sigma2 in choices.items():
    distance = (log_p - elbo[name]).mean()
    mean, se = evaluate.mean_and_error(elbo["best"] - elbo[name])
    print(f"σ² = {name:5} distance to H {distance:.3f} nats,  worse than the "
          f"best by {mean:.3f} ± {se:.3f},  by (3.22) "
          f"{price(s100, sigma2, mse[s100]):.3f}")
    assert abs(mean - price(s100, sigma2, mse[s100])) <= 4 * se

# %% [markdown]
# Measured and predicted agree. At $T = 100$ the choice $\beta_t$ costs some hundredths of a nat, $\tilde\beta_t$ more than one nat.
#
# ### Where the nat comes from
#
# It does not go away with more steps. Look at the first steps, where the noise is fainter than the roll is thick. There the data look
# locally flat: all points near $x_t / \sqrt{\bar\alpha_t}$ are equally likely, so $\mathrm{mse}_t = (1 - \bar\alpha_t)/\bar\alpha_t$, the fraction in (3.23) is $1/\bar\alpha_t$, nearly one, and the
# true reverse variance is about $\beta_t$ and not $\tilde\beta_t$.
#
# <details><summary>The price of the small variance, in closed form</summary>
#
# Let $\beta$ be constant and small. Then $1 - \bar\alpha_t \approx t \beta$, so $\tilde\beta_t \approx \frac{t-1}{t} \beta$ and $\rho_t = \frac{t}{t-1}$ for $t \ge 2$. At
# $t = 1$ the library uses $\tilde\beta_2 = \beta/2$, so $\rho_1 = 2$. Sum (3.22), per pair of dimensions ($D/2 = 1$):
#
# $$ (2 - 1 - \log 2) + \sum_{t=2}^{\infty} \Big[ \frac{1}{t-1} - \log \frac{t}{t-1} \Big] = 1 - \log 2 + \gamma, $$
#
# where $\gamma = 0.5772\ldots$ is Euler's constant: the sum up to $n$ is the harmonic number $1 + \frac12 + \dots + \frac1{n-1}$ minus $\log n$.
#
# </details>
#
# For $\beta$ constant and small, and $T$ large, the price of $\sigma_t^2 = \tilde\beta_t$ on locally flat data is
#
# $$ \frac{D}{2} \big( \gamma + [1 - \log 2] \big) = 0.577 + 0.307 = 0.884 \text{ nats} \quad (D = 2). \tag{3.24} $$
#
# The bracket is the price of the library's stand-in $\sigma_1^2 = \tilde\beta_2$. With $\sigma_1^2 = \beta_1$ it is gone, and $\gamma$ is left.

# %%
flat = schedules.constant(1000, beta=1e-4)
flat_mse = torch.cat([torch.zeros(1, dtype=torch.float64), 1 / flat.snr[1:]])
euler = 0.5772156649
paid = price(flat, diffusion.sigma2_beta_tilde(flat), flat_mse)
print(f"price of β̃ on flat data {paid:.4f}, "
      f"1 − log 2 + γ = {1 - math.log(2) + euler:.4f};  "
      f"of β {price(flat, flat.beta, flat_mse):.6f} nats")
own_first = torch.cat([flat.beta[:2], flat.beta_tilde[2:]])  # σ₁² = β₁
print(f"with σ₁² = β₁: {price(flat, own_first, flat_mse):.4f}, γ = {euler:.4f}")
assert abs(paid - (1 - math.log(2) + euler)) < 0.001
assert abs(price(flat, own_first, flat_mse) - euler) < 0.001
for name, s in {"cosine": cosine, "linear": linear}.items():
    print(f"the roll, {name}, T = 1000: "
          f"β̃ {price(s, diffusion.sigma2_beta_tilde(s), mse[s]):.3f}, "
          f"β {price(s, s.beta, mse[s]):.4f} nats")

# %% [markdown]
# On the roll it is about one nat, more than (3.24) because $\beta_t$ grows during the first steps. That is two thirds of the whole ruler. In $D$
# dimensions it is $D/2$ times as much, if the data are locally flat in all of them; images are not. Choosing $\sigma_t^2$ well is worth more than any
# other choice in this notebook, and it needs no network.
#
# ### The bound against T
#
# Now let $T$ vary. With $\mathrm{mse}_t$ from the table, `exact.price` adds up $L_0$, (3.17) and $L_T$ for the best $\sigma_t^2$, and (3.22) says what the
# other two choices cost on top. So the curves are exact. Log ratios, sampled, are the check.

# %%
def distances(schedule):
    """The exact denoiser's distance to H with the best σ², with β and with β̃,
    nats."""
    choices = (schedule.beta, diffusion.sigma2_beta_tilde(schedule))
    known = exact.mse(roll, schedule)
    best = exact.price(roll, schedule)
    return best, *(best + price(schedule, sigma2, known) for sigma2 in choices)


lengths, curves, dots = [10, 20, 30, 60, 100, 200, 300, 600, 1000], {}, {}
for name, make in {
        "cosine": schedules.cosine, "linear": schedules.linear}.items():
    curves[name] = {
        T: distances(make(T)) for T in lengths if name == "cosine" or T >= 30}
    for T in (30, 100, 300):
        s = make(T)
        sampled_chain = diffusion.ForwardProcess(
            s, exact_denoiser(roll, s.alpha_bar), diffusion.per_step(s.beta))
        dots[name, T] = evaluate.gap(
            evaluate.score_chain(x, sampled_chain, seeded(9)), log_p)
        print("{} T = {:3}: β, sampled {:.4f} ± {:.4f},".format(
                  name, T, *dots[name, T]),
              end=" ")
        print("exact {1:.4f}; best {0:.4f}, β̃ {2:.3f} nats".format(
                  *curves[name][T]))
        assert abs(dots[name, T][0] - curves[name][T][1]) < 4 * dots[name, T][1]
    print("{} T = 1000: best {:.4f}, β {:.4f}, β̃ {:.3f} nats".format(
              name, *curves[name][1000]))

# %% mystnb={"image": {"alt": "More steps help, but not with beta tilde. Cosine and linear: the distance to H in nats against T on logarithmic axes, exact curves as lines. With the best variance and with beta it falls about like one over T; with beta tilde it flattens out at about one nat. Sampled dots lie on the curve of beta. The linear schedule's lines lie twice as high."}}
for name, ax in zip(
        ("cosine", "linear"), plots.axes_row(2, size=3.2), strict=True):
    rows = torch.tensor(list(curves[name].values()))
    for i, (label, color) in enumerate(
            {"best": plots.TRUTH, "β": plots.Q, "β̃": plots.ERROR}.items()):
        plots.curve(
            list(curves[name]), rows[:, i], ax, color=color,
            label=f"σ² = {label}")
    for T in (30, 100, 300):
        ax.errorbar(
            T, dots[name, T][0], 2 * dots[name, T][1], fmt=".", color=plots.Q)
    ax.set(xscale="log", yscale="log", xlabel="T", title=name, ylim=(2e-3, 10))
    ax.set_ylabel("distance to H, nats" if name == "cosine" else "")
ax.legend()
for T in (30, 100, 300, 1000):
    assert 1.7 < curves["linear"][T][0] / curves["cosine"][T][0] < 2.1
assert curves["cosine"][600][0] < 0.02 < curves["cosine"][300][0]
end = exact.price(roll, schedules.linear(50, 1e-4, 0.02))
print(f"the paper's β at T = 50, which leaves 0.9 nats of L_T: {end:.4f} nats")

# %% [markdown]
# With the best variance the distance falls about like $1/T$, and $\beta_t$ is close behind. The linear schedule loses
# twice as much as the cosine at every $T$. A bound within 0.02 nats of $H$ needs several hundred steps. With $\tilde\beta_t$ the curve stops at about one nat,
# however many steps one takes. All this is the price of cutting a continuous process into Gaussian steps. What a network adds is the subject of notebook 04.
#
# Now look inside the sum. **Predict first.** When $T$ doubles, which of $L_0$, $\sum_t L_{t-1}$ and $L_T$ change?
# Where on the log SNR axis does $\tilde\beta_t$ pay its nat? What does the paper's $\beta$ lose at $T = 50$, where $\bar\alpha_T = 0.6$?

# %%
widgets.bound_explorer(roll, T=30)

# %% [markdown]
# On the left, $L_0$ falls with $T$ and the KLs grow by almost as much. Nats move from the decoder to the chain, and the sum creeps down to $H$. $L_T$ is invisible, except with the paper's $\beta$. On the right, each KL is a box as
# wide as its step on the log SNR axis. The black line is the limit of (3.18) for small steps, $\tfrac12 \mathrm{SNR}(t)\, \mathbb{E}|x_0 - \hat x_0|^2$ nats per unit
# of log SNR, because a small step of SNR is SNR times the step of its logarithm. What sticks out above it is the price of the steps. The line levels off at $D/2 = 1$, where the noise is fainter than the roll is thick: each finer
# level of detail costs the same. That is where $\tilde\beta_t$ pays, in the first steps of the chain. The paper's $\beta$ at $T = 50$ fills
# with $L_T$ what its KLs leave out, and the bound pays only (3.8) for it, as the samples did in section 3.
#
# ## 9 Backwards with no network
#
# `reverse_path` starts at a given $x_T$, drawn from $N(0, I)$. It applies (3.10) with
# $\sigma_t^2 = \beta_t$ and fresh noise in each step, and hands out $(t, x_t)$ on the way. At $t = 1$ no noise is added: the mean is the sample.
# With `steps=200` it stops at every fifth of the 1,000 times only. The chain of these times is a diffusion model too: it has the same
# $\bar\alpha_t$ there, and its $\alpha$ for a stride from $t$ to $t - 5$ is $\bar\alpha_t / \bar\alpha_{t-5}$. Nothing was
# trained. If the chain is right, its $x_t$ must be distributed like the forward process's, at each $t$ and not only at the end.

# %% mystnb={"image": {"alt": "The way back passes through the same clouds as the way forward. Over the exact density in grey, at six times: the blue forward points in the upper row and the orange backward points in the lower row fill the same shapes at each time."}}
for t in times:
    a = cosine.alpha_bar[t]
    eps = torch.randn(12, 3000, 2, dtype=torch.float64, generator=seeded(40))
    # (3.4)
    sets = [a.sqrt() * roll.sample(3000, seed=40 + i) + (1 - a).sqrt() * eps[i]
            for i in range(12)]
    floors = torch.tensor([
        evaluate.energy_distance(x, y) for x, y in zip(
            sets[::2], sets[1::2], strict=True)
    ])
    ratio = evaluate.energy_distance(backward[t], forward[t]) / floors.mean()
    print(f"t = {t:4}: forward against backward {ratio:.1f} floors, "
          f"two forward sets 1 ± {floors.std() / floors.mean():.1f}")
    assert ratio < 4

axes = plots.axes_row(6, size=1.7, rows=2)
for row, (path, color) in enumerate(
        [(forward, plots.Q), (backward, plots.MODEL)]):
    for t, ax in zip(times, axes[6 * row :], strict=False):
        plots.density(
            roll.log_prob(plots.grid(n=80), cosine.alpha_bar[t].item()), ax
        ).images[0].set_alpha(0.4)
        plots.points(path[t][:400], ax, color=color, title=f"t = {t}", size=2)

# %% [markdown]
# Blue points went forward from data to noise. Orange points came back from *other* noise. At each time the two clouds are about as near as two
# forward ones; ± is the standard deviation of six such pairs.
#
# ### Why there are no holes
#
# In notebook 01 samples fell between the arms. The decoder was trained on latents from the aggregate posterior $q(z)$ (1.13) and asked at
# latents from the prior, and the two differ. Here the aggregate posterior of the last latent is $q(x_T)$, the roll at noise level
# $\bar\alpha_T$. This is what the slides mean by "DMs do not have VAE's drawback". In nats, $\mathbb{E}[L_T]$ splits as the prior term of the VAE
# did (1.14). The same holds at each $t$ on the way:
#
# $$ \mathbb{E}_{x_0} \mathrm{KL}\big(q(x_t \mid x_0) \,\|\, N(0, I)\big) = \underbrace{I(x_0; x_t)}_{\text{what } x_t \text{ still knows}} + \underbrace{\mathrm{KL}\big(q(x_t) \,\|\, N(0, I)\big)}_{\text{aggregate against prior}}. \tag{3.25} $$
#
# $$ I(x_0; x_t) = H(x_t) - H(x_t \mid x_0) = H(x_t) - \tfrac{D}{2} \log\big(2\pi e\, (1 - \bar\alpha_t)\big). \tag{3.26} $$
#
# The last term is the entropy of a Gaussian with variance $1 - \bar\alpha_t$ in each of $D$ dimensions.
#
# <details><summary>Why (3.25) holds</summary>
#
# Add and subtract $\log q(x_t)$ under the average over $x_0$ and $x_t$:
#
# $$ \mathbb{E} \log \frac{q(x_t \mid x_0)}{N(x_t; 0, I)} = \mathbb{E} \log \frac{q(x_t \mid x_0)}{q(x_t)} + \mathbb{E} \log \frac{q(x_t)}{N(x_t; 0, I)}. $$
#
# The first term is the mutual information of $x_0$ and $x_t$ by definition, the second a KL divergence.
#
# </details>
#
# Turner (2021) says that the forward process "progressively destroys all information". Here is how fast, exactly, at each noise level.

# %% mystnb={"image": {"alt": "All x_t together look like noise long before a single one does. Nats against log SNR from -8 to 10: the mutual information between the data and its noisy version, a black line, rises from zero, with the KL of one point's cloud from noise just above it as a blue line. The gap between them, the KL of the aggregate posterior from the prior, is shaded and is close to zero below log SNR 0."}}
log_snr = torch.linspace(-8, 10, 19, dtype=torch.float64)
ab = log_snr.sigmoid()
one_point = torch.log1p(log_snr.exp())  # (3.7) at each t
H_t = torch.tensor([roll.entropy(a) for a in ab.tolist()], dtype=torch.float64)
information = H_t - 1 - (2 * math.pi * (1 - ab)).log()  # (3.26) for D = 2
ax = plots.truth(log_snr, information, label="I(x₀; xₜ)")
plots.curve(log_snr, one_point, ax, label="E KL(q(xₜ|x₀) ‖ N(0, I))")
ax.fill_between(
    log_snr, information, one_point, color=plots.ERROR, alpha=0.3,
    label="KL(q(xₜ) ‖ N(0, I))", linewidth=0)
ax.set(xlabel="log SNR(t)", ylabel="nats")
ax.legend()
mismatches = torch.tensor(
    [kl_from_prior(roll, a) for a in ab.tolist()]).double()
# (3.25)
torch.testing.assert_close(
    one_point - information, mismatches, atol=1e-6, rtol=1e-5)
for name, s in {"ᾱ_T = 0.6": short, "linear": linear, "cosine": cosine}.items():
    total, mismatch = mean_L_T(s), kl_from_prior(roll, s.alpha_bar[-1].item())
    print(f"{name:10} E[L_T] {total:.5f} = I(x₀; x_T) "
          f"{total - mismatch:.5f} + KL(q(x_T) ‖ p) {abs(mismatch):.5f} nats")
assert kl_from_prior(roll, linear.alpha_bar[-1].item()) < 1e-6

# %% [markdown]
# Below log SNR 0 the black line lies on the blue one: the cloud of all $x_t$ already looks like the prior, while a single $x_t$ still knows something of
# its $x_0$. At the end both terms of (3.25) are gone, prior and aggregate posterior agree to many digits, and a sample from the prior is
# as good as an encoded point. That is why diffusion has no holes. And it answers the puzzle of section 3: the short schedule's $L_T$ of 0.9 nats is
# almost all information, which does no harm to the samples. Only the 0.018 nats do.
#
# A VAE's holes come from the same term, $\mathrm{KL}(q(z) \,\|\, p(z))$ in (1.14), not from what $z$ knows. There a learned encoder has to make it small; here
# noise does. In the diffusion model the last latent knows nothing either, and the information comes back step by step on the way down.

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** A schedule has β = 0.001 for all t and T = 1000. Is its end noise?
#
# <details><summary>Yes, because β is small.</summary>
#
# **No.** The slides argue so. A small β makes the reverse steps Gaussian. It does not make the end noise.
#
# </details>
#
# <details><summary>Yes, because T = 1000 is what the paper uses.</summary>
#
# **No.** The paper's β sum to about 10, these to 1. Only the sum counts.
#
# </details>
#
# <details><summary>It depends on the data.</summary>
#
# **No.** Its effect on samples does, through (3.8). But that $q(x_T|x_0)$ is far from $N(0, I)$ can be read off the
# schedule.
#
# </details>
#
# <details><summary>No: ᾱ_T is about 0.37.</summary>
#
# **Yes.** $\bar\alpha_T = (1 - \beta)^T \approx e^{-1}$. By (3.7) the end is nearly half a nat from noise, per pair
# of dimensions.
#
# </details>
#
# **Question.** What is the variance of q(x₀ | x₁, x₀), that is β̃ at t = 1?
#
# <details><summary>β₁</summary>
#
# **No.** That is the variance of $x_1$ given $x_0$, one step forwards.
#
# </details>
#
# <details><summary>0</summary>
#
# **Yes.** If $x_0$ is known there is nothing to guess. So a decoder with $\sigma_1^2 = \tilde\beta_1$ has an
# infinite loss.
#
# </details>
#
# <details><summary>β₁/2</summary>
#
# **No.** The formula (3.9) at $t = 2$ gives about that for a constant β, and the library borrows it for the decoder.
# At $t = 1$ it gives 0.
#
# </details>
#
# <details><summary>It is not defined.</summary>
#
# **No.** (3.9) is fine: $1 - \bar\alpha_0 = 0$ stands in the numerator.
#
# </details>
#
# **Question.** Which form of the bound do you train on, and which do you report?
#
# <details><summary>KLs for both: they are in closed form.</summary>
#
# **No.** A closed form sounds like less noise, and per term it is. In the sum the noise no longer cancels.
#
# </details>
#
# <details><summary>Log ratios for both: they are exact on each path.</summary>
#
# **No.** One single log ratio is hundreds of times noisier than one KL, and a training step sees single terms.
#
# </details>
#
# <details><summary>Train on one random KL, report the sum of log ratios.</summary>
#
# **Yes.** Per term the KL is much quieter. Over the chain the log ratios telescope (3.20).
#
# </details>
#
# <details><summary>Either: they have the same mean.</summary>
#
# **No.** They have the same mean, but not the same noise.
#
# </details>
#
# **Question.** A schedule stops at ᾱ_T = 0.6, with L_T = 0.9 nats. The samples of the standardised roll look perfect. How can that
# be?
#
# <details><summary>Samples feel only the distribution of all x_T together, which is almost N(0, I).</summary>
#
# **Yes.** That distance is (3.8), a fiftieth of a nat. The rest of $L_T$ is information about $x_0$ (3.25), which
# does no harm.
#
# </details>
#
# <details><summary>L_T is wrong.</summary>
#
# **No.** It is exact (3.6). It measures the distribution of $x_T$ for one $x_0$.
#
# </details>
#
# <details><summary>The denoiser repairs the start.</summary>
#
# **No.** It is exact for points that follow $q(x_t)$. It does not know that a start was wrong.
#
# </details>
#
# <details><summary>The eye is too weak.</summary>
#
# **No.** The energy distance is not, and it finds nothing here either.
#
# </details>

# %% [markdown]
# ## Project: A schedule of your own
#
# *90 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Find a schedule of 30 steps with a smaller distance to $H$ than `cosine(30)`, on the roll, with the best variances. You need no
# network and no sampling: `exact.mse` gives $\mathrm{mse}_t$ of any schedule, and (3.17), (3.21) and (3.6) give the
# distance from it. `schedules.from_snr` makes a schedule from any falling curve of SNR. What does the best one do, where,
# and would you have guessed it from the right-hand figure of `bound_explorer`?
#
# - The distance is computed from (3.6), (3.17) and (3.21), and agrees with the notebook's for cosine and linear.
# - At least two families of schedules are compared at the same T, with their curves of log SNR.
# - L_T is part of it, and it is shown what becomes of it: the schedule does not win by ending early.
# - One case is checked by sampled log ratios, paired with the exact log p(x), within four standard errors.
# - One paragraph says where on the log SNR axis the steps went, and why.

# %% [markdown]
# ## Recap
#
# - Same dimension, fixed Gaussian steps (3.2), an end that is noise (3.3): a hierarchical VAE becomes a diffusion model.
# - (3.4) jumps to any $t$. $L_T$ (3.6) says in nats whether the schedule is long enough; $\beta \ll 1$ does not.
# - The bound of notebook 02 scores the chain unmodified (3.11). Bayes' rule with $x_0$ regroups it into closed-form KLs (3.15), (3.16).
# - One KL is typically hundreds of times quieter than one log ratio. The sum of the log ratios is two to five times quieter than the sum of the KLs,
#   eight to twenty if paired with the exact $\log p(x)$: with the true reverse process they telescope to it (3.20).
# - The best reverse variance lies between $\tilde\beta_t$ and $\beta_t$ (3.23). $\tilde\beta_t$ costs about a nat on the roll, at any $T$ (3.24).
# - With the exact denoiser the distance to $H$ falls like $1/T$. With no network, the reverse process gives samples at the noise floor.
#
# | symbol | code | file |
# | --- | --- | --- |
# | $\beta_t$, $\alpha_t$, $\bar\alpha_t$, $\mathrm{SNR}(t)$, $\tilde\beta_t$ | `Schedule.beta`, `.alpha`, `.alpha_bar`, `.snr`, `.beta_tilde` | `schedules.py` |
# | $q(x_t \mid x_{t-1})$, $q(x_t \mid x_0)$ | `q_step`, `q_marginal` | `diffusion.py` |
# | $q(x_{t-1} \mid x_t, x_0)$, $\tilde\mu_t$ | `q_posterior`, `posterior_mean` | `diffusion.py` |
# | $p(x_{t-1} \mid x_t)$ | `reverse_step` | `diffusion.py` |
# | $\hat x_0(x_t, t)$, exact | `exact_denoiser` | `oracles.py` |
# | the chain for (3.11); the bound | `ForwardProcess`; `bound` | `diffusion.py`; `bound.py` |
# | $L_T$; $L_{t-1}$, $L_0$ | `Schedule.L_T`; `L_term`, `closed_form_terms` | `schedules.py`; `diffusion.py` |
# | $\sigma_t^2 = \beta_t$, $\tilde\beta_t$, $\sigma_t^{*2}$ | `sigma2_beta`, `sigma2_beta_tilde`, `sigma2_optimal` | `diffusion.py` |
# | $\mathrm{mse}_t$ | `mse`; `denoising_error` | `exact.py`; `diffusion.py` |
# | $x_T \to x_0$ | `reverse_path`, `sample` | `samplers.py` |
#
# Slips of other texts in these formulas are on the website's page *Where the tutorials slip*.
#
# **The way on.** The denoiser was given to us. Notebook 04 learns it, finds that predicting the noise is the same as predicting $x_0$, and asks how many of
# the nats above a small network keeps.
#
# **References**
#
# - *Diffusion Models*, lecture slides without an author's name
# - Ho, Jain, Abbeel (2020), *Denoising diffusion probabilistic models*, [arXiv:2006.11239](https://arxiv.org/abs/2006.11239)
# - Kingma, Salimans, Poole, Ho (2021), *Variational diffusion models*, [arXiv:2107.00630](https://arxiv.org/abs/2107.00630)
# - Luo (2022), *Understanding diffusion models: a unified perspective*, [arXiv:2208.11970](https://arxiv.org/abs/2208.11970)
# - Nichol, Dhariwal (2021), *Improved denoising diffusion probabilistic models*, [arXiv:2102.09672](https://arxiv.org/abs/2102.09672)
# - Sohl-Dickstein, Weiss, Maheswaranathan, Ganguli (2015), *Deep unsupervised learning using nonequilibrium thermodynamics*,
#   [arXiv:1503.03585](https://arxiv.org/abs/1503.03585)
# - Turner (2021), *Diffusion models as a kind of VAE*, blog
