"""Poseidon over BN254, equal to circomlib's: in Rust where a wheel exists, else in Python (much slower).

Both give the first element of the permuted state ``(0, inputs...)``. x^5 S-box, 8 full rounds, constants from
the Grain LFSR.

Source: "Poseidon: A New Hash Function for Zero-Knowledge Proof Systems" (ePrint 2019/458), appendices B, E
and F; parameters of circomlib 2.0.5.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

from mini_llm.wallet.field import P, require_canonical

try:
    from light_poseidon_python import Hasher as _RustHasher
except ImportError:  # no wheel for this platform
    _RustHasher = None

MAX_INPUTS: Final = 12
"""Most inputs of one hash: what light-poseidon and the circuits agree on."""

_FULL_ROUNDS: Final = 8
# Partial rounds for 1 to 12 inputs.
_PARTIAL_ROUNDS: Final = (56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65)
_FIELD_BITS: Final = 254

_Hash = Callable[[Sequence[int]], int]


class UnsupportedInputCount(ValueError):
    """Poseidon was called with no input, or with more than it is defined for here."""

    def __init__(self, count: int) -> None:
        super().__init__(f"Poseidon takes 1 to {MAX_INPUTS} inputs, not {count}")
        self.count = count


def poseidon(inputs: Sequence[int]) -> int:
    """Hash 1 to 12 field elements into one.

    Raises:
        NotCanonical: an input lies outside ``[0, P)``; it is never reduced silently.
        UnsupportedInputCount: fewer than 1 or more than 12 inputs.
    """
    count = len(inputs)
    if not 1 <= count <= MAX_INPUTS:
        raise UnsupportedInputCount(count)
    for value in inputs:
        require_canonical(value)
    return _hash(inputs) if _RustHasher is None else _rust_hash(count)(inputs)


@cache
def _rust_hash(count: int) -> _Hash:
    hash_bytes = _RustHasher(count).hash_bytes_be

    def hash_ints(inputs: Sequence[int]) -> int:
        return int(hash_bytes([value.to_bytes(32, "big") for value in inputs]), 16)

    return hash_ints


class _Constants(NamedTuple):
    rounds: tuple[tuple[int, ...], ...]
    matrix: tuple[tuple[int, ...], ...]


def _hash(inputs: Sequence[int]) -> int:
    """Poseidon in Python alone; the caller has checked the inputs."""
    constants = _constants(len(inputs) + 1)
    first_partial = _FULL_ROUNDS // 2
    last_partial = len(constants.rounds) - _FULL_ROUNDS // 2
    state = [0, *inputs]
    for number, row in enumerate(constants.rounds):
        state = [value + constant for value, constant in zip(state, row, strict=True)]
        if first_partial <= number < last_partial:
            state[0] = pow(state[0], 5, P)
        else:
            state = [pow(value, 5, P) for value in state]
        state = [sum(map(int.__mul__, row, state)) % P for row in constants.matrix]
    return state[0]


@cache
def _constants(width: int) -> _Constants:
    """Round constants and MDS matrix of the permutation of ``width`` elements."""
    rounds = _FULL_ROUNDS + _PARTIAL_ROUNDS[width - 2]
    bits = _grain_bits(width, rounds - _FULL_ROUNDS)

    def draw() -> int:
        return int("".join(str(next(bits)) for _ in range(_FIELD_BITS)), 2)

    def draw_canonical() -> int:
        while (value := draw()) >= P:
            pass
        return value

    additive = tuple(tuple(draw_canonical() for _ in range(width)) for _ in range(rounds))
    # Cauchy matrix: here the generator reduces, it does not reject; its first try is good for all our widths.
    seeds = [draw() % P for _ in range(2 * width)]
    matrix = tuple(tuple(pow(x + y, -1, P) for y in seeds[width:]) for x in seeds[:width])
    return _Constants(additive, matrix)


def _grain_bits(width: int, partial_rounds: int) -> Iterator[int]:
    """Bits of the self-shrinking Grain LFSR, seeded with the parameters of the permutation."""
    seed = ((1, 2), (0, 4), (_FIELD_BITS, 12), (width, 12), (_FULL_ROUNDS, 10), (partial_rounds, 10))
    register = [int(bit) for value, size in seed for bit in f"{value:0{size}b}"] + [1] * 30

    def step() -> int:
        bit = 0
        for tap in (0, 13, 23, 38, 51, 62):
            bit ^= register[tap]
        register.pop(0)
        register.append(bit)
        return bit

    for _ in range(160):
        step()
    while True:
        keep, bit = step(), step()
        if keep:
            yield bit
