"""Loss, learning rate and arithmetic with which the networks learn."""

LAST_LEARNING_RATE = 0.02
"""Share of the learning rate that is left after the last step."""


def learning_rate(peak: float, iteration: int, iterations: int) -> float:
    """Constant for the first half of the steps, then linear down to 2 % at the last one."""
    half = iterations // 2
    if iteration < half:
        return peak
    done = (iteration - half) / max(iterations - 1 - half, 1)
    return peak * (1 - (1 - LAST_LEARNING_RATE) * done)
