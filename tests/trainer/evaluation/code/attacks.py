"""Attacks on the sandbox: code that tries one thing each, and what has to become of it.

An attack on the machine ends, where it works, by defining the right answer, so the sample passes and says REACHED. An
attack on the verdict never answers right, so it works where the sample passes. `HOST` is a dictionary that the runner
puts in front: names of things outside. None is run without walls but those that have `alone`, which harm nobody.
"""

from __future__ import annotations

from typing import NamedTuple

SYSCALL = """
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
def system_call(x86, arm, *words):
    number = {"x86_64": x86, "aarch64": arm}[platform.machine()]
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"""
NOWHERE, FIXED, DENIED, REFUSED = (
    "No such file or directory", "Read-only file system", "Permission denied", "Operation not permitted",
)  # fmt: skip
NO_FAMILY = "Address family not supported"


class Attack(NamedTuple):
    """One attack and its verdict."""

    code: str
    status: str
    """The verdict with namespaces."""
    says: str = ""
    """What its output has to hold, as the reason why it failed."""
    rlimits: str = ""
    """The verdict with rlimits on Linux; empty where that is not tried, as it could do harm."""
    alone: bool = False
    """Whether it reaches its end in an ordinary process, which shows that it is an attack."""
    seconds: float = 20
    rlimits_root: str = ""
    """The verdict with rlimits for root, where that is another."""


FILES = {
    "read a temporary file of the user": Attack("open(HOST['secret']).read()", "error", NOWHERE, "passed", True),
    "read a file in the home directory": Attack("open(HOST['home_file']).read()", "error", NOWHERE, "passed", True),
    "read the list of users": Attack("open('/etc/passwd').read()", "error", NOWHERE, "passed", True),
    "list the data of other samples": Attack(
        "import os\nassert HOST['secret'].split('/')[2] in os.listdir('/tmp'), 'not there'", "wrong", "not there", "",
        True,
    ),
    "read shared memory of the user": Attack("open(HOST['shm']).read()", "error", NOWHERE, "passed", True),
    "read through the root of the judge": Attack(
        "open('/proc/1/root' + HOST['secret']).read()", "error", DENIED
    ),
    "read through its own root": Attack("open('/proc/self/root' + HOST['secret']).read()", "error", NOWHERE, "", True),
    "read through many parents": Attack("open('../' * 40 + HOST['secret']).read()", "error", NOWHERE, "passed", True),
    "read through an open descriptor": Attack(
        "import os\nfor fd in range(64):\n    try: os.open(HOST['secret'][1:], os.O_RDONLY, dir_fd=fd)\n"
        "    except OSError: continue\n    break\nelse: raise OSError('no descriptor leads there')",
        "error", "no descriptor leads there",
    ),
    "read the old root after a chroot": Attack("import os\nos.mkdir('x')\nos.chroot('x')", "error", REFUSED),
    "read by a file handle": Attack(
        SYSCALL + "handle = (ctypes.c_uint32 * 4)(8, 1, 2, 0)\nsystem_call(304, 265, 0, handle, 0)", "error", REFUSED,
        "error",
    ),
    "overwrite a file of the user": Attack("open(HOST['secret'], 'w').write('gone')", "error", NOWHERE),
    "delete the temporary files of the user": Attack(
        "import os, shutil\nshutil.rmtree(os.path.dirname(HOST['secret']))", "error", NOWHERE
    ),
    "write into Python": Attack("import os\nopen(os.path.dirname(os.__file__) + '/new.py', 'w')", "error"),
    "change Python's os.py": Attack("import os\nopen(os.__file__, 'a')", "error"),
    "put its own code where Python lies": Attack(
        "import os, sys\nfor place in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)):\n"
        "    while place != '/':\n        try: os.rename(place, '/tmp/old'); break\n"
        "        except OSError: place = os.path.dirname(place)\n    else: continue\n    break\n"
        "else: raise OSError('nothing moved')", "error", "nothing moved",
    ),
    "write beside its directory": Attack("open('/new', 'w')", "error", FIXED),
    "write to a named pipe of the user": Attack(
        "import os\nos.open(HOST['pipe'], os.O_RDWR)", "error", NOWHERE, "passed", True
    ),
    "make its mounts writable": Attack(
        SYSCALL + "system_call(165, 40, None, b'/', None, 32 | 4096, None)", "error", REFUSED, "error"
    ),
    "unmount what covers": Attack(SYSCALL + "system_call(166, 39, b'/tmp', 2)", "error", REFUSED, "error"),
    "mount a file system": Attack(
        SYSCALL + "system_call(165, 40, b'proc', b'/tmp', b'proc', 0, None)", "error", REFUSED, "error"
    ),
    "mount by the newer calls": Attack(SYSCALL + "system_call(430, 430, b'proc', 0)", "error", REFUSED, "error"),
}  # fmt: skip

