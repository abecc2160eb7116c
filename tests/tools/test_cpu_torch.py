"""tools/cpu_torch.py: who gets torch's CPU build, and that a host that does not answer costs little."""

import socket
import time

import cpu_torch
import pytest


@pytest.mark.parametrize(
    ("platform", "driver", "installed", "wanted"),
    [
        ("linux", False, False, True),
        ("linux", True, False, False),  # a GPU is there
        ("linux", False, True, False),  # what is installed stays
        ("darwin", False, False, False),  # its plain build is a CPU build
        ("win32", False, False, False),
    ],
)
def test_who_gets_the_cpu_build(platform, driver, installed, wanted):
    assert cpu_torch.wanted(platform, driver, installed) is wanted


def test_a_host_that_is_silent_or_closed_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port, start = silent.getsockname()[1], time.monotonic()
        assert not cpu_torch.reachable(f"http://127.0.0.1:{port}/", seconds=0.3)
        assert time.monotonic() - start < 5
    assert not cpu_torch.reachable(f"http://127.0.0.1:{port}/", seconds=0.3)
