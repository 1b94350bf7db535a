// OpenRouter's Node SDK, unmodified, against a running Godwit: the list of models, embeddings,
// rankings, text and errors.
//
// usage: node openrouter_node.mjs BASE_URL KEY EMBEDDING_MODEL RANKING_MODEL MODEL...

import assert from "node:assert/strict";
import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";

const [serverURL, apiKey, embedder, ranker, ...models] = process.argv.slice(2);
const retryConfig = { strategy: "none" };
const client = new OpenRouter({ serverURL, apiKey, retryConfig });
const messages = [{ role: "user", content: "Say something about cranes and godwits." }];
const passed = (check, details = {}) => console.log(JSON.stringify({ check, ...details }));

const listed = [];
for await (const page of await client.models.list()) {
  listed.push(...page.result.data.map((model) => model.id));
}
assert.ok(models.every((model) => listed.includes(model)), listed.join());
passed("models", { count: listed.length });

const requestBody = { model: embedder, input: ["a crane", "a godwit"], dimensions: 4 };
const embedded = await client.embeddings.generate({ requestBody });
assert.deepEqual(embedded.data.map((item) => item.embedding.length), [4, 4]);
assert.ok(embedded.usage.promptTokens > 0 && embedded.usage.cost > 0);
passed("embeddings");

const documents = ["a crane", "a godwit", "a stone"];
const ranked = await client.rerank.rerank({
  requestBody: { model: ranker, query: "birds", documents, topN: 2 },
});
assert.equal(ranked.results.length, 2);
for (const result of ranked.results) assert.equal(result.document.text, documents[result.index]);
passed("rankings");

for (const model of models) {
  const chatRequest = { model, messages, maxTokens: 40 };
  const answer = await client.chat.send({ chatRequest });
  assert.ok(answer.choices[0].message.content && answer.usage.cost > 0);
  let text = "";
  for await (const chunk of await client.chat.send({ chatRequest: { ...chatRequest, stream: true } })) {
    for (const choice of chunk.choices) text += choice.delta.content ?? "";
  }
  assert.equal(text, answer.choices[0].message.content);
  passed("text", { model });
}

const nobody = { chatRequest: { model: "nobody/nothing", messages } };
await assert.rejects(client.chat.send(nobody), errors.BadRequestResponseError);
const stranger = new OpenRouter({ serverURL, apiKey: "sk-gw-v1-" + "0".repeat(64), retryConfig });
await assert.rejects(stranger.chat.send(nobody), errors.UnauthorizedResponseError);
passed("errors");
