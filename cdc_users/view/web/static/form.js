// Locust's start form for scenarios: cards, the fields that the chosen scenario reads, a summary of the run, and mistakes
// beside their fields. Locust's own fields stay where React put them; this only shows, hides and orders them.
(function () {
  "use strict";

  const { element, number } = window.cdcElement;
  const { base, groups, scenarios, preselected } = window.cdc;
  const DELAY_MS = 300;
  const MOST_SHOWN = 20;
  const FIELDS = new Map(groups.flatMap((group) => group.fields).map((field) => [field.name, field]));
  const FLAG = /--[a-z]+(?:-[a-z]+)*/;

  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const sorted = (text) => text.split(/[\s,]+/).sort().join(",");
  const wrapper = (control) => control && control.closest(".MuiFormControl-root, .MuiFormControlLabel-root");

  function input(form, name) {
    return [...form.elements].find((item) => item.name && snake(item.name) === name);
  }

  // React listens for the event and reads the value from the element.
  function set(control, value) {
    if (control.value === value) return;
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(control), "value").set.call(control, value);
    for (const name of ["input", "change"]) control.dispatchEvent(new Event(name, { bubbles: true }));
  }

  class Form {
    constructor(form) {
      form.dataset.cdc = "dressed";
      this.form = form;
      this.picker = form.elements.shapeClass;
      this.chosen = this.picker ? "" : Object.keys(scenarios)[0];
      this.open = new Set();
      this.turn = 0;
      this.cards = element("div", { class: "cdc cdc-cards", role: "radiogroup", "aria-label": "Scenario" });
      this.plan = element("div", { class: "cdc cdc-card cdc-scenario", "aria-live": "polite" });
      this.controls = new Map([...FIELDS.keys()].map((name) => [name, input(form, name)]).filter(([, control]) => control));
      this.arrange();
      const link = new URLSearchParams(location.search);
      this.choose(this.linked(link) || (this.picker && this.picker.value in scenarios ? this.picker.value : preselected), link);
      let timer = 0;
      const later = () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.check(), DELAY_MS);
      };
      form.addEventListener("input", later);
      form.addEventListener("change", later);
    }

    arrange() {
      const { form } = this;
      const parameters = [...form.querySelectorAll("button[aria-expanded]")].find((button) => button.textContent.trim() === "Custom parameters");
      if (parameters && parameters.getAttribute("aria-expanded") === "false") parameters.click();
      const body = form.firstElementChild;
      body.classList.add("cdc-form");
      body.closest(".MuiContainer-root")?.classList.add("cdc-wide");
      form.querySelector('button[type="submit"]')?.classList.add("cdc-start");
      if (this.picker) wrapper(this.picker).classList.add("cdc-away");
      body.prepend(this.cards, this.plan);
      for (const [name, scenario] of Object.entries(scenarios)) {
        const card = element("button", { type: "button", role: "radio", class: "cdc-choice", "data-scenario": scenario.name },
          element("strong", {}, scenario.name), element("span", {}, scenario.question));
        card.addEventListener("click", () => this.choose(name));
        this.cards.append(card);
      }
      for (const group of groups) this.head(group);
      form.querySelector(".cdc-fields")?.prepend(element("div", { class: "cdc-break" }));
      for (const [name, control] of this.controls) this.dress(FIELDS.get(name), control);
    }

    head(group) {
      const first = group.fields.map((field) => wrapper(this.controls.get(field.name))).find(Boolean);
      if (!first) return;
      first.parentElement.classList.add("cdc-fields");
      const title = element("button", { type: "button", class: "cdc cdc-group", "data-group": group.title, "aria-expanded": "false" }, group.title);
      title.addEventListener("click", () => {
        this.open.has(group.title) ? this.open.delete(group.title) : this.open.add(group.title);
        this.show();
      });
      first.before(title);
    }

    dress(field, control) {
      const place = wrapper(control);
      const help = element("p", { class: "cdc cdc-help", id: `cdc-help-${field.name}` }, field.help);
      control.setAttribute("aria-describedby", help.id);
      place.classList.add("cdc-field");
      for (const part of place.querySelectorAll("label.MuiInputLabel-root, legend span")) part.textContent = field.label;
      if (field.several.length || field.switch) place.classList.add("cdc-own");
      if (field.switch) place.append(this.boxes(field, control, [["yes", field.label]], "switch"));
      if (field.several.length) place.append(this.boxes(field, control, field.several.map((word) => [word, word]), "checkbox"));
      place.append(help);
    }

    // Checkboxes in place of a text field: one for yes or no, or one for each of several words.
    boxes(field, control, words, role) {
      const told = () => [...row.querySelectorAll("input:checked")].map((box) => box.value).join(",");
      const row = element("div", { class: "cdc cdc-boxes", role: "group", "aria-label": field.label },
        role === "checkbox" ? element("span", { class: "cdc-caption" }, field.label) : null,
        ...words.map(([value, text]) => element("label", {}, element("input", { type: "checkbox", role: role === "switch" ? role : null, value, "aria-describedby": `cdc-help-${field.name}` }), text)));
      row.addEventListener("change", (event) => {
        event.stopPropagation();
        const value = told() || (role === "switch" ? "no" : "");
        set(control, sorted(value) === sorted(this.fallback(field)) ? "" : value);
      });
      return row;
    }

    fallback(field) {
      return scenarios[this.chosen]?.defaults[field.name] ?? field.default;
    }

    linked(link) {
      return Object.keys(scenarios).find((name) => scenarios[name].name === link.get("scenario"));
    }

    choose(name, link) {
      if (!(name in scenarios)) return;
      this.chosen = name;
      if (this.picker) set(this.picker, name);
      for (const card of this.cards.children) card.setAttribute("aria-checked", String(card.dataset.scenario === scenarios[name].name));
      const { reads } = scenarios[name];
      for (const [option, control] of this.controls) {
        if (!reads.includes(option)) set(control, "");
        else if (link?.get(option)) set(control, link.get(option));
      }
      for (const part of ["user_count", "spawn_rate", "host"]) wrapper(input(this.form, part))?.classList.add("cdc-away");
      wrapper(input(this.form, "run_time"))?.closest(".MuiAccordion-root")?.classList.add("cdc-away");
      const classes = this.form.parentElement.querySelector("table")?.closest(".MuiBox-root")?.parentElement;
      if (classes && !classes.contains(this.form)) classes.classList.add("cdc-away");
      this.show();
      this.check();
    }

    // The fields that the scenario reads: the most important on top, those with a value, and the open groups.
    show() {
      const { reads, foremost } = scenarios[this.chosen];
      groups.forEach((group, index) => {
        const rest = group.fields.filter(({ name }) => this.controls.has(name) && reads.includes(name) && !foremost.includes(name));
        const title = this.form.querySelector(`[data-group="${group.title}"]`);
        const open = this.open.has(group.title);
        title?.classList.toggle("cdc-away", !rest.length);
        title?.setAttribute("aria-expanded", String(open));
        if (title) title.style.order = 2 * index + 1;
        for (const field of group.fields) {
          const control = this.controls.get(field.name);
          if (!control) continue;
          const first = foremost.includes(field.name);
          const place = wrapper(control);
          place.style.order = first ? foremost.indexOf(field.name) - foremost.length : 2 * index + 2;
          place.classList.toggle("cdc-away", !reads.includes(field.name) || !(first || open || control.value));
          this.tell(field, control);
        }
      });
    }

    // The field itself shows the default that applies if nothing is chosen.
    tell(field, control) {
      const fallback = this.fallback(field);
      if (control.tagName === "SELECT") control.options[0].textContent = fallback ? `${fallback} (default)` : "";
      else control.placeholder = fallback || field.takes;
      const words = (control.value || fallback).split(/[\s,]+/);
      for (const box of wrapper(control).querySelectorAll(".cdc-boxes input")) box.checked = words.includes(box.value);
    }

    values() {
      const { reads } = scenarios[this.chosen];
      return [...this.controls].filter(([name]) => reads.includes(name)).map(([name, control]) => [name, control.value]);
    }

    async check() {
      // Answers may come in another order than their requests.
      const turn = (this.turn += 1);
      const query = new URLSearchParams([["shape_class", this.chosen], ...[...this.controls].map(([name, control]) => [name, control.value])]);
      const answer = await fetch(`${base}/plan?${query}`, { cache: "no-store" });
      if (!answer.ok) return;
      const plan = await answer.json();
      if (turn !== this.turn) return;
      for (const [name, field] of FIELDS) this.explain(name, field.help, false);
      for (const mistake of plan.mistakes) {
        const flag = mistake.match(FLAG)?.[0];
        const field = [...FIELDS.values()].find((item) => item.flag === flag);
        if (field) this.explain(field.name, mistake, true);
      }
      this.present(plan);
    }

    explain(name, text, mistake) {
      const help = document.getElementById(`cdc-help-${name}`);
      const control = this.controls.get(name);
      if (!help || !control) return;
      help.textContent = text;
      help.toggleAttribute("data-mistake", mistake);
      control.setAttribute("aria-invalid", String(mistake));
      if (mistake) wrapper(control).classList.remove("cdc-away");
    }

    present(plan) {
      const { name } = scenarios[this.chosen];
      const given = new URLSearchParams([["scenario", name], ...this.values().filter(([, value]) => value)]);
      const link = element("a", { href: `?${given}`, class: "cdc-preset" }, "Link to these settings");
      const mistakes = plan.mistakes.map((mistake) => element("li", {}, mistake));
      const steps = plan.steps.slice(0, MOST_SHOWN).map((step) => element("li", {}, described(step)));
      const more = plan.steps.length - steps.length;
      this.plan.replaceChildren(
        ...(mistakes.length
          ? [element("div", { class: "cdc-mistakes" }, "This cannot be started:"), element("ul", { class: "cdc-mistakes" }, ...mistakes)]
          : [element("div", {}, element("strong", {}, summary(plan))), element("ol", {}, ...steps), more > 0 ? element("div", {}, `and ${number(more)} more`) : null,
            ...plan.skipped.map((reason) => element("div", { class: "cdc-note" }, `Left out: ${reason}`))].filter(Boolean)),
        link);
    }
  }

  function summary({ steps: all, follows }) {
    // The generator's own maximum is measured without a pipeline, so it makes no events.
    const steps = all.filter((step) => step.mode !== "null");
    const events = steps.reduce((sum, step) => sum + step.events, 0);
    const seconds = steps.reduce((sum, step) => sum + step.duration_s, 0);
    const burst = steps.some((step) => !step.duration_s);
    const time = [seconds ? `${number(seconds)} s of load` : "", burst ? "as fast as it goes" : ""].filter(Boolean).join(", then ");
    return `${steps.length} step${steps.length === 1 ? "" : "s"}, ${number(events)} events, ${time}${follows ? `; then ${follows}` : ""}`;
  }

  function described(step) {
    if (step.mode === "null") return `${step.name}: how much the generator can make, without a pipeline`;
    const load = step.duration_s
      ? `${number(step.arrivals / step.duration_s)} arrivals/s for ${number(step.duration_s)} s`
      : `${number(step.arrivals)} arrivals at once`;
    const many = step.events === step.arrivals ? "" : `, ${number(step.events)} events`;
    const warmUp = step.warm_up ? " (warm-up, not judged)" : "";
    return `${step.name}: ${step.mode}, ${load}${many}, ${step.lanes} lanes, ${step.partitions} partition${step.partitions === 1 ? "" : "s"}, sink ${step.sink}${warmUp}`;
  }

  function look() {
    for (const form of document.querySelectorAll("form:not([data-cdc])")) {
      if ((form.elements.userCount || form.elements.shapeClass) && Object.keys(scenarios).length) new Form(form);
    }
  }

  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
  look();
})();
