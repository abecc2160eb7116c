"""Widgets that move without a kernel, one line each in a notebook. They need the `lab` extra."""

from .forward_film import forward_film

__all__ = ["forward_film"]
