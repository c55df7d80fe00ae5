"""What the module OSLN of 3D Slicer does, without its window: needs numpy alone, Python 3.9 and above."""
