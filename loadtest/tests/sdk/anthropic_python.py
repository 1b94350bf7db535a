"""Anthropic's Python SDK, unmodified, against a running Godwit.

usage: anthropic_python.py BASE_URL KEY MODEL...
BASE_URL is without the version. Answers are validated strictly. Every model is asked for text and
for tool calls, whole and streamed. Prints one JSON line per check; exits 1 at the first that fails.
"""

import json
import sys

from anthropic import Anthropic, AuthenticationError, BadRequestError

TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather at a place.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    }
]
ASK = {
    "max_tokens": 40,
    "system": [
        {"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}
    ],
    "messages": [{"role": "user", "content": "Say something about cranes and godwits."}],
}
CALL = {**ASK, "max_tokens": 400, "tools": TOOLS, "tool_choice": {"type": "any"}}


def passed(check, **details):
    print(json.dumps({"check": check, **details}))


def check_message(message, stops):
    assert message.type == "message" and message.role == "assistant", message
    assert message.id and message.model, message
    assert message.stop_reason in stops, message.stop_reason
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message.usage


def whole_text(client, model):
    message = client.messages.create(model=model, **ASK)
    check_message(message, ("end_turn", "max_tokens"))
    assert [block.type for block in message.content] == ["text"], message.content
    assert message.content[0].text
    assert message.usage.cost > 0, message.usage
    passed("whole_text", model=model)
    return message


def streamed_text(client, model, expected):
    kinds, text, cost = [], "", None
    with client.messages.stream(model=model, **ASK) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "text":
                text += event.text
            if event.type == "message_delta":
                cost = event.usage.cost
        message = stream.get_final_message()
    check_message(message, (expected.stop_reason,))
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds
    assert cost == expected.usage.cost, cost
    assert text == message.content[0].text == expected.content[0].text, (text, expected)
    assert message.usage.input_tokens == expected.usage.input_tokens, message.usage
    assert message.usage.output_tokens == expected.usage.output_tokens, message.usage
    passed("streamed_text", model=model, events=len(kinds))


def check_calls(message):
    check_message(message, ("tool_use",))
    calls = [block for block in message.content if block.type == "tool_use"]
    assert calls, message.content
    assert len({call.id for call in calls}) == len(calls), calls
    for call in calls:
        assert call.name == "get_weather" and isinstance(call.input, dict), call
    return calls


def tools(client, model):
    message = client.messages.create(model=model, **CALL)
    calls = check_calls(message)
    with client.messages.stream(model=model, **CALL) as stream:
        streamed = check_calls(stream.get_final_message())
    assert [call.input for call in streamed] == [call.input for call in calls]
    answer = [
        {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls
    ]
    turns = ASK["messages"] + [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": answer},
    ]
    again = client.messages.create(model=model, **{**ASK, "messages": turns, "tools": TOOLS})
    assert again.content, again
    passed("tools", model=model, calls=len(calls))


def raw_events(client, model):
    kinds = [event.type for event in client.messages.create(model=model, stream=True, **ASK)]
    assert kinds.count("message_start") == kinds.count("message_stop") == 1, kinds
    assert kinds.count("content_block_start") == kinds.count("content_block_stop"), kinds
    assert kinds[-2:] == ["message_delta", "message_stop"], kinds
    passed("raw_events", model=model)


def counted(client, model):
    asked = {name: ASK[name] for name in ("system", "messages")}
    count = client.messages.count_tokens(model=model, **asked)
    assert count.input_tokens > 0, count
    passed("counted", model=model, tokens=count.input_tokens)


def errors(base_url, client):
    try:
        client.messages.create(model="nobody/nothing", **ASK)
        raise AssertionError("an unknown model was served")
    except BadRequestError as error:
        assert error.body["type"] == "error", error.body
        assert error.body["error"]["type"] == "invalid_request_error", error.body
        assert "nobody/nothing" in error.body["error"]["message"], error.body
    stranger = Anthropic(base_url=base_url, api_key="sk-gw-v1-" + "0" * 64, max_retries=0)
    try:
        stranger.messages.create(model="nobody/nothing", **ASK)
        raise AssertionError("an unknown key was served")
    except AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error", error.body
    passed("errors")


def main():
    base_url, key, models = sys.argv[1], sys.argv[2], sys.argv[3:]
    options = {"base_url": base_url, "max_retries": 0, "_strict_response_validation": True}
    by_key = Anthropic(api_key=key, **options)
    by_bearer = Anthropic(auth_token=key, api_key=None, **options)
    if not base_url.endswith("/api"):
        listed = {model.id for model in by_key.models.list()}
        assert set(models) <= listed, (models, sorted(listed)[:10])
        passed("models", count=len(listed))
    for model in models:
        whole = whole_text(by_key, model)
        streamed_text(by_bearer, model, whole)
        tools(by_key, model)
        raw_events(by_key, model)
        counted(by_key, model)
    errors(base_url, by_key)


main()
