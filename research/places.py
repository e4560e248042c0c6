"""Where the data sets of the benchmarks and studies are."""

import os
from pathlib import Path

# Folders clinc150, hwu64, slurp and snli of JSON lines; README.md says what they hold.
DATA = Path(os.environ.get("THRESHER_DATA", Path(__file__).parents[2] / "shared" / "data"))
