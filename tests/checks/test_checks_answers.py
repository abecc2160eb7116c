"""Answers that were once judged wrongly: right ones that were refused, wrong ones that were accepted; and a fuzz."""

import itertools
import math

import numpy as np
import pytest
import torch
from exercise_cells import SOLUTION, each, each_written, run

from diffusion_edu import checks, data, oracles
from diffusion_edu.checks import n00_start
from diffusion_edu.checks.core import CORRECT, ERROR, NOT_ATTEMPTED, WRONG

RIGHT = {
    "log_normal: a list": ("log_normal", """
def my_log_normal(x, mean, std):
    flat = [-sum((a - b) ** 2 for a, b in zip(p.tolist(), mean.tolist())) / 2 / std.item() ** 2
            - len(p) / 2 * math.log(2 * math.pi * std.item() ** 2) for p in x.reshape(-1, x.shape[-1])]
    return torch.tensor(flat, dtype=torch.float64).reshape(x.shape[:-1]).tolist()"""),
    "middle: a list of two": ("middle", SOLUTION["middle"] + "\n\n\nright = my_middle\nmy_middle = lambda *a: [part.tolist() for part in right(*a)]"),  # noqa: E501
    "middle: a Gaussian": ("middle", """
def my_middle(mean, var, a, v, z_next):
    return gaussian.condition(gaussian.Gaussian(mean, var), a, v, z_next)"""),
    "paired_gap: a list of floats": ("paired_gap", """
def my_paired_gap(log_p, log_p_model):
    d = [a - b for a, b in zip(log_p.tolist(), log_p_model.tolist())]
    mean = sum(d) / len(d)
    return [mean, (sum((x - mean) ** 2 for x in d) / (len(d) - 1) / len(d)) ** 0.5]"""),
    "pathwise_gradient: a list of tensors": ("pathwise_gradient", """
def my_pathwise_gradient(slope, m, s, eps):
    slopes = [slope(m + s * e) for e in eps]
    return [sum(slopes) / len(eps), sum(d * e for d, e in zip(slopes, eps)) / len(eps)]"""),
    "simple_loss: point by point": ("simple_loss", """
def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
    losses = []
    for i in range(len(t)):
        a = alpha_bar[t[i]]
        xt = a.sqrt() * x0[i : i + 1] + (1 - a).sqrt() * eps[i : i + 1]
        losses.append((eps[i] - eps_net(xt, t[i : i + 1])[0]).square().sum())
    return torch.stack(losses)"""),
    "simple_loss: a list, points without a batch": ("simple_loss", """
def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
    roots = lambda s: (alpha_bar[s].sqrt(), (1 - alpha_bar[s]).sqrt())
    noisy = lambda x, s, e: roots(s)[0] * x + roots(s)[1] * e
    return [(e - eps_net(noisy(x, s, e), s)).square().sum() for x, s, e in zip(x0, t.tolist(), eps)]"""),
    "simple_loss: all points of one t at once": ("simple_loss", """
def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
    loss = torch.zeros(len(t), dtype=x0.dtype)
    for s in t.unique():
        m, a = t == s, alpha_bar[s]
        loss[m] = (eps[m] - eps_net(a.sqrt() * x0[m] + (1 - a).sqrt() * eps[m], t[m])).square().sum(-1)
    return loss"""),
    "simple_loss: one number t for a group": ("simple_loss", """
def my_simple_loss(eps_net, x0, t, eps, alpha_bar):
    loss = torch.zeros(len(t), dtype=x0.dtype)
    for s in t.unique():
        m, a = t == s, alpha_bar[s]
        loss[m] = (eps[m] - eps_net(a.sqrt() * x0[m] + (1 - a).sqrt() * eps[m], s)).square().sum(-1)
    return loss"""),
    "variance_table: comparisons with the edges": ("variance_table", """
def my_variance_table(x0, x0_hat, edges, beta_tilde, c):
    error = (x0 - x0_hat) ** 2
    masks = [x0_hat <= edges[0]]
    masks += [(x0_hat > a) & (x0_hat <= b) for a, b in zip(edges[:-1], edges[1:])]
    masks += [x0_hat > edges[-1]]
    return [beta_tilde + c**2 * error[m].mean() for m in masks]"""),
    "posterior: the variance in the shape of x_t": ("posterior", SOLUTION["posterior"].replace(
        "(1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]",
        "((1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]).expand(xt.shape)")),
    "honest_bits: a list": ("honest_bits", """
def my_honest_bits(log_p, dim, width):
    return [-(p / dim + math.log(width)) / math.log(2) for p in log_p.tolist()]"""),
    "steps_needed: shape (1,)": ("steps_needed", SOLUTION["steps_needed"].replace("return T", "return torch.tensor([T])")),  # noqa: E501
    "kl: vmap": ("kl", """
def my_kl(mean_q, var_q, mean_p, var_p):
    one = lambda m, v, n, w: 0.5 * (v / w - 1 - (v / w).log() + (m - n) ** 2 / w)
    flat = [x.reshape(-1, x.shape[-1]) for x in (mean_q, var_q, mean_p, var_p)]
    return torch.func.vmap(lambda *parts: one(*parts).sum())(*flat).reshape(mean_q.shape[:-1])"""),
    "kl: NumPy": ("kl", """
def my_kl(mean_q, var_q, mean_p, var_p):
    m, v, n, w = (x.numpy().astype(float) for x in (mean_q, var_q, mean_p, var_p))
    return 0.5 * (v / w - 1 - __import__("numpy").log(v / w) + (m - n) ** 2 / w).sum(-1)"""),
    "kl: partial": ("kl", SOLUTION["kl"] + "\n\n\nmy_kl = __import__('functools').partial(my_kl)"),
    "kl: a callable object": ("kl", SOLUTION["kl"] + "\n\n\nright = my_kl\nmy_kl = type('Own', (), {'__call__': staticmethod(right)})()"),  # noqa: E501
    "paired_gap: a named tuple": ("paired_gap", SOLUTION["paired_gap"] + """


right = my_paired_gap
Pair = __import__("collections").namedtuple("Pair", "mean error")
my_paired_gap = lambda *inputs: Pair(*right(*inputs))"""),
    "grey_log_prob: NumPy": ("grey_log_prob", """
def my_grey_log_prob(x, mean, scale):
    np = __import__("numpy")
    x, mean, scale = (v.detach().numpy().astype(float) for v in (x, mean, scale))
    low = np.where(abs(x + 1) < 1e-6, -np.inf, (x - 1 / 255 - mean) / scale)
    high = np.where(abs(x - 1) < 1e-6, np.inf, (x + 1 / 255 - mean) / scale)
    log_F = lambda u: -np.logaddexp(0, -u)
    return (log_F(high) + log_F(-low) + np.log(-np.expm1(low - high))).sum(-1)"""),
    "information: a NumPy number": ("information", """
def my_information(log_q):
    m = log_q.numpy().astype(float)
    top = m.max(0)
    return (m.diagonal() - top - __import__("numpy").log(__import__("numpy").exp(m - top).mean(0))).mean()"""),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_right_answers_in_other_forms_are_accepted(case):
    name, code = RIGHT[case]
    result = getattr(checks, name).judge(run(getattr(checks, name), code))
    assert result.status == CORRECT, result


BELIEF = "chain.p(t, z[t + 1]).log_prob(z[t])"
MAX = "M + (log_p - M).exp().mean(0).log()"
GREY = "(log_phi(high) + log_phi(-low) + log_width)"
WRONGLY_ACCEPTED = [  # exercise, a part of its solution, what stands there instead, and a word of what must be said
    ("consistency", BELIEF, "chain.p(t - 1, z[t + 1]).log_prob(z[t])", "This equals the term with chain.p(t − 1, z"),
    ("consistency", BELIEF, "chain.p(t + 1, z[t + 1]).log_prob(z[t])", "This equals the term with chain.p(t + 1, z"),
    ("consistency", BELIEF, "chain.p(0, z[t + 1]).log_prob(z[t])", "This equals the term with chain.p(0, z"),
    ("consistency", "chain.q(t,", "chain.q(t - 1,", "This equals the term with chain.q(t − 1, z"),
    ("consistency", "chain.q(t,", "chain.q(t + 1,", "This equals the term with chain.q(t + 1, z"),
    ("consistency", "chain.q(t,", "chain.q(1,", "This equals the term with chain.q(1, z"),
    ("consistency", "chain.q(t,", "chain.q(2,", "which t are they asked for"),
    ("elbo", "vae.p(0, z)", "vae.p(1, z)", "This equals the ratio with vae.p(1, z)"),
    ("elbo", "vae.q(1, x)", "vae.q(0, x)", "This equals the ratio with vae.q(0, x)"),
    ("elbo", "* eps\n", "* eps\n    z = z.detach()\n", "the gradient is not"),
    ("elbo", "    q = vae", "    torch.set_grad_enabled(False)\n    q = vae", "the gradient is not"),
    ("log_likelihood", "torch.logsumexp(log_p, 0) - math.log(len(log_p))", MAX.replace("M", "log_p.max()"),
     "the largest value of each data point"),
    ("log_likelihood", "torch.logsumexp(log_p, 0) - math.log(len(log_p))", MAX.replace("M", "log_p.mean(0)"),
     "the largest value of each data point"),
    ("information", "torch.logsumexp(log_q, 0) - torch.log(torch.tensor(len(log_q)))",
     "log_q.max() + (log_q - log_q.max()).exp().mean(0).log()", "the largest value of each column"),
    ("information", "torch.logsumexp(log_q, 0) - torch.log(torch.tensor(len(log_q)))",
     "log_q.mean(0) + (log_q - log_q.mean(0)).exp().mean(0).log()", "the largest value of each column"),
    ("middle", "a * z_next / v", "a.abs() * z_next / v", "a keeps its sign"),
    ("kl", "- ratio.log() + moved).sum(-1)",
     "+ moved).sum(-1) - 0.5 * (var_q.prod(-1) / var_p.prod(-1)).log()",
     "Take the logs first"),
    ("simple_loss", "eps_net(xt, t)", "eps_net(xt, t).detach()", "the gradient is not"),
    ("steps_needed", "T += 1", "T += 1\n        if T == 1000: break", "more than a thousand steps"),
    ("variance_table", "(x0 - x0_hat)[r == i]", "(x0 - x0_hat)[(r == i) & (x0_hat.abs() <= 1)]", "are open"),
    ("grey_log_prob", GREY, "torch.where(torch.sigmoid(high) > torch.sigmoid(low), "
     f"(torch.sigmoid(high) - torch.sigmoid(low)).log(), {GREY})", "another formula where nothing is left"),
    ("frechet", ".real.clamp(min=0).sqrt()", ".real.sqrt()", ".clamp(min=0)"),
    ("jump", "(1 - beta).cumprod(0)[t]", "(1 - beta[1:]).cumprod(0)[t - 1]", "Keep β_0 = 0 in the product"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "words"), WRONGLY_ACCEPTED, ids=lambda value: value[:30])
def test_wrong_answers_that_were_accepted_are_named(name, old, new, words):
    assert old in SOLUTION[name], "the solution has changed: change this test"
    item = getattr(checks, name)
    result = item.judge(run(item, SOLUTION[name].replace(old, new)))
    assert result.status == WRONG, result
    assert words in result.text, result


def test_the_log_of_a_product_of_densities_is_refused():
    code = """
def my_log_normal(x, mean, std):
    return ((-((x - mean) ** 2) / (2 * std**2)).exp() / (2 * torch.pi * std**2) ** 0.5).prod(-1).log()"""
    assert "Take the log on paper first" in checks.log_normal.judge(run(checks.log_normal, code)).text


def test_the_loss_without_gradients_is_refused():
    code = SOLUTION["simple_loss"].replace("def my_", "@torch.no_grad()\ndef my_")
    assert "the gradient is not" in checks.simple_loss.judge(run(checks.simple_loss, code)).text


def test_a_gradient_of_nan_is_told_from_one_that_is_missing():
    code = SOLUTION["grey_log_prob"].replace(GREY, f"torch.where(x < 2, {GREY}, (x - 2 + 0 * mean).sqrt())")
    assert "from the branch that it did not take" in checks.grey_log_prob.judge(run(checks.grey_log_prob, code)).text


def test_the_density_in_place_of_small_probabilities_is_inexact_and_told_so():
    """As in the public code of PixelCNN++: where P < 1e-5, the density in the middle times the width of the bin."""
    middle = "(log_phi((x - mean) / scale) + log_phi((mean - x) / scale) - scale.log() + math.log(2 / 255))"
    P = "(torch.sigmoid(high) - torch.sigmoid(low))"
    code = SOLUTION["grey_log_prob"].replace(GREY, f"torch.where({P} > 1e-5, {P}.clamp(min=1e-12).log(), {middle})")
    result = checks.grey_log_prob.judge(run(checks.grey_log_prob, code))
    assert result.status == WRONG
    assert "A correct answer is right 5 to 1,000 widths from the centre." in result.text


def test_a_difference_too_small_for_four_digits_is_shown():
    code = SOLUTION["log_normal"].replace("std**2", "(std**2 + 1e-5)")
    assert "(the largest difference is " in checks.log_normal.judge(run(checks.log_normal, code)).text


def test_infinity_is_explained_as_what_it_is():
    text = checks.log_likelihood.judge(lambda log_p: torch.full(log_p.shape[1:], math.inf)).text
    assert "∞ comes from a division by 0, the log of 0, or exp of a large number" in text


# --- orderings ---


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("too_sure", ["noise x 2", "noise x 3", "noise x 1/2", "unit gaussian"]),
        ("too_sure", ("Noise*2", "noise*3", "noise * ½", "Unit Gaussian")),
        ("too_sure", np.array(["noise × 2", "noise × 3", "noise × ½", "unit Gaussian"])),
        ("lopsided", torch.tensor([0.5, 2, 0.1, 10])),
        ("lopsided", [torch.tensor(0.5), np.float32(2), "0.1", 10]),
        ("same_n", ["1000 real", "1000 shifted", "1000 blurred", "100 real"]),
        ("five_steps", ["Short", "Cosine", "Linear"]),
    ],
)
def test_names_may_be_typed_on_any_keyboard(name, answer):
    result = getattr(checks, name).judge(answer)
    assert result.status == CORRECT, result


