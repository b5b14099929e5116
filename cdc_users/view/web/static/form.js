// Locust's start form, with the harness's options in groups, help under each field, and mistakes where they are made.
(function () {
  "use strict";

  const { element, number } = window.cdcChart;
  const { base, groups, scenarios } = window.cdc;
  const DELAY_MS = 300;
  const FIELDS = new Map(groups.flatMap((group) => group.fields).map((field) => [field.name, field]));
  const names = Object.keys(scenarios);

  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const wrapper = (input) => input && input.closest(".MuiFormControl-root, .MuiFormControlLabel-root");

  function input(form, name) {
    return [...form.elements].find((item) => item.name && snake(item.name) === name);
  }

  // React listens for the event and reads the value from the element.
  function set(control, value) {
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(control), "value").set.call(control, value);
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function dress(form) {
    form.dataset.cdc = "dressed";
    const picker = form.elements.shapeClass;
    const card = element("div", { class: "cdc cdc-card cdc-scenario", "aria-live": "polite" });
    for (const group of groups) explainGroup(form, group);
    const parameters = [...form.querySelectorAll("button[aria-expanded]")].find((button) => button.textContent.trim() === "Custom parameters");
    if (parameters && parameters.getAttribute("aria-expanded") === "false") parameters.click();
    if (picker) {
      for (const option of picker.options) {
        if (option.value in scenarios) option.textContent = `${scenarios[option.value].name} (${option.value})`;
      }
      wrapper(picker).after(card);
      if (names.length && !(picker.value in scenarios)) set(picker, names[0]);
    } else {
      form.firstElementChild.prepend(card);
    }
    const refresh = () => check(form, card, picker ? picker.value : names[0]);
    let timer = 0;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(refresh, DELAY_MS);
    };
    form.addEventListener("input", later);
    form.addEventListener("change", later);
    refresh();
  }

  function explainGroup(form, group) {
    let headed = false;
    for (const field of group.fields) {
      const control = input(form, field.name);
      const place = wrapper(control);
      if (!place) continue;
      if (!headed) place.before(element("h4", { class: "cdc cdc-group" }, group.title));
      headed = true;
      place.classList.add("cdc-field");
      place.parentElement.classList.add("cdc-fields");
      const help = element("p", { class: "cdc cdc-help", id: `cdc-help-${field.name}` }, field.help);
      control.setAttribute("aria-describedby", help.id);
      place.append(help);
    }
  }

  // What only Locust's plain users need is out of the way while a scenario is chosen: its plan has lanes, not users.
  function tidy(form, scenario) {
    const away = ["user_count", "spawn_rate", "host"].map((name) => wrapper(input(form, name)));
    const classes = form.parentElement.querySelector("table")?.closest(".MuiBox-root")?.parentElement;
    const accordion = wrapper(input(form, "run_time"))?.closest(".MuiAccordion-root");
    for (const part of [...away, accordion, classes && !classes.contains(form) ? classes : null]) {
      part?.classList.toggle("cdc-away", Boolean(scenario));
    }
  }

  async function check(form, card, shape) {
    const scenario = scenarios[shape];
    tidy(form, scenario);
    for (const [name, field] of FIELDS) explain(form, name, helpFor(field, scenario));
    card.classList.toggle("cdc-away", !scenario);
    if (!scenario) return;
    const query = new URLSearchParams({ shape_class: shape });
    for (const name of FIELDS.keys()) {
      const control = input(form, name);
      if (control && control.value) query.set(name, control.value);
      else if (control) query.set(name, "");
    }
    const answer = await fetch(`${base}/plan?${query}`, { cache: "no-store" });
    if (!answer.ok) return;
    const plan = await answer.json();
    for (const mistake of plan.mistakes) {
      for (const [name, field] of FIELDS) {
        if (document.querySelector(`#cdc-help-${name}[data-mistake]`)) continue;
        if (new RegExp(`${field.flag}(?![a-z-])`).test(mistake)) explain(form, name, mistake, true);
      }
    }
    present(card, scenario, plan);
  }

  function helpFor(field, scenario) {
    const fallback = (scenario && scenario.defaults[field.name]) || field.default;
    return fallback ? `${field.help} Default: ${fallback}` : field.help;
  }

  function explain(form, name, text, mistake) {
    const help = document.getElementById(`cdc-help-${name}`);
    const control = input(form, name);
    if (!help || !control) return;
    help.textContent = text;
    help.toggleAttribute("data-mistake", Boolean(mistake));
    control.setAttribute("aria-invalid", String(Boolean(mistake)));
  }

  function present(card, scenario, plan) {
    const steps = plan.steps.map((step) => element("li", {}, described(step)));
    const mistakes = plan.mistakes.map((mistake) => element("li", {}, mistake));
    card.replaceChildren(
      element("p", {}, element("strong", {}, scenario.name), ` · ${scenario.question}`),
      ...(mistakes.length
        ? [element("div", { class: "cdc-mistakes" }, "This cannot be started:"), element("ul", { class: "cdc-mistakes" }, ...mistakes)]
        : [element("div", {}, "What will run:"), element("ol", {}, ...steps), ...plan.skipped.map((reason) => element("div", { class: "cdc-note" }, `Left out: ${reason}`))]));
  }

  function described(step) {
    const load = step.duration_s
      ? `${number(step.arrivals / step.duration_s)} arrivals/s for ${number(step.duration_s)} s`
      : `${number(step.arrivals)} arrivals at once`;
    const many = step.events === step.arrivals ? "" : `, ${number(step.events)} events`;
    const warmUp = step.warm_up ? " (warm-up, not judged)" : "";
    return `${step.name}: ${step.mode}, ${load}${many}, ${step.lanes} lanes, ${step.partitions} partition${step.partitions === 1 ? "" : "s"}, sink ${step.sink}${warmUp}`;
  }

  function look() {
    for (const form of document.querySelectorAll("form:not([data-cdc])")) {
      if (form.elements.userCount || form.elements.shapeClass) dress(form);
    }
  }

  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  look();
})();
