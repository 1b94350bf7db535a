"""OpenRouter's Python SDK, unmodified, against a running Godwit: the list of models, embeddings,
rankings, text and errors.

usage: openrouter_python.py BASE_URL KEY EMBEDDING_MODEL RANKING_MODEL MODEL...
"""

import json
import sys

from openrouter import OpenRouter
from openrouter.errors import BadRequestResponseError, UnauthorizedResponseError
from openrouter.utils import RetryConfig

NEVER = RetryConfig("none", None, False)
HELLO = [{"role": "user", "content": "Say something about cranes and godwits."}]


def passed(check, **details):
    print(json.dumps({"check": check, **details}))


def models(client, wanted):
    listed = client.models.list()
    names = {model.id for model in listed.result.data}
    assert listed.next() is None, listed
    assert set(wanted) <= names, names
    passed("models", count=len(names))


def embeddings(client, model):
    answer = client.embeddings.generate(model=model, input=["a crane", "a godwit"], dimensions=4)
    assert [len(item.embedding) for item in answer.data] == [4, 4], answer
    assert answer.usage.prompt_tokens > 0 and answer.usage.cost > 0, answer
    passed("embeddings", model=model)


def rankings(client, model):
    documents = ["a crane", "a godwit", "a stone"]
    answer = client.rerank.rerank(model=model, query="birds", documents=documents, top_n=2)
    assert len(answer.results) == 2, answer
    for result in answer.results:
        assert result.document.text == documents[result.index], answer
    passed("rankings", model=model)


def text(client, model):
    answer = client.chat.send(model=model, messages=HELLO, max_tokens=40)
    whole = answer.choices[0].message.content
    assert whole and answer.usage.cost > 0, answer
    streamed = ""
    for chunk in client.chat.send(model=model, messages=HELLO, max_tokens=40, stream=True):
        for choice in chunk.choices:
            streamed += choice.delta.content or ""
    assert streamed == whole, (streamed, whole)
    passed("text", model=model)


def errors(base_url, client):
    try:
        client.chat.send(model="nobody/nothing", messages=HELLO)
        raise AssertionError("an unknown model was served")
    except BadRequestResponseError as error:
        assert "nobody/nothing" in str(error), error
    key = "sk-gw-v1-" + "0" * 64
    stranger = OpenRouter(api_key=key, server_url=base_url, retry_config=NEVER)
    try:
        stranger.chat.send(model="nobody/nothing", messages=HELLO)
        raise AssertionError("an unknown key was served")
    except UnauthorizedResponseError:
        passed("errors")


def main():
    base_url, key, embedder, ranker, *chatty = sys.argv[1:]
    client = OpenRouter(api_key=key, server_url=base_url, retry_config=NEVER)
    models(client, chatty)
    embeddings(client, embedder)
    rankings(client, ranker)
    for model in chatty:
        text(client, model)
    errors(base_url, client)


main()
