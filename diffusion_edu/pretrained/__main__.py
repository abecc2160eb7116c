"""python -m diffusion_edu.pretrained RUN NAME: publishes a finished run beside this file."""

import sys
from pathlib import Path

from . import publish

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    publish(Path(sys.argv[1]), sys.argv[2], Path(__file__).parent)
