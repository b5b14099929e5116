// The CDC tab: Locust's page makes the tab (extended_tabs); this fills it, once a second, from one route.
(function () {
  "use strict";

  const { element, number, clock, table } = window.cdcElement;
  const { figures, heat, overTime, redraw, unzoom } = window.cdcChart;
  const { stacked, pipeline } = window.cdcPipeline;
  const BASE = window.cdc.base;
  const INTERVAL_MS = 1000;
  const PARTS = window.cdc.series.parts.map(([key, name, colour]) => ({ key, name, colour }));

  const panel = element("section", { class: "cdc cdc-tab", "aria-label": "CDC", id: "cdc-tab" });
  const view = build();
  const gathered = { run: "", columns: {}, count: 0, heat: new Map(), width_s: 0 };
  const last = { verdict: "", ledger: "", runs: "", activities: "", figures: "" };

  function build() {
    const title = element("h2", {}, "CDC pipeline");
    const question = element("p", {});
    const facts = element("p", { class: "cdc-facts" });
    const stale = element("p", { class: "cdc-stale", role: "alert" });
    const doing = element("div", { class: "cdc-card cdc-doing" });
    const tiles = element("ul", { class: "cdc-tiles", "aria-label": "Headline figures" });
    const verdict = element("div", { class: "cdc-card cdc-verdict", "aria-live": "polite" });
    const stages = element("div", { class: "cdc-card" });
    const charts = element("div", { class: "cdc-grid-2" });
    const own = element("div", { class: "cdc-grid-2" });
    const ledger = element("div", { class: "cdc-card" });
    const ledgerPlace = element("div", { class: "cdc-scroll", tabindex: "0", role: "region", "aria-label": "Table: ledger" });
    const runs = element("div", { class: "cdc-card" });
    const runsPlace = element("div", { class: "cdc-scroll", tabindex: "0", role: "region", "aria-label": "Table: runs" });
    ledger.append(element("h2", {}, "Ledger"), ledgerPlace);
    runs.append(element("h2", {}, "Runs"), runsPlace);
    panel.append(
      element("div", { class: "cdc-head" }, element("div", {}, title, question), facts), stale, tiles, doing, verdict, stages, own, charts);
    const drawn = overTime(charts, window.cdc.charts);
    const spread = heat(charts, window.cdc.heat);
    const split = stacked(charts, { title: "Where the time goes", unit: "mean ms", short: "ms", parts: PARTS });
    panel.append(ledger, runs);
    return { title, question, facts, stale, doing, tiles, verdict, pipeline: pipeline(stages), drawn, spread, split, own, ledgerPlace, runsPlace,
      body: [verdict, tiles, doing], figures: [stages, charts, ledger] };
  }

  function show(state) {
    view.body.forEach((part) => part.classList.toggle("cdc-away", !state.run));
    view.figures.forEach((part) => part.classList.toggle("cdc-away", !state.run || !state.count));
    view.own.classList.toggle("cdc-away", !state.run || !state.figures.length);
    if (!state.run) {
      view.title.textContent = "CDC pipeline";
      view.question.textContent = "No run yet. Start one, and this page follows it.";
      view.facts.textContent = "";
      return;
    }
    gather(state);
    const run = state.run;
    view.title.textContent = `CDC pipeline: ${run.scenario}`;
    view.question.textContent = run.question;
    view.facts.textContent = `run ${run.id} · step ${run.begun} of ${run.steps}${[run.step, run.stage].filter((name, index, all) => name && all.indexOf(name) === index).map((name) => ` · ${name}`).join("")} · ${clock(run.elapsed_s)}`;
    panel.classList.toggle("cdc-unusable", !state.verdict.usable);
    showDoing(run, state.count);
    showTiles(state.tiles);
    showVerdict(state);
    if (!state.count) return;
    view.pipeline.update(state.stages, state.words);
    view.drawn.update(gathered.columns, state.marks);
    const spread = [...gathered.heat.values()];
    view.spread.figure.classList.toggle("cdc-away", !spread.length);
    if (spread.length) view.spread.update({ ...state.heat, columns: spread, marks: state.marks });
    view.split.update(state.split);
    showLedger(state.ledger);
    if (changed("figures", state.figures)) figures(view.own, state.figures);
  }

  function changed(what, value) {
    const now = JSON.stringify(value);
    if (now === last[what]) return false;
    last[what] = now;
    return true;
  }

  // From the first second on: the present phase and its time, and the time of the phases before it.
  function showDoing(run, count) {
    const going = run.activities.at(-1);
    view.doing.classList.toggle("cdc-away", run.concluded || !going);
    if (!going || !changed("activities", run.activities)) return;
    const done = run.activities.slice(0, -1).map((one) => element("li", {}, `${one.name}: ${number(one.took_s, 1)} s`));
    const details = element("details", { class: "cdc-behind" }, element("summary", {}, "Before that"), element("ol", {}, ...done));
    details.open = view.doing.querySelector("details")?.open ?? !count;
    view.doing.replaceChildren(
      element("p", { class: "cdc-now" }, element("strong", {}, count ? "Now" : "Preparing"), ` ${going.name} · ${clock(going.took_s)}`), ...(done.length ? [details] : []));
  }

  function showTiles(tiles) {
    view.tiles.replaceChildren(...tiles.map((tile) =>
      element("li", { class: "cdc-tile", "data-tile": tile.label, "data-alarm": tile.alarming ? "yes" : null, "data-figure": tile.figure && tile.text !== "-" ? "yes" : null },
        element("span", { class: "cdc-tile-label" }, tile.label), element("span", { class: "cdc-tile-text" }, tile.text), element("span", { class: "cdc-tile-below" }, tile.below))));
  }

  // The route sends only new seconds; it sends a run that this page does not know as a whole.
  function gather(state) {
    if (gathered.run !== state.run.id) unzoom();
    if (state.first === 0) {
      gathered.columns = Object.fromEntries(Object.keys(state.columns).map((name) => [name, []]));
      gathered.heat = new Map();
    }
    for (const [name, values] of Object.entries(state.columns)) gathered.columns[name].push(...values);
    state.heat.columns.forEach((column) => gathered.heat.set(column.x, column));
    // Columns that have become wider must be fetched as a whole the next time.
    const wider = state.first !== 0 && gathered.width_s !== state.heat.width_s;
    gathered.width_s = state.heat.width_s;
    gathered.run = wider ? "" : state.run.id;
    gathered.count = state.count;
  }

  function showVerdict({ run, verdict }) {
    if (!changed("verdict", [run.id, verdict])) return;
    const { reasons, warnings, notes } = verdict;
    view.verdict.dataset.verdict = verdict.verdict || (reasons.length ? "FAIL" : warnings.length ? "WARN" : "");
    const word = verdict.verdict || (reasons.length ? "Trouble so far" : warnings.length ? "Warning" : "Running");
    const rest = verdict.verdict ? verdict.answer : reasons.length || warnings.length ? "" : "Nothing is wrong so far; the verdict comes with the audit.";
    const list = (items, kind) => (items.length ? element("ul", { class: kind }, ...items.map((item) => element("li", {}, item))) : "");
    view.verdict.replaceChildren(
      element("p", { style: "margin:0" }, element("strong", {}, word), rest),
      list(reasons, "cdc-reasons"), list(warnings, "cdc-warnings"), list(notes, "cdc-note"), ...(verdict.verdict ? ended(run, verdict) : [bell()]));
    if (verdict.verdict) announce(run, verdict);
  }

  function fileOf(run, name, text) {
    return element("a", { href: `${BASE}/runs/${encodeURIComponent(run.directory)}/${name}`, target: "_blank", rel: "noopener" }, text || name);
  }

  // An ended run: its report, its files, and the command that repeats it.
  function ended(run, verdict) {
    const file = (name, text) => fileOf(run, name, text);
    return [
      element("p", { class: "cdc-links" }, file("report.html", "Open the report"), file("result.json"), file("timeline.csv"), file("statistics.csv")),
      element("p", { class: "cdc-caption" }, "To repeat it:"), element("pre", { class: "cdc-command", tabindex: "0" }, verdict.command)];
  }

  function bell() {
    if (!("Notification" in window) || Notification.permission !== "default") return "";
    const button = element("button", { type: "button", class: "cdc-bell" }, "Notify me at the end");
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      button.remove();
    });
    return button;
  }

  let announced = "";
  let awaited = "";
  const TITLE = document.title;

  // Once for each run that this page saw running: in the window's title, and as the system's notification if allowed.
  function announce(run, verdict) {
    askForRuns();
    if (announced === run.id) return;
    const first = announced === "" && !seenGoingOn;
    announced = run.id;
    awaited = "";
    if (first) return;
    document.title = `${verdict.verdict}: ${run.scenario} · ${TITLE}`;
    if (notifies()) new Notification(`${run.scenario}: ${verdict.verdict}`, { body: verdict.answer, tag: run.id });
  }

  let seenGoingOn = false;

  function notifies() {
    return "Notification" in window && Notification.permission === "granted";
  }

  function showLedger(ledger) {
    if (!changed("ledger", ledger)) return;
    const wrong = ledger.classes.slice(2);
    const cell = (count, name) => wrong.includes(name) && count ? element("span", { class: "cdc-bad" }, number(count)) : number(count);
    const rows = ledger.rows.map((row) => [row.name, ...row.counts.map((count, index) => cell(count, ledger.classes[index])), row.fences]);
    view.ledgerPlace.replaceChildren(table("Events by step; – is known after the audit", ["step", ...ledger.classes, "fences"], rows));
  }

  async function askForRuns() {
    const answer = await fetch(`${BASE}/runs`, { cache: "no-store" }).catch(() => null);
    if (!answer || !answer.ok) return;
    const runs = await answer.json();
    if (!changed("runs", runs)) return;
    view.runsPlace.replaceChildren(runs.length
      ? table("Newest first; a link opens the report", ["run", "began", "verdict", "answer"], runs.map((run) =>
        [fileOf(run, "report.html", `${run.scenario} ${run.run}`), run.began, element("span", { class: "cdc-word", "data-verdict": run.verdict }, run.verdict), element("span", { class: "cdc-answer" }, run.answer)]))
      : element("p", { class: "cdc-what" }, "No run has ended yet."));
  }

  async function ask() {
    const query = new URLSearchParams({ run: gathered.run, since: String(gathered.count) });
    try {
      const answer = await fetch(`${BASE}/state?${query}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      if (state.run && !state.run.concluded) {
        seenGoingOn = true;
        awaited = state.run.id;
        document.title = TITLE;
      }
      show(state);
      view.stale.textContent = "";
    } catch (error) {
      view.stale.textContent = "Locust does not answer; what is shown is what was last known.";
    }
  }

  let shownTheme = "";

  // Locust does not publish its theme, so it is read from the page's colours.
  function followTheme() {
    const [red, green, blue] = (getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
    const theme = red + green + blue < 384 ? "dark" : "light";
    document.querySelectorAll(".cdc").forEach((part) => (part.dataset.theme = theme));
    if (shownTheme !== theme) redraw();
    shownTheme = theme;
  }

  function chosen() {
    const tab = document.querySelector('#root [role="tab"][aria-selected="true"]');
    return tab && tab.textContent.trim() === "CDC" ? tab : null;
  }

  // Locust's theme button has only a picture; a screen reader needs a text.
  function nameThemeButton() {
    for (const button of document.querySelectorAll("#root button:not([aria-label])")) {
      if (!button.textContent.trim() && button.querySelector("svg")) button.setAttribute("aria-label", button.closest("header") ? "Switch theme" : "Options");
    }
  }

  // A run that was just started is shown in this tab; Locust would show its own statistics first.
  let started = false;
  document.addEventListener("submit", (event) => (started = started || event.target.hasAttribute("data-cdc")), true);

  function landAfterStart() {
    const tab = started && [...document.querySelectorAll('#root [role="tab"]')].find((item) => item.textContent.trim() === "CDC");
    if (!tab || document.querySelector("form[data-cdc]")) return;
    started = false;
    tab.click();
  }

  // The panel is the last child of the container of Locust's tabs, where React neither inserts nor removes elements.
  function place() {
    nameThemeButton();
    landAfterStart();
    const tab = chosen();
    const container = tab && tab.closest(".MuiContainer-root");
    if (container && panel.parentNode !== container) {
      container.append(panel);
      followTheme();
      ask();
      askForRuns();
    } else if (!container && panel.isConnected) {
      panel.remove();
    }
  }

  new MutationObserver(place).observe(document.getElementById("root"), {
    childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  document.addEventListener("click", () => setTimeout(followTheme, 50));
  setInterval(() => {
    followTheme();
    // A user who wants a notification of the end looks at another window in the meantime.
    if ((panel.isConnected && !document.hidden) || (awaited && notifies())) ask();
  }, INTERVAL_MS);
  place();
})();
