"""The harness: who generates load, how it is measured, what is concluded."""

# Locust puts the working directory before everything else on the path, so a folder `infra` there
# would be imported in place of ours. This package is always the first of ours to be imported.
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

if "infra" not in sys.modules:
    _place = Path(__file__).resolve().parents[1] / "infra"
    _spec = spec_from_file_location(
        "infra", _place / "__init__.py", submodule_search_locations=[str(_place)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["infra"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["infra"])
