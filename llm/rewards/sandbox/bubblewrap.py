"""The sandbox: one process of Python in namespaces of its own, made by bubblewrap.

It sees the interpreter, its library and the shared libraries that these need, read-only, and
nothing else: no network, no /proc, no place to write, an empty environment, no descriptors but its
own. It is killed with all that it started, whatever it does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from cpi_theory.checks import InvalidInput
from llm.rewards.sandbox import inside
from llm.rewards.sandbox.limits import Limits
from llm.rewards.sandbox.system_calls import seccomp_filter

Mode = Literal["run", "serve", "check"]
"""Of :mod:`llm.rewards.sandbox.inside`."""

_PYTHON = "/python/bin/python"
_ENVIRONMENT = {
    "LD_LIBRARY_PATH": "/python/lib",
    "LC_ALL": "C.UTF-8",
    "HOME": "/",
    # Sets have the same order in every process, so that a program has the same reward each time.
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
}
_NAMESPACES = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"),
    *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
)
_INSTALL = (
    "install it: apt-get install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora)"
)
_ALLOW = (
    "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1 or"
    " kernel.apparmor_restrict_unprivileged_userns=0; of a container, its seccomp profile)"
)


# Each library is a mount, and a mount takes time. Modules that show, ask or store have no use here.
_IDLE = re.compile("_tkinter|nis|_curses|readline|_dbm|_gdbm|_sqlite3|_uuid|_ssl|ossaudiodev")


class Box:
    """A process in the sandbox.

    Attributes:
        limits: of the process.
        overflowed: whether it wrote more than it may.
    """

    def __init__(
        self,
        mode: Mode,
        files: Mapping[str, bytes],
        limits: Limits,
        name: str = "",
        stdin: bytes | None = None,
        packages: tuple[str, ...] = (),
    ) -> None:
        """Start it.

        Args:
            mode: what it does.
            files: path in the sandbox -> content.
            limits: of the process.
            name: of a function.
            stdin: all that it reads; None: what is sent.
            packages: that its interpreter may import beside its library.

        Raises:
            InvalidInput: there is no bubblewrap, or a package is not installed.
        """
        self.limits, self.overflowed = limits, False
        self._buffer, self._ended = b"", False
        with contextlib.ExitStack() as stack:
            handles = {path: _memory_file(stack, data) for path, data in files.items()}
            syscalls = _memory_file(stack, seccomp_filter())
            self._status, status = os.pipe()
            stack.callback(os.close, status)
            command = [_bwrap(), *_NAMESPACES, *_system(packages)]
            for path, handle in handles.items():
                command += ["--ro-bind-data", str(handle), path]
            command += ["--remount-ro", "/", "--seccomp", str(syscalls)]
            command += ["--json-status-fd", str(status)]
            # -P, -s, -S: nothing is imported that is not named above.
            command += [_PYTHON, "-P", "-s", "-S", "-B", "/box/inside.py"]
            command += [mode, _resources(limits), name]
            source = subprocess.PIPE if stdin is None else _memory_file(stack, stdin)
            self._process = subprocess.Popen(
                command,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=(*handles.values(), syscalls, status),
                bufsize=0,
            )

    def send(self, line: bytes) -> None:
        """Send a line; one that nobody reads any more is lost."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")

    def line(self, deadline: float) -> bytes | None:
        """Return the next line that it writes.

        Args:
            deadline: by :func:`time.monotonic`.

        Returns:
            The line; None if it has ended, writes more than it may, or takes too long.
        """
        while b"\n" not in self._buffer:
            if not self._more(deadline):
                return None
        found, _, self._buffer = self._buffer.partition(b"\n")
        return found

    def everything(self, deadline: float) -> bytes | None:
        """Return all that it writes until it ends; None as for :meth:`line`."""
        while self._more(deadline):
            pass
        return self._buffer if self._ended else None

    def _more(self, deadline: float) -> bool:
        assert self._process.stdout is not None
        wait = max(deadline - time.monotonic(), 0.0)
        ready, _, _ = select.select([self._process.stdout], [], [], wait)
        if not ready:
            return False
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        self._ended = not data
        self._buffer += data
        self.overflowed = len(self._buffer) > self.limits.output
        return bool(data) and not self.overflowed

    def close(self, deadline: float | None = None) -> int | None:
        """End it and all that it started.

        Args:
            deadline: by which it may end by itself; None: at once.

        Returns:
            The exit status of the program, 128 and its number for a signal; None if it was ended
            from here.

        Raises:
            InvalidInput: if the sandbox itself could not be made: that is no fault of the program.
        """
        killed = not self._ends_by(time.monotonic() if deadline is None else deadline)
        if killed:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        with os.fdopen(self._status, "rb") as file:
            said = _objects(file.read())
        if "exit-code" in said:
            return int(said["exit-code"])
        if not killed:
            problem = f"bubblewrap ended with status {self._process.returncode}"
            remedy = "see that the machine has room for processes, and run the command again"
            raise InvalidInput("sandbox", _bwrap(), problem, remedy)
        return None

    def _ends_by(self, deadline: float) -> bool:
        """Whether it ends by itself until then."""
        # `wait` with a time would look again and again, and sleep in between.
        handle = os.pidfd_open(self._process.pid)
        try:
            wait = max(deadline - time.monotonic(), 0.0)
            return bool(select.select([handle], [], [], wait)[0])
        finally:
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.returncode is None:
            self.close()


