"""Trained networks: their files, their versions, and the devices they run on."""
