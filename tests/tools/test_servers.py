"""What is served is served to this machine alone, and nothing outside the website's folder."""

import http.client
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import build_book
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def port(tmp_path):
    """The port of a server that serves a folder with one page, beside which a file lies that is nobody's business."""
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("the page")
    (tmp_path / "secret.txt").write_text("a secret")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import pathlib, build_book; "
        f"build_book.HTML = pathlib.Path({str(tmp_path / 'html')!r}); build_book.serve(0)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield int(re.search(r"http://127\.0\.0\.1:(\d+)/", server.stdout.readline())[1])
    finally:
        server.terminate()
        server.wait()


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_serves_the_folder_and_nothing_outside(port):
    assert ask(port, "/index.html") == (200, b"the page")
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//secret.txt", "/html/../../secret.txt"):
        status, body = ask(port, path)
        assert status == 404, path
        assert b"a secret" not in body


@pytest.mark.skipif(not hasattr(os, "fork"), reason="asks for the addresses of a Unix machine")
def test_the_server_listens_on_loopback_only(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # nothing is sent
            own = s.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no other address")
    if own.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((own, port), timeout=5)


def test_jupyter_keeps_its_token_and_its_address():
    (command,) = re.findall(r"-m jupyterlab .*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert not re.search(r"token|password|--ip|allow.?origin|disable_check", command, flags=re.I)
    assert build_book.HTML.is_relative_to(ROOT)
