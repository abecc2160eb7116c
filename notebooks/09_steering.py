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
# # Steering: what does guidance sample?
#
# A model of digits draws any digit. We want a seven. A model of points draws both coordinates. We know the first. In practice one steers
# such a model while it samples: *guidance* pushes it towards a label, *inpainting* holds on to what is known. Every course shows that
# the pictures are nice. On the roll the right law is known at every noise level, so we can ask what law is sampled.
#
# **The question.** What does guidance sample, what does it cost, and how can one check it?
#
# **Afterwards you can**
# - derive guidance from Bayes' rule, by a classifier and without one, and say why the two are the same,
# - say what is sampled at weight 1 and at any other weight, in nats,
# - reach the law that guidance only promises, by weighing particles,
# - fill in unknown coordinates by four methods, and say how far each is from the exact conditional,
# - take noise out of points with a model that was never trained for it, and start at the right place.
#
# **Time** about 60 minutes to read, and 30 for the exercises, both estimates from a count of words,
# formulas and lines. **You need** notebooks 03 and 04; notebook 07 for the density of a flow.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import (
    checks, conditioning, evaluate, guidance, plots, pretrained, samplers,
    schedules, widgets
)
from diffusion_edu.data import Digits, SwissRoll
from diffusion_edu.diffusion import q_marginal

# %% [markdown]
# The label of this notebook is the third of the roll that a point was drawn from: inner, middle or outer.

# %%
plots.use_style()
roll, schedule = SwissRoll(nodes=384), schedules.cosine(1000)
parts = roll.thirds()
alpha_bar = schedule.alpha_bar
NAMES = ("inner", "middle", "outer")
# (x_t, t) → log p(y|x_t), (..., 3)
log_label = guidance.exact_labels(parts, alpha_bar)


def denoiser(data):
    return lambda xt, t: data.at_noise(float(alpha_bar[t])).x0_mean(
        xt, float(alpha_bar[t]))


plain, middle = denoiser(roll), denoiser(parts[1])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(n, seed, dim=2):
    return torch.randn(n, dim, dtype=torch.float64, generator=seeded(seed))


def of_middle(x, t=0):
    return log_label(x, t)[..., 1]


# %% [markdown]
# This is where we are going. All three panels show points that ought to be of the middle third. The first ones are true. The others are guided,
# with the exact score, at the weights 1 and 4.

# %% mystnb={"image": {"alt": "Three panels over the roll in light grey. Left, true points fill the middle third, a long arc. Middle, guided at weight 1 they fill the same arc. Right, at weight 4 they crowd around the middle of the arc, and its ends are empty."}}
def drawn(denoise, n=1000, seed=1, steps=200):
    return samplers.sample(
        denoise, schedule, normal(n, seed), steps=steps, generator=seeded(seed))


third = parts[1].sample(1000, seed=5)
shown = {"true": third}
for w in (1, 4):
    shown[f"guided, w = {w}"] = drawn(guidance.guided(plain, middle, w))
for (title, x), ax in zip(
        shown.items(), plots.axes_row(3, size=2.6), strict=True):
    plots.density(roll.log_prob(plots.grid(n=100)), ax).images[0].set_alpha(0.4)
    plots.points(
        x, ax, color=plots.TRUTH if title == "true" else plots.MODEL,
        title=title, size=4)
for title, x in shown.items():
    print(f"{title:14} mean p(middle | x) {of_middle(x).exp().mean():.4f}")

# %% [markdown]
# At weight 4 the points look tidy: no one can doubt their label, less than that of true points. But the ends of the third are gone. How wrong that is can be said in nats, and section 3 does.
#
# ## 1 A label, and when it is decided
#
# Cut the roll at $u = \tfrac13$ and $u = \tfrac23$. Each third is an integral over its own piece of the curve, so $p(x \mid y)$ is exact, and so is
#
# $$ p(y \mid x_t) = \frac{p(x_t \mid y)\, p(y)}{p(x_t)}, \qquad p(y) = \tfrac13. \tag{9.1} $$
#
# - $y$: the label, one of three. $p(x_t \mid y)$: the law of the third, diffused as in (3.4).
#
# How much does a label tell? $I(x; y)$ can be had in two ways, $H(x) - H(x \mid y)$ and $H(y) - H(y \mid x)$. *Check* that they agree:

# %%
H, H_given = roll.entropy(), [p.entropy() for p in parts]
x = roll.sample(20_000, seed=2)
p_label = log_label(x, 0)
left, se = evaluate.mean_and_error(-(p_label.exp() * p_label).sum(-1))
print("H(x|y):",
      ",  ".join(
          f"{name} {h:.3f}" for name, h in zip(NAMES, H_given, strict=True)),
      "nats")
print(f"I(x; y) = H(x) − H(x|y) = {H - sum(H_given) / 3:.3f}     = log "
      f"3 − H(y|x) = {math.log(3) - left:.3f} ± {se:.3f}")
assert abs(H - sum(H_given) / 3 - math.log(3) + left) < 4 * se

# %% [markdown]
# The thirds differ in length, so their entropies do. **Predict first:** at which noise level does a point lose its label?

# %% mystnb={"image": {"alt": "The entropy of the label given x_t against log SNR: near log 3 below minus 3, falling steeply between minus 1 and 3, near zero above 5."}}
levels = torch.linspace(-6, 9, 26)
known_at = [
    int((schedule.log_snr[1:] - level).abs().argmin()) + 1 for level in levels
]
unsure = []
for t in known_at:
    log_p = log_label(q_marginal(schedule, t, x[:3000]).sample(seeded(t)), t)
    unsure.append(-(log_p.exp() * log_p).sum(-1).mean().item())
ax = plots.plt.subplots(figsize=(6.4, 3))[1]
plots.truth(
    [schedule.log_snr[t] for t in known_at], unsure, ax, label="H(y | x_t)")
ax.axhline(math.log(3), color=plots.DATA, linestyle="--", label="log 3")
ax.set(xlabel="log SNR λ  (noise on the left)", ylabel="nats")
_ = ax.legend()

# %% [markdown]
# Between $\lambda = -1$ and $3$. On its way back a point chooses its third there, and there guidance acts. The same in the plane, as colours: blue for the inner third, orange for the
# middle one and green for the outer one, mixed by the probabilities of the three labels.

# %% mystnb={"image": {"alt": "Four panels of the plane coloured by the label's probabilities. Without noise the colours follow the arms of the roll with sharp borders; with more noise the borders blur, and at the highest noise the plane has nearly one colour."}}
from matplotlib.colors import to_rgb

points = plots.grid(n=100)
palette = torch.tensor(
    [to_rgb(c) for c in (plots.Q, plots.MODEL, plots.EXTRA[0])]).double()
for level, ax in zip((8.0, 3.0, 1.0, -3.0), plots.axes_row(4), strict=True):
    t = int((schedule.log_snr[1:] - level).abs().argmin()) + 1
    colours = (log_label(points, t).exp() @ palette).reshape(
        100, 100, 3).transpose(0, 1)
    ax.imshow(colours, origin="lower", extent=(-plots.LIMIT, plots.LIMIT) * 2)
    ax.set(title=f"λ = {level:g}", xticks=[], yticks=[])

