"""Nodes planted into a real CT."""
