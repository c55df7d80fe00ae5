"""What a file holds, unpacked straight into its place in memory."""

from io import BufferedIOBase

import numpy as np

PART = 2**20
"""Bytes that are unpacked at a time; what is not there yet takes no memory."""


def unpack(file: BufferedIOBase, size: int, head: bytes = b"") -> np.ndarray:
    """(n,) uint8, what is left of a file; no more than `size` bytes and one, which tells that it goes on.

    Args:
        file: Opened, plain or compressed; read from where it stands.
        size: Bytes that are expected, with those of `head`.
        head: What was read of it before; stands first.

    Raises:
        ValueError: If it is damaged.
    """
    data = np.empty(max(size + 1, len(head)), np.uint8)
    place = data.data
    place[: len(head)] = head
    filled = len(head)
    try:
        while filled < len(data) and (count := file.readinto(place[filled : filled + PART])):
            filled += count
    except Exception as error:
        # A damaged file can make the decoder raise nearly anything.
        raise ValueError(f"it is damaged ({error}); copy it again") from error
    return data[:filled]
