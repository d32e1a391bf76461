"""Sends questions through the official OpenAI client and keeps the receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import openai
from customers import Customer
from openai.types.chat import ChatCompletionMessageParam

from mini_llm.wallet.receipt import SignedReceipt
from router.receipts import RECEIPT_HEADER, REQUEST_ID_HEADER, decode_receipt

CONCURRENCY = 4


@dataclass(frozen=True)
class Question:
    """One call to make.

    Attributes:
        max_tokens: longest answer, None to leave it to the model.
    """

    customer: Customer
    model: str
    text: str
    stream: bool
    max_tokens: int | None


@dataclass(frozen=True)
class Answer:
    """What came back."""

    question: Question
    text: str
    receipt: SignedReceipt


async def ask_all(questions: Sequence[Question], done: Callable[[], None]) -> list[Answer]:
    """Asks all, ``CONCURRENCY`` at a time; ``done`` is called after each answer.

    Raises:
        openai.OpenAIError: a call failed; the others are cancelled.
    """
    turn = asyncio.Semaphore(CONCURRENCY)

    async def ask(question: Question) -> Answer:
        async with turn:
            answer = await _ask(question)
        question.customer.receipts.append(answer.receipt)
        done()
        return answer

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(question)) for question in questions]
    return [task.result() for task in tasks]


async def _ask(question: Question) -> Answer:
    customer = question.customer
    async with openai.AsyncOpenAI(
        base_url=customer.base_url, api_key=customer.api_key, max_retries=0
    ) as client:
        calls = client.chat.completions.with_raw_response
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question.text}]
        limit = question.max_tokens or openai.omit
        if not question.stream:
            raw = await calls.create(model=question.model, messages=messages, max_tokens=limit)
            text = raw.parse().choices[0].message.content or ""
            return Answer(question, text, decode_receipt(raw.headers[RECEIPT_HEADER]))
        stream = await calls.create(model=question.model, messages=messages, max_tokens=limit, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream.parse() if chunk.choices]
        # A stream ends with its receipt in a comment, which this client skips; the router hands it out again.
        found = await client.get(f"/receipts/{stream.headers[REQUEST_ID_HEADER]}", cast_to=object)
        return Answer(question, "".join(pieces), SignedReceipt.from_json(found))
