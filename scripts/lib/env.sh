# The environment behind scripts/run, scripts/test and scripts/lint: `.venv` in the checkout.
#
# Sourced (POSIX sh) by these scripts. Sets $root and $venv; `ensure_env [dev]` then sees to it
# that the environment is there and holds the package, with the requirements of the extra if one
# is named, and takes some milliseconds when it does already.
#
# What was installed is written to $venv/.stamp when an installation has succeeded, and removed
# before the next begins. An environment without a stamp, or whose stamp names another checkout
# or another Python, is made anew: one that was interrupted, moved, copied, or whose Python has
# gone. One lock a checkout keeps two scripts from installing at the same time.

root=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd -P)
venv=$root/.venv
lock_wait_s=1800

# The caller's own Python settings, and another active environment, must not leak in. (Without
# bytecode, each of the many processes of a run would compile all modules again.)
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE __PYVENV_LAUNCHER__
VIRTUAL_ENV=$venv
PATH_OF_CALLER=$PATH
PATH=$venv/bin:$PATH
export VIRTUAL_ENV PATH

say() {
    printf 'scripts/%s: %s\n' "${0##*/}" "$*" >&2
}

# fail EXIT_CODE WORD...
fail() {
    exit_code=$1
    shift
    say "$@"
    exit "$exit_code"
}

# ensure_env [dev]
ensure_env() {
    extra=${1-}
    # Whoever names a Python means that one, also when the environment has another already.
    if [ -n "${PYTHON-}" ]; then
        choose_python
    fi
    is_ready || install_env
}

# What an installation depends on: setup.py, and setup.cfg up to the settings of the tools.
setup_checksum() {
    { sed '/^\[tool:/,$d' "$root/setup.cfg" && cat "$root/setup.py"; } | cksum
}

# stamp PYTHON_VERSION EXTRA: the text that says what is installed.
stamp() {
    printf 'root %s\npython %s\nsetup %s\nextra %s\n' "$root" "$1" "$(setup_checksum)" "$2"
}

# The environment was finished, in this place, and with the Python that is there now. If so, sets
# $python_version.
is_whole() {
    [ -f "$venv/.stamp" ] || return 1
    found=$("$venv/bin/python" -E -S -c 'import sys; print(sys.version.split()[0])' 2>/dev/null) ||
        return 1
    if [ -n "${PYTHON-}" ] && [ "$found" != "$python_version" ]; then
        return 1
    fi
    [ "$(sed 2q "$venv/.stamp")" = "$(stamp "$found" '' | sed 2q)" ] || return 1
    python_version=$found
}

# It holds what is asked for; what has the extra also serves those that do not need it.
is_ready() {
    is_whole || return 1
    held=$(cat "$venv/.stamp")
    [ "$held" = "$(stamp "$python_version" "$extra")" ] ||
        [ "$held" = "$(stamp "$python_version" dev)" ]
}

install_env() {
    [ -w "$root" ] || fail 1 "cannot write to $root, where the environment belongs."
    if is_whole; then
        python=$venv/bin/python
    else
        choose_python
    fi
    trap 'exit 130' INT
    trap 'exit 143' TERM
    lock
    if ! is_ready; then
        started_s=$(date +%s)
        if is_whole; then
            # An extra that is there stays.
            extra=${extra:-$(sed -n 's/^extra //p' "$venv/.stamp")}
            rm "$venv/.stamp"
        else
            choose_python # again: what is_whole found may have gone while this waited
            make_venv
        fi
        say "installing the package and what it needs${extra:+, with the extra $extra}" \
            "(a minute or two the first time)"
        pip_install || {
            tail -n 20 "$venv/install.log" >&2
            fail 1 "the installation failed: what pip said last is above, all of it in" \
                "$venv/install.log."
        }
        stamp "$python_version" "$extra" >"$venv/.stamp.new"
        mv "$venv/.stamp.new" "$venv/.stamp"
        say "installed in $(($(date +%s) - started_s)) s"
    fi
    unlock
    trap - INT TERM
}

