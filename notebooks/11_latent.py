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
# # Latent: who fills the hole?
#
# The VAE of notebook 01 left a hole. Its prior puts probability where no data point has its code, and samples from there lie off the roll. Latent
# diffusion trains a second model on the codes and samples from that. Does it fill the hole, and what is that worth in nats?
#
# **The question.** What can a second model on the latent of a VAE mend, and what can it not?
#
# **Afterwards you can**
# - say before any training how many nats a better prior can bring, and how many it cannot,
# - put any chain on top of any other and score both by the one bound,
# - tell a diffusion that has learned nothing from one that has, and look for the reason,
# - say why latent diffusion wants a small weight on the KL term, and what an autoencoder without noise has as its likelihood,
# - tell memory from knowledge by the codes of a test set,
# - price in nats what it saves to let details leave early.
#
# **Time** about 50 minutes to read, and 35 for the exercises, both estimates from a count of words,
# formulas and lines. **You need** notebooks 01, 03 and 04.

# %%
# No such module? This file of the course's website brings it:
# pip install "diffusion_edu-0.1.0-py3-none-any.whl[lab]"
import math

import torch
from sklearn.mixture import GaussianMixture

from diffusion_edu import (
    bound, checks, evaluate, latent, nets, oracles, plots, pretrained,
    schedules, widgets
)
from diffusion_edu.data import Digits, SwissRoll
from diffusion_edu.ddpm import DDPM

# %% [markdown]
# The VAE is one of notebook 02's chains with one level, already trained. There are three, from three seeds.

# %%
plots.use_style()
roll, D = SwissRoll(), 2
H = roll.entropy()
first = pretrained.roll_chain(1, seed=0)
x = roll.sample_test(2000)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def mixture(z, components=50):
    found = GaussianMixture(
        components, covariance_type="diag", random_state=0, max_iter=200
    ).fit(z.numpy())
    return oracles.Mixture(found.weights_, found.means_, found.covariances_)


# %% [markdown]
# This is where we are going. The decoder is the same in both pictures. On the left its $z$ come from $N(0, I)$, on the right from a mixture
# that was fitted to codes in a second.

# %% mystnb={"image": {"alt": "Two panels of three thousand samples each, those off the roll in red. Left, with the standard normal prior: red points everywhere between the arms. Right, with the mixture: nearly all on the roll."}}
codes = latent.encoded(first, roll.sample(20_000, seed=1).float(), seeded(2))
mended = latent.Stacked(first, latent.Prior(mixture(codes)))
for ax, (name, chain) in zip(
        plots.axes_row(2, size=3.4),
        {"N(0, I)": first, "mixture": mended}.items(), strict=True):
    with torch.no_grad():
        drawn = bound.generate(chain, 3000, seeded(3))
    off = roll.log_prob(drawn.double()) < evaluate.off_threshold(roll)
    plots.points(drawn[~off], ax, color=plots.MODEL, title=f"prior: {name}")
    plots.points(
        drawn[off], ax, color=plots.ERROR, size=7, title=f"prior: {name}")

# %% [markdown]
# ## 1 The hole's budget
#
# Write the bound of a VAE with the prior by itself,
#
# $$ \mathbb{E}_x[-\mathrm{ELBO}] = \mathbb{E}_q\big[ -\log p_\theta(x \mid z) + \log q(z \mid x) \big] + \mathbb{E}_{q(z)}\big[ -\log p(z) \big]. \tag{11.1} $$
#
# The prior enters in the last term alone, and only through $q(z)$, the aggregate posterior (1.13). It is a cross-entropy, so no prior is better than $q(z)$ itself, and against $N(0, I)$ that one gains
#
# $$ \mathrm{KL}\big( q(z) \,\|\, p(z) \big) = \mathbb{E}_{q(z)}\big[ \log q(z) - \log p(z) \big], \tag{11.2} $$
#
# the prior mismatch of (1.14) (Hoffman & Johnson 2016; Tomczak & Welling 2018). What is left after it, no prior can mend with this encoder and this decoder. So the budget is known before a second
# model is trained. **Predict first:** the VAE lies about a third of a nat from $H$. How much of it is the hole?

# %%
def elbo(chain, draws=8):
    """The bound of each point of x, the mean of several draws of z."""
    many = x.float().repeat(draws, 1)
    values = evaluate.score_chain(many, chain, seeded(5)).elbo
    return values.double().reshape(draws, -1).mean(0)


print("seed   distance to H   = a prior can mend + no prior can, nats")
for seed in range(3):
    chain = pretrained.roll_chain(1, seed)
    q_z = latent.aggregate(
        chain, roll.sample(20_000, seed=10 + seed).float())
    z = latent.encoded(chain, x.float(), seeded(4))
    log_q = torch.cat([q_z.log_prob(some) for some in z.split(200)])
    hole, hole_se = evaluate.mean_and_error(
        log_q.double() - chain.prior().log_prob(z).double())
    distance, se = evaluate.mean_and_error(roll.log_prob(x) - elbo(chain))
    print(f"{seed:4} {distance:8.3f} ± {se:.3f}   {hole:12.3f} ± {hole_se:.3f}"
          f" {distance - hole:12.3f}")
    assert 0.35 * distance < hole < 0.75 * distance

# %% [markdown]
# More than half, for each of the three. Even a perfect second model leaves about 0.14 nats. Here and below ± is one
# standard error over points. (An average of 20,000 terms makes $q(z)$ a little too small at fresh codes, so the first
# part errs to the low side.)

# %% [markdown]
# **Exercise: the hole in nats.** *10 minutes, medium.*
#
# The aggregate posterior is a mixture with equal weights: component $k$ has the mean `means[k]` and the variances `variances[k]`, both (K, D). `z` (n, D) are draws from it. Return the estimate of (11.2) with
# $p(z) = N(0, I)$, one number.

# %%
def my_mismatch(z, means, variances):
    """KL(q(z) ‖ N(0, I)) in nats, from draws of q(z)."""
    return ...


checks.mismatch(my_mismatch)

