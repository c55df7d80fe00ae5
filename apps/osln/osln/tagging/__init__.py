"""171 tags of a lesion (LesaNet)."""
