"""One thread, so that a run is a function of its seeds."""

import torch

torch.set_num_threads(1)