# %% [markdown]
# <details><summary>Hint 1: the hole in nats</summary>
#
# $q(z)$ is a mean over $k$ of densities. `z[:, None] - means` has the shape (n, K, D).
#
# </details>
#
# <details><summary>Hint 2: the hole in nats</summary>
#
# `logsumexp` over $k$, minus $\log K$. Then subtract $\log p(z)$ and take the mean over the draws.
#
# </details>
#
# <details><summary>Solution: the hole in nats</summary>
#
# ```python
# def my_mismatch(z, means, variances):
#     """KL(q(z) ‖ N(0, I)) in nats, from draws of q(z)."""
#     square = (z[:, None] - means) ** 2 / variances
#     log_k = -0.5 * (math.log(2 * math.pi) + variances.log() + square).sum(-1)
#     log_q = log_k.logsumexp(1) - math.log(len(means))
#     log_p = -0.5 * (math.log(2 * math.pi) + z**2).sum(-1)
#     return (log_q - log_p).mean()
# ```
#
# </details>

# %% [markdown]
# ## 2 A mixture mends it in a second
#
# The latent has two dimensions. So try the oldest density model there is: a mixture of 50 Gaussians, fitted to 20,000 codes by EM. Nothing else is trained again (Ghosh et al. 2020
# call this *ex-post density estimation*). The difference of the two bounds is paired: same points, same $z$. It is the
# gain on the first column of section 1:

# %%
for seed in range(3):
    chain = pretrained.roll_chain(1, seed)
    z = latent.encoded(chain, roll.sample(20_000, seed=1).float(), seeded(2))
    repaired = latent.Stacked(chain, latent.Prior(mixture(z)))
    gain, se = evaluate.mean_and_error(elbo(repaired) - elbo(chain))
    with torch.no_grad():
        drawn = [bound.generate(c, 3000, seeded(6)) for c in (chain, repaired)]
        off = [100 * evaluate.outlier_share(x, roll) for x in drawn]
    print(f"seed {seed}: gained ≈ {gain:.3f} ± {se:.3f} nats, off the roll "
          f"≈ {off[0]:.1f} % → ≈ {off[1]:.1f} %")
    assert gain > 0.1 and off[1] < 0.35 * off[0]

# %% [markdown]
# All of what a prior can mend, within the error. The hole is filled, and samples off the roll have become rare.
#
# ## 3 A chain on a chain is a chain
#
# Now a better tool. Let any chain `below` have the latents $z_1, \dots, z_L$, and let another chain `above` be a model of $z_L$. Its bound holds for each $z_L$, and it stands in (11.1) in
# the place of $\log p(z)$ with the right sign. So
#
# $$ -\mathrm{ELBO}(x) = \mathbb{E}_q\Big[ -\log p(x \mid z_1) + \dots + \log q(z_L \mid z_{L-1}) \;-\; \mathrm{ELBO}_{\text{above}}(z_L) \Big] \ge -\log p(x) \tag{11.3} $$
#
# is a bound for the whole. And no new function is needed for it. Number the latents of `above` on from $L + 1$: then the two are one Markov chain, and `bound.bound` scores it as it is. That was the course's first idea, once more. For a VAE
# below and a DDPM above it is *latent diffusion* (Vahdat et al. 2021; Rombach et al. 2022).

# %% [markdown]
# **Exercise: a chain on a chain.** *8 minutes, medium.*
#
# `below(t, z)` and `above(t, z)` return $p(z_t \mid z_{t+1})$ of the two chains, each counting from its own data, $t = 0$. `below` has `L` levels. Return $p(z_t \mid z_{t+1})$ of both as one.

# %%
def my_stacked_p(below, above, L, t, z):
    """p(z_t | z_{t+1} = z) of the chain with below's levels 1 … L and above's
    on top."""
    return ...


checks.stacked_p(my_stacked_p)

# %% [markdown]
# <details><summary>Hint 1: a chain on a chain</summary>
#
# $p(x \mid z_1)$ is `below`'s, at $t = 0$. Which is the last one that is?
#
# </details>
#
# <details><summary>Hint 2: a chain on a chain</summary>
#
# The data of `above` are $z_L$. Its decoder gives $p(z_L \mid z_{L+1})$.
#
# </details>
#
# <details><summary>Solution: a chain on a chain</summary>
#
# ```python
# def my_stacked_p(below, above, L, t, z):
#     """p(z_t | z_{t+1} = z) of the chain with below's levels 1 … L and above's
#     on top."""
#     return below(t, z) if t < L else above(t - L, z)
# ```
#
# </details>

# %% [markdown]
# *Check*, with a VAE below and an untrained diffusion of ten steps above. With the same noise, the bound of the stack must be the sum in (11.3), number by number:

# %%
schedule = schedules.cosine(10)
above = DDPM(nets.EpsNet(2, schedule), schedule, 2).chain()
whole = evaluate.score_chain(x.float(), latent.Stacked(first, above), seeded(7))
noise = seeded(7)
with torch.no_grad():
    q = first.q(1, x.float())
    z = q.sample(noise)
    terms_above = evaluate.score_chain(z, above, noise)
    by_hand = (first.p(0, z).log_prob(x.float()) - q.log_prob(z)
               + terms_above.elbo)
worst = ((whole.elbo - by_hand).abs() / by_hand.abs().clamp(min=1)).max().item()
print(f"levels: 1 + 10 = {latent.Stacked(first, above).levels}; "
      f"the two differ by less than 1e-5 of their size: {worst < 1e-5}")
assert worst < 1e-5

# %% [markdown]
# **Exercise: the bound of two stages.** *5 minutes, easy.*
#
# For each data point you have four numbers: `log_p_x` $= \log p(x \mid z)$, `log_q` $= \log q(z \mid x)$, `log_prior` $= \log p(z)$ of the VAE's own $N(0, I)$, and `elbo_above`, the bound of a diffusion model at $z$. Return
# $-\mathrm{ELBO}$ of the two stages, (n,).

# %%
def my_latent_bound(log_p_x, log_q, log_prior, elbo_above):
    """−ELBO of VAE and diffusion together, nats, (n,)."""
    return ...


checks.latent_bound(my_latent_bound)

# %% [markdown]
# <details><summary>Hint 1: the bound of two stages</summary>
#
# Which of the four does (11.3) not have?
#
# </details>
#
# <details><summary>Hint 2: the bound of two stages</summary>
#
# The diffusion has taken the place of the prior. Mind the sign: asked is $-\mathrm{ELBO}$.
#
# </details>
#
# <details><summary>Solution: the bound of two stages</summary>
#
# ```python
# def my_latent_bound(log_p_x, log_q, log_prior, elbo_above):
#     """−ELBO of VAE and diffusion together, nats, (n,)."""
#     return -log_p_x + log_q - elbo_above
# ```
#
# </details>

