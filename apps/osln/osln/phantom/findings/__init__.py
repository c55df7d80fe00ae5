"""Nodes, tumors and what looks like them."""
