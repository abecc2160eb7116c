"""The published models of MNIST: each is what its card says, as far as the hundred reference images can tell."""

import csv
import math
import shlex

import pytest
import torch

from diffusion_edu import cli, data, evaluate, pretrained, weights
from diffusion_edu.config import Config
from diffusion_edu.images import quality
from diffusion_edu.pretrained import publish
from diffusion_edu.training import runs

each_model = pytest.mark.parametrize("name", pretrained.IMAGES)
GREY = pretrained.GREY


@pytest.fixture(scope="module")
def models():
    return {name: pretrained.load(name) for name in pretrained.IMAGES}


@each_model
def test_the_weights_are_those_of_the_card(models, name):
    card = pretrained.card(name)
    assert publish.probe(models[name], Config(**card["config"])) == pytest.approx(card["probe"], rel=1e-3)
    assert card["parameters"] == sum(p.numel() for p in models[name].parameters())
    assert (weights.HOME / f"{name}.safetensors").stat().st_size <= 8 * 2**20
    assert not models[name].training
    assert card["seconds"] > 60


@pytest.mark.parametrize("name", ["mnist-vae", "mnist-hvae"])
def test_the_bits_on_the_reference_images_are_the_cards(models, name):
    x, stated = data.MNIST.to_points(quality.reference().images), pretrained.card(name)["test"]
    elbo = evaluate.score_chain(x, models[name], torch.Generator().manual_seed(1)).elbo.double()
    mean, se = evaluate.mean_and_error(-elbo / (784 * math.log(2)))
    assert abs(mean - stated["bits_per_dim"]) < 4.5 * se
    assert stated["bits_per_dim"] == pytest.approx(stated["neg_elbo"] / 784 / math.log(2), abs=1e-4)


def test_the_ddpm_spends_the_bits_that_its_card_says(models):
    x, stated = data.MNIST.to_points(quality.reference().images), pretrained.card("mnist-ddpm")["test"]
    means, _ = evaluate.terms_by_t(x, models["mnist-ddpm"].chain(), 2, torch.Generator().manual_seed(1))
    assert data.MNIST.bits_per_dim(means.sum().item()) == pytest.approx(stated["bits_per_dim"], abs=0.15)
    parts = stated["reconstruction"] + stated["consistency"] + stated["prior"]
    assert -parts == pytest.approx(stated["neg_elbo"], abs=1e-3)
    assert abs(stated["prior"]) < 0.01, "nats: the schedule ends in noise"


def test_what_the_models_show():
    cards = {name: pretrained.card(name) for name in pretrained.IMAGES}
    bits = {name: cards[name]["test"]["bits_per_dim"] for name in GREY}
    assert bits["mnist-ddpm"] < min(bits["mnist-vae"], bits["mnist-hvae"])
    assert bits["mnist-ddpm"] < bits["mnist-ddpm-min-snr"], "a loss for pictures costs bits"
    ratios = {name: {way: s["frechet_ratio"] for way, s in cards[name]["scores"].items()} for name in GREY}
    assert min(ratios["mnist-ddpm-min-snr"].values()) < min(ratios["mnist-ddpm"].values())
    assert ratios["mnist-ddpm"]["ancestral-50"] < min(ratios["mnist-vae"]["chain"], ratios["mnist-hvae"]["chain"])
    assert ratios["mnist-ddpm-global"]["ancestral-50"] < ratios["mnist-ddpm-local"]["ancestral-50"] / 2
    for name in GREY:
        for found in cards[name]["scores"].values():
            assert found["lenet"] == weights.card("lenet")["sha256"][:12]
            assert found["n"] >= 10_000
    for name in pretrained.BINARY:
        test = cards[name]["test"]
        assert test["K"] >= 1000
        assert test["n"] == 10_000
        assert test["iw_nll"] < test["neg_elbo"]


@each_model
def test_the_command_remakes_the_configuration(monkeypatch, tmp_path, name):
    made = []
    monkeypatch.setattr(runs, "create", lambda out, config, start=None: made.append(config))
    monkeypatch.setattr(runs, "run", lambda *_, **__: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    program, *arguments = shlex.split(pretrained.card(name)["commands"][0])
    if program == "diffusion-edu":
        arguments[arguments.index("--out") + 1] = str(tmp_path / "run")
        assert cli.main(arguments) == 0
    else:  # the network without a layer that sees everything is no option of the command line
        assert (program, arguments[0], name) == ("python", "-c", "mnist-ddpm-local")
        exec(arguments[1], {})
    assert made == [Config(**pretrained.card(name)["config"])]


def test_the_pair_differs_in_one_setting():
    local, everything = (pretrained.card(f"mnist-ddpm-{n}")["config"] for n in ("local", "global"))
    assert {key for key in local if local[key] != everything[key]} == {"mixing"}
    assert (local["mixing"], everything["mixing"]) == (0, 256)


@each_model
def test_the_log_is_of_the_whole_training(name):
    log, card = pretrained.log(name), pretrained.card(name)
    assert 0 <= card["config"]["steps"] - log["step"][-1] < 100
    assert log["step"] == sorted(log["step"])
    assert log["loss"][-1] < log["loss"][0]


@pytest.mark.parametrize("name", GREY)
def test_neighbours_are_as_far_as_they_are_said_to_be(name):
    kept = pretrained.neighbours(name)
    apart = (kept["samples"].double() - kept["nearest"].double()).flatten(1).norm(dim=1) / 127.5
    assert kept["samples"].shape == (publish.SHOWN, 28, 28)
    # samples are rounded to grey levels after the distance is taken
    torch.testing.assert_close(apart, kept["distance"], rtol=0, atol=28 / 127.5)
    assert apart.min() > 1, "no copy among them"


def test_samples_depend_on_the_seed_and_not_on_the_block(models):
    vae = models["mnist-vae"]
    x = publish.draw(vae, 6, seed=1)
    assert torch.equal(x, publish.draw(vae, 6, seed=1))
    assert not torch.equal(x, publish.draw(vae, 6, seed=2))
    assert x.shape == (6, 784)
    assert x.abs().max() <= 1
    ddpm = publish.draw(models["mnist-ddpm"], 3, seed=1, steps=5)
    assert torch.equal(ddpm, publish.draw(models["mnist-ddpm"], 3, seed=1, steps=5))
    assert not torch.equal(ddpm, publish.draw(models["mnist-ddpm"], 3, seed=1, steps=5, sampler="ancestral-small"))
    assert ddpm.abs().max() <= 1


def test_names_that_are_none_are_refused():
    for ask in (pretrained.load, pretrained.card):
        with pytest.raises(ValueError, match="unknown model 'mnist'; known: cosine"):
            ask("mnist")
    with pytest.raises(ValueError, match="unknown log 'cosine'; known: mnist-vae, "):
        pretrained.log("cosine")
    with pytest.raises(ValueError, match="no samples are kept of 'mnist-binary-vae'"):
        pretrained.neighbours("mnist-binary-vae")


def test_a_log_is_read_as_it_was_written():
    rows = list(csv.reader((weights.HOME / "mnist-ddpm.csv").read_text(encoding="utf-8").splitlines()))
    assert pretrained.log("mnist-ddpm")["loss"] == [float(row[1]) for row in rows[1:]]