# %% [markdown]
# ## 4 The diffusion that learned nothing
#
# So put the DDPM of notebook 04 on the codes. **Predict first:** it got within 0.02 nats of the roll. How much of the hole will it find?

# %%
import copy

from diffusion_edu import training


def trained(model, loss, points, steps, peak_lr, seed=0):
    trainer = training.Trainer(
        model, loss, points, steps, peak_lr=peak_lr, seed=seed)
    for _ in trainer.run(progress=False):
        pass
    return trainer.model.eval().requires_grad_(False)


def fresh(seed=0):
    torch.manual_seed(seed)
    return DDPM(
        nets.EpsNet(2, schedules.cosine(1000)), schedules.cosine(1000), 2)


codes = latent.encoded(first, roll.sample(100_000, seed=1).float(), seeded(2))
blind = trained(fresh(), training.eps_loss(), codes, steps=1500, peak_lr=2e-3)

# %% [markdown]
# The loss will not tell. Compare with a baseline that has learned nothing. If the codes were $N(0, I)$, the best denoiser would be
#
# $$ \hat x_0 = \sqrt{\bar\alpha_t}\; z_t, \tag{11.4} $$
#
# because $\mathrm{Cov}(z, z_t) = \sqrt{\bar\alpha_t}$ and $\mathrm{Var}(z_t) = 1$. A network is worth the share of this error that it saves. And the best that can be saved is known too: the exact denoiser of the mixture of section 2.

# %%
law = mixture(codes[:20_000])


def error_over_baseline(x0_hat, t, seed=8):
    bar = schedules.cosine(1000).alpha_bar[t].item()
    z = codes[:20_000]
    z_t = bar**0.5 * z + (1 - bar) ** 0.5 * torch.randn(
        z.shape, generator=seeded(seed))
    return ((x0_hat(z_t, t) - z).square().mean()
            / (bar**0.5 * z_t - z).square().mean()).item()


exact_of_mixture = oracles.exact_denoiser(law, schedules.cosine(1000).alpha_bar)
print("E|z − x̂₀|² over that of (11.4):   the network   the mixture's "
      "exact denoiser")
for t in (100, 200, 300, 400):
    net = error_over_baseline(blind.x0_hat, t)
    best = error_over_baseline(exact_of_mixture, t)
    print(f"t = {t:4}  {'':18} ≈ {net:10.3f} ≈ {best:10.3f}")
    assert abs(net - 1) < 0.005 and best < 0.995

# %% [markdown]
# The network's error *is* that of a model which knows nothing. There would have been something to find, more than six per
# cent of the error at $t = 100$. A KL weight of 1 has pressed $q(z)$ so close to $N(0, I)$ that only a faint spiral is
# left, and the network answers as if it were not there.
#
# It is no accident that it stops at (11.4). The network's own output is $\hat v$, and by (4.1) and (4.2)
# $\hat x_0 = \sqrt{\bar\alpha_t}\; z_t - \sqrt{1 - \bar\alpha_t}\; \hat v$. With $\hat v = 0$ that is (11.4). The network has
# learned to say nothing.
#
# Can a network of this size not hold the spiral? Was it given too little time? To break both explanations, let a network of the same size learn something else first, a chessboard. Then train it on the codes as long as the first.

# %%
squares = 4 * torch.rand(100_000, 2, generator=seeded(4))
black = squares[squares.floor().sum(1) % 2 == 0]
chess = trained(
    fresh(), training.eps_loss(), (black - black.mean(0)) / black.std(0),
    steps=2000, peak_lr=2e-3)
start = copy.deepcopy(chess).train().requires_grad_(True)
seeing = trained(start, training.eps_loss(), codes, steps=1500, peak_lr=2e-3)
for t in (100, 200, 300, 400):
    net = error_over_baseline(seeing.x0_hat, t)
    best = error_over_baseline(exact_of_mixture, t)
    print(f"t = {t}: error over that of (11.4) ≈ {net:.3f}, the mixture's "
          f"exact denoiser ≈ {best:.3f}")
assert error_over_baseline(seeing.x0_hat, 100) < 0.97

# %% [markdown]
# It finds nearly all that there is, and nobody told it of a spiral. What did the chessboard leave in the network? Ask its last hidden layer, $h$. The layer after it is linear, so least squares finds the best one for given $h$, and no training
# can do better at this $t$ as long as $h$ stays what it is:

# %%
def left_by_features(model, t):
    """The error over that of (11.4) if the last layer alone is fitted, on other
    codes than those it was fitted to."""
    bar = schedules.cosine(1000).alpha_bar[t].item()
    z_t = bar**0.5 * codes + (1 - bar) ** 0.5 * torch.randn(
        codes.shape, generator=seeded(9))
    told = model.eps_net.told(model.eps_net.level(torch.full((len(codes),), t)))
    with torch.no_grad():
        h = model.eps_net.net[:-1](torch.cat([z_t, told], dim=-1)).double()
    h = torch.nn.functional.pad(h, (0, 1), value=1.0)
    missing = (codes - bar**0.5 * z_t).double()
    fitted, judged = slice(80_000), slice(80_000, None)
    last = torch.linalg.lstsq(h[fitted], missing[fitted], rcond=1e-6).solution
    return ((missing - h @ last)[judged].square().mean()
            / missing[judged].square().mean()).item()


print("error over that of (11.4), last layer fitted, t =   100     "
      "200     300     400")
for name, model in {
        "a fresh network": fresh(),
        "one that knows the chessboard": chess,
        "that of notebook 04": pretrained.load("cosine")}.items():
    left = [left_by_features(model, t) for t in (100, 200, 300, 400)]
    print(f"  features of {name:31}",
          " ".join(f"≈ {value:.3f}" for value in left))
    assert (left[0] > 0.99) == (name == "a fresh network")
size = {
    name: model.eps_net.net[-1].weight.norm().item()
    for name, model in (("fresh", fresh()), ("trained on the codes", blind))
}
print("size of the last layer's weights: "
      + ",  ".join(f"{name} ≈ {value:.2f}" for name, value in size.items()))
