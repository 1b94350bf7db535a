// Recorded answers of every dialect as questions: what each says, and what an SDK read of it.
//
// The stage is a JSON file, see recordings.py. Readers take objects in the API's own words.

import fs from "node:fs";

export const PIXEL = "data:image/png;base64," + Buffer.from("\x89PNG a pixel").toString("base64");
export const PDF = Buffer.from("%PDF-1.7 a document").toString("base64");
export const WAV = Buffer.from("RIFF a sound").toString("base64");
const COUNTS = ["prompt", "completion", "cached", "reasoning"];

export class Stage {
  constructor(path) {
    const told = JSON.parse(fs.readFileSync(path, "utf8"));
    this.baseURL = told.base_url;
    this.key = told.key;
    this.askedURL = told.asked_url;
    this.byApi = told.questions;
    this.checks = 0;
    this.wrong = [];
  }

  questions(api) {
    return this.byApi[api];
  }

  // The body that the question's provider got last, as text.
  async asked(question) {
    const answer = await fetch(this.askedURL + question.key);
    return answer.text();
  }

  check(question, differences) {
    this.checks += 1;
    this.wrong.push(...differences.map((difference) => `${question.name}: ${difference}`));
  }

  end() {
    console.log(JSON.stringify({ checks: this.checks, wrong: this.wrong.length }));
    if (this.wrong.length > 0 || this.checks === 0) {
      console.error(this.wrong.join("\n") || "nothing was checked");
      process.exit(1);
    }
  }
}

// True when the recording is of a failure.
export const fails = (question) => question.status >= 400 || question.expected.error;

// Each feature that a request may have, to each kind of host that has a word for it: the answer is
// as recorded, and the host got what `features.json` says. `ask` gives the differences.
export async function checkFeatures(stage, api, sdk, ask) {
  const listed = fs.readFileSync(new URL("features.json", import.meta.url), "utf8");
  for (const { feature, api: of, without, body: members, hosts } of JSON.parse(listed)) {
    if (of !== api || without?.includes(sdk)) continue;
    for (const [host, wanted] of Object.entries(hosts)) {
      const question = first(stage.questions(api), host);
      const body = { ...question.plain, ...members };
      const wrong = await ask({ ...question, body, plain: body });
      const upstream = await stage.asked(question);
      const lost = wanted.filter((want) => !upstream.includes(want));
      wrong.push(...lost.map((want) => `${want} did not arrive: ${upstream.slice(0, 600)}`));
      stage.check(question, wrong.map((it) => `${feature}: ${it}`));
    }
  }
}

// The text API's chunks, or its one answer.
export function readCompletion(parts) {
  const [all, counts] = [{}, {}];
  for (const { usage, choices } of parts) {
    const found = [
      usage?.prompt_tokens, usage?.completion_tokens,
      usage?.prompt_tokens_details?.cached_tokens, usage?.completion_tokens_details?.reasoning_tokens,
    ];
    COUNTS.forEach((name, place) => { counts[name] = found[place] ?? counts[name]; });
    for (const choice of choices ?? []) {
      const said = (all[choice.index] ??= newChoice());
      said.text += choice.text ?? "";
      said.finish = choice.finish_reason ?? said.finish;
      said.logprobs += choice.logprobs?.tokens?.length ?? 0;
    }
  }
  return [all, counts];
}

// camelCase to snake_case, in every member but those of free form.
export function snake(value) {
  if (Array.isArray(value)) return value.map(snake);
  if (value === null || typeof value !== "object") return value;
  const rename = (name) => name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());
  return Object.fromEntries(Object.entries(value).map(([name, it]) => [rename(name), snake(it)]));
}

// snake_case to camelCase.
export function camel(value) {
  if (Array.isArray(value)) return value.map(camel);
  if (value === null || typeof value !== "object") return value;
  const rename = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(value).map(([name, it]) => [rename(name), camel(it)]));
}