def test_the_values_of_too_sure_are_those_of_a_sample():
    roll = data.SwissRoll()
    x = roll.sample(20_000, seed=0)
    factors = {n00_start.HALF: 0.5, n00_start.TWICE: 2, n00_start.THRICE: 3}
    for name, f in factors.items():
        d = roll.log_prob(x) - oracles.Mixture(roll.weights, roll.means, f**2 * roll.variances).log_prob(x)
        assert abs(d.mean() - n00_start._distances()[name]) < 4 * d.std() / len(d) ** 0.5


# --- the fuzz ---


class Stubborn:
    """Raises an error on every use."""

    def __getattr__(self, name):
        raise RuntimeError("no")

    def _refuse(self, *_):
        raise RuntimeError("no")

    __eq__ = __float__ = __len__ = __iter__ = __getitem__ = __bool__ = __repr__ = __str__ = __array__ = _refuse
    __hash__ = None


class Unprintable(Exception):
    """An error whose message raises another."""

    def __str__(self):
        raise ValueError("no")


def raising(error):
    def answer(*inputs):
        raise error

    return answer


def nested() -> list:
    """A list that holds itself."""
    out: list = []
    out.append(out)
    return out


OBJECTS = {
    "None": None,
    "ellipsis": ...,
    "str": "0.5",
    "bytes": b"0",
    "int": 3,
    "huge int": 10**400,
    "bool": True,
    "float": 0.5,
    "nan": math.nan,
    "inf": -math.inf,
    "complex": 1j,
    "complex tensor": torch.ones(3) * 1j,
    "complex array": np.ones(2) * 1j,
    "empty list": [],
    "empty tuple": (),
    "empty tensor": torch.zeros(0),
    "dict": {"a": 1.0},
    "set": {1.0},
    "list": [0.1, 0.2],
    "nested list": [[0.1, 0.2], [0.3, 0.4]],
    "ragged list": [[0.1], [0.2, 0.3]],
    "list with None": [0.1, None],
    "list with str": [0.1, "b"],
    "list with ellipsis": [0.1, ...],
    "list in itself": nested(),
    "tuple of one": (torch.ones(2),),
    "tuple of two": (torch.ones(2), torch.ones(2)),
    "tuple of five": (0.1,) * 5,
    "tuple of unequal": (torch.ones(2), torch.ones(3)),
    "array": np.ones(3),
    "array of objects": np.array([None, "a"]),
    "array of str": np.array(["a"]),
    "float16": torch.ones(2, dtype=torch.float16),
    "float32": torch.ones(3, dtype=torch.float32),
    "float64": torch.ones(3, dtype=torch.float64),
    "int tensor": torch.ones(3, dtype=torch.int64),
    "bool tensor": torch.ones(3, dtype=torch.bool),
    "zero-dimensional": torch.tensor(0.5),
    "large": torch.ones(7, 8, 9),
    "requires grad": torch.ones(3, requires_grad=True),
    "nan tensor": torch.full((3,), math.nan),
    "inf tensor": torch.full((3,), math.inf),
    "sparse": torch.eye(3).to_sparse(),
    "meta": torch.ones(3, device="meta"),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "network": torch.nn.Linear(2, 2),
    "function": math.sqrt,
    "type": float,
    "generator": (x for x in (1.0, 2.0)),
    "endless generator": itertools.count(),
    "range": range(3),
    "module": math,
    "object": object(),
    "stubborn": Stubborn(),
    "exception": ValueError("x"),
    "distribution": torch.distributions.Normal(0.0, 1.0),
    "random generator": torch.Generator(),
    "dtype": torch.float32,
}


