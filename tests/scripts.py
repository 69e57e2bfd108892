"""Scripts of the repository as modules: they are in no package."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(name):
    """Return the module of a script, such as "notebooks/run.py"; it finds what lies beside it, as when it is run."""
    path = ROOT / name
    spec = importlib.util.spec_from_file_location("_".join(path.relative_to(ROOT).with_suffix("").parts), path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(path.parent), *sys.path])
        spec.loader.exec_module(module)
    return module
