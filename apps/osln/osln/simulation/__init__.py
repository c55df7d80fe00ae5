"""Label-and-retrain cycles with the truth as annotator: what choosing what to ask is worth."""
