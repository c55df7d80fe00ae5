"""Candidates: zones, streams, late fusion (paper, section 3.1)."""
