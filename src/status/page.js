"use strict";
// Everything from the collector is inserted as text, never as markup, because others choose names.

// Milliseconds between two questions, and the time over which rates are averaged.
const EVERY = 2000, OVER = 10000;
// Tables have a search and can be sorted from this number of rows on.
const MANY = 12;
const POINTS = 360;
const $ = id => document.getElementById(id);

// The last answers, each with its time: milliseconds since the collector's start, because clocks may be set back.
const polls = [];
// The last hour: the times of the points, and each series by its name, with a value or null for each point.
let hour = { next: 0, times: [], series: new Map() };
let failedVersion = -1, answered = 0, started = null;

// ---- figures as text ------------------------------------------------------------------------------------------------

const sum = (list, get) => list.reduce((total, one) => total + (get(one) || 0), 0);
// Null if no value is known.
const sumKnown = (list, get) => list.some(one => get(one) != null) ? sum(list, get) : null;
const most = list => list.reduce((most, one) => one == null || (most != null && most >= one) ? most : one, null);
const count = n => n == null ? "–" : Math.round(n).toLocaleString("en-US");
function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let power = 0;
  while (n >= 1023.5 && power < 5) { n /= 1024; power++; }
  return (power === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)) + " " + units[power];
}
function span(seconds) {
  if (seconds == null) return "–";
  const s = Math.round(seconds), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
  if (s < 60) return (seconds < 10 && seconds > 0 ? seconds.toFixed(1) : s) + " s";
  if (m < 60) return m + " min" + (s % 60 ? " " + s % 60 + " s" : "");
  return h < 24 ? h + " h" + (m % 60 ? " " + m % 60 + " min" : "") : d + " d" + (h % 24 ? " " + h % 24 + " h" : "");
}
// As short as a table's second line must be.
const short = seconds => seconds == null ? "" : seconds < 90 ? Math.round(seconds) + " s" : seconds < 5400 ? Math.round(seconds / 60) + " min" : seconds < 172800 ? Math.round(seconds / 3600) + " h" : Math.round(seconds / 86400) + " d";
const ago = seconds => seconds == null ? "" : short(Math.max(0, seconds)) + " ago";
const number = n => n == null ? "–" : n >= 100 || n === 0 ? count(n) : n.toFixed(n < 10 ? 1 : 0);
const perSecond = text => n => n == null ? "–" : text(n) + "/s";
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString("sv-SE");
const plural = (n, one, many) => count(n) + " " + (n === 1 ? one : many || one + "s");

// ---- rates and the last hour ----------------------------------------------------------------------------------------

// Growth over the last ten seconds. Before the page has been open for that long, the last point of the hour's series.
function rate(get, ...names) {
  const now = polls[polls.length - 1];
  const then = polls.find(past => now.at - past.at <= OVER + EVERY / 2);
  if (now.at - then.at >= OVER * 0.75) return Math.max(0, get(now.status) - get(then.status)) * 1000 / (now.at - then.at);
  const points = series(...names), last = points && points[points.length - 1];
  if (last != null) return last;
  return now.at > then.at ? Math.max(0, get(now.status) - get(then.status)) * 1000 / (now.at - then.at) : null;
}
const key = names => JSON.stringify(names);
const series = (...names) => hour.series.get(key(names));

function addToHour(answer) {
  if (answer.first !== hour.next) hour = { next: answer.first, times: [], series: new Map() };
  const before = hour.times.length, grown = hour.times.concat(answer.times), cut = Math.max(0, grown.length - POINTS);
  const of = [];
  const add = (names, figures) => { for (const figure in figures) if (Array.isArray(figures[figure])) of.push([key([...names, figure]), figures[figure]]); };
  add(["collector"], answer.collector);
  for (const kind of ["outputs", "services", "tables"]) for (const { names, ...figures } of answer[kind]) add([kind, ...names], figures);
  const all = new Map();
  for (const [name, points] of of) {
    const earlier = hour.series.get(name) || Array(before).fill(null);
    all.set(name, earlier.concat(points).slice(cut));
  }
  hour = { next: answer.next, times: grown.slice(cut), series: all };
}