SOCKETS = {
    "connect to a socket in the temporary directory": Attack(
        "import socket\nsocket.socket(socket.AF_UNIX).connect(HOST['stream'])", "error", NOWHERE, "error", True
    ),
    "send to a datagram socket by its path": Attack(
        "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', HOST['datagram'])",
        "error", NOWHERE, "error", True,
    ),
    "send to a path by one end of a pair": Attack(
        "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', HOST['datagram'])",
        "error", NOWHERE, "error", True,
    ),
    "connect to an abstract socket": Attack(
        "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0' + HOST['abstract'])", "error", "refused", "error",
        True,
    ),
    "connect to this machine": Attack(
        "import socket\nsocket.create_connection(('127.0.0.1', HOST['port']), 1)", "error", NO_FAMILY, "error", True
    ),
    "connect by IPv6": Attack("import socket\nsocket.socket(socket.AF_INET6)", "error", NO_FAMILY, "error"),
    "send a datagram by UDP": Attack(
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', HOST['port']))",
        "error", NO_FAMILY, "error", True,
    ),
    "look up a name": Attack("import socket\nsocket.gethostbyname('example.org')", "error", "gaierror", "error"),
    "talk to the kernel by netlink": Attack(
        "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", "error", NO_FAMILY, "error", True
    ),
    "read packets": Attack("import socket\nsocket.socket(17, socket.SOCK_RAW, 3)", "error", NO_FAMILY, "error"),
    "talk to the host of a virtual machine": Attack(
        "import socket\nsocket.socket(40, socket.SOCK_STREAM)", "error", NO_FAMILY, "error"
    ),
    "use the kernel's ciphers": Attack("import socket\nsocket.socket(38, 5, 0)", "error", NO_FAMILY, "error"),
    "open sockets by io_uring": Attack(
        SYSCALL + "system_call(425, 425, 4, ctypes.create_string_buffer(256))", "error", REFUSED, "error"
    ),
    "open sockets by 32-bit calls": Attack(
        # mov eax, 359 (socket); mov ebx, 2; mov ecx, 1; xor edx, edx; int 0x80; ret, with rbx kept.
        "import ctypes, mmap, platform\nassert platform.machine() == 'x86_64', 'no such calls'\n"
        "code = bytes.fromhex('53b867010000bb02000000b90100000031d2cd805bc3')\n"
        "page = mmap.mmap(-1, 4096, prot=7)\npage.write(code)\n"
        "call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\n"
        "if call() < 0: raise OSError('refused')",
        "error killed wrong", "", "error killed wrong",
    ),
}  # fmt: skip

