-- What a person does in Neovim about a conflict, with its built-in client and nothing else: looks at the problems, the
-- actions, the lenses and the hover of a file, and takes one action. Everything seen is written as JSON.
--
-- Environment: TRIAL_COMMAND (JSON, the server's argv), TRIAL_FILE, TRIAL_ACTION (a title), TRIAL_OUT.

local seen = { questions = {}, chosen = {} }
local out = vim.env.TRIAL_OUT

local function finish(problem)
  seen.problem = problem
  vim.fn.writefile({ vim.json and vim.json.encode(seen) or vim.fn.json_encode(seen) }, out)
  vim.cmd('qall!')
end

local function wait_for(what, condition)
  if not vim.wait(20000, condition, 20) then
    finish('not within 20 s: ' .. what)
    error(what)
  end
end

-- The person: takes the action that the trial names, and says yes to the first choice of every question.
vim.ui.select = function(items, opts, on_choice)
  opts = opts or {}
  local titles = {}
  local picked = nil
  for index, item in ipairs(items) do
    local title = opts.format_item and opts.format_item(item) or tostring(item)
    titles[#titles + 1] = title
    if title == vim.env.TRIAL_ACTION then
      picked = index
    end
  end
  -- Newer versions of Neovim put questions of a server here too, and a button may say what the action said.
  if picked and not seen.actions then
    seen.actions = titles
  else
    seen.questions[#seen.questions + 1] = { opts.prompt or '', titles }
    picked = 1
  end
  on_choice(items[picked], picked)
end
vim.fn.inputlist = function(lines)
  seen.questions[#seen.questions + 1] = lines
  return 1
end

vim.cmd('edit ' .. vim.fn.fnameescape(vim.env.TRIAL_FILE))
local buffer = vim.api.nvim_get_current_buf()
local root = vim.fn.getcwd()
local config = {
  name = 'codex-sidecar',
  cmd = vim.fn.json_decode(vim.env.TRIAL_COMMAND),
  root_dir = root,
  workspace_folders = { { uri = vim.uri_from_fname(root), name = 'trial' } },
}
local id
if vim.lsp.start then
  id = vim.lsp.start(config)
else
  -- Before Neovim 0.8.
  id = vim.lsp.start_client(config)
  vim.lsp.buf_attach_client(buffer, id)
end

local function problems()
  local found = {}
  for _, one in ipairs(vim.diagnostic.get(buffer)) do
    found[#found + 1] = {
      source = one.source,
      message = one.message,
      severity = one.severity,
      code = one.code or (one.user_data and one.user_data.lsp and one.user_data.lsp.code),
      range = { one.lnum, one.col, one.end_lnum, one.end_col },
    }
  end
  return found
end

wait_for('a problem', function() return #problems() > 0 end)
seen.problems = problems()
local first = seen.problems[1].range
vim.api.nvim_win_set_cursor(0, { first[1] + 1, 0 })

local function ask(method, params)
  local answers = vim.lsp.buf_request_sync(buffer, method, params, 10000)
  for _, answer in pairs(answers or {}) do
    return answer.result
  end
end

local document = { textDocument = { uri = vim.uri_from_bufnr(buffer) } }
seen.lenses = {}
for _, lens in ipairs(ask('textDocument/codeLens', document) or {}) do
  seen.lenses[#seen.lenses + 1] = lens.command.title
end
local where = { textDocument = document.textDocument, position = { line = first[1], character = 0 } }
seen.hover = ask('textDocument/hover', where)

vim.lsp.buf.code_action()
wait_for('the problem goes', function() return #problems() == 0 end)
vim.cmd('edit!')
seen.text = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
seen.left = #problems()

vim.lsp.stop_client(id)
wait_for('the server ends', function() return vim.lsp.get_client_by_id(id) == nil end)
finish(nil)
