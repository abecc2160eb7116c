"""On Linux without an NVIDIA driver, installs torch's CPU build, a tenth of the size of the plain one.

Where that build's host cannot be reached it does nothing, and pip takes torch from the plain index as usual.
"""

import importlib.util
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

HOST = "https://download.pytorch.org/whl/cpu"
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


def wanted(platform: str, driver: bool, installed: bool) -> bool:
    """Whether the CPU build is the right one here: Linux, no driver, no torch yet."""
    return platform.startswith("linux") and not driver and not installed


def reachable(url: str, seconds: float = 8) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
            return True
    except urllib.error.HTTPError as error:  # it answers
        return error.code < 500
    except OSError:
        return False


if __name__ == "__main__":
    driver = Path("/proc/driver/nvidia/version").exists()
    if wanted(sys.platform, driver, importlib.util.find_spec("torch") is not None) and reachable(f"{HOST}/torch/"):
        (pin,) = re.findall(r"^torch==[\d.]+", CONSTRAINTS.read_text(encoding="utf-8"), flags=re.M)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--index-url", HOST, "--retries", "0", pin]
        if subprocess.run(pip).returncode:
            print("torch's CPU build cannot be installed; the plain build is used", file=sys.stderr)
