"""Active learning: which case, and which candidates in it, are worth an annotator's time next."""