assert size["trained on the codes"] < size["fresh"] / 2

# %% [markdown]
# With the features of a fresh network even the best last layer saves next to nothing. They are smooth functions of $z_t$,
# and the spiral's arms are narrow. So the last layer has next to nothing to gain, and training makes its weights small.
# Then little gradient reaches the layers below, because it is multiplied by these weights on its way. This is a
# *plateau*. The chessboard's features change over short distances, and with them the last layer alone saves most of what
# there is to save. That networks learn the smooth part of a function first, and the fine part late, is known as their
# *spectral bias* (Rahaman et al. 2019). Here there is hardly a smooth part.
#
# One more attempt to break this: is it the fine picture that helps, or any training beforehand? Two blobs are a picture without fine detail.

# %%
def rows(table, **wanted):
    """The rows of a table measured beforehand, as numbers, one for each
    seed."""
    found = [row for row in pretrained.table(table)
             if all(row[key] == value for key, value in wanted.items())]
    return {key: torch.tensor([float(row[key]) for row in found])
            for key in ("gap", "gap_se", "off", "seconds")}


print("−ELBO − H, nats, for three seeds; in brackets per cent off the roll")
gaps = {}
for prior in (
        "N(0, I)", "fresh network", "fresh, four times as long",
        "first two blobs", "first a chessboard", "network of 04", "mixture"):
    found = rows("latent_start", prior=prior)
    gaps[prior] = found["gap"]
    pairs = zip(found["gap"], found["off"], strict=True)
    print(f"{prior:26}",
          "   ".join(f"{gap:.3f} ({100 * off:4.1f})" for gap, off in pairs))
assert all(
    ((gaps[name] - gaps["N(0, I)"]).abs() < 0.02).all()
    for name in ("fresh network", "first two blobs"))
assert all(
    (gaps[name] < gaps["N(0, I)"] - 0.1).all()
    for name in ("first a chessboard", "network of 04"))

# %% [markdown]
# (6,000 steps, by `python tools/bench/latent.py start`. The bounds are of one draw of $z$ for each point, the same for all
# rows. Another draw moves a whole column, here the first one from the 0.337 of section 1 to 0.394, and the differences
# in it much less.)
#
# The blobs do not help. The chessboard does, in all three seeds. Time helps as well: four times as many steps bring two
# of three fresh networks off the plateau, and the third hardly. So the size was enough, and a plateau is no wall. But how
# long it takes to leave is luck, and the loss does not say that one is on it.
#
# **Lessons.** A diffusion on a latent can fail without a sign: its samples and its bound look like those of a VAE.
# Compare its error with (11.4), which costs nothing. And do not say "it cannot be learned" before another start has been
# tried.
#
# ## 5 Give the prior the work
#
# Nobody teaches a latent diffusion chess first. What is done instead is to make the codes *unlike* $N(0, I)$, so that there is something to see from the start: the KL term gets a small weight. What does a weight $\beta < 1$ (without an index, and no variance of a step) do? Let $q$ have
# the standard deviation $\tau$ in all $D$ dimensions, and let the decoder follow. Dividing $\tau$ by two gains $D \log 2$ nats in $-\log p(x \mid z)$, because the reconstruction gets twice as sharp, and costs $\beta D \log 2$ in $\log q(z \mid x)$. So with as many latents as
# dimensions *every* $\beta < 1$ drives $\tau$ to the smallest value that the code allows. Then we may as well choose it: $\tau = 0.01$, not learned.

# %%
from diffusion_edu.vae import VAE

torch.manual_seed(0)
points = roll.sample(100_000, seed=1).float()
sharp = trained(
    VAE(encode=nets.FixedStd), training.elbo_loss(), points, steps=3000,
    peak_lr=3e-3)
below = latent.standardised(sharp, points[:20_000], seeded(2))
z_sharp = latent.encoded(below, points, seeded(3))
prior = trained(fresh(), training.eps_loss(), z_sharp, steps=2500, peak_lr=2e-3)
_ = training.fit_sigma2(prior, z_sharp[:20_000])

# %% [markdown]
# `standardised` shifts and scales the codes to mean 0 and variance 1, as a diffusion expects it. This is the "scale factor" of latent diffusion.

# %%
stages = {
    "N(0, I)": below,
    "mixture": latent.Stacked(below, latent.Prior(mixture(z_sharp[:20_000]))),
}
stages["diffusion"] = latent.Stacked(below, prior.chain())
samples, gaps = {}, {}
for name, chain in stages.items():
    gaps[name], se = evaluate.gap(
        evaluate.score_chain(x[:1000].float(), chain, seeded(5)),
        roll.log_prob(x[:1000]))
    with torch.no_grad():
        samples[name] = bound.generate(chain, 2000, seeded(6))
    print(f"{name:9}: −ELBO − H ≈ {gaps[name]:.3f} ± {se:.3f} nats, "
          "off the roll "
          f"≈ {100 * evaluate.outlier_share(samples[name], roll):.1f} %")
assert gaps["N(0, I)"] > 1
assert gaps["diffusion"] < 0.25
assert gaps["mixture"] < 0.1

# %% mystnb={"image": {"alt": "Four panels. First, the codes: a spiral with clear gaps, nothing like a normal cloud. Then samples by three priors: with N(0, I) a formless cloud; with the mixture and with the diffusion the roll."}}
axes = plots.axes_row(4, size=2.4)
plots.points(z_sharp[:2000], axes[0], color=plots.Q, title="codes z")
axes[0].set(xlabel="z, 1st coordinate", ylabel="z, 2nd coordinate")
for ax, (name, drawn) in zip(axes[1:], samples.items(), strict=True):
    plots.points(drawn, ax, color=plots.MODEL, title=f"x, prior: {name}")

# %% [markdown]
# The VAE alone is now useless, 1.4 nats from $H$, and the two stages together are nearer to it than any VAE of this
# course. All three kinds of encoder, with three seeds and full training:

