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
# # MNIST: do the numbers hold on images?
#
# Until here the data were points of the plane, and their true density was known. Images have 784 dimensions and no
# known density. The models are the same, and so is the bound: the VAE, the hierarchical VAE and the DDPM of this
# notebook go through the same function as before. Only the networks are convolutional, and the last step $p(x \mid z_1)$
# is a law of pixels.
#
# **The question.** Do the numbers hold on images, and how good are they beside published ones?
#
# **Afterwards you can**
# - say what a bit per pixel is, and why only a *discrete* law of pixels gives an honest one,
# - read the bound of an image model term by term, and say where its bits are spent,
# - score samples without being fooled: what each score catches, what it does not see, and what its floor is,
# - train all of it yourself, with one command each.
#
# **Time** about 75 minutes to read, and 50 for the exercises, both an estimate from a count of words, formulas and
# lines: nobody was timed. **You need** notebooks 01 to 04. No GPU and no download: the weights of twelve trained models
# come with the course, and so do a hundred test images.

# %%
import math

import numpy as np
import torch

from diffusion_edu import bound, checks, diffusion, evaluate, observations, plots, pretrained, samplers
from diffusion_edu.data import MNIST, BinaryMNIST
from diffusion_edu.images import lenet, quality

# %% [markdown]
# Here is the goal. The upper half are test images. The lower half are samples, drawn now, in a hundred steps, by the best
# of the course's six DDPMs. Section 7 tells what made it the best.

# %% mystnb={"image": {"alt": "Four rows of twenty small white handwritten digits on black. The upper two rows are real. The lower two were drawn by the diffusion model and look handwritten too, nearly all of them."}}
plots.use_style()
pictures = quality.reference().images  # 100 test images, ten of each digit, grey levels 0 … 255
x = MNIST.to_points(pictures)  # in [−1, 1]
x_binary = (x > 0).float()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


