"""What the subcommands share."""

from pathlib import Path

APP = Path(__file__).resolve().parents[2]
"""Folder of the app: the checkout's `apps/osln`."""
ROOT = APP.parents[1]
MODELS = APP / "model"
"""Where trained networks are kept."""
SAMPLES = ROOT / "sample-datastore"
