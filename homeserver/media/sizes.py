"""Which thumbnail is made when some size is asked for.  Pure; knows no picture."""

RUNGS = (32, 96, 320, 640, 800)
BOXES = ((32, 32), (96, 96), (320, 240), (640, 480), (800, 600))
SIXTEENTHS = 16


def snap(width: int, height: int, method: str) -> tuple[int, int]:
    """The size that is made when this one is asked for: not smaller (up to the largest), and one of few, so that nobody fills the disk."""
    if method == "scale":
        return next((box for box in BOXES if box[0] >= width and box[1] >= height), BOXES[-1])
    longer = max(width, height)
    rung = next((rung for rung in RUNGS if rung >= longer), RUNGS[-1])
    step = rung // SIXTEENTHS
    shorter = min(rung, -(-min(width, height) * rung // (longer * step)) * step)
    return (rung, shorter) if width >= height else (shorter, rung)
