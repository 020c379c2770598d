"""The system calls that a program in the sandbox is refused, as a seccomp filter.

A program is one process: it may have threads, but no children, so its limits on memory and
processor time are limits on all of it. It has no sockets, and nothing that looks into or signals
other processes, mounts, loads or makes memory that its limits do not count.
"""

from __future__ import annotations

import errno
import platform
import struct

from cpi_theory.checks import InvalidInput

_X86_64 = {
    "socket": 41,
    "socketpair": 53,
    "fork": 57,
    "vfork": 58,
    "kill": 62,
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "unshare": 272,
    "setns": 308,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "open_by_handle_at": 304,
    "name_to_handle_at": 303,
    "bpf": 321,
    "perf_event_open": 298,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "userfaultfd": 323,
    "memfd_create": 319,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "kcmp": 312,
    "pidfd_send_signal": 424,
    "personality": 135,
    "syslog": 103,
    "shmget": 29,
    "msgget": 68,
    "semget": 64,
    "mq_open": 240,
    "init_module": 175,
    "finit_module": 313,
    "reboot": 169,
    "kexec_load": 246,
    "swapon": 167,
    "acct": 163,
    "quotactl": 179,
}
_AARCH64 = {
    "socket": 198,
    "socketpair": 199,
    "kill": 129,
    "ptrace": 117,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "unshare": 97,
    "setns": 268,
    "mount": 40,
    "umount2": 39,
    "pivot_root": 41,
    "chroot": 51,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "open_by_handle_at": 265,
    "name_to_handle_at": 264,
    "bpf": 280,
    "perf_event_open": 241,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "userfaultfd": 282,
    "memfd_create": 279,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "kcmp": 272,
    "pidfd_send_signal": 424,
    "personality": 92,
    "syslog": 116,
    "shmget": 194,
    "msgget": 186,
    "semget": 190,
    "mq_open": 180,
    "init_module": 105,
    "finit_module": 273,
    "reboot": 142,
    "kexec_load": 104,
    "swapon": 224,
    "acct": 89,
    "quotactl": 60,
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

REFUSED = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""Processor -> name of a call that is refused -> its number."""

_X32 = 0x40000000
"""From here on numbers are those of another interface, in which all would have to be named anew."""

_THREAD = 0x10000
"""The flag of clone that makes a thread and no process."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def seccomp_filter(machine: str | None = None) -> bytes:
    """Return the filter as a program of the kernel's packet filter.

    Args:
        machine: the processor; None: that of this machine.

    Raises:
        InvalidInput: if the numbers of its calls are not known here.

    Source: seccomp(2), and linux/filter.h for the codes.
    """
    machine = machine or platform.machine()
    if machine not in REFUSED:
        remedy = f"use a machine with one of {', '.join(REFUSED)}"
        raise InvalidInput("processor", machine, "the sandbox knows no filter for it", remedy)
    refuse = _step(_RETURN, _ERROR | errno.EPERM)
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _AUDIT[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        *(_step(_AT_LEAST, _X32, 0, 1), refuse),
    ]
    for number in REFUSED[machine].values():
        steps += [_step(_EQUAL, number, 0, 1), refuse]
    steps += [
        # Its flags lie in memory, where a filter cannot look: C libraries then take the older one.
        *(_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _ERROR | errno.ENOSYS)),
        *(_step(_EQUAL, _CLONE[machine], 0, 3), _step(_LOAD, _FIRST_ARGUMENT)),
        *(_step(_ANY_BIT, _THREAD, 1, 0), refuse),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; jumps are relative to the next one."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
