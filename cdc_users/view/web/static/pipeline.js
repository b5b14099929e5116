// Elements of the CDC tab and of report.html other than charts: stacked bars, the pipeline's stages.
(function (global) {
  "use strict";

  const { element, number, tableBehind } = global.cdcElement;

  // Horizontal bars whose parts add up. spec: {title, unit, parts: [{key, name, colour}], short}; `update` takes [{name, values: {key: n}}].
  function stacked(host, spec) {
    const bars = element("div", { class: "cdc-bars" });
    const legend = element("ul", { class: "cdc-legend" }, ...spec.parts.map((part) =>
      element("li", {}, element("span", { class: `cdc-chip cdc-b${part.colour}`, "aria-hidden": "true" }), part.name)));
    const heading = element("h3", {}, spec.title, element("span", { class: "cdc-unit" }, spec.unit));
    const figure = element("figure", { class: "cdc-chart", "data-chart": spec.title }, heading, legend, bars);
    let data = [];
    const refreshTable = tableBehind(figure, `${spec.title} (${spec.unit})`, () => [
      ["step", ...spec.parts.map((part) => part.name), "sum"],
      data.map((bar) => [bar.name, ...spec.parts.map((part) => number(bar.values[part.key])), number(total(bar))]),
    ]);
    host.append(figure);

    // Clocks that differ by less than a millisecond can make a stage negative; it has no width, but counts in the sum.
    const total = (bar) => spec.parts.reduce((sum, part) => sum + (bar.values[part.key] || 0), 0);
    const width = (bar) => spec.parts.reduce((sum, part) => sum + Math.max(0, bar.values[part.key] || 0), 0);

    function update(next) {
      data = next;
      const widest = Math.max(1e-9, ...data.map(width));
      bars.replaceChildren(...data.map((bar) => {
        const parts = spec.parts.filter((part) => (bar.values[part.key] || 0) > 0);
        const text = parts.map((part) => `${part.name} ${number(bar.values[part.key])}`).join(", ");
        return element("div", { class: "cdc-bar" },
          element("span", { class: "cdc-bar-name" }, bar.name),
          element("div", { class: "cdc-bar-track", role: "img", "aria-label": `${bar.name}: ${text || "nothing yet"} ${spec.unit}` },
            ...parts.map((part) => {
              const share = (100 * bar.values[part.key]) / widest;
              const piece = element("span", { class: `cdc-piece cdc-b${part.colour}`, title: `${part.name}: ${number(bar.values[part.key])} ${spec.unit}` },
                share > 9 ? number(bar.values[part.key]) : null);
              piece.style.width = `${share}%`;
              return piece;
            })),
          element("span", { class: "cdc-bar-sum" }, `${number(total(bar))} ${spec.short || spec.unit}`));
      }));
      refreshTable();
    }
    return { update };
  }

  // The pipeline as its stages, the slowest marked. Stages: {key, name, what, rate, latency, backlog, share, bottleneck}.
  function pipeline(host) {
    const words = element("p", { class: "cdc-words", role: "status" });
    const list = element("ol", { class: "cdc-pipeline", "aria-label": "The pipeline, stage by stage" });
    host.append(words, list);
    let said = "";

    function figure(name, value) {
      return element("div", { class: "cdc-figure" }, element("dt", {}, name), element("dd", {}, value));
    }

    function card(stage) {
      const meter = element("div", { class: "cdc-meter", "aria-hidden": "true" }, element("span", {}));
      meter.firstChild.style.width = `${Math.max(0, Math.min(1, stage.share || 0)) * 100}%`;
      return element("li", { class: stage.bottleneck ? "cdc-stage cdc-narrow" : "cdc-stage", "data-stage": stage.key },
        element("div", { class: "cdc-stage-head" }, element("h3", {}, stage.name),
          stage.bottleneck ? element("span", { class: "cdc-badge" }, "bottleneck") : null),
        element("p", { class: "cdc-what" }, stage.what),
        meter,
        element("dl", {},
          figure("rate", stage.rate === null ? "–" : `${number(stage.rate)} /s`),
          figure("mean", stage.mean_ms === null ? "–" : `${number(stage.mean_ms)} ms`),
          figure("p50", stage.p50_ms === null ? "–" : `${number(stage.p50_ms)} ms`),
          figure("p99", stage.p99_ms === null ? "–" : `${number(stage.p99_ms)} ms`),
          figure("backlog", stage.backlog)));
    }

    return {
      update(stages, sentence) {
        // A screen reader would never finish a status region that is written every second.
        if (sentence !== said) words.textContent = said = sentence;
        list.replaceChildren(...stages.map(card));
      },
    };
  }

  global.cdcPipeline = { stacked, pipeline };
})(window);
