"""Do the parameters of an augmentation make sense? Asked when a graph is built."""

from tfdl import errors


def check_rate(name: str, value: float) -> None:
    """Refuse what is no probability or fraction.

    Raises:
        UsageError: `value` is outside [0, 1].
    """
    check_within(name, value, low=0, high=1)


def check_within(name: str, value: float, *, low: float, high: float) -> None:
    """Refuse a number outside an interval.

    Raises:
        UsageError: `value` is below `low` or above `high`.
    """
    if not low <= value <= high:
        raise errors.UsageError(
            f"`{name}` must be between {low} and {high}. Received {name}={value}.",
            f"choose {name} in [{low}, {high}]",
        )


def check_range(name: str, value: tuple[float, float]) -> None:
    """Refuse what is no pair of positive numbers in ascending order.

    Raises:
        UsageError: the numbers are not positive, or the first is the larger.
    """
    low, high = value
    if not 0 < low <= high:
        raise errors.UsageError(
            f"`{name}` must be two positive numbers, the smaller first. "
            f"Received {name}={value}.",
            f"give {name} as (smallest, largest)",
        )


def height_and_width(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """Read a size: one number is both sides of a square.

    Returns:
        Height and width in pixels.

    Raises:
        UsageError: a side is not a positive whole number.
    """
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2 or any(side != int(side) or side < 1 for side in sides):
        raise errors.UsageError(
            f"`{name}` must be a positive number of pixels or (height, width). "
            f"Received {name}={value}.",
            f"give {name} as a number or as (height, width)",
        )
    return sides
