"""MNIST's four original files: fetched once with hashes and mirrors, or read from where they lie.

    images, labels = mnist.load()            # 60,000 × 28 × 28 and 60,000, uint8
    images, labels = mnist.load(train=False) # the 10,000 of the test set

The files are kept in the folder that the environment variable DIFFUSION_EDU_DATA names, else in the user's cache.
Source: LeCun et al. 1998; copyright Y. LeCun and C. Cortes.
"""

import gzip
import hashlib
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SHA256 = {  # of the files as they are served, and unpacked
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)


def load(train: bool = True, progress: bool = True) -> tuple[Tensor, Tensor]:
    """Images (n, 28, 28) and labels (n,), uint8; n is 60,000 for training, 10,000 for testing.

    Raises OSError if a file is missing and cannot be downloaded, and says what to put where.
    """
    names = [f"{'train' if train else 't10k'}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    images, labels = (fetch(name, progress=progress) for name in names)
    return read_idx(images), read_idx(labels)


def folder() -> Path:
    """Where the files are kept: $DIFFUSION_EDU_DATA, else `diffusion-edu` in the user's cache folder."""
    if chosen := os.environ.get("DIFFUSION_EDU_DATA"):
        return Path(chosen).expanduser()
    import pooch

    return pooch.os_cache("diffusion-edu")


def fetch(name: str, mirrors: tuple[str, ...] = MIRRORS, timeout: float = 30, progress: bool = True) -> Path:
    """The path of one of the four files, after its hash was checked: as it is served or unpacked, in `folder()` or in
    MNIST/raw there, where torchvision keeps it. A file that is missing or not the original is fetched from the first
    mirror that has it; what arrives cut off or altered is thrown away and the next mirror asked. The file appears
    under its name only once it is whole.

    `timeout`: seconds without an answer before a mirror is given up. Raises ValueError for an unknown name, OSError if
    no mirror can serve or the folder cannot be written.
    """
    served = [known for known in SHA256 if known.endswith(".gz")]
    if name not in served:
        raise ValueError(f"name must be one of {', '.join(served)}, got {name!r}")
    path, raw, trouble = folder() / name, folder() / "MNIST" / "raw", []
    for place in (path, path.with_suffix(""), raw / name, raw / path.stem):
        if place.is_file():
            if _hash(place) == SHA256[place.name]:
                return place
            trouble.append(f"{place}: not the original file, its hash differs")
    _check_writable(path.parent)
    for mirror in mirrors:
        try:
            return _download(mirror + name, SHA256[name], path, timeout, progress)
        except (OSError, ValueError) as error:
            trouble.append(f"{mirror}{name}:\n    {_first_line(error)}")
    raise OSError(
        f"no {name}:\n  " + "\n  ".join(trouble) + f"\nPut the file {name} (sha256:{SHA256[name]}) into {path.parent}, "
        "or set DIFFUSION_EDU_DATA to the folder that has it."
    )


def _check_writable(place: Path) -> None:
    """OSError unless files can be put into the folder, which is made if it is missing."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(
            f"the folder {place} cannot be written ({error.strerror}): set DIFFUSION_EDU_DATA to one that can"
        ) from error


def _download(url: str, known: str, path: Path, timeout: float, progress: bool) -> Path:
    """pooch writes to a temporary file beside `path`, checks the hash, and moves it there only if it is right."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader: Any = pooch.HTTPDownloader(progressbar=progress, timeout=timeout)  # pooch's own types do not fit
    return Path(pooch.retrieve(url, f"sha256:{known}", fname=path.name, path=path.parent, downloader=downloader))


def read_idx(path: Path) -> Tensor:
    """The array in an IDX file of unsigned bytes, gzipped or not: two zero bytes, the type 8, the number of dimensions,
    each dimension as a big-endian int32, then the numbers. Raises ValueError naming the file if it is anything else."""
    data = Path(path).read_bytes()
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: it starts with {data[:4].hex(' ')}")
    dims, start = data[3], 4 + 4 * data[3]
    shape = struct.unpack(f">{dims}i", data[4:start]) if len(data) >= start else ()
    size = torch.Size(shape).numel()
    if not shape or len(data) - start != size:
        raise ValueError(f"{path} announces the shape {shape}, so {size} numbers, and holds {len(data) - start}")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    said = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return said if len(said) <= 80 else said[:79] + "…"
