"""``python scripts/lib/lab``: puts the package's own folder on the path, and runs it."""

import sys
from pathlib import Path

sys.path.pop(0)  # its modules are not to be found under their bare names
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.command import main

if __name__ == "__main__":
    sys.exit(main())
