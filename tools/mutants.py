"""make mutants: seeds one-line bugs into a copy of the library, one at a time, and runs the tests on each.

A bug that no test catches is a hole in the tests. Prints which test caught which, and exits with 1 if one
survives. The working tree is never touched.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Mutant(NamedTuple):
    """In `file` of the package, `old` (found exactly once) becomes `new`; `tests` are what to run."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _of(module: str, *bugs: tuple[str, str, str], tests: tuple[str, ...] | None = None) -> list[Mutant]:
    return [
        Mutant(name, f"{module}.py", old, new, tests or (f"test_{module.split('/')[-1]}.py",))
        for name, old, new in bugs
    ]


MUTANTS = [
    *_of("plots", ("a band of one standard error", "e = 2 * _numpy(error)", "e = _numpy(error)")),
    *_of("hvae", ("all encoders start alike", "first = [-4.0] + [-2.0] * (levels - 1)", "first = [-2.0] * levels")),
    *_of(
        "training/trainer",
        ("the last step too sure", "clamp_(min=(1 / 255 / 4) ** 2)", "clamp_(min=(1 / 255 / 40) ** 2)"),
        tests=("test_image_ddpm.py",),
    ),
    *_of(
        "gaussian",
        (
            "log_prob without its 1/2",
            "return -0.5 * (LOG_2PI + self.var.log()",
            "return -1.0 * (LOG_2PI + self.var.log()",
        ),
        ("noise scaled by the variance", "self.mean + self.var.sqrt() * eps", "self.mean + self.var * eps"),
        ("entropy without the 1", "0.5 * (LOG_2PI + 1 + p.var.log())", "0.5 * (LOG_2PI + p.var.log())"),
        ("KL the wrong way round", "ratio = q.var / p.var", "ratio = p.var / q.var"),
        (
            "KL averaged over dimensions",
            "(q.mean - p.mean) ** 2 / p.var).sum(-1)",
            "(q.mean - p.mean) ** 2 / p.var).mean(-1)",
        ),
        ("marginal without a square", "a**2 * prior.var + var", "a * prior.var + var"),
    ),
    *_of(
        "observations",
        ("a bin twice as wide", "half = 1 / (self.levels - 1)", "half = 2 / (self.levels - 1)"),
        ("the lowest grey level without its tail", "level.round() == 0, -torch.inf", "level.round() == -1, -torch.inf"),
        ("tail mirrored on the wrong side", "flip = low + high > 0", "flip = low + high < -60"),
        (
            "Bernoulli the wrong way round",
            "logsigmoid(torch.where(x == 1, self.logits, -self.logits))",
            "logsigmoid(torch.where(x == 1, -self.logits, self.logits))",
        ),
        (
            "logistic noise without its second half",
            "return u.log() - (-u).log1p()",
            "return u.log() - 2 * (-u).log1p()",
        ),
    ),
    *_of(
        "images/digits",
        ("MNIST's zeros and ones swapped", "float() / 255", "float() / -255 + 1"),
        (
            "a test set that depends on the seed",
            "generator=torch.Generator().manual_seed(0))\n        return drawn",
            "generator=torch.Generator().manual_seed(seed))\n        return drawn",
        ),
        tests=("test_mnist_models.py",),
    ),
    *_of(
        "training/losses",
        ("pixels binarised the wrong way round", "(threshold < x)", "(threshold > x)"),
        tests=("test_mnist_models.py",),
    ),
    *_of(
        "images/mnist",
        ("a kept file is trusted unseen", "if _hash(place) == SHA256[place.name]:", "if True:"),
        ("dimensions read little-endian", 'struct.unpack(f">{dims}i"', 'struct.unpack(f"<{dims}i"'),
        ("a file too long is read", "len(data) - start != size", "len(data) - start < size"),
    ),
    *_of(
        "bound",
        ("sign of the consistency term", "consistency = [p - q for p, q", "consistency = [q - p for p, q"),
        (
            "consistency with the next level's q",
            "zip(log_p_between, log_q[:-1], strict",
            "zip(log_p_between, log_q[1:], strict",
        ),
        ("latent from the wrong level", "chain.p(t - 1, z).log_prob(z_prev)", "chain.p(t - 1, z_prev).log_prob(z)"),
        ("logsumexp without −log K", "log_w.logsumexp(0) - math.log(len(log_w))", "log_w.logsumexp(0)"),
        ("log of a mean for a mean of logs", "log_w.logsumexp(0) - math.log(len(log_w))", "log_w.mean(0)"),
        ("the last chunk of weights lost", "+ [K % at_once] * (K % at_once > 0)", ""),
    ),
    *_of(
        "schedules",
        ("ᾱ as a running sum of β", "return self.alpha.cumprod(0)", "return 1 - self.beta.cumsum(0)"),
        (
            "β̃ with ᾱ shifted by one",
            "one_minus[:-1] / one_minus[1:] * self.beta[1:]",
            "one_minus[1:] / one_minus[1:] * self.beta[1:]",
        ),
        (
            "L_T with ᾱ for √ᾱ",
            "Gaussian(alpha_bar.sqrt() * x0, 1 - alpha_bar)",
            "Gaussian(alpha_bar * x0, 1 - alpha_bar)",
        ),
        ("cosine without its square", "* (t + s) / (1 + s)) ** 2", "* (t + s) / (1 + s))"),
        ("respaced at other times", "S + 1, dtype=torch.float64).round().long()", "S + 1, dtype=torch.float64).long()"),
        ("SNR read as ᾱ", "snr / (1 + snr)]", "1 / (1 + snr)]"),
    ),
    *_of(
        "diffusion",
        ("ᾱ for √ᾱ in q(x_t|x₀)", "at(alpha_bar.sqrt(), t, x0) * x0", "at(alpha_bar, t, x0) * x0"),
        (
            "a square root lost in q(x_t|x_{t−1})",
            "Gaussian(at(schedule.alpha, t, x_prev).sqrt() * x_prev",
            "Gaussian(at(schedule.alpha, t, x_prev) * x_prev",
        ),
        (
            "μ̃ with ᾱ_t for ᾱ_{t−1}",
            "schedule.alpha_bar[:-1], schedule.alpha[1:]",
            "schedule.alpha_bar[1:], schedule.alpha[1:]",
        ),
        ("β for β̃ in the posterior", "at(schedule.beta_tilde, t, xt))", "at(schedule.beta, t, xt))"),
        ("optimal σ² with c₀ for c₀²", "schedule.beta_tilde + c0**2 * x0_mse", "schedule.beta_tilde + c0 * x0_mse"),
        (
            "KL the wrong way round in L_{t−1}",
            "else kl(q_posterior(schedule, t, xt, x0), p)",
            "else kl(p, q_posterior(schedule, t, xt, x0))",
        ),
        (
            "the chain shifted by one",
            "reverse_step(self.schedule, t + 1, z_next",
            "reverse_step(self.schedule, max(t, 1), z_next",
        ),
        ("the denoiser asked at t for t + 1", "self.denoiser(z_next, t + 1)", "self.denoiser(z_next, t)"),
        ("L₀ taken for a KL", "torch.where(t == 1, -p.log_prob(x0)", "torch.where(t == 0, -p.log_prob(x0)"),
    ),
    *_of(
        "ddpm",
        ("wrong v", "return (eps - noise * xt) / signal", "return (eps + noise * xt) / signal"),
        ("x₀ from v with the wrong sign", "return signal * xt - noise * v", "return signal * xt + noise * v"),
        (
            "score without its square root",
            "return -eps / _roots(alpha_bar)[1]",
            "return -eps / _roots(alpha_bar)[1] ** 2",
        ),
        ("ε weight without β's square", "weight = schedule.beta**2 / (2", "weight = schedule.beta / (2"),
        ("ε weight with ᾱ for α", "sigma2 * schedule.alpha * (1", "sigma2 * schedule.alpha_bar * (1"),
        ("mean over dimensions in the loss", ".square().sum(-1)", ".square().mean(-1)"),
        (
            "loss constant without its decoder",
            "torch.cat([first.new_zeros(1), first, ratio",
            "torch.cat([first.new_zeros(1), 0 * first, ratio",
        ),
        ("noise at the last ancestral step", "return mean if t == 1 else mean", "return mean if t == 0 else mean"),
    ),
    *_of(
        "oracles",
        (
            "E[x₀|x_t] shrunk with ᾱ for √ᾱ",
            "gain = alpha_bar**0.5 * self.variances",
            "gain = alpha_bar * self.variances",
        ),
        ("score without its weights", "- x * (r @ precision)", "- x * precision.mean(0)"),
        (
            "entropy with one side of the cell",
            "(axis[1] - axis[0]).item() for axis in axes)",
            "(axis[1] - axis[0]).item() for axis in axes[:1])",
        ),
        (
            "noise variance without 1 − ᾱ",
            "return alpha_bar * self.variances + (1 - alpha_bar)",
            "return self.variances + (1 - alpha_bar)",
        ),
        (
            "denoising error without E|x₀|²'s variance",
            "self.weights @ (self.means**2 + self.variances)).sum()",
            "self.weights @ self.means**2).sum()",
        ),
        (
            "denoising error in units of the noise",
            "return (1 - alpha_bar) / alpha_bar * (1 - second(",
            "return 1 * (1 - second(",
        ),
    ),
    *_of(
        "data",
        ("quadrature with equal weights", "super().__init__(weights, ", "super().__init__(np.ones_like(weights), "),
        ("the wrong curve", "theta = 1.5 * np.pi * (1 + 2 *", "theta = 1.5 * np.pi * (1 + 1.9 *"),
        ("scale without the noise", "math.sqrt(V + noise**2)", "math.sqrt(V)"),
    ),
    *_of(
        "images/digits",
        ("digits dequantised by half a level", "(pixels[i] + noise) * (2 /", "(pixels[i] + 0.5 * noise) * (2 /"),
        ("bits per dimension with the wrong volume", "math.log(self.levels / 2)", "math.log(self.levels)"),
        tests=("test_data.py",),
    ),
    *_of(
        "samplers",
        ("noise at the last step", "if i > 1 else", "if i > 0 else"),
        ("a start that is not heeded", "times.tolist().index(start)", "sub.T"),
        ("any start allowed", "if start not in times[1:]:", "if start > schedule.T:"),
        ("the denoiser asked at the short schedule's time", "denoiser(x, int(times[i]))", "denoiser(x, i)"),
        (
            "the full schedule's steps at the kept times",
            "step(sub, i, xt, ask",
            "step(schedule, i, xt, ask",
        ),
        ("σ² for σ", "at(sigma2(schedule), t, xt).sqrt() * eps", "at(sigma2(schedule), t, xt) * eps"),
        ("DDIM's signal one step late", "return at(signal, t - 1, xt) * x0_hat", "return at(signal, t, xt) * x0_hat"),
        ("x̂₀ a whole step on", "(step / (2 * last))", "(step / last)"),
        ("x̂₀ half a step back", "* (x0_hat - x0_prev)", "* (x0_prev - x0_hat)"),
        ("steps of even length taken for granted", "(step / (2 * last)).to(x0_hat)", "0.5"),
        ("the first x̂₀ remembered for good", "x0_hat, x0_prev), eps), x0_hat", "x0_hat, x0_prev), eps), x0_prev"),
        ("a state that is lost", "xt, ask, eps, state)", "xt, ask, eps, None)"),
    ),
    *_of(
        "nets",
        ("log SNR shifted by one", "torch.cat([clean, log_snr[1:]])", "torch.cat([log_snr[1:2], log_snr[1:]])"),
        ("variance for log variance", "log_var.clamp(*self.log_var_range).exp()", "log_var.clamp(*self.log_var_range)"),
        ("signal and noise exchanged in ε̂", "level.noise.unsqueeze(-1) * xt", "level.signal.unsqueeze(-1) * xt"),
    ),
    *_of(
        "hvae",
        ("levels shifted by one", "self.decoders[t](z_next)", "self.decoders[t - 1](z_next)"),
        tests=("test_nets.py",),
    ),
    *_of(
        "training/optimisers",
        ("half of each matrix's gradient left out", "x @ x.mT", "x @ x.mT / 2"),
        (
            "a tall matrix taken for a wide one",
            "x = g if g.shape[-2] <= g.shape[-1]",
            "x = g if g.shape[-2] > g.shape[-1]",
        ),
        ("momentum with its weights exchanged", "lerp_(grad, 1 - momentum)", "lerp_(grad, momentum)"),
        ("momentum that does not look ahead", "return torch.lerp(grad,", "return torch.lerp(average,"),
        ("a tall matrix's step too short", "max(1, rows / columns) ** 0.5", "1"),
        ("Muon climbs", "p.sub_(direction", "p.add_(direction"),
    ),
    *_of(
        "training/trainer",
        ("resume without the optimiser", "            optimiser.load_state_dict(kept)", "            pass"),
        (
            "resume without the average",
            'self.ema.load_state_dict(state["ema"])',
            'self.ema.load_state_dict(state["model"])',
        ),
        (
            "EMA with its weights exchanged",
            "list(self.model.parameters()), 1 - self._decay())",
            "list(self.model.parameters()), self._decay())",
        ),
        ("batches that do not know the step", "(seed * 1_000_003 + step + shard", "(seed * 1_000_003 + shard"),
        (
            "shards that share their noise",
            "return step_generator(self.seed, self.step, shard)",
            "return step_generator(self.seed, self.step)",
        ),
        ("shards told apart above the 32nd bit", "shard * 2_654_435_761)", "shard * 2**53)"),
        ("shards added, not averaged", '(terms["loss"] / len(self.share)).backward()', 'terms["loss"].backward()'),
        (
            "a learning rate that does not end at 0",
            "math.cos(math.pi * step / steps)",
            "math.cos(0.9 * math.pi * step / steps)",
        ),
        (
            "σ² of the wrong error",
            "sigma2_optimal(model.schedule, denoising_error(",
            "sigma2_optimal(model.schedule, 2 * denoising_error(",
        ),
    ),
    *_of(
        "training/losses",
        ("min-SNR is max-SNR", "schedule.snr[t]).clamp(max=1)", "schedule.snr[t]).clamp(min=1)"),
        ("a weight that is not used", "(error if weight is None else", "(error if draw_t else"),
        ("off by one in log_snr_t", "return schedule.T - torch", "return schedule.T + 1 - torch"),
        ("uniform_t never draws T", "torch.randint(1, schedule.T + 1,", "torch.randint(1, schedule.T,"),
        tests=("test_trainer.py",),
    ),
    *_of(
        "training/trainer",
        ("bfloat16 that is never switched on", "enabled=precision == torch.bfloat16", "enabled=False"),
    ),
    *_of(
        "nets",
        (
            "a mean rounded to bfloat16",
            "self.net(like_weights(z, self.net)).to(z.dtype).chunk",
            "self.net(like_weights(z, self.net)).chunk",
        ),
        (
            "logits rounded to bfloat16",
            "Bernoulli(self.net(like_weights(z, self.net)).to(z.dtype))",
            "Bernoulli(self.net(like_weights(z, self.net)))",
        ),
        tests=("test_trainer.py",),
    ),
    *_of(
        "training/logs",
    ),
    *_of(
        "sampling",
        ("samples that start from other noise", "generator, shape=(n,))", "generator, shape=(n + 1,))[1:]"),
        ("all the steps where some were asked for", "model.schedule, step, steps)", "model.schedule, step, None)"),
        tests=("test_logs.py::test_samples_of_a_ddpm_come_from_its_reverse_process",),
    ),
    *_of(
        "sampling",
        ("a call that is not counted", "Sampler(second_order(ddim), calls=1)", "Sampler(second_order(ddim), calls=2)"),
        tests=("test_samplers.py",),
    ),
    *_of(
        "ddpm",
        ("SNR for ᾱ at a level", ".sigmoid().unsqueeze(-1)\n", ".exp().unsqueeze(-1)\n"),
        tests=("test_noise_level.py",),
    ),
    *_of(
        "pretrained/publish",
        ("every score of the same samples", "draw(model, n, 0, *way)", "draw(model, n)"),
        tests=("test_mnist_models.py",),
    ),
    *_of(
        "config",
        ("an option that the model lacks is taken", "elif f.name not in default:", "elif False:"),
        (
            "a command that leaves an option to its default",
            "is not None}\n        words",
            "and f.name != 'width'}\n        words",
        ),
        tests=("test_config.py", "test_cli.py"),
    ),
    *_of(
        "training/runs",
        ("a diverged run goes on", ".items() if not value.isfinite().all()]", ".items() if False]"),
        ("a run that forgets where it starts from", 'save(new / "checkpoint.pt", state)', "pass"),
        ("an average that starts from nothing", "t.ema.load_state_dict(parameters)", "pass"),
        tests=("test_cli.py",),
    ),
    *_of(
        "training/runs",
        ("pictures of the model itself", "log.draw(t.step, t.ema)", "log.draw(t.step, t.model)"),
        (
            "pictures that use up the trainer's noise",
            "torch.Generator().manual_seed(self.config.seed), self",
            "None, self",
        ),
        ("memory's end taken for another error", '"allocate memory")', '"allocate")[:1]'),
        tests=("test_logs.py",),
    ),
    *_of(
        "training/trainer",
        (
            "processes that train unconnected copies",
            "self.terms = DistributedDataParallel(self.terms)",
            "pass",
        ),
        tests=("test_parallel.py::test_more_processes_come_to_the_same_parameters",),
    ),
    *_of(
        "training/parallel",
        (
            "every process with the same shards",
            "range(self.rank * each, (self.rank + 1) * each)",
            "range(0 * self.rank, each)",
        ),
        ("metrics of the first process alone", "distributed.all_reduce(values)", "values = values * self.size"),
        ("the others wait for a word that does not come", "except Exception as e:", "except KeyError as e:"),
        ("failed calls outlive the connection", "_free_frames(sys.exception())", "pass"),
        ("every process reports", "            raise SystemExit(2)", '            raise ValueError("stopped")'),
    ),
    *_of(
        "evaluate",
        (
            "energy distance with one cross term",
            "- 2 * _mean_over_pairs(x, y, kernel)",
            "- _mean_over_pairs(x, y, kernel)",
        ),
        ("MMD kernel without its 2", "square / (-2 * h * h)", "square / (-h * h)"),
        ("sorted along the wrong axis", "(x.float() @ w).sort(dim=0)", "(x.float() @ w).sort(dim=1)"),
        (
            "standard error without its root",
            "values.std().item() / math.sqrt(len(values))",
            "values.std().item() / len(values)",
        ),
        ("a floor from one set only", "data.sample(n, seed + 2 * i + 1))", "data.sample(n, seed + 2 * i))"),
        ("gap with the wrong sign", "log_p.double() - b.elbo.double()", "b.elbo.double() - log_p.double()"),
    ),
    *_of(
        "training/runs",
        ("metrics rows kept after resume", "and int(r[0]) <= step]", "]"),
        ("a checkpoint that is not read on resume", "t.load_state_dict(state)", "t.step = state['step']"),
        tests=("test_cli.py::test_a_run_killed_between_any_two_writes_ends_the_same",),
    ),
    *_of(
        "images/convnets",
        ("a U-Net that does not hear the time", "r = r * (1 + scale) + shift", "r = r * 1 + 0 * (scale + shift)"),
        (
            "a latent of maps read as a vector",
            "return self.layer(h.flatten(1) if self.vector else h).flatten(1)",
            "return self.layer(h if self.vector else h).transpose(1, 2).flatten(1)",
        ),
        ("a step that forgets where it starts", "Gaussian(z + mean,", "Gaussian(mean,"),
        ("a block that does not start as its skip", "nn.init.zeros_(self.conv2.weight)", "pass"),
        ("a mixing layer deaf to the time", "r = r + self.shift(e)", "r = r + 0 * self.shift(e)"),
        ("a mixing layer without its skip", "h + self.proj_out(self.back", "self.proj_out(self.back"),
        ("a mixing layer that does not start as its skip", "nn.init.zeros_(self.proj_out.weight)", "pass"),
        ("no mixing layer", "if hidden else []", "if not hidden else []"),
        ("no mixing layer in the U-Net", "wide[depth:depth] = mixing_layers(2 * width, mixing, features)", "pass"),
        ("no mixing layer in a hierarchy", "+ mixing_layers(width, mixing)", "+ mixing_layers(width, 0)"),
        ("four times too slow an angle", "[255 * math.pi / period for", "[255 / 4 * math.pi / period for"),
        ("waves damped by the square root", "((omega * noise) ** 2) / 2", "((omega * noise) ** 2) / 4"),
    ),
    *_of(
        "images/ddpm",
        ("x̂₀ of an image out of its range", "super().x0_hat(xt, t).clamp(-1, 1)", "super().x0_hat(xt, t)"),
        ("the next step's variance", "self.sigma2[t, self.ranges(x0_hat)]", "self.sigma2[t - 1, self.ranges(x0_hat)]"),
        (
            "grey levels scored by a density",
            "return p if t > 1 else DiscretisedGaussian.on_levels(p)",
            "return p",
        ),
        tests=("test_image_ddpm.py",),
    ),
    *_of(
        "flow",
        ("data at τ = 1", "return (1 - tau) * x0 + tau * eps", "return tau * x0 + (1 - tau) * eps"),
        ("x̂₀ along the wrong way", "return x - tau * u", "return x + tau * u"),
        ("ε̂ over the part of the data", "return x + (1 - tau) * u", "return x + tau * u"),
        ("velocity over 1 − τ", "return (x - x0) / tau", "return (x - x0) / (1 - tau)"),
        ("velocity over τ", "return (eps - x) / (1 - tau)", "return (eps - x) / tau"),
        ("c without its root", "((1 - tau) ** 2 + tau**2) ** 0.5", "((1 - tau) ** 2 + tau**2)"),
        ("the ratio of amplitudes for SNR", "return 2 * (math.log1p(-tau)", "return (math.log1p(-tau)"),
        ("τ = 1 − ᾱ", "torch.as_tensor(-0.5 * log_snr", "torch.as_tensor(-1.0 * log_snr"),
        ("x_τ handed over as x_t", "x0_hat_at(x / scale(tau), log_snr)", "x0_hat_at(x, log_snr)"),
        ("the schedule of amplitudes", "from_log_snr(2 * (", "from_log_snr(1 * ("),
        ("the last step left out", "yield 0.0, euler(u, tau, -tau, x)", "yield 0.0, x"),
        ("straight by the position", "(x - after) * steps - chord", "(x - after) - chord"),
        ("the worst pairs", "linear_sum_assignment(cost.cpu().numpy())", "linear_sum_assignment(-cost.cpu().numpy())"),
        ("distances, not their squares, for a cost", "b.double()).square()", "b.double())"),
    ),
    *_of(
        "training/losses",
        ("the flow backwards", "(u_hat - (eps - x0))", "(u_hat - (x0 - eps))"),
        ("a batch of pairs read the other way", "x0, eps = batch.chunk(2, dim=-1)", "eps, x0 = batch.chunk(2, dim=-1)"),
        ("the network gets x_τ", "model.eps_net.at(x / scale(part), log_snr)", "model.eps_net.at(x, log_snr)"),
        tests=("test_flow.py",),
    ),
    *_of(
        "training/captured",
        ("averages with their weights exchanged", "parameters, 1 - self.decay)", "parameters, self.decay)"),
        (
            "a captured step at the first rate for ever",
            "rate.fill_(learning_rate(self.step,",
            "rate.fill_(learning_rate(0,",
        ),
        ("the decay of the first step for ever", "self.decay.fill_(self._decay())", "self.decay.fill_(0.1)"),
        ("random numbers begin anew", 'self.generator.set_state(state["generator"])', "pass"),
        ("a failed capture's random numbers", "self.generator.set_state(kept)", "pass"),
        ("the terms of the last step shared", "self.answer.clone()", "self.answer"),
    ),
    *_of(
        "gaussian",
        ("a check that reads the device while it is captured", "captured(condition) or ", ""),
        tests=("test_captured.py",),
    ),
    *_of(
        "training/trainer",
        ("c₀ not squared", "c0[t].item() ** 2 * mse", "c0[t].item() * mse"),
        ("ranges of the data, not of x̂₀", "model.ranges(x0_hat).flatten()", "model.ranges(x0).flatten()"),
        tests=("test_image_ddpm.py",),
    ),
    *_of(
        "evaluate",
        ("L_T of one point in a hundred", "chain.schedule.L_T(x).double()", "chain.schedule.L_T(x[::100]).double()"),
        ("the same points at each t", "start=1):\n        x0 = x[chosen]", "start=1):\n        x0 = x[order[0]]"),
        ("the gain over one weight", "- log_w.double().mean(0)", "- log_w[0].double()"),
        ("gain from weights not averaged", "importance_weighted(log_w.double())", "log_w.double().logsumexp(0)"),
        tests=("test_image_ddpm.py",),
    ),
    *_of(
        "images/digits",
        ("grey levels off their grid", "float() / 127.5 - 1", "float() / 128 - 1"),
        tests=("test_mnist_models.py::test_grey_levels_are_points_that_the_discretised_laws_take",),
    ),
    *_of(
        "pretrained/__init__",
        ("one seed's chain for all", 'start = f"{levels}.{seed}."', 'start = f"{levels}.0."'),
        tests=("test_pretrained.py",),
    ),
    *_of("weights", ("weights of any hash", "!= sha256:", "== 0:"), tests=("test_pretrained.py",)),
    *_of(
        "images/lenet",
        ("images moved the other way", "reach - down.unsqueeze(1)", "reach + down.unsqueeze(1)"),
        ("black in the middle of the scale", "float() / 127.5 - 1", "float() / 255"),
    ),
    *_of(
        "images/quality",
        ("Fréchet without its root", "root @ cov_2 @ root).clamp(min=0).sqrt()", "root @ cov_2 @ root).clamp(min=0)"),
        ("Fréchet without the means", "(mean - mean_2).square().sum() + cov", "0 * mean.sum() + cov"),
        ("the point itself counted as a neighbour", ".topk(k + 1, largest", ".topk(k, largest"),
        (
            "balls around the samples",
            "reached = torch.cat([torch.cdist(part, fake).amin(1) for part in real",
            "reached = torch.cat([torch.cdist(part, real).amin(1) for part in fake",
        ),
        ("coverage in n as in m", "missed *= (n - i) / (m + n - i)", "missed *= (n - i) / (m + n)"),
        ("nearest without |y|²", "part.square().sum(1), x[rows]", "0 * part.square().sum(1), x[rows]"),
        ("an index within its block", "start + where, index[rows]", "where, index[rows]"),
        ("the floor linear in n", "[-1 / m for m in at]", "[-1 / at[-1] - 1 / m / m for m in at]"),
        ("too far instead of too close", "distance < known.nearest", "distance > known.nearest"),
        ("labels counted twice", ".abs().sum().item() / 2", ".abs().sum().item()"),
        (
            "unseen images in the writers' order",
            "torch.randperm(n - lenet.SEEN, generator=",
            "torch.arange(n - lenet.SEEN) + 0 * torch.randperm(n - lenet.SEEN, generator=",
        ),
    ),
    *_of(
        "training/runs",
        (
            "a damaged checkpoint taken for none",
            '        raise ValueError(f"{path} is damaged and cannot',
            '        return None\n        raise ValueError(f"{path} is damaged and cannot',
        ),
        tests=("test_cli.py::test_a_truncated_checkpoint_is_refused",),
    ),
    *_of(
        "films/draw",
        ("a film upside down", "[x[:, 0], -x[:, 1]]", "[x[:, 0], x[:, 1]]"),
        ("discs half a pixel off", "column + 0.5 - centres[:, :1]", "column + 1 - centres[:, :1]"),
        ("discs that hide those below", "np.log1p(-cover)", "0 * np.log1p(-cover)"),
        tests=("test_films.py",),
    ),
    *_of(
        "films/__init__",
        ("colours of the noisy end", "x0 = min(frames, key", "x0 = max(frames, key"),
        (
            "frames even in t",
            "wanted = np.linspace(noise[0], noise[-1], frames)",
            "wanted = noise[np.linspace(0, len(noise) - 1, frames).astype(int)]",
        ),
        ("the pause left out", "pictures[-1:] * round(hold * fps)", "pictures[:0]"),
        tests=("test_films.py",),
    ),
    *_of(
        "films/encode",
        ("half-written films", "            _encode(bar, new,", "            new = out\n            _encode(bar, new,"),
        ("the poorest quality taken", "<= kib * 1024:", "<= kib * 128:"),
        tests=("test_films.py",),
    ),
    *_of(
        "films/html",
        ("a video that plays by itself", "<video controls muted", "<video controls autoplay muted"),
        tests=("test_films.py",),
    ),
    *_of(
        "images/sheet",
        ("pictures by columns", "x.transpose(0, 2, 1, 3)", "x.swapaxes(0, 1).transpose(0, 2, 1, 3)"),
        tests=("test_logs.py",),
    ),
    *_of(
        "oracles",
        (
            "a covariance within the components alone",
            "within.diag_embed() + torch.einsum",
            "within.diag_embed() + 0 * torch.einsum",
        ),
        ("a divergence without its trace", "[], -(r @ precision.sum(-1))", "[], -0 * (r @ precision.sum(-1))"),
        ("what is known does not weigh", "((known[~free] - mean) ** 2 / var", "(0 * (known[~free] - mean) ** 2 / var"),
        tests=("test_part_two.py",),
    ),
    *_of(
        "schedules",
        ("λ taken for SNR", "from_snr(log_snr.exp())", "from_snr(log_snr - log_snr.min() + 1)"),
        tests=("test_part_two.py",),
    ),
    *_of(
        "exact",
        (
            "the price without the last term",
            "log1p(-snr.diff() * m[1:]).sum() + L_T",
            "log1p(-snr.diff() * m[1:]).sum()",
        ),
        ("the error of the step before", "log1p(-snr.diff() * m[1:])", "log1p(-snr.diff() * m[:-1])"),
        tests=("test_part_two.py",),
    ),
    *_of("data", ("thirds that overlap", "(i + nodes) / 3)", "(i + nodes) / 2)"), tests=("test_part_two.py",)),
    *_of(
        "nets",
        (
            "signal and noise of a level swapped",
            "log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()",
            "(-log_snr).sigmoid().sqrt(), log_snr.sigmoid().sqrt()",
        ),
        ("a net asked above its cleanest level", "low) & (log_snr.float() <= high)", "low)"),
        ("a net asked below its noisiest level", "(log_snr.float() >= low) & ", ""),
        ("its own ends refused by rounding", "& (log_snr.float() <= high)", "& (log_snr <= high)"),
        (
            "a level embedded by its size alone",
            "level = (log_snr, log_snr.sigmoid()",
            "level = (abs(log_snr), log_snr.sigmoid()",
        ),
        ("levels broadcast over other axes", "if log_snr.ndim and log_snr.shape != xt.shape[:-1]:", "if False:"),
        ("t = 1 … T looked up one step late", "self.signal[t], self.noise[t])", "self.signal[t - 1], self.noise[t])"),
        tests=("test_noise_level.py",),
    ),
    *_of(
        "images/convnets",
        ("waves of half the noise", "noise = noise.unsqueeze(-1)", "noise = noise.unsqueeze(-1) / 2"),
    ),
    *_of(
        "exact",
        ("a decoder without its e", "2 * math.pi * math.e * m[0]", "2 * math.pi * m[0]"),
        ("L_T of data without a mean", "(data.means**2 + data.variances)).mean()", "data.variances).mean()"),
        (
            "the error of a straight line",
            "CubicSpline(LOG_SNR, error_table(data))(at)",
            "np.interp(at, LOG_SNR, error_table(data))",
        ),
        tests=("test_noise_level.py",),
    ),
    *_of(
        "oracles",
        ("a covariance without the spread within", "return within.diag_embed() +", "return 0 * within.diag_embed() +"),
        ("a divergence without its spread", "+= (r * spread).sum(-1)", "+= 0 * (r * spread).sum(-1)"),
        ("what is known weighs without its scale", "/ var + var.log()).sum(-1)", "/ var).sum(-1)"),
        tests=("test_noise_level.py",),
    ),
    *_of(
        "data",
        ("thirds in another order", "(i + nodes) / 3", "(2 - i + nodes) / 3"),
        tests=("test_noise_level.py",),
    ),
    *_of(
        "nets",
        ("points of another precision", "return x.to(next(net.parameters()).dtype)", "return x"),
        ("models of torch's default", "        torch.set_default_dtype(torch.float32)\n", ""),
        tests=("test_default_dtype.py",),
    ),
    *_of(
        "checks/attempt",
        ("inputs handed over themselves", "copies = [copied(x) for x in inputs]", "copies = list(inputs)"),
        ("a gradient that a learner turns off", "with torch.enable_grad():  #", "if True:  #"),
        tests=("test_checks_answers.py",),
    ),
    *_of(
        "checks/compare",
        ("whatever is near enough", "rounding = 1e-6 if", "rounding = 1e-1 if"),
        ("a shape that broadcasts", "if got.shape != expected.shape:", "if False:"),
        tests=("test_checks.py",),
    ),
    *_of(
        "checks/core",
        ("a wrong order explained at once", "or self.key in HINTED:", "or True:"),
        ("a wrong order never explained", "HINTED.add(self.key)", "pass"),
        tests=("test_checks.py",),
    ),
    *_of(
        "checks/n01_vae",
        ("a decoder that ignores its level", "Gaussian(self.a * z + t,", "Gaussian(self.a * z,"),
        tests=("test_checks_answers.py",),
    ),
    *_of(
        "checks/n02_hvae",
        ("a chain of equal levels", "t = t % self.levels", "t = 0"),
        ("only factors above zero", "((2,), -1)", "((2,), 1)"),
        tests=("test_checks_answers.py",),
    ),
    *_of(
        "checks/record",
        ("forgotten where there is no room", "UNWRITTEN.append(key)", "pass"),
        ("what is open marked as done", "return item.key in self.done", "return True"),
        tests=("test_checks_record.py",),
    ),
    *_of(
        "score",
        ("the denoising target's sign", "score_from_eps(eps, alpha_bar))", "-score_from_eps(eps, alpha_bar))"),
        ("implicit matching with one divergence", "square().sum(-1) + 2 * div", "square().sum(-1) + div"),
        ("a divergence of one direction", "torch.stack(parts).sum(0)", "torch.stack(parts)[0]"),
        ("a slice that is not squared", "(s_hat * v).sum(-1).square() + 2", "(s_hat * v).sum(-1) + 2"),
        (
            "reduced variance with half the slope",
            "s_hat.square().sum(-1) + 2 * slope",
            "s_hat.square().sum(-1) + slope",
        ),
        ("the floor with ᾱ for SNR", "dim * math.e**log_snr * error", "dim / (1 + math.e**-log_snr) * error"),
        ("the energy without the data's part", "dim * (1 + math.e**log_snr)", "dim * math.e**log_snr"),
        (
            "Tweedie with the noise's deviation",
            "(xt + (1 - alpha_bar) * score)",
            "(xt + (1 - alpha_bar) ** 0.5 * score)",
        ),
        (
            "Tweedie's second with the score's sign",
            "eye + (1 - alpha_bar) * hessian",
            "eye - (1 - alpha_bar) * hessian",
        ),
    ),
    *_of(
        "langevin",
        ("√h for √2h", "(2 * h) ** 0.5 * eps", "h**0.5 * eps"),
        ("half a step of drift", "x + h * score + (2", "x + h / 2 * score + (2"),
        ("a bias twice as large", "-0.5 * (float(ula_variance", "-(float(ula_variance"),
        ("rest at half the excess", "var / (1 - h / (2 * var))", "var / (1 - h / (4 * var))"),
        ("Metropolis without the proposal", "log_prob(y) + back - log_prob(x) - there", "log_prob(y) - log_prob(x)"),
        ("the proposal the wrong way round", "+ back - log_prob(x) - there", "+ there - log_prob(x) - back"),
        ("a refused point moves", "torch.where(moved.unsqueeze(-1), y, x)", "y"),
        ("annealing that does not rescale", "x * (alpha_bar / before) ** 0.5", "x"),
        ("annealing that ends shrunk", "return x / before**0.5", "return x"),
    ),
    *_of(
        "fokker_planck",
        ("rates without the half", "np.exp(0.5 * (flat[to]", "np.exp((flat[to]"),
        ("the spacing once", "- flat[start])) / spacing**2", "- flat[start])) / spacing"),
        ("downhill", "flat[to] - flat[start]", "flat[start] - flat[to]"),
        ("rows and columns swapped", "(rate, (to, start))", "(rate, (start, to))"),
        ("the second axis stands still", "step @ p @ step.T", "step @ p"),
        ("an explicit sign", "eye_array(len(p)) - dt * a", "eye_array(len(p)) + dt * a"),
        ("rates for times", "return 1 / -np.sort(values)", "return -np.sort(values)"),
        ("the Fisher information of the error", "math.exp(log_snr) * (1 - error)", "math.exp(log_snr) * error"),
    ),
    *_of(
        "sde",
        ("the ODE with the full g²", "(x + (1 + eta**2) * score", "(x + (2 + eta**2) * score"),
        ("half the score in the reverse SDE", "(1 + eta**2) * score", "(1 + 0 * eta**2) * score"),
        ("the drift's sign", "sigmoid(-log_snr) * (x + (1", "sigmoid(-log_snr) * (-x + (1"),
        ("noise without a root", "eta * math.sqrt(sigmoid(-log_snr) * h)", "eta * (sigmoid(-log_snr) * h)"),
        ("η forgotten in the noise", "+ eta * math.sqrt(", "+ math.sqrt("),
        ("Heun's second slope at the old λ", "k2 = field(log_snr + h, x + h * k1)", "k2 = field(log_snr, x + h * k1)"),
        ("Heun without its first slope", "x + h / 2 * (k1 + k2)", "x + h / 2 * (k2 + k2)"),
        ("equal weights in RK4", "h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)", "h / 4 * (k1 + k2 + k3 + k4)"),
        ("RK4's last slope from the middle", "x + h * k3)", "x + h / 2 * k3)"),
        ("the learned score without its root", "log_snr).to(x), sigmoid(log_snr))", "log_snr).to(x), 0 * log_snr)"),
        ("λ between two knots the wrong way", "(after - t) * (knots", "(1 + t - after) * (knots"),
        ("the denoiser asked later on the way", "t - (log_snr - here) / h", "t + (log_snr - here) / h"),
    ),
    *_of(
        "likelihood",
        ("all slopes for the trace", ".diagonal(dim1=-2, dim2=-1).sum(-1)", ".sum((-2, -1))"),
        ("an estimate with one sign", "field(log_snr, y), x, probe(x))", "field(log_snr, y), x, probe(x).abs())"),
        ("the drift's own D forgotten", "rate * (x.shape[-1] + spread)", "rate * spread"),
        ("divergence subtracted", ".sum(-1) + gained + 0.5", ".sum(-1) - gained + 0.5"),
        ("the density of the shrunken point", "+ 0.5 * z.shape[-1] * math.log(sigmoid(clean))", ""),
        ("started at x", "sigmoid(clean) ** 0.5 * x.double()", "x.double()"),
        ("the prior's half forgotten", "return -0.5 * (z.square()", "return -1.0 * (z.square()"),
        ("a trip one way", "solve(field, z, noise, clean, rtol)", "solve(field, z, noise, noise - 1, rtol)"),
    ),
    *_of(
        "sampling",
        ("a grid that ends at SNR for D/2 SNR", "math.log(0.005 / dim)", "math.log(0.0025 / dim)"),
        ("a grid that starts a step late", "schedule.log_snr[1].item(), max(", "schedule.log_snr[2].item(), max("),
        (
            "the grid's own times taken for the model's",
            "Backwards(at_log_snr(model.x0_hat_at, schedule)",
            "Backwards(model.x0_hat",
        ),
        tests=("test_sde.py",),
    ),
    *_of(
        "evaluate",
        (
            "grey levels without the density of their blur",
            "- blurred.log_prob(y)",
            "",
        ),
        ("an ODE's distance that is not paired", "data.log_prob(x) - log_p)", "data.log_prob(x.flip(0)) - log_p)"),
        tests=("test_evaluate.py",),
    ),
    *_of(
        "data",
        ("too few nodes where there is noise", "2.25 * length / sd", "1.0 * length / sd"),
        tests=("test_part_two.py",),
    ),
    *_of(
        "learned_noise",
        ("the entropy's sign", "math.e) - float(gained)", "math.e) + float(gained)"),
        (
            "an integral over SNR with λ's weight",
            "(1 - error) / (1 + np.exp(-log_snr))",
            "(1 - error) * np.exp(log_snr)",
        ),
        ("a lower sum: the error before the step", "-snr.diff() * m[:, 1:]", "-snr.diff() * m[:, :-1]"),
        ("the logarithm forgotten", "torch.log1p(-snr.diff() * m[:, 1:])", "(-snr.diff() * m[:, 1:])"),
        ("L_T forgotten", "(L_0 + L_t + L_T).sum()", "(L_0 + L_t).sum()"),
        ("the spline without its slope", "slope * (log_snr - log_snr.detach())", "0 * slope * log_snr"),
        ("half of g", "(0.25 * errors.dim * alpha_bar", "(0.125 * errors.dim * alpha_bar"),
        ("g without the error's slope", "e * (1 - e) - slope)", "e * (1 - e))"),
        ("equal steps of ∫g", "np.sqrt(price_density(errors, fine).clip(min=1e-14))", "price_density(errors, fine)"),
        ("one start", "(starts if T <= 50 else starts[:1])", "starts[:1]"),
        ("free numbers", "torch.rand(1, generator", "torch.rand(n, generator"),
        ("numbers beyond 1", "torch.arange(n) / n) % 1", "torch.arange(n) / n)"),
        ("a density per bin", "[k] - math.log(self.width)", "[k]"),
        ("quantiles without a place in the bin", "(k + (u - below[k]) / p[k])", "(k + u - below[k])"),
        ("the first moment", ".detach() ** 2 * log_density", ".detach() * log_density"),
        ("the gradient upwards", "return -((loss", "return ((loss"),
        ("the gradient of the weight as well", "log_density.exp()).detach() ** 2", "log_density.exp()) ** 2"),
    ),
    *_of(
        "training/noise",
        ("the plain guess's error subtracted twice", "plain.square() + known)", "2 * plain.square() + known)"),
        ("the known error without ᾱ", "known = bar * rest * square + bar**2", "known = bar * rest * square"),
        ("an error not over ᾱ", "+ known) / bar)", "+ known))"),
        ("bins shifted by one", "(1 - part) * self.error[k] + part", "(1 - part) * self.error[k + 1] + part"),
        ("the schedule not kept", "noise.log_snr.copy_(torch.from_numpy(knots))", "pass"),
        ("a schedule that does not come back", "m.set_schedule(from_log_snr(noise_of(m)", "(from_log_snr(noise_of(m)"),
        tests=("test_learned_schedule.py",),
    ),
    *_of(
        "guidance",
        ("the other convention of w", "x0 + weight * (given(xt, t) - x0)", "x0 + (1 + weight) * (given(xt, t) - x0)"),
        ("w on the wrong term", "x0 + weight * (given(xt, t) - x0)", "given(xt, t) + weight * (x0 - given(xt, t))"),
        ("a gradient with √(1−ᾱ)", "weight * (1 - bar) / bar**0.5", "weight * (1 - bar) ** 0.5 / bar**0.5"),
        ("a gradient without 1/√ᾱ", "weight * (1 - bar) / bar**0.5 * gradient", "weight * (1 - bar) * gradient"),
        ("labels of unequal shares", "-1).log_softmax(-1)", "-1)"),
        ("kept with p(y|x) whatever w", ".log() < weight * log_p(x)", ".log() < log_p(x)"),
        ("random numbers used twice", "manual_seed(seed + 500)", "manual_seed(seed)"),
        ("a divergence without w", "spread + weight * (spread_y - spread)", "spread_y"),
        (
            "log p rises by the divergence",
            "return end[:, :-1] / scale, start - end[:, -1]",
            "return end[:, :-1] / scale, start + end[:, -1]",
        ),
        ("clean points not scaled back", "return end[:, :-1] / scale, start", "return end[:, :-1], start"),
        ("σ² of an untrained model", "out.sigma2.copy_(model.sigma2)", "pass"),
    ),
    *_of(
        "conditioning",
        ("RePaint's misprint: 1 − ᾱ for √(1−ᾱ)", "(1 - alpha_bar) ** 0.5 * eps", "(1 - alpha_bar) * eps"),
        ("known at t, not at t − 1", "at(schedule.alpha_bar, t - 1, xt)", "at(schedule.alpha_bar, t, xt)"),
        ("known shrunk by ᾱ", "noisy = alpha_bar**0.5 * known", "noisy = alpha_bar * known"),
        ("no noise added back", "q_step(schedule, t, xt).sample(generator) if turn else xt", "xt"),
        (
            "known and unknown swapped",
            "torch.where(known.isnan(), xt, noisy.to(xt))",
            "torch.where(known.isnan(), noisy.to(xt), xt)",
        ),
        ("a guess with a standard deviation", "-0.5 * (miss**2 / r2 +", "-0.5 * (miss**2 / r2**0.5 +"),
        ("DPS uphill", "return new - zeta * push", "return new + zeta * push"),
        ("DPS without |r|", "/ distance.sqrt().clamp(min=1e-12).unsqueeze(-1), None", ", None"),
        ("weights without the proposal", "+ p.log_prob(x) - guided.log_prob(x)", ""),
        ("weights without the last guess", "log_w = log_w + now - before", "log_w = log_w + now"),
        ("particles guided twice", "(1 - bar) / bar**0.5 * push", "2 * (1 - bar) / bar**0.5 * push"),
        ("one tick for all", "torch.arange(n) + torch.rand", "0 * torch.arange(n) + n * torch.rand"),
        (
            "σ read as √(1−ᾱ)",
            "(schedule.log_snr[1:] + 2 * math.log(sigma)).abs()",
            "((1 - schedule.alpha_bar[1:]).sqrt() - sigma).abs()",
        ),
        ("a noisy point not scaled", "return t, schedule.alpha_bar[t].sqrt().item()", "return t, 1.0"),
    ),
    *_of(
        "evaluate",
        (
            "W₁ of densities of unequal size",
            "right=True) / len(v) for v in (x, y)",
            "right=True) / len(x) for v in (x, y)",
        ),
        ("W₁ from the left", "edges[:-1], right=True)", "edges[:-1])"),
    ),
    *_of(
        "nets",
        ("no label is the first label", "self.labels + 1)[..., :-1].to(at)", "self.labels + 1)[..., 1:].to(at)"),
        tests=("test_guidance.py",),
    ),
    *_of(
        "training/losses",
        (
            "labels kept where they are to be dropped",
            "device=generator.device) < drop)",
            "device=generator.device) >= drop)",
        ),
        tests=("test_guidance.py",),
    ),
    *_of(
        "latent",
        ("the encoder's turn one step short", "if t <= L else self.above.q(t - L", "if t < L else self.above.q(t - L"),
        ("the upper chain not counted from its own start", "self.above.q(t - L, z_prev)", "self.above.q(t, z_prev)"),
        ("the decoder's turn one step long", "if t < L else self.above.p(t - L", "if t <= L else self.above.p(t - L"),
        ("the upper steps back not counted from their start", "self.above.p(t - L, z_next)", "self.above.p(t, z_next)"),
        ("the prior of the chain below", "return self.above.prior()", "return self.below.prior()"),
        ("a prior's mean without weights", "self.law.weights @ self.law.means", "self.law.means.mean(0)"),
        ("a variance divided by a standard deviation", "q.var / self.scale**2", "q.var / self.scale"),
        ("the decoder not scaled back", "z_next * self.scale + self.shift", "z_next"),
        ("means without their spread", "return chain.q(1, x).sample(generator)", "return chain.q(1, x).mean"),
    ),
    *_of(
        "latent",
        ("a density of z taken for one of the scaled z", "q.var / self.scale**2", "q.var"),
        tests=("test_latent_stages.py",),
    ),
    *_of(
        "training/latent",
        ("trained at means, and not at z ~ q", "return mean + std * randn(", "return mean + 0 * randn("),
        ("codes with variances", "q.var.sqrt()], dim=-1)", "q.var], dim=-1)"),
        ("a VAE that goes on learning", "vae.requires_grad_(False), ddpm", "vae, ddpm"),
        ("a DDPM above unscaled codes", "Stacked(self.below(), self.ddpm", "Stacked(self.vae, self.ddpm"),
        ("samples not scaled back", "self.below().p(0, self.ddpm", "self.vae.p(0, self.ddpm"),
        ("a scale that is forgotten", "model.scale.copy_(found.scale)", "model.scale.fill_(1)"),
        ("a shift that is forgotten", "model.shift.copy_(found.shift)", "model.shift.fill_(0)"),
        ("a VAE that was never trained", "model.vae.load_state_dict(vae.state_dict())", "vae.state_dict()"),
        ("an average without the first stage", "t.ema.load_state_dict(model.state_dict())", "model.state_dict()"),
        tests=("test_latent_stages.py",),
    ),
    *_of(
        "training/runs",
        ("σ² fitted to the means of q", "drawn(t.data, step_generator(t.seed, -2))", "t.data[:, : t.ema.ddpm.dim]"),
        tests=("test_latent_stages.py",),
    ),
    *_of(
        "training/build",
        (
            "a KL weight that is dropped",
            "elbo_loss(config.kl_weight)",
            "elbo_loss()",
        ),
        tests=("test_latent_stages.py",),
    ),
    *_of(
        "config",
        ("a first stage without the weight", '("seed", "kl_weight", "width"', '("seed", "width"'),
        tests=("test_latent_stages.py",),
    ),
    *_of(
        "nets",
        ("the given std taken for a variance", "torch.full_like(mean, self.std**2)", "torch.full_like(mean, self.std)"),
        tests=("test_latent.py",),
    ),
    *_of(
        "scales",
        ("details leave a step early", "if t <= self.t_star else", "if t < self.t_star else"),
        ("details come back a step late", "if t < self.t_star:", "if t <= self.t_star:"),
        ("what comes back has no spread of its own", "rest + 1", "rest + 0.1"),
        ("what comes back stands first", "torch.cat([step.mean, rest], -1)", "torch.cat([rest, step.mean], -1)"),
        ("the prior of all coordinates", "return self.few.prior()", "return self.full.prior()"),
        ("sums where differences belong", "torch.tensor([1.0, -1.0])", "torch.tensor([1.0, 1.0])"),
        ("a transform that is not orthonormal", "/ 2**0.5", "/ 2"),
        ("coefficients not put in order of band", "return both[order], band[order]", "return both, band"),
        tests=("test_latent.py",),
    ),
]


