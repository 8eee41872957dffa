"""Makes modules that tests of scores share importable, such as ``confident_reference``."""

import sys
from pathlib import Path

_here = str(Path(__file__).parent)
if _here not in sys.path:
    sys.path.append(_here)
