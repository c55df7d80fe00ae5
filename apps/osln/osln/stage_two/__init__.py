"""Scores of candidates: GLNet and its relatives (paper, section 3.2)."""