// A round number that is not below n: 1, 2, 5, 10, …, of bytes by powers of 1024.
function scale(n, isBytes) {
  if (!(n > 0)) return 1;
  let unit = 1;
  if (isBytes) while (n / unit >= 1000 && unit < 2 ** 50) unit *= 1024;
  const power = 10 ** Math.floor(Math.log10(n / unit)), part = n / unit / power;
  const top = (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10) * power;
  return isBytes && top === 1000 ? 1024 * unit : top * unit;
}
// The path of a line through the points, with gaps where nothing is known; the last point is at the right edge.
function line(points, top) {
  let path = "", isOpen = false;
  points.forEach((value, i) => {
    if (value == null) { isOpen = false; return; }
    const x = POINTS - points.length + i + 1, y = 100 - 98 * Math.min(1, value / top);
    path += (isOpen ? "L" : "M") + x + " " + y.toFixed(1);
    // A single point is a short line.
    if (!isOpen && points[i + 1] == null) path += "h.5";
    isOpen = true;
  });
  return path;
}
function area(points, top) {
  let path = "", from = null;
  const x = i => POINTS - points.length + i + 1;
  points.forEach((value, i) => {
    if (value != null && from == null) { from = i; path += "M" + x(i) + " 100"; }
    if (value != null) path += "L" + x(i) + " " + (100 - 98 * Math.min(1, value / top)).toFixed(1);
    if (from != null && (points[i + 1] == null)) { path += "L" + x(i) + " 100Z"; from = null; }
  });
  return path;
}

// ---- elements -------------------------------------------------------------------------------------------------------

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text != null) element.textContent = text;
  return element;
}
// Leaves an unchanged element alone, so that text can be selected.
function set(element, text, className) {
  if (element.textContent !== text) element.textContent = text;
  if (className != null && element.className !== className) element.className = className;
}
function fit(parent, number, build) {
  while (parent.children.length > number) parent.lastElementChild.remove();
  while (parent.children.length < number) parent.append(build());
  return [...parent.children];
}
const copyOf = id => $(id).content.firstElementChild.cloneNode(true);
function draw(path, d) {
  if (path.getAttribute("d") !== d) path.setAttribute("d", d);
}

// ---- overview -------------------------------------------------------------------------------------------------------

function showTiles(tiles) {
  const build = () => {
    const tile = make("div", "tile card"), chart = copyOf("chart"), svg = chart.querySelector("svg");
    tile.append(make("span"), make("b"), make("span", "more"), chart);
    // The value under the pointer takes the place of the scale.
    svg.onpointermove = event => {
      const box = svg.getBoundingClientRect(), { points, text } = tile.shown || {};
      if (!points) return;
      const i = Math.round((event.clientX - box.left) / box.width * POINTS) - 1 - (POINTS - points.length);
      tile.pointed = i in points ? clock(hour.times[i]) + "  " + text(points[i]) : null;
      set(chart.querySelector(".top"), tile.pointed || tile.top);
    };
    svg.onpointerleave = () => { tile.pointed = null; set(chart.querySelector(".top"), tile.top); };
    return tile;
  };
  fit($("tiles"), tiles.length, build).forEach((tile, index) => {
    const { name, value, text, colour, more, names, isBytes, limit } = tiles[index], [label, figure, note, chart] = tile.children;
    const points = names ? series("collector", names) : null;
    set(label, name); set(figure, text(value), colour || ""); set(note, more || " ", "more");
    const known = points && points.filter(value => value != null);
    chart.style.visibility = points ? "" : "hidden";
    if (!points) return;
    const top = limit || scale(Math.max(...known, 0), isBytes);
    tile.shown = { points, text };
    tile.top = known.length ? text(top) : "no data yet";
    set(chart.querySelector(".top"), tile.pointed || tile.top);
    draw(chart.querySelector(".line"), line(points, top));
    draw(chart.querySelector(".area"), area(points, top));
  });
}

