"""Bytes, local or remote: the one place that knows where a path lies.

    path ── open  ──► stored bytes from any offset     local files directly, URLs by objects, web, beam or smart_open
                └── resuming: goes on where a connection broke, with patience, and then ends in an error by name
         ── files ──► write, list, remove, copy        local files are replaced whole and flushed to disk;
                                                       s3:// and gs:// by `schemas.stores`
    output directory ── lock ──► held by one run at a time
                     ── credentials ──► has this machine what jobs of Google's need? Asked before any work

Bad data and a bad connection are different errors: of the first a reader makes a reject, of the second a retry.
"""
