// OpenRouter's Node SDK, unmodified, against a running Godwit: keys, credits, activity, one
// generation, workspaces and members, each parsed strictly.
//
// usage: node openrouter_account.mjs BASE_URL MANAGEMENT_KEY MODEL

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";

const PATIENCE_MS = 20_000;
const [serverURL, managementKey, model] = process.argv.slice(2);
const retryConfig = { strategy: "none" };
const clientOf = (apiKey) => new OpenRouter({ serverURL, apiKey, retryConfig });
const manager = clientOf(managementKey);
const passed = (check, details = {}) => console.log(JSON.stringify({ check, ...details }));

const requestBody = { name: "from the SDK", limit: 0.5, limitReset: "weekly" };
const made = await manager.apiKeys.create({ requestBody });
assert.ok(made.key.startsWith("sk-gw-v1-"));
const { hash } = made.data;
const listed = await manager.apiKeys.list();
assert.ok(listed.data.some((key) => key.hash === hash));
const changed = await manager.apiKeys.update({ hash, requestBody: { limit: null } });
assert.equal(changed.data.limit, null);
assert.equal((await manager.apiKeys.get({ hash })).data.limitReset, "weekly");
passed("keys");

const client = clientOf(made.key);
const messages = [{ role: "user", content: "Say something about cranes and godwits." }];
const answer = await client.chat.send({ chatRequest: { model, messages, maxTokens: 40 } });
const end = Date.now() + PATIENCE_MS;
let told;
while (told === undefined) {
  try {
    told = (await client.generations.getGeneration({ id: answer.id })).data;
  } catch (error) {
    assert.ok(error instanceof errors.NotFoundResponseError, String(error));
    assert.ok(Date.now() < end, "the record does not come");
    await pause(50);
  }
}
assert.equal(told.totalCost, answer.usage.cost);
const own = (await client.apiKeys.getCurrentKeyMetadata()).data;
assert.equal(own.usage, answer.usage.cost);
await assert.rejects(client.credits.getCredits(), errors.ForbiddenResponseError);
passed("generation", { cost: told.totalCost });

const date = told.createdAt.slice(0, 10);
const rows = (await manager.analytics.getUserActivity({ date })).data;
assert.ok(rows.some((row) => row.model === model && row.requests >= 1));
assert.ok((await manager.credits.getCredits()).data.totalUsage > 0);
passed("activity", { rows: rows.length });

const created = await manager.workspaces.create({
  createWorkspaceRequest: { name: "Laboratory", slug: "laboratory-2" },
});
const ids = [];
for await (const page of await manager.workspaces.list()) {
  ids.push(...page.result.data.map((one) => one.id));
}
assert.ok(ids.includes(created.data.id));
assert.equal((await manager.workspaces.delete({ id: created.data.id })).deleted, true);
for await (const page of await manager.organization.listMembers()) {
  assert.ok(Array.isArray(page.result.data));
}
passed("workspaces");

assert.equal((await manager.apiKeys.delete({ hash })).deleted, true);
await assert.rejects(
  client.apiKeys.getCurrentKeyMetadata(),
  errors.UnauthorizedResponseError,
);
passed("deleted");
