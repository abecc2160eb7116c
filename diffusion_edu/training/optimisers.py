"""How gradients become steps: Adam for everything, or Muon for the matrices and Adam for the rest.

Adam scales every number by itself. Muon knows that a layer's weights are a matrix: it makes all singular values of
the step alike, so directions that the gradient hardly mentions are learned too (Jordan et al. 2024).
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

MUON_LR = 0.02  # Muon's peak learning rate


@torch.no_grad()
def orthogonalised(g: Tensor, rounds: int = 5) -> Tensor:
    """Roughly U Vᵀ of each matrix g = U S Vᵀ in (..., a, b), by the Newton–Schulz iteration and the coefficients of
    Jordan et al. (2024): singular values of at least 1/300 of |g| end in 0.6 … 1.3. In the precision of g; it must be
    finite."""
    x = g if g.shape[-2] <= g.shape[-1] else g.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    for _ in range(rounds):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if g.shape[-2] <= g.shape[-1] else x.mT


class Muon(Optimizer):
    """Nesterov's momentum, made orthogonal, for parameters of two axes or more; the last axes of a convolution's
    kernel count as one. A step is lr · √max(1, rows / columns) · U Vᵀ, in the parameters' precision, where
    torch.optim.Muon takes matrices alone and rounds to bfloat16. Matrices of one shape are made orthogonal together.
    Raises ValueError for a vector."""

    def __init__(self, parameters: Iterable[Tensor], lr: float = MUON_LR, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        vectors = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.ndim < 2]
        if vectors:
            raise ValueError(f"parameters must have two axes or more, got the shapes {vectors}")

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.flatten(1).shape].append((p, p.grad))
            for (rows, columns), pairs in alike.items():
                ahead = torch.stack([self._ahead(p, grad, group["momentum"]).flatten(1) for p, grad in pairs])
                size = group["lr"] * max(1, rows / columns) ** 0.5
                for (p, _), direction in zip(pairs, orthogonalised(ahead), strict=True):
                    direction = direction.reshape(p.shape)
                    if isinstance(size, Tensor):
                        p.sub_(size * direction)
                    else:
                        p.sub_(direction, alpha=size)

    def _ahead(self, p: Tensor, grad: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum: the moving average of the gradients, one step further."""
        if not self.state[p]:
            self.state[p]["average"] = torch.zeros_like(p)
        average = self.state[p]["average"].lerp_(grad, 1 - momentum)
        return torch.lerp(grad, average, momentum)


def adam(model: nn.Module, lr: float) -> list[tuple[Optimizer, float]]:
    """Adam for all parameters, with its peak learning rate."""
    return [(Adam(model.parameters(), lr=lr, betas=(0.9, 0.99), fused=True), lr)]


def muon(model: nn.Module, lr: float) -> list[tuple[Optimizer, float]]:
    """Muon for the matrices, Adam for the rest, each with its peak learning rate: `lr` for Adam."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [(Adam(others, lr=lr, betas=(0.9, 0.99), fused=True), lr), (Muon(matrices), MUON_LR)]
