"""A server on this machine: completions over HTTP, in the form that OpenAI's clients speak, with bytes as tokens.

    POST /v1/completions ── app: size, JSON ──► protocol: one request, or one error ──► engine: a queue of jobs
    engine, a thread: jobs ──► generation.batch, as many at once as there are rows ──► bytes of every step
    bytes ── stops: until a stop string, whole UTF-8 characters ──► app: one answer, or server-sent events

`settings` says what is bounded: prompts, continuations, bodies, seconds, jobs at once, jobs that wait. `server` binds
the address and runs the app. A client that hangs up gives its rows back before the next forward pass.
"""
