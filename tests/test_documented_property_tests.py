"""The property tests in the documentation pass as a reader would save and run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/property_testing.md")
TESTS = [
    pytest.param(code, id=f"{page}-{i}")
    for page in PAGES
    for i, code in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    )
    if "def test_" in code
]


def test_there_are_tests():
    assert len(TESTS) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("code", TESTS)
def test_it_passes_in_a_fresh_process(code, tmp_path):
    """With numba's cache empty and hypothesis as it comes, its deadline of 200 ms included."""
    (tmp_path / "test_it.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