function showFlow(stages) {
  const build = () => {
    const stage = make("div", "stage card"), head = make("h3"), bar = make("div", "bar");
    head.append(make("em"), make("span"));
    bar.append(make("i"));
    stage.append(head, make("b"), bar, make("span"), make("span"));
    return stage;
  };
  fit($("flow"), stages.length, build).forEach((stage, index) => {
    const [head, rate, bar, more, note] = stage.children, s = stages[index];
    set(head.firstChild, s.name); set(head.lastChild, s.load == null ? "" : Math.round(100 * s.load) + " % load");
    set(rate, s.rate); set(more, s.more); set(note, s.note);
    set(bar, bar.textContent, s.load == null ? "bar none" : "bar");
    bar.firstChild.style.width = Math.min(100, 100 * (s.load || 0)) + "%";
    bar.firstChild.className = s.load >= 0.9 ? "full" : "";
  });
  const slowest = stages.filter(stage => stage.load >= 0.9).sort((a, b) => b.load - a.load)[0];
  set($("limit"), slowest ? "The limit at present: " + slowest.limit : "");
}

// Parts that fail in the same way are one box.
function showTroubles(parts) {
  const groups = new Map();
  for (const part of parts.filter(part => part.trouble)) {
    const { cause, message, warning, lasting } = part.trouble, id = key([warning, lasting, cause || message]);
    if (!groups.has(id)) groups.set(id, []);
    groups.get(id).push(part);
  }
  const sorted = [...groups.values()].sort((a, b) => a[0].trouble.warning - b[0].trouble.warning || b.length - a.length);
  fit($("troubles"), sorted.length, () => {
    const box = make("div");
    box.append(make("b"), make("small"), make("p"), make("p", "parts"));
    return box;
  }).forEach((box, index) => {
    const group = sorted[index], { trouble, name } = group[0], [title, since, message, parts] = box.children;
    const longest = most(group.map(part => part.trouble.seconds)), attempts = sum(group, part => part.trouble.attempts);
    box.className = "box " + (trouble.warning ? "warning" : "trouble");
    set(title, group.length === 1 ? name : plural(group.length, "part") + (trouble.warning ? " with the same warning" : " in the same trouble"));
    set(since, "for " + span(longest) + ", " + (attempts ? plural(attempts, "failure") : "no answer") + ", " + (trouble.lasting ? "needs to be fixed" : "is retried"));
    set(message, trouble.message);
    set(parts, group.length === 1 ? "" : group.map(part => part.name).join(" · "));
  });
}

// ---- tables ---------------------------------------------------------------------------------------------------------

// The state of each table: its elements, the column that sorts it, and the search.
const tables = {};

