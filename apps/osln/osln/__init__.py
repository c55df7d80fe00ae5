"""Detection of oncology-significant lymph nodes (OSLN) in radiotherapy CT and PET.

The science behind the server app: NumPy and torch in, NumPy and torch out. Follows Zhu et al.,
"Detecting scatteredly-distributed, small, and critically important objects in 3D oncology imaging
via decision stratification", arXiv 2005.13705 ("the paper" in every docstring of this package).
"""

import os
import sys

__version__ = "0.1.0"

# Nothing is told to others. OpenVINO tells Google Analytics of each import, with a number of this computer
# that it keeps in the home folder; where this package is missing it takes a stand-in that tells nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# MLflow, which MONAI Label imports, keeps such a number and reports what is called.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
