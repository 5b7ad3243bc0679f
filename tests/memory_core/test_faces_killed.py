"""What a face of another library acknowledged is there after its process is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memory_core import verify
from tests.memory_core.killed_face import FACES, text

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("name", FACES)
def test_what_a_face_acknowledged_survives_a_kill(name: str, tmp_path: Path):
    """After SIGKILL every item that was put is there and found, and every deleted one gone."""
    folder = tmp_path / "memories"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.memory_core.killed_face", name, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    acknowledged = []
    with child:
        for line in child.stdout:
            # the last line may be cut
            if line.endswith("\n"):
                acknowledged.append(json.loads(line))
            if len(acknowledged) == 40:
                os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert len(acknowledged) >= 40
    deleted = {number for _, number in acknowledged if number is not None}
    face = FACES[name](folder)
    for number, _ in acknowledged:
        assert face.get(number) == (None if number in deleted else text(number))
        assert (face.found(number) == number) == (number not in deleted)
    face.close()
    assert verify(folder).is_clean
