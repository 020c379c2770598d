"use strict";
// Whatever a model has written reaches the page as text: elements are made by `make` alone, and
// nothing here parses markup.
(() => {
  const ROW = 58, KEPT_PARTS = 24, AT_ONCE = 4, AT_FIRST = 24;
  const FLAGS = [[1, "refusal"], [2, "constant group"], [4, "cut off"], [8, "localiser wrong"], [16, "reset"]];
  const SORTS = ["", "advantage", "low", "high", "many"];
  const at = (id) => document.getElementById(id);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "onclick") element.addEventListener("click", value);
      else if (name === "text") element.textContent = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function draw(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const chip = (text, kind = "", title = null) => make("span", { class: `chip ${kind}`, text, title });
  const number = (x) => (x === null || x === undefined ? "–" : String(Number(Number(x).toPrecision(3))).replace("-", "−"));
  const signed = (x) => (x > 0 ? "+" : "") + number(x);
  const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  const times = (n) => (n === 1 ? "once" : plural(n, "time"));

  // --- data ------------------------------------------------------------------------------------

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  const waiting = new Map(), parts = new Map();
  window.explorePart = (n, text) => waiting.get(n)?.(text);

  function packedPart(n) {
    const inside = at(`part-${n}`);
    if (inside) return Promise.resolve(inside.textContent);
    return new Promise((resolve, reject) => {
      waiting.set(n, resolve);
      const script = make("script", { src: `explore-data/part-${n}.js` });
      script.addEventListener("error", () => reject(new Error(`explore-data/part-${n}.js cannot be read`)));
      document.head.append(script);
    }).finally(() => waiting.delete(n));
  }

  function part(n) {
    let found = parts.get(n);
    if (found) parts.delete(n); // the last one used is the last one dropped
    else {
      found = packedPart(n).then(unpack);
      found.catch(() => parts.delete(n));
    }
    parts.set(n, found);
    if (parts.size > KEPT_PARTS) parts.delete(parts.keys().next().value);
    return found;
  }

  // --- what is shown, as the address names it --------------------------------------------------

  let index, columns, order = [], placeOf = new Map(), asked = 0;
  const NO_FILTER = { series: "", update: "", flags: 0, search: "" };
  const state = { ...NO_FILTER, sort: "", visit: null, group: 0, rollout: null };
  let filters = []; // those of FLAGS that some prompt of this page has
  let lacking = []; // what the address asks for and the page does not hold, as the address words it

  const nameOf = (i) => [columns.series[i], columns.update[i] ?? "", columns.prompt[i]].join(".");

  function address() {
    const query = new URLSearchParams();
    const words = FLAGS.filter(([bit]) => state.flags & bit).map(([, word]) => word);
    const fields = { series: state.series, update: state.update, only: words.join(","), sort: state.sort,
      search: state.search, at: state.visit === null ? "" : nameOf(state.visit), group: state.group || "",
      rollout: state.rollout ?? "" };
    for (const [name, value] of Object.entries(fields)) if (value !== "") query.set(name, value);
    return `#${query}`;
  }

  function readAddress() {
    const query = new URLSearchParams(location.hash.slice(1));
    const words = (query.get("only") ?? "").split(",").filter(Boolean);
    const held = (name, holds) => {
      const value = query.get(name) ?? "";
      if (value === "" || holds(value)) return value;
      lacking.push(`${name}=${value}`);
      return "";
    };
    const option = (select) => (value) => [...select.options].some((o) => o.value === value);
    const counted = (value) => /^\d{1,9}$/.test(value);
    lacking = words.filter((word) => !filters.some(([, name]) => name === word)).map((word) => `only=${word}`);
    state.series = held("series", option(at("series")));
    fillUpdates();
    state.update = held("update", option(at("update")));
    state.flags = filters.reduce((all, [bit, word]) => (words.includes(word) ? all | bit : all), 0);
    state.sort = held("sort", (value) => SORTS.includes(value));
    state.search = query.get("search") ?? "";
    state.visit = visitNamed.get(held("at", (value) => visitNamed.has(value))) ?? null;
    state.group = Number(held("group", counted));
    const rollout = held("rollout", counted);
    state.rollout = rollout === "" ? null : Number(rollout);
  }

  // Switch off the filters that hide the prompt that the address asks for; returns them as it words them.
  function unhide() {
    if (state.visit === null) return [];
    const query = new URLSearchParams(location.hash.slice(1)), off = [];
    for (const [name, none] of Object.entries(NO_FILTER)) {
      if (fitting({ ...NO_FILTER, [name]: state[name] })(state.visit)) continue;
      const word = name === "flags" ? "only" : name;
      off.push(`${word}=${query.get(word)}`);
      state[name] = none;
    }
    if (off.length) fillUpdates();
    return off;
  }

  function tell(off) {
    const said = [];
    if (lacking.length) {
      const cut = index.left_out ? ", from which prompts were left out (--most)" : "";
      said.push(`Not on this page${cut}: ${lacking.join(", ")}.`);
    }
    if (off.length) said.push(`The address asks for a prompt that its filters hide; switched off: ${off.join(", ")}.`);
    if (said.length && state.visit !== null) said.push(`Shown is ${titleOf(state.visit)}.`);
    at("notice").textContent = said.join(" ");
  }

  const visitNamed = new Map();

  function remember(newEntry = false) {
    const wanted = address();
    if (wanted === location.hash || (wanted === "#" && !location.hash)) return;
    history[newEntry ? "pushState" : "replaceState"](null, "", wanted);
  }

  // --- the list --------------------------------------------------------------------------------

  function fillUpdates() {
    const select = at("update"), found = new Set();
    columns.update.forEach((update, i) => {
      if (update !== null && (state.series === "" || columns.series[i] === Number(state.series))) found.add(update);
    });
    const options = [...found].sort((a, b) => a - b).map((u) => make("option", { value: u, text: u }));
    select.replaceChildren(make("option", { value: "", text: found.size ? "all" : "–" }), ...options);
    select.disabled = !found.size;
    if (state.update !== "" && !found.has(Number(state.update))) state.update = "";
    select.value = state.update;
  }

  // Whether a prompt passes some filters.
  function fitting(wanted) {
    const series = wanted.series === "" ? null : Number(wanted.series);
    const update = wanted.update === "" ? null : Number(wanted.update);
    const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
    return (i) => (series === null || columns.series[i] === series)
      && (update === null || columns.update[i] === update)
      && (columns.flags[i] & wanted.flags) === wanted.flags
      && words.every((word) => searched[i].includes(word));
  }

  function filter() {
    const fits = fitting(state);
    order = [];
    for (let i = 0; i < columns.prompt.length; i++) if (fits(i)) order.push(i);
    const key = {
      advantage: (i) => -(columns.largest[i] ?? -1), many: (i) => -columns.rollouts[i],
      low: (i) => columns.reward[i] ?? 2, high: (i) => -(columns.reward[i] ?? -1),
    }[state.sort];
    if (key) order.sort((a, b) => key(a) - key(b) || a - b);
    placeOf = new Map(order.map((visit, place) => [visit, place]));
  }

  let searched = [];

  function showList(follow = true) {
    filter();
    at("series").value = state.series;
    at("update").value = state.update;
    at("sort").value = state.sort;
    if (at("search").value !== state.search) at("search").value = state.search;
    [...at("flags").children].forEach((button, i) => button.setAttribute("aria-pressed", Boolean(state.flags & filters[i][0])));
    const rollouts = order.reduce((sum, i) => sum + columns.rollouts[i], 0);
    at("count").textContent = order.length
      ? `${plural(order.length, "prompt")}, ${plural(rollouts, "rollout")}` : "Nothing fits. Press x to clear filters.";
    at("rows").style.height = `${order.length * ROW}px`;
    if (follow) scrollTo(placeOf.get(state.visit) ?? 0);
    showRows();
  }

  function scrollTo(place) {
    const list = at("list"), top = place * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  function showRows() {
    const list = at("list"), first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(listRow(order[place], place));
    at("rows").replaceChildren(...rows);
    const selected = placeOf.get(state.visit);
    const visible = selected !== undefined && selected >= first && selected < last;
    if (visible) list.setAttribute("aria-activedescendant", `visit-${state.visit}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function listRow(visit, place) {
    const facts = [
      columns.reward[visit] === null ? null : `reward ${number(columns.reward[visit])}`,
      columns.largest[visit] === null ? null : `|A| ${number(columns.largest[visit])}`,
      columns.update[visit] === null ? null : `update ${columns.update[visit]}`,
      state.series === "" && index.series.length > 1 ? index.series[columns.series[visit]].name : null,
      plural(columns.rollouts[visit], "rollout"),
    ].filter(Boolean);
    const flags = columns.flags[visit], tags = FLAGS.filter(([bit]) => flags & bit & 15);
    const signs = { 1: "refused", 2: "constant", 4: "cut", 8: "mislocated" };
    const row = make("div", { class: "row", role: "option", id: `visit-${visit}`, "aria-selected": visit === state.visit ? "true" : "false",
      "aria-setsize": order.length, "aria-posinset": place + 1, onclick: () => open(visit) },
    make("div", { class: "top" }, make("span", { class: "title", text: columns.title[visit] || "(no words)" }),
      ...tags.map(([bit, word]) => chip(signs[bit], "", bit === 1 ? columns.reasons[visit].join(", ") : word))),
    make("div", { class: "facts", text: facts.join(" · ") }));
    row.style.top = `${place * ROW}px`;
    return row;
  }

  // --- one prompt ------------------------------------------------------------------------------

  async function open(visit, { newEntry = true, group = 0, rollout = null, read = true } = {}) {
    Object.assign(state, { visit, group, rollout });
    at("notice").textContent = "";
    document.body.classList.toggle("reading", read);
    remember(newEntry);
    showRows();
    await showVisit();
  }

  async function showVisit() {
    const detail = at("detail"), visit = state.visit, ticket = ++asked;
    if (visit === null) {
      detail.replaceChildren(make("p", { class: "empty", text: order.length ? "Choose a prompt: j and k go through them." : "" }));
      return;
    }
    let record;
    try {
      record = (await part(columns.part[visit]))[columns.at[visit]];
    } catch (error) {
      if (ticket === asked) detail.replaceChildren(make("p", { class: "empty", role: "alert", text: `This prompt cannot be shown: ${error.message}` }));
      return;
    }
    if (ticket !== asked) return; // another one was asked for meanwhile
    current = record;
    groups = groupsOf(record);
    settleGroup();
    detail.replaceChildren(...header(visit, record), ...graphOf(record), groupNavigation(), make("div", { id: "group" }));
    showGroup();
    detail.scrollTop = 0;
    const near = [1, -1].map((by) => order[placeOf.get(visit) + by]).filter((i) => i !== undefined);
    setTimeout(() => near.forEach((i) => part(columns.part[i]).catch(() => {})), 30); // said when it is shown
  }

  let current = null, groups = [];

  // An address may ask for a group or a rollout that is not there, or for a rollout of another group.
  function settleGroup() {
    if (state.group && state.group >= groups.length) {
      lacking.push(`group=${state.group}`);
      state.group = 0;
    }
    const i = state.rollout, shows = (group) => group.rollouts.includes(i) || group.parent === i;
    if (i === null || (groups.length && shows(groups[state.group]))) return;
    const holder = groups.findIndex(shows);
    if (holder < 0) {
      lacking.push(`rollout=${i}`);
      state.rollout = null;
    } else {
      if (state.group) lacking.push(`rollout=${i} in group=${state.group}`);
      state.group = holder;
    }
  }

  function titleOf(visit) {
    const series = index.series[columns.series[visit]], update = columns.update[visit];
    return [series.name, update === null ? null : `update ${update}`, `prompt ${columns.prompt[visit]}`].filter(Boolean).join(" · ");
  }

  function header(visit, record) {
    const place = placeOf.get(visit);
    const move = (by, text) => make("button", { type: "button", onclick: () => go(by), disabled: place === undefined || order[place + by] === undefined, text });
    const facts = [
      chip(plural(record.rollouts.length, "rollout")),
      columns.reward[visit] === null ? null : chip(`mean reward ${number(columns.reward[visit])}`, "", "of the rollouts from the prompt itself"),
      record.problem ? chip(record.problem, "", "name of the problem") : null,
      ...[...new Set(record.refused)].map((reason) => chip(`no parent: ${reason}`, "bad", "why a parent for a reset is missing")),
    ];
    return [
      make("div", { class: "head" },
        make("button", { type: "button", id: "back", onclick: back, text: "← list" }),
        make("h2", { text: titleOf(visit) }), make("span", {}, move(-1, "← previous"), " ", move(1, "next →"))),
      make("div", { class: "facts-line" }, ...facts.filter(Boolean)),
      make("pre", { text: record.text, tabindex: "0", "aria-label": "Prompt" }),
      record.reference === null || record.reference === undefined ? null
        : make("p", { class: "note" }, "Reference: ", make("code", { text: record.reference })),
    ].filter(Boolean);
  }

  function groupsOf(record) {
    const found = record.groups.map((group) => ({ ...group, title: `${beginning(record, group)} (${group.rollouts.length})` }));
    const grouped = new Set(found.flatMap((group) => group.rollouts));
    const others = record.rollouts.map((_, i) => i).filter((i) => !grouped.has(i));
    if (others.length) {
      const title = found.length ? `in no group (${others.length})` : `rollouts (${others.length})`;
      found.push({ title, rollouts: others, advantages: null, parent: null, step: null });
    }
    return found;
  }

  function beginning(record, group) {
    const before = ([rollout, k]) => `#${rollout + 1} before ${index.unit} ${k + 1}`;
    if (group.parent !== null) return `reset of ${before([group.parent, group.step])}`;
    const begun = [...new Set(group.rollouts.map((i) => JSON.stringify(record.rollouts[i].from)))];
    if (begun.length > 1) return "from several places";
    const from = JSON.parse(begun[0] ?? "null");
    return from === null ? "from the prompt" : Array.isArray(from) ? `from ${before(from)}` : "from elsewhere";
  }

  function groupNavigation() {
    const buttons = groups.map((group, i) => make("button", { type: "button", text: group.title, onclick: () => chooseGroup(i) }));
    return make("nav", { class: "groups", "aria-label": "Groups" }, ...buttons);
  }

  function chooseGroup(i, rollout = null) {
    if (i < 0 || i >= groups.length) return;
    Object.assign(state, { group: i, rollout });
    remember();
    showGroup();
  }

  function showGroup() {
    const group = groups[state.group], place = at("group");
    document.querySelectorAll(".groups button").forEach((button, i) => button.setAttribute("aria-current", i === state.group ? "true" : "false"));
    place.replaceChildren(...(group ? groupParts(group) : [make("p", { class: "note", text: "Nothing was drawn." })]));
    choose(state.rollout, false);
  }

  function groupParts(group) {
    const found = [];
    if (group.advantages && !group.advantages.flat().some((a) => a !== 0)) {
      found.push(make("p", { class: "note", text: "All advantages are 0: nothing is learned from this group." }));
    }
    if (group.parent !== null) found.push(...resetParts(group));
    else found.push(columnsOf(group.rollouts.map((i, n) => () => column(i, { group, n }))));
    return found;
  }

  // What a rollout was given, step by step, from where the prompt ends.
  function given(i, depth = 0) {
    const rollout = current.rollouts[i];
    if (!Array.isArray(rollout.from) || depth > 64) return [];
    const [parent, step] = rollout.from, before = given(parent, depth + 1);
    const own = current.rollouts[parent].texts.slice(0, step).map((_, k) => [parent, k]);
    return [...before, ...own];
  }

  function resetParts(group) {
    const parent = current.rollouts[group.parent];
    const kept = [...given(group.parent), ...parent.texts.slice(0, group.step).map((_, k) => [group.parent, k])];
    const prefix = kept.length
      ? make("div", { class: "prefix" }, make("ol", {}, ...kept.map(([i, k], n) => step(i, k, { place: n }))))
      : make("p", { class: "note", text: `Nothing is kept: the reset goes back to before the first ${index.unit}.` });
    const rest = { from: group.step, offset: kept.length, parent: true };
    return [
      make("h3", { text: `Kept of #${group.parent + 1}, shared by all suffixes` }), prefix,
      make("h3", { text: "How the failure went on, and what was written instead" }),
      columnsOf([() => column(group.parent, rest),
        ...group.rollouts.map((i, n) => () => column(i, { group, n, offset: kept.length, against: [group.parent, group.step] }))]),
    ];
  }

  function columnsOf(makers) {
    const box = make("div", { class: "columns", role: "group", "aria-label": "Rollouts", tabindex: "0" });
    // A few columns fill the screen; the others come a frame later, and beyond some on request.
    const add = (first, last) => {
      box.append(...makers.slice(first, last).map((one) => one()));
      if (last >= makers.length || last < AT_FIRST) return;
      const button = make("button", { type: "button", text: `${makers.length - last} more`,
        onclick: () => { button.remove(); add(last, last + AT_FIRST); choose(state.rollout, false); } });
      box.append(button);
    };
    add(0, AT_ONCE);
    const others = () => { if (box.isConnected) { add(AT_ONCE, AT_FIRST); choose(state.rollout, false); } };
    if (makers.length > AT_ONCE) requestAnimationFrame(() => setTimeout(others));
    return box;
  }

  function column(i, { group = null, n = 0, from = 0, offset = 0, against = null, parent = false }) {
    const rollout = current.rollouts[i];
    const advantages = group?.advantages ? group.advantages[n] : null, signal = group?.signal?.[n];
    const differs = against ? firstDifference(rollout.texts, current.rollouts[against[0]].texts.slice(against[1])) : null;
    const items = rollout.texts.slice(from).map((_, k) => step(i, from + k, { place: offset + k, advantages, signal, differs }));
    if (!items.length) items.push(make("li", { class: "step soft", text: "nothing was written" }));
    return make("article", { class: `rollout${parent ? " parent" : ""}`, "data-rollout": i, "aria-label": `Rollout ${i + 1}` },
      columnHead(i, advantages, { parent, against, same: against && differs === null }), make("ol", {}, ...items));
  }

  function columnHead(i, advantages, { parent, against, same }) {
    const rollout = current.rollouts[i];
    const name = parent ? `#${i + 1}, the failure itself` : `#${i + 1}${rollout.kind ? ` ${rollout.kind}` : ""}`;
    const reward = rollout.reward === null ? null : `reward ${number(rollout.reward)}`;
    const constant = typeof advantages === "number" ? advantages : null;
    const begun = Array.isArray(rollout.from) && !parent && !against ? `from #${rollout.from[0] + 1} before ${index.unit} ${rollout.from[1] + 1}` : null;
    const resets = current.groups.filter((group) => group.parent === i);
    const chips = [
      chip(rollout.ended, rollout.failed ? "bad" : "good"),
      rollout.ending && rollout.ending !== "answered" && rollout.ending !== rollout.ended ? chip(rollout.ending) : null,
      rollout.answer === null || rollout.answer === undefined ? null : chip(`answer ${rollout.answer}`),
      constant === null ? null : chip(`A ${signed(constant)}`, constant > 0 ? "good" : constant < 0 ? "bad" : ""),
      begun ? chip(begun) : null,
      rollout.from === "elsewhere" ? chip("from elsewhere", "", "neither from the prompt nor from a rollout shown here") : null,
      ...resets.map((group) => chip(`reset before ${index.unit} ${group.step + 1}`, "reset")),
      ...rollout.named.filter((said) => said.reason).map((said) => chip(`${said.by}: ${said.reason}`, "bad", "why no step was named")),
      "true" in rollout && rollout.true === null ? chip("no wrong step", "true", "says the exact checker") : null,
      rollout.true === -1 ? chip("wrong before it began", "true", "the first wrong step is in what it was given, says the exact checker") : null,
      "human" in rollout && rollout.human === null ? chip("no wrong step", "human", "say people") : null,
      same ? chip("as the failure, word for word") : null,
    ];
    return make("header", {},
      make("div", { class: "name" }, make("button", { type: "button", text: name, onclick: () => choose(i) }),
        reward ? make("span", { class: `reward ${rollout.failed ? "bad" : "good"}`, text: reward }) : null),
      make("div", { class: "facts-line" }, ...chips.filter(Boolean)),
      rollout.given ? make("details", {}, make("summary", { text: "what it was given" }), make("pre", { text: rollout.given, tabindex: "0" })) : null);
  }

  function firstDifference(texts, others) {
    for (let k = 0; k < texts.length; k++) {
      const [one, other] = [texts[k], others[k] ?? ""];
      if (one === other) continue;
      let c = 0;
      while (c < one.length && one[c] === other[c]) c++;
      if (c && /[\uD800-\uDBFF]/.test(one[c - 1])) c--; // no half of a character
      return [k, c];
    }
    return texts.length < others.length ? [texts.length, 0] : null;
  }

  function step(i, k, { place = k, advantages = null, signal = null, differs = null }) {
    const rollout = current.rollouts[i], text = rollout.texts[k];
    const advantage = Array.isArray(advantages) ? advantages[k] : advantages;
    const body = make("div", { class: "text" }, make("span", { class: "place", text: place + 1 }));
    if (differs && differs[0] === k) body.append(text.slice(0, differs[1]), make("mark", { text: text.slice(differs[1]), title: "differs from the failure from here on" }));
    else body.append(text);
    const item = make("li", { class: "step" }, body, numbers(rollout, k, advantage, Array.isArray(signal) ? signal[k] : null), marks(rollout, i, k));
    if (advantage) item.style.borderLeftColor = advantage > 0 ? "var(--good-bar)" : "var(--bad-bar)";
    return item;
  }

  function numbers(rollout, k, advantage, pull) {
    const shown = [];
    const add = (label, value, kind = "", title = null, ...more) => shown.push(make("span", { class: kind, title }, `${label} ${value}`, ...more));
    if (advantage !== null && advantage !== undefined) add("A", signed(advantage), advantage > 0 ? "good" : advantage < 0 ? "bad" : "", "advantage that is learned from");
    if (rollout.logprobs) add("log p", number(rollout.logprobs[k]), "", "log-probability of the whole, in nats");
    if (rollout.least && rollout.tokens?.[k] > 1) add("least", number(rollout.least[k]), "", "log-probability of its least likely token, in nats");
    if (pull !== null && pull !== undefined) {
      const bar = make("span", { class: "pull", "aria-hidden": "true" });
      bar.style.width = `${Math.min(60, 60 * pull / (largestPull() || 1))}px`;
      add("pull", number(pull), "", "norm of the loss gradient in the logits", bar);
    }
    if (rollout.exact) add("exact A", signed(rollout.exact[k]), rollout.exact[k] < 0 ? "bad" : "", "A(s, a), exact, in reward units");
    if (rollout.values) add("V", number(rollout.values[k]), "", "V(s), exact, in reward units");
    if (rollout.best) add("best", signed(rollout.best[k]), rollout.best[k] >= (current.graph?.tau ?? Infinity) ? "good" : "", "max over actions of A(s, a)");
    if (rollout.tokens) add("", plural(rollout.tokens[k], "token"));
    return make("div", { class: "numbers" }, ...shown);
  }

  function largestPull() {
    current.largestPull ??= Math.max(0, ...current.groups.flatMap((group) => (group.signal ?? []).flat()));
    return current.largestPull;
  }

  function marks(rollout, i, k) {
    const named = rollout.named.filter((said) => said.step === k && said.localizes);
    const chips = [
      rollout.human === k ? chip("first wrong step, say people", "human") : null,
      rollout.true === k ? chip("first wrong step, exact", "true") : null,
      ...named.map((said) => chip(`named by ${said.by}`, "named")),
      ...current.groups.filter((group) => group.parent === i && group.step === k).map(() => chip("reset to before this", "reset")),
    ].filter(Boolean);
    return chips.length ? make("div", { class: "facts-line" }, ...chips) : null;
  }

  function choose(i, note = true) {
    state.rollout = i;
    if (note) remember();
    let chosen = null;
    document.querySelectorAll(".rollout").forEach((element) => {
      const on = Number(element.dataset.rollout) === i && !(chosen && element.classList.contains("parent"));
      element.classList.toggle("chosen", on);
      if (on) chosen = element;
    });
    if (chosen) chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
    showPath(i);
  }

  // --- the states of a tabular world -----------------------------------------------------------

  function graphOf(record) {
    const graph = record.graph;
    if (!graph || !graph.nodes.length) return [];
    const across = 116, down = 46, box = [84, 30];
    const layers = [...new Set(graph.nodes.map((node) => node[0]))].sort((a, b) => a - b);
    const filled = new Map(), spots = graph.nodes.map(([layer]) => {
      const row = filled.get(layer) ?? 0;
      filled.set(layer, row + 1);
      return [20 + layers.indexOf(layer) * across, 16 + row * down];
    });
    const values = graph.nodes.map((node) => node[2]), low = Math.min(0, ...values), high = Math.max(...values, low + 1e-12);
    const width = 40 + layers.length * across + 24, height = 24 + Math.max(...filled.values()) * down;
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `${plural(graph.nodes.length, "state")} that these rollouts passed, by layer; the table below has their numbers` });
    for (const [from, action, to, advantage, chance, count] of graph.edges) {
      const [x, y] = spots[from], [u, v] = to === null ? [x + box[0] + 22, y] : spots[to];
      const edge = draw("path", { class: "edge", "data-edge": `${from}.${action}.${to}`, "stroke-width": 1 + Math.min(5, Math.sqrt(count)),
        d: `M${x + box[0]} ${y + box[1] / 2} C${x + box[0] + 18} ${y + box[1] / 2} ${u - 18} ${v + box[1] / 2} ${u} ${v + box[1] / 2}` });
      edge.append(draw("title", {}, `action ${action}: A = ${number(advantage)}, probability ${number(chance)}, taken ${times(count)}`));
      svg.append(edge);
    }
    graph.nodes.forEach(([layer, state, value, best, improvable, passed], i) => {
      const [x, y] = spots[i];
      svg.append(draw("g", { class: improvable ? "node improvable" : "node", transform: `translate(${x} ${y})` },
        draw("title", {}, `state ${state} before step ${layer + 1}: V = ${number(value)}, best advantage ${number(best)}, passed ${times(passed)}`),
        draw("rect", { class: "box", width: box[0], height: box[1], rx: 5 }),
        draw("rect", { class: "value", y: box[1] - 5, x: 2, height: 3, width: (box[0] - 4) * (value - low) / (high - low) }),
        draw("text", { x: 6, y: 13 }, `s ${state}`), draw("text", { x: 6, y: 24 }, `V ${number(value)}`),
        ...(improvable ? [draw("text", { x: box[0] - 6, y: 13, "text-anchor": "end" }, signed(best))] : [])));
    });
    const cells = (values, tag) => make("tr", {}, ...values.map((value) => make(tag, { text: value, scope: tag === "th" ? "col" : null })));
    const rows = graph.nodes.map(([layer, state, value, best, improvable, passed]) => cells([layer + 1, state, number(value), number(best), improvable ? "yes" : "no", passed], "td"));
    return [
      make("h3", { text: "States passed" }),
      make("p", { class: "note", text: `Layer by layer, with V; outlined states are improvable: an action is better than the policy by at least ${number(graph.tau)}.` }),
      make("div", { class: "graph", tabindex: "0", role: "group", "aria-label": "States passed" }, svg),
      make("details", {}, make("summary", { text: "The same as a table" }),
        make("table", {}, make("thead", {}, cells(["before step", "state", "V", "best advantage", "improvable", "passed"], "th")), make("tbody", {}, ...rows))),
    ];
  }

  function showPath(i) {
    const graph = current?.graph, rollout = current?.rollouts[i];
    if (!graph) return;
    const places = new Map(graph.nodes.map(([layer, state], n) => [`${layer}.${state}`, n]));
    const passed = (rollout?.states ?? []).map(([layer, state]) => places.get(`${layer}.${state}`));
    const taken = new Set(passed.map((from, k) => `${from}.${rollout.actions[k]}.${passed[k + 1] ?? null}`));
    document.querySelectorAll(".edge").forEach((edge) => edge.classList.toggle("on", taken.has(edge.dataset.edge)));
  }

  // --- moving about ----------------------------------------------------------------------------

  function go(by) {
    if (!order.length) return;
    const place = placeOf.get(state.visit), next = (place ?? (by > 0 ? -1 : order.length)) + by;
    const visit = order[Math.max(0, Math.min(order.length - 1, next))];
    if (visit === state.visit) return;
    scrollTo(placeOf.get(visit));
    open(visit, { newEntry: false });
  }

  function back() {
    document.body.classList.remove("reading");
    at("list").focus({ preventScroll: true });
    showRows();
  }

  function refilter(change) {
    Object.assign(state, change);
    at("notice").textContent = "";
    if ("series" in change) fillUpdates();
    showList();
    // What the address names must be what it would bring back: nothing that the filters hide.
    if (placeOf.has(state.visit)) remember();
    else if (order.length) open(order[0], { newEntry: false, read: document.body.classList.contains("reading") });
    else {
      Object.assign(state, { visit: null, group: 0, rollout: null });
      remember();
      showVisit();
    }
  }

  function nextRollout(by) {
    const group = groups[state.group];
    if (!group) return;
    const place = group.rollouts.indexOf(state.rollout);
    const next = place < 0 ? (by > 0 ? 0 : group.rollouts.length - 1) : place + by;
    if (next >= 0 && next < group.rollouts.length) choose(group.rollouts[next]);
  }

  const KEYS = {
    j: () => go(1), k: () => go(-1), "]": () => chooseGroup(state.group + 1), "[": () => chooseGroup(state.group - 1),
    n: () => nextRollout(1), p: () => nextRollout(-1), "?": () => at("help").showModal(),
    s: () => refilter({ sort: SORTS[(SORTS.indexOf(state.sort) + 1) % SORTS.length] }),
    x: () => refilter({ ...NO_FILTER, sort: "" }),
    "/": () => { document.body.classList.remove("reading"); at("search").focus(); },
    Escape: back,
  };

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (typing && event.key !== "Escape") return;
    const action = KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  function moved(event) {
    const page = Math.max(1, Math.floor(at("list").clientHeight / ROW) - 1);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -order.length, End: order.length }[event.key];
    if (event.key === "Enter" && state.visit !== null) { document.body.classList.add("reading"); at("detail").focus(); return; }
    if (by === undefined) return;
    event.preventDefault();
    const reading = document.body.classList.contains("reading");
    go(by);
    document.body.classList.toggle("reading", reading); // on a phone the arrows go through the list
  }

  let applied = 0;

  async function applyAddress() {
    const ticket = ++applied;
    readAddress();
    const off = unhide();
    showList();
    document.body.classList.toggle("reading", state.visit !== null);
    if (state.visit === null && order.length) {
      const { group, rollout } = lacking.some((one) => one.startsWith("at=")) ? {} : state;
      await open(order[0], { newEntry: false, group, rollout, read: false });
    } else await showVisit();
    if (ticket !== applied) return; // another address was given meanwhile
    if (lacking.length || off.length) remember(); // from here on it names what is shown
    tell(off);
  }

  async function begin() {
    index = await unpack(at("index").textContent);
    columns = index.columns;
    searched = columns.title.map((title, i) => `${title} ${index.series[columns.series[i]].name}`.toLowerCase());
    columns.prompt.forEach((_, i) => visitNamed.set(nameOf(i), i));
    const notes = [plural(index.rollouts, "rollout"), ...(index.left_out ? ["there are more (--most)"] : [])];
    at("about").textContent = [`${notes.join(", ")}.`, ...index.notes].join(" ");
    at("series").replaceChildren(make("option", { value: "", text: index.series.length > 1 ? `all ${index.series.length}` : index.series[0]?.name ?? "none" }),
      ...(index.series.length > 1 ? index.series.map((one, i) => make("option", { value: i, text: one.name })) : []));
    const there = columns.flags.reduce((all, flags) => all | flags, 0); // no filter that would find nothing
    filters = FLAGS.filter(([bit]) => there & bit);
    const flips = filters.map(([bit]) => () => refilter({ flags: state.flags ^ bit }));
    at("flags").replaceChildren(...filters.map(([, word], i) => make("button", { type: "button", "aria-pressed": "false", text: word,
      title: `key ${i + 1}`, onclick: flips[i] })));
    flips.forEach((flip, i) => { KEYS[i + 1] = flip; });
    at("flags").parentElement.hidden = !filters.length;
    at("series").addEventListener("change", (event) => refilter({ series: event.target.value }));
    at("update").addEventListener("change", (event) => refilter({ update: event.target.value }));
    at("sort").addEventListener("change", (event) => refilter({ sort: event.target.value }));
    at("search").addEventListener("input", (event) => refilter({ search: event.target.value }));
    at("filters").addEventListener("submit", (event) => event.preventDefault());
    at("list").addEventListener("scroll", showRows, { passive: true });
    at("list").addEventListener("keydown", moved);
    at("help-open").addEventListener("click", () => at("help").showModal());
    document.addEventListener("keydown", pressed);
    window.addEventListener("popstate", applyAddress);
    new ResizeObserver(showRows).observe(at("list"));
    await applyAddress();
    document.documentElement.dataset.ready = "yes";
  }

  begin().catch((error) => {
    at("detail").replaceChildren(make("p", { class: "empty", role: "alert", text: `This page cannot be shown: ${error.message}` }));
    throw error;
  });
})();
