"""Images side by side as one picture."""

import numpy as np


def sheet(images: np.ndarray, columns: int = 8, line: int = 0, shade: float = 0.0, zoom: int = 1) -> np.ndarray:
    """Images (n, H, W) in [0, 1], row by row, `columns` in a row, as one picture (rows · H, columns · W). The last row
    is filled up with black. `line` pixels of a shade stand around and between them; all is enlarged `zoom` times."""
    n, height, width = images.shape
    rows = -(-n // columns)
    blank = np.zeros((rows * columns - n, height, width), images.dtype)
    x = np.concatenate([images, blank]).reshape(rows, columns, height, width)
    x = np.pad(x, ((0, 0), (0, 0), (0, line), (0, line)), constant_values=shade)
    x = x.transpose(0, 2, 1, 3).reshape(rows * (height + line), columns * (width + line))
    x = np.pad(x, ((line, 0), (line, 0)), constant_values=shade)
    return x.repeat(zoom, axis=0).repeat(zoom, axis=1)
