"""A router that keeps honest books, or breaks one rule when it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from eth_hash.auto import keccak
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from mini_llm.wallet.ceiling import SignedCeiling
from mini_llm.wallet.receipt import Receipt, ReceiptDomain, SignedReceipt, sign_receipt

DOMAIN = ReceiptDomain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
ACCOUNT = 7
KEY, FORGED_KEY = keccak(b"receipt key"), keccak(b"somebody else's key")
PROMPT_PRICE, COMPLETION_PRICE = 10**9, 2 * 10**9  # base units per million tokens
WORDS = ("the", "rails", "carry", "each", "call", "from", "a", "user", "to", "its", "provider", "and", "back")
MOST_OUTPUT = 100


class CheatingRouter:
    """The server. `cheat` names the rule that the next charge breaks; empty for none."""

    def __init__(self) -> None:
        self.cheat = ""
        self.receipt_alone = False  # as older routers write it
        self.slowest_first = False  # answers come in the opposite order of their receipts
        self.tokens_written: int | None = None
        self.receipts: list[SignedReceipt] = []
        self.ceilings: list[SignedCeiling] = []
        self.calls = 0
        self.quotes = 0
        self.url = ""
        self.total_base = 0
        self.app = FastAPI()
        self.app.get("/v1/account")(self.account)
        self.app.post("/v1/account/ceiling")(self.keep_ceiling)
        self.app.get("/v1/receipts")(self.listed)
        self.app.get("/v1/receipts/{request_id}")(self.one)
        self.app.post("/v1/quote")(self.quote)
        self.app.post("/v1/chat/completions")(self.chat)

    @property
    def ceiling_base(self) -> int:
        return self.ceilings[-1].ceiling_base if self.ceilings else 0

    def account(self) -> dict[str, Any]:
        signed = json.loads(self.ceilings[-1].to_json()) if self.ceilings else None
        amounts = {
            "balance_base": 10**12,
            "cancelling_base": 0,
            "spent_base": self.total_base,
            "reserved_base": 0,
            "withdraw_requested_base": 0,
            "ceiling_base": self.ceiling_base,
        }
        told = {name: str(amount) for name, amount in amounts.items()}
        return told | {"account": ACCOUNT, "receipts": len(self.receipts), "signed_ceiling": signed}

    async def keep_ceiling(self, request: Request) -> Response:
        signed = SignedCeiling.from_json(await request.body())
        if signed.ceiling_base < self.ceiling_base:
            error = {"message": "below the present", "code": "ceiling_rejected"}
            return JSONResponse({"error": error}, 400)
        self.ceilings.append(signed)
        return JSONResponse({"ceiling_base": str(signed.ceiling_base)})

    def listed(self, after_base: int, upto_base: int) -> dict[str, Any]:
        found = [r for r in self.receipts if after_base < r.receipt.account_total_base <= upto_base]
        if self.cheat == "unasked":
            found = self.receipts
        return {"data": [signed.to_json() for signed in found[:100]]}

    def one(self, request_id: str) -> Response:
        for signed in self.receipts:
            if signed.receipt.request_id.hex() == request_id:
                return JSONResponse(signed.to_json())
        return JSONResponse({"error": {"message": "none", "code": "receipt_not_found"}}, 404)

    def quote(self) -> dict[str, Any]:
        self.quotes += 1
        price = {
            "prompt_base_per_mtok": str(PROMPT_PRICE),
            "completion_base_per_mtok": str(COMPLETION_PRICE),
            "cached_base_per_mtok": None,
        }
        return {"deployments": [{"price": price, "most_completion_tokens": MOST_OUTPUT}]}

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.calls += 1
        turn = self.calls
        signed, request_id = self.charge()
        if self.slowest_first:
            await asyncio.sleep(max(0.0, 0.5 - turn * 0.02))
        receipt = urlsafe_b64encode(json.dumps(signed.to_json()).encode()).decode()
        headers = {"x-vibes-request-id": request_id}
        if body.get("stream"):
            return StreamingResponse(
                self.stream("" if self.cheat == "receipt" else receipt),
                media_type="text/event-stream",
                headers=headers,
            )
        if self.cheat != "receipt":
            headers["x-vibes-receipt"] = receipt
        told_base = signed.receipt.charge_base - (self.cheat == "header")
        message = {"role": "assistant", "content": " ".join(WORDS)}
        answer = {
            "id": "x",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": len(WORDS), "total_tokens": 24},
        }
        return JSONResponse(answer, headers=headers | {"x-vibes-charge-base": str(told_base)})

    async def stream(self, receipt: str) -> AsyncIterator[bytes]:
        for word in WORDS:
            delta = {"index": 0, "delta": {"content": word + " "}, "finish_reason": None}
            yield _event({"choices": [delta]})
        await asyncio.sleep(0.05)  # else all of it may be read at once
        yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if receipt:
            yield f": vibes-receipt {receipt}\n".encode() + b"\n" * self.receipt_alone
        yield b"data: [DONE]\n\n"

    def charge(self) -> tuple[SignedReceipt, str]:
        """Writes the next charge down; breaks the rule in `cheat`."""
        request_id, cheat = keccak(f"call {self.calls}".encode()), self.cheat
        last = self.receipts[-1] if self.receipts else None
        if cheat == "replay" and last is not None:
            return last, last.receipt.request_id.hex()
        prompt = 11 if cheat != "prompt tokens" else 20_000
        written = len(WORDS) if cheat != "completion tokens" else 5_000
        price = PROMPT_PRICE * (2 if cheat == "price" else 1)
        charge_base = (prompt * price + written * COMPLETION_PRICE) // 10**6
        charge_base += cheat == "charge"
        skipped = cheat == "sequence"
        self.total_base += charge_base * (2 if skipped or cheat == "total" else 1)
        honest = Receipt(
            request_id=request_id,
            account=ACCOUNT,
            partner=0,
            model="m",
            prompt_tokens=prompt,
            completion_tokens=written,
            prompt_price_base_per_mtok=price,
            completion_price_base_per_mtok=COMPLETION_PRICE,
            vibes_per_usd=100,
            charge_base=charge_base,
            account_sequence=(last.receipt.account_sequence if last else 0) + (2 if skipped else 1),
            partner_sequence=len(self.receipts) + 1,
            account_total_base=self.total_base,
            partner_total_base=self.total_base,
            previous_receipt=last.receipt.digest(DOMAIN) if last else bytes(32),
            time=int(time.time()),
            prompt_hash=bytes(32),
        )
        changes: dict[str, dict[str, Any]] = {
            "call": {"request_id": keccak(b"another call")},
            "account": {"account": ACCOUNT + 1},
            "previous receipt": {"previous_receipt": keccak(b"another receipt")},
            "impossible total": {"account_total_base": 2**200},
            "impossible number": {"account_sequence": 2**64 - 1},
            "same number": {"account_sequence": last.receipt.account_sequence if last else 1},
        }
        told = replace(honest, **changes.get(cheat, {}))
        signed = sign_receipt(told, DOMAIN, FORGED_KEY if cheat == "signature" else KEY)
        self.receipts.append(signed)
        return signed, request_id.hex()


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


@contextmanager
def cheating_router() -> Iterator[CheatingRouter]:
    """Serves on a free port, in a thread of this process, until the block ends."""
    router = CheatingRouter()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(uvicorn.Config(router.app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    router.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield router
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
