"""
Measurement of memory.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define

__all__ = ["Peak", "peak_memory"]


@define
class Peak:
    """
    The largest size of the objects of Python at one time, in bytes. 0 until it is measured.
    """

    size: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """
    Measure the peak of the objects that the block allocates; it is known after the block.
    """
    peak = Peak()
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
