"""How chat differs at the companies that speak OpenAI's format: what each refuses or calls otherwise.

From their documentation (``source`` of their rows) and what their servers are reported to answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.turns import OPENAI_TURN, THOUGHTS

_UNSAID: Final = THOUGHTS | {"reasoning"}
_WISHES: Final = frozenset({"logit_bias", "top_k"})  # of sampling
_TOOLS: Final = frozenset({"tool"})

OTHER: Final = Dialect(cache_marks=True, thinks_in_parts=True)
"""Some server, which knows ``max_tokens`` and may be a router that takes thoughts back."""
ROUTER: Final = replace(OTHER, openai=True)
"""A router of this protocol, which fits a call to whom it asks."""
BEDROCK: Final = Dialect(cap_field="max_completion_tokens", turn_drops=_UNSAID)
OPENAI: Final = replace(BEDROCK, drops=frozenset({"top_k"}), openai=True)
CEREBRAS: Final = replace(BEDROCK, turn_drops=THOUGHTS)
THINKING: Final = Dialect(needs_thoughts=True)
MARKED: Final = Dialect(cache_marks=True)
QUIET: Final = Dialect(asks_usage=False, turn_drops=_UNSAID)  # reports usage in streams unasked
PERPLEXITY: Final = replace(QUIET, named=frozenset())
FIREWORKS: Final = Dialect(turn_drops=_UNSAID - {"reasoning_content"})
NVIDIA: Final = Dialect(drops=frozenset({"prompt_cache_key"}))
XAI: Final = Dialect(named=frozenset({"user"}))
GROQ: Final = replace(
    CEREBRAS, drops=_WISHES | {"top_logprobs"}, turn_drops=THOUGHTS | OPENAI_TURN, named=_TOOLS
)
MISTRAL: Final = Dialect(
    asks_usage=False,
    renames=(("seed", "random_seed"),),
    drops=_WISHES | {"user", "safety_identifier", "store", "service_tier", "verbosity"},
    turn_drops=_UNSAID | OPENAI_TURN,
    thinks_in_parts=True,
    named=_TOOLS,
    short_ids=True,
)
