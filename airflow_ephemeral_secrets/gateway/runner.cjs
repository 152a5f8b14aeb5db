// Runs one collection with Newman. The first line of stdin is a JSON document with everything, secrets too; what leaves
// by stdout is a JSON line for each request of the collection that ran, without secrets. It ends when stdin does.
"use strict";

const crypto = require("crypto");
const path = require("path");

const LONGEST = { name: 200, message: 2000 };
const MOST = 100; // requests, assertions, errors and console messages of one request of the collection
const SHORTEST_SECRET = 5;
const NAMED_SECRET = /token|secret|pass|pwd|key|auth|session|cookie|credential|jwt|code|signature/i;
const LONG = 20; // a value of so many characters that a script sets may be a secret, whatever its name
const LARGE = 16 << 10; // one of more is an answer that is kept, unless its name says that it is a secret
const FORMS = 20; // that a secret is looked for in, about
let room = 64 << 20; // bytes of all forms of all secrets; where they need more, no text is told any more

// What looks like a secret of somebody else's, such as a token in an answer that a script prints.
const STRANGE = [
  [/\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*/g, "***"],
  [/\b(Bearer|Basic)( +)[\w.~+/=-]{5,}/gi, "$1$2***"],
  [/(\\?"[^"\\]{0,60}(?:token|secret|passw|api.?key|cookie)[^"\\]{0,60}\\?"\s*:\s*\\?")[^"\\]{5,}/gi, "$1***"],
];

const secrets = new Set(); // every form of every secret