# %%
print("−ELBO − H, nats, for three seeds; in brackets per cent off (truth 0.1)")
for encoder in ("weight 1", "weight 0.25", "fixed std"):
    for name in ("N(0, I)", "mixture", "diffusion", "diffusion, rate too high"):
        found = rows("latent_roll", encoder=encoder, prior=name)
        pairs = zip(found["gap"], found["off"], strict=True)
        cells = [f"{gap:.3f} ({100 * off:4.1f})" for gap, off in pairs]
        print(f"{encoder:12} {name:26}" + "   ".join(cells)
              + f"   {found['seconds'].mean():3.0f} s")
best = rows("latent_roll", encoder="fixed std", prior="diffusion")
assert (best["gap"] < 0.1).all()
assert (rows("latent_roll", encoder="fixed std", prior="mixture")["gap"]
        < best["gap"]).all()

# %% [markdown]
# (By `python tools/bench/latent.py roll`; seconds of one core, both stages.)
#
# - **With a fixed $\tau$ the two stages are 0.05 to 0.07 nats from $H$**, where the VAE has 0.35 to 0.40. Their samples are 0.6 to 0.9 % off.
# - **The mixture is better still**, 0.03 to 0.04 nats, in a second. In two dimensions fifty Gaussians are hard to beat.
#   That is no rule for images.
# - **Failure is never far.** With a peak learning rate of 5e-3, harmless in notebook 04, five of the six trainings on
#   latents that *have* something to see failed or were halfway. At 2e-3 one of six still did (weight 0.25, third seed):
#   its numbers are nearly those of $N(0, I)$.
#
# ## 6 The likelihood of an autoencoder
#
# With $\tau = 0.01$ we have nearly left probability behind: code and data point are almost one to one. Many take the last step, drop $q$'s noise and the KL, and call it an autoencoder. What is its likelihood? Take $q = N(e(x), \tau^2 I)$ with $D_z$ latents, and a
# decoder $N(g(z), \sigma^2 I)$ with one variance. Then (11.1) reads
#
# $$ \mathbb{E}_x[-\mathrm{ELBO}] = \underbrace{\tfrac{D}{2} \log 2\pi\sigma^2 + \frac{\mathbb{E}|x - g(z)|^2}{2 \sigma^2}}_{\text{reconstruction}} \;-\; \underbrace{\tfrac{D_z}{2} \log 2\pi e\,\tau^2}_{\text{entropy of } q} \;+\; \mathbb{E}_{q(z)}[-\log p(z)]. \tag{11.5} $$
#
# Let $\tau \to 0$. The entropy of $q$ goes to $-\infty$, so its term to $+\infty$. Only a $\sigma$ that goes to 0 at the same rate can hold it, and only with $D_z = D$. Otherwise this bound is lost. No training is needed to see it. Let the encoder do nothing, $e(x) = x$, let the decoder do nothing,
# and let the prior be the exact $q(z)$, the roll with a little more noise. And once keep the first coordinate only:

# %%
TAUS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
points = roll.sample(5000, seed=9)
noise = torch.randn(5000, D, dtype=torch.float64, generator=seeded(9))
table = {}


def bound_of(D_z, tau, sigma2):
    z = points[:, :D_z] + tau * noise[:, :D_z]
    # what is not kept is answered with its mean, 0
    error = (D_z * tau**2 + points[:, D_z:].square().sum(-1)).mean().item()
    q_z = oracles.Mixture(
        roll.weights, roll.means[:, :D_z], roll.variances[:, :D_z] + tau**2)
    sigma2 = sigma2 or error / D  # the best one
    reconstruction = 0.5 * D * math.log(2 * math.pi * sigma2)
    reconstruction += error / (2 * sigma2)
    # paired with the truth: H is in it
    prior = (roll.log_prob(points) - q_z.log_prob(z)).mean().item()
    return reconstruction + prior - 0.5 * D_z * math.log(
        2 * math.pi * math.e * tau**2)


print("τ                             " + "".join(f"{tau:8}" for tau in TAUS))
settings = {"σ² = 0.01, latent 2": (2, 0.01), "best σ², latent 2": (2, None),
            "best σ², latent 1": (1, None)}
for name, (D_z, sigma2) in settings.items():
    table[name] = [bound_of(D_z, tau, sigma2) for tau in TAUS]
    print(f"−ELBO − H, {name:20}"
          + "".join(f"{value:8.2f}" for value in table[name]))
assert abs(table["best σ², latent 2"][-1]) < 0.05
assert min(table["σ² = 0.01, latent 2"][-1], table["best σ², latent 1"][-1]) > 6

# %% [markdown]
# With $\sigma$ held fixed, every division of $\tau$ by ten costs $D_z \log 10$, 4.6 nats, once it is small. With $\sigma = \tau$ and as many latents as dimensions the two infinities cancel, and the bound goes to the truth. With one latent for two dimensions it has no limit: every division by ten costs $\log 10$, 2.3 nats. Three consequences:
#
# - A squared error is no likelihood. "The autoencoder's loss is lower than the VAE's" says nothing in nats, until $\tau$ and $\sigma$ are named.
# - For an autoencoder that compresses, $D_z < D$, a squared error gives no bound without noise in $q$. (The decoder still
#   has a likelihood. To bound it one needs another $q$, or a decoder whose variance goes to 0 along the code only.) The
#   loss of the upper model is in nats *per code*, and such numbers of two autoencoders cannot be compared.
# - The middle row goes to the truth, and nothing was learned: the encoder does nothing, so all the work is in the prior. The smaller the weight on the KL, the more latent diffusion is just diffusion.
#
# ## 7 Digits: better pictures, and a memory
#
# The roll has unlimited data. Now the digits of scikit-learn: 1,437 training images, 360 test images, 64 pixels, a VAE with 8 latents and a KL weight of 1, a diffusion of the codes, and beside them a DDPM of the pixels. The floor is the distance of the training images from the test images. One training each, by `python tools/bench/latent.py digits`.

# %%
digits = {row["quantity"]: (float(row["value"]), float(row["se"]))
          for row in pretrained.table("latent_digits")}
print("                     bits per dimension    energy distance from the "
      "test images / floor")
for name in ("VAE", "VAE and diffusion", "DDPM"):
    print(f"{name:20} {digits['bits, ' + name][0]:10.3f} "
          f"± {digits['bits, ' + name][1]:.3f} "
          f"{digits['samples, ' + name][0]:14.2f}")