// Columns: { name, isText }. A row is a list of texts, or of { text, sub, className, value, points }: a second line, a
// colour, what sorts, a series.
function showTable(id, columns, rows, empty) {
  const table = tables[id] || (tables[id] = makeTable(id, columns));
  const isMany = rows.length >= MANY;
  table.last = [columns, rows, empty];
  table.search.hidden = !isMany;
  table.section.hidden = !rows.length && !empty;
  if (!isMany) { table.by = null; table.search.value = ""; }
  table.section.querySelector(".card").classList.toggle("scroll", isMany);
  table.heads.forEach((head, i) => {
    head.firstChild.disabled = !isMany;
    if (table.by === i) head.setAttribute("aria-sort", table.isUp ? "ascending" : "descending"); else head.removeAttribute("aria-sort");
  });
  const wanted = table.search.value.trim().toLowerCase();
  const cells = rows.map(row => row.map(cell => cell != null && typeof cell === "object" ? cell : { text: cell }));
  let shown = cells.filter(row => !wanted || row.some(cell => String(cell.text).toLowerCase().includes(wanted) || (cell.sub || "").toLowerCase().includes(wanted)));
  if (table.by != null) {
    const value = row => { const cell = row[table.by]; return "value" in cell ? cell.value : cell.text; };
    const order = (a, b) => a == null ? (b == null ? 0 : 1) : b == null ? -1 : (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))) * (table.isUp ? 1 : -1);
    shown = [...shown].sort((a, b) => order(value(a), value(b)));
  }
  set(table.count, shown.length < rows.length ? shown.length + " of " + rows.length : isMany ? count(rows.length) : "", "count");
  table.empty.hidden = shown.length > 0;
  set(table.empty, rows.length ? "No row matches." : empty || "", "empty");
  table.element.hidden = !shown.length;
  fit(table.element.tBodies[0], shown.length, () => {
    const row = make("tr");
    columns.forEach(({ name, isText }) => {
      const cell = make("td", isText ? "text" : "");
      cell.dataset.label = name;
      cell.append(make("span"), make("small"));
      row.append(cell);
    });
    return row;
  }).forEach((row, r) => shown[r].forEach((cell, c) => showCell(row.cells[c], cell, columns[c])));
}
function showCell(element, { text, sub, className, points }, { isText }) {
  const value = element.querySelector("span"), note = element.lastChild;
  set(value, text, className || "");
  set(note, sub || "");
  if (isText !== element.classList.contains("text")) element.classList.toggle("text", !!isText);
  let spark = element.querySelector("svg");
  if (points && !spark) { spark = copyOf("spark"); element.prepend(spark); }
  element.classList.toggle("zero", text === "0");
  element.classList.toggle("charted", !!points);
  if (spark) draw(spark.firstElementChild, points ? line(points, Math.max(...points.filter(n => n != null), 1e-9)) : "");
}
function makeTable(id, columns) {
  const section = document.querySelector("section[data-table=" + id + "]"), head = make("div", "head"), search = make("input"), card = make("div", "card wrap");
  const element = make("table"), row = element.createTHead().insertRow(), title = section.querySelector("h2"), number = make("span", "count"), empty = make("div", "empty");
  const table = { section, search, element, count: number, empty, heads: [], by: null, isUp: false };
  const again = () => showTable(id, ...table.last);
  search.type = "search"; search.placeholder = "Search"; search.setAttribute("aria-label", "Search in " + title.firstChild.textContent.trim());
  search.oninput = again;
  columns.forEach(({ name, isText }, i) => {
    const cell = make("th", isText ? "text" : ""), button = make("button", "", name);
    button.type = "button";
    button.onclick = () => {
      // Figures begin with the largest, names with the first.
      if (table.by === i) table.isUp = !table.isUp; else { table.by = i; table.isUp = !!isText; }
      again();
    };
    cell.append(button); row.append(cell); table.heads.push(cell);
  });
  element.createTBody();
  title.append(number);
  section.prepend(head); head.append(title, search);
  card.append(element, empty); section.append(card);
  return table;
}

// ---- failed objects -------------------------------------------------------------------------------------------------

