"""Amounts of VIBES as people write and read them."""

from mini_llm.wallet.limits import BASE_PER_VIBES


def vibes(amount_base: int) -> str:
    """An amount in VIBES, with six decimals."""
    whole, part = divmod(abs(amount_base), BASE_PER_VIBES)
    return f"{'-' if amount_base < 0 else ''}{whole:,}.{part:06d}"


def read_vibes(text: str) -> int:
    """An amount in VIBES as base units, exactly.

    Raises:
        ValueError: not a plain decimal with at most six places.
    """
    whole, _, part = text.partition(".")
    if not (whole + part).isascii() or not whole.isdigit() or (part and not part.isdigit()) or len(part) > 6:
        raise ValueError(f"{text!r} is no amount: a plain decimal with at most six places")
    return int(whole) * BASE_PER_VIBES + int(part.ljust(6, "0"))
