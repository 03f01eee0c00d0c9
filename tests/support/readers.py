"""A process reader over a table, for what no test can make a real system do: use a pid again, run out of files."""

from __future__ import annotations

from tes_nb.collector.samplers.process_reader import MemoryWords, Share, Times, Usage


def times(born: int = 1, *, cpu_s: float = 0.0, rss: int = 1000, zombie: bool = False) -> Times:
    """A reading."""
    return Times("python", born, zombie, 1, cpu_s, 0.0, 0.0, rss)


class TableReader:
    """Says what stands in `table`; an OSError there is raised."""

    def __init__(self, table: dict[int, Times | OSError]) -> None:
        self.table = table

    def times(self, pid: int) -> Times | None:
        words = self.table.get(pid)
        if isinstance(words, OSError):
            raise words
        return words

    def memory(self, pid: int) -> MemoryWords | None:
        words = self.times(pid)
        return None if words is None else MemoryWords(words.rss, words.rss // 2, words.rss * 2, 5, 3)

    def share(self, pid: int) -> Share | None:
        words = self.times(pid)
        return None if words is None else Share(words.rss // 4, words.rss // 8)

    def cpu_clock(self, pid: int) -> float | None:
        return None

    def usage(self, pid: int) -> Usage:
        return Usage()

    def exit_code(self, pid: int) -> int | None:
        return None

    def arguments(self, pid: int) -> list[str]:
        return []

    def age_s(self, born: int) -> float:
        return 100.0 - born
