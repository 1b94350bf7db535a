"""Recorded answers of every dialect as questions: what each says, and what an SDK read of it.

The stage is a JSON file: {base_url, key, asked_url, questions: {api: [question]}}; see the `Question`
of `loadtest`. Readers take the SDK's objects as plain dicts in the API's own words.
"""

import base64
import json
import pathlib
import sys
import urllib.request

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n a pixel").decode()
PDF = base64.b64encode(b"%PDF-1.7 a document").decode()
WAV = base64.b64encode(b"RIFF a sound").decode()
COUNTS = ("prompt", "completion", "cached", "reasoning")


class Stage:
    """The questions, and the account of what came out."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        self.base_url, self.key, self.asked_url = told["base_url"], told["key"], told["asked_url"]
        self.by_api = told["questions"]
        self.checks, self.wrong = 0, []

    def questions(self, api):
        return self.by_api[api]

    def asked(self, question):
        """The body that the question's provider got last, as text."""
        with urllib.request.urlopen(self.asked_url + question["key"]) as answer:
            return answer.read().decode()

    def check(self, question, differences):
        self.checks += 1
        self.wrong += [f"{question['name']}: {difference}" for difference in differences]

    def end(self):
        print(json.dumps({"checks": self.checks, "wrong": len(self.wrong)}))
        if self.wrong or not self.checks:
            sys.exit("\n".join(self.wrong) or "nothing was checked")


def fails(question):
    """True when the recording is of a failure."""
    return question["status"] >= 400 or question["expected"]["error"]


def told(error):
    """An SDK's error with its cause."""
    causes = getattr(error.__cause__, "errors", list)()
    # Of a union only the members that the value was meant for.
    met = [cause for cause in causes if "Event" not in str(cause["loc"][:1]) or cause["type"] != "literal_error"]
    wrong = {str(cause["loc"][0]) for cause in causes if cause["type"] == "literal_error" and cause["loc"][-1] == "type"}
    met = [f"{cause['loc']} {cause['msg']}" for cause in met if str(cause["loc"][0]) not in wrong]
    return f"{type(error).__name__}: {error} {'; '.join(met)}"[:900]


def new_choice():
    return {
        "text": "", "reasoning": "", "refusal": "", "spoken": "", "images": 0, "logprobs": 0,
        "citations": set(), "proofs": set(), "calls": {}, "finish": None,
    }  # fmt: skip


def number_of(*values):
    return next((value for value in values if isinstance(value, int)), None)


def unknown(value, path="$"):
    """Where the SDK met something that it has no type for."""
    if isinstance(value, dict):
        if value.get("type") == "UNKNOWN" or value.get("is_unknown"):
            return [f"{path} is unknown to the SDK: {str(value)[:300]}"]
        return [place for name, member in value.items() for place in unknown(member, f"{path}.{name}")]
    if isinstance(value, list):
        return [place for member in value for place in unknown(member, path + "[]")]
    return []


def read_counts(usage, counts):
    """Chat's and the text API's counts; what is not there leaves what was there before."""
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    found = (
        usage.get("prompt_tokens"), usage.get("completion_tokens"),
        prompt.get("cached_tokens"), completion.get("reasoning_tokens"),
    )  # fmt: skip
    counts.update({name: count for name, count in zip(COUNTS, found) if count is not None})


def read_chat(parts, body):
    """Chunks (`body` is "delta") or one answer (`body` is "message")."""
    choices, counts = {}, {}
    for part in parts:
        read_counts(part.get("usage") or {}, counts)
        for choice in part.get("choices") or []:
            said = choices.setdefault(str(choice["index"]), new_choice())
            read_chat_choice(choice, choice.get(body) or {}, said)
    return choices, counts


def read_chat_choice(choice, message, said):
    said["text"] += message.get("content") or ""
    said["reasoning"] += message.get("reasoning") or message.get("reasoning_content") or ""
    said["refusal"] += message.get("refusal") or ""
    said["spoken"] += (message.get("audio") or {}).get("transcript") or ""
    said["images"] += len(message.get("images") or [])
    said["finish"] = choice.get("finish_reason") or said["finish"]
    logprobs = choice.get("logprobs") or {}
    said["logprobs"] += len(logprobs.get("content") or []) + len(logprobs.get("refusal") or [])
    for annotation in message.get("annotations") or []:
        said["citations"].add(annotation["url_citation"]["url"])
    for detail in message.get("reasoning_details") or []:
        said["proofs"] |= {detail.get("signature"), detail.get("data")}
    for place, call in enumerate(message.get("tool_calls") or []):
        function = call.get("function") or {}
        known = said["calls"].setdefault(call.get("index", place), {"name": "", "arguments": ""})
        known["name"] = known["name"] or function.get("name") or ""
        known["arguments"] += function.get("arguments") or ""


