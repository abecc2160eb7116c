"""python -m diffusion_edu.pretrained RUN NAME [SECONDS]: publishes a finished run beside this file. SECONDS is how long
the training of a model of MNIST took."""

import sys
from pathlib import Path

from ..training.runs import read_config
from . import images, publish

if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    out, name, home = Path(sys.argv[1]), sys.argv[2], Path(__file__).parent
    if read_config(out).data.startswith("mnist"):
        images.publish(out, name, home, int(sys.argv[3]) if len(sys.argv) == 4 else 0)
    else:
        publish(out, name, home)
