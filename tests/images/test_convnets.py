"""convnets.py: images in, the right shapes and laws out, one image at a time or many at once."""

import math

import pytest
import torch
from shared import assert_mean, generator
from torch.testing import assert_close

from diffusion_edu.bound import bound, generate
from diffusion_edu.hvae import HVAE
from diffusion_edu.images.convnets import (
    ConvBernoulliNet,
    ConvGaussianNet,
    ConvLogisticNet,
    ConvStepNet,
    Mixing,
    Residual,
    UNet,
    from_maps,
    to_maps,
)
from diffusion_edu.schedules import make_schedule
from diffusion_edu.vae import VAE

SCHEDULE = make_schedule("cosine", 50)
X = torch.rand(3, 784, generator=generator(0)) * 2 - 1


def built(make, *args, **settings):
    """The network with every parameter moved off its start, so that no layer is silently zero."""
    torch.manual_seed(0)
    net = make(*args, **settings)
    with torch.no_grad():
        for p in net.parameters():
            p += 0.05 * torch.randn(p.shape, generator=generator(1))
    return net


def test_a_block_of_four_pixels_becomes_four_channels_and_comes_back():
    maps = to_maps(X)
    assert maps.shape == (3, 4, 14, 14)
    assert_close(maps[1, :, 5, 6], X[1].reshape(28, 28)[10:12, 12:14].flatten())
    assert torch.equal(from_maps(maps), X)
    both = from_maps(torch.cat([maps, to_maps(-X)], dim=1))
    assert torch.equal(both, torch.cat([X, -X], dim=1))


@pytest.mark.parametrize("features", [0, 6])
def test_a_residual_block_starts_as_its_skip(features):
    torch.manual_seed(0)
    block, h = Residual(8, 8, features), torch.randn(2, 8, 7, 7, generator=generator(1))
    e = torch.randn(2, 6, generator=generator(2)) if features else None
    out = block(h, e)
    assert_close(out - h, block.conv2.bias[None, :, None, None].expand_as(h))


@pytest.mark.parametrize("features", [0, 6])
def test_a_mixing_layer_starts_as_its_skip(features):
    torch.manual_seed(0)
    layer, h = Mixing(8, 5, features), torch.randn(2, 8, 7, 7, generator=generator(1))
    e = torch.randn(2, 6, generator=generator(2)) if features else None
    assert_close(layer(h, e) - h, layer.proj_out.bias[None, :, None, None].expand_as(h))


def test_a_mixing_layer_carries_from_every_place_to_every_other_and_hears_the_time():
    """By autograd: each place of the outcome depends on each of the input, where a residual block's 3 × 3 convolutions
    reach two places and its group norms, here replaced, no farther."""
    h = torch.randn(1, 8, 7, 7, generator=generator(1))
    mixing, residual = built(Mixing, 8, 20, 6), built(Residual, 8, 8)
    mixing.norm = residual.norm1 = residual.norm2 = torch.nn.Identity()
    e = torch.randn(1, 6, generator=generator(2))

    def reach(layer):
        """(from 49, to 49): how strongly a place depends on another."""
        jacobian = torch.autograd.functional.jacobian(lambda h: layer(h).sum(1).flatten(), h)
        return jacobian.abs().sum((1, 2)).flatten(1).T

    assert (reach(lambda h: mixing(h, e)) > 1e-6).all()
    assert (reach(residual) > 1e-6)[0].reshape(7, 7).nonzero().max() == 2
    assert not torch.allclose(mixing(h, e), mixing(h, -e), atol=1e-3)


def test_the_u_net_without_mixing_is_all_convolutions():
    plain, mixing = UNet(784, SCHEDULE, width=8, mixing=0), UNet(784, SCHEDULE, width=8, mixing=16)
    assert [type(m) for m in plain.middle] == [Residual, Residual]
    assert [type(m) for m in mixing.middle] == [Residual, Mixing, Residual]
    assert mixing.middle[1].hidden.out_features == 16
    with pytest.raises(ValueError, match="mixing must be at least 0, got -1"):
        UNet(784, SCHEDULE, mixing=-1)