make_venv() {
    if [ -e "$venv" ]; then
        say "replacing .venv, which is unfinished or was made by another Python or elsewhere"
        rm -rf "$venv"
    fi
    say "creating .venv with Python $python_version"
    "$python" -m venv "$venv" >&2 || fail 1 "$python could not make the environment $venv."
}

# In a subshell. Standard output belongs to the command that follows: pip writes to a log.
pip_install() (
    cd -- "$root" || exit
    unset PIP_TARGET PIP_PREFIX PIP_ROOT
    PIP_USER=0 "$venv/bin/python" -m pip --disable-pip-version-check --no-input install \
        --use-pep517 --editable ".${extra:+[$extra]}" >"$venv/install.log" 2>&1
)

# The lock belongs to the open file, so it lasts until this shell closes it or dies.
lock() {
    exec 9>"$root/.venv.lock"
    try_lock 0 && return
    say "waiting for another installation in this checkout"
    try_lock "$lock_wait_s" || fail 1 "gave up after $lock_wait_s s: still another installation."
}

unlock() {
    exec 9>&-
}

# try_lock WAIT_S
try_lock() {
    "$python" -E -S -c '
import fcntl, sys, time
deadline_s = time.monotonic() + float(sys.argv[1])
while True:
    try:
        fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        if time.monotonic() >= deadline_s:
            sys.exit(1)
        time.sleep(0.2)
' "$1"
}

# Sets $python and $python_version to the first Python that will do; exit code 2 if none will.
choose_python() {
    # setup.cfg: python_requires = >=3.OLDEST,<3.NEXT
    span=$(sed -n 's/^python_requires *= *>=3\.\([0-9]*\),<3\.\([0-9]*\)$/\1 \2/p' \
        "$root/setup.cfg")
    oldest=${span% *}
    newest=$((${span#* } - 1))
    refusal=
    remedy=
    if [ -n "${PYTHON-}" ]; then
        consider_python "$PYTHON" && return
    else
        consider_python python3 && return
        minor=$oldest
        while [ "$minor" -le "$newest" ]; do
            consider_python "python3.$minor" && return
            minor=$((minor + 1))
        done
    fi
    fail 2 "${refusal:-"${PYTHON:-python3} is not there or does not start"}:" \
        "install ${remedy:-"Python 3.$oldest to 3.$newest (Debian: python3 and python3-venv)"}," \
        "or name another Python with PYTHON=/path/to/python3."
}

# consider_python COMMAND: whether it will do. If not, $refusal says why, of the likeliest one.
consider_python() {
    python=$(PATH=$PATH_OF_CALLER && command -v -- "$1") || return 1
    verdict=$("$python" -E -c '
import sys, sysconfig
oldest, newest = int(sys.argv[1]), int(sys.argv[2])
version = sys.version.split()[0]
if "PyPy" in sys.version:
    print("not PyPy " + version)
elif sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("not free-threaded Python " + version)
elif not (3, oldest) <= sys.version_info[:2] <= (3, newest):
    print("not Python " + version)
else:
    try:
        import ensurepip, venv
        # Not the link in an active environment, which may be the one to be replaced.
        print("ok " + version + " " + getattr(sys, "_base_executable", sys.executable))
    except ImportError:
        print("bare " + version)
' "$oldest" "$newest" 2>/dev/null) || return 1
    case $verdict in
    ok*)
        verdict=${verdict#ok }
        python_version=${verdict%% *}
        python=${verdict#* }
        return 0
        ;;
    bare*)
        python_version=${verdict#bare }
        refusal="$1 is Python $python_version without ensurepip"
        remedy="Debian's package python${python_version%.*}-venv"
        ;;
    not*)
        refusal=${refusal:-"$1 is ${verdict#not }, which is not supported"}
        ;;
    esac
    return 1
}
