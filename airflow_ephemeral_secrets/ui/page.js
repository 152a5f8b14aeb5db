"use strict";

// Everything shown is set as text, never as HTML: whoever runs Dags can choose names and write into the audit file.

const SOON = 300;
const NAMES = ["dag_id", "run_id", "task_id", "map_index", "conn_id", "lease_id", "outcome", "hours"];
const NAMED = { dag_id: "Dag", run_id: "run", task_id: "task", conn_id: "connection", lease_id: "lease" };
const form = document.getElementById("filters");
let ahead = 0;
let asked = 0;

followTheme();
fill(new URLSearchParams(location.search));
load();
setInterval(tick, 1000);

document.getElementById("refresh").addEventListener("click", load);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(given());
});
form.addEventListener("reset", (event) => {
  event.preventDefault();
  ask(new URLSearchParams());
});

/** Inside of Airflow, take its theme; alone, that of the browser. */
function followTheme() {
  const airflow = window.parent === window ? null : window.parent.document.documentElement;
  if (!airflow) return;
  const follow = () => {
    document.documentElement.dataset.theme = airflow.classList.contains("dark") ? "dark" : "light";
  };
  follow();
  new MutationObserver(follow).observe(airflow, { attributes: true, attributeFilter: ["class"] });
}

/** Put the filters of the address into the form; Airflow leaves in braces what it cannot fill in. */
function fill(parameters) {
  for (const name of NAMES) {
    const value = parameters.get(name) ?? "";
    const known = value.startsWith("{") ? "" : value;
    if (form.elements[name]) form.elements[name].value = known;
    else form.dataset[name] = known;
  }
}

function given() {
  const parameters = new URLSearchParams();
  for (const name of NAMES) {
    const value = form.elements[name] ? form.elements[name].value.trim() : form.dataset[name];
    if (value) parameters.set(name, value);
  }
  return parameters;
}

/** Show what another filter finds, under an address of its own. */
function ask(parameters) {
  history.replaceState(null, "", parameters.size ? `?${parameters}` : location.pathname);
  fill(parameters);
  load();
}

function narrow(name, value) {
  const parameters = given();
  parameters.set(name, value);
  ask(parameters);
}

/** Show what is found now; of answers to several filters, that to the last. */
async function load() {
  const mine = (asked += 1);
  document.body.setAttribute("aria-busy", "true");
  const [leases, events] = await Promise.all([get("leases"), get(`events?${given()}`)]);
  if (mine !== asked) return;
  document.body.classList.toggle("one-task", ["dag_id", "run_id", "task_id"].every((name) => given().get(name)));
  const known = new Map(events.events.filter((one) => one.lease_id && one.source).map((one) => [one.lease_id, one]));
  ahead = leases.now === undefined ? 0 : leases.now - Date.now() / 1000;
  showLeases(leases, known);
  showEvents(events);
  tick();
  document.body.setAttribute("aria-busy", "false");
}

async function get(path) {
  const nothing = { leases: [], events: [] };
  try {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : { ...nothing, problem: (await answer.text()) || answer.statusText };
  } catch (error) {
    return { ...nothing, problem: "Airflow does not answer." };
  }
}

function showLeases(told, known) {
  const filtered = given().size > 0;
  const leases = told.leases.filter((lease) => !filtered || known.has(lease.lease_id));
  text("lease-count", leases.length || "");
  const which = filtered ? "Those of the lines below that are held" : "Held";
  note(
    "leases-note",
    told.problem,
    told.store
      ? `${which} on ${told.host} by user ${told.user}, in ${told.store}. Workers on other hosts hold their own.`
      : "",
  );
  rows(
    "leases",
    leases.map((lease) => {
      const seen = known.get(lease.lease_id);
      const who = wide("");
      who.append(principal(seen?.principal));
      return [
        countdown(lease.expires_at),
        who,
        cell(seen?.source),
        cell(seen?.recipe),
        cell(lease.kind),
        cell(lease.state, lease.state),
        link(lease.lease_id, "lease_id"),
      ];
    }),
    filtered ? "None of them is held here." : "This host holds no lease.",
  );
}

function showEvents(told) {
  const shown = told.events.length;
  text("event-count", told.left_out ? `the newest ${shown} of ${shown + told.left_out}` : shown || "");
  note("events-note", told.problem ?? ship(told), told.files ? `From ${told.files}.` : "");
  rows("events", together(told.events).map(event), "Nothing that fits.");
}

/** Say how the workers' files get here, where there are none. */
function ship(told) {
  if (told.seen || told.seen === undefined) return null;
  const here = told.files
    ? `This API server sees no audit file at ${told.files}.`
    : "The configuration names no audit file: audit: {file: /var/log/airflow/ephemeral-audit.jsonl}.";
  return `${here}\nWorkers write theirs on their own hosts. Ship them (Fluent Bit, Vector, rsync) or share a volume, and name the directory here:\n[ephemeral_secrets] audit_files = /var/log/airflow/ephemeral-audit`;
}