def path_of(test: str) -> str:
    """Where the test file `test_bound.py`, or one test of it, `test_bound.py::test_name`, lies; empty if nowhere."""
    name, *rest = test.split("::")
    found = next((ROOT / "tests").rglob(name), None)
    return "::".join([found.relative_to(ROOT).as_posix(), *rest]) if found else ""


def caught_by(mutant: Mutant | None, python: str) -> str:
    """The first test that fails on a copy of the package with the bug in it; empty if none does."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "diffusion_edu", copy / "diffusion_edu", ignore=ignore)
        for folder in ("tests", "tools"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
        shutil.copytree(ROOT / "notebooks", copy / "notebooks", ignore=shutil.ignore_patterns("*.ipynb", ".*"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        tests = sorted({t for m in MUTANTS for t in m.tests}) if mutant is None else mutant.tests
        if mutant is not None:
            path = copy / "diffusion_edu" / mutant.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutant.old) != 1:
                raise SystemExit(f"{mutant.name}: {mutant.old!r} is not found exactly once in {mutant.file}")
            path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        command = [python, "-B", "-m", "pytest", "-x", "-p", "no:cacheprovider", "-rfE", *map(path_of, tests)]
        environment = os.environ | {"PYTHONPATH": temporary}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return ""
        found = re.search(r"^(?:FAILED|ERROR) tests/(?:\w+/)?(.+?)(?: - |$)", done.stdout, re.MULTILINE)
        if done.returncode != 1 or not found:
            raise SystemExit(f"pytest did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return found[1]


def main(pattern: str = "") -> int:
    """Runs the mutants whose file or name holds `pattern`; 0 if every one is caught."""
    if failed := "" if pattern else caught_by(None, sys.executable):
        print(f"the tests fail without any bug seeded: {failed}")
        return 1
    survivors = []
    for mutant in (m for m in MUTANTS if pattern in f"{m.file} {m.name}"):
        test = caught_by(mutant, sys.executable)
        print(f"{mutant.file:24} {mutant.name:46} {test or 'SURVIVED'}", flush=True)
        survivors += [mutant.name] * (not test)
    print(f"{len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
