"""`python -m pipeline COMMAND`: preprocess, sample, tokenizer, verify, decode, show, analyze, plan, reformat."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from schemas.errors import UserError, tell

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    from pipeline.cli import parser as cli
    from pipeline.storage.files import check_name_encoding
    from schemas.files import check_temporary_directory

    parser = cli.parser()
    for word in sys.argv[1:] if arguments is None else arguments:
        if (told := word.encode(errors="surrogateescape").decode(errors="backslashreplace")) != word:
            # Neither a manifest nor any other file of a dataset could say it.
            parser.error(f"the argument {told} is not UTF-8; rename what it names")
    options, extra = parser.parse_known_args(arguments)
    if extra and options.command != "preprocess":
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    # Beam complains to the root logger, on import, that Google's optional clients are not installed.
    logging.getLogger().addFilter(lambda record: record.name != "root")
    try:
        check_name_encoding()
        check_temporary_directory()
        return options.run(options, extra)
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `show … | head` has read enough; what is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        return tell(error)


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:
        # The runner's threads are still at work; an orderly end would pull their libraries from under them and abort.
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)