print(f"{'VAE, z from q(z)':20} {digits['samples, aggregate'][0]:33.2f}")
for part in ("test", "training"):
    print("nats gained by the diffusion, {:8} images: {:.2f} ± {:.2f}".format(
              part, *digits[f"nats gained by diffusion, {part}"]))
assert (digits["samples, VAE and diffusion"][0] < 1.15 < 1.5
        < digits["samples, VAE"][0])

# %% [markdown]
# The pictures come to the floor: the samples of the two stages are about as far from the test images as the training images are. (The DDPM had 23 seconds and a small network; it is no verdict on pixels.) In bits the gain is small, less than one nat in a bound of $64 \cdot 2.55 \log 2 = 113$. And it is four times as large on the
# training images. The second model has learned something about 1,437 particular codes. How far can that go? To its end: let the prior be $q(z)$ over the *training* images, the best prior of section 1.

# %%
for part in ("training", "test"):
    value, se = digits[f"aggregate, {part} codes"]
    print(f"log q(z) − log p(z) at the codes of {part:8} images: "
          f"{value:+7.2f} ± {se:.2f} nats")
assert (digits["aggregate, test codes"][0] < -10 < 5
        < digits["aggregate, training codes"][0])

# %% [markdown]
# "The best prior is $q(z)$" was a statement about an infinite data set. The average over the training codes gains eight nats there and loses seventeen on fresh images, because it is a list of the training codes, a little blurred. **An aggregate posterior is a number only if
# it is judged on codes that are not in it.** The budget of section 1 was: 5,000 codes in the average, 2,000 others to judge it.
#
# **And MNIST?** The command line trains both stages into one directory, and scores them as one chain:
#
# ```
# diffusion-edu train latent --data mnist --kl-weight 0.25 --out runs/latent
# diffusion-edu evaluate runs/latent --samples 2000
# ```
#
# Here are small networks, with two weights on the KL, and a DDPM of the pixels that had as many seconds of a core as both stages together. **Predict first:** which has fewer bits, and whose samples are nearer to the test images?

# %%
mnist = {}
for row in pretrained.table("latent_mnist"):
    numbers = {
        name: float(value or "nan") for name, value in list(row.items())[3:]}
    mnist.setdefault((row["model"], row["prior"]), []).append(numbers)
NAMES = {"bits": "bits", "decoder": "p(x|z)", "gain": "gained",
         "frechet": "Fréchet", "seconds": "train", "draw": "draw"}
print(" " * 32 + "".join(f"{name:>8}" for name in NAMES.values()))
for (model, prior), seeds in mnist.items():
    means = [sum(seed[name] for seed in seeds) / len(seeds) for name in NAMES]
    print(f"{model:17}{prior:15}"
          + "".join(f"{value:8.4g}" for value in means).replace("nan", "   "))
pixels = {name: [seed[name] for seed in mnist["ddpm", ""]]
          for name in ("bits", "frechet")}
for weight in ("1", "0.25"):
    by_prior = (mnist[f"vae, weight {weight}", prior]
                for prior in ("diffusion", "mixture"))
    for both, fifty in zip(*by_prior, strict=True):
        assert max(pixels["bits"]) < both["bits"] - 0.03
        assert both["frechet"] < min(pixels["frechet"])
        assert both["gain"] > fifty["gain"] + 5
        assert both["decoder"] > 0.8 * both["bits"]
one, quarter = (
    mnist[f"vae, weight {weight}", "diffusion"] for weight in ("1", "0.25"))
assert all(
    b["frechet"] < a["frechet"] and b["bits"] > a["bits"]
    for a, b in zip(one, quarter, strict=True))

# %% [markdown]
# Bits per dimension of test images, ± 0.01, and those of them that $p(x \mid z)$ takes; nats gained over $N(0, I)$ on the same codes, ± 0.4; the Fréchet distance of 2,000 samples over its floor; seconds to train, and to draw 1,000 samples: in 1,000 steps of the latent,
# or 50 of the pixels. (Means of two seeds, by `python tools/bench/latent.py mnist`; each ± is over images.)
#
# - **MNIST does not agree with the digits.** Its 60,000 images are enough to learn the codes: the diffusion gains nats on test images, tens of them, where the digits gave less than one. It gains more than fifty Gaussians do.
# - **In pictures the two stages are ahead** of this DDPM. (With `--loss min-snr` a DDPM draws better, for more bits: notebook 05.) What they still lack is the prior's fault: the last row of a block decodes codes of *training* images, and is at the floor. (That is no prior, only a test of the
#   decoder.) So the decoder draws well if it gets a good $z$. From $N(0, I)$ it gets holes.
# - **In bits the pixels are ahead.** Look at the column of $p(x \mid z)$: more than four bits of five are spent there, on pixels that are independent given $z$. Codes that cost nothing would still leave 1.17 or 1.11. No second stage can change that: it is the budget of section 1 again.
# - A smaller weight moves bits from the decoder to the codes, where the diffusion has more to gain. For both seeds the pictures get a little better, and the sum of the bits gets worse.
#
# ## 8 Several scales: who may leave early?
#
# The last idea of this course saves work. In eight by eight digits a *Haar transform* makes 16 coarse numbers, the means of blocks of two by two, and 48 details, their differences. It is orthonormal, so the noise stays $N(0, I)$. Details have little variance and drown early.
# Above a time $t^*$ the details are noise and little else. Then let the chain go on with the 16 coarse numbers, and on the way back draw the details from $N(0, I)$ at $t^*$ (Jing et al. 2022).

# %% mystnb={"image": {"alt": "A row of five pictures. First a digit of eight by eight; then its four Haar bands, of four by four: the coarse one is a blurred digit, the details are flat grey with a few lighter and darker cells."}}
from diffusion_edu import diffusion, scales

W, band = scales.haar(8)
image = Digits().sample_test(1, 5)
axes = plots.axes_row(5, size=1.7)
plots.image_grid(
    (image.reshape(1, 8, 8) + 1) / 2, axes[0], columns=1, title="a digit")
coefficients = (image @ W.T).squeeze()
for k, ax in enumerate(axes[1:]):
    title = "coarse" if k == 0 else f"details {k}"
    plots.image_grid(
        (coefficients[band == k].reshape(1, 4, 4) + 2) / 4, ax, columns=1,
        title=title)
