"""What shuts one sample in: a small program of its own, standard library only, started by sandbox.py for every run.

    keeper ──fork──► namespaces, walls (a root of its own), filters (system calls), limits ──exec──► candidate/
       │
       └── children: waits and kills, by the clock, the lifeline and memory: what all of the sample's processes hold

It starts in ten milliseconds because it imports little (typing alone would take a third of that), and the folders above
are not run. `linux` has the system calls that Python lacks. Nothing here is told what the tests are.
"""