# %% [markdown]
# ## 2 Guidance is Bayes' rule
#
# *Derivation.* Take the logarithm of (9.1) and its gradient in $x_t$. $p(y)$ drops out:
#
# $$ \nabla \log p(x_t \mid y) = \nabla \log p(x_t) + \nabla \log p(y \mid x_t). \tag{9.2} $$
#
# The score of the conditional is the score of the model plus the gradient of a classifier that has learned on noisy points (Song et al. 2021, §5;
# Dhariwal & Nichol 2021, §4). With a weight $w$ on the second term, and by $\hat x_0 = (x_t + (1 - \bar\alpha)\, s) / \sqrt{\bar\alpha}$,
#
# $$ \begin{aligned}
# s_w &= \nabla \log p(x_t) + w\, \nabla \log p(y \mid x_t), \\
# \hat x_{0,w} &= \hat x_0 + w\, \frac{1 - \bar\alpha}{\sqrt{\bar\alpha}}\, \nabla \log p(y \mid x_t).
# \end{aligned} \tag{9.3} $$
#
# No classifier is needed if the model itself knows labels. By (9.2) the gradient is the difference of its two scores, and in $\varepsilon$, $\hat x_0$ and $v$ alike
#
# $$ \hat\varepsilon_w = \hat\varepsilon(x_t) + w\, \big( \hat\varepsilon(x_t, y) - \hat\varepsilon(x_t) \big). \tag{9.4} $$
#
# This is *classifier-free guidance* (Ho & Salimans 2022). The maps between the predictions are affine, $\hat\varepsilon = (x_t - \sqrt{\bar\alpha}\, \hat x_0) / \sqrt{1 - \bar\alpha}$, and
# $x_t$ is the same in all terms. It cancels in the difference. So *the same $w$ serves for every prediction*. *Check* all of it:

# %%
from diffusion_edu.ddpm import eps_from_x0, x0_from_eps
from diffusion_edu.oracles import Mixture, exact_denoiser

weights, means = (
    torch.cat([getattr(p, name) for p in parts])
    for name in ("weights", "means"))
# the roll, on the nodes of its thirds
thirds = Mixture(weights, means, parts[0].variances[0])
for t in (50, 400, 900):
    xt, bar = normal(500, seed=t), float(alpha_bar[t])
    by_classifier = guidance.classifier_guided(
        exact_denoiser(thirds, alpha_bar), of_middle, alpha_bar, 1.0)(xt, t)
    off = (by_classifier - parts[1].x0_mean(xt, bar)).abs().max().item()
    eps, eps_y = (eps_from_x0(xt, f(xt, t), bar) for f in (plain, middle))
    in_eps = x0_from_eps(xt, eps + 2.5 * (eps_y - eps), bar)
    in_x0 = guidance.guided(plain, middle, 2.5)(xt, t)
    same = (in_eps - in_x0).abs().max().item()
    print(f"t = {t}:  (9.2) below 1e-10: {off < 1e-10},   (9.4) in ε and in "
          f"x̂₀ below 1e-10: {same < 1e-10}")
    assert off < 1e-10 and same < 1e-10

# %% [markdown]
# **Exercise: guidance in ε.** *6 minutes, easy.*
#
# Write (9.4). `eps` and `eps_given` are the two answers of a network, (n, D).

# %%
def my_guided_eps(eps, eps_given, weight):
    """The guided ε̂, like eps."""
    return ...


checks.guided_eps(my_guided_eps)

# %% [markdown]
# <details><summary>Hint 1: guidance in ε</summary>
#
# What must come out at $w = 0$, and what at $w = 1$?
#
# </details>
#
# <details><summary>Hint 2: guidance in ε</summary>
#
# From `eps` on, $w$ times the way to `eps_given`. For $w > 1$ it goes beyond.
#
# </details>
#
# <details><summary>Solution: guidance in ε</summary>
#
# ```python
# def my_guided_eps(eps, eps_given, weight):
#     """The guided ε̂, like eps."""
#     return eps + weight * (eps_given - eps)
# ```
#
# </details>

# %% [markdown]
# **Where tutorials slip.** Ho & Salimans (2022) write $(1 + w)\, \hat\varepsilon(x_t, y) - w\, \hat\varepsilon(x_t)$. Their $w$ is ours less 1. In their convention 0 is $p(x \mid y)$,
# in ours 1 is. Libraries use both. Whoever takes a weight from a paper should ask first which value means "no guidance".

# %% [markdown]
# **Exercise: a classifier's push.** *8 minutes, medium.*
#
# Write the second line of (9.3). `gradient` is $\nabla \log p(y \mid x_t)$, (n, D).

# %%
def my_pushed_x0(x0_hat, gradient, alpha_bar, weight):
    """The guided x̂₀, like x0_hat."""
    return ...


checks.pushed_x0(my_pushed_x0)

# %% [markdown]
# <details><summary>Hint 1: a classifier's push</summary>
#
# The score is $s = (\sqrt{\bar\alpha}\, \hat x_0 - x_t)/(1 - \bar\alpha)$. Solve for $\hat x_0$, and put $s + w \nabla$ in the place of $s$.
#
# </details>
#
# <details><summary>Hint 2: a classifier's push</summary>
#
# $\hat x_0 = (x_t + (1 - \bar\alpha) s)/\sqrt{\bar\alpha}$, so what is added to $s$ comes out with the factor $(1 - \bar\alpha)/\sqrt{\bar\alpha}$.
#
# </details>
#
# <details><summary>Solution: a classifier's push</summary>
#
# ```python
# def my_pushed_x0(x0_hat, gradient, alpha_bar, weight):
#     """The guided x̂₀, like x0_hat."""
#     return x0_hat + weight * (1 - alpha_bar) / alpha_bar**0.5 * gradient
# ```
#
# </details>

# %% [markdown]
# ## 3 What is sampled
#
# At $w = 1$ the guided score is that of $p(x_t \mid y)$, at every $t$. So the samples have the law $p(x \mid y)$. At any other weight one would like to sample
# the *tilted* law
#
# $$ p_w(x_0) = \frac{1}{Z_w}\, p(x_0)\, p(y \mid x_0)^w. \tag{9.5} $$
#
# But diffuse it to $t$, and the result is not what guidance takes for it:
#
# $$ \frac{1}{Z_w}\, p(x_t)\; \mathbb{E}\big[ p(y \mid x_0)^w \mid x_t \big] \;\ne\; \frac{1}{Z_w}\, p(x_t)\; \mathbb{E}\big[ p(y \mid x_0) \mid x_t \big]^w . \tag{9.6} $$
#
# On the left is the tilted law after diffusion. On the right is the law whose score is $s_w$, since $\mathbb{E}[p(y \mid x_0) \mid x_t] = p(y \mid x_t)$. A power and a mean do not
# commute. Without noise $s_w$ is the score of $p_w$. So a law with the score $s_w$ at every level could only be $p_w$, and its diffused density is the left side. *No law has the score $s_w$
# at all noise levels* (Du et al. 2023; Bradley & Nakkiran 2024).
#
# What guidance does sample can be computed. The probability flow of notebook 07 is an ODE for the guided score too, and its divergence is the same
# mixture of two known ones. So by (7.10) every guided point comes with its own log density, and
#
# $$ \mathrm{KL}(\text{guided} \,\|\, p_w) = \mathbb{E}\big[ \log p_{\text{guided}}(x) - \log p_w(x) \big] \quad \text{nats} \tag{9.7} $$
#
# is a mean over guided points. **Predict first.** For these three labels $p(y \mid x_0)$ is almost always near 0 or 1, and so is its $w$-th power. Hence the target (9.5) hardly
# depends on $w$. How far is the guided law from it at $w = 2$?

