"""Real Jupyter kernels for tests."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager


class Kernel:
    """A running kernel; `run` executes a cell and returns what it printed."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.error = ""
        """The name of what the last cell raised; "" = nothing."""

    def run(self, code: str, timeout: float = 60) -> str:
        """Execute a cell; its output, errors included, as text."""
        message = self.client.execute(code)
        return self.output(message, timeout)

    def output(self, message: str, timeout: float = 60) -> str:
        """Collect what the cell of that message prints until it is through."""
        parts: list[str] = []
        self.error = ""
        deadline = time.monotonic() + timeout
        while True:
            reply = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") != message:
                continue
            content = reply["content"]
            match reply["msg_type"]:
                case "stream":
                    parts.append(content["text"])
                case "error":
                    self.error = content["ename"]
                    parts.append("\n".join(content["traceback"]))
                case "execute_result" | "display_data":
                    parts.append(content["data"].get("text/plain", ""))
                case "status" if content["execution_state"] == "idle":
                    return "".join(parts)

    def restart(self, *, now: bool = False) -> None:
        """Restart the kernel as JupyterLab does; `now` kills it."""
        self.manager.restart_kernel(now=now)
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        """End the kernel."""
        with contextlib.suppress(queue.Empty):
            self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@contextlib.contextmanager
def kernel() -> Iterator[Kernel]:
    """A kernel that is ended with the block."""
    running = Kernel()
    try:
        yield running
    finally:
        running.close()
