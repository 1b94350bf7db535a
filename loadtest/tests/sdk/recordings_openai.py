"""OpenAI's Python SDK, unmodified and strict, reads every recorded answer by chat and by Responses.

usage: recordings_openai.py STAGE_JSON
"""

import sys

from openai import APIError, APIResponseValidationError, OpenAI
from recordings import PDF, PIXEL, WAV, Stage, check_features, differences, fails, first, goes_back
from recordings import lost_on_the_way_back, read_chat, read_completion, read_response, told

stage = Stage(sys.argv[1])
client = OpenAI(
    base_url=stage.base_url,
    api_key=stage.key,
    max_retries=0,
    _strict_response_validation=True,
)
# In streams of the text API the SDK has no word for an end that has not come.
lenient = OpenAI(base_url=stage.base_url, api_key=stage.key, max_retries=0)


def chat(body):
    known = {name: body[name] for name in ("model", "messages", "stream", "tools") if name in body}
    extra = {name: value for name, value in body.items() if name not in known}
    if known.get("stream"):
        chunks = client.chat.completions.create(**known, extra_body=extra)
        return [chunk.model_dump() for chunk in chunks], "delta"
    answer = client.chat.completions.create(**known, extra_body=extra)
    return [answer.model_dump()], "message"


def response(body):
    known = {name: body[name] for name in ("model", "input", "stream", "tools") if name in body}
    extra = {name: value for name, value in body.items() if name not in known}
    answer = client.responses.create(**known, extra_body=extra)
    if not known.get("stream"):
        return answer.model_dump()
    last = None
    for number, event in enumerate(answer):
        assert event.sequence_number == number, event
        last = event
        assert event.type != "error", event
    if last.type == "response.failed":
        raise APIError(str(last.response.error), request=None, body=None)
    assert last.type in ("response.completed", "response.incomplete"), last
    return last.response.model_dump()


def is_failure(question, error):
    return fails(question) and not isinstance(error, APIResponseValidationError)


def ask(question, how):
    """Differences of one answer; a failure must come as the SDK's error."""
    try:
        differing = how(question)
    except APIError as error:
        return [] if is_failure(question, error) else [told(error)]
    return ["the failure did not show"] if fails(question) else differing


def by_chat(question):
    parts, body = chat(question["body"])
    return differences(question, read_chat(parts, body))


def by_responses(question):
    return differences(question, read_response(response(question["body"])))


def by_completions(question):
    if question["stream"]:
        chunks = lenient.completions.create(**question["body"])
        parts = [chunk.model_dump() for chunk in chunks]
    else:
        parts = [client.completions.create(**question["body"]).model_dump()]
    return differences(question, read_completion(parts))


def again_by_chat(question):
    """A tool loop: the assistant's turn goes back as the SDK gave it."""
    body = {**question["plain"], "stream": False}
    parts, kind = chat(question["plain"])
    if kind == "delta":
        message = {"role": "assistant", "content": None, "tool_calls": [], "reasoning_details": []}
        for part in parts:
            for choice in part["choices"]:
                delta = choice["delta"]
                message["reasoning_details"] += delta.get("reasoning_details") or []
                for call in delta.get("tool_calls") or []:
                    if call["id"]:
                        message["tool_calls"].append({**call, "function": dict(call["function"])})
                    else:
                        into = message["tool_calls"][call["index"]]["function"]
                        into["arguments"] += call["function"]["arguments"]
    else:
        message = parts[0]["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        for call in message["tool_calls"]
    ]
    body["messages"] = body["messages"] + [message, *results]
    try:
        chat({**body, "stream": question["stream"]})
    except APIError as error:
        return ["the tool loop: " + told(error)]
    return lost_on_the_way_back(stage, question)


def again_by_responses(question):
    answer = response(question["plain"])
    items = answer["output"]
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
        for item in items
        if item["type"] == "function_call"
    ]
    turns = [{"role": "user", "content": "Hello."}, *items, *results]
    response({**question["plain"], "input": turns})
    return lost_on_the_way_back(stage, question)


def contents():
    """Pictures, documents and sound in; the forms of an answer."""
    text = {"type": "text", "text": "What is this?"}
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + PDF}}
    sound = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}
    for host, parts in [
        ("-openai-chat-groq-", [(picture, PIXEL), (document, PDF), (sound, WAV)]),
        ("-anthropic-messages-", [(picture, PIXEL.split(",")[1]), (document, PDF)]),
        ("-gemini-", [(picture, PIXEL.split(",")[1]), (document, PDF), (sound, WAV)]),
        ("-bedrock-converse-", [(picture, PIXEL.split(",")[1]), (document, PDF)]),
    ]:
        question = first(stage.questions("chat"), host)
        for part, data in parts:
            turn = {"role": "user", "content": [text, part]}
            asking = {**question, "body": {**question["plain"], "messages": [turn]}}
            wrong = ask(asking, by_chat)
            wrong += [] if data in stage.asked(question) else [f"{part['type']} did not arrive"]
            stage.check(question, wrong)
        sent = {"response_format": form, "stop": ["END"], "seed": 7, "temperature": 0.5, "top_p": 0.9}
        asking = {**question, "body": {**question["plain"], **sent}}
        wrong = ask(asking, by_chat)
        arrived = "properties" in stage.asked(question)
        stage.check(question, wrong + ([] if arrived else ["the schema did not arrive"]))
    question = first(stage.questions("responses"), "-openai-responses-")
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64," + PDF},
    ]
    turns = [{"role": "user", "content": parts}]
    form = {"format": {"type": "json_schema", "name": "form", "schema": schema}}
    asking = {**question, "body": {**question["plain"], "input": turns, "text": form}}
    stage.check(question, ask(asking, by_responses))
    assert PIXEL in stage.asked(question) and PDF in stage.asked(question)


# OpenRouter's annotations of files are not OpenAI's.
FOREIGN = ("d026-openai-chat-openrouter-json-reasoning-citations",)

for asked in stage.questions("chat"):
    if asked["name"] in FOREIGN:
        continue
    stage.check(asked, ask(asked, by_chat))
    if goes_back(asked):
        stage.check(asked, ask(asked, again_by_chat))
for asked in stage.questions("responses"):
    stage.check(asked, ask(asked, by_responses))
    if goes_back(asked):
        stage.check(asked, ask(asked, again_by_responses))
for asked in stage.questions("completions"):
    stage.check(asked, ask(asked, by_completions))
contents()
check_features(stage, "chat", "openai_python", lambda asked: ask(asked, by_chat))
check_features(stage, "responses", "openai_python", lambda asked: ask(asked, by_responses))
stage.end()
