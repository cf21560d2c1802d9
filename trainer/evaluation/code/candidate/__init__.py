"""What runs inside the walls: two processes, of which only one knows the tests.

    judge: tests, verdict ──► remote ◄──pipe: values──► solver: the solution, and nothing else
       │
       └──► one word for sandbox.py

The judge forks the solver before it has read anything, then hides its memory from it. The tests call the solution's
functions through `remote`: arguments go, results come back as plain values, which the judge compares itself. So there
are no tests, no expected values, no word and no verdict in the process of the solution, and its answers are data.
"""
