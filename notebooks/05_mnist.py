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
# Until here the data were points of the plane, and their true density was known. Images of MNIST have 784 dimensions and
# no known density. The models are the same, and one function still scores them all. Only the networks are
# convolutional, and the last step $p(x \mid z_1)$ is a distribution over pixel values.
#
# **The question.** Do the numbers hold on images, and how good are they beside published ones?
#
# **Afterwards you can**
# - say what a bit per pixel is, and why only a *discrete* distribution over pixel values gives an honest one,
# - read the bound of an image model term by term, and say where its bits are spent,
# - score samples without being fooled: what each score catches, what it does not see, and what its floor is,
# - find out at which noise level a model goes wrong, and draw a conclusion from it,
# - train all of it yourself, with one command each.
#
# **Time** about 45 minutes to read, and 50 for the exercises, both estimates. The cells take about a
# minute. **You need** notebooks 01 to 04. No GPU and no download: eight trained models come with the
# course, and so do a hundred test images and a thousand more.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch

from diffusion_edu import (
    bound, checks, diffusion, evaluate, plots, pretrained, samplers
)
from diffusion_edu.data import MNIST
from diffusion_edu.images import quality
from diffusion_edu.sampling import SAMPLERS

# %% [markdown]
# Here is the goal. The upper two rows are test images. The lower two are samples of a DDPM that was trained for five
# minutes on a GPU (section 8).

# %% mystnb={"image": {"alt": "Four rows of ten small white handwritten digits on black. The upper two rows are real. The lower two were drawn by the diffusion model and look handwritten too."}}
plots.use_style()
# 100 test images, ten of each digit, grey levels 0 … 255
pictures = quality.reference().images
x = MNIST.to_points(pictures)  # in [−1, 1]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


painter = pretrained.load("mnist-ddpm-min-snr")
S = painter.schedule
x_T = torch.randn(20, 784, generator=seeded(1))
step = SAMPLERS["ancestral-2m"].step
path = list(
    samplers.reverse_path(
        painter.x0_hat, S, x_T, step=step, steps=25, generator=seeded(2)))
