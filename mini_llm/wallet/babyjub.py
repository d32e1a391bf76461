"""BabyJubJub and EdDSA-Poseidon: the session key's curve and signature, cheap to check in a circuit.

A key is ``A = secret·BASE8``. A signature ``(R8, s)`` of a field element ``M`` holds if
``s·BASE8 = R8 + 8·h·A`` with ``h = Poseidon(R8.x, R8.y, A.x, A.y, M)``. circomlibjs verifies these signatures
and the other way round (its scalar is ``secret << 3``).

Not constant-time: sign where no one else can measure.

Source: EIP-2494 (curve), circomlib's eddsaposeidon.circom (signature), add-2008-hwcd and dbl-2008-hwcd
(formulas).
"""

from dataclasses import dataclass
from typing import Final

from mini_llm.wallet.field import P, is_canonical, require_canonical
from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.poseidon import poseidon

Point = tuple[int, int]
"""Affine coordinates, each in ``[0, P)``."""

IDENTITY: Final[Point] = (0, 1)
"""Neutral element of the curve."""

BASE8: Final[Point] = (
    5299619240641551281634865583518297030282874472190772894086521144482721001553,
    16950150798460657717958625567821834550301663161624707787222815936182638968203,
)
"""Generator of the subgroup of prime order."""

SUBORDER: Final = 2736030358979909402780800718157159386076813972158567259200215660948447373041
"""Order of that subgroup; the curve has ``8 * SUBORDER`` points."""

_A: Final = 168700
_D: Final = 168696

_NONCE_TAG: Final = b"VIBES EdDSA-Poseidon nonce"

# (X, Y, Z, T): x = X/Z, y = Y/Z, T = XY/Z. Saves the inversions of affine formulas.
_Extended = tuple[int, int, int, int]


class InvalidSecret(ValueError):
    """A secret key outside ``[1, SUBORDER)``; the value is not kept."""

    def __init__(self) -> None:
        super().__init__("a secret key lies in [1, SUBORDER)")


@dataclass(frozen=True)
class Signature:
    """EdDSA-Poseidon signature.

    Attributes:
        r8: commitment to the nonce, a curve point.
        s: response, in ``[0, SUBORDER)``.
    """

    r8: Point
    s: int


def is_on_curve(point: Point) -> bool:
    """True if both coordinates are canonical and satisfy ``168700·x² + y² = 1 + 168696·x²·y²``."""
    x, y = point
    if not (is_canonical(x) and is_canonical(y)):
        return False
    xx, yy = x * x % P, y * y % P
    return (_A * xx + yy - 1 - _D * xx * yy) % P == 0


def has_small_order(point: Point) -> bool:
    """True if 8 times the curve point is the identity: such a key would let anyone sign."""
    return mul(point, 8) == IDENTITY


def add(left: Point, right: Point) -> Point:
    """Sum of two curve points."""
    return _affine(_add(_extended(left), _extended(right)))


def mul(point: Point, scalar: int) -> Point:
    """``scalar`` times a curve point, ``scalar`` ≥ 0."""
    base = _extended(point)
    result = _extended(IDENTITY)
    for bit in f"{scalar:b}":
        result = _double(result)
        if bit == "1":
            result = _add(result, base)
    return _affine(result)


def public_key(secret: int) -> Point:
    """Public key of a secret in ``[1, SUBORDER)``.

    Raises:
        InvalidSecret: it lies outside.
    """
    if not 1 <= secret < SUBORDER:
        raise InvalidSecret
    return mul(BASE8, secret)


def sign(secret: int, message: int) -> Signature:
    """Sign a field element; the same input always gives the same signature.

    The nonce is ``int(keccak256(0x00 ‖ seed) ‖ keccak256(0x01 ‖ seed)) mod SUBORDER`` with
    ``seed = "VIBES EdDSA-Poseidon nonce" ‖ secret ‖ message`` (32 bytes each, big-endian): secret like the
    key, different for every message, and 512 bits wide so that the reduction leaves no bias.

    Raises:
        InvalidSecret: the secret lies outside ``[1, SUBORDER)``.
        NotCanonical: the message lies outside ``[0, P)``.
    """
    key = public_key(secret)
    require_canonical(message)
    nonce = expand(_NONCE_TAG + secret.to_bytes(32, "big") + message.to_bytes(32, "big")) % SUBORDER
    r8 = mul(BASE8, nonce)
    return Signature(r8, (nonce + 8 * secret * poseidon((*r8, *key, message))) % SUBORDER)


def verify(key: Point, message: int, signature: Signature) -> bool:
    """True if ``signature`` is by ``key`` over ``message``; False for anything malformed, too."""
    if not is_canonical(message) or not 0 <= signature.s < SUBORDER:
        return False
    if not is_on_curve(signature.r8) or not is_on_curve(key) or has_small_order(key):
        return False
    challenge = poseidon((*signature.r8, *key, message))
    return mul(BASE8, signature.s) == add(signature.r8, mul(key, 8 * challenge))


def expand(seed: bytes) -> int:
    """512 pseudo-random bits from a seed, as a number: two counted keccak-256 blocks."""
    return int.from_bytes(keccak(b"\x00" + seed) + keccak(b"\x01" + seed), "big")


def _extended(point: Point) -> _Extended:
    x, y = point
    return x, y, 1, x * y % P


def _affine(point: _Extended) -> Point:
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return x * inverse % P, y * inverse % P


def _add(left: _Extended, right: _Extended) -> _Extended:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b, c, d = x1 * x2 % P, y1 * y2 % P, _D * t1 * t2 % P, z1 * z2 % P
    e, f, g, h = ((x1 + y1) * (x2 + y2) - a - b) % P, d - c, d + c, b - _A * a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(point: _Extended) -> _Extended:
    x, y, z, _ = point
    a, b = x * x % P, y * y % P
    e, g = ((x + y) ** 2 - a - b) % P, _A * a + b
    f, h = (g - 2 * z * z) % P, _A * a - b
    return e * f % P, g * h % P, f * g % P, e * h % P