function showFailed({ objects, dropped }) {
  set($("failed-count"), objects.length ? count(objects.length) + (dropped ? ", and " + count(dropped) + " older ones that are not listed" : "") : "");
  const list = $("failed");
  if (!objects.length) { list.className = "card"; return list.replaceChildren(make("div", "empty", "None. Objects that cannot be delivered are listed here, with the command that retries each.")); }
  list.className = "card scroll";
  const box = failed => {
    const { name, input, service, message, attempt, attempts_max, ending, reason, cause, next, first, time, times, commands } = failed;
    const box = make("div", "failed"), title = make("div");
    title.append(make("span", ending === "refused" ? "tag bad" : "tag", ending === "refused" ? "refused" + (reason ? " · " + reason : "") : "retried"), make("b", "", name));
    const facts = [local(time), "input " + input, service && "service " + service, message && "message " + message,
      message && attempt && "delivery attempt " + attempt + (attempts_max ? " of " + attempts_max : ""), times > 1 && count(times) + " times since " + local(first)];
    box.append(title, make("div", "meta", facts.filter(Boolean).join("  ·  ")), make("p", "", cause), make("p", "next", next + "."));
    for (const { about, command } of commands) {
      const line = make("div", "command"), text = make("div"), code = make("code", "", command), button = make("button", "copy", "Copy");
      button.type = "button";
      button.onclick = () => copy(code, button);
      text.append(make("small", "", about), code); line.append(text, button); box.append(line);
    }
    return box;
  };
  list.replaceChildren(...objects.map(box));
}
async function copy(code, button) {
  let isCopied = true;
  try { await navigator.clipboard.writeText(code.textContent); }
  catch {
    // Without TLS, browsers have the clipboard only on localhost.
    getSelection().selectAllChildren(code);
    isCopied = document.execCommand("copy");
  }
  set(button, isCopied ? "Copied" : "Selected");
  setTimeout(() => set(button, "Copy"), 1500);
}
const local = time => new Date(time).toLocaleString("sv-SE");

function showNotices(notices) {
  const list = $("notices");
  if (!notices.length) return list.replaceChildren(make("li", "empty", "None since the start."));
  if (list.querySelector(".empty")) list.replaceChildren();
  fit(list, notices.length, () => {
    const item = make("li");
    item.append(make("small"), make("b"), make("span"));
    return item;
  }).forEach((item, index) => {
    const { time, level, message, times } = notices[index], [when, kind, text] = item.children;
    set(when, local(time));
    set(kind, level === "ERROR" ? "error" : "warning", level === "ERROR" ? "bad" : "warn");
    set(text, message + (times > 1 ? "  (" + count(times) + " times)" : ""));
  });
}

// ---- the page -------------------------------------------------------------------------------------------------------

const services = s => s.inputs.flatMap(input => input.services.map(service => ({ input: input.name, ...service })));
// Totals include what reloads have removed, so that they never fall.
const decoded = field => s => sum(services(s), v => v.decode[field]) + s.former.decode[field];
const delivered = field => s => sum(services(s), v => v.delivered[field]) + s.former.delivered[field];
const received = s => sum([...s.inputs, s.former], i => i.receive.messages + i.poll.calls);
const fetched = field => s => sum([...s.inputs, s.former], i => i.fetch[field]);
const deleted = s => sum([...s.inputs, s.former], i => i.settle.deleted);
const sent = field => s => sum([...s.outputs, s.former], o => o.send[field]);
const inState = state => o => o.senders.filter(one => one.state === state).length;
const unconfirmedOf = o => sum(o.senders, one => one.unconfirmed);
// The collector's names of states, and those for people.
const STATES = { connected: "connected", connecting: "connecting", backing_off: "backing off", idle: "idle" };

// The share of their time that threads are busy: what they do not wait for work. Waits are in nanoseconds.
function load(threads, wait, isWork) {
  if (!threads) return null;
  const grown = rate(s => s.waits[wait]);
  if (grown == null) return null;
  const share = grown / 1e9 / threads;
  return Math.min(1, Math.max(0, isWork ? share : 1 - share));
}
// The remaining validity; coloured from `early` seconds before the end.
function validity(until, s, early, never) {
  if (until == null) return { text: never, value: null };
  const left = until - Date.parse(s.time) / 1000;
  return left > 0 ? { text: "for " + span(left), className: left < early ? "warn" : "", value: left } : { text: "expired", className: "bad", value: left };
}
const late = seconds => seconds >= 3600 ? "bad" : seconds >= 1800 ? "warn" : "";
const figure = (value, text = count, more) => ({ text: text(value), value, ...more });
const text = name => ({ name, isText: true });
const names = list => list.map(name => typeof name === "string" ? { name, isText: false } : name);

