"""How long copies will take, judged by how long copies took: so many seconds a copy, and so many a byte."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Sums over copies from one registry to another: their number, bytes, seconds, and what a straight line through
    (bytes, seconds) needs besides."""

    copies: float = 0.0
    size_bytes: float = 0.0
    seconds: float = 0.0
    square_bytes: float = 0.0
    byte_seconds: float = 0.0

    def estimate_s(self, copies: int, size_bytes: int, *, at_once: int) -> float | None:
        """Seconds that so many copies with so many bytes in all would take, `at_once` at a time; None if nothing was
        measured yet.
        """
        if self.copies <= 0:
            return None
        a_copy_s, a_byte_s = self._line()
        return (copies * a_copy_s + size_bytes * a_byte_s) / max(1, at_once)

    def _line(self) -> tuple[float, float]:
        """Seconds a copy and seconds a byte, neither of them negative."""
        mean_bytes, mean_s = self.size_bytes / self.copies, self.seconds / self.copies
        variance = self.square_bytes / self.copies - mean_bytes**2
        slope = (self.byte_seconds / self.copies - mean_bytes * mean_s) / variance if variance > 0 else 0.0
        if slope <= 0:
            return mean_s, 0.0
        if slope * mean_bytes > mean_s:
            return 0.0, mean_s / mean_bytes
        return mean_s - slope * mean_bytes, slope
