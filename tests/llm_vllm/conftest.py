"""These tests need vLLM, which lives in an environment of its own: `make test-vllm`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]


def pytest_configure(config):
    # vLLM and what it imports warn of much that only they could mend.
    if find_spec("vllm"):
        config.addinivalue_line("filterwarnings", "ignore")
