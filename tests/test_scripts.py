"""scripts/run, scripts/test and scripts/lint as real processes, each in a copy of its own.

Nothing is downloaded: `python3` on the PATH is a shell script in front of the real interpreter,
which pretends to be any version, and gives the environments that it makes a pip of a few lines.
That pip writes down what it was asked for, and installs programs that say how they were called.
The PATH holds nothing else but the few tools that the scripts may use.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent
TOOLS = ["cat", "cksum", "date", "dirname", "mv", "readlink", "rm", "sed", "tail"]
WAIT_S = 30.0

# Stands before every program that the scripts give to `python -c`.
PRETENCE = """\
import sys
sys.version = "{version} (pretended)"
sys.version_info = ({tuple}, "final", 0)
sys._base_executable = {path!r}
"""

# {real} is the real interpreter, {modules} the folder with what takes pip's and pytest's place.
PYTHON = """\
#!/bin/sh
if [ "$1" = -E ] && [ "$2" = -c ]; then
    code=$3
    shift 3
    exec {real} -E -c "{pretence}
$code" "$@"
fi
if [ "$1 $2" = "-m venv" ]; then
    {real} -m venv --without-pip "$3" || exit
    for packages in "$3"/lib/python*/site-packages; do
        printf '%s\\n' {modules} >"$packages/pretended.pth"
    done
    exit
fi
exec {real} "$@"
"""

PIP = """\
import os, pathlib, sys, time

root = pathlib.Path.cwd()
with open(root / "pip.log", "a") as log:
    print(*sys.argv[1:], file=log)
print("pip says this")
gate = root / "pip.gate"
while gate.exists():
    time.sleep(0.02)
if "PIP_TARGET" in os.environ:
    sys.exit("this would go elsewhere")
if (root / "pip.fails").exists():
    sys.exit("no such thing as faiss-cpu")
for name in ["harness", "ruff", "mypy", "lint-imports"]:
    program = root / ".venv" / "bin" / name
    program.write_text(
        "#!/bin/sh\\n"
        f'echo {name} "$@"\\n'
        'echo "cwd $PWD"; echo "pid $$"\\n'
        'echo "PYTHONPATH=${PYTHONPATH-} PYTHONHOME=${PYTHONHOME-} VIRTUAL_ENV=$VIRTUAL_ENV"\\n'
        f'[ ! -e {name}.hangs ] || exec tail -f pip.log\\n'
        f'[ ! -e {name}.fails ]\\n'
    )
    program.chmod(0o755)
"""

PYTEST = """\
import os, sys

