"""Scores of candidates (paper, section 3.2)."""
