"""How companies of OpenAI's format write their errors."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


def openai_error(status: int, message: str) -> Body:
    return {"error": {"message": message, "type": "some_error", "param": None, "code": f"code_{status}"}}


def numbered_error(status: int, message: str) -> Body:  # OpenRouter, Perplexity, Azure
    return {"error": {"code": status, "message": message}}


def flat_error(status: int, message: str) -> Body:  # Cerebras, Cohere
    return {"message": message, "type": "some_error", "param": "quota", "code": f"code_{status}"}


def mistral_error(status: int, message: str) -> Body:
    if status == 401:
        return {"detail": message}
    if status == 400:
        complaint = {"type": "extra_forbidden", "loc": ["body", "field"], "msg": message}
        return {"object": "error", "message": {"detail": [complaint]}, "type": "invalid_request_error"}
    return {"object": "error", "message": message, "type": "rate_limited", "param": None, "code": "1300"}


def cloudflare_error(status: int, message: str) -> Body:
    return {"errors": [{"message": message, "code": 3000 + status}], "success": False, "result": {}}


def text_error(status: int, message: str) -> Body:  # Hugging Face, xAI
    return {"error": message, "code": f"code_{status}"}


def detail_error(status: int, message: str) -> Body:  # NVIDIA, Hyperbolic
    return {"status": status, "title": "Refused", "detail": message}


def nested_error(_: int, message: str) -> Body:  # DeepInfra
    return {"detail": {"error": message}}


def reason_error(status: int, message: str) -> Body:  # Novita
    return {"code": status, "reason": "SOME_REASON", "message": message, "metadata": {}}
