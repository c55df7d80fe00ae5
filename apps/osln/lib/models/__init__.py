"""Inference, training and strategies as MONAI Label's tasks."""
