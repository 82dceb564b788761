import pytest
from hypothesis import settings


def pytest_collection_modifyitems(items):
    if settings.get_current_profile_name() == "nightly":
        for item in items:
            item.add_marker(pytest.mark.timeout(0))  # each of its inputs has a time of its own
