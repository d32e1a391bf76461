"""Configuration of providers and deployments: one JSON file; secrets are references to the environment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from mini_llm.deployment import HOUSE_PARTNER, MAX_PARTNER_ID
from mini_llm.errors import ConfigError
from mini_llm.price import parse_usd
from mini_llm.request import MAX_MODEL_NAME

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MAX_TOKENS = 2**31

Model = TypeVar("Model", bound=BaseModel)
Name = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME)]
Tokens = Annotated[int, Field(ge=1, le=_MAX_TOKENS)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Strict(BaseModel):
    """Base of all configuration: a misspelt field is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderConfig(Strict):
    """How to reach one provider.

    Attributes:
        type: a row of ``mini_llm.providers.registry``.
        base_url: its API, up to and with ``/v1``; the row's own address if absent.
        api_key: sent as bearer token; write ``${NAME}`` to take it from the environment.
        cap_field: which request field limits the completion; follows from the row and the address if absent.
        continuous_usage: ask a stream for usage in every chunk (vLLM's ``continuous_usage_stats``).
        servers: for ``local``: base URLs to look at instead of the usual ports.
        connect_timeout_s: for making a connection.
        read_timeout_s: longest silence, before the answer and between its pieces.
    """

    type: str = "openai"
    base_url: AnyHttpUrl | None = None
    api_key: SecretStr | None = None
    cap_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    continuous_usage: bool = False
    servers: tuple[AnyHttpUrl, ...] | None = None
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 300.0


class DeploymentConfig(Strict):
    """One model on offer; see ``mini_llm.deployment.Deployment``. Prices are decimal strings in USD."""

    model: Name
    provider: Name
    upstream_model: Name | None = None
    partner: Annotated[int, Field(ge=HOUSE_PARTNER, le=MAX_PARTNER_ID)] = HOUSE_PARTNER
    prompt_usd_per_mtok: str = "0"
    completion_usd_per_mtok: str = "0"
    context_tokens: Tokens = 8192
    max_output_tokens: Tokens = 1024

    @field_validator("prompt_usd_per_mtok", "completion_usd_per_mtok")
    @classmethod
    def _is_price(cls, value: str) -> str:
        parse_usd(value)
        return value


class RoutingConfig(Strict):
    """Providers by name, and what they serve."""

    providers: dict[Name, ProviderConfig]
    deployments: tuple[DeploymentConfig, ...] = ()


def load_config(path: Path, schema: type[Model], environ: Mapping[str, str]) -> Model:
    """Reads a JSON file into a schema, with ``${NAME}`` in strings taken from ``environ``.

    Raises:
        ConfigError: the file is missing or no JSON, a reference is not set, or a value does not
            fit; it says where.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(str(path), f"is not JSON: {error}") from None
    try:
        return schema.model_validate(_resolve(raw, environ, str(path)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise ConfigError(f"{path}: {where}", first["msg"]) from None


def _resolve(value: Any, environ: Mapping[str, str], where: str) -> Any:
    """Replaces references in every string of a JSON value."""
    if isinstance(value, dict):
        return {name: _resolve(item, environ, f"{where}: {name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, environ, where) for item in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise ConfigError(where, f"${{{name}}} is not set: export {name}=… before the start")
        return environ[name]

    return _REFERENCE.sub(lookup, value)
