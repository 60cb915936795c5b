"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("mapstyle", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mapstyle")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real geographic files, when this checkout has one beside it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data files (../shared/data) are not here")
    return folder
