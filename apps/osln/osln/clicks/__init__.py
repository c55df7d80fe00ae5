"""A node's outline from clicks: a small network, the best classical way, and what measures both."""
