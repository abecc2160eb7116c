"""Makes constraints.txt anew: one version of everything, for each platform and Python from 3.11 on. Needs uv."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Versions the course was tested with; `make pins` makes this file anew.\n"
TORCH = "torch==2.13.0"
# The CUDA libraries that torch asks for on Linux. They come with torch where they are wanted; pinned here, they
# would follow those who take torch's CPU build.
CUDA = re.compile(r"nvidia-|cuda-|triton|torch\b")


def name(pin: str) -> str:
    return pin.partition("==")[0]


def main() -> int:
    here = Path(sys.executable).parent
    uv = shutil.which("uv", path=os.pathsep.join([str(here), os.environ.get("PATH", "")]))
    if uv is None:
        print("uv is not installed: pip install uv")
        return 2
    command = [uv, "pip", "compile", "--universal", "--python-version", "3.11", "--all-extras", "--quiet"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--constraints", "-", "pyproject.toml"]
    done = subprocess.run(command, input=TORCH, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        print(done.stderr)
        return 1
    lines = [line for line in done.stdout.splitlines() if line.strip() and not CUDA.match(line)]
    if bad := [line for line in lines if not re.match(r"[a-z0-9._-]+==[\w.!+]+( ; .*)?$", line)]:
        print("not a pin:", *bad, sep="\n")
        return 1
    text = HEADER + "\n".join(sorted([*lines, TORCH], key=name)) + "\n"
    (ROOT / "constraints.txt").write_text(text, encoding="utf-8", newline="\n")
    print(f"constraints.txt: {len(lines) + 1} versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
