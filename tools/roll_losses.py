"""Trains the twelve networks of notebook 04, section 7, and puts them beside the published models, as one file.

python tools/roll_losses.py    # about three minutes on one core

DDPMs of the swiss roll, each loss from three seeds for 2,000 steps. `pretrained.roll_loss(name, seed)` loads them.
"""

from pathlib import Path

import torch

from diffusion_edu import ddpm, nets, pretrained, schedules, training, weights
from diffusion_edu.data import SwissRoll

FOLDER = Path(pretrained.__file__).parent
STEPS, POINTS = 2000, 200_000
SCHEDULE = schedules.cosine(1000)
WEIGHT = SCHEDULE.T * ddpm.eps_weight(SCHEDULE, SCHEDULE.beta)  # of t drawn uniformly: then the mean is the bound's sum
LOSSES = {
    "simple": training.eps_loss(training.uniform_t),
    "weighted": training.eps_loss(training.uniform_t, lambda _, t: WEIGHT[t]),
    "log SNR": training.eps_loss(training.log_snr_t),
    "mixed": training.eps_loss(training.mixed_t),
}


def train(name: str, seed: int, points: torch.Tensor, steps: int = STEPS) -> ddpm.DDPM:
    torch.manual_seed(seed)
    model = ddpm.DDPM(nets.EpsNet(2, SCHEDULE), SCHEDULE, dim=2)
    trainer = training.Trainer(model, LOSSES[name], points, steps=steps, seed=seed)
    for _ in trainer.run(progress=False):
        pass
    return trainer.model


def main() -> None:
    points, named = SwissRoll().sample(POINTS, seed=1).float(), {}
    for name in LOSSES:
        for seed in pretrained.CHAIN_SEEDS:
            state = train(name, seed, points).eps_net.state_dict()
            named |= {f"{name}.{seed}.{key}": value for key, value in state.items()}
            print(f"{name}, seed {seed}", flush=True)
    known = {"steps": STEPS, "training_points": POINTS, "torch": torch.__version__}
    weights.write(FOLDER, "roll-losses", named, known | {"commands": ["python tools/roll_losses.py"]})


if __name__ == "__main__":
    main()