# %%
from diffusion_edu import likelihood

# 0.02 apart, a quarter of the roll's width: sums are integrals
cells = plots.grid(limit=3, n=301)
log_roll, sure = roll.log_prob(cells), of_middle(cells)
flows = likelihood.exact_flow(roll), likelihood.exact_flow(parts[1])
up = torch.linspace(-8.7, 11.6, 121).double()
for w in (1, 2):
    log_z = (log_roll + w * sure).logsumexp(0) + 2 * math.log(0.02)
    x, log_p = guidance.sample_with_density(
        guidance.guided_flow(*flows, w), normal(400, seed=7), up)
    kl, se = evaluate.mean_and_error(
        log_p - (roll.log_prob(x) + w * of_middle(x) - log_z))
    print(f"w = {w}:  Z_w = {log_z.exp():.3f},   "
          f"KL(guided ‖ tilted) = {kl:.3f} ± {se:.3f} nats")
    assert kl < 0.005 if w == 1 else kl - 4 * se > 0.3

# %% [markdown]
# Right at weight 1, and half a nat off at weight 2, with the exact score and a target that hardly moved. The table has more weights, and the second sampler: `ancestral`
# steps, which solve the SDE. It was computed beforehand by `python tools/bench/steering.py`, for three sets of noise. (± is the standard error over the three. The floor itself is the mean of four pairs of true sets, and uncertain by a third.) A *soft* label is in it
# too, with $p(y = 1 \mid u) = u$. Its tilt is gentle, and there $w$ does something.

# %%
measured = pretrained.measured("guidance", "label", "weight", "sampler")
print("label     w sampler    KL, nats        energy / floor   "
      "E log p_w − true   off roll")
for (label, w, sampler), row in measured.items():
    if not sampler.startswith("particles"):
        kl = f"{row['kl'][0]:6.3f} ± {row['kl'][1]:.3f}" if "kl" in row else ""
        (energy, se), log_p, off = row["energy"], row["log_p"][0], row["off"][0]
        print(f"{label:6} {w:>4} {sampler:10} {kl:15} {energy:7.1f} "
              f"± {se:4.1f} {log_p:18.3f} {off:10.4f}")
KL = {w: measured["middle", w, "flow"]["kl"][0]
      for w in ("0.5", "1.0", "2.0", "4.0")}
assert abs(KL["1.0"]) < 0.005 and 0.3 < KL["2.0"] < KL["4.0"] < KL["0.5"]
at_two = {sampler: measured["middle", "2.0", sampler]
          for sampler in ("truth", "flow", "ancestral")}
assert at_two["flow"]["log_p"][0] > at_two["truth"]["log_p"][0]
assert at_two["flow"]["off"][0] < at_two["truth"]["off"][0]

# %% [markdown]
# Four things can be read off.
#
# - **Only $w = 1$ is right.** For the middle third, half the weight is worse than twice the weight: at $w = \tfrac12$ one in eleven of the flow's points is off the roll.
# - **Quality does not see it.** At $w = 2$ the flow's points have a larger $\mathbb{E} \log p_w$ than true ones, and fewer of them are off the roll. Those of the SDE cannot be told from true ones by either column. The energy distance sees what is
#   wrong: mass in the wrong place.
# - **SDE and ODE disagree.** For a true score both have one law (7.5). Here there is no such law, and each goes its own way. For the middle third the ODE is further off.
# - **A gentle label suffers less.** Nothing is special about 2 or 4. What counts is how far a power and a mean fail to commute.
#
# **Where tutorials slip.** Many give (9.5) as the law that guidance samples, or say that a larger $w$ only "pushes harder". It is that law at $w = 1$ alone, as Du et al. (2023) and
# Bradley & Nakkiran (2024) say too.
#
# Move the weight yourself. The arrows are the exact guided score, the line on the right is the histogram along the roll against the tilted target.

# %%
widgets.guidance_dial(SwissRoll(nodes=192), weight=2.0)

# %% [markdown]
# ## 4 Weights on particles
#
# The tilted law can be reached. Let many particles take guided steps, and keep account of what guidance changed. One step of the plain chain is
# $p(x_{t-1} \mid x_t)$. The guided step $k(x_{t-1} \mid x_t)$ has another mean. A particle that followed it has come to its place too often or too seldom, and carries the weight
#
# $$ \frac{p(x_{t-1} \mid x_t)}{k(x_{t-1} \mid x_t)} \cdot \frac{g_{t-1}(x_{t-1})}{g_t(x_t)}, \qquad g_t = p(y \mid x_t)^w. \tag{9.8} $$
#
# <details><summary>Proof that the weights make it right</summary>
#
# Multiply (9.8) over all steps. The factors $g$ telescope to $g_0(x_0)/g_T(x_T)$, and a particle starts with the weight $g_T(x_T)$. So the path $x_T, \dots, x_0$, drawn with the density
# $p(x_T) \prod k$, has the weight $g_0(x_0) \prod p / k$. Density times weight is $p(x_T) \prod p(x_{t-1} \mid x_t) \cdot p(y \mid x_0)^w$: the chain's own law, tilted. The functions $g_t$ in between
# do not matter for the answer. They only decide how even the weights are. Drawing particles anew in proportion to their weights, and then setting the weights to one, changes no mean.
#
# </details>
#
# This is *twisted sequential Monte Carlo* (Wu et al. 2023). It needs no density of the data, only the model and the classifier. `conditioning.particles` has it. In the last step $g_0 = p(y \mid x_0)^w$. On the way any $g_t$ is
# allowed. **Predict first:** which is the better one for the middle third at $w = 4$, $p(y \mid x_t)^4$ or just $p(y \mid x_t)$?

# %%
kinds = {"truth": "true points",
         "ancestral": "guidance",
         "particles": "particles, gₜ = p(y|xₜ)ʷ",
         "particles-1": "particles, gₜ = p(y|xₜ)"}
heads = [f"{label}, w = {w}" for label in ("middle", "soft") for w in (2, 4)]
print("energy distance / floor   " + "".join(head.rjust(14) for head in heads))
for sampler, name in kinds.items():
    found = [measured[label, w, sampler]["energy"]
             for label in ("middle", "soft") for w in ("2.0", "4.0")]
    print(f"{name:26}"
          + "".join(f"{energy:7.1f} ± {se:4.1f}" for energy, se in found))
