"""One paid call end to end, every part real: wallet, router, upstream, ledger, proof, chain, audit."""

from __future__ import annotations

import json

import httpx
import openai
from support.gateway import BIN, router, run
from support.operator import Operator
from support.stack import VIBES

from mini_llm.wallet.receipt import ReceiptDomain, SignedReceipt, recover_signer
from mini_llm.wallet.receipts_tree import receipts_tree
from router.receipts import decode_receipt


def test_a_paid_call_is_metered_proved_settled_and_audited(operator: Operator) -> None:
    stack = operator.stack
    alice = stack.wallet("alice", 10 * VIBES)
    stack.deposit(alice, 5 * VIBES)
    with router(operator) as (environment, base_url):
        # the first batch opens the account; the deposit is spendable as soon as it is indexed
        opened = json.loads(run(environment, BIN / "vibes", "settle", "--once", "--json"))
        assert (opened["number"], opened["gross_base"]) == (1, 0)
        api_key = run(environment, BIN / "vibes-router", "keys", "create", "--account", alice.idx).strip()
        accepted = httpx.post(
            f"{base_url}/account/ceiling",
            content=alice.ceiling(3 * VIBES).to_json(),
            headers={"authorization": f"Bearer {api_key}", "content-type": "application/json"},
        )
        assert accepted.status_code == 200, accepted.text

        client = openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0)
        question = [{"role": "user", "content": "What is a ceiling?"}]
        answered = client.chat.completions.with_raw_response.create(model="pithy-1", messages=question)
        completion = answered.parse()
        signed = decode_receipt(answered.headers["x-vibes-receipt"])
        assert completion.usage is not None
        assert signed.receipt.prompt_tokens == completion.usage.prompt_tokens
        assert signed.receipt.completion_tokens == completion.usage.completion_tokens
        assert signed.receipt.charge_base == -(
            -(completion.usage.prompt_tokens * 150_000_000 + completion.usage.completion_tokens * 600_000_000)
            // 10**6
        )
        stream = client.chat.completions.create(model="pithy-1", messages=question, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

        receipts_file = operator.folder / "receipts.jsonl"
        run(environment, BIN / "vibes-router", "receipts", "export", "-o", receipts_file)
        settled = json.loads(run(environment, BIN / "vibes", "settle", "--once", "--json"))

    receipts = [SignedReceipt.from_json(json.loads(line)) for line in receipts_file.read_text().splitlines()]
    assert receipts[0] == signed
    assert len(receipts) == 2
    domain = ReceiptDomain(stack.chain_id, stack.settlement.address)
    signer = stack.settlement.functions.receiptSigner().call()
    assert {recover_signer(receipt, domain) for receipt in receipts} == {signer}
    root, gross_base = receipts_tree(
        [(receipt.receipt.digest(domain), receipt.receipt.charge_base) for receipt in receipts]
    )
    assert (settled["number"], settled["gross_base"]) == (2, gross_base)
    assert settled["receipts_root"] == "0x" + root.hex()

    stack.send(stack.relayer, stack.settlement.functions.claimPartner(1))
    paid_base = stack.token.functions.balanceOf(stack.payouts[0].address).call()
    assert paid_base == gross_base * 3_000 // 10_000
    report = run(
        {}, BIN / "vibes", "audit", "--rpc", stack.url, "--settlement", stack.settlement.address,
        "--receipts", receipts_file, "--json",
    )  # fmt: skip
    assert json.loads(report)["ok"] is True
    with operator.pipeline() as pipeline:
        pipeline.sync()
    operator.assert_books_match_chain()
