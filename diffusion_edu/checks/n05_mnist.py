r"""Exercises of notebook 05: honest bits, a distribution of grey levels, a table of variances, and distances between
samples."""

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..images import lenet, quality
from .core import Draw, Exercise, Mistake, Ordering, Property, gradients

# --- honest_bits --------------------------------------------------------------------------------------------------


def _density_cases(draw: Draw) -> list[dict]:
    return [
        {"log_p": dim * (draw.number(0, 4) + draw.normal(3)), "dim": dim, "width": draw.number(0.005, 0.3)}
        for dim in (2, 1, 10, 784)
    ]


def _pixel_share(f, log_p, dim, width):
    """A pixel's share in P(x) is its root of degree D."""
    return f(log_p, dim, width), -torch.log2((log_p.double() / dim).exp() * width)


def _of_nothing(f, log_p, dim, width):
    even = torch.full_like(log_p, -dim * math.log(256 * width))
    return f(even, dim, width), torch.full_like(log_p, 8.0)


def _other_unit(f, log_p, dim, width):
    """The same images, measured with numbers three times as large."""
    return f(log_p - dim * math.log(3), dim, 3 * width), f(log_p, dim, width)


def _bits(log_P):
    """The bits of a wrong log probability of the image."""
    return lambda log_p, dim, width: -log_P(log_p, dim, math.log(width)) / (dim * math.log(2))


honest_bits = Exercise(
    name="honest_bits", notebook="05", section="1", title="what a density claims", minutes=8,
    cases=_density_cases,
    properties=(
        Property("is −log₂ of a pixel's share in P(x), which is its root of degree D", _pixel_share,
                 hint="In which unit is each part? And p and w^D themselves are too large or too small for a computer: "
                 "stay with their logarithms. See (5.1)."),
        Property("is 8 bits for a density that is even over 256 levels", _of_nothing,
                 instead="log_p = −dim log(256 width)"),
        Property("does not depend on the unit in which the pixels are measured", _other_unit,
                 instead="log_p = this less dim log 3; width = three times this"),
    ),
    mistakes=(
        Mistake("nats per dimension", "A bit is log 2 nats: divide by log 2.", "5.1",
                lambda p, D, w: -(p / D + math.log(w))),
        Mistake("bits per image", "Per dimension means divided by D.", "5.1",
                lambda p, D, w: -(p + D * math.log(w)) / math.log(2)),
        Mistake("the bits of p in the place of P", "A density is no probability: times the volume w^D of a cell it "
                "becomes one.", "5.1", _bits(lambda p, D, log_w: p)),
        Mistake("the bits of p w", "The cell has D sides of the length w: its volume is w^D.", "5.1",
                _bits(lambda p, D, log_w: p + log_w)),
        Mistake("the bits of p/w^D", "The density is multiplied by the volume of the cell, not divided.", "5.1",
                _bits(lambda p, D, log_w: p - D * log_w)),
        Mistake("−log p per dimension", "That is a density's, in nats: the cell w^D and the division by log 2 are "
                "missing.", "5.1", lambda p, D, w: -p / D),
        Mistake("log p per dimension", "A code length is −log P in bits: the sign, the cell w^D and the division by "
                "log 2 are missing.", "5.1", lambda p, D, w: p / D),
        Mistake("minus the bits", "The log of a probability is negative, and a code length is −log P.", "5.1",
                _bits(lambda p, D, log_w: -(p + D * log_w))),
        Mistake("bits of p with the cell in nats", "Both parts of log P are in nats: divide the sum by log 2, not the "
                "first part alone.", "5.1", _bits(lambda p, D, log_w: p + D * log_w * math.log(2))),
    ),
)  # fmt: skip

# --- grey_log_prob ------------------------------------------------------------------------------------------------

HALF = 1 / 255  # half the distance of two grey levels on [−1, 1]


