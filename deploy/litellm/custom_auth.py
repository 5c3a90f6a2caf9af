"""Let LiteLLM ask LiteMaaS whether an API key may be used, on each request.

Point general_settings.custom_auth at user_api_key_auth: see config.yaml and README.md beside this file.
What LiteMaaS cannot answer is refused.
"""

import hmac
import json
import os

import httpx
from fastapi import Request
from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth

URL = os.environ["LITEMAAS_URL"].rstrip("/") + os.environ.get("LITEMAAS_PREFIX", "/ext-authz")
SECRET = os.environ["LITEMAAS_GATEWAY_SECRET"]
MASTER_KEY = os.environ["LITELLM_MASTER_KEY"]  # with which LiteMaaS administers this LiteLLM

client = httpx.AsyncClient(timeout=2)


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Tell LiteLLM whose key this is and what it may, or refuse the request."""
    if hmac.compare_digest(api_key.encode(), MASTER_KEY.encode()):
        return UserAPIKeyAuth(api_key=api_key, user_role=LitellmUserRoles.PROXY_ADMIN)
    for model in await models_of(request) or [""]:
        key = await ask(api_key, model)
    limits, team = key["limits"], key.get("team") or {}
    return UserAPIKeyAuth(
        api_key=api_key,
        key_alias=key.get("name"),
        user_id=key["owner"]["id"],
        user_role=LitellmUserRoles.INTERNAL_USER,
        team_id=team.get("id"),
        models=key["models"],
        expires=key.get("expiresAt"),
        tpm_limit=limits.get("tpmLimit"),
        rpm_limit=limits.get("rpmLimit"),
        max_parallel_requests=limits.get("maxParallelRequests"),
        metadata={
            "model_tpm_limit": limits.get("modelTpmLimit", {}),
            "model_rpm_limit": limits.get("modelRpmLimit", {}),
            "litemaas_key_id": key["keyId"],
        },
    )


async def models_of(request: Request) -> list[str]:
    """List every model that a request names: in its path, and in its JSON or its form."""
    named = {request.path_params.get("model")}
    kind = request.headers.get("content-type", "")
    if kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        named.add((await request.form()).get("model"))
    else:
        try:
            body = json.loads(await request.body() or b"{}")
        except ValueError:
            raise refusal(400, "the body is no JSON", "model_unreadable") from None
        named.add(body.get("model") if isinstance(body, dict) else None)
    if any(model is not None and not isinstance(model, str) for model in named):
        raise refusal(400, "model must be a string", "model_unreadable")
    return [model for model in named if model]


async def ask(api_key: str, model: str) -> dict:
    """Return what LiteMaaS says of a key that may call the model."""
    headers = {"authorization": f"Bearer {api_key}", "x-litemaas-gateway": SECRET, "accept": "application/json"}
    if model:
        headers["x-litemaas-model"] = model
    try:
        answer = await client.get(URL, headers=headers)
    except (httpx.HTTPError, UnicodeError):  # also a key or a model that is no text of a header
        raise refusal(503, "LiteMaaS does not answer, or cannot be asked this", "unavailable") from None
    if answer.status_code == 200:
        return answer.json()
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = "LiteMaaS does not answer"
    wait = {"retry-after": answer.headers["retry-after"]} if "retry-after" in answer.headers else None
    raise refusal(answer.status_code, message, answer.headers.get("x-litemaas-reason", "refused"), wait)


def refusal(status: int, message: str, reason: str, headers: dict[str, str] | None = None) -> ProxyException:
    """Make the error that LiteLLM answers with, as OpenAI's clients know it."""
    return ProxyException(message=message, type="auth_error", param=reason, code=status, headers=headers)
