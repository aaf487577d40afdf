"""`make screenshots` takes the pictures that the documentation shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("selenium")

import screenshots
from PIL import Image
from screenshots import IMAGES, MOST_BYTES

pytestmark = [pytest.mark.scheduler, pytest.mark.browser, pytest.mark.timeout(1800)]

# Below it, a page has not been drawn, or only its frame.
LEAST_COLOURS = 50
# Run ids and durations wrap differently now and then; a field more or less in a form is more.
TOLERATED = 0.06


@pytest.fixture(scope="module")
def taken(chromium, tmp_path_factory):
    """The pictures as they would be taken today, by name."""
    into = tmp_path_factory.mktemp("images")
    done = subprocess.run(
        [sys.executable, screenshots.__file__, "--into", str(into)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path for path in into.iterdir()}


def test_every_picture_of_the_documentation_is_taken_and_none_is_missing(taken):
    assert set(taken) == {path.name for path in IMAGES.glob("*.png")}


def test_every_picture_shows_something_and_is_small(taken):
    for path in taken.values():
        with Image.open(path) as image:
            assert len(image.convert("RGB").getcolors(image.width * image.height)) > LEAST_COLOURS, path.name
        assert path.stat().st_size <= MOST_BYTES


def test_the_pictures_of_the_documentation_are_of_todays_pages(taken):
    for name, path in taken.items():
        with Image.open(path) as today, Image.open(IMAGES / name) as shown:
            assert today.size == pytest.approx(shown.size, rel=TOLERATED), f"{name} is old: make screenshots"