// Where the SDK met something that it has no type for.
export function unknown(value, path = "$") {
  if (Array.isArray(value)) return value.flatMap((member) => unknown(member, path + "[]"));
  if (value === null || typeof value !== "object") return [];
  if (value.isUnknown || value.is_unknown || value.type === "UNKNOWN") {
    return [`${path} is unknown to the SDK: ${JSON.stringify(value.raw).slice(0, 1500)}`];
  }
  return Object.entries(value).flatMap(([name, it]) => unknown(it, `${path}.${name}`));
}

const newChoice = () => ({
  text: "", reasoning: "", refusal: "", spoken: "", images: 0, logprobs: 0,
  citations: new Set(), proofs: new Set(), calls: new Map(), finish: null,
});

// Chunks (`body` is "delta") or one answer (`body` is "message").
export function readChat(parts, body) {
  const choices = {};
  const counts = {};
  for (const part of parts) {
    const usage = part.usage ?? {};
    const found = [
      usage.prompt_tokens,
      usage.completion_tokens,
      usage.prompt_tokens_details?.cached_tokens,
      usage.completion_tokens_details?.reasoning_tokens,
    ];
    COUNTS.forEach((name, at) => (counts[name] = found[at] ?? counts[name]));
    for (const choice of part.choices ?? []) {
      const said = (choices[choice.index] ??= newChoice());
      readChatChoice(choice, choice[body] ?? {}, said);
    }
  }
  return [choices, counts];
}

function readChatChoice(choice, message, said) {
  said.text += message.content ?? "";
  said.reasoning += message.reasoning || message.reasoning_content || "";
  said.refusal += message.refusal ?? "";
  said.spoken += message.audio?.transcript ?? "";
  said.images += message.images?.length ?? 0;
  said.finish = choice.finish_reason ?? said.finish;
  said.logprobs += (choice.logprobs?.content ?? []).length + (choice.logprobs?.refusal ?? []).length;
  for (const annotation of message.annotations ?? []) said.citations.add(annotation.url_citation?.url);
  for (const detail of message.reasoning_details ?? []) {
    said.proofs.add(detail.signature).add(detail.data);
  }
  (message.tool_calls ?? []).forEach((call, place) => {
    const index = call.index ?? place;
    const known = said.calls.get(index) ?? { name: "", arguments: "" };
    said.calls.set(index, known);
    known.name ||= call.function?.name ?? "";
    known.arguments += call.function?.arguments ?? "";
  });
}

// A response object, whole.
export function readResponse(response) {
  const said = newChoice();
  for (const item of response.output ?? []) {
    if (item.type === "message") {
      for (const part of item.content) {
        said.text += part.text ?? "";
        said.refusal += part.refusal ?? "";
        said.logprobs += part.logprobs?.length ?? 0;
        for (const it of part.annotations ?? []) said.citations.add(it.url ?? it.file_id);
      }
    } else if (item.type === "reasoning") {
      said.proofs.add(item.encrypted_content);
      const parts = item.summary?.length ? item.summary : (item.content ?? []);
      said.reasoning += parts.map((part) => part.text).join("");
    } else if (item.type === "image_generation_call") {
      said.images += item.result ? 1 : 0;
    } else if (item.type === "function_call") {
      said.calls.set(said.calls.size, { name: item.name, arguments: item.arguments });
    }
  }
  const why = response.incomplete_details?.reason;
  const finishes = { max_output_tokens: "length", content_filter: "content_filter" };
  said.finish = { completed: "stop", incomplete: finishes[why] }[response.status] ?? null;
  const usage = response.usage ?? {};
  const counts = {
    prompt: usage.input_tokens,
    completion: usage.output_tokens,
    cached: usage.input_tokens_details?.cached_tokens,
    reasoning: usage.output_tokens_details?.reasoning_tokens,
  };
  return [{ 0: said }, counts];
}