def spoiling(change):
    """Changes its tensors in place with `change` and answers with the first of them, or with zero."""

    def answer(*inputs):
        flat = [x for given in inputs for x in (given if isinstance(given, list) else [given])]
        found = [x for x in flat if isinstance(x, torch.Tensor)]
        for x in found:
            change(x)
        return found[0] if found else 0.0

    return answer


BEHAVIOURS = {
    "adds in place": spoiling(lambda x: x.add_(1)),
    "resizes in place": spoiling(lambda x: x.resize_(0)),
    "changes the data": spoiling(lambda x: setattr(x, "data", x.data.new_zeros(2))),
    "requires gradients": spoiling(lambda x: x.requires_grad_() if x.is_floating_point() else x),
    "empties lists": lambda *a: [x.clear() for x in a if isinstance(x, list)] and 0.0,
    "divides by zero": lambda *a: 1 / 0,
    "leaves": lambda *a: exit(),
    "reads an index": lambda *a: a[99],
    "too few arguments": lambda a: a,
    "no arguments": lambda: 0.0,
    "recurses": lambda *a: BEHAVIOURS["recurses"](*a),
    "an error without words": raising(Unprintable()),
    "an empty error": raising(ValueError()),
    "an error of many lines": raising(ValueError("one\ntwo\n" + 500 * "x")),
    "a base exception": raising(BaseException("stop")),
    "stops an iteration": raising(StopIteration),
    "random numbers": lambda *a: torch.randn(3),
    "all its arguments": lambda *a: a,
    "the first argument": lambda *a: a[0],
    "the last argument": lambda *a: a[-1],
    "a generator function": lambda *a: (x for x in a),
    "no gradients from now on": lambda *a: torch.set_grad_enabled(False),
}
FUZZ = {f"returns {name}": lambda *a, value=value: value for name, value in OBJECTS.items()} | BEHAVIOURS
# the right values, turned into something else on the way out
TURNED = {
    "negative": lambda x: -x, "another axis": lambda x: x.unsqueeze(0), "twice": lambda x: torch.stack([x, x]),
    "integers": lambda x: x.long(), "half precision": lambda x: x.half(),
    "nan": lambda x: x * math.nan, "inf": lambda x: x / 0,
    "text": str, "lists": lambda x: x.tolist(), "arrays": lambda x: x.detach().numpy(), "imaginary": lambda x: x * 1j,
    "one row": lambda x: x.reshape(1, -1), "the first": lambda x: x.reshape(-1)[0], "nothing": lambda x: x[..., :0],
    "in a function": lambda x: lambda: x, "in a dict": lambda x: {"answer": x}, "bool": lambda x: x > 0,
}  # fmt: skip


