"""How any network learns."""