# six times, with other noise
y = torch.cat([Digits().sample_test(360, 5 + k) for k in range(6)]) @ W.T
squares = y.square().mean(0)
print("mean square by band: "
      + ", ".join(f"{squares[band == k].mean():.2f}" for k in range(4)))

# %% [markdown]
# The chain whose latents shrink is a chain, `scales.Leaving`, and the bound says what it costs. At $t^*$ each leaving coordinate $d$ pays the mean divergence of its $N(\sqrt{\bar\alpha}\, d_0, 1 - \bar\alpha)$ from $N(0, 1)$. Its own terms above $t^*$ are saved:
#
# $$ \text{cost} = \sum_d \tfrac12 \big( \bar\alpha_{t^*} \mathbb{E}\,d_0^2 - \bar\alpha_{t^*} - \log(1 - \bar\alpha_{t^*}) \big) \;-\; \sum_{t > t^*} (\text{the terms of } d). \tag{11.6} $$
#
# (If the coarse network did without the details what it did with them.) *Check* with Gaussian data that have the digits' variances, where each denoiser is exact, through the one function:

# %%
T, t_star = 50, 30
s, variances = schedules.cosine(T), squares.clamp(min=1e-3)


def exact_chain(v):
    bar = s.alpha_bar[1:, None]
    # of the exact denoiser, each coordinate by itself
    mse = v * (1 - bar) / (bar * v + 1 - bar)
    sigma2 = torch.stack([
        diffusion.sigma2_optimal(s, torch.cat([m.new_zeros(1), m]))
        for m in mse.T
    ], dim=1)
    denoiser = oracles.exact_denoiser(
        oracles.gaussian(torch.zeros(len(v)), v), s.alpha_bar)
    return diffusion.ForwardProcess(
        s, denoiser, lambda t, _: sigma2[int(t)], len(v))


full, few, rest = (
    exact_chain(v) for v in (variances, variances[:16], variances[16:]))
g = oracles.gaussian(torch.zeros(64), variances).sample(4000, seed=11)
stays, leaves = (
    evaluate.score_chain(g, c, seeded(12)).elbo
    for c in (full, scales.Leaving(full, few, t_star)))
measured, se = evaluate.mean_and_error(stays - leaves)
bar = s.alpha_bar[t_star]
pays = 0.5 * (bar * g[:, 16:].square().mean(0) - bar - (1 - bar).log()).sum()
terms = diffusion.closed_form_terms(g[:, 16:], rest, seeded(13))
above = terms.mean(1)[t_star:].sum()
print(f"leaving at t* = {t_star} of {T}: by the bound {measured:.2f} "
      f"± {se:.2f} nats, by (11.6) {pays - above:.2f}")
assert abs(measured - (pays - above)) < 4 * se + 0.02

# %% [markdown]
# **Exercise: what it costs to leave.** *10 minutes, medium.*
#
# At $t^*$ the number `alpha_bar` is $\bar\alpha_{t^*}$, `square` (d,) are the $\mathbb{E}\,d_0^2$ of the leaving coordinates, and `above` is the sum of all their terms above $t^*$, the last one, at $T$, included. Return the cost (11.6).

# %%
def my_leaving_cost(alpha_bar, square, above):
    """What the bound loses if the details leave at t*, nats, a number."""
    return ...


checks.leaving_cost(my_leaving_cost)

# %% [markdown]
# <details><summary>Hint 1: what it costs to leave</summary>
#
# The KL divergence of $N(\mu, v)$ from $N(0, 1)$ is $\tfrac12 (v + \mu^2 - 1 - \log v)$ (1.10). What are $\mu$ and $v$ here, given $d_0$?
#
# </details>
#
# <details><summary>Hint 2: what it costs to leave</summary>
#
# $v = 1 - \bar\alpha$, and on average $\mu^2 = \bar\alpha\,\mathbb{E}\,d_0^2$. Sum over the coordinates. `math.log` for a number.
#
# </details>
#
# <details><summary>Solution: what it costs to leave</summary>
#
# ```python
# def my_leaving_cost(alpha_bar, square, above):
#     """What the bound loses if the details leave at t*, nats, a number."""
#     kl = 0.5 * (alpha_bar * square - alpha_bar - math.log(1 - alpha_bar))
#     return kl.sum() - above
# ```
#
# </details>

# %% [markdown]
# Now the digits, with two trained networks, one for all 64 numbers and one for the 16. Above $t^*$ the second is the only one that runs, so of the work "numbers times steps" the share $\tfrac34 (1 - t^*/T)$ is saved. **Predict first:** how much can be saved for a tenth of a nat?

# %% mystnb={"image": {"alt": "The cost in nats, on a logarithmic axis, against the share of the work that is saved. It rises from three hundredths of a nat at twelve per cent over a tenth at fifteen and one at twenty-seven to nine at forty-eight."}}
leaving = [
    {key: float(value) for key, value in row.items()}
    for row in pretrained.table("leaving")
]
saved = torch.tensor([0.75 * (1 - row["t_star"] / 1000) for row in leaving])
cost, cost_se = (
    torch.tensor([row[key] for row in leaving]) for key in ("cost", "cost_se"))
print("t*     log SNR   saved     pays − above + coarse alone = cost, nats")
for row in leaving:
    if row["t_star"] in (400, 500, 600, 700, 800, 900):
        share = 75 * (1 - row["t_star"] / 1000)
        parts = (f"{row['leave']:8.2f} − {row['terms_above']:.2f} + "
                 f"{row['coarse_more']:.3f}")
        print(f"{row['t_star']:3.0f} {row['log_snr']:10.2f} {share:7.1f} %  "
              f"{parts} = {row['cost']:.3f} ± {row['cost_se']:.3f}")
shown = (cost > 0.01) & (cost < 10)
ax = plots.curve(
    100 * saved[shown], cost[shown], color=plots.MODEL, error=cost_se[shown])
ax.set(xlabel="work saved, %", ylabel="cost, nats", yscale="log")
at_800 = next(row for row in leaving if row["t_star"] == 800)
assert at_800["cost"] < 0.15 and cost.min() > -0.05

# %% [markdown]
# Choose $t^*$ yourself. On the left is $x_{t^*}$ of the digit, once with its details and once with fresh noise for them. **Predict first:** from which $t^*$ on does neither picture show a digit, and what does it cost to leave there?

