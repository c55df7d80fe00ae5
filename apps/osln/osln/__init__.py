"""Detection of oncology-significant lymph nodes (OSLN) in radiotherapy CT and PET.

The science behind the server app: NumPy and torch in, NumPy and torch out. Follows Zhu et al.,
"Detecting scatteredly-distributed, small, and critically important objects in 3D oncology imaging
via decision stratification", arXiv 2005.13705 ("the paper" in every docstring of this package).
"""

__version__ = "0.1.0"
