"""What a job moved, as numbers."""

from dataclasses import dataclass

from replicator.telemetry import BLOBS, BYTES

_HOW = ("copied", "resumed", "mounted", "present")
_NAMES = ("size_bytes", *_HOW, "followers")


@dataclass
class Moved:
    """What a job moved: blobs, their bytes, and the signatures and referrers that came along.

    `resumed` are blobs that an earlier try sent a part of; the bytes are those that this one sent.
    """

    size_bytes: int = 0
    copied: int = 0
    resumed: int = 0
    mounted: int = 0
    present: int = 0
    followers: int = 0

    def add(self, other: "Moved") -> None:
        """Count `other` in."""
        self.size_bytes += other.size_bytes
        self.copied += other.copied
        self.resumed += other.resumed
        self.mounted += other.mounted
        self.present += other.present
        self.followers += other.followers

    @property
    def sent(self) -> int:
        """The blobs whose bytes were sent, or some of them."""
        return self.copied + self.resumed

    def count(self, source: str, destination: str) -> None:
        """Tell the metrics."""
        BYTES.labels(source, destination).inc(self.size_bytes)
        for how in _HOW:
            BLOBS.labels(destination, how).inc(getattr(self, how))

    @property
    def as_log(self) -> dict[str, int]:
        """What is not zero, for a line of the log."""
        numbers = (self.size_bytes, self.copied, self.resumed, self.mounted, self.present, self.followers)
        return {name: number for name, number in zip(_NAMES, numbers, strict=True) if number}
