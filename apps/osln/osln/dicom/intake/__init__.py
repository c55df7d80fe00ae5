"""From studies of a hospital to cases of a store."""
