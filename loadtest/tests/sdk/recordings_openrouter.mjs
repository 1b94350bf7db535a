// OpenRouter's Node SDK, unmodified, reads every recorded answer by chat and by Responses. It checks
// every member of every answer; what it has no type for counts as a mistake.
//
// usage: node recordings_openrouter.mjs STAGE_JSON

import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";
import {
  PDF, PIXEL, Stage, WAV, camel, checkFeatures, differences, fails, first, goesBack, joined,
  lostOnTheWayBack, readChat, readResponse, snake, unknown,
} from "./recordings.mjs";

const stage = new Stage(process.argv[2]);
const client = new OpenRouter({
  serverURL: stage.baseURL,
  apiKey: stage.key,
  retryConfig: { strategy: "none" },
});

class Broken extends Error {}

// Schemas of tools and of answers are free form: their members keep their names.
function chatRequest(body) {
  const request = camel(body);
  if (body.tools) {
    request.tools = body.tools.map((tool) => ({ type: "function", function: { ...tool.function } }));
  }
  if (body.response_format) request.responseFormat = body.response_format;
  return request;
}

async function chat(body) {
  const answer = await client.chat.send({ chatRequest: chatRequest(body) });
  if (!body.stream) return [[answer], "message"];
  const parts = [];
  for await (const chunk of answer) {
    if (chunk.error) throw new Broken(chunk.error.message);
    parts.push(chunk);
  }
  return [parts, "delta"];
}

async function response(body) {
  const responsesRequest = camel(body);
  if (body.tools) responsesRequest.tools = body.tools.map((tool) => ({ ...tool }));
  const answer = await client.responses.send({ responsesRequest });
  if (!body.stream) return answer;
  let last = null;
  const strange = [];
  for await (const event of answer) {
    strange.push(...unknown(event));
    if (event.type === "error" || event.type === "response.failed") throw new Broken(JSON.stringify(event));
    last = event;
  }
  if (strange.length > 0) throw new Error(strange.slice(0, 3).join("\n"));
  return last.response;
}

async function ask(question, how) {
  try {
    const differing = await how(question);
    return fails(question) ? ["the failure did not show"] : differing;
  } catch (error) {
    const shows = error instanceof Broken || error instanceof errors.OpenRouterError;
    const valid = !(error instanceof errors.ResponseValidationError);
    if (fails(question) && shows && valid) return [];
    return [`${error.name}: ${error.message} ${error.cause?.message ?? ""}`.slice(0, 900)];
  }
}

async function byChat(question) {
  const [parts, body] = await chat(question.plain);
  // The SDK's streams have no pictures, and its answers no annotations.
  const without = body === "delta" ? ["citations", "images"] : ["citations"];
  const wrong = differences(question, readChat(snake(parts), body), without);
  return [...wrong, ...unknown(parts)];
}

async function byResponses(question) {
  const answer = await response(question.plain);
  return [...differences(question, readResponse(snake(answer))), ...unknown(answer)];
}

async function againByChat(question) {
  const [parts, kind] = await chat(question.plain);
  const message = kind === "delta" ? joined(snake(parts)) : snake(parts[0].choices[0].message);
  const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "done" }));
  await chat({ ...question.plain, messages: [...question.plain.messages, message, ...results] });
  return lostOnTheWayBack(stage, question);
}

async function againByResponses(question) {
  const { output } = await response(question.plain);
  const calls = output.filter((item) => item.type === "function_call");
  const results = calls.map((call) => ({ type: "function_call_output", callId: call.callId, output: "done" }));
  const input = [{ role: "user", content: "Hello." }, ...output, ...results];
  await response({ ...question.plain, input });
  return lostOnTheWayBack(stage, question);
}

// Pictures, documents and sound in, and the forms of an answer.
async function contents() {
  const text = { type: "text", text: "What is this?" };
  const inline = PIXEL.split(",")[1];
  const picture = { type: "image_url", image_url: { url: PIXEL } };
  const file = { filename: "a.pdf", file_data: "data:application/pdf;base64," + PDF };
  const document = { type: "file", file };
  const sound = { type: "input_audio", input_audio: { data: WAV, format: "wav" } };
  const schema = { type: "object", properties: { an_a: { type: "string" } }, required: ["an_a"] };
  const hosts = [
    ["-openai-chat-groq-", [[picture, PIXEL], [document, PDF], [sound, WAV]]],
    ["-anthropic-messages-", [[picture, inline], [document, PDF]]],
    ["-gemini-", [[picture, inline], [document, PDF], [sound, WAV]]],
  ];
  for (const [host, parts] of hosts) {
    const question = first(stage.questions("chat"), host);
    for (const [part, data] of parts) {
      const plain = { ...question.plain, messages: [{ role: "user", content: [text, part] }] };
      const wrong = await ask({ ...question, plain }, byChat);
      const upstream = await stage.asked(question);
      stage.check(question, upstream.includes(data) ? wrong : [...wrong, `${part.type} did not arrive`]);
    }
    const plain = {
      ...question.plain,
      response_format: { type: "json_schema", jsonSchema: { name: "form", schema } },
      reasoning: { effort: "low" },
      stop: ["END"],
      seed: 7,
      temperature: 0.5,
    };
    const wrong = await ask({ ...question, plain }, byChat);
    const upstream = await stage.asked(question);
    stage.check(question, upstream.includes("an_a") ? wrong : [...wrong, "the schema did not arrive"]);
  }
}

for (const question of stage.questions("chat")) {
  stage.check(question, await ask(question, byChat));
  if (goesBack(question)) stage.check(question, await ask(question, againByChat));
}
for (const question of stage.questions("responses")) {
  stage.check(question, await ask(question, byResponses));
  if (goesBack(question)) stage.check(question, await ask(question, againByResponses));
}
await contents();
await checkFeatures(stage, "chat", "openrouter_node", (question) => ask(question, byChat));
await checkFeatures(stage, "responses", "openrouter_node", (question) => ask(question, byResponses));
stage.end();
