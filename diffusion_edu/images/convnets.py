"""Convolutional networks for 28 × 28 images: what the MLPs of nets.py do, with the picture's two axes kept.

An image comes and goes as a point (..., 784), so the bound, the losses and the samplers need not know. Inside, each
2 × 2 block of pixels becomes four channels (Shi et al. 2016, backwards): the finest layer is 14 × 14, where a
convolution costs a quarter. A latent whose size is a multiple of 49 is a stack of 7 × 7 maps; any other is a vector.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from ..gaussian import Gaussian
from ..nets import GaussianNet, Level, NoiseNet, like_weights, mlp
from ..observations import Bernoulli, DiscretisedLogistic
from ..schedules import Schedule

SIDE, COARSE = 28, 49
PIXELS = SIDE**2


class Residual(nn.Module):
    """h (n, a, H, W) → (n, b, H, W): two 3 × 3 convolutions beside a skip, each after a group norm and SiLU; with
    `features`, e (n, features) scales and shifts the second (Dhariwal & Nichol 2021, §3)."""

    def __init__(self, a: int, b: int, features: int = 0):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, a), nn.Conv2d(a, b, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, b), nn.Conv2d(b, b, 3, padding=1)
        self.skip = nn.Identity() if a == b else nn.Conv2d(a, b, 1)
        self.scale_shift = nn.Linear(features, 2 * b) if features else None
        nn.init.zeros_(self.conv2.weight)  # starts as the skip alone

    def forward(self, h: Tensor, e: Tensor | None = None) -> Tensor:
        r = self.norm2(self.conv1(silu(self.norm1(h))))
        if self.scale_shift is not None:
            scale, shift = self.scale_shift(e)[:, :, None, None].chunk(2, dim=1)
            r = r * (1 + scale) + shift
        return self.skip(h) + self.conv2(silu(r))


class Mixing(nn.Module):
    """h (n, channels, 7, 7) → the same shape: every place depends on every other. A quarter of the channels, of all
    49 places at once, go through one hidden layer of `hidden` features and are added to a skip; with `features`,
    e (n, features) shifts the hidden layer. One convolution sees 3 × 3 places only."""

    def __init__(self, channels: int, hidden: int, features: int = 0):
        super().__init__()
        inner = channels // 4
        self.shape = (inner, 7, 7)
        self.norm, self.proj_in = nn.GroupNorm(8, channels), nn.Conv2d(channels, inner, 1)
        self.hidden, self.back = nn.Linear(inner * COARSE, hidden), nn.Linear(hidden, inner * COARSE)
        self.shift = nn.Linear(features, hidden) if features else None
        self.proj_out = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.proj_out.weight)  # starts as the skip alone

    def forward(self, h: Tensor, e: Tensor | None = None) -> Tensor:
        r = self.hidden(self.proj_in(silu(self.norm(h))).flatten(1))
        if self.shift is not None:
            r = r + self.shift(e)
        return h + self.proj_out(self.back(silu(r)).reshape(-1, *self.shape))


def to_maps(x: Tensor) -> Tensor:
    """Images (n, 784) as maps (n, 4, 14, 14)."""
    return pixel_unshuffle(x.reshape(-1, 1, SIDE, SIDE), 2)


def from_maps(h: Tensor) -> Tensor:
    """Maps (n, 4k, 14, 14) as k values per pixel, (n, 784 k): all of the first, then all of the second."""
    return pixel_shuffle(h, 2).flatten(1)


class _FromLatent(nn.Module):
    """A latent (n, size) → maps (n, channels, 7, 7): a convolution if it is a stack of maps, else a linear layer."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        maps, rest = divmod(size, COARSE)
        self.shape = (size,) if rest else (maps, 7, 7)
        self.layer = nn.Linear(size, channels * COARSE) if rest else nn.Conv2d(maps, channels, 3, padding=1)
        self.channels = channels

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z.reshape(-1, *self.shape)).reshape(-1, self.channels, 7, 7)