shown = torch.cat(
    [x[torch.arange(20) * 10 % 100 + torch.arange(20) // 10], path[-1][1]])
_ = plots.image_grid(
    MNIST.to_images(shown), plots.axes_row(1, size=6)[0], columns=10,
    title="test images, and below them samples")

# %% [markdown]
# ## 1 A ruler for images
#
# On the swiss roll every model had its place between 2.84 nats, which is knowing nothing, and the entropy. Nobody knows
# the entropy of handwritten digits. What remains is to compare codes. An image of grey levels is discrete, so a model
# gives it a *probability* $P(x) \le 1$, and with that model it can be stored in $-\log_2 P(x)$ bits (Shannon 1948).
# Per pixel,
#
# $$ \text{bits per dimension} = \frac{-\log P(x)}{D \log 2}, \qquad D = 784. \tag{5.1} $$
#
# The bound is below $\log P(x)$, so what (5.1) makes of it is too many bits and never too few. Knowing nothing costs
# 8 bits. And `xz`, a program that knows nothing of digits but is good at repetitions, gives a first mark to beat.

# %%
import lzma

unseen = quality.unseen()[0]  # a thousand more real images
strongest = 9 | lzma.PRESET_EXTREME
packed = len(lzma.compress(unseen.numpy().tobytes(), preset=strongest))
packed *= 8 / unseen.numel()
nothing = MNIST.bits_per_dim(784 * math.log(256))
black = (unseen == 0).float().mean().item()
print(f"knowing nothing {nothing:.2f} bits per pixel,  xz {packed:.2f},  "
      f"pixels exactly black {black:.0%}")
assert nothing == 8 and 1 < packed < 2

# %% [markdown]
# Four pixels in five are exactly black. They cost almost nothing if a model is sure of them. A *density* can be as large
# there as one likes: the narrower its peak on black, the larger the log density, while nothing has been learned. So a
# Gaussian log density of pixels, or a mean squared error, is not a likelihood that two models can be compared by. A
# probability is.

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
# ## 2 Distributions over pixel values
#
# The decoder gives each pixel a distribution of its own. For *binary* pixels $x_d \in \{0, 1\}$ it is Bernoulli,
#
# $$ \log P(x \mid z) = \sum_d \big[ x_d \log \pi_d + (1 - x_d) \log(1 - \pi_d) \big], \tag{5.2} $$
#
# the negative of the cross-entropy that many codes use. For 256 grey levels it is a continuous distribution, cut into
# bins of width $2h = 2/255$ around the levels. The first and the last bin take all that lies beyond (Salimans et al.
# 2017). With the *logistic* distribution of centre $\mu_d$ and scale $\varsigma_d$, whose distribution function is
# $\Phi(u) = 1/(1 + e^{-u})$,
#
# $$ P(x_d \mid z) = \Phi\!\left(\frac{x_d + h - \mu_d}{\varsigma_d}\right) - \Phi\!\left(\frac{x_d - h - \mu_d}{\varsigma_d}\right). \tag{5.3} $$
#
# The sum over the levels telescopes to 1, wherever $\mu$ is and however small $\varsigma$. A centre below black makes
# the model nearly sure of black.

# %% [markdown]
# **Exercise: the probability of a grey level.** *15 minutes, hard.*
#
# Write $\log P(x \mid z)$ for (5.3), for images `x` (n, D) whose pixels stand on the 256 levels in
# $[-1, 1]$. `mean` and `scale`, $\mu$ and $\varsigma$, have a number for each pixel. The first and the last level take all
# that lies beyond. And it has to stay finite where $\Phi$ cannot be told from 0 or 1 any more: a model that is sure and
# wrong pays a thousand nats, but not infinitely many.

# %%
def my_grey_log_prob(x, mean, scale):
    """log P(x) of grey levels under discretised logistics, (n,)."""
    return ...


checks.grey_log_prob(my_grey_log_prob)

# %% [markdown]
# <details><summary>Hint 1: the probability of a grey level</summary>
#
# $\Phi$ is `torch.sigmoid`. At $x = -1$ the lower edge of the bin is at $-\infty$, at $x = 1$ the upper one at
# $+\infty$; `torch.where` can put them there. What is the sigmoid of $\pm\infty$? First write it plainly.
#
# </details>
#
# <details><summary>Hint 2: the probability of a grey level</summary>
#
# Far out both values round to 0 or to 1. For $a < b$, $\Phi(b) - \Phi(a) = \Phi(b)\, \Phi(-a)\, (1 - e^{a - b})$, and of a
# product one can take the log factor by factor: `torch.nn.functional.logsigmoid` for the first two, and
# `torch.log(-torch.expm1(a - b))`.
#
# </details>
#
# <details><summary>Solution: the probability of a grey level</summary>
#
# ```python
# def my_grey_log_prob(x, mean, scale):
#     """log P(x) of grey levels under discretised logistics, (n,)."""
#     low = torch.where(x == -1, -torch.inf, (x - 1 / 255 - mean) / scale)
#     high = torch.where(x == 1, torch.inf, (x + 1 / 255 - mean) / scale)
#     log_phi = torch.nn.functional.logsigmoid
#     log_width = torch.log(-torch.expm1(low - high))
#     return (log_phi(high) + log_phi(-low) + log_width).sum(-1)
# ```
#
# </details>

# %% [markdown]
# ## 3 Three families on one ruler
#
# The VAE has a latent of 50 numbers. The hierarchical VAE has three latents, each of four maps of 7 × 7 numbers, and
# between them small convolutional steps, as in notebook 02. Both use (5.3). The DDPM of notebook 04 takes small steps,
# and its last step is a distribution over grey levels too: a discretised Gaussian, (5.3) with the normal distribution
# function (Ho et al. 2020, eq. 13). So its bound is one on a probability, and all three families stand on one ruler.
#
# Each model has a *card*, a file that says how it was trained and what it got on all 10,000 test images.

# %% mystnb={"image": {"alt": "Horizontal bars of bits per pixel: xz about 1.4 in grey, then the VAE, the hierarchical VAE and the DDPM in orange, each shorter than the one before."}}
cards = {name: pretrained.card(name) for name in pretrained.IMAGES}
grey = {
    name.upper(): cards[f"mnist-{name}"] for name in ("vae", "hvae", "ddpm")
}
bits = {name: card["test"]["bits_per_dim"] for name, card in grey.items()}
ax = plots.axes_row(1, size=2.6)[0]
bars = ax.barh(
    ["xz", *bits], [packed, *bits.values()],
    color=[plots.DATA] + [plots.MODEL] * 3)
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.set(xlabel="bits per pixel", xlim=(0, 1.25 * packed))
ax.invert_yaxis()


def passes(card):
    """How often the training saw each of the 60,000 images."""
    return card["config"]["steps"] * card["batch"] / 60_000


print("      parameters  passes  minutes  device")
for name, card in grey.items():
    print(f"{name:5} {card['parameters']:10,} {passes(card):7.1f} "
          f"{card['seconds'] / 60:8.0f}  {card['device']}")
assert bits["DDPM"] < bits["HVAE"] < bits["VAE"] < packed

# %% [markdown]
# All three beat `xz`, and the order is that of the roll. How much of the DDPM's lead is the family's? The table cannot
# say: the DDPM is larger and saw each image three times as often. But there is a reason to expect a lead. Given $z_1$, a
# VAE of one level or of three names the shades of all pixels at once, each by itself. So does a step of the DDPM, but it
# is a small step, and before the next one each pixel can look at its neighbours.
#
# Does a card tell the truth? Here is the bound on the hundred images, by the function of notebook 01:

# %%
models = {
    name: pretrained.load(f"mnist-{name.lower()}") for name in ("VAE", "HVAE")
}
for name, model in models.items():
    b = bound.bound(x, model, seeded(3))
    mean, se = evaluate.mean_and_error(-b.elbo.double() / (784 * math.log(2)))
    print(f"{name:5}≈ {mean:.2f} ± {se:.2f} bits per pixel, on the card "
          f"{bits[name]:.2f}; in nats:")
    print("  " + ", ".join(
              f"{term} ≈ {value:.0f}" for term, value in b.mean().items()))
    assert abs(mean - bits[name]) < 5 * se
    assert 0.84 < b.reconstruction.sum() / b.elbo.sum() < 0.9

# %% [markdown]
# The ± is the standard error over the images. In both models about seven eighths of the cost are the pixels', the rest
# the latents'. (A consistency term may be positive, as in notebook 02; the sum over all latents is a cost.) And here is
# what the two draw, to compare with the DDPM's samples at the top:

# %% mystnb={"image": {"alt": "Two rows of ten samples. Above the VAE's: blots and strokes, hardly one of them a digit. Below the hierarchical VAE's: thinner strokes, and about half of them are digits."}}
drawn = torch.cat([model.generate(10, seeded(4)) for model in models.values()])
_ = plots.image_grid(
    MNIST.to_images(drawn), plots.axes_row(1, size=6)[0], columns=10,
    title="samples of the VAE, and of the HVAE")

# %% [markdown]
# Less than a tenth of a bit lies between the two, and the eye tells them apart at once.
#
# ## 4 The network
#
# The DDPM's network is a small *U-Net* (Ronneberger et al. 2015). It gets $x_t$ and $t$, and answers $\hat v$, which
# (4.2) turns into $\hat\varepsilon$.
#
# - **Two resolutions.** Each 2 × 2 block of pixels becomes four channels, so the finest maps are 14 × 14. A convolution
#   with stride 2 makes 7 × 7 of them, and a transposed one leads back. What was known at 14 × 14 is kept beside it: the
#   *skip connection*, without which the fine detail would have to fit through the coarse maps.
# - **How $t$ enters.** $\log \mathrm{SNR}_t$ goes through sines and cosines and a small MLP. Each residual block scales
#   and shifts its channels by what comes out.
# - **Fourier features of $x_t$.** Beside $x_t$ stand $\sin$ and $\cos$ of it, with periods of 4, 16 and 64 grey levels
#   (after Kingma et al. 2021). They make a small difference of grey a large one. At low noise the bound asks for it.
# - **One layer that sees the whole picture**, in the middle, at 7 × 7. Section 7 shows what it is good for.
#
# The figure is drawn from the network itself: each block reports the shape of its output.

# %% mystnb={"image": {"alt": "The blocks of the U-Net from left to right as bars: two at 14 by 14 with few channels, then several at 7 by 7 with twice as many, then back to 14 by 14. The height of a bar is its resolution, its label the number of channels. The one that sees the whole picture is blue."}}
from diffusion_edu.images.convnets import UNet

torch.manual_seed(0)
net = UNet(784, S, width=16, mixing=64)
names = ["first", "down.0", "shrink", "middle.0", "middle.1", "middle.2",
         "widen", "up.0", "last"]
shapes = {}
for name in names:
    def report(module, inputs, out, name=name):
        shapes[name] = tuple(out.shape[1:])

    net.get_submodule(name).register_forward_hook(report)
net(x[:1], torch.tensor([500]))
ax = plots.axes_row(1, size=3)[0]
ax.figure.set_size_inches(8, 2.6)
for i, (name, (channels, height, _)) in enumerate(shapes.items()):
    ax.bar(i, height, color=plots.Q if name == "middle.1" else plots.MODEL)
    ax.text(i, height + 0.4, f"{name}\n{channels}", ha="center", fontsize=8)
ax.annotate(
    "skip connection", (6.5, 11), (1.6, 10.7),
    arrowprops={"arrowstyle": "->", "linestyle": ":"})
ax.set(ylabel="resolution", ylim=(0, 19), yticks=[7, 14], xticks=[],
       xlabel="order of the blocks; above each its channels; "
       "blue sees the whole picture")
print(f"{sum(p.numel() for p in net.parameters()):,} parameters at width 16; "
      f"the DDPM above has width {cards['mnist-ddpm']['config']['width']}")

# %% [markdown]
# **Train one.** A thousand real images come with the course. That is few, and the network is small, but half a minute
# is enough to see strokes appear, and some digits. The loss is $|\varepsilon - \hat\varepsilon|^2$, summed over the pixels.
# Beside it stands what $\hat v = 0$ gets, the answer of a network that has learned nothing: $\bar\alpha_t |v|^2$, by (4.3).
#
# The samples are not drawn from the network itself but from the *exponential moving average* (EMA) of its parameters,
# $\bar\theta \leftarrow 0.999\, \bar\theta + 0.001\, \theta$ after each step (at the start with a smaller factor). Single
# steps are noisy, since each sees few images and few noise levels. The average has less of that noise.

# %% mystnb={"image": {"alt": "Three rows of ten pictures sampled during training. After 100 steps strokes in grey noise, after 300 rough strokes on black, after 800 clean strokes, some of which are digits."}}
import numpy as np

from diffusion_edu import training
from diffusion_edu.images.ddpm import ImageDDPM

small = ImageDDPM(net, S, 784)
own = MNIST.to_points(unseen)
bar = S.alpha_bar[training.mixed_t(S, 10_000, seeded(5))]
nothing = bar * (784 * bar + (1 - bar) * own.square().sum(1).mean())
print(f"v̂ = 0: loss ≈ {nothing.mean():.0f}")
trainer = training.Trainer(
    small, training.eps_loss(), own, steps=800, batch=32, peak_lr=2e-3,
    make_optimisers=training.muon)
rows, losses = [], []
for number, terms in trainer.run(progress=False):
    losses.append(terms["loss"].item())
    if number in (100, 300, 800):
        rows.append(
            samplers.sample(
                trainer.ema.x0_hat, S, x_T[:10], step=SAMPLERS["ddim"].step,
                steps=20))
        print(f"step {number}: loss of the last 50 steps "
              f"≈ {np.mean(losses[-50:]):.0f}")
_ = plots.image_grid(
    MNIST.to_images(torch.cat(rows)), plots.axes_row(1, size=6)[0], columns=10,
    title="after 100, 300 and 800 steps, from the same noise")
assert np.mean(losses[-50:]) < 0.5 * np.mean(losses[:50])

# %% [markdown]
# ## 5 Where the bits go
#
# A thousand terms add up to the DDPM's bound. Notebook 03 chose one variance $\sigma_t^2$ for each of their steps. But
# pixels differ: one that is surely black needs hardly any, one on an edge needs much. So here $\sigma_t^2$ depends on the
# prediction $\hat x_0$ of the pixel itself, by a table of 14 ranges $r$, each with the variance that is optimal for it,
# (3.21) range by range, and $c_t$ as in (3.17):
#
# $$ \sigma_t^2(r) = \tilde\beta_t + c_t^2\, \mathbb{E}\big[ (x_0 - \hat x_0)^2 \mid \hat x_0 \in r \big]. \tag{5.4} $$

# %% [markdown]
# **Exercise: one variance for each range.** *12 minutes, medium.*
#
# Write (5.4) for one step $t$. `x0` and `x0_hat` (n, D) hold pixels and what the network believes them to be.
# `edges` are the borders between the ranges $r$, in rising order, and `beta_tilde` and `c` are the numbers
# $\tilde\beta_t$ and $c_t$ of this step. Return a variance for each range, one more than there are edges; in each
# lies at least one pixel. It is counting, and nothing is trained.

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
#     ranges = range(len(edges) + 1)
#     mse = torch.stack([(x0 - x0_hat)[r == i].square().mean() for i in ranges])
#     return beta_tilde + c**2 * mse
# ```
#
# </details>

# %% [markdown]
# What is that worth? The steps $t \le 30$ of fifty images, with the table and with one variance each:

# %%
from diffusion_edu.images.ddpm import grey_step

ddpm = pretrained.load("mnist-ddpm")
half = x[::2]
pixel, with_one = torch.zeros(half.numel()), 0.0
for t in range(1, 31):
    xt = diffusion.q_marginal(S, t, half).sample(seeded(t))
    x0_hat = ddpm.x0_hat(xt, t)
    # each pixel a point of its own
    one, one_t, one_hat = (v.reshape(-1, 1) for v in (half, xt, x0_hat))
    pixel += diffusion.L_term(
        S, t, one, one_t, grey_step(S, t, one_t, one_hat, ddpm.variance))
    mse = (half - x0_hat).square().mean().expand(S.T + 1).double()
    p = grey_step(
        S, t, xt, x0_hat, diffusion.per_step(diffusion.sigma2_optimal(S, mse)))
    with_one += diffusion.L_term(S, t, half, xt, p).mean().item()
table, one_each_step = (
    MNIST.bits_per_dim(nats)
    for nats in (pixel.sum().item() / len(half), with_one))
print(f"30 steps:  table ≈ {table:.2f},   one σ² per step "
      f"≈ {one_each_step:.2f} bits per pixel")
assert table < 0.85 * one_each_step

# %% [markdown]
# Fourteen numbers for each step, found without any training, save a good part of the bits of these steps.
#
# **Predict first.** Where are the bits spent: at high noise, where the shape of the digit is decided, or at low noise,
# where only the last shades of grey are? And which pixels pay, the black, the white, or those in between?

# %% mystnb={"image": {"alt": "Bits per pixel spent up to each t, against t on a logarithmic axis from 1 to 1000. About a quarter is spent in the first step, half before t = 10, four fifths before t = 100, and the last fifth from there to t = 1000."}}
# L_0 … L_T in nats, 500 test images for each t
terms = torch.tensor(cards["mnist-ddpm"]["terms"])
spent = torch.cumsum(terms[:-1], 0) / (784 * math.log(2))
ax = plots.axes_row(1, size=3.6)[0]
plots.curve(torch.arange(1, 1001), spent, ax, color=plots.MODEL)
ax.set(xscale="log", xlabel="t", ylabel="bits per pixel, steps 1 … t",
       ylim=(0, None))
beyond = bits["DDPM"] - spent[99].item()
print(f"of {bits['DDPM']:.3f} bits per pixel {spent[19]:.3f} go to t ≤ 20, "
      f"{beyond:.3f} to t > 100")
assert abs(spent[-1].item() - bits["DDPM"]) < 1e-3 and terms[-1] < 0.01
assert spent[19] > 0.4 * spent[-1] > beyond

print("of the bits up to t = 30 each kind of pixel pays:")
for kind, these in {
        "black": half == -1,
        "in between": (half > -1) & (half < 0.98),
        "white": half >= 0.98}.items():
    paid = pixel[these.flatten()].sum() / pixel.sum()
    each = pixel[these.flatten()].mean() / math.log(2)
    print(f"{kind:10} {these.double().mean():5.0%} of the pixels, "
          f"≈ {paid:4.0%} of the bits, ≈ {each:4.2f} each")
    assert (paid > 0.6 and each > 3) == (kind == "in between")
    assert (each < 0.1) == (kind == "black")

# %% [markdown]
# Most bits pay for shades of grey on the edges of the strokes, which nobody sees. One pixel in seven is neither black
# nor white (the last three levels count as white), and it pays several bits for its exact shade. The digits were black
# and white once. When they were brought to their size their edges were smoothed (LeCun et al. 1998), and to predict a
# shade one would have to undo that.
#
# What we would call the digit, its class, slant and strokes, is settled beyond $t = 100$ for less than a fifth of the
# bits. That is why a model can have good bits per pixel and poor samples, or the reverse. Here is the way back, for
# twenty samples:

# %% tags=["nbval-ignore-output"]
import tempfile
from pathlib import Path

from IPython.display import HTML, display

from diffusion_edu import films

draw = films.draw_images(MNIST.to_images, columns=10, size=600)
with tempfile.TemporaryDirectory() as folder:
    back = Path(folder, "back.mp4")
    films.film(path[6:], draw, back, poster=0.7, fps=10, kib=45, progress=False)
    words = "Pictures of noise turn into digits, the coarse strokes first."
    display(HTML(films.embedded_html(back, words)))

# %% [markdown]
# ## 6 Scores of samples, and what they cannot see
#
# A bound in nats does not say whether samples look right. For that we need scores of samples, and each of them is blind
# to something. So we use several, and try them on faults that we plant ourselves.
#
# Three of them look at features of a small LeNet that the course has trained to name digits (LeCun et al. 1998). Its
# last layer before the answer gives each image 64 numbers. Another network would give other ones, so the first digits of
# the hash of its weights are printed with the scores.
#
# **Fréchet distance** (Heusel et al. 2017). Let $m, C$ be mean and covariance of the samples' features and $m', C'$
# those of the 10,000 test images. The squared distance of the two Gaussians is
#
# $$ d_F^2 = |m - m'|^2 + \operatorname{tr}\left(C + C' - 2\,(C C')^{1/2}\right). \tag{5.5} $$

# %% [markdown]
# **Exercise: the Fréchet distance of two Gaussians.** *12 minutes, medium.*
#
# Write (5.5) for two Gaussians with means (d,) and covariances (d, d). Only the last term needs care: $(C C')^{1/2}$
# is the matrix whose square is $C C'$. It is not made by taking the roots of the entries. **Predict first:** what is
# left of (5.5) in one dimension, with the standard deviations $\sigma$ and $\sigma'$?

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
#     root = torch.linalg.eigvals(cov @ cov_2).real.clamp(min=0).sqrt().sum()
#     traces = cov.trace() + cov_2.trace() - 2 * root
#     return (mean - mean_2).square().sum() + traces
#
#
# # In one dimension it is (m − m')² + (σ − σ')².
# ```
#
# </details>

# %% [markdown]
# **Coverage** (Naeem et al. 2020). Around each of $n$ test images lies a ball that reaches to its fifth nearest
# neighbour among them. Coverage is the share of balls that hold at least one of $n$ samples. If the samples have the
# distribution of the test images, then a ball stays empty when the five nearest of all other images are test
# images, and for large $n$ each of the five is one with probability ½:
#
# $$ E[\text{coverage}] = 1 - \prod_{i=1}^{5} \frac{n - i}{2n - i} \approx 1 - 2^{-5} \approx 0.969. \tag{5.6} $$
#
# **Labels and confidence.** How often each digit is read, and how sure the LeNet is.
#
# **Nearest training neighbours**, in pixels and without a network: do samples lie closer to the training images than
# new digits do?
#
# None of these is zero, or full marks, for real images. The **floor** is what real images get, at the same $n$. They are
# among the last 10,000 *training* images of MNIST, on which the LeNet was not trained and the DDPMs were. A thousand of
# them come with the course: `own`, from section 4.

# %%
from diffusion_edu import weights

real = quality.score_images(own)
print(f"LeNet {real.lenet}, test accuracy "
      f"{weights.card('lenet')['test_accuracy']:.2%}; {real.n} real images:")
print(f"Fréchet distance ≈ {real.frechet:.2f}, floor {real.frechet_floor:.2f}")
print(f"coverage ≈ {real.coverage:.3f}, floor {real.coverage_floor:.3f}, "
      f"(5.6) {quality.expected_coverage(1000, 1000):.3f}")
assert real.frechet < 1.5 * real.frechet_floor
assert abs(real.coverage - real.coverage_floor) < 0.02

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
# The floor of the Fréchet distance is far from zero, and it depends on how many images there are:

# %% mystnb={"image": {"alt": "The distance of n real images from the test set against n on logarithmic axes: from about 30 at a hundred images it falls as 1/n, then flattens towards about 1 at ten thousand."}}
floors = quality.reference().card["floors"]
n, d2 = np.array(floors["n"]), np.array(floors["frechet"])
a, b = np.polyfit(1 / n, d2, 1, w=n**0.5)[::-1]
ax = plots.curve(n, d2, color=plots.DATA, label="real images", marker="o")
plots.truth(n, a + b / n, ax, label=f"≈ {a:.1f} + {b:,.0f}/n")
ax.set(xscale="log", yscale="log", xlabel="images n", ylabel="Fréchet distance")
_ = ax.legend()
print(f"limit {a:.2f}, of it the reference's part {b / 10_000:.2f}")

# %% [markdown]
# A covariance from few images is off, and (5.5) counts that as distance: this part falls as $1/n$. So two Fréchet
# distances can only be compared at the same $n$. The line does not go to zero but to about 1. The reference is finite
# too and adds about 0.3. The rest is a difference between training and test images: other people wrote them.
#
# **Predict first:** which score will notice a shift by one pixel, a blur, a missing digit, a tenth of
# the images shown ten times each?

# %%
card = quality.reference().card["corruptions"]
print(f"{'n = 10,000':25} F/floor  coverage  labels  sure  "
      "neighbour  too close")
for name, s in card.items():
    print(f"{name:25} {s['frechet_ratio']:7.2f} {s['coverage']:9.3f} "
          f"{s['label_distance']:7.1%} {s['confidence']:5.3f} "
          f"{s['nearest']:10.2f} {s['too_close']:10.1%}")
plain, shift, blur, missing, repeated, copies = card.values()
assert blur["frechet_ratio"] > shift["frechet_ratio"] > 2
assert abs(shift["label_distance"] - plain["label_distance"]) < 0.01
assert missing["label_distance"] > plain["label_distance"] + 0.05
assert repeated["coverage"] < 0.6 < min(s["coverage"] for s in (shift, missing))
assert copies["frechet_ratio"] < 1.2

# %% [markdown]
# (From the file that `python -m diffusion_edu.images.quality` writes.) *F/floor* is the Fréchet distance over its floor,
# *labels* the share that would have to change, *sure* the confidence. A shift by one pixel is enough for the features;
# labels and confidence stay. The blur moves the features farther and costs a little confidence. The missing digit shows
# in the labels, the repeated images in the coverage, which falls farther than for any other fault.
#
# The last row hands out training images and has learned nothing. The first four columns take it for real images. Only
# the last two find it out. *neighbour* is the median distance from the nearest training image, as a multiple of what
# test images have; *too close* is the share that is nearer to one than 99 % of test images are. Test images have 1 and
# 1 %, copies 0 and 100 %.
#
# ## 7 What goes wrong without one wide layer
#
# Two small DDPMs, `mnist-ddpm-local` and `mnist-ddpm-global`, were trained once each, with the same images, noise, loss,
# optimiser and number of steps. They differ in one layer. The first one's network is all convolutions of 3 × 3 places,
# so that a place hears from its neighbours only, layer by layer. The second one has, in the middle at 7 × 7, one layer
# that sees the whole picture: a quarter of the channels, at all 49 places at once, go through 256 hidden features and
# are added back. It stands where Ho et al. (2020) have attention.

# %%
print("                    parameters  passes  bits/pixel  F/floor  "
      "coverage   sure")
pair = {name: cards[f"mnist-ddpm-{name}"] for name in ("local", "global")}
for name, card in pair.items():
    s = card["scores"]["ancestral-50"]
    print(f"mnist-ddpm-{name:7} {card['parameters']:11,} {passes(card):7.1f} "
          f"{card['test']['bits_per_dim']:11.2f} {s['frechet_ratio']:8.1f} "
          f"{s['coverage']:9.2f} {s['confidence']:6.3f}")
near, far = (card["scores"]["ancestral-50"] for card in pair.values())
assert far["frechet_ratio"] < near["frechet_ratio"] / 2
assert far["coverage"] > near["coverage"] + 0.1
near_bits, far_bits = (card["test"]["bits_per_dim"] for card in pair.values())
assert abs(far_bits / near_bits - 1) < 0.05

# %% [markdown]
# The samples differ a lot, the bits hardly. Where does the local network go wrong? Take real images, add the noise of
# a time $t$ (4.1), and let the reverse process go on from there. What is above $t$ is real, what is below is the
# network's. The images are the hundred test images, which neither network has seen; the three numbers are three draws of
# the noise. **Predict first:** from which $t$ on are the images not as good as real ones any more?

# %%
def sure_from(model, t, seed):
    """The LeNet's confidence in the hundred images that got the noise of time t
    and were denoised again."""
    x_t = diffusion.q_marginal(S, t, x).sample(seeded(seed))
    back = samplers.sample(
        model.x0_hat, S, x_t, steps=20, generator=seeded(seed + 10), start=t)
    return quality.score_images(back).confidence


models = {name: pretrained.load(f"mnist-ddpm-{name}") for name in pair}
print("confidence in the real images themselves: "
      f"{quality.score_images(x).confidence:.3f}")
for t in (400, 700, 1000):
    sure = {name: [sure_from(model, t, seed) for seed in range(3)]
            for name, model in models.items()}
    print(f"t = {t:4}  ",
          "    ".join(
              f"{name} ≈ " + ", ".join(f"{s:.3f}" for s in found)
              for name, found in sure.items()))
    assert t > 400 or min(map(min, sure.values())) > 0.985
assert max(sure["local"]) < 0.96
assert np.mean(sure["global"]) > np.mean(sure["local"]) + 0.01

# %% [markdown]
# Up to $t = 400$ nothing is lost. It is lost above, where the noise hides the digit and the whole of it is to be settled:
# the stroke at the top has to fit the one at the bottom. There the wide layer brings its gain. The bits do not notice,
# since they are spent at low noise, where nothing was wrong.
#
# Is the local network blind to what is far away? That is the quick explanation. To break it, ask how much $\hat x_0$ of
# a pixel in the upper half depends on the lower half of $x_t$:

# %%
x_t = diffusion.q_marginal(S, 700, x).sample(seeded(9)).requires_grad_()
for name, model in models.items():
    pixel = model.x0_hat(x_t, 700)[:, 7 * 28 + 14]  # row 7, column 14
    (slope,) = torch.autograd.grad(pixel.sum(), x_t)
    far = slope[:, 392:].square().sum() / slope.square().sum()
    print(f"{name:6}: from the lower half ≈ {far:.2f} of the squared gradient")
    assert 0.05 < far < 0.2

# %% [markdown]
# About as much in both. Layer by layer the news does get there, and the group norms take means over the whole picture.
# So it is not that the local network cannot see; it makes less of what it sees. And the wide layer more than doubles the
# parameters: that nothing else would have helped is not shown. But it was no guess. First came the measurement of where
# the model goes wrong.
#
# ## 8 What five minutes of a GPU buy
#
# `mnist-ddpm` and `mnist-ddpm-min-snr` are the same network, three times as wide, trained once each for 300 seconds
# on one GPU. They differ in which noise the loss looks at. The first one has weight 1 and half of its $t$ uniform in
# $\log \mathrm{SNR}$, the *mixed* draw of notebook 04 (on the command line `--loss simple`): much of it is low noise,
# where the bits are. The second one draws $t$ uniformly and gives $|\varepsilon - \hat\varepsilon|^2$ the weight
# $\min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t$ with $\gamma = 5$ (Hang et al. 2023). At high noise, where a digit
# takes its shape, that is 1. At low noise, by (4.3), it counts the error of $\hat x_0$ five times and no longer that
# of $\hat\varepsilon$. **Predict first:** what becomes of the bits, and what of the samples?

# %%
five_minutes = {
    "mixed": cards["mnist-ddpm"], "min-SNR": cards["mnist-ddpm-min-snr"]
}
print("loss     passes  bits/pixel  F/floor  coverage   sure  too close")
for name, card in five_minutes.items():
    s = card["scores"]["ancestral-2m-200"]
    print(f"{name:8} {passes(card):6.1f} "
          f"{card['test']['bits_per_dim']:11.3f} {s['frechet_ratio']:8.2f} "
          f"{s['coverage']:9.3f} {s['confidence']:6.3f} {s['too_close']:10.1%}")
real_10 = quality.reference().card["corruptions"]["unseen, as they are"]
print(f"{'real':32}1.00 {real_10['coverage']:9.3f} "
      f"{real_10['confidence']:6.3f}")
mixed, min_snr = five_minutes.values()
assert all(
    min_snr["scores"][way]["frechet_ratio"] < s["frechet_ratio"]
    for way, s in mixed["scores"].items())
assert mixed["test"]["bits_per_dim"] < 0.8 * min_snr["test"]["bits_per_dim"]
assert all(
    s["too_close"] <= 0.011 for card in five_minutes.values()
    for s in card["scores"].values())

# %% [markdown]
# The samples are ten thousand, by the step of second order (4.20) in 200 steps with $\sigma_t^2 = \tilde\beta_t$. The
# second network draws better by all three scores and pays with bits, nearly a third more. Where are they?

# %%
extra = torch.cumsum(torch.tensor(min_snr["terms"]) - terms, 0) / (
    784 * math.log(2))
print(f"extra bits per pixel: {extra[99]:.2f} up to t = 100, "
      f"{extra[-1]:.2f} in all")
assert extra[99] > 0.9 * extra[-1]

# %% [markdown]
# Nearly all of them before $t = 100$, where the eye hardly finds them. Neither network is the better one. Each was told
# where to be good. A paper that reports one of the two numbers has told half.
#
# **Does it copy?** *too close* stays at or below the 1 % of test images. Here are some samples, each above the training
# image nearest to it:

# %% mystnb={"image": {"alt": "Two rows of ten digits. Above samples of the diffusion model, below the training image nearest to each: mostly the same digit in a similar slant, but with different strokes."}}
kept = pretrained.neighbours("mnist-ddpm-min-snr")
both = torch.cat([kept["samples"][:10], kept["nearest"][:10]]).float() / 255
_ = plots.image_grid(
    both, plots.axes_row(1, size=7)[0], columns=10,
    title="samples, and the training image nearest to each")

# %% [markdown]
# Some pairs are close. But there are thousands of sevens to be close to, and one newly written has such a neighbour too.
# That is why the score is measured against test images.
#
# ## 9 Beside published numbers
#
# Papers have long compared VAEs on *binary* MNIST: each pixel is 1 with the probability of its grey level
# (Salakhutdinov & Murray 2008). Our training draws the pixels anew each time, the test set is one fixed draw, and the
# last step is (5.2). Here are $-\log P$ of the test set in nats by importance weighting (1.12), ours with $K = 1000$. The
# published models are multilayer perceptrons of 2016, and ours are convolutional. So this is no contest of equals.

# %%
published = {
    "VAE, one latent (Burda et al. 2016)": 86.76,
    "VAE, two latents (Burda et al. 2016)": 85.33,
    "ladder VAE, five latents (Sønderby et al. 2016)": 81.74,
}
tests = {name: cards[f"mnist-binary-{name.lower()}"]["test"]
         for name in ("VAE", "HVAE")}
ours = {f"{name}, this course": t["iw_nll"] for name, t in tests.items()}
for name, value in sorted(
        (published | ours).items(), key=lambda item: -item[1]):
    print(f"{name:48} {value:7.2f} nats")
assert ours["HVAE, this course"] < 81.74 < ours["VAE, this course"] < 86.76

# %% [markdown]
# ## 10 Train them yourself
#
# Each model was trained by one command, the one on its card. Where there is a GPU it takes it; `--resume` goes on where a
# run was cut off; `docs/cli.md` has the rest. (The three models of the GPU were trained by a prototype of the same
# training step. The command repeats them with other random numbers.)

# %%
print(cards["mnist-ddpm-min-snr"]["commands"][0])

# %% [markdown]
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** A paper reports a log likelihood of +1,200 nats for a digit of MNIST. What follows?
#
# <details><summary>Its model is far better than those of this notebook.</summary>
#
# **No.** The log of a probability is negative. This number is something else.
#
# </details>
#
# <details><summary>It is a slip: a log probability is never positive.</summary>
#
# **No.** The log of a probability is never positive, but this is a density, and a density may exceed 1.
#
# </details>
#
# <details><summary>Nothing yet: it is a density, and its cells are not named.</summary>
#
# **Yes.** How far apart are the levels? On $[-1, 1]$ the volume of a cell takes
# off $784 \log 127.5$, that is 3,800 nats. And if the density is not even within a cell, it gives no code length.
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
# **No.** A is the better code. But most bits pay for shades of grey, and the 0.2 may be saved there.
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
# **No.** In 784 pixels they make 109 nats. That is not little. It only does not say what they were spent on.
#
# </details>
#
# <details><summary>It cannot be said.</summary>
#
# **Yes.** The shape of a digit costs a fraction of its bits. Look at which $t$ the two models differ, and score
# their samples.
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
# **No.** Every draw scatters, for 500 real images by about 1.3. But the floors lie farther apart than that.
#
# </details>
#
# <details><summary>Mine, because it needed fewer samples.</summary>
#
# **No.** Fewer samples are no merit. They make the covariance in (5.5) worse and the distance larger.
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
# **No.** Thousands of different training images cover the test images as well as new digits do.
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
# - The fifth score comes with its floor, what real images get at the same n, and with what it says of the
#   four faults of section 6.
# - A second fault is found that the fifth score does not see, or it is argued why there is none.
# - One paragraph: would bits per pixel have noticed? What do they see that scores of samples do not?

# %% [markdown]
# ## Recap
#
# - A discrete distribution over pixel values makes $P(x)$ a probability, and $-\log_2 P(x)$ a code length (5.1). Bits of
#   densities cannot be compared.
# - The same bound scores VAE, hierarchical VAE and DDPM on images. Only the networks and the last step changed.
# - Most of the bits pay for shades of grey. A variance that depends on $\hat x_0$ saves many of them with no training.
# - A score of samples needs its floor, and no single score sees everything.
# - Real images, noised to $t$ and denoised, show at which noise samples go wrong. Then one can ask what is missing there:
#   here, a layer that sees the whole picture at once.
# - The weight of the loss, and how $t$ is drawn, say where a network is to be good. The bound asks for low noise, the eye
#   for high.
#
# | symbol | code | file |
# | --- | --- | --- |
# | bits per dimension | `bits_per_dim` | `images/digits.py` |
# | $P(x \mid z)$, binary and grey | `Bernoulli`, `DiscretisedLogistic`, `DiscretisedGaussian` | `observations.py` |
# | $q$, $p$ of images | `ConvGaussianNet`, `ConvStepNet`, `ConvBernoulliNet`, `ConvLogisticNet` | `images/convnets.py` |
# | $\varepsilon_\theta(x_t, t)$ of images | `UNet`, `Mixing`, `fourier_features` | `images/convnets.py` |
# | $\sigma_t^2(\hat x_0)$ | `ImageDDPM`, `variance`, `fit_image_sigma2` | `images/ddpm.py`, `training/trainer.py` |
# | $\min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t$ | `min_snr`, `eps_loss` | `training/losses.py` |
# | $\bar\theta$, EMA | `Trainer` | `training/trainer.py` |
# | $L_0, \dots, L_T$ | `terms_by_t` | `evaluate.py` |
# | $-\log P(x)$ by importance | `importance_gain`, `importance_weighted` | `evaluate.py`, `bound.py` |
# | $d_F^2$, coverage | `frechet_distance`, `coverage`, `score_images` | `images/quality.py` |
#
# **The way on.** Notebook 06 asks what it is that a denoiser has learned. That most bits are spent where no eye looks,
# section 5, is what latent and multi-scale diffusion build on: notebook 11.
#
# **References**
#
# - Burda, Grosse, Salakhutdinov (2016), *Importance weighted autoencoders*, [arXiv:1509.00519](https://arxiv.org/abs/1509.00519)
# - Hang, Gu, Li, Bao, Chen, Hu, Geng, Guo (2023), *Efficient diffusion training via min-SNR weighting strategy*,
#   [arXiv:2303.09556](https://arxiv.org/abs/2303.09556)
# - Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017), *GANs trained by a two time-scale update rule converge to
#   a local Nash equilibrium*, [arXiv:1706.08500](https://arxiv.org/abs/1706.08500)
# - Ho, Jain, Abbeel (2020), *Denoising diffusion probabilistic models*, [arXiv:2006.11239](https://arxiv.org/abs/2006.11239)
# - Kingma, Salimans, Poole, Ho (2021), *Variational diffusion models*, [arXiv:2107.00630](https://arxiv.org/abs/2107.00630)
# - LeCun, Bottou, Bengio, Haffner (1998), *Gradient-based learning applied to document recognition*,
#   [doi:10.1109/5.726791](https://doi.org/10.1109/5.726791)
# - Naeem, Oh, Uh, Choi, Yoo (2020), *Reliable fidelity and diversity metrics for generative models*,
#   [arXiv:2002.09797](https://arxiv.org/abs/2002.09797)
# - Ronneberger, Fischer, Brox (2015), *U-Net: convolutional networks for biomedical image segmentation*,
#   [arXiv:1505.04597](https://arxiv.org/abs/1505.04597)
# - Salakhutdinov, Murray (2008), *On the quantitative analysis of deep belief networks*,
#   [doi:10.1145/1390156.1390266](https://doi.org/10.1145/1390156.1390266)
# - Salimans, Karpathy, Chen, Kingma (2017), *PixelCNN++*, [arXiv:1701.05517](https://arxiv.org/abs/1701.05517)
# - Shannon (1948), *A mathematical theory of communication*,
#   [doi:10.1002/j.1538-7305.1948.tb01338.x](https://doi.org/10.1002/j.1538-7305.1948.tb01338.x)
# - Sønderby, Raiko, Maaløe, Sønderby, Winther (2016), *Ladder variational autoencoders*,
#   [arXiv:1602.02282](https://arxiv.org/abs/1602.02282)
