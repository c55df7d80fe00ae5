"""Chance that is the same for the same seed, whatever else is in the pool."""

import hashlib
import math
import zlib

import numpy as np

FIRST_BETA, LAST_BETA = 1.0, 100.0
"""Of the noise in the first and in the last round (ClaSP PE): from mostly chance to almost the best first."""


def drawn(seed: int, round: int, case: str) -> np.random.Generator:
    """The chance of one case in one round: another case that comes or goes changes nothing for it."""
    return np.random.default_rng([seed, round, zlib.crc32(case.encode())])


def lot(seed: int, round: int, case: str) -> bytes:
    """What cases are sorted by to have them by chance; quicker than `drawn` where there are thousands."""
    return hashlib.blake2b(f"{seed} {round} {case}".encode(), digest_size=8).digest()


def beta(round: int, rounds: int) -> float:
    """Inverse scale of the noise, geometric from `FIRST_BETA` to `LAST_BETA`.

    >>> [round(beta(n, 5), 2) for n in (1, 2, 3, 4, 5)]
    [1.0, 3.16, 10.0, 31.62, 100.0]

    Args:
        round: From 1 on; later ones than the last have its noise.
        rounds: How many are planned; a single one has that of the first.
    """
    share = 0.0 if rounds == 1 else min(round - 1, rounds - 1) / (rounds - 1)
    return FIRST_BETA * (LAST_BETA / FIRST_BETA) ** share


def noised(values: list[float], sharpness: float, chance: np.random.Generator) -> list[float]:
    """Logarithms of values with Gumbel noise of scale 1 / sharpness; -inf for 0 stays last.

    To take the largest is to draw with probabilities that go with values ** sharpness.
    """
    noise = chance.gumbel(0.0, 1.0 / sharpness, len(values))
    return [
        (math.log(value) if value > 0 else -math.inf) + float(more)
        for value, more in zip(values, noise, strict=True)
    ]
