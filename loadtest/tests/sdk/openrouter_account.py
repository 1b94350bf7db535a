"""OpenRouter's Python SDK, unmodified, against a running Godwit: keys, credits, activity, one
generation, workspaces and members, each parsed strictly.

usage: openrouter_account.py BASE_URL MANAGEMENT_KEY MODEL
"""

import json
import sys
import time

from openrouter import OpenRouter
from openrouter.errors import ForbiddenResponseError, NotFoundResponseError
from openrouter.errors import UnauthorizedResponseError
from openrouter.utils import RetryConfig

NEVER = RetryConfig("none", None, False)
HELLO = [{"role": "user", "content": "Say something about cranes and godwits."}]
PATIENCE_S = 20


def passed(check, **details):
    print(json.dumps({"check": check, **details}))


def client_of(base_url, key):
    return OpenRouter(api_key=key, server_url=base_url, retry_config=NEVER)


def keys(manager):
    made = manager.api_keys.create(
        name="from the SDK", limit=0.5, limit_reset="weekly", include_byok_in_limit=True
    )
    assert made.key.startswith("sk-gw-v1-") and made.data.limit == 0.5, made
    listed = manager.api_keys.list().data
    assert made.data.hash in [key.hash for key in listed], listed
    changed = manager.api_keys.update(hash=made.data.hash, limit=None, name="renamed").data
    assert changed.limit is None and changed.name == "renamed", changed
    one = manager.api_keys.get(hash=made.data.hash).data
    assert one.limit_reset == "weekly" and one.workspace_id, one
    passed("keys")
    return made


def generation(base_url, key, model):
    client = client_of(base_url, key)
    answer = client.chat.send(model=model, messages=HELLO, max_tokens=40)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            told = client.generations.get_generation(id=answer.id).data
            break
        except NotFoundResponseError:
            assert time.monotonic() < end, "the record does not come"
            time.sleep(0.05)
    assert told.total_cost == answer.usage.cost and told.model == model, (told, answer)
    own = client.api_keys.get_current_key_metadata().data
    assert own.usage == answer.usage.cost and own.usage_daily == own.usage, own
    assert not own.is_management_key and own.rate_limit.requests == -1, own
    try:
        client.credits.get_credits()
        raise AssertionError("an inference key may not")
    except ForbiddenResponseError:
        pass
    passed("generation", cost=told.total_cost)
    return told


def activity(manager, told):
    day = told.created_at[:10]
    rows = manager.analytics.get_user_activity(request={"date_": day}).data
    assert any(row.model == told.model and row.requests >= 1 for row in rows), rows
    assert isinstance(manager.analytics.get_user_activity(request={}).data, list)
    credits = manager.credits.get_credits().data
    assert credits.total_usage >= told.total_cost > 0, credits
    passed("activity", rows=len(rows))


def places(manager):
    made = manager.workspaces.create(name="Laboratory", slug="laboratory").data
    listed = manager.workspaces.list().result
    assert listed.total_count == 2 and made.id in [one.id for one in listed.data], listed
    changed = manager.workspaces.update(id=made.id, description="For tests.").data
    assert changed.description == "For tests.", changed
    assert manager.workspaces.list_members(id=made.id).result.total_count == 0
    assert manager.workspaces.delete(id=made.id).DELETED
    members = manager.organization.list_members().result
    assert members.total_count == len(members.data), members
    passed("workspaces")


def end(base_url, manager, made):
    assert manager.api_keys.delete(hash=made.data.hash).DELETED
    try:
        client_of(base_url, made.key).api_keys.get_current_key_metadata()
        raise AssertionError("a deleted key is refused")
    except UnauthorizedResponseError:
        passed("deleted")


def main():
    base_url, key, model = sys.argv[1:]
    manager = client_of(base_url, key)
    made = keys(manager)
    activity(manager, generation(base_url, made.key, model))
    places(manager)
    end(base_url, manager, made)


main()