function hide(secret) {
  if (typeof secret !== "string" || secret.length < SHORTEST_SECRET || secrets.has(secret)) return;
  room -= FORMS * Buffer.byteLength(secret);
  if (room < 0) return;
  const raw = Buffer.from(secret);
  const url = encodeURIComponent(secret.toWellFormed ? secret.toWellFormed() : secret);
  const strict = url.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const json = JSON.stringify(secret).slice(1, -1);
  const found = [secret, url, strict, url.replace(/%20/g, "+"), url.replace(/%2F/g, "/")];
  found.push(json, json.replace(/\//g, "\\/"));
  for (const quoted of [url, strict]) found.push(quoted.replace(/%../g, (escape) => escape.toLowerCase()));
  for (let offset = 0; offset < 3; offset++) {
    // the digits that depend on the secret alone, when so many other bytes stand before it
    const whole = Buffer.concat([Buffer.alloc(offset), raw]).toString("base64");
    const core = whole.slice(Math.ceil((8 * offset) / 6), Math.floor((8 * (offset + raw.length)) / 6));
    found.push(core, core.replace(/\+/g, "-").replace(/\//g, "_"));
  }
  found.push(raw.toString("hex"), raw.toString("hex").toUpperCase());
  found.forEach((form) => secrets.add(form));
  ordered = null;
}

let ordered = null;

function redact(value, longest) {
  if (room < 0) return "***";
  let told = text(value);
  ordered ??= [...secrets].sort((a, b) => b.length - a.length);
  for (const form of ordered) if (told.includes(form)) told = told.split(form).join("***");
  for (const [pattern, instead] of STRANGE) told = told.replace(pattern, instead);
  return told.length > longest ? `${told.slice(0, longest)}...` : told;
}

function text(value) {
  if (typeof value === "string") return value;
  const withoutBytes = (_, part) => (part?.type === "Buffer" ? `${part.data?.length} bytes` : part);
  try {
    return JSON.stringify(value, withoutBytes) ?? String(value);
  } catch {
    return typeof value;
  }
}

function say(line, then) {
  process.stdout.write(`${JSON.stringify(line)}\n`, then);
}

function end(error) {
  const told = error ? redact(error.message || error.name || "error", LONGEST.name) : null;
  say({ done: true, error: told }, () => process.exit(0));
}

// What a script puts into a variable may be a token that it was given: it is hidden like those that came in.
function hideWhatScriptsSet(execution, given) {
  for (const scope of ["environment", "globals", "collectionVariables", "_variables"]) {
    for (const { key, value } of execution?.[scope]?.values?.all?.() ?? execution?.[scope]?.values ?? []) {
      if (typeof value !== "string" || given.get(key) === value) continue;
      if (NAMED_SECRET.test(key) || (value.length >= LONG && value.length <= LARGE)) hide(value);
    }
  }
}

// A request to the host of a connection gets the headers of the connection that it does not bring, as with Airflow's
// hook, unless its author chose "No Auth"; and those that name it in the gateway's log. Where the connection is live,
// the header that would carry the token goes: the endpoint puts in a fresh one.
function prove(request, item, hosts) {
  const url = parsed(request.url.toString());
  if (!url) return;
  for (const { origin, base, headers, named, live } of hosts) {
    if (url.origin !== parsed(origin)?.origin) continue;
    if (url.pathname !== base && !url.pathname.startsWith(`${base}/`)) continue;
    const proven = live || item?.getAuth?.()?.type !== "noauth";
    if (live) request.headers.remove((header) => String(header.value).includes(live));
    const span = crypto.randomBytes(8).toString("hex");
    const names = named.map(([key, value]) => [key, value.replace("{span}", span)]);
    for (const [key, value] of [...(proven ? headers : []), ...names]) {
      if (!request.headers.has(key)) request.headers.add({ key, value });
    }
    return;
  }
}

function parsed(url) {
  try {
    return new URL(url);
  } catch {
    return null;
  }
}

function seen(error, request, response) {
  const told = { method: redact(request.method, LONGEST.name), host: "", path: "" };
  told.host = redact(request.url.getRemote(true), LONGEST.name);
  told.path = redact(request.url.getPath(), LONGEST.name);
  if (response) {
    const body = response.stream ?? Buffer.alloc(0);
    told.status = response.code;
    told.ms = response.responseTime;
    told.bytes = body.length;
    told.sha256 = crypto.createHash("sha256").update(body).digest("hex");
  }
  if (error) told.error = redact(error.code || error.name || "Error", LONGEST.name);
  return told;
}

function run(document) {
  document.secrets.forEach(hide);
  const given = new Map(document.values.map(({ key, value }) => [key, value]));
  for (const { key, value } of document.collection.variable ?? []) if (!given.has(key)) given.set(key, value);
  // a newmanrc of the user's or the administrator's could switch on reporters, which write tokens
  require(path.join(document.newman, "lib", "config", "rc-file")).load = (then) => then(null, {});
  const newman = require(document.newman);
  const { Runner } = require(require.resolve("postman-runtime", { paths: [document.newman] }));
  const start = Runner.prototype.run; // Newman has no option for the largest answer, its engine has
  Runner.prototype.run = function (collection, options, callback) {
    options.requester.maxResponseSize = document.largest_response;
    return start.call(this, collection, options, callback);
  };

  let held = [];
  let current;
  const reset = () => {
    current = { requests: [], assertions: [], errors: [], console: [], left_out: 0, failures_left_out: 0 };
  };
  const note = (list, entry, failed) => {
    if (list.length < MOST) return list.push(entry);
    if (failed) current.failures_left_out++;
    return current.left_out++;
  };
  const flush = (name) => {
    current.console = current.console.map(({ level, text }) => ({ level, text: redact(text, LONGEST.message) }));
    current.assertions = current.assertions.map((one) => ({ ...one, name: redact(one.name, LONGEST.name) }));
    current.requests = current.requests.map(([error, request, response]) => seen(error, request, response));
    say({ item: redact(name, LONGEST.name), ...current });
    for (const response of held) response.stream = undefined; // Newman keeps them all to the end
    held = [];
    reset();
  };
  reset();

  newman
    .run(
      {
        collection: document.collection,
        environment: { name: "airflow", values: document.values },
        folder: document.folder ?? undefined,
        reporters: [],
        insecure: false,
        insecureFileRead: false,
        workingDir: document.working_dir,
      },
      (error) => end(error),
    )
    .on("beforeRequest", (_, { request, item }) => prove(request, item, document.hosts))
    .on("request", (error, { request, response }) => {
      if (response) held.push(response);
      if (request) note(current.requests, [error, request, response], error);
      else note(current.errors, error?.name ?? "Error", true);
    })
    .on("script", (_, { execution }) => hideWhatScriptsSet(execution, given))
    .on("assertion", (error, { assertion, skipped }) => {
      note(current.assertions, { name: assertion, ok: !error, skipped: Boolean(skipped) }, error && !skipped);
    })
    .on("exception", (_, { error }) => note(current.errors, redact(error?.name ?? "Error", LONGEST.name), true))
    .on("console", (_, { level, messages }) => note(current.console, { level, text: messages.map(text).join(" ") }))
    .on("item", (_, { item }) => flush(item.name));
}

process.on("uncaughtException", (error) => {
  say({ crash: error.code || error.name }, () => process.exit(1));
});

let line = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (piece) => {
  if (line === null) return;
  line += piece;
  if (!piece.includes("\n")) return;
  const document = JSON.parse(line);
  line = null;
  run(document);
});
process.stdin.on("end", () => process.exit(1));