def _grey_cases(draw: Draw) -> list[dict]:
    """Images with a black, a white and other pixels, under laws that a plain difference can still resolve."""
    cases = []
    for n, D in ((1, 3), (2, 2), (3, 4)):
        level = torch.randint(1, 255, (n, D), generator=draw.generator)
        level[0, 0], level[-1, -1] = 0, 255
        x = (level.double() / 127.5 - 1).to(draw.dtype)
        mean = x + draw.uniform(-0.4, 0.4, n, D)
        cases.append({"x": x, "mean": mean, "scale": draw.uniform(0.12, 0.4, n, D)})
    return cases


def _pixels(x, mean, scale, half=HALF, black=True, white=True, F=torch.sigmoid):
    """log P of each pixel as a difference of two values of F, taken on the side where both are small."""
    x, mean, scale = x.double(), mean.double(), scale.double()
    low, high = (x - half - mean) / scale, (x + half - mean) / scale
    low = torch.where((x == -1) & black, -torch.inf, low)
    high = torch.where((x == 1) & white, torch.inf, high)
    flip = low + high > 0
    return (F(torch.where(flip, -low, high)) - F(torch.where(flip, -high, low))).log()


def _adds_up(f, x, mean, scale):
    """All 256 levels of one pixel."""
    levels = (torch.arange(256, dtype=torch.float64) / 127.5 - 1).to(x)[:, None]
    first = [v.reshape(-1)[0].expand(256, 1) for v in (mean, scale)]
    return f(levels, *first).exp().sum(), torch.ones(())


def _far_out(f, x, mean, scale):
    """Pixels 5 to 1,000 widths away from the centre of their law, on both sides."""
    widths = torch.tensor([5, 8, 11, 14, 17, 20, 30, 100, 1000], dtype=torch.float64)
    level = (torch.tensor([40.0, 200.0], dtype=torch.float64) / 127.5 - 1).repeat_interleave(len(widths)).to(x)
    centre = -level.sign()
    s = ((level - centre).abs() / widths.repeat(2)).to(x)
    edge, bin = ((level - centre).abs().double() - HALF) / s.double(), 2 * HALF / s.double()
    right = -edge + (1 / (1 + (-edge).exp()) - (-bin).exp() / (1 + (-edge - bin).exp())).log()
    return f(level[:, None], centre[:, None], s[:, None]), right


def _slopes(f, x, mean, scale):
    """The gradients in the centres and the widths, of an answer that has any."""
    m, s = (v.clone().requires_grad_() for v in (mean, scale))
    given = f(x, m, s)
    wanted = gradients(_pixels(x, m, s).sum(-1), (m, s))
    return (gradients(given, (m, s)) if given.requires_grad else wanted), wanted


def _density(x, mean, scale):
    """The logistic log density of each pixel."""
    u = (x - mean) / scale
    return logsigmoid(u) + logsigmoid(-u) - scale.log()


def _grey(**changed):
    return lambda x, m, s: _pixels(x, m, s, **changed).sum(-1)