function sameJson(want, seen) {
  if (want === seen || (want === "" && seen === "{}")) return true;
  try {
    return JSON.stringify(JSON.parse(want)) === JSON.stringify(JSON.parse(seen));
  } catch {
    return false;
  }
}

// What differs between the recording and what the SDK read; `without` it has no words for.
export function differences(question, [choices, counts], without = []) {
  const wrong = [];
  const short = (value) => JSON.stringify(String(value).slice(0, 200));
  for (const [index, want] of Object.entries(question.expected.choices)) {
    const seen = choices[index] ?? newChoice();
    for (const name of ["text", "reasoning", "refusal", "spoken", "images", "logprobs"]) {
      // How many pictures, not which: the replay compares those.
      const wanted = name === "images" ? want.images.length : want[name];
      if (!without.includes(name) && wanted !== seen[name]) {
        wrong.push(`${name} ${short(seen[name])} instead of ${short(wanted)}`);
      }
    }
    const cited = [...seen.citations].filter(Boolean).sort();
    if (!without.includes("citations") && JSON.stringify(cited) !== JSON.stringify(want.citations)) {
      wrong.push(`citations ${cited} instead of ${want.citations}`);
    }
    const proofs = [...seen.proofs].join(" ");
    for (const proof of want.proofs) {
      if (!proofs.includes(proof)) wrong.push(`the signature ${short(proof)} is lost`);
    }
    const calls = [...seen.calls.values()];
    if (calls.map((call) => call.name).join() !== want.calls.map((call) => call.name).join()) {
      wrong.push(`calls ${JSON.stringify(calls)} instead of ${JSON.stringify(want.calls)}`);
    } else {
      calls.forEach((call, at) => {
        const wanted = want.calls[at].arguments;
        if (!sameJson(wanted, call.arguments)) {
          wrong.push(`arguments ${short(call.arguments)} instead of ${short(wanted)}`);
        }
      });
    }
    if (want.finish !== null && want.finish !== seen.finish) {
      wrong.push(`finish ${seen.finish} instead of ${want.finish}`);
    }
  }
  for (const name of COUNTS) {
    const want = question.expected.usage[name];
    if (want !== null && want !== counts[name]) {
      wrong.push(`${name} tokens ${counts[name]} instead of ${want}`);
    }
  }
  return wrong;
}

// Proofs of reasoning that did not reach their provider again.
export async function lostOnTheWayBack(stage, question) {
  const upstream = await stage.asked(question);
  const proofs = Object.values(question.expected.choices).flatMap((choice) => choice.proofs);
  const lost = proofs.filter((proof) => !upstream.includes(proof));
  return lost.map((proof) => `${proof.slice(0, 60)} did not go back`);
}

// True when the answer has calls whose reasoning its provider wants back.
export function goesBack(question) {
  const choices = Object.values(question.expected.choices);
  return !fails(question) && choices.some((choice) => choice.calls.length && choice.proofs.length);
}

// The first good whole recording whose name has this part.
export function first(questions, part) {
  const found = questions.find(
    (question) => question.name.includes(part) && !question.stream && !fails(question),
  );
  if (!found) throw new Error(`no recording of ${part}`);
  return found;
}

// An assistant's turn from chunks: details of reasoning and calls put together by their index.
export function joined(parts) {
  const message = { role: "assistant", content: "", reasoning_details: [], tool_calls: [] };
  for (const delta of parts.flatMap((part) => part.choices).map((choice) => choice.delta)) {
    message.content += delta.content ?? "";
    message.reasoning_details.push(...(delta.reasoning_details ?? []));
    for (const call of delta.tool_calls ?? []) {
      if (call.id) {
        message.tool_calls.push({ id: call.id, type: "function", function: { arguments: "", ...call.function } });
      } else {
        message.tool_calls[call.index].function.arguments += call.function.arguments;
      }
    }
  }
  return message;
}
