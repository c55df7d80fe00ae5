"""What a figure means: matching, criteria, curves, intervals."""
