"""Writing generated files."""
from pathlib import Path


def write_if_changed(path, text):
    """Leaves the file's time stamp alone when nothing changed, so that nothing is rebuilt."""
    path = Path(path)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
