"""`uvicorn app.main:app`: the gateway from a checkout, without installing the package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from twinleg.gateway.app import app  # found in src/

__all__ = ["app"]
