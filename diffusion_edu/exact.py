"""What the exact denoiser still gets wrong at each noise level, without sampling.

Two functions of λ = log SNR say all that a bound can know of the data:

    error(λ)     = E|x₀ − E[x₀|x_t]|²/D / (1 − ᾱ_t)              the fraction of equation (3.23)
    aggregate(λ) = D/2 log(1 + SNR) − I(x₀; x_t)                 nats; KL(q(x_t) ‖ N(0, I)) if E|x₀|² = D (3.25)

The second is an integral of the first, aggregate(λ) = D/2 ∫ (1 − error) ᾱ dλ from −∞, because
dI/dSNR = D/2 E|x₀ − E[x₀|x_t]|²/D (Guo, Shamai, Verdú 2005).
"""

import functools
import math

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from .data import SwissRoll
from .oracles import Mixture
from .schedules import Schedule

LOG_SNR = np.arange(-96, 113) / 8  # as in widgets/maths.js, `lookup`


def error(data: Mixture, log_snr: float) -> float:
    """error(λ) of a mixture in one or two dimensions. From one grid to a finer one it changes by less than 1e-7 on
    the roll."""
    alpha_bar = 1 / (1 + np.exp(-log_snr))
    return data.x0_mse(float(alpha_bar), spacing=0.36) / (1 - alpha_bar)


@functools.cache
def error_table(data: Mixture) -> np.ndarray:
    """error(λ) at LOG_SNR, (209,). The standard swiss roll's is stored below; others take a minute or two."""
    if isinstance(data, SwissRoll) and data.noise == 0.5:
        return np.array(ROLL.split(), dtype=float)
    return np.array([error(data, log_snr) for log_snr in LOG_SNR])


def mse(data: Mixture, schedule: Schedule) -> Tensor:
    """E|x₀ − E[x₀|x_t]|²/D for every t, (T + 1,), entry 0 is 0: `diffusion.denoising_error` without sampling, by a
    cubic spline through the table."""
    fraction = CubicSpline(LOG_SNR, error_table(data))(schedule.log_snr[1:].clamp(LOG_SNR[0], LOG_SNR[-1]).numpy())
    return (1 - schedule.alpha_bar) * torch.cat([schedule.beta[:1], torch.from_numpy(fraction)])


def error_at(data: Mixture, log_snr: float | Tensor) -> float | Tensor:
    """error(λ) at any λ = log SNR that the table covers, a number or a tensor of any shape, by a cubic spline.
    Raises ValueError outside it."""
    at = np.asarray(log_snr, dtype=float)
    if not bool(((at >= LOG_SNR[0]) & (at <= LOG_SNR[-1])).all()):
        raise ValueError(f"log_snr must lie in [{LOG_SNR[0]:g}, {LOG_SNR[-1]:g}], got {at.min():g} to {at.max():g}")
    value = CubicSpline(LOG_SNR, error_table(data))(at)
    return torch.from_numpy(value) if isinstance(log_snr, Tensor) else float(value)


def price(data: Mixture, schedule: Schedule) -> float:
    """The distance to H, in nats, of the bound with the exact denoiser and the best σ_t² in every step: what a schedule
    costs before anything is learned. With m_t = E|x₀ − E[x₀|x_t]|²/D the terms are

        L₀ = D/2 log 2πe m₁,   L_{t−1} = D/2 log(1 + (SNR_{t−1} − SNR_t) m_t),   L_T = E KL(q(x_T|x₀) ‖ N(0, I)).
    """
    m, snr, noise = mse(data, schedule)[1:], schedule.snr[1:], 1 - schedule.alpha_bar[-1]
    square = (data.weights @ (data.means**2 + data.variances)).mean()
    L_0 = math.log(2 * math.pi * math.e * m[0])
    L_T = schedule.alpha_bar[-1] * square + noise - 1 - noise.log()
    return 0.5 * data.dim * float(L_0 + torch.log1p(-snr.diff() * m[1:]).sum() + L_T) - data.entropy()