best = {
    label: min(measured[label, "4.0", s]["energy"][0]
               for s in ("particles", "particles-1"))
    for label in ("middle", "soft")
}
assert all(
    best[label] < 0.3 * measured[label, "4.0", "ancestral"]["energy"][0]
    for label in best)

# %% [markdown]
# With the right $g_t$ the particles come close to the tilted law, and a particle takes as many calls as a point that a classifier guides. Guidance needs a correction, not another weight.
#
# For the middle third $p(y \mid x_t)^4$ is the wrong $g_t$: two thousand particles go where guidance goes, few of them see the ends of the third, and the weights cannot make up for points that are not there. For a label that is nearly certain
# $\mathbb{E}[p(y \mid x_0)^4 \mid x_t]$ is about $p(y \mid x_t)$, so this is the right one. The next figure takes it.

# %% mystnb={"image": {"alt": "Three histograms of the place along the roll for the middle third at weight 4. The true points fill the third evenly, the guided ones pile up in its middle, the particles fill it evenly again."}}
u = torch.linspace(0, 1, 1501, dtype=torch.float64)
place = lambda x: u[torch.cdist(x, roll.curve(u)).argmin(1)]
tilt = lambda x, t: (1 if t else 4) * of_middle(x, t)
*_, (_, x) = conditioning.particles(
    plain, tilt, schedule, normal(1000, 3)[None], seeded(4), steps=200)
clouds = {"true": guidance.tilted(roll, of_middle, 4, 1000, seed=8),
          "guided": shown["guided, w = 4"],
          "particles": x[0]}
spread = {name: place(cloud).std().item() for name, cloud in clouds.items()}
axes = plots.plt.subplots(
    1, 3, figsize=(9, 2.4), sharey=True, layout="constrained")[1]
for (name, cloud), ax in zip(clouds.items(), axes, strict=True):
    colour = plots.TRUTH if name == "true" else plots.MODEL
    ax.hist(place(cloud).numpy(), bins=40, range=(0.2, 0.8), color=colour,
            alpha=0.8)
    ax.set(
        title=f"{name}: spread {spread[name]:.3f}", xlabel="u along the roll")
assert spread["guided"] < 0.8 * spread["true"]
assert abs(spread["particles"] / spread["true"] - 1) < 0.1

# %% [markdown]
# ## 5 Learned classifiers, learned labels
#
# Nobody has the exact $p(y \mid x_t)$. A classifier can learn it: draw $t$, make $x_t$, and minimise $-\log p_\phi(y \mid x_t)$. Its mean is
#
# $$ \begin{aligned}
# \mathbb{E}\big[ -\log p_\phi(y \mid x_t) \big] = H(y \mid x_t) &+ \\
# \mathbb{E}\, \mathrm{KL}\big( p(y \mid x_t) \,\|\, &p_\phi(y \mid x_t) \big).
# \end{aligned} \tag{9.9} $$
#
# We train two networks of the same kind, one training each. One learns at all noise levels. The other is an ordinary classifier, trained on clean points (at $t = 1$). **Predict first:**
# both will be right on nearly every clean point. Which one can guide?

# %%
from diffusion_edu import nets, training

labelled = roll.labelled_points(100_000, seed=3)


def classifier(draw_t, steps):
    torch.manual_seed(0)
    net = nets.NoisyClassifier(2, 3, schedule)
    loss = training.label_error(draw_t)
    trainer = training.Trainer(
        net, loss, labelled, steps=steps, batch=512, peak_lr=3e-3)
    for _ in trainer.run(progress=False):
        pass
    return trainer.ema.requires_grad_(False)


noisy = classifier(training.uniform_t, 4000)
clean = classifier(
    lambda schedule, n, generator: torch.ones(n, dtype=torch.int64), 2000)

# %%
x0 = roll.sample(4000, seed=11)
print("   t     λ  H(y|x_t)   KL: noisy one   clean one   error of the "
      "gradient, noisy")
KL_noisy = {}
for t in (1, 100, 200, 300, 500, 900):
    xt = q_marginal(schedule, t, x0).sample(seeded(t))
    log_p = log_label(xt, t)
    theirs = noisy(xt.float(), t).double(), clean(xt.float(), 1).double()
    kls = [(log_p.exp() * (log_p - other)).sum(-1).mean() for other in theirs]
    _, true = guidance.log_p_and_gradient(lambda x, t=t: of_middle(x, t), xt)
    _, learned = guidance.log_p_and_gradient(
        lambda x, t=t: noisy(x.float(), t)[:, 1], xt)
    off = (learned - true).square().sum() / true.square().sum()
    unsure = -(log_p.exp() * log_p).sum(-1).mean()
    KL_noisy[t] = kls[0]
    print(f"{t:4} {schedule.log_snr[t]:5.1f} {unsure:9.3f}   "
          f"≈ {kls[0]:11.4f} {kls[1]:11.3f} {off:20.2f}")
assert max(KL_noisy.values()) < 0.003

# %% [markdown]
# The noisy classifier is within two thousandths of a nat of the best there is. And yet its *gradient* at $t = 1$ is mostly wrong: a cross-entropy looks at values, not at slopes. It does no harm there, because the push
# (9.3) has the factor $(1 - \bar\alpha)/\sqrt{\bar\alpha}$, which is tiny at little noise. The clean classifier is off by many nats in noise, and sure of itself.

# %%
def of_net(net, at=None):
    return lambda x, t: net(x.float(), at or t)[..., 1].to(x)


guides = {
    "exact": of_middle,
    "noisy classifier": of_net(noisy),
    "clean classifier": of_net(clean, 1),
    "clean one, on x̂₀": lambda x, t: of_net(clean, 1)(plain(x, t), 1),
}
truth = parts[1].sample(6000, seed=21)
floor = sum(
    evaluate.energy_distance(parts[1].sample(1500, seed=80 + i), truth)
    for i in range(8)) / 8
print("guide                 energy distance / floor    "
      "P(label)    off the third")
judged = {}
for name, log_p in guides.items():
    x = drawn(guidance.classifier_guided(plain, log_p, alpha_bar, 1.0), n=1500)
    right = of_middle(x).exp().mean().item()
    off = evaluate.outlier_share(x, parts[1])
    judged[name] = evaluate.energy_distance(x, truth) / floor, right, off
    print(f"{name:20} ≈ {judged[name][0]:12.1f} {right:20.3f} {off:14.3f}")
assert judged["clean classifier"][1] > 0.9
assert judged["clean classifier"][2] > 0.1 > 10 * judged["noisy classifier"][2]

# %% [markdown]
# **Where tutorials slip.** With the clean classifier nearly all samples have the right label, and about a third of them are off the data. Label accuracy, the usual score, is blind to it. The usual rescue asks
# the clean classifier about $\hat x_0(x_t)$. That is better and still far off, since $p(y \mid \mathbb{E}[x_0 \mid x_t])$ is not $\mathbb{E}[p(y \mid x_0) \mid x_t]$.
#
# Now without a classifier. One network learns $p(x)$ and $p(x \mid y)$ together: the label is a few more inputs, and in a tenth of the batch it is left out. Such a network
# comes with the library, trained by `diffusion-edu train ddpm --data swiss-roll --labels` in about a minute. Its bound, by label, against the exact $H(x \mid y)$:

