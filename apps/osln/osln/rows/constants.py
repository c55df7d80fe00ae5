"""Numbers that hold for every row: a result depends on them, and not on which rows there are.

Only the standard library is imported, as in `experiments`.
"""

OFFERED_FALSE_POSITIVES = ("0.5", "1", "2", "3", "4", "6")
"""Per patient, in words as they are stored and shown; 3 is what is used unless asked otherwise."""

CONTEXT = ("stage_one_score", "distance_mm", "radius_mm", "x_mm", "y_mm", "z_mm")
"""Columns of a context: mean probability, signed distance to the tumor, radius, place seen from the tumor."""
CONTEXT_INPUTS = len(CONTEXT) + 1
"""Numbers that a network is given: the zone besides."""
NUMBER_INPUTS = CONTEXT_INPUTS + 32
"""Of a network that is given numbers in place of images."""

PROXIMAL_MM = 70.0
"""Largest distance to the tumor boundary that is tumor-proximal (paper, section 4.2)."""

OPERATING_PRECISION = 0.15
"""Precision of the fused map at which stage one hands its candidates over in the paper (section 4.3)."""
OPERATING_POINT = f"{OPERATING_PRECISION:.2f}"
"""That precision in words as it is stored and shown."""
UNMEASURED = 0.5
"""Threshold and score where no operating point was measured."""
OFFERED_PRECISIONS = {f"{value:.2f}": value for value in (0.10, OPERATING_PRECISION, 0.20, 0.30)}
"""Precisions that a threshold is measured for, by the words in which they are stored and shown."""

TUNING_LEARNING_RATE = 0.25
"""Learning rate when going on from published weights, as a share of the preset's."""
