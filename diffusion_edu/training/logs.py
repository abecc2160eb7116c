"""What one sees of a run while it trains, besides its metrics.csv: pictures of samples, TensorBoard's log."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..files import replacing
from ..images.sheet import sheet


def picture(images: Tensor, columns: int = 8, size: int = 56) -> np.ndarray:
    """Images (n, H, W) in [0, 1] side by side on grey, row by row, each enlarged to about `size` pixels: one grey
    picture of bytes. The last row is filled up with black."""
    zoom = max(1, size // images.shape[-1])
    return np.round(255 * sheet(images.numpy(), columns, line=1, shade=0.25, zoom=zoom)).astype(np.uint8)


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes a grey picture; at every moment `path` holds a whole one, the old or the new."""
    with replacing(path) as new:
        Image.fromarray(picture).save(new, format="PNG")


def check_tensorboard() -> None:
    """ValueError unless TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard needs TensorBoard, which is not installed: pip install -e '.[tensorboard]'")


class Board:
    """The log of a run for TensorBoard, in a folder of its own. What an earlier attempt wrote after `step` is hidden.

    Raises ValueError if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int):
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, terms: dict[str, float]) -> None:
        """One point for each named term."""
        for name, value in terms.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def add_picture(self, step: int, picture: np.ndarray) -> None:
        """A picture of samples."""
        self.writer.add_image("samples", picture, step, dataformats="HW")
        self.writer.flush()