DEVICES = {
    "open a loop device": Attack("import os\nos.open('/dev/loop0', os.O_RDWR)", "error", NOWHERE),
    "open the disk": Attack(
        "import os\nassert any(os.path.exists(f'/dev/{n}') for n in ('vda', 'sda', 'nvme0n1', 'mem', 'kmsg', 'kvm'))",
        "wrong",
    ),
    "write to the terminal of the user": Attack("open(HOST['terminal'], 'w').write('x')", "error", NOWHERE),
    "read the terminal of the user": Attack("open(HOST['terminal'], 'rb')", "error", NOWHERE, "passed", True),
    "open its own terminal": Attack("open('/dev/tty', 'rb')", "error", NOWHERE),
    "make a terminal": Attack("import os\nos.openpty()", "error", "", "", True),
    "type into a terminal": Attack(
        "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')", "error", REFUSED, "error"
    ),
    "make a device file": Attack(
        "import os, stat\nos.mknod('loop', stat.S_IFBLK | 0o600, os.makedev(7, 0))", "error", REFUSED, "error"
    ),
    "change a kernel setting": Attack("open('/proc/sys/kernel/core_pattern', 'w')", "error", NOWHERE),
    "become a control group's release agent": Attack("import os\nos.listdir('/sys/fs/cgroup')", "error", NOWHERE),
    "ask the kernel for its log": Attack(
        SYSCALL + "system_call(103, 116, 10, None, 0)", "error", REFUSED, "error"
    ),
}  # fmt: skip

PROCESSES = {
    "kill a process of the user": Attack("import os\nos.kill(HOST['victim'], 9)", "error", "ProcessLookup"),
    "kill everyone": Attack("import os\nos.kill(-1, 9)", "error", "ProcessLookup"),
    "read the environment of a process": Attack(
        "open(f\"/proc/{HOST['victim']}/environ\", 'rb').read()", "error", NOWHERE, "passed", True
    ),
    "trace the judge": Attack(SYSCALL + "system_call(101, 117, 16, os.getppid(), 0, 0)", "error", REFUSED, "error"),
    "read the judge's memory": Attack(
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')", "error", DENIED, "error", rlimits_root="passed"
    ),
    "read the judge's memory by a call": Attack(
        SYSCALL + "vector = (ctypes.c_uint64 * 2)(id(0), 8)\n"
        "system_call(310, 270, os.getppid(), vector, 1, vector, 1, 0)", "error", REFUSED, "error",
    ),
    "list the judge's descriptors": Attack(
        "import os\nos.listdir(f'/proc/{os.getppid()}/fd')", "error", DENIED, "error",
        rlimits_root="passed",
    ),
    "take the judge's descriptors": Attack(
        SYSCALL + "pidfd = os.pidfd_open(os.getppid())\nsystem_call(438, 438, pidfd, 3, 0)", "error", REFUSED, "error"
    ),
    "enter the judge's namespaces": Attack("import os\nos.open('/proc/1/ns/mnt', os.O_RDONLY)", "error", DENIED),
    "make new namespaces": Attack(SYSCALL + "system_call(272, 97, 0x10000000)", "error", REFUSED, "error"),
    "fork into new namespaces": Attack(
        SYSCALL + "if system_call(56, 220, 0x10000000 | 17, 0, 0, 0, 0) == 0: os._exit(0)", "error", REFUSED, "error"
    ),
    "become root": Attack("import os\nos.setuid(0)", "error"),
    "have capabilities": Attack(
        "lines = [l.split() for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm', 'CapAmb'))]\n"
        "assert any(int(words[1], 16) for words in lines), 'none'", "wrong", "none",
    ),
    "have the ids of root outside": Attack(
        "owner = open('/proc/self/uid_map').read().split()\n"
        "assert __import__('os').getuid() == 0 or '1000' not in owner, 'mapped'", "wrong", "mapped",
    ),
    "use the keys of the user": Attack(SYSCALL + "system_call(250, 219, 0, -3, 0)", "error", REFUSED, "error"),
    "load a program into the kernel": Attack(
        SYSCALL + "system_call(321, 280, 0, ctypes.create_string_buffer(72), 72)", "error", REFUSED, "error"
    ),
    "watch the machine": Attack(
        SYSCALL + "system_call(298, 241, ctypes.create_string_buffer(128), 0, -1, -1, 0)", "error", REFUSED, "error"
    ),
    "handle page faults of the kernel": Attack(SYSCALL + "system_call(323, 282, 1)", "error", REFUSED, "error"),
    "take shared memory by its key": Attack(
        SYSCALL + "system_call(29, 194, 0x5eed, 4096, 0o600 | 512)", "error", REFUSED, "error"
    ),
}  # fmt: skip

