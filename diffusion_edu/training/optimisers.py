"""How gradients become steps: Adam for everything, or Muon for the matrices and Adam for the rest.

Adam scales every number by itself. Muon knows that a layer's weights are a matrix: it makes all singular values of
the step alike, so directions that the gradient hardly mentions are learned too (Jordan et al. 2024). Section 10 of
notebook 05 has the logs of the same training with both.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

MUON_LR = 0.02  # peak; that of the numbers left to Adam is Adam's
KNOWN = ("adam", "muon")


@torch.no_grad()
def orthogonalised(g: Tensor, rounds: int = 5) -> Tensor:
    """Roughly U Vᵀ of a matrix g = U S Vᵀ (a, b), by the Newton–Schulz iteration and the coefficients of Jordan et al.
    (2024): singular values of at least 1/300 of |g| end in 0.6 … 1.3. In the precision of g; it must be finite."""
    x = g if g.shape[0] <= g.shape[1] else g.T
    x = x / x.norm().clamp(min=1e-12)
    for _ in range(rounds):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if g.shape[0] <= g.shape[1] else x.T


class Muon(Optimizer):
    """Nesterov's momentum, made orthogonal, for parameters of two axes or more; the last axes of a convolution's
    kernel count as one. A step is lr · √max(1, rows / columns) · U Vᵀ, in the parameters' precision, where
    torch.optim.Muon takes matrices alone and rounds to bfloat16. Raises ValueError for a vector."""

    def __init__(self, parameters: Iterable[Tensor], lr: float = MUON_LR, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        vectors = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.ndim < 2]
        if vectors:
            raise ValueError(f"parameters must have two axes or more, got the shapes {vectors}")

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not self.state[p]:
                    self.state[p]["average"] = torch.zeros_like(p)
                average = self.state[p]["average"]
                average.lerp_(p.grad, 1 - group["momentum"])
                ahead = torch.lerp(p.grad, average, group["momentum"]).flatten(1)
                rows, columns = ahead.shape
                p.sub_(orthogonalised(ahead).view_as(p), alpha=group["lr"] * max(1, rows / columns) ** 0.5)


def make(name: str, model: nn.Module, lr: float) -> list[tuple[Optimizer, float]]:
    """The optimisers of a model's parameters, each with its peak learning rate: `lr` for Adam. ValueError for an
    unknown name."""
    if name not in KNOWN:
        raise ValueError(f"unknown optimiser {name!r}; known: {', '.join(KNOWN)}")
    adam = {"lr": lr, "betas": (0.9, 0.99), "fused": True}
    if name == "adam":
        return [(Adam(model.parameters(), **adam), lr)]
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [(Adam(others, **adam), lr), (Muon(matrices), MUON_LR)]
