"""Parts of the code that a simulation's files depend on (`osln.files.code`)."""

from osln.reproduction import code

CANDIDATES = (
    *code.CANDIDATES,
    "active",
    "simulation/cases.py",
)
"""What finds candidates and tells of them what a simulation asks."""
RUN = (
    "active",
    "metrics/froc.py",
    "metrics/matching.py",
    "simulation/arms.py",
    "simulation/cycle.py",
    "simulation/learners.py",
    "stage_two",
)
"""What chooses, answers, learns and judges where stage two alone learns."""
RUN_OF_BOTH = (*RUN, "simulation/both.py", "simulation/retrained.py", "simulation/reviews.py", "stage_one")
"""The same where both stages learn."""
TRAINING = ("learning", "networks", "stage_one")
"""What trains a network of stage one."""
