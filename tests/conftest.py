"""One thread and no GPU, so that a run is a function of its seeds on any machine, subprocesses' runs too."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch

torch.set_num_threads(1)