ONE_NUMBER = {"paired_gap", "pathwise_gradient", "spoilt_gap", "information", "steps_needed", "best_variance",
              "noise_weight", "frechet", "entropy_from_errors", "price_from_cov", "mismatch",
              "leaving_cost"}  # fmt: skip


def turned(solution, turn):
    def answer(*inputs):
        out = solution(*inputs)
        whole = lambda part: turn(torch.as_tensor(part, dtype=torch.float64))  # noqa: E731
        return tuple(map(whole, out)) if isinstance(out, tuple) else whole(out)

    return answer


def readable(result) -> bool:
    """One of the four verdicts, each with a sentence that holds nothing of the library's own inside."""
    text = str(result)
    known = result.status in (CORRECT, WRONG, ERROR, NOT_ATTEMPTED)
    said = result.text.rstrip().endswith((".", ")", ":", "?")) or result.status in (NOT_ATTEMPTED, ERROR)
    return known and said and not any(bad in text for bad in ("Traceback", "could not be judged", "/checks/", "0x"))


@each_written
def test_whatever_is_returned_ends_in_a_verdict_with_a_sentence(item):
    harmless = {"lists", "arrays"} | ({"another axis", "the first"} if item.name in ONE_NUMBER else set())
    harmless |= {"steps_needed": {"integers", "half precision"}, "paired_gap": {"half precision"}}.get(item.name, set())
    answers = FUZZ | {
        f"{name} of what is right": turned(run(item, SOLUTION[item.name]), t) for name, t in TURNED.items()
    }
    for name, answer in answers.items():
        result = item.judge(answer)
        assert readable(result), (name, result)
        assert result.status != CORRECT or name.partition(" of ")[0] in harmless, (name, result)
    assert torch.is_grad_enabled()


@each
def test_whatever_is_handed_in_ends_in_a_verdict_with_a_sentence(item):
    assert len(OBJECTS) >= 50
    for name, answer in OBJECTS.items():
        result = item.judge(answer)
        assert readable(result), (name, result)
        assert result.status != CORRECT, (name, result)
    for kind in OBJECTS.values():
        assert readable(item.judge([kind] * 4))
