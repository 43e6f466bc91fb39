"""`python main.py`: the engine from a checkout, without installing the package. The same as `twinleg run`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from twinleg.__main__ import main  # found in src/

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
