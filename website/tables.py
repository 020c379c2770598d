"""Tables."""
from pathlib import Path
def pages() -> dict[Path, str]:
    """None yet."""
    return {}