def read_response(response):
    """A response object, whole."""
    said = new_choice()
    for item in response.get("output") or []:
        kind = item.get("type")
        if kind == "message":
            for part in item["content"]:
                said["text"] += part.get("text") or ""
                said["refusal"] += part.get("refusal") or ""
                said["logprobs"] += len(part.get("logprobs") or [])
                for annotation in part.get("annotations") or []:
                    said["citations"].add(annotation.get("url") or annotation.get("file_id"))
        elif kind == "reasoning":
            said["proofs"].add(item.get("encrypted_content"))
            parts = item.get("summary") or item.get("content") or []
            said["reasoning"] += "".join(part["text"] for part in parts)
        elif kind == "image_generation_call":
            said["images"] += 1 if item.get("result") else 0
        elif kind == "function_call":
            call = {"name": item["name"], "arguments": item["arguments"]}
            said["calls"][len(said["calls"])] = call
    why = (response.get("incomplete_details") or {}).get("reason")
    finishes = {"max_output_tokens": "length", "content_filter": "content_filter"}
    said["finish"] = {"completed": "stop", "incomplete": finishes.get(why)}.get(response["status"])
    usage = response.get("usage") or {}
    counts = {
        "prompt": usage.get("input_tokens"),
        "completion": usage.get("output_tokens"),
        "cached": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "reasoning": (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
    }
    return {"0": said}, counts


def read_message(message):
    """Anthropic's message, whole."""
    said = new_choice()
    for block in message["content"]:
        kind = block["type"]
        if kind == "text":
            said["text"] += block["text"]
            for citation in block.get("citations") or []:
                named = citation.get("source") or citation.get("document_title")
                said["citations"].add(citation.get("url") or named)
        elif kind == "thinking":
            said["reasoning"] += block["thinking"]
            said["proofs"].add(block.get("signature"))
        elif kind == "redacted_thinking":
            said["proofs"].add(block["data"])
        elif kind == "tool_use":
            call = {"name": block["name"], "arguments": json.dumps(block["input"])}
            said["calls"][len(said["calls"])] = call
    words = {"max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}
    said["finish"] = words.get(message["stop_reason"], "stop")
    usage = message["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    counts = {
        "prompt": (usage.get("input_tokens") or 0) + cached + written,
        "completion": usage.get("output_tokens"),
        "cached": cached,
    }
    return {"0": said}, counts


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


def same_json(want, seen):
    if want == seen or (want, seen) == ("", "{}"):
        return True
    try:
        return json.loads(want) == json.loads(seen)
    except ValueError:
        return False


def differences(question, said, without=()):
    """What differs between the recording and what the SDK read; `without` it has no words for."""
    choices, counts = said
    expected, wrong = question["expected"], []
    for index, want in expected["choices"].items():
        seen = choices.get(index, new_choice())
        # How many pictures, not which: the replay compares those.
        want = {**want, "images": len(want["images"])}
        for name in ("text", "reasoning", "refusal", "spoken", "images", "logprobs"):
            if name not in without and want[name] != seen[name]:
                wrong.append(f"{name} {str(seen[name])[:200]!r} instead of {str(want[name])[:200]!r}")
        if "citations" not in without and set(want["citations"]) != seen["citations"] - {None, ""}:
            wrong.append(f"citations {seen['citations']} instead of {want['citations']}")
        if "proofs" not in without:
            every = " ".join(proof for proof in seen["proofs"] if proof)
            lost = [proof[:60] for proof in want["proofs"] if proof not in every]
            wrong += [f"the signature {proof!r} is lost" for proof in lost]
        calls = list(seen["calls"].values())
        names = [call["name"] for call in calls]
        if names != [call["name"] for call in want["calls"]]:
            wrong.append(f"calls {names} instead of {want['calls']}")
        for call, wanted in zip(calls, want["calls"]):
            if "cut arguments" in without and not is_json(wanted["arguments"]):
                continue
            if not same_json(wanted["arguments"], call["arguments"]):
                wrong.append(f"arguments {call['arguments']!r} instead of {wanted['arguments']!r}")
        if "finish" not in without and want["finish"] not in (None, seen["finish"]):
            wrong.append(f"finish {seen['finish']!r} instead of {want['finish']!r}")
    for name in COUNTS:
        want = expected["usage"][name]
        if want is not None and counts.get(name) != want:
            wrong.append(f"{name} tokens {counts.get(name)} instead of {want}")
    return wrong


def check_features(stage, api, sdk, ask):
    """Each feature that a request may have, to each kind of host that has a word for it: the answer
    is as recorded, and the host got what `features.json` says. `ask` gives the differences."""
    listed = pathlib.Path(__file__).with_name("features.json").read_text(encoding="utf-8")
    for feature in json.loads(listed):
        if feature["api"] != api or sdk in feature.get("without", []):
            continue
        for host, wanted in feature["hosts"].items():
            question = first(stage.questions(api), host)
            body = {**question["plain"], **feature["body"]}
            wrong = ask({**question, "body": body, "plain": body})
            upstream = stage.asked(question)
            wrong += [f"{want} did not arrive: {upstream[:600]}" for want in wanted if want not in upstream]
            stage.check(question, [f"{feature['feature']}: {it}" for it in wrong])


def read_completion(parts):
    """The text API's chunks, or its one answer."""
    choices, counts = {}, {}
    for part in parts:
        read_counts(part.get("usage") or {}, counts)
        for choice in part.get("choices") or []:
            said = choices.setdefault(str(choice["index"]), new_choice())
            said["text"] += choice.get("text") or ""
            said["finish"] = choice.get("finish_reason") or said["finish"]
            said["logprobs"] += len((choice.get("logprobs") or {}).get("tokens") or [])
    return choices, counts


def lost_on_the_way_back(stage, question):
    """Proofs of reasoning that did not reach their provider again."""
    upstream = stage.asked(question)
    proofs = [proof for choice in question["expected"]["choices"].values() for proof in choice["proofs"]]
    return [f"{proof[:60]!r} did not go back" for proof in proofs if proof not in upstream]


def goes_back(question):
    """True when the answer has calls whose reasoning its provider wants back."""
    choices = question["expected"]["choices"].values()
    has = any(choice["calls"] and choice["proofs"] for choice in choices)
    return has and not fails(question)


def first(questions, part, stream=False):
    """The first good recording whose name has this part."""
    for question in questions:
        if part in question["name"] and question["stream"] is stream and not fails(question):
            return question
    raise AssertionError(f"no recording of {part}")
