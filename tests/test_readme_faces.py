"""The README's examples of our store in the hands of others run as they stand there."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


def example(imported: str) -> str:
    """The one example that imports a name."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    [block] = [one for one in blocks if f"import {imported}\n" in one]
    return str(block)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imported", "printed"),
    [
        ("LangGraphStore", ["key='food'.*score=0", "key='food'.*score=None"]),
        ("LangChainStore", ["Ana loves pizza", "Bob goes hiking"]),
    ],
)
def test_an_example_finds_what_it_is_about(
    imported: str,
    printed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Each prints what its words are about, and nothing else."""
    monkeypatch.chdir(tmp_path)
    exec(compile(example(imported), str(README), "exec"), {"__name__": "example"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(printed)
    for line, expected in zip(lines, printed, strict=True):
        assert re.search(expected, line), line
        assert "sport" not in line
