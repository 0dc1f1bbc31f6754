// A client made with the TypeScript SDK: `sdk_client.mjs JOB stdio COMMAND…` or `sdk_client.mjs JOB http URL TOKEN`.
// JOB is JSON: {prompt, go, waitMs, limitMs}. The job runs until the file `go` exists. What was seen is printed as JSON.
import { writeFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [jobText, kind, ...words] = process.argv.slice(2);
const { prompt, go, waitMs, limitMs } = JSON.parse(jobText);
const transport =
  kind === "stdio"
    ? new StdioClientTransport({ command: words[0], args: words.slice(1), env: process.env, stderr: "inherit" })
    : new StreamableHTTPClientTransport(new URL(words[0]), {
        requestInit: { headers: { Authorization: `Bearer ${words[1]}` } },
      });

const client = new Client({ name: "outside", version: "1" });
await client.connect(transport);
// The client checks each structured answer against the output schema that it has seen here.
const { tools } = await client.listTools();
const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
const answer = async (name, args, options) => {
  const result = await call(name, args, options);
  if (result.isError) throw new Error(JSON.stringify(result.structuredContent));
  return result.structuredContent;
};

const job = await answer("codex_spawn", { prompt, title: "outside" });
const jobIds = [job.jobId];

// The limit is shorter than the wait: only progress keeps the call alive.
const progress = [];
const onprogress = (report) => progress.push(report);
const patient = { timeout: limitMs, resetTimeoutOnProgress: true, onprogress };
const began = Date.now();
const waited = await answer("codex_wait_any", { jobIds, timeoutMs: waitMs }, patient);
const waitedMs = Date.now() - began;

let impatient = null;
try {
  await call("codex_wait_any", { jobIds }, { timeout: 300 });
} catch (error) {
  impatient = error.code;
}
const abort = new AbortController();
setTimeout(() => abort.abort("enough"), 200);
let aborted = null;
try {
  await call("codex_wait_any", { jobIds }, { signal: abort.signal });
} catch (error) {
  aborted = String(error);
}
const during = (await answer("codex_status", { jobId: job.jobId })).status;
const refused = await call("codex_spawn", { prompt: 5 });

writeFileSync(go, "");
let completed = null;
while (completed === null) completed = (await answer("codex_wait_any", { jobIds })).completedJobId;
const result = await answer("codex_result", { jobId: job.jobId });
const seen = { tools: tools.map((tool) => tool.name), server: client.getServerVersion(), instructions: client.getInstructions() };
await client.close();
console.log(
  JSON.stringify({ ...seen, job, waited, waitedMs, progress, impatient, aborted, during, refused, completed, result }),
);
