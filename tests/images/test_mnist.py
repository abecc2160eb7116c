"""MNIST's files against a server that is down, slow, wrong, cut off or right; and the IDX format."""

import gzip
import hashlib
import http.server
import struct
import threading
import time

import pytest
import torch

from diffusion_edu.images import mnist

NAME = "t10k-labels-idx1-ubyte.gz"
LABELS = torch.arange(200, dtype=torch.uint8) % 10
FILE = gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">i", 200) + bytes(LABELS.tolist()), mtime=0)


class Server(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self):
        mood = self.path.split("/")[1]
        self.asked.append(mood)
        if mood == "slow":
            time.sleep(3)
        body = b"<html>log in to this hotel's network</html>" if mood == "lying" else FILE
        self.send_response(404 if mood == "absent" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if mood == "cut" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Mirrors on a local server that behave as told; the hash that is wanted is that of FILE."""
    monkeypatch.setitem(mnist.SHA256, NAME, hashlib.sha256(FILE).hexdigest())
    monkeypatch.setenv("DIFFUSION_EDU_DATA", str(tmp_path / "data"))
    asked = []
    handler = type("Handler", (Server,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{running.server_port}"

        def fetch(*moods, timeout=1.0):
            urls = tuple("http://127.0.0.1:9/" if mood == "down" else f"{base}/{mood}/" for mood in moods)
            return mnist.fetch(NAME, mirrors=urls, timeout=timeout, progress=False)

        fetch.asked, fetch.folder = asked, tmp_path / "data"
        yield fetch
        running.shutdown()


def test_a_good_mirror_serves_and_the_file_is_kept(server):
    path = server("good")
    assert path == server.folder / NAME
    assert path.read_bytes() == FILE
    assert torch.equal(mnist.read_idx(path), LABELS)
    assert server("good") == path
    assert server.asked == ["good"], "once kept, nobody is asked again"


@pytest.mark.parametrize("mood", ["down", "slow", "lying", "cut", "absent"])
def test_after_a_bad_mirror_the_next_is_asked(server, mood):
    assert server(mood, "good").read_bytes() == FILE
    assert server.asked[-1] == "good"
    assert [p.name for p in server.folder.iterdir()] == [NAME], "nothing half-written is left"


@pytest.mark.parametrize("mood", ["down", "slow", "lying", "cut", "absent"])
def test_without_a_good_mirror_it_says_what_to_put_where(server, mood):
    with pytest.raises(OSError, match="Put the file") as error:
        server(mood)
    message = str(error.value)
    assert all(part in message for part in (NAME, mnist.SHA256[NAME], str(server.folder), "DIFFUSION_EDU_DATA"))
    assert not list(server.folder.glob("*")), "nothing half-written is left"


def test_an_altered_file_is_named_and_fetched_again(server):
    path = server("good")
    path.write_bytes(FILE[:-5])
    with pytest.raises(OSError, match="not the original file") as error:
        server("down")
    assert str(path) in str(error.value)
    assert path.read_bytes() == FILE[:-5], "a file of the user's is not thrown away without a better one"
    assert server("good").read_bytes() == FILE


def test_files_that_lie_there_need_no_network(server, monkeypatch):
    server.folder.mkdir()
    (server.folder / NAME).write_bytes(FILE)
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)  # importing it now fails
    assert server("down") == server.folder / NAME


def test_unknown_name():
    with pytest.raises(ValueError, match="name must be one of train-images"):
        mnist.fetch("emnist.gz")


@pytest.mark.parametrize("place", ["", "MNIST/raw/"])
@pytest.mark.parametrize("packed", [True, False])
def test_files_as_others_keep_them_are_taken(server, monkeypatch, place, packed):
    """Unpacked, or where torchvision puts them; only what has the right hash."""
    plain = gzip.decompress(FILE)
    monkeypatch.setitem(mnist.SHA256, NAME.removesuffix(".gz"), hashlib.sha256(plain).hexdigest())
    path = server.folder / place / (NAME if packed else NAME.removesuffix(".gz"))
    path.parent.mkdir(parents=True)
    path.write_bytes(FILE if packed else plain)
    assert server("down") == path
    assert torch.equal(mnist.read_idx(path), LABELS)
    path.write_bytes((FILE if packed else plain)[:-1])
    assert server("good") == server.folder / NAME, "a damaged one is not"


def test_a_folder_that_cannot_be_written_is_named_and_no_mirror_is_blamed(server):
    server.folder.write_text("a file in the place of the folder")
    with pytest.raises(OSError, match=r"the folder .* cannot be written .*: set DIFFUSION_EDU_DATA to one that can"):
        server("good")
    assert server.asked == []


def test_a_mirror_is_blamed_in_few_words(server):
    with pytest.raises(OSError, match="no t10k-labels") as error:
        server("down", "absent", "lying")
    assert all(len(line) <= 84 for line in str(error.value).splitlines() if "Error" in line)


def test_the_hashes_are_of_four_files_packed_and_unpacked():
    assert len(mnist.SHA256) == 8
    assert {name.removesuffix(".gz") for name in mnist.SHA256} <= mnist.SHA256.keys()


def idx(shape, numbers, start=b"\x00\x00\x08"):
    header = start + bytes([len(shape)]) + struct.pack(f">{len(shape)}i", *shape)
    return gzip.compress(header + bytes(numbers))


def test_idx_keeps_the_order_of_its_axes(tmp_path):
    (tmp_path / "a.gz").write_bytes(idx((2, 3, 4), range(24)))
    got = mnist.read_idx(tmp_path / "a.gz")
    assert got.shape == (2, 3, 4)
    assert got[1, 2, 3] == 23
    assert got[1, 0, 1] == 13


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (idx((2, 3), range(5)), "announces the shape"),
        (idx((2, 3), range(7)), "announces the shape"),
        (idx((2, 3), range(6), start=b"\x00\x00\x0d"), "not an IDX file"),
        (gzip.compress(b"\x00\x00\x08\x03\x00"), "announces the shape"),
        (gzip.compress(b""), "not an IDX file"),
        (idx((2, 3), range(6))[:-4], "not a whole gzip file"),
        (b"<html>", "not an IDX file"),
    ],
    ids=["too short", "too long", "of floats", "cut header", "empty", "cut off", "not gzip"],
)
def test_anything_else_is_refused_by_name(tmp_path, content, complaint):
    path = tmp_path / "odd.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as error:
        mnist.read_idx(path)
    assert str(path) in str(error.value)