painter = pretrained.load("mnist-ddpm-min-snr-mixing-longer")
S = painter.schedule
x_T = torch.randn(40, 784, generator=seeded(1))
path = list(samplers.reverse_path(painter.x0_hat, S, x_T, steps=100, generator=seeded(2)))
shown = torch.cat([x[torch.arange(40) * 10 % 100 + torch.arange(40) // 10], path[-1][1]])
_ = plots.image_grid(MNIST.to_images(shown), plots.axes_row(1, size=9)[0], columns=20, title="test images, and below them samples")

# %% [markdown]
# ## 1. A ruler for images
#
# On the swiss roll every model had its place between 2.84 nats, which is knowing nothing, and the entropy. Nobody knows
# the entropy of handwritten digits. What remains is to compare codes. An image of grey levels is discrete, so a model
# gives it a *probability* $P(x) \le 1$, and with that model it can be stored in $-\log_2 P(x)$ bits (Shannon 1948).
# Per pixel,
#
# $$ \text{bits per dimension} = \frac{-\log P(x)}{D \log 2}, \qquad D = 784. \tag{5.1} $$
#
# The bound is below $\log P(x)$, so what (5.1) makes of it is too many bits and never too few: an upper bound of
# a code length. Knowing nothing costs 8 bits. And a program that knows nothing of digits but is good at repetitions
# gives a first mark to beat.

# %%
import lzma

unseen = quality.unseen()[0]  # a thousand more real images
packed = 8 * len(lzma.compress(unseen.numpy().tobytes(), preset=9 | lzma.PRESET_EXTREME)) / unseen.numel()
nothing = MNIST.bits_per_dim(784 * math.log(256))
black = (unseen == 0).float().mean().item()
print(f"knowing nothing {nothing:.2f} bits per pixel,   xz {packed:.2f},   pixels that are exactly black {black:.0%}")
assert nothing == 8 and 1 < packed < 2

# %% [markdown]
# Four pixels in five are exactly black. They cost almost nothing if a model can say so with certainty. A *density*
# could say so without end: put a spike on black, and the log density grows without bound, while nothing has been
# learned. Many courses print a Gaussian log density of pixels, or a mean squared error, as "the
# likelihood". Neither can be compared between two models. A probability can.

# %% [markdown]
# **Exercise: what a density claims.** *8 minutes, easy.*
#
# Many texts print a log *density* of images, `log_p` in nats for each. Their $D$ pixels, `dim`, have levels that
# stand a distance $w$, `width`, apart; on the scale $[-1, 1]$ that is 2/255. So each image has a cell of the volume
# $w^D$ to itself. Where the density hardly changes within a cell, $P(x) \approx p(x)\, w^D$. Return the bits per
# dimension (5.1) that such a density claims. **Then use it.** At a black pixel, a Gaussian with the standard
# deviation 0.0001 has the log density 8.29. How many bits does it claim to need for that pixel, and why can that not
# be?

# %%
def my_honest_bits(log_p, dim, width):
    """Bits per dimension that a log density of images claims."""
    return ...


checks.honest_bits(my_honest_bits)

# %% [markdown]
# <details><summary>Hint 1: what a density claims</summary>
#
# (5.1) wants a probability. What is the logarithm of $p(x)\, w^D$?
#
# </details>
#
# <details><summary>Hint 2: what a density claims</summary>
#
# $\log P(x) \approx$ `log_p + dim * math.log(width)`, in nats for the whole image. Divide by $-D \log 2$.
#
# </details>
#
# <details><summary>Solution: what a density claims</summary>
#
# ```python
# def my_honest_bits(log_p, dim, width):
#     """Bits per dimension that a log density of images claims."""
#     return -(log_p + dim * math.log(width)) / (dim * math.log(2))
#
#
# # my_honest_bits(8.29, 1, 2 / 255) is −5.0: no code is shorter than nothing.
# # The density is a spike inside the cell, and far from even. Its integral
# # over the cell is 1, so that in truth the pixel costs 0 bits.
# ```
#
# </details>

# %% [markdown]
# ## 2. Laws of pixels
#
# The decoder gives each pixel a law of its own. For *binary* pixels $x_d \in \{0, 1\}$ it is Bernoulli,
#
# $$ \log P(x \mid z) = \sum_d \big[ x_d \log \pi_d + (1 - x_d) \log(1 - \pi_d) \big], \tag{5.2} $$
#
# the cross-entropy that many codes use. For 256 grey levels it is a continuous law, cut into bins of width
# $2h = 2/255$ around the levels; the first and the last bin take all that lies beyond (Salimans et al. 2017). With the
# *logistic* law, $F(u) = 1/(1 + e^{-u})$, of centre $\mu_d$ and width $s_d$,
#
# $$ P(x_d \mid z) = F\!\left(\frac{x_d + h - \mu_d}{s_d}\right) - F\!\left(\frac{x_d - h - \mu_d}{s_d}\right). \tag{5.3} $$
#
# A sum over the levels telescopes to 1, wherever $\mu$ is and however small $s$.

# %% [markdown]
# **Exercise: the probability of a grey level.** *15 minutes, hard.*
#
# Write $\log P(x \mid z)$ for the law (5.3), for images `x` (n, D) whose pixels stand on the 256 levels in
# $[-1, 1]$. `mean` and `scale`, $\mu$ and $s$, have a number for each pixel. The first and the last level take all
# that lies beyond. And it has to stay finite where $F$ cannot be told from 0 or 1 any more: a model that is sure and
# wrong pays a thousand nats, but not infinitely many.

# %%
def my_grey_log_prob(x, mean, scale):
    """log P(x) of grey levels under discretised logistic laws, (n,)."""
    return ...


checks.grey_log_prob(my_grey_log_prob)

# %% [markdown]
# <details><summary>Hint 1: the probability of a grey level</summary>
#
# $F$ is `torch.sigmoid`. At $x = -1$ the lower edge of the bin is at $-\infty$, at $x = 1$ the upper one at
# $+\infty$; `torch.where` can put them there. What is the sigmoid of $\pm\infty$? First write it plainly.
#
# </details>
#
# <details><summary>Hint 2: the probability of a grey level</summary>
#
# Far out both values round to 0 or to 1. For $a < b$, $F(b) - F(a) = F(b)\, F(-a)\, (1 - e^{a - b})$, and of a
# product one can take the log factor by factor: `torch.nn.functional.logsigmoid` for the first two, and
# `torch.log(-torch.expm1(a - b))`.
#
# </details>
#
# <details><summary>Solution: the probability of a grey level</summary>
#
# ```python
# def my_grey_log_prob(x, mean, scale):
#     """log P(x) of grey levels under discretised logistic laws, (n,)."""
#     low = torch.where(x == -1, -torch.inf, (x - 1 / 255 - mean) / scale)
#     high = torch.where(x == 1, torch.inf, (x + 1 / 255 - mean) / scale)
#     log_F = torch.nn.functional.logsigmoid
#     return (log_F(high) + log_F(-low) + torch.log(-torch.expm1(low - high))).sum(-1)
# ```
#
# </details>

# %% mystnb={"image": {"alt": "Probability against grey level for three discretised logistic laws. A wide one is a low hump around 150. A narrow one is a tall peak at 60. The third has its centre below black and puts nearly all of its probability on level zero."}}
levels = torch.arange(256)
settings = {"μ = 0.2, s = 0.1": (0.2, 0.1), "μ = −0.5, s = 0.02": (-0.5, 0.02), "μ = −1.1, s = 0.02": (-1.1, 0.02)}
ax = plots.axes_row(1, size=3.6)[0]
for i, (name, (mu, s)) in enumerate(settings.items()):
    law = observations.DiscretisedLogistic(torch.tensor([mu]), torch.tensor([s]))
    P = law.log_prob((levels / 127.5 - 1)[:, None]).exp()
    assert abs(P.sum().item() - 1) < 1e-5
    plots.curve(levels, P, ax, color=plots.EXTRA[i], label=name)
ax.set(xlabel="grey level", ylabel="probability", yscale="log", ylim=(1e-5, 2))
_ = ax.legend()

# %% [markdown]
# The third law is nearly sure of black. With its centre *below* black it need not even be narrow.
#
# ## 3. A VAE of binary digits
#
# Papers have long compared VAEs on binary MNIST: each pixel is 1 with the probability of its grey level
# (Salakhutdinov & Murray 2008). Training draws anew at each look, the test set is one fixed draw. Our VAE has a latent
# of 50 numbers, and networks of a few convolutions.

# %% mystnb={"image": {"alt": "Two rows of ten digits each, 0 to 9. Above binary test images with hard edges, below the VAE's reconstructions: the same digits, slightly smoother, with grey edges."}}
vae = pretrained.load("mnist-binary-vae")
some = torch.arange(10) * 10 + 3
reconstruction = vae.p(0, vae.q(1, x_binary[some]).mean).mean
both = torch.cat([x_binary[some], reconstruction])
_ = plots.image_grid(BinaryMNIST.to_images(both), plots.axes_row(1, size=7)[0], columns=10, title="x, and the mean of p(x | z)")

# %% [markdown]
# Its bound on these hundred images, by the function of notebook 01, in nats per image. Then the same with importance
# weights (1.12), which rises towards $\log P(x)$. The images here are made binary by a threshold, which is easier to
# predict than a random draw. The numbers to compare with papers are those of the whole test set. They stand
# on the model's card and come from one command.

# %%
b = bound.bound(x_binary, vae, seeded(3))
print(", ".join(f"{name} ≈ {value:.1f}" for name, value in b.mean().items()), f"  ELBO ≈ {b.elbo.mean():.1f} nats")
log_w = bound.log_weights(x_binary[::4], vae, 400, seeded(4), chunk=2000)
by_K = {K: bound.importance_weighted(log_w[:K]).mean().item() for K in (1, 20, 400)}
print("25 images:  ", ",  ".join(f"K = {K}: ≈ {value:.1f}" for K, value in by_K.items()))
assert by_K[1] < by_K[20] < by_K[400]

binary = {name: pretrained.card(f"mnist-binary-{name.lower()}") for name in ("VAE", "HVAE")}


def passes(card):
    start = card["config"].get("start")  # what that had seen counts too
    return card["config"]["steps"] * card["batch"] / 60_000 + (passes(pretrained.card(start)) if start else 0)


def on_the_card(card):
    test, minutes = card["test"], card["seconds"] / 60
    print(f"10,000 test images:   −ELBO {test['neg_elbo']:.2f} ± {test['neg_elbo_se']:.2f} nats")
    print(f"with K = {test['K']}:  −log P below {test['iw_nll']:.2f} ± {test['iw_nll_se']:.2f} nats")
    print(f"trained in {minutes:.0f} min on one shared core, {passes(card):.1f} passes over the images, by\n{card['commands'][0]}")


on_the_card(binary["VAE"])

# %% [markdown]
# Walk from one digit to another, in a straight line through the latent space. Every picture on the way is the mean of
# $p(x \mid z)$.

# %% mystnb={"image": {"alt": "Four rows of twelve digits. In each row a digit on the left turns step by step into another one on the right, for example a three into an eight; most steps in between still look like digits."}}
z = vae.q(1, x_binary[[33, 11, 44, 0]]).mean, vae.q(1, x_binary[[83, 75, 93, 66]]).mean
way = torch.stack([torch.lerp(*z, step) for step in torch.linspace(0, 1, 12)], dim=1)
walk = BinaryMNIST.to_images(vae.p(0, way.flatten(0, 1)).mean)
_ = plots.image_grid(walk, plots.axes_row(1, size=8)[0], columns=12)

# %% [markdown]
# ## 4. Three levels
#
# The hierarchical VAE has three latents, each of four maps of 7 × 7 numbers. Between them stand small convolutional
# steps, $q(z_t \mid z_{t-1}) = N(z_{t-1} + \dots, \dots)$, as in notebook 02. The same function scores it.

# %%
plain_hvae = pretrained.load("mnist-binary-hvae")
b = bound.bound(x_binary, plain_hvae, seeded(5))
for name, value in b.mean().items():
    print(f"{name:16} ≈ {value:8.1f} nats")
latents = (b.consistency.sum(0) + b.prior).mean()
print(f"all latents      ≈ {latents:8.1f} nats")
on_the_card(binary["HVAE"])
assert latents < 0

# %% [markdown]
# A single term is no cost, as notebook 02 found: the first is even positive, because $z_2$ is made from $z_1$ and knows it
# better than $x$ does. The sum of the three is one. Does a hierarchy pay? It can spend more nats on its latents than the
# VAE of section 3, and get back more in the pixels.
#
# And are its samples better? Let a network judge that was trained to name digits (section 7 has more of it): how sure is it
# of a thousand digits, drawn from the top down?

# %%
def drawn(model, z, generator):
    """The means of p(x | z₁) below the top latents z, what lies between drawn from the top down."""
    for t in reversed(range(1, model.levels)):
        z = model.p(t, z).sample(generator)
    return model.p(0, z).mean


def row(name, model):
    """Prints the card's numbers and a score of samples; returns the nats of latents and of pixels, and the score."""
    card, g = binary[name], seeded(20)
    test, samples = card["test"], drawn(model, model.prior().sample(g, shape=(1000,)), g)
    latents, pixels = -(test["consistency"] + test["prior"]), -test["reconstruction"]
    sure = lenet.apply(lenet.load(), 2 * samples - 1)[1].max(1).values.mean().item()
    print(f"{name:13} {card['parameters']:10,} {latents:8.1f} {pixels:7.1f} {test['neg_elbo']:6.1f}", end=" ")
    print(f"{test['iw_nll']:7.1f} ≈{sure:10.3f}")
    return latents, pixels, sure


print(header := f"{'':12}  parameters  latents  pixels  −ELBO  −log P  confidence")
one_level, three = row("VAE", vae), row("HVAE", plain_hvae)
assert 0 < three[0] - one_level[0] < one_level[1] - three[1] < three[0] - one_level[0] + 1 and three[2] < one_level[2]
assert passes(binary["HVAE"]) == passes(binary["VAE"]) and binary["HVAE"]["config"]["optimiser"] == binary["VAE"]["config"]["optimiser"]

# %% [markdown]
# After as many passes over the images, by the same optimiser and with two thirds of the parameters, the hierarchy gets back
# a little more than it spends. One training of each is no proof, and in the published numbers of section 9 more levels win by
# far more. Its digits, though, are no easier to read. That is a hint at what is missing. The VAE's latent is a
# vector: a dense layer makes it of the whole picture, and another one reads it. Here each number of a latent belongs to one of
# 49 places, and every network in the chain is made of convolutions of 3 × 3 places. News goes from neighbour to
# neighbour. For strokes that is enough. But that the loop at the top and the stem below are to be *one* nine, somebody has to
# settle from afar.
#
# **One more layer.** `Mixing` lets every place hear of every other at once: a quarter of the channels, at all 49 places,
# go through one hidden layer and come back beside a skip. Put one with 64 features into each of the six networks. Images,
# noise, optimiser and the number of steps stay as they were. **Predict first:** what becomes cheaper, the latents or the
# pixels?

# %%
hvae = pretrained.load("mnist-binary-hvae-mixing")
binary["HVAE, mixing"] = pretrained.card("mnist-binary-hvae-mixing")
print(header)
mixed = row("HVAE, mixing", hvae)
saved = three[0] - mixed[0], three[1] - mixed[1]
print(f"saved: {saved[0]:.1f} nats in the latents, {saved[1]:.1f} in the pixels, {sum(saved):.1f} together")
print(f"trained in {binary['HVAE, mixing']['seconds'] / 60:.0f} min on one shared core")
assert passes(binary["HVAE, mixing"]) == passes(binary["HVAE"]) and saved[0] > 2 > 1 > -saved[1] > 0
assert mixed[2] > one_level[2] > three[2] and sum(saved) > 2

# %% [markdown]
# More than two nats, and all of them in the latents. They cost less, though they say nearly as much: the pixels, given
# them, cost hardly more than before. So they are easier to guess from above. What one place says now fits what the others
# say. That is what the decoders of a hierarchy are for. And the digits are easier to read than the VAE's now. The
# layers also more than double the parameters, and it is again one training of each: a hint fulfilled, no proof.
#
# What does each level decide? Draw one image from the top down. Then keep the upper latents and draw the rest again. And
# once in numbers: keep a top latent, draw the rest ten times. How many of the ten are named alike?

# %% mystnb={"image": {"alt": "Three rows of ten digits. In the first only the top latent is shared, in the second the upper two, in the third all three; from row to row the ten pictures become more alike."}}
rows = []
for held in (1, 2, 3):
    z, g = hvae.prior().sample(seeded(6), shape=(1,)), seeded(7)
    for t in (2, 1):
        z = z.expand(10, -1) if 3 - t == held else z
        z = hvae.p(t, z).sample(seeded(8 + t) if 3 - t < held else g)
    rows.append(hvae.p(0, z.expand(10, -1)).mean)
_ = plots.image_grid(BinaryMNIST.to_images(torch.cat(rows)), plots.axes_row(1, size=7)[0], columns=10)

alike = {}
for name, model in (("HVAE", plain_hvae), ("HVAE, mixing", hvae)):
    z = model.prior().sample(seeded(21), shape=(100,)).repeat_interleave(10, 0)
    named = lenet.apply(lenet.load(), 2 * drawn(model, z, seeded(22)) - 1)[1].argmax(1)
    alike[name] = (named.reshape(100, 10).mode(dim=1).values.repeat_interleave(10) == named).double().mean().item()
print("named alike, with the top latent kept:", ",  ".join(f"{name} ≈ {share:.0%}" for name, share in alike.items()))
assert alike["HVAE, mixing"] > alike["HVAE"] + 0.05

# %% [markdown]
# The layers let the top level settle more of what the digit is to be. It does not settle all of it: no one told it that
# there are ten.
#
# ## 5. Diffusion of grey levels
#
# A DDPM predicts the noise, as in notebook 04, by a small U-Net. The one of this section, `mnist-ddpm`, was trained by the
# simple loss. The forward process knows nothing of images.

# %% mystnb={"image": {"alt": "Eight versions of the same row of five digits, one below the other, with more and more noise from top to bottom; at the fifth row the digits can just be guessed, the last two are pure noise."}}
times = [0, 50, 150, 300, 450, 600, 800, 1000]
noisy = [x[:50:10] if t == 0 else diffusion.q_marginal(S, t, x[:50:10]).sample(seeded(9)) for t in times]
_ = plots.image_grid(MNIST.to_images(torch.cat(noisy)), plots.axes_row(1, size=4)[0], columns=5, title="t = 0 … 1000, downwards")

# %% [markdown]
# Its last step is a law of grey levels too: a discretised Gaussian, (5.3) with $F$ the normal law (Ho et al. 2020,
# eq. 13). So its bound is one of a probability, and all three kinds of models stand on one ruler. One thing had to be
# added. Notebook 03 chose one variance $\sigma_t^2$ for each step. But pixels differ: one that is surely black needs
# hardly any, one on an edge needs all. So here $\sigma_t^2$ depends on the prediction $\hat x_0$ of the pixel itself,
# by a table of 14 ranges $r$, each with the variance that is optimal for it, (3.21) range by range, and $c_t$ as in (3.17):
#
# $$ \sigma_t^2(r) = \tilde\beta_t + c_t^2\, \mathbb{E}\big[ (x_0 - \hat x_0)^2 \mid \hat x_0 \in r \big]. \tag{5.4} $$

# %% [markdown]
# **Exercise: one variance for each range.** *12 minutes, medium.*
#
# Write (5.4) for one step $t$. `x0` and `x0_hat` (n, D) hold pixels and what the network believes them to be.
# `edges` are the borders between the ranges $r$, in rising order, and `beta_tilde` and `c` are the numbers
# $\tilde\beta_t$ and $c_t$ of this step. Return a variance for each range, one more than there are edges; the first
# and the last have no end, and in each lies at least one pixel. It is counting, and nothing is trained.

# %%
def my_variance_table(x0, x0_hat, edges, beta_tilde, c):
    """σ_t² for each range of x̂₀ that the edges divide, (len(edges) + 1,)."""
    return ...


checks.variance_table(my_variance_table)

# %% [markdown]
# <details><summary>Hint 1: one variance for each range</summary>
#
# `r = torch.bucketize(x0_hat, edges)` has the shape of `x0_hat` and says in which range each pixel lies.
#
# </details>
#
# <details><summary>Hint 2: one variance for each range</summary>
#
# `(x0 - x0_hat)[r == 0]` are the errors of the pixels in the first range. (5.4) wants the mean of their squares,
# range by range; `torch.stack` makes a tensor of the list.
#
# </details>
#
# <details><summary>Solution: one variance for each range</summary>
#
# ```python
# def my_variance_table(x0, x0_hat, edges, beta_tilde, c):
#     """σ_t² for each range of x̂₀ that the edges divide, (len(edges) + 1,)."""
#     r = torch.bucketize(x0_hat, edges)
#     mse = torch.stack([(x0 - x0_hat)[r == i].square().mean() for i in range(len(edges) + 1)])
#     return beta_tilde + c**2 * mse
# ```
#
# </details>

# %% [markdown]
# What is that worth? The steps $t \le 30$, with the table and with one variance each:

# %%
ddpm = pretrained.load("mnist-ddpm")
chain = ddpm.chain()
pixel, with_one = torch.zeros(x.numel()), 0.0
for t in range(1, 31):
    xt = diffusion.q_marginal(S, t, x).sample(seeded(t))
    x0_hat = ddpm.x0_hat(xt, t)
    one_by_one = (v.reshape(-1, 1) for v in (x, xt, x0_hat))
    pixel += diffusion.L_term(S, t, *one_by_one, chain.sigma2, chain.observe)
    mse = (x - x0_hat).square().mean().expand(S.T + 1).double()
    with_one += diffusion.L_term(S, t, x, xt, x0_hat, diffusion.sigma2_optimal(S, mse), chain.observe).mean().item()
table, one_each_step = (MNIST.bits_per_dim(nats) for nats in (pixel.sum().item() / len(x), with_one))
print(f"30 steps:  table ≈ {table:.2f},   one σ² per step ≈ {one_each_step:.2f} bits per pixel")
assert table < 0.85 * one_each_step

# %% [markdown]
# Fourteen numbers for each step, found by counting and without any training, save a good part of the bits of these
# steps. It is the lesson of section 8 of notebook 04 again: choose the variance with care.
#
# **Predict first.** A thousand terms add up to the bound. Where are the bits spent: at high noise, where the shape of the
# digit is decided, or at low noise, where only the last shades of grey are? And which pixels pay, the black, the white, or
# those in between?

# %% mystnb={"image": {"alt": "Bits per pixel spent up to each t, against t on a logarithmic axis from 1 to 1000. The curve rises steeply at once: about half is spent before t = 10, most before t = 100, and it is nearly flat beyond t = 500."}}
means, errors = evaluate.terms_by_t(x, chain, 8, seeded(10))
spent = torch.cumsum(means[:-1], 0) / (784 * math.log(2))
ax = plots.axes_row(1, size=3.6)[0]
plots.curve(torch.arange(1, 1001), spent, ax, color=plots.MODEL)
ax.set(xscale="log", xlabel="t", ylabel="bits per pixel, steps 1 … t", ylim=(0, None))
total, total_se = MNIST.bits_per_dim(means.sum().item()), MNIST.bits_per_dim(errors.square().sum().sqrt().item())
shape = total - spent[99].item()
print(f"a hundred images:  ≈ {total:.2f} ± {total_se:.2f} bits per pixel")
print(f"of these ≈ {spent[19]:.2f} in the first 20 steps, ≈ {shape:.2f} beyond t = 100")
assert means[-1] < 0.01 and spent[19] > 0.4 * total and shape < 0.4 * total

print("of the bits up to t = 30 each kind of pixel pays:")
for kind, these in {"black": x == -1, "in between": (x > -1) & (x < 0.98), "white": x >= 0.98}.items():
    paid, each = pixel[these.flatten()].sum() / pixel.sum(), pixel[these.flatten()].mean() / math.log(2)
    print(f"{kind:10} {these.double().mean():5.0%} of the pixels, ≈ {paid:4.0%} of the bits, ≈ {each:4.2f} each")
    assert (paid > 0.6 and each > 4) == (kind == "in between") and (each < 0.1) == (kind == "black")

# %% [markdown]
# Most bits pay for shades of grey that nobody sees, on the edges of the strokes. One pixel in seven is neither black nor
# white, and for its exact shade it pays more than half of its 8 bits. The digits were
# black and white once. When they were brought to their size their edges were smoothed (LeCun et al. 1998), and to foresee a
# shade one would have to undo that. Whoever wants fewer bits has to begin there.
#
# What we would call the digit, its class, slant and strokes, is
# settled beyond $t = 100$ for a fraction of them. That is why a model can have good bits per pixel and poor samples,
# or the reverse. Ho et al. (2020) report just that of the simple loss, which turns the weight away from low noise: better
# pictures, worse bits. $L_T$ is zero to within a hundredth of a nat: the schedule does end in noise.
#
# **What does the network know of a shade?** It sees it under noise. If it knew nothing else, its error would be the noise
# itself. If it could foresee the shade from the rest of the picture, the error would be smaller. So divide the one by the
# other, for pixels clearly in between. And is there anything to know? Count how often such a pixel has *exactly* the shade of
# the one above. The last column is of another network, `mnist-ddpm-filters`. What it has more is told below.

# %%
filtering = pretrained.load("mnist-ddpm-filters")
grey = x.abs() < 0.93  # 9 … 246 of 255
print("   t   noise, grey levels   error / noise   with filters")
error = {}
for t in (1, 3, 10, 30, 100, 200):
    xt = diffusion.q_marginal(S, t, x).sample(seeded(t))
    noise = S.snr[t].item() ** -0.5  # of x_t / √ᾱ_t, whose mean is x
    error[t] = [(x - net.x0_hat(xt, t))[grey].square().mean().sqrt().item() / noise for net in (ddpm, filtering)]
    print(f"{t:4} {127.5 * noise:12.1f} ≈ {error[t][0]:17.3f} ≈ {error[t][1]:13.3f}")
rows, inner = x.reshape(-1, 28, 28), grey.reshape(-1, 28, 28)[:, 1:]
same = (rows[:, 1:] == rows[:, :-1])[inner].double().mean().item()
share = torch.unique(x[grey], return_counts=True)[1] / grey.sum()
print(f"grey pixels with exactly the shade above: {same:.1%}, by chance {share.square().sum():.1%}")
cards = {name: pretrained.card(f"mnist-ddpm{name}") for name in ("", "-filters")}
bits = {name: card["test"]["bits_per_dim"] for name, card in cards.items()}
F = {name: card["scores"]["frechet_ratio"] for name, card in cards.items()}
noise, ratio = S.snr[100].item() ** -0.5, error[100][1]
print(f"t = 100: as if the shade were known to ± {127.5 * noise * ratio / (1 - ratio**2) ** 0.5:.0f} levels beforehand")
print(f"bits per pixel, test set: mnist-ddpm {bits['']:.3f}, mnist-ddpm-filters {bits['-filters']:.3f}")
print(f"distance of the samples (section 7): {F['']:.1f} and {F['-filters']:.1f}")
assert min(error[t][0] for t in (1, 3, 10, 30)) > 0.97 > error[100][0] > error[200][0] and same > 5 * share.square().sum()
assert all(with_filters < without for without, with_filters in error.values()) and bits["-filters"] < bits[""]
assert F["-filters"] > F[""]

# %% [markdown]
# Up to seven grey levels of noise `mnist-ddpm` knows nothing: its error is the noise. Yet there is something to know. A
# straight edge cuts the pixels along it alike, so far more of them have exactly the shade of a neighbour than chance would
# make. The network does not see it. A convolution weighs another pixel by where it stands; whether two shades agree to within
# the noise, a hundredth part of what it looks at, is another kind of question.
#
# So let it ask. Two noisy pixels of one shade differ by $d \sqrt{1 - \bar\alpha_t}$ with $d \sim N(0, 2)$. So $e^{-d^2/4}$
# says how well they agree, and if they are alike, $d/2$ is the best guess of the pixel's own noise. To weigh pixels by their
# shade is the idea of the bilateral filter (Tomasi & Manduchi 1998). `filters.py` computes $d\,e^{-d^2/4}$ for the eight
# neighbours of a pixel, and two averages of $d$ with such weights over all pixels of the picture. The network says in each
# pixel what these ten numbers count, at first nothing, and adds them to $\hat v$.
#
# `mnist-ddpm-filters` went on from `mnist-ddpm` in this way, with $t$ drawn evenly in $\log$ SNR, as the bound weighs it
# (notebook 04, section 7). That saves bits, and not enough for the course's aim, 0.97. How much of it the longer training
# alone would have saved, two cards cannot tell. The samples are no better for fewer bits, they are worse; section 7 comes back
# to that.
#
# The table shows where the rest is: not in equal shades, but in the edges. If a shade is known beforehand to $\pm s$ levels,
# then $1/\text{error}^2 = 1/\text{noise}^2 + 1/s^2$, as for all normal laws. The line of $t = 100$ solves that for $s$. Whether a
# larger network would foresee edges better, the table cannot tell.
#
# The way back, of one of the samples at the top. The upper row is $x_t$, the lower what the network believes $x_0$ to be.
# At $t = T$ it believes nothing in particular: there $\bar\alpha_T \approx 0$, the error of $\hat x_0$ counts for nothing in the loss, and so nothing was learned.
# Nothing is lost by that, since the first step back hardly uses it.

# %% mystnb={"image": {"alt": "Two rows of ten pictures of one sample on its way from noise to a digit. Above the noisy picture, below the network's guess of the clean one: first mere noise, then a grey blur that becomes a digit, sharp long before the noise above it is gone."}}
shown = [path[i] for i in (0, 20, 35, 45, 55, 65, 75, 85, 95, 99)]
guess = [painter.x0_hat(xt[:1], t) for t, xt in shown]
strip = torch.cat([*[xt[:1] for _, xt in shown], *guess])
_ = plots.image_grid(MNIST.to_images(strip), plots.axes_row(1, size=7)[0], columns=10)

# %% [markdown]
# Both ways as films, made in the next cell: test images that dissolve, and samples that appear, of which most look like
# digits long before the last grain of noise is gone.

# %% tags=["nbval-ignore-output"]
import tempfile
from pathlib import Path

from IPython.display import HTML, display

from diffusion_edu import films

draw = films.draw_images(MNIST.to_images, columns=10, size=600)
settings = {"fps": 10, "kib": 45, "progress": False}
times = films.shown_times(S, [t for t, _ in path], 22)
with tempfile.TemporaryDirectory() as folder:
    away, back = Path(folder, "away.mp4"), Path(folder, "back.mp4")
    films.forward(x[::5], S, draw, away, frames=22, generator=seeded(9), **settings)
    films.film([(t, xt[:20]) for t, xt in path if t in times], draw, back, poster=0.7, **settings)
    display(HTML(films.embedded_html(away, "Twenty test images dissolve into noise, the finest strokes first.")))
    display(HTML(films.embedded_html(back, "Twenty pictures of noise turn into digits, the coarse strokes first.")))

# %% [markdown]
# ## 6. Three models on one ruler
#
# The same 8-bit test images, the same bound, the same bits. The VAE and the hierarchical VAE have the law (5.3), its
# $\mu$ and $s$ given by the decoder for each pixel.

# %% mystnb={"image": {"alt": "Horizontal bars of bits per pixel: xz about 1.4 in grey, then the VAE, the hierarchical VAE and the DDPM in orange; the DDPM's bar is shorter than these, and with filters it is the shortest."}}
grey = {name: pretrained.card(f"mnist-{name}") for name in ("vae", "hvae", "ddpm")}
fewer = bits["-filters"]
bits = {name.upper(): card["test"]["bits_per_dim"] for name, card in grey.items()}
ax = plots.axes_row(1, size=3)[0]
bars = ax.barh(["xz", *bits, "with filters"], [packed, *bits.values(), fewer], color=[plots.DATA] + [plots.MODEL] * 4)
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.set(xlabel="bits per pixel", xlim=(0, 1.25 * packed))
ax.invert_yaxis()
print("      parameters  passes  minutes  cores")
for name, card in grey.items():
    print(f"{name.upper():5} {card['parameters']:10,} {passes(card):7.1f} {card['seconds'] / 60:8.0f}  {card['threads']}")
    assert card["config"]["optimiser"] == "muon"
assert bits["DDPM"] < bits["HVAE"] < bits["VAE"] < packed and passes(grey["vae"]) == passes(grey["hvae"]) > 0.8 * passes(grey["ddpm"])

# %% [markdown]
# All three saw each image about as often, with the same optimiser (section 10). The DDPM has an advantage: once the latents are given,
# a VAE of one level or of three names the shades of all pixels at once, each by itself. A step of the DDPM does so too, but it
# is a small step, and before the next each pixel may look at its neighbours. How much of the difference that makes, the cards do not say:
# sizes and minutes differ too, and the hierarchy has the layers of section 4.
#
# Does the card tell the truth? The hundred images here are a small part of the test set, and with them anyone can check.

# %%
for name in ("vae", "hvae"):
    found = evaluate.score_chain(x, pretrained.load(f"mnist-{name}"), seeded(0)).elbo
    mean, se = evaluate.mean_and_error(-found.double() / (784 * math.log(2)))
    print(f"{name.upper():5} here ≈ {mean:.2f} ± {se:.2f},   on the card {grey[name]['test']['bits_per_dim']:.2f}")
    assert abs(mean - grey[name]["test"]["bits_per_dim"]) < 5 * se
assert abs(total - bits["DDPM"]) < 0.15

# %% [markdown]
# ## 7. Scores of samples
#
# A bound in nats says how well a model knows the data. It does not say whether its samples look right. For that we
# need scores of samples, and every such score is blind to something. So we use four, try them on faults that we plant
# ourselves, and only then believe what they say of a model.
#
# Three of them look through the eyes of a network, a small LeNet that the course has trained to name digits (LeCun et
# al. 1998). Its last layer before the answer gives each image 64 features $\phi(x)$. Another network would give other
# numbers, so the first digits of the hash of its weights are printed with every score.
#
# **Fréchet distance** (Heusel et al. 2017). Let $m, C$ be mean and covariance of the samples' features and $m', C'$
# those of the 10,000 test images. The squared distance of the two Gaussians is
#
# $$ F = |m - m'|^2 + \operatorname{tr}\left(C + C' - 2\,(C C')^{1/2}\right). \tag{5.5} $$

# %% [markdown]
# **Exercise: the Fréchet distance of two Gaussians.** *12 minutes, medium.*
#
# Write (5.5) for two Gaussians with means (d,) and covariances (d, d), which need not have an inverse: 50 images vary in
# at most 49 directions. Only the last term needs care: $(C C')^{1/2}$ is the matrix whose square is $C C'$. It is not
# made by taking the roots of the entries. **Predict first:** what is left of (5.5) in one dimension, with the standard
# deviations $s$ and $s'$?

# %%
def my_frechet(mean, cov, mean_2, cov_2):
    """The squared Fréchet distance (5.5) of two Gaussians."""
    return ...


checks.frechet(my_frechet)

# %% [markdown]
# <details><summary>Hint 1: the Fréchet distance of two Gaussians</summary>
#
# The trace of a matrix is the sum of its eigenvalues. What are the eigenvalues of a root?
#
# </details>
#
# <details><summary>Hint 2: the Fréchet distance of two Gaussians</summary>
#
# They are the roots of the eigenvalues. Those of $C C'$ are positive, but `torch.linalg.eigvals` returns complex
# numbers, because the product is not symmetric: take `.real`, and `.clamp(min=0)` against rounding.
#
# </details>
#
# <details><summary>Solution: the Fréchet distance of two Gaussians</summary>
#
# ```python
# def my_frechet(mean, cov, mean_2, cov_2):
#     """The squared Fréchet distance (5.5) of two Gaussians."""
#     trace_of_root = torch.linalg.eigvals(cov @ cov_2).real.clamp(min=0).sqrt().sum()
#     return (mean - mean_2).square().sum() + cov.trace() + cov_2.trace() - 2 * trace_of_root
#
#
# # In one dimension it is (m − m')² + (s − s')².
# ```
#
# </details>

# %% [markdown]
# **Coverage** (Naeem et al. 2020). Around each of $n$ test images lies a ball that reaches to its fifth nearest
# neighbour among them. Coverage is the share of balls that hold at least one of $n$ samples. For samples of the same
# law each of the six nearest comers could be in any order, so a ball stays empty with probability about $2^{-5}$:
#
# $$ E[\text{coverage}] = 1 - \prod_{i=1}^{5} \frac{n - i}{2n - i} \approx 1 - 2^{-5} \approx 0.969. \tag{5.6} $$
#
# **Labels and confidence.** How often each digit is read, and how sure the LeNet is.
#
# **Nearest training neighbours**, in pixels and without a network: do samples lie closer to the training images than
# new digits do?
#
# None of these is zero, or full marks, for real images. The **floor** is what real images get that neither the LeNet
# nor the reference has seen, at the same $n$. The course comes with 1,000 of them.

# %%
images, labels = quality.unseen()
real_x = MNIST.to_points(images)
real = quality.score_images(real_x)
print(f"LeNet {real.lenet}, test accuracy {lenet.card()['test_accuracy']:.2%}; {real.n} unseen real images:")
print(f"Fréchet distance ≈ {real.frechet:.2f}, floor {real.frechet_floor:.2f}")
print(f"coverage ≈ {real.coverage:.3f}, floor {real.coverage_floor:.3f}, (5.6) {quality.expected_coverage(1000, 1000):.3f}")

# %% [markdown]
# **Exercise: which images are farthest from real ones?** *4 minutes, easy.*
#
# **Predict first.** Order four sets of images by their Fréchet distance (5.5) from the test images, the smallest
# first: the thousand unseen real ones; the same, each moved by one pixel; the same, blurred a little; and a hundred
# of the real ones (on average over ten choices).

# %%
my_same_n = [...]  # the smallest first, of
# '1,000 real', '1,000 shifted', '1,000 blurred', '100 real'
checks.same_n(my_same_n)

# %% [markdown]
# <details><summary>Hint 1: which images are farthest from real ones?</summary>
#
# Three sets have the same $n$, so that only their images differ. Is the fourth one like the first?
#
# </details>
#
# <details><summary>Hint 2: which images are farthest from real ones?</summary>
#
# 64 features have a covariance of 64 × 64 numbers. How well can a hundred images tell them?
#
# </details>
#
# <details><summary>Solution: which images are farthest from real ones?</summary>
#
# ```python
# my_same_n = ['1,000 real', '1,000 shifted', '1,000 blurred', '100 real']
# ```
#
# </details>

# %% [markdown]
# The 1,000 images are one draw, the floor is the mean over many such draws. They differ by the luck of the draw. The
# floor of the Fréchet distance is far from zero, and it depends on how many images there are:

# %% mystnb={"image": {"alt": "The distance F of n unseen real images from the test set against n on logarithmic axes: from about 30 at a hundred images it falls as 1/n, then flattens towards about 1 at ten thousand."}}
floors = quality.reference().card["floors"]
n, F = np.array(floors["n"]), np.array(floors["frechet"])
a, b = np.polyfit(1 / n, F, 1, w=n**0.5)[::-1]
ax = plots.curve(n, F, color=plots.DATA, label="unseen real images", marker="o")
plots.truth(n, a + b / n, ax, label=f"≈ {a:.1f} + {b:,.0f}/n")
ax.set(xscale="log", yscale="log", xlabel="images n", ylabel="Fréchet distance F")
_ = ax.legend()
print(f"limit {a:.2f}, of it the reference's part {b / 10_000:.2f}")

# %% [markdown]
# A covariance from few images is off, and (5.5) counts that as distance: this part falls as $1/n$. Two Fréchet
# distances can only be compared at the same $n$. The line does not go to zero but to about 1. The reference is finite
# too and adds its own 1/10,000 part, about 0.3. The rest is no noise: MNIST's test images were not written by the same
# people as its training images, and no model of the training images can know that.
#
# Now the faults. Predict first: which score will notice a shift by one pixel, a blur, a missing digit, a tenth of
# the images shown ten times each?

# %% mystnb={"image": {"alt": "One real digit of each kind as they are, the same moved by one pixel, blurred, without the eight, and the first of them ten times over."}}
one_each = torch.stack([(labels == digit).nonzero()[0, 0] for digit in range(10)])
rows = [corrupt(real_x[one_each], labels[one_each]) for corrupt in quality.CORRUPTIONS.values()]
rows = [torch.cat([row, -torch.ones(10 - len(row), 784)]) for row in rows]
ax = plots.image_grid((torch.cat(rows).reshape(-1, 28, 28) + 1) / 2, columns=10)
_ = ax.set_yticks(range(14, 140, 28), quality.CORRUPTIONS)

found = {name: quality.score_images(corrupt(real_x, labels)) for name, corrupt in quality.CORRUPTIONS.items()}
print(f"{'n = 1,000':26} F/floor  coverage  labels off  confidence")
for name, s in found.items():
    print(f"{name:26} ≈{s.frechet_ratio:6.2f}  ≈{s.coverage:7.3f}  ≈{s.label_distance:9.1%}  ≈{s.confidence:9.3f}")
shift, blur, missing, repeated = list(found.values())[1:]
assert shift.frechet > real.frechet + 3 and abs(shift.label_distance - real.label_distance) < 0.01
assert blur.frechet > 4 * real.frechet and blur.confidence < real.confidence
assert missing.labels[8] < 0.005 and missing.label_distance > real.label_distance + 0.05
assert repeated.coverage < 0.5 < min(s.coverage for s in (shift, blur, missing))
assert abs(repeated.confidence - real.confidence) < 0.02

# %% [markdown]
# One pixel is enough for the features, though each image alone is as good a digit as before: labels and confidence
# stay. The blur moves the features farther and costs a little confidence. The missing digit shows in the labels; the
# other scores say only that something is wrong. The repeated images are perfect one by one, and the LeNet is as sure
# of them as ever. Coverage names this fault: it falls farther than for any other.
#
# With few images noise hides small faults. The same at $n = 10{,}000$, from the reference file that
# `python -m diffusion_edu.images.quality` writes. It has one more row: training images, copied.

# %%
card = quality.reference().card["corruptions"]
print(f"{'n = 10,000':26} F/floor  coverage  labels off  confidence  neighbour  too close")
for name, s in card.items():
    print(
        f"{name:26} {s['frechet_ratio']:7.2f} {s['coverage']:9.3f} {s['label_distance']:11.1%} {s['confidence']:11.3f}"
        f" {s['nearest']:10.2f} {s['too_close']:10.1%}"
    )
assert card["copies of training images"]["frechet_ratio"] < 1.2

# %% [markdown]
# A machine that has learnt nothing and hands out training images passes the first three scores as real images do.
# Only the last two columns find it out. *neighbour* is the median distance from the nearest training image, as a
# multiple of what test images have; *too close* is the share of images that are nearer to one than 99 % of test images
# are. New digits have 1 and 1 %, copies 0 and 100 %. This search needs the training images themselves, about two
# seconds for 1,000 samples: `quality.score_images(x, train=points)`.

# %% [markdown]
# Now the models, with 10,000 samples each. The scores stand on the cards.

# %%
print(f"{'':5} Fréchet/floor  coverage (real)  confidence (real)   nearest  too close")
for name, card in grey.items():
    s = card["scores"]
    print(
        f"{name.upper():5} {s['frechet_ratio']:13.1f} {s['coverage']:9.2f} ({s['coverage_floor']:.2f})"
        f" {s['confidence']:10.3f} ({s['confidence_floor']:.3f}) {s['nearest']:9.2f} {s['too_close']:9.1%}"
    )
assert grey["ddpm"]["scores"]["frechet_ratio"] < min(grey[n]["scores"]["frechet_ratio"] for n in ("vae", "hvae"))

# %% [markdown]
# The DDPM is the best of the three, and it is not at the floor. The first column says at what multiple it is, coverage how
# many test images have a sample nearby, and confidence that the LeNet is less sure of the samples than of real digits. Section 6
# prints how often each network saw each image, and by the standards of this field that is very little. The course's own aim, set for a
# GPU, is a ratio below 3 and coverage above 0.9.
#
# **Another weight.** Section 5 found that most bits are spent where no eye looks. The simple loss has the same habit. At
# low noise $\varepsilon$ is hard to tell, so its error is large there, and drowns the small errors at high noise where a digit
# takes its shape. So give $|\varepsilon - \hat\varepsilon|^2$ the weight
# $\min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t$ with $\gamma = 5$ (Hang et al. 2023), and draw $t$ uniformly, none by
# $\log \mathrm{SNR}$. At high noise the weight is 1. At low noise it is small: by (4.7) it counts the error of $\hat x_0$
# there, five times, and no longer that of $\hat\varepsilon$. The error of the network above, and the weight:

# %%
from diffusion_edu import training

print("   t   |ε − ε̂|²   weight   product")
error = {}
for t in (20, 100, 300, 600):
    eps = torch.randn(x.shape, generator=seeded(t))
    error[t] = (eps - ddpm.eps_hat(diffusion.q_marginal(S, t, x).at(eps), t)).square().sum(1).mean().item()
    weight = training.min_snr(S, torch.tensor(t)).item()
    print(f"{t:4} ≈ {error[t]:8.0f} {weight:8.3f} ≈ {weight * error[t]:7.1f}")
assert error[20] > 4 * error[600]

# %% [markdown]
# Now the same network, trained with that weight. Schedule, data, sampler and bound stay as they are. **Predict first:**
# what becomes of the bits, and what of the samples?

# %% mystnb={"image": {"alt": "Two rows, above the DDPM trained with the simple loss, below the one with min-SNR weights. On the left five samples of each: from the same noise, mostly the same digits. On the right the same four times as bright: around the digits the black is speckled with grey, more in the lower row."}}
ddpms = {"simple": grey["ddpm"], "min-SNR": pretrained.card("mnist-ddpm-min-snr")}
print(f"{'loss':8} bits/pixel  Fréchet/floor  coverage  confidence  passes  training")
for name, card in ddpms.items():
    s, time = card["scores"], f"{card['seconds'] / 60:.0f} min, cores: {card['threads']}"
    print(
        f"{name:8} {card['test']['bits_per_dim']:10.2f} {s['frechet_ratio']:14.1f} {s['coverage']:9.2f}"
        f" {s['confidence']:11.3f} {passes(card):7.1f}  {time}"
    )
simple, min_snr = ddpms.values()
for score in ("coverage", "confidence"):
    assert min_snr["scores"][score] > simple["scores"][score]
assert min_snr["scores"]["frechet_ratio"] < simple["scores"]["frechet_ratio"]
assert 1.5 < min_snr["test"]["bits_per_dim"] / simple["test"]["bits_per_dim"] < 1.6
assert 0.33 < passes(min_snr) / passes(simple) < 0.38

rows = [pretrained.neighbours(card["name"])["samples"].float() / 255 for card in ddpms.values()]
grid = torch.cat([torch.cat([row[:5], (4 * row[:5]).clamp(max=1)]) for row in rows])
title = "simple loss, and below min-SNR; on the right four times as bright"
_ = plots.image_grid(grid, plots.axes_row(1, size=5)[0], columns=10, title=title)
black = [(row == 0).double().mean().item() for row in rows]
print(f"pixels exactly black: {black[0]:.0%} and {black[1]:.0%}, of real images {(x == -1).double().mean():.0%}")
assert black[1] < black[0] < (x == -1).double().mean()

# %% [markdown]
# Each column began with the same noise. How often do the two networks draw the same digit, and where are the extra bits?

# %%
names = [lenet.apply(lenet.load(), 2 * row.flatten(1) - 1)[1].argmax(1) for row in rows]
alike = (names[0] == names[1]).sum().item()
print(f"named alike by the LeNet: {alike} of {len(names[0])}")
means_2, _ = evaluate.terms_by_t(x, pretrained.load("mnist-ddpm-min-snr").chain(), 8, seeded(10))
extra = torch.cumsum(means_2 - means, 0) / (784 * math.log(2))
print(f"extra bits per pixel:  ≈ {extra[99]:.2f} up to t = 100, ≈ {extra[-1]:.2f} in all")
assert alike > 10 and extra[99] > 0.9 * extra[-1]

# %% [markdown]
# Little more than a third of the passes, and all three scores of the samples are better. The price is paid in bits: more than
# half as many again, and nearly all of them before $t = 100$. The eye hardly finds them there. Four times as bright, one sees
# some: black that is not quite black, which the bound charges for and the LeNet forgives. From the same noise came
# mostly the same digits. No weight changes what the best answer to an $x_t$ is, so two networks that learn
# it take similar ways.
#
# Neither network is the better one. Each was told where to be good, and each ruler sees only its own part. A paper that
# reports one of the two numbers has told half.
#
# **Where do they go wrong?** Neither comes near the floor. One can find out where it is lost. Take real images that the
# networks have not seen, add the noise of a time $t$ (4.1), and let the reverse process go on from there. What is above $t$
# is real, what is below is the network's. **Predict first:** up to which $t$ do the images come back as good as real ones?

# %%
def from_time(model, t):
    """Scores of 200 real images that got the noise of time t and were denoised again."""
    x_t = diffusion.q_marginal(S, t, real_x[:200]).sample(seeded(11))
    return quality.score_images(samplers.sample(model.x0_hat, S, x_t, steps=50, generator=seeded(12), start=t))


plain = pretrained.load("mnist-ddpm-min-snr")
back_from = {0: quality.score_images(real_x[:200])} | {t: from_time(plain, t) for t in (400, 600, 800, 1000)}
print("   t  Fréchet/floor  coverage  confidence")
for t, found in back_from.items():
    print(f"{t:4} ≈{found.frechet_ratio:13.2f} ≈{found.coverage:8.2f} ≈{found.confidence:10.3f}")
assert back_from[600].frechet < 1.4 * back_from[0].frechet and back_from[1000].frechet > 2 * back_from[0].frechet

# %% [markdown]
# The row $t = 0$ is the real images themselves. Up to $t = 600$ little is lost, though at that noise a digit can just be
# made out (section 5). Most of it is lost above, where the noise hides the digit, and the network has to settle what
# the whole of it is to be. That is a hint at what the network lacks. In the middle of it the picture is a map of 7 × 7
# places, and a convolution of 3 × 3 carries news by one place at a time. The stroke at the top hears of the one at the
# bottom late and faintly. Ho et al. (2020) have attention there, our networks had nothing.
#
# **The same layer again.** It is the one of section 4, `Mixing`, here with 256 features and told the time $t$, in the middle of
# the U-Net. Loss, optimiser, images, noise and number of steps stay as they were for min-SNR. **Predict first:** which of
# the four columns changes most?

# %%
ddpms["and mixing"] = pretrained.card("mnist-ddpm-min-snr-mixing")
print(f"{'':10} parameters  bits/pixel  Fréchet/floor  coverage  confidence  training")
for name, card in list(ddpms.items())[1:]:
    s, time = card["scores"], f"{card['seconds'] / 60:.0f} min, cores: {card['threads']}"
    print(
        f"{name:10} {card['parameters']:10,} {card['test']['bits_per_dim']:11.2f} {s['frechet_ratio']:14.1f}"
        f" {s['coverage']:9.2f} {s['confidence']:11.3f}  {time}"
    )
mixing = ddpms["and mixing"]
assert mixing["scores"]["frechet_ratio"] < min_snr["scores"]["frechet_ratio"] / 2
assert mixing["scores"]["coverage"] > min_snr["scores"]["coverage"] + 0.1
assert mixing["scores"]["confidence"] > min_snr["scores"]["confidence"]
assert passes(mixing) == passes(min_snr) and 0.95 < mixing["test"]["bits_per_dim"] / min_snr["test"]["bits_per_dim"] < 1

print("   t  Fréchet/floor  coverage  confidence")
short = pretrained.load("mnist-ddpm-min-snr-mixing")
for t in (800, 1000):
    found = from_time(short, t)
    print(f"{t:4} ≈{found.frechet_ratio:13.2f} ≈{found.coverage:8.2f} ≈{found.confidence:10.3f}")
    assert found.frechet < back_from[t].frechet

# %% [markdown]
# One layer, and the distance from the floor falls to less than half. Coverage and confidence rise with it. The bits hardly
# move: they are spent at low noise, and there nothing was wrong. The last two rows of the table show that the gain is where the
# diagnosis put it. The price is more than twice the parameters and a somewhat longer training. It is no proof that only this layer could
# have done it. But it was not a guess either: first came the measurement of where, then the question of what is missing there.
#
# **And longer.** That network had seen each image about ten times. `-long` took nearly three times as many steps, and nothing
# else is new. `-longer` went on from there for as many again, in bfloat16; `--start` does that, with a learning rate that rises
# and falls anew. It is the one of the pictures at the top. Its samples are scored in several ways: with $\sigma_t^2 = \beta_t$ in 50 steps like
# all others; with $\sigma_t^2 = \tilde\beta_t$, for the bound of the roll by far the worst choice (notebook 04, section 8); with
# that in 200 steps; and with that and the better step (4.20), in 50 and in 200. **Predict first:** which is best?

# %%
long, longer = (pretrained.card(f"mnist-ddpm-min-snr-mixing-{name}") for name in ("long", "longer"))
ways = {"": "", "_small": ", small σ²", "_fine": ", 200 steps", "_2m": ", (4.20)", "_2m_fine": ", (4.20), 200"}
print(f"{'':19} passes F/floor coverage confidence nearest too close")
for name, card in {"mixing": mixing, "long": long, "longer": longer}.items():
    for key, how in ways.items():
        if s := card.get(f"scores{key}"):
            print(f"{name + how:19} {passes(card):6.1f} {s['frechet_ratio']:7.2f} {s['coverage']:8.3f}", end=" ")
            print(f"{s['confidence']:10.3f} {s['nearest']:7.2f} {s['too_close']:9.1%}")
            assert s["too_close"] < 0.01
distance = {(name, key): card[key]["frechet_ratio"] for name, card in (("long", long), ("longer", longer)) for key in card if "scores" in key}
assert min(s["coverage"] for s in (long["scores"], longer["scores"])) > 0.9
assert distance["longer", "scores_fine"] < distance["longer", "scores_small"] < distance["longer", "scores"] < distance["long", "scores"]
print(f"real images: coverage {long['scores']['coverage_floor']:.3f}, confidence {long['scores']['confidence_floor']:.3f}")
print("bits per pixel", ", ".join(f"{card['test']['bits_per_dim']:.2f}" for card in (mixing, long, longer)))
fifty, more = (distance["longer", key] for key in ("scores_small", "scores_fine"))
limit = (4 * more - fifty) / 3  # of a + b/S, from S = 50 and S = 200
print(f"plain steps without end, if the error of steps falls as 1/steps: ≈ {limit:.2f}")
assert distance["longer", "scores_2m"] < distance["longer", "scores_2m_fine"] < 3 < more and 0.95 < distance["longer", "scores_2m_fine"] / limit < 1.05

# %% [markdown]
# Each longer training lowers the distance, and it does not come from copying: the last two columns stay near 1 and below 1 %.
# Coverage has passed the course's aim of 0.9 and comes near that of real images. The other variance lowers the distance again
# and costs nothing; what was worst for the roll's bound is better here. The better step costs nothing either, and meets the
# course's aim for the distance, 3.
#
# But look closer. With plain steps more of them help, and the last line says where that would end. With the better step 200 come
# out near that end, as they should, and 50 come out *below* it. So 50 steps are not nearer to the model's own law. Their error happens to
# undo a part of the network's. By its own law the model is at about 3 floors, and what it is above 1 is the network's error.
#
# Nor is it a matter of patience alone. Two trainings that went on from `-longer`, not kept in the course, came out a little
# farther away, the first in spite of a lower loss, both with too few zeros among the samples. Part of what a training wins
# or loses here is how often each digit comes.
#
# Why is the smaller variance no contradiction? (3.23) says where the best variance lies: at the fraction
# $\mathrm{mse}_t / (1 - \bar\alpha_t)$ of the way from $\tilde\beta_t$ to $\beta_t$. And in a step of the thousand the two are nearly the same,
# in one of fifty they are not.

# %%
sub, visited = S.respaced(50)
print("   t   fraction   smaller / larger σ² in 1,000 steps   in 50")
for i in (2, 5, 15, 25, 35, 45):
    t = int(visited[i])
    x0_hat = painter.x0_hat(diffusion.q_marginal(S, t, x).sample(seeded(t)), t)
    fraction = (x - x0_hat).square().mean().item() / (1 - S.alpha_bar[t].item())  # (3.23)
    print(f"{t:4} ≈ {fraction:8.2f} {S.beta_tilde[t] / S.beta[t]:18.3f} {sub.beta_tilde[i] / sub.beta[i]:21.3f}")
    assert fraction < 0.4
print(f"at t = 2, in 1,000 steps: {S.beta_tilde[2] / S.beta[2]:.2f}")

# %% [markdown]
# On the roll the fraction was nowhere near zero. Here it is small, since of an image even a noisy version tells the network most: four
# pixels in five are black. So the best variance is near $\tilde\beta_t$, and with $\beta_t$ the fifty steps add too much noise,
# above all the last of them, at small $t$. Of a thousand steps only those next to $t = 1$ tell the two apart. There the bound
# charges the roll a nat.
#
# ## 8. Does it copy?
#
# "Nearest" in the table is how far a sample is from the nearest training image, as a multiple of what test images are. Far below 1
# would mean copies. "Too close" is the share that is nearer than all but one per cent of test images. Look at some:

# %% mystnb={"image": {"alt": "Two rows of ten digits. Above samples of the diffusion model, below the training image nearest to each: mostly the same digit in a similar slant. The sevens are nearly alike, other pairs differ clearly."}}
kept = pretrained.neighbours("mnist-ddpm-min-snr-mixing-longer")
pair = torch.cat([kept["samples"][:10], kept["nearest"][:10]]).float() / 255
_ = plots.image_grid(pair, plots.axes_row(1, size=7)[0], columns=10, title="samples, and the training image nearest to each")

# %% [markdown]
# Some pairs are close, such as the sevens. But there are thousands of sevens to be close to, and a new one written by hand has
# such a neighbour too. That is why both columns are measured against test images.
#
# ## 9. Beside published numbers
#
# All on binary MNIST with random binarisation, −log P of the test set in nats by importance weighting. The published
# models are multilayer perceptrons, the first two trained for thousands of passes over the data. Ours
# took far fewer. So one of them, the hierarchy with mixing layers, went on from where section 4 left it: "longer" in the table. The
# aims of this course are 85.5 nats for one level, which is met, and 80 for three, which is not.

# %%
published = {
    "VAE, one latent (Burda et al. 2016)": 86.76,
    "VAE, two latents (Burda et al. 2016)": 85.33,
    "ladder VAE, five latents (Sønderby et al. 2016)": 81.74,
}
binary["HVAE, longer"] = pretrained.card("mnist-binary-hvae-mixing-long")
ours = {f"{name}, this course": card["test"]["iw_nll"] for name, card in binary.items()}
for name, value in sorted((published | ours).items(), key=lambda item: -item[1]):
    print(f"{name:48} {value:7.2f} nats")
print("passes: ", ",  ".join(f"{name} {passes(card):.0f}" for name, card in binary.items()))
for card in binary.values():
    assert card["test"]["iw_nll"] + 2 * card["test"]["iw_nll_se"] < 86.76
gain = {key: binary["HVAE, mixing"]["test"][key] - binary["HVAE, longer"]["test"][key] for key in ("neg_elbo", "iw_nll")}
print(f"longer: −ELBO {gain['neg_elbo']:.2f} nats lower, −log P {gain['iw_nll']:.2f}")
train, test = np.mean(pretrained.log("mnist-binary-hvae-mixing-long")["loss"][-30:]), binary["HVAE, longer"]["test"]
print(f"longer: loss of the last steps {train:.1f}, −ELBO of the test images {test['neg_elbo']:.1f}")
nll = [binary[name]["test"]["iw_nll"] for name in ("HVAE, longer", "HVAE, mixing", "HVAE", "VAE")]
assert 80 < nll[0] < 81.74 < nll[1] < 81.74 + 1 < nll[2] < nll[3] < 85.5 and gain["neg_elbo"] > gain["iw_nll"] > 0.8
assert 81.74 - nll[0] < 2 * test["iw_nll_se"] and train > test["neg_elbo"]

# %% [markdown]
# With one level, convolutions do better than the perceptrons of 2016, in a small part of their passes. Three levels of
# convolutions alone do a little better still. With layers that see the whole picture they come within a nat of what five
# reached with a long training, and by going on for as long again and a third they get past it: by less than two standard
# errors, so call it level. The bound gains more than $-\log P$ does, so part of the gain is a better $q$. The loss of the
# last steps lies no lower than the test images' bound, so nothing is learned by heart yet. The 80 may be a matter of going on,
# or of a still better $q$.

# %% [markdown]
# ## 10. Train them yourself
#
# Each model was trained by one command, the one on its card. On a machine with a GPU the same command takes the GPU;
# several processes share the work under `torchrun`; `--resume` goes on where a run was cut off; `--start` goes on from a finished
# model, your own or one of ours, so nobody has to begin where we began. `docs/cli.md` has the details.
#
# The log is there too, and beside it that of the same training by *Adam*, which scales each number of the network by
# itself. The matrices of the DDPMs here were trained by *Muon*, which makes all singular values of a step alike (Jordan et al. 2024).
# Both saw the same images with the same noise, step by step, so the two losses can be divided.

# %% mystnb={"image": {"alt": "The loss of two trainings of the DDPM against the step on logarithmic axes. Both fall steeply in the first few hundred steps and then slowly and noisily, with the same bumps; Muon's lies below Adam's throughout."}}
muon, adam = (pretrained.log(name) for name in ("mnist-ddpm", "mnist-ddpm-adam"))
ax = plots.axes_row(1, size=3.2)[0]
plots.curve(adam["step"], adam["loss"], ax, color=plots.EXTRA[0], label="Adam")
plots.curve(muon["step"], muon["loss"], ax, color=plots.MODEL, label="Muon")
ax.set(xlabel="step", ylabel="|ε − ε̂|² per image", xscale="log", yscale="log")
_ = ax.legend()
ratio = np.array(adam["loss"]) / np.array(muon["loss"])
print(f"Adam's loss over Muon's: {ratio[:10].mean():.2f} in the first 1,000 steps, {ratio[-10:].mean():.2f} in the last")
assert muon["step"] == adam["step"] and ratio[:10].mean() > ratio[-10:].mean() > 1
print("\n".join(grey["ddpm"]["commands"]))

# %% [markdown]
# Muon leads at once, and its lead shrinks with the training. Mostly it saves time.
#
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** A paper reports a log likelihood of +1,200 nats for a digit of MNIST. What follows?
#
# <details><summary>Its model is far better than those of this notebook.</summary>
#
# **No.** A larger number sounds better. But the models here give a digit a probability, whose log is negative, and
# this is something else.
#
# </details>
#
# <details><summary>It is a slip: a log probability is never positive.</summary>
#
# **No.** That of a probability is not. This is a density, and a density may exceed 1.
#
# </details>
#
# <details><summary>Nothing yet: it is a density, and its cells are not named.</summary>
#
# **Yes.** On which scale are the pixels, and how far apart are the levels? On $[-1, 1]$ the volume of a cell takes
# off $784 \log 127.5$, that is 3,800 nats. And if the density is not even within a cell, no code length comes of it
# at all.
#
# </details>
#
# <details><summary>It codes a digit in 2.2 bits per pixel.</summary>
#
# **No.** 1,200 divided by $784 \log 2$ is 2.2. But (5.1) has a minus sign and a probability in it.
#
# </details>
#
# **Question.** Model A needs 0.2 bits per pixel fewer than model B. Whose samples look better?
#
# <details><summary>Those of A.</summary>
#
# **No.** A is the better code. But most bits pay for the last shades of grey, and the 0.2 may be saved there, where
# nobody sees it.
#
# </details>
#
# <details><summary>Those of B.</summary>
#
# **No.** Ho et al. (2020) found better pictures at worse bits. That can happen, but it is no rule.
#
# </details>
#
# <details><summary>They look alike: 0.2 bits are next to nothing.</summary>
#
# **No.** In 784 pixels they make 109 nats, which is not little. But the number does not say what they are spent on.
#
# </details>
#
# <details><summary>It cannot be said.</summary>
#
# **Yes.** The shape of a digit costs a fraction of its bits. Look at which $t$ the two models differ, and score
# their samples as well.
#
# </details>
#
# **Question.** Your 500 samples have the Fréchet distance 8. A paper's 10,000 have 4, by the same LeNet. Whose model is better?
#
# <details><summary>Probably mine: 8 is hardly above its floor, 4 is three times its own.</summary>
#
# **Yes.** On average 500 unseen real images get 6.7, and 10,000 get 1.3. To be sure, draw 10,000 samples and compare
# again.
#
# </details>
#
# <details><summary>The paper's: 4 is less than 8.</summary>
#
# **No.** Less is better at the same $n$. Here the larger part of the 8 is what a covariance from 500 images is off
# by.
#
# </details>
#
# <details><summary>Nobody can say, since every draw gives another number.</summary>
#
# **No.** It does scatter, for 500 real images by about 1.3. But the floors lie farther apart than that.
#
# </details>
#
# <details><summary>Mine, because it needed fewer samples.</summary>
#
# **No.** Fewer samples are no merit. They make the covariance in (5.5) worse and the distance larger.
#
# </details>
#
# **Question.** By importance weighting with K = 1,000, −log P of a test set comes out at 90 nats. Where is the true value?
#
# <details><summary>At 90, give or take the standard error.</summary>
#
# **No.** The standard error tells how much the mean over images may be off by chance. This estimate is also off in
# one direction.
#
# </details>
#
# <details><summary>Below 90.</summary>
#
# **Yes.** The log of a mean of $K$ weights lies below $\log P$ on average, for every $K$ (1.12). More draws come
# nearer.
#
# </details>
#
# <details><summary>Above 90.</summary>
#
# **No.** A thousand draws sound like too few, and they are. But what they miss makes $P$ too small and $-\log P$ too
# large.
#
# </details>
#
# <details><summary>It depends on the model.</summary>
#
# **No.** How far away it is depends on the model, that is on how well $q$ fits its posterior. The side does not.
#
# </details>
#
# **Question.** A program hands out training images as its samples. Which score finds it out?
#
# <details><summary>The Fréchet distance.</summary>
#
# **No.** It compares the features' mean and covariance with those of real images. These are real images.
#
# </details>
#
# <details><summary>Coverage.</summary>
#
# **No.** It notices a few images shown many times. Thousands of different ones cover the test images as well as new
# digits do.
#
# </details>
#
# <details><summary>The confidence of the LeNet.</summary>
#
# **No.** It says whether a digit can be read. Each of these can.
#
# </details>
#
# <details><summary>The distance from the nearest training image.</summary>
#
# **Yes.** It is zero, where new digits keep a distance. For that score one needs the training images themselves.
#
# </details>

# %% [markdown]
# ## Project: A fault that no score sees
#
# *90 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Four scores, and each is blind to something. Find a fault that anyone notices who looks at a thousand images, or a
# program of three lines, while Fréchet distance, coverage, labels and confidence take the images for real ones.
# Write it like those in `quality.CORRUPTIONS`, with the thousand images of `quality.unseen()`. Then invent a fifth
# score that sees it, with its floor. Then find what your score is blind to. All of this needs no training and no
# download.
#
# - The fault is a function of images and labels, with a picture of ten digits before and after.
# - All four scores stand in a table beside those of the untouched images. How much the Fréchet distance varies
#   between random halves of the images is measured, and the fault lies within that.
# - The fifth score comes with its floor, what unseen real images get at the same n, and with what it says of the
#   four faults of section 7.
# - A second fault is found that the fifth score does not see, or it is argued why there is none.
# - One paragraph: would bits per pixel have noticed? What do they see that scores of samples do not?

# %% [markdown]
# ## Recap
#
# - A discrete law of pixels makes $P(x)$ a probability, and $-\log_2 P(x)$ a code length (5.1). Bits of densities cannot
#   be compared.
# - The same bound scores VAE, hierarchical VAE and DDPM on images. Only the networks and the last step changed.
# - Most of the bits pay for the last shades of grey. A variance that depends on $\hat x_0$ saves many of them without
#   any training.
# - A score of samples needs its floor, and no single score sees everything.
# - The weight of the loss says where a network is to be good. The bound asks for low noise, the eye for high.
# - Real images, noised to $t$ and denoised, show at which noise samples go wrong. Then one can ask what is missing there.
# - Bound and samples can want different variances: with few steps on images, the best one is near $\tilde\beta_t$.
#
# | symbol | code | file |
# | --- | --- | --- |
# | bits per dimension | `bits_per_dim` | `data.py` |
# | $P(x \mid z)$, binary and grey | `Bernoulli`, `DiscretisedLogistic`, `DiscretisedGaussian` | `observations.py` |
# | $q$, $p$ of images | `ConvGaussianNet`, `ConvStepNet`, `ConvBernoulliNet`, `ConvLogisticNet` | `convnets.py` |
# | $\varepsilon_\theta(x_t, t)$ of images | `UNet`, `Mixing`, `alike` | `convnets.py`, `filters.py` |
# | $\sigma_t^2(\hat x_0)$ | `ImageDDPM`, `variance`, `fit_image_sigma2` | `ddpm.py`, `trainer.py` |
# | $\min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t$ | `min_snr`, `eps_loss` | `trainer.py` |
# | $L_0, \dots, L_T$ | `terms_by_t` | `evaluate.py` |
# | $-\log P(x)$ by importance | `importance_gain`, `importance_weighted` | `evaluate.py`, `bound.py` |
# | Fréchet distance, coverage | `frechet_distance`, `coverage`, `score_images` | `quality.py` |
#
# **The way on.** The lesson of section 5, that a good part of the bits is spent where no eye looks, is what latent and
# multi-scale diffusion build on. Each of them can be put on the ruler of section 6.
#
# **References**
#
# - Burda, Grosse, Salakhutdinov (2016), *Importance weighted autoencoders*, [arXiv:1509.00519](https://arxiv.org/abs/1509.00519)
# - Hang, Gu, Li, Bao, Chen, Hu, Geng, Guo (2023), *Efficient diffusion training via min-SNR weighting strategy*,
#   [arXiv:2303.09556](https://arxiv.org/abs/2303.09556)
# - Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017), *GANs trained by a two time-scale update rule converge to
#   a local Nash equilibrium*, [arXiv:1706.08500](https://arxiv.org/abs/1706.08500)
# - Ho, Jain, Abbeel (2020), *Denoising diffusion probabilistic models*, [arXiv:2006.11239](https://arxiv.org/abs/2006.11239)
# - Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein (2024), *Muon: an optimizer for hidden layers in neural
#   networks*, [kellerjordan.github.io/posts/muon](https://kellerjordan.github.io/posts/muon/)
# - LeCun, Bottou, Bengio, Haffner (1998), *Gradient-based learning applied to document recognition*,
#   [doi:10.1109/5.726791](https://doi.org/10.1109/5.726791)
# - Lu, Zhou, Bao, Chen, Li, Zhu (2022), *DPM-Solver++: fast solver for guided sampling of diffusion probabilistic
#   models*, [arXiv:2211.01095](https://arxiv.org/abs/2211.01095)
# - Naeem, Oh, Uh, Choi, Yoo (2020), *Reliable fidelity and diversity metrics for generative models*,
#   [arXiv:2002.09797](https://arxiv.org/abs/2002.09797)
# - Salakhutdinov, Murray (2008), *On the quantitative analysis of deep belief networks*,
#   [doi:10.1145/1390156.1390266](https://doi.org/10.1145/1390156.1390266)
# - Salimans, Karpathy, Chen, Kingma (2017), *PixelCNN++*, [arXiv:1701.05517](https://arxiv.org/abs/1701.05517)
# - Shannon (1948), *A mathematical theory of communication*,
#   [doi:10.1002/j.1538-7305.1948.tb01338.x](https://doi.org/10.1002/j.1538-7305.1948.tb01338.x)
# - Sønderby, Raiko, Maaløe, Sønderby, Winther (2016), *Ladder variational autoencoders*,
#   [arXiv:1602.02282](https://arxiv.org/abs/1602.02282)
# - Tomasi, Manduchi (1998), *Bilateral filtering for gray and color images*,
#   [doi:10.1109/ICCV.1998.710815](https://doi.org/10.1109/ICCV.1998.710815)
