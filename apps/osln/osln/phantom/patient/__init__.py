"""From a plan to images."""