print("pytest", sys.argv[1:])
print("cwd", os.getcwd())
"""


@dataclass
class Checkout:
    """A copy of the scripts, and a machine of which it sees no more than `bin`."""

    root: Path
    bin: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, script: str | Path, *arguments: str, cwd: Path | None = None, **env: str
    ) -> subprocess.Popen[str]:
        """Starts a script in a process group of its own, in the root unless `cwd` is given."""
        process = subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=cwd or self.root,
            env={"PATH": str(self.bin), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a test run in the background has Ctrl-C ignored, which a shell script cannot undo
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        self.started.append(process)
        return process

    def run(
        self, script: str | Path, *arguments: str, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script to its end."""
        process = self.start(script, *arguments, cwd=cwd, **env)
        out, err = process.communicate(timeout=WAIT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def python(self, name: str, version: str, *, lacks: str | None = None) -> Path:
        """Puts a Python that pretends to be `version` on the PATH."""
        path = self.bin / name
        pretence = PRETENCE.format(
            version=version, tuple=", ".join(version.split(".")), path=str(path)
        )
        if lacks:
            pretence += f"sys.modules[{lacks!r}] = None\n"
        escaped = pretence.replace("\\", "\\\\").replace('"', '\\"')
        path.write_text(
            PYTHON.format(
                real=quoted(sys.executable),
                pretence=escaped,
                modules=quoted(str(self.bin.parent / "modules")),
            )
        )
        path.chmod(0o755)
        return path

    @property
    def installs(self) -> list[str]:
        """What pip was asked for, each time."""
        log = self.root / "pip.log"
        return log.read_text().splitlines() if log.exists() else []

    def stall_pip(self) -> Path:
        """Lets pip hang until the file that is returned has gone."""
        gate = self.root / "pip.gate"
        gate.touch()
        return gate

    def stop(self) -> None:
        """Ends what a test has left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            with process:
                pass


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("waited in vain")
        time.sleep(0.01)


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n") and ". " not in text


@pytest.fixture(params=["checkout"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkout]:
    machine = Checkout(root=tmp_path / request.param, bin=tmp_path / "bin")
    shutil.copytree(SOURCE / "scripts" / "lib", machine.root / "scripts" / "lib")
    for name in ["run", "test", "lint"]:
        shutil.copy(SOURCE / "scripts" / name, machine.root / "scripts")
    for name in ["setup.cfg", "setup.py"]:
        shutil.copy(SOURCE / name, machine.root)
    machine.bin.mkdir()
    for tool in TOOLS:
        (machine.bin / tool).symlink_to(shutil.which(tool))
    for name, text in {"pip": PIP, "pytest": PYTEST}.items():
        (tmp_path / "modules" / name).mkdir(parents=True)
        (tmp_path / "modules" / name / "__main__.py").write_text(text)
    machine.python("python3", sys.version.split()[0])
    yield machine
    machine.stop()


def test_first_run_makes_the_environment_and_hands_over(checkout: Checkout):
    """The first run says what it makes, installs the package, and passes its arguments on."""
    done = checkout.run("run", "--agents", "500", "--note", "two words")
    assert done.returncode == 0
    assert done.stdout.startswith("harness run --agents 500 --note two words\n")
    assert "scripts/run: creating .venv with Python 3." in done.stderr
    assert "scripts/run: installing the package" in done.stderr
    assert len(checkout.installs) == 1
    assert checkout.installs[0].endswith("--editable .")


def test_nothing_is_installed_twice(checkout: Checkout):
    """A second run installs nothing and says nothing of its own."""
    checkout.run("run")
    again = checkout.run("run")
    assert again.stdout.startswith("harness run\n")
    assert again.stderr == ""
    assert len(checkout.installs) == 1


def test_standard_output_is_the_commands_own(checkout: Checkout):
    """What is said about the environment, by pip too, stays off standard output."""
    done = checkout.run("run")
    assert done.stdout.splitlines()[0] == "harness run"
    assert "pip says this" not in done.stdout


def test_harness_replaces_the_script(checkout: Checkout):
    """The harness takes the script's process over, so that signals reach it."""
    checkout.run("run")
    process = checkout.start("run")
    out, _ = process.communicate(timeout=WAIT_S)
    assert f"pid {process.pid}\n" in out


@pytest.mark.parametrize("checkout", ["a 'check out' \"$1\""], indirect=True)
def test_any_path_and_working_directory_will_do(checkout: Checkout, tmp_path: Path):
    """Spaces and quotes in the path do no harm, and the caller's working directory stays."""
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    assert checkout.run("run", cwd=elsewhere).returncode == 0
    again = checkout.run("run", cwd=elsewhere)
    assert f"cwd {elsewhere}\n" in again.stdout
    assert again.stderr == ""


def test_script_works_through_a_link(checkout: Checkout, tmp_path: Path):
    """A symbolic link to a script works as the script does."""
    link = tmp_path / "my-run"
    link.symlink_to(checkout.root / "scripts" / "run")
    checkout.run("run")
    done = checkout.run(link)
    assert done.returncode == 0, done.stderr
    assert (checkout.root / ".venv" / ".stamp").exists()


def test_callers_python_settings_do_not_leak_in(checkout: Checkout, tmp_path: Path):
    """PYTHONPATH, PYTHONHOME and another active environment stay outside."""
    done = checkout.run(
        "run",
        PYTHONPATH=str(tmp_path),
        PYTHONHOME="/nowhere",
        VIRTUAL_ENV=str(tmp_path / "other"),
        PIP_TARGET=str(tmp_path / "target"),
    )
    assert done.returncode == 0, done.stderr
    assert f"PYTHONPATH= PYTHONHOME= VIRTUAL_ENV={checkout.root}/.venv\n" in done.stdout


def test_a_change_of_requirements_is_installed(checkout: Checkout):
    """When setup.cfg asks for something else, it is installed into the same environment."""
    checkout.run("run")
    (checkout.root / ".venv" / "mine").touch()
    setup = checkout.root / "setup.cfg"
    setup.write_text(setup.read_text().replace("numpy >=2.1", "numpy >=2.2"))
    done = checkout.run("run")
    assert "installing the package" in done.stderr
    assert "creating" not in done.stderr
    assert (checkout.root / ".venv" / "mine").exists()
    assert checkout.run("run").stderr == ""


def test_tool_settings_install_nothing(checkout: Checkout):
    """A change of the settings of pytest, mypy or import-linter installs nothing."""
    checkout.run("run")
    setup = checkout.root / "setup.cfg"
    setup.write_text(setup.read_text().replace("timeout = 120", "timeout = 60"))
    assert checkout.run("run").stderr == ""


def test_extra_is_added_and_kept(checkout: Checkout):
    """The dev extra comes into the environment that is there, serves runs too, and stays."""
    checkout.run("run")
    assert checkout.run("test").returncode == 0
    assert checkout.run("run").stderr == ""
    setup = checkout.root / "setup.py"
    setup.write_text(setup.read_text() + "\n")
    checkout.run("run")
    assert [line.split()[-1] for line in checkout.installs] == [".", ".[dev]", ".[dev]"]


def test_killed_installation_is_redone(checkout: Checkout):
    """An installation that was killed half-way is made anew by the next run."""
    gate = checkout.stall_pip()
    process = checkout.start("run")
    until(lambda: len(checkout.installs) == 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    gate.unlink()
    done = checkout.run("run")
    assert done.returncode == 0
    assert "replacing .venv" in done.stderr
    assert len(checkout.installs) == 2


def test_killed_change_is_redone(checkout: Checkout):
    """An environment in which a change was being installed when that was killed is made anew."""
    checkout.run("run")
    gate = checkout.stall_pip()
    process = checkout.start("test")
    until(lambda: len(checkout.installs) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    gate.unlink()
    assert "replacing .venv" in checkout.run("run").stderr


def test_interrupted_installation_ends_with_130(checkout: Checkout):
    """Ctrl-C during an installation ends the script with exit code 130, at once."""
    checkout.stall_pip()
    process = checkout.start("run")
    until(lambda: len(checkout.installs) == 1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 130


def test_failed_installation_says_why(checkout: Checkout):
    """An installation that fails shows pip's last words, exits 1, and is redone."""
    (checkout.root / "pip.fails").touch()
    done = checkout.run("run")
    assert done.returncode == 1
    assert "no such thing as faiss-cpu" in done.stderr
    assert "scripts/run: the installation failed" in done.stderr
    (checkout.root / "pip.fails").unlink()
    assert checkout.run("run").returncode == 0


def test_two_at_once_install_once(checkout: Checkout):
    """Of two scripts that start together one installs, and the other waits and then goes on."""
    gate = checkout.stall_pip()
    first = checkout.start("run", "first")
    until(lambda: len(checkout.installs) == 1)
    second = checkout.start("run", "second")
    assert second.stderr is not None
    assert second.stderr.readline() == (
        "scripts/run: waiting for another installation in this checkout\n"
    )
    gate.unlink()
    for process, name in [(first, "first"), (second, "second")]:
        out, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
        assert out.startswith(f"harness run {name}\n")
    assert len(checkout.installs) == 1


def test_lock_ends_with_the_installation(checkout: Checkout):
    """A harness that was started by the script that installed holds up no later installation."""
    (checkout.root / "harness.hangs").touch()
    running = checkout.start("run")
    assert running.stdout is not None
    assert running.stdout.readline() == "harness run\n"
    later = checkout.run("test")
    assert later.returncode == 0
    assert "waiting" not in later.stderr
    assert running.poll() is None


def test_moved_checkout_gets_a_new_environment(checkout: Checkout, tmp_path: Path):
    """An environment that was made at another path is noticed and made anew."""
    checkout.run("run")
    moved = checkout.root.rename(tmp_path / "moved")
    checkout.root = moved
    done = checkout.run("run")
    assert "replacing .venv" in done.stderr
    assert f"VIRTUAL_ENV={moved}/.venv\n" in done.stdout


def test_environment_of_another_place_and_python_is_made_anew_once(checkout: Checkout):
    """What is written down is the Python of the new environment, not of the one it replaces."""
    checkout.run("run")
    stamp = checkout.root / ".venv" / ".stamp"
    made_of = stamp.read_text()
    stamp.write_text(made_of.replace(f"root {checkout.root}", "root /elsewhere"))
    checkout.python("python3", "3.14.99")
    checkout.run("run")
    version = sys.version.split()[0]
    assert stamp.read_text() == made_of.replace(f"python {version}", "python 3.14.99")


def test_environment_without_its_python_is_made_anew(checkout: Checkout):
    """When the Python behind the environment has gone, another takes its place."""
    checkout.run("run")
    for link in (checkout.root / ".venv" / "bin").glob("python*"):
        link.unlink()
    done = checkout.run("run")
    assert done.returncode == 0
    assert "replacing .venv" in done.stderr


def test_active_environment_can_be_replaced_by_itself(checkout: Checkout):
    """When the broken environment is the active one, the Python behind it makes the new one."""
    checkout.run("run")
    environment = checkout.root / ".venv"
    (environment / ".stamp").unlink()
    for link in environment.glob("bin/python*"):
        link.unlink()
    shutil.copy(checkout.bin / "python3", environment / "bin" / "python3")
    done = checkout.run("run", PATH=f"{environment}/bin:{checkout.bin}")
    assert done.returncode == 0, done.stderr
    assert "replacing .venv" in done.stderr


@pytest.mark.parametrize("version", ["2.7.18", "3.10.13", "3.15.0"])
def test_unsupported_python_is_refused(checkout: Checkout, version: str):
    """An unsupported Python is refused in one sentence that names the remedy, with exit code 2."""
    checkout.python("python3", version)
    done = checkout.run("run")
    assert done.returncode == 2
    assert one_sentence(done.stderr), done.stderr
    assert f"python3 is Python {version}, which is not supported" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_no_python_is_refused(checkout: Checkout):
    """Without any Python the script says so in one sentence, with exit code 2."""
    (checkout.bin / "python3").unlink()
    done = checkout.run("test")
    assert done.returncode == 2
    assert one_sentence(done.stderr), done.stderr


def test_named_python_is_refused_although_another_is_installed(checkout: Checkout):
    """A Python named by PYTHON is meant: unsupported, it is refused even when all is installed."""
    checkout.run("run")
    old = checkout.python("old", "3.10.1")
    done = checkout.run("run", PYTHON=str(old))
    assert done.returncode == 2
    assert one_sentence(done.stderr), done.stderr
    assert checkout.run("run").stderr == ""


def test_another_name_is_tried(checkout: Checkout):
    """When python3 will not do, python3.11 and its successors are tried."""
    checkout.python("python3", "3.9.2")
    checkout.python("python3.12", "3.12.4")
    done = checkout.run("run")
    assert done.returncode == 0
    assert "creating .venv with Python 3.12.4" in done.stderr


def test_missing_ensurepip_names_the_package(checkout: Checkout):
    """A Python that cannot make environments is refused with the name of Debian's package."""
    checkout.python("python3", "3.12.3", lacks="ensurepip")
    done = checkout.run("run")
    assert done.returncode == 2
    assert one_sentence(done.stderr), done.stderr
    assert "python3.12-venv" in done.stderr


def test_quick_leaves_slow_tests_out(checkout: Checkout, tmp_path: Path):
    """`--quick` becomes pytest's filter, and other arguments go to pytest, from the root."""
    done = checkout.run("test", "--quick", "-k", "two words", cwd=tmp_path)
    processes = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    given = [*processes, "-m", "not slow", "-k", "two words"]
    assert done.stdout == (f"pytest {given}\ncwd {checkout.root}\n")


@pytest.mark.parametrize("named", ["tests/test_trace.py", "tests/test_trace.py::test_it"])
def test_what_is_named_runs_in_one_process(checkout: Checkout, named: str):
    """Processes beside each other are for the whole suite."""
    done = checkout.run("test", named)
    assert done.stdout == f"pytest {[named]}\ncwd {checkout.root}\n"
    done = checkout.run("test", TEST_PROCESSES="5")
    assert "'-n', '5'" in done.stdout


def test_lint_runs_everything_and_fails_if_anything_did(checkout: Checkout):
    """A linter that fails stops no other, and fails the whole."""
    assert checkout.run("lint").returncode == 0
    (checkout.root / "ruff.fails").touch()
    done = checkout.run("lint")
    assert done.returncode == 1
    assert "scripts/lint: failed: ruff check ., ruff format --check .\n" in done.stderr
    for command in ["ruff check .", "ruff format --check .", "mypy --strict", "lint-imports"]:
        assert command in done.stdout