grey_log_prob = Exercise(
    name="grey_log_prob", notebook="05", section="2", title="the probability of a grey level", minutes=15,
    cases=_grey_cases,
    properties=(
        Property("is the log of the law's probability between the edges of the bins",
                 lambda f, *case: (f(*case), _pixels(*case).sum(-1)),
                 hint="Φ grows: it is the value at the upper edge minus the one at the lower. See (5.3)."),
        Property("gives the 256 levels of a pixel probabilities that add up to 1", _adds_up,
                 instead="x = each of the 256 levels in the place of the first pixel"),
        Property("is right 5 to 1,000 widths from the centre", _far_out,
                 hint="There Φ rounds to 0 or to 1 and the difference is lost, at first in part. A small number added "
                 "under the log, or another formula where nothing is left, only hides that. Take the log of a product, "
                 "as the second hint has it. See (5.3).",
                 instead="x = −0.6863 and 0.5686; mean = 1 and −1; scale = their distance/5, /8, … /1000"),
        Property("has the right gradient in mean and scale, if it has any", _slopes,
                 hint="nan comes from torch.where, which hands on 0 × ∞ from the branch that it did not take: choose "
                 "what goes into the log, not between two logs."),
    ),
    mistakes=(
        Mistake("the law without open ends", "The first bin begins at −∞ and the last ends at +∞, or the levels do not "
                "add up to 1.", "5.3", _grey(black=False, white=False)),
        Mistake("the law with its last bin closed", "White takes all that lies above it, as black takes all below.",
                "5.3", _grey(white=False)),
        Mistake("the law with its first bin closed", "Black takes all that lies below it, as white takes all above.",
                "5.3", _grey(black=False)),
        Mistake("the law of bins twice as wide", "h is half the distance of two levels, 1/255; these bins overlap.",
                "5.3", _grey(half=2 * HALF)),
        Mistake("the law of bins half as wide", "On [−1, 1] the levels stand 2/255 apart, so that h is 1/255; these "
                "bins leave gaps.", "5.3", _grey(half=HALF / 2)),
        Mistake("the logistic log density", "A density is no probability: it has no bins, and it may exceed 1.", "5.3",
                lambda *case: _density(*case).sum(-1)),
        Mistake("the log density plus the log of the bin's width", "That is a probability only where the density is "
                "even within a bin, and it leaves out the open ends.", "5.3",
                lambda *case: (_density(*case) + math.log(2 * HALF)).sum(-1)),
        Mistake("the law centred at −μ", "The centre is subtracted: Φ of (x − μ ± h)/ς.", "5.3",
                lambda x, m, s: _pixels(x, -m, s).sum(-1)),
        Mistake("the law multiplied by ς inside Φ", "ς is a width: the distance is divided by it.", "5.3",
                lambda x, m, s: _pixels(x, m, 1 / s).sum(-1)),
        Mistake("the law with the normal Φ", "That is the last step of the DDPM in section 3. Here Φ is that of the "
                "logistic distribution.", "5.3", _grey(F=torch.special.ndtr)),
        Mistake("the log probability of each pixel", "Pixels are independent given z: sum over the last axis.", "5.2",
                lambda *case: _pixels(*case)),
        Mistake("the mean over the pixels", "The log of a product is a sum over the pixels, not a mean.", "5.2",
                lambda *case: _pixels(*case).mean(-1)),
        Mistake("the probability itself", "The log is missing, and for 784 pixels the product would underflow.", "5.3",
                lambda *case: _pixels(*case).sum(-1).exp()),
    ),
)  # fmt: skip

# --- variance_table -----------------------------------------------------------------------------------------------


def _table_cases(draw: Draw) -> list[dict]:
    return [_table_case(draw, *size) for size in ((2, 4, 1), (3, 8, 2), (5, 20, 3))]


def _table_case(draw: Draw, n: int, D: int, edges: int) -> dict:
    """Predictions, some of them beyond ±1, and truths, of which at least two lie in every range."""
    while True:
        borders = (torch.linspace(-1, 1, edges + 2)[1:-1] + draw.uniform(-0.15, 0.15, edges)).to(draw.dtype)
        x0_hat = draw.uniform(-1.3, 1.3, n, D)
        x0 = x0_hat + 0.1 + draw.uniform(0.05, 0.3, n, D) * draw.normal(n, D)
        counts = [torch.bucketize(x, borders).flatten().bincount(minlength=edges + 1).min() for x in (x0, x0_hat)]
        if min(counts) >= 2:
            return {"x0": x0, "x0_hat": x0_hat, "edges": borders, "beta_tilde": draw.uniform(0.01, 0.1),
                    "c": draw.uniform(0.2, 0.8)}  # fmt: skip


def _pixel_by_pixel(f, x0, x0_hat, edges, beta_tilde, c):
    squares = [[] for _ in range(len(edges) + 1)]
    for truth, guess in zip(x0.flatten().tolist(), x0_hat.flatten().tolist(), strict=True):
        squares[sum(guess > edge for edge in edges.tolist())].append((truth - guess) ** 2)
    mse = torch.tensor([sum(found) / len(found) for found in squares], dtype=torch.float64)
    return f(x0, x0_hat, edges, beta_tilde, c), beta_tilde.double() + c.double() ** 2 * mse


