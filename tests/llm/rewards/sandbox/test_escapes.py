"""Programs that try to get out of the sandbox, or to be paid without being right.

Each tries something and then gives the expected answer: it is paid only if that worked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm.rewards.sandbox.judge import ENDED, LATE, LOUD, RAISED, WRONG, judge_program
from llm.rewards.sandbox.limits import Limits
from tests.llm.rewards.sandbox.sandboxed import checks, needs_sandbox, prints, returns

pytestmark = needs_sandbox

QUICK = Limits(cpu_seconds=1, wall_seconds=3.0, total_seconds=8.0, memory=512 << 20)
LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"

ATTACKS = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "child process": "import subprocess\nsubprocess.run(['/python/bin/python', '-c', ''])",
    "multiprocessing": "import multiprocessing as m\np = m.Process(target=print)\np.start()",
    "memory bomb": "x = bytearray(4 << 30)",
    "memory, bit by bit": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "memory that limits do not count": "import os\nos.memfd_create('x')",
    "thread bomb": "import threading, time\n"
    "for _ in range(10_000): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    "endless output": "while True: print('x' * 1000)",
    "exit 0": "import sys\nsys.exit(0)",
    "os._exit": "import os\nos._exit(0)",
    "/etc/passwd": "open('/etc/passwd')",
    "/etc/passwd, somewhere": "open('/proc/1/root/etc/passwd')",
    "/proc": "open('/proc/self/status')",
    "the parent's environment": "open('/proc/1/environ')",
    "home": "import os\nassert os.listdir('/root') or os.listdir('/home')",
    "this project": "import llm",
    "installed packages": "import numpy",
    "writing outside": "open('/tmp/x', 'w')",
    "writing beside the program": "open('/box/x', 'w')",
    "writing over the library": "import os\nopen(os.__file__, 'a').write('x')",
    "shared memory": "open('/dev/shm/x', 'w')",
    "10,000 files": "for i in range(10_000): open(f'/box/{i}', 'w').write('x')",
    "symbolic link": "import os\nos.symlink('/etc/passwd', '/box/link')\nopen('/box/link')",
    "socket": "import socket\nsocket.socket()",
    "unix socket": "import socket\nsocket.socketpair()",
    "network": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "killing the parent": "import os\nos.kill(os.getppid(), 9)",
    "killing the first process": "import os\nos.kill(1, 9)",
    "killing all": "import os\nos.kill(-1, 9)",
    "ptrace": f"{LIBC}assert libc.ptrace(16, 1, 0, 0) == 0",
    "ptrace of itself": f"{LIBC}assert libc.ptrace(0, 0, 0, 0) == 0",
    "another's memory": f"{LIBC}assert libc.process_vm_readv(1, 0, 0, 0, 0, 0) >= 0",
    "new namespaces": f"{LIBC}assert libc.unshare(0x10000000) == 0",
    "mount": f"{LIBC}assert libc.mount(b'x', b'/box', b'tmpfs', 0, 0) == 0",
    "raising its limits": "import resource as r\nr.setrlimit(r.RLIMIT_AS, (-1, -1))",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "deep recursion in C": "x = []\nfor _ in range(10**7): x = [x]\nprint(repr(x))",
    "sleeping": "import time\ntime.sleep(60)",
    "working": "while True: pass",
    "deaf to signals": "import signal\nfor s in (24, 15, 14): signal.signal(s, signal.SIG_IGN)\n"
    "while True: pass",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_escape_is_contained_and_the_next_program_is_unaffected(attack):
    source = f"import sys\n{ATTACKS[attack]}\nprint('escaped')\n"
    found = judge_program(source, prints("escaped"), QUICK)
    assert (found.all_passed, found.fraction, found.total) == (0.0, 0.0, 1)
    assert judge_program("print('fine')", prints("fine"), QUICK).all_passed == 1.0
    assert children() == []


def children():
    """Processes that this one has started and that are still there, but for shared workers."""
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    running = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in path.read_text().split()]
    return [line for line in running if line.startswith(b"bwrap") or b"/bwrap\0" in line]


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("endless output", LOUD),
        ("sleeping", LATE),
        ("working", LATE),
        ("deaf to signals", LATE),
        ("exit 0", WRONG),
        ("/etc/passwd", RAISED),
        ("memory bomb", RAISED),
    ],
)
def test_why_it_failed_is_told(attack, reason):
    found = judge_program(ATTACKS[attack], prints("escaped"), QUICK)
    assert found.failures == {reason: 1}


def test_the_environment_is_empty_and_no_descriptor_is_inherited(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "value")
    source = (
        "import os\nprint(sorted(os.environ))\nthere = []\n"
        "for i in range(64):\n    try: os.fstat(i); there.append(i)\n    except OSError: pass\n"
        "print(there)"
    )
    names = "['HOME', 'LC_ALL', 'LD_LIBRARY_PATH', 'OPENBLAS_NUM_THREADS', 'PWD', 'PYTHONHASHSEED']"
    with open(os.devnull) as file:
        os.set_inheritable(file.fileno(), True)
        found = judge_program(source, prints(f"{names}\n[0, 1, 2]"), QUICK)
    assert found.all_passed == 1.0


def test_all_that_it_sees():
    source = "import os\nfor p in ('/', '/dev', '/box', '/python'): print(sorted(os.listdir(p)))"
    seen = "['null', 'urandom']\n['inside.py', 'program.py']\n['bin', 'lib']"
    # Where a machine keeps its shared libraries differs.
    places = (["lib", "lib64", "python"], ["lib", "lib64", "python", "usr"])
    tests = [prints(f"{['box', 'dev', *more]}\n{seen}") for more in places]
    assert any(judge_program(source, one, QUICK).all_passed for one in tests)


CHEATS = {
    "exit at once": "import sys\nsys.exit(0)",
    "exit when called": "import os\ndef double(x): os._exit(0)",
    "a value that equals all": "class E:\n    def __eq__(self, o): return True\n"
    "def double(x): return E()",
    "a number that equals all": "class E(int):\n    def __eq__(self, o): return True\n"
    "    def __hash__(self): return 0\ndef double(x): return E(0)",
    "patched builtins": "import builtins\n"
    "builtins.AssertionError = type('X', (BaseException,), {})\n"
    "builtins.len = builtins.sum = builtins.abs = lambda *a: 0\ndef double(x): return 0",
    "a patched checker": "import sys\nmain = sys.modules['__main__']\n"
    "for name in ('decode', 'counted', 'check', '_call'): setattr(main, name, lambda *a: 0)\n"
    "sys.modules['json'] = None\ndef double(x): return 0",
    "the caller's frame": "import sys\ndef double(x):\n    frame = sys._getframe()\n"
    "    while frame:\n        frame.f_globals['counts'] = {'passed': 9, 'failed': 0}\n"
    "        frame = frame.f_back\n    return 0",
    "replies of its own": "import os\nfor line in (b'{\"ready\": true}', b'{\"value\": 0}') * 9:\n"
    "    for i in range(3, 30):\n        try: os.write(i, line + b'\\n')\n"
    "        except OSError: pass\ndef double(x): return 0",
    "a verdict of its own": "import os\nfor i in range(3, 30):\n"
    '    try: os.write(i, b\'{"ready": true, "done": {"passed": 9, "failed": 0}}\\n\' * 9)\n'
    "    except OSError: pass\ndef double(x): return 0",
    "no JSON": "import os\nfor i in range(3, 30):\n    try: os.write(i, b'[' * 100_000 + b'\\n')\n"
    "    except OSError: pass\ndef double(x): return 0",
    "deep values": "def double(x):\n    y = []\n    for _ in range(900): y = [y]\n    return y",
    "endless values": "def double(x): return 'x' * (1 << 22)",
    "no value": "def double(x): return lambda: x",
    "no function": "double = 5",
    "not Python": "def double(x) return 2 * x",
    "sleeping": "import time\ndef double(x): time.sleep(60)",
}

TESTS = {
    "calls": returns("double", ("[1]", "2"), ("[3]", "6")),
    "checks": checks(
        "double",
        "def check(candidate):\n    assert candidate(1) == 2\n"
        "    assert abs(candidate(3) - 6) < 1e-9\n"
        "    assert len([candidate(2)]) == 1 != candidate(5)\n"
        "    assert sum([candidate(2), 0]) == 4\n",
    ),
}


@pytest.mark.parametrize("tests", TESTS)
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_earns_nothing_that_it_is_not_due(cheat, tests):
    found = judge_program(CHEATS[cheat], TESTS[tests], QUICK)
    assert found.all_passed == 0.0
    # One of the checks asks only that there is one value and that it is not 1.
    assert found.passed <= (tests == "checks")
    honest = judge_program("def double(x): return 2 * x", TESTS[tests], QUICK)
    assert (honest.all_passed, honest.fraction) == (1.0, 1.0)


def test_one_that_ends_is_started_again_for_the_next_test():
    source = "import os\ndef double(x):\n    if x == 1: os._exit(0)\n    return 2 * x"
    found = judge_program(source, TESTS["calls"], QUICK)
    assert (found.passed, found.total, found.failures) == (1, 2, {ENDED: 1})


def test_nothing_is_left_when_the_judge_dies(tmp_path):
    """A killed training run takes its programs along."""
    script = (
        "from llm.rewards.sandbox.judge import judge_program\n"
        "from llm.rewards.sandbox.cases import CodeTests, Stream\n"
        "import threading, time\n"
        "tests = CodeTests(streams=(Stream('', 'x'),))\n"
        "source = 'import time\\ntime.sleep(300)  # of the test'\n"
        "threading.Thread(target=judge_program, args=(source, tests), daemon=True).start()\n"
        "time.sleep(1.5); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    inner = descendants(process.pid)
    assert len(inner) >= 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 5
    while (left := [pid for pid in inner if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def descendants(pid):
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}").parent.glob("*/children"):
        for one in map(int, child.read_text().split()):
            found += [one, *descendants(one)]
    return found


def alive(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
