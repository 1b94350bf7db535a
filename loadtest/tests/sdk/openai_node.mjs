// OpenAI's Node SDK, unmodified, against a running Godwit.
//
// usage: node openai_node.mjs BASE_URL KEY MODEL...
// Every model is asked for text and for tool calls, whole and streamed. Prints one JSON line per
// check; exits 1 at the first that fails.

import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey, ...models] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [
  { role: "system", content: "You are terse." },
  { role: "user", content: "Say something about cranes and godwits." },
];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather at a place.",
      parameters: {
        type: "object",
        properties: { city: { type: "string" }, days: { type: "integer" } },
        required: ["city"],
      },
    },
  },
];

const passed = (check, details = {}) => console.log(JSON.stringify({ check, ...details }));

async function wholeText(model) {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 40 });
  const [choice] = answer.choices;
  assert.ok(choice.message.content);
  assert.ok(["stop", "length"].includes(choice.finish_reason));
  assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0);
  passed("whole_text", { model });
  return choice.message.content;
}

async function streamedText(model, expected) {
  const stream = await client.chat.completions.create({
    model,
    messages,
    max_tokens: 40,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let finish = null;
  let usage = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
    }
  }
  assert.equal(text, expected);
  assert.ok(["stop", "length"].includes(finish));
  assert.ok(usage.completion_tokens > 0);
  passed("streamed_text", { model });
}

async function streamedTools(model) {
  const runner = client.chat.completions.stream({ model, messages, tools, tool_choice: "required" });
  const completion = await runner.finalChatCompletion();
  const [choice] = completion.choices;
  assert.equal(choice.finish_reason, "tool_calls");
  for (const call of choice.message.tool_calls) {
    assert.equal(call.function.name, "get_weather");
    assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
  }
  passed("streamed_tools", { model });
}

async function cancelled(model) {
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break; // closes the connection
  }
  passed("cancelled", { model });
}

async function errors() {
  await assert.rejects(
    client.chat.completions.create({ model: "nobody/nothing", messages }),
    OpenAI.BadRequestError,
  );
  const stranger = new OpenAI({ baseURL, apiKey: `sk-gw-v1-${"0".repeat(64)}`, maxRetries: 0 });
  await assert.rejects(
    stranger.chat.completions.create({ model: "nobody/nothing", messages }),
    OpenAI.AuthenticationError,
  );
  passed("errors");
}

for (const model of models) {
  const text = await wholeText(model);
  await streamedText(model, text);
  await streamedTools(model);
  await cancelled(model);
}
await errors();
