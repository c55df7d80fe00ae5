"""Parts of the code that what the tables keep depends on (`osln.files.code`).

What is computed in minutes is made anew when its code changes. A training, which may have taken hours, is
kept, and the report names it. Networks' own code belongs to trainings: who changes it trains anew.
"""

_MATCHING = ("metrics/assignment.py", "metrics/criteria.py", "metrics/matching.py")
MAPS = (
    "imaging/transforms.py",
    "imaging/turns.py",
    "reproduction/stage_one.py",
    "stage_one/inference.py",
    "stage_one/windows.py",
)
"""What makes maps of trained networks."""
COUNTS = (
    *MAPS,
    *_MATCHING,
    "imaging/instances.py",
    "imaging/lung_column.py",
    "metrics/definitions.py",
    "metrics/sweep.py",
    "reproduction/classes.py",
    "stage_one/candidates.py",
    "stage_one/fusion.py",
)
"""What fuses maps and counts what they find."""
CANDIDATES = (
    *COUNTS,
    "reproduction/stage_two.py",
    "stage_two/candidate_sets.py",
    "stage_two/context.py",
    "stage_two/numbers.py",
    "stage_two/patches.py",
)
"""What makes candidates of fused maps, with all that stage two reads of them."""
TAGS = ("networks/lesanet.py", "reproduction/stage_two.py", "tagging/lesion_patch.py", "tagging/tagger.py")
"""What tags candidates."""
SCORES = (*CANDIDATES, *TAGS, "stage_two/scoring.py")
"""What a trained classifier scores them with."""
FINDINGS = (*_MATCHING, "mulan", "reproduction/end_to_end.py")
"""What a trained detector finds nodes with."""

TRAINED = {
    "network": ("learning", "networks", "reproduction/stage_one.py", "stage_one"),
    "classifier": (*SCORES, "learning", "networks", "stage_two"),
    "detector": (*FINDINGS, "learning", "networks", "tagging/node_tags.py"),
}
"""What a training learned by, by the first word of its name."""