def _no_error(f, x0, x0_hat, edges, beta_tilde, c):
    return f(x0_hat, x0_hat, edges, beta_tilde, c), beta_tilde.expand(len(edges) + 1)


def _ranged(of_error=None, binned=None, total=None, inside=False):
    """The table with a part replaced: the number that stands for the errors e of a range, what the ranges are of, or
    how β̃_t and c_t enter; `inside` leaves predictions beyond ±1 out."""

    def wrong(x0, x0_hat, edges, beta_tilde, c):
        where = torch.bucketize((x0_hat if binned is None else binned(x0, x0_hat)).contiguous(), edges)
        where[inside * (x0_hat.abs() > 1)] = -1
        e = x0 - x0_hat
        number = (lambda of_range, _: of_range.square().mean()) if of_error is None else of_error
        mse = torch.stack([number(e[where == r], e) for r in range(len(edges) + 1)])
        return beta_tilde + c**2 * mse if total is None else total(beta_tilde, c, mse)

    return wrong


variance_table = Exercise(
    name="variance_table", notebook="05", section="5", title="one variance for each range", minutes=12,
    cases=_table_cases,
    properties=(
        Property("has the mean squared error of the pixels whose prediction lies in the range", _pixel_by_pixel),
        Property("is β̃_t in every range if all predictions are right", _no_error, instead="x0 = x0_hat"),
    ),
    mistakes=(
        Mistake("one variance in every range", "That is the step's mean error, (3.21). The mean of (5.4) goes over the "
                "pixels of the range only.", "5.4", _ranged(lambda _, e: e.square().mean())),
        Mistake("the one variance of the whole step", "That is (3.21). In (5.4) each range has a mean of its own.",
                "5.4", lambda x0, x0_hat, edges, tilde, c: tilde + c**2 * (x0 - x0_hat).square().mean()),
        Mistake("a variance for each pixel", "The expectation is missing: the mean over the pixels of a range.", "5.4",
                lambda x0, x0_hat, edges, tilde, c: tilde + c**2 * (x0 - x0_hat).square()),
        Mistake("the table with the ranges of x₀", "The range is that of the prediction x̂₀: when the model draws, "
                "nobody knows x₀.", "5.4", _ranged(binned=lambda x0, x0_hat: x0)),
        Mistake("the table without predictions beyond ±1", "The first and the last range are open: a network may well "
                "predict less than black and more than white.", "5.4", _ranged(inside=True)),
        Mistake("the table with a sum of squares", "An expectation is a mean: divide by the number of pixels in the "
                "range.", "5.4", _ranged(lambda of_range, _: of_range.square().sum())),
        Mistake("the table divided by the number of all pixels", "The expectation is taken given that x̂₀ lies in the "
                "range: divide by the number of pixels there.", "5.4",
                _ranged(lambda of_range, e: of_range.square().sum() / e.numel())),
        Mistake("the table with the variance of the errors", "A prediction that is always too dark errs as well: the "
                "mean of the squares, around zero and not around the mean error.", "5.4",
                _ranged(lambda of_range, _: of_range.var(correction=0))),
        Mistake("the table with the sample variance of the errors", "torch.var subtracts the mean error, which is "
                "an error too; (5.4) has the mean of the squares.", "5.4", _ranged(lambda of_range, _: of_range.var())),
        Mistake("the table with the squared mean error", "First the square, then the mean: errors of both signs add "
                "up.", "5.4", _ranged(lambda of_range, _: of_range.mean().square())),
        Mistake("the table with mean absolute errors", "The error is squared.", "5.4",
                _ranged(lambda of_range, _: of_range.abs().mean())),
        Mistake("c_t² E[(x₀ − x̂₀)²]", "Even where the prediction is right, x_{t−1} scatters by β̃_t.", "5.4",
                _ranged(total=lambda tilde, c, mse: c**2 * mse)),
        Mistake("β̃_t + c_t E[(x₀ − x̂₀)²]", "c_t multiplies the error before it is squared: the factor is c_t².", "5.4",
                _ranged(total=lambda tilde, c, mse: tilde + c * mse)),
        Mistake("β̃_t + E[(x₀ − x̂₀)²]", "An error in x̂₀ moves the mean of x_{t−1} by c_t times as much.", "5.4",
                _ranged(total=lambda tilde, c, mse: tilde + mse)),
        Mistake("σ_t, the root of the answer", "A standard deviation stands where a variance belongs.", "5.4",
                _ranged(total=lambda tilde, c, mse: (tilde + c**2 * mse).sqrt())),
    ),
)  # fmt: skip