def aggregate_table(data: Mixture) -> np.ndarray:
    """aggregate(λ) at LOG_SNR, nats, (209,): the integral of a cubic spline, in D dimensions."""
    rate = 0.5 * data.dim * (1 - error_table(data)) / (1 + np.exp(-LOG_SNR))
    return CubicSpline(LOG_SNR, rate).antiderivative()(LOG_SNR)


ROLL = """
0.9999999332 0.9999999243 0.9999999142 0.9999999028 0.9999998899 0.9999998752 0.9999998586 0.9999998398 0.9999998184
0.9999997942 0.9999997668 0.9999997358 0.9999997006 0.9999996608 0.9999996156 0.9999995644 0.9999995064 0.9999994407
0.9999993662 0.9999992819 0.9999991862 0.9999990779 0.9999989551 0.9999988160 0.9999986584 0.9999984798 0.9999982773
0.9999980480 0.9999977881 0.9999974937 0.9999971600 0.9999967819 0.9999963535 0.9999958681 0.9999953180 0.9999946948
0.9999939886 0.9999931885 0.9999922819 0.9999912546 0.9999900907 0.9999887720 0.9999872779 0.9999855851 0.9999836672
0.9999814943 0.9999790325 0.9999762435 0.9999730839 0.9999695044 0.9999654493 0.9999608556 0.9999556516 0.9999497565
0.9999430784 0.9999355131 0.9999269427 0.9999172330 0.9999062317 0.9998937655 0.9998796372 0.9998636211 0.9998454595
0.9998248559 0.9998014688 0.9997749025 0.9997446960 0.9997103084 0.9996711005 0.9996263100 0.9995750200 0.9995161160
0.9994482309 0.9993696716 0.9992783227 0.9991715214 0.9990458956 0.9988971567 0.9987198377 0.9985069677 0.9982496750
0.9979367128 0.9975539113 0.9970835642 0.9965037758 0.9957878120 0.9949035216 0.9938129227 0.9924720746 0.9908313805
0.9888364734 0.9864298245 0.9835531625 0.9801506917 0.9761729495 0.9715809409 0.9663499756 0.9604724524 0.9539587676
0.9468356643 0.9391417305 0.9309203964 0.9222115154 0.9130431888 0.9034256214 0.8933483378 0.8827811818 0.8716785584
0.8599857484 0.8476460055 0.8346074710 0.8208295841 0.8062894338 0.7909891292 0.7749658131 0.7583051265 0.7411564963
0.7237488951 0.7064002764 0.6895156016 0.6735723850 0.6590850425 0.6465622479 0.6364530530 0.6291024083 0.6247129405
0.6233360275 0.6248747367 0.6291107842 0.6357515785 0.6444561484 0.6548878934 0.6667266051 0.6796899629 0.6935322099
0.7080413562 0.7230314909 0.7383359121 0.7538006851 0.7692824394 0.7846465249 0.7997679717 0.8145327604 0.8288395755
0.8426014033 0.8557465953 0.8682193889 0.8799798109 0.8910029640 0.9012778669 0.9108059300 0.9195992206 0.9276786327
0.9350720667 0.9418127035 0.9479374293 0.9534854475 0.9584970943 0.9630128600 0.9670726052 0.9707149581 0.9739768685
0.9768932996 0.9794970318 0.9818185600 0.9838860625 0.9857254278 0.9873603210 0.9888122815 0.9901008397 0.9912436463
0.9922566069 0.9931540188 0.9939487051 0.9946521443 0.9952745939 0.9958252067 0.9963121390 0.9967426505 0.9971231966
0.9974595120 0.9977566877 0.9980192394 0.9982511707 0.9984560289 0.9986369556 0.9987967321 0.9989378194 0.9990623948
0.9991723839 0.9992694893 0.9993552158 0.9994308937 0.9994976983 0.9995566679 0.9996087201 0.9996546649 0.9996952181
0.9997310117 0.9997626036 0.9997904867 0.9998150961 0.9998368158 0.9998559849 0.9998729028 0.9998878338 0.9999010111
0.9999126405 0.9999229040
"""
