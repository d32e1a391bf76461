"""The companies, one row each, as their documentation (``source``) describes them.

Where the documentation and a company's own SDK disagree, the SDK won: it is what its customers run.
"""

from __future__ import annotations

from typing import Final

from mini_llm.providers.company import Company
from mini_llm.providers.counting import Counting
from mini_llm.providers.limits import LimitHeaders, ratelimit_headers
from mini_llm.providers.openai import CHAT_PATHS, EMBEDDING_PATHS, OPENAI_PATHS
from mini_llm.request import Need
from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.turns import OPENAI_TURN, THOUGHTS

_NEW_CAP: Final = Dialect(cap_field="max_completion_tokens", turn_drops=THOUGHTS)
_QUIET: Final = Dialect(asks_usage=False, turn_drops=THOUGHTS)  # reports usage in streams unasked
_WISHES: Final = frozenset({"logit_bias", "top_k"})  # of sampling
_ONE_WINDOW: Final = (
    LimitHeaders("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)

OPENAI_STYLE: Final = (
    Company(
        type="openai",
        title="OpenAI",
        source="https://platform.openai.com/docs/api-reference",
        url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        paths=OPENAI_PATHS,
        dialect=_NEW_CAP,
        models=("gpt-*", "chatgpt-*", "o[1-9]*", "codex-*", "text-embedding-3-*", "text-embedding-ada-*"),
    ),
    Company(
        type="azure",
        title="Azure OpenAI",  # base_url is https://RESOURCE.openai.azure.com/openai/v1
        source="https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
        url=None,
        key_variable="AZURE_OPENAI_API_KEY",
        key_header="api-key",
        key_prefix="",
        paths=OPENAI_PATHS,
        dialect=_NEW_CAP,
        id_header="apim-request-id",
    ),
    Company(
        type="azure-deployments",
        title="Azure OpenAI, dated API",  # base_url is https://RESOURCE.openai.azure.com/openai
        source="https://learn.microsoft.com/azure/ai-services/openai/reference",
        url=None,
        key_variable="AZURE_OPENAI_API_KEY",
        key_header="api-key",
        key_prefix="",
        paths={
            "chat": "/deployments/{model}/chat/completions",
            "embeddings": "/deployments/{model}/embeddings",
        },
        query="api-version=2024-10-21",
        dialect=_NEW_CAP,
        id_header="apim-request-id",
    ),
    Company(
        type="bedrock",
        title="Amazon Bedrock",  # base_url is https://bedrock-runtime.REGION.amazonaws.com/openai/v1
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html",
        url=None,
        key_variable="AWS_BEARER_TOKEN_BEDROCK",
        paths={**CHAT_PATHS, "responses": "/responses"},
        dialect=_NEW_CAP,
        id_header="x-amzn-requestid",
    ),
    Company(
        type="cerebras",
        title="Cerebras",
        source="https://inference-docs.cerebras.ai/support/rate-limits",
        url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        dialect=_NEW_CAP,
        limits=ratelimit_headers("requests-day", "tokens-minute"),
        models=("gpt-oss-*", "llama*", "qwen-3*"),
    ),
    Company(
        type="cloudflare",
        title="Cloudflare Workers AI",  # base_url is https://api.cloudflare.com/client/v4/accounts/ID/ai/v1
        source="https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility",
        url=None,
        key_variable="CLOUDFLARE_API_KEY",
        paths=OPENAI_PATHS,
        id_header="cf-ray",
    ),
    Company(
        type="cohere",
        title="Cohere",
        source="https://docs.cohere.com/docs/compatibility-api",
        url="https://api.cohere.ai/compatibility/v1",
        key_variable="COHERE_API_KEY",
        paths=EMBEDDING_PATHS,
        dialect=_QUIET,
        lacks=frozenset({Need.MANY}),
        models=("command*", "c4ai-*", "embed-*"),
    ),
    Company(
        type="dashscope",
        title="Alibaba Cloud Model Studio (Qwen)",
        source="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_variable="DASHSCOPE_API_KEY",
        paths=EMBEDDING_PATHS,
        lacks=frozenset({Need.FILES}),
        models=("qwen*", "qwq-*", "text-embedding-v*"),
    ),
    Company(
        type="deepinfra",
        title="DeepInfra",
        source="https://deepinfra.com/docs/advanced/openai_api",
        url="https://api.deepinfra.com/v1/openai",
        key_variable="DEEPINFRA_API_KEY",
        paths=EMBEDDING_PATHS,
        models=("*/*",),
    ),
    Company(
        type="deepseek",
        title="DeepSeek",
        source="https://api-docs.deepseek.com/api/create-chat-completion",
        url="https://api.deepseek.com",
        key_variable="DEEPSEEK_API_KEY",
        counting=Counting(cached="prompt_cache_hit_tokens"),
        lacks=frozenset({Need.JSON_SCHEMA, Need.MANY}),
        models=("deepseek-*",),
    ),
    Company(
        type="fireworks",
        title="Fireworks AI",
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        paths=OPENAI_PATHS,
        models=("accounts/*",),
    ),
    Company(
        type="groq",
        title="Groq",
        source="https://console.groq.com/docs/rate-limits",
        url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        dialect=Dialect(
            "max_completion_tokens", drops=_WISHES | {"top_logprobs"}, turn_drops=THOUGHTS | OPENAI_TURN
        ),
        counting=Counting(elsewhere="x_groq.usage"),
        lacks=frozenset({Need.LOGPROBS, Need.MANY}),
        models=("llama-*", "openai/gpt-oss-*", "meta-llama/*", "groq/*"),
    ),
    Company(
        type="huggingface",
        title="Hugging Face Inference Providers",
        source="https://huggingface.co/docs/inference-providers/index",
        url="https://router.huggingface.co/v1",
        key_variable="HF_TOKEN",
        models=("*/*",),
    ),
    Company(
        type="hyperbolic",
        title="Hyperbolic",
        source="https://docs.hyperbolic.xyz/docs/rest-api",
        url="https://api.hyperbolic.xyz/v1",
        key_variable="HYPERBOLIC_API_KEY",
        models=("*/*",),
    ),
    Company(
        type="mistral",
        title="Mistral AI",
        source="https://docs.mistral.ai/api/",
        url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        paths=EMBEDDING_PATHS,
        dialect=Dialect(
            asks_usage=False,
            renames=(("seed", "random_seed"),),
            drops=_WISHES | {"user", "safety_identifier", "store", "service_tier", "verbosity"},
            turn_drops=THOUGHTS | OPENAI_TURN | {"reasoning", "reasoning_details", "name"},
            short_ids=True,
        ),
        lacks=frozenset({Need.LOGPROBS}),
        models=(
            "mistral-*",
            "ministral-*",
            "magistral-*",
            "codestral-*",
            "devstral-*",
            "pixtral-*",
            "open-mi*",
        ),
    ),
    Company(
        type="moonshot",
        title="Moonshot AI (Kimi)",
        source="https://platform.moonshot.ai/docs",
        url="https://api.moonshot.ai/v1",
        key_variable="MOONSHOT_API_KEY",
        counting=Counting(cached="cached_tokens"),
        models=("kimi-*", "moonshot-*"),
    ),
    Company(
        type="nebius",
        title="Nebius Token Factory",
        source="https://docs.tokenfactory.nebius.com/api-reference/introduction",
        url="https://api.tokenfactory.nebius.com/v1",
        key_variable="NEBIUS_API_KEY",
        paths=EMBEDDING_PATHS,
        models=("*/*",),
    ),
    Company(
        type="novita",
        title="Novita AI",
        source="https://novita.ai/docs/guides/llm-api",
        url="https://api.novita.ai/v3/openai",
        key_variable="NOVITA_API_KEY",
        models=("*/*",),
    ),
    Company(
        type="nvidia",
        title="NVIDIA NIM",
        source="https://docs.api.nvidia.com/nim/reference",
        url="https://integrate.api.nvidia.com/v1",
        key_variable="NVIDIA_API_KEY",
        paths=EMBEDDING_PATHS,
        models=("*/*",),
    ),
    Company(
        type="openrouter",
        title="OpenRouter",
        source="https://openrouter.ai/docs/api/reference/errors-and-debugging",
        url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        paths={**CHAT_PATHS, "responses": "/responses"},
        limits=_ONE_WINDOW,
        id_header="x-generation-id",
        models=("*/*",),
    ),
    Company(
        type="perplexity",
        title="Perplexity",
        source="https://docs.perplexity.ai/docs/sonar/openai-compatibility",
        url="https://api.perplexity.ai",
        key_variable="PERPLEXITY_API_KEY",
        dialect=_QUIET,
        counting=Counting(reasoning="reasoning_tokens", beside=("reasoning_tokens", "citation_tokens")),
        models=("sonar*",),
    ),
    Company(
        type="sambanova",
        title="SambaNova",
        source="https://docs.sambanova.ai/cloud/api-reference/",
        url="https://api.sambanova.ai/v1",
        key_variable="SAMBANOVA_API_KEY",
        paths=EMBEDDING_PATHS,
        models=("Meta-Llama-*", "DeepSeek-*", "Llama-*"),
    ),
    Company(
        type="together",
        title="Together AI",
        source="https://docs.together.ai/docs/openai-api-compatibility",
        url="https://api.together.ai/v1",
        key_variable="TOGETHER_API_KEY",
        paths=EMBEDDING_PATHS,
        limits=_ONE_WINDOW,
        models=("*/*",),
    ),
    Company(
        type="vercel",
        title="Vercel AI Gateway",
        source="https://vercel.com/docs/ai-gateway",
        url="https://ai-gateway.vercel.sh/v1",
        key_variable="VERCEL_AI_GATEWAY_API_KEY",
        paths=EMBEDDING_PATHS,
        models=("*/*",),
    ),
    Company(
        type="xai",
        title="xAI",
        source="https://docs.x.ai/docs/api-reference",
        url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        paths={**CHAT_PATHS, "responses": "/responses"},
        counting=Counting(beside=("completion_tokens_details.reasoning_tokens",)),
        models=("grok-*",),
    ),
    Company(
        type="zai",
        title="Z.AI",
        source="https://docs.z.ai/guides/develop/python/introduction",
        url="https://api.z.ai/api/paas/v4",
        key_variable="ZAI_API_KEY",
        models=("glm-*",),
    ),
)
"""Companies that speak OpenAI's format."""
