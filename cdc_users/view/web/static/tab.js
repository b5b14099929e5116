// The CDC tab: Locust's page makes the tab (extended_tabs); this fills it, once a second, from one route.
(function () {
  "use strict";

  const { element, number, clock, table } = window.cdcElement;
  const { figures, overTime, redraw, unzoom } = window.cdcChart;
  const { stacked, pipeline } = window.cdcPipeline;
  const BASE = window.cdc.base;
  const INTERVAL_MS = 1000;
  const PARTS = window.cdc.series.parts.map(([key, name, colour]) => ({ key, name, colour }));

  const panel = element("section", { class: "cdc cdc-tab", "aria-label": "CDC", id: "cdc-tab" });
  const view = build();
  const gathered = { run: "", columns: {}, count: 0 };

  function build() {
    const title = element("h2", {}, "CDC pipeline");
    const question = element("p", {});
    const facts = element("p", { class: "cdc-facts" });
    const stale = element("p", { class: "cdc-stale", role: "alert" });
    const verdict = element("div", { class: "cdc-card cdc-verdict", "aria-live": "polite" });
    const stages = element("div", { class: "cdc-card" });
    const charts = element("div", { class: "cdc-grid-2" });
    const ledger = element("div", { class: "cdc-card" });
    const ledgerPlace = element("div", { class: "cdc-scroll", tabindex: "0", role: "region", "aria-label": "Table: ledger" });
    ledger.append(element("h2", {}, "Ledger"), ledgerPlace);
    panel.append(
      element("div", { class: "cdc-head" }, element("div", {}, title, question), facts), stale, verdict, stages, charts);
    const drawn = overTime(charts, window.cdc.charts);
    const split = stacked(charts, { title: "Where the time goes", unit: "mean ms", short: "ms", parts: PARTS });
    panel.append(ledger);
    return { title, question, facts, stale, verdict, pipeline: pipeline(stages), drawn, split, ledgerPlace, body: [verdict, stages, charts, ledger] };
  }

  function show(state) {
    view.body.forEach((part) => part.classList.toggle("cdc-away", !state.run));
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
    showVerdict(state.verdict);
    view.pipeline.update(state.stages, state.words);
    const columns = gathered.columns;
    for (const { chart, series } of view.drawn) {
      const found = series(columns);
      const known = Object.values(found).some((values) => values.some((value) => value !== null));
      chart.figure.classList.toggle("cdc-away", !known);
      if (known) chart.update({ x: columns.elapsed_s || [], series: found, marks: state.marks });
    }
    view.split.update(state.split);
    showLedger(state.ledger);
  }

  // Only new seconds come over the wire; a run that this page does not know comes whole.
  function gather(state) {
    if (gathered.run !== state.run.id) unzoom();
    if (state.first === 0) gathered.columns = Object.fromEntries(Object.keys(state.columns).map((name) => [name, []]));
    for (const [name, values] of Object.entries(state.columns)) gathered.columns[name].push(...values);
    gathered.run = state.run.id;
    gathered.count = state.count;
  }

  let shownVerdict = "";

  function showVerdict(verdict) {
    const now = JSON.stringify(verdict);
    if (now === shownVerdict) return;
    shownVerdict = now;
    view.verdict.dataset.verdict = verdict.verdict || "";
    const word = verdict.verdict || (verdict.reasons.length ? "Trouble so far" : "Running");
    const rest = verdict.verdict ? verdict.answer : verdict.reasons.length ? "" : "Nothing is wrong so far; the verdict comes with the audit.";
    view.verdict.replaceChildren(
      element("p", { style: "margin:0" }, element("strong", {}, word), rest),
      verdict.reasons.length ? element("ul", {}, ...verdict.reasons.map((reason) => element("li", {}, reason))) : "",
      verdict.notes.length ? element("ul", { class: "cdc-note" }, ...verdict.notes.map((note) => element("li", {}, note))) : "");
  }

  let shownLedger = "";

  function showLedger(ledger) {
    const now = JSON.stringify(ledger);
    if (now === shownLedger) return;
    shownLedger = now;
    const wrong = ledger.classes.slice(2);
    const cell = (count, name) => wrong.includes(name) && count ? element("span", { class: "cdc-bad" }, number(count)) : number(count);
    const rows = ledger.rows.map((row) => [row.name, ...row.counts.map((count, index) => cell(count, ledger.classes[index])), row.fences]);
    view.ledgerPlace.replaceChildren(table("Events by step; – is known after the audit", ["step", ...ledger.classes, "fences"], rows));
  }

  async function ask() {
    const query = new URLSearchParams({ run: gathered.run, since: String(gathered.count) });
    try {
      const answer = await fetch(`${BASE}/state?${query}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
      view.stale.textContent = "";
    } catch (error) {
      view.stale.textContent = "Locust does not answer; what is shown is what was last known.";
    }
  }

  let shownTheme = "";

  // Locust keeps its theme to itself: what the page looks like is the only thing to go by.
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

  // Locust's theme button has only a picture; a screen reader needs a word.
  function nameThemeButton() {
    for (const button of document.querySelectorAll("#root button:not([aria-label])")) {
      if (!button.textContent.trim() && button.querySelector("svg")) button.setAttribute("aria-label", button.closest("header") ? "Switch theme" : "Options");
    }
  }

  // The panel hangs at the end of the container of Locust's tabs, where React neither inserts nor removes around it.
  function place() {
    nameThemeButton();
    const tab = chosen();
    const container = tab && tab.closest(".MuiContainer-root");
    if (container && panel.parentNode !== container) {
      container.append(panel);
      followTheme();
      ask();
    } else if (!container && panel.isConnected) {
      panel.remove();
    }
  }

  new MutationObserver(place).observe(document.getElementById("root"), {
    childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  document.addEventListener("click", () => setTimeout(followTheme, 50));
  setInterval(() => {
    followTheme();
    if (panel.isConnected && !document.hidden) ask();
  }, INTERVAL_MS);
  place();
})();
