"""Whether a wallet signed a digest: a key's signature, or what a contract says about it.

Source: EIP-191, EIP-1271 (`isValidSignature`), EIP-6492 (wallets that are not deployed yet, refused here).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mini_llm.transport import AnswerTooLong, Timeouts, Transport, TransportFailure, TransportTimeout
from mini_llm.wallet.signature import key_signed
from router.people.errors import ChainUnavailable, SignInRefused

MAX_SIGNATURE_BYTES: Final = 4096
_UNDEPLOYED: Final = bytes.fromhex("6492" * 16)
_IS_VALID: Final = bytes.fromhex("1626ba7e")
"""Selector of `isValidSignature(bytes32,bytes)`, and what it returns if the signature holds."""
_WORD: Final = 32
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_REVERTED: Final = 3
_ENDED: Final = re.compile(r"revert|invalid opcode|invalid jump|out of gas|stack (?:over|under)flow", re.I)
_MAX_ANSWER_BYTES: Final = 65_536
_TIMEOUTS: Final = Timeouts(connect_s=3.0, first_byte_s=5.0, idle_s=5.0, total_s=8.0)


class Wallets:
    """Checks signatures. Contract wallets need a node of the chain.

    Args:
        transport: what the node is spoken to through.
        rpc_url: address of the node; None refuses contract wallets.
        chain_id: what the node must say its chain is.
    """

    def __init__(self, transport: Transport, rpc_url: str | None, chain_id: int) -> None:
        self._transport, self._rpc_url, self._chain_id = transport, rpc_url, chain_id

    async def check(self, address: str, digest: bytes, signature: bytes) -> None:
        """Raises unless the wallet signed.

        Args:
            address: checksummed.
            digest: 32 bytes.
            signature: 65 bytes of a key, or what the wallet's contract understands.

        Raises:
            SignInRefused: it did not sign, or is a kind of wallet that cannot be checked.
            ChainUnavailable: the node gave no answer.
        """
        if len(signature) > MAX_SIGNATURE_BYTES:
            raise SignInRefused(f"a signature has at most {MAX_SIGNATURE_BYTES} bytes")
        if signature.endswith(_UNDEPLOYED):
            raise SignInRefused("EIP-6492 signatures are not supported: deploy the contract wallet first")
        if key_signed(address, digest, signature):
            return
        if self._rpc_url is None:
            raise SignInRefused("the signature is not by the key of this address (contract wallets are off)")
        if not await self._contract_agrees(self._rpc_url, address, digest, signature):
            raise SignInRefused("the signature is neither by this address's key nor valid for its contract")

    async def _contract_agrees(self, url: str, address: str, digest: bytes, signature: bytes) -> bool:
        chain_id = await self._ask(url, "eth_chainId", [])
        if chain_id is None or _HEX.fullmatch(chain_id) is None:
            raise ChainUnavailable("the node does not say of which chain it is")
        if int(chain_id, 16) != self._chain_id:
            raise ChainUnavailable("the node is of another chain")
        call = {"to": address, "data": "0x" + _call_data(digest, signature).hex()}
        answer = await self._ask(url, "eth_call", [call, "latest"])
        if answer is None:
            return False
        try:
            return bytes.fromhex(answer.removeprefix("0x")) == _IS_VALID.ljust(_WORD, b"\0")
        except ValueError:
            raise ChainUnavailable("the node's answer is no hex") from None

    async def _ask(self, url: str, method: str, params: list[Any]) -> str | None:
        """The result of a JSON-RPC call, None if a contract's code ended it.

        Raises:
            ChainUnavailable: every other error, such as a rate limit, says nothing about the contract.
        """
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        headers = {"content-type": "application/json"}
        try:
            response = await self._transport.send("POST", url, headers, body, _TIMEOUTS)
            try:
                answer = json.loads(await response.read(_MAX_ANSWER_BYTES))
            finally:
                await response.aclose()
        except (TransportFailure, TransportTimeout, AnswerTooLong, ValueError) as error:
            raise ChainUnavailable(type(error).__name__) from None
        if not isinstance(answer, dict):
            raise ChainUnavailable("the node's answer is no object")
        refusal, result = answer.get("error"), answer.get("result")
        if refusal is not None:
            if _is_contracts(refusal):
                return None
            raise ChainUnavailable(f"the node refused {method}")
        if not isinstance(result, str):
            raise ChainUnavailable("the node's answer has no result")
        return result


def _is_contracts(refusal: Any) -> bool:
    """Whether a JSON-RPC error tells how a contract's code ended: geth's code 3, or words that nodes use."""
    if not isinstance(refusal, dict):
        return False
    return refusal.get("code") == _REVERTED or _ENDED.search(str(refusal.get("message"))) is not None


def _call_data(digest: bytes, signature: bytes) -> bytes:
    """`isValidSignature(digest, signature)` by the contract ABI."""
    padded = signature.ljust(-(-len(signature) // _WORD) * _WORD, b"\0")
    offset, length = (number.to_bytes(_WORD, "big") for number in (2 * _WORD, len(signature)))
    return _IS_VALID + digest + offset + length + padded
