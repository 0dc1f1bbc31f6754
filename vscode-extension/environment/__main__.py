"""The first stage of `python environment`: any Python can read it, and one that is too old says that it is."""

import json
import sys

if sys.version_info < (3, 10):  # noqa: UP036 - it is read by a Python that somebody happens to have
    # As every client calls it: `python environment COMMAND ...`
    message = sys.argv[1] + " is Python " + ".".join(map(str, sys.version_info[:3])) + "."
    print(json.dumps({"problem": {"state": "oldPython", "message": message}}))
else:
    import managed

    sys.exit(managed.main(sys.argv[1:]))
