"""Parts of the code that a simulation's files depend on (`osln.files.code`)."""

from osln.reproduction import code

CANDIDATES = (
    *code.CANDIDATES,
    "active",
    "networks",
    "rows/presets.py",
    "simulation/cases.py",
)
"""What finds candidates with the shipped weights and tells of them what a simulation asks."""
RUN = (
    *CANDIDATES,
    "learning",
    "metrics/froc.py",
    "simulation/arms.py",
    "simulation/cycle.py",
    "simulation/learners.py",
    "stage_two",
)
"""What chooses, answers, learns and judges where stage two alone learns."""
TRAINING = code.TRAINED["network"]
"""What trains a network of stage one."""
RUN_OF_BOTH = (
    *RUN,
    *TRAINING,
    "retraining/matched_points.py",
    "simulation/both.py",
    "simulation/retrained.py",
    "simulation/reviews.py",
)
"""The same where both stages learn."""
