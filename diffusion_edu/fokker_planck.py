"""The Fokker–Planck equation on a grid: the law itself instead of points that follow it.

A point that moves by dx = ∇ log π dτ + √2 dW has at time τ a density p with

    ∂p/∂τ = −∇·(p ∇ log π) + Δp

On a grid of cells a distance `spacing` apart this is dp/dτ = A p, A the matrix of a random walk between neighbours, at

    the rate from cell j to cell i = √(π_i/π_j)/spacing².

Then π_j A_ij = π_i A_ji: detailed balance, so π stands still, whatever the spacing. For π = N(0, I) this is the forward
process of diffusion, with ᾱ = e^{−2τ}; for the data's density it is Langevin dynamics. Source: Risken 1989.
"""

import functools
import math

import numpy as np
import scipy.sparse as sparse
from scipy.linalg import expm
from scipy.sparse.linalg import eigsh, splu


def generator(log_pi: np.ndarray, spacing: float) -> sparse.csc_array:
    """A for the stationary log density log_pi on a grid of any dimension, up to a constant: (N, N) for N cells in the
    order of log_pi.ravel(), sparse. Columns sum to 0, so mass is kept; nothing leaves at the border. Raises ValueError
    if log_pi is not finite or spacing not positive."""
    log_pi = np.asarray(log_pi, dtype=float)
    if not np.isfinite(log_pi).all() or not spacing > 0:
        raise ValueError(f"log_pi must be finite and spacing positive, got {log_pi.min():g} and {spacing}")
    cell = np.arange(log_pi.size).reshape(log_pi.shape)
    flat, to, start = log_pi.ravel(), [], []
    for axis in range(log_pi.ndim):
        low, high = (np.moveaxis(cell, axis, 0)[part].ravel() for part in (slice(None, -1), slice(1, None)))
        to += [high, low]
        start += [low, high]
    to, start = np.concatenate(to), np.concatenate(start)
    rate = np.exp(0.5 * (flat[to] - flat[start])) / spacing**2
    walk = sparse.csc_array((rate, (to, start)), shape=(flat.size, flat.size))
    return sparse.csc_array(walk - sparse.diags_array(walk.sum(axis=0)))


def forward(p: np.ndarray, axis: np.ndarray, tau: float) -> np.ndarray:
    """The density p (n, n) on the grid axis × axis after the forward process has run for a time τ, so that
    ᾱ = e^{−2τ}: E p Eᵀ with E = exp(τA), as the two axes do not know of each other. No error in time is made."""
    step = expm(tau * generator(-0.5 * axis**2, axis[1] - axis[0]).toarray())
    return step @ p @ step.T


def implicit_steps(p: np.ndarray, a: sparse.csc_array, dt: float, steps: int) -> np.ndarray:
    """p (N,) after so many steps (I − dt A)⁻¹ p: first order in dt, and positive and of the same mass for every dt."""
    solve = splu(sparse.csc_array(sparse.eye_array(len(p)) - dt * a), permc_spec="MMD_AT_PLUS_A").solve
    return functools.reduce(lambda p, _: solve(p), range(steps), p)


def relaxation_times(log_pi: np.ndarray, spacing: float, k: int = 1) -> np.ndarray:
    """The k longest relaxation times 1/μ, (k,): A's eigenvalues are 0 and −μ₁, −μ₂, …, and what still tells the start
    dies like e^{−μ₁τ}. √π on either side makes A symmetric."""
    a = generator(log_pi, spacing)
    off = sparse.csc_array((a - sparse.diags_array(a.diagonal())) > 0, dtype=float) / spacing**2
    symmetric = sparse.csc_array(off + sparse.diags_array(a.diagonal()))
    values = eigsh(symmetric, k=k + 1, sigma=1e-3, return_eigenvectors=False)
    return 1 / -np.sort(values)[-2::-1]


def relative_fisher(error: float, log_snr: float, dim: int) -> float:
    """I = E|s + x|² = D SNR (1 − error(λ)) for data with E|x₀|² = D: how far the score at λ is from that of N(0, I).
    dKL(p ‖ N(0, I))/dτ = −I (de Bruijn), and in λ it is ½(1−ᾱ) I."""
    return dim * math.exp(log_snr) * (1 - error)