# %%
model, card = pretrained.load("roll-labels"), pretrained.card("roll-labels")
for name, (gap, se) in card["gaps"].items():
    print(f"{name:8} −ELBO − H = {gap:.4f} ± {se:.4f} nats")
assert all(gap < 0.08 for gap, _ in card["gaps"].values())

# %% [markdown]
# The worst is the model without a label, which saw a tenth of the data. And it is the one that guidance pushes *away* from. How far are the samples from those of the exact
# guidance at the same weight?

# %%
def by_net(w, seed):
    start = {"generator": seeded(seed), "steps": 200}
    return samplers.sample(
        guidance.guided_model(model, 1, w).x0_hat, schedule,
        normal(1500, seed).float(), **start).double()


for w in (1, 2, 4):
    exact = drawn(guidance.guided(plain, middle, w), n=3000, seed=5)
    sets = [by_net(w, seed) for seed in (1, 2, 3)]
    apart, from_third = (
        sum(evaluate.energy_distance(x, other) for x in sets) / 3 / floor
        for other in (exact, truth))
    print(f"w = {w}: from exact guidance ≈ {apart:5.1f} floors, from the "
          f"third itself ≈ {from_third:6.1f} floors")
    assert w > 1 or from_third < 4

# %% [markdown]
# Means over three sets of noise. At weight 1 the network's samples are within a few floors of true ones. At larger weights nearly all of the distance is guidance's own, and only a small part the network's.
#
# ## 6 Inpainting: what is known stays
#
# Now $x_1$ is known and $x_2$ is to be drawn. The right law is $p(x_2 \mid x_1)$, one mixture on the line (`Mixture.conditional`): along the line $x_1 = \text{const}$ the roll is cut in several
# places. The simplest method is *replacement*: run the chain as ever, and put the known coordinate into each $x_t$, with the noise that belongs there,
#
# $$ x_{t,1} = \sqrt{\bar\alpha_t}\; x_1 + \sqrt{1 - \bar\alpha_t}\; \varepsilon . \tag{9.10} $$

# %% [markdown]
# **Exercise: what is known at t.** *8 minutes, easy.*
#
# Write (9.10) for any number of coordinates. `is_known` (D,) is true where the value in `x0` (D,) is known. Elsewhere `xt` stays as it is.

# %%
def my_put_in(xt, x0, is_known, alpha_bar, eps):
    """x_t with what is known put in, like xt (n, D)."""
    return ...


checks.put_in(my_put_in)

# %% [markdown]
# <details><summary>Hint 1: what is known at t</summary>
#
# It is the jump (3.4) from the known value.
#
# </details>
#
# <details><summary>Hint 2: what is known at t</summary>
#
# `torch.where(is_known, …, …)` takes the one where a coordinate is known, and the other where it is not.
#
# </details>
#
# <details><summary>Solution: what is known at t</summary>
#
# ```python
# def my_put_in(xt, x0, is_known, alpha_bar, eps):
#     """x_t with what is known put in, like xt (n, D)."""
#     noisy = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * eps
#     return torch.where(is_known, noisy, xt)
# ```
#
# </details>

# %% [markdown]
# **Where tutorials slip.** Algorithm 1 of a famous paper on inpainting (Lugmayr et al. 2022) prints $(1 - \bar\alpha_t)\, \varepsilon$ in its line 5, without the root, although its own eq. 8a has the variance
# $1 - \bar\alpha_t$. A large public library changed its correct code to the misprint, shipped it, and took it back a month later. The law of the step settles it, samples hardly would:

# %%
x = roll.sample(20_000, seed=31)
eps = normal(20_000, 32)
bar = float(alpha_bar[500])
wanted = q_marginal(schedule, 500, x).sample(seeded(33))[:, 0].var().item()
for name, noise in {
        "√(1−ᾱ) ε": (1 - bar) ** 0.5, "(1−ᾱ) ε, as printed": 1 - bar}.items():
    variance = (bar**0.5 * x[:, 0] + noise * eps[:, 0]).var().item()
    print(f"{name:22} variance of x_t {variance:.3f},  "
          f"the chain's {wanted:.3f}")
    assert (abs(variance - wanted) < 0.03) == name.startswith("√")

# %% [markdown]
# Why is replacement wrong at all? The other coordinate at $t$ was denoised with an $x_{t,1}$ that is random again at each step. It never learns early enough on which arm it has to end. Three ways out:
#
# - **RePaint** (Lugmayr et al. 2022): repeat each step $r$ times, with noise added back in between, so that the two coordinates can agree.
# - **Reconstruction guidance:** put a guess in the place of $p(x_1 \mid x_t)$ and follow its gradient, $N(x_1; \hat x_{0,1}(x_t), r_t^2)$. With $r_t^2 = 1 - \bar\alpha_t$ this is ΠGDM (Song et al. 2023), with a step of fixed size $\zeta$ it is DPS (Chung
#   et al. 2023), with $r_t^2 = \mathrm{Var}[x_{0,1} \mid x_t]$ it matches moments. The guess is exact only for Gaussian data.
# - **Particles:** the same guess, and the weights (9.8), with $g_t$ the guess.
#
# The table compares 500 samples for each of eight values of $x_1$ with the exact law, three times. It has the Wasserstein distance $W_1 = \int |F - G|\, dx_2$ of the two distribution functions $F$ and $G$, the loss in $\log p(x_2 \mid x_1)$, and the
# share of *strays*, points with $\log p(x_2 \mid x_1) < -6$, which true points hardly ever have. The calls are those of one run; its $N$ particles are $N$ samples that depend on each other.

# %%
table = pretrained.measured("inpainting", "method", "setting")
print("method          setting         calls  W₁             nats lost  "
      "strays  miss of x₁")
for (method, setting), row in table.items():
    w, nats, stray, miss = (
        row[name] for name in ("wasserstein", "nats", "stray", "miss"))
    print(f"{method:15} {setting:15} {row['calls'][0]:5.0f}  {w[0]:.3f} "
          f"± {w[1]:.3f} {nats[0]:10.2f} {stray[0]:7.4f} {miss[0]:11.3f}")
W = {key: row["wasserstein"][0] for key, row in table.items()}
floor_w = W["truth", ""]
assert W["replacement", "1000"] > 3 * floor_w
assert W["exact chain", ""] < 1.3 * floor_w
assert W["particles", "N = 128"] < W["RePaint", "r = 20"]
assert W["RePaint", "r = 20"] < W["RePaint", "r = 2"] < W["replacement", "50"]