function show(s) {
  const all = services(s), troubled = s.parts.some(part => part.trouble && !part.trouble.warning);
  const [state, colour] = troubled ? ["in trouble", "bad"] : s.ready ? ["collecting", s.warnings.length ? "warn" : "good"] : [s.reasons[0] || "not ready", "warn"];
  const name = s.name || "aws-to-devo";
  set($("name"), name);
  set($("about"), [s.id && "id " + s.id, "version " + s.version, "up for " + span(s.uptime_seconds)].filter(Boolean).join("  ·  "));
  set($("state"), state, "pill " + colour);
  document.title = (troubled ? "⚠ " : "") + state + " · " + name;
  showTroubles(s.parts);

  const lag = most(all.map(v => v.lag_seconds)), used = s.process.resident, unconfirmed = sum(s.outputs, unconfirmedOf);
  const { missing, last_success_at } = s.audit;
  showTiles([
    { name: "Events delivered", value: rate(delivered("events"), "collector", "events_per_second"), text: perSecond(number), names: "events_per_second", more: count(delivered("events")(s)) + " since the start" },
    { name: "Log bytes", value: rate(decoded("bytes"), "collector", "log_bytes_per_second"), text: perSecond(bytes), names: "log_bytes_per_second", isBytes: true, more: bytes(decoded("bytes")(s)) + " since the start" },
    { name: "Lag", value: lag, text: span, names: "lag_seconds", colour: late(lag), more: "of the slowest service" },
    { name: "Unconfirmed", value: unconfirmed, text: bytes, names: "unconfirmed_bytes", isBytes: true, more: "sent, not acknowledged yet" },
    { name: "Memory", value: used, text: bytes, names: "memory_bytes", limit: s.memory.limit, more: "of " + bytes(s.memory.limit) + " allowed", colour: used > s.memory.limit ? "bad" : "" },
    ...(missing == null ? [] : [{ name: "Missing objects", value: missing, text: count, colour: missing ? "warn" : "good", more: "audited " + ago(Date.parse(s.time) / 1000 - last_success_at) }]),
  ]);

  const waiting = sumKnown(s.inputs, i => i.queue.available), age = most(s.inputs.map(i => i.queue.depth_age_seconds));
  const senders = sum(s.outputs, o => o.senders.length), open = sum(s.outputs, inState("connected"));
  showFlow([
    { name: "Receive", rate: perSecond(number)(rate(received)), more: "messages and pages", note: waiting == null ? "" : count(waiting) + " waiting, " + ago(age), load: null },
    { name: "Fetch", rate: perSecond(bytes)(rate(fetched("bytes"))), more: perSecond(number)(rate(fetched("objects"))) + " objects", note: count(sum(s.inputs, i => i.fetch.active)) + " in progress, " + count(sum(s.inputs, i => i.fetch.waiting)) + " waiting", load: load(s.fetchers, "fetch_objects"), limit: "S3. All fetchers are busy; globals.fetchers sets their number." },
    { name: "Decode", rate: perSecond(bytes)(rate(decoded("bytes"), "collector", "log_bytes_per_second")), more: perSecond(number)(rate(decoded("events"))) + " events", note: s.work.busy + " of " + plural(s.workers, "worker") + " busy, " + count(s.work.waiting) + " waiting", load: load(s.workers, "work_payloads", true), limit: "the processor, or what the workers wait for. All workers are busy." },
    { name: "Send", rate: perSecond(bytes)(rate(sent("bytes"))), more: perSecond(number)(rate(sent("events"))) + " events", note: open + " of " + plural(senders, "connection") + " open, " + bytes(unconfirmed) + " unconfirmed", load: load(senders, "send_batches"), limit: "Devo, or the network to it. All senders are busy; an output's max_senders key bounds their number." },
    { name: "Acknowledge", rate: perSecond(number)(rate(deleted)), more: "messages deleted", note: count(sum(s.inputs, i => i.settle.in_work)) + " in flight, " + count(sum(s.inputs, i => i.settle.released)) + " returned to the queue", load: null },
  ]);

  const several = s.inputs.length > 1;
  showTable("services", names([text("Service"), "Events/s", "Events", "Log bytes", "Objects", "In flight", "Empty", "Left out", "Refused", "Retried", "Lag"]), all.map(v => {
    const same = past => services(past).find(other => other.name === v.name && other.input === v.input) || v;
    const ended = name => Object.values(v.endings[name]).reduce((a, b) => a + b, 0);
    const reasons = name => name === "delivered" ? "" : Object.entries(v.endings[name]).map(([reason, n]) => count(n) + " " + reason.replaceAll("_", " ")).join(", ");
    const told = (name, className) => figure(ended(name), count, { sub: reasons(name), className: ended(name) ? className : "" });
    return [{ text: v.name, sub: several ? v.input : "" }, figure(rate(past => same(past).delivered.events, "services", v.input, v.name, "events_per_second"), number, { points: series("services", v.input, v.name, "events_per_second") }),
      figure(v.delivered.events), figure(v.decode.bytes, bytes), figure(ended("delivered")), figure(v.delivered.in_work), told("empty"), told("left_out"), told("refused", "bad"),
      figure(v.delivered.retried), figure(v.lag_seconds, span, { className: late(v.lag_seconds), sub: v.last_delivery_at == null ? "" : "last " + ago(Date.parse(s.time) / 1000 - v.last_delivery_at) })];
  }));
  showTable("tables", names([text("Table"), "Events/s", "Events", "Bytes/s", "Bytes", "Last delivery"]), s.tables.map(t => {
    const same = past => past.tables.find(other => other.name === t.name) || { events: 0, bytes: 0 };
    const age = Math.max(0, Date.parse(s.time) / 1000 - t.last_delivery_at);
    return [t.name || "(all further tables)", figure(rate(past => same(past).events, "tables", t.name, "events_per_second"), number, { points: series("tables", t.name, "events_per_second") }), figure(t.events),
      figure(rate(past => same(past).bytes, "tables", t.name, "bytes_per_second"), bytes), figure(t.bytes, bytes), { text: ago(age), value: -age }];
  }), "Nothing has been delivered since the start.");
  showTable("outputs", names([text("Output"), text("Connections"), "Bytes/s", "Bytes", "Events", "Unconfirmed", "Waiting", "Sent again", "Failures", "Certificate"]), s.outputs.map(o => {
    const states = Object.keys(STATES).map(state => [inState(state)(o), STATES[state]]);
    const same = past => past.outputs.find(other => other.name === o.name) || o;
    return [{ text: o.name, sub: o.destination + (o.link ? " · " + [o.link.tls || "no TLS", o.link.address].join(" · ") : "") }, { text: states.filter(([n]) => n).map(([n, state]) => n + " " + state).join(", ") || "–", className: inState("backing_off")(o) ? "bad" : "" },
      figure(rate(past => same(past).send.bytes, "outputs", o.name, "bytes_per_second"), bytes, { points: series("outputs", o.name, "bytes_per_second") }), figure(o.send.bytes, bytes), figure(o.send.events), figure(unconfirmedOf(o), bytes, { sub: o.unacknowledged_seconds >= 1 ? "owed for " + short(o.unacknowledged_seconds) : "" }),
      figure(o.send.waiting, n => plural(n, "batch", "batches")), figure(o.send.repeated), figure(o.send.failed_connections), validity(o.certificate_expires_at, s, 30 * 86400, "none")];
  }));
  showTable("senders", names([text("Sender"), text("State"), "For", "Unconfirmed"]), s.outputs.flatMap(o => o.senders).map(one =>
    [one.name, { text: STATES[one.state], className: one.state === "backing_off" ? "bad" : "" }, figure(one.seconds, span), figure(one.unconfirmed, bytes)]));
  showTable("queues", names([text("Queue"), "Waiting", "In flight", "In flight here", "Oldest message", "Dead letters", "Last receive", "Throttled", "Credentials"]), s.inputs.filter(i => i.queue.name).map(i => {
    const { queue } = i, old = age => age >= 60 ? "warn" : "";
    return [{ text: i.name, sub: queue.name }, figure(queue.available, count, { sub: ago(queue.depth_age_seconds), className: old(queue.depth_age_seconds) }), figure(queue.in_flight, count, { sub: ago(queue.depth_age_seconds) }), figure(i.settle.in_work),
      figure(queue.oldest_seconds, span, { sub: ago(queue.receive_age_seconds) }), figure(queue.dead_letters, count, { className: queue.dead_letters ? "bad" : "", sub: ago(queue.dead_letters_age_seconds) }),
      { text: ago(queue.receive_age_seconds) || "–", value: queue.receive_age_seconds, className: old(queue.receive_age_seconds) }, figure(i.calls.throttled), validity(i.credentials_expire_at, s, 0, "do not expire")];
  }));
  const source = i => {
    const shared = s.fleet.sources.find(shared => shared.name === i.name);
    if (!shared) return i.name;
    return { text: i.name, sub: "polled by " + (shared.here ? "this host" : shared.polled_by || "no host"), className: shared.polled_by ? "" : "bad" };
  };
  showTable("hosts", names([text("Host"), text("Version"), text("State"), "Sources polled", "Events/s", "In flight", "Last heartbeat"]), s.fleet.hosts.map(h => [{ text: h.name + (h.here ? " (this host)" : ""), sub: h.id }, h.version, { text: h.drained ? "drained" : "working", className: h.drained ? "warn" : "" },
    figure(h.sources), figure(h.events_per_second), figure(h.messages_in_flight), { text: ago(h.heartbeat_age_seconds), value: h.heartbeat_age_seconds }]));
  showTable("sources", names([text("Source"), "Calls", "Failed", "Events", "Left out", "Other regions", "Sent before", "Unreadable", "Throttled", "Behind", "Credentials"]), s.inputs.filter(i => !i.queue.name).map(i => {
    const behind = most(i.services.map(v => v.lag_seconds));
    return [source(i), figure(i.poll.calls), figure(i.poll.failed_calls), figure(i.poll.events), figure(i.poll.dropped), figure(i.poll.other_region), figure(i.poll.duplicated), figure(i.poll.unreadable, count, { className: i.poll.unreadable ? "warn" : "" }),
      figure(i.calls.throttled), figure(behind, span, { className: late(behind) }), validity(i.credentials_expire_at, s, 0, "do not expire")];
  }));
  showNotices(s.notices);
}

