"""Pictures of docs/pictures.md."""
from pathlib import Path
def files() -> dict[Path, str]:
    """None yet."""
    return {}