# --- frechet ------------------------------------------------------------------------------------------------------


def _spread(draw: Draw, dim: int) -> Tensor:
    """A covariance matrix with correlations."""
    a = draw.normal(dim, dim)
    return a @ a.T / dim + draw.uniform(0.3, 0.8) * torch.eye(dim, dtype=draw.dtype)


def _gaussian_cases(draw: Draw) -> list[dict]:
    return [
        {"mean": draw.normal(d), "cov": _spread(draw, d), "mean_2": draw.normal(d), "cov_2": _spread(draw, d)}
        for d in (2, 1, 3, 4)
    ]


def _root(cov: Tensor) -> Tensor:
    """The symmetric root of a covariance."""
    values, vectors = torch.linalg.eigh(cov.double())
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _symmetric(f, m, C, m2, C2):
    """(C C₂)^½ has the trace of (C^½ C₂ C^½)^½, the root of a symmetric matrix."""
    root, total = _root(C), C.double().trace() + C2.double().trace()
    cross = _root(root @ C2.double() @ root).trace()
    return f(m, C, m2, C2), (m - m2).double().square().sum() + total - 2 * cross


def _moved(f, m, C, m2, C2):
    """x → m₂ + A (x − m) with a symmetric positive A is the cheapest way from N(m, C) to N(m₂, A C A). No root."""
    A = C2 / C2.trace() * 2
    step = torch.eye(len(m), dtype=m.dtype) - A
    return f(m, C, m2, A @ C @ A), (m - m2).square().sum() + (step @ C @ step).trace()


def _few_images(f, *case):
    """The covariances of 50 images have no more than 49 directions of 64."""
    draw = Draw(4)
    C, C2 = (draw.normal(50, 64).T.cov() for _ in range(2))
    m, m2 = draw.normal(64), draw.normal(64)
    return f(m, C, m2, C2), _symmetric(lambda *a: None, m, C, m2, C2)[1]


def _like(cross=None, means=None, whole=None):
    """The distance with a part replaced: the trace of the root, what the means add, or all of it."""

    def wrong(m, C, m2, C2):
        root = _root(_root(C) @ C2 @ _root(C)).trace() if cross is None else cross(C, C2)
        far = (m - m2).square().sum() if means is None else means(m - m2)
        F = far + C.trace() + C2.trace() - 2 * root
        return F if whole is None else whole(F, root)

    return wrong


