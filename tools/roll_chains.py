"""Trains the chains of notebook 02 and puts them beside the published models, as one file.

python tools/roll_chains.py    # about twenty minutes on one core

HVAEs of the swiss roll with 1, 2 and 3 levels, three seeds each, all with the same number of gradient steps.
`pretrained.roll_chain(levels, seed)` loads them.
"""

from pathlib import Path

import torch

from diffusion_edu import pretrained, training, weights
from diffusion_edu.data import SwissRoll
from diffusion_edu.hvae import HVAE

FOLDER = Path(pretrained.__file__).parent
TRAINING = {"steps": 12_000, "batch": 512, "peak_lr": 5e-3}
POINTS = 100_000


def train(levels: int, seed: int, points: torch.Tensor) -> HVAE:
    torch.manual_seed(seed)
    trainer = training.Trainer(HVAE(levels), training.elbo_loss(), points, seed=seed, **TRAINING)
    for _ in trainer.run(progress=False):
        pass
    return trainer.model


def main() -> None:
    points = SwissRoll().sample(POINTS, seed=1).float()
    named = {}
    for seed in pretrained.CHAIN_SEEDS:
        for levels in pretrained.CHAIN_LEVELS:
            state = train(levels, seed, points).state_dict()
            named |= {f"{levels}.{seed}.{key}": value for key, value in state.items()}
            known = {"levels": pretrained.CHAIN_LEVELS, "seeds": pretrained.CHAIN_SEEDS, "training_points": POINTS}
            known |= TRAINING | {"torch": torch.__version__, "commands": ["python tools/roll_chains.py"]}
            weights.write(FOLDER, "roll-chains", named, known)
            print(f"{levels} levels, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
