"""Wallet addresses: 20 bytes, checked by the case of their letters (EIP-55), kept in lower case (09 §4.1.5)."""

import re

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
ZERO = "0x" + "0" * 40


class AddressInvalid(ValueError):
    """Not an address that could sign anything; the message names the rule, never the value."""


def canonical(text: str) -> str:
    """An address in lower case.

    Raises:
        AddressInvalid: another form, a wrong checksum, or the zero address.
    """
    if not _ADDRESS.fullmatch(text):
        raise AddressInvalid("an address is 0x and 40 hexadecimal digits")
    lower = text.lower()
    if lower == ZERO:
        raise AddressInvalid("the zero address cannot sign")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksummed(lower) != text:
        raise AddressInvalid("the letters of the address do not fit its checksum (EIP-55)")
    return lower


def checksummed(lower: str) -> str:
    """An address as people read it, its letters' case carrying the checksum."""
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(lower))
