"""Tasks by fastmcp's client: `tasks_client.py JOB COMMAND…`. What was seen is printed as JSON.

JOB is JSON: {quick, slow, go}, two prompts and the file that ends the second one's worker. Over standard input and
output only: by HTTP this client leaves out `Mcp-Name`, and a server must refuse that.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp_tasks import call_tool_task


async def main(job, command):
    transport = StdioTransport(command[0], command[1:], env=dict(os.environ), keep_alive=False)
    async with Client(transport, timeout=60) as client:
        tools = [tool.name for tool in await client.list_tools()]
        # As any tool is called: the client polls by itself until the result is there.
        awaited = (await client.call_tool("codex_run", {"prompt": job["quick"]})).structured_content
        handle = await call_tool_task(client, "codex_run", {"prompt": job["slow"], "title": "slow"})
        first = (await handle.status()).status
        # The task is the job, so every other tool knows it.
        status = (await client.call_tool("codex_status", {"jobId": handle.task_id})).structured_content
        Path(job["go"]).touch()
        result = (await handle.result()).structured_content
        Path(job["go"]).unlink()
        other = await call_tool_task(client, "codex_run", {"prompt": job["slow"]})
        await other.cancel()
        last = (await other.wait(timeout=60)).status
        return {
            "tools": tools, "awaited": awaited, "first": first, "status": status, "result": result, "last": last,
            "cancelled": (await client.call_tool("codex_status", {"jobId": other.task_id})).structured_content,
        }  # fmt: skip


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2:]))))
