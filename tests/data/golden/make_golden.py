"""Makes golden run directories, which later releases must go on reporting and comparing.

    python tests/data/golden/make_golden.py

writes beside itself, for schema version n and each plan of `RUNS`, ``schema-n-<name>.tar.gz``: a
run directory as a run left it, but for its report and what names the machine. It starts a Ray.

Run it once when a schema is new, and commit the files. They are never made again: a file that a
later release makes is no proof that it can read what this one made.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from harness.schema import SCHEMA_VERSION

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-c", "from harness.cli import main; main()"]
SMALL = ["--agents", "4", "--rounds", "4", "--seed", "7"]
PROBES = ["--probes", "200", "--searches", "60"]
RUNS = {
    "run": ["run", *SMALL],
    "run-again": ["run", *SMALL],
    "run-single-calls": ["run", *SMALL, "--pipelining", "off"],
    "run-open-loop": ["run", "--agents", "4", "--rate", "150", "--duration", "2", "--seed", "7"],
    "bench-agents": [
        *("bench", "agents", "--counts", "1,3", "--repeats", "1", "--step-duration", "0.3"),
        *("--seed", "7"),
    ],
    "bench-memory": ["bench", "memory", "--volumes", "300,1000", "--seed", "7", *PROBES],
    "bench-resources": [
        *("bench", "resources", "--duration", "3", "--rate", "60", "--preload", "100"),
        *("--cost-duration", "0", "--seed", "7"),
    ],
}
# by key, wherever it stands in a document
PLAIN = {"hostname": "localhost", "host": "localhost", "address": "127.0.0.1", "kernel": "6.1.0"}
LEFT_OUT = {"report.html"}


def main() -> None:
    """Make every file that is not there."""
    for name, arguments in RUNS.items():
        packed = HERE / f"schema-{SCHEMA_VERSION}-{name}.tar.gz"
        if packed.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / name
            # by its name alone, so that no document has a path of this machine
            subprocess.run([*COMMAND, *arguments, "--out", name], cwd=folder, check=True)
            with tarfile.open(packed, "x:gz", compresslevel=9) as archive:
                for file in sorted(out.rglob("*")):
                    if file.is_file() and file.name not in LEFT_OUT:
                        _add(archive, file, f"{name}/{file.relative_to(out).as_posix()}")


def _add(archive: tarfile.TarFile, file: Path, name: str) -> None:
    data = file.read_bytes()
    if file.suffix == ".json":
        data = json.dumps(_plain(json.loads(data)), indent=1).encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: PLAIN[key] if key in PLAIN and isinstance(one, str) and one != "local" else _plain(one)
        for key, one in value.items()
    }


if __name__ == "__main__":
    main()
