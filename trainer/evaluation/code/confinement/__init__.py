"""What shuts one sample in: a small program of its own, standard library only, started by sandbox.py for every run.

    keeper ──fork──► namespaces, walls (a root of its own), filters (system calls), limits ──exec──► candidate/
       │
       └── memory: what all of the sample's processes hold together; clock; lifeline; report

`linux` has the system calls that Python lacks. Nothing here is told what the tests are.
"""
