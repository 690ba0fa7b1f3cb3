"""What `docs/configuration.md` says of the JSON in PROVIDERS and MODELS."""

from collections.abc import Iterable, Sequence

from penstock.gateway.catalog.models import FEATURES, MEDIA_FEATURES
from penstock.gateway.catalog.provider_types import DEMO, TYPES
from penstock.providers.vendors import FLAVOURS


def catalog_sections() -> str:
    return "\n".join(
        [
            _PROVIDERS,
            _table(("field", "types", "meaning"), _provider_fields()),
            _EVERY_PROVIDER_FIELD,
            _MODELS,
            _table(("field", "meaning"), _model_fields()),
            _models_end(),
        ]
    )


_PROVIDERS = """\
## The JSON of PROVIDERS

An object. Its keys are names of your choice; `MODELS` refers to them, and so do permissions (`ai:models:<key>:<id>`).

```json
{
  "main": {"type": "openai", "apiKeys": ["sk-proj-YOUR-KEY"]},
  "local": {"type": "openai-compatible", "baseUrl": "http://ollama:11434/v1"}
}
```

[providers.md](providers.md) says of each type how it is spoken to, what works, and what its errors mean.
"""


def _provider_fields() -> Sequence[tuple[str, ...]]:
    needs_keys = [name for name, kind in TYPES.items() if kind.needs_keys]
    types = [name for name in TYPES if name != DEMO]
    return (
        ("`type`", "all", f"required: one of {_listed(types)}, or the built-in `{DEMO}`"),
        ("`name`", "all", "shown to people; the key when it is missing"),
        ("`apiKeys`", "all", f"an array of keys, used in turn; required for {_listed(needs_keys)}"),
        (
            "`baseUrl`",
            "all",
            "another address: a proxy, a private endpoint; required for `openai-compatible`, with its `/v1`",
        ),
        (
            "`headers`",
            "all",
            "an object of further request headers; those that carry keys are sent by us, but for `openai-compatible`",
        ),
        (
            "`timeouts`",
            "all",
            "an object of `connectMs`, `firstTokenMs`, `idleMs` and `totalMs`, in milliseconds; without them, "
            "`LLM_CONNECT_TIMEOUT_MS`, `LLM_TIMEOUT_MS`, `LLM_IDLE_TIMEOUT_MS` and ten minutes hold",
        ),
        ("`proxy`", "all", "address of an HTTP proxy; never taken from the environment"),
        ("`tls`", "all", "an object of `caFile` (PEM file of a private authority) and `verify`"),
        (
            "`api`",
            "openai, azure, openai-compatible",
            "`auto`, `chat` or `responses`: which of OpenAI's two surfaces is called; `auto` goes by the model",
        ),
        (
            "`flavor`",
            "openai-compatible",
            f"the server's make, when its address does not tell: `auto`, or one of {_listed(FLAVOURS)}",
        ),
        (
            "`resourceName`",
            "azure",
            "the first part of `<name>.openai.azure.com`; required, unless there is a `baseUrl`",
        ),
        ("`apiVersion`", "azure", "required: a date such as `2024-10-21`, or `v1`"),
        ("`apiVersion`", "anthropic", "the date that is sent as `anthropic-version`; else `2023-06-01`"),
        ("`region`", "bedrock", "required, for example `eu-central-1`"),
        ("`project`, `location`", "vertex", "required: the project's id; a region, `us`, `eu` or `global`"),
        (
            "`credentials`",
            "bedrock",
            "an object, or an array of several that are used in turn: `accessKeyId`, `secretAccessKey`, and "
            "`sessionToken` for temporary ones",
        ),
        (
            "`credentials`",
            "vertex",
            "an object, or an array of several: `clientEmail`, `privateKey`, and perhaps `privateKeyId` and "
            "`tokenUri`; or the whole JSON file of a service account",
        ),
        (
            "`ambientCredentials`",
            "azure, bedrock, vertex",
            "`false` forbids the platform's identity, which is used when there are neither keys nor `credentials`",
        ),
        ("`betas`", "anthropic, bedrock, vertex", "an array of what is sent as `anthropic-beta`"),
    )