frechet = Exercise(
    name="frechet", notebook="05", section="6", title="the Fréchet distance of two Gaussians", minutes=12,
    cases=_gaussian_cases,
    properties=(
        Property("has the trace of the root of the symmetric matrix C^½ C' C^½", _symmetric,
                 hint="Is it the root of the matrix, and then the trace? See (5.5)."),
        Property("is the mean squared way of the cheapest map from one Gaussian to the other", _moved,
                 instead="cov_2 = A cov A with a symmetric A"),
        Property("is zero from a Gaussian to itself", lambda f, m, C, m2, C2: (f(m, C, m, C), torch.zeros(())),
                 instead="mean_2 = mean; cov_2 = cov"),
        Property("is a number for covariances without an inverse, those of 50 images in 64 features", _few_images,
                 instead="mean = 64 numbers; cov = 64 × 64 numbers; mean_2 = 64 numbers; cov_2 = 64 × 64 numbers",
                 hint="Eigenvalues that are zero come out as −1e-16 as well, and their root is nan: .clamp(min=0)."),
    ),
    mistakes=(
        Mistake("d_F² with |m − m'| not squared", "The distance of the means is squared, like all of (5.5).", "5.5",
                _like(means=torch.Tensor.norm)),
        Mistake("d_F² without the means", "Two Gaussians with the same covariance need not lie in the same place: "
                "|m − m'|² is missing.", "5.5", _like(means=lambda d: 0)),
        Mistake("d_F² with the root of each entry", "The root of a matrix is not that of its entries; .sqrt() goes "
                "entry by entry. Sum the roots of the eigenvalues.", "5.5",
                _like(lambda C, D: (C @ D).diagonal().sqrt().sum())),
        Mistake("d_F² with tr(C C')", "The root is missing. Variances are squared twice in C C'.", "5.5",
                _like(lambda C, D: (C @ D).trace())),
        Mistake("d_F² with the root of the trace", "First the root of the matrix, then its trace: the sum of roots is "
                "not the root of a sum.", "5.5", _like(lambda C, D: (C @ D).trace().sqrt())),
        Mistake("d_F² with C^½ C'^½", "That product is the root of C C' only if the two have the same axes.", "5.5",
                _like(lambda C, D: (_root(C) @ _root(D)).trace())),
        Mistake("d_F² of the single features", "Their variances alone leave out how the features go together.", "5.5",
                _like(lambda C, D: (C.diagonal() * D.diagonal()).sqrt().sum())),
        Mistake("d_F² with the factor 2 missing", "2 (C C')^½ is subtracted: from a Gaussian to itself nothing may be "
                "left.", "5.5", _like(whole=lambda F, root: F + root)),
        Mistake("d_F² with the root added", "2 (C C')^½ is what the two have in common, and it is subtracted.", "5.5",
                _like(whole=lambda F, root: F + 4 * root)),
        Mistake("the root of d_F²", "(5.5) is the squared distance, and that is what papers print.", "5.5",
                _like(whole=lambda F, root: F.sqrt())),
        Mistake("the squared difference of the covariances", "(5.5) is measured in squared units of the features, so "
                "it takes roots of covariances before it compares them.", "5.5",
                lambda m, C, m2, C2: (m - m2).square().sum() + (C - C2).square().sum()),
    ),
)  # fmt: skip

# --- same_n -------------------------------------------------------------------------------------------------------

REAL, SHIFTED, BLURRED, FEW = "1,000 real", "1,000 shifted", "1,000 blurred", "100 real"


@functools.cache
def _distances() -> dict[str, float]:
    """The Fréchet distances of four sets of images; of the small one, the mean over the ten hundreds."""
    images, labels = quality.unseen()
    x, net, known = lenet.to_points(images), lenet.load(), quality.reference().features
    F = lambda points: quality.frechet_distance(lenet.apply(net, points)[0], known)  # noqa: E731
    return {
        REAL: F(x),
        SHIFTED: F(quality.one_pixel_right(x, labels)),
        BLURRED: F(quality.blurred(x, labels)),
        FEW: sum(F(part) for part in x.split(100)) / 10,
    }


_FEW = "The covariance of so few images is off, by a part that falls as 1/n, and (5.5) counts it as distance: "

same_n = Ordering(
    name="same_n", notebook="05", section="6", title="which images are farthest from real ones?", minutes=4,
    values=_distances,
    backwards="That is the order from the largest distance to the smallest. (5.5) is zero for equal Gaussians.",
    reasons={
        (REAL, SHIFTED): "Both have the same n, so only the shift differs, and the features notice it. See (5.5).",
        (REAL, BLURRED): "Both have the same n, so only the blur differs, and it moves the features far. See (5.5).",
        (REAL, FEW): "Both are real, but they are not equally many. " + _FEW + "compare at the same n only.",
        (SHIFTED, BLURRED): "Shifted strokes are as sharp as before. Blurred ones have lost the edges that the LeNet's "
        "features look for. See (5.5).",
        (SHIFTED, FEW): _FEW + "a thousand images with a fault look better than a hundred without.",
        (BLURRED, FEW): _FEW + "even a fault that everyone sees counts for less than a tenth of the images.",
    },
)  # fmt: skip

EXERCISES = (honest_bits, grey_log_prob, variance_table, frechet, same_n)