# %% [markdown]
# - **More steps do not repair replacement.** Twenty times the calls hardly help. Going back and forth does: RePaint falls with $r$.
# - **DPS depends on its $\zeta$.** With 0.01 one point in eight is a stray, with 0.3 it misses $x_1$ by 0.3. Without a truth one cannot tell which is best.
# - **A better guess is not enough.** Matching the moments is the best Gaussian there is, but where $x_t$ lies between arms, $p(x_{0,1} \mid x_t)$ is no Gaussian.
# - **Weights help most.** The same wrong guess, weighed, comes nearest to true samples, though not all the way.
#
# One value of $x_1$ as a picture, with the exact law in black:

# %% mystnb={"image": {"alt": "Left, the roll with a vertical line that cuts it four times. Right, three histograms of the other coordinate against the exact density, a black curve with several peaks: replacement has wrong heights and points between the peaks, RePaint and particles are closer."}}
known = torch.tensor([0.45, math.nan], dtype=torch.float64)
law = roll.conditional(known)
line = torch.linspace(-2.2, 2.2, 800, dtype=torch.float64)
start, steps = normal(1000, 41), {"steps": 100, "generator": seeded(42)}
found = {
    f"{name}, r = {r}": samplers.sample(
        plain, schedule, start, step=conditioning.repaint(known, r, seeded(43)),
        **steps) for name, r in (("replacement", 1), ("RePaint", 10))
}
guess = conditioning.guess(
    plain, known, lambda x, t: 1 - float(alpha_bar[t]) + 0.02**2)
*_, (_, x) = conditioning.particles(
    plain, guess, schedule, normal(1024, 44).reshape(32, 32, 2), seeded(45),
    steps=100)
found["32 particles"] = x.flatten(0, 1)
axes = plots.plt.subplots(
    1, 4, figsize=(10, 2.7), layout="constrained",
    width_ratios=(1, 1.2, 1.2, 1.2))[1]
plots.density(roll.log_prob(plots.grid(n=100)), axes[0], title="x₁ is known")
axes[0].axvline(known[0], color=plots.ERROR)
for (name, x), ax in zip(found.items(), axes[1:], strict=True):
    ax.hist(x[:, 1].numpy(), bins=70, range=(-2.2, 2.2), density=True,
            color=plots.MODEL, alpha=0.7)
    plots.truth(line, law.log_prob(line[:, None]).exp(), ax, label=None)
    ax.set(title=name, xlabel="x₂", yticks=[])
_ = axes[1].set(ylabel="p(x₂ | x₁)")

# %% [markdown]
# Drag $x_1$ and choose the method. Where the line touches an arm of the roll, the density has a peak that replacement often misses.

# %%
widgets.inpainting_line(SwissRoll(nodes=192), x1=0.45, method="replacement")

# %% [markdown]
# ## 7 Denoising with no training
#
# A camera gives $y = x_0 + \sigma n$, and somebody asks for $x_0$. A diffusion model is a denoiser already. But it must be asked at the right level, and in its own scale. $\sqrt{\bar\alpha_t}\, y = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{\bar\alpha_t}\, \sigma\, n$ is
# an $x_t$ of the chain if its noise has the variance $1 - \bar\alpha_t$ (Carlini et al. 2023):
#
# $$ \frac{1 - \bar\alpha_t}{\bar\alpha_t} = \sigma^2, \qquad x_t = \sqrt{\bar\alpha_t}\; y. \tag{9.11} $$

# %% [markdown]
# **Exercise: where denoising starts.** *8 minutes, medium.*
#
# Return the pair $(\bar\alpha, x)$ at which the chain can be asked about $y$.

# %%
def my_start(sigma, y):
    """ᾱ, a number, and the point x of the chain, like y."""
    return ...


checks.start(my_start)

# %% [markdown]
# <details><summary>Hint 1: where denoising starts</summary>
#
# Solve the left part of (9.11) for $\bar\alpha$.
#
# </details>
#
# <details><summary>Hint 2: where denoising starts</summary>
#
# $1/\bar\alpha = 1 + \sigma^2$. And $x$ is $y$, shrunk as the chain shrinks its points.
#
# </details>
#
# <details><summary>Solution: where denoising starts</summary>
#
# ```python
# def my_start(sigma, y):
#     """ᾱ, a number, and the point x of the chain, like y."""
#     alpha_bar = 1 / (1 + sigma**2)
#     return alpha_bar, alpha_bar**0.5 * y
# ```
#
# </details>

# %% [markdown]
# From there three answers can be had: the mean $\mathbb{E}[x_0 \mid y]$ in *one* call, a sample of $p(x_0 \mid y)$ by going on with the chain, and something between by DDIM. The posterior is exact here: $\log p(x_0 \mid y) = \log p(x_0) + \log N(y; x_0, \sigma^2) - \log p(y)$. Its mean at the true $x_0$ is what
# honest samples must reach. **Predict first:** which answer has the smallest squared error, and which of them lie on the roll?

# %%
sigma, x0 = 1.0, roll.sample(1500, seed=51)
y = x0 + sigma * normal(1500, 52)
t, scale = conditioning.denoise_from(schedule, sigma)
wrong_t = int(((1 - alpha_bar[1:]).sqrt() - sigma).abs().argmin()) + 1


def down(x, t, step):
    return samplers.sample(
        plain, schedule, x, start=t, step=step, generator=seeded(53))


ddim, chain = samplers.first_order(samplers.ddim), samplers.ANCESTRAL
answers = {
    "y itself": y,
    "the mean, one call": plain(scale * y, t),
    "the chain from √ᾱ y": down(scale * y, t, chain),
    "DDIM from √ᾱ y": down(scale * y, t, ddim),
    "slip: y not scaled": down(y, t, chain),
    "slip: t with √(1−ᾱ) = σ, and y": down(y, wrong_t, chain),
}

# %%
def log_posterior(x):
    bar = 1 / (1 + sigma**2)
    log_y = roll.log_prob(bar**0.5 * y, bar) + math.log(bar)
    return (roll.log_prob(x) - ((y - x) ** 2).sum(-1) / (2 * sigma**2)
            - math.log(2 * math.pi * sigma**2) - log_y)


best = log_posterior(x0)
truth = roll.sample(1500, seed=54)
floor = evaluate.noise_floor(evaluate.energy_distance, roll, 1500)
print(f"H(x₀|y) = {-best.mean():.2f} nats;  t = {t}, by the slip {wrong_t}")
print("                                error²/D    off   "
      "log p(x|y) − truth   energy/floor")
scores = {}
for name, x in answers.items():
    mse = (x - x0).square().mean().item()
    off = evaluate.outlier_share(x, roll)
    nats, se = evaluate.mean_and_error(log_posterior(x) - best)
    scores[name] = mse, off, nats
    print(f"{name:31} {mse:8.3f} {off:6.3f} {nats:13.2f} ± {se:.2f} "
          f"{evaluate.energy_distance(x, truth) / floor:12.1f}")
assert scores["the mean, one call"][1] > 0.5
assert abs(scores["the chain from √ᾱ y"][2]) < 0.2
assert wrong_t == 1000 and scores["slip: t with √(1−ᾱ) = σ, and y"][2] < -1
assert abs(
    scores["the chain from √ᾱ y"][0] / scores["the mean, one call"][0] - 2
) < 0.15

