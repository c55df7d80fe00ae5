"""How any network learns: steps, state on disk, losses, arithmetic."""
