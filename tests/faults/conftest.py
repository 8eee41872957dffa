"""Makes ``dsm_trials`` importable, here and in the processes that tests start."""

import sys
from pathlib import Path

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)