# %% [markdown]
# - The mean has the smallest error and leaves the data: more than half of its points are off the roll. Between two arms the mean of the posterior is no point of either.
# - The chain draws from the posterior, at exactly *twice* the squared error: $\mathbb{E}|x_0 - x'|^2 = 2\, \mathbb{E}|x_0 - \mathbb{E}[x_0 \mid y]|^2$ for a fresh draw $x'$. This is a free test of any sampler of a posterior.
# - DDIM is on the roll with a quarter more than the smallest error. But it is *one* point for each $y$, more likely than the truth: its nats are above 0.
# - The slips look like data. With $\sigma = 1$ the second one starts at $t = T$, where $y$ is ignored altogether. Its answers are fine points of the roll, only not of this $y$. The share off the roll cannot see it, $\mathbb{E} \log p(x \mid y)$ can, and so can twice the
#   smallest error. The unscaled $y$ has a *smaller* error than an honest sample: it is too sure.
#
# ## 8 On digits
#
# No truth here, so two scores that can disagree. A classifier that learned on real digits says whether a sample has the right label. *Coverage* (Naeem et al. 2020) says how much of a class is reached: the share of its real images that have a sample within the
# distance of their fifth nearest real neighbour. The model is `digits-labels`, trained by `diffusion-edu train ddpm --data digits --labels`.

# %%
from sklearn.svm import SVC

from diffusion_edu.images import quality

digits, model = Digits(), pretrained.load("digits-labels")
real = digits.train_points(1437).double()
judge = SVC(C=10).fit(real, digits.train_labels)
tests = digits.sample_test(360)
print(f"the judge is right in {judge.score(tests, digits.test_labels):.3f} "
      "of the test images")


def of_class(k, w, n=60):
    guided = guidance.guided_model(model, k, w)
    return samplers.sample(
        guided.x0_hat, model.schedule, normal(n, 60 + k, dim=64).float(),
        steps=100, generator=seeded(k))


def framed(x):
    return torch.nn.functional.pad(digits.to_images(x), (1, 1, 1, 1), value=0.4)


# %% mystnb={"image": {"alt": "Left, rows of drawn digits from zero to nine. Right, two curves against the guidance weight: the share of right labels rises from a tenth at weight 0 to nearly one from 1 to 4 and falls at 8, the coverage is highest at weight 1 and falls towards zero at 8."}}
weights, found = (0, 1, 2, 4, 8), {}
for w in weights:
    sets = [of_class(k, w).double() for k in range(10)]
    right = sum(
        (torch.from_numpy(judge.predict(x)) == k).double().mean().item()
        for k, x in enumerate(sets)) / 10
    covered = sum(
        quality.coverage(real[digits.train_labels == k], x)
        for k, x in enumerate(sets)) / 10
    found[w] = right, covered, torch.cat([x[:6] for x in sets])
axes = plots.plt.subplots(
    1, 2, figsize=(8.4, 3.2), layout="constrained", width_ratios=(1, 1.2))[1]
plots.image_grid(
    framed(found[1][2].reshape(10, 6, 64).transpose(0, 1).flatten(0, 1)),
    axes[0], columns=10, title="w = 1")
for i, (label, colour) in enumerate(
        {"right label": plots.Q, "coverage": plots.MODEL}.items()):
    plots.curve(
        weights, [found[w][i] for w in weights], axes[1], color=colour,
        label=label, marker="o")
floor = quality.expected_coverage(144, 60)
axes[1].axhline(
    floor, color=plots.TRUTH, linestyle="--", label="coverage by true images")
axes[1].set(xlabel="weight w", ylabel="share", ylim=(0, 1.02))
_ = axes[1].legend(
    loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, fontsize=8)
for w in weights:
    print(f"w = {w}: right label ≈ {found[w][0]:.2f}, coverage "
          f"≈ {found[w][1]:.2f}")
assert found[4][0] > 0.9
assert found[1][0] > 0.9
assert found[4][1] < 0.6 * found[1][1]

# %% [markdown]
# The label is right at every weight from 1 to 4, and by that score alone one could as well take 4. At 8 the samples are no digits any more. Coverage has fallen to a fraction of what it was at 1. (Even there it is below that of true images, the dashed line: 0.2 million
# weights and a few minutes of training are not much.)
#
# The same model, without a label, fills in the lower half of test images, by RePaint, and takes noise of $\sigma = 0.5$ out of them:

# %% mystnb={"image": {"alt": "Five rows of ten digits: the originals, the upper halves, the completed digits, the noisy digits, and the cleaned ones. The completed digits mostly fit the upper half."}}
x, labels = tests[:60].float(), digits.test_labels[:60]
known = x.clone()
known[:, 32:] = math.nan
ways, scored = {"replacement": 1, "RePaint": 8}, {}
for name, r in ways.items():
    step = conditioning.repaint(known, r, seeded(71))
    x_T = normal(60, 72, dim=64).float()
    scored[name] = samplers.sample(
        model.x0_hat, model.schedule, x_T, step=step, steps=50,
        generator=seeded(73))
t, scale = conditioning.denoise_from(model.schedule, 0.5)
noisy_x = x + 0.5 * normal(60, 74, dim=64).float()
scored["denoised, one call"] = model.x0_hat(scale * noisy_x, t)
scored["denoised by the chain"] = samplers.sample(
    model.x0_hat, model.schedule, scale * noisy_x, start=t, generator=seeded(75)
)
for name, found_x in {"the test images": x, "noisy": noisy_x, **scored}.items():
    right = (torch.from_numpy(judge.predict(found_x.double()))
             == labels).double().mean().item()
    mse = (found_x - x).square().mean().item()
    print(f"{name:22} right label ≈ {right:.2f},  error² per pixel ≈ {mse:.3f}")
rows = [x, known.nan_to_num(0), scored["RePaint"], noisy_x,
        scored["denoised by the chain"]]
_ = plots.image_grid(framed(torch.cat([row[:10] for row in rows])), columns=10)