_EVERY_PROVIDER_FIELD = r"""
Most of them in use:

```json
{
  "openai": {"type": "openai", "apiKeys": ["sk-proj-YOUR-KEY", "sk-proj-YOUR-SECOND-KEY"], "api": "auto",
             "timeouts": {"connectMs": 10000, "firstTokenMs": 180000, "idleMs": 90000, "totalMs": 600000}},
  "azure": {"type": "azure", "resourceName": "acme-ai", "apiVersion": "v1", "name": "Our Azure"},
  "claude": {"type": "anthropic", "apiKeys": ["sk-ant-YOUR-KEY"], "apiVersion": "2023-06-01",
             "betas": ["context-1m-2025-08-07"]},
  "gemini": {"type": "google", "apiKeys": ["AIzaYOUR-KEY"], "headers": {"X-Team": "docs"}},
  "aws": {"type": "bedrock", "region": "eu-central-1", "ambientCredentials": false,
          "credentials": [
            {"accessKeyId": "AKIAYOURKEY", "secretAccessKey": "YOUR-SECRET"},
            {"accessKeyId": "ASIAYOURKEY", "secretAccessKey": "YOUR-SECRET", "sessionToken": "YOUR-TOKEN"}]},
  "vertex": {"type": "vertex", "project": "acme-prod", "location": "global",
             "credentials": {"clientEmail": "penstock@acme-prod.iam.gserviceaccount.com", "privateKeyId": "0123456789",
                             "privateKey": "-----BEGIN PRIVATE KEY-----\nYOUR-KEY\n-----END PRIVATE KEY-----\n",
                             "tokenUri": "https://oauth2.googleapis.com/token"}},
  "local": {"type": "openai-compatible", "baseUrl": "https://models.example.com/v1", "flavor": "vllm",
            "proxy": "http://proxy.example.com:3128", "tls": {"verify": true}}
}
```

A field that is not known is reported with the one that it resembles, and ignored.
"""

_MODELS = """\
## The JSON of MODELS

An array; editors list the models in this order.

```json
[
  {
    "id": "gpt-5-mini",
    "provider": "openai",
    "name": "GPT-5 mini",
    "description": "Quick answers and edits.",
    "recommended": true,
    "capabilities": {"webSearch": false, "reasoning": true},
    "features": ["conversations", "reviews", "actions"]
  },
  {
    "id": "tuned-llama",
    "provider": "local",
    "description": "Ours: no list knows what it can do, or what it costs.",
    "features": ["conversations"],
    "contextLimits": {"maxContextLength": 128000},
    "facts": {"contextTokens": 32768, "outputTokens": 4096, "images": false, "tools": true},
    "price": {"input": "0.20", "output": "0.60"}
  },
  {
    "id": "text-embedding-3-small",
    "provider": "openai",
    "description": "Vectors for search.",
    "features": ["embeddings"]
  }
]
```
"""


def _model_fields() -> Sequence[tuple[str, ...]]:
    return (
        ("`id`", "required: the provider's name for the model; on Azure the name of the deployment"),
        ("`provider`", "required: a key of `PROVIDERS`"),
        ("`name`, `description`", "what people read; without a name it is the `id`"),
        ("`recommended`", "`true` for the one that editors offer first"),
        ("`capabilities`", "an object of `webSearch` and `reasoning`: the switches that editors offer"),
        ("`features`", "required: what the model is used for"),
        (
            "`contextLimits`",
            "an object of `maxContextLength` (characters), `maxFiles`, `maxFileSize`, `maxImageSize`, "
            "`maxTotalFileSize` (bytes) and `maxTotalPdfFilePages`",
        ),
        (
            "`facts`",
            "your word on what the model can do, before what is known of its family: `contextTokens`, "
            "`outputTokens`, and true or false for `images`, `documents` (PDF), `audio`, `tools`, `reasoning` and "
            "`structuredOutput`",
        ),
        (
            "`price`",
            "US dollars per million tokens, as strings or numbers: `input`, `output`, `cacheRead`, `cacheWrite`, "
            "`cacheWrite1h`; `tiers` is an array of the same prices, each with `aboveInput`: the tokens of input "
            "above which they hold for the whole call",
        ),
    )


def _models_end() -> str:
    return f"""
`features` are the umbrellas {_listed(FEATURES)}, or one of their family such as `actions.translate`; beside
them {_listed(MEDIA_FEATURES)} admit a model that is asked for on the OpenAI surface and is no matter of the
editor's. They are what `agent-1` chooses by there; by its own name any model may be asked for anything.

Callers ask for `id`, or for `provider/id` when two providers have it. The same `id` at two providers is one model with
two backends: the second answers when the first fails.

An entry whose `provider` does not exist is reported as an error and skipped; `MODELS_STRICT=true` refuses to start
instead. Without `PROVIDERS` and `MODELS` there is one built-in model, `demo/penstock-demo`.
"""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
