"""How any network learns: the one trainer, its state on disk, learning rates, losses."""
