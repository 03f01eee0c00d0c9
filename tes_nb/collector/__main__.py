"""The child process: options in on the first line, `{pid, ports}` or an error out on the first line."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # First of all: Jupyter's "Interrupt kernel" signals children, too, and may come while modules are loaded.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from tes_nb.collector.child import main

    sys.exit(main())
