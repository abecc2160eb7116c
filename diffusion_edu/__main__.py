"""python -m diffusion_edu is the same as diffusion-edu."""

import sys

from .cli import main

sys.exit(main())