def check_sandbox() -> None:
    """Refuse to go on where programs cannot be run in a sandbox; asked once per process.

    Raises:
        InvalidInput: saying what to install or to allow.
    """
    said = _trial()
    if said is not None:
        problem = f"does not start: {said}"
        raise InvalidInput("sandbox", _bwrap(), problem, _ALLOW)


@cache
def _trial() -> str | None:
    """What bubblewrap says when asked to run the interpreter; None if it does."""
    command = [_bwrap(), *_NAMESPACES, *_system(()), "--remount-ro", "/"]
    command += [_PYTHON, "-P", "-s", "-S", "-B", "-c", "print('works')"]
    done = subprocess.run(command, capture_output=True, env=_ENVIRONMENT, cwd="/", check=False)
    if done.stdout == b"works\n":
        return None
    return done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"


@cache
def _bwrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise InvalidInput("sandbox", "bwrap", "bubblewrap is not installed", _INSTALL)
    return found


@cache
def _system(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Options that show the interpreter, its library and the packages, and what they load."""
    binary = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    library = Path(sysconfig.get_path("stdlib"))
    loaded = [binary, *(p for p in library.glob("lib-dynload/*.so") if not _IDLE.match(p.name))]
    there = {binary: _PYTHON, library: f"/python/lib/{library.name}"}
    shared = sysconfig.get_config_var("INSTSONAME")
    if shared and (own := Path(sysconfig.get_config_var("LIBDIR")) / shared).exists():
        there[own] = f"/python/lib/{shared}"
    for package in packages:
        for folder in _package_folders(package):
            there[folder] = f"/packages/{folder.name}"
            loaded += folder.rglob("*.so*")
    there[Path(inside.__file__)] = "/box/inside.py"
    there |= {path: str(path) for path in _libraries(loaded) - there.keys()}
    options = [part for path, place in there.items() for part in ("--ro-bind", str(path), place)]
    # Packages of the interpreter's owner are none of the program's business.
    if (library / "site-packages").exists():
        options += ["--tmpfs", f"/python/lib/{library.name}/site-packages"]
        options += ["--remount-ro", f"/python/lib/{library.name}/site-packages"]
    for device in ("/dev/null", "/dev/urandom"):
        options += ["--dev-bind", device, device]
    return tuple(options)


def _package_folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        problem = "tests of programs need it, and it is not installed"
        raise InvalidInput("package", package, problem, f"pip install {package}")
    folder = Path(spec.origin).parent
    libraries = folder.with_name(f"{package}.libs")
    return [folder, *([libraries] if libraries.exists() else [])]


def _libraries(binaries: Sequence[Path]) -> set[Path]:
    """The shared libraries that binaries load, and the loader itself, by ldd."""
    said = subprocess.run(
        ["ldd", *map(str, binaries)], capture_output=True, text=True, check=False
    ).stdout
    found = {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)}
    # Loaded by name when a thread ends.
    found |= {libc.with_name("libgcc_s.so.1") for libc in found if libc.name.startswith("libc.so")}
    return {path for path in found if path.exists()}


def _resources(limits: Limits) -> str:
    """Limits of a process, as :mod:`resource` names them."""
    named = {
        "CPU": limits.cpu_seconds,
        "AS": limits.memory,
        "NPROC": limits.threads,
        "NOFILE": 64,
        "FSIZE": 0,
        "CORE": 0,
        "MEMLOCK": 0,
    }
    return ",".join(f"{name}={value}" for name, value in named.items())


def _memory_file(stack: contextlib.ExitStack, data: bytes) -> int:
    """A file in memory that holds `data`, closed with the stack."""
    handle = os.memfd_create("program", os.MFD_CLOEXEC)
    stack.callback(os.close, handle)
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _objects(data: bytes) -> dict[str, Any]:
    """All fields of the JSON objects that bubblewrap reports, one a line."""
    found: dict[str, Any] = {}
    for line in data.splitlines():
        with contextlib.suppress(ValueError):  # it was killed while writing
            found.update(json.loads(line))
    return found
