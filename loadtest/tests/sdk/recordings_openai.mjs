// OpenAI's Node SDK, unmodified, reads every recorded answer by chat and by Responses, streams with
// its own accumulators.
//
// usage: node recordings_openai.mjs STAGE_JSON

import OpenAI from "openai";
import {
  PDF, PIXEL, Stage, checkFeatures, differences, fails, first, goesBack, joined, lostOnTheWayBack,
  readChat, readCompletion, readResponse,
} from "./recordings.mjs";

const stage = new Stage(process.argv[2]);
const client = new OpenAI({ baseURL: stage.baseURL, apiKey: stage.key, maxRetries: 0 });

async function chat(body) {
  if (!body.stream) return [[await client.chat.completions.create(body)], "message"];
  const parts = [];
  for await (const chunk of await client.chat.completions.create(body)) parts.push(chunk);
  return [parts, "delta"];
}

async function response(body) {
  if (!body.stream) return client.responses.create(body);
  const stream = client.responses.stream(body);
  let number = 0;
  for await (const event of stream) {
    if (event.sequence_number !== number) throw new Error(`event ${number} is ${event.sequence_number}`);
    number += 1;
  }
  const last = await stream.finalResponse();
  if (last.status === "failed") throw new OpenAI.APIError(undefined, last.error, last.error.message);
  return last;
}

// Differences of one answer; a failure must come as the SDK's error.
async function ask(question, how) {
  try {
    const differing = await how(question);
    return fails(question) ? ["the failure did not show"] : differing;
  } catch (error) {
    const shows = fails(question) && error instanceof OpenAI.OpenAIError;
    return shows ? [] : [`${error.name}: ${error.message}`.slice(0, 600)];
  }
}

async function byChat(question) {
  const [parts, body] = await chat(question.body);
  const wrong = differences(question, readChat(parts, body));
  if (question.stream) {
    const final = await client.chat.completions.stream(question.body).finalChatCompletion();
    const want = question.expected.choices[0];
    const [choice] = final.choices;
    if ((choice.message.content ?? "") !== want.text) wrong.push("the accumulated text differs");
    if (want.finish !== null && choice.finish_reason !== want.finish) wrong.push("the accumulated finish differs");
  }
  return wrong;
}

async function byResponses(question) {
  return differences(question, readResponse(await response(question.body)));
}

async function byCompletions(question) {
  const answer = await client.completions.create(question.body);
  const parts = question.stream ? [] : [answer];
  if (question.stream) for await (const chunk of answer) parts.push(chunk);
  return differences(question, readCompletion(parts));
}

async function againByChat(question) {
  const [parts, kind] = await chat(question.plain);
  const message = kind === "delta" ? joined(parts) : parts[0].choices[0].message;
  const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "done" }));
  await chat({ ...question.plain, messages: [...question.plain.messages, message, ...results] });
  return lostOnTheWayBack(stage, question);
}

async function againByResponses(question) {
  const { output } = await response(question.plain);
  const calls = output.filter((item) => item.type === "function_call");
  const results = calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: "done" }));
  const input = [{ role: "user", content: "Hello." }, ...output, ...results];
  await response({ ...question.plain, input });
  return lostOnTheWayBack(stage, question);
}

async function contents() {
  const question = first(stage.questions("responses"), "-openai-responses-");
  const parts = [
    { type: "input_text", text: "What is this?" },
    { type: "input_image", image_url: PIXEL, detail: "auto" },
    { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64," + PDF },
  ];
  const body = { ...question.plain, input: [{ role: "user", content: parts }] };
  const wrong = await ask({ ...question, body }, byResponses);
  const upstream = await stage.asked(question);
  stage.check(question, upstream.includes(PIXEL) && upstream.includes(PDF) ? wrong : [...wrong, "contents are lost"]);
}

for (const question of stage.questions("chat")) {
  stage.check(question, await ask(question, byChat));
  if (goesBack(question)) stage.check(question, await ask(question, againByChat));
}
for (const question of stage.questions("responses")) {
  stage.check(question, await ask(question, byResponses));
  if (goesBack(question)) stage.check(question, await ask(question, againByResponses));
}
for (const question of stage.questions("completions")) {
  stage.check(question, await ask(question, byCompletions));
}
await contents();
await checkFeatures(stage, "chat", "openai_node", (question) => ask(question, byChat));
await checkFeatures(stage, "responses", "openai_node", (question) => ask(question, byResponses));
stage.end();
