"""What all configuration is made of."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from mini_llm.price import parse_usd
from mini_llm.request import MAX_MODEL_NAME

Name = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME)]
MAX_CONTEXT_TOKENS: Final = 2**31
Tokens = Annotated[int, Field(ge=1, le=MAX_CONTEXT_TOKENS)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]


def _amount(usd: str) -> str:
    parse_usd(usd)
    return usd


Usd = Annotated[str, AfterValidator(_amount)]
"""An amount of USD as a plain decimal: a number of JSON would pass through a float."""


def _bare(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.username or url.password:
        raise ValueError(
            "must not contain a user or password, as addresses are shown: put the secret into api_key"
        )
    if url.query or url.fragment:
        raise ValueError("must not have a query or fragment, since neither would be sent")
    return url


def for_header(secret: SecretStr) -> SecretStr:
    """The key, if a header can carry it.

    Raises:
        ValueError: it cannot.
    """
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("contains a line break or another character that no header can carry: copy it again")
    return secret


Key = Annotated[SecretStr, AfterValidator(for_header)]
"""A key as a header carries it."""

ApiUrl = Annotated[AnyHttpUrl, AfterValidator(_bare)]
"""Where an API is; it is shown in lists and errors, so no secret may stand in it."""


class Strict(BaseModel):
    """Base of all configuration: a misspelt field is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