@pytest.mark.parametrize(
    ("net", "size", "numbers"),
    [
        (built(ConvGaussianNet, 784, 50, width=8), 784, lambda d: (d.mean, d.var)),
        (built(ConvGaussianNet, 784, 98, width=8), 784, lambda d: (d.mean, d.var)),
        (built(ConvStepNet, 98, width=8), 98, lambda d: (d.mean, d.var)),
        (built(ConvGaussianNet, 784, 98, width=8, mixing=16), 784, lambda d: (d.mean, d.var)),
        (built(ConvStepNet, 98, width=8, mixing=16), 98, lambda d: (d.mean, d.var)),
        (built(ConvBernoulliNet, 98, width=8, mixing=16), 98, lambda d: (d.logits,)),
        (built(ConvBernoulliNet, 50, width=8), 50, lambda d: (d.logits,)),
        (built(ConvBernoulliNet, 98, width=8), 98, lambda d: (d.logits,)),
        (built(ConvLogisticNet, 50, width=8), 50, lambda d: (d.mean, d.scale)),
        (built(UNet, 784, SCHEDULE, width=8), 784, lambda eps: (eps,)),
        (built(UNet, 784, SCHEDULE, width=8, mixing=0), 784, lambda eps: (eps,)),
    ],
)
def test_many_points_at_once_are_as_one_at_a_time(net, size, numbers):
    x = torch.randn(2, 3, size, generator=generator(3))
    t = torch.tensor([[1, 7, 50], [2, 2, 9]])
    call = (lambda x, t: net(x, t)) if isinstance(net, UNet) else (lambda x, t: net(x))
    for number, one in zip(numbers(call(x, t)), numbers(call(x[1, 2], t[1, 2])), strict=True):
        assert_close(number[1, 2], one, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(number[0, 0], number[0, 1], atol=1e-4), "it looks at its input"


@pytest.mark.parametrize(
    ("make", "sizes"),
    [(ConvGaussianNet, (784, 98)), (ConvStepNet, (98,)), (ConvBernoulliNet, (98,)), (ConvLogisticNet, (98,))],
)
def test_the_networks_of_a_hierarchy_have_one_mixing_layer_or_none(make, sizes):
    """One, after the residual blocks of 7 × 7 places."""
    plain, mixing = (list(make(*sizes, width=8, mixing=features).net) for features in (0, 24))
    found = [i for i, layer in enumerate(mixing) if isinstance(layer, Mixing)]
    assert len(found) == 1
    assert isinstance(mixing[found[0] - 1], Residual)
    assert mixing[found[0] - 1].conv1.out_channels == 16
    assert mixing.pop(found[0]).hidden.out_features == 24
    assert list(map(type, mixing)) == list(map(type, plain))
    with pytest.raises(ValueError, match="mixing must be at least 0, got -1"):
        make(*sizes, width=8, mixing=-1)


def test_a_latent_of_maps_keeps_its_place():
    """Change one corner of a 7 × 7 map and, without group norms between, only that corner of the picture changes."""
    net = built(ConvBernoulliNet, 98, width=8, depth=0)
    net.net[2] = torch.nn.Identity()  # the group norm, which sees the whole picture
    z = torch.zeros(2, 98)
    z[1, 0] = 1.0
    changed = (net(z).logits[1] - net(z).logits[0]).abs().reshape(28, 28) > 1e-7
    assert changed[:4, :4].any()
    assert not changed[14:].any()
    assert not changed[:, 14:].any()


def test_a_step_starts_where_it_stands_and_is_as_sure_as_asked():
    """With its last layer zero a step is N(z, e^log_var), an encoder N(0, e^log_var)."""
    z = torch.randn(3, 98, generator=generator(4))
    step, encode = built(ConvStepNet, 98, width=8, log_var=-3.0), built(ConvGaussianNet, 784, 98, width=8, log_var=-4.0)
    for net, x, mean, var in ((step, z, z, -3.0), (encode, X, 0 * z, -4.0)):
        for p in net.net[-1].parameters():
            p.data.zero_()
        assert_close(net(x).mean, mean)
        assert_close(net(x).var.log(), torch.full_like(z, var))


def test_the_u_net_answers_as_v_and_hears_the_time():
    net = built(UNet, 784, SCHEDULE, width=8)
    t = torch.tensor([3, 20, 50])
    alpha_bar = SCHEDULE.alpha_bar[t].unsqueeze(1).float()
    expected = (1 - alpha_bar).sqrt() * X + alpha_bar.sqrt() * net.v_hat(X, t)
    assert_close(net(X, t), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(net.v_hat(X, t), net.v_hat(X, t - 1), atol=1e-3)


def test_the_u_net_sees_a_hundredth_of_a_grey_level_magnified():
    """Next to black the fastest of its inputs moves by π/2 per grey level, 200 times the pixel itself, less what the
    noise of the first step takes."""
    schedule = make_schedule("cosine", 1000)
    net, seen = built(UNet, 784, schedule, width=8), []
    net.first.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    black = torch.full((1, 784), -1.0)
    t = torch.tensor([1])
    net(black, t), net(black + 0.01 / 127.5, t)
    fastest = (seen[1] - seen[0])[:, 4:].abs().amax()
    kept = math.exp(-((255 * math.pi / 4) ** 2) * (1 - schedule.alpha_bar[1].item()) / 2)
    assert 0.2 < kept < 0.8
    assert fastest.item() == pytest.approx(kept * 0.01 * math.pi / 2, rel=1e-2)


@pytest.mark.parametrize("t", [1, 3, 12, 40])
def test_the_waves_are_damped_as_noise_damps_them_on_average(t):
    """What `fourier_features` makes of y is the mean over ε of sin and cos of y + √(1−ᾱ_t) ε, without damping."""
    schedule = make_schedule("cosine", 1000)
    net, y = UNet(784, schedule, width=8), X[:1].double()
    x = y + (1 - schedule.alpha_bar[t]).sqrt() * torch.randn(2000, 784, generator=generator(t), dtype=torch.float64)
    drawn = [wave(2 * math.pi / period * (x + 1) * 127.5) for wave in (torch.sin, torch.cos) for period in net.periods]
    for values, expected in zip(drawn, net.fourier_features(y, net.noise[[t]]), strict=True):
        assert_mean(values, expected[0], errors=5, floor=1e-4)


def test_where_all_is_noise_there_are_no_waves():
    net = UNet(784, make_schedule("cosine", 1000), width=8)
    waves = net.fourier_features(X, net.noise[[200, 500, 1000]])
    assert max(wave.abs().max().item() for wave in waves) < 0.01


def test_every_parameter_is_used():
    torch.manual_seed(0)
    u_net = built(UNet, 784, SCHEDULE, width=8, depth=2)
    u_net(X, torch.tensor([1, 2, 3])).square().sum().backward()
    hvae = built(HVAE, 3, 784, 98, 8, 1, encode=ConvGaussianNet, step=ConvStepNet, observe=ConvLogisticNet)
    grey = (X * 127.5 + 127.5).round() / 127.5 - 1
    bound(grey, hvae, generator(1)).elbo.sum().backward()
    for net in (u_net, hvae):
        unused = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
        assert unused == []


def test_they_plug_into_the_chains():
    settings = {"dim": 784, "width": 8, "depth": 1, "encode": ConvGaussianNet, "observe": ConvBernoulliNet}
    binary = (X > 0).float()
    for chain in (VAE(latent=10, **settings), HVAE(levels=3, latent=49, step=ConvStepNet, **settings)):
        scores = bound(binary, chain, generator(1))
        assert scores.elbo.shape == (3,)
        assert scores.consistency.shape == (chain.levels - 1, 3)
        assert set(generate(chain, 2, generator(2)).unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ConvGaussianNet(64, 10), "in_dim"),
        (lambda: ConvBernoulliNet(10, 64), "out_dim"),
        (lambda: ConvLogisticNet(10, 64), "out_dim"),
        (lambda: UNet(64, SCHEDULE), "dim"),
    ],
)
def test_pictures_of_another_size_are_refused(make, name):
    with pytest.raises(ValueError, match=f"{name} must be 784"):
        make()