async function get(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}
async function ask() {
  let status, failed;
  try {
    status = await get("/status.json");
    if (started !== status.start_time) {
      // The collector has restarted: its counters and numbers restart.
      [started, failedVersion, polls.length] = [status.start_time, -1, 0];
      hour = { next: 0, times: [], series: new Map() };
    }
    if (status.history_next !== hour.next) addToHour(await get("/history.json?from=" + hour.next));
    if (status.failed.version !== failedVersion) failed = await get("/failed.json");
  } catch {
    set($("state"), "no answer", "pill bad");
    document.title = "⚠ no answer · " + $("name").textContent;
    $("silence").hidden = false;
    $("figures").className = "stale";
    set($("since"), answered ? "The last answer came at " + new Date(answered).toLocaleTimeString("sv-SE") + "." : "");
    return;
  }
  const at = status.uptime_seconds * 1000, last = polls[polls.length - 1];
  // A late answer to an earlier question.
  if (last && last.at >= at) return;
  polls.push({ at, status });
  while (polls.length > 2 && polls[1].at < at - OVER - EVERY) polls.shift();
  answered = Date.now();
  if (failed) {
    failedVersion = failed.version;
    showFailed(failed);
  }
  show(status);
  $("silence").hidden = true;
  $("figures").className = "";
  set($("asked"), "As of " + new Date(status.time).toLocaleTimeString("sv-SE") + ". Rates are over 10 s, charts over the last hour.");
}
async function watch() {
  try { await ask(); } finally { setTimeout(watch, EVERY); }
}
watch();
