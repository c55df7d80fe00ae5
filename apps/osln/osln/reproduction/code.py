"""Parts of the code that what the tables keep depends on (`osln.files.code`).

What is computed in minutes is made anew when its code changes. A training, which may have taken hours, is
kept, and the report names it. Networks' own code belongs to trainings: who changes it trains anew.
"""

SEEN = (
    "imaging/distance.py",
    "imaging/grid.py",
    "imaging/instances.py",
    "imaging/lung_column.py",
    "imaging/lungs.py",
    "imaging/resampling.py",
    "imaging/reviewed_part.py",
    "imaging/study.py",
    "imaging/transforms.py",
    "imaging/turns.py",
    "rows/constants.py",
)
"""What is seen of a patient, and as what: everything depends on it."""
_MATCHING = ("metrics/assignment.py", "metrics/criteria.py", "metrics/matching.py")
MAPS = (
    *SEEN,
    "reproduction/stage_one.py",
    "stage_one/inference.py",
    "stage_one/windows.py",
)
"""What makes maps of trained networks."""
COUNTS = (
    *MAPS,
    *_MATCHING,
    "metrics/definitions.py",
    "metrics/sweep.py",
    "reproduction/classes.py",
    "stage_one/candidates.py",
    "stage_one/fusion.py",
    "stage_one/learned_fusion.py",
)
"""What fuses maps and counts what they find."""
CANDIDATES = (
    *COUNTS,
    "reproduction/stage_two.py",
    "stage_two/candidate_sets.py",
    "stage_two/context.py",
    "stage_two/numbers.py",
    "stage_two/patches.py",
    "tagging/lesion_patch.py",
)
"""What makes candidates of fused maps, with all that stage two reads of them."""
TAGS = (
    *SEEN,
    "networks/lesanet.py",
    "networks/roi_pool.py",
    "reproduction/stage_two.py",
    "rows/tags.py",
    "tagging/lesion_patch.py",
    "tagging/tagger.py",
)
"""What tags candidates."""
SCORES = (*CANDIDATES, *TAGS, "stage_two/scoring.py")
"""What a trained classifier scores them with."""
FINDINGS = (*SEEN, *_MATCHING, "mulan", "reproduction/end_to_end.py", "rows/tags.py", "tagging/node_tags.py")
"""What a trained detector finds nodes with."""

TRAINED = {
    "network": (
        *SEEN,
        *_MATCHING,
        "learning",
        "metrics/definitions.py",
        "metrics/sweep.py",
        "networks",
        "reproduction/stage_one.py",
        "rows/tags.py",
        "stage_one",
    ),
    "classifier": (*SCORES, "learning", "metrics/froc.py", "networks", "stage_two"),
    "detector": (*FINDINGS, "learning", "networks"),
}
"""What a training learned by, by the first word of its name."""