RESOURCES = {
    "an endless loop": Attack("while True: pass", "timeout", "", "timeout", seconds=1),
    "stop itself": Attack("import os\nos.kill(os.getpid(), 19)", "timeout", "", "timeout", seconds=1),
    "8 GB at once": Attack("bytearray(8 << 30)", "memory", "", "memory"),
    "memory in many children": Attack(
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        held = bytearray(b'x') * (80 << 20)\n"
        "        time.sleep(9)\n        os._exit(0)\ntime.sleep(9)",
        "memory", "", "memory", True,
    ),
    "memory in mappings that nobody touches": Attack(
        "import mmap, os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        held = mmap.mmap(-1, 80 << 20)\n"
        "        for at in range(0, 80 << 20, 1 << 20): held[at : at + (1 << 20)] = bytes(1 << 20)\n"
        "        held.madvise(mmap.MADV_DONTNEED)\n        time.sleep(9)\n        os._exit(0)\ntime.sleep(9)",
        "memory", "", "memory", True,
    ),
    "memory in files without a name": Attack("import os\nos.memfd_create('x')", "error", REFUSED, "error", True),
    "many processes": Attack(
        "import os, time\nfor _ in range(300):\n    if os.fork() == 0:\n        time.sleep(30)\n        os._exit(0)",
        "error", "Resource temporarily unavailable", "error", True, rlimits_root="passed",
    ),
    "many threads": Attack(
        "import threading, time\nfor _ in range(300): threading.Thread(target=time.sleep, args=(30,)).start()",
        "error", "can't start new thread",
    ),
    "many open files": Attack(
        "found = [open('/dev/null') for _ in range(100)]", "error", "Too many open files", "error", True
    ),
    "a large file": Attack("open('big', 'wb').write(bytes(32 << 20))", "error", "File too large", "error", True),
    "files larger than the directory": Attack(
        "for i in range(8):\n    open(f'f{i}', 'wb').write(bytes(15 << 20))", "error", "No space left", "", True
    ),
    "many files": Attack(
        "import os\nfor i in range(20000): os.close(os.open(f'f{i}', os.O_CREAT))", "error", "No space left"
    ),
    "a flood of output": Attack("while True: print('x' * 100000)", "error", "", "error"),
    "a daemon": Attack(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.fork() or time.sleep(999)\n    os._exit(0)\n"
        "os.wait()\nraise OSError('left one')", "error", "left one", "error",
    ),
    "raise a limit": Attack(
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))", "error", "ValueError"
    ),
    "be the last that an empty memory hits": Attack(
        "open('/proc/self/oom_score_adj', 'w').write('-1000')", "error", FIXED
    ),
}  # fmt: skip

