"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("mapstyle", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mapstyle")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden pictures anew")


def pytest_report_header():
    import cv2
    import numpy
    import pyogrio
    import rasterio
    import shapely

    return (
        f"numpy {numpy.__version__}, OpenCV {cv2.__version__}, GEOS {shapely.geos_version_string}, "
        f"GDAL {pyogrio.__gdal_version_string__} / {rasterio.__gdal_version__}"
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real geographic files, when this checkout has one beside it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data files (../shared/data) are not here")
    return folder
