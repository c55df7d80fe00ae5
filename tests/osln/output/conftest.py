from small.outputs import bright as bright
from small.outputs import bright_models as bright_models