# %% [markdown]
# RePaint keeps more labels than replacement. And as on the roll, the one-call mean has about half the squared error of the chain's samples, each of which is *one* of the digits that the noisy image may be. The judge reads
# them less well than the noisy images: this small network often draws another digit than the one below the noise. What the label does not show is whether all possible completions are drawn in their right shares. For that one needs a truth, and only the roll has one.
#
# On the command line:
#
# ```
# diffusion-edu train ddpm --data digits --labels --out runs/digits
# diffusion-edu sample runs/digits --label 7 --guidance 2 --n 64 --out sevens.png
# diffusion-edu sample runs/digits --known half.npy --method repaint --n 64 --out completed.png
# ```
#
# `half.npy` holds one image, NaN where it is to be drawn.
#
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** At $w = 4$ the samples look cleaner and no classifier doubts them. Is the model better?
#
# <details><summary>Yes: both quality and label have improved.</summary>
#
# **No.** Both can be had by leaving out what is hard. Coverage has fallen, and on the roll the law is off by more than a nat.
#
# </details>
#
# <details><summary>No: the law has moved away from p(x | y).</summary>
#
# **Yes.** More likely than the truth is wrong too. Only $w = 1$ samples $p(x \mid y)$.
#
# </details>
#
# <details><summary>It cannot be known.</summary>
#
# **No.** On the roll it is a number in nats, on images the coverage of a class tells.
#
# </details>
#
# **Question.** A paper writes $(1 + w)\, \hat\varepsilon(x_t, y) - w\, \hat\varepsilon(x_t)$ and uses $w = 1$. Which weight is that here?
#
# <details><summary>1</summary>
#
# **No.** With $w = 1$ in that formula the answer lies beyond $\hat\varepsilon(x_t, y)$.
#
# </details>
#
# <details><summary>2</summary>
#
# **Yes.** $2 \hat\varepsilon(x_t, y) - \hat\varepsilon(x_t) = \hat\varepsilon(x_t) + 2 (\hat\varepsilon(x_t, y) - \hat\varepsilon(x_t))$.
#
# </details>
#
# <details><summary>0</summary>
#
# **No.** A weight of 0 there is a weight of 1 here, so 1 there is more.
#
# </details>
#
# **Question.** Why may a clean classifier not guide, though it is right on nearly every clean point?
#
# <details><summary>Its gradient is too small.</summary>
#
# **No.** It is far too large where there is noise.
#
# </details>
#
# <details><summary>It is asked about points that it has never seen.</summary>
#
# **Yes.** On noisy points it is sure of itself and wrong by nats. Its gradient pushes points off the data.
#
# </details>
#
# <details><summary>It knows only three labels.</summary>
#
# **No.** The noisy classifier knows no more labels, and it guides well.
#
# </details>
#
# **Question.** A denoiser returns one point for each noisy image, with the smallest squared error possible. Are its answers good samples?
#
# <details><summary>Yes, nothing is closer to the truth.</summary>
#
# **No.** Close on average, and yet between the possible answers: on the roll many of the means lie off the data.
#
# </details>
#
# <details><summary>No, it is the posterior's mean.</summary>
#
# **Yes.** A sample of the posterior has twice the squared error, and lies on the data.
#
# </details>
#
# <details><summary>Only if the noise is Gaussian.</summary>
#
# **No.** The noise was Gaussian here, and the means lay off the data all the same.
#
# </details>

# %% [markdown]
# ## Project: A cheaper correction
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Particles need many copies. Others put Langevin steps of notebook 06 between the steps of the chain (Bradley & Nakkiran 2024 read guidance itself in this way). Take guided steps, and after each of them $k$ Langevin steps with the guided score at that
# level. Does the result come nearer to (9.5)?
#
# - The energy distance to the tilted law over its floor, at $w = 2$ and 4, for $k = 0, 1, 4, 16$, three sets of noise.
# - The calls of the network beside it, and the particles of section 4 at the same number of calls.
# - The same for the soft label, where the target moves with $w$.
# - One sentence on (9.6): which law do the Langevin steps have at $t$, and which one would be right?

# %% [markdown]
# ## Recap
#
# - Guidance is Bayes' rule with a weight (9.3). By a classifier or by a network that knows labels, it is the same, and the same $w$ serves for every prediction (9.4).
# - At $w = 1$ it samples $p(x \mid y)$. At any other weight it samples no law that one could write down beforehand (9.6), and (9.7) says how far it is from the tilted one.
# - Weighed particles reach the tilted law (9.8).
# - A classifier must have learned on noisy points. Label accuracy does not see whether it has.
# - Replacement is biased. RePaint buys the bias down with calls, and weights on a wrong guess remove most of it.
# - A denoiser without training starts at $(1 - \bar\alpha)/\bar\alpha = \sigma^2$ from $\sqrt{\bar\alpha}\, y$ (9.11).
#
# | symbol | code | file |
# | --- | --- | --- |
# | $p(y \mid x_t)$ (9.1) | `exact_labels`, `NoisyClassifier` | `guidance.py`, `nets.py` |
# | (9.3), (9.4) | `classifier_guided`, `guided`, `guided_model` | `guidance.py` |
# | $p_w$ (9.5) | `tilted` | `guidance.py` |
# | (9.7) | `guided_flow`, `sample_with_density` | `guidance.py` |
# | (9.8) | `particles`, `resample` | `conditioning.py` |
# | (9.9), labels dropped | `label_error`, `label_loss` | `training/losses.py` |
# | (9.10) | `replaced`, `repaint` | `conditioning.py` |
# | $N(x_1; \hat x_0, r_t^2)$ | `guess`, `dps` | `conditioning.py` |
# | $W_1$ | `wasserstein1` | `evaluate.py` |
# | (9.11) | `denoise_from` | `conditioning.py` |
#
# **The way on.** Guidance bends a field that was learned as a score. The next notebooks learn the field of the ODE itself, and move the diffusion into the latent space of an autoencoder.
#
# **References**
#
# - Bradley, Nakkiran (2024), *Classifier-free guidance is a predictor-corrector*, [arXiv:2408.09000](https://arxiv.org/abs/2408.09000)
# - Carlini, Tramèr, Dvijotham, Rice, Sun, Kolter (2023), *(Certified!!) Adversarial robustness for free!*, [arXiv:2206.10550](https://arxiv.org/abs/2206.10550)
# - Chung, Kim, Mccann, Klasky, Ye (2023), *Diffusion posterior sampling for general noisy inverse problems*, [arXiv:2209.14687](https://arxiv.org/abs/2209.14687)
# - Dhariwal, Nichol (2021), *Diffusion models beat GANs on image synthesis*, [arXiv:2105.05233](https://arxiv.org/abs/2105.05233)
# - Du, Durkan, Strudel, Tenenbaum, Dieleman, Fergus, Sohl-Dickstein, Doucet, Grathwohl (2023), *Reduce, reuse, recycle: compositional generation with energy-based diffusion models and MCMC*,
#   [arXiv:2302.11552](https://arxiv.org/abs/2302.11552)
# - Ho, Salimans (2022), *Classifier-free diffusion guidance*, [arXiv:2207.12598](https://arxiv.org/abs/2207.12598)
# - Lugmayr, Danelljan, Romero, Yu, Timofte, Van Gool (2022), *RePaint: inpainting using denoising diffusion probabilistic models*, [arXiv:2201.09865](https://arxiv.org/abs/2201.09865)
# - Naeem, Oh, Uh, Choi, Yoo (2020), *Reliable fidelity and diversity metrics for generative models*, [arXiv:2002.09797](https://arxiv.org/abs/2002.09797)
# - Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole (2021), *Score-based generative modeling through stochastic differential equations*,
#   [arXiv:2011.13456](https://arxiv.org/abs/2011.13456)
# - Song, Vahdat, Mardani, Kautz (2023), *Pseudoinverse-guided diffusion models for inverse problems*, [OpenReview 9_gsMA8MRKQ](https://openreview.net/forum?id=9_gsMA8MRKQ)
# - Wu, Trippe, Naesseth, Blei, Cunningham (2023), *Practical and asymptotically exact conditional sampling in diffusion models*, [arXiv:2306.17775](https://arxiv.org/abs/2306.17775)
