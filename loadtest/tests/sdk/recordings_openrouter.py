"""OpenRouter's Python SDK, unmodified, reads every recorded answer by chat and by Responses. It
checks every member of every answer; what it has no type for counts as a mistake.

usage: recordings_openrouter.py STAGE_JSON
"""

import sys

from openrouter import OpenRouter
from openrouter.errors import OpenRouterError, ResponseValidationError
from openrouter.utils import RetryConfig
from recordings import PDF, PIXEL, WAV, Stage, check_features, differences, fails, first, goes_back
from recordings import lost_on_the_way_back, read_chat, read_response, told, unknown

stage = Stage(sys.argv[1])
never = RetryConfig("none", None, False)
client = OpenRouter(api_key=stage.key, server_url=stage.base_url, retry_config=never)


class Broken(Exception):
    """The stream said that it failed."""


def plain(value):
    return value.model_dump(by_alias=True)


def chat(body):
    answer = client.chat.send(**body)
    if not body.get("stream"):
        return [plain(answer)], "message"
    parts = []
    for chunk in answer:
        if chunk.error is not None:
            raise Broken(chunk.error.message)
        parts.append(plain(chunk))
    return parts, "delta"


def response(body):
    answer = client.responses.send(**body)
    if not body.get("stream"):
        return plain(answer)
    last, strange = None, []
    for event in answer:
        last = plain(event)
        strange += unknown(last)
        if last["type"] in ("error", "response.failed"):
            raise Broken(str(last))
    assert not strange, "\n".join(strange[:3])
    return last["response"]


def ask(question, how):
    try:
        differing = how(question)
    except (Broken, OpenRouterError, AssertionError) as error:
        shows = isinstance(error, (Broken, OpenRouterError))
        valid = not isinstance(error, ResponseValidationError)
        return [] if fails(question) and shows and valid else [told(error)]
    return ["the failure did not show"] if fails(question) else differing


def by_chat(question):
    parts, body = chat(question["plain"])
    # The SDK's streams have no pictures, and its answers no annotations.
    without = {"citations", "images"} if body == "delta" else {"citations"}
    return differences(question, read_chat(parts, body), without) + unknown(parts)


def by_responses(question):
    answer = response(question["plain"])
    return differences(question, read_response(answer)) + unknown(answer)


def joined(parts):
    """An assistant's turn from chunks: details and calls put together by their index."""
    message = {"role": "assistant", "content": "", "reasoning_details": [], "tool_calls": []}
    for part in parts:
        for choice in part["choices"]:
            delta = choice["delta"]
            message["reasoning_details"] += delta.get("reasoning_details") or []
            for call in delta.get("tool_calls") or []:
                if call.get("id"):
                    function = {"arguments": "", **call["function"]}
                    message["tool_calls"].append({**call, "function": function})
                else:
                    into = message["tool_calls"][call["index"]]["function"]
                    into["arguments"] += call["function"]["arguments"]
    for call in message["tool_calls"]:
        del call["index"]
    return message


def again_by_chat(question):
    parts, kind = chat(question["plain"])
    message = joined(parts) if kind == "delta" else parts[0]["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        for call in message["tool_calls"]
    ]
    turns = question["plain"]["messages"] + [message, *results]
    chat({**question["plain"], "messages": turns})
    return lost_on_the_way_back(stage, question)


def again_by_responses(question):
    items = response(question["plain"])["output"]
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
        for item in items
        if item["type"] == "function_call"
    ]
    turns = [{"role": "user", "content": "Hello."}, *items, *results]
    response({**question["plain"], "input": turns})
    return lost_on_the_way_back(stage, question)


def contents():
    """Pictures, documents and sound in, and the forms of an answer."""
    inline = PIXEL.split(",")[1]
    text = {"type": "text", "text": "What is this?"}
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + PDF}
    document = {"type": "file", "file": file}
    sound = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
    schema = {"type": "object", "properties": {"an_a": {"type": "string"}}, "required": ["an_a"]}
    form = {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}
    for host, parts in [
        ("-openai-chat-groq-", [(picture, PIXEL), (document, PDF), (sound, WAV)]),
        ("-anthropic-messages-", [(picture, inline), (document, PDF)]),
        ("-gemini-", [(picture, inline), (document, PDF), (sound, WAV)]),
    ]:
        question = first(stage.questions("chat"), host)
        asked = question["plain"]
        for part, data in parts:
            turn = {"role": "user", "content": [text, part]}
            wrong = ask({**question, "plain": {**asked, "messages": [turn]}}, by_chat)
            wrong += [] if data in stage.asked(question) else [f"{part['type']} did not arrive"]
            stage.check(question, wrong)
        sent = {"response_format": form, "stop": ["END"], "seed": 7, "reasoning": {"effort": "low"}}
        wrong = ask({**question, "plain": {**asked, **sent}}, by_chat)
        wrong += [] if "an_a" in stage.asked(question) else ["the schema did not arrive"]
        stage.check(question, wrong)


for asked in stage.questions("chat"):
    stage.check(asked, ask(asked, by_chat))
    if goes_back(asked):
        stage.check(asked, ask(asked, again_by_chat))
for asked in stage.questions("responses"):
    stage.check(asked, ask(asked, by_responses))
    if goes_back(asked):
        stage.check(asked, ask(asked, again_by_responses))
contents()
check_features(stage, "chat", "openrouter_python", lambda asked: ask(asked, by_chat))
check_features(stage, "responses", "openrouter_python", lambda asked: ask(asked, by_responses))
stage.end()