# %%
times = [row["t_star"] for row in leaving]
above = [row["terms_above"] - row["coarse_more"] for row in leaving]
widgets.leaving_time(coefficients, squares[16:], times, above)

# %% [markdown]
# At 200 the left picture still shows the stroke of the digit, and on the right it has drowned: that costs more than twenty nats. At 500 the eye finds no digit in either picture, and leaving costs three and a half nats all the same. A network sees more than the eye.
#
# (Test images, one training of each, by `python tools/bench/latent.py digits`; ± over images.) A tenth of a nat buys a seventh of the work, one nat
# a little more than a quarter. Half the steps cost three and a half nats.
# So several scales buy *work*, not nats: a leaving coordinate exchanges learned terms for a fixed prior. (The small negative
# numbers at the end say that the network's own terms there are worse than $N(0, I)$.)
#
# ## Quick questions
#
# *Open a choice to see what there is to say of it.*
#
# **Question.** Your latent diffusion gives the same bound as the VAE alone, to three digits. What do you do first?
#
# <details><summary>Train longer.</summary>
#
# **No.** That may help: in section 4 four times the steps helped two of three. But first find out whether anything was
# learned.
#
# </details>
#
# <details><summary>Compare its error with that of (11.4).</summary>
#
# **Yes.** A ratio of 1.00 at every $t$ says that the network answers as if the codes were $N(0, I)$. Then try another start, another rate, or other codes.
#
# </details>
#
# <details><summary>Conclude that there was no hole.</summary>
#
# **No.** The aggregate posterior (11.2) says whether there is one, without any training.
#
# </details>
#
# **Question.** The mixture over all training codes gives eight nats more on the training images. Worth reporting?
#
# <details><summary>Yes, it is the best prior there is.</summary>
#
# **No.** It is that for an infinite data set. Here it is a list of the training codes.
#
# </details>
#
# <details><summary>Only beside the same number for test images.</summary>
#
# **Yes.** There it is minus seventeen.
#
# </details>
#
# <details><summary>Yes, if the samples look good.</summary>
#
# **No.** A list of training codes gives excellent samples: the training images, a little blurred.
#
# </details>
#
# **Question.** A paper reports that its autoencoder with a small latent reconstructs better than a VAE, and that the diffusion on its codes reaches two nats per code. A VAE has 80 nats per image. Which is better?
#
# <details><summary>The autoencoder: two nats are fewer than 80.</summary>
#
# **No.** They are nats of codes, and the scale of the codes is free: twice the scale adds $D_z \log 2$.
#
# </details>
#
# <details><summary>It cannot be said.</summary>
#
# **Yes.** By (11.5) one needs $\tau$ and $\sigma$ too, and without noise in $q$ (11.5) is no bound on $\log p(x)$ at all.
#
# </details>
#
# <details><summary>The autoencoder, because it reconstructs better.</summary>
#
# **No.** Reconstruction is one term of (11.1), and it can be bought with the other.
#
# </details>

# %% [markdown]
# ## Project: off the plateau
#
# *120 minutes or more. No check can judge it; a good piece of work has what the list names.*
#
# Section 4 found what a fresh network lacks. Give it that without a chessboard.
#
# - A measure of "has left the plateau" that needs no mixture, only (11.4), logged during training.
# - Three changes that might help a fresh network: batches of 4,096, times $t$ from 30 to 300 only, sines and cosines of $z_t$ beside it (notebook 05). Three seeds each, and a seed that fails counts.
# - The same for the KL weights 0.9, 0.7 and 0.5: where does the plateau end?
# - The bounds of what came out, on one axis, with the two lines that section 1 knew before.

# %% [markdown]
# ## Recap
#
# - A prior enters the bound through $q(z)$ alone (11.1). What it can gain is known before it is trained (11.2).
# - A chain on a chain is a chain (11.3).
# - A diffusion that has learned nothing has the error of (11.4), $\hat v = 0$, and shows it nowhere else. A fresh network
#   has no features as fine as the spiral; one that knows another fine picture has.
# - With a small fixed noise in $q$ the prior does the work, and two stages come within 0.05 to 0.07 nats of the truth.
#   Without noise, and with one variance in the decoder, there is no bound unless $D_z = D$ (11.5).
# - What is learned about the training codes is not yet learned about the codes. Leaving early buys work, not nats (11.6).
#
# | symbol | code | file |
# | --- | --- | --- |
# | two chains as one (11.3) | `Stacked` | `latent.py` |
# | a mixture as $p(z)$ | `Prior` | `latent.py` |
# | $q(z)$, and draws from it | `aggregate`, `encoded` | `latent.py` |
# | codes of mean 0 and variance 1 | `standardised`, `Scaled` | `latent.py` |
# | $q$ with a given $\tau$ | `FixedStd` | `nets.py` |
# | details that leave at $t^*$ (11.6) | `Leaving`, `t_star` | `scales.py` |
# | the Haar transform | `haar` | `scales.py` |
#
# **The way on.** This was the last notebook. The closing page of the course's website puts all its models on one ruler and says what is open.
#
# **References**
#
# - Ghosh, Sajjadi, Vergari, Black, Schölkopf (2020), *From variational to deterministic autoencoders*, [arXiv:1903.12436](https://arxiv.org/abs/1903.12436)
# - Hoffman, Johnson (2016), *ELBO surgery: yet another way to carve up the variational evidence lower bound*
# - Jing, Corso, Berlinghieri, Jaakkola (2022), *Subspace diffusion generative models*, [arXiv:2205.01490](https://arxiv.org/abs/2205.01490)
# - Rahaman, Baratin, Arpit, Draxler, Lin, Hamprecht, Bengio, Courville (2019), *On the spectral bias of neural networks*, [arXiv:1806.08734](https://arxiv.org/abs/1806.08734)
# - Rombach, Blattmann, Lorenz, Esser, Ommer (2022), *High-resolution image synthesis with latent diffusion models*,
#   [arXiv:2112.10752](https://arxiv.org/abs/2112.10752)
# - Tomczak, Welling (2018), *VAE with a VampPrior*, [arXiv:1705.07120](https://arxiv.org/abs/1705.07120)
# - Vahdat, Kreis, Kautz (2021), *Score-based generative modeling in latent space*, [arXiv:2106.05931](https://arxiv.org/abs/2106.05931)
