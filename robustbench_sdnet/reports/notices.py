"""What a reader must know of the stores beside any number, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from ..answers.snapshot import Snapshot
from ..wording import counted


def unfinished(snapshot: Snapshot) -> Iterator[str]:
    """What was asked and is not answered, or not on all images, as after a stop: it must not read as not asked."""
    if snapshot.unfinished:
        few = counted(len(snapshot.unfinished), "question")
        yield (
            f"Unfinished: the store holds {few} answered on fewer images than were asked for. The same command on the "
            "same model continues them, 'sdnet-bench status --forget' forgets them."
        )


def disputed(snapshot: Snapshot) -> Iterator[str]:
    """What several stores answer otherwise, which the report would take from one of them in silence."""
    if snapshot.disputed:
        some = counted(len(snapshot.disputed), "question")
        most = counted(max(snapshot.disputed.values()), "image")
        yield (
            f"Contradictory: the stores answer {some} differently, on {most} at most. The answer on most images "
            "stands, of equally many the first store's. Another device may differ on few images; where it is more, "
            "one of the stores is wrong."
        )
