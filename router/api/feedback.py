"""What an account says of the answers that it got."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request
from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from router.api.people import Fields, now_s, read_fields, takes
from router.auth import Doors
from router.learning import Mirror
from router.ledger import mirror
from router.ledger.grants import Scope

NO_VERDICT: Final = 'Input should be "good", "bad" or a number from 0 to 1'

routes = APIRouter()


def _one_error(verdict: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Says in one sentence what a verdict is, not what is wrong with it for each of its kinds."""
    try:
        return read(verdict)
    except ValidationError:
        raise PydanticCustomError("verdict", NO_VERDICT) from None


class Verdict(Fields):
    """Of one call. A number says how good the answer was, 0 to 1; "good" is 1, "bad" 0."""

    request_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    verdict: Annotated[
        Literal["good", "bad"] | Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)],
        WrapValidator(_one_error),
    ]


@routes.post("/v1/feedback", summary="Say how good an answer was", openapi_extra=takes(Verdict))
async def give_feedback(request: Request) -> dict[str, Any]:
    """Of one of the account's own finished calls, by its `x-vibes-request-id`. The last word counts.

    A call may be judged for a week. It costs nothing and moves no money. Where the model was left to the
    router and learning is on, it counts for the choice of later calls.
    """
    doors: Doors = request.app.state.doors
    principal = await doors.admit(request.headers.get, Scope.CHAT)
    passage = doors.enter(principal)
    try:
        said = await read_fields(request, Verdict)
        value = float(said.verdict == "good") if isinstance(said.verdict, str) else said.verdict
        learner: Mirror = request.app.state.mirror
        idx, weighing = principal.account_idx, learner.weighing
        await request.app.state.ledger.submit(
            lambda found: mirror.give_feedback(found, idx, said.request_id, value, now_s(), weighing)
        )
    finally:
        passage.leave()
    return {"object": "feedback", "request_id": said.request_id, "value": value}
