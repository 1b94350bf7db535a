"""OpenAI's Python SDK, unmodified, against a running Godwit.

usage: openai_python.py BASE_URL KEY EMBEDDING_MODEL MODEL...
Every model is asked for text and for tool calls, whole and streamed, by chat and by responses.
Prints one JSON line per check; exits 1 at the first that fails.
"""

import json
import sys

from openai import APIStatusError, AuthenticationError, BadRequestError, OpenAI

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]
MESSAGES = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "Say something about cranes and godwits."},
]
RESPONSE_TOOLS = [{"type": "function", **tool["function"]} for tool in TOOLS]
QUESTION = {"instructions": "You are terse.", "input": MESSAGES[1]["content"]}


def passed(check, **details):
    print(json.dumps({"check": check, **details}))


def whole_text(client, model):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=40)
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content, answer
    assert choice.finish_reason in ("stop", "length"), choice.finish_reason
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    passed("whole_text", model=model)
    return choice.message.content


def streamed_text(client, model, expected):
    stream = client.chat.completions.create(
        model=model,
        messages=MESSAGES,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    text, finish, usage, ids = "", None, None, set()
    for chunk in stream:
        ids.add(chunk.id)
        if chunk.usage is not None:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text == expected, (text, expected)
    assert finish in ("stop", "length"), finish
    assert usage is not None and usage.completion_tokens > 0
    assert len(ids) == 1, ids
    passed("streamed_text", model=model)


def check_call(name, arguments):
    assert name == "get_weather", name
    arguments = json.loads(arguments)
    assert isinstance(arguments["city"], str), arguments


def whole_tools(client, model):
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, tools=TOOLS, tool_choice="required"
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls", answer
    assert message.tool_calls, answer
    for call in message.tool_calls:
        assert call.type == "function" and call.id
        check_call(call.function.name, call.function.arguments)
    followed = MESSAGES + [message.model_dump(exclude_none=True)]
    for call in message.tool_calls:
        followed.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    again = client.chat.completions.create(model=model, messages=followed, tools=TOOLS)
    assert again.choices[0].message.content or again.choices[0].message.tool_calls
    passed("whole_tools", model=model)


def streamed_tools(client, model):
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, tools=TOOLS, tool_choice="required", stream=True
    )
    calls, finish = {}, None
    for chunk in stream:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for part in choice.delta.tool_calls or []:
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] = part.id or call["id"]
                call["name"] = part.function.name or call["name"]
                call["arguments"] += part.function.arguments or ""
    assert finish == "tool_calls", finish
    assert calls and all(call["id"] for call in calls.values()), calls
    for call in calls.values():
        check_call(call["name"], call["arguments"])
    passed("streamed_tools", model=model)


def whole_response(client, model):
    answer = client.responses.create(model=model, max_output_tokens=40, store=False, **QUESTION)
    assert answer.object == "response" and answer.error is None, answer
    assert answer.status in ("completed", "incomplete"), answer.status
    assert answer.instructions == QUESTION["instructions"]
    assert answer.output_text, answer
    usage = answer.usage
    assert usage.input_tokens > 0 and usage.output_tokens > 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.cached_tokens >= 0
    passed("whole_response", model=model)
    return answer.output_text


def streamed_response(client, model, expected):
    stream = client.responses.create(model=model, max_output_tokens=40, stream=True, **QUESTION)
    text, last = "", None
    for number, event in enumerate(stream):
        assert event.sequence_number == number, event
        if event.type == "response.output_text.delta":
            text += event.delta
        last = event
    assert last.type in ("response.completed", "response.incomplete"), last
    assert text == expected, (text, expected)
    assert last.response.output_text == expected
    assert last.response.usage.output_tokens > 0
    passed("streamed_response", model=model)


def response_tools(client, model):
    asked = [{"role": "user", "content": QUESTION["input"]}]
    answer = client.responses.create(
        model=model, input=asked, tools=RESPONSE_TOOLS, tool_choice="required"
    )
    calls = [item for item in answer.output if item.type == "function_call"]
    assert calls, answer
    for call in calls:
        assert call.call_id and call.id != call.call_id
        check_call(call.name, call.arguments)
    followed = asked + [item.model_dump(exclude_none=True) for item in answer.output]
    for call in calls:
        followed.append(
            {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        )
    again = client.responses.create(model=model, input=followed, tools=RESPONSE_TOOLS)
    assert again.output, again
    passed("response_tools", model=model)


def accumulated_response(client, model):
    """The SDK's own accumulator trips over events that don't fit together."""
    asked = {"model": model, "tools": RESPONSE_TOOLS, "tool_choice": "required", **QUESTION}
    with client.responses.stream(**asked) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_response()
    assert names[0] == "response.created" and names[-1] == "response.completed", names
    calls = [item for item in final.output if item.type == "function_call"]
    assert calls, final
    for call in calls:
        check_call(call.name, call.arguments)
    passed("accumulated_response", model=model)


def stateless(client, model):
    try:
        client.responses.create(model=model, store=True, **QUESTION)
        raise AssertionError("an answer was to be stored")
    except BadRequestError as error:
        assert error.param == "store" and error.type == "invalid_prompt", error
    passed("stateless", model=model)


def embeddings(client, model):
    answer = client.embeddings.create(model=model, input=["a crane", "a godwit"], dimensions=4)
    assert [item.index for item in answer.data] == [0, 1], answer
    assert all(len(item.embedding) == 4 for item in answer.data), answer
    assert answer.usage.prompt_tokens > 0, answer
    passed("embeddings", model=model)


def errors(base_url, client):
    try:
        client.chat.completions.create(model="nobody/nothing", messages=MESSAGES)
        raise AssertionError("an unknown model was served")
    except BadRequestError as error:
        assert "nobody/nothing" in str(error), error
    try:
        stranger = OpenAI(base_url=base_url, api_key="sk-gw-v1-" + "0" * 64, max_retries=0)
        stranger.chat.completions.create(model="nobody/nothing", messages=MESSAGES)
        raise AssertionError("an unknown key was served")
    except AuthenticationError:
        pass
    except APIStatusError as error:
        raise AssertionError(f"an unknown key got {error.status_code}") from error
    passed("errors")


def main():
    base_url, key, embedder, *models = sys.argv[1:]
    client = OpenAI(base_url=base_url, api_key=key, max_retries=0)
    listed = {model.id for model in client.models.list()}
    assert set(models) <= listed, (models, sorted(listed)[:10])
    passed("models", count=len(listed))
    for model in models:
        text = whole_text(client, model)
        streamed_text(client, model, text)
        whole_tools(client, model)
        streamed_tools(client, model)
        text = whole_response(client, model)
        streamed_response(client, model, text)
        response_tools(client, model)
        accumulated_response(client, model)
        stateless(client, model)
    embeddings(client, embedder)
    errors(base_url, client)


main()
