"""Anthropic's Python SDK, unmodified and strict, reads every recorded answer by Messages.

usage: recordings_anthropic.py STAGE_JSON
"""

import sys

from anthropic import Anthropic, APIError, APIResponseValidationError
from recordings import PDF, PIXEL, Stage, check_features, differences, fails, first, goes_back, told
from recordings import lost_on_the_way_back, read_message

stage = Stage(sys.argv[1])
client = Anthropic(
    base_url=stage.base_url.removesuffix("/v1"),
    api_key=stage.key,
    max_retries=0,
    _strict_response_validation=True,
)


def message(body):
    known = {name: body[name] for name in ("model", "messages", "max_tokens", "tools") if name in body}
    extra = {name: value for name, value in body.items() if name not in (*known, "stream")}
    if body.get("stream"):
        with client.messages.stream(**known, extra_body=extra) as stream:
            for event in stream:
                assert event.type, event
            return stream.get_final_message()
    return client.messages.create(**known, extra_body=extra)


def is_failure(question, error):
    return fails(question) and not isinstance(error, APIResponseValidationError)


def ask(question, how):
    try:
        differing = how(question)
    except APIError as error:
        return [] if is_failure(question, error) else [told(error)]
    return ["the failure did not show"] if fails(question) else differing


def by_messages(question):
    said = read_message(message(question["body"]).model_dump())
    # Arguments are an object here: of cut ones the SDK gives what can be read.
    return differences(question, said, {"cut arguments"})


def again(question):
    answer = message(question["plain"])
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "done"}
        for block in answer.content
        if block.type == "tool_use"
    ]
    turns = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": results},
    ]
    message({**question["plain"], "messages": turns})
    return lost_on_the_way_back(stage, question)


def contents():
    """Pictures and documents in, by way of every maker that takes them."""
    data = PIXEL.split(",")[1]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    document = {"type": "document", "source": source, "title": "A"}
    for host in ("-anthropic-messages-", "-openai-chat-", "-gemini-", "-bedrock-converse-"):
        question = first(stage.questions("messages"), host)
        for part, wanted in [(picture, data), (document, PDF)]:
            turn = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}
            body = {**question["plain"], "messages": [turn], "stop_sequences": ["END"]}
            wrong = differences(question, read_message(message(body).model_dump()))
            wrong += [] if wanted in stage.asked(question) else [f"{part['type']} did not arrive"]
            stage.check(question, wrong)


for asked in stage.questions("messages"):
    stage.check(asked, ask(asked, by_messages))
    if goes_back(asked):
        stage.check(asked, ask(asked, again))
contents()
check_features(stage, "messages", "anthropic_python", lambda asked: ask(asked, by_messages))
stage.end()