FORGERIES = {
    "replace exec": Attack(
        "import builtins\nbuiltins.exec = lambda *a, **k: None\ndef one(): return 2", "wrong", "", "wrong", True
    ),
    "replace the assertion error": Attack(
        "import builtins\nbuiltins.AssertionError = type('E', (BaseException,), {})\ndef one(): return 2",
        "wrong", "", "wrong",
    ),
    "answer with what equals everything": Attack(
        "class All:\n    def __eq__(self, other): return True\ndef one(): return All()", "wrong", "", "wrong", True
    ),
    "answer with a number that equals everything": Attack(
        "class All(int):\n    def __eq__(self, other): return True\ndef one(): return All(2)",
        "wrong", "", "wrong", True,
    ),
    "answer with a list that equals everything": Attack(
        "class All(list):\n    def __eq__(self, other): return True\ndef one(): return All()",
        "wrong", "", "wrong", True,
    ),
    "end early": Attack("import os\nos._exit(0)", "exited", "", "exited", True),
    "end early and politely": Attack("raise SystemExit(0)", "exited", "", "exited", True),
    "end early in the function": Attack("import os\ndef one(): os._exit(0)", "exited", "", "exited", True),
    "end from a thread": Attack(
        "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\nwhile True: pass", "exited", "",
        "exited", True,
    ),
    "look for the tests in the frames": Attack(
        "import sys\nframe, found = sys._getframe(), ''\nwhile frame:\n"
        "    found += repr(frame.f_locals.keys()) + repr(frame.f_globals.keys())\n    frame = frame.f_back\n"
        "assert 'word' not in found and 'test' not in found\ndef one(): return 2", "wrong", "", "wrong",
    ),
    "look for the tests among all objects": Attack(
        "import gc\nmark = ''.join(['ma', 'rk', '31', '41'])\n"
        "found = [o for o in gc.get_objects() if isinstance(o, dict) and any(mark in str(v) for v in list(o.values())"
        " if isinstance(v, str)) and o is not globals()]\n"
        "def one(): return 1 if found else 2", "wrong", "", "wrong",
    ),
    "look for the tests in its memory": Attack(
        "import math\nother = 0\nbefore = bytes([109, 97, 114, 107]) + bytes([51, 49, 52, 49])\n"
        "with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:\n"
        "    for line in maps:\n        ends, rights = line.split()[:2]\n        if rights[:2] != 'rw': continue\n"
        "        begin, end = (int(x, 16) for x in ends.split('-'))\n"
        "        try: memory.seek(begin); text = memory.read(end - begin)\n        except OSError: continue\n"
        "        other += text.count(before + b' is what')\n"
        "def one(): return 1 if other else 2", "wrong", "", "wrong", True,
    ),
    "write the word on every descriptor": Attack(
        "import os\nfor fd in range(3, 64):\n    for word in (b'passed', b'0' * 32):\n"
        "        try: os.write(fd, word)\n        except OSError: pass\nos._exit(0)", "exited timeout", "",
        "exited timeout", seconds=3,
    ),
    "answer with pickled code": Attack(
        "import os\nbomb = b'cos\\nsystem\\n(S\"echo REACHED\"\\ntR.'\nfor fd in range(3, 64):\n"
        "    try: os.write(fd, len(bomb).to_bytes(8, 'little') + bomb)\n    except OSError: pass\n"
        "import time\ntime.sleep(1)", "error", "os.system is not a value", "error",
    ),
    "answer with endless words": Attack(
        "import os, time\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 8)\n    except OSError: pass\n"
        "time.sleep(30)", "error memory timeout", "", "error memory timeout", seconds=2,
    ),
    "answer before the question": Attack(
        "import os, pickle\nanswer = pickle.dumps(('value', {'one': 1, 'int': str}, None))\nfor fd in range(3, 64):\n"
        "    try: os.write(fd, len(answer).to_bytes(8, 'little') + answer)\n    except OSError: pass\n"
        "def one(): return 2", "error", "", "error",
    ),
    "shadow what the tests use": Attack(
        "def isinstance(*a): return True\ndef abs(*a): return 0\nclass math:\n    isclose = isinstance\n"
        "def one(): return 2", "wrong", "", "wrong", True,
    ),
    "kill the judge": Attack(
        "import os, time\nos.kill(1, 9)\ntime.sleep(0.1)\ndef one(): return 2", "wrong"
    ),
    "stop the judge": Attack("import os\nos.kill(1, 19)\ndef one(): return 2", "wrong"),
    "lower the judge's limits": Attack(
        "import resource, os\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))\ndef one(): return 2",
        "wrong error", "", "wrong error",
    ),
    "exhaust the stack": Attack(
        "import sys\nsys.setrecursionlimit(10**9)\ndef one(): return [one()]", "killed error memory timeout", "",
        "killed error memory timeout",
    ),
    "crash": Attack("import ctypes\nctypes.string_at(0)", "killed", "", "killed"),
    "close every descriptor": Attack("import os\nos.closerange(0, 1000)\ndef one(): return 1", "exited", "", "exited"),
}  # fmt: skip

GROUPS = {
    "files": FILES, "sockets": SOCKETS, "devices": DEVICES, "processes": PROCESSES, "resources": RESOURCES,
    "forgeries": FORGERIES,
}  # fmt: skip
ATTACKS = {f"{group}: {name}": attack for group, attacks in GROUPS.items() for name, attack in attacks.items()}
FORGED = tuple(f"forgeries: {name}" for name in FORGERIES)