/** Count what happened again and again instead of repeating it: in a row, or anywhere if no Dag is known. */
function together(events) {
  const found = [];
  for (const one of events) {
    const same = JSON.stringify([one.event, one.outcome, one.conn_id, one.caller, one.reason, one.lease_id, one.origin]);
    const before = one.caller.dag_id ? found.at(-1) : found.find((other) => other.same === same);
    if (before?.same === same) before.times += 1;
    else found.push({ ...one, same, times: 1 });
  }
  return found;
}

function event(one) {
  return [
    moment(one.time),
    outcome(one),
    link(one.conn_id, "conn_id"),
    caller(one.caller),
    what(one),
    one.outcome === "grant" && one.expires_at ? countdown(one.expires_at) : cell(""),
    cell(one.event === "lookup" ? one.origin : one.event, "muted"),
    cell(one.duration_ms === null ? "" : one.duration_ms.toFixed(1), "number"),
    link(one.lease_id, "lease_id"),
  ];
}

function moment(seconds) {
  const [day, time] = new Date(seconds * 1000).toISOString().split("T");
  const made = cell(time.slice(0, 12), "time");
  made.append(document.createElement("br"), element("span", day, "muted small"));
  return made;
}

function outcome(one) {
  const made = cell("");
  const known = ["grant", "deny", "fail"].includes(one.outcome);
  made.append(element("span", one.outcome ?? one.event, `tag ${known ? one.outcome : "muted"}`));
  if (one.times > 1) made.append(element("span", ` ×${one.times}`, "muted"));
  return made;
}

/** Say whom a grant made the caller, or why there was none. */
function what(one) {
  const made = wide("");
  if (one.reason) {
    made.append(element("span", one.code, "id bad"), ` ${one.reason}`);
    return made;
  }
  made.append(element("span", one.source ?? "", "muted"), " ", principal(one.principal));
  if (one.request_id) made.title = `request id ${one.request_id}`;
  return made;
}

/** Leave out of an ARN what is the same in all of them; the whole of it is one hover away. */
function principal(whole) {
  const made = element("span", (whole ?? "").replace(/^arn:[^:]*:[^:]*:[^:]*:[^:]*:/, ""));
  if (whole) made.title = whole;
  return made;
}

/** Name the task, and its run below. */
function caller(who) {
  const made = cell("", "caller");
  if (!who.dag_id) {
    made.append(element("span", who.process ? `unknown, in a ${who.process} process` : "", "muted"));
    return made;
  }
  made.append(linked(who.dag_id, "dag_id"));
  if (who.task_id) {
    const mapped = who.map_index !== null && who.map_index >= 0 ? `[${who.map_index}]` : "";
    made.append(" › ", linked(who.task_id, "task_id"), element("span", mapped + tried(who), "muted"));
  }
  if (who.run_id) made.append(document.createElement("br"), linked(who.run_id, "run_id", "small"));
  return made;
}

function tried(who) {
  return who.try_number > 1 ? ` try ${who.try_number}` : "";
}

function countdown(moment) {
  const made = cell("", "time");
  made.dataset.expires = moment;
  made.title = new Date(moment * 1000).toISOString();
  return made;
}

function tick() {
  const now = Date.now() / 1000 + ahead;
  for (const one of document.querySelectorAll("[data-expires]")) {
    const left = Math.floor(one.dataset.expires - now);
    one.textContent = left <= 0 ? "expired" : duration(left);
    one.className = `time ${left <= 0 ? "muted" : left < SOON ? "soon" : ""}`;
  }
}

function duration(seconds) {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  return days ? `${days} d ${two(hours)} h` : hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function rows(section, made, empty) {
  const table = document.querySelector(`#${section} table`);
  const nothing = element("td", empty, "empty");
  nothing.colSpan = table.tHead.rows[0].cells.length;
  table.tBodies[0].replaceChildren(...(made.length ? made : [[nothing]]).map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
}

function note(id, problem, otherwise) {
  const made = document.getElementById(id);
  made.textContent = problem ?? otherwise;
  made.classList.toggle("problem", Boolean(problem));
}

function link(value, name) {
  const made = cell("");
  if (value) made.append(linked(value, name, name === "lease_id" ? "id" : ""));
  return made;
}

function linked(value, name, kind = "") {
  const made = element("button", value, `link ${kind}`);
  made.type = "button";
  made.title = `only this ${NAMED[name]}`;
  made.addEventListener("click", () => narrow(name, value));
  return made;
}

function cell(value, kind = "") {
  return element("td", value ?? "", kind);
}

function wide(value) {
  return cell(value, "wide");
}

function element(tag, value, kind) {
  const made = document.createElement(tag);
  made.textContent = value;
  if (kind) made.className = kind;
  return made;
}

function text(id, value) {
  document.getElementById(id).textContent = value;
}