class _ToLatent(nn.Module):
    """Maps (n, channels, 7, 7) → (n, outputs · size), the other way round."""

    def __init__(self, channels: int, size: int, outputs: int):
        super().__init__()
        maps, self.vector = divmod(size, COARSE)
        if self.vector:
            self.layer = nn.Linear(channels * COARSE, outputs * size)
        else:
            self.layer = nn.Conv2d(channels, outputs * maps, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return self.layer(h.flatten(1) if self.vector else h).flatten(1)


def mixing_layers(channels: int, hidden: int, features: int = 0) -> list[nn.Module]:
    """A Mixing of `hidden` features, or nothing if that is 0. Raises ValueError if it is negative."""
    if hidden < 0:
        raise ValueError(f"mixing must be at least 0, got {hidden}")
    return [Mixing(channels, hidden, features)] if hidden else []


def coarse(width: int, depth: int, mixing: int) -> list[nn.Module]:
    """The blocks on 7 × 7 maps: `depth` residual ones, then a Mixing if `mixing` is not 0."""
    return [Residual(width, width) for _ in range(depth)] + mixing_layers(width, mixing)


def encoder(size: int, width: int, depth: int, outputs: int, mixing: int) -> nn.Sequential:
    """Image maps (n, 4, 14, 14) → (n, outputs · size): the latent's parameters."""
    return nn.Sequential(
        nn.Conv2d(4, width, 3, padding=1),
        *[Residual(width, width) for _ in range(depth)],
        nn.Conv2d(width, 2 * width, 2, stride=2),
        *coarse(2 * width, depth, mixing),
        nn.GroupNorm(8, 2 * width),
        nn.SiLU(),
        _ToLatent(2 * width, size, outputs),
    )


def decoder(size: int, width: int, depth: int, outputs: int, mixing: int) -> nn.Sequential:
    """A latent (n, size) → image maps (n, 4 · outputs, 14, 14): `outputs` values for each pixel."""
    return nn.Sequential(
        _FromLatent(size, 2 * width),
        *coarse(2 * width, depth, mixing),
        nn.ConvTranspose2d(2 * width, width, 2, stride=2),
        *[Residual(width, width) for _ in range(depth)],
        nn.GroupNorm(8, width),
        nn.SiLU(),
        nn.Conv2d(width, 4 * outputs, 3, padding=1),
    )


def _flat(net: nn.Module, x: Tensor, before=lambda x: x, after=lambda h: h) -> Tensor:
    """The net on points (..., D) of any number of leading dimensions; the answer is in the precision of x."""
    out = after(net(before(like_weights(x.reshape(-1, x.shape[-1]), net)))).to(x.dtype)
    return out.reshape(*x.shape[:-1], -1)


class ConvGaussianNet(nn.Module):
    """An image x (..., 784) → N(mean, var) over a latent (..., out_dim). As in GaussianNet the variance starts near
    exp(log_var) and its logarithm is clamped to [−12, 4]. Raises ValueError if in_dim is not 784. `mixing` as in
    `coarse`, here and in the networks below."""

    def __init__(
        self, in_dim: int, out_dim: int, width: int = 32, depth: int = 1, log_var: float = 0.0, mixing: int = 0
    ):
        super().__init__()
        _only_images("in_dim", in_dim)
        self.net, self.log_var = encoder(out_dim, width, depth, 2, mixing), log_var

    def forward(self, x: Tensor) -> Gaussian:
        mean, log_var = _flat(self.net, x, before=to_maps).chunk(2, dim=-1)
        return Gaussian(mean, (log_var + self.log_var).clamp(*GaussianNet.log_var_range).exp())


class ConvStepNet(nn.Module):
    """A latent of maps z (..., 49 k) → N(z + mean(z), var(z)), as StepNet does."""

    def __init__(self, dim: int, width: int = 32, depth: int = 1, log_var: float = -2.0, mixing: int = 0):
        super().__init__()
        self.log_var = log_var
        self.net = nn.Sequential(
            _FromLatent(dim, 2 * width),
            *coarse(2 * width, depth, mixing),
            nn.GroupNorm(8, 2 * width),
            nn.SiLU(),
            _ToLatent(2 * width, dim, 2),
        )

    def forward(self, z: Tensor) -> Gaussian:
        mean, log_var = _flat(self.net, z).chunk(2, dim=-1)
        return Gaussian(z + mean, (log_var + self.log_var).clamp(*GaussianNet.log_var_range).exp())


class ConvBernoulliNet(nn.Module):
    """A latent z (..., in_dim) → binary pixels x (..., 784). Raises ValueError if out_dim is not 784."""

    def __init__(self, in_dim: int, out_dim: int = PIXELS, width: int = 32, depth: int = 1, mixing: int = 0):
        super().__init__()
        _only_images("out_dim", out_dim)
        self.net = decoder(in_dim, width, depth, 1, mixing)

    def forward(self, z: Tensor) -> Bernoulli:
        return Bernoulli(_flat(self.net, z, after=from_maps))


class ConvLogisticNet(nn.Module):
    """A latent z (..., in_dim) → 256 grey levels for each pixel of x (..., 784), a discretised logistic law whose
    location and log scale are learned; the scale starts near a tenth of the range, log scale in [−9, 2]. Raises
    ValueError if out_dim is not 784."""

    def __init__(self, in_dim: int, out_dim: int = PIXELS, width: int = 32, depth: int = 1, mixing: int = 0):
        super().__init__()
        _only_images("out_dim", out_dim)
        self.net = decoder(in_dim, width, depth, 2, mixing)

    def forward(self, z: Tensor) -> DiscretisedLogistic:
        mean, log_scale = _flat(self.net, z, after=from_maps).chunk(2, dim=-1)
        return DiscretisedLogistic(mean, (log_scale - 2).clamp(-9, 2).exp())


class UNet(NoiseNet):
    """(x_t, t) → ε̂ for images (..., 784): a U-Net of two resolutions, 14 × 14 and 7 × 7, with `width` and 2 `width`
    channels and `depth` residual blocks on each side and twice that in the middle (Ho et al. 2020, appendix B,
    smaller). In the place of their attention, halfway through the middle, stands a layer of `mixing` features that sees
    the whole picture, none if that is 0.

    sin and cos of x_t with periods of 4, 16 and 64 grey levels stand beside x_t (after Kingma et al. 2021, appendix
    C). Where there is little noise they make a small distance from black large: four pixels in five are exactly
    black, and the bound asks how exactly the network knows it. Where there is much they would be noise alone, so each
    is damped as the noise damps it on average.

    Raises ValueError if dim is not 784 or mixing is negative.
    """

    periods = (4, 16, 64)  # grey levels

    def __init__(
        self,
        dim: int,
        schedule: Schedule,
        width: int = 32,
        depth: int = 1,
        embedding: int = 32,
        mixing: int = 256,
        labels: int = 0,
    ):
        super().__init__(schedule, embedding, labels)
        _only_images("dim", dim)
        features, channels = 4 * width, 4 * (1 + 2 * len(self.periods))
        wide: list[nn.Module] = [Residual(2 * width, 2 * width, features) for _ in range(2 * depth)]
        wide[depth:depth] = mixing_layers(2 * width, mixing, features)
        self.time = nn.Sequential(mlp([embedding + 1 + labels, features, features]), nn.SiLU())
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(Residual(width, width, features) for _ in range(depth))
        self.shrink = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.middle = nn.ModuleList(wide)
        self.widen = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.up = nn.ModuleList(Residual(width * (2 if i == 0 else 1), width, features) for i in range(depth))
        self.last = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 4, 3, padding=1))

    def fourier_features(self, x: Tensor, noise: Tensor) -> list[Tensor]:
        """sin ωx_t and cos ωx_t of each period, times exp(−ω² (1 − ᾱ_t)/2), which is what E sin ω(y + √(1−ᾱ_t) ε) keeps
        of sin ωy: x (n, 784), √(1−ᾱ_t) (n,) → six times (n, 784)."""
        omegas = [255 * math.pi / period for period in self.periods]
        noise = noise.unsqueeze(-1)
        kept = [(-((omega * noise) ** 2) / 2).exp() for omega in omegas]
        angles = [omega * (x + 1) for omega in omegas]
        return [k * f(a) for f in (torch.sin, torch.cos) for k, a in zip(kept, angles, strict=True)]

    def v_hat_at(self, xt: Tensor, level: Level) -> Tensor:
        x, noise = like_weights(xt.reshape(-1, PIXELS), self.first), level.noise.reshape(-1)
        told = self.told(level)
        e = self.time(told.reshape(-1, told.shape[-1]))
        h = self.first(torch.cat([to_maps(c) for c in (x, *self.fourier_features(x, noise))], dim=1))
        for block in self.down:
            h = block(h, e)
        skip, h = h, self.shrink(h)
        for block in self.middle:
            h = block(h, e)
        h = torch.cat([skip, self.widen(h)], dim=1)
        for block in self.up:
            h = block(h, e)
        return from_maps(self.last(h)).reshape(xt.shape)


def _only_images(name: str, size: int) -> None:
    if size != PIXELS:
        raise ValueError(f"{name} must be {PIXELS}, the pixels of a {SIDE} × {SIDE} image, got {size}")
