"""Spending limits as the ledger enforces them: a code for owner and period, and the most under it.

The period is the UTC day or month that the router's clock shows when the call begins. A clock that is set
back counts on in the earlier period, whose sums are kept: in no period is more spent than its limit.
"""

from __future__ import annotations

import time

from router.ledger.keys import ApiKeyView
from router.ledger.pacing import AutoBudget
from router.ledger.reservations import Budget
from router.people.teams import Membership


def key_budgets(key: ApiKeyView, now_s: int) -> tuple[Budget, ...]:
    """The limits of a key itself."""
    day, month = periods(now_s)
    wanted = (
        (f"key:{key.key_id}:day:{day}", key.grant.day_limit_base),
        (f"key:{key.key_id}:month:{month}", key.grant.month_limit_base),
    )
    return tuple(Budget(code, limit_base) for code, limit_base in wanted if limit_base is not None)


def auto_budgets(key: ApiKeyView, now_s: int) -> tuple[AutoBudget, ...]:
    """What a key's calls to `auto` are to spend."""
    day, month = periods(now_s)
    wanted = (
        (f"auto:key:{key.key_id}:day", day, key.grant.auto_day_base),
        (f"auto:key:{key.key_id}:month", month, key.grant.auto_month_base),
    )
    return tuple(AutoBudget(owner, period, base) for owner, period, base in wanted if base is not None)


def team_budgets(team: Membership, member: str, now_s: int) -> tuple[Budget, ...]:
    """The limits of a team and of one of its members. Without a limit the sums are not kept."""
    _, month = periods(now_s)
    wanted = (
        (f"team:{team.team_id}:month:{month}", team.month_limit_base),
        (f"member:{team.team_id}:{member}:month:{month}", team.member_limit_base),
    )
    return tuple(Budget(code, limit_base) for code, limit_base in wanted if limit_base is not None)


def periods(now_s: int) -> tuple[str, str]:
    """The UTC day and month of a time in unix seconds."""
    day = time.strftime("%Y-%m-%d", time.gmtime(now_s))
    return day, day[:7]
