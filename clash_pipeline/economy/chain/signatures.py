"""Signatures over 32 bytes: only those of the lower half and of v 27 or 28, and the address behind them."""

from clash_pipeline.identity.ethereum import eth_account
from clash_pipeline.identity.siwe import CURVE_ORDER, SignatureInvalid

LENGTH = 65


def recovered(digest: bytes, signature: bytes) -> str:
    """The address, in lower case, whose key signed a digest.

    Raises:
        SignatureInvalid: not 65 bytes, r or s out of range, s in the upper half, v not 27 or 28, or no point.
    """
    if len(signature) != LENGTH:
        raise SignatureInvalid(f"a signature has {LENGTH} bytes, not {len(signature)}")
    r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    if v not in (27, 28) or not 0 < r < CURVE_ORDER or not 0 < s <= CURVE_ORDER // 2:
        raise SignatureInvalid("the signature is out of range")
    eth_account()  # imported there, with all that stands below it
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    try:
        return Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest).to_address()
    except (BadSignature, ValidationError, ValueError, TypeError):
        raise SignatureInvalid("the signature is no point of the curve") from None
