"""The filter of system calls, run by a small machine for its instructions, for both architectures."""

from __future__ import annotations

import errno

import pytest

from trainer.evaluation.code.confinement.filters import ARCHITECTURES, JUDGED, REFUSED, Step, program

ALLOWED = 0
OTHERS = {"x86_64": 0x40000003, "aarch64": 0x40000028}
both = pytest.mark.parametrize("machine", ARCHITECTURES)


def outcome(steps: list[Step], architecture: int, number: int, *arguments: int) -> int:
    """0 where the call is allowed, else its error, by the rules of classic BPF."""
    words = {0: number, 4: architecture} | {16 + 8 * place: value for place, value in enumerate(arguments)}
    at = word = 0
    while True:
        code, true, false, value = steps[at]
        at += 1
        if code == 0x20:
            word = words.get(value, 0) & 0xFFFFFFFF
        elif code == 0x54:
            word &= value
        elif code in (0x15, 0x45):
            at += true if (word == value if code == 0x15 else word & value) else false
        else:
            assert code == 0x06
            return ALLOWED if value == 0x7FFF0000 else value & 0xFFFF


@both
@pytest.mark.parametrize("unix", [True, False])
def test_what_is_refused_and_what_is_not(machine: str, unix: bool) -> None:
    steps = list(program(machine, unix_sockets=unix))
    own = ARCHITECTURES[machine]
    assert len(steps) < 4096 and all(0 <= jump < 256 for step in steps for jump in step[1:3])
    refused, judged = set(REFUSED[machine].values()), set(JUDGED[machine].values())
    assert not refused & judged
    for number in range(600):
        if number not in judged:
            assert outcome(steps, own, number) == (errno.EPERM if number in refused else ALLOWED), number
    assert outcome(steps, OTHERS[machine], 3) == errno.EPERM, "a call of a 32-bit program"
    if machine == "x86_64":
        assert outcome(steps, own, 0x40000000 | 1) == errno.EPERM, "a call of the x32 kind"


@both
@pytest.mark.parametrize("unix", [True, False])
def test_calls_that_depend_on_their_arguments(machine: str, unix: bool) -> None:
    steps, own, calls = list(program(machine, unix_sockets=unix)), ARCHITECTURES[machine], JUDGED[machine]

    def code(name: str, *arguments: int) -> int:
        return outcome(steps, own, calls[name], *arguments)

    for family in range(64):
        for name in ("socket", "socketpair"):
            may = family == 1 and (unix or name == "socketpair")
            assert code(name, family, 1 | 0o2000000) == (ALLOWED if may else errno.EAFNOSUPPORT)
    assert code("socketpair", 1, 2) == (ALLOWED if unix else errno.EAFNOSUPPORT)
    assert code("clone3", 0) == errno.ENOSYS
    for bit in (17, 0x0C000000, 0x02000000, 0x20000000, 0x10000000, 0x40000000, 0x80):
        assert code("clone", 0x3D0F00 | bit) == (ALLOWED if bit == 17 else errno.EPERM)
    assert [code("ioctl", 0, request) for request in (0x5401, 0x5412, 0x541C)] == [ALLOWED, errno.EPERM, errno.EPERM]
    for kind, expected in ((0o010644, ALLOWED), (0o100644, ALLOWED), (0o020644, errno.EPERM), (0o060644, errno.EPERM)):
        assert code("mknodat", 0, 0, kind) == expected
