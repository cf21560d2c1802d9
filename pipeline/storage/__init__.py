"""Bytes, local or remote: the one place that knows where a path lies.

    path ── open  ──► stored bytes from any offset     local files directly, URLs by web, Beam or smart_open
                └── resuming: goes on where a connection broke, with patience: waits, and then an error by name
         ── files ──► write, rename, list, remove      local files are replaced whole and flushed to disk
                └── beam: Beam's file systems, imported when a remote path first needs them
    output directory ── lock ──► held by one run at a time
                     ── credentials ──► may this machine write there? Asked before any work

Bad data and a bad connection are different errors: of the first a reader makes a reject, of the second a retry.
"""
