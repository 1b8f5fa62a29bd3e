"""Quantities, hashes, addresses and data of JSON-RPC, read no kinder than 09 §4.1.5 has them."""

import re
from typing import Any

WORD_BYTES = 32
WORD_LIMIT = 2**256
BLOCK_LIMIT = 2**63
MOST_DATA_BYTES = 65_536

_QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})", re.ASCII)
_HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_DATA = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)


class WireInvalid(ValueError):
    """Some JSON is not the value it should be; names the field and the form, and repeats nothing of it."""


def quantity(value: Any, name: str, *, below: int = WORD_LIMIT) -> int:
    """An integer of `0x` and its shortest lower-case hexadecimal.

    Raises:
        WireInvalid: another form, or not below the limit.
    """
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise WireInvalid(f"{name} must be a quantity: 0x and hexadecimal digits without leading zeros")
    number = int(value, 16)
    if number >= below:
        raise WireInvalid(f"{name} is beyond its limit")
    return number


def hash32(value: Any, name: str) -> str:
    """32 bytes in lower case.

    Raises:
        WireInvalid: another form.
    """
    lowered = value.lower() if isinstance(value, str) else ""
    if _HASH.fullmatch(lowered) is None:
        raise WireInvalid(f"{name} must be 0x and 64 hexadecimal digits")
    return lowered


def address(value: Any, name: str) -> str:
    """20 bytes in lower case; letters of both cases must carry their checksum (EIP-55).

    Raises:
        WireInvalid: another form, or a wrong checksum.
    """
    if not isinstance(value, str) or _ADDRESS.fullmatch(value) is None:
        raise WireInvalid(f"{name} must be 0x and 40 hexadecimal digits")
    digits = value[2:]
    if digits not in (digits.lower(), digits.upper()) and _checksummed(value.lower()) != value:
        raise WireInvalid(f"the letters of {name} do not fit its checksum (EIP-55)")
    return value.lower()


def data(value: Any, name: str) -> bytes:
    """Whole bytes, at most 64 KiB of them.

    Raises:
        WireInvalid: another form, or longer.
    """
    if not isinstance(value, str) or len(value) > 2 + 2 * MOST_DATA_BYTES:
        raise WireInvalid(f"{name} must be 0x and at most {MOST_DATA_BYTES} bytes")
    lowered = value.lower()
    if _DATA.fullmatch(lowered) is None:
        raise WireInvalid(f"{name} must be 0x and whole bytes in hexadecimal")
    return bytes.fromhex(lowered[2:])


def hexadecimal(content: bytes) -> str:
    """Bytes as JSON-RPC carries them."""
    return "0x" + content.hex()


def _checksummed(lower: str) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(lower))
